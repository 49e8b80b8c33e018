/*
 * SipHash-2-4: the paper's example and its authors' vectors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "misc/siphash.h"

/* Key 00 01 ... 0f, message 00 01 ... */
#define K0	UINT64_C(0x0706050403020100)
#define K1	UINT64_C(0x0f0e0d0c0b0a0908)

static const struct { size_t len; uint64_t want; } rows[] = {
	{ 0, UINT64_C(0x726fdb47dd0e0e31) },
	{ 1, UINT64_C(0x74f839c593dc67fd) },
	{ 2, UINT64_C(0x0d6c8009d9a94f5a) },
	{ 3, UINT64_C(0x85676696d7fb7e2d) },
	{ 7, UINT64_C(0xab0200f58b01d137) },
	{ 8, UINT64_C(0x93f5f5799a932462) },
	{ 9, UINT64_C(0x9e0082df0ba9e4b0) },
	{ 15, UINT64_C(0xa129ca6149be45e5) },	/* appendix A */
	{ 16, UINT64_C(0x3f2acc7f57c29bdb) },
	{ 31, UINT64_C(0x32d892fad841c342) },
	{ 63, UINT64_C(0x958a324ceb064572) },
};
#define ROWS	(sizeof rows / sizeof rows[0])

static void
test_vectors(void **state)
{
	uint8_t message[64];

	(void)state;
	for (size_t i = 0; i < sizeof message; i++)
		message[i] = (uint8_t)i;
	for (size_t i = 0; i < ROWS; i++)
		assert_true(siphash(K0, K1, message, rows[i].len) ==
		    rows[i].want);
}

static void
test_pieces(void **state)
{
	uint8_t message[64];

	(void)state;
	for (size_t i = 0; i < sizeof message; i++)
		message[i] = (uint8_t)i;
	for (size_t step = 1; step < 20; step++) {
		struct siphash h;
		size_t row = 0;

		siphash_init(&h, K0, K1);
		for (size_t at = 0; row < ROWS; at++) {
			/* asking changes nothing */
			if (at == rows[row].len)
				assert_true(siphash_end(&h) ==
				    rows[row++].want);
			siphash_add(&h, message + at, 1);
		}
		siphash_init(&h, K0, K1);
		for (size_t at = 0; at < 63; at += step)
			siphash_add(&h, message + at,
			    63 - at < step ? 63 - at : step);
		assert_true(siphash_end(&h) == rows[ROWS - 1].want);
	}
}

static void
test_key(void **state)
{
	(void)state;
	assert_true(siphash(K0, K1, "a", 1) != siphash(K1, K0, "a", 1));
	assert_true(siphash(K0, K1, "a", 1) != siphash(K0, K1, "a", 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
