/*
 * Does what a server says match a shell glob? Asked again and again while it
 * arrives, in pieces, so each byte is looked at once and none is kept: the
 * pattern is compiled to a set of states in a few machine words. Pure.
 */
#ifndef TCPRELAY_EXPECT_H
#define TCPRELAY_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/pool.h"

#define EXPECT_MAX	255	/* bytes of a pattern */
#define EXPECT_WORDS	4	/* one bit more than elements */

struct expect;

/* Bit i: the first i elements match what came so far. */
struct expect_state {
	uint64_t	bits[EXPECT_WORDS];
};

/*
 * The whole text: * any run of bytes, ? any byte, [...] a set with ranges and
 * [:classes:] (! or ^ first: none of them), \ the next byte itself; no byte
 * is special, be it newline, slash, a dot in front or NUL. A [ that is never
 * closed, and a \ at the end, stand for themselves. NULL: too long.
 */
struct expect	*expect_new(struct arena *, const uint8_t *pattern, size_t);
void		 expect_start(struct expect_state *);
void		 expect_add(const struct expect *, struct expect_state *,
		    const uint8_t *, size_t);
bool		 expect_matches(const struct expect *,
		    const struct expect_state *);

#endif
