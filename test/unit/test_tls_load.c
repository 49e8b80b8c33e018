/*
 * Certificates, keys and all that can be wrong with them: exact texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/err.h>

#include "misc/tls.h"
#include "tls_certs.h"

enum { GOOD, OTHER, LOCKED, LOCKED_RSA, OLD, SOON, NAMELESS, CERTS };

static const struct cert_spec specs[] = {
	[GOOD] = { "P-256", "good", "DNS:a.test", NULL, 90, false },
	[OTHER] = { "P-256", "other", "DNS:a.test,DNS:*.b.test", NULL, 90,
	    false },
	[LOCKED] = { "P-384", "locked", "DNS:l.test", "12345", 90, false },
	[LOCKED_RSA] = { "RSA", "locked", "DNS:l.test", "sesame", 90, false },
	[OLD] = { "P-256", "old", "DNS:a.test", NULL, -3, false },
	[SOON] = { "ED25519", "soon", "DNS:a.test", NULL, 13, false },
	[NAMELESS] = { "P-256", "nameless", "IP:127.0.0.1", NULL, 15, false },
};

static struct cert certs[CERTS];

static int
setup(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++)
		certs[i] = cert_make(&specs[i], NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++)
		cert_clear(&certs[i]);
	return 0;
}

static struct tls_file
file_of(const char *name, const char *text)
{
	return (struct tls_file){ name, text, strlen(text) };
}

static struct tls_keypair
pair_of(int i)
{
	return (struct tls_keypair){
	    .cert = file_of("c.pem", certs[i].pem),
	    .key = file_of("k.pem", certs[i].key_pem) };
}

/* What is said about a keypair: "error|warning", each perhaps empty. */
static void
check(const struct tls_keypair *k, const char *want, const char *warning)
{
	char error[TLS_ERROR] = "", warned[TLS_ERROR];
	int status = tls_keypair_check(k, error, warned);

	if (want == NULL) {
		if (status != 0)
			fail_msg("%s", error);
	} else {
		assert_int_equal(status, -1);
		assert_string_equal(error, want);
	}
	if (warning == NULL)
		assert_string_equal(warned, "");
	else
		assert_non_null(strstr(warned, warning));
	assert_int_equal(ERR_peek_error(), 0);
}

static void
test_good(void **state)
{
	struct tls_keypair k = pair_of(GOOD);
	char *both;

	(void)state;
	check(&k, NULL, NULL);
	k = pair_of(LOCKED);
	k.passphrase = "12345";
	check(&k, NULL, NULL);
	k = pair_of(LOCKED_RSA);
	k.passphrase = "sesame";
	check(&k, NULL, NULL);
	k = pair_of(NAMELESS);
	check(&k, NULL, NULL);

	/* one file: in either order, with text and parameters between */
	assert_true(asprintf(&both, "hello\n%s\n-----BEGIN EC PARAMETERS-----\n"
	    "BggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n%s%s",
	    certs[GOOD].pem, certs[GOOD].key_pem, certs[OTHER].pem) > 0);
	k = (struct tls_keypair){ .cert = file_of("c.pem", both) };
	check(&k, NULL, NULL);
	free(both);
	assert_true(asprintf(&both, "%s%s", certs[GOOD].key_pem,
	    certs[GOOD].pem) > 0);
	k = (struct tls_keypair){ .cert = file_of("c.pem", both) };
	check(&k, NULL, NULL);
	free(both);
}

static void
test_bad(void **state)
{
	static const char wrong[] =
	    "tls: cannot load key 'k.pem': wrong passphrase or format";
	struct tls_keypair k = pair_of(LOCKED);

	(void)state;
	check(&k, wrong, NULL);			/* and nobody was asked */
	k.passphrase = "1234";
	check(&k, wrong, NULL);
	k.passphrase = "";
	check(&k, wrong, NULL);
	k = pair_of(LOCKED_RSA);
	check(&k, wrong, NULL);
	k = pair_of(GOOD);
	k.key = file_of("k.pem", "");
	check(&k, wrong, NULL);
	k.key = file_of("k.pem", certs[GOOD].pem);
	check(&k, wrong, NULL);
	k.key = (struct tls_file){ .name = NULL };
	check(&k, "tls: cannot load key 'c.pem': wrong passphrase or format",
	    NULL);
	k.key = file_of("k.pem", certs[OTHER].key_pem);
	check(&k, "tls: key 'k.pem' does not match certificate 'c.pem'",
	    NULL);
	k.key = file_of("k.pem", certs[SOON].key_pem);
	check(&k, "tls: key 'k.pem' does not match certificate 'c.pem'",
	    NULL);
	k = pair_of(GOOD);
	k.cert = file_of("c.pem", "");
	check(&k, "tls: cannot load certificate 'c.pem': no certificate in it",
	    NULL);
	k.cert = file_of("c.pem", certs[GOOD].key_pem);
	check(&k, "tls: cannot load certificate 'c.pem': no certificate in it",
	    NULL);
}

/* A damaged file is told so, whatever words the library has for it. */
static void
test_damaged(void **state)
{
	struct tls_keypair k = pair_of(GOOD);
	char error[TLS_ERROR], warning[TLS_ERROR], *text;
	static const char start[] =
	    "tls: cannot load certificate 'c.pem': ";

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		text = strdup(certs[GOOD].pem);
		if (i == 0)
			text[100] = '!';		/* no base64 */
		else if (i == 1)
			text[strlen(text) / 2] = '\0';	/* cut off */
		else
			memcpy(text + 40, "AAAAAAAA", 8);	/* no ASN.1 */
		k.cert = file_of("c.pem", text);
		assert_int_equal(tls_keypair_check(&k, error, warning), -1);
		assert_memory_equal(error, start, sizeof(start) - 1);
		assert_null(strstr(error, "unknown reason"));
		free(text);
	}
}

static void
test_expiry(void **state)
{
	struct tls_keypair k = pair_of(OLD);

	(void)state;
	check(&k, NULL, "tls: certificate 'c.pem' expired on 20");
	k = pair_of(SOON);
	check(&k, NULL, "tls: certificate 'c.pem' expires on 20");
}

/* ---- whole servers ---- */

static void
refused(const struct tls_server_conf *conf, const char *want, int want_index)
{
	char error[TLS_ERROR], warning[TLS_ERROR];
	int index = 99;
	struct tls_server *s = tls_server_new(conf, error, &index, warning);

	assert_null(s);
	assert_string_equal(error, want);
	assert_int_equal(index, want_index);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
test_server(void **state)
{
	static const char *const a[] = { "A.test." }, *const all[] = { "*" };
	struct tls_keypair main_pair = pair_of(GOOD);
	struct tls_keypair sni[2] = { pair_of(OTHER), pair_of(NAMELESS) };
	struct tls_server_conf conf = { .main = &main_pair, .sni = sni,
	    .nsni = 2, .lifetime = 7200 };
	char error[TLS_ERROR], warning[TLS_ERROR];
	struct tls_server *s;
	int index;

	(void)state;
	refused(&conf, "tls sni: no name in certificate 'c.pem'", 2);
	sni[1].names = a;
	sni[1].nnames = 1;
	refused(&conf, "tls sni: 'a.test' given twice for ECDSA keys", 2);
	sni[1].names = all;
	s = tls_server_new(&conf, error, &index, warning);
	assert_non_null(s);
	tls_server_unref(s);
	sni[0].key = file_of("k.pem", certs[GOOD].key_pem);
	refused(&conf, "tls: key 'k.pem' does not match certificate 'c.pem'",
	    1);
	conf.nsni = 0;
	conf.ciphers = "NOSUCH:!X";
	refused(&conf, "tls ciphers: no usable cipher in 'NOSUCH:!X'", -1);
	conf.ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
	conf.suites = "TLS_NOSUCH";
	refused(&conf, "tls cipher-suites: no usable cipher in 'TLS_NOSUCH'",
	    -1);
	conf.suites = "";
	refused(&conf, "tls cipher-suites: no usable cipher in ''", -1);
	conf.suites = "TLS_AES_256_GCM_SHA384";
	s = tls_server_new(&conf, error, &index, warning);
	assert_non_null(s);
	tls_server_unref(s);
	conf.psk = file_of("psk", "# x\na:b\n");
	refused(&conf, "tls psk-file: line 2: key has an odd number of digits",
	    -1);
	conf.psk = (struct tls_file){ .name = NULL };
	conf.verify = TLS_VERIFY_REQUIRED;
	conf.ca = file_of("ca.pem", "nothing");
	refused(&conf, "tls: cannot load authorities 'ca.pem': "
	    "no certificate in it", -1);
}

static void
test_client(void **state)
{
	struct tls_keypair own = pair_of(LOCKED);
	struct tls_client_conf conf = { .verify = true, .name = "a.test",
	    .ca = file_of("ca.pem", "nothing"), .own = &own };
	char error[TLS_ERROR];
	struct tls_client *c;

	(void)state;
	assert_null(tls_client_new(&conf, error));
	assert_string_equal(error, "tls: cannot load authorities 'ca.pem': "
	    "no certificate in it");
	conf.ca = file_of("ca.pem", certs[GOOD].pem);
	assert_null(tls_client_new(&conf, error));
	assert_string_equal(error,
	    "tls: cannot load key 'k.pem': wrong passphrase or format");
	own.passphrase = "12345";
	c = tls_client_new(&conf, error);
	assert_non_null(c);
	tls_client_unref(c);
	/* the system's authorities, where it has none */
	setenv("SSL_CERT_FILE", "/nonexistent/file", 1);
	setenv("SSL_CERT_DIR", "/nonexistent/dir", 1);
	conf.ca = (struct tls_file){ .name = NULL };
	assert_null(tls_client_new(&conf, error));
	assert_string_equal(error,
	    "tls: cannot load authorities: the system has none");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
