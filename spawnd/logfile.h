/*
 * LOGFILE as a message: what arrived, at the end of whoever logs.
 */
#ifndef SPAWND_LOGFILE_H
#define SPAWND_LOGFILE_H

#include <string.h>

#include "../misc/log.h"
#include "channel.h"

/* The log has the descriptor then; of a kind that is not known the message
 * keeps it. */
static inline void
logfile_take(struct channel_message *m)
{
	struct channel_logfile f;

	memcpy(&f, m->payload, sizeof(f));
	if (f.kind == 1)
		log_file(m->fds[0]);
	else if (f.kind == 2)
		log_debug_file(m->fds[0]);
	else
		return;
	m->fds[0] = -1;
}

#endif
