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
 * array with the listener of each index, NULL where there is none yet. NULL,
 * errno.
 *
 * A listener whose endpoint is gone may be part of a new one: an address that
 * a wildcard includes. Its socket takes precedence as long as it is open, and
 * whoever is between his SYN and our accept when it is closed is reset. So it
 * is not closed: it is set aside, another door of that listener, until its
 * own endpoint or no such wildcard is wanted.
 */
struct listener **heirs_find(struct master *, const struct spawnd_conf *);

#endif
