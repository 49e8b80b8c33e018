/*
 * --plan (2.8): what a reload with a file would change in the service that
 * runs. It only looks.
 */
#ifndef SPAWND_PLAN_H
#define SPAWND_PLAN_H

struct program;
struct start;

/* Prints it. Exit status: 0 nothing, 2 changes, 1 it cannot be told. */
int	 plan_main(const struct start *, const struct program *);

#endif
