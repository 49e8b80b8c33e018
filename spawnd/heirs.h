/*
 * Which listener goes on as which of another configuration: the same
 * endpoint, whatever its settings and its place in the file.
 */
#ifndef SPAWND_HEIRS_H
#define SPAWND_HEIRS_H

#include <stdbool.h>

struct listener;
struct master;
struct spawnd_conf;

/*
 * Sets the heir of each listener, NULL where there is none, and gives an
 * array with the listener of each entry, NULL where there is none yet. NULL,
 * errno.
 */
struct listener **heirs_find(struct master *, const struct spawnd_conf *);

#endif
