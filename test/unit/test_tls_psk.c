/*
 * Pre-shared keys of a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "misc/tls_psk.h"

#define K64	"00112233445566778899aabbccddeeff"			\
		"00112233445566778899aabbccddeeff"			\
		"00112233445566778899aabbccddeeff"			\
		"00112233445566778899aabbccddeeff"

static const struct { const char *text, *error; } refused[] = {
	{ "", "line 1: no key in the file" },
	{ "# nothing\n\n", "line 1: no key in the file" },
	{ "alice\n", "line 1: no ':'" },
	{ "a:00\n\nbob 1234\n", "line 3: no ':'" },
	{ ":1234\n", "line 1: identity missing" },
	{ "alice:\n", "line 1: key missing" },
	{ "alice:123\n", "line 1: key has an odd number of digits" },
	{ "alice:12xy\n", "line 1: key is not hexadecimal" },
	{ "alice: 12\n", "line 1: key is not hexadecimal" },
	{ "alice:0x12\n", "line 1: key is not hexadecimal" },
	{ "alice:" K64 "00", "line 1: key longer than 64 bytes" },
	{ "a:01\nb:02\na:03\n", "line 3: identity 'a' given twice" },
	{ "a:01\n# x\na:01", "line 3: identity 'a' given twice" },
};

static void
test_refused(void **state)
{
	char error[TLS_PSK_ERROR], far[600];

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		assert_null(tls_psk_new(refused[i].text,
		    strlen(refused[i].text), error));
		assert_string_equal(error, refused[i].error);
	}
	memset(far, 'x', sizeof(far));
	memcpy(far + 256, ":00\n", 4);
	assert_null(tls_psk_new(far, 260, error));
	assert_string_equal(error,
	    "line 1: identity longer than 255 bytes");
	assert_null(tls_psk_new("a\0b:00\n", 7, error));
	assert_string_equal(error, "line 1: NUL byte");
}

static void
test_find(void **state)
{
	static const char text[] = "# keys\r\n\n"
	    "bob:00ff\r\n  alice:AbCd01\t\n"
	    "urn:x:y:7f\n longer#than:" K64;
	static const struct { const char *id; size_t len; uint8_t first; }
	    want[] = {
		{ "bob", 2, 0x00 }, { "alice", 3, 0xab },
		{ "urn:x:y", 1, 0x7f }, { "longer#than", 64, 0x00 },
		{ "bo", 0, 0 }, { "bobb", 0, 0 }, { "BOB", 0, 0 },
		{ "", 0, 0 }, { "urn", 0, 0 }, { "# keys", 0, 0 },
	};
	char error[TLS_PSK_ERROR];
	struct tls_psk *p = tls_psk_new(text, sizeof(text) - 1, error);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		const uint8_t *key = NULL;

		assert_int_equal(tls_psk_find(p, want[i].id,
		    strlen(want[i].id), &key), want[i].len);
		if (want[i].len > 0)
			assert_int_equal(key[0], want[i].first);
	}
	tls_psk_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
