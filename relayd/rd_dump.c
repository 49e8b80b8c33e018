/*
 * What workers say of protocols at debug level (runtime 6.6): once for each
 * relay that uses one.
 */
#include <inttypes.h>
#include <string.h>

#include "../misc/str.h"
#include "rd_dump.h"

#define LINE	256

struct dump {
	const struct rd_conf	*conf;
	struct arena		*arena;
	const char		**lines;	/* NULL: they are counted */
	size_t			 n;
};

static void
line_add(struct dump *d, const char *text, size_t len)
{
	if (d->lines != NULL)
		d->lines[d->n] = arena_strndup(d->arena, text, len);
	d->n++;
}

/* ---- flags ---- */

struct flag {
	bool		 on;
	const char	*name;
};

static const char *
flags_text(const struct flag *flags, size_t n, char *buf, size_t size)
{
	struct str s;

	str_init(&s, buf, size);
	for (size_t i = 0; i < n; i++)
		if (flags[i].on)
			str_add(&s, "%s%s", s.len > 0 ? ", " : "",
			    flags[i].name);
	return s.len > 0 ? buf : "none";
}

#define FLAGS(array, buf)	flags_text(array, \
	sizeof(array) / sizeof((array)[0]), buf, sizeof(buf))

static void
flags_add(struct dump *d, const struct rd_relay *r)
{
	const struct rd_protocol *p = r->protocol;
	const struct flag protocol[] = {
		{ p->used, "used" }, { p->return_error, "return" },
		{ p->websockets, "websockets" },
	};
	const struct flag relay[] = {
		{ r->disabled, "disable" },
		{ r->target == RD_TO_NAT, "nat lookup" },
		{ r->target == RD_TO_DESTINATION, "destination" },
		{ r->transparent, "transparent" },
		{ r->tls, "tls" }, { r->with_tls, "tls client" },
	};
	char a[LINE / 4], b[LINE / 4], text[LINE];
	struct str s;

	str_init(&s, text, sizeof text);
	str_add(&s, "\tflags: %s, relay flags: %s", FLAGS(protocol, a),
	    FLAGS(relay, b));
	line_add(d, text, s.len);
}

static void
tls_add(struct dump *d, const struct rd_relay *r)
{
	const struct rd_tls *t = &r->protocol->tls;
	const struct flag flags[] = {
		{ (t->versions & RD_TLS_1_2) != 0, "tlsv1.2" },
		{ (t->versions & RD_TLS_1_3) != 0, "tlsv1.3" },
		{ t->server_preference, "cipher-server-preference" },
		{ t->server_name, "server-name" },
		{ t->verify_name, "verify-name" },
	};
	char a[LINE / 2], text[LINE];
	struct str s;

	if (r->tls || r->with_tls) {
		str_init(&s, text, sizeof text);
		str_add(&s, "\ttls flags: %s", FLAGS(flags, a));
		line_add(d, text, s.len);
	}
	str_init(&s, text, sizeof text);
	str_add(&s, "\ttls session tickets: %s",
	    t->tickets ? "enabled" : "disabled");
	line_add(d, text, s.len);
}

/* ---- rules: they stand in the canonical text as they are shown ---- */

static bool
begins(const char *line, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(line, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static void
rules_add(struct dump *d, const struct rd_protocol *p)
{
	static const char *const heads[] = { "protocol ", "http protocol ",
	    "dns protocol ", "tcp protocol " };
	static const char *const rules[] = { "\tmatch ", "\tpass ",
	    "\tblock " };
	uint32_t id = 0;	/* they are numbered as they come */
	const char *end;

	if (p->nrules == 0)
		return;
	for (const char *at = d->conf->text; id <= p->id &&
	    (end = strchr(at, '\n')) != NULL; at = end + 1) {
		if (begins(at, heads, sizeof heads / sizeof heads[0]))
			id++;
		else if (id == p->id && begins(at, rules,
		    sizeof rules / sizeof rules[0]))
			line_add(d, at, (size_t)(end - at));
	}
}

static void
relay_add(struct dump *d, const struct rd_relay *r)
{
	static const char *const types[] = { [RD_TCP] = "\ttype: tcp",
	    [RD_HTTP] = "\ttype: http", [RD_DNS] = "\ttype: dns" };
	const struct rd_protocol *p = r->protocol;
	char text[LINE];
	struct str s;

	str_init(&s, text, sizeof text);
	str_add(&s, "protocol %" PRIu32 ": name %s", p->id, p->name);
	line_add(d, text, s.len);
	flags_add(d, r);
	tls_add(d, r);
	line_add(d, types[p->type], strlen(types[p->type]));
	rules_add(d, p);
}

static void
relays_add(struct dump *d)
{
	d->n = 0;
	for (size_t i = 0; i < d->conf->nrelays; i++)
		relay_add(d, d->conf->relays[i]);
}

const char **
rd_dump(const struct rd_conf *conf, struct arena *arena, size_t *n)
{
	struct dump d = { .conf = conf, .arena = arena };

	relays_add(&d);
	d.lines = arena_array(arena, d.n + 1, sizeof *d.lines);
	relays_add(&d);
	*n = d.n;
	return d.lines;
}
