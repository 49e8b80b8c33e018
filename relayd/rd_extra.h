/*
 * What of relayd's command line counts for a configuration beside its file:
 * it travels with it (conf_request.extra), so that every process compiles the
 * same. Pure.
 */
#ifndef RELAYD_RD_EXTRA_H
#define RELAYD_RD_EXTRA_H

#include <stdbool.h>
#include <stddef.h>

#include "../misc/pool.h"
#include "rd_conf.h"

struct rd_extra {
	const char		*directory;	/* of the start; "": unknown */
	const char		*backend;	/* -F; NULL */
	const struct rd_macro	*macros;	/* -D */
	size_t			 nmacros;
	bool			 verbose;	/* -v */
	bool			 foreground;	/* -d */
};

/* A text without NUL, in the arena. */
const char	*rd_extra_pack(struct arena *, const struct rd_extra *);
/* Texts are in the arena. NULL is what packs an empty one. false: pack never
 * made that. */
bool		 rd_extra_unpack(struct arena *, const char *,
		    struct rd_extra *);

#endif
