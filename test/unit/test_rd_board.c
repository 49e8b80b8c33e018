/*
 * What tables, hosts and redirects of a relayd.conf are called on the board:
 * the same name for the same thing in two configurations, and never one name
 * for two things of one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "misc/tls.h"
#include "relayd/rd_board.h"
#include "relayd/rd_engine.h"
#include "tcprelay/config.h"

static const struct rd_request request = { .file = "r.conf",
    .directory = "/where" };

static struct rd_conf *
compile(const char *text)
{
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_conf *c;
	char error[256];

	source_add(s, SOURCE_TEXT, "/where/r.conf", text, strlen(text));
	c = rd_compile(&request, s, d);
	if (c == NULL)
		fail_msg("%s", diag_first(d, error, sizeof error));
	diag_free(d);
	return c;
}

/* Of the n-th host of the m-th table. */
static const char *
host_name(const struct rd_conf *c, size_t m, size_t n)
{
	static char names[4][BOARD_NAME];
	static unsigned next;
	char *name = names[next++ % 4];

	assert_true(m < c->ntables && n < c->tables[m]->nhosts);
	return rd_board_host(c, c->tables[m], &c->tables[m]->hosts[n], name);
}

#define RELAY(forwards) "relay r { listen on 192.0.2.1 port 1\n" forwards "}\n"

/* ---- what changes the name of the first host, and what does not ---- */

static const struct row {
	const char	*a, *b;
	bool		 same;
} rows[] = {
#define T	"table <web> { 10.0.0.1 10.0.0.2 }\n"
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    T RELAY("forward to <web> port 80 check tcp\n"), true },
	/* others come and go, and with them all numbers */
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    "table <a> { 10.0.0.9 }\ntable <web> { 10.0.0.1 }\n"
	    RELAY("forward to <web> port 80 check tcp\n"
	    "forward to <a> port 80\n"), true },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    "table <web> { 10.0.0.1 retry 3 ip ttl 4 }\n"
	    RELAY("forward to <web> port 80 check tcp\n"), true },
	/* how often and how long is not what is asked */
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    "interval 5\n" T
	    RELAY("forward to <web> port 80 check tcp timeout 100 "
	    "interval 10\n"), true },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    T RELAY("forward to <web> port 81 check tcp\n"), false },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    T RELAY("forward to <web> port 80\n"), false },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    T RELAY("forward to <web> port 80 check tls\n"), false },
	{ T RELAY("forward to <web> port 80 check icmp\n"),
	    T RELAY("forward to <web> port 80 check tcp\n"), false },
	{ T RELAY("forward to <web> port 80 check http '/' code 200\n"),
	    T RELAY("forward to <web> port 80 check http '/' code 201\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check http '/' code 200\n"),
	    T RELAY("forward to <web> port 80 check https '/' code 200\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check http '/a' code 200\n"),
	    T RELAY("forward to <web> port 80 check http '/b' code 200\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check http '/' host a code 200\n"),
	    T RELAY("forward to <web> port 80 check http '/' code 200\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check send 'a' expect 'b'\n"),
	    T RELAY("forward to <web> port 80 check send 'a' expect 'c'\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check send nothing expect 'b'\n"),
	    T RELAY("forward to <web> port 80 check send 'a' expect 'b'\n"),
	    false },
	{ T RELAY("forward to <web> port 80 check script '/a'\n"),
	    T RELAY("forward to <web> port 80 check script '/b'\n"), false },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    "table <web> { 10.0.0.3 }\n"
	    RELAY("forward to <web> port 80 check tcp\n"), false },
	{ T RELAY("forward to <web> port 80 check tcp\n"),
	    "table <www> { 10.0.0.1 }\n"
	    RELAY("forward to <www> port 80 check tcp\n"), false },
	{ "table <web> { fe80::1 }\n" RELAY("forward to <web> port 80\n"),
	    "table <web> { fe80::2 }\n" RELAY("forward to <web> port 80\n"),
	    false },
	{ "table <web> { 10.0.0.1 }\n" RELAY("forward to <web> port 80\n"),
	    "table <web> { ::ffff:10.0.0.1 }\n"
	    RELAY("forward to <web> port 80\n"), false },
};

static void
test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rd_conf *a, *b;
		const char *x, *y;

		if (!tls_available() && (strstr(rows[i].b, "tls") != NULL ||
		    strstr(rows[i].b, "https") != NULL))
			continue;
		a = compile(rows[i].a);
		b = compile(rows[i].b);
		x = host_name(a, 0, 0);
		y = host_name(b, 0, 0);
		if ((strcmp(x, y) == 0) != rows[i].same)
			fail_msg("row %zu: %s, %s", i, x, y);
		rd_conf_unref(a);
		rd_conf_unref(b);
	}
}

/* Everything that occurs several times, in one configuration. */
#define LONG	"123456789012345678901234567890123456789012345678901234567"

static const char many[] =
	"table <web> { 10.0.0.1 10.0.0.1 ::1 ::ffff:10.0.0.1 10.0.0.2 }\n"
	"table <" LONG "> { fe80::1234:5678:9abc:def0 "
	    "2001:db8:1111:2222:3333:4444:5555:6666 "
	    "2001:db8:1111:2222:3333:4444:5555:6667 }\n"
	"redirect x { listen on 192.0.2.1 port 80\nforward to <web> port 80 "
	    "check tcp timeout 50\n}\n"
	"redirect y { listen on 192.0.2.2 port 80\nforward to <web> port 80 "
	    "check tcp timeout 60\n}\n"
	RELAY("forward to <web> port 80 check icmp\n"
	    "forward to <web> port 81\n"
	    "forward to <" LONG "> port 65000 check tcp\n");

static void
test_unique(void **state)
{
	struct rd_conf *c = compile(many);
	char names[64][BOARD_NAME];
	size_t n = 0;

	(void)state;
	assert_true(c->ntables >= 5 && c->nhosts < 64);
	for (size_t i = 0; i < c->ntables; i++)
		for (size_t j = 0; j < c->tables[i]->nhosts; j++, n++)
			rd_board_host(c, c->tables[i],
			    &c->tables[i]->hosts[j], names[n]);
	assert_int_equal(n, c->nhosts);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	n = c->ntables;
	for (size_t i = 0; i < n; i++)
		rd_board_table(c, c->tables[i], names[i]);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	assert_string_equal(names[0], "web:80");
	assert_string_equal(names[1], "web:80#1");
	assert_string_equal(rd_board_redirect(c->redirects[1], names[0]), "y");
	rd_conf_unref(c);
}

/* ---- rows ---- */

static void
test_rows(void **state)
{
	struct rd_conf *c = compile(many);
	struct config none = { .nremotes = 0 };
	struct compiled compiled = { .worker = &none, .front = c };
	unsigned n = rd_board_row_count(&compiled), hosts = 0, used = 0;
	struct board b;

	(void)state;
	assert_int_equal(n, c->ntables + c->nhosts + c->nredirects);
	assert_int_equal(board_open(&b, 2, n), 0);
	rd_board_rows(&compiled, &b, 1);
	rd_board_rows(&compiled, &b, 2);	/* the same ones again */
	for (unsigned i = 0; i < b.rows; i++) {
		const struct board_row *r = board_row(&b, i);

		used += board_row_used(r);
		if (!board_row_used(r) || r->kind != BOARD_HOST)
			continue;
		hosts++;
		assert_true(r->order >= 1 && r->order <= c->nhosts);
		assert_string_equal(r->label, c->hosts[r->order - 1]->name);
	}
	assert_int_equal(used, n);
	assert_int_equal(hosts, c->nhosts);
	assert_int_not_equal(board_find(&b, BOARD_HOST, host_name(c, 0, 1)),
	    -1);
	assert_int_not_equal(board_find(&b, BOARD_TABLE, "web:80#1"), -1);
	assert_int_not_equal(board_find(&b, BOARD_REDIRECT, "x"), -1);
	assert_int_equal(board_find(&b, BOARD_REDIRECT, "z"), -1);
	board_close(&b);
	rd_conf_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_unique),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
