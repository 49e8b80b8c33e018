/*
 * Entries are numbered from 0 on as they come; the ring has the last ones.
 * Who reads piece by piece holds a number and no pointer, so that what is
 * overwritten meanwhile is only missing.
 */
#include <stdlib.h>
#include <string.h>

#include "why.h"

struct why {
	uint64_t	 next;		/* number */
	struct tell_why	 ring[WHY_RING];
};

struct why *
why_new(void)
{
	return calloc(1, sizeof(struct why));
}

void
why_free(struct why *y)
{
	free(y);
}

struct tell_why *
why_add(struct why *y)
{
	struct tell_why *e = &y->ring[y->next++ % WHY_RING];

	memset(e, 0, sizeof(*e));
	return e;
}

static bool
same_address(const struct net_name *n, const char *text)
{
	struct net_addr addr;
	struct net_name asked;

	if (!net_parse_ip(text, &addr))
		return false;
	net_name_set(&asked, &addr.sa, addr.len);
	return asked.family == n->family &&
	    memcmp(asked.ip, n->ip, sizeof(asked.ip)) == 0 &&
	    (asked.scope == 0 || asked.scope == n->scope);
}

/* All that is asked for must be so. */
static bool
match(const struct tell_why *e, const struct tell_ask_why *ask)
{
	char name[sizeof(ask->name) + 1];

	if ((ask->session != 0 && ask->session != e->id) ||
	    (ask->worker != 0 && ask->worker != e->worker) ||
	    (ask->host != 0 && ask->host != e->host))
		return false;
	memcpy(name, ask->name, sizeof(ask->name));
	name[sizeof(ask->name)] = '\0';
	return name[0] == '\0' || strcmp(name, e->host_name) == 0 ||
	    same_address(&e->server, name);
}

size_t
why_find(const struct why *y, const struct tell_ask_why *ask, uint64_t *at,
    struct tell_why *list, size_t max)
{
	size_t n = 0;

	if (y->next > WHY_RING && *at < y->next - WHY_RING)
		*at = y->next - WHY_RING;
	for (; *at < y->next && n < max; ++*at)
		if (match(&y->ring[*at % WHY_RING], ask))
			list[n++] = y->ring[*at % WHY_RING];
	return n;
}
