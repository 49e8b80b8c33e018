/*
 * -s: the client that shows what a running service does (2.7).
 */
#ifndef SPAWND_SHOW_H
#define SPAWND_SHOW_H

#include <stdbool.h>
#include <stdio.h>

struct figures;
struct program;
struct start;

/* Exit status. */
int	 show_status(const struct start *, const struct program *, bool json);

void	 show_tables(const struct figures *, FILE *);
void	 show_json(const struct figures *, FILE *);

#endif
