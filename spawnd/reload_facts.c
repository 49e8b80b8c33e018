/*
 * What differs between the configuration that is served and a new one, by
 * the same comparison that --plan shows (2.8).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "facts.h"
#include "reload_impl.h"

void
reload_facts(struct master *m)
{
	uint8_t salt[FACTS_SALT];
	struct facts *f = NULL;

	if (getentropy(salt, sizeof(salt)) == 0)
		f = facts_of(m->program, m->conf.conf, salt);
	if (f != NULL)
		m->facts = facts_save(f);
	if (m->facts == -1)
		log_warn("no memory for what --plan compares with: %s",
		    strerror(errno));
	facts_free(f);
}

static void
change_cb(void *ctx, const struct fact_change *ch)
{
	const struct fact *f = ch->new != NULL ? ch->new : ch->old;
	struct reload *r = ctx;
	size_t len = strlen(r->later);

	switch (facts_effect(ch)) {
	case EFFECT_NOW:
	case EFFECT_SESSIONS:
		break;
	case EFFECT_WORKERS:
		r->replaces = true;
		break;
	case EFFECT_RESTART:
		snprintf(r->later + len, sizeof(r->later) - len, "%s'%s'",
		    len > 0 ? ", " : "", f->name);
		break;
	}
}

static bool
compare(struct master *m, struct reload *r, const struct facts *old)
{
	struct facts *new, *adopted = NULL;
	bool ok;

	new = facts_of(m->program, r->conf.conf, facts_salt(old));
	ok = new != NULL &&
	    facts_compare(old, new, change_cb, r) != FACTS_FAILED &&
	    (r->later[0] == '\0' ||
	    (adopted = facts_adopt(old, new)) != NULL) &&
	    (r->facts = facts_save(adopted != NULL ? adopted : new)) != -1;
	facts_free(adopted);
	facts_free(new);
	return ok;
}

void
reload_compare(struct master *m)
{
	struct reload *r = m->reload;
	struct facts *old = m->facts == -1 ? NULL : facts_load(m->facts);

	if (old != NULL && compare(m, r, old)) {
		facts_free(old);
		return;
	}
	/* not knowing what is new, everybody starts with it */
	if (m->facts != -1)
		log_warn("reload: configurations cannot be compared: %s",
		    strerror(errno));
	facts_free(old);
	r->replaces = true;
}

void
reload_facts_adopt(struct master *m)
{
	struct reload *r = m->reload;

	if (r->kind != RELOAD_FILE)
		return;
	if (r->later[0] != '\0')
		log_warn("reload: restart needed for %s", r->later);
	if (m->facts != -1)
		close(m->facts);
	m->facts = r->facts;
	r->facts = -1;
	if (m->facts == -1)
		reload_facts(m);
}
