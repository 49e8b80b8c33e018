/*
 * From one attempt to the next.
 */
#include "route.h"

bool
route_host(struct route *r, struct balance_ask *ask, size_t n,
    uint32_t usable)
{
	bool set[ROUTE_HOSTS];
	int host;

	if (n > ROUTE_HOSTS)
		n = ROUTE_HOSTS;
	for (size_t i = 0; i < n; i++)
		set[i] = ((usable & ~r->tried) >> i & 1) != 0;
	ask->usable = set;
	ask->n = n;
	host = balance_host(ask);
	ask->usable = NULL;
	if (host == -1)
		return false;
	r->target = BALANCE_TABLE;
	r->host = (uint8_t)host;
	r->tried |= UINT32_C(1) << host;
	r->chosen = true;
	r->again = false;
	return true;
}

void
route_address(struct route *r, enum balance_target target, uint32_t retry)
{
	r->target = (uint8_t)target;
	r->left = retry;
	r->chosen = true;
	r->again = false;
}

enum route_next
route_failed(struct route *r, bool failover, bool at_once, uint32_t usable)
{
	if (r->left > 0 && (at_once || failover)) {
		r->left--;
		r->again = true;
		return ROUTE_SAME;
	}
	if (failover && r->target == BALANCE_TABLE &&
	    (usable & ~r->tried) != 0)
		return ROUTE_OTHER;
	return ROUTE_OVER;
}
