/*
 * Certificates that a relayd.conf names: what is wrong in them is told when
 * it is read, and a change of theirs is a change of the configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relayd/rd_conf.h"
#include "tls_certs.h"

#define TEXT	"protocol \"p\" {\ntls keypair \"k\" key \"/key\"\n}\n" \
		"relay \"www\" { listen on 192.0.2.1 port 443 tls\n" \
		"protocol \"p\"\nforward to 10.0.0.1 }\n"

static struct cert good, other;

static int
setup(void **state)
{
	const struct cert_spec spec = { "P-256", "k", "DNS:k", NULL, 100,
	    false };

	(void)state;
	good = cert_make(&spec, NULL);
	other = cert_make(&spec, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cert_clear(&good);
	cert_clear(&other);
	return 0;
}

static struct rd_conf *
compile(const char *cert, const char *key, bool files, struct diag *d)
{
	const struct rd_request request = { .file = "/r.conf",
	    .files = files };
	struct source *s = source_empty();
	struct rd_conf *c;

	source_add(s, SOURCE_TEXT, "/r.conf", TEXT, strlen(TEXT));
	if (cert != NULL)
		source_add(s, SOURCE_CERT, "/etc/ssl/k:443.crt", cert,
		    strlen(cert));
	if (key != NULL)
		source_add(s, SOURCE_KEY, "/key", key, strlen(key));
	if ((c = rd_compile(&request, s, d)) == NULL)
		source_free(s);
	return c;
}

static void
refused(const char *cert, const char *key, const char *why)
{
	struct diag *d = diag_new();
	char text[512];

	assert_null(compile(cert, key, true, d));
	assert_string_equal(diag_first(d, text, sizeof text), why);
	diag_free(d);
}

#define WHERE	"/r.conf:2: cannot load keypair \"k\" for relay \"www\": "

static void
test_wrong(void **state)
{
	(void)state;
	refused(good.pem, other.key_pem, WHERE "key '/key' does not match "
	    "certificate '/etc/ssl/k:443.crt'");
	refused(good.pem, NULL, WHERE "/key: No such file or directory");
	refused(NULL, good.key_pem,
	    WHERE "/etc/ssl/k.crt: No such file or directory");
	refused("nonsense", good.key_pem, WHERE "cannot load certificate "
	    "'/etc/ssl/k:443.crt': no certificate in it");
}

static void
digest_of(const struct cert *c, bool files, uint8_t digest[32])
{
	struct diag *d = diag_new();
	struct rd_conf *conf = compile(c->pem, c->key_pem, files, d);

	assert_non_null(conf);
	memcpy(digest, conf->digest, 32);
	rd_conf_unref(conf);
	diag_free(d);
}

static void
test_digest(void **state)
{
	uint8_t a[32], again[32], b[32], without[32];

	(void)state;
	digest_of(&good, true, a);
	digest_of(&good, true, again);
	digest_of(&other, true, b);
	assert_memory_equal(a, again, sizeof a);
	assert_memory_not_equal(a, b, sizeof a);
	/* as long as nobody looks they are of no matter */
	digest_of(&good, false, b);
	digest_of(&other, false, without);
	assert_memory_equal(b, without, sizeof b);
}

/* A process that is given the bundle, with the secrets or without, comes to
 * the same configuration. */
static void
test_replay(void **state)
{
	const struct rd_request request = { .file = "/r.conf",
	    .files = true };
	struct diag *d = diag_new();
	struct rd_conf *first = compile(good.pem, good.key_pem, true, d);
	int bundle, secrets;

	(void)state;
	assert_non_null(first);
	assert_int_equal(source_save(first->source, &bundle, &secrets), 0);
	assert_int_not_equal(secrets, -1);
	for (int with = 0; with < 2; with++) {
		struct source *s = source_replay(bundle,
		    with ? secrets : -1);
		struct rd_conf *c;
		char why[512];

		assert_non_null(s);
		c = rd_compile(&request, s, d);
		if (c == NULL)
			fail_msg("%s", diag_first(d, why, sizeof why));
		assert_memory_equal(c->digest, first->digest,
		    sizeof c->digest);
		assert_string_equal(c->text, first->text);
		rd_conf_unref(c);
	}
	close(bundle);
	close(secrets);
	rd_conf_unref(first);
	diag_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
