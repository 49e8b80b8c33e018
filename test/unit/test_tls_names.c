/*
 * Lists of ciphers and curves: what the library knows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "misc/tls.h"

static void
test_ciphers(void **state)
{
	static const struct { const char *list; bool known; } rows[] = {
		{ "HIGH:!aNULL", true },
		{ "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20",
		    true },
		{ "ECDHE-RSA-AES128-GCM-SHA256", true },
		{ "nonsense:ECDHE-RSA-AES128-GCM-SHA256", true },
		{ "nonsense", false },
		{ "", false },
		{ "HIGH:!HIGH", false },
		{ "!ALL", false },
		{ ":::", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (tls_ciphers_known(rows[i].list) != rows[i].known)
			fail_msg("%s", rows[i].list);
}

static void
test_curves(void **state)
{
	static const struct { const char *list, *bad; } rows[] = {
		{ "X25519", NULL },
		{ "X25519,P-256,P-384", NULL },
		{ "X25519:P-256", NULL },
		{ "prime256v1,secp384r1", NULL },
		{ "nosuchcurve", "nosuchcurve" },
		{ "P-256,nosuch,other", "nosuch" },
		{ "", "" },
		{ "P-256,", "" },
		{ ",P-256", "" },
		{ "P-256 ", "P-256 " },
		{ "?P-256", "?P-256" },
		{ "P-256/P-384", "P-256/P-384" },
	};
	char bad[32];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool known = tls_curves_known(rows[i].list, bad, sizeof bad);

		if (known != (rows[i].bad == NULL))
			fail_msg("%s", rows[i].list);
		assert_string_equal(bad, known ? "" : rows[i].bad);
	}
	assert_false(tls_curves_known("nosuchcurve", bad, 4));
	assert_string_equal(bad, "nos");
	memset(bad, 'x', sizeof bad);
	assert_false(tls_curves_known("nosuchcurve", bad, 0));
	assert_int_equal(bad[0], 'x');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ciphers),
		cmocka_unit_test(test_curves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
