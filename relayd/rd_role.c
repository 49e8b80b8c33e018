/*
 * What relayd's processes tell each other, in one table, and looking at what
 * came before it is believed.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../misc/log.h"
#include "rd_role.h"

#define ANYBODY		RD_ROLES
#define LIST(each)	sizeof(struct tell_list), sizeof(struct each)

const struct rd_tell_form rd_tells[RD_TELLS] = {
	/* the engine's */
	[TELL_SESSIONS] = { "sessions", RD_PFE, RD_WORKER,
	    sizeof(struct tell_ask), 0, false },
	[TELL_SESSION_LIST] = { "session list", RD_WORKER, RD_PFE,
	    LIST(tell_session), false },
	[TELL_WHY] = { "why", RD_PFE, RD_WORKER,
	    sizeof(struct tell_ask_why), 0, false },
	[TELL_WHY_LIST] = { "why list", RD_WORKER, RD_PFE,
	    LIST(tell_why), false },
	[TELL_BIND] = { "bind", RD_WORKER, RD_PARENT,
	    sizeof(struct tell_bind), 0, false },
	[TELL_BOUND] = { "bound", RD_PARENT, RD_WORKER,
	    sizeof(struct tell_bound), 0, true },
	[TELL_HASH_KEY] = { "hash key", RD_PARENT, RD_WORKER,
	    4 * sizeof(uint32_t), 0, false },
	[TELL_VERBOSE] = { "verbose", RD_PARENT, ANYBODY,
	    sizeof(uint32_t), 0, false },
	/* relayd's */
	[RD_HOST] = { "host", RD_HCE, RD_PFE,
	    sizeof(struct rd_tell_host), 0, false },
	[RD_SYNC] = { "sync", RD_HCE, RD_PFE, 0, 0, false },
	[RD_SCRIPT] = { "script", RD_HCE, RD_PARENT,
	    sizeof(struct rd_tell_script), 0, false },
	[RD_SCRIPT_DONE] = { "script done", RD_PARENT, RD_HCE,
	    sizeof(struct rd_tell_done), 0, false },
	[RD_SWITCH] = { "switch", RD_PFE, RD_HCE,
	    sizeof(struct rd_tell_switch), 0, false },
	[RD_POLL] = { "poll", RD_PFE, RD_HCE, 0, 0, false },
	[RD_RELOAD] = { "reload", RD_PFE, RD_PARENT,
	    sizeof(struct rd_tell_reload), 0, false },
	[RD_RELOADED] = { "reloaded", RD_PARENT, RD_PFE,
	    sizeof(struct rd_tell_verdict), 0, false },
	[RD_STOP] = { "stop", RD_PFE, RD_PARENT, 0, 0, false },
	[RD_LOUD] = { "loud", RD_PFE, RD_PARENT,
	    sizeof(uint32_t), 0, false },
	[RD_CONTROL] = { "control", RD_PARENT, RD_PFE, 0, 0, true },
	[RD_AGENTX] = { "agentx", RD_PFE, RD_PARENT, 0, 0, false },
	[RD_AGENTX_SOCKET] = { "agentx socket", RD_PARENT, RD_PFE,
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
	if (t->role != f->from)
		return "not for that process to tell";
	if (f->to != us && f->to != ANYBODY)
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
	    "hce", "pfe", "ca" };
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
