/*
 * AgentX: messages as bytes, the tables that SNMP sees, and a subagent with a
 * master that says what a test wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>

#include <cmocka.h>

#include "pfe_fake.h"
#include "relayd/rd_mib.h"

static const char config[] =
    "agentx path \"/agentx\"\n"
    "table <web> { 10.0.0.1 10.0.0.2 parent 1 }\n"
    "table <off> disable { 2001:db8::1 }\n"
    "redirect www { listen on 192.0.2.1 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay one { listen on 192.0.2.3 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay two { disable\n"
    "	listen on 192.0.2.3 port 81\n"
    "	forward to <off> port 81 }\n"
    "router way { route 198.51.100.0/24\n"
    "	route 203.0.113.0/25\n"
    "	forward to <web> check icmp }\n"
    "router way6 { route 2001:db8::/32\n"
    "	forward to <off> check icmp }\n";

static int
setup(void **state)
{
	char error[256] = "";
	struct compiled *c = fake_compile(config, sizeof(config) - 1, error,
	    sizeof(error));

	(void)state;
	if (c == NULL)
		print_error("%s\n", error);
	return c == NULL ? -1 : fake_open(c);
}

static int
teardown(void **state)
{
	(void)state;
	fake_close();
	return 0;
}

/* ---- bytes ---- */

static void
headers(void **state)
{
	uint8_t data[AGENTX_HEADER + 8] = { 1, AGENTX_GET, AGENTX_BIG, 0,
	    0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 8 };
	struct agentx_header h;

	(void)state;
	for (size_t n = 0; n < sizeof(data); n++)
		assert_int_equal(agentx_header(data, n, &h), AGENTX_MORE);
	assert_int_equal(agentx_header(data, sizeof(data), &h), AGENTX_WHOLE);
	assert_int_equal(h.type, AGENTX_GET);
	assert_int_equal(h.session, 1);
	assert_int_equal(h.transaction, 2);
	assert_int_equal(h.packet, 3);
	assert_int_equal(h.length, 8);
	data[19] = 7;			/* not a multiple of 4 */
	assert_int_equal(agentx_header(data, sizeof(data), &h), AGENTX_BAD);
	data[19] = 8;
	data[16] = 1;			/* 16 MB */
	assert_int_equal(agentx_header(data, sizeof(data), &h), AGENTX_BAD);
	data[16] = 0;
	data[0] = 2;			/* another version */
	assert_int_equal(agentx_header(data, sizeof(data), &h), AGENTX_BAD);
	data[0] = 1;
	data[2] = 0;			/* little end first */
	memcpy(data + 4, "\1\0\0\0\2\0\0\0\3\0\0\0\10\0\0\0", 16);
	assert_int_equal(agentx_header(data, sizeof(data), &h), AGENTX_WHOLE);
	assert_int_equal(h.session, 1);
	assert_int_equal(h.length, 8);
}

/* What cannot be read is bad, never read beyond, and 0. */
static void
identifiers(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t len, n, last;
		bool bad;
	} rows[] = {
		{ "\0\0\0\0", 4, 0, 0, false },
		{ "\1\2\1\0\0\0\0\7", 8, 6, 7, false },	/* 1.3.6.1.2.7 */
		{ "\2\0\0\0\0\0\0\1\0\0\0\3", 12, 2, 3, false },
		{ "\2\0\0\0\0\0\0\1", 8, 1, 1, true },
		{ "\1\0\0", 3, 0, 0, true },
		{ "\377\0\0\0\0\0\0\1", 8, 0, 0, true },
		{ "\174\1\0\0\0\0\0\1", 8, 5, 1, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct agentx_header h = { .flags = AGENTX_BIG,
		    .length = rows[i].len };
		struct agentx_in in = agentx_in(&h,
		    (const uint8_t *)rows[i].bytes);
		struct agentx_oid oid;

		agentx_in_oid(&in, &oid);
		if (in.bad != rows[i].bad)
			fail_msg("row %zu", i);
		if (in.bad)
			continue;
		assert_int_equal(oid.n, rows[i].n);
		if (oid.n > 0)
			assert_int_equal(oid.sub[oid.n - 1], rows[i].last);
		assert_ptr_equal(in.at, in.end);
	}
}

static void
strings(void **state)
{
	const struct agentx_header h = { .flags = AGENTX_BIG, .length = 12 };
	struct agentx_in in = agentx_in(&h,
	    (const uint8_t *)"\0\0\0\5hello\0\0\0");
	size_t len;

	(void)state;
	assert_memory_equal(agentx_in_string(&in, &len), "hello", 5);
	assert_int_equal(len, 5);
	assert_null(agentx_in_string(&in, &len));
	assert_true(in.bad);
	in = agentx_in(&h, (const uint8_t *)"\0\0\0\11hello\0\0\0");
	assert_null(agentx_in_string(&in, &len));
	in = agentx_in(&h, (const uint8_t *)"\377\377\377\377hello\0\0\0");
	assert_null(agentx_in_string(&in, &len));
	/* what is written is read */
	struct agentx_out out = { 0 };

	agentx_out_string(&out, "hello", 5);
	assert_int_equal(out.len, 12);
	assert_memory_equal(out.data, "\0\0\0\5hello\0\0\0", 12);
	agentx_out_clear(&out);
}

/* ---- tables ---- */

static const struct rd_mib_session none[1];

static struct rd_mib
mib(const struct rd_mib_session *s, size_t n)
{
	return (struct rd_mib){ .view = fake_pfe->view,
	    .stats = &fake_pfe->stats, .sessions = s, .nsessions = n };
}

/* "5.1.4.2" below the base. */
static struct agentx_oid
oid(const char *text)
{
	struct agentx_oid o = rd_mib_base;
	char *end;

	for (; *text != '\0'; text = *end == '.' ? end + 1 : end)
		o.sub[o.n++] = (uint32_t)strtoul(text, &end, 10);
	return o;
}

static const char *
shown(const struct agentx_value *v)
{
	static char text[300];
	const uint8_t *bytes = v->bytes;
	size_t n = 0;

	switch (v->kind) {
	case AGENTX_NO_OBJECT:
		return "no object";
	case AGENTX_NO_INSTANCE:
		return "no instance";
	case AGENTX_STRING:
		text[0] = '\0';
		for (size_t i = 0; i < v->len; i++)
			n += (size_t)sprintf(text + n, bytes[i] > ' ' &&
			    bytes[i] < 127 ? "%c" : "\\%02x", bytes[i]);
		return text;
	default:
		sprintf(text, "%u:%llu", v->kind,
		    (unsigned long long)v->number);
		return text;
	}
}

static void
gets(void **state)
{
	static const struct { const char *oid, *value; } rows[] = {
		{ "", "no object" }, { "1", "no object" },
		{ "1.1", "no object" }, { "1.1.1", "no instance" },
		{ "1.1.1.0", "no instance" }, { "1.1.1.2", "no instance" },
		{ "1.1.1.1.1", "no instance" }, { "1.1.0.1", "no object" },
		{ "1.1.11.1", "no object" }, { "1.2.1.1", "no object" },
		{ "0.1.1.1", "no object" }, { "8.1.1.1", "no object" },
		{ "1.1.1.4294967295", "no instance" },
		{ "1.1.1.1", "2:1" }, { "1.1.2.1", "2:2" },
		{ "1.1.3.1", "www" }, { "1.1.4.1", "70:0" },
		{ "1.1.10.1", "66:0" },
		{ "2.1.2.1", "2:2" }, { "2.1.2.2", "2:1" },
		{ "2.1.3.1", "one" }, { "2.1.4.2", "70:0" },
		{ "3.1.3.1", "2:0" }, { "3.1.4.2", "way6" },
		{ "3.1.5.1", "" }, { "3.1.6.1", "2:0" },
		{ "3.1.7.1", "no object" },
		{ "4.1.1.3", "2:3" },
		{ "4.1.2.1", "" },	/* set below */
		{ "4.1.3.2", "2:1" }, { "4.1.3.3", "2:2" },
		{ "4.1.4.2", "2:25" }, { "4.1.5.3", "2:2" },
		{ "4.1.1.4", "no instance" },
		{ "5.1.2.2", "2:1" }, { "5.1.3.2", "2:1" },
		{ "5.1.4.1", "10.0.0.1" },
		{ "5.1.5.2", "\\0a\\00\\00\\02" }, { "5.1.6.1", "2:1" },
		{ "5.1.7.1", "2:3" }, { "5.1.8.1", "70:0" },
		{ "5.1.10.1", "2:0" },
		{ "6.1.1.1.1", "no instance" }, { "6.1.13.1.1", "no object" },
		{ "7.1.2.1", "web:80" }, { "7.1.3.1", "2:1" },
		{ "7.1.4.1", "no object" },
	};
	const struct rd_mib m = mib(none, 0);
	struct rd_mib_room room;
	struct agentx_value v;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct agentx_oid o = oid(rows[i].oid);

		rd_mib_get(&m, &o, &v, &room);
		if (strcmp(rows[i].oid, "4.1.2.1") == 0) {
			assert_int_equal(v.len, 4);
			assert_memory_equal(v.bytes, "\306\063\144\0", 4);
		} else if (strcmp(shown(&v), rows[i].value) != 0) {
			fail_msg("%s: %s", rows[i].oid, shown(&v));
		}
	}
}

/* Walking finds everything that get finds, in order, and comes to an end. */
static void
walks(void **state)
{
	struct rd_mib_session s[3] = {
		{ .session = { .id = 7, .worker = 2, .relay = 2 } },
		{ .session = { .id = 7, .worker = 1, .relay = 1 } },
		{ .session = { .id = 7, .worker = 3, .relay = 1 } },
	};
	struct rd_mib m = mib(s, 3);
	struct agentx_oid from = rd_mib_base, end = { 0 }, name, last;
	struct rd_mib_room room;
	struct agentx_value v, got;
	unsigned n = 0, cells;

	(void)state;
	rd_mib_sort(s, 3);
	assert_int_equal(s[0].session.relay, 1);
	assert_int_equal(s[0].number, 7 * 64 + 1);
	assert_int_equal(s[1].number, 7 * 64 + 3);
	assert_int_equal(s[2].session.relay, 2);
	last = from;
	while (rd_mib_next(&m, &from, &end, &name, &v, &room)) {
		char text[300];

		assert_int_equal(agentx_oid_cmp(&last, &name), -1);
		snprintf(text, sizeof(text), "%s", shown(&v));
		rd_mib_get(&m, &name, &got, &room);
		assert_string_equal(shown(&got), text);
		/* itself, if it is included */
		from = name;
		from.include = true;
		assert_true(rd_mib_next(&m, &from, &end, &from, &v, &room));
		assert_int_equal(agentx_oid_cmp(&from, &name), 0);
		/* not at its end */
		from = last;
		assert_false(rd_mib_next(&m, &from, &name, &from, &v,
		    &room));
		last = from = name;
		n++;
	}
	cells = 1 * 10 + 2 * 10 + 2 * 6 + 3 * 5 +
	    (unsigned)m.view->conf->nhosts * 10 + 3 * 12 +
	    (unsigned)m.view->conf->ntables * 3;
	assert_int_equal(n, cells);
}

static void
wanted(void **state)
{
	static const struct { const char *oid; bool get, next; } rows[] = {
		{ "", false, false }, { "1.1.1.1", false, false },
		{ "4.1.5.3", false, false }, { "5", false, true },
		{ "5.1.10.2", false, true }, { "6", true, true },
		{ "6.1.1.1", true, true }, { "6.1.12.1.1", true, true },
		{ "7", false, false }, { "7.1.1.1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct agentx_oid o = oid(rows[i].oid);

		assert_int_equal(rd_mib_wants_sessions(&o, false),
		    rows[i].get);
		assert_int_equal(rd_mib_wants_sessions(&o, true),
		    rows[i].next);
	}
}

/* ---- the subagent ---- */

static void
turns(unsigned n)
{
	while (n-- > 0)
		assert_int_equal(ev_turn(fake.ev, 0), 0);
}

/* The parent has connected. Our end is the master's. */
static int
master(void)
{
	static const int32_t none_wrong = 0;
	struct tell t = { .role = RD_PARENT, .type = RD_AGENTX_SOCKET,
	    .data = &none_wrong, .len = sizeof(none_wrong) };
	int fds[2];

	assert_int_equal(fake.told[fake.ntold - 1].type, RD_AGENTX);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fds), 0);
	t.fd = fds[0];
	rd_pfe_ops.tell(fake_pfe, &t);
	assert_int_equal(t.fd, -1);
	turns(2);
	return fds[1];
}

/* What the subagent has said: one message, or none (type 0). */
static struct agentx_header
said(int fd, uint8_t *body, size_t size)
{
	struct agentx_header h = { 0 };
	uint8_t head[AGENTX_HEADER];

	turns(3);
	if (read(fd, head, sizeof(head)) != sizeof(head))
		return h;
	(void)agentx_header(head, sizeof(head), &h);
	assert_true(h.length <= size);
	assert_int_equal(read(fd, body, h.length), h.length);
	return h;
}

static void
say(int fd, uint8_t type, uint32_t packet, const void *body, size_t len)
{
	const struct agentx_header h = { .type = type, .session = 5,
	    .transaction = 9, .packet = packet };
	struct agentx_out out = { 0 };
	size_t place = agentx_out_begin(&out, &h);

	for (size_t i = 0; i < len; i++)
		agentx_out_u8(&out, ((const uint8_t *)body)[i]);
	agentx_out_end(&out, place);
	assert_int_equal(write(fd, out.data, out.len), (ssize_t)out.len);
	agentx_out_clear(&out);
	turns(2);
}

static int
registered(void)
{
	static const uint8_t good[8];
	uint8_t body[4096];
	struct agentx_header h;
	int fd = master();

	h = said(fd, body, sizeof(body));
	assert_int_equal(h.type, AGENTX_OPEN);
	assert_memory_equal(body + 8, "\0\0\0\6relayd\0\0", 12);
	say(fd, AGENTX_RESPONSE, h.packet, good, sizeof(good));
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.type, AGENTX_REGISTER);
	assert_int_equal(h.session, 5);
	assert_int_equal(body[1], 127);
	assert_int_equal(body[4], 9);
	say(fd, AGENTX_RESPONSE, h.packet, good, sizeof(good));
	return fd;
}

/* get-next from the base, up to its end. */
static const uint8_t ask_next[] = { 9, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0,
    0, 6, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0x75, 0xcb, 0, 0, 0, 3, 0,
    0, 0, 2, 0, 0, 0, 0 };

static void
requests(void **state)
{
	static const uint8_t refused[4] = { 0, 17, 0, 1 };
	uint8_t body[65536], bulk[4 + sizeof(ask_next)] = { 0, 0, 0, 255 };
	struct agentx_header h;
	int fd = registered();

	(void)state;
	say(fd, AGENTX_GET_NEXT, 77, ask_next, sizeof(ask_next));
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.type, AGENTX_RESPONSE);
	assert_int_equal(h.packet, 77);
	assert_int_equal(h.transaction, 9);
	assert_memory_equal(body + 4, "\0\0\0\0\0\2\0\0\15", 9);
	/* nothing is written */
	say(fd, AGENTX_TEST_SET, 78, "", 0);
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.length, 8);
	assert_memory_equal(body + 4, refused, 4);
	say(fd, AGENTX_CLEANUP_SET, 78, "", 0);
	assert_int_equal(said(fd, body, sizeof(body)).type, 0);
	/* half a range */
	say(fd, AGENTX_GET_NEXT, 79, ask_next, sizeof(ask_next) - 8);
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.length, 8);
	assert_memory_equal(body + 4, "\1\12\0\1", 4);
	/* all of it, or what fits */
	memcpy(bulk + 4, ask_next, sizeof(ask_next));
	say(fd, AGENTX_GET_BULK, 80, bulk, sizeof(bulk));
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.packet, 80);
	assert_true(h.length > 8000 && h.length < 40000);
	close(fd);
}

/* A request for sessions waits for them; what comes after it waits, too. */
static void
sessions(void **state)
{
	static _Alignas(8) uint8_t list[sizeof(struct tell_list) +
	    sizeof(struct tell_session)];
	struct tell_list head = { .n = 1, .last = 1 };
	struct tell_session s = { .id = 1, .worker = 3, .relay = 1 };
	uint8_t body[4096], get[sizeof(ask_next) + 20] = { 0 };
	struct agentx_header h;
	int fd;

	(void)state;
	fake_seat(0, 3, BOARD_READY);
	fd = registered();
	/* .6.1.1.1.67 */
	memcpy(get, ask_next, 40);
	memcpy(get + 40, "\0\0\0\6\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\103", 20);
	get[0] = 14;
	say(fd, AGENTX_GET, 81, get, sizeof(get));
	say(fd, AGENTX_GET_NEXT, 82, ask_next, sizeof(ask_next));
	assert_int_equal(said(fd, body, sizeof(body)).type, 0);
	assert_int_equal(fake.told[fake.ntold - 1].type, TELL_SESSIONS);
	memcpy(&head.token, fake.told[fake.ntold - 1].data, 4);
	memcpy(list, &head, sizeof(head));
	memcpy(list + sizeof(head), &s, sizeof(s));
	fake_tell(RD_WORKER, 3, TELL_SESSION_LIST, list, sizeof(list));
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.packet, 81);
	assert_memory_equal(body + 8, "\0\2\0\0\16", 5);
	assert_memory_equal(body + h.length - 4, "\0\0\0\103", 4);
	assert_int_equal(said(fd, body, sizeof(body)).packet, 82);
	/* for a while these will do */
	say(fd, AGENTX_GET, 83, get, sizeof(get));
	assert_int_equal(said(fd, body, sizeof(body)).packet, 83);
	/* the master goes while it waits for them */
	fake_pfe->ev = fake.ev;
	close(fd);
	turns(3);
}

static void
traps(void **state)
{
	struct rd_tell_host t = { .host = 2, .table = 1, .old = 1, .now = -1,
	    .checks = 9, .ups = 8, .left = 3 };
	uint8_t body[4096];
	struct agentx_header h;
	int fd = registered();

	(void)state;
	fake_tell(RD_HCE, 0, RD_HOST, &t, sizeof(t));
	h = said(fd, body, sizeof(body));
	assert_int_equal(h.type, AGENTX_NOTIFY);
	assert_non_null(memmem(body, h.length, "10.0.0.2", 8));
	assert_non_null(memmem(body, h.length, "web:80", 6));
	assert_memory_equal(body + h.length - 4, "\0\0\0\3", 4);
	/* not of what has not changed */
	t.old = -1;
	fake_tell(RD_HCE, 0, RD_HOST, &t, sizeof(t));
	assert_int_equal(said(fd, body, sizeof(body)).type, 0);
	close(fd);
}

/* Whatever goes wrong, it is tried again. */
static void
failures(void **state)
{
	static const int32_t error = ECONNREFUSED;
	static const uint8_t bad[8] = { 0, 0, 0, 0, 1, 1, 0, 0 };
	uint8_t body[4096];
	struct agentx_header h;
	unsigned asked;
	int fd;

	(void)state;
	assert_int_equal(fake.ntold, 1);
	fake_tell(RD_PARENT, 0, RD_AGENTX_SOCKET, &error, sizeof(error));
	for (asked = fake.ntold; fake.ntold == asked;)
		assert_int_equal(ev_turn(fake.ev, 5000), 0);
	fd = master();
	h = said(fd, body, sizeof(body));
	say(fd, AGENTX_RESPONSE, h.packet, bad, sizeof(bad));
	assert_int_equal(read(fd, body, sizeof(body)), 0);
	close(fd);
	for (asked = fake.ntold; fake.ntold == asked;)
		assert_int_equal(ev_turn(fake.ev, 5000), 0);
	fd = registered();
	assert_int_equal(write(fd, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 27),
	    27);
	turns(3);
	assert_int_equal(read(fd, body, sizeof(body)), 0);
	close(fd);
}

int
main(void)
{
#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(identifiers),
		cmocka_unit_test(strings),
		TEST(gets),
		TEST(walks),
		TEST(wanted),
		TEST(requests),
		TEST(sessions),
		TEST(traps),
		TEST(failures),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
