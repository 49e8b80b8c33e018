/*
 * The worker program of a stand-alone broker checks its own section (-P).
 */
#ifndef SPAWND_TRY_H
#define SPAWND_TRY_H

struct compiled;
struct start;

/*
 * Runs EXEC -P FILE ID, 10 s at the most. Both read what stands outside of
 * sections: messages that are in said, which we have printed, are not printed
 * again. The exit status for ours.
 */
int	 try_worker(const struct compiled *, const struct start *,
	    const char *said);

#endif
