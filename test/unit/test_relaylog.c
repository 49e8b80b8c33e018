/*
 * The line of a relay's session, to the letter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/config.h"
#include "tcprelay/relaylog.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static struct net_name
name_of(const char *ip, unsigned port)
{
	struct net_addr a;
	struct net_name n = { .family = 0 };

	if (ip == NULL)
		return n;
	assert_true(net_parse_ip(ip, &a));
	net_set_port(&a, port);
	net_name_set(&n, &a.sa, a.len);
	return n;
}

static void
test_lines(void **state)
{
	static const struct {
		const char *relay;
		uint64_t id;
		uint32_t active;
		const char *client;
		const char *server;
		unsigned port;
		struct relay_end end;
		const char *want;
	} rows[] = {
		{ "www", 1, 1, "192.0.2.9", "10.0.0.7", 8080,
		    { REASON_DONE, 0, NULL }, "relay www, session 1 "
		    "(1 active), 0, 192.0.2.9 -> 10.0.0.7:8080, done" },
		{ "www2:8080", UINT64_MAX, UINT32_MAX, "192.0.2.9", NULL, 0,
		    { REASON_FAILED, EMFILE, NULL }, "relay www2:8080, "
		    "session 18446744073709551615 (4294967295 active), 0, "
		    "192.0.2.9 -> :0, session failed" },
		{ "v6", 2, 17, "2001:db8::1", "2001:db8::2", 80,
		    { REASON_LAST_WRITE, 0, NULL }, "relay v6, session 2 "
		    "(17 active), 0, 2001:db8::1 -> 2001:db8::2:80, "
		    "last write (done)" },
		{ "lo", 3, 1, "fe80::1%lo", "fe80::2%lo", 65535,
		    { REASON_SOCKET_ERROR, ECONNREFUSED, NULL }, "relay lo, "
		    "session 3 (1 active), 0, fe80::1%lo -> "
		    "fe80::2%lo:65535, socket error: Connection refused" },
		{ "mapped", 4, 2, "::ffff:192.0.2.1", "10.0.0.7", 1,
		    { REASON_BUFFER_TIMEOUT, EINPROGRESS, NULL }, "relay "
		    "mapped, session 4 (2 active), 0, 192.0.2.1 -> "
		    "10.0.0.7:1, buffer event timeout" },
		{ "a\nrelay b, session 9", 5, 1, "192.0.2.9", NULL, 0,
		    { REASON_TLS_ERROR, 0, "x\ry" }, "relay a\\x0arelay b, "
		    "session 9, session 5 (1 active), 0, 192.0.2.9 -> :0, "
		    "TLS handshake error: x\\x0dy" },
		{ "unknown", 6, 1, NULL, NULL, 0,
		    { REASON_ABORTED, 0, NULL }, "relay unknown, session 6 "
		    "(1 active), 0,  -> :0, session aborted" },
	};
	char buf[RELAYLOG_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct relaylog l = { rows[i].relay, rows[i].id,
		    rows[i].active, name_of(rows[i].client, 12345),
		    name_of(rows[i].server, rows[i].port), rows[i].end };

		assert_string_equal(relaylog_text(&l, buf), rows[i].want);
	}
}

/* Whatever a name holds, it ends where the buffer does. */
static void
test_long(void **state)
{
	char name[2 * RELAYLOG_TEXT], buf[RELAYLOG_TEXT];
	struct relaylog l = { .relay = name, .end = { REASON_DONE, 0, NULL } };

	(void)state;
	memset(name, '\r', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_true(strlen(relaylog_text(&l, buf)) < sizeof(buf));
}

static void
test_wanted(void **state)
{
	static const struct {
		unsigned log;
		enum relay_reason reason;
		bool want;
	} rows[] = {
		{ 0, REASON_DONE, false },
		{ 0, REASON_FAILED, false },
		{ 0, REASON_NONE, false },
		{ CONFIG_LOG_SESSIONS, REASON_DONE, true },
		{ CONFIG_LOG_SESSIONS, REASON_FAILED, true },
		{ CONFIG_LOG_SESSIONS, REASON_NONE, false },
		{ CONFIG_LOG_ERRORS, REASON_DONE, false },
		{ CONFIG_LOG_ERRORS, REASON_SOCKET_ERROR, false },
		{ CONFIG_LOG_ERRORS, REASON_CONNECT_TIMEOUT, false },
		{ CONFIG_LOG_ERRORS, REASON_BUFFER_TIMEOUT, true },
		{ CONFIG_LOG_ERRORS, REASON_TLS_ERROR, true },
		{ CONFIG_LOG_ERRORS, REASON_NONE, false },
		{ CONFIG_LOG_SESSIONS | CONFIG_LOG_ERRORS, REASON_NONE,
		    false },
		{ CONFIG_LOG_SESSIONS | CONFIG_LOG_ERRORS, REASON_DONE,
		    true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(relaylog_wanted(rows[i].log, rows[i].reason),
		    rows[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
