/*
 * Realms of routes, which stand for route labels on Linux.
 */
#ifndef RELAYD_RD_REALM_H
#define RELAYD_RD_REALM_H

#include <stdbool.h>

#include "../misc/source.h"

/* The number of a name, as iproute2's files have it; false: not there. */
bool	 rd_realm_find(struct source *, const char *name, unsigned *realm);

#endif
