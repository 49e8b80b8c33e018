/*
 * The choice of a worker. Knows no process, no clock and no socket; what it
 * is told about a worker is all there is.
 */
#include "dispatch.h"

bool
dispatch_usable(const struct dispatch_worker *w)
{
	return w->eligible && !w->blocked && w->use < w->max;
}

uint64_t
dispatch_total(const struct dispatch_worker *w, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += w[i].use;
	return total;
}

size_t
dispatch_eligible(const struct dispatch_worker *w, size_t n)
{
	size_t eligible = 0;

	for (size_t i = 0; i < n; i++)
		eligible += w[i].eligible;
	return eligible;
}

uint64_t
dispatch_capacity(const struct dispatch_worker *w, size_t n,
    const struct dispatch_rule *r)
{
	uint64_t capacity = 0;
	size_t there = 0;

	for (size_t i = 0; i < n; i++)
		if (w[i].eligible) {
			capacity += w[i].max;
			there++;
		}
	if (there < r->instances_max)
		capacity += (uint64_t)(r->instances_max - there) *
		    r->users_max;
	return capacity;
}

/*
 * The one with the smallest use below limit among the eligible workers
 * first..last-1 (counting eligible ones only); on a tie the earlier one. n if
 * there is none.
 */
static size_t
pick_least(const struct dispatch_worker *w, size_t n, size_t first,
    size_t last, uint32_t limit)
{
	size_t best = n, at = 0;

	for (size_t i = 0; i < n && at < last; i++) {
		if (!w[i].eligible || at++ < first)
			continue;
		if (w[i].use < limit && dispatch_usable(&w[i]) &&
		    (best == n || w[i].use < w[best].use))
			best = i;
	}
	return best;
}

/* Steps 4, 5 and 7 differ in range and limit only; step 6 is between. */
enum dispatch_verdict
dispatch_pick(const struct dispatch_worker *w, size_t n,
    const struct dispatch_rule *r, size_t *index)
{
	size_t eligible = dispatch_eligible(w, n);
	size_t i;

	if (dispatch_total(w, n) >= dispatch_capacity(w, n, r))
		return DISPATCH_OVERLOAD;
	if ((i = pick_least(w, n, 0, r->instances_min, r->users_min)) == n)
		i = pick_least(w, n, r->instances_min, n, r->users_min);
	if (i == n && eligible < r->instances_max && r->may_start)
		return DISPATCH_START;
	if (i == n)
		i = pick_least(w, n, 0, n, UINT32_MAX);
	if (i < n) {
		*index = i;
		return DISPATCH_TAKE;
	}
	/* room somewhere, but throttled or with a full channel */
	for (i = 0; i < n; i++)
		if (w[i].eligible && w[i].use < w[i].max)
			return DISPATCH_WAIT;
	return eligible < r->instances_max ? DISPATCH_WAIT : DISPATCH_OVERLOAD;
}

size_t
dispatch_shrink(const struct dispatch_worker *w, size_t n,
    const struct dispatch_rule *r, uint64_t now, uint64_t idle, size_t *gone)
{
	size_t left = dispatch_eligible(w, n), ngone = 0;
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		if (w[i].eligible)
			total += w[i].use;
	/* with m = 0 nothing is ever "below m": idle ones beyond the first
	   Wmin are too many then */
	if (r->users_min > 0 && total >= (uint64_t)r->users_min * (left + 1))
		return 0;
	for (size_t i = n; i-- > 0 && left > r->instances_min; ) {
		if (!w[i].eligible || w[i].use > 0 || w[i].idle_since == 0 ||
		    now - w[i].idle_since < idle)
			continue;
		gone[ngone++] = i;
		left--;
	}
	return ngone;
}

size_t
dispatch_surplus(const struct dispatch_worker *w, size_t n,
    const struct dispatch_rule *r, size_t *gone)
{
	size_t left = dispatch_eligible(w, n), ngone = 0;

	for (size_t i = n; i-- > 0 && left > r->instances_max; )
		if (w[i].eligible) {
			gone[ngone++] = i;
			left--;
		}
	return ngone;
}

uint32_t
dispatch_wanted(uint64_t total, const struct dispatch_rule *r)
{
	uint64_t wanted;

	if (r->users_min == 0)
		wanted = total > 0 ? r->instances_max : 0;
	else
		wanted = (total + r->users_min - 1) / r->users_min;
	if (wanted < r->instances_min)
		wanted = r->instances_min;
	if (wanted > r->instances_max)
		wanted = r->instances_max;
	return (uint32_t)wanted;
}
