/*
 * Addresses, ports and lists of versions as the language has them.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "../misc/str.h"
#include "parse.h"
#include "spawnd.h"

/* inet: and inet6: belong to what follows. */
static size_t
prefix_length(const char *text)
{
	if (strncmp(text, "inet:", 5) == 0)
		return 5;
	return strncmp(text, "inet6:", 6) == 0 ? 6 : 0;
}

/* "[V6]" and "[V6]:PORT" */
static enum address_kind
bracketed_parse(const char *text, size_t prefix, struct address *a)
{
	const char *begin = text + prefix + 1, *end = strchr(begin, ']');
	char ip[NET_TEXT];

	if (end == NULL || (end[1] != '\0' && end[1] != ':') ||
	    (size_t)(end - text) >= sizeof ip)
		return ADDRESS_BAD;
	snprintf(ip, sizeof ip, "%.*s%.*s", (int)prefix, text,
	    (int)(end - begin), begin);
	if (!net_parse_ip(ip, &a->addr) || a->addr.sa.sa_family != AF_INET6)
		return ADDRESS_BAD;
	if (end[1] == ':')
		a->port = end + 2;
	return ADDRESS_IP;
}

/* "a.b.c.d:PORT" */
static enum address_kind
quad_port_parse(const char *text, struct address *a)
{
	const char *colon = strrchr(text, ':');
	char ip[NET_TEXT];

	if (colon == NULL || (size_t)(colon - text) >= sizeof ip)
		return ADDRESS_BAD;
	snprintf(ip, sizeof ip, "%.*s", (int)(colon - text), text);
	if (!net_parse_ip(ip, &a->addr) || a->addr.sa.sa_family != AF_INET)
		return ADDRESS_BAD;
	a->port = colon + 1;
	return ADDRESS_IP;
}

/*
 * Digits and dots alone are never a name, nor is what DNS does not have, nor
 * one of the old forms of an address (0x7f.1) that the resolver would take.
 */
static bool
could_be_name(const char *text)
{
	struct in_addr old;

	return strspn(text, "0123456789.") != strlen(text) &&
	    inet_aton(text, &old) == 0 &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(text) &&
	    strlen(text) <= 253;
}

enum address_kind
address_parse(const char *text, struct address *a)
{
	size_t prefix = prefix_length(text);

	*a = (struct address){ .port = NULL };
	if (strcmp(text, "*") == 0)
		return ADDRESS_ANY;
	if (text[0] == '/' || strncmp(text, "unix:", 5) == 0)
		return net_parse_unix(text, &a->addr) ? ADDRESS_UNIX :
		    ADDRESS_BAD;
	if (net_parse_ip(text, &a->addr))
		return ADDRESS_IP;
	if (text[prefix] == '[')
		return bracketed_parse(text, prefix, a);
	if (quad_port_parse(text, a) == ADDRESS_IP)
		return ADDRESS_IP;
	return could_be_name(text) ? ADDRESS_NAME : ADDRESS_BAD;
}

/*
 * Brackets delimit, so an unquoted [V6]:PORT comes as up to four tokens; they
 * must touch.
 */
static bool
brackets_read(struct kw_reader *r, struct kw_value *v)
{
	char text[NET_TEXT + 16];
	struct str s;

	str_init(&s, text, sizeof text);
	kw_next(r);
	if (r->tok.kind != LEX_WORD || !r->tok.glued) {
		kw_refuse(r, &v->place, "%s: '[' is not an IP address",
		    r->name);
		return false;
	}
	str_add(&s, "[%s]", r->tok.text);
	kw_next(r);
	if (!lex_is(&r->tok, ']') || !r->tok.glued) {
		kw_expected_text(r, "]");
		return false;
	}
	kw_next(r);
	if (r->tok.kind == LEX_WORD && r->tok.glued &&
	    r->tok.text[0] == ':') {
		str_add(&s, "%s", r->tok.text);
		kw_next(r);
	}
	v->text = arena_strdup(r->arena, text);
	return true;
}

bool
address_read(struct kw_reader *r, struct kw_value *v)
{
	const char *text;

	v->place = r->tok.place;
	if (lex_is(&r->tok, '['))
		return brackets_read(r, v);
	if ((text = kw_text(r)) == NULL)
		return false;
	v->text = text;
	kw_next(r);
	return true;
}

bool
port_read(struct kw_reader *r, struct kw_value *v, unsigned min)
{
	const char *text = kw_text(r);
	uint64_t value;

	if (text == NULL)
		return false;
	if (*text != '\0' && strspn(text, "0123456789") == strlen(text) &&
	    !kw_number(r, KW_KIND_INT, min, 65535, &value))
		return false;
	v->text = text;
	v->place = r->tok.place;
	kw_next(r);
	return true;
}

bool
address_is(const struct kw_reader *r)
{
	struct address a;

	return lex_is(&r->tok, '[') || ((r->tok.kind == LEX_WORD ||
	    r->tok.kind == LEX_STRING) &&
	    address_parse(r->tok.text, &a) == ADDRESS_IP);
}

bool
address_port(struct kw_reader *r, const char *name, const struct kw_value *v,
    const char *transport, unsigned min, unsigned *port)
{
	uint64_t value = 0;
	size_t digits = strspn(v->text, "0123456789");

	if (digits == 0 || v->text[digits] != '\0') {
		if (source_service(r->source, v->text, transport, port) == 0)
			return true;
		kw_bad_place(r, &v->place, "%s: unknown service '%.100s'",
		    name, v->text);
		return false;
	}
	if (!kw_parse_int(v->text, &value) || value < min || value > 65535) {
		kw_bad_place(r, &v->place,
		    "%s: %.100s is out of range (%u to 65535)", name, v->text,
		    min);
		return false;
	}
	*port = (unsigned)value;
	return true;
}

const struct kw_word tls_versions[] = {
	{ "TLSv1.2", SPAWND_TLS_1_2, false },
	{ "TLSv1.3", SPAWND_TLS_1_3, false },
	{ NULL, 0, false },
};

const struct kw_word dtls_versions[] = {
	{ "DTLSv1.0", SPAWND_DTLS_1_0, false },
	{ "DTLSv1.2", SPAWND_DTLS_1_2, false },
	{ "DTLSv1.3", SPAWND_DTLS_1_3, false },
	{ NULL, 0, false },
};

bool
list_read(struct kw_reader *r, const struct kw_word *set, unsigned *bits)
{
	int value;

	*bits = 0;
	for (;;) {
		if (!kw_word_is(r, set, &value)) {
			kw_expected(r, &set, 1);
			return false;
		}
		*bits |= (unsigned)value;
		kw_next(r);
		if (!lex_is(&r->tok, ','))
			return true;
		while (lex_is(&r->tok, ','))
			kw_next(r);
	}
}
