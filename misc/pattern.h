/*
 * Lua-style patterns (Lua 5.3 reference manual 6.4.1, OpenBSD patterns(7)),
 * compiled once, and shell globs over a whole string. Both are pure, and
 * bounded: no pattern can hold a worker.
 */
#ifndef MISC_PATTERN_H
#define MISC_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "pool.h"

#define PATTERN_CAPTURES	32
#define PATTERN_DEPTH		200
#define PATTERN_STEPS		100000	/* at the least, per subject */
#define PATTERN_ERROR		128

struct pattern;

/* NULL: what is malformed is in error, with the column (from 1) of text.
 * Lives as long as the arena. */
struct pattern	*pattern_new(struct arena *, const char *text,
		    char error[static PATTERN_ERROR], unsigned *column);
/* Anywhere in the subject, unless anchored. *exhausted: the bound on steps or
 * on depth was reached, which is no match. */
bool		 pattern_match(const struct pattern *, const char *subject,
		    size_t len, bool *exhausted);

/* The whole string: * any run of bytes, '/' and leading dots too, ? one byte,
 * [...] a set with ranges and [:classes:] (! or ^ first negates), \ the next
 * byte literally. A [ without its ] is itself.
 * ignorecase: of ASCII letters. */
bool		 glob_match(const char *pattern, const char *subject,
		    size_t len, bool ignorecase);

#endif
