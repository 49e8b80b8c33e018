/*
 * Capacity reached (4.3): entered, shown, left again.
 */
#ifndef SPAWND_OVERLOAD_H
#define SPAWND_OVERLOAD_H

#include <stdbool.h>

#include "conf.h"

struct master;

/* After something changed; works on a fresh crew. */
void	 overload_look(struct master *);
/* The policy in force; QUEUE while there is no overload. */
enum overload overload_policy(const struct master *);
/* "full, queueing" and so on, for the title. */
const char *overload_text(const struct master *);

#endif
