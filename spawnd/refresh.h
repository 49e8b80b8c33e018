/*
 * Polling what the configuration has by URL (8.5): a child asks for all of
 * it, conditionally, and only what has changed and is good is adopted.
 */
#ifndef SPAWND_REFRESH_H
#define SPAWND_REFRESH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct master;

/* The service runs: the first interval begins. */
void	 refresh_start(struct master *);
void	 refresh_end(struct master *);
/* A reload begins: nobody polls beside it. */
void	 refresh_pause(struct master *);
/* A configuration that was read is in force. */
void	 refresh_adopted(struct master *);
/* The reload is over, one way or the other: another interval begins. */
void	 refresh_resume(struct master *);
/* SIGCHLD: true if it was the child that polls. */
bool	 refresh_reaped(struct master *, pid_t);

/* ns to the next poll: seconds doubled for each failure in a row, up to an
 * hour or what they are if that is more, times 0.9 to 1.1 as random, one of
 * 2^32, says. */
uint64_t refresh_interval(unsigned seconds, unsigned failures,
	    uint32_t random);

#endif
