/*
 * What one program leaves to the next: it comes back as it was written, from
 * other versions as far as it is known, and from anybody else not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "spawnd/proc.h"
#include "spawnd/upgrade_state.h"

#define HEAD	24	/* magic, format, 0, length */
#define OBJECT	16	/* kind, fixed, length */

/* One of everything, two workers and listeners. */
struct sample {
	struct upgrade_listener	listeners[2];
	struct upgrade_board	boards[1];
	struct upgrade_worker	workers[2];
	struct upgrade_hand	hands[1];
	struct upgrade_keys	keys[1];
	struct upgrade_passed	passed[1];
	struct upgrade_state	state;
};

static struct upgrade_bytes
text(const char *s)
{
	return (struct upgrade_bytes){ s, strlen(s) + 1 };
}

static struct upgrade_state *
sample_make(struct sample *s)
{
	static const uint8_t lent[3] = { 1, 0, 2 };
	struct upgrade_state *u = &s->state;

	memset(s, 0, sizeof(*s));
	u->service = (struct upgrade_service){
		.ids = UINT64_C(1) << 40, .started = 77, .tickets_made = 78,
		.pid = 4711, .channel_version = 1, .board_version = 1,
		.generation = 9, .numbers = 33, .again = 1, .ntickets = 2,
		.standin = 10, .standin_pid = 4800, .pidfile = 11,
		.status = -1,
		.tail = { text("/run/x.pid"), { NULL, 0 }, text("1.2") },
	};
	memset(u->service.tickets, 0xa5, sizeof(u->service.tickets));
	for (int i = 0; i < 2; i++) {
		s->listeners[i] = (struct upgrade_listener){
			.fd = i == 0 ? 20 : -1, .passed = (uint32_t)i,
			.index = (uint32_t)i, .addr_len = 16,
			.bound_len = 16,
			.tail = { text("web"), { NULL, 0 },
			    text("[::]:80") },
		};
		memset(s->listeners[i].addr, 1 + i, 16);
		memset(&s->listeners[i].record, 7, sizeof(
		    s->listeners[i].record));
		s->workers[i] = (struct upgrade_worker){
			.pid = 5000 + i, .fd = 30 + i,
			.number = 31 + (uint32_t)i, .generation = 9,
			.sent = 3, .seen = 4, .features = 31,
			.state = PROC_READY, .board = 1,
			.column = (uint32_t)i, .limit = UINT32_MAX,
			.tail = { { lent, i == 0 ? sizeof(lent) : 0 } },
		};
	}
	s->boards[0] = (struct upgrade_board){ .fd = 40, .size = 1 << 20 };
	s->hands[0] = (struct upgrade_hand){ .fd = 41, .worker = 31,
	    .listener = 1, .tries = 2 };
	s->keys[0] = (struct upgrade_keys){ .pid = 5100, .fd = 42,
	    .generation = 9 };
	s->passed[0] = (struct upgrade_passed){ .fd = 43,
	    .tail = { text("http") } };
	u->listeners = s->listeners;
	u->nlisteners = 2;
	u->boards = s->boards;
	u->nboards = 1;
	u->workers = s->workers;
	u->nworkers = 2;
	u->hands = s->hands;
	u->nhands = 1;
	u->keys = s->keys;
	u->nkeys = 1;
	u->passed = s->passed;
	u->npassed = 1;
	return u;
}

static bool
same_tail(const struct upgrade_bytes *a, const struct upgrade_bytes *b)
{
	return a->len == b->len && (a->len == 0 ? b->data == NULL :
	    memcmp(a->data, b->data, a->len) == 0);
}

static void
test_round_trip(void **state)
{
	struct sample s;
	const struct upgrade_state *u = sample_make(&s);
	struct upgrade_state *r;
	const char *why = "";
	size_t len;
	void *data = upgrade_state_pack(u, &len);

	(void)state;
	assert_non_null(data);
	r = upgrade_state_read(data, len, &why);
	if (r == NULL)
		fail_msg("%s", why);
	free(data);
	assert_memory_equal(&r->service, &u->service,
	    offsetof(struct upgrade_service, tail));
	assert_string_equal(r->service.tail[UPGRADE_PIDFILE].data,
	    "/run/x.pid");
	assert_null(r->service.tail[UPGRADE_STATUS].data);
	assert_string_equal(r->service.tail[UPGRADE_VERSION].data, "1.2");
	assert_int_equal(r->nlisteners, 2);
	assert_int_equal(r->nworkers, 2);
	for (int i = 0; i < 2; i++) {
		assert_memory_equal(&r->listeners[i], &u->listeners[i],
		    offsetof(struct upgrade_listener, tail));
		assert_memory_equal(&r->workers[i], &u->workers[i],
		    offsetof(struct upgrade_worker, tail));
		for (int t = 0; t < 3; t++)
			assert_true(same_tail(&u->listeners[i].tail[t],
			    &r->listeners[i].tail[t]));
		assert_true(same_tail(&u->workers[i].tail[0],
		    &r->workers[i].tail[0]));
	}
	assert_int_equal(r->nboards, 1);
	assert_memory_equal(r->boards, u->boards, sizeof(*r->boards));
	assert_int_equal(r->nhands, 1);
	assert_memory_equal(r->hands, u->hands, sizeof(*r->hands));
	assert_int_equal(r->nkeys, 1);
	assert_memory_equal(r->keys, u->keys, sizeof(*r->keys));
	assert_int_equal(r->npassed, 1);
	assert_string_equal(r->passed[0].tail[0].data, "http");
	upgrade_state_free(r);
}

/* One copy of the ticket keys, the one that is used. */
static void
test_secrets(void **state)
{
	struct sample s;
	struct upgrade_state *r;
	const char *why;
	uint8_t secret[16];
	size_t len;
	void *data = upgrade_state_pack(sample_make(&s), &len);

	(void)state;
	memset(secret, 0xa5, sizeof(secret));
	r = upgrade_state_read(data, len, &why);
	assert_non_null(r);
	for (size_t i = 0; i + sizeof(secret) <= r->len; i++)
		assert_memory_not_equal((const uint8_t *)r->data + i, secret,
		    sizeof(secret));
	upgrade_state_free(r);
	free(data);
}

static void
test_descriptors(void **state)
{
	struct sample s;
	int fds[16], want[] = { 10, 11, 20, 40, 30, 31, 41, 42, 43 };
	const struct upgrade_state *u = sample_make(&s);

	(void)state;
	assert_int_equal(upgrade_state_fds(u, NULL, 0), 9);
	assert_int_equal(upgrade_state_fds(u, fds, 16), 9);
	assert_memory_equal(fds, want, sizeof(want));
	fds[2] = -5;
	assert_int_equal(upgrade_state_fds(u, fds, 2), 9);
	assert_int_equal(fds[2], -5);
}

/* NULL, or why it is refused. */
static const char *
refused(const void *data, size_t len)
{
	const char *why = "";
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct upgrade_state *r;

	/* in its own memory, so that the first byte too far is seen */
	memcpy(copy, data, len);
	r = upgrade_state_read(copy, len, &why);
	free(copy);
	if (r == NULL)
		return why;
	upgrade_state_free(r);
	return NULL;
}

static void
test_cut_off(void **state)
{
	struct sample s;
	size_t len;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len);

	(void)state;
	for (size_t n = 0; n < len; n++) {
		uint64_t said = n;

		assert_non_null(refused(data, n));
		if (n < HEAD)
			continue;
		/* and it says so itself: whole objects less are a state */
		memcpy(data + 16, &said, sizeof(said));
		(void)refused(data, n);
	}
	free(data);
}

/* Whatever one byte becomes, nothing is read beyond, and what is taken can
 * be used. */
static void
test_bytes(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct sample s;
	size_t len;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		uint8_t was = data[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			data[i] = values[v];
			(void)refused(data, len);
		}
		data[i] = was;
	}
	assert_null(refused(data, len));
	free(data);
}

static void
test_head(void **state)
{
	struct sample s;
	size_t len;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len);

	(void)state;
	assert_null(refused(data, len));
	data[0] ^= 1;
	assert_string_equal(refused(data, len), "not a state of the service");
	data[0] ^= 1;
	data[8]++;
	assert_string_equal(refused(data, len),
	    "another version of the state");
	data[8]--;
	data[16] ^= 8;
	assert_string_equal(refused(data, len), "the state is cut off");
	free(data);
}

/* The sample with one thing wrong. */
static void pid_0(struct sample *s) { s->state.service.pid = 0; }
static void gen_0(struct sample *s) { s->state.service.generation = 0; }
static void gen_max(struct sample *s)
    { s->state.service.generation = UINT32_MAX; }
static void keys_6(struct sample *s) { s->state.service.ntickets = 6; }
static void no_path(struct sample *s) { s->state.service.tail[0].len = 0; }
static void no_status(struct sample *s) { s->state.service.status = 50; }
static void fd_2(struct sample *s) { s->workers[0].fd = 2; }
static void fd_neg(struct sample *s) { s->hands[0].fd = -2; }
static void fd_twice(struct sample *s) { s->hands[0].fd = 40; }
static void addr_long(struct sample *s) { s->listeners[0].addr_len = 129; }
static void bound_long(struct sample *s)
    { s->listeners[0].bound_len = UINT32_MAX; }
static void no_name(struct sample *s) { s->listeners[0].tail[0].len = 0; }
static void passed_3(struct sample *s) { s->listeners[1].passed = 3; }
static void passed_both(struct sample *s) { s->listeners[0].passed = 1; }
static void passed_none(struct sample *s) { s->passed[0].fd = -1; }
static void hand_far(struct sample *s) { s->hands[0].listener = 2; }
static void worker_pid(struct sample *s) { s->workers[1].pid = 1; }
static void worker_0(struct sample *s) { s->workers[1].number = 0; }
static void worker_state(struct sample *s)
    { s->workers[1].state = PROC_DEAD; }
static void worker_board(struct sample *s) { s->workers[1].board = 2; }
static void worker_twice(struct sample *s) { s->workers[1].number = 31; }
static void column_twice(struct sample *s) { s->workers[1].column = 0; }

static void
test_contradictions(void **state)
{
	static const struct {
		void		(*spoil)(struct sample *);
		const char	*why;
	} rows[] = {
		{ pid_0, "no process" },
		{ gen_0, "generation out of range" },
		{ gen_max, "generation out of range" },
		{ keys_6, "too many ticket keys" },
		{ no_path, "a pid file without a path" },
		{ no_status, "a status socket without a path" },
		{ fd_2, "a descriptor out of range" },
		{ fd_neg, "a descriptor out of range" },
		{ fd_twice, "a descriptor twice" },
		{ addr_long, "an address is too long" },
		{ bound_long, "an address is too long" },
		{ no_name, "a listener has no name" },
		{ passed_3, "a listener has another's socket" },
		{ passed_both, "a listener has another's socket" },
		{ passed_none, "a passed socket has no name" },
		{ hand_far, "a connection of no listener" },
		{ worker_pid, "a worker is out of range" },
		{ worker_0, "a worker is out of range" },
		{ worker_state, "a worker is out of range" },
		{ worker_board, "a worker is out of range" },
		{ worker_twice, "a worker twice" },
		{ column_twice, "a column twice" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sample s;
		const char *why;
		size_t len;
		void *data;

		sample_make(&s);
		rows[i].spoil(&s);
		data = upgrade_state_pack(&s.state, &len);
		why = refused(data, len);
		if (why == NULL || strcmp(why, rows[i].why) != 0)
			fail_msg("row %zu: %s, not %s", i, why != NULL ? why :
			    "taken", rows[i].why);
		free(data);
	}
}

/* An object at the end of a state; to be freed. */
static uint8_t *
with_object(const uint8_t *data, size_t *len, uint32_t kind, uint32_t fixed,
    const void *payload, size_t n)
{
	uint64_t whole = *len + OBJECT + n, inside = n;
	uint8_t *more = calloc(1, whole);

	memcpy(more, data, *len);
	memcpy(more + 16, &whole, 8);
	memcpy(more + *len, &kind, 4);
	memcpy(more + *len + 4, &fixed, 4);
	memcpy(more + *len + 8, &inside, 8);
	memcpy(more + *len + OBJECT, payload, n);
	*len = whole;
	return more;
}

/* From a later version: objects of kinds that we do not know, and longer
 * ones of those that we do. */
static void
test_later(void **state)
{
	struct upgrade_board b[2] = { { .size = 99, .fd = 60 } };
	struct sample s;
	size_t len, n;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len), *more;
	struct upgrade_state *r;
	const char *why;

	(void)state;
	n = len;
	more = with_object(data, &n, 1000, 8, "12345678", 8);
	assert_null(refused(more, n));
	free(more);
	n = len;
	more = with_object(data, &n, 3, sizeof(b), b, sizeof(b));
	r = upgrade_state_read(more, n, &why);
	assert_non_null(r);
	assert_int_equal(r->nboards, 2);
	assert_int_equal(r->boards[1].fd, 60);
	assert_int_equal(r->boards[1].size, 99);
	upgrade_state_free(r);
	free(more);
	n = len;
	more = with_object(data, &n, 3, 8, b, 8);	/* shorter than any */
	assert_string_equal(refused(more, n), "an object is malformed");
	free(more);
	n = len;
	more = with_object(data, &n, 3, 4000, b, sizeof(b));
	assert_string_equal(refused(more, n), "an object is malformed");
	free(more);
	n = len;
	more = with_object(data, &n, 1, sizeof(s.state.service), b, 8);
	assert_string_equal(refused(more, n), "two services");
	free(more);
	free(data);
}

/* From an earlier version: a service that does not say which one it is. */
static void
test_earlier(void **state)
{
	const size_t version = 8 + 8;
	struct sample s;
	uint64_t inside, whole;
	size_t len, end;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len);
	struct upgrade_state *r;
	const char *why;

	(void)state;
	memcpy(&inside, data + HEAD + 8, sizeof(inside));
	end = HEAD + OBJECT + inside;
	memmove(data + end - version, data + end, len - end);
	inside -= version;
	memcpy(data + HEAD + 8, &inside, sizeof(inside));
	whole = len - version;
	memcpy(data + 16, &whole, sizeof(whole));
	r = upgrade_state_read(data, whole, &why);
	assert_non_null(r);
	assert_string_equal(r->service.tail[UPGRADE_PIDFILE].data,
	    "/run/x.pid");
	assert_null(r->service.tail[UPGRADE_VERSION].data);
	assert_int_equal(r->nworkers, 2);
	upgrade_state_free(r);
	free(data);
}

static void
test_nothing(void **state)
{
	uint64_t head[3];
	struct sample s;
	size_t len;
	uint8_t *data = upgrade_state_pack(sample_make(&s), &len);

	(void)state;
	memcpy(head, data, sizeof(head));
	head[2] = sizeof(head);
	assert_string_equal(refused(head, sizeof(head)), "no service");
	assert_non_null(refused("", 0));
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_earlier),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
