/*
 * What a reload would change: pairs of configurations, and the differences
 * that are told of each, one per line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "misc/str.h"
#include "misc/tls.h"
#include "relayd/rd_diff.h"

static struct rd_conf *
compile(const char *text)
{
	const struct rd_request request = { .file = "/r.conf",
	    .directory = "/where" };
	struct source *source = source_empty();
	struct diag *diag = diag_new();
	struct rd_conf *conf;

	source_add(source, SOURCE_TEXT, "/r.conf", text, strlen(text));
	conf = rd_compile(&request, source, diag);
	if (conf == NULL)
		diag_print(diag, stderr, source, true);
	assert_non_null(conf);
	diag_free(diag);
	return conf;
}

static const char *const kinds[] = { "global", "listener", "relay",
    "redirect", "router", "table", "host", "protocol" };
static const char *const effects[] = { "now", "sessions", "checked",
    "kept" };

static void
change_cb(void *ctx, const struct rd_change *c)
{
	struct str *s = ctx;

	str_add(s, "%c%s %s|%s|%s|%s|%s\n", c->old == NULL ? '+' :
	    c->new == NULL ? '-' : '~', kinds[c->kind], c->name,
	    c->option != NULL ? c->option : "", c->old != NULL ? c->old : "",
	    c->new != NULL ? c->new : "", effects[c->effect]);
}

static char told[65536];

static struct rd_diff
differ(const char *a, const char *b)
{
	struct rd_conf *old = compile(a), *new = compile(b);
	struct rd_diff diff;
	struct str s;
	size_t lines = 0;

	str_init(&s, told, sizeof(told));
	assert_true(rd_diff(old, new, change_cb, &s, &diff));
	for (const char *p = told; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, diff.changes);
	rd_conf_unref(old);
	rd_conf_unref(new);
	return diff;
}

#define WEB	"table <web> { 192.0.2.1 192.0.2.2 }\n"
#define RELAY(more) \
	"relay www {\n listen on 127.0.0.1 port 80\n" more \
	" forward to <web> port 8080 check tcp\n}\n"
#define BASE	WEB RELAY("")
#define REDIRECT(more) \
	WEB "redirect r {\n listen on 127.0.0.1 port 80\n" more \
	" forward to <web> port 80 check icmp\n}\n"
#define PROTOCOL(more) \
	WEB "http protocol p {\n" more "}\n" RELAY(" protocol p\n")
#define ROUTER(more) \
	"table <gw> { 192.0.2.1 }\nrouter u {\n" more \
	" forward to <gw> check icmp\n}\n"
#define TO(text) \
	WEB "relay www {\n listen on 127.0.0.1 port 80\n forward to " text \
	"\n}\n"

static const struct {
	const char	*old, *new, *want;
} rows[] = {
	{ BASE, BASE, "" },
	/* how it is written does not matter */
	{ BASE, "# a comment\nx = \"80\"\ntable <web> { 192.0.2.1, 192.0.2.2 }\n"
	    "relay www { listen on 127.0.0.1 port $x\n"
	    "forward to <web> port 8080 check tcp }\n", "" },
	/* what is global */
	{ BASE, "interval 20\n" BASE, "~global |interval|10 s|20 s|now\n" },
	{ BASE, "timeout 500\n" BASE, "~global |timeout|200 ms|500 ms|now\n"
	    "~table web:8080|timeout|200 ms|500 ms|kept\n" },
	{ BASE, "prefork 5\n" BASE, "~global |prefork|3|5|now\n" },
	{ BASE, "socket \"/x\"\n" BASE,
	    "~global |socket|/var/run/relayd.sock|/x|now\n" },
	{ "log state changes\n" BASE, "log host checks\nlog connection\n"
	    BASE, "~global |log|state changes|host checks, connection|now\n" },
	{ BASE, "log connection errors\n" BASE,
	    "~global |log|nothing|connection errors|now\n" },
	{ BASE, "agentx context \"a\\033\" path \"/m\"\n" BASE,
	    "~global |agentx|no|/m context \"a\\x5c033\"|now\n" },
	/* listeners */
	{ BASE, WEB RELAY(" listen on 127.0.0.1 port 81\n"),
	    "+listener 127.0.0.1:81|||127.0.0.1:81|now\n"
	    "+relay www2:81|||www2:81|sessions\n" },
	{ BASE, WEB "relay www { listen on ::1 port 80\n"
	    "forward to <web> port 8080 check tcp }\n",
	    "+listener ::1:80|||::1:80|now\n"
	    "-listener 127.0.0.1:80||127.0.0.1:80||now\n"
	    "~relay www|listen on|127.0.0.1:80|::1:80|sessions\n" },
	{ BASE, WEB "relay other { listen on 127.0.0.1 port 80\n"
	    "forward to <web> port 8080 check tcp }\n",
	    "~listener 127.0.0.1:80|relay|www|other|sessions\n"
	    "+relay other||" },
	/* relays */
	{ BASE, WEB RELAY(" disable\n"),
	    "~relay www|disable|no|yes|sessions\n" },
	{ BASE, WEB RELAY(" session timeout 60\n"),
	    "~relay www|session timeout|600 s|60 s|sessions\n" },
	{ TO("<web> port 80"), TO("<web> port 80 mode loadbalance"),
	    "~relay www|forward to|<web> port 80 mode roundrobin|"
	    "<web> port 80 mode loadbalance|sessions\n" },
	{ TO("<web> port 80 mode hash"), TO("<web> port 80 mode hash "
	    "\"0x000102030405060708090a0b0c0d0e0f\""), "~relay www|forward "
	    "to|<web> port 80 mode hash|<web> port 80 mode hash 0x" },
	{ TO("192.0.2.9 port 80"), TO("192.0.2.9 port 81 retry 2"),
	    "~relay www|forward to|192.0.2.9:80|192.0.2.9:81 retry 2|"
	    "sessions\n" },
	{ TO("destination"), TO("nat lookup"),
	    "~relay www|forward to|destination|nat lookup|sessions\n" },
	/* tables and hosts */
	{ TO("<web> port 80 check tcp"), TO("<web> port 80 check icmp"),
	    "~table web:80|check|tcp|icmp|checked\n" },
	{ TO("<web> port 80 check tcp"), TO("<web> port 80"),
	    "~table web:80|check|tcp|none|now\n" },
	{ TO("<web> port 80 check tls"), TO("<web> port 80 check http \"/\" "
	    "host \"h\" code 200"), "~table web:80|check|tls|http \"/\" host "
	    "\"h\" code 200|checked\n" },
	{ TO("<web> port 80 check send \"a\\n\" expect \"b*\""),
	    TO("<web> port 80 check send nothing expect \"b*\" tls"),
	    "~table web:80|check|send \"a\\x0a\" expect \"b*\"|"
	    "send nothing expect \"b*\" tls|checked\n" },
	{ TO("<web> port 80 check script \"/bin/a\""),
	    TO("<web> port 80 check script \"/bin/b\""),
	    "~table web:80|check|script \"/bin/a\"|script \"/bin/b\"|"
	    "checked\n" },
	{ TO("<web> port 80 check tcp"),
	    TO("<web> port 80 check tcp timeout 300 interval 20 demote c"),
	    "~table web:80|timeout|200 ms|300 ms|kept\n"
	    "~table web:80|interval|global|20 s|kept\n"
	    "~table web:80|demote|no|c|now\n" },
	{ BASE, "table <web> { 192.0.2.2 192.0.2.3 }\n" RELAY(""),
	    "+host 192.0.2.3 in web:8080||" },
	{ BASE, "table <web> { 192.0.2.1 retry 2 ip ttl 3, 192.0.2.2 "
	    "parent 1 }\n" RELAY(""),
	    "~host 192.0.2.1 in web:8080|retry|0|2|kept\n"
	    "~host 192.0.2.1 in web:8080|ip ttl|0|3|kept\n"
	    "~host 192.0.2.2 in web:8080|parent|no|192.0.2.1 in web:8080|"
	    "kept\n" },
	{ BASE, "table <web> disable { 192.0.2.1 192.0.2.2 }\n" RELAY(""),
	    "~table web:8080|disable|no|yes|now\n" },
	/* the order alone: ids only */
	{ BASE, "table <web> { 192.0.2.2 192.0.2.1 }\n" RELAY(""), "" },
	/* redirects */
	{ REDIRECT(""), REDIRECT(" disable\n pftag x\n sticky-address\n"
	    " session timeout 9\n"),
	    "~redirect r|disable|no|yes|now\n"
	    "~redirect r|pftag|no|\"x\"|now\n"
	    "~redirect r|sticky-address|no|yes|sessions\n"
	    "~redirect r|session timeout|600 s|9 s|sessions\n" },
	{ REDIRECT(""), REDIRECT(" listen on 127.0.0.2 port 1:9 "
	    "interface em0\n"), "~redirect r|listen on|127.0.0.1 tcp port 80|"
	    "127.0.0.1 tcp port 80, 127.0.0.2 tcp port 1:9 interface em0|"
	    "now\n" },
	{ REDIRECT(""), REDIRECT("") "table <b> { 192.0.2.9 }\n"
	    "redirect s { listen on 127.0.0.2 port 80\n"
	    "forward to <web> port 80 check tcp\n"
	    "forward to <b> port 80 check tcp }\n", "+redirect s||" },
	/* routers */
	{ ROUTER(" route 10.0.0.0/8\n"), ROUTER(" route 10.0.0.0/8\n"
	    " route 192.168.0.0/16\n rtable 3\n rtlabel a\n disable\n"),
	    "~router u|disable|no|yes|now\n"
	    "~router u|route|10.0.0.0/8|10.0.0.0/8, 192.168.0.0/16|now\n"
	    "~router u|rtable|0|3|now\n"
	    "~router u|rtlabel|no|\"a\"|now\n" },
	/* protocols */
	{ PROTOCOL(""), BASE, "~relay www|protocol|p|default|sessions\n"
	    "-protocol p|" },
	{ PROTOCOL(" tcp nodelay\n"), PROTOCOL(" tcp no nodelay\n"),
	    "-protocol p|statement|tcp nodelay||sessions\n"
	    "+protocol p|statement||tcp no nodelay|sessions\n" },
	{ PROTOCOL(" block\n pass path \"/a\"\n pass path \"/b\"\n"),
	    PROTOCOL(" block\n pass path \"/b\"\n pass path \"/a\"\n"),
	    "-protocol p|statement|pass request path \"/a\"||sessions\n"
	    "+protocol p|statement||pass request path \"/a\"|sessions\n" },
};

/* Without TLS what asks for it is an error. */
static bool
row_possible(size_t i)
{
	return tls_available() || (strstr(rows[i].old, "tls") == NULL &&
	    strstr(rows[i].new, "tls") == NULL);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *want = rows[i].want;

		if (!row_possible(i))
			continue;
		differ(rows[i].old, rows[i].new);
		if (want[0] == '\0' ? told[0] != '\0' :
		    strstr(told, want) == NULL)
			fail_msg("row %zu: %s", i, told);
	}
}

/* Backwards, what came has gone. */
static void
test_backwards(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rd_diff a, b;

		if (!row_possible(i))
			continue;
		a = differ(rows[i].old, rows[i].new);
		b = differ(rows[i].new, rows[i].old);
		assert_int_equal(a.changes, b.changes);
		for (int k = 0; k < RD_DIFF_KINDS; k++) {
			assert_int_equal(a.of[k].kept, b.of[k].kept);
			assert_int_equal(a.of[k].changed, b.of[k].changed);
			assert_int_equal(a.of[k].added, b.of[k].removed);
			assert_int_equal(a.of[k].renumbered,
			    b.of[k].renumbered);
		}
	}
}

static void
test_counts(void **state)
{
	struct rd_diff d;

	(void)state;
	d = differ(BASE, "table <new> { 192.0.2.9 192.0.2.1 }\n"
	    "relay first { listen on 127.0.0.1 port 82\n"
	    "forward to <new> port 1 check icmp }\n"
	    "table <web> { 192.0.2.3 192.0.2.2 }\n" RELAY(""));
	assert_int_equal(d.of[RD_DIFF_LISTENER].kept, 1);
	assert_int_equal(d.of[RD_DIFF_LISTENER].added, 1);
	assert_int_equal(d.of[RD_DIFF_HOST].kept, 1);
	assert_int_equal(d.of[RD_DIFF_HOST].added, 3);
	assert_int_equal(d.of[RD_DIFF_HOST].removed, 1);
	assert_int_equal(d.checked, 3);
	/* 2 was 192.0.2.2, which is 4 now */
	assert_int_equal(d.of[RD_DIFF_HOST].renumbered, 1);
	assert_int_equal(d.of[RD_DIFF_TABLE].renumbered, 1);
	assert_int_equal(d.of[RD_DIFF_RELAY].renumbered, 1);

	d = differ(TO("<web> port 80 check tcp"),
	    TO("<web> port 80 check icmp"));
	assert_int_equal(d.changes, 1);
	assert_int_equal(d.of[RD_DIFF_HOST].kept, 0);
	assert_int_equal(d.of[RD_DIFF_HOST].added, 0);
	assert_int_equal(d.of[RD_DIFF_HOST].removed, 0);
	assert_int_equal(d.checked, 2);

	/* neither what has no check, nor children, nor what is off */
	d = differ(BASE, BASE "table <n> { 192.0.2.7, 192.0.2.8 parent 1 }\n"
	    "table <o> disable { 192.0.2.9 }\n"
	    "relay a { listen on 127.0.0.1 port 82\n"
	    "forward to <n> port 80 check tcp\n"
	    "forward to <o> port 80 check tcp\nforward to <web> port 3 }\n");
	assert_int_equal(d.of[RD_DIFF_HOST].added, 5);
	assert_int_equal(d.checked, 1);
}

/* Tables of one name are told apart by their order. */
static void
test_same_names(void **state)
{
	struct rd_diff d;

	(void)state;
	d = differ(WEB "relay a { listen on 127.0.0.1 port 1\n"
	    "forward to <web> port 80 check tcp }\n"
	    "relay b { listen on 127.0.0.1 port 2\n"
	    "forward to <web> port 80 check tcp }\n",
	    WEB "relay a { listen on 127.0.0.1 port 1\n"
	    "forward to <web> port 80 check tcp }\n"
	    "relay b { listen on 127.0.0.1 port 2\n"
	    "forward to <web> port 80 check tcp }\n"
	    "relay c { listen on 127.0.0.1 port 3\n"
	    "forward to <web> port 80 check tcp }\n");
	assert_int_equal(d.of[RD_DIFF_TABLE].kept, 2);
	assert_int_equal(d.of[RD_DIFF_TABLE].added, 1);
	assert_int_equal(d.of[RD_DIFF_HOST].kept, 4);
	assert_int_equal(d.of[RD_DIFF_HOST].added, 2);
}

/* Statements of a protocol: the shortest way from one list to the other. */
static void
test_statements(void **state)
{
	static char a[120000], b[120000];
	struct str s, t;

	(void)state;
	str_init(&s, a, sizeof(a));
	str_init(&t, b, sizeof(b));
	str_add(&s, WEB "http protocol p {\n");
	str_add(&t, WEB "http protocol p {\n");
	for (int i = 0; i < 400; i++) {
		str_add(&s, "\tpass request path \"/%d\"\n", i);
		if (i == 100)
			str_add(&t, "\tblock request path \"/new\"\n");
		if (i != 300)
			str_add(&t, "\tpass request path \"/%d\"\n", i);
	}
	str_add(&s, "}\n" RELAY(" protocol p\n"));
	str_add(&t, "}\n" RELAY(" protocol p\n"));
	assert_int_equal(differ(a, b).changes, 2);
	assert_string_equal(told, "+protocol p|statement||block request path "
	    "\"/new\"|sessions\n-protocol p|statement|pass request path "
	    "\"/300\"||sessions\n");

	/* so many that only their number is told */
	str_init(&s, a, sizeof(a));
	str_init(&t, b, sizeof(b));
	str_add(&s, WEB "http protocol p {\n");
	str_add(&t, WEB "http protocol p {\n");
	for (int i = 0; i < 2100; i++) {
		str_add(&s, "\tpass path \"/a%d\"\n", i);
		str_add(&t, "\tpass path \"/b%d\"\n", i);
	}
	str_add(&s, "}\n" RELAY(" protocol p\n"));
	str_add(&t, "}\n" RELAY(" protocol p\n"));
	assert_int_equal(differ(a, b).changes, 1);
	assert_string_equal(told, "~protocol p|statements|2100 others|"
	    "2100 others|sessions\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_backwards),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_same_names),
		cmocka_unit_test(test_statements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
