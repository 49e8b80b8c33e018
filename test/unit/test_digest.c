/* misc/digest.c: MD5 and SHA-1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "misc/digest.h"

/* RFC 1321 A.5, RFC 3174 7.3, and lengths around the end of a block. */
static const struct {
	const char	*text;
	unsigned	 times;
	const char	*md5, *sha1;
} rows[] = {
	{ "", 1, "d41d8cd98f00b204e9800998ecf8427e",
	    "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
	{ "abc", 1, "900150983cd24fb0d6963f7d28e17f72",
	    "a9993e364706816aba3e25717850c26c9cd0d89d" },
	{ "message digest", 1, "f96b697d7cb7938d525a2f31aaf161d0",
	    "c12252ceda8be8994d5fa0290a47231c1d16aae3" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	    "8215ef0796a20bcaaae116d3876c664a",
	    "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
	{ "12345678901234567890123456789012345678901234567890123456789012345"
	    "678901234567890", 1, "57edf4a22be3c955ac49da2e2107b67a",
	    "50abf5706a150990a08b2c5ea40fa0e585554732" },
	{ "0123456701234567012345670123456701234567012345670123456701234567",
	    10, "ffeaeb581c29c85301f6d7252808fa3d",
	    "dea356a2cddd90c7a7ecedc5ebb563934f460452" },
	{ "a", 1000000, "7707d6ae4e027c70eea2a935c2296f21",
	    "34aa973cd4c4daa4f61eeb2bdbad27316534016f" },
};

static void
known_digests(void **state)
{
	struct digest d;
	char text[DIGEST_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		digest_init(&d, DIGEST_MD5);
		for (unsigned n = 0; n < rows[i].times; n++)
			digest_add(&d, rows[i].text, strlen(rows[i].text));
		assert_string_equal(digest_end_text(&d, text), rows[i].md5);
		digest_init(&d, DIGEST_SHA1);
		for (unsigned n = 0; n < rows[i].times; n++)
			digest_add(&d, rows[i].text, strlen(rows[i].text));
		assert_string_equal(digest_end_text(&d, text), rows[i].sha1);
	}
}

/* However it is cut, for every length around two blocks. */
static void
pieces_do_not_matter(void **state)
{
	uint8_t data[200], whole[DIGEST_MAX], parts[DIGEST_MAX];
	struct digest d;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n <= sizeof(data); n++) {
		digest_init(&d, DIGEST_SHA1);
		digest_add(&d, data, n);
		assert_int_equal(digest_end(&d, whole), 20);
		for (size_t step = 1; step < 80; step += 13) {
			digest_init(&d, DIGEST_SHA1);
			for (size_t at = 0; at < n; at += step)
				digest_add(&d, data + at,
				    n - at < step ? n - at : step);
			digest_end(&d, parts);
			assert_memory_equal(whole, parts, 20);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),
		cmocka_unit_test(pieces_do_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
