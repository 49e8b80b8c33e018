/*
 * Which certificate for which client.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "misc/tls_sni.h"

#define NAMES(...)							\
	.names = (const char *const []){ __VA_ARGS__ },			\
	.nnames = sizeof((const char *const []){ __VA_ARGS__ }) /	\
	    sizeof(const char *)
#define RSA	.type = TLS_KEY_RSA, .offer = TLS_OFFER_RSA
#define P256	.type = TLS_KEY_ECDSA, .offer = TLS_OFFER_P256
#define P384	.type = TLS_KEY_ECDSA, .offer = TLS_OFFER_P384
#define ED	.type = TLS_KEY_ED25519, .offer = TLS_OFFER_ED25519
#define ALL	0xffu
#define NONE	TLS_SNI_NONE

/* 0 main, 1 exact, 2 pattern, 3 to 5 one name three keys, 6 everybody */
static const struct tls_sni_cert certs[] = {
	{ .main = true, RSA },
	{ NAMES("www.example.net", "Mail.Example.NET."), RSA },
	{ NAMES("*.example.net"), P256 },
	{ NAMES("three.example.org"), RSA },
	{ NAMES("three.example.org"), ED },
	{ NAMES("three.example.org", "x.org"), P384 },
	{ NAMES("*"), P256 },
};

static const struct { const char *name; uint32_t offer; size_t want; }
    picks[] = {
	{ "www.example.net", ALL, 1 },
	{ "WWW.Example.Net", ALL, 1 },
	{ "www.example.net.", ALL, 1 },
	{ "mail.example.net", ALL, 1 },
	{ "www.example.net", TLS_OFFER_P256, 1 },	/* the name decides */
	{ "ftp.example.net", ALL, 2 },
	{ "FTP.EXAMPLE.NET.", ALL, 2 },
	{ "ftp.example.net", TLS_OFFER_RSA, 2 },
	{ "a.b.example.net", ALL, 6 },			/* one label only */
	{ "example.net", ALL, 6 },
	{ ".example.net", ALL, 6 },
	{ "*.example.net", ALL, 2 },		/* "*" is a label like any */
	{ "three.example.org", ALL, 5 },
	{ "three.example.org", TLS_OFFER_RSA | TLS_OFFER_ED25519, 4 },
	{ "three.example.org", TLS_OFFER_RSA | TLS_OFFER_P256, 3 },
	{ "three.example.org", TLS_OFFER_RSA, 3 },
	{ "three.example.org", 0, 3 },
	{ "x.org", TLS_OFFER_RSA, 5 },
	{ "nobody.org", ALL, 6 },		/* ECDSA before RSA */
	{ "nobody.org", TLS_OFFER_RSA, 0 },
	{ "nobody.org", 0, 0 },
	{ "", ALL, 6 },
	{ "", TLS_OFFER_RSA, 0 },
	{ ".", ALL, 6 },
	{ "*", TLS_OFFER_RSA, 0 },
	{ "net", ALL, 6 },
};

static struct tls_sni *
make(const struct tls_sni_cert *c, size_t n)
{
	char name[TLS_SNI_NAME];
	size_t twice;
	struct tls_sni *t = tls_sni_new(c, n, &twice, name);

	assert_non_null(t);
	return t;
}

static void
test_picks(void **state)
{
	struct tls_sni *t = make(certs, sizeof(certs) / sizeof(*certs));

	(void)state;
	for (size_t i = 0; i < sizeof(picks) / sizeof(*picks); i++)
		if (tls_sni_pick(t, picks[i].name, strlen(picks[i].name),
		    picks[i].offer) != picks[i].want)
			fail_msg("'%s' with %#x", picks[i].name,
			    (unsigned)picks[i].offer);
	tls_sni_free(t);
}

/* Nothing for everybody: who does not match gets nothing. */
static void
test_no_candidate(void **state)
{
	struct tls_sni *t = make(&certs[1], 3);
	char far[600];

	(void)state;
	memset(far, 'a', sizeof(far));
	assert_int_equal(tls_sni_pick(t, "www.example.net", 15, ALL), 0);
	assert_true(tls_sni_pick(t, "nobody.org", 10, ALL) == NONE);
	assert_true(tls_sni_pick(t, NULL, 0, ALL) == NONE);
	assert_true(tls_sni_pick(t, far, sizeof(far), ALL) == NONE);
	assert_true(tls_sni_pick(t, "www.example.net\0x", 17, ALL) == NONE);
	tls_sni_free(t);
}

static const struct tls_sni_cert some[] = {
	{ NAMES("a.b"), .main = true, .named = true, RSA },
	{ NAMES("a.b", "*.b", "c.d"), .named = true, RSA },
	{ NAMES("c.d", "*.b"), .named = true, RSA },
	{ NAMES("c.d"), .named = true, P256 },
};

/* libtls' way: main has its names, too, and the first of several counts. */
static void
test_first_counts(void **state)
{
	static const struct { const char *name; uint32_t offer; size_t want;
	} rows[] = {
		{ "a.b", ALL, 0 }, { "x.b", ALL, 1 },
		{ "c.d", TLS_OFFER_RSA, 1 }, { "c.d", ALL, 3 },
		{ "b", ALL, 0 }, { "", ALL, 0 },
	};
	char name[TLS_SNI_NAME];
	struct tls_sni *t = tls_sni_new(some, 4, NULL, name);

	(void)state;
	assert_non_null(t);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(tls_sni_pick(t, rows[i].name,
		    strlen(rows[i].name), rows[i].offer), rows[i].want);
	tls_sni_free(t);
}

static const struct {
	struct tls_sni_cert	 certs[2];
	const char		*name;	/* NULL: permitted */
} twice[] = {
	{ { { NAMES("a.b"), RSA }, { NAMES("c.d", "A.b."), RSA } }, "a.b" },
	{ { { NAMES("*.b"), P256 }, { NAMES("*.B"), P384 } }, "*.b" },
	{ { { NAMES("*"), ED }, { NAMES("*"), ED } }, "*" },
	{ { { NAMES("a.b"), RSA }, { NAMES("a.b"), P256 } }, NULL },
	{ { { .main = true, RSA }, { NAMES("*"), RSA } }, NULL },
	{ { { NAMES("a.b", "a.b"), RSA }, { NAMES("c"), RSA } }, NULL },
	{ { { NAMES("b"), RSA }, { NAMES("*.b"), RSA } }, NULL },
};

static void
test_twice(void **state)
{
	char name[TLS_SNI_NAME];
	size_t which;

	(void)state;
	for (size_t i = 0; i < sizeof(twice) / sizeof(*twice); i++) {
		struct tls_sni *t = tls_sni_new(twice[i].certs, 2, &which,
		    name);

		assert_int_equal(t == NULL, twice[i].name != NULL);
		if (t == NULL) {
			assert_int_equal(errno, EEXIST);
			assert_string_equal(name, twice[i].name);
			assert_int_equal(which, 1);
		}
		tls_sni_free(t);
	}
}

static const struct { const char *name; bool valid; } names[] = {
	{ "a", true }, { "a.b", true }, { "a.b.", true }, { "*", true },
	{ "*.a", true }, { "*.a.b", true }, { "_x.A-1.b", true },
	{ "", false }, { ".", false }, { ".a", false }, { "a..b", false },
	{ "a.*", false }, { "*a.b", false }, { "*.", false }, { "**", false },
	{ "a b", false }, { "a.b..", false }, { "\xc3\xa4.b", false },
	{ "1234567890123456789012345678901234567890123456789012345678901234",
	    false },
};

static void
test_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (tls_sni_valid(names[i].name, strlen(names[i].name)) !=
		    names[i].valid)
			fail_msg("'%s'", names[i].name);
}

#define BYTES(x)	(const uint8_t *)(x), sizeof(x) - 1

static const struct { const uint8_t *in; size_t len; const char *want; }
    extensions[] = {
	{ BYTES("\0\6\0\0\3a.b"), "a.b" },
	{ BYTES("\0\6\0\0\3\0b."), "\0b." },
	{ BYTES("\0\12\1\0\1x\0\0\3a.b"), "a.b" },	/* another type first */
	{ BYTES("\0\4\1\0\1x"), NULL },
	{ BYTES("\0\0"), NULL },
	{ BYTES("\0"), NULL },
	{ BYTES(""), NULL },
	{ BYTES("\0\7\0\0\3a.b"), NULL },	/* list longer than body */
	{ BYTES("\0\5\0\0\3a.b"), NULL },	/* and shorter */
	{ BYTES("\0\6\0\0\4a.b"), NULL },	/* name longer than list */
	{ BYTES("\0\6\0\377\377a.b"), NULL },
	{ BYTES("\0\3\0\0\0"), NULL },		/* no name at all */
};

static void
test_extension(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++) {
		const char *name = NULL;
		size_t n = tls_sni_name(extensions[i].in, extensions[i].len,
		    &name);

		assert_int_equal(n, extensions[i].want != NULL ? 3 : 0);
		if (n > 0)
			assert_memory_equal(name, extensions[i].want, n);
	}
	assert_int_equal(tls_sni_name(NULL, 5, NULL), 0);
}

static const struct {
	const uint8_t	*sigalgs;
	size_t		 sigalgs_len;
	const uint8_t	*versions;
	size_t		 versions_len;
	const uint8_t	*suites;
	size_t		 suites_len;
	bool		 tls13;		/* permitted here */
	uint32_t	 want;
} offers[] = {
	/* 1.3: a curve each */
	{ BYTES("\0\6\4\3\10\7\10\4"), BYTES("\2\3\4"), BYTES("\x13\1"), true,
	    TLS_OFFER_P256 | TLS_OFFER_ED25519 | TLS_OFFER_RSA },
	{ BYTES("\0\2\5\3"), BYTES("\4\3\3\3\4"), BYTES("\x13\1"), true,
	    TLS_OFFER_P384 },
	/* 1.2: any curve, but with a suite for it */
	{ BYTES("\0\4\4\3\4\1"), BYTES("\2\3\3"), BYTES("\xc0\x2b"), true,
	    TLS_OFFER_ECDSA | TLS_OFFER_RSA },
	{ BYTES("\0\4\4\3\4\1"), NULL, 0, BYTES("\xc0\x2f\xcc\xa9"), true,
	    TLS_OFFER_ECDSA | TLS_OFFER_RSA },
	{ BYTES("\0\4\4\3\4\1"), NULL, 0, BYTES("\xc0\x2f"), true,
	    TLS_OFFER_RSA },
	{ BYTES("\0\4\10\7\4\1"), NULL, 0, BYTES("\xc0\x2f"), true,
	    TLS_OFFER_RSA },
	{ BYTES("\0\4\10\7\4\1"), NULL, 0, BYTES("\xc0\x2c"), true,
	    TLS_OFFER_ED25519 | TLS_OFFER_RSA },
	/* 1.3 offered, only 1.2 permitted */
	{ BYTES("\0\4\4\3\4\1"), BYTES("\2\3\4"), BYTES("\x13\1\xc0\x2f"),
	    false, TLS_OFFER_RSA },
	/* old, or broken */
	{ NULL, 0, NULL, 0, BYTES("\xc0\x2b"), true, TLS_OFFER_RSA },
	{ BYTES("\0\5\4\3"), NULL, 0, BYTES("\xc0\x2b"), true,
	    TLS_OFFER_RSA },
	{ BYTES("\0"), NULL, 0, BYTES("\xc0\x2b"), true, TLS_OFFER_RSA },
	{ BYTES("\0\3\4\3\4"), BYTES("\3\3\4\3"), BYTES("\xc0"), true,
	    TLS_OFFER_P256 },
	{ BYTES("\0\2\2\1"), BYTES("\2\3\4"), BYTES(""), true, 0 },
};

static void
test_offer(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
		struct tls_sni_hello hello = {
		    .sigalgs = offers[i].sigalgs,
		    .sigalgs_len = offers[i].sigalgs_len,
		    .versions = offers[i].versions,
		    .versions_len = offers[i].versions_len,
		    .suites = offers[i].suites,
		    .suites_len = offers[i].suites_len };
		uint32_t got = tls_sni_offer(&hello, offers[i].tls13);

		if (got != offers[i].want)
			fail_msg("row %zu: %#x", i, (unsigned)got);
	}
}

/* A thousand blocks are a table, not a walk; the result must be right at
 * both ends of it. */
static void
test_many(void **state)
{
	static struct tls_sni_cert many[1000];
	static char text[1000][16];
	static const char *list[1000];
	struct tls_sni *t;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		snprintf(text[i], sizeof(text[i]), "h%zu.net", i);
		list[i] = text[i];
		many[i] = (struct tls_sni_cert){ .names = &list[i],
		    .nnames = 1, RSA };
	}
	t = make(many, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(tls_sni_pick(t, text[i], strlen(text[i]),
		    ALL), i);
	assert_true(tls_sni_pick(t, "h1000.net", 9, ALL) == NONE);
	tls_sni_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_picks),
		cmocka_unit_test(test_no_candidate),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_first_counts),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_extension),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
