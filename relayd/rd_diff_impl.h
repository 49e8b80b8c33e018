/*
 * Within rd_diff: what is known of the things of one side, as texts.
 */
#ifndef RELAYD_RD_DIFF_IMPL_H
#define RELAYD_RD_DIFF_IMPL_H

#include "../misc/net.h"
#include "../misc/pool.h"
#include "rd_diff.h"

/* One side. */
struct side {
	const struct rd_conf	*conf;
	struct arena		*arena;
};

/* A thing by its name. */
struct item {
	const char	*key;		/* same thing, same key */
	const char	*like;		/* hosts: key without check; NULL */
	const char	*name;		/* shown */
	const void	*object;
	uint32_t	 id;
	struct item	*other;		/* of the other side; NULL: none */
};

struct items {
	struct item	*list;		/* in the order of the configuration */
	size_t		 n;
};

/* What there is to know: text of it, "" or NULL for nothing. */
struct aspect {
	const char		*option;
	const char		*(*text)(const struct side *, const void *);
	enum rd_diff_effect	 effect;
};

/* What a host's object is: it and its table. */
struct seat {
	const struct rd_table	*table;
	const struct rd_host	*host;
};

/* Listeners, relays, hosts ... */
struct diff_kind {
	struct items		(*list)(const struct side *);
	const struct aspect	*aspects;
	size_t			 naspects;
	enum rd_diff_effect	 effect;	/* of coming and going */
};

/* One run of rd_diff(). */
struct diff {
	struct side	 old, new;
	struct arena	*arena;
	void		(*change)(void *, const struct rd_change *);
	void		*ctx;
	struct rd_diff	*result;
	enum rd_diff_kind kind;
};

/* By enum rd_diff_kind. */
extern const struct diff_kind diff_kinds[RD_DIFF_KINDS];

/* ---- texts, in the arena of that side (rd_diff_text.c) ---- */

const char	*diff_number(const struct side *, unsigned, const char *unit);
/* In quotes, what is no letter spelled out: it goes to a terminal. */
const char	*diff_quoted(const struct side *, const char *);
/* Without brackets, as relayd and relayctl show all of them. */
const char	*diff_address(const struct side *, const struct net_addr *);
const char	*diff_prefix(const struct side *, const struct rd_prefix *);
const char	*diff_check(const struct side *, const struct rd_check *);
const char	*diff_use(const struct side *, const struct rd_use *);
/* A list, NULL at first, and another one of it. */
const char	*diff_join(const struct side *, const char *list,
		    const char *item);

/* ---- differences ---- */

/* One more of them (rd_diff.c). */
void		 diff_told(struct diff *, const char *name,
		    const char *option, const char *old, const char *new,
		    enum rd_diff_effect);
/* Those in the statements of a protocol: how many (rd_diff_statements.c). */
size_t		 diff_statements(struct diff *, const char *name,
		    const struct rd_protocol *old,
		    const struct rd_protocol *new);

#endif
