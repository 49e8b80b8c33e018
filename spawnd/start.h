/*
 * What the start of a program shares with the master.
 */
#ifndef SPAWND_START_H
#define SPAWND_START_H

#include <stdint.h>

/* An error of the start: logged, and on standard error in any case. */
void	 start_err(const char *, ...) __attribute__((format(printf, 1, 2)));

struct start;

/* The command line of a child of a program with roles, allocated: which one
 * it is, then the options of the start. NULL: no memory. */
char	**start_argv(const struct start *, const char *title,
	    uint32_t instance);

#endif
