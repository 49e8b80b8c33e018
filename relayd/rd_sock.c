#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/net.h"
#include "ctl.h"
#include "rd_sock.h"

static int
failed(char *error, size_t size, const char *path, const char *why)
{
	snprintf(error, size, "control socket %s: %s", path, why);
	return -1;
}

/* Under another name first, if there is room for a longer one. */
static char *
name_beside(const char *path)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int n = snprintf(name, sizeof(name), "%s.%ld", path, (long)getpid());

	return strdup(n > 0 && (size_t)n < sizeof(name) ? name : path);
}

static int
listen_at(const char *path)
{
	struct net_addr addr;
	mode_t mask;
	int fd, bound;

	if (!net_parse_unix(path, &addr)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	(void)unlink(path);
	mask = umask(S_IXUSR | S_IXGRP | S_IRWXO);
	bound = bind(fd, &addr.sa, addr.len);
	umask(mask);
	if (bound == -1 || chmod(path, S_IRUSR | S_IWUSR | S_IRGRP |
	    S_IWGRP) == -1 || listen(fd, CTL_BACKLOG) == -1) {
		net_close(fd);
		return -1;
	}
	return fd;
}

int
rd_sock_open(struct rd_sock *s, const char *path, char *error, size_t size)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	/* what a slip of the pen names is not for us to remove */
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return failed(error, size, path,
		    "is there, and is no socket");
	s->path = strdup(path);
	s->made = name_beside(path);
	if (s->path == NULL || s->made == NULL || (s->fd =
	    listen_at(s->made)) == -1) {
		const char *why = strerror(errno);

		free(s->path);
		free(s->made);
		memset(s, 0, sizeof(*s));
		return failed(error, size, path, why);
	}
	if (lstat(s->made, &st) == 0) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	if (strcmp(s->made, path) == 0) {
		free(s->made);
		s->made = NULL;
	}
	return 0;
}

int
rd_sock_show(struct rd_sock *s)
{
	if (s->made == NULL)
		return 0;
	if (rename(s->made, s->path) == -1)
		return -1;
	free(s->made);
	s->made = NULL;
	return 0;
}

static bool
ours(const struct rd_sock *s, const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_dev == s->dev && st.st_ino == s->ino;
}

bool
rd_sock_there(const struct rd_sock *s)
{
	return s->path != NULL && s->made == NULL && ours(s, s->path);
}

/* Of UNIX sockets connect(2) tells at once; EAGAIN is somebody, busy. */
static bool
answered(const char *path)
{
	struct net_addr addr;
	int fd;
	bool refused;

	if (!net_parse_unix(path, &addr) ||
	    (fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return true;		/* who knows */
	refused = connect(fd, &addr.sa, addr.len) == -1 &&
	    (errno == ECONNREFUSED || errno == ENOENT);
	close(fd);
	return !refused;
}

bool
rd_sock_lost(const struct rd_sock *s)
{
	return s->path != NULL && s->made == NULL && !ours(s, s->path) &&
	    !answered(s->path);
}

void
rd_sock_close(struct rd_sock *s)
{
	const char *at = s->made != NULL ? s->made : s->path;

	if (s->path == NULL)
		return;
	if (ours(s, at))
		(void)unlink(at);
	close(s->fd);
	free(s->path);
	free(s->made);
	memset(s, 0, sizeof(*s));
}
