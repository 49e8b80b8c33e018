/*
 * TLS or plain by the first byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tcprelay/hello.h"

static const struct {
	const char	*in;
	size_t		 n;
	enum hello	 want;
} rows[] = {
	{ "", 0, HELLO_MORE },
	{ "\x16", 1, HELLO_TLS },
	{ "\x16\x03\x01\x02\x00\x01", 6, HELLO_TLS },
	{ "\x16garbage", 8, HELLO_TLS },	/* the handshake will tell */
	{ "G", 1, HELLO_PLAIN },
	{ "GET / HTTP/1.1\r\n", 16, HELLO_PLAIN },
	{ "SSH-2.0-x\r\n", 11, HELLO_PLAIN },
	{ "\x80\x2e\x01\x03\x01", 5, HELLO_PLAIN },	/* SSLv2 */
	{ "\x15\x03\x01\x00\x02", 5, HELLO_PLAIN },	/* an alert */
	{ "\x17\x03\x03", 3, HELLO_PLAIN },
	{ "\x14\x03\x03", 3, HELLO_PLAIN },
	{ "\0", 1, HELLO_PLAIN },
	{ "\xff", 1, HELLO_PLAIN },
	{ "\r\n", 2, HELLO_PLAIN },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(hello_look((const uint8_t *)rows[i].in,
		    rows[i].n), rows[i].want);
}

static void
test_every_byte(void **state)
{
	(void)state;
	for (unsigned b = 0; b < 256; b++) {
		uint8_t byte = (uint8_t)b;

		assert_int_equal(hello_look(&byte, 1),
		    b == 22 ? HELLO_TLS : HELLO_PLAIN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
