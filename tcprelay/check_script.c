/*
 * Checks by script. Somebody with the privilege runs it, in its own time; all
 * that is known here is who is waited for.
 */
#include "check_impl.h"

void
check_script_start(struct probe *p)
{
	struct check *c = p->check;
	struct check_script s = {
		.host = p->conf.id, .run = ++c->serial,
		.path = p->group->conf->how.path, .argument = p->conf.name,
		.timeout = p->group->conf->timeout
	};

	p->u.run = s.run;
	probe_set(p, PROBE_SCRIPT);
	if (!c->ops->script(c->ctx, &s))
		check_done(p, HOST_DOWN, HOST_SCRIPT_FAILED);
}

static bool
waits(const struct probe *p, uint32_t run)
{
	return p != NULL && p->state == PROBE_SCRIPT && p->u.run == run;
}

/* Hosts may have got other numbers since it was asked for. */
static struct probe *
find_renumbered(const struct check *c, uint32_t run)
{
	for (size_t i = 0; c->setup != NULL && i < c->setup->nprobes; i++)
		if (waits(c->setup->probes[i], run))
			return c->setup->probes[i];
	return NULL;
}

void
check_script_done(struct check *c, uint32_t host, uint32_t run, bool up)
{
	struct probe *p = check_find(c, host);

	if (!waits(p, run))
		p = find_renumbered(c, run);
	if (p != NULL)
		check_done(p, up ? HOST_UP : HOST_DOWN,
		    up ? HOST_SCRIPT_OK : HOST_SCRIPT_FAILED);
}
