/*
 * How two configurations differ, for whoever asks what a reload would do.
 * Pure. What is the same thing in both is decided by the names of the board
 * (rd_board.h), as in a reload.
 */
#ifndef RELAYD_RD_DIFF_H
#define RELAYD_RD_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "rd_conf.h"

enum rd_diff_kind { RD_DIFF_GLOBAL, RD_DIFF_LISTENER, RD_DIFF_RELAY,
    RD_DIFF_REDIRECT, RD_DIFF_ROUTER, RD_DIFF_TABLE, RD_DIFF_HOST,
    RD_DIFF_PROTOCOL, RD_DIFF_KINDS };

/* What becomes of it. */
enum rd_diff_effect {
	RD_EFFECT_NOW,		/* it counts when the reload is done */
	RD_EFFECT_SESSIONS,	/* those that there are end as they began */
	RD_EFFECT_CHECKED,	/* state unknown, a check at once */
	RD_EFFECT_KEPT,		/* a host's state and counts go on */
	RD_EFFECTS
};

/* One difference. Texts are valid during the call. */
struct rd_change {
	enum rd_diff_kind kind;
	const char	*name;		/* "" of globals */
	const char	*option;	/* NULL: all of it came, or went */
	const char	*old, *new;	/* NULL: added; removed */
	enum rd_diff_effect effect;
};

/* Things of a kind. */
struct rd_diff_count {
	size_t	kept, added, removed;
	size_t	changed;	/* of those kept */
	size_t	renumbered;	/* the same thing, but its id is another */
};

struct rd_diff {
	size_t			 changes;
	struct rd_diff_count	 of[RD_DIFF_KINDS];
	size_t			 checked;	/* hosts, at once: new ones, and
						   those that are neither kept,
						   added nor removed: their
						   check is another one */
};

/* Calls change for each difference, in the order of the kinds and of the new
 * configuration; what is gone comes behind. false: no memory. */
bool	 rd_diff(const struct rd_conf *old, const struct rd_conf *new,
	    void (*change)(void *ctx, const struct rd_change *), void *ctx,
	    struct rd_diff *);

#endif
