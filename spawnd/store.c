/*
 * Copies on disk. Writing them is done by a child, since a disk may be slow;
 * what it could not do it says through a pipe, and the master logs it.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/url.h"
#include "features.h"
#include "child.h"
#include "environ.h"
#include "master.h"
#include "store.h"

#define FILE_MAX	(16 * 1024 * 1024 + 16384)

/* A child at work, and what it has said. Owned by the master. */
struct store {
	pid_t	 pid;			/* -1: reaped */
	int	 fd;
	bool	 again;			/* another configuration since */
	char	 text[1024];
	size_t	 len;
};

char *
store_directory(const struct program *program, char *const *environ_base)
{
	const char *given = environ_get(environ_base, "STATE_DIRECTORY");
	char *path;

	/* a list, of which the first will do (systemd.exec(5)) */
	if (given != NULL && *given == '/')
		return strndup(given, strcspn(given, ":"));
	return asprintf(&path, "%s/%s", SPAWND_LOCALSTATEDIR,
	    program->name) == -1 ? NULL : path;
}

/* ---- reading ---- */

static char *
slurp(int fd, size_t size, size_t *len)
{
	char *data = malloc(size + 1);

	*len = 0;
	while (data != NULL && *len < size) {
		ssize_t n = read(fd, data + *len, size - *len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			free(data);
			return NULL;
		}
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return data;
}

/* Nobody else can have written it. */
static bool
file_trusted(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & 022) == 0 &&
	    (st->st_uid == 0 || st->st_uid == geteuid());
}

static bool
file_read(int fd, const char *url, struct document *d, char *why,
    size_t size)
{
	struct stat st;
	size_t len;
	char *data;
	bool good;

	if (fstat(fd, &st) == -1) {
		snprintf(why, size, "%s", strerror(errno));
		return false;
	}
	if (!file_trusted(&st)) {
		snprintf(why, size, "others may have written it");
		return false;
	}
	if (st.st_size > FILE_MAX) {
		snprintf(why, size, "%s", strerror(EFBIG));
		return false;
	}
	if ((data = slurp(fd, (size_t)st.st_size, &len)) == NULL) {
		snprintf(why, size, "%s", strerror(errno));
		return false;
	}
	good = store_parse(url, data, len, d);
	if (!good)
		snprintf(why, size, "it is damaged");
	free(data);
	return good;
}

static char *
path_of(const char *directory, const char *url, const char *suffix)
{
	char name[STORE_NAME], *path;

	store_name(url, name);
	return asprintf(&path, "%s/%s%s", directory, name, suffix) == -1 ?
	    NULL : path;
}

bool
store_read(void *directory, const char *url, struct document *d, char *why,
    size_t size)
{
	char *path = path_of(directory, url, "");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	bool good;

	free(path);
	*d = (struct document){ .len = 0 };
	if (fd == -1) {
		if (errno != ENOENT)
			snprintf(why, size, "%s", strerror(errno));
		return false;
	}
	good = file_read(fd, url, d, why, size);
	close(fd);
	return good;
}

/* ---- writing ---- */

/* With what is above it; ours is nobody else's business. */
static int
directory_make(const char *directory)
{
	char *path = strdup(directory), *p = path;

	if (path == NULL)
		return -1;
	while (*p != '\0' && (p = strchr(p + 1, '/')) != NULL) {
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
	free(path);
	return mkdir(directory, 0700) == -1 && errno != EEXIST ? -1 : 0;
}

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
file_fill(int fd, const char *url, const struct document *d)
{
	size_t len;
	char *head = store_head(url, d, &len);
	int ok;

	if (head == NULL)
		return -1;
	ok = write_all(fd, head, len) == 0 &&
	    write_all(fd, d->text, d->len) == 0 && fsync(fd) == 0 ? 0 : -1;
	free(head);
	return ok;
}

/* The name, too, must be on the disk before the older copy is forgotten. */
static void
directory_sync(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return;
	(void)fsync(fd);
	close(fd);
}

/* Beside the older copy, and then in its place. */
static int
file_replace(const char *directory, const char *path, char *temporary,
    const char *url, const struct document *d)
{
	int fd = mkostemp(temporary, O_CLOEXEC), error;

	if (fd == -1)
		return -1;
	if (file_fill(fd, url, d) == 0 && rename(temporary, path) == 0) {
		close(fd);
		directory_sync(directory);
		return 0;
	}
	error = errno;
	(void)unlink(temporary);
	close(fd);
	errno = error;
	return -1;
}

bool
store_write(const char *directory, const char *url,
    const struct document *d, char *why, size_t size)
{
	char *path = path_of(directory, url, "");
	char *temporary = path_of(directory, url, ".XXXXXX");
	int ok = -1, error;

	if (path != NULL && temporary != NULL &&
	    directory_make(directory) == 0)
		ok = file_replace(directory, path, temporary, url, d);
	error = errno;
	free(path);
	free(temporary);
	if (ok == -1)
		snprintf(why, size, "%s", strerror(error));
	return ok == 0;
}

/* ---- the child ---- */

/* The texts stay the source's. */
static bool
url_write(const struct source *s, const char *directory, const char *url,
    char *why, size_t size)
{
	struct document d = { .len = 0 };
	struct source_meta m;
	const char *text = source_text(s, url, &d.len);

	if (text == NULL || !source_meta(s, url, &m) || m.copy)
		return true;
	d.text = (char *)(uintptr_t)text;
	d.etag = (char *)(uintptr_t)m.etag;
	d.modified = (char *)(uintptr_t)m.modified;
	d.fetched = m.fetched;
	d.has_signature = m.signature != NULL;
	if (m.signature != NULL)
		memcpy(d.signature, m.signature, SIGN_SIZE);
	return store_write(directory, url, &d, why, size);
}

/* All of them are tried; the first that failed is told of. */
static _Noreturn void
child_run(const struct master *m, int fd)
{
	char *directory = store_directory(m->program,
	    m->start->environ_base);
	const struct source *s = m->conf.conf->source;
	const char *url = NULL;
	bool told = false;

	child_close(&fd, 1);
	if (directory == NULL)
		_exit(EX_OSERR);
	while ((url = source_url_next(s, url)) != NULL) {
		char why[256], shown[URL_SHOWN];

		if (url_write(s, directory, url, why, sizeof(why)) || told)
			continue;
		told = true;
		dprintf(fd, "cannot keep a copy of %.500s in %.200s: %s",
		    url_show(url, shown), directory, why);
	}
	_exit(0);
}

static void
store_end(struct master *m)
{
	struct store *st = m->store;
	bool again = st->again;

	ev_del(m->ev, st->fd);
	close(st->fd);
	st->text[st->len] = '\0';
	if (st->len > 0)
		log_warn("%s", st->text);
	m->store = NULL;
	free(st);
	if (again)
		store_keep(m);
}

static void
store_readable(void *ctx, int fd)
{
	struct master *m = ctx;
	struct store *st = m->store;
	ssize_t n = read(fd, st->text + st->len, sizeof(st->text) - 1 -
	    st->len);

	if (n > 0)
		st->len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		store_end(m);
}

static const struct ev_ops store_ops = {
	.readable = store_readable, .error = store_readable,
	.hangup = store_readable
};

static bool
store_start(struct master *m, struct store *st)
{
	int pipes[2];

	if (pipe(pipes) == -1)
		return false;
	net_cloexec(pipes[0], true);
	net_cloexec(pipes[1], true);
	hand_forks(m);
	if ((st->pid = fork()) == 0) {
		ev_signal_reset();
		child_run(m, pipes[1]);
	}
	close(pipes[1]);
	st->fd = pipes[0];
	if (st->pid != -1 && net_nonblock(st->fd) != -1 &&
	    ev_add(m->ev, st->fd, &store_ops, m, EV_READ) != -1)
		return true;
	close(st->fd);
	return false;
}

void
store_keep(struct master *m)
{
	struct store *st;

	if (source_url_next(m->conf.conf->source, NULL) == NULL)
		return;
	if (m->store != NULL) {
		m->store->again = true;
		return;
	}
	if ((st = calloc(1, sizeof(*st))) == NULL || !store_start(m, st)) {
		log_warn("cannot keep a copy of the configuration: %s",
		    strerror(errno));
		free(st);
		return;
	}
	m->store = st;
}

bool
store_reaped(struct master *m, pid_t pid)
{
	if (m->store == NULL || m->store->pid != pid)
		return false;
	m->store->pid = -1;
	return true;
}

void
store_clear(struct master *m)
{
	if (m->store == NULL)
		return;
	ev_del(m->ev, m->store->fd);
	close(m->store->fd);
	free(m->store);
	m->store = NULL;
}
