/*
 * The memory of sessions, and of what only some of them have. It never goes
 * back to the system: free lists, that of sessions filled in slabs.
 */
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define SLAB		64		/* sessions allocated at a time */

struct slab {
	struct slab	*next;
	struct session	 sessions[SLAB];
};

static int
slab_new(struct worker *w)
{
	struct slab *slab = calloc(1, sizeof(*slab));

	if (slab == NULL)
		return -1;
	slab->next = w->slabs;
	w->slabs = slab;
	for (unsigned i = SLAB; i-- > 0;) {
		slab->sessions[i].next = w->idle;
		w->idle = &slab->sessions[i];
	}
	return 0;
}

struct session *
session_alloc(struct worker *w)
{
	struct session *s;

	if (w->idle == NULL && slab_new(w) == -1)
		return NULL;
	s = w->idle;
	w->idle = s->next;
	memset(s, 0, sizeof(*s));
	return s;
}

void
session_free(struct worker *w, struct session *s)
{
	if (s->facts != NULL) {
		s->facts->next = w->idle_facts;
		w->idle_facts = s->facts;
	}
	if (s->forward != NULL) {
		s->forward->next = w->idle_forwards;
		w->idle_forwards = s->forward;
	}
	setup_unref(s->setup);
	s->setup = NULL;
	s->next = w->idle;
	w->idle = s;
}

struct facts *
session_facts(struct worker *w)
{
	struct facts *f = w->idle_facts;

	if (f == NULL)
		return calloc(1, sizeof(*f));
	w->idle_facts = f->next;
	memset(f, 0, sizeof(*f));
	return f;
}

struct forward *
session_forward(struct worker *w)
{
	struct forward *f = w->idle_forwards;

	if (f == NULL)
		f = malloc(sizeof(*f));
	else
		w->idle_forwards = f->next;
	if (f != NULL) {
		memset(f, 0, sizeof(*f));
		f->bound = -1;
	}
	return f;
}

void
session_free_all(struct worker *w)
{
	struct session *s;
	struct slab *slab;
	struct facts *f;
	struct forward *forward;

	while ((s = w->again) != NULL) {
		w->again = s->again;
		session_free(w, s);
	}
	ev_defer_cancel(w->ev, &w->task);
	while ((slab = w->slabs) != NULL) {
		w->slabs = slab->next;
		free(slab);
	}
	while ((f = w->idle_facts) != NULL) {
		w->idle_facts = f->next;
		free(f);
	}
	while ((forward = w->idle_forwards) != NULL) {
		w->idle_forwards = forward->next;
		free(forward);
	}
}
