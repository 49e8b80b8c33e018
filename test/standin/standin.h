/*
 * What the stand-ins share: telling files apart that have the same number at
 * different times, and waiting.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <sys/types.h>
#include <stdbool.h>

#define STANDIN_FDS	4096

/* Which file a number stood for. */
struct standin_file {
	bool	used;
	dev_t	dev;
	ino_t	ino;
};

/* -1, EBADF */
int	 standin_note(struct standin_file *, int fd);
/* It is still that file. A kernel knows by itself. */
bool	 standin_same(const struct standin_file *, int fd);
/*
 * Calls look() until it gives more than 0, or the time (ms, -1: none) is
 * over. What it gave; -1 and EINTR.
 */
int	 standin_wait(int (*look)(void *), void *ctx, int timeout);
/* A descriptor to stand for an instance, and its slot among `slots` of size
 * bytes each, cleared. */
int	 standin_instance(void *slots, size_t size);
void	*standin_find(void *slots, size_t size, int fd);
#define STANDIN_SLOTS	16

#endif
