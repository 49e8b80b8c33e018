/*
 * The bundle: what else the system is asked, once each.
 */
#include <sys/stat.h>
#include <sys/utsname.h>
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include "source_impl.h"

#define HOST_ADDRS	64		/* of one name; the rest is ignored */

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
	r = source_record_get(s, RECORD_GLOB, key, &fresh);
	if (r == NULL)
		return none;
	if (fresh)
		glob_gather(s, r, pattern, braces);
	if (r->parsed == NULL)
		r->parsed = glob_parse(s, r);
	return r->parsed;
}

/* ---- names ---- */

struct account {
	uint32_t	uid, gid;
};

int
source_user(struct source *s, const char *name, uid_t *uid, gid_t *gid)
{
	bool fresh;
	struct record *r = source_record_get(s, RECORD_USER, name, &fresh);
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
			source_record_set(s, r, &a, sizeof a);
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
	struct record *r = source_record_get(s, RECORD_GROUP, name, &fresh);
	uint32_t id;

	if (r == NULL)
		return -1;
	if (fresh) {
		const struct group *gr = getgrnam(name);

		if (gr == NULL) {
			r->error = ENOENT;
		} else {
			id = gr->gr_gid;
			source_record_set(s, r, &id, sizeof id);
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
	if ((r = source_record_get(s, RECORD_SERVICE, key, &fresh)) == NULL)
		return -1;
	if (fresh) {
		const struct servent *se = getservbyname(name, transport);

		if (se == NULL) {
			r->error = ENOENT;
		} else {
			number = ntohs((uint16_t)se->s_port);
			source_record_set(s, r, &number, sizeof number);
		}
	}
	if (r->error != 0 || r->len != sizeof number)
		return -1;
	memcpy(&number, r->data, sizeof number);
	*port = number;
	return 0;
}

/* The number, then the name that the database prefers. */
static struct record *
protocol_record(struct source *s, const char *name)
{
	bool fresh;
	struct record *r = source_record_get(s, RECORD_PROTOCOL, name,
	    &fresh);
	const struct protoent *pe;
	uint32_t number;
	size_t len;
	char *data;

	if (r == NULL || !fresh)
		return r;
	if ((pe = getprotobyname(name)) == NULL || pe->p_proto < 0) {
		r->error = ENOENT;
		return r;
	}
	number = (uint32_t)pe->p_proto;
	len = strlen(pe->p_name);
	data = arena_alloc(s->arena, sizeof number + len + 1);
	memcpy(data, &number, sizeof number);
	memcpy(data + sizeof number, pe->p_name, len);
	source_record_set(s, r, data, sizeof number + len);
	return r;
}

int
source_protocol(struct source *s, const char *name, int *number)
{
	const struct record *r = protocol_record(s, name);
	uint32_t n;

	if (r == NULL || r->error != 0 || r->len < sizeof n)
		return -1;
	memcpy(&n, r->data, sizeof n);
	*number = (int)n;
	return 0;
}

const char *
source_protocol_name(struct source *s, const char *name)
{
	const struct record *r = protocol_record(s, name);

	if (r == NULL || r->error != 0 || r->len < sizeof(uint32_t))
		return NULL;
	return r->data + sizeof(uint32_t);
}

static unsigned
host_gather(const char *name, struct source_ip hosts[HOST_ADDRS])
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	unsigned n = 0;

	if (getaddrinfo(name, NULL, &hints, &list) != 0)
		return 0;
	for (const struct addrinfo *a = list; a != NULL && n < HOST_ADDRS;
	    a = a->ai_next) {
		struct source_ip h = { .family = (uint32_t)a->ai_family };
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
ips_parse(struct source *s, const struct record *r, unsigned n)
{
	struct net_addr *addrs = arena_array(s->arena, n, sizeof *addrs);

	for (unsigned i = 0; i < n; i++) {
		struct source_ip h;

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
source_ips(struct source *s, struct record *r, struct net_addr **addrs)
{
	size_t n = r->len / sizeof(struct source_ip);

	if (n > INT_MAX)
		return 0;
	if (n > 0 && r->parsed == NULL)
		r->parsed = ips_parse(s, r, (unsigned)n);
	*addrs = r->parsed;
	return (int)n;
}

int
source_host(struct source *s, const char *name, struct net_addr **addrs)
{
	bool fresh;
	struct record *r = source_record_get(s, RECORD_HOST, name, &fresh);
	struct source_ip hosts[HOST_ADDRS];
	unsigned n;

	*addrs = NULL;
	if (r == NULL)
		return 0;
	if (fresh) {
		n = host_gather(name, hosts);
		source_record_set(s, r, hosts, n * sizeof hosts[0]);
	}
	return source_ips(s, r, addrs);
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
	struct record *r = source_record_get(s, RECORD_EXEC, path, &fresh);

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
	r = source_record_get(s, RECORD_SAME, key, &fresh);
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
	struct record *r = source_record_get(s, RECORD_HAVE, what, &fresh);

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
	struct record *r = source_record_get(s, RECORD_PLATFORM, "", &fresh);
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
		source_record_set(s, r, text, strlen(text));
	}
	return r->data;
}
