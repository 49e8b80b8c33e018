/*
 * One direction of a session: reads one stream, writes another, keeps what
 * the other did not take, and moves to the kernel's splicing in bulk. Knows
 * no session, sets no interest, never waits.
 */
#ifndef TCPRELAY_FLOW_H
#define TCPRELAY_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/splice.h"
#include "../misc/stream.h"

struct worker;

/* Embedded in a session; zeroed before first use. */
struct flow {
	struct buf	 held;		/* read, and not taken yet */
	struct splice_pipe *pipe;	/* the same in the kernel; NULL: none */
	uint64_t	 bytes;		/* read so far */
	bool		 full;		/* at the mark: no reading until half */
	bool		 splice;	/* in bulk */
	uint8_t		 run;		/* reads in a row that change splice */
	bool		 copies;	/* never in bulk */
	uint16_t	 mark;		/* KiB kept at the most; 0: as usual */
};

enum flow_result {
	FLOW_GOOD,
	FLOW_FROM_FAILED,	/* reading failed, errno */
	FLOW_TO_FAILED,		/* writing failed, errno */
	FLOW_NO_MEMORY		/* bytes were read that cannot be kept */
};

static inline bool
flow_empty(const struct flow *f)
{
	return buf_empty(&f->held) && f->pipe == NULL;
}

/* Bytes read that were not written. */
static inline uint64_t
flow_held(const struct flow *f)
{
	return f->held.len + (f->pipe != NULL ? f->pipe->held : 0);
}

/* Does it wait for from to become readable? */
static inline bool
flow_wants(const struct flow *f, const struct stream *from)
{
	return !from->eof && !f->full;
}

/*
 * If writable, write what is kept; then, if readable and there is room, read
 * what is there and write it on. *moved is set if any byte was.
 */
enum flow_result flow_move(struct worker *, struct flow *, struct stream *from,
	    struct stream *to, bool readable, bool writable, bool *moved);
/* Keep n bytes that cannot be written yet. -1: memory is out. */
int	 flow_keep(struct worker *, struct flow *, const uint8_t *p, size_t n);
void	 flow_clear(struct worker *, struct flow *);
/*
 * Before the first byte: whether to splice, and what is kept at the most if
 * the sockets' buffers were set to that many bytes (0: they were not).
 */
void	 flow_limit(struct flow *, bool splice, int buffer);

#endif
