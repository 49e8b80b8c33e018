#include <sched.h>

#include "sched.h"

#if defined(SCHED_BATCH) && defined(SCHED_RESET_ON_FORK)

/*
 * bench/, short connections with master and worker on one processor: 0.5
 * instead of 0.8 turns of the master per connection, 4 to 5 % of the CPU
 * time of all processes. It costs nothing where each has its own.
 */
void
sched_behind_workers(void)
{
	static const struct sched_param param;

	(void)sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK,
	    &param);
}

#else

void
sched_behind_workers(void)
{
}

#endif
