/*
 * The client's side of the status socket (2.7): what a running service shows
 * of itself.
 */
#ifndef SPAWND_LOOK_H
#define SPAWND_LOOK_H

#include <stddef.h>
#include <stdint.h>

#include "board.h"

/* Owned by whoever opened it. */
struct look {
	uint64_t	 pid;		/* of the master */
	struct board	 board;		/* mapped read-only */
	int		 facts;		/* facts_load(); -1: no permission */
};

/* Why there is nothing to see. */
enum look_result {
	LOOK_OK = 0,
	LOOK_NOBODY,		/* nobody answers there */
	LOOK_OTHER,		/* another version, or no such service */
	LOOK_FAILED		/* errno */
};

/* What whoever asks is told in either case; the path goes into the second. */
#define LOOK_NO_PATH		\
	"no 'status socket', nor one beside a pid file ('pidfile', -p)"
#define LOOK_NOT_RUNNING	"not running, nobody answers at '%s'"

enum look_result look_open(struct look *, const char *path);
void		 look_close(struct look *);

#endif
