/*
 * Reads sessions, changes nothing. The list has the newest first, and new
 * ones enter in front: who goes on where he stopped meets each one once.
 */
#include <string.h>
#include <unistd.h>

#include "dump.h"
#include "session.h"

void
dump_start(struct dump *d, const struct worker *w, uint32_t number)
{
	d->next = w->sessions;
	d->worker = number;
	d->pid = (uint32_t)getpid();
}

void
dump_skip(struct dump *d, const struct session *s)
{
	if (d->next == s)
		d->next = s->next;
}

static uint64_t
since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static void
session_tell(const struct session *s, struct tell_session *t)
{
	uint64_t now = ev_now(session_worker(s)->ev);

	memset(t, 0, sizeof(*t));
	t->id = s->facts->counter;
	t->relay = s->relay->conf->id;
	t->done = s->stream[CLIENT].eof || s->stream[REMOTE].eof;
	t->age = since(now, s->facts->started);
	t->idle = since(now, s->moved);
	t->client = s->facts->src;
	t->server = s->forward->server;
}

size_t
dump_some(struct dump *d, struct tell_session *list, size_t max)
{
	size_t n = 0;

	while (n < max && d->next != NULL) {
		if (d->next->forward != NULL) {
			session_tell(d->next, &list[n]);
			list[n].worker = d->worker;
			list[n++].pid = d->pid;
		}
		d->next = d->next->next;
	}
	return n;
}
