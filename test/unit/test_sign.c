/*
 * Signatures: RFC 8032 7.1, test 2, and files of keys as operators have them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "features.h"
#include "misc/sign.h"

#define PEM(data)							\
	"-----BEGIN PUBLIC KEY-----\n" data "\n-----END PUBLIC KEY-----\n"
#define RFC	PEM("MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaM" \
		"wM1V8Sr0Zgw=")
#define OTHER	PEM("MCowBQYDK2VwAyEAVTv51LnLgvcbnJ/sO8ctpTPAfhr3KrJG" \
		"+acy4kb7nNg=")
#define X25519	PEM("MCowBQYDK2VuAyEA1GpMhE4WlDJL+EfxKT4wA5rD89TvfRgB7EdO" \
		"wHmXzio=")
#define EC	PEM("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEw0DdF1LaV+zGGlGb" \
		"KAXVf8dE1V42\n"					\
		"Gc5WKYzg49onB8rtDOPns3J+tbSUKPtp3ZvAfVM+RpGd7wf1Xcxmwis7" \
		"KQ==")

static const uint8_t signature[SIGN_SIZE] = {
	0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b,
	0x5f, 0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f,
	0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4,
	0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
	0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16,
	0x12, 0xbb, 0x0c, 0x00,
};
static const char message[] = "\x72";

static void
test_check(void **state)
{
	static const struct {
		const char		*pem;
		int			 keys;
		enum sign_result	 want;
	} rows[] = {
		{ RFC, 1, SIGN_GOOD },
		{ OTHER RFC, 2, SIGN_GOOD },
		{ "# release keys\n\n" RFC "junk\n" OTHER, 2, SIGN_GOOD },
		{ EC X25519 RFC, 1, SIGN_GOOD },
		{ PEM("bm90IGEga2V5") RFC, 1, SIGN_GOOD },
		{ OTHER, 1, SIGN_BAD },
		{ EC, 0, SIGN_NO_KEY },
		{ X25519, 0, SIGN_NO_KEY },
		{ "", 0, SIGN_NO_KEY },
		{ "hello\n", 0, SIGN_NO_KEY },
		{ PEM("%%%%"), 0, SIGN_NO_KEY },
		{ "-----BEGIN PUBLIC KEY-----\n", 0, SIGN_NO_KEY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t len = strlen(rows[i].pem);

#ifdef HAVE_OPENSSL
		assert_int_equal(sign_keys(rows[i].pem, len), rows[i].keys);
		assert_int_equal(sign_check(rows[i].pem, len, signature,
		    message, 1), rows[i].want);
#else
		assert_int_equal(sign_keys(rows[i].pem, len), -1);
		assert_int_equal(sign_check(rows[i].pem, len, signature,
		    message, 1), SIGN_UNABLE);
#endif
	}
}

#ifdef HAVE_OPENSSL
/* Each bit of it counts, and each of what was signed. */
static void
test_changed(void **state)
{
	uint8_t bad[SIGN_SIZE];
	char text[2] = "\x72";

	(void)state;
	for (size_t bit = 0; bit < 8 * SIGN_SIZE; bit++) {
		memcpy(bad, signature, sizeof bad);
		bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(sign_check(RFC, strlen(RFC), bad, message,
		    1), SIGN_BAD);
	}
	for (int bit = 0; bit < 8; bit++) {
		text[0] = (char)(message[0] ^ 1 << bit);
		assert_int_equal(sign_check(RFC, strlen(RFC), signature, text,
		    1), SIGN_BAD);
	}
	assert_int_equal(sign_check(RFC, strlen(RFC), signature, message, 0),
	    SIGN_BAD);
	assert_int_equal(sign_check(RFC, strlen(RFC), signature, message, 2),
	    SIGN_BAD);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
#ifdef HAVE_OPENSSL
		cmocka_unit_test(test_changed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
