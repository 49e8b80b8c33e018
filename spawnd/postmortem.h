/*
 * Crashes as the configuration wants them dealt with (3.7).
 */
#ifndef SPAWND_POSTMORTEM_H
#define SPAWND_POSTMORTEM_H

#include "conf.h"

/*
 * For this process, from here on. base: the environment it was started with,
 * over which the file's setenv are put. channel: to the master, -1: none.
 */
void	 postmortem_prepare(const struct common_conf *, struct source *,
	    char *const *base, int channel);

#endif
