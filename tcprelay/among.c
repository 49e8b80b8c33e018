/*
 * tcprelay's way to a destination: whichever of all has the least to do, and
 * the next one if that fails, while the client waits and notices nothing.
 */
#include <errno.h>
#include <string.h>

#include "session.h"

static const struct config_remote *
remote_of(const struct session *s)
{
	return &s->setup->config->remotes[s->remote];
}

static void
all_failed(struct worker *w)
{
	unsigned held;

	if (log_allow(&w->limit_all, ev_now(w->ev), EV_SECOND, 1, &held))
		log_err("all destinations failed, trying all again");
}

static enum choice
among_choose(struct session *s)
{
	bool again = s->way.again;

	s->remote = (int32_t)pick_choose(s->setup->pick, &s->way,
	    ev_now(session_worker(s)->ev));
	if (s->way.again && !again)
		all_failed(session_worker(s));
	if (s->remote != -1)
		return CHOICE_MADE;
	session_close(s, END_NO_DESTINATION);
	return CHOICE_NONE;
}

static void
among_failed(struct session *s, int error, const char *reason, bool at_once)
{
	struct pick *pick = s->setup->pick;
	size_t i = (size_t)s->remote;

	(void)error;
	(void)at_once;
	if (pick_failed(pick, i, ev_now(session_worker(s)->ev)))
		log_warn("destination %s failed: %s", remote_of(s)->text,
		    reason);
	pick_release(pick, &s->way, i);
	s->remote = -1;
	connect_drop(s);
	if (pick_tried(pick, &s->way, i) == -1)
		session_close(s, END_LOCAL);
}

static void
among_refused(struct session *s, int error)
{
	struct worker *w = session_worker(s);
	unsigned held;

	if (log_allow(&w->limit_local, ev_now(w->ev), EV_SECOND, 1, &held)) {
		if (error == EMFILE || error == ENFILE)
			log_warn("out of descriptors");
		else
			log_warn("connect to %s: %s", remote_of(s)->text,
			    strerror(error));
	}
	session_close(s, END_LOCAL);
}

static void
among_connected(struct session *s)
{
	if (pick_succeeded(s->setup->pick, (size_t)s->remote))
		log_line("destination %s is back", remote_of(s)->text);
	pick_way_clear(&s->way);
}

static void
among_over(struct session *s)
{
	if (s->remote != -1)
		pick_release(s->setup->pick, &s->way, (size_t)s->remote);
	pick_way_clear(&s->way);
}

const struct policy among_policy = {
	.choose = among_choose,
	.failed = among_failed,
	.refused = among_refused,
	.connected = among_connected,
	.over = among_over,
};
