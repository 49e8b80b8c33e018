/*
 * One direction of a session over socket pairs: what is kept for a slow
 * reader, when reading stops and goes on, splicing, ends and errors; and
 * that content never depends on any of that.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/net.h"
#include "tcprelay/flow.h"
#include "tcprelay/worker.h"

#define MARK	(256u * 1024)

/* in writes to what the flow reads, out reads what it writes. */
struct rig {
	struct worker	 w;
	struct setup	 setup;
	struct board_seat seat;
	struct flow	 flow;
	struct stream	 from, to;
	int		 in, out;
	uint64_t	 sent, got;
};

/* Byte number n of everything that is ever sent. */
static uint8_t
byte_of(uint64_t n)
{
	return (uint8_t)(n * 167 + (n >> 8) * 13 + (n >> 16));
}

static void
pair(int fds[2], int family)
{
	struct net_addr a;
	int listener;

	if (family == AF_UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		net_nonblock(fds[0]);
		net_nonblock(fds[1]);
		return;
	}
	assert_true(net_parse_ip("127.0.0.1", &a));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, &a.sa, a.len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(net_local(listener, &a), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], &a.sa, a.len), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_int_not_equal(fds[1], -1);
	net_nonblock(fds[0]);
	net_nonblock(fds[1]);
	close(listener);
}

static void
rig_open(struct rig *r, int family, bool splice)
{
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->w.ev = ev_new(NULL, true);
	assert_non_null(r->w.ev);
	r->w.env.pool = buf_pool_new();
	r->w.copy = malloc(WORKER_HEAD + WORKER_COPY);
	r->w.pipes = splice ? splice_pool_new() : NULL;
	r->setup.cleanup = 2 * EV_SECOND;
	r->w.now = &r->setup;
	r->w.seat = &r->seat;
	atomic_init(&r->seat.max, 10);
	pair(fds, family);
	r->in = fds[0];
	stream_init(&r->from, fds[1]);
	pair(fds, family);
	r->out = fds[0];
	stream_init(&r->to, fds[1]);
}

static void
rig_close(struct rig *r)
{
	flow_clear(&r->w, &r->flow);
	assert_int_equal(r->w.piped, 0);
	ev_timer_stop(r->w.ev, &r->w.trim);
	splice_pool_free(r->w.pipes);
	buf_pool_free(r->w.env.pool);
	ev_free(r->w.ev);
	free(r->w.copy);
	close(r->in);
	close(r->out);
	close(r->from.fd);
	close(r->to.fd);
}

/* As much of n bytes as goes. */
static size_t
rig_send(struct rig *r, size_t n)
{
	static uint8_t block[65536];
	size_t sent = 0;

	while (sent < n) {
		size_t piece = n - sent < sizeof(block) ? n - sent :
		    sizeof(block);
		ssize_t done;

		for (size_t i = 0; i < piece; i++)
			block[i] = byte_of(r->sent + i);
		done = send(r->in, block, piece, MSG_NOSIGNAL);
		if (done <= 0)
			break;
		sent += (size_t)done;
		r->sent += (uint64_t)done;
	}
	return sent;
}

/* What has come, at most n bytes, each compared. */
static size_t
rig_receive(struct rig *r, size_t n)
{
	static uint8_t block[65536];
	size_t got = 0;

	while (got < n) {
		ssize_t done = recv(r->out, block, n - got < sizeof(block) ?
		    n - got : sizeof(block), 0);

		if (done <= 0)
			break;
		for (ssize_t i = 0; i < done; i++)
			if (block[i] != byte_of(r->got + (uint64_t)i))
				fail_msg("byte %ju is wrong",
				    (uintmax_t)r->got + (uintmax_t)i);
		got += (size_t)done;
		r->got += (uint64_t)done;
	}
	return got;
}

static enum flow_result
rig_move(struct rig *r, bool readable, bool writable, bool *moved)
{
	*moved = false;
	return flow_move(&r->w, &r->flow, &r->from, &r->to, readable,
	    writable, moved);
}

/* ---- tests */

static void
test_through(void **state)
{
	struct rig r;
	bool moved;

	(void)state;
	rig_open(&r, AF_INET, true);
	assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
	assert_false(moved);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(rig_send(&r, 64 + i), 64 + i);
		assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
		assert_true(moved);
		assert_true(flow_empty(&r.flow));
		assert_true(flow_wants(&r.flow, &r.from));
		assert_int_equal(rig_receive(&r, 1000), 64 + i);
	}
	assert_int_equal(r.flow.bytes, r.sent);
	assert_false(r.flow.splice);
	rig_close(&r);
}

static void
test_nothing_unasked(void **state)
{
	struct rig r;
	bool moved;

	(void)state;
	rig_open(&r, AF_INET, true);
	rig_send(&r, 10);
	assert_int_equal(rig_move(&r, false, true, &moved), FLOW_GOOD);
	assert_false(moved);
	assert_int_equal(rig_receive(&r, 10), 0);
	rig_close(&r);
}

/* Nobody reads: it is kept up to the mark, and reading stops; below half of
 * it reading goes on. */
static void
back_pressure(bool splice)
{
	struct rig r;
	bool moved;
	size_t most = 0;

	rig_open(&r, AF_UNIX, splice);
	for (unsigned i = 0; i < 1000 && flow_wants(&r.flow, &r.from); i++) {
		rig_send(&r, 30000);
		assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
		if (r.flow.held.len > most)
			most = r.flow.held.len;
	}
	assert_false(flow_wants(&r.flow, &r.from));
	assert_false(flow_empty(&r.flow));
	assert_true(most <= MARK);
	/* a reader that takes little does not make it go on at once */
	while (!flow_empty(&r.flow) && r.flow.pipe == NULL &&
	    r.flow.held.len >= MARK / 2) {
		assert_false(flow_wants(&r.flow, &r.from));
		rig_receive(&r, 1000);
		assert_int_equal(rig_move(&r, false, true, &moved), FLOW_GOOD);
	}
	for (unsigned i = 0; i < 10000 && (r.got < r.sent ||
	    !flow_empty(&r.flow)); i++) {
		rig_receive(&r, 5000);
		assert_int_equal(rig_move(&r, true, true, &moved), FLOW_GOOD);
	}
	assert_int_equal(r.got, r.sent);
	assert_true(flow_wants(&r.flow, &r.from));
	assert_null(r.flow.held.data);
	rig_close(&r);
}

static void
test_back_pressure(void **state)
{
	(void)state;
	back_pressure(false);
	back_pressure(true);
}

/* Much at a time, by copying and by splicing: the same bytes. */
/* With buffers of a set size less is kept, and reading goes on later; never
 * less than a record has room in. */
static void
test_limits(void **state)
{
	static const struct {
		int	buffer;
		size_t	mark, low;
	} rows[] = {
		{ 0, MARK, MARK / 2 },
		{ 1, 32768, 4096 },
		{ 128, 32768, 4096 },
		{ 256, 65536, 8192 },
		{ 1023, 261120, 32640 },	/* whole KiB */
		{ 1024, MARK, 32768 },
		{ 1 << 30, MARK, 32768 },
	};
	static uint8_t bytes[MARK];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t full = rows[i].mark - 16384, n = 0;
		struct rig r;
		bool moved;

		rig_open(&r, AF_INET, true);
		flow_limit(&r.flow, false, rows[i].buffer);
		assert_true(r.flow.copies);
		while (n <= full) {
			assert_true(flow_wants(&r.flow, &r.from));
			assert_int_equal(flow_keep(&r.w, &r.flow, bytes, 512),
			    0);
			n += 512;
		}
		assert_false(flow_wants(&r.flow, &r.from));
		while (r.flow.held.len >= rows[i].low) {
			assert_false(flow_wants(&r.flow, &r.from));
			buf_drop(r.w.env.pool, &r.flow.held, 32);
			assert_int_equal(flow_keep(&r.w, &r.flow, NULL, 0),
			    0);
		}
		assert_true(flow_wants(&r.flow, &r.from));
		/* the first bytes may be there before the limit is known */
		buf_clear(r.w.env.pool, &r.flow.held);
		memset(&r.flow, 0, sizeof(r.flow));
		assert_int_equal(flow_keep(&r.w, &r.flow, bytes, 100000), 0);
		flow_limit(&r.flow, true, rows[i].buffer);
		assert_false(r.flow.copies);
		assert_int_equal(flow_wants(&r.flow, &r.from),
		    rows[i].mark - 16384 >= 100000);
		assert_int_equal(rig_move(&r, false, true, &moved),
		    FLOW_GOOD);
		rig_close(&r);
	}
}

static void
bulk(int family, bool splice, unsigned seed)
{
	struct rig r;
	bool moved, spliced = false;
	unsigned idle = 0;

	rig_open(&r, family, splice);
	srandom(seed);
	while (r.sent < 30u << 20 || r.got < r.sent) {
		uint64_t before = r.got;

		if (r.sent < 30u << 20)
			rig_send(&r, (size_t)random() % 600000);
		assert_int_equal(rig_move(&r, true, random() % 2 == 0 ||
		    r.sent >= 30u << 20, &moved), FLOW_GOOD);
		spliced |= r.flow.splice;
		rig_receive(&r, (size_t)random() % 600000);
		/* loopback may take a moment to hand over */
		if (r.got == before && !moved && ++idle > 5000)
			fail_msg("stuck at %ju of %ju", (uintmax_t)r.got,
			    (uintmax_t)r.sent);
		if (r.got == before && !moved)
			usleep(500);
	}
	assert_int_equal(r.flow.bytes, r.sent);
#ifdef __linux__
	assert_int_equal(spliced, splice);
#endif
	shutdown(r.in, SHUT_WR);
	for (unsigned i = 0; i < 1000 && !r.from.eof; i++) {
		assert_int_equal(rig_move(&r, true, true, &moved), FLOW_GOOD);
		usleep(500);
	}
	assert_true(r.from.eof);
	assert_true(flow_empty(&r.flow));
	rig_close(&r);
}

static void
test_bulk(void **state)
{
	(void)state;
	bulk(AF_INET, false, 1);
	bulk(AF_INET, true, 2);
	bulk(AF_UNIX, false, 3);
	bulk(AF_UNIX, true, 4);
}

/* Splicing ends with the burst: small messages are cheaper to copy. */
static void
test_splice_and_back(void **state)
{
	struct rig r;
	bool moved;

	(void)state;
	rig_open(&r, AF_INET, true);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rig_send(&r, 20000), 20000);
		assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
		assert_int_equal(r.flow.splice, i >= 1);
		assert_int_equal(rig_receive(&r, 20000), 20000);
	}
	assert_null(r.flow.pipe);
	for (unsigned i = 0; i < 2; i++) {
		rig_send(&r, 100);
		assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
		assert_int_equal(rig_receive(&r, 100), 100);
	}
	assert_false(r.flow.splice);
	rig_close(&r);
}

/* Without a descriptor to spare it is copied, and nothing else changes. */
static void
test_no_descriptors(void **state)
{
	struct rig r;
	bool moved;

	(void)state;
	rig_open(&r, AF_INET, true);
	atomic_store(&r.seat.max, 1u << 30);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rig_send(&r, 20000), 20000);
		assert_int_equal(rig_move(&r, true, false, &moved), FLOW_GOOD);
		assert_int_equal(rig_receive(&r, 20000), 20000);
		assert_int_equal(r.w.piped, 0);
	}
	rig_close(&r);
}

static void
test_reader_gone(void **state)
{
	struct rig r;
	bool moved;
	enum flow_result result = FLOW_GOOD;

	(void)state;
	rig_open(&r, AF_UNIX, true);
	close(r.out);
	rig_send(&r, 100);
	result = rig_move(&r, true, false, &moved);
	assert_int_equal(result, FLOW_TO_FAILED);
	assert_int_equal(errno, EPIPE);
	r.out = -1;
	rig_close(&r);
}

/* What came before the reset is delivered, then it is told. */
static void
test_writer_reset(void **state)
{
	struct rig r;
	bool moved;
	enum flow_result result;

	(void)state;
	rig_open(&r, AF_INET, true);
	rig_send(&r, 100);
	net_linger0(r.in);
	close(r.in);
	r.in = -1;
	result = rig_move(&r, true, false, &moved);
	if (result == FLOW_GOOD) {
		assert_int_equal(rig_receive(&r, 100), 100);
		result = rig_move(&r, true, false, &moved);
	}
	assert_int_equal(result, FLOW_FROM_FAILED);
	assert_int_equal(errno, ECONNRESET);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_nothing_unasked),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_splice_and_back),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_writer_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
