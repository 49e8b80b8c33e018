/*
 * The sessions of relays that a worker has, as they are told: piece by piece,
 * while they come and go. Those that came later are not among them.
 */
#ifndef TCPRELAY_DUMP_H
#define TCPRELAY_DUMP_H

#include <stddef.h>
#include <stdint.h>

#include "tell.h"

struct session;
struct worker;

struct dump {
	struct session	*next;		/* to be told; NULL: all are */
	uint32_t	 worker, pid;	/* whose they are */
};

/* number: of the worker, whose process is this one. */
void	 dump_start(struct dump *, const struct worker *, uint32_t number);
/* It leaves the worker's list, of which it still is a member. */
void	 dump_skip(struct dump *, const struct session *);
/* Fills list with up to max of them; fewer: those were the last ones. */
size_t	 dump_some(struct dump *, struct tell_session *list, size_t max);

#endif
