/*
 * Plain streams: bytes of the socket as they are.
 */
#include <sys/socket.h>
#include <errno.h>

#include "stream.h"

static ssize_t
plain_read(struct stream_env *env, struct stream *s, void *p, size_t n)
{
	ssize_t got;

	(void)env;
	do
		got = recv(s->fd, p, n, MSG_DONTWAIT);
	while (got == -1 && errno == EINTR);
	if (got == 0 && n > 0)
		s->eof = true;
	return got;
}

static ssize_t
plain_write(struct stream_env *env, struct stream *s, const void *p, size_t n)
{
	ssize_t put;

	(void)env;
	do
		put = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (put == -1 && errno == EINTR);
	return put;
}

static int
plain_flush(struct stream_env *env, struct stream *s)
{
	(void)env;
	(void)s;
	return 0;
}

static int
plain_shutdown(struct stream_env *env, struct stream *s)
{
	(void)env;
	if (s->shut)
		return 0;
	/* Not connected any more: the peer was faster. Reading tells how. */
	if (shutdown(s->fd, SHUT_WR) == -1 && errno != ENOTCONN)
		return -1;
	s->shut = true;
	return 0;
}

static void
plain_clear(struct stream_env *env, struct stream *s)
{
	(void)env;
	s->fd = -1;
}

static const struct stream_ops plain_ops = {
	plain_read, plain_write, plain_flush, plain_shutdown, plain_clear
};

void
stream_init(struct stream *s, int fd)
{
	*s = (struct stream){ .ops = &plain_ops, .fd = fd };
}
