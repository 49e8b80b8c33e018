#include <sys/types.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/ipc.h"
#include "given.h"
#include "worker.h"

#define LONGEST		(64u * 1024 * 1024)

/* There is one master, and what it says it says once. */
static struct {
	bool	 by_master;
	char	*name;
} note;

void
given_note(void)
{
	const char *name = getenv(GIVEN_ENV);

	if (worker_started())
		note.by_master = true;
	if (name == NULL)
		return;
	free(note.name);
	note.name = strdup(name);
	(void)unsetenv(GIVEN_ENV);
}

/* The number of a file like /dev/fd/3; -1: it is another. */
static int
descriptor_of(const char *file)
{
	static const char directory[] = "/dev/fd/";
	char *end;
	long fd;

	if (strncmp(file, directory, sizeof(directory) - 1) != 0)
		return -1;
	file += sizeof(directory) - 1;
	fd = strtol(file, &end, 10);
	return *file < '0' || *file > '9' || *end != '\0' || fd > INT_MAX ?
	    -1 : (int)fd;
}

/* From its beginning, wherever others have read it to, if that can be. */
static ssize_t
read_at(int fd, char *to, size_t room, size_t at)
{
	ssize_t n = pread(fd, to, room, (off_t)at);

	return n == -1 && errno == ESPIPE ? read(fd, to, room) : n;
}

/* It stays open, for who reads it again, but is nobody else's. */
static int
descriptor_read(int fd, struct given *g)
{
	size_t room = 65536;
	char *more;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    (g->text = malloc(room)) == NULL)
		return -1;
	for (;;) {
		ssize_t n = read_at(fd, g->text + g->len, room - g->len - 1,
		    g->len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		g->len += (size_t)n;
		g->text[g->len] = '\0';
		if (n == 0)
			return 0;
		if (room - g->len > 1)
			continue;
		if (room > LONGEST) {
			errno = EFBIG;
			return -1;
		}
		if ((more = realloc(g->text, room * 2)) == NULL)
			return -1;
		g->text = more;
		room *= 2;
	}
}

static int
segment_read(const char *file, struct given *g)
{
	unsigned key;

	if (!note.by_master) {
		errno = EACCES;
		return -1;
	}
	if (!ipc_url_parse(file, &key, &g->len)) {
		errno = EINVAL;
		return -1;
	}
	return (g->text = ipc_read(key, g->len)) == NULL ? -1 : 0;
}

int
given_open(const char *file, struct given *g)
{
	int result = 0, reason, fd = descriptor_of(file);

	given_note();
	*g = (struct given){ .name = file };
	if (ipc_is_url(file))
		result = segment_read(file, g);
	else if (note.name != NULL && fd != -1)
		result = descriptor_read(fd, g);
	else
		return 0;
	if (note.name != NULL)
		g->name = note.name;
	reason = errno;
	if (result == -1)
		given_clear(g);
	errno = reason;
	return result;
}

void
given_clear(struct given *g)
{
	free(g->text);
	g->text = NULL;
}
