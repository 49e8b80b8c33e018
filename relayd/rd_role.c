/*
 * What relayd's processes tell each other, in one table, and looking at what
 * came before it is believed.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../misc/log.h"
#include "rd_role.h"
#include "rd_stats.h"

#define ANYBODY		(RD_TO(RD_ROLES) - 1)
#define PARENT		RD_TO(RD_PARENT)
#define WORKER		RD_TO(RD_WORKER)
#define HCE		RD_TO(RD_HCE)
#define PFE		RD_TO(RD_PFE)
#define SNMP		RD_TO(RD_SNMP)
#define LIST(each)	sizeof(struct tell_list), sizeof(struct each)

const struct rd_tell_form rd_tells[RD_TELLS] = {
	/* the engine's */
	[TELL_SESSIONS] = { "sessions", PFE | SNMP, WORKER,
	    sizeof(struct tell_ask), 0, false },
	[TELL_SESSION_LIST] = { "session list", WORKER, PFE | SNMP,
	    LIST(tell_session), false },
	[TELL_WHY] = { "why", PFE, WORKER,
	    sizeof(struct tell_ask_why), 0, false },
	[TELL_WHY_LIST] = { "why list", WORKER, PFE,
	    LIST(tell_why), false },
	[TELL_BIND] = { "bind", WORKER, PARENT,
	    sizeof(struct tell_bind), 0, false },
	[TELL_BOUND] = { "bound", PARENT, WORKER,
	    sizeof(struct tell_bound), 0, true },
	[TELL_HASH_KEY] = { "hash key", PARENT, WORKER,
	    4 * sizeof(uint32_t), 0, false },
	[TELL_VERBOSE] = { "verbose", PARENT, ANYBODY,
	    sizeof(uint32_t), 0, false },
	/* relayd's */
	[RD_HOST] = { "host", HCE, PFE | SNMP,
	    sizeof(struct rd_tell_host), 0, false },
	[RD_SYNC] = { "sync", HCE, PFE, 0, 0, false },
	[RD_SCRIPT] = { "script", HCE, PARENT,
	    sizeof(struct rd_tell_script), 0, false },
	[RD_SCRIPT_DONE] = { "script done", PARENT, HCE,
	    sizeof(struct rd_tell_done), 0, false },
	[RD_SWITCH] = { "switch", PFE, HCE,
	    sizeof(struct rd_tell_switch), 0, false },
	[RD_POLL] = { "poll", PFE, HCE, 0, 0, false },
	[RD_RELOAD] = { "reload", PFE, PARENT,
	    sizeof(struct rd_tell_reload), 0, false },
	[RD_RELOADED] = { "reloaded", PARENT, PFE,
	    sizeof(struct rd_tell_verdict), 0, false },
	[RD_STOP] = { "stop", PFE, PARENT, 0, 0, false },
	[RD_LOUD] = { "loud", PFE, PARENT,
	    sizeof(uint32_t), 0, false },
	[RD_CONTROL] = { "control", PARENT, PFE, 0, 0, true },
	[RD_STATS] = { "statistics", PFE, SNMP, LIST(rd_stat), false },
	[RD_STATS_WANTED] = { "statistics wanted", SNMP, PFE, 0, 0, false },
	[RD_AGENTX] = { "agentx", SNMP, PARENT, 0, 0, false },
	[RD_AGENTX_SOCKET] = { "agentx socket", PARENT, SNMP,
	    sizeof(int32_t), 0, true },
};

/* NULL, or what is wrong with it. */
static const char *
tell_fault(const struct tell *t, enum rd_role us)
{
	const struct rd_tell_form *f;
	struct tell_list list;

	if (t->type >= RD_TELLS || rd_tells[t->type].name == NULL)
		return "nobody knows it";
	f = &rd_tells[t->type];
	if (t->role >= RD_ROLES || (f->from & RD_TO(t->role)) == 0)
		return "not for that process to tell";
	if ((f->to & RD_TO(us)) == 0)
		return "not for this process";
	if (t->fd != -1 && !f->fd)
		return "it came with a descriptor";
	if (f->each == 0)
		return t->len == f->size ? NULL : "wrong length";
	if (t->len < f->size)
		return "wrong length";
	memcpy(&list, t->data, sizeof(list));
	if (list.n > (t->len - f->size) / f->each ||
	    t->len - f->size != list.n * f->each)
		return "wrong length";
	return NULL;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)ts.tv_nsec;
}

bool
rd_tell_good(const struct tell *t, enum rd_role us)
{
	static const char *const titles[RD_ROLES] = { "parent", "relay",
	    "hce", "pfe", "ca", "snmp" };
	static struct log_limit limit;
	const char *fault = tell_fault(t, us);
	unsigned held;

	if (fault == NULL)
		return true;
	if (log_allow(&limit, now_ns(), UINT64_C(60000000000), 5, &held))
		log_warn("message %u of %s %" PRIu32 " (%zu bytes) is "
		    "ignored: %s", t->type, t->role < RD_ROLES ?
		    titles[t->role] : "somebody", t->instance, t->len, fault);
	return false;
}
