/* tcprelay/host.c: what becomes of a host when a check says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tcprelay/host.h"

/* Results as they come: u(p), d(own), ? unknown; the state after each. */
static const struct {
	unsigned	 retry;
	const char	*results, *states, *availability;
} rows[] = {
	{ 0, "u", "u", "100.00%" },
	{ 0, "d", "d", "0.00%" },
	{ 0, "?", "?", "" },
	{ 0, "udud", "udud", "50.00%" },
	/* the very first check is not forgiven, the next one is */
	{ 1, "d", "d", "0.00%" },
	{ 1, "ddd", "ddd", "0.00%" },
	{ 1, "udd", "uud", "66.66%" },
	{ 1, "ududud", "uuuuuu", "100.00%" },
	{ 2, "uddd", "uuud", "75.00%" },
	{ 2, "udduddd", "uuuuuud", "85.71%" },
	/* down again: what is forgiven keeps it down */
	{ 2, "udddddd", "uuudddd", "42.85%" },
	/* unknown is not forgiven, and not counted */
	{ 2, "u?dd", "u???", "100.00%" },
	{ 2, "u?ddd", "u???d", "50.00%" },
	{ 0, "uuuuuud", "uuuuuud", "85.71%" },
};

static enum host_state
state_of(char c)
{
	return c == 'u' ? HOST_UP : c == 'd' ? HOST_DOWN : HOST_UNKNOWN;
}

static void
results_to_states(void **state)
{
	char buf[HOST_AVAILABILITY];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct host h = { 0 };
		enum host_state before = HOST_UNKNOWN;

		for (size_t k = 0; rows[i].results[k] != '\0'; k++) {
			assert_int_equal(host_result(&h,
			    state_of(rows[i].results[k]), HOST_TCP_READ_FAILED,
			    rows[i].retry), before);
			assert_int_equal(h.state, state_of(rows[i].states[k]));
			assert_int_equal(h.error, HOST_TCP_READ_FAILED);
			before = h.state;
		}
		assert_string_equal(host_availability(&h, buf),
		    rows[i].availability);
	}
}

static void
errors_have_their_numbers(void **state)
{
	static const char *const texts[] = {
		"none", "aborted", "interval timeout", "icmp ok",
		"icmp read timeout", "icmp write timeout", "tcp socket error",
		"tcp socket limit", "tcp socket option", "tcp connect failed",
		"tcp connect timeout", "tcp connect ok", "tcp write timeout",
		"tcp write failed", "tcp read timeout", "tcp read failed",
		"script ok", "script failed", "tls connect error",
		"tls connect failed", "tls connect ok", "tls connect timeout",
		"tls read timeout", "tls write timeout", "tls read error",
		"tls write error", "send/expect failed", "send/expect ok",
		"http code malformed", "http code mismatch", "http code ok",
		"http digest malformed", "http digest mismatch",
		"http digest ok"
	};

	(void)state;
	assert_int_equal(sizeof(texts) / sizeof(texts[0]), HOST_ERRORS);
	for (unsigned i = 0; i < HOST_ERRORS; i++)
		assert_string_equal(host_error_text((enum host_error)i),
		    texts[i]);
	assert_string_equal(host_error_text(HOST_ERRORS), "unknown error");
}

static void
line_of_a_check(void **state)
{
	struct host h = { .state = HOST_DOWN, .error = HOST_CODE_MISMATCH,
		.code = 404, .checks = 10000, .ups = 9995 };
	char text[256];

	(void)state;
	host_text(&h, HOST_UP, "www", "http code use tls", 12, text,
	    sizeof(text));
	assert_string_equal(text, "host www, check http code use tls "
	    "(12ms,http code mismatch,404), state up -> down, "
	    "availability 99.95%");
	h = (struct host){ .error = HOST_TLS_CONNECT_ERROR };
	host_text(&h, HOST_UNKNOWN, "10.0.0.1", "tcp use tls", 0, text,
	    sizeof(text));
	assert_string_equal(text, "host 10.0.0.1, check tcp use tls "
	    "(0ms,tls connect error), state unknown -> unknown, "
	    "availability ");
	host_text(&h, HOST_UP, "10.0.0.1", "tcp", 0, text, 12);
	assert_string_equal(text, "host 10.0.0");
}

static void
large_counts(void **state)
{
	struct host h = { .checks = UINT64_MAX, .ups = UINT64_MAX };
	char buf[HOST_AVAILABILITY];

	(void)state;
	assert_string_equal(host_availability(&h, buf), "100.00%");
	host_forget(&h);
	assert_string_equal(host_availability(&h, buf), "");
	assert_int_equal(h.state, HOST_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_to_states),
		cmocka_unit_test(errors_have_their_numbers),
		cmocka_unit_test(line_of_a_check),
		cmocka_unit_test(large_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
