/*
 * Messages of the channel: each one good, short, with a surplus, with too
 * few and too many descriptors, from the wrong side and without its feature;
 * and what goes out comes in.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/msg.h"
#include "spawnd/channel.h"

#define ALL		(FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS | \
			FEATURE_CONFIG | FEATURE_LEND)
#define RECORD		sizeof(struct channel_record)
#define HEADER		sizeof(struct channel_header)

/* The table of the specification, written a second time on purpose. len is
 * the payload of a good message, short_at the longest that is too short
 * (-1: none is). */
static const struct form {
	enum channel_type type;
	bool from_master, from_worker;
	uint32_t feature;
	uint32_t len;
	int short_at;
	unsigned fds;
	bool fewer;		/* fewer descriptors are let through */
} forms[] = {
	{ CHANNEL_DONE, false, true, 0, 4, 3, 0, false },
	{ CHANNEL_KEEPALIVE, false, true, 0, 0, -1, 0, false },
	{ CHANNEL_MAY_DIE, true, false, 0, 0, -1, 0, false },
	{ CHANNEL_DYING, false, true, 0, 0, -1, 0, false },
	{ CHANNEL_BAD_CONFIG, false, true, 0, 10, -1, 0, false },
	{ CHANNEL_MAX_USERS, false, true, 0, 4, 3, 0, false },
	{ CHANNEL_ACCEPT, true, false, 0, 320, 319, 1, true },
	{ CHANNEL_UDPDATA, true, false, 0, 324 + 9, 324 + 8, 1, true },
	{ CHANNEL_READY, false, true, 0, 48, 47, 0, false },
	{ CHANNEL_TAKEN, false, true, 0, 8, 7, 0, false },
	{ CHANNEL_PING, true, false, 0, 8, 7, 0, false },
	{ CHANNEL_PONG, false, true, 0, 8, 7, 0, false },
	{ CHANNEL_HELLO, true, true, 0, 40, 39, 0, false },
	{ CHANNEL_BATCHED, true, false, FEATURE_BATCH, 8 + 3 * 320,
	    8 + 3 * 320 - 1, 3, true },
	{ CHANNEL_RETURN, false, true, 0, 12, 11, 0, false },
	{ CHANNEL_LEND, true, false, FEATURE_LEND, 8, 7, 1, false },
	{ CHANNEL_REVOKE, true, false, FEATURE_LEND, 4, 3, 0, false },
	{ CHANNEL_REVOKED, false, true, FEATURE_LEND, 4, 3, 0, false },
	{ CHANNEL_LOOK, false, true, FEATURE_BOARD, 0, -1, 0, false },
	{ CHANNEL_CONFIG, true, false, FEATURE_CONFIG, 40, 39, 2, false },
	{ CHANNEL_COMMIT, true, false, FEATURE_CONFIG, 4, 3, 0, false },
	{ CHANNEL_TICKETS, true, false, FEATURE_TICKETS, 4 + 2 * 80,
	    4 + 2 * 80 - 1, 0, false },
	{ CHANNEL_BOARD, true, false, FEATURE_BOARD, 16, 15, 1, false },
	{ CHANNEL_POLICY, true, false, FEATURE_CONFIG, 4, 3, 1, false },
	{ CHANNEL_KEYS, true, false, FEATURE_CONFIG, 4, 3, 1, false },
	{ CHANNEL_LOGFILE, true, false, FEATURE_CONFIG, 4, 3, 1, false },
	{ CHANNEL_TELL, true, true, FEATURE_CONFIG, 16, 15, 0, false },
};
#define FORMS	(sizeof(forms) / sizeof(*forms))

static alignas(8) uint8_t bytes[CHANNEL_MAX + 64];

static void
put32(size_t at, uint32_t n)
{
	memcpy(bytes + HEADER + at, &n, sizeof(n));
}

/* A good message of that form; returns its length. */
static size_t
make(const struct form *f)
{
	struct channel_header h = { CHANNEL_MAGIC, SPAWND_VERSION,
	    (uint16_t)f->type, f->len, 1 };

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &h, sizeof(h));
	switch (f->type) {
	case CHANNEL_BAD_CONFIG:
		memset(bytes + HEADER, 'x', f->len);
		break;
	case CHANNEL_UDPDATA:
		put32(RECORD, 9);
		break;
	case CHANNEL_BATCHED:
		put32(0, 3);
		break;
	case CHANNEL_CONFIG:
		put32(4, 1);
		break;
	case CHANNEL_TICKETS:
		put32(0, 2);
		break;
	case CHANNEL_BOARD:
		put32(4, 4);
		break;
	default:
		break;
	}
	return HEADER + f->len;
}

static void
set_length(uint32_t n)
{
	memcpy(bytes + offsetof(struct channel_header, length), &n,
	    sizeof(n));
}

static void
test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];
		bool master = f->from_master;
		size_t len = make(f);

		print_message("%s\n", channel_forms[f->type].name);
		assert_null(channel_check(bytes, len, f->fds, master, ALL));
		/* surplus: behind the length, and inside of it */
		assert_null(channel_check(bytes, len + 7, f->fds, master,
		    ALL));
		if (f->type != CHANNEL_BAD_CONFIG) {
			set_length(f->len + 7);
			assert_null(channel_check(bytes, len + 7, f->fds,
			    master, ALL));
			assert_non_null(channel_check(bytes, len + 6, f->fds,
			    master, ALL));
		}
		/* every way of being too short */
		make(f);
		for (size_t n = 0; n < len; n++)
			assert_non_null(channel_check(bytes, n, f->fds,
			    master, ALL));
		for (int n = 0; n <= f->short_at; n++) {
			set_length((uint32_t)n);
			assert_non_null(channel_check(bytes,
			    HEADER + (size_t)n, f->fds, master, ALL));
		}
		make(f);
		/* direction */
		assert_true((channel_check(bytes, len, f->fds, true, ALL) ==
		    NULL) == f->from_master);
		assert_true((channel_check(bytes, len, f->fds, false, ALL) ==
		    NULL) == f->from_worker);
		/* feature */
		assert_true((channel_check(bytes, len, f->fds, master,
		    ALL & ~f->feature) == NULL) == (f->feature == 0));
		assert_true((channel_check(bytes, len, f->fds, master, 0) ==
		    NULL) == (f->feature == 0));
		/* descriptors */
		for (unsigned n = 0; n < f->fds; n++)
			assert_true((channel_check(bytes, len, n, master,
			    ALL) == NULL) == f->fewer);
		assert_null(channel_check(bytes, len, f->fds + 1, master,
		    ALL));
	}
}

static void
test_types(void **state)
{
	bool known[CHANNEL_TYPES] = { false };
	struct form f = { .type = CHANNEL_DONE, .len = 320 };

	(void)state;
	for (size_t i = 0; i < FORMS; i++)
		known[forms[i].type] = true;
	for (unsigned t = 0; t < 70000; t += t < 200 ? 1 : 997) {
		uint16_t type = (uint16_t)t;

		if (t < CHANNEL_TYPES && known[t])
			continue;
		make(&f);
		memcpy(bytes + offsetof(struct channel_header, type), &type,
		    sizeof(type));
		if (type < CHANNEL_TYPES && known[type])
			continue;
		assert_string_equal(channel_check(bytes, HEADER + 320, 1,
		    true, ALL), "unknown type");
		assert_string_equal(channel_check(bytes, HEADER + 320, 1,
		    false, ALL), "unknown type");
	}
}

static void
test_header(void **state)
{
	const struct form *f = &forms[0];
	size_t len = make(f);

	(void)state;
	assert_null(channel_check(bytes, len, 0, false, 0));
	bytes[0] ^= 1;
	assert_string_equal(channel_check(bytes, len, 0, false, 0),
	    "wrong magic number");
	make(f);
	bytes[4]++;
	assert_string_equal(channel_check(bytes, len, 0, false, 0),
	    "another version of the channel");
	make(f);
	set_length(UINT32_MAX);
	assert_string_equal(channel_check(bytes, len, 0, false, 0),
	    "short payload");
	assert_string_equal(channel_check(bytes, 15, 0, false, 0),
	    "no header");
}

/* What the least length does not say. */
static void
test_bodies(void **state)
{
	static const struct {
		enum channel_type type;
		size_t at;
		uint32_t value;
		bool good;
	} rows[] = {
		{ CHANNEL_BATCHED, 0, 0, false },
		{ CHANNEL_BATCHED, 0, 1, true },
		{ CHANNEL_BATCHED, 0, 4, false },
		{ CHANNEL_BATCHED, 0, 65, false },
		{ CHANNEL_BATCHED, 0, UINT32_MAX, false },
		{ CHANNEL_BATCHED, 0, UINT32_MAX / 320 + 2, false },
		{ CHANNEL_TICKETS, 0, 0, false },
		{ CHANNEL_TICKETS, 0, 1, true },
		{ CHANNEL_TICKETS, 0, 3, false },
		{ CHANNEL_TICKETS, 0, 4, false },
		{ CHANNEL_TICKETS, 0, UINT32_MAX, false },
		{ CHANNEL_UDPDATA, 320, 0, true },
		{ CHANNEL_UDPDATA, 320, 10, false },
		{ CHANNEL_UDPDATA, 320, 65508, false },
		{ CHANNEL_UDPDATA, 320, UINT32_MAX, false },
		{ CHANNEL_BOARD, 0, 3, true },
		{ CHANNEL_BOARD, 0, 4, false },
		{ CHANNEL_BOARD, 4, 0, false },
		{ CHANNEL_BAD_CONFIG, 3, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct form *f = forms;
		size_t len;

		while (f->type != rows[i].type)
			f++;
		len = make(f);
		put32(rows[i].at, rows[i].value);
		assert_true((channel_check(bytes, len, f->fds,
		    f->from_master, ALL) == NULL) == rows[i].good);
	}
	/* the longest of each */
	struct form batch = { .type = CHANNEL_BATCHED, .len = 8 + 64 * 320 };

	make(&batch);
	put32(0, 64);
	assert_null(channel_check(bytes, HEADER + batch.len, 64, true, ALL));
	struct form text = { .type = CHANNEL_BAD_CONFIG, .len = 4096 };

	assert_null(channel_check(bytes, make(&text), 0, false, ALL));
	text.len = 4097;
	assert_non_null(channel_check(bytes, make(&text), 0, false, ALL));
	struct form data = { .type = CHANNEL_UDPDATA, .len = 324 + 65507 };
	size_t len = make(&data);

	put32(320, 65507);
	assert_true(len <= CHANNEL_MAX);
	assert_null(channel_check(bytes, len, 1, true, ALL));
	/* READY is short without CONFIG; CONFIG with one descriptor only when
	 * there are no secrets */
	struct form ready = { .type = CHANNEL_READY, .len = 16 };

	assert_null(channel_check(bytes, make(&ready), 0, false,
	    FEATURE_BOARD));
	assert_non_null(channel_check(bytes, HEADER + 16, 0, false, ALL));
	struct form config = { .type = CHANNEL_CONFIG, .len = 40 };

	make(&config);
	put32(4, 0);
	assert_null(channel_check(bytes, HEADER + 40, 1, true, ALL));
	put32(4, 1);
	assert_non_null(channel_check(bytes, HEADER + 40, 1, true, ALL));
}

struct ends {
	struct channel master, worker;
	int spare[2];
};

static void
ends_open(struct ends *e)
{
	int fds[2];

	memset(e, 0, sizeof(*e));
	assert_int_equal(msg_pair(fds, 0), 0);
	e->master = (struct channel){ .fd = fds[0], .features = ALL,
	    .master = true };
	e->worker = (struct channel){ .fd = fds[1], .features = ALL };
	assert_int_equal(pipe(e->spare), 0);
}

static void
ends_close(struct ends *e)
{
	close(e->master.fd);
	close(e->worker.fd);
	close(e->spare[0]);
	close(e->spare[1]);
}

static int
lowest(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Each message over a real channel, with as many descriptors as it wants,
 * one more, and one less. */
static void
test_round_trips(void **state)
{
	static alignas(8) uint8_t got[CHANNEL_MAX];
	struct channel_message m;
	struct ends e;
	int fds[8];

	(void)state;
	ends_open(&e);
	for (int i = 0; i < 8; i++)
		fds[i] = e.spare[i & 1];
	int before = lowest();
	for (size_t i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];
		struct channel *from = f->from_master ? &e.master : &e.worker;
		struct channel *to = f->from_master ? &e.worker : &e.master;
		size_t half = f->len / 2;

		for (int more = -1; more <= 1; more++) {
			unsigned n = f->fds + (unsigned)more;
			bool good = more >= 0 || f->fewer;

			if (f->fds == 0 && more != 0)
				continue;
			make(f);
			assert_int_equal(channel_send(from, f->type,
			    bytes + HEADER, half, bytes + HEADER + half,
			    f->len - half, fds, n), 0);
			assert_int_equal(channel_recv(to, got, &m), good ?
			    CHANNEL_GOT : CHANNEL_IGNORED);
			assert_int_equal(to->seen, from->sent);
			if (!good) {
				assert_int_equal(m.nfds, 0);
				assert_int_equal(lowest(), before);
				continue;
			}
			assert_int_equal(m.type, f->type);
			assert_int_equal(m.len, f->len);
			assert_memory_equal(m.payload, bytes + HEADER,
			    f->len);
			assert_int_equal((uintptr_t)m.payload % 8, 0);
			assert_int_equal(m.nfds, n < f->fds ? n : f->fds);
			for (unsigned k = 0; k < m.nfds; k++)
				close(m.fds[k]);
			assert_int_equal(lowest(), before);
		}
	}
	assert_int_equal(channel_recv(&e.worker, got, &m), CHANNEL_NOTHING);
	ends_close(&e);
}

static void
test_stray(void **state)
{
	static alignas(8) uint8_t got[CHANNEL_MAX];
	struct channel_count one = { 1 };
	struct channel_message m;
	struct channel_header h;
	struct iovec iov = { "rubbish", 7 };
	struct ends e;

	(void)state;
	ends_open(&e);
	int before = lowest();
	/* rubbish with descriptors does not leak them, nor end anything */
	assert_int_equal(msg_send(e.worker.fd, &iov, 1, e.spare, 2), 0);
	assert_int_equal(channel_recv(&e.master, got, &m), CHANNEL_IGNORED);
	assert_int_equal(lowest(), before);
	/* longer than anything may be */
	iov.iov_base = bytes;
	iov.iov_len = CHANNEL_MAX + 1;
	make(&forms[0]);
	assert_int_equal(msg_send(e.worker.fd, &iov, 1, e.spare, 1), 0);
	(void)channel_recv(&e.master, got, &m);
	assert_int_equal(lowest(), before);
	/* a gap in the sequence is told and survived */
	e.worker.sent += 5;
	assert_int_equal(channel_send(&e.worker, CHANNEL_DONE, &one,
	    sizeof(one), NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_recv(&e.master, got, &m), CHANNEL_GOT);
	assert_int_equal(e.master.seen, e.worker.sent);
	memcpy(&h, got, sizeof(h));
	assert_int_equal(h.sequence, e.worker.sent);
	/* too long to be sent */
	assert_int_equal(channel_send(&e.worker, CHANNEL_DONE, bytes,
	    CHANNEL_MAX, NULL, 0, NULL, 0), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(channel_send(&e.worker, CHANNEL_DONE, bytes, 8,
	    bytes, SIZE_MAX - 4, NULL, 0), -1);
	close(e.worker.fd);
	if (msg_socktype() != SOCK_DGRAM)
		assert_int_equal(channel_recv(&e.master, got, &m),
		    CHANNEL_CLOSED);
	e.worker.fd = dup(0);
	ends_close(&e);
}

static void
test_records(void **state)
{
	struct spawnd_conn in, out;
	struct channel_record r;
	struct sockaddr_in *peer = (struct sockaddr_in *)&in.peer;

	(void)state;
	memset(&in, 0, sizeof(in));
	in.fd = 7;
	in.id = UINT64_C(0x0123456789abcdef);
	in.accepted = 1;
	in.handed = UINT64_MAX;
	in.listener = 3;
	in.flags = SPAWND_HAPROXY | SPAWND_TLS_AUTO;
	in.versions = SPAWND_TLS_1_2 | SPAWND_TLS_1_3;
	in.aaa = SPAWND_AAA_RADIUS_TLS;
	in.type = SOCK_STREAM;
	in.protocol = IPPROTO_TCP;
	memcpy(in.realm, "fifteen letters", 16);
	peer->sin_family = AF_INET;
	peer->sin_port = htons(4711);
	peer->sin_addr.s_addr = htonl(0xc0000201);
	memcpy(&in.local, &in.peer, sizeof(in.local));
	channel_pack(&r, &in);
	assert_int_equal(r.reserved, 0);
	channel_unpack(&out, &r);
	assert_int_equal(out.fd, -1);
	in.fd = -1;
	assert_memory_equal(&in, &out, sizeof(in));
	/* a realm without its end does not run on */
	memset(r.realm, 'x', sizeof(r.realm));
	channel_unpack(&out, &r);
	assert_int_equal(strlen(out.realm), 15);
}

static void
test_environment(void **state)
{
	static const struct {
		const char *text;
		bool good;
		unsigned version;
	} rows[] = {
		{ "1:0123456789abcdef", true, 1 },
		{ "2:0123456789abcdef", true, 2 },
		{ "65535:0123456789abcdef", true, 65535 },
		{ "", false, 0 },
		{ ":0123456789abcdef", false, 0 },
		{ "1", false, 0 },
		{ "1:", false, 0 },
		{ "1:0123456789abcde", false, 0 },
		{ "1:0123456789abcdef0", false, 0 },
		{ "1:0123456789ABCDEF", false, 0 },
		{ "1:0123456789abcdeg", false, 0 },
		{ "-1:0123456789abcdef", false, 0 },
		{ " 1:0123456789abcdef", false, 0 },
		{ "99999999999999999999:0123456789abcdef", false, 0 },
	};
	uint8_t nonce[8] = { 0, 1, 0x7f, 0x80, 0xff, 0xa5, 9, 0 }, got[8];
	char text[CHANNEL_ENV_MAX];
	unsigned version;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(channel_env_parse(rows[i].text, &version,
		    got), rows[i].good);
		if (rows[i].good)
			assert_int_equal(version, rows[i].version);
	}
	channel_env_print(text, nonce);
	assert_string_equal(text, "1:00017f80ffa50900");
	assert_true(channel_env_parse(text, &version, got));
	assert_memory_equal(nonce, got, sizeof(nonce));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_stray),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
