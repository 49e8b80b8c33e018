/*
 * What things are like, as texts of which two can be compared and shown.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "rd_diff_impl.h"

const char *
diff_number(const struct side *s, unsigned n, const char *unit)
{
	return arena_printf(s->arena, "%u%s", n, unit);
}

static const char *
diff_bytes(const struct side *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	char *text = arena_alloc(s->arena, 4 * len + 3), *at = text;

	*at++ = '"';
	for (; len > 0; len--, p++) {
		if (isprint(*p) && *p != '"' && *p != '\\')
			*at++ = (char)*p;
		else {
			static const char digits[] = "0123456789abcdef";

			*at++ = '\\';
			*at++ = 'x';
			*at++ = digits[*p >> 4];
			*at++ = digits[*p & 15];
		}
	}
	*at++ = '"';
	*at = '\0';
	return text;
}

const char *
diff_quoted(const struct side *s, const char *text)
{
	return diff_bytes(s, text, strlen(text));
}

const char *
diff_address(const struct side *s, const struct net_addr *a)
{
	char buf[NET_TEXT];

	return arena_printf(s->arena, "%s:%u", net_ip_text(a, buf),
	    net_port(a));
}

const char *
diff_prefix(const struct side *s, const struct rd_prefix *p)
{
	char buf[NET_TEXT];

	return arena_printf(s->arena, "%s/%u", net_ip_text(&p->addr, buf),
	    p->bits);
}

const char *
diff_check(const struct side *s, const struct rd_check *c)
{
	static const char *const words[] = {
		[RD_CHECK_NONE] = "none", [RD_CHECK_ICMP] = "icmp",
		[RD_CHECK_TCP] = "tcp", [RD_CHECK_HTTP_CODE] = "http",
		[RD_CHECK_HTTP_DIGEST] = "http", [RD_CHECK_SEND] = "send",
		[RD_CHECK_BINARY] = "binary send",
		[RD_CHECK_SCRIPT] = "script",
	};
	const char *text = words[c->kind];

	if (c->kind == RD_CHECK_TCP && c->tls)
		text = "tls";
	else if (c->tls && strcmp(text, "http") == 0)
		text = "https";
	if (c->kind == RD_CHECK_SEND || c->kind == RD_CHECK_BINARY)
		text = arena_printf(s->arena, "%s %s expect %s%s", text,
		    c->send == NULL ? "nothing" :
		    diff_bytes(s, c->send, c->send_len),
		    diff_bytes(s, c->expect, c->expect_len),
		    c->tls ? " tls" : "");
	if (c->path != NULL)
		text = arena_printf(s->arena, "%s %s", text,
		    diff_quoted(s, c->path));
	if (c->host != NULL)
		text = arena_printf(s->arena, "%s host %s", text,
		    diff_quoted(s, c->host));
	if (c->kind == RD_CHECK_HTTP_CODE)
		text = arena_printf(s->arena, "%s code %u", text, c->code);
	if (c->kind == RD_CHECK_HTTP_DIGEST)
		text = arena_printf(s->arena, "%s digest %s", text,
		    c->digest != NULL ? c->digest : "");
	return text;
}

const char *
diff_use(const struct side *s, const struct rd_use *u)
{
	static const char *const modes[] = {
		[RD_ROUNDROBIN] = "roundrobin", [RD_RANDOM] = "random",
		[RD_LEAST_STATES] = "least-states",
		[RD_SOURCE_HASH] = "source-hash",
		[RD_LOADBALANCE] = "loadbalance", [RD_HASH] = "hash",
	};
	const char *text;

	if (u->table == NULL)
		return "no";
	text = arena_printf(s->arena, "<%s> port %u mode %s",
	    u->table->template, u->port, modes[u->mode]);
	if (u->key.given)
		text = arena_printf(s->arena, "%s 0x%08" PRIx32 "%08" PRIx32
		    "%08" PRIx32 "%08" PRIx32, text, u->key.word[0],
		    u->key.word[1], u->key.word[2], u->key.word[3]);
	return text;
}

const char *
diff_join(const struct side *s, const char *list, const char *item)
{
	if (list == NULL)
		return item;
	return arena_printf(s->arena, "%s, %s", list, item);
}
