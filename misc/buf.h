/*
 * Bytes that a destination did not take at once. A buffer is empty and owns
 * nothing most of its life; memory is borrowed from the process' pool while
 * it holds data. A zeroed struct buf is an empty buffer.
 */
#ifndef MISC_BUF_H
#define MISC_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUF_MAX		524288	/* most bytes that one buffer can hold */

struct buf_pool;

struct buf {
	uint8_t		*data;	/* borrowed; NULL when empty */
	uint32_t	 off;	/* of the first byte */
	uint32_t	 len;
	uint32_t	 cap;
};

struct buf_pool	*buf_pool_new(void);
void		 buf_pool_free(struct buf_pool *);
/* Give memory that was not needed since the last call back to the system.
 * true: some is left, so that calling again later makes sense. */
bool		 buf_pool_trim(struct buf_pool *);
/* Bytes now lent to buffers, and bytes kept for the next one. */
size_t		 buf_pool_lent(const struct buf_pool *);
size_t		 buf_pool_kept(const struct buf_pool *);

static inline bool
buf_empty(const struct buf *b)
{
	return b->len == 0;
}

static inline const uint8_t *
buf_head(const struct buf *b)
{
	/* an empty one may have no memory, and C has no NULL + 0 */
	return b->off == 0 ? b->data : b->data + b->off;
}

/* Append n bytes. -1 and ENOMEM: nothing was appended, memory is out or it
 * would be more than BUF_MAX. */
int	 buf_append(struct buf_pool *, struct buf *, const void *, size_t n);
/* Room for n more bytes behind the data, or NULL; buf_added says how many
 * were used. If none were, buf_drop(.., 0) returns what is not needed. */
uint8_t	*buf_room(struct buf_pool *, struct buf *, size_t n);
void	 buf_added(struct buf *, size_t n);
/* Drop n bytes in front; the memory goes back when it was all. */
void	 buf_drop(struct buf_pool *, struct buf *, size_t n);
void	 buf_clear(struct buf_pool *, struct buf *);

#endif
