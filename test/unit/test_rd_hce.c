/*
 * relayd/rd_hce.c between a configuration, the board and the other processes,
 * which are this test. Checks are scripts, which the test answers; time is
 * ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/log.h"
#include "relayd/rd_board.h"
#include "relayd/rd_engine.h"
#include "relayd/rd_role.h"
#include "tcprelay/check.h"

#define SECOND	UINT64_C(1000000000)

static uint64_t now = 1000 * SECOND;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = (time_t)(now / SECOND);
	ts->tv_nsec = (long)(now % SECOND);
	return 0;
}

/* ---- the master's side ---- */

struct told {
	unsigned	 role, type;
	union {
		struct rd_tell_host	 host;
		struct rd_tell_script	 script;
	};
};

struct role {
	struct board	 boards[2], *board;
	struct ev	*ev;
	void		*hce;
	struct told	 told[64];
	unsigned	 n, snmp;
	uint32_t	 generation;
	int		 failed;
};

static struct role role;

void
role_tell(struct role *r, unsigned to, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	struct told *t;

	if (to == RD_SNMP) {		/* what pfe is told, if it changed */
		t = &r->told[r->n - 1];
		assert_int_equal(instance, ROLE_ALL);
		assert_int_equal(type, RD_HOST);
		assert_int_equal(t->type, RD_HOST);
		assert_memory_equal(&t->host, data, len);
		assert_int_not_equal(t->host.old, t->host.now);
		r->snmp++;
		return;
	}
	t = &r->told[r->n++];
	assert_true(r->n < 64);
	assert_int_equal(instance, 0);
	assert_int_equal(fd, -1);
	memset(t, 0, sizeof(*t));
	t->role = to;
	t->type = type;
	assert_true(type < RD_TELLS && rd_tells[type].name != NULL);
	assert_int_equal(rd_tells[type].from, RD_TO(RD_HCE));
	assert_true(rd_tells[type].to & RD_TO(to));
	assert_int_equal(rd_tells[type].size, len);
	if (len > 0)
		memcpy(&t->host, data, len);
}

struct board *
role_board(struct role *r)
{
	return r->board;
}

uint32_t
role_instance(const struct role *r)
{
	(void)r;
	return 0;
}

struct ev *
role_ev(struct role *r)
{
	return r->ev;
}

void
role_fail(struct role *r, int status)
{
	r->failed = status;
}

static void
turn(void)
{
	ev_clock(role.ev);
	for (int i = 0; i < 20; i++)
		assert_int_equal(ev_turn(role.ev, 0), 0);
}

static unsigned
count(unsigned type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < role.n; i++)
		n += role.told[i].type == type;
	return n;
}

/* The last one of that type about a host; 0: any. */
static const struct told *
last(unsigned type, uint32_t host)
{
	for (unsigned i = role.n; i-- > 0;)
		if (role.told[i].type == type && (host == 0 ||
		    role.told[i].host.host == host))
			return &role.told[i];
	return NULL;
}

static void
forget(void)
{
	role.n = 0;
}

static void
tell_from(unsigned from, unsigned type, const void *data, size_t len)
{
	struct tell t = { .role = from, .type = type, .data = data,
	    .len = len, .fd = -1 };

	rd_hce_ops.tell(role.hce, &t);
	turn();
}

/* What was asked of the parent since it was forgotten is answered. */
static void
answer(uint32_t host, bool up)
{
	struct rd_tell_done done = { .host = host, .up = up };
	const struct told *t = last(RD_SCRIPT, host);

	assert_non_null(t);
	assert_int_equal(t->role, RD_PARENT);
	done.run = t->script.run;
	tell_from(RD_PARENT, RD_SCRIPT_DONE, &done, sizeof(done));
}

static void
order(enum rd_switched what, uint32_t id, bool on)
{
	struct rd_tell_switch s = { .what = what, .id = id, .on = on };

	tell_from(RD_PFE, RD_SWITCH, &s, sizeof(s));
}

/* ---- configurations ---- */

static const struct rd_request request = { .file = "r.conf",
    .directory = "/where" };

static struct compiled *
compile(const char *text)
{
	struct compiled *c = calloc(1, sizeof(*c));
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_conf *conf;
	char error[256];

	source_add(s, SOURCE_TEXT, "/where/r.conf", text, strlen(text));
	conf = rd_compile(&request, s, d);
	if (conf == NULL)
		fail_msg("%s", diag_first(d, error, sizeof(error)));
	diag_free(d);
	conf->source = NULL;
	c->source = s;
	c->front = conf;
	c->front_free = NULL;
	c->arena = arena_new();
	c->refs = 1;
	return c;
}

static struct compiled *current;

static int
adopt(const char *text)
{
	struct compiled *c = compile(text);
	struct diag *d = diag_new();
	int done;

	/* there to be found, then in force */
	rd_board_rows(c, role.board, ++role.generation);
	role.board->head->generation = role.generation;
	rd_board_rows(c, role.board, role.generation);
	done = rd_hce_ops.config(role.hce, c, d);
	assert_int_equal(done == -1, diag_errors(d) > 0);
	diag_free(d);
	if (current != NULL) {
		rd_conf_unref(current->front);
		current->front = NULL;
		compiled_unref(current);
	}
	current = c;
	(void)board_recycle(role.board);
	turn();
	return done;
}

static struct board_health *
health(size_t table, size_t host)
{
	const struct rd_conf *conf = current->front;
	const struct rd_table *t = conf->tables[table];
	char name[BOARD_NAME];

	return board_health(role.board, BOARD_HOST,
	    rd_board_host(conf, t, &t->hosts[host], name));
}

static void
host_order(size_t table, size_t host, bool on)
{
	const struct rd_conf *conf = current->front;
	const struct rd_table *t = conf->tables[table];
	char name[BOARD_NAME];
	struct board_switch *s = board_switch(role.board, BOARD_HOST,
	    rd_board_host(conf, t, &t->hosts[host], name));

	assert_non_null(s);
	s->off = !on;
	s->ordered = 1;
}

static int
start(void **state)
{
	(void)state;
	memset(&role, 0, sizeof(role));
	assert_int_equal(board_open(&role.boards[0], 2, 64), 0);
	role.board = &role.boards[0];
	role.ev = ev_new(NULL, true);
	assert_non_null(role.ev);
	ev_clock(role.ev);
	role.hce = rd_hce_ops.open(role.ev, &role);
	assert_non_null(role.hce);
	return 0;
}

/* As when it dies: what it held stays held. */
static void
another(void)
{
	rd_hce_ops.close(role.hce);
	turn();
	forget();
	role.hce = rd_hce_ops.open(role.ev, &role);
	assert_non_null(role.hce);
}

static int
end(void **state)
{
	(void)state;
	rd_hce_ops.close(role.hce);
	turn();
	if (current != NULL) {
		rd_conf_unref(current->front);
		current->front = NULL;
		compiled_unref(current);
		current = NULL;
	}
	board_close(&role.boards[0]);
	if (role.boards[1].head != NULL)
		board_close(&role.boards[1]);
	ev_free(role.ev);
	return 0;
}

#define RELAY(forwards) "relay r { listen on 192.0.2.1 port 1\n" forwards "}\n"
#define WEB(hosts)	"table <web> { " hosts " }\n"
#define TWO	WEB("10.0.0.1 10.0.0.2 retry 2") \
		RELAY("forward to <web> port 80 check script '/s'\n")

/* ---- tests ---- */

static void
test_found(void **state)
{
	const struct told *t;
	struct board_health *h;

	(void)state;
	assert_int_equal(adopt(TWO), 0);
	assert_int_equal(count(RD_SYNC), 1);
	assert_int_equal(count(RD_SCRIPT), 2);
	t = last(RD_SCRIPT, 2);
	assert_string_equal(t->script.text, "/s");
	assert_string_equal(t->script.text + 3, "10.0.0.2");
	assert_int_equal(t->script.timeout, 200);
	now += SECOND / 100;
	ev_clock(role.ev);
	answer(1, true);
	t = last(RD_HOST, 0);
	assert_int_equal(t->host.host, 1);
	assert_int_equal(t->host.table, 1);
	assert_int_equal(t->host.old, HOST_UNKNOWN);
	assert_int_equal(t->host.now, HOST_UP);
	assert_int_equal(t->host.error, HOST_SCRIPT_OK);
	assert_int_equal(t->host.checks, 1);
	assert_int_equal(t->host.ups, 1);
	assert_int_equal(t->host.ms, 10);
	h = health(0, 0);
	assert_int_equal(h->state, HOST_UP);
	assert_int_equal(h->error, HOST_SCRIPT_OK);
	assert_int_equal(h->checks, 1);
	assert_int_equal(h->ups, 1);
	assert_int_not_equal(h->changed, 0);
	h = health(0, 1);
	assert_int_equal(h->state, HOST_UNKNOWN);
	assert_int_equal(h->changed, 0);
	answer(2, false);
	assert_int_equal(h->state, HOST_DOWN);
	assert_int_equal(h->left, 2);
	assert_int_equal(h->checks, 1);
	assert_int_equal(h->ups, 0);
}

/* Tables that are not checked are not its business. */
static void
test_unchecked(void **state)
{
	(void)state;
	assert_int_equal(adopt(WEB("10.0.0.1") "table <b> { 10.0.0.2 }\n"
	    RELAY("forward to <b> port 80\n"
	    "forward to <web> port 80 check script '/s'\n")), 0);
	assert_int_equal(count(RD_SCRIPT), 1);
	assert_non_null(last(RD_SCRIPT, 2));
	assert_int_equal(health(0, 0)->held, 0);
	assert_int_equal(health(1, 0)->held, 1);
}

/* One that begins where another ended knows what that one knew, and nobody's
 * state moves until a check says so. */
static void
test_restart(void **state)
{
	(void)state;
	assert_int_equal(adopt(TWO), 0);
	answer(1, true);
	answer(2, false);
	another();
	assert_int_equal(adopt(TWO), 0);
	assert_int_equal(count(RD_HOST), 0);
	assert_int_equal(health(0, 0)->state, HOST_UP);
	assert_int_equal(health(0, 1)->state, HOST_DOWN);
	/* forgiven twice, as before */
	answer(2, false);
	assert_int_equal(health(0, 1)->left, 1);
	assert_int_equal(health(0, 1)->checks, 2);
	answer(1, true);
	assert_int_equal(last(RD_HOST, 1)->host.old, HOST_UP);
	assert_int_equal(health(0, 0)->checks, 2);
}

/* What no engine can have written is not believed. */
static void
test_scribbled(void **state)
{
	(void)state;
	assert_int_equal(adopt(TWO), 0);
	answer(1, true);
	answer(2, true);
	health(0, 0)->state = 7;
	health(0, 1)->ups = 9;
	another();
	assert_int_equal(adopt(TWO), 0);
	assert_int_equal(health(0, 0)->state, HOST_UNKNOWN);
	assert_int_equal(health(0, 1)->state, HOST_UNKNOWN);
	assert_int_equal(health(0, 1)->ups, 0);
}

/* An answer for a process before this one must not be taken for its own. */
static void
test_late_answer(void **state)
{
	struct rd_tell_done done = { .host = 1, .up = 1 };
	uint32_t run;

	(void)state;
	assert_int_equal(adopt(TWO), 0);
	run = last(RD_SCRIPT, 1)->script.run;
	another();
	assert_int_equal(adopt(TWO), 0);
	assert_int_not_equal(last(RD_SCRIPT, 1)->script.run, run);
	done.run = run;
	tell_from(RD_PARENT, RD_SCRIPT_DONE, &done, sizeof(done));
	assert_int_equal(count(RD_HOST), 0);
}

static void
test_reload(void **state)
{
	(void)state;
	assert_int_equal(adopt(TWO), 0);
	answer(1, true);
	answer(2, true);
	forget();
	/* another comes in front of all, one is gone: its numbers move */
	assert_int_equal(adopt("table <a> { 10.0.0.9 }\n"
	    WEB("10.0.0.2 retry 2")
	    RELAY("forward to <a> port 80 check script '/s'\n"
	    "forward to <web> port 80 check script '/s'\n")), 0);
	assert_int_equal(count(RD_SCRIPT), 1);		/* the new one */
	assert_non_null(last(RD_SCRIPT, 1));
	assert_int_equal(count(RD_SYNC), 0);
	assert_int_equal(health(1, 0)->state, HOST_UP);
	assert_int_equal(health(1, 0)->checks, 1);
	assert_int_equal(health(1, 0)->held, 1);
	assert_int_equal(health(0, 0)->state, HOST_UNKNOWN);
	answer(1, false);
	assert_int_equal(health(0, 0)->state, HOST_DOWN);
	/* it comes back as one that nobody knows */
	forget();
	assert_int_equal(adopt(TWO), 0);
	assert_non_null(last(RD_SCRIPT, 1));
	assert_int_equal(health(0, 0)->state, HOST_UNKNOWN);
	assert_int_equal(health(0, 0)->checks, 0);
	assert_int_equal(health(0, 1)->state, HOST_UP);
}

/* The other board has what the first one had, or nothing at all. */
static void
test_board(void **state)
{
	struct board *b = &role.boards[1];

	(void)state;
	assert_int_equal(adopt(TWO), 0);
	answer(1, true);
	assert_int_equal(board_open(b, 2, 128), 0);
	role.board = b;
	rd_board_rows(current, b, role.generation);
	answer(2, true);
	assert_int_equal(health(0, 1)->state, HOST_UP);
	assert_int_equal(health(0, 1)->held, 1);
	assert_int_equal(adopt(TWO), 0);
	assert_int_equal(health(0, 0)->state, HOST_UP);
	assert_int_equal(health(0, 0)->held, 1);
	board_close(&role.boards[0]);
	assert_int_equal(board_open(&role.boards[0], 2, 64), 0);
}

static void
test_orders(void **state)
{
	(void)state;
	assert_int_equal(adopt(TWO), 0);
	answer(1, true);
	answer(2, true);
	forget();
	host_order(0, 0, false);
	order(RD_SWITCH_HOST, 1, false);
	assert_int_equal(last(RD_HOST, 1)->host.now, HOST_UNKNOWN);
	assert_int_equal(health(0, 0)->state, HOST_UNKNOWN);
	tell_from(RD_PFE, RD_POLL, NULL, 0);
	assert_int_equal(count(RD_SYNC), 1);
	assert_null(last(RD_SCRIPT, 1));
	assert_non_null(last(RD_SCRIPT, 2));
	answer(2, true);
	/* it is kept by a reload and by whoever comes after this one */
	forget();
	assert_int_equal(adopt(TWO), 0);
	tell_from(RD_PFE, RD_POLL, NULL, 0);
	assert_null(last(RD_SCRIPT, 1));
	another();
	assert_int_equal(adopt(TWO), 0);
	assert_null(last(RD_SCRIPT, 1));
	assert_non_null(last(RD_SCRIPT, 2));
	host_order(0, 0, true);
	order(RD_SWITCH_HOST, 1, true);
	tell_from(RD_PFE, RD_POLL, NULL, 0);
	assert_non_null(last(RD_SCRIPT, 1));
	/* a table as a whole; nothing of that kind */
	order(RD_SWITCH_TABLE, 1, false);
	assert_int_equal(health(0, 1)->state, HOST_UNKNOWN);
	order(RD_SWITCH_TABLE, 77, false);
	order(RD_SWITCH_HOST, 77, false);
}

static void
test_children(void **state)
{
	static const char text[] = WEB("10.0.0.1 10.0.0.2 parent 1")
	    RELAY("forward to <web> port 80 check script '/s'\n");

	(void)state;
	assert_int_equal(adopt(text), 0);
	assert_int_equal(count(RD_SCRIPT), 1);
	answer(1, true);
	assert_int_equal(health(0, 1)->state, HOST_UP);
	host_order(0, 0, false);
	order(RD_SWITCH_HOST, 1, false);
	assert_int_equal(health(0, 1)->state, HOST_UNKNOWN);
	another();
	assert_int_equal(adopt(text), 0);
	assert_int_equal(count(RD_SCRIPT), 0);
	assert_int_equal(health(0, 1)->state, HOST_UNKNOWN);
}

/* The file says off; nobody has said anything since. */
static void
test_disabled(void **state)
{
	(void)state;
	assert_int_equal(adopt("table <web> disable { 10.0.0.1 }\n"
	    RELAY("forward to <web> port 80 check script '/s'\n")), 0);
	assert_int_equal(count(RD_SCRIPT), 0);
	order(RD_SWITCH_TABLE, 1, true);
	tell_from(RD_PFE, RD_POLL, NULL, 0);
	assert_int_equal(count(RD_SCRIPT), 1);
}

static void
test_strange(void **state)
{
	uint32_t on = 1;

	(void)state;
	tell_from(RD_PFE, RD_POLL, NULL, 0);		/* too early */
	assert_int_equal(adopt(TWO), 0);
	forget();
	tell_from(RD_WORKER, RD_POLL, NULL, 0);
	tell_from(RD_PFE, RD_POLL, &on, sizeof(on));
	tell_from(RD_PFE, RD_SWITCH, &on, sizeof(on));
	tell_from(RD_PFE, 4711, NULL, 0);
	assert_int_equal(role.n, 0);
	tell_from(RD_PARENT, TELL_VERBOSE, &on, sizeof(on));
	assert_int_equal(role.failed, 0);
}

int
main(void)
{
#define EACH(f)	cmocka_unit_test_setup_teardown(f, start, end)
	static const struct CMUnitTest tests[] = {
		EACH(test_found), EACH(test_unchecked), EACH(test_restart),
		EACH(test_scribbled), EACH(test_late_answer),
		EACH(test_reload), EACH(test_board), EACH(test_orders),
		EACH(test_children), EACH(test_disabled), EACH(test_strange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
