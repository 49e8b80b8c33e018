#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../misc/keyproc.h"
#include "../misc/log.h"
#include "conf.h"
#include "keyset.h"

/* Somebody who asks. */
struct asker {
	struct keyset		*set;
	struct keyproc_peer	*peer;
	struct asker		*next, **link;
};

struct keyset {
	struct ev		*ev;
	uint32_t		 generation;
	struct keyproc_keys	*keys;		/* NULL: none */
	struct asker		*askers;
	void			(*gone)(void *);
	void			*ctx;
};

static void
asker_free(struct asker *a)
{
	*a->link = a->next;
	if (a->next != NULL)
		a->next->link = a->link;
	free(a);
}

static void
asker_gone_cb(void *ctx)
{
	struct asker *a = ctx;
	struct keyset *s = a->set;

	asker_free(a);
	if (s->gone != NULL)
		s->gone(s->ctx);
}

void
keyset_serve(struct keyset *s, int *fd)
{
	struct asker *a;

	if (s->keys == NULL)
		return;
	a = calloc(1, sizeof(*a));
	if (a == NULL || (a->peer = keyproc_peer_new(s->ev, s->keys, *fd,
	    asker_gone_cb, a)) == NULL) {
		log_err("cannot serve a worker: %s", strerror(errno));
		free(a);
		return;
	}
	*fd = -1;
	a->set = s;
	a->next = s->askers;
	a->link = &s->askers;
	if (a->next != NULL)
		a->next->link = &a->next;
	s->askers = a;
}

void
keyset_free(struct keyset *s)
{
	if (s == NULL)
		return;
	while (s->askers != NULL) {
		keyproc_peer_free(s->askers->peer);
		asker_free(s->askers);
	}
	if (s->keys != NULL)
		keyproc_keys_free(s->keys);
	free(s);
}

struct keyset *
keyset_new(struct ev *ev, const struct compiled *c,
    int (*load)(const struct compiled *, struct keyproc_keys *,
    struct diag *), struct diag *diag, void (*gone)(void *), void *ctx)
{
	struct keyset *s = calloc(1, sizeof(*s));

	if (s == NULL || ((s->keys = keyproc_keys_new()) == NULL &&
	    errno != ENOTSUP)) {
		free(s);
		diag_fail(diag, NULL, EX_OSERR, "out of memory");
		return NULL;
	}
	s->ev = ev;
	s->generation = c->generation;
	s->gone = gone;
	s->ctx = ctx;
	if (s->keys != NULL && load(c, s->keys, diag) == -1) {
		keyset_free(s);
		return NULL;
	}
	return s;
}

uint32_t
keyset_generation(const struct keyset *s)
{
	return s->generation;
}

bool
keyset_idle(const struct keyset *s)
{
	return s->askers == NULL;
}
