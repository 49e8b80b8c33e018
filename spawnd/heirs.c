#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heirs.h"
#include "listen.h"
#include "master.h"

static int
text_cmp(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

/* An order in which the same endpoints are equal. A listener without address
 * is what was passed under its name. */
static int
endpoint_cmp(const struct listener_conf *a, const struct listener_conf *b)
{
	int c = net_cmp(&a->addr, &b->addr);

	if (a->passed != b->passed)	/* the socket is the same, or not */
		return (uintptr_t)a->passed < (uintptr_t)b->passed ? -1 : 1;
	if (a->passed != NULL)
		return 0;
	if (c != 0)
		return c;
	if (a->addr.len == 0)
		return strcmp(a->name, b->name);
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->v6only != b->v6only)
		return a->v6only ? 1 : -1;
	return text_cmp(a->vrf, b->vrf);
}

static int
conf_cmp(const void *pa, const void *pb)
{
	const struct listener_conf *a = *(struct listener_conf *const *)pa;
	const struct listener_conf *b = *(struct listener_conf *const *)pb;
	int c = endpoint_cmp(a, b);

	return c != 0 ? c : (a > b) - (a < b);
}

/* The first that is not before c. */
static size_t
first_of(const struct listener_conf *const *sorted, size_t n,
    const struct listener_conf *c)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (endpoint_cmp(sorted[at], c) < 0)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

struct sorted {
	const struct listener_conf	**all;
	const struct listener_conf	 *first;	/* in file order */
	size_t				  n;
};

/* The wildcard of that family, otherwise like e; NULL. */
static const struct listener_conf *
wildcard_find(const struct sorted *s, const struct listener_conf *e,
    sa_family_t family, bool v6only)
{
	struct listener_conf any = *e;
	size_t at;

	any.addr = (struct net_addr){ .len = family == AF_INET ?
	    sizeof(any.addr.in) : sizeof(any.addr.in6) };
	any.addr.sa.sa_family = family;
	any.v6only = v6only;
	net_set_port(&any.addr, net_port(&e->addr));
	at = first_of(s->all, s->n, &any);
	return at < s->n && endpoint_cmp(s->all[at], &any) == 0 ?
	    s->all[at] : NULL;
}

/* What includes an endpoint that would go on taking precedence, or at least
 * be no worse. */
static const struct listener_conf *
successor_find(const struct sorted *s, const struct listener_conf *e)
{
	const struct listener_conf *c = NULL;
	bool any = net_is_any(&e->addr);

	if (e->passed != NULL || e->addr.len == 0 ||
	    e->addr.sa.sa_family == AF_UNIX || net_port(&e->addr) == 0)
		return NULL;
	if (e->addr.sa.sa_family == AF_INET) {
		if (!any)
			c = wildcard_find(s, e, AF_INET, false);
		return c != NULL ? c : wildcard_find(s, e, AF_INET6, false);
	}
	if (!any || !e->v6only)
		c = wildcard_find(s, e, AF_INET6, true);
	if (c == NULL && (!any || e->v6only))
		c = wildcard_find(s, e, AF_INET6, false);
	return c;
}

static void
heir_find(const struct sorted *s, struct listener **of, struct listener *l)
{
	const struct listener_conf *e = listener_endpoint(l);
	size_t i = first_of(s->all, s->n, e);

	/* any port, twice: each is somebody's */
	while (i < s->n && endpoint_cmp(s->all[i], e) == 0 &&
	    of[s->all[i] - s->first] != NULL)
		i++;
	l->heir = i < s->n && endpoint_cmp(s->all[i], e) == 0 ? s->all[i] :
	    NULL;
	if (l->heir != NULL)
		of[l->heir - s->first] = l;
	l->aside = l->heir == NULL && l->fd != -1 &&
	    (l->heir = successor_find(s, e)) != NULL;
}

struct listener **
heirs_find(struct master *m, const struct spawnd_conf *c)
{
	struct listener **of = calloc(c->nendpoints + 1, sizeof(*of));
	struct sorted s = { calloc(c->nendpoints + 1, sizeof(*s.all)),
	    c->endpoints, c->nendpoints };

	if (of == NULL || s.all == NULL) {
		free(of);
		free(s.all);
		return NULL;
	}
	for (size_t i = 0; i < s.n; i++)
		s.all[i] = &c->endpoints[i];
	qsort(s.all, s.n, sizeof(*s.all), conf_cmp);
	for (struct listener *l = m->listeners; l != NULL; l = l->next)
		heir_find(&s, of, l);
	free(s.all);
	return of;
}
