/*
 * tcprelay/check.c, check_setup.c, check_script.c: rounds, orders, reloads.
 * Time is ours; checks are scripts, which the test answers.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tcprelay/check.h"

#define SECOND	1000u		/* ms */

/* The clock of this program: it stands until it is moved. */
static uint64_t now = 1000 * EV_SECOND;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = (time_t)(now / EV_SECOND);
	ts->tv_nsec = (long)(now % EV_SECOND);
	return 0;
}

/* ---- what the engine says ---- */

struct asked {
	uint32_t	host, run;
};

static struct {
	struct ev	*ev;
	struct check	*check;
	unsigned	 rounds, statuses, lines, scripts;
	bool		 refuse;		/* scripts cannot be run */
	struct check_status status;		/* the last one */
	struct check_script script;
	struct asked	 asked[64];
	char		 line[256];
	int		 severity;
} seen;

static void
status_cb(void *ctx, const struct check_status *s)
{
	assert_ptr_equal(ctx, &seen);
	seen.status = *s;
	seen.statuses++;
}

static void
round_cb(void *ctx)
{
	(void)ctx;
	seen.rounds++;
}

static bool
script_cb(void *ctx, const struct check_script *s)
{
	(void)ctx;
	assert_true(seen.scripts < 64);
	seen.asked[seen.scripts++] = (struct asked){ s->host, s->run };
	seen.script = *s;
	return !seen.refuse;
}

static void
line_cb(void *ctx, int severity, const char *text)
{
	(void)ctx;
	seen.lines++;
	seen.severity = severity;
	snprintf(seen.line, sizeof(seen.line), "%s", text);
}

static const struct check_ops ops = {
	status_cb, round_cb, script_cb, line_cb
};

static void
turn(void)
{
	ev_clock(seen.ev);
	for (int i = 0; i < 20; i++)
		assert_int_equal(ev_turn(seen.ev, 0), 0);
}

static void
pass(unsigned ms)
{
	now += ms * EV_MS;
	turn();
}

/* How often the script of host was asked for since the last call. */
static unsigned
asked(uint32_t host)
{
	unsigned n = 0;

	for (unsigned i = 0; i < seen.scripts; i++)
		n += seen.asked[i].host == host;
	return n;
}

/* Answers everything that was asked. */
static void
answer(bool up)
{
	struct asked all[64];
	unsigned n = seen.scripts;

	memcpy(all, seen.asked, sizeof(all));
	seen.scripts = 0;
	for (unsigned i = 0; i < n; i++)
		check_script_done(seen.check, all[i].host, all[i].run, up);
}

static void
answer_one(uint32_t host, bool up)
{
	for (unsigned i = 0; i < seen.scripts; i++)
		if (seen.asked[i].host == host)
			check_script_done(seen.check, host,
			    seen.asked[i].run, up);
}

static int
setup(void **state)
{
	int none[CHECK_SOCKETS] = { -1, -1, -1, -1 };

	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.ev = ev_new(NULL, true);
	assert_non_null(seen.ev);
	ev_clock(seen.ev);
	seen.check = check_new(seen.ev, &ops, &seen, none);
	assert_non_null(seen.check);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	check_free(seen.check);
	turn();
	ev_free(seen.ev);
	return 0;
}

/* ---- configurations ---- */

static struct check_host
host(uint32_t id, const char *name, unsigned last)
{
	struct check_host h = { .id = id, .name = name };

	h.addr.in = (struct sockaddr_in){ .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(0x0a000000 | last) };
	h.addr.len = sizeof(h.addr.in);
	return h;
}

static struct check_table
table(uint32_t id, const char *name, const struct check_host *hosts,
    size_t n)
{
	return (struct check_table){ .id = id, .name = name,
	    .how = { .kind = CHECK_SCRIPT, .path = "/bin/check" },
	    .timeout = 200, .every = 1, .hosts = hosts, .nhosts = n };
}

static void
adopt(const struct check_table *tables, size_t n)
{
	check_adopt(seen.check, &(struct check_conf){ .tables = tables,
	    .ntables = n, .interval = 10 * SECOND,
	    .log = CHECK_LOG_STATE | CHECK_LOG_HOSTS, .agent = "S" });
	turn();
}

/* ---- rounds ---- */

static void
first_round_at_once(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b.example", 2) };
	struct check_table t = table(1, "web:80", h, 2);

	(void)state;
	adopt(&t, 1);
	assert_int_equal(seen.rounds, 1);
	assert_int_equal(seen.scripts, 2);
	assert_int_equal(seen.script.host, 2);
	assert_string_equal(seen.script.path, "/bin/check");
	assert_string_equal(seen.script.argument, "b.example");
	assert_int_equal(seen.script.timeout, 200);
	pass(7);
	answer(true);
	assert_int_equal(seen.statuses, 2);
	assert_int_equal(seen.status.id, 2);
	assert_int_equal(seen.status.table, 1);
	assert_int_equal(seen.status.old, HOST_UNKNOWN);
	assert_int_equal(seen.status.now.state, HOST_UP);
	assert_int_equal(seen.status.now.error, HOST_SCRIPT_OK);
	assert_int_equal(seen.status.now.checks, 1);
	assert_int_equal(seen.status.ms, 7);
	assert_string_equal(seen.line, "host b.example, check script "
	    "(7ms,script ok), state unknown -> up, availability 100.00%");
	assert_int_equal(seen.severity, LOG_INFO);
	pass(9992);
	assert_int_equal(seen.rounds, 1);
	pass(1);
	assert_int_equal(seen.rounds, 2);
	assert_int_equal(seen.scripts, 2);
}

/* Each at its own distance, whatever the others do; exactly. */
static void
every_so_many_rounds(void **state)
{
	struct check_host a = host(1, "a", 1), b = host(2, "b", 2),
	    c = host(3, "c", 3);
	struct check_table t[] = { table(1, "a:1", &a, 1),
	    table(2, "b:1", &b, 1), table(3, "c:1", &c, 1) };

	(void)state;
	t[1].every = 2;
	t[2].every = 3;
	adopt(t, 3);
	for (unsigned i = 0; i < 13; i++) {
		assert_int_equal(seen.rounds, i + 1);
		assert_int_equal(asked(1), 1);
		assert_int_equal(asked(2), i % 2 == 0);
		assert_int_equal(asked(3), i % 3 == 0);
		answer(true);
		pass(10 * SECOND);
	}
}

/* A loop that was held up does not make up for it. */
static void
late_loop(void **state)
{
	struct check_host a = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &a, 1);

	(void)state;
	adopt(&t, 1);
	answer(true);
	pass(14 * SECOND);
	assert_int_equal(seen.rounds, 2);
	answer(true);
	pass(6 * SECOND);
	assert_int_equal(seen.rounds, 3);
	answer(true);
	pass(95 * SECOND);
	assert_int_equal(seen.rounds, 4);
	answer(true);
	pass(10 * SECOND - 1);
	assert_int_equal(seen.rounds, 4);
	pass(1);
	assert_int_equal(seen.rounds, 5);
}

static void
running_script_is_skipped(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2) };
	struct check_table t = table(1, "web:80", h, 2);

	(void)state;
	adopt(&t, 1);
	answer_one(2, true);
	assert_int_equal(seen.statuses, 1);
	pass(10 * SECOND);
	assert_int_equal(asked(1), 1);
	assert_int_equal(asked(2), 2);
	assert_int_equal(check_running(seen.check), 2);
	answer(true);
	assert_int_equal(check_running(seen.check), 0);
	/* twice, and one that was never asked for */
	assert_int_equal(seen.statuses, 3);
	check_script_done(seen.check, 1, 1, false);
	check_script_done(seen.check, 77, 77, false);
	assert_int_equal(seen.statuses, 3);
}

static void
script_that_cannot_run(void **state)
{
	struct check_host a = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &a, 1);

	(void)state;
	seen.refuse = true;
	adopt(&t, 1);
	assert_int_equal(seen.status.now.state, HOST_DOWN);
	assert_int_equal(seen.status.now.error, HOST_SCRIPT_FAILED);
	assert_int_equal(check_running(seen.check), 0);
}

static void
poll_begins_anew(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2) };
	struct check_table t[] = { table(1, "a:1", h, 1),
	    table(2, "b:1", h + 1, 1) };

	(void)state;
	t[1].every = 3;
	check_poll(seen.check);		/* nothing to poll */
	adopt(t, 2);
	answer_one(2, true);
	pass(4 * SECOND);
	check_poll(seen.check);
	turn();
	assert_int_equal(seen.rounds, 2);
	/* the one that is under way is left alone */
	assert_int_equal(asked(1), 1);
	assert_int_equal(asked(2), 2);
	answer(true);
	assert_int_equal(check_host(seen.check, 1)->state, HOST_UP);
	pass(9 * SECOND);
	assert_int_equal(seen.rounds, 2);
	for (unsigned i = 1; i < 8; i++) {
		pass(i == 1 ? SECOND : 10 * SECOND);
		assert_int_equal(seen.rounds, 2 + i);
		assert_int_equal(asked(1), 1);
		assert_int_equal(asked(2), i % 3 == 0);
		answer(true);
	}
}

/* What a round has not brought to an end, the next one abandons. */
static void
interval_timeout(void **state)
{
	struct check_host h = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &h, 1);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	h.addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(l, &h.addr.sa, h.addr.len), 0);
	assert_int_equal(listen(l, 5), 0);
	assert_int_equal(getsockname(l, &h.addr.sa, &h.addr.len), 0);
	t.how = (struct check_how){ .kind = CHECK_SEND,
	    .expect = (const uint8_t *)"*", .expect_len = 1 };
	t.timeout = 60 * SECOND;
	adopt(&t, 1);
	assert_int_equal(check_running(seen.check), 1);
	pass(3 * SECOND);
	check_poll(seen.check);		/* leaves it alone */
	turn();
	assert_int_equal(check_host(seen.check, 1)->error, HOST_NONE);
	pass(10 * SECOND);
	assert_int_equal(seen.rounds, 3);
	assert_int_equal(check_host(seen.check, 1)->error,
	    HOST_INTERVAL_TIMEOUT);
	assert_int_equal(check_host(seen.check, 1)->state, HOST_UNKNOWN);
	assert_int_equal(seen.statuses, 0);
	assert_int_equal(seen.lines, 0);
	assert_int_equal(check_running(seen.check), 1);
	close(l);
}

/* ---- the gate ---- */

static void
logs_as_ordered(void **state)
{
	static const struct {
		unsigned	log;
		unsigned	lines[3];	/* up, up, down */
	} rows[] = {
		{ 0, { 0, 0, 0 } },
		{ CHECK_LOG_STATE, { 1, 0, 1 } },
		{ CHECK_LOG_HOSTS, { 0, 1, 0 } },
		{ CHECK_LOG_STATE | CHECK_LOG_HOSTS, { 1, 1, 1 } },
		{ CHECK_LOG_DEBUG, { 1, 1, 1 } },
	};
	struct check_host a = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &a, 1);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		adopt(&t, 1);
		check_log(seen.check, rows[i].log);
		for (unsigned k = 0; k < 3; k++) {
			seen.lines = 0;
			answer(k < 2);
			assert_int_equal(seen.lines, rows[i].lines[k]);
			pass(10 * SECOND);
		}
		if (rows[i].log & CHECK_LOG_DEBUG) {
			assert_string_equal(seen.line,
			    "hce_notify_done: a (script failed)");
			assert_int_equal(seen.severity, LOG_DEBUG);
		}
		teardown(state);
		setup(state);
	}
}

static void
retries(void **state)
{
	struct check_host a = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &a, 1);
	static const enum host_state want[] = { HOST_UP, HOST_UP, HOST_UP,
	    HOST_DOWN, HOST_DOWN };

	(void)state;
	a.retry = 2;
	adopt(&t, 1);
	for (unsigned i = 0; i < 5; i++) {
		answer(i == 0);
		assert_int_equal(seen.status.now.state, want[i]);
		assert_int_equal(seen.status.now.error,
		    i == 0 ? HOST_SCRIPT_OK : HOST_SCRIPT_FAILED);
		pass(10 * SECOND);
	}
	assert_string_equal(seen.line, "host a, check script "
	    "(0ms,script failed), state down -> down, availability 60.00%");
}

static void
children_follow(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2),
	    host(3, "c", 3), host(4, "d", 4) };
	struct check_table t[] = { table(1, "a:1", h, 2),
	    table(2, "b:1", h + 2, 2) };

	(void)state;
	h[1].parent = 3;
	h[3].parent = 99;		/* a host of a table without checks */
	h[1].retry = 1;
	adopt(t, 2);
	assert_int_equal(seen.scripts, 2);
	assert_int_equal(asked(2) + asked(4), 0);
	answer(true);
	assert_int_equal(seen.statuses, 3);
	assert_int_equal(check_host(seen.check, 2)->state, HOST_UP);
	assert_int_equal(check_host(seen.check, 4)->state, HOST_UNKNOWN);
	assert_string_equal(seen.line, "host b, check script "
	    "(0ms,script ok), state unknown -> up, availability 100.00%");
	pass(10 * SECOND);
	answer(false);		/* forgiven, for the child */
	assert_int_equal(check_host(seen.check, 3)->state, HOST_DOWN);
	assert_int_equal(check_host(seen.check, 2)->state, HOST_UP);
	pass(10 * SECOND);
	answer(false);
	assert_int_equal(check_host(seen.check, 2)->state, HOST_DOWN);
	assert_int_equal(check_host(seen.check, 2)->error,
	    HOST_SCRIPT_FAILED);
}

/* ---- orders ---- */

static void
host_orders(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2),
	    host(3, "c", 3) };
	struct check_table t = table(1, "a:1", h, 3);

	(void)state;
	h[1].parent = 1;
	adopt(&t, 1);
	answer(true);
	assert_int_equal(seen.statuses, 3);
	assert_false(check_host_switch(seen.check, 2, false));
	assert_false(check_host_switch(seen.check, 4, false));
	pass(10 * SECOND);
	assert_true(check_host_switch(seen.check, 1, false));
	assert_int_equal(seen.statuses, 5);	/* with its child */
	assert_true(check_host_switch(seen.check, 1, false));
	assert_int_equal(seen.statuses, 5);
	assert_int_equal(seen.status.id, 2);
	assert_int_equal(seen.status.old, HOST_UP);
	assert_int_equal(seen.status.now.state, HOST_UNKNOWN);
	assert_int_equal(seen.status.now.checks, 0);
	seen.lines = 0;
	answer_one(1, true);
	assert_string_equal(seen.line, "host b, check script "
	    "(ignoring result, host disabled)");
	assert_int_equal(seen.lines, 2);
	assert_int_equal(seen.statuses, 5);
	answer(true);
	pass(10 * SECOND);
	assert_int_equal(asked(1), 0);
	assert_int_equal(asked(3), 1);
	answer(true);
	assert_true(check_host_switch(seen.check, 1, true));
	turn();
	assert_int_equal(seen.scripts, 0);	/* with the next round */
	pass(10 * SECOND);
	assert_int_equal(asked(1), 1);
	answer(true);
	assert_int_equal(check_host(seen.check, 1)->state, HOST_UP);
	assert_int_equal(check_host(seen.check, 1)->checks, 1);
	assert_int_equal(check_host(seen.check, 2)->state, HOST_UP);
}

static void
table_orders(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2) };
	struct check_table t[] = { table(1, "a:1", h, 1),
	    table(2, "b:1", h + 1, 1) };

	(void)state;
	t[0].every = 5;
	adopt(t, 2);
	answer(true);
	assert_false(check_table_switch(seen.check, 3, false));
	pass(10 * SECOND);
	assert_int_equal(asked(2), 1);
	assert_true(check_table_switch(seen.check, 2, false));
	assert_int_equal(seen.status.now.state, HOST_UNKNOWN);
	assert_int_equal(seen.status.now.checks, 1);
	assert_int_equal(check_running(seen.check), 0);
	seen.statuses = seen.lines = 0;
	answer(true);			/* nobody waits for it any more */
	assert_int_equal(seen.statuses + seen.lines, 0);
	assert_true(check_table_switch(seen.check, 1, false));
	pass(10 * SECOND);
	assert_int_equal(seen.scripts, 0);
	assert_true(check_table_switch(seen.check, 1, true));
	assert_true(check_table_switch(seen.check, 2, true));
	turn();
	assert_int_equal(seen.scripts, 0);
	pass(10 * SECOND);
	assert_int_equal(asked(1), 1);	/* it does not wait for its turn */
	assert_int_equal(asked(2), 1);
}

static void
disabled_from_the_start(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2) };
	struct check_table t[] = { table(1, "a:1", h, 1),
	    table(2, "b:1", h + 1, 1) };

	(void)state;
	t[0].disabled = true;
	h[1].disabled = true;
	adopt(t, 2);
	assert_int_equal(seen.scripts, 0);
	assert_int_equal(seen.rounds, 1);
	assert_true(check_table_switch(seen.check, 1, true));
	assert_true(check_host_switch(seen.check, 2, true));
	pass(10 * SECOND);
	assert_int_equal(seen.scripts, 2);
}

/* An engine that takes the place of one that died goes on with what that one
 * knew, but checks at once. */
static void
known_before(void **state)
{
	const struct host up = { .state = HOST_UP, .checks = 10, .ups = 9,
		.left = 3 };
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2) };
	struct check_table t = table(1, "a:1", h, 2);

	(void)state;
	h[0].known = h[1].known = &up;
	h[0].retry = 1;
	h[1].disabled = true;
	adopt(&t, 1);
	assert_int_equal(check_host(seen.check, 1)->state, HOST_UP);
	assert_int_equal(seen.statuses, 1);
	assert_int_equal(seen.status.id, 2);
	assert_int_equal(seen.status.now.state, HOST_UNKNOWN);
	assert_int_equal(seen.scripts, 1);
	answer(false);			/* one is forgiven, not three */
	assert_int_equal(seen.status.now.state, HOST_UP);
	assert_int_equal(seen.status.now.checks, 11);
	adopt(&t, 1);			/* it is known here */
	assert_int_equal(check_host(seen.check, 1)->checks, 11);
	pass(10 * SECOND);
	answer(false);
	assert_int_equal(seen.status.now.state, HOST_DOWN);
}

/* ---- reloads ---- */

static void
reload_keeps(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2),
	    host(3, "c", 3) };
	struct check_table t = table(1, "a:1", h, 3);

	(void)state;
	adopt(&t, 1);
	answer(true);
	pass(10 * SECOND);
	answer_one(1, true);
	answer_one(2, false);
	seen.scripts = 0;
	seen.statuses = 0;
	pass(4 * SECOND);
	/* b goes, d comes, all have other numbers, c is under way */
	struct check_host g[] = { host(11, "d", 4), host(12, "c", 3),
	    host(13, "A", 1) };
	struct check_table s = table(7, "a:1", g, 3);

	adopt(&s, 1);
	assert_int_equal(seen.rounds, 2);
	assert_int_equal(seen.scripts, 1);
	assert_int_equal(asked(11), 1);
	assert_int_equal(check_host(seen.check, 13)->checks, 2);
	assert_int_equal(check_host(seen.check, 13)->state, HOST_UP);
	assert_null(check_host(seen.check, 1));
	assert_int_equal(seen.statuses, 0);
	assert_int_equal(check_running(seen.check), 2);
	check_script_done(seen.check, 3, 6, false);	/* c by its old id */
	assert_int_equal(seen.statuses, 1);
	assert_int_equal(seen.status.id, 12);
	assert_int_equal(seen.status.table, 7);
	assert_int_equal(check_host(seen.check, 12)->state, HOST_DOWN);
	answer(true);
	assert_int_equal(seen.status.id, 11);
	/* the next round is where it was */
	pass(6 * SECOND - 1);
	assert_int_equal(seen.rounds, 2);
	pass(1);
	assert_int_equal(seen.rounds, 3);
	assert_int_equal(seen.scripts, 3);
}

/* The name of the table, the address, the check: any of them new makes a new
 * host. */
static void
reload_renews(void **state)
{
	struct check_host h = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &h, 1);

	(void)state;
	adopt(&t, 1);
	for (int i = 0; i < 8; i++) {
		answer(true);
		assert_int_equal(check_host(seen.check, 1)->checks, 1);
		switch (i) {
		case 0:
			t.name = "b:1";
			break;
		case 1:
			h.addr.in.sin_port = htons(81);
			break;
		case 2:
			h.addr.in.sin_addr.s_addr = htonl(0x0a000002);
			break;
		case 3:
			t.how.path = "/bin/other";
			break;
		default:		/* none of these */
			h.name = "b";
			h.retry++;
			t.timeout = 300;
			t.every = 2;
			break;
		}
		adopt(&t, 1);
		assert_int_equal(seen.scripts, i < 4);
		assert_int_equal(check_host(seen.check, 1)->checks, i >= 4);
	}
	assert_int_equal(seen.rounds, 1);
}

/* Tables of one name: each host is somebody's, once. */
static void
reload_of_twins(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "a", 1) };
	struct check_table t[] = { table(1, "a:1", h, 1),
	    table(2, "a:1", h + 1, 1) };

	(void)state;
	adopt(t, 2);
	answer(true);
	adopt(t, 2);
	assert_int_equal(seen.scripts, 0);
	assert_int_equal(check_host(seen.check, 1)->checks, 1);
	assert_int_equal(check_host(seen.check, 2)->checks, 1);
	h[0].id = 2;
	h[1].id = 1;
	adopt(t, 2);
	assert_int_equal(seen.scripts, 0);
	adopt(t, 1);
	assert_int_equal(check_host(seen.check, 2)->checks, 1);
	adopt(t, 2);
	assert_int_equal(seen.scripts, 1);
}

static void
reload_and_orders(void **state)
{
	struct check_host h[] = { host(1, "a", 1), host(2, "b", 2),
	    host(3, "c", 3) };
	struct check_table t[] = { table(1, "a:1", h, 2),
	    table(2, "b:1", h + 2, 1) };

	(void)state;
	adopt(t, 2);
	answer(true);
	assert_true(check_host_switch(seen.check, 1, false));
	assert_true(check_table_switch(seen.check, 2, false));
	adopt(t, 2);			/* what was ordered stays */
	pass(10 * SECOND);
	assert_int_equal(seen.scripts, 1);
	assert_int_equal(asked(2), 1);
	answer(true);
	t[1].disabled = true;		/* and it says the same now */
	adopt(t, 2);
	t[1].disabled = false;		/* now something else */
	adopt(t, 2);
	h[1].disabled = true;
	seen.statuses = 0;
	adopt(t, 2);
	assert_int_equal(seen.statuses, 1);
	assert_int_equal(seen.status.id, 2);
	assert_int_equal(seen.status.now.state, HOST_UNKNOWN);
	pass(10 * SECOND);
	assert_int_equal(asked(3), 1);
	assert_int_equal(asked(2), 0);
}

static void
reload_of_the_interval(void **state)
{
	struct check_host h = host(1, "a", 1);
	struct check_table t = table(1, "a:1", &h, 1);
	struct check_conf conf = { .tables = &t, .ntables = 1,
	    .interval = 30 * SECOND, .agent = "S" };

	(void)state;
	adopt(&t, 1);
	answer(true);
	pass(8 * SECOND);
	check_adopt(seen.check, &conf);
	turn();
	pass(21 * SECOND);
	assert_int_equal(seen.rounds, 1);
	pass(SECOND);
	assert_int_equal(seen.rounds, 2);
	pass(20 * SECOND);
	conf.interval = 5 * SECOND;	/* that is over already */
	check_adopt(seen.check, &conf);
	turn();
	assert_int_equal(seen.rounds, 3);
	pass(5 * SECOND);
	assert_int_equal(seen.rounds, 4);
	conf.ntables = 0;
	check_adopt(seen.check, &conf);
	pass(5 * SECOND);
	assert_int_equal(seen.rounds, 5);
	assert_null(check_host(seen.check, 1));
	assert_int_equal(check_running(seen.check), 0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_round_at_once),
		TEST(every_so_many_rounds),
		TEST(late_loop),
		TEST(running_script_is_skipped),
		TEST(script_that_cannot_run),
		TEST(poll_begins_anew),
		TEST(interval_timeout),
		TEST(logs_as_ordered),
		TEST(retries),
		TEST(children_follow),
		TEST(host_orders),
		TEST(table_orders),
		TEST(disabled_from_the_start),
		TEST(known_before),
		TEST(reload_keeps),
		TEST(reload_renews),
		TEST(reload_of_twins),
		TEST(reload_and_orders),
		TEST(reload_of_the_interval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
