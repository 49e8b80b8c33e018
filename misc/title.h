/*
 * What ps(1) shows for this process. The format is the caller's (7.10); the
 * rate is bounded here, by a clock that is passed in.
 */
#ifndef MISC_TITLE_H
#define MISC_TITLE_H

#include <stdint.h>

#define TITLE_MAX	256				/* with its NUL */
#define TITLE_PERIOD	UINT64_C(100000000)		/* 10 per second */

/*
 * First thing in main(), before anything keeps pointers into argv or
 * environ: both are moved, since the title is written over their place.
 * Returns the copy of argv to use from here on (argv itself if memory is
 * out; titles then do nothing). Never freed.
 */
char	**title_open(int argc, char **argv);
/*
 * Show text; now in ns of any monotonic clock. A text that comes too early
 * after the one before is kept: returns after how many ns title_flush() is
 * due, 0 when nothing is held. A text that is shown already costs nothing.
 */
uint64_t title_set(uint64_t now, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/* Show what is held if it is time. Returns as title_set(). */
uint64_t title_flush(uint64_t now);
/* The text that is on show, for tests and status; "" before the first. */
const char *title_shown(void);

#endif
