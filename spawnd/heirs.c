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

struct listener **
heirs_find(struct master *m, const struct spawnd_conf *c)
{
	size_t n = c->nendpoints;
	struct listener **of = calloc(n + 1, sizeof(*of));
	const struct listener_conf **sorted = calloc(n + 1, sizeof(*sorted));

	if (of == NULL || sorted == NULL) {
		free(of);
		free(sorted);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = &c->endpoints[i];
	qsort(sorted, n, sizeof(*sorted), conf_cmp);
	for (struct listener *l = m->listeners; l != NULL; l = l->next) {
		size_t i = first_of(sorted, n, l->conf);

		/* any port, twice: each is somebody's */
		while (i < n && endpoint_cmp(sorted[i], l->conf) == 0 &&
		    of[sorted[i] - c->endpoints] != NULL)
			i++;
		l->heir = NULL;
		if (i == n || endpoint_cmp(sorted[i], l->conf) != 0)
			continue;
		l->heir = sorted[i];
		of[l->heir - c->endpoints] = l;
	}
	free(sorted);
	return of;
}
