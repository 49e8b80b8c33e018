/*
 * Protocols (2.7) but for TLS and rules: the block itself, socket options and
 * those of HTTP.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rd_build_impl.h"

struct rd_protocol *
rd_protocol_new(struct rd_build *b, const char *name, enum rd_type type)
{
	struct rd_conf *c = b->conf;
	struct rd_protocol *p = arena_alloc(b->arena, sizeof *p);

	*p = (struct rd_protocol){ .id = (uint32_t)c->nprotocols,
	    .name = name, .type = type, .headerlen = 8192,
	    .tcp = { .backlog = 10 },
	    .tls = { .versions = RD_TLS_1_2 | RD_TLS_1_3,
		.server_preference = true,
		.ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:"
		    "DHE+AESGCM:DHE+CHACHA20",
		.curves = "X25519:P-256:P-384" } };
	b->ca_places = rd_grow(b, b->ca_places, c->nprotocols,
	    sizeof *b->ca_places);
	c->protocols = rd_grow(b, c->protocols, c->nprotocols,
	    sizeof *c->protocols);
	c->protocols[c->nprotocols++] = p;
	return p;
}

static const char *const types[] = {
	[RD_TCP] = "tcp", [RD_HTTP] = "http", [RD_DNS] = "dns",
};

static enum rd_type
type_take(struct rd_build *b, const struct rd_word *type)
{
	if (type == NULL || type->text == NULL)
		return RD_TCP;
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		if (strcmp(types[i], type->text) == 0)
			return (enum rd_type)i;
	}
	rd_error(b, &type->place, "invalid protocol type: %s", type->text);
	return RD_HTTP;			/* where everything is permitted */
}

static void
name_check(struct rd_build *b, const struct rd_word *name)
{
	const struct rd_conf *c = b->conf;

	rd_length_ok(b, RD_LEN_PROTOCOL, name);
	for (size_t i = 0; i < c->nprotocols; i++) {
		if (strcmp(c->protocols[i]->name, name->text) != 0)
			continue;
		if (i == 0)
			rd_error(b, &name->place,
			    "protocol name \"%s\" is taken", name->text);
		else
			rd_error(b, &name->place,
			    "protocol \"%s\" is already defined",
			    name->text);
	}
}

void
rd_protocol_begin(struct rd_build *b, const struct rd_word *type,
    const struct rd_word *name)
{
	enum rd_type t;

	rd_section_begin(b, RD_IN_PROTOCOL);
	t = type_take(b, type);
	name_check(b, name);
	b->protocol = rd_protocol_new(b, name->text, t);
	b->protocol->place = name->place;
	b->protocol_head = arena_printf(b->arena, "%s%sprotocol %s",
	    type != NULL && type->text != NULL ? types[t] : "",
	    type != NULL && type->text != NULL ? " " : "",
	    rd_quoted(b, name));
	b->pairs = NULL;
	b->rules_told = false;
	b->versions_place = b->names_place =
	    (struct diag_place){ .file = NULL };
}

void
rd_protocol_end(struct rd_build *b)
{
	rd_tls_end(b);
	rd_rules_settle(b);
	rd_section_end(b, b->protocol_head, b->body.len > 0);
}

void
rd_protocols_end(struct rd_build *b)
{
	const struct rd_conf *c = b->conf;

	if (diag_errors(b->diag) > 0 || b->failed)
		return;
	for (size_t i = 1; i < c->nprotocols; i++) {
		const struct rd_protocol *p = c->protocols[i];

		if (!p->used)
			rd_warn(b, &p->place, "unused protocol \"%s\"",
			    p->name);
		else
			rd_tls_sides_check(b, p);
		rd_tls_authority_check(b, p);
	}
}

/* ---- tcp ---- */

static void
not_here(struct rd_build *b, const struct diag_place *place,
    const char *name)
{
	rd_warn(b, place, "\"%s\" is not supported on this system and has no "
	    "effect", name);
}

/* `no' wins in any order, so both stay in the text. */
static void
tri_take(struct rd_build *b, enum rd_tri *tri, bool on, const char *name)
{
	const char *text = on ? name : arena_printf(b->arena, "no %s", name);

	if (*tri != RD_OFF)
		*tri = on ? RD_ON : RD_OFF;
	rd_list_item(b, text, text);
}

static void
number_option(struct rd_build *b, enum rd_limit limit, const char *name,
    const struct rd_number *n, int *value)
{
	unsigned u;

	if (!rd_number_take(b, limit, n, &u))
		return;
	*value = (int)u;
	rd_list_item(b, name, arena_printf(b->arena, "%s %u", name, u));
}

static void
ip_option(struct rd_build *b, const struct rd_number *n,
    const struct rd_word *word)
{
	struct rd_tcp *t = &b->protocol->tcp;

	if (strcasecmp(word->text, "ttl") == 0)
		number_option(b, RD_RANGE_TTL, "ip ttl", n, &t->ttl);
	else if (strcasecmp(word->text, "minttl") == 0)
		number_option(b, RD_RANGE_MINTTL, "ip minttl", n, &t->minttl);
	else
		rd_error(b, &word->place, "unknown IP option \"%s\"",
		    word->text);
}

static void
tcp_option(struct rd_build *b, enum rd_tcp_option option, bool on,
    const struct rd_number *n, const struct rd_word *word,
    const struct diag_place *place)
{
	struct rd_tcp *t = &b->protocol->tcp;

	switch (option) {
	case RD_TCP_NODELAY:
		tri_take(b, &t->nodelay, on, "nodelay");
		return;
	case RD_TCP_SACK:
		if (!net_have_sack())
			not_here(b, place, "sack");
		tri_take(b, &t->sack, on, "sack");
		return;
	case RD_TCP_SPLICE:
		t->no_splice = t->no_splice || !on;
		rd_list_item(b, on ? "splice" : "no splice",
		    on ? "splice" : "no splice");
		return;
	case RD_TCP_FAILOVER:
		t->no_failover = !on;
		rd_list_item(b, "failover", on ? "failover" : "no failover");
		return;
	case RD_TCP_BACKLOG:
		number_option(b, RD_RANGE_BACKLOG, "backlog", n, &t->backlog);
		return;
	case RD_TCP_BUFFER:
		number_option(b, RD_MIN_BUFFER, "socket buffer", n,
		    &t->buffer);
		return;
	case RD_TCP_IP:
		ip_option(b, n, word);
		return;
	}
}

void
rd_tcp_option(struct rd_build *b, enum rd_tcp_option option, bool on,
    const struct rd_number *n, const struct rd_word *word,
    const struct diag_place *place)
{
	if (!b->list_off)
		tcp_option(b, option, on, n, word, place);
}

/* ---- http ---- */

void
rd_http_option(struct rd_build *b, enum rd_http_option option, bool on,
    const struct rd_number *n, const struct diag_place *place)
{
	struct rd_protocol *p = b->protocol;
	int value;

	(void)place;
	if (b->list_off)
		return;
	switch (option) {
	case RD_HTTP_HEADERLEN:
		value = (int)p->headerlen;
		number_option(b, RD_RANGE_HEADERLEN, "headerlen", n, &value);
		p->headerlen = (unsigned)value;
		return;
	case RD_HTTP_WEBSOCKETS:
		p->websockets = on;
		rd_list_item(b, "websockets",
		    on ? "websockets" : "no websockets");
		return;
	}
}

void
rd_return_error(struct rd_build *b, const struct rd_word *style,
    const struct diag_place *place)
{
	bool alone = !b->list.open;

	if (alone)
		rd_list_begin(b, RD_LIST_ERROR, place);
	if (b->protocol->type != RD_HTTP)
		rd_warn(b, place, "\"return error\" has no effect in %s "
		    "protocols", types[b->protocol->type]);
	b->protocol->return_error = true;
	if (style != NULL && style->text != NULL) {
		b->protocol->style = style->text;
		rd_list_item(b, "style", arena_printf(b->arena, "style %s",
		    rd_quoted(b, style)));
	}
	if (alone)
		rd_list_end(b);
}
