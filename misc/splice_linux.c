/*
 * splice(2) of Linux.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "splice.h"

/*
 * A pipe takes a page per piece of data, however small the piece: below this
 * size splicing is no gain over copying, and pipes that the system made
 * smaller because a user has too many are of no use to anybody.
 */
#define PIPE_LEAST	65536u
#define REFUSED_FOR	256	/* questions left unasked after a refusal */

struct splice_pool {
	struct splice_pipe	*free;
	unsigned		 n, spare;	/* of them; least since trim */
	unsigned		 refused;
};

struct splice_pool *
splice_pool_new(void)
{
	return calloc(1, sizeof(struct splice_pool));
}

static void
pipe_close(struct splice_pipe *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
}

/* n of the pipes that nobody has. */
static void
pool_shrink(struct splice_pool *pool, unsigned n)
{
	struct splice_pipe *p;

	while (n-- > 0 && (p = pool->free) != NULL) {
		pool->free = p->next;
		pool->n--;
		pipe_close(p);
	}
}

void
splice_pool_free(struct splice_pool *pool)
{
	if (pool == NULL)
		return;
	pool_shrink(pool, pool->n);
	free(pool);
}

bool
splice_pool_trim(struct splice_pool *pool)
{
	if (pool == NULL)
		return false;
	pool_shrink(pool, pool->spare);
	pool->spare = pool->n;
	return pool->n > 0;
}

static struct splice_pipe *
pipe_new(void)
{
	struct splice_pipe *p = malloc(sizeof(*p));
	int size;

	if (p == NULL)
		return NULL;
	if (pipe2(p->fd, O_CLOEXEC | O_NONBLOCK) == -1) {
		free(p);
		return NULL;
	}
	/* refused over /proc/sys/fs/pipe-user-pages-soft: as it is, then */
	size = fcntl(p->fd[0], F_SETPIPE_SZ, SPLICE_PIPE);
	if (size == -1)
		size = fcntl(p->fd[0], F_GETPIPE_SZ);
	if (size < (int)PIPE_LEAST) {
		pipe_close(p);
		return NULL;
	}
	p->size = (uint32_t)size;
	p->held = 0;
	p->next = NULL;
	return p;
}

struct splice_pipe *
splice_get(struct splice_pool *pool)
{
	struct splice_pipe *p;
	int error = errno;

	if (pool == NULL)
		return NULL;
	p = pool->free;
	if (p != NULL) {
		pool->free = p->next;
		if (--pool->n < pool->spare)
			pool->spare = pool->n;
		return p;
	}
	pool->spare = 0;
	if (pool->refused > 0) {
		pool->refused--;
		return NULL;
	}
	p = pipe_new();
	if (p == NULL)
		pool->refused = REFUSED_FOR;
	errno = error;
	return p;
}

void
splice_put(struct splice_pool *pool, struct splice_pipe *p)
{
	if (p == NULL)
		return;
	pool->refused = 0;
	if (p->held > 0) {
		pipe_close(p);
		return;
	}
	p->next = pool->free;
	pool->free = p;
	pool->n++;
}

/* EAGAIN has two meanings: is there nothing to read, or no room for it? */
static int
why_again(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 ? ENOBUFS : EAGAIN;
}

ssize_t
splice_in(struct splice_pipe *p, int fd, size_t n)
{
	ssize_t got;

	if (p->held >= p->size) {
		errno = ENOBUFS;
		return -1;
	}
	/* a piece may be several pages long: pipes hold more than their size */
	if (n > p->size - p->held)
		n = p->size - p->held;
	do
		got = splice(fd, NULL, p->fd[1], NULL, n,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (got == -1 && errno == EINTR);
	if (got > 0)
		p->held += (uint32_t)got;
	else if (got == -1 && errno == EAGAIN && p->held > 0)
		errno = why_again(fd);
	return got;
}

ssize_t
splice_out(struct splice_pipe *p, int fd, size_t n)
{
	ssize_t put;

	assert(p->held > 0 && n > 0);
	if (n > p->held)
		n = p->held;
	do
		put = splice(p->fd[0], NULL, fd, NULL, n,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (put == -1 && errno == EINTR);
	if (put > 0)
		p->held -= (uint32_t)put;
	return put;
}
