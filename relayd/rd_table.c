/*
 * Tables as they are defined (2.3): templates, which run nothing themselves.
 */
#include <stdio.h>
#include <string.h>

#include "rd_build_impl.h"

struct rd_template *
rd_template_find(struct rd_build *b, const char *name)
{
	for (size_t i = 0; i < b->ntemplates; i++) {
		if (strcmp(b->templates[i]->name, name) == 0)
			return b->templates[i];
	}
	return NULL;
}

void
rd_table_begin(struct rd_build *b, const struct rd_word *name)
{
	struct rd_template *t = arena_alloc(b->arena, sizeof *t);

	rd_section_begin(b, RD_IN_TABLE);
	t->name = name->text;
	t->place = name->place;
	t->timeout = b->conf->timeout;
	b->template = t;
	if (strlen(name->text) > RD_TABLE_NAME)
		rd_error(b, &name->place, "table name <%s> is too long",
		    name->text);
	if (rd_template_find(b, name->text) != NULL) {
		rd_error(b, &name->place, "table <%s> is already defined",
		    name->text);
		return;
	}
	b->templates = rd_grow(b, b->templates, b->ntemplates,
	    sizeof *b->templates);
	b->templates[b->ntemplates++] = t;
}

void
rd_table_disable(struct rd_build *b)
{
	b->template->disabled = true;
}

void
rd_host(struct rd_build *b, const struct rd_word *address)
{
	struct rd_template *t = b->template;
	struct rd_host *h;

	t->hosts = rd_grow(b, t->hosts, t->nhosts, sizeof *t->hosts);
	t->given = rd_grow(b, t->given, t->nhosts, sizeof *t->given);
	t->given[t->nhosts] = 0;
	h = &t->hosts[t->nhosts++];
	*h = (struct rd_host){ .name = address->text,
	    .place = address->place };
	if (rd_length_ok(b, RD_LEN_HOST, address))
		rd_address_take(b, address, "host", &h->addr, &h->by_name);
}

static const struct {
	const char	*name;
	enum rd_limit	 limit;
} flags[] = {
	[RD_HOST_RETRY] = { "retry", RD_MIN_RETRY },
	[RD_HOST_PARENT] = { "parent", RD_MIN_PARENT },
	[RD_HOST_PRIORITY] = { "priority", RD_RANGE_PRIORITY },
	[RD_HOST_TTL] = { "ip ttl", RD_RANGE_HOST_TTL },
};
#define FLAGS	(sizeof flags / sizeof flags[0])

static unsigned
flag_get(const struct rd_host *h, enum rd_host_flag flag)
{
	switch (flag) {
	case RD_HOST_RETRY:
		return h->retry;
	case RD_HOST_PARENT:
		return h->parent;
	case RD_HOST_PRIORITY:
		return h->priority;
	case RD_HOST_TTL:
		break;
	}
	return h->ttl;
}

static void
flag_set(struct rd_host *h, enum rd_host_flag flag, unsigned value)
{
	switch (flag) {
	case RD_HOST_RETRY:
		h->retry = value;
		break;
	case RD_HOST_PARENT:
		h->parent = value;
		break;
	case RD_HOST_PRIORITY:
		h->priority = value;
		break;
	case RD_HOST_TTL:
		h->ttl = value;
		break;
	}
}

void
rd_host_flag(struct rd_build *b, enum rd_host_flag flag,
    const struct rd_number *n)
{
	struct rd_template *t = b->template;
	struct rd_host *h;
	unsigned value;

	if (t->nhosts == 0)
		return;
	h = &t->hosts[t->nhosts - 1];
	if (!rd_number_take(b, flags[flag].limit, n, &value))
		return;
	/* a first value of 0 goes unnoticed, as it always did */
	if (flag_get(h, flag) != 0) {
		rd_error(b, &n->place, "%s is given twice",
		    flags[flag].name);
		return;
	}
	flag_set(h, flag, value);
	t->given[t->nhosts - 1] |= 1u << flag;
}

static void
host_print(struct rd_build *b, const struct rd_host *h, unsigned given)
{
	struct rd_word name = { .text = h->name };

	rd_out_add(b, &b->body, "\t%s", rd_bare(b, &name));
	for (unsigned i = 0; i < FLAGS; i++) {
		if (given & (1u << i))
			rd_out_add(b, &b->body, " %s %u", flags[i].name,
			    flag_get(h, (enum rd_host_flag)i));
	}
	rd_out_add(b, &b->body, "\n");
}

void
rd_table_end(struct rd_build *b)
{
	struct rd_template *t = b->template;
	struct rd_word name = { .text = t->name };

	if (t->nhosts == 0 && !b->broken)
		rd_error(b, &t->place, "table <%s> has no hosts", t->name);
	for (size_t i = 0; i < t->nhosts; i++)
		host_print(b, &t->hosts[i], t->given[i]);
	rd_section_end(b, arena_printf(b->arena, "table <%s>%s",
	    rd_bare(b, &name), t->disabled ? " disable" : ""), true);
}

void
rd_tables_end(struct rd_build *b)
{
	/* what did not compile may have been the reference */
	if (diag_errors(b->diag) > 0 || b->failed)
		return;
	for (size_t i = 0; i < b->ntemplates; i++) {
		const struct rd_template *t = b->templates[i];

		if (!t->used)
			rd_warn(b, &t->place, "unused table <%s>", t->name);
	}
}
