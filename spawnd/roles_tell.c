/*
 * Everything that roles, workers and the parent tell each other goes through
 * here. To whom it goes the sender says; from whom it is nobody is asked.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "roles_impl.h"
#include "tell.h"

#define WAITING_MAX	((size_t)1 << 24)	/* bytes told, not read */
#define COMPLAINTS	(10 * EV_SECOND)

bool
member_send(struct member *b, enum channel_type type, const void *a,
    size_t alen, const void *data, size_t len, const int *fds, unsigned nfds)
{
	if (b->channel.fd == -1)
		return false;
	if (type != CHANNEL_PING)
		log_debug(DEBUG_PACKET, "%s %ld: sending %s",
		    kind_of(b)->title, (long)b->pid,
		    channel_forms[type].name);
	return outbox_send(&b->outbox, type, a, alen, data, len, fds, nfds);
}

static void
complain(struct master *m, const char *what, unsigned role,
    uint32_t instance)
{
	unsigned held = 0;

	if (log_allow(&m->roles->limit, ev_now(m->ev), COMPLAINTS, 5, &held))
		log_warn("%s %u.%" PRIu32 " (%u held back)", what, role,
		    instance, held);
}

/* To workers that there are. false: to none. */
static bool
route_workers(struct master *m, uint32_t instance,
    const struct channel_tell *head, const struct tell *t)
{
	bool any = false;

	for (struct proc *p = m->oldest; p != NULL; p = p->newer) {
		if ((instance != ROLE_ALL && p->number != instance) ||
		    !worker_reached(p))
			continue;
		any = true;
		if (p->outbox.size > WAITING_MAX)
			complain(m, "told too much, and reads nothing: "
			    "process", ROLE_WORKER, p->number);
		else
			(void)proc_send(p, CHANNEL_TELL, head, sizeof(*head),
			    t->data, t->len, &t->fd, t->fd != -1);
	}
	return any;
}

static bool
route_members(struct master *m, unsigned role, uint32_t instance,
    const struct channel_tell *head, const struct tell *t)
{
	bool any = false;

	for (struct member *b = m->roles->members; b != NULL; b = b->next) {
		if (b->role != role || b->channel.fd == -1 ||
		    (instance != ROLE_ALL && b->instance != instance))
			continue;
		any = true;
		if (b->outbox.size > WAITING_MAX)
			complain(m, "told too much, and reads nothing: "
			    "process", b->role, b->instance);
		else
			(void)member_send(b, CHANNEL_TELL, head,
			    sizeof(*head), t->data, t->len, &t->fd,
			    t->fd != -1);
	}
	return any;
}

/* t says to whom; who says so the caller knows. */
static void
route(struct master *m, unsigned from, uint32_t instance, struct tell *t)
{
	const struct channel_tell head = { .role = from,
	    .instance = instance, .type = t->type };
	const struct program *program = m->program;
	unsigned to = t->role;
	uint32_t whom = t->instance;
	bool known;

	if (to == ROLE_PARENT) {
		known = program->parent != NULL && m->roles->parent != NULL &&
		    from != ROLE_PARENT;
		t->role = from;
		t->instance = instance;
		if (known)
			program->parent->tell(m->roles->parent, t);
	} else if (to == ROLE_WORKER) {
		known = route_workers(m, whom, &head, t) || whom == ROLE_ALL;
	} else {
		known = to - ROLE_FIRST < program->nroles &&
		    (route_members(m, to, whom, &head, t) ||
		    whom == ROLE_ALL || member_find(m, to, whom) != NULL);
	}
	if (!known)
		complain(m, "told something to a process that is not there:",
		    to, whom);
}

void
roles_route(struct master *m, unsigned from, uint32_t instance,
    struct channel_message *msg)
{
	struct tell t;

	tell_read(&t, msg);
	if (t.type != 0)
		route(m, from, instance, &t);
	tell_done(&t, msg);
}

void
roles_told(struct proc *p, struct channel_message *msg)
{
	if (p->master->roles != NULL)
		roles_route(p->master, ROLE_WORKER, p->number, msg);
}

void
master_tell(struct master *m, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	struct tell t = { .role = role, .instance = instance, .type = type,
	    .data = data, .len = len, .fd = fd };

	assert(type != 0 && len <= ROLE_DATA);
	route(m, ROLE_PARENT, 0, &t);
}

static const struct channel_tell verbose_head;

static struct channel_verbose
verbose_say(const struct master *m)
{
	return (struct channel_verbose){ m->roles->verbose };
}

void
member_verbose(struct member *b)
{
	struct channel_verbose v = verbose_say(b->master);

	if (b->master->roles->spoken)
		(void)member_send(b, CHANNEL_TELL, &verbose_head,
		    sizeof(verbose_head), &v, sizeof(v), NULL, 0);
}

void
master_verbose(struct master *m, bool on)
{
	struct channel_verbose v = { on };
	const struct tell t = { .data = &v, .len = sizeof(v), .fd = -1 };

	m->roles->spoken = true;
	m->roles->verbose = on;
	log_verbose(on);
	(void)route_workers(m, ROLE_ALL, &verbose_head, &t);
	for (unsigned i = 0; i < m->program->nroles; i++)
		(void)route_members(m, ROLE_FIRST + i, ROLE_ALL,
		    &verbose_head, &t);
}

void
roles_greet(struct proc *p)
{
	struct master *m = p->master;
	struct channel_verbose v;

	if (m->roles == NULL)
		return;
	v = verbose_say(m);
	if (m->roles->spoken)
		(void)proc_send(p, CHANNEL_TELL, &verbose_head,
		    sizeof(verbose_head), &v, sizeof(v), NULL, 0);
	parent_greet(m, ROLE_WORKER, p->number);
}
