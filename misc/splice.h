/*
 * Moving bytes from socket to socket inside the kernel: source -> pipe ->
 * destination. Pipes come from the process' pool and belong to a direction
 * only while they hold data. Where the system cannot do this, or has no
 * descriptors or pipe memory to spare, splice_get() gives NULL and the
 * direction is copied.
 *
 * splice_out() raises SIGPIPE like write(2): the process must ignore it.
 *
 *	p = splice_get(pool);
 *	splice_in(p, source, 1 << 20); splice_out(p, destination, p->held);
 *	if (p->held == 0)
 *		splice_put(pool, p);
 */
#ifndef MISC_SPLICE_H
#define MISC_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPLICE_PIPE	1048576	/* what a pipe should hold */

struct splice_pool;

struct splice_pipe {
	int			 fd[2];
	uint32_t		 size;		/* what it can hold at most */
	uint32_t		 held;		/* bytes in it */
	struct splice_pipe	*next;		/* while in the pool */
};

/* NULL and errno, ENOSYS where there is no splicing; the other functions
 * take a NULL pool and never have a pipe then. */
struct splice_pool	*splice_pool_new(void);
void			 splice_pool_free(struct splice_pool *);
/* Close pipes not needed since the last call. true: some are left. */
bool			 splice_pool_trim(struct splice_pool *);

/* An empty pipe, or NULL: copy. Cheap to ask again: after a refusal by the
 * system it is left in peace for a while. */
struct splice_pipe	*splice_get(struct splice_pool *);
/* Back to the pool. One that still holds data is closed, the data is lost. */
void			 splice_put(struct splice_pool *, struct splice_pipe *);

/*
 * Up to n bytes from the socket fd into the pipe. > 0; 0 at the end of the
 * stream; -1 and errno: EAGAIN when fd has nothing now, ENOBUFS when the pipe
 * takes no more until splice_out() (it may be full before size bytes), EINVAL
 * when fd is of a kind that cannot be spliced: copy.
 */
ssize_t	 splice_in(struct splice_pipe *, int fd, size_t n);
/* Up to n of the held bytes to the socket fd. > 0; -1 and errno, EAGAIN when
 * fd takes nothing now. n must not be 0, nor the pipe empty. */
ssize_t	 splice_out(struct splice_pipe *, int fd, size_t n);

#endif
