/*
 * The list of sessions, while they come and go: each one that stays is told
 * once, none that is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tcprelay/dump.h"
#include "tcprelay/session.h"

#define MANY	10000u

/* Sessions as the engine has them, without their sockets. */
struct crowd {
	struct worker	 worker;
	struct setup	 setup;
	struct relay	 relay;
	struct config_relay conf;
	struct session	*sessions;
	struct facts	*facts;
	struct forward	*forwards;
	unsigned	 n, size;
};

static void
enter(struct crowd *c)
{
	struct session *s = &c->sessions[c->n];

	assert_true(c->n < c->size);
	s->setup = &c->setup;
	s->relay = &c->relay;
	s->facts = &c->facts[c->n];
	s->forward = &c->forwards[c->n];
	s->facts->counter = ++c->n;
	s->facts->started = ev_now(c->worker.ev);
	if ((s->next = c->worker.sessions) != NULL)
		s->next->prev = s;
	c->worker.sessions = s;
}

static void
leave(struct crowd *c, struct session *s, struct dump *d)
{
	dump_skip(d, s);
	if (s->next != NULL)
		s->next->prev = s->prev;
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		c->worker.sessions = s->next;
	/* as good as freed */
	memset(s, 0xff, sizeof(*s));
}

static void
crowd_open(struct crowd *c, unsigned n, unsigned size)
{
	memset(c, 0, sizeof(*c));
	c->size = size;
	c->sessions = calloc(size, sizeof(*c->sessions));
	c->facts = calloc(size, sizeof(*c->facts));
	c->forwards = calloc(size, sizeof(*c->forwards));
	assert_non_null(c->sessions);
	assert_non_null(c->facts);
	assert_non_null(c->forwards);
	c->worker.ev = ev_new(NULL, true);
	assert_non_null(c->worker.ev);
	c->setup.worker = &c->worker;
	c->conf.id = 3;
	c->relay.conf = &c->conf;
	while (c->n < n)
		enter(c);
}

static void
crowd_close(struct crowd *c)
{
	ev_free(c->worker.ev);
	free(c->sessions);
	free(c->facts);
	free(c->forwards);
}

/* How often each was told, and that they are told in order. */
struct heard {
	uint8_t	 times[3 * MANY + 1];
	uint64_t last;
};

static void
hear(struct heard *h, const struct tell_session *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_in_range(list[i].id, 1, 3 * MANY);
		assert_true(list[i].id < h->last);
		assert_int_equal(list[i].relay, 3);
		assert_int_equal(list[i].worker, 7);
		assert_int_equal(list[i].pid, (uint32_t)getpid());
		h->last = list[i].id;
		h->times[list[i].id]++;
	}
}

static void
test_none(void **state)
{
	struct crowd c;
	struct dump d;
	struct tell_session list[3];

	(void)state;
	crowd_open(&c, 0, 1);
	dump_start(&d, &c.worker, 7);
	assert_int_equal(dump_some(&d, list, 3), 0);
	assert_int_equal(dump_some(&d, list, 3), 0);
	crowd_close(&c);
}

/* What is told of one. */
static void
test_one(void **state)
{
	struct tell_session list[2];
	struct net_addr addr;
	struct crowd c;
	struct dump d;
	struct session *s;

	(void)state;
	crowd_open(&c, 1, 2);
	s = &c.sessions[0];
	assert_true(net_parse_ip("192.0.2.1", &addr));
	net_set_port(&addr, 1234);
	net_name_set(&s->facts->src, &addr.sa, addr.len);
	s->facts->started = ev_now(c.worker.ev) - 5 * EV_SECOND;
	s->moved = ev_now(c.worker.ev) - 2 * EV_SECOND;
	dump_start(&d, &c.worker, 7);
	assert_int_equal(dump_some(&d, list, 2), 1);
	assert_int_equal(list[0].id, 1);
	assert_int_equal(list[0].age, 5 * EV_SECOND);
	assert_int_equal(list[0].idle, 2 * EV_SECOND);
	assert_int_equal(list[0].done, 0);
	assert_memory_equal(&list[0].client, &s->facts->src,
	    sizeof(list[0].client));
	assert_int_equal(list[0].server.family, 0);
	assert_string_equal(list[0].tag, "");
	/* accepted in this very round: not before the clock was read */
	s->facts->started = s->moved = UINT64_MAX;
	s->stream[REMOTE].eof = true;
	s->forward->server = s->facts->src;
	dump_start(&d, &c.worker, 7);
	assert_int_equal(dump_some(&d, list, 2), 1);
	assert_int_equal(list[0].age, 0);
	assert_int_equal(list[0].idle, 0);
	assert_int_equal(list[0].done, 1);
	assert_memory_equal(&list[0].server, &s->facts->src,
	    sizeof(list[0].server));
	crowd_close(&c);
}

static void
test_pieces(void **state)
{
	static const size_t pieces[] = { 1, 427, MANY, MANY + 1 };
	static struct tell_session list[MANY + 1];
	static struct heard h;
	struct crowd c;

	(void)state;
	crowd_open(&c, MANY, MANY);
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		struct dump d;
		size_t n, told = 0;

		memset(&h, 0, sizeof(h));
		h.last = UINT64_MAX;
		dump_start(&d, &c.worker, 7);
		do {
			n = dump_some(&d, list, pieces[p]);
			hear(&h, list, n);
			told += n;
		} while (n == pieces[p]);
		assert_int_equal(told, MANY);
		assert_int_equal(h.last, 1);
	}
	crowd_close(&c);
}

/* Between two pieces any of them may end, also the next one, and the one after
 * it; others come. */
static void
test_comings_and_goings(void **state)
{
	static struct tell_session list[427];
	static struct heard h;
	static bool gone[3 * MANY + 1], untold[3 * MANY + 1];
	struct crowd c;
	struct dump d;
	uint32_t x = 1;
	size_t n;

	(void)state;
	crowd_open(&c, MANY, 3 * MANY);
	h.last = UINT64_MAX;
	dump_start(&d, &c.worker, 7);
	do {
		n = dump_some(&d, list, 427);
		hear(&h, list, n);
		for (unsigned i = 0; i < 20 && d.next != NULL; i++) {
			size_t id = d.next->facts->counter;

			gone[id] = untold[id] = true;
			leave(&c, d.next, &d);
		}
		for (unsigned i = 0; i < 200; i++) {
			size_t id = 1 + (x = x * 1664525 + 1013904223) % MANY;

			if (gone[id])
				continue;
			gone[id] = true;
			untold[id] = h.times[id] == 0;
			leave(&c, &c.sessions[id - 1], &d);
		}
		for (unsigned i = 0; i < 50; i++)
			enter(&c);
	} while (n == 427);
	for (size_t id = 1; id <= MANY; id++)
		assert_int_equal(h.times[id], untold[id] ? 0 : 1);
	for (size_t id = MANY + 1; id <= c.n; id++)
		assert_int_equal(h.times[id], 0);
	crowd_close(&c);
}

/* All of them at once. */
static void
test_all_gone(void **state)
{
	static struct tell_session list[10];
	struct crowd c;
	struct dump d;

	(void)state;
	crowd_open(&c, MANY, MANY);
	dump_start(&d, &c.worker, 7);
	assert_int_equal(dump_some(&d, list, 10), 10);
	while (c.worker.sessions != NULL)
		leave(&c, c.worker.sessions, &d);
	assert_int_equal(dump_some(&d, list, 10), 0);
	crowd_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_comings_and_goings),
		cmocka_unit_test(test_all_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
