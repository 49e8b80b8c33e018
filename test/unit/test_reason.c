/*
 * Reasons of relay sessions: texts and flags are the specification's, to the
 * letter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "tcprelay/reason.h"
#include "tcprelay/session.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_texts(void **state)
{
	static const struct {
		struct relay_end end;
		const char *want;
		bool error;
		enum session_end counter;
	} rows[] = {
		{ { REASON_NONE, 0, NULL }, "", false, END_KILLED },
		{ { REASON_DONE, 0, NULL }, "done", false, END_DONE },
		/* an errno that does not belong there is not shown */
		{ { REASON_DONE, EPIPE, "x" }, "done", false, END_DONE },
		{ { REASON_LAST_WRITE, 0, NULL }, "last write (done)", false,
		    END_DONE },
		{ { REASON_SOCKET_ERROR, ECONNREFUSED, NULL },
		    "socket error: Connection refused", false,
		    END_NO_DESTINATION },
		{ { REASON_SOCKET_ERROR, 0, NULL }, "socket error", false,
		    END_NO_DESTINATION },
		{ { REASON_CONNECT_TIMEOUT, ETIMEDOUT, NULL },
		    "connect timeout", false, END_NO_DESTINATION },
		{ { REASON_NO_DESCRIPTORS, EMFILE, NULL },
		    "connection timed out", false, END_LOCAL },
		{ { REASON_PROXY_HEADER, EPIPE, NULL },
		    "failed to write PROXY header", false, END_REMOTE },
		{ { REASON_BUFFER_TIMEOUT, EAGAIN, NULL },
		    "buffer event timeout", true, END_IDLE },
		{ { REASON_BUFFER_ERROR, 0, NULL }, "buffer event error",
		    true, END_LOCAL },
		{ { REASON_BUFFER_ERROR, EHOSTUNREACH, NULL },
		    "buffer event error: No route to host", true, END_LOCAL },
		{ { REASON_NAT_LOOKUP, ENOENT, NULL },
		    "session NAT lookup failed", true, END_NO_DESTINATION },
		{ { REASON_OUT_OF_OUTPUT, 0, NULL },
		    "failed to allocate output buffer", true, END_LOCAL },
		{ { REASON_ABORTED, 0, NULL }, "session aborted", true,
		    END_LOCAL },
		{ { REASON_FAILED, 0, NULL }, "session failed", true,
		    END_NO_DESTINATION },
		{ { REASON_BINDANY, 0, NULL },
		    "bindany failed, invalid socket", true, END_LOCAL },
		{ { REASON_TLS_TIMEOUT, 0, NULL }, "TLS handshake timeout",
		    true, END_HANDSHAKE_TIMEOUT },
		{ { REASON_TLS_ERROR, 0, "no shared cipher" },
		    "TLS handshake error: no shared cipher", true,
		    END_HANDSHAKE },
		{ { REASON_TLS_ERROR, 0, "a\r\n\tb\x7f" },
		    "TLS handshake error: a\\x0d\\x0a\\x09b\\x7f", true,
		    END_HANDSHAKE },
		{ { REASON_TLS_ERROR, 0, "" }, "TLS handshake error", true,
		    END_HANDSHAKE },
		{ { REASON_TLS_SERVER, 0, NULL },
		    "no TLS server context available", true, END_LOCAL },
		{ { REASON_TLS_ACCEPT, 0, NULL },
		    "could not accept the TLS connection", true, END_LOCAL },
		{ { REASON_TLS_CONNECT, 0, NULL },
		    "could not connect the TLS connection", true, END_LOCAL },
	};
	bool seen[REASONS] = { false };
	char buf[REASON_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum relay_reason r = rows[i].end.reason;

		assert_string_equal(reason_text(&rows[i].end, buf),
		    rows[i].want);
		assert_int_equal(relay_reasons[r].error, rows[i].error);
		assert_int_equal(relay_reasons[r].end, rows[i].counter);
		seen[r] = true;
	}
	for (size_t i = 0; i < REASONS; i++)
		assert_true(seen[i]);
}

/* What is too long ends before a piece that does not fit. */
static void
test_long(void **state)
{
	char text[REASON_TEXT * 2], buf[REASON_TEXT];
	const struct relay_end end = { REASON_TLS_ERROR, 0, text };
	static const char head[] = "TLS handshake error: ";

	(void)state;
	for (size_t n = REASON_TEXT - 40; n < REASON_TEXT + 8; n++) {
		memset(text, 'x', n);
		memcpy(text + n, "\n", 2);
		reason_text(&end, buf);
		assert_true(strlen(buf) < sizeof(buf));
		assert_memory_equal(buf, head, strlen(head));
		if (strlen(head) + n + 4 < sizeof(buf))
			assert_string_equal(buf + strlen(head) + n, "\\x0a");
		else
			assert_null(strchr(buf, '\\'));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
