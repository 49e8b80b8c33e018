/*
 * relayd.conf up to the builder: which calls a text is, and what is said of
 * texts that are wrong. The builder here writes down what it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "relayd/rd_parse.h"

/* ---- the builder that writes down ---- */

struct rd_build {
	struct arena	*arena;
	FILE		*calls;
};

static const char *
word(const struct rd_build *b, const struct rd_word *w)
{
	if (w == NULL || w->text == NULL)
		return "-";
	assert_int_equal(strlen(w->text), w->len);
	return w->quoted ? arena_printf(b->arena, "'%s'", w->text) : w->text;
}

static const char *
number(const struct rd_build *b, const struct rd_number *n)
{
	if (!n->given)
		return "-";
	return arena_printf(b->arena, "%lld", (long long)n->value);
}

static const char *
port(const struct rd_build *b, const struct rd_port *p)
{
	if (!p->given)
		return "-";
	return p->is_number ? number(b, &p->number) : word(b, &p->word);
}

static const char *
match(const struct rd_build *b, const struct rd_match_text *m)
{
	static const char *const matchers[] = { [RD_NATURAL] = "",
	    [RD_GLOB] = "glob ", [RD_GLOB_IGNORECASE] = "iglob ",
	    [RD_PATTERN] = "pattern " };

	assert_int_equal(m->matcher != RD_NATURAL,
	    m->matcher_place.line != 0);
	return arena_printf(b->arena, "%s%s", matchers[m->matcher],
	    word(b, &m->word));
}

/* One call: its line, its name, what comes with it. */
#define CALL(line, ...) do {						\
	unsigned at = (line);						\
	if (at != 0)							\
		fprintf(b->calls, "%u ", at);				\
	fprintf(b->calls, __VA_ARGS__);					\
	fputs("; ", b->calls);						\
} while (0)

struct arena *
rd_build_arena(struct rd_build *b)
{
	return b->arena;
}

void
rd_statement_failed(struct rd_build *b)
{
	CALL(0, "failed");
}

void
rd_global_number(struct rd_build *b, enum rd_global what,
    const struct rd_number *n)
{
	static const char *const names[] = { "interval", "timeout",
	    "prefork" };

	CALL(n->place.line, "%s %s", names[what], number(b, n));
}

void
rd_global_socket(struct rd_build *b, const struct rd_word *path)
{
	CALL(path->place.line, "socket %s", word(b, path));
}

void
rd_global_log(struct rd_build *b, unsigned bits,
    const struct diag_place *place)
{
	CALL(place->line, "log %u", bits);
}

void
rd_global_agentx(struct rd_build *b, const struct rd_word *context,
    const struct rd_word *path, const struct diag_place *place)
{
	CALL(place->line, "agentx %s %s", word(b, context), word(b, path));
}

void
rd_table_begin(struct rd_build *b, const struct rd_word *name)
{
	CALL(name->place.line, "table %s", word(b, name));
}

void
rd_table_disable(struct rd_build *b)
{
	CALL(0, "table disable");
}

void
rd_host(struct rd_build *b, const struct rd_word *address)
{
	CALL(address->place.line, "host %s", word(b, address));
}

void
rd_host_flag(struct rd_build *b, enum rd_host_flag flag,
    const struct rd_number *n)
{
	static const char *const names[] = { "retry", "parent", "priority",
	    "ttl" };

	CALL(0, "%s %s", names[flag], number(b, n));
}

void
rd_table_end(struct rd_build *b)
{
	CALL(0, "end table");
}

void
rd_use_begin(struct rd_build *b, const struct rd_word *table)
{
	CALL(table->place.line, "use %s", word(b, table));
}

void
rd_use_port(struct rd_build *b, const struct rd_port *p)
{
	CALL(0, "port %s", port(b, p));
}

void
rd_use_check(struct rd_build *b, const struct rd_check_text *c)
{
	static const char *const kinds[] = { "none", "icmp", "tcp", "code",
	    "digest", "send", "binary", "script" };

	CALL(c->place.line, "check %s%s path %s host %s code %s digest %s "
	    "send %s expect %s", kinds[c->kind], c->tls ? " tls" : "",
	    word(b, &c->path), word(b, &c->host), number(b, &c->code),
	    word(b, &c->digest), word(b, &c->send), word(b, &c->expect));
}

void
rd_use_timeout(struct rd_build *b, const struct rd_number *n)
{
	CALL(0, "timeout %s", number(b, n));
}

void
rd_use_interval(struct rd_build *b, const struct rd_number *n)
{
	CALL(0, "interval %s", number(b, n));
}

void
rd_use_demote(struct rd_build *b, const struct rd_word *group)
{
	CALL(0, "demote %s", word(b, group));
}

void
rd_use_mode(struct rd_build *b, enum rd_mode mode, const char *name,
    const struct rd_word *key, const struct diag_place *place)
{
	CALL(place->line, "mode %d %s %s", (int)mode,
	    name == NULL ? "-" : name, word(b, key));
}

void
rd_disable(struct rd_build *b)
{
	CALL(0, "disable");
}

void
rd_session_timeout(struct rd_build *b, const struct rd_number *n)
{
	CALL(n->place.line, "session timeout %s", number(b, n));
}

void
rd_redirect_begin(struct rd_build *b, const struct rd_word *name)
{
	CALL(name->place.line, "redirect %s", word(b, name));
}

void
rd_redirect_listen(struct rd_build *b, const struct rd_word *address,
    const struct rd_word *proto, const struct rd_port *p,
    const struct rd_word *interface, bool pflog)
{
	CALL(address->place.line, "listen %s %s %s %s%s", word(b, address),
	    word(b, proto), port(b, p), word(b, interface),
	    pflog ? " pflog" : "");
}

void
rd_redirect_to(struct rd_build *b, bool route, bool transparent,
    const struct rd_word *interface, const struct diag_place *place)
{
	CALL(place->line, "%s%s %s", transparent ? "transparent " : "",
	    route ? "route" : "forward", word(b, interface));
}

void
rd_redirect_tag(struct rd_build *b, bool is_match, const struct rd_word *tag)
{
	CALL(tag->place.line, "%spftag %s", is_match ? "match " : "",
	    word(b, tag));
}

void
rd_redirect_sticky(struct rd_build *b)
{
	CALL(0, "sticky");
}

void
rd_redirect_end(struct rd_build *b)
{
	CALL(0, "end redirect");
}

void
rd_relay_begin(struct rd_build *b, const struct rd_word *name)
{
	CALL(name->place.line, "relay %s", word(b, name));
}

void
rd_relay_listen(struct rd_build *b, const struct rd_word *address,
    const struct rd_port *p, bool tls)
{
	CALL(address->place.line, "listen %s %s%s", word(b, address),
	    port(b, p), tls ? " tls" : "");
}

void
rd_relay_forward(struct rd_build *b, const struct rd_forward *f)
{
	static const char *const targets[] = { "none", "address",
	    "destination", "nat" };

	CALL(f->place.line, "%s%s%s to %s %s %s %s map %d %s proxy %d",
	    f->transparent ? "transparent " : "",
	    f->route ? "route" : "forward", f->with_tls ? " tls" : "",
	    f->table ? "table" : targets[f->target], word(b, &f->address),
	    port(b, &f->port), number(b, &f->retry), (int)f->map,
	    word(b, &f->prefix), (int)f->proxy);
}

void
rd_relay_protocol(struct rd_build *b, const struct rd_word *name)
{
	CALL(name->place.line, "protocol %s", word(b, name));
}

void
rd_relay_end(struct rd_build *b)
{
	CALL(0, "end relay");
}

void
rd_protocol_begin(struct rd_build *b, const struct rd_word *type,
    const struct rd_word *name)
{
	CALL(name->place.line, "proto %s %s", word(b, type), word(b, name));
}

void
rd_tcp_option(struct rd_build *b, enum rd_tcp_option option, bool on,
    const struct rd_number *n, const struct rd_word *w,
    const struct diag_place *place)
{
	static const char *const names[] = { "nodelay", "sack", "splice",
	    "failover", "backlog", "buffer", "ip" };

	CALL(place->line, "%s%s %s %s", on ? "" : "no ", names[option],
	    number(b, n), word(b, w));
}

void
rd_tls_option(struct rd_build *b, enum rd_tls_option option, bool on,
    const struct rd_word *one, const struct rd_word *two,
    const struct diag_place *place)
{
	static const char *const names[] = { "tickets", "ciphers", "ecdhe",
	    "edh", "ca-file", "ca-cert", "ca-key", "client-ca", "keypair",
	    "flag" };

	CALL(place->line, "%s%s %s %s", on ? "" : "no ", names[option],
	    word(b, one), word(b, two));
}

void
rd_tls_keypair_file(struct rd_build *b, const struct rd_word *which,
    const struct rd_word *path)
{
	CALL(which->place.line, "%s %s", word(b, which), word(b, path));
}

void
rd_http_option(struct rd_build *b, enum rd_http_option option, bool on,
    const struct rd_number *n, const struct diag_place *place)
{
	CALL(place->line, "%s%s %s", on ? "" : "no ",
	    option == RD_HTTP_HEADERLEN ? "headerlen" : "websockets",
	    number(b, n));
}

void
rd_return_error(struct rd_build *b, const struct rd_word *style,
    const struct diag_place *place)
{
	CALL(place->line, "return-error %s", word(b, style));
}

void
rd_list_begin(struct rd_build *b, enum rd_list list,
    const struct diag_place *place)
{
	static const char *const names[] = { "tcp", "tls", "http", "error" };

	CALL(place->line, "%s[", names[list]);
}

void
rd_list_end(struct rd_build *b)
{
	CALL(0, "]");
}

void
rd_rule_begin(struct rd_build *b, const struct rd_rule_head *h)
{
	static const char *const actions[] = { "pass", "block", "match" };

	CALL(h->place.line, "%s %s%s%s from %s/%s to %s/%s",
	    actions[h->action],
	    h->direction == RD_REQUEST ? "request" : "response",
	    h->quick ? " quick" : "", h->family == AF_INET ? " inet" :
	    h->family == AF_INET6 ? " inet6" : "", word(b, &h->from),
	    number(b, &h->from_bits), word(b, &h->to),
	    number(b, &h->to_bits));
}

void
rd_rule_lookup(struct rd_build *b, const struct rd_lookup_text *t)
{
	static const char *const parts[] = { "header", "query", "path",
	    "url", "cookie" };
	static const char *const ops[] = { "", " append", " set", " remove",
	    " hash", " log", " strip" };

	CALL(t->place.line, "%s%s%s%s %s = %s%s%s", parts[t->part],
	    ops[t->op], t->digest ? " digest" : "", t->file ? " file" : "",
	    match(b, &t->key), match(b, &t->value),
	    t->strip.given ? " " : "",
	    t->strip.given ? number(b, &t->strip) : "");
}

void
rd_rule_file(struct rd_build *b, const struct rd_match_text *path,
    const struct rd_match_text *value)
{
	CALL(path->word.place.line, "file %s = %s", match(b, path),
	    match(b, value));
}

void
rd_rule_option(struct rd_build *b, enum rd_rule_option option,
    const struct rd_word *w, const struct diag_place *place)
{
	static const char *const names[] = { "method", "to", "tag", "no tag",
	    "tagged", "label", "no label" };

	CALL(place->line, "%s %s", names[option], word(b, w));
}

void
rd_rule_end(struct rd_build *b)
{
	CALL(0, "end rule");
}

void
rd_protocol_end(struct rd_build *b)
{
	CALL(0, "end proto");
}

void
rd_router_begin(struct rd_build *b, const struct rd_word *name)
{
	CALL(name->place.line, "router %s", word(b, name));
}

void
rd_router_route(struct rd_build *b, const struct rd_word *address,
    const struct rd_number *bits)
{
	CALL(address->place.line, "route %s/%s", word(b, address),
	    number(b, bits));
}

void
rd_router_forward(struct rd_build *b, const struct diag_place *place)
{
	CALL(place->line, "forward");
}

void
rd_router_rtable(struct rd_build *b, const struct rd_number *n)
{
	CALL(n->place.line, "rtable %s", number(b, n));
}

void
rd_router_rtlabel(struct rd_build *b, const struct rd_word *label)
{
	CALL(label->place.line, "rtlabel %s", word(b, label));
}

void
rd_router_end(struct rd_build *b)
{
	CALL(0, "end router");
}

/* ---- running it ---- */

/* Files that texts include; relative paths are below /base. */
static const struct {
	const char	*name, *text;
} files[] = {
	{ "/base/globals", "interval 20\nm = \"within\"" },
	{ "/base/hosts", "10.0.0.8\n# two\n10.0.0.9 retry 1" },
	{ "/base/redirect", "sticky-address\n" },
	{ "/base/relay", "disable" },
	{ "/base/protocol", "pass\nblock" },
	{ "/base/router", "\nrtable 1\n" },
	{ "/base/self", "include \"self\"\ninclude \"self\"\n" },
	{ "/base/bad", "interval 5\n\nbogus\n" },
	{ "/base/open", "interval 5\ninclude \"/etc" },
	{ "/base/empty", "" },
};

struct run {
	char	*calls, *said;
};

static void
run_source(struct source *s, const char *text, size_t len)
{
	source_add(s, SOURCE_TEXT, "/base/main", text, len);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		source_add(s, SOURCE_TEXT, files[i].name, files[i].text,
		    strlen(files[i].text));
	for (unsigned i = 1; i <= RD_INCLUDES; i++) {
		char name[32], line[64];

		snprintf(name, sizeof name, "/base/deep%u", i);
		snprintf(line, sizeof line, i == RD_INCLUDES ?
		    "interval %u\n" : "include \"deep%u\"\n", i + 1);
		source_add(s, SOURCE_TEXT, name, line, strlen(line));
	}
}

static void
run_text(struct run *r, const char *text, size_t len, bool verbose)
{
	static const struct rd_macro macros[] = { { "site", "lab" },
	    { "site", "second" }, { "used", "1" } };
	struct rd_request q = { .file = "main", .directory = "/base",
	    .macros = macros, .nmacros = 3, .verbose = verbose };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_build b = { .arena = arena_new() };
	struct diag_place end;
	size_t n;

	run_source(s, text, len);
	b.calls = open_memstream(&r->calls, &n);
	rd_read(&q, s, d, &b, &end);
	fclose(b.calls);
	assert_string_equal(end.file, "main");
	b.calls = open_memstream(&r->said, &n);
	diag_print(d, b.calls, s, false);
	fclose(b.calls);
	arena_free(b.arena);
	diag_free(d);
	source_free(s);
}

static void
run_free(struct run *r)
{
	free(r->calls);
	free(r->said);
}

/* without the blank at the end */
static void
is_text(const char *in, char *got, const char *want)
{
	size_t len = strlen(got);

	while (len > 0 && (got[len - 1] == ' ' || got[len - 1] == '\n'))
		got[--len] = '\0';
	if (strcmp(got, want) != 0)
		fail_msg("of: %s\n got: %s\nwant: %s", in, got, want);
}

static const struct {
	const char	*in, *calls;
} good[] = {
	/* lexer */
	{ "",
	    "" },
	{ "\n\n",
	    "" },
	{ "interval 5",
	    "1 interval 5;" },
	{ "interval\t5 # five\n",
	    "1 interval 5;" },
	{ "# all \\\ninterval 1\ninterval 2\n",
	    "3 interval 2;" },
	{ "interval \\\n 5\ntimeout 6\n",
	    "2 interval 5; 3 timeout 6;" },
	{ "int\\\nerval 7\ntimeout 8",
	    "2 interval 7; 3 timeout 8;" },
	{ "interval 5\r\ntimeout 6\r\n",
	    "1 interval 5; 2 timeout 6;" },
	{ "socket \"/a b\"\n",
	    "1 socket '/a b';" },
	{ "socket '/a\"b'\n",
	    "1 socket '/a\"b';" },
	{ "socket \"/a\n/b\"\ninterval 1\n",
	    "1 socket '/a/b'; 3 interval 1;" },
	{ "socket \"/a\\\n/b\"\ninterval 1\n",
	    "1 socket '/a/b'; 3 interval 1;" },
	{ "socket \"a\\\"b\"\n",
	    "1 socket 'a\"b';" },
	{ "socket \"\\n\\ \\\tx\"\n",
	    "1 socket '\\n \tx';" },
	{ "socket \"a\\\\\"\n",
	    "1 socket 'a\\\\';" },
	{ "socket \"a\\\\\\\"b\"\n",
	    "1 socket 'a\\\\\"b';" },
	{ "socket 'a\\\\'\n",
	    "1 socket 'a\\\\';" },
	{ "socket \"a\\\\ b\"\n",
	    "1 socket 'a\\\\ b';" },
	{ "socket 'a\\\"b'\n",
	    "1 socket 'a\\\"b';" },
	{ "socket a\\\\\n",
	    "1 socket a\\;" },
	{ "socket \"$site\"\n",
	    "1 socket '$site';" },
	{ "socket \"\"\n",
	    "1 socket '';" },
	{ "socket \"interval\"\n",
	    "1 socket 'interval';" },
	{ "socket a\"b$c\\.d\n",
	    "1 socket a\"b$c.d;" },
	{ "socket abc#def\n",
	    "1 socket abc;" },
	{ "socket 10.0.0.1\n",
	    "1 socket 10.0.0.1;" },
	{ "socket 0x1f\n",
	    "1 socket 0x1f;" },
	{ "socket 1st\n",
	    "1 socket 1st;" },
	{ "socket :x\n",
	    "1 socket :x;" },
	{ "socket _x\n",
	    "1 socket _x;" },
	{ "socket 8000:8010\n",
	    "1 socket 8000:8010;" },
	{ "interval -5\n",
	    "1 interval -5;" },
	{ "interval 9223372036854775807\n",
	    "1 interval 9223372036854775807;" },
	{ "timeout -9223372036854775808\n",
	    "1 timeout -9223372036854775808;" },
	{ "socket a\\*b\n",
	    "1 socket a*b;" },
	{ "socket \\abc\n",
	    "1 socket abc;" },
	{ "table <a> { 10.0.0.1,10.0.0.2 }\n",
	    "1 table a; 1 host 10.0.0.1; 1 host 10.0.0.2; end table;" },
	/* macros */
	{ "a = \"5\"\ninterval $a\n",
	    "2 interval 5;" },
	{ "a = b\nsocket $a\n",
	    "2 socket b;" },
	{ "a = '\"x y\"'\nsocket $a\n",
	    "2 socket 'x y';" },
	{ "a = \"10.1\"\ntable <x> { $a.2.3 }\n",
	    "2 table x; 2 host 10.1.2.3; end table;" },
	{ "a = \"x\"\nsocket $a$a\n",
	    "2 socket x$a;" },
	{ "a = \"x\"\na = \"y\"\nsocket $a\n",
	    "3 socket y;" },
	{ "site = \"file\"\nsocket $site\n",
	    "2 socket lab;" },
	{ "a = \"interval 5\"\n$a\n",
	    "2 interval 5;" },
	{ "a = \"\"\nsocket $a x\n",
	    "2 socket x;" },
	{ "e = \" \"\ninterval $e 5\n",
	    "2 interval 5;" },
	{ "a = \"10.0.0.1, 10.0.0.2\"\ntable <$site> { $a }\n",
	    "2 table lab; 2 host 10.0.0.1; 2 host 10.0.0.2; end table;" },
	{ "w = \"port http\"\nrelay \"a\" {\nlisten on 1.1.1.1 $w\n"
	    "}\n",
	    "2 relay 'a'; 3 listen 1.1.1.1 http; end relay;" },
	{ "a = \"x #\"\nsocket $a y\n",
	    "2 socket x;" },
	{ "a = \"5\"\nb = \"a\"\ninterval $a\nsocket $b\n",
	    "3 interval 5; 4 socket a;" },
	{ "web-ip = \"x\"\n",
	    "" },
	{ "snmp = \"x\"\nservice = \"y\"\nsocket $snmp$service\n",
	    "3 socket x$service;" },
	{ "relais = relais\n",
	    "" },
	{ "i = '\"empty\"'\ninclude $i\n",
	    "" },
	{ "a = \"80\"\nrelay \"a\" {\nlisten on 1.1.1.1 port $a\n"
	    "}\n",
	    "2 relay 'a'; 3 listen 1.1.1.1 80; end relay;" },
	{ "glob = pattern\nsocket $glob\n",
	    "2 socket pattern;" },
	/* includes */
	{ "include \"globals\"\nsocket $m\n",
	    "1 interval 20; 2 socket within;" },
	{ "m = \"x\"\ninclude \"globals\"\nsocket $m\n",
	    "1 interval 20; 3 socket within;" },
	{ "table <a> {\n include \"hosts\"\n}\n",
	    "1 table a; 1 host 10.0.0.8; 3 host 10.0.0.9; retry 1; end tabl"
	    "e;" },
	{ "table <a> { 10.0.0.1 include \"hosts\" 10.0.0.2 }\n",
	    "1 table a; 1 host 10.0.0.1; 1 host 10.0.0.8; 3 host 10.0.0.9; "
	    "retry 1; 1 host 10.0.0.2; end table;" },
	{ "table <a> { include \"hosts\", 10.0.0.2 }\n",
	    "1 table a; 1 host 10.0.0.8; 3 host 10.0.0.9; retry 1; 1 host 1"
	    "0.0.0.2; end table;" },
	{ "redirect \"a\" {\ninclude \"redirect\"\ndisable\n"
	    "}\n",
	    "1 redirect 'a'; sticky; disable; end redirect;" },
	{ "relay \"a\" {\ninclude \"relay\"\nsession timeout 5\n"
	    "}\n",
	    "1 relay 'a'; disable; 3 session timeout 5; end relay;" },
	{ "http protocol \"a\" {\ninclude \"protocol\"\n"
	    "match\n}\n",
	    "1 proto http 'a'; 1 pass request from -/- to -/-; end rule; 2 "
	    "block request from -/- to -/-; end rule; 3 match request from "
	    "-/- to -/-; end rule; end proto;" },
	{ "router \"a\" {\n disable\n include \"router\"\n"
	    "}\n",
	    "1 router 'a'; disable; 2 rtable 1; end router;" },
	{ "include \"deep1\"\ntimeout 1\n",
	    "1 interval 17; 2 timeout 1;" },
	{ "include \"empty\"\ninclude \"/base/globals\"\n",
	    "1 interval 20;" },
	{ "redirect \"a\" { include \"redirect\"\n}\n",
	    "1 redirect 'a'; sticky; end redirect;" },
	/* globals */
	{ "interval 1\ntimeout 2\nprefork 3\nsocket s\n",
	    "1 interval 1; 2 timeout 2; 3 prefork 3; 4 socket s;" },
	{ "log state changes\nlog host checks\nlog connection\n"
	    "log connection errors\n",
	    "1 log 1; 2 log 2; 3 log 4; 4 log 8;" },
	{ "agentx\nagentx path \"/p\"\nagentx context c\n"
	    "agentx context c path p\n",
	    "1 agentx - -; 2 agentx - '/p'; 3 agentx c -; 4 agentx c p;" },
	/* tables */
	{ "table <a> { 10.0.0.1 }\n",
	    "1 table a; 1 host 10.0.0.1; end table;" },
	{ "table <a> disable { 10.0.0.1 10.0.0.2 } disable\n",
	    "1 table a; table disable; 1 host 10.0.0.1; 1 host 10.0.0.2; ta"
	    "ble disable; end table;" },
	{ "table <a> { 10.0.0.1 retry 1 parent 2 priority 3 ip ttl 4, 10."
	    "0.0.2 }\n",
	    "1 table a; 1 host 10.0.0.1; retry 1; parent 2; priority 3; ttl"
	    " 4; 1 host 10.0.0.2; end table;" },
	{ "table <a> {\n\n10.0.0.1,\n10.0.0.2\n,\n10.0.0.3\n"
	    "\n,}\n",
	    "1 table a; 3 host 10.0.0.1; 4 host 10.0.0.2; 6 host 10.0.0.3; "
	    "end table;" },
	{ "table <a> { }\n",
	    "1 table a; end table;" },
	{ "table <a> {\n}\n",
	    "1 table a; end table;" },
	{ "table <a> { 1.1.1.1 } { 2.2.2.2 }\n",
	    "1 table a; 1 host 1.1.1.1; 1 host 2.2.2.2; end table;" },
	{ "table <\"hash\"> { \"glob\" pattern }\n",
	    "1 table 'hash'; 1 host 'glob'; 1 host pattern; end table;" },
	{ "table <ssl> { all }\n",
	    "1 table ssl; 1 host all; end table;" },
	{ "table <a> disable\n",
	    "1 table a; table disable; end table;" },
	{ "table <a> {\n1.1.1.1\n}\n\ninterval 5\n",
	    "1 table a; 2 host 1.1.1.1; end table; 5 interval 5;" },
	/* uses */
	{ "relay \"a\" {\nforward to <t> check icmp\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 check icmp path - host - code - digest"
	    " - send - expect -; 2 forward to table - - - map 0 - proxy 0; "
	    "end relay;" },
	{ "relay \"a\" {\nforward to <t> check tcp\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 check tcp path - host - code - digest "
	    "- send - expect -; 2 forward to table - - - map 0 - proxy 0; e"
	    "nd relay;" },
	{ "relay \"a\" {\nforward to <t> check tls\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 check tcp tls path - host - code - dig"
	    "est - send - expect -; 2 forward to table - - - map 0 - proxy "
	    "0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check http \"/\" code 200\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 check code path '/' host - code 200 di"
	    "gest - send - expect -; 2 forward to table - - - map 0 - proxy"
	    " 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check https \"/\" host \"h\" dig"
	    "est \"d\"\n}\n",
	    "1 relay 'a'; 2 use t; 2 check digest tls path '/' host 'h' cod"
	    "e - digest 'd' send - expect -; 2 forward to table - - - map 0"
	    " - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check https https host https cod"
	    "e 1\n}\n",
	    "1 relay 'a'; 2 use t; 2 check code tls path https host https c"
	    "ode 1 digest - send - expect -; 2 forward to table - - - map 0"
	    " - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check send nothing expect \"x\""
	    "\n}\n",
	    "1 relay 'a'; 2 use t; 2 check send path - host - code - digest"
	    " - send - expect 'x'; 2 forward to table - - - map 0 - proxy 0"
	    "; end relay;" },
	{ "relay \"a\" {\nforward to <t> check send \"a\" expect \"b\" tl"
	    "s\n}\n",
	    "1 relay 'a'; 2 use t; 2 check send tls path - host - code - di"
	    "gest - send 'a' expect 'b'; 2 forward to table - - - map 0 - p"
	    "roxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check binary send nothing expect"
	    " \"00\"\n}\n",
	    "1 relay 'a'; 2 use t; 2 check binary path - host - code - dige"
	    "st - send - expect '00'; 2 forward to table - - - map 0 - prox"
	    "y 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check binary send \"00\" expect "
	    "\"01\" tls\n}\n",
	    "1 relay 'a'; 2 use t; 2 check binary tls path - host - code - "
	    "digest - send '00' expect '01'; 2 forward to table - - - map 0"
	    " - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> check script \"/s\"\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 check script path '/s' host - code - d"
	    "igest - send - expect -; 2 forward to table - - - map 0 - prox"
	    "y 0; end relay;" },
	{ "relay \"a\" {\nforward to <t>\n}\n",
	    "1 relay 'a'; 2 use t; 2 forward to table - - - map 0 - proxy 0"
	    "; end relay;" },
	{ "relay \"a\" {\nforward to <t> port 80 timeout 5 interval 6 dem"
	    "ote g\n}\n",
	    "1 relay 'a'; 2 use t; port 80; timeout 5; interval 6; demote g"
	    "; 2 forward to table - - - map 0 - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> port http mode\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; port http; 2 mode 0 - -; 2 forward to ta"
	    "ble - - - map 0 - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> port a:b mode hash 0x01 mode ran"
	    "dom\n}\n",
	    "1 relay 'a'; 2 use t; port a:b; 2 mode 5 hash 0x01; 2 mode 1 r"
	    "andom -; 2 forward to table - - - map 0 - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to <t> mode roundrobin mode least-state"
	    "s mode source-hash \"k\" mode loadbalance mode \"x\"\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; 2 mode 0 roundrobin -; 2 mode 2 least-st"
	    "ates -; 2 mode 3 source-hash 'k'; 2 mode 4 loadbalance -; 2 mo"
	    "de 0 - 'x'; 2 forward to table - - - map 0 - proxy 0; end rela"
	    "y;" },
	{ "relay \"a\" {\nforward to <\"hash\"> port \"http\"\n"
	    "}\n",
	    "1 relay 'a'; 2 use 'hash'; port 'http'; 2 forward to table - -"
	    " - map 0 - proxy 0; end relay;" },
	/* redirects */
	{ "redirect \"a\" {\n\n}\n",
	    "1 redirect 'a'; end redirect;" },
	{ "redirect \"a\" {}\n",
	    "1 redirect 'a'; end redirect;" },
	{ "redirect \"a\" { disable }\n",
	    "1 redirect 'a'; disable; end redirect;" },
	{ "redirect \"a\" {\nlisten on h port 80\nlisten on h tcp port 80"
	    ":90 interface em0 pflog\nlisten on h udp port domain pflog\n"
	    "}\n",
	    "1 redirect 'a'; 2 listen h - 80 -; 3 listen h tcp 80:90 em0 pf"
	    "log; 4 listen h udp domain - pflog; end redirect;" },
	{ "redirect \"a\" {\nforward to <t> check tcp\n"
	    "route to <t> port 80 interface em0\ntransparent forward to <t>"
	    " check icmp interface i\n}\n",
	    "1 redirect 'a'; 2 use t; 2 check tcp path - host - code - dige"
	    "st - send - expect -; 2 forward -; 3 use t; port 80; 3 route e"
	    "m0; 4 use t; 4 check icmp path - host - code - digest - send -"
	    " expect -; 4 transparent forward i; end redirect;" },
	{ "redirect \"a\" {\npftag A\nmatch pftag \"B\"\n"
	    "session timeout 5\nsticky-address\ndisable\n"
	    "}\n",
	    "1 redirect 'a'; 2 pftag A; 3 match pftag 'B'; 4 session timeou"
	    "t 5; sticky; disable; end redirect;" },
	{ "redirect \"a\"\t{ sticky-address\n\n\ndisable }\n",
	    "1 redirect 'a'; sticky; disable; end redirect;" },
	{ "redirect service { }\n",
	    "1 redirect service; end redirect;" },
	/* relays */
	{ "relay \"a\" {\nlisten on ::1 port 1 tls\n"
	    "listen on h port http\nlisten on all port https\n"
	    "}\n",
	    "1 relay 'a'; 2 listen ::1 1 tls; 3 listen h http; 4 listen all"
	    " https; end relay;" },
	{ "relay \"a\" {\nforward to h\nforward to h port 1\n"
	    "forward to h port 1 retry 2\nforward to h retry 2\n"
	    "}\n",
	    "1 relay 'a'; 2 forward to address h - - map 0 - proxy 0; 3 for"
	    "ward to address h 1 - map 0 - proxy 0; 4 forward to address h "
	    "1 2 map 0 - proxy 0; 5 forward to address h - 2 map 0 - proxy "
	    "0; end relay;" },
	{ "relay \"a\" {\nforward with tls to nat lookup\n"
	    "transparent forward to nat lookup retry 1\n"
	    "forward to destination\nforward to destination retry 3\n"
	    "}\n",
	    "1 relay 'a'; 2 forward tls to nat - - - map 0 - proxy 0; 3 tra"
	    "nsparent forward to nat - - 1 map 0 - proxy 0; 4 forward to de"
	    "stination - - - map 0 - proxy 0; 5 forward to destination - - "
	    "3 map 0 - proxy 0; end relay;" },
	{ "relay \"a\" {\nforward to destination inet\n"
	    "forward to destination retry 1 inet6 2001:db8::\n"
	    "forward to h port 1 proxy-protocol v1\nforward to <t> port 1 i"
	    "net proxy-protocol v2\n}\n",
	    "1 relay 'a'; 2 forward to destination - - - map 1 - proxy 0; 3"
	    " forward to destination - - 1 map 2 2001:db8:: proxy 0; 4 forw"
	    "ard to address h 1 - map 0 - proxy 1; 5 use t; port 1; 5 forwa"
	    "rd to table - - - map 1 - proxy 2; end relay;" },
	{ "relay \"a\" {\nroute to <t> port 80\nprotocol \"p\"\n"
	    "protocol ssl\nsession timeout 9\ndisable\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; port 80; 2 route to table - - - map 0 - "
	    "proxy 0; 3 protocol 'p'; 4 protocol ssl; 5 session timeout 9; "
	    "disable; end relay;" },
	{ "relay \"a\" {\ntransparent forward with tls to <t> check tls p"
	    "ort 5 mode random inet6 \"::\"\n}\n",
	    "1 relay 'a'; 2 use t; 2 check tcp tls path - host - code - dig"
	    "est - send - expect -; port 5; 2 mode 1 random -; 2 transparen"
	    "t forward tls to table - - - map 2 '::' proxy 0; end relay;" },
	{ "relay \"relay\" { disable }\nrelay b { }\n",
	    "1 relay 'relay'; disable; end relay; 2 relay b; end relay;" },
	/* protocols */
	{ "protocol \"a\"\n",
	    "1 proto - 'a'; end proto;" },
	{ "tcp protocol a\nhttp protocol b {}\ndns protocol c\n"
	    "smtp protocol \"snmp\" {\n}\n",
	    "1 proto tcp a; end proto; 2 proto http b; end proto; 3 proto d"
	    "ns c; end proto; 4 proto smtp 'snmp'; end proto;" },
	{ "http protocol \"a\" {\ntcp nodelay\ntcp no sack\n"
	    "tcp { splice, no splice\nfailover no failover }\n"
	    "tcp { backlog 1, socket buffer 2 }\n}\n",
	    "1 proto http 'a'; 2 tcp[; 2 nodelay - -; ]; 3 tcp[; 3 no sack "
	    "- -; ]; 4 tcp[; 4 splice - -; 4 no splice - -; 5 failover - -;"
	    " 5 no failover - -; ]; 6 tcp[; 6 backlog 1 -; 6 buffer 2 -; ];"
	    " end proto;" },
	{ "http protocol \"a\" {\ntcp ip ttl 1\ntcp ip \"ttl\" 2\n"
	    "tcp ip minttl 3\ntcp { ip MinTTL 4 }\n}\n",
	    "1 proto http 'a'; 2 tcp[; 2 ip 1 ttl; ]; 3 tcp[; 3 ip 2 'ttl';"
	    " ]; 4 tcp[; 4 ip 3 minttl; ]; 5 tcp[; 5 ip 4 MinTTL; ]; end pr"
	    "oto;" },
	{ "http protocol \"a\" {\ntcp {\nnodelay\n,\n"
	    "sack,\n}\n}\n",
	    "1 proto http 'a'; 2 tcp[; 3 nodelay - -; 5 sack - -; ]; end pr"
	    "oto;" },
	{ "http protocol \"a\" {\ntls { session tickets, no session ticke"
	    "ts }\ntls ciphers \"c\"\ntls ecdhe default\n"
	    "tls { edh, edh params auto no edh }\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 tickets - -; 2 no tickets - -; ]; "
	    "3 tls[; 3 ciphers 'c' -; ]; 4 tls[; 4 ecdhe default -; ]; 5 tl"
	    "s[; 5 edh - -; 5 edh auto -; 5 no edh - -; ]; end proto;" },
	{ "http protocol \"a\" {\ntls ca file \"f\"\n"
	    "tls { ca cert c, ca key k password \"\" }\n"
	    "tls client ca \"d\"\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 ca-file 'f' -; ]; 3 tls[; 3 ca-cer"
	    "t c -; 3 ca-key k ''; ]; 4 tls[; 4 client-ca 'd' -; ]; end pro"
	    "to;" },
	{ "http protocol \"a\" {\ntls { keypair a, keypair \"b\" cert c k"
	    "ey \"d\" ocsp e certificate f }\ntls keypair ocsp\n"
	    "}\n",
	    "1 proto http 'a'; 2 tls[; 2 keypair a -; 2 keypair 'b' -; 2 ce"
	    "rt c; 2 key 'd'; 2 ocsp e; 2 certificate f; ]; 3 tls[; 3 keypa"
	    "ir ocsp -; ]; end proto;" },
	{ "http protocol \"a\" {\ntls { tlsv1.2, no tlsv1.3 cipher-server"
	    "-preference no client-renegotiation \"quoted\" glob server-nam"
	    "e }\ntls tlsv1\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 flag tlsv1.2 -; 2 no flag tlsv1.3 "
	    "-; 2 flag cipher-server-preference -; 2 no flag client-renegot"
	    "iation -; 2 flag 'quoted' -; 2 flag glob -; 2 flag server-name"
	    " -; ]; 3 tls[; 3 flag tlsv1 -; ]; end proto;" },
	{ "http protocol \"a\" {\nhttp { headerlen 5, websockets, no webs"
	    "ockets, }\nhttp headerlen 6\n}\n",
	    "1 proto http 'a'; 2 http[; 2 headerlen 5; 2 websockets -; 2 no"
	    " websockets -; ]; 3 http[; 3 headerlen 6; ]; end proto;" },
	{ "http protocol \"a\" {\nreturn error\nreturn error style \"s\""
	    "\nreturn error { style \"t\", style u }\n"
	    "}\n",
	    "1 proto http 'a'; 2 error[; 2 return-error -; ]; 3 error[; 3 r"
	    "eturn-error 's'; ]; 4 error[; 4 return-error 't'; 4 return-err"
	    "or u; ]; end proto;" },
	{ "http protocol \"http\" { pass }\n",
	    "1 proto http 'http'; 1 pass request from -/- to -/-; end rule;"
	    " end proto;" },
	/* rules */
	{ "http protocol \"a\" {\npass\nblock request\n"
	    "match\n}\n",
	    "1 proto http 'a'; 2 pass request from -/- to -/-; end rule; 3 "
	    "block request from -/- to -/-; end rule; 4 match request from "
	    "-/- to -/-; end rule; end proto;" },
	{ "http protocol \"a\" {\npass response quick inet from 10.0.0.0/"
	    "8 to 1.1.1.1\nblock quick inet6 to ::/0\n"
	    "match from a\n}\n",
	    "1 proto http 'a'; 2 pass response quick inet from 10.0.0.0/8 t"
	    "o 1.1.1.1/-; end rule; 3 block request quick inet6 from -/- to"
	    " ::/0; end rule; 4 match request from a/- to -/-; end rule; en"
	    "d proto;" },
	{ "http protocol \"a\" {\npass header\npass header \"k\"\n"
	    "pass header log\npass header set \"k\" value \"v\"\n"
	    "pass cookie append k\npass query hash k value v\n"
	    "pass path remove\npass path strip 2\n}\n",
	    "1 proto http 'a'; 2 pass request from -/- to -/-; 2 header - ="
	    " -; end rule; 3 pass request from -/- to -/-; 3 header 'k' = -"
	    "; end rule; 4 pass request from -/- to -/-; 4 header log - = -"
	    "; end rule; 5 pass request from -/- to -/-; 5 header set 'k' ="
	    " 'v'; end rule; 6 pass request from -/- to -/-; 6 cookie appen"
	    "d k = -; end rule; 7 pass request from -/- to -/-; 7 query has"
	    "h k = v; end rule; 8 pass request from -/- to -/-; 8 path remo"
	    "ve - = -; end rule; 9 pass request from -/- to -/-; 9 path str"
	    "ip - = - 2; end rule; end proto;" },
	{ "http protocol \"a\" {\nblock url\nblock url log\n"
	    "block url \"u\"\nblock url digest \"d\"\n"
	    "block url log digest d value v\n}\n",
	    "1 proto http 'a'; 2 block request from -/- to -/-; 2 url - = -"
	    "; end rule; 3 block request from -/- to -/-; 3 url log - = -; "
	    "end rule; 4 block request from -/- to -/-; 4 url 'u' = -; end "
	    "rule; 5 block request from -/- to -/-; 5 url digest 'd' = -; e"
	    "nd rule; 6 block request from -/- to -/-; 6 url log digest d ="
	    " v; end rule; end proto;" },
	{ "http protocol \"a\" {\nblock method GET forward to <t> tag T t"
	    "agged U label \"l\" no tag no label\n}\n",
	    "1 proto http 'a'; 2 block request from -/- to -/-; 2 method GE"
	    "T; 2 to t; 2 tag T; 2 tagged U; 2 label 'l'; 2 no tag -; 2 no "
	    "label -; end rule; end proto;" },
	{ "http protocol \"a\" {\nblock header file \"f\"\n"
	    "block url file f value v label l\nblock path \"p\" file \"f\" "
	    "value pattern \"x\"\nblock file f\n}\n",
	    "1 proto http 'a'; 2 block request from -/- to -/-; 2 header fi"
	    "le 'f' = -; end rule; 3 block request from -/- to -/-; 3 url f"
	    "ile f = v; 3 label l; end rule; 4 block request from -/- to -/"
	    "-; 4 path 'p' = -; 4 file 'f' = pattern 'x'; end rule; 5 block"
	    " request from -/- to -/-; 5 file f = -; end rule; end proto;" },
	{ "http protocol \"a\" {\nmatch path pattern \"^/\"\n"
	    "match path glob \"x\" value glob ignorecase \"y\"\n"
	    "match header glob ignorecase k value pattern v\n"
	    "match query pattern file \"f\"\n}\n",
	    "1 proto http 'a'; 2 match request from -/- to -/-; 2 path patt"
	    "ern '^/' = -; end rule; 3 match request from -/- to -/-; 3 pat"
	    "h glob 'x' = iglob 'y'; end rule; 4 match request from -/- to "
	    "-/-; 4 header iglob k = pattern v; end rule; 5 match request f"
	    "rom -/- to -/-; 5 query file pattern 'f' = -; end rule; end pr"
	    "oto;" },
	{ "http protocol \"a\" {\nmatch header pattern \"pattern\" value "
	    "\"glob\"\nmatch header pattern tag x\nmatch header log glob\n"
	    "match header set glob \"X\" value \"b\"\n"
	    "}\n",
	    "1 proto http 'a'; 2 match request from -/- to -/-; 2 header pa"
	    "ttern 'pattern' = 'glob'; end rule; 3 match request from -/- t"
	    "o -/-; 3 header pattern - = -; 3 tag x; end rule; 4 match requ"
	    "est from -/- to -/-; 4 header log glob - = -; end rule; 5 matc"
	    "h request from -/- to -/-; 5 header set glob 'X' = 'b'; end ru"
	    "le; end proto;" },
	{ "http protocol \"a\" {\npass cookie log header \"h\" query \"q"
	    "\" path \"p\" url \"u\" tagged https\n}\n",
	    "1 proto http 'a'; 2 pass request from -/- to -/-; 2 cookie log"
	    " - = -; 2 header 'h' = -; 2 query 'q' = -; 2 path 'p' = -; 2 u"
	    "rl 'u' = -; 2 tagged https; end rule; end proto;" },
	/* routers */
	{ "router \"a\" {\nroute 10.0.0.0/8\nroute ::1\n"
	    "route \"2001:db8::\"/32\nforward to <g> check icmp\n"
	    "rtable 1\nrtlabel \"l\"\ndisable\n}\n",
	    "1 router 'a'; 2 route 10.0.0.0/8; 3 route ::1/-; 4 route '2001"
	    ":db8::'/32; 5 use g; 5 check icmp path - host - code - digest "
	    "- send - expect -; 5 forward; 6 rtable 1; 7 rtlabel 'l'; disab"
	    "le; end router;" },
	{ "router a { }\n",
	    "1 router a; end router;" },
};

static const struct {
	const char	*in, *calls, *said;
} bad[] = {
	/* obsolete words that are read */
	{ "relay \"a\" {\nlisten on h port 1 ssl\nforward with ssl to h\n"
	    "forward to <t> check ssl\nforward to <t> check send \"a\" expe"
	    "ct \"b\" ssl\n}\n",
	    "1 relay 'a'; 2 listen h 1 tls; 3 forward tls to address h - - "
	    "map 0 - proxy 0; 4 use t; 4 check tcp tls path - host - code -"
	    " digest - send - expect -; 4 forward to table - - - map 0 - pr"
	    "oxy 0; 5 use t; 5 check send tls path - host - code - digest -"
	    " send 'a' expect 'b'; 5 forward to table - - - map 0 - proxy 0"
	    "; end relay;",
	    "main:2: warning: \"ssl\" is obsolete, use \"tls\"\n"
	    "main:3: warning: \"ssl\" is obsolete, use \"tls\"\n"
	    "main:4: warning: \"ssl\" is obsolete, use \"tls\"\n"
	    "main:5: warning: \"ssl\" is obsolete, use \"tls\"" },
	{ "redirect \"a\" {\nforward to <t> check ssl\n"
	    "}\n",
	    "1 redirect 'a'; 2 use t; 2 check tcp tls path - host - code - "
	    "digest - send - expect -; 2 forward -; end redirect;",
	    "main:2: warning: \"ssl\" is obsolete, use \"tls\"" },
	{ "router \"a\" { forward to <t> check ssl }\n",
	    "1 router 'a'; 1 use t; 1 check tcp tls path - host - code - di"
	    "gest - send - expect -; 1 forward; end router;",
	    "main:1: warning: \"ssl\" is obsolete, use \"tls\"" },
	{ "relay \"a\" {\nlisten on ssl port ssl\nforward to ssl port \"s"
	    "sl\"\n}\n",
	    "1 relay 'a'; 2 listen ssl ssl; 3 forward to address ssl 'ssl' "
	    "- map 0 - proxy 0; end relay;",
	    "" },
	{ "http protocol \"a\" {\nssl ciphers \"c\"\n"
	    "ssl { no edh, ssl }\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 ciphers 'c' -; ]; 3 tls[; 3 no edh"
	    " - -; 3 flag ssl -; ]; end proto;",
	    "main:2: warning: \"ssl\" is obsolete, use \"tls\"\n"
	    "main:3: warning: \"ssl\" is obsolete, use \"tls\"" },
	{ "log updates\nlog all\n",
	    "1 log 1; 2 log 3;",
	    "main:1: warning: \"log updates\" is obsolete, use \"log state "
	    "changes\"\nmain:2: warning: \"log all\" is obsolete, use \"log"
	    " state changes\" and \"log host checks\"" },
	{ "redirect \"a\" {\ntag A\nmatch tag B\n}\n",
	    "1 redirect 'a'; 2 pftag A; 3 match pftag B; end redirect;",
	    "main:2: warning: \"tag\" is obsolete, use \"pftag\"\n"
	    "main:3: warning: \"match tag\" is obsolete, use \"pftag\"" },
	{ "relay \"a\" {\ntransparent forward to <t> port 1 interface em0"
	    "\ntransparent forward with ssl to h port 1 interface \"x\"\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; port 1; 2 transparent forward to table -"
	    " - - map 0 - proxy 0; 3 transparent forward tls to address h 1"
	    " - map 0 - proxy 0; end relay;",
	    "main:2: warning: \"transparent forward ... interface\" is obso"
	    "lete, use \"transparent forward\"\nmain:3: warning: \"ssl\" is"
	    " obsolete, use \"tls\"\nmain:3: warning: \"transparent forward"
	    " ... interface\" is obsolete, use \"transparent forward\"" },
	{ "http protocol \"a\" {\ntls session cache 5\n"
	    "tls { session cache disable, session tickets }\n"
	    "}\n",
	    "1 proto http 'a'; 2 tls[; ]; 3 tls[; 3 tickets - -; ]; end pro"
	    "to;",
	    "main:2: warning: \"session cache\" is obsolete and has no effe"
	    "ct\nmain:3: warning: \"session cache\" is obsolete and has no "
	    "effect" },
	{ "http protocol \"a\" {\ntls ecdh\ntls { ecdh curve \"c\", ecdh "
	    "curve none, no ecdh }\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 ecdhe default -; ]; 3 tls[; 3 ecdh"
	    "e 'c' -; ]; end proto;",
	    "main:2: warning: \"ecdh\" is obsolete, use \"ecdhe default\"\n"
	    "main:3: warning: \"ecdh curve\" is obsolete, use \"ecdhe\"\n"
	    "main:3: warning: \"ecdh curve none\" is obsolete and has no ef"
	    "fect\nmain:3: warning: \"no ecdh\" is obsolete and has no effe"
	    "ct" },
	{ "http protocol \"a\" {\ntls edh params 2048\n"
	    "tls edh params 768\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 edh auto -; ]; 3 tls[; 3 edh 768 -"
	    "; ]; end proto;",
	    "main:2: warning: \"edh params 2048\" is obsolete, use \"edh pa"
	    "rams auto\"" },
	{ "http protocol \"a\" {\ntls { no sslv2, no sslv3, tlsv1.0 }\n"
	    "}\n",
	    "1 proto http 'a'; 2 tls[; 2 no flag sslv3 -; 2 flag tlsv1.0 -;"
	    " ]; end proto;",
	    "main:2: warning: \"no sslv2\" is obsolete and has no effect" },
	{ "snmp\nsnmp \"p\"\nsnmp trap\nsnmp trap \"p\"\n",
	    "1 agentx - -; 2 agentx - 'p'; 3 agentx - -; 4 agentx - 'p';",
	    "main:1: warning: \"snmp\" is obsolete, use \"agentx\"\n"
	    "main:2: warning: \"snmp\" is obsolete, use \"agentx\"\n"
	    "main:3: warning: \"snmp trap\" is obsolete, use \"agentx\"; tr"
	    "aps are not sent\nmain:4: warning: \"snmp trap\" is obsolete, "
	    "use \"agentx\"; traps are not sent" },
	{ "send trap\ninterval 1\n",
	    "2 interval 1;",
	    "main:1: warning: \"send trap\" is obsolete and has no effect, "
	    "traps are not sent" },
	{ "table <ssl> { snmp }\nprotocol \"snmp\"\n"
	    "redirect service { disable }\nrelay virtual { forward to servi"
	    "ce }\n",
	    "1 table ssl; 1 host snmp; end table; 2 proto - 'snmp'; end pro"
	    "to; 3 redirect service; disable; end redirect; 4 relay virtual"
	    "; 4 forward to address service - - map 0 - proxy 0; end relay;",
	    "" },
	/* obsolete words that are refused */
	{ "table web { 10.0.0.1 }\ninterval 1\n",
	    "1 table web; 1 host 10.0.0.1; end table; 2 interval 1;",
	    "main:1: table names are written in angle brackets: <web>" },
	{ "table web {\ncheck http \"/\" code 200\nhost 10.0.0.1\n"
	    "real port 80\ntimeout 5\ninterval 6, 10.0.0.2 demote g\n"
	    "}\n",
	    "1 table web; failed; 3 host 10.0.0.1; failed; failed; failed; "
	    "6 host 10.0.0.2; failed; end table;",
	    "main:1: table names are written in angle brackets: <web>\n"
	    "main:2: \"check\" does not belong into a table any more, give "
	    "it as an option of \"forward to <table>\"\n"
	    "main:3: \"host\" does not belong into a table any more, write "
	    "the address alone\nmain:4: \"real port\" does not belong into "
	    "a table any more, give it as an option of \"forward to <table>"
	    "\"\nmain:5: \"timeout\" does not belong into a table any more,"
	    " give it as an option of \"forward to <table>\"\n"
	    "main:6: \"interval\" does not belong into a table any more, gi"
	    "ve it as an option of \"forward to <table>\"\n"
	    "main:6: \"demote\" does not belong into a table any more, give"
	    " it as an option of \"forward to <table>\"" },
	{ "table <a> { demote g\n10.0.0.1 }\n",
	    "1 table a; failed; 2 host 10.0.0.1; end table;",
	    "main:1: \"demote\" does not belong into a table any more, give"
	    " it as an option of \"forward to <table>\"" },
	{ "service \"x\" {\nvirtual host 1.1.1.1 port 80\n"
	    "virtual ip 1.1.1.1\ntable <web>\nbackup table x\n"
	    "sticky-address\n}\n",
	    "1 redirect 'x'; failed; failed; failed; failed; sticky; end re"
	    "direct;",
	    "main:1: \"service\" was renamed, use \"redirect\"\n"
	    "main:2: \"virtual host\" was renamed, use \"listen on addr por"
	    "t p\"\nmain:3: \"virtual ip\" was renamed, use \"listen on\"\n"
	    "main:4: use \"forward to <web>\"\nmain:5: use a second \"forwa"
	    "rd to <x>\"" },
	{ "redirect \"a\" {\ntable web\nbackup table <x>\n"
	    "disable\n}\n",
	    "1 redirect 'a'; failed; failed; disable; end redirect;",
	    "main:2: use \"forward to <web>\"\nmain:3: use a second \"forwa"
	    "rd to <x>\"" },
	{ "relay \"a\" {\ntable <web> loadbalance\nbackup table <b>\n"
	    "service x\nforward to <t> port 1 no check\n"
	    "nat lookup\ntimeout 5\ndisable\n}\n",
	    "1 relay 'a'; failed; failed; failed; failed; failed; failed; d"
	    "isable; end relay;",
	    "main:2: use \"forward to <web>\"\nmain:3: use a second \"forwa"
	    "rd to <b>\"\nmain:4: forwarding to a redirect is not supported"
	    ", name the address\nmain:5: leave out \"check\" instead\n"
	    "main:6: use \"forward to nat lookup\"\nmain:7: use \"session t"
	    "imeout 5\"" },
	{ "demote carp\ninterval 1\n",
	    "failed; 2 interval 1;",
	    "main:1: use \"demote\" as an option of \"forward to\"" },
	{ "protocol \"x\" {\nprotocol http\nprotocol dns\n"
	    "}\n",
	    "1 proto - 'x'; failed; failed; end proto;",
	    "main:2: give the type first: http protocol \"x\"\n"
	    "main:3: give the type first: dns protocol \"x\"" },
	{ "http protocol \"a\" {\ntls sslv2\ntls { sslv2, nodelay }\n"
	    "}\n",
	    "1 proto http 'a'; 2 tls[; failed; ]; 3 tls[; failed; failed; ]"
	    "; end proto;",
	    "main:2: SSL version 2 is not supported\nmain:3: SSL version 2 "
	    "is not supported\nmain:3: unexpected \"nodelay\", an option wa"
	    "s expected" },
	{ "http protocol \"a\" { request header remove \"k\" }\n"
	    "interval 1\n",
	    "1 proto http 'a'; failed; end proto; 2 interval 1;",
	    "main:1: old filter syntax, use: match request header remove \""
	    "k\"" },
	/* old filter statements */
	{ "http protocol \"a\" {\nrequest header append \"v\" to \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request header append \""
	    "k\" value \"v\"" },
	{ "http protocol \"a\" {\nheader append \"v\" to \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match header append \"k\" valu"
	    "e \"v\"" },
	{ "http protocol \"a\" {\nresponse cookie change \"k\" to \"v\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match response cookie set \"k"
	    "\" value \"v\"" },
	{ "http protocol \"a\" {\npath remove \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match path remove \"k\"" },
	{ "http protocol \"a\" {\nrequest query hash \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request query hash \"k\"" },
	{ "http protocol \"a\" {\nrequest header log \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request header log \"k\"" },
	{ "http protocol \"a\" {\nrequest path filter \"v\" from \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request quick path \"k\""
	    " value \"v\"" },
	{ "http protocol \"a\" {\nrequest path filter \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request quick path \"k\"" },
	{ "http protocol \"a\" {\nrequest url filter digest \"h\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request quick url digest"
	    " \"h\"" },
	{ "http protocol \"a\" {\nurl digest \"h\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block quick url digest \"h\"" },
	{ "http protocol \"a\" {\nrequest path expect \"v\" from \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request path followed by"
	    " pass request path \"k\" value \"v\"" },
	{ "http protocol \"a\" {\nrequest path expect \"k\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request path followed by"
	    " pass request path \"k\"" },
	{ "http protocol \"a\" {\nrequest header expect \"v\" from \"k\""
	    "\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request followed by pass"
	    " request header \"k\" value \"v\"" },
	{ "http protocol \"a\" {\nheader expect k\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block followed by pass header "
	    "\"k\"" },
	{ "http protocol \"a\" {\nrequest query mark \"v\" from \"k\" wit"
	    "h 5\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request query \"k\" valu"
	    "e \"v\" tag \"5\"" },
	{ "http protocol \"a\" {\nquery mark \"k\" with red\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match query \"k\" tag \"red\"" },
	{ "http protocol \"a\" {\nrequest path filter \"k\" marked 5\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request quick path \"k\""
	    " tagged \"5\"" },
	{ "http protocol \"a\" {\nrequest header append \"v\" to \"k\" lo"
	    "g\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request header append \""
	    "k\" value \"v\" followed by match request header log \"k\"" },
	{ "http protocol \"a\" {\nrequest url filter file \"f\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block request quick url file "
	    "\"f\"" },
	{ "http protocol \"a\" {\nheader log file \"f\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match header log file \"f\"" },
	{ "http protocol \"a\" {\ncookie expect file \"f\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: block cookie followed by pass "
	    "cookie file \"f\"" },
	{ "http protocol \"a\" {\nlabel \"l\"\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request label \"l\"" },
	{ "http protocol \"a\" {\nno label\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request no label" },
	{ "http protocol \"a\" {\nrequest header change \"a\\\"b\" to $si"
	    "te\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request header set \"a\\"
	    "\"b\" value \"lab\"" },
	{ "http protocol \"a\" {\nrequest\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use rules that begin with \"match\""
	    ", \"pass\" or \"block\"" },
	{ "http protocol \"a\" {\nurl frobnicate \"x\"\n"
	    "}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use rules that begin with \"match\""
	    ", \"pass\" or \"block\"" },
	{ "http protocol \"a\" {\nrequest header hash \"k\" marked 3 log"
	    "\n}\n",
	    "1 proto http 'a'; failed; end proto;",
	    "main:2: old filter syntax, use: match request header hash \"k"
	    "\" tagged \"3\" followed by match request header log \"k\"" },
	/* lexical errors */
	{ "include \"/etc/relayd",
	    "failed;",
	    "main:1: quoted string is not closed before the end of the file" },
	{ "interval 1\nsocket \"abc\n\n",
	    "1 interval 1; failed;",
	    "main:2: quoted string is not closed before the end of the file" },
	{ "interval $secs\ntimeout 5\n",
	    "failed; 2 timeout 5;",
	    "main:1: macro \"secs\" is not defined" },
	{ "interval $\n",
	    "failed;",
	    "main:1: unexpected \"$\", a number was expected" },
	{ "\"my host\" = \"10.0.0.1\"\n",
	    "",
	    "main:1: macro name \"my host\" contains white space" },
	{ "port = 8080\n",
	    "",
	    "main:1: \"port\" is a reserved word and cannot be a macro name"
	    "\nmain:1: macro value must be a string, write \"8080\"" },
	{ "timeout = \"200\"\nmode = 5\n",
	    "",
	    "main:1: \"timeout\" is a reserved word and cannot be a macro n"
	    "ame\nmain:2: \"mode\" is a reserved word and cannot be a macro"
	    " name\nmain:2: macro value must be a string, write \"5\"" },
	{ "webport = 8080\n",
	    "",
	    "main:1: macro value must be a string, write \"8080\"" },
	{ "interval 99999999999999999999\n",
	    "failed;",
	    "main:1: number 99999999999999999999 is out of range" },
	{ "interval -99999999999999999999\n",
	    "failed;",
	    "main:1: number -99999999999999999999 is out of range" },
	{ "include \"nonexistent\"\ninterval 1\n",
	    "failed; 2 interval 1;",
	    "main:1: cannot open include file \"nonexistent\": No such file"
	    " or directory" },
	{ "include \"self\"\ntimeout 1\n",
	    "failed; failed; failed; failed; failed; failed; failed; failed"
	    "; failed; failed; failed; failed; failed; failed; failed; fail"
	    "ed; failed; 2 timeout 1;",
	    "self:1: include files are nested deeper than 16 levels" },
	{ "include \"bad\"\nfoo\n",
	    "1 interval 5; failed; failed;",
	    "bad:3: unexpected \"bogus\", a statement was expected\n"
	    "main:2: unexpected \"foo\", a statement was expected" },
	{ "include \"open\"\ninterval 6\n",
	    "1 interval 5; failed; 2 interval 6;",
	    "open:2: quoted string is not closed before the end of the file" },
	{ "relais \"www\" {\n listen\n}\ninterval 5\n",
	    "failed; 4 interval 5;",
	    "main:1: unexpected \"relais\", a statement was expected (did y"
	    "ou mean \"relay\"?)" },
	{ "bogus\n",
	    "failed;",
	    "main:1: unexpected \"bogus\", a statement was expected" },
	{ "foo = \n",
	    "failed;",
	    "main:1: unexpected end of line, a string was expected" },
	{ "pass \"x\"\n",
	    "failed;",
	    "main:1: unexpected \"pass\", a statement was expected" },
	{ "web = tcp\n",
	    "failed;",
	    "main:1: unexpected \"tcp\", a string was expected (\"tcp\" is "
	    "a reserved word, quote it)" },
	{ "relay \"a\" {\nforward to <web> check http / code 200\n"
	    "}\n",
	    "1 relay 'a'; 2 use web; failed; end relay;",
	    "main:2: unexpected \"/\", a string was expected (quote paths)" },
	{ "http protocol http {\npass\n}\n",
	    "1 proto http http; 2 pass request from -/- to -/-; end rule; e"
	    "nd proto;",
	    "main:1: \"http\" is a reserved word, quote it to use it as a n"
	    "ame" },
	{ "redirect relay { }\nrelay on { }\nrouter route { }\n"
	    "table <hash> { 1.1.1.1 }\n",
	    "1 redirect relay; end redirect; 2 relay on; end relay; 3 route"
	    "r route; end router; 4 table hash; 4 host 1.1.1.1; end table;",
	    "main:1: \"relay\" is a reserved word, quote it to use it as a "
	    "name\nmain:2: \"on\" is a reserved word, quote it to use it as"
	    " a name\nmain:3: \"route\" is a reserved word, quote it to use"
	    " it as a name\nmain:4: \"hash\" is a reserved word, quote it t"
	    "o use it as a name" },
	{ "relay \"a\" {\nforward to <hash> port 1\n"
	    "protocol http\n}\n",
	    "1 relay 'a'; 2 use hash; port 1; 2 forward to table - - - map "
	    "0 - proxy 0; 3 protocol http; end relay;",
	    "main:2: \"hash\" is a reserved word, quote it to use it as a n"
	    "ame\nmain:3: \"http\" is a reserved word, quote it to use it a"
	    "s a name" },
	{ "interval 10#note\n",
	    "failed;",
	    "main:1: unexpected \"10\", a number was expected" },
	{ "interval 10{\n",
	    "failed; failed;",
	    "main:1: unexpected \"10\", a number was expected" },
	{ "interval 5 6\n",
	    "1 interval 5; failed;",
	    "main:1: unexpected 6, the end of the line was expected" },
	{ "interval \"5\"\n",
	    "failed;",
	    "main:1: unexpected \"5\", a number was expected" },
	{ "interval x\n",
	    "failed;",
	    "main:1: unexpected \"x\", a number was expected" },
	{ "interval\r5\n",
	    "failed;",
	    "main:1: unexpected byte 0x0d, a number was expected" },
	{ "interval 5\n(\n",
	    "1 interval 5; failed;",
	    "main:2: unexpected \"(\", a statement was expected" },
	{ "socket a!b\n",
	    "1 socket a; failed;",
	    "main:1: unexpected \"!\", the end of the line was expected" },
	{ "\377\n",
	    "failed;",
	    "main:1: unexpected byte 0xff, a statement was expected" },
	{ "socket -x\n",
	    "failed;",
	    "main:1: unexpected \"-\", a string was expected" },
	{ "socket /x\n",
	    "failed;",
	    "main:1: unexpected \"/\", a string was expected (quote paths)" },
	{ "socket code\n",
	    "failed;",
	    "main:1: unexpected \"code\", a string was expected (\"code\" i"
	    "s a reserved word, quote it)" },
	{ "socket 5\n",
	    "failed;",
	    "main:1: unexpected 5, a string was expected (quote numbers)" },
	{ "a = \"$site\"\nsocket $a\n",
	    "failed;",
	    "main:2: unexpected \"$\", a string was expected" },
	{ "tabel <a> { 1.1.1.1 }\nlog\nlog interval\n"
	    "log foo\n",
	    "failed; failed; failed; failed;",
	    "main:1: unexpected \"tabel\", a statement was expected (did yo"
	    "u mean \"table\"?)\nmain:2: unexpected end of line, \"state ch"
	    "anges\", \"host checks\" or \"connection [errors]\" was expect"
	    "ed\nmain:3: unknown log option \"interval\", expected \"state "
	    "changes\", \"host checks\" or \"connection [errors]\"\n"
	    "main:4: unknown log option \"foo\", expected \"state changes\""
	    ", \"host checks\" or \"connection [errors]\"" },
	{ "m = \"1\"\ninclude \"globals\"\n}\ninterval 1\n",
	    "1 interval 20; failed; 4 interval 1;",
	    "main:3: unexpected \"}\", a statement was expected" },
	{ "relay \"a\" {\nx = \"y\"\n}\n",
	    "1 relay 'a'; failed; end relay;",
	    "main:2: unexpected \"x\", an option of a relay was expected" },
	{ "redirect \"a\" {\nlog all\n}\n",
	    "1 redirect 'a'; failed; end redirect;",
	    "main:2: unexpected \"log\", an option of a redirect was expect"
	    "ed" },
	/* recovery */
	{ "relay \"a\" {\nlisten on\nforward to\ndisable\n"
	    "}\n",
	    "1 relay 'a'; failed; failed; disable; end relay;",
	    "main:2: unexpected end of line, a string was expected\n"
	    "main:3: unexpected end of line, \"destination\", \"nat\", \"<"
	    "\" or a string was expected" },
	{ "relay \"a\" { listen on }\ninterval 1\n",
	    "1 relay 'a'; failed; end relay; 2 interval 1;",
	    "main:1: unexpected \"}\", a string was expected" },
	{ "relay \"a\" {\nfoo {\nbar\n}\ndisable\n}\n"
	    "interval 1\n",
	    "1 relay 'a'; failed; disable; end relay; 7 interval 1;",
	    "main:2: unexpected \"foo\", an option of a relay was expected" },
	{ "http protocol \"a\" {\ntcp { nodelay, bogus, sack 5, backlog 3"
	    " }\ntcp bogus\npass foo\nblock\n}\n",
	    "1 proto http 'a'; 2 tcp[; 2 nodelay - -; failed; 2 sack - -; f"
	    "ailed; 2 backlog 3 -; ]; 3 tcp[; failed; ]; failed; 5 block re"
	    "quest from -/- to -/-; end rule; end proto;",
	    "main:2: unexpected \"bogus\", an option was expected\n"
	    "main:2: unexpected 5, an option was expected\n"
	    "main:3: unexpected \"bogus\", an option was expected\n"
	    "main:4: unexpected \"foo\", an option or the end of the line w"
	    "as expected" },
	{ "http protocol \"a\" {\ntls {\nciphers\necdhe \"x\"\n"
	    "ca bogus \"y\",\nedh\n}\n}\n",
	    "1 proto http 'a'; 2 tls[; failed; 4 ecdhe 'x' -; failed; 6 edh"
	    " - -; ]; end proto;",
	    "main:3: unexpected end of line, a string was expected\n"
	    "main:5: unexpected \"bogus\", \"cert\", \"file\" or \"key\" wa"
	    "s expected" },
	{ "http protocol \"a\" {\nhttp headerlen x\n"
	    "http { headerlen x, websockets }\nreturn error { style 5, styl"
	    "e \"x\" }\nreturn foo\n}\n",
	    "1 proto http 'a'; 2 http[; failed; ]; 3 http[; failed; 3 webso"
	    "ckets -; ]; 4 error[; failed; 4 return-error 'x'; ]; failed; e"
	    "nd proto;",
	    "main:2: unexpected \"x\", a number was expected\n"
	    "main:3: unexpected \"x\", a number was expected\n"
	    "main:4: unexpected 5, a string was expected (quote numbers)\n"
	    "main:5: unexpected \"foo\", \"error\" was expected" },
	{ "table <a> { 10.0.0.1 retry x, 10.0.0.2, 5\n"
	    "10.0.0.3 / 10.0.0.4\n\"a\" }\ninterval 1\n",
	    "1 table a; 1 host 10.0.0.1; failed; 1 host 10.0.0.2; failed; 2"
	    " host 10.0.0.3; failed; 3 host 'a'; end table; 4 interval 1;",
	    "main:1: unexpected \"x\", a number was expected\n"
	    "main:1: unexpected 5, a host was expected\n"
	    "main:2: unexpected \"/\", a host was expected" },
	{ "table <a> foo\ninterval 1\n",
	    "1 table a; failed; end table; 2 interval 1;",
	    "main:1: unexpected \"foo\", \"disable\" or \"{\" was expected" },
	{ "relay \"a\"\ninterval 1\n",
	    "1 relay 'a'; failed; end relay; 2 interval 1;",
	    "main:1: unexpected end of line, \"{\" was expected" },
	{ "relay \"a\" {\ndisable\n",
	    "1 relay 'a'; disable; failed; end relay;",
	    "main:3: unexpected end of file, \"}\" was expected" },
	{ "redirect \"a\" foo {\ndisable\n}\ninterval 1\n",
	    "1 redirect 'a'; failed; end redirect; 4 interval 1;",
	    "main:1: unexpected \"foo\", \"{\" was expected" },
	{ "relay \"a\" { disable } interval 5\ntimeout 1\n",
	    "1 relay 'a'; disable; end relay; failed; 2 timeout 1;",
	    "main:1: unexpected \"interval\", the end of the line was expec"
	    "ted" },
	{ "relay \"a\" {\nlisten on h port 1\nrelay \"b\" {\n"
	    "}\n}\n",
	    "1 relay 'a'; 2 listen h 1; failed; end relay;",
	    "main:3: unexpected \"relay\", an option of a relay was expecte"
	    "d" },
	{ "http protocol \"a\" {\nblock path /x\npass path /x\n"
	    "}\n",
	    "1 proto http 'a'; 2 block request from -/- to -/-; failed; 3 p"
	    "ass request from -/- to -/-; failed; end proto;",
	    "main:2: unexpected \"/\", a string was expected (quote paths)"
	    "\nmain:3: unexpected \"/\", a string was expected (quote paths"
	    ")" },
	{ "log 5\n",
	    "failed;",
	    "main:1: unexpected 5, \"state changes\", \"host checks\" or \""
	    "connection [errors]\" was expected" },
	{ "redirect \"a\" {\nlisten on h\nforward to <t>check\n"
	    "}\n",
	    "1 redirect 'a'; failed; 3 use t; failed; end redirect;",
	    "main:2: unexpected end of line, \"port\", \"tcp\" or a string "
	    "was expected\nmain:3: unexpected end of line, an option was ex"
	    "pected" },
	{ "table <a> {,}\n",
	    "1 table a; failed; end table;",
	    "main:1: unexpected \",\", a host was expected" },
	{ "table <a> { 1.1.1.1,,2.2.2.2 }\n",
	    "1 table a; 1 host 1.1.1.1; failed; 1 host 2.2.2.2; end table;",
	    "main:1: unexpected \",\", a host was expected" },
	{ "http protocol \"a\" {\ntcp {}\npass\n}\n",
	    "1 proto http 'a'; 2 tcp[; failed; ]; 3 pass request from -/- t"
	    "o -/-; end rule; end proto;",
	    "main:2: unexpected \"}\", an option was expected" },
	{ "http protocol \"a\" {\ntcp { nodelay\n}\n",
	    "1 proto http 'a'; 2 tcp[; 2 nodelay - -; ]; failed; end proto;",
	    "main:4: unexpected end of file, \"}\" was expected" },
	{ "relay \"a\" {{{\n",
	    "1 relay 'a'; failed; failed; end relay;",
	    "main:1: unexpected \"{\", an option of a relay was expected" },
	{ "}}}\ninterval 1\n",
	    "failed; 2 interval 1;",
	    "main:1: unexpected \"}\", a statement was expected" },
	{ "relay \"a\" {\nforward to <t> check ftp\n"
	    "}\ninterval 1\n",
	    "1 relay 'a'; 2 use t; failed; end relay; 4 interval 1;",
	    "main:2: unknown check \"ftp\"" },
	{ "relay \"a\" {\nforward to <t> check http \"/\" cod 200\n"
	    "}\n",
	    "1 relay 'a'; 2 use t; failed; end relay;",
	    "main:2: unexpected \"cod\", \"code\", \"digest\" or \"host\" w"
	    "as expected (did you mean \"code\"?)" },
	{ "relay \"a\" {\nforwrad to h\nforward too h\n"
	    "forward to h port 1 rety 1\n}\n",
	    "1 relay 'a'; failed; failed; failed; end relay;",
	    "main:2: unexpected \"forwrad\", an option of a relay was expec"
	    "ted (did you mean \"forward\"?)\nmain:3: unexpected \"too\", "
	    "\"to\" or \"with\" was expected (did you mean \"to\"?)\n"
	    "main:4: unexpected \"rety\", an option or the end of the line "
	    "was expected (did you mean \"retry\"?)" },
	{ "http protocol \"a\" {\nmatch path file \"f\" digest \"x\"\n"
	    "match header digest \"x\"\nmatch url pattern digest \"x\"\n"
	    "match header ignorecase \"x\"\n}\n",
	    "1 proto http 'a'; 2 match request from -/- to -/-; failed; 3 m"
	    "atch request from -/- to -/-; failed; 4 match request from -/-"
	    " to -/-; failed; 5 match request from -/- to -/-; failed; end "
	    "proto;",
	    "main:2: unexpected \"digest\", an option or the end of the lin"
	    "e was expected\nmain:3: unexpected \"digest\", an option or th"
	    "e end of the line was expected\nmain:4: unexpected \"digest\","
	    " an option or the end of the line was expected\n"
	    "main:5: unexpected \"ignorecase\", an option or the end of the"
	    " line was expected" },
	{ "http protocol \"a\" {\ntls { keypair \"a\" certt \"b\" }\n"
	    "pass header value \"x\"\n}\n",
	    "1 proto http 'a'; 2 tls[; 2 keypair 'a' -; 2 flag certt -; 2 f"
	    "lag 'b' -; ]; 3 pass request from -/- to -/-; failed; end prot"
	    "o;",
	    "main:3: unexpected \"value\", an option or the end of the line"
	    " was expected" },
	{ "redirect \"a\" {\nlisten on h port\nlisten on h\n"
	    "forward to <t check tcp\n}\n",
	    "1 redirect 'a'; failed; failed; failed; end redirect;",
	    "main:2: unexpected end of line, a number or a string was expec"
	    "ted\nmain:3: unexpected end of line, \"port\", \"tcp\" or a st"
	    "ring was expected\nmain:4: unexpected \"check\", \">\" was exp"
	    "ected" },
	{ "socket \"a\" $nope \"b\"\ninterval 1\n",
	    "1 socket 'a'; failed; 2 interval 1;",
	    "main:1: macro \"nope\" is not defined" },
	{ "table <a> { $nope, 1.1.1.1 }\n",
	    "1 table a; failed; 1 host 1.1.1.1; end table;",
	    "main:1: macro \"nope\" is not defined" },
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct run r;

		run_text(&r, good[i].in, strlen(good[i].in), false);
		is_text(good[i].in, r.said, strstr(good[i].in, "\r\n") ==
		    NULL ? "" : "main:1: warning: carriage returns at line "
		    "ends are ignored");
		is_text(good[i].in, r.calls, good[i].calls);
		run_free(&r);
	}
}

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct run r;

		run_text(&r, bad[i].in, strlen(bad[i].in), false);
		is_text(bad[i].in, r.said, bad[i].said);
		is_text(bad[i].in, r.calls, bad[i].calls);
		run_free(&r);
	}
}

/* A text of which a part is repeated. */
static char *
repeated(const char *before, char byte, size_t n, const char *after)
{
	size_t len = strlen(before);
	char *text = malloc(len + n + strlen(after) + 1);

	assert_non_null(text);
	memcpy(text, before, len);
	memset(text + len, byte, n);
	strcpy(text + len + n, after);
	return text;
}

static const struct {
	const char	*before;
	char		 byte;
	const char	*after;
} longs[] = {
	{ "socket ", 'a', "\ninterval 1\n" },
	{ "socket \"", ' ', "\"\ninterval 1\n" },
	{ "x = y\nsocket $", 'a', "\ninterval 1\n" },
	{ "interval ", '0', "\ninterval 1\n" },
};

static void
test_long(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof longs / sizeof longs[0]; i++) {
		for (size_t n = RD_TOKEN_MAX; n <= 9000; n += 9000 -
		    RD_TOKEN_MAX) {
			char *text = repeated(longs[i].before,
			    longs[i].byte, n, longs[i].after);
			struct run r;

			run_text(&r, text, strlen(text), false);
			assert_int_equal(strstr(r.said, "token is longer "
			    "than 8095 bytes") != NULL, n != RD_TOKEN_MAX);
			assert_non_null(strstr(r.calls, "interval 1; "));
			run_free(&r);
			free(text);
		}
	}
}

/* Bytes that no string of C can hold. */
static void
test_nul(void **state)
{
	static const char bare[] = "socket a\0b\ninterval 1\n";
	static const char quoted[] = "socket 'a\0b'\ninterval 1\n";
	struct run r;

	(void)state;
	run_text(&r, bare, sizeof bare - 1, false);
	assert_string_equal(r.said, "main:1: unexpected byte 0x00, "
	    "the end of the line was expected\n");
	assert_string_equal(r.calls, "1 socket a; failed; 2 interval 1; ");
	run_free(&r);
	run_text(&r, quoted, sizeof quoted - 1, false);
	assert_string_equal(r.said,
	    "main:1: unexpected byte 0x00 in a quoted string\n");
	assert_string_equal(r.calls, "failed; 2 interval 1; ");
	run_free(&r);
}

static void
test_unused(void **state)
{
	static const char text[] = "a = b\nc = d\nsocket $c\n"
	    "interval $used\n";
	struct run r;

	(void)state;
	run_text(&r, text, sizeof text - 1, true);
	assert_string_equal(r.said,
	    "warning: macro \"site\" is not used\n"
	    "main:1: warning: macro \"a\" is not used\n");
	run_free(&r);
}

static void
test_no_file(void **state)
{
	struct rd_request q = { .file = "gone", .directory = "/base" };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_build b = { .arena = arena_new() };
	struct diag_place end;
	char text[128], calls[64] = "";

	(void)state;
	b.calls = fmemopen(calls, sizeof calls, "w");
	rd_read(&q, s, d, &b, &end);
	assert_string_equal(diag_first(d, text, sizeof text),
	    "gone: No such file or directory");
	fclose(b.calls);
	assert_string_equal(calls, "failed; ");
	arena_free(b.arena);
	diag_free(d);
	source_free(s);
}

/* Every reserved word stands, by itself, in a text that is good. */
static void
test_keywords_used(void **state)
{
	static const char *const words[] = {
#define WORD(name, text) text,
		RD_RESERVED(WORD) RD_PLACE_WORDS(WORD)
#undef WORD
	};
	/* without a meaning */
	static const char none[] = " backup cache external real "
	    "curve ecdh ";

	(void)state;
	for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
		char spaced[64];
		bool found = false;

		snprintf(spaced, sizeof spaced, " %s ", words[w]);
		if (strstr(none, spaced) != NULL)
			continue;
		for (size_t i = 0; i < sizeof good / sizeof good[0] && !found;
		    i++) {
			const char *p = good[i].in;
			size_t len = strlen(words[w]);

			for (; (p = strstr(p, words[w])) != NULL && !found;
			    p++)
				found = (p == good[i].in ||
				    strchr(" \t\n{$", p[-1]) != NULL) &&
				    strchr(" \t\n,}", p[len]) != NULL;
		}
		if (!found)
			fail_msg("no row of good[] has the word %s",
			    words[w]);
	}
}

/* Who prints looks words up by bisection. */
static void
test_keywords_sorted(void **state)
{
	static const char *const words[] = {
#define WORD(name, text) text,
		RD_RESERVED(WORD)
#undef WORD
	};

	(void)state;
	for (size_t i = 1; i < sizeof words / sizeof words[0]; i++)
		assert_true(strcmp(words[i - 1], words[i]) < 0);
}

/* Each of them is named as what it is where a name should stand, and is one
 * when it is quoted. Words in their place are always names there. */
static void
test_keywords_as_names(void **state)
{
	static const char *const words[] = {
#define WORD(name, text) text,
		RD_RESERVED(WORD) RD_PLACE_WORDS(WORD)
#undef WORD
	};
	static const size_t reserved = 0
#define ONE(name, text) + 1
	    RD_RESERVED(ONE);
#undef ONE

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		const char *w = words[i];
		char text[512], want[512] = "";
		struct run r;

		snprintf(text, sizeof text, "relay %s { disable }\n"
		    "relay \"%s\" { disable }\n%s = x\n", w, w, w);
		if (i < reserved)
			snprintf(want, sizeof want, "main:1: \"%s\" is a "
			    "reserved word, quote it to use it as a name\n"
			    "main:3: \"%s\" is a reserved word and cannot "
			    "be a macro name", w, w);
		run_text(&r, text, strlen(text), false);
		is_text(text, r.said, want);
		snprintf(want, sizeof want, "1 relay %s; disable; end relay;"
		    " 2 relay '%s'; disable; end relay;", w, w);
		is_text(text, r.calls, want);
		run_free(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_keywords_used),
		cmocka_unit_test(test_keywords_sorted),
		cmocka_unit_test(test_keywords_as_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
