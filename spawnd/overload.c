#include <inttypes.h>

#include "../misc/log.h"
#include "board.h"
#include "crew.h"
#include "listen.h"
#include "master.h"
#include "overload.h"
#include "seats.h"

#define LOG_PERIOD	(10 * EV_SECOND)
/* Own workers finish connections without a message; how often the board is
 * read while somebody waits for a place. */
#define POLL		(10 * EV_MS)

static const struct {
	const char *name, *doing;
} policies[] = {
	[OVERLOAD_QUEUE] = { "queueing", "full, queueing" },
	[OVERLOAD_CLOSE] = { "closing", "full, closing" },
	[OVERLOAD_RESET] = { "resetting", "full, resetting" },
};

enum overload
overload_policy(const struct master *m)
{
	return m->overload ? m->conf.conf->broker.overload : OVERLOAD_QUEUE;
}

const char *
overload_text(const struct master *m)
{
	return policies[m->conf.conf->broker.overload].doing;
}

static void
poll_cb(void *ctx)
{
	struct master *m = ctx;

	if (!m->overload)
		return;
	ev_timer_set(m->ev, &m->poll, POLL, poll_cb, m);
	crew_look(m);
}

/* The gate: nobody else writes m->overload. */
static void
overload_set(struct master *m, bool on, uint64_t capacity)
{
	struct log_limit *limit = on ? &m->overload_limit : &m->again_limit;
	unsigned held = 0;
	char more[48] = "";

	if (m->overload == on)
		return;
	m->overload = on;
	if (log_allow(limit, ev_now(m->ev), LOG_PERIOD, 1, &held)) {
		if (held > 0)
			snprintf(more, sizeof(more), " (%u times more)", held);
		if (on)
			log_line("%" PRIu64 " connections reached, %s new "
			    "ones%s", capacity,
			    policies[m->conf.conf->broker.overload].name,
			    more);
		else
			log_line("accepting again%s", more);
	}
	seats_overload(m);
	listeners_backlog(m);
	if (on)
		ev_timer_set(m->ev, &m->poll, POLL, poll_cb, m);
	else
		ev_timer_stop(m->ev, &m->poll);
	master_title(m);
}

void
overload_look(struct master *m)
{
	uint64_t capacity = crew_capacity(m);
	struct proc *p;

	/* capacity 0: no worker could ever take one, which is another
	   matter than having too many */
	overload_set(m, capacity > 0 && (crew_total(m) >= capacity ||
	    crew_pick(m, &p) == DISPATCH_OVERLOAD), capacity);
}
