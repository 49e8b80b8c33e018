/*
 * One non-blocking byte stream over a socket, plain or TLS behind one
 * interface. Knows no sessions and never touches the event loop: it tells
 * what it waits for, its owner sets interest.
 *
 * Reading and writing wait independently (a TLS read never needs the socket
 * writable and vice versa: what the library wants to send is gathered and
 * flushed like data).
 */
#ifndef MISC_STREAM_H
#define MISC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

struct stream;
struct tls;			/* a TLS layer on a stream, stream_tls.c */

/*
 * What all streams of a process share: one of these per worker. raw and
 * gather are only used within a call, by nobody else meanwhile.
 */
struct stream_env {
	struct buf_pool	*pool;
	uint8_t		*raw;		/* ciphertext just received */
	size_t		 raw_size;
	uint8_t		*gather;	/* records of one turn */
	size_t		 gather_size;
};

struct stream_ops {
	ssize_t	(*read)(struct stream_env *, struct stream *, void *, size_t);
	ssize_t	(*write)(struct stream_env *, struct stream *, const void *,
		    size_t);
	int	(*flush)(struct stream_env *, struct stream *);
	int	(*shutdown)(struct stream_env *, struct stream *);
	void	(*clear)(struct stream_env *, struct stream *);
};

struct stream {
	const struct stream_ops	*ops;
	struct tls		*tls;		/* NULL: plain */
	int			 fd;		/* -1: none */
	bool			 eof;		/* read end seen */
	bool			 truncated;	/* TLS ended without alert */
	bool			 shut;		/* our sending half is shut */
	/* Bytes are held above the socket that readiness will not report:
	 * call stream_read again before waiting. */
	bool			 pending;
	/* Output is held that the socket did not take: wait for writability
	 * and call stream_flush. */
	bool			 blocked;
	/* Its handshake waits for another process: nothing is to be read. */
	bool			 waiting;
};

/* A plain stream over fd, which stays the caller's to close. */
void	 stream_init(struct stream *, int fd);
static inline bool
stream_plain(const struct stream *s)
{
	return s->tls == NULL;
}

/*
 * Up to n bytes. > 0; 0 at the end of the stream (eof is set; for TLS a
 * close alert, or a bare end with truncated set); -1 and errno, EAGAIN when
 * there is nothing now. One receive call at the most; with TLS n must be at
 * least 16384 (one record).
 */
static inline ssize_t
stream_read(struct stream_env *e, struct stream *s, void *p, size_t n)
{
	return s->ops->read(e, s, p, n);
}

/*
 * Up to n bytes. How many were taken; -1 and errno, EAGAIN when none can be
 * taken now. With TLS, bytes taken are on the wire or held (blocked) when
 * the call returns: it flushes what it gathered.
 */
static inline ssize_t
stream_write(struct stream_env *e, struct stream *s, const void *p, size_t n)
{
	return s->ops->write(e, s, p, n);
}

/* Send what is held. 0 all gone, -1 and errno, EAGAIN some is still held. */
static inline int
stream_flush(struct stream_env *e, struct stream *s)
{
	return s->ops->flush(e, s);
}

/* End our sending half: close alert (TLS), then shutdown(SHUT_WR). Only once
 * nothing is held: EAGAIN otherwise, call again after the flush. */
static inline int
stream_shutdown(struct stream_env *e, struct stream *s)
{
	return s->ops->shutdown(e, s);
}

/* Free what is above the socket; the descriptor is not closed. */
static inline void
stream_clear(struct stream_env *e, struct stream *s)
{
	s->ops->clear(e, s);
}

#endif
