/*
 * Listeners as rows of the board. What they are called there is the same for
 * master and workers, and survives reloads.
 */
#ifndef SPAWND_ROWS_H
#define SPAWND_ROWS_H

#include <stdint.h>

#include "board.h"

struct listener_conf;
struct spawnd_conf;

/* Endpoint and VRF, or path, or the name that a passed socket has; NULL: one
 * that no block of the file describes. Returns name; "" if there is no place
 * for it. */
const char *rows_listener(const struct listener_conf *,
	    char name[static BOARD_NAME]);
/* All of them; see board_claim(). */
void	 rows_listeners(const struct spawnd_conf *, struct board *,
	    uint32_t generation);

#endif
