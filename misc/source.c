/*
 * The bundle. Every answer of the outside world is a record: asked for once,
 * and the same from then on. Saving writes the records down, secret ones
 * apart; replaying reads them and asks nobody.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "features.h"
#include "hash.h"
#include "pool.h"
#include "source.h"
#include "source_seal.h"

#define FILE_LIMIT	(16u * 1024 * 1024)
#define BUNDLE_MAGIC	UINT64_C(0x3162756e64777073)
#define SECRETS_MAGIC	UINT64_C(0x31736563726e7773)
#define HOST_ADDRS	64		/* of one name; the rest is ignored */

enum record_kind { RECORD_FILE, RECORD_GLOB, RECORD_ENV, RECORD_USER,
    RECORD_GROUP, RECORD_SERVICE, RECORD_HOST, RECORD_EXEC, RECORD_SAME,
    RECORD_HAVE, RECORD_PLATFORM, RECORD_KINDS };

/* One answer, in the source's list in the order of asking. */
struct record {
	struct record	*next;
	const char	*name;
	const char	*data;		/* with a NUL behind its end */
	size_t		 len;
	void		*parsed;	/* glob: char **, host: net_addr [] */
	uint32_t	 kind, sub;	/* sub: enum source_kind of a file */
	int32_t		 error;		/* errno; 0: data is the answer */
	uint32_t	 mode, uid;
	bool		 owned;		/* data comes from malloc */
	bool		 absent;	/* a secret, and we have no secrets */
};

/* A variable that the configuration set. */
struct setting {
	struct setting		*next;
	char			*name, *value;
	enum source_reader	 reader;
	bool			 inherited;
};

/* A stretch of memory that records point into. */
struct map {
	char	*p;
	size_t	 len;
	bool	 mapped, secret;
};

struct source {
	struct arena		*arena;
	struct record		*first, **last;
	struct setting		*settings, **last_setting;
	char			**base;		/* environment, copied */
	char			**environ;	/* as last handed out */
	enum source_reader	 reader;
	bool			 gathers;
	struct map		 maps[2];
};

static struct source *
source_new(void)
{
	struct source *s = calloc(1, sizeof *s);

	if (s == NULL || (s->arena = arena_new()) == NULL) {
		free(s);
		return NULL;
	}
	s->last = &s->first;
	s->last_setting = &s->settings;
	return s;
}

struct source *
source_gather(char *const *environ_base)
{
	struct source *s = source_new();
	size_t n = 0;

	if (s == NULL)
		return NULL;
	while (environ_base != NULL && environ_base[n] != NULL)
		n++;
	s->base = arena_array(s->arena, n + 1, sizeof *s->base);
	for (size_t i = 0; i < n; i++)
		s->base[i] = arena_strdup(s->arena, environ_base[i]);
	s->gathers = true;
	return s;
}

struct source *
source_empty(void)
{
	struct source *s = source_new();

	if (s != NULL)
		s->base = arena_array(s->arena, 1, sizeof *s->base);
	return s;
}

/* The compiler must not drop it as useless. */
static void
cleanse(void *p, size_t len)
{
	explicit_bzero(p, len);
}

void
source_free(struct source *s)
{
	if (s == NULL)
		return;
	for (struct record *r = s->first; r != NULL; r = r->next) {
		if (!r->owned)
			continue;
		if (r->sub != SOURCE_TEXT)
			cleanse((char *)(uintptr_t)r->data, r->len);
		free((char *)(uintptr_t)r->data);
	}
	for (int i = 0; i < 2; i++) {
		struct map *m = &s->maps[i];

		if (m->p == NULL)
			continue;
		if (m->mapped) {
			munmap(m->p, m->len);
			continue;
		}
		if (m->secret)
			cleanse(m->p, m->len);
		free(m->p);
	}
	free(s->environ);
	arena_free(s->arena);
	free(s);
}

/* ---- records ---- */

static struct record *
record_find(const struct source *s, enum record_kind kind, const char *name)
{
	for (struct record *r = s->first; r != NULL; r = r->next) {
		if (r->kind == kind && strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static struct record *
record_new(struct source *s, enum record_kind kind, const char *name)
{
	struct record *r = arena_alloc(s->arena, sizeof *r);

	r->kind = kind;
	r->name = arena_strdup(s->arena, name);
	r->data = "";
	*s->last = r;
	s->last = &r->next;
	return r;
}

static void
record_set(struct source *s, struct record *r, const void *data, size_t len)
{
	char *copy = arena_alloc(s->arena, len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	r->data = copy;
	r->len = len;
}

/*
 * What is on record, else a new record to be filled in; NULL if nobody may
 * be asked. *fresh tells which.
 */
static struct record *
record_get(struct source *s, enum record_kind kind, const char *name,
    bool *fresh)
{
	struct record *r = record_find(s, kind, name);

	*fresh = r == NULL && s->gathers;
	return *fresh ? record_new(s, kind, name) : r;
}

/* ---- files ---- */

static bool
by_descriptor(const char *name)
{
	return strncmp(name, "/dev/fd/", 8) == 0 ||
	    strcmp(name, "/dev/stdin") == 0;
}

/*
 * Without O_NONBLOCK a FIFO would keep us here for ever; with it a pipe that
 * someone gave us by descriptor would look empty, so it is taken off there.
 */
static int
file_open(struct record *r, const char *name, size_t *hint)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto fail;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		goto fail;
	}
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) &&
	    !by_descriptor(name)) {
		errno = ENOTSUP;
		goto fail;
	}
	if (!S_ISREG(st.st_mode))
		(void)fcntl(fd, F_SETFL, 0);
	r->mode = st.st_mode;
	r->uid = st.st_uid;
	if (S_ISREG(st.st_mode) && st.st_size < FILE_LIMIT)
		*hint = (size_t)st.st_size;
	return fd;
fail:
	r->error = errno;
	close(fd);
	errno = r->error;
	return -1;
}

/*
 * Everything of fd, which holds about hint bytes. No realloc, which would
 * leave secrets behind.
 */
static char *
file_slurp(int fd, size_t hint, size_t *len)
{
	size_t size = hint + 2, have = 0;
	char *data = malloc(size), *more;

	while (data != NULL) {
		ssize_t n = read(fd, data + have, size - have - 1);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0) {
			data[have] = '\0';
			*len = have;
			return data;
		}
		if (n == -1)
			break;
		have += (size_t)n;
		if (have > FILE_LIMIT) {
			errno = EFBIG;
			break;
		}
		if (size - have > 1)
			continue;
		if ((more = malloc(size * 2)) == NULL)
			break;
		memcpy(more, data, have);
		cleanse(data, have);
		free(data);
		data = more;
		size *= 2;
	}
	if (data != NULL) {
		int error = errno;

		cleanse(data, have);
		free(data);
		errno = error;
	}
	return NULL;
}

static void
file_gather(struct record *r, const char *name)
{
	size_t hint = 4096;
	int fd = file_open(r, name, &hint);
	char *data = NULL;

	if (fd != -1)
		data = file_slurp(fd, hint, &r->len);
	if (data == NULL) {
		r->error = errno;
	} else {
		r->data = data;
		r->owned = true;
	}
	if (fd != -1)
		close(fd);
}

static void
file_classify(struct record *r, enum source_kind kind)
{
	static const char mark[] = "PRIVATE KEY-----";

	r->sub = kind;
	if (kind == SOURCE_CERT &&
	    memmem(r->data, r->len, mark, sizeof mark - 1) != NULL)
		r->sub = SOURCE_SECRET;
}

int
source_file(struct source *s, enum source_kind kind, const char *name,
    const char **data, size_t *len)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_FILE, name, &fresh);

	*data = NULL;
	*len = 0;
	if (r == NULL) {
		errno = ENOENT;
		return -1;
	}
	if (fresh) {
		file_gather(r, name);
		file_classify(r, kind);
	} else if (kind == SOURCE_SECRET && r->owned) {
		r->sub = SOURCE_SECRET;		/* the same file, twice named */
	}
	if (r->error != 0 || r->absent) {
		errno = r->error != 0 ? r->error : EACCES;
		return -1;
	}
	*data = r->data;
	*len = r->len;
	return 0;
}

void
source_add(struct source *s, enum source_kind kind, const char *name,
    const void *data, size_t len)
{
	struct record *r = record_new(s, RECORD_FILE, name);

	record_set(s, r, data, len);
	r->mode = S_IFREG | 0600;
	file_classify(r, kind);
}

int
source_mode(struct source *s, const char *name, mode_t *mode, uid_t *uid)
{
	const struct record *r = record_find(s, RECORD_FILE, name);

	if (r == NULL || r->error != 0) {
		errno = r == NULL ? ENOENT : r->error;
		return -1;
	}
	*mode = (mode_t)r->mode;
	*uid = (uid_t)r->uid;
	return 0;
}

const char *
source_text(const struct source *s, const char *name, size_t *len)
{
	const struct record *r = record_find(s, RECORD_FILE, name);

	if (r == NULL || r->error != 0 || r->sub != SOURCE_TEXT)
		return NULL;
	*len = r->len;
	return r->data;
}

/* ---- patterns ---- */

static int
name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
glob_gather(struct source *s, struct record *r, const char *pattern,
    bool braces)
{
	int flags = GLOB_NOESCAPE | GLOB_NOSORT;
	size_t len = 0;
	glob_t found;
	char *p;

#ifdef GLOB_BRACE
	if (braces)
		flags |= GLOB_BRACE;
#endif
	if (glob(pattern, flags, NULL, &found) != 0)
		return;
	qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv,
	    name_cmp);
	for (size_t i = 0; i < found.gl_pathc; i++)
		len += strlen(found.gl_pathv[i]) + 1;
	p = arena_alloc(s->arena, len + 1);
	r->data = p;
	r->len = len;
	for (size_t i = 0; i < found.gl_pathc; i++)
		p = stpcpy(p, found.gl_pathv[i]) + 1;
	globfree(&found);
}

/* Names stand one behind the other, each with its NUL. */
static char **
glob_parse(struct source *s, const struct record *r)
{
	size_t n = 0, at = 0;
	char **names;

	for (size_t i = 0; i < r->len; i++)
		n += r->data[i] == '\0';
	names = arena_array(s->arena, n + 1, sizeof *names);
	for (size_t i = 0; i < n; i++) {
		names[i] = arena_strdup(s->arena, r->data + at);
		at += strlen(r->data + at) + 1;
	}
	return names;
}

char *const *
source_glob(struct source *s, const char *pattern, bool braces)
{
	static char *const none[1];
	struct record *r;
	bool fresh;
	char *key;

	key = arena_printf(s->arena, "%c%s", braces ? '{' : ' ', pattern);
	r = record_get(s, RECORD_GLOB, key, &fresh);
	if (r == NULL)
		return none;
	if (fresh)
		glob_gather(s, r, pattern, braces);
	if (r->parsed == NULL)
		r->parsed = glob_parse(s, r);
	return r->parsed;
}

/* ---- environment ---- */

void
source_reader(struct source *s, enum source_reader reader)
{
	s->reader = reader;
}

void
source_env_reset(struct source *s)
{
	s->settings = NULL;		/* the arena keeps them */
	s->last_setting = &s->settings;
	s->reader = SOURCE_MASTER;
}

static const char *
environ_value(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}

const char *
source_getenv(struct source *s, const char *name)
{
	const char *own = NULL, *inherited = NULL, *value;
	struct record *r;
	bool fresh;

	for (const struct setting *v = s->settings; v != NULL; v = v->next) {
		if (strcmp(v->name, name) != 0)
			continue;
		if (v->reader == s->reader)
			own = v->value;
		else if (v->reader == SOURCE_MASTER && v->inherited)
			inherited = v->value;
	}
	if (own != NULL || inherited != NULL)
		return own != NULL ? own : inherited;
	if ((r = record_get(s, RECORD_ENV, name, &fresh)) == NULL)
		return NULL;
	if (fresh) {
		value = environ_value(s->base, name);
		if (value == NULL)
			r->error = ENOENT;
		else
			record_set(s, r, value, strlen(value));
	}
	return r->error != 0 ? NULL : r->data;
}

void
source_setenv(struct source *s, const char *name, const char *value,
    bool inherited)
{
	struct setting *v = arena_alloc(s->arena, sizeof *v);

	v->name = arena_strdup(s->arena, name);
	v->value = arena_strdup(s->arena, value);
	v->reader = s->reader;
	v->inherited = inherited;
	*s->last_setting = v;
	s->last_setting = &v->next;
}

static size_t
environ_put(struct source *s, size_t n, const char *name, const char *value)
{
	size_t len = strlen(name), i;

	for (i = 0; i < n; i++) {
		if (strncmp(s->environ[i], name, len) == 0 &&
		    s->environ[i][len] == '=')
			break;
	}
	s->environ[i] = arena_printf(s->arena, "%s=%s", name, value);
	return i < n ? n : n + 1;
}

/* What both readers set, the worker's word last. */
char **
source_environ(struct source *s)
{
	static const enum source_reader order[] = { SOURCE_MASTER,
	    SOURCE_WORKER };
	size_t n = 0, room = 1;

	for (n = 0; s->base != NULL && s->base[n] != NULL; n++)
		room++;
	for (const struct setting *v = s->settings; v != NULL; v = v->next)
		room++;
	free(s->environ);
	if ((s->environ = calloc(room, sizeof *s->environ)) == NULL)
		errx(EX_OSERR, "no memory for an environment");
	for (n = 0; s->base != NULL && s->base[n] != NULL; n++)
		s->environ[n] = s->base[n];
	for (int k = 0; k < 2; k++) {
		for (const struct setting *v = s->settings; v != NULL;
		    v = v->next) {
			if (v->reader == order[k])
				n = environ_put(s, n, v->name, v->value);
		}
	}
	return s->environ;
}

/* ---- look-ups ---- */

struct account {
	uint32_t	uid, gid;
};

int
source_user(struct source *s, const char *name, uid_t *uid, gid_t *gid)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_USER, name, &fresh);
	struct account a;

	if (r == NULL)
		return -1;
	if (fresh) {
		const struct passwd *pw = getpwnam(name);

		if (pw == NULL) {
			r->error = ENOENT;
		} else {
			a.uid = pw->pw_uid;
			a.gid = pw->pw_gid;
			record_set(s, r, &a, sizeof a);
		}
	}
	if (r->error != 0 || r->len != sizeof a)
		return -1;
	memcpy(&a, r->data, sizeof a);
	*uid = a.uid;
	*gid = a.gid;
	return 0;
}

int
source_group(struct source *s, const char *name, gid_t *gid)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_GROUP, name, &fresh);
	uint32_t id;

	if (r == NULL)
		return -1;
	if (fresh) {
		const struct group *gr = getgrnam(name);

		if (gr == NULL) {
			r->error = ENOENT;
		} else {
			id = gr->gr_gid;
			record_set(s, r, &id, sizeof id);
		}
	}
	if (r->error != 0 || r->len != sizeof id)
		return -1;
	memcpy(&id, r->data, sizeof id);
	*gid = id;
	return 0;
}

int
source_service(struct source *s, const char *name, const char *transport,
    unsigned *port)
{
	char key[256];
	struct record *r;
	uint32_t number;
	bool fresh;

	if ((size_t)snprintf(key, sizeof key, "%s/%s", transport, name) >=
	    sizeof key)
		return -1;
	if ((r = record_get(s, RECORD_SERVICE, key, &fresh)) == NULL)
		return -1;
	if (fresh) {
		const struct servent *se = getservbyname(name, transport);

		if (se == NULL) {
			r->error = ENOENT;
		} else {
			number = ntohs((uint16_t)se->s_port);
			record_set(s, r, &number, sizeof number);
		}
	}
	if (r->error != 0 || r->len != sizeof number)
		return -1;
	memcpy(&number, r->data, sizeof number);
	*port = number;
	return 0;
}

/* An address on record. */
struct host {
	uint32_t	family, scope;
	uint8_t		ip[16];
};

static unsigned
host_gather(const char *name, struct host hosts[HOST_ADDRS])
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	unsigned n = 0;

	if (getaddrinfo(name, NULL, &hints, &list) != 0)
		return 0;
	for (const struct addrinfo *a = list; a != NULL && n < HOST_ADDRS;
	    a = a->ai_next) {
		struct host h = { .family = (uint32_t)a->ai_family };
		struct net_addr addr = { .len = 0 };
		unsigned i;

		if (a->ai_addrlen > sizeof addr.ss)
			continue;
		memcpy(&addr.ss, a->ai_addr, a->ai_addrlen);
		if (a->ai_family == AF_INET) {
			memcpy(h.ip, &addr.in.sin_addr, 4);
		} else if (a->ai_family == AF_INET6) {
			memcpy(h.ip, &addr.in6.sin6_addr, 16);
			h.scope = addr.in6.sin6_scope_id;
		} else {
			continue;
		}
		for (i = 0; i < n; i++) {
			if (memcmp(&hosts[i], &h, sizeof h) == 0)
				break;
		}
		if (i == n)
			hosts[n++] = h;
	}
	freeaddrinfo(list);
	return n;
}

static struct net_addr *
host_parse(struct source *s, const struct record *r, unsigned n)
{
	struct net_addr *addrs = arena_array(s->arena, n, sizeof *addrs);

	for (unsigned i = 0; i < n; i++) {
		struct host h;

		memcpy(&h, r->data + i * sizeof h, sizeof h);
		if (h.family == AF_INET) {
			addrs[i].in.sin_family = AF_INET;
			memcpy(&addrs[i].in.sin_addr, h.ip, 4);
			addrs[i].len = sizeof addrs[i].in;
		} else {
			addrs[i].in6.sin6_family = AF_INET6;
			memcpy(&addrs[i].in6.sin6_addr, h.ip, 16);
			addrs[i].in6.sin6_scope_id = h.scope;
			addrs[i].len = sizeof addrs[i].in6;
		}
	}
	return addrs;
}

int
source_host(struct source *s, const char *name, struct net_addr **addrs)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_HOST, name, &fresh);
	struct host hosts[HOST_ADDRS];
	unsigned n;

	*addrs = NULL;
	if (r == NULL)
		return 0;
	if (fresh) {
		n = host_gather(name, hosts);
		record_set(s, r, hosts, n * sizeof hosts[0]);
	}
	n = (unsigned)(r->len / sizeof hosts[0]);
	if (n > 0 && r->parsed == NULL)
		r->parsed = host_parse(s, r, n);
	*addrs = r->parsed;
	return (int)n;
}

/* ---- yes or no: error 0 is yes ---- */

static int
executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return access(path, X_OK) == -1 ? errno : 0;
}

bool
source_executable(struct source *s, const char *path)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_EXEC, path, &fresh);

	if (r != NULL && fresh)
		r->error = executable(path);
	return r != NULL && r->error == 0;
}

bool
source_same(struct source *s, const char *a, const char *b)
{
	struct stat sa, sb;
	struct record *r;
	bool fresh;
	char *key;

	if (strcmp(a, b) == 0)
		return true;
	key = arena_printf(s->arena, "%s\n%s", a, b);
	r = record_get(s, RECORD_SAME, key, &fresh);
	if (r != NULL && fresh && (stat(a, &sa) == -1 || stat(b, &sb) == -1 ||
	    sa.st_dev != sb.st_dev || sa.st_ino != sb.st_ino))
		r->error = ENOENT;
	return r != NULL && r->error == 0;
}

static const struct {
	const char	*name;
	bool		(*have)(void);
} features[] = {
	{ "sctp", net_have_sctp },
};

bool
source_have(struct source *s, const char *what)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_HAVE, what, &fresh);

	if (r == NULL || !fresh)
		return r != NULL && r->error == 0;
	r->error = ENOENT;
	for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
		if (strcmp(features[i].name, what) == 0 && features[i].have())
			r->error = 0;
	}
	return r->error == 0;
}

const char *
source_platform(struct source *s)
{
	bool fresh;
	struct record *r = record_get(s, RECORD_PLATFORM, "", &fresh);
	struct utsname u;
	char *text;

	if (r == NULL)
		return "unknown";
	if (fresh && uname(&u) != -1) {
		text = arena_printf(s->arena, "%s-%s-%s", u.sysname,
		    u.release, u.machine);
		for (char *p = text; *p != '\0'; p++) {
			*p = (char)tolower((unsigned char)*p);
			if (*p == ' ')
				*p = '-';
		}
		record_set(s, r, text, strlen(text));
	}
	return r->data;
}

/* ---- saving and replaying ---- */

struct bundle_head {
	uint64_t	magic;
	uint64_t	records;
};

/* In the file: this, the name and its NUL, the data and its NUL, padding. */
struct bundle_record {
	uint32_t	kind, sub;
	int32_t		error;
	uint32_t	mode, uid, name;
	uint64_t	data;
	uint32_t	elsewhere;	/* data is in the other file */
	uint32_t	pad;
};

static bool
record_secret(const struct record *r)
{
	return r->kind == RECORD_FILE && r->sub == SOURCE_SECRET &&
	    r->error == 0;
}

static void
put(FILE *fp, const void *data, size_t len)
{
	fwrite(data, 1, len, fp);
}

static void
record_put(FILE *fp, const struct record *r, bool with_data)
{
	static const char zero[8];
	struct bundle_record b = {
		.kind = r->kind, .sub = r->sub, .error = r->error,
		.mode = r->mode, .uid = r->uid,
		.name = (uint32_t)strlen(r->name),
		.data = with_data ? r->len : 0, .elsewhere = !with_data,
	};
	size_t len = b.name + 1 + b.data + 1;

	put(fp, &b, sizeof b);
	put(fp, r->name, b.name + 1);
	put(fp, r->data, b.data);
	put(fp, zero, 1 + (8 - len % 8) % 8);
}

/* One of the two files: everything but secrets' bytes, or secrets only. */
static int
bundle_write(const struct source *s, bool secrets, const char *name)
{
	struct bundle_head head = { secrets ? SECRETS_MAGIC : BUNDLE_MAGIC,
	    0 };
	const struct record *r;
	char *image = NULL;
	size_t size = 0;
	FILE *fp;
	int fd = -1, error;

	for (r = s->first; r != NULL; r = r->next)
		head.records += !secrets || record_secret(r);
	if ((fp = open_memstream(&image, &size)) == NULL)
		return -1;
	put(fp, &head, sizeof head);
	for (r = s->first; r != NULL; r = r->next) {
		if (!secrets)
			record_put(fp, r, !record_secret(r));
		else if (record_secret(r))
			record_put(fp, r, true);
	}
	if (fclose(fp) == 0)
		fd = seal_new(name, image, size);
	error = errno;
	if (image != NULL)
		cleanse(image, size);
	free(image);
	errno = error;
	return fd;
}

int
source_save(const struct source *s, int *bundle_fd, int *secrets_fd)
{
	const struct record *r;

	*secrets_fd = -1;
	if ((*bundle_fd = bundle_write(s, false, "spawnd-bundle")) == -1)
		return -1;
	for (r = s->first; r != NULL && !record_secret(r); r = r->next)
		;
	if (r == NULL)
		return 0;
	*secrets_fd = bundle_write(s, true, "spawnd-secrets");
	if (*secrets_fd == -1) {
		close(*bundle_fd);
		*bundle_fd = -1;
		return -1;
	}
	return 0;
}

/* Pages of a sealed file are shared with everybody who reads it. */
static int
map_open(struct map *m, int fd, bool secret)
{
	struct stat st;
	size_t have = 0;

	if (fstat(fd, &st) == -1)
		return -1;
	if (st.st_size < (off_t)sizeof(struct bundle_head) ||
	    (uintmax_t)st.st_size > SIZE_MAX / 2) {
		errno = EBADMSG;
		return -1;
	}
	m->len = (size_t)st.st_size;
	m->secret = secret;
	m->mapped = seal_holds(fd);
	if (m->mapped) {
		m->p = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, fd, 0);
		if (m->p == MAP_FAILED)
			m->p = NULL;
		return m->p == NULL ? -1 : 0;
	}
	if ((m->p = malloc(m->len)) == NULL)
		return -1;
	while (have < m->len) {
		ssize_t n = pread(fd, m->p + have, m->len - have,
		    (off_t)have);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EBADMSG : errno;
			return -1;
		}
		have += (size_t)n;
	}
	return 0;
}

static bool
record_take(struct source *s, const struct map *m, size_t *at)
{
	struct bundle_record b;
	struct record *r;
	const char *name;
	size_t left;

	if (m->len - *at < sizeof b)
		return false;
	memcpy(&b, m->p + *at, sizeof b);
	*at += sizeof b;
	left = m->len - *at;
	if (b.kind >= RECORD_KINDS || b.name >= left ||
	    b.data >= left - b.name - 1)
		return false;
	name = m->p + *at;
	if (name[b.name] != '\0' || strlen(name) != b.name ||
	    name[b.name + 1 + b.data] != '\0')
		return false;
	*at += b.name + 1 + b.data + 1;
	*at += (8 - *at % 8) % 8;
	if (*at > m->len)
		return false;
	/* A secret takes the place that the public file keeps for it. */
	if (m->secret) {
		if ((r = record_find(s, b.kind, name)) == NULL || !r->absent)
			return false;
		r->absent = false;
	} else {
		r = record_new(s, b.kind, name);
		r->absent = b.elsewhere != 0;
	}
	r->sub = b.sub;
	r->error = b.error;
	r->mode = b.mode;
	r->uid = b.uid;
	r->data = name + b.name + 1;
	r->len = b.data;
	return true;
}

static int
map_read(struct source *s, const struct map *m)
{
	struct bundle_head head;
	size_t at = sizeof head;

	memcpy(&head, m->p, sizeof head);
	if (head.magic != (m->secret ? SECRETS_MAGIC : BUNDLE_MAGIC))
		goto bad;
	for (uint64_t i = 0; i < head.records; i++) {
		if (!record_take(s, m, &at))
			goto bad;
	}
	if (at == m->len)
		return 0;
bad:
	errno = EBADMSG;
	return -1;
}

struct source *
source_replay(int bundle_fd, int secrets_fd)
{
	struct source *s = source_empty();
	const int fds[2] = { bundle_fd, secrets_fd };
	int error;

	if (s == NULL)
		return NULL;
	for (int i = 0; i < 2; i++) {
		if (fds[i] == -1 && i == 1)
			continue;
		if (map_open(&s->maps[i], fds[i], i == 1) == -1 ||
		    map_read(s, &s->maps[i]) == -1) {
			error = errno;
			source_free(s);
			errno = error;
			return NULL;
		}
	}
	return s;
}

void
source_digest(const struct source *s, uint8_t digest[32])
{
	struct hash *h = hash_new();

	for (const struct record *r = s->first; r != NULL; r = r->next) {
		bool secret = record_secret(r);
		uint64_t head[4] = { r->kind, (uint64_t)(int64_t)r->error,
		    strlen(r->name), secret ? 0 : r->len };

		hash_add(h, head, sizeof head);
		hash_add(h, r->name, head[2]);
		hash_add(h, r->data, head[3]);
	}
	hash_end(h, digest);
}
