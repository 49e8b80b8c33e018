/*
 * Choosing destinations: the worked examples of the specification (4.6), the
 * life of a dead one, and the heap against a plain reading of the rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/pick.h"

#define SECOND	UINT64_C(1000000000)
#define MOST	64

/* A pick over n destinations named 0, 1, 2 ... */
static struct pick *
pick_of(const unsigned *weights, size_t n, uint32_t rebalance,
    uint64_t dead_time)
{
	struct pick_entry entries[MOST];
	char names[MOST][24];
	struct pick *p;

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "%zu", i);
		entries[i] = (struct pick_entry){ names[i], weights[i], NULL };
	}
	p = pick_new(entries, n, rebalance, dead_time);
	assert_non_null(p);
	pick_adopt(p, NULL);
	return p;
}

static uint32_t
use_of(struct pick *p, size_t i)
{
	return pick_cell(p, i)->use;
}

static bool
is_dead(struct pick *p, size_t i)
{
	return pick_cell(p, i)->dead != 0;
}

/* A session that stays: its destination, or -1. bad: bitmap of those that
 * refuse. */
static int
stay(struct pick *p, uint64_t bad, uint64_t now)
{
	struct pick_way way = { NULL, false };
	int i;

	while ((i = pick_choose(p, &way, now)) != -1) {
		if ((bad >> i & 1) == 0) {
			pick_succeeded(p, (size_t)i);
			break;
		}
		pick_failed(p, (size_t)i, now);
		pick_release(p, &way, (size_t)i);
		assert_int_equal(pick_tried(p, &way, (size_t)i), 0);
	}
	pick_way_clear(&way);
	return i;
}

static void
leave(struct pick *p, int i)
{
	struct pick_way way = { NULL, false };

	pick_release(p, &way, (size_t)i);
}

/* ---- the worked examples */

static const struct example {
	unsigned	 weights[3];
	size_t		 n;
	uint64_t	 bad;
	const char	*sequence;
	uint32_t	 use[3];
} examples[] = {
	{ { 1, 2, 3 }, 3, 0, "123323123323", { 2, 4, 6 } },
	{ { 1, 1, 1 }, 3, 0, "123123123123", { 4, 4, 4 } },
	{ { 3, 1 }, 2, 0, "121112111211", { 9, 3 } },
	{ { 1, 1 }, 2, 1, "222222222222", { 0, 12 } },
};

static void
test_examples(void **state)
{
	(void)state;
	for (size_t e = 0; e < sizeof(examples) / sizeof(*examples); e++) {
		const struct example *x = &examples[e];
		struct pick *p = pick_of(x->weights, x->n, 0, 0);
		char sequence[16] = "";

		for (size_t i = 0; x->sequence[i] != '\0'; i++)
			sequence[i] = (char)('1' + stay(p, x->bad, 0));
		assert_string_equal(sequence, x->sequence);
		for (size_t i = 0; i < x->n; i++)
			assert_int_equal(use_of(p, i), x->use[i]);
		pick_free(p);
	}
}

/* Two destinations, rebalance = 3, the first one down and up again. */
static void
test_rebalance(void **state)
{
	const unsigned weights[] = { 1, 1 };
	struct pick *p = pick_of(weights, 2, 3, 0);

	(void)state;
	assert_int_equal(stay(p, 1, 0), 1);	/* two selections */
	assert_true(is_dead(p, 0));
	assert_int_equal(stay(p, 0, 0), 1);	/* the third one */
	assert_true(is_dead(p, 0));
	assert_int_equal(stay(p, 0, 0), 0);	/* marks are cleared */
	assert_false(is_dead(p, 0));
	pick_free(p);
}

static void
test_short_sessions(void **state)
{
	const unsigned weights[] = { 1, 9, 1 };
	struct pick *p = pick_of(weights, 3, 0, 0);

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(stay(p, 0, 0), 0);
		leave(p, 0);
	}
	assert_int_equal(pick_cell(p, 0)->total, 10);
	assert_int_equal(pick_cell(p, 1)->total, 0);
	pick_free(p);
}

/* Above a weight of 256 the original's integers are wrong. */
static void
test_large_weights(void **state)
{
	const unsigned weights[] = { 65535, 65534 };
	struct pick *p = pick_of(weights, 2, 0, 0);

	(void)state;
	for (unsigned i = 0; i < 65535 + 65534; i++)
		assert_int_not_equal(stay(p, 0, 0), -1);
	assert_int_equal(use_of(p, 0), 65535);
	assert_int_equal(use_of(p, 1), 65534);
	pick_free(p);
}

/* ---- death and return */

static void
test_dead_time(void **state)
{
	const unsigned weights[] = { 1, 1 };
	struct pick *p = pick_of(weights, 2, 0, 60 * SECOND);

	(void)state;
	assert_int_equal(stay(p, 1, 0), 1);
	assert_int_equal(stay(p, 0, 60 * SECOND - 1), 1);
	assert_true(is_dead(p, 0));
	assert_int_equal(stay(p, 0, 60 * SECOND), 0);
	assert_false(is_dead(p, 0));
	assert_int_equal(pick_cell(p, 0)->failures, 1);
	pick_free(p);
}

/* Failure renews the time. */
static void
test_dead_renewed(void **state)
{
	const unsigned weights[] = { 1, 1 };
	struct pick *p = pick_of(weights, 2, 0, 60 * SECOND);

	(void)state;
	assert_int_equal(stay(p, 1, 0), 1);
	assert_int_equal(stay(p, 1, 70 * SECOND), 1);
	assert_int_equal(stay(p, 0, 129 * SECOND), 1);
	assert_int_equal(stay(p, 0, 130 * SECOND), 0);
	pick_free(p);
}

static void
test_one_probe_at_a_time(void **state)
{
	const unsigned weights[] = { 1, 1 };
	struct pick *p = pick_of(weights, 2, 0, 60 * SECOND);
	struct pick_way prober = { NULL, false };

	(void)state;
	assert_int_equal(stay(p, 1, 0), 1);
	assert_int_equal(pick_choose(p, &prober, 61 * SECOND), 0);
	/* the others do not wait for it, nor look themselves */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(stay(p, 1, 62 * SECOND), 1);
	assert_true(is_dead(p, 0));
	/* it goes away without a verdict: the next one may look */
	pick_release(p, &prober, 0);
	assert_int_equal(pick_choose(p, &prober, 63 * SECOND), 0);
	assert_int_equal(stay(p, 1, 63 * SECOND), 1);
	assert_true(pick_succeeded(p, 0));
	assert_false(is_dead(p, 0));
	assert_int_equal(stay(p, 0, 63 * SECOND), 0);
	pick_free(p);
}

/* A session that began before the failure may still succeed. */
static void
test_any_success_clears(void **state)
{
	const unsigned weights[] = { 1 };
	struct pick *p = pick_of(weights, 1, 0, 0);
	struct pick_way a = { NULL, false }, b = { NULL, false };

	(void)state;
	assert_int_equal(pick_choose(p, &a, 0), 0);
	assert_int_equal(pick_choose(p, &b, 0), 0);
	assert_true(pick_failed(p, 0, 0));
	assert_true(is_dead(p, 0));
	assert_true(pick_succeeded(p, 0));
	assert_false(is_dead(p, 0));
	assert_false(pick_succeeded(p, 0));
	pick_free(p);
}

static void
test_all_dead_once_more(void **state)
{
	const unsigned weights[] = { 1, 1, 1 };
	struct pick *p = pick_of(weights, 3, 0, 60 * SECOND);
	struct pick_way way = { NULL, false };
	unsigned tries = 0;
	int i;

	(void)state;
	while ((i = pick_choose(p, &way, 0)) != -1) {
		assert_int_equal(way.again, tries >= 3);
		assert_int_equal(pick_failed(p, (size_t)i, 0), tries < 3);
		pick_release(p, &way, (size_t)i);
		assert_int_equal(pick_tried(p, &way, (size_t)i), 0);
		assert_true(++tries <= 6);
	}
	assert_int_equal(tries, 6);
	/* and not for ever: the next session tries all again */
	assert_int_equal(stay(p, 6, 0), 0);
	pick_way_clear(&way);
	pick_free(p);
}

/* Tried by this session, and no longer dead: not again all the same. */
static void
test_tried_is_skipped(void **state)
{
	const unsigned weights[] = { 9, 1, 1 };
	struct pick *p = pick_of(weights, 3, 0, 0);
	struct pick_way way = { NULL, false };

	(void)state;
	assert_int_equal(pick_choose(p, &way, 0), 0);
	pick_failed(p, 0, 0);
	pick_release(p, &way, 0);
	assert_int_equal(pick_tried(p, &way, 0), 0);
	pick_succeeded(p, 0);
	assert_false(is_dead(p, 0));
	assert_int_equal(pick_choose(p, &way, 0), 1);
	pick_release(p, &way, 1);
	pick_way_clear(&way);
	pick_free(p);
}

static void
test_nothing_to_choose(void **state)
{
	struct pick *p = pick_of(NULL, 0, 0, 0);
	struct pick_way way = { NULL, false };

	(void)state;
	assert_int_equal(pick_choose(p, &way, 0), -1);
	pick_free(p);
}

/* ---- reload */

/* What is known goes with the identity, whatever becomes of the order. */
static void
test_adopt(void **state)
{
	const unsigned weights[] = { 1, 1, 1 };
	struct pick *p = pick_of(weights, 3, 0, 60 * SECOND), *q;
	struct board_cell cell = { .held = 1 };
	struct pick_entry entries[] = {
		{ "new", 1, NULL }, { "2", 1, NULL }, { "0", 2, &cell },
	};
	struct pick_way old = { NULL, false };

	(void)state;
	assert_int_equal(stay(p, 1, 0), 1);	/* 0 is dead */
	assert_int_equal(stay(p, 0, 0), 2);
	assert_int_equal(pick_choose(p, &old, 0), 1);
	q = pick_new(entries, 3, 0, 60 * SECOND);
	pick_adopt(q, p);
	assert_int_equal(use_of(q, 0), 0);
	assert_int_equal(use_of(q, 1), 1);
	assert_true(is_dead(q, 2));
	assert_int_equal(cell.dead, 1);
	assert_int_equal(cell.failures, 1);
	assert_int_equal(stay(q, 0, SECOND), 0);
	assert_int_equal(stay(q, 0, 61 * SECOND), 2);
	/* an old session moves on, by its own list */
	pick_failed(p, 1, 0);
	pick_release(p, &old, 1);
	assert_int_equal(pick_tried(p, &old, 1), 0);
	assert_int_equal(pick_choose(p, &old, 61 * SECOND), 0);
	assert_int_equal(cell.use, 2);
	pick_release(p, &old, 0);
	assert_int_equal(cell.use, 1);
	pick_way_clear(&old);
	pick_free(p);
	assert_int_equal(stay(q, 0, 62 * SECOND), 2);
	assert_int_equal(cell.held, 1);
	pick_free(q);
	assert_int_equal(cell.held, 0);
}

/* The row is found later: what was counted is counted there. */
static void
test_late_row(void **state)
{
	const unsigned weights[] = { 1 };
	struct pick *p = pick_of(weights, 1, 0, 0);
	struct board_cell cell = { .held = 1 };

	(void)state;
	assert_true(pick_cell_private(p, 0));
	assert_int_equal(stay(p, 0, 0), 0);
	board_add(&pick_cell(p, 0)->in, 17);
	pick_set_cell(p, 0, &cell);
	assert_false(pick_cell_private(p, 0));
	assert_int_equal(cell.use, 1);
	assert_int_equal(cell.total, 1);
	assert_int_equal(cell.in, 17);
	leave(p, 0);
	assert_int_equal(cell.use, 0);
	assert_int_equal(cell.held, 1);
	pick_free(p);
	assert_int_equal(cell.held, 0);
}

/*
 * A row is held as long as somebody might count there: by two configurations
 * twice, and not at all after the last of them.
 */
static void
test_held(void **state)
{
	struct board_cell cell = { .held = 1 };
	struct pick_entry entry = { "a", 1, &cell };
	struct pick *p = pick_new(&entry, 1, 0, 0), *q;

	(void)state;
	pick_adopt(p, NULL);
	cell.held++;			/* board_hold() once more */
	q = pick_new(&entry, 1, 0, 0);
	pick_adopt(q, p);
	assert_int_equal(cell.held, 1);	/* one member, shared */
	pick_free(p);
	assert_int_equal(cell.held, 1);
	cell.held++;
	p = pick_new(&entry, 1, 0, 0);	/* and one that is never adopted */
	pick_free(p);
	assert_int_equal(cell.held, 1);
	pick_free(q);
	assert_int_equal(cell.held, 0);
}

/* ---- against the rule, read plainly */

struct model {
	unsigned	 weights[MOST], use[MOST];
	bool		 dead[MOST];
	size_t		 n;
};

static int
model_choose(struct model *m, uint64_t tried)
{
	int best = -1;

	for (size_t i = 0; i < m->n; i++)
		if (!m->dead[i] && (tried >> i & 1) == 0 && (best == -1 ||
		    (uint64_t)m->use[i] * m->weights[best] <
		    (uint64_t)m->use[best] * m->weights[i]))
			best = (int)i;
	return best;
}

static void
test_against_model(void **state)
{
	struct model m = { .n = 40 };
	struct pick *p;
	int open[4096], n = 0;

	(void)state;
	srandom(4711);
	for (size_t i = 0; i < m.n; i++)
		m.weights[i] = 1 + (unsigned)random() % 7;
	p = pick_of(m.weights, m.n, 0, 0);
	for (unsigned step = 0; step < 200000; step++) {
		long what = random() % 100;

		if (what < 52 && n < 4096) {
			struct pick_way way = { NULL, false };
			int want = model_choose(&m, 0);
			int got;

			if (want == -1) {
				memset(m.dead, 0, sizeof(m.dead));
				want = model_choose(&m, 0);
			}
			got = pick_choose(p, &way, 0);
			assert_int_equal(got, want);
			m.use[got]++;
			if (random() % 10 == 0) {
				pick_failed(p, (size_t)got, 0);
				pick_release(p, &way, (size_t)got);
				m.dead[got] = true;
				m.use[got]--;
			} else
				open[n++] = got;
		} else if (n > 0) {
			int at = (int)(random() % n), i = open[at];

			open[at] = open[--n];
			if (what == 99) {
				pick_succeeded(p, (size_t)i);
				m.dead[i] = false;
			}
			leave(p, i);
			m.use[i]--;
		}
	}
	for (size_t i = 0; i < m.n; i++) {
		assert_int_equal(use_of(p, i), m.use[i]);
		assert_int_equal(is_dead(p, i), m.dead[i]);
	}
	pick_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_rebalance),
		cmocka_unit_test(test_short_sessions),
		cmocka_unit_test(test_large_weights),
		cmocka_unit_test(test_dead_time),
		cmocka_unit_test(test_dead_renewed),
		cmocka_unit_test(test_one_probe_at_a_time),
		cmocka_unit_test(test_any_success_clears),
		cmocka_unit_test(test_all_dead_once_more),
		cmocka_unit_test(test_tried_is_skipped),
		cmocka_unit_test(test_nothing_to_choose),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_late_row),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
