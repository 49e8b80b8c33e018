/*
 * Systems without splice(2): everything is copied.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "splice.h"

struct splice_pool *
splice_pool_new(void)
{
	errno = ENOSYS;
	return NULL;
}

void
splice_pool_free(struct splice_pool *pool)
{
	(void)pool;
}

bool
splice_pool_trim(struct splice_pool *pool)
{
	(void)pool;
	return false;
}

struct splice_pipe *
splice_get(struct splice_pool *pool)
{
	(void)pool;
	return NULL;
}

void
splice_put(struct splice_pool *pool, struct splice_pipe *p)
{
	(void)pool;
	(void)p;
	assert(p == NULL);
}

ssize_t
splice_in(struct splice_pipe *p, int fd, size_t n)
{
	(void)p;
	(void)fd;
	(void)n;
	errno = EINVAL;
	return -1;
}

ssize_t
splice_out(struct splice_pipe *p, int fd, size_t n)
{
	(void)p;
	(void)fd;
	(void)n;
	errno = EINVAL;
	return -1;
}
