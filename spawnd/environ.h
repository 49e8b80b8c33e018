/*
 * The environment of workers: what the service was started with, and what
 * the file's setenv put over it (2.5). What a service manager wrote there is
 * for the process that it started, and nobody else.
 */
#ifndef SPAWND_ENVIRON_H
#define SPAWND_ENVIRON_H

#include "../misc/source.h"

/* One array of pointers, to be freed, with room for three variables at its
 * end. NULL: no memory. The texts stay where they are. */
char	**environ_merge(char *const *base, struct source *);
/* One more, "NAME=value", in the place of one of that name if there is. */
void	 environ_put(char **, char *);
/* Takes what is not for them out of this process' own environment. */
void	 environ_scrub(void);
/* Value in a merged environment; NULL. */
const char *environ_get(char *const *, const char *name);

#endif
