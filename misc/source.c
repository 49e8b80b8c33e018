/*
 * The bundle: records, files, environment. Every answer of the outside world
 * is a record: asked for once, and the same from then on.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "features.h"
#include "source_impl.h"
#include "url.h"

#define FILE_LIMIT	(16u * 1024 * 1024)

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

#define TABLE_MIN	64u

static size_t
record_hash(uint32_t kind, const char *name)
{
	uint32_t h = UINT32_C(2166136261) ^ kind;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * UINT32_C(16777619);
	return h ^ h >> 15;
}

struct record *
source_record_find(const struct source *s, enum record_kind kind,
    const char *name)
{
	struct record *r;

	if (s->room == 0)
		return NULL;
	r = s->table[record_hash(kind, name) & (s->room - 1)];
	while (r != NULL && (r->kind != kind || strcmp(r->name, name) != 0))
		r = r->bucket;
	return r;
}

static void
table_put(struct source *s, struct record *r)
{
	struct record **at = &s->table[record_hash(r->kind, r->name) &
	    (s->room - 1)];

	while (*at != NULL)		/* the first of a name is found */
		at = &(*at)->bucket;
	r->bucket = NULL;
	*at = r;
}

/* The arena keeps the smaller ones: as much again, at the most. */
static void
table_grow(struct source *s)
{
	s->room = s->room == 0 ? TABLE_MIN : s->room * 2;
	s->table = arena_array(s->arena, s->room, sizeof *s->table);
	for (struct record *r = s->first; r != NULL; r = r->next)
		table_put(s, r);
}

struct record *
source_record_new(struct source *s, enum record_kind kind, const char *name)
{
	struct record *r;

	if (s->nrecords == s->room)
		table_grow(s);
	r = arena_alloc(s->arena, sizeof *r);
	r->kind = kind;
	r->name = arena_strdup(s->arena, name);
	r->data = "";
	*s->last = r;
	s->last = &r->next;
	s->nrecords++;
	table_put(s, r);
	return r;
}

void
source_record_set(struct source *s, struct record *r, const void *data,
    size_t len)
{
	char *copy = arena_alloc(s->arena, len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	r->data = copy;
	r->len = len;
}

struct record *
source_record_get(struct source *s, enum record_kind kind, const char *name,
    bool *fresh)
{
	struct record *r = source_record_find(s, kind, name);

	*fresh = r == NULL && s->gathers;
	return *fresh ? source_record_new(s, kind, name) : r;
}

/* ---- files ---- */

static bool
by_descriptor(const char *name)
{
	return strncmp(name, "/dev/fd/", 8) == 0 ||
	    strcmp(name, "/dev/stdin") == 0;
}

/*
 * Without O_NONBLOCK a FIFO or a terminal, which a pattern may have found,
 * would keep us here for ever; with it a pipe that someone gave us by
 * descriptor would look empty, so it is taken off there.
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
	if (!S_ISREG(st.st_mode) && by_descriptor(name))
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
		r->sub = SOURCE_KEY;
}

int
source_file(struct source *s, enum source_kind kind, const char *name,
    const char **data, size_t *len)
{
	bool fresh;
	struct record *r = source_record_get(s, RECORD_FILE, name, &fresh);

	*data = NULL;
	*len = 0;
	if (r == NULL) {
		errno = ENOENT;
		return -1;
	}
	if (fresh) {
		file_gather(r, name);
		file_classify(r, kind);
	} else if ((kind == SOURCE_KEY || (kind == SOURCE_SECRET &&
	    r->sub != SOURCE_KEY)) && r->owned) {
		r->sub = kind;			/* the same file, twice named */
	}
	if (r->error != 0 || r->absent) {
		errno = r->error != 0 ? r->error : EACCES;
		return -1;
	}
	*data = r->data;
	*len = r->len;
	return 0;
}

/* ---- documents ---- */

struct record *
source_record_fail(struct source *s, const char *url, const char *reason)
{
	struct record *r = source_record_new(s, RECORD_FILE, url);

	r->error = EIO;
	r->sub = SOURCE_TEXT;
	source_record_set(s, r, reason, strlen(reason));
	s->reason = r->data;
	return r;
}

int
source_document(struct source *s, const char *name, const char *key,
    const char **data, size_t *len)
{
	struct record *r;

	if (!url_is(name))
		return source_file(s, SOURCE_TEXT, name, data, len);
	r = source_record_find(s, RECORD_FILE, name);
	s->reason = NULL;
	if (s->fetch != NULL)
		r = s->fetch(s, r, name, key);
	else if (r == NULL && s->gathers)
		r = source_record_fail(s, name, "not by this process");
	else if (r == NULL)
		s->reason = "not in the bundle";
	else if (r->error != 0)
		s->reason = r->data;
	if (s->reason != NULL) {
		errno = EIO;
		return -1;
	}
	*data = r->data;
	*len = r->len;
	return 0;
}

const char *
source_failure(const struct source *s, const char *name,
    char buf[static SOURCE_FAILURE])
{
	int error = errno;
	char shown[URL_SHOWN];

	if (!url_is(name))
		snprintf(buf, SOURCE_FAILURE, "cannot read '%s': %s", name,
		    strerror(error));
	else
#ifdef HAVE_LIBCURL
		snprintf(buf, SOURCE_FAILURE, "cannot fetch %s: %s",
		    url_show(name, shown), s->reason == NULL ?
		    "no reason known" : s->reason);
#else
		snprintf(buf, SOURCE_FAILURE,
		    "URL configurations need libcurl");
	(void)shown;
	(void)s;
#endif
	errno = error;
	return buf;
}

void
source_add(struct source *s, enum source_kind kind, const char *name,
    const void *data, size_t len)
{
	struct record *r = source_record_new(s, RECORD_FILE, name);

	source_record_set(s, r, data, len);
	r->mode = S_IFREG | 0600;
	file_classify(r, kind);
}

int
source_mode(struct source *s, const char *name, mode_t *mode, uid_t *uid)
{
	const struct record *r = source_record_find(s, RECORD_FILE, name);

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
	const struct record *r = source_record_find(s, RECORD_FILE, name);
	char shown[URL_SHOWN];

	/* a URL may be asked for as it is shown */
	for (const struct record *u = r == NULL ? s->first : NULL; u != NULL;
	    u = u->next) {
		if (u->kind == RECORD_FILE && url_is(u->name) &&
		    strcmp(url_show(u->name, shown), name) == 0)
			r = u;
	}
	if (r == NULL || r->error != 0 || r->sub != SOURCE_TEXT)
		return NULL;
	*len = r->len;
	return r->data;
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
	if ((r = source_record_get(s, RECORD_ENV, name, &fresh)) == NULL)
		return NULL;
	if (fresh) {
		value = environ_value(s->base, name);
		if (value == NULL)
			r->error = ENOENT;
		else
			source_record_set(s, r, value, strlen(value));
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
static char **
environ_fill(struct source *s, char *const *base)
{
	static const enum source_reader order[] = { SOURCE_MASTER,
	    SOURCE_WORKER };
	size_t n, room = 1;

	for (n = 0; base != NULL && base[n] != NULL; n++)
		room++;
	for (const struct setting *v = s->settings; v != NULL; v = v->next)
		room++;
	free(s->environ);
	if ((s->environ = calloc(room, sizeof *s->environ)) == NULL)
		errx(EX_OSERR, "no memory for an environment");
	for (n = 0; base != NULL && base[n] != NULL; n++)
		s->environ[n] = base[n];
	for (int k = 0; k < 2; k++) {
		for (const struct setting *v = s->settings; v != NULL;
		    v = v->next) {
			if (v->reader == order[k])
				n = environ_put(s, n, v->name, v->value);
		}
	}
	return s->environ;
}

char **
source_environ(struct source *s)
{
	return environ_fill(s, s->base);
}

char **
source_settings(struct source *s)
{
	return environ_fill(s, NULL);
}
