/*
 * What the log says of a service, in the broker's words or, for a program
 * with manners of its own, in those of its service.
 */
#ifndef SPAWND_WORDS_H
#define SPAWND_WORDS_H

#include <sys/types.h>

/* A child that was needed has ended. */
void	 words_lost(const char *title, pid_t, int wstatus);

#endif
