/*
 * The text of a configuration as a worker gets it that reads it for itself:
 * with what it includes by URL in it, so that no worker needs a server.
 * Pure, like all of compiling.
 */
#ifndef SPAWND_FOREIGN_H
#define SPAWND_FOREIGN_H

#include "../misc/diag.h"
#include "../misc/pool.h"
#include "../misc/source.h"

struct foreign_text {
	const char	*text;		/* in the arena, or the source's */
	size_t		 len;
	bool		 changed;	/* something was put in */
};

/*
 * Of the file, a path or URL, held to key (or NULL). A document that it
 * includes by URL stands in the line of the include, all of it, without
 * comments: so lines of the file itself are what they were. An include that
 * cannot be had is an error; what else is wrong with the text is the
 * worker's business. false: it cannot be read, which is said by
 * source_failure().
 */
bool	 foreign_read(struct source *, struct diag *, struct arena *,
	    const char *file, const char *key, const struct diag_place *from,
	    struct foreign_text *);

#endif
