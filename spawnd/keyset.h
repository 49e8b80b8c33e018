/*
 * The private keys of one configuration, in the process that has them, and
 * who asks for them.
 */
#ifndef SPAWND_KEYSET_H
#define SPAWND_KEYSET_H

#include <stdbool.h>
#include <stdint.h>

#include "../misc/diag.h"
#include "../misc/ev.h"

struct compiled;
struct keyproc_keys;
struct keyset;

/* load: as program.keys_load. NULL: reasons in diag. A build without TLS has
 * one without keys. gone, if it is not NULL, is called when somebody has
 * left. */
struct keyset	*keyset_new(struct ev *, const struct compiled *,
		    int (*load)(const struct compiled *,
		    struct keyproc_keys *, struct diag *), struct diag *,
		    void (*gone)(void *), void *ctx);
/* Who still asks gets no answer any more; gone is not called. NULL is
 * allowed. */
void		 keyset_free(struct keyset *);
/* The other end of fd asks; fd is -1 once it is taken. What fails is
 * logged. */
void		 keyset_serve(struct keyset *, int *fd);
uint32_t	 keyset_generation(const struct keyset *);
/* Nobody asks. */
bool		 keyset_idle(const struct keyset *);

#endif
