/*
 * References to tables (2.4), and the instances that they make (4.1, 4.2).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../misc/hash.h"
#include "rd_build_impl.h"

#define KEY_DIGITS	32

void
rd_use_begin(struct rd_build *b, const struct rd_word *table)
{
	b->ref = (struct rd_reference){ .name = *table };
	b->ref.template = rd_template_find(b, table->text);
	if (b->ref.template == NULL) {
		rd_error(b, &table->place, "table <%s> is not defined",
		    table->text);
		b->ref.bad = true;
	}
}

/* Every option: counted, and what is wrong with it spoils the reference. */
static bool
option_done(struct rd_build *b, bool good)
{
	b->ref.options++;
	if (!good)
		b->ref.bad = true;
	return good;
}

void
rd_use_port(struct rd_build *b, const struct rd_port *port)
{
	if (!option_done(b, rd_port_take(b, port, &b->ref.port)))
		return;
	b->ref.port_given = true;
	b->ref.port_text = rd_port_text(b, port);
}

void
rd_use_check(struct rd_build *b, const struct rd_check_text *check)
{
	option_done(b, rd_check_take(b, check, &b->ref.check,
	    &b->ref.check_text));
}

void
rd_use_timeout(struct rd_build *b, const struct rd_number *n)
{
	option_done(b, rd_number_take(b, RD_MIN_TIMEOUT, n,
	    &b->ref.timeout));
}

void
rd_use_interval(struct rd_build *b, const struct rd_number *n)
{
	unsigned global = b->conf->interval;

	if (n->value < global || n->value > INT32_MAX ||
	    n->value % global != 0) {
		rd_error(b, &n->place, "table interval must be a multiple of "
		    "the global interval (%u s)", global);
		option_done(b, false);
		return;
	}
	option_done(b, true);
	b->ref.interval = (unsigned)n->value;
	b->ref.skip = b->ref.interval / global - 1;
}

/* A group is a file name, packet-filter.md 12. */
static bool
group_ok(struct rd_build *b, const struct rd_word *group)
{
	if (!rd_length_ok(b, RD_LEN_GROUP, group))
		return false;
	if (group->text[0] != '\0' && group->text[0] != '.') {
		const char *p = group->text;

		while (isalnum((unsigned char)*p) ||
		    (*p != '\0' && strchr("_.-", *p) != NULL))
			p++;
		if (*p == '\0')
			return true;
	}
	rd_error(b, &group->place, "interface group \"%s\" cannot be used "
	    "for demotion: not a group name", group->text);
	return false;
}

void
rd_use_demote(struct rd_build *b, const struct rd_word *group)
{
	if (option_done(b, group_ok(b, group)))
		b->ref.demote = group->text;
}

/* ---- modes ---- */

#define IN(section)	(1u << RD_IN_ ## section)
#define ANYWHERE	(IN(REDIRECT) | IN(RELAY) | IN(ROUTER))

static const struct {
	const char	*word;
	bool		 keyed;
	unsigned	 sections;
	const char	*only;
} modes[] = {
	[RD_ROUNDROBIN] = { "roundrobin", false, ANYWHERE, NULL },
	[RD_RANDOM] = { "random", false, ANYWHERE, NULL },
	[RD_LEAST_STATES] = { "least-states", false, IN(REDIRECT),
	    "redirects" },
	[RD_SOURCE_HASH] = { "source-hash", true, ANYWHERE, NULL },
	[RD_LOADBALANCE] = { "loadbalance", true, IN(RELAY) | IN(ROUTER),
	    "relays" },
	[RD_HASH] = { "hash", true, IN(RELAY) | IN(ROUTER), "relays" },
};

bool
rd_mode_keyed(enum rd_mode mode)
{
	return modes[mode].keyed;
}

static bool
key_hex(const char *digits, struct rd_key *key)
{
	if (strlen(digits) != KEY_DIGITS)
		return false;
	for (unsigned i = 0; i < KEY_DIGITS; i++) {
		int c = tolower((unsigned char)digits[i]);

		if (!isxdigit(c))
			return false;
		key->word[i / 8] = key->word[i / 8] << 4 |
		    (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	return true;
}

/* 4.8.1 */
static bool
key_take(struct rd_build *b, const struct rd_word *w, struct rd_key *key)
{
	uint8_t sum[HASH_MD5];

	*key = (struct rd_key){ .given = true };
	if (strncmp(w->text, "0x", 2) == 0) {
		if (key_hex(w->text + 2, key))
			return true;
		rd_error(b, &w->place,
		    "hexadecimal key must have exactly 32 digits");
		return false;
	}
	(void)hash_md5(w->text, strlen(w->text), sum);
	for (unsigned i = 0; i < 4; i++)
		key->word[i] = (uint32_t)sum[4 * i] << 24 |
		    (uint32_t)sum[4 * i + 1] << 16 |
		    (uint32_t)sum[4 * i + 2] << 8 | sum[4 * i + 3];
	return true;
}

static bool
mode_take(struct rd_build *b, enum rd_mode mode, const struct rd_word *key,
    const struct diag_place *place)
{
	struct rd_reference *r = &b->ref;
	const char *word = modes[mode].word;

	if ((modes[mode].sections & (1u << b->section)) == 0) {
		rd_error(b, place, "mode %s is only available in %s", word,
		    modes[mode].only);
		return false;
	}
	r->mode = mode;
	r->key = (struct rd_key){ .given = false };
	r->mode_text = word;
	if (key == NULL || key->text == NULL)
		return true;
	if (!modes[mode].keyed) {
		rd_error(b, &key->place, "mode %s does not take a key",
		    word);
		return false;
	}
	if (r->key_seen) {
		rd_error(b, &key->place, "key is given twice");
		return false;
	}
	r->key_seen = true;
	r->mode_text = arena_printf(b->arena, "%s %s", word,
	    rd_quoted(b, key));
	return key_take(b, key, &r->key);
}

void
rd_use_mode(struct rd_build *b, enum rd_mode mode, const char *word,
    const struct rd_word *key, const struct diag_place *place)
{
	(void)word;			/* it is always printed */
	option_done(b, mode_take(b, mode, key, place));
}

/* ---- instances ---- */

/*
 * One that can be used again, 4.1. The timeout counts as it was given, before
 * it is inherited: so a reference without one always makes a new instance.
 * Numbers of tables and hosts follow from this, so it stays as it is.
 */
static struct rd_table *
instance_find(const struct rd_build *b, const char *name)
{
	const struct rd_reference *r = &b->ref;

	if (r->template->disabled || r->timeout == 0)
		return NULL;
	for (size_t i = 0; i < b->conf->ntables; i++) {
		struct rd_table *t = b->conf->tables[i];

		if (strcmp(t->name, name) == 0 &&
		    rd_check_same(&t->check, &r->check) &&
		    t->skip == r->skip &&
		    (t->demote == NULL) == (r->demote == NULL) &&
		    (t->demote == NULL || strcmp(t->demote, r->demote) == 0) &&
		    t->port_given == r->port_given &&
		    t->timeout == r->timeout && !t->by_route)
			return t;
	}
	return NULL;
}

static void
instance_hosts(struct rd_build *b, struct rd_table *t)
{
	const struct rd_template *from = b->ref.template;
	struct rd_conf *c = b->conf;

	t->nhosts = from->nhosts;
	t->hosts = arena_array(b->arena, from->nhosts, sizeof *t->hosts);
	for (size_t i = 0; i < from->nhosts; i++) {
		struct rd_host *h = &t->hosts[i];

		*h = from->hosts[i];
		c->hosts = rd_grow(b, c->hosts, c->nhosts, sizeof *c->hosts);
		c->hosts[c->nhosts++] = h;
		h->id = (uint32_t)c->nhosts;
	}
}

static struct rd_table *
instance_new(struct rd_build *b, const char *name, bool by_route)
{
	const struct rd_reference *r = &b->ref;
	struct rd_table *t = arena_alloc(b->arena, sizeof *t);
	struct rd_conf *c = b->conf;

	c->tables = rd_grow(b, c->tables, c->ntables, sizeof *c->tables);
	c->tables[c->ntables++] = t;
	*t = (struct rd_table){ .id = (uint32_t)c->ntables, .name = name,
	    .template = r->template->name, .port = r->port,
	    .port_given = r->port_given, .check = r->check,
	    .timeout = r->timeout != 0 ? r->timeout : r->template->timeout,
	    .interval = c->interval * (r->skip + 1), .skip = r->skip,
	    .demote = r->demote, .disabled = r->template->disabled,
	    .by_route = by_route, .place = r->name.place };
	instance_hosts(b, t);
	return t;
}

static const char *
reference_text(struct rd_build *b)
{
	const struct rd_reference *r = &b->ref;
	struct rd_out o = { NULL, 0, 0 };
	struct rd_word group = { .text = r->demote };

	rd_out_add(b, &o, "<%s>", rd_bare(b, &r->name));
	if (r->port_text != NULL)
		rd_out_add(b, &o, " port %s", r->port_text);
	if (r->mode_text != NULL)
		rd_out_add(b, &o, " mode %s", r->mode_text);
	if (r->check_text != NULL)
		rd_out_add(b, &o, " %s", r->check_text);
	if (r->timeout != 0)
		rd_out_add(b, &o, " timeout %u", r->timeout);
	if (r->interval != 0)
		rd_out_add(b, &o, " interval %u", r->interval);
	if (r->demote != NULL)
		rd_out_add(b, &o, " demote %s", rd_bare(b, &group));
	/* all that was written may be a timeout of 0, and something must */
	if (o.p[o.len - 1] == '>')
		rd_out_add(b, &o, " timeout 0");
	return o.p;
}

bool
rd_use_take(struct rd_build *b, unsigned default_port, bool by_route,
    struct rd_use *use, const char **text)
{
	struct rd_reference *r = &b->ref;
	const char *name;

	if (!r->bad && r->options == 0) {
		rd_error(b, &r->name.place, "table reference <%s> needs at "
		    "least one option", r->name.text);
		r->bad = true;
	}
	if (r->bad)
		return false;
	if (!r->port_given && default_port == 0) {
		rd_error(b, &r->name.place, "port is missing");
		return false;
	}
	if (!r->port_given)
		r->port = default_port;
	name = arena_printf(b->arena, "%s:%u", r->name.text, r->port);
	if (strlen(name) > RD_TABLE_NAME) {
		rd_error(b, &r->name.place, "table name <%s> is too long",
		    name);
		return false;
	}
	r->template->used = true;
	*use = (struct rd_use){ .mode = r->mode, .key = r->key,
	    .port = r->port };
	if ((use->table = instance_find(b, name)) == NULL)
		use->table = instance_new(b, name, by_route);
	*text = reference_text(b);
	return true;
}
