/*
 * Digests: the same for the same bytes however they come, another for others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "features.h"
#include "misc/hash.h"

static void
digest(const char *text, size_t step, uint8_t out[HASH_SIZE])
{
	struct hash *h = hash_new();
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += step)
		hash_add(h, text + i, len - i < step ? len - i : step);
	hash_end(h, out);
}

static void
test_pieces(void **state)
{
	static const char text[] = "what is one is one, however it is cut";
	uint8_t whole[HASH_SIZE], pieces[HASH_SIZE];

	(void)state;
	digest(text, sizeof text, whole);
	for (size_t step = 1; step < 9; step++) {
		digest(text, step, pieces);
		assert_memory_equal(whole, pieces, HASH_SIZE);
	}
}

static void
test_differ(void **state)
{
	static const char *const texts[] = { "", "a", "b", "aa", "ab", "ba",
	    "listen 1", "listen 2", "1 listen" };
	uint8_t digests[9][HASH_SIZE];

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		digest(texts[i], 99, digests[i]);
		for (size_t k = 0; k < i; k++)
			for (size_t part = 0; part < HASH_SIZE; part += 8)
				assert_memory_not_equal(digests[i] + part,
				    digests[k] + part, 8);
	}
}

#ifdef HAVE_OPENSSL
/* FIPS 180-2, B.1 */
static void
test_sha256(void **state)
{
	static const uint8_t want[HASH_SIZE] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
		0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	uint8_t got[HASH_SIZE];

	(void)state;
	digest("abc", 2, got);
	assert_memory_equal(got, want, HASH_SIZE);
}
#endif

/* RFC 1321, A.5; FIPS 180-2, A.1 */
static void
test_old(void **state)
{
	static const uint8_t want_md5[HASH_MD5] = {
		0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
		0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72,
	};
	static const uint8_t want_sha1[HASH_SHA1] = {
		0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
		0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d,
	};
	uint8_t got[HASH_SHA1];

	(void)state;
	assert_true(hash_md5("abc", 3, got));
	assert_memory_equal(got, want_md5, HASH_MD5);
	assert_true(hash_sha1("abc", 3, got));
	assert_memory_equal(got, want_sha1, HASH_SHA1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_differ),
		cmocka_unit_test(test_old),
#ifdef HAVE_OPENSSL
		cmocka_unit_test(test_sha256),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
