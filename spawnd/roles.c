/*
 * Roles, and the parent, as the rest of the master asks for them.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "logs.h"
#include "roles_impl.h"
#include "seats.h"
#include "start.h"

/* ---- how many */

static uint32_t
wanted(const struct master *m, unsigned i)
{
	const struct program_role *r = &m->program->roles[i];

	return r->instances != NULL ? r->instances(m->conf.conf) : 1;
}

/* As many as the configuration in force says. Who goes is not asked any more
 * by then. */
static void
members_adjust(struct master *m, unsigned i)
{
	unsigned role = ROLE_FIRST + i;
	uint32_t n = wanted(m, i), there = members_count(m, role);
	struct member *b, *next;

	if (n == there)
		return;
	for (b = m->roles->members; b != NULL; b = b->next)
		b->surplus |= b->role == role && b->instance >= n;
	for (; there < n; there++)
		if ((b = member_new(m, role, there)) != NULL)
			member_start(b);
	if (m->program->roles[i].keys)
		members_give(m, role);
	for (b = m->roles->members; b != NULL; b = next) {
		next = b->next;
		if (b->role == role && b->surplus)
			member_dismiss(b);
	}
}

/* ---- the master's calls ---- */

static bool
parent_prepare(struct master *m, struct compiled *c, char *error,
    size_t size)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles->parent == NULL || ops->prepare == NULL)
		return true;
	if (ops->prepare(m->roles->parent, c, error, size) == 0) {
		m->roles->prepared = true;
		return true;
	}
	if (ops->forget != NULL)
		ops->forget(m->roles->parent);
	return false;
}

static void
parent_commit(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles->prepared && ops->commit != NULL)
		ops->commit(m->roles->parent);
	m->roles->prepared = false;
}

int
roles_open(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;
	char error[512] = "";

	if (m->program->nroles == 0 && ops == NULL)
		return 0;
	if ((m->roles = calloc(1, sizeof(*m->roles))) == NULL) {
		start_err("cannot start: %s", strerror(errno));
		return -1;
	}
	if (ops == NULL)
		return 0;
	if ((m->roles->parent = ops->open(m, m->ev)) == NULL)
		return -1;
	if (!parent_prepare(m, m->conf.conf, error, sizeof(error))) {
		start_err("%s", error);
		return -1;
	}
	return 0;
}

void
roles_opened(struct master *m)
{
	if (m->roles != NULL && m->roles->parent != NULL)
		parent_commit(m);
}

void
roles_start(struct master *m)
{
	if (m->roles == NULL || m->roles->members != NULL ||
	    m->seats == NULL)
		return;
	for (unsigned i = 0; i < m->program->nroles; i++)
		members_adjust(m, i);
	members_watch(m);
}

bool
roles_prepare(struct master *m, struct loaded *conf, uint32_t generation,
    char *error, size_t size)
{
	if (m->roles == NULL)
		return true;
	if (!parent_prepare(m, conf->conf, error, size))
		return false;
	roles_start(m);
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (kind_of(b)->keys && !b->surplus && member_board(b))
			(void)member_configure(b, conf, generation);
	return true;
}

/* Somebody still writes on the former board. */
static bool
lagging(const struct master *m)
{
	for (const struct member *b = m->roles->members; b != NULL;
	    b = b->next)
		if (b->board != 0 && b->board != m->seats->serial)
			return true;
	return false;
}

void
roles_commit(struct master *m)
{
	if (m->roles == NULL)
		return;
	parent_commit(m);
	roles_start(m);
	if (m->seats != NULL && m->seats->next != NULL && lagging(m))
		board_repeat(&m->seats->board, &m->seats->next->board);
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (!kind_of(b)->keys && !b->surplus && member_board(b))
			(void)member_configure(b, &m->conf, m->generation);
	for (unsigned i = 0; i < m->program->nroles; i++)
		members_adjust(m, i);
}

void
roles_forget(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles == NULL)
		return;
	if (m->roles->prepared && ops->forget != NULL)
		ops->forget(m->roles->parent);
	m->roles->prepared = false;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (kind_of(b)->keys && !b->surplus)
			(void)member_configure(b, &m->conf, m->generation);
}

void
roles_repeat(struct master *m)
{
	if (m->roles == NULL || m->seats == NULL || m->seats->next == NULL)
		return;
	if (lagging(m))
		board_repeat(&m->seats->board, &m->seats->next->board);
	else
		for (struct seats *s = m->seats->next; s != NULL; s = s->next)
			board_repeat(&s->board, &m->seats->board);
	if (m->reload != NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->channel.fd != -1 && !b->surplus && b->board != 0 &&
		    b->board != m->seats->serial && member_board(b))
			(void)member_configure(b, &m->conf, m->generation);
}

void
roles_logfiles(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->channel.fd != -1)
			logs_channel(&b->channel,
			    &m->conf.conf->worker_common);
}

void
roles_orphaned(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		b->orphan = b->pid > 0;
}
/* ---- the end ---- */

void
roles_end(struct master *m)
{
	if (m->roles == NULL)
		return;
	ev_timer_stop(m->ev, &m->roles->watch);
	for (struct member *b = m->roles->members, *next; b != NULL;
	    b = next) {
		next = b->next;
		ev_timer_stop(m->ev, &b->timer);
		member_hang_up(b);
		if (b->pid <= 0 || b->orphan)
			member_free(b);
	}
}

bool
roles_left(const struct master *m)
{
	return m->roles != NULL && m->roles->members != NULL;
}

void
roles_kill(struct master *m)
{
	if (m->roles == NULL)
		return;
	for (struct member *b = m->roles->members; b != NULL; b = b->next)
		if (b->pid > 0)
			kill(b->pid, SIGKILL);
}

void
roles_clear(struct master *m)
{
	const struct parent_ops *ops = m->program->parent;

	if (m->roles == NULL)
		return;
	if (m->roles->parent != NULL && ops->close != NULL)
		ops->close(m->roles->parent);
	ev_timer_stop(m->ev, &m->roles->watch);
	while (m->roles->members != NULL)
		member_free(m->roles->members);
	free(m->roles);
	m->roles = NULL;
}
