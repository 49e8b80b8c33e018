/*
 * What a ClientHello says about names and keys, and the file of pre-shared
 * keys. The first byte says how the rest is cut.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "misc/tls_psk.h"
#include "misc/tls_sni.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char *const names[] = { "a.test", "*.b.test", "*" };
static const struct tls_sni_cert certs[] = {
	{ .names = &names[0], .nnames = 1, .type = TLS_KEY_RSA,
	    .offer = TLS_OFFER_RSA },
	{ .names = &names[1], .nnames = 1, .type = TLS_KEY_ECDSA,
	    .offer = TLS_OFFER_P256 },
	{ .names = &names[2], .nnames = 1, .type = TLS_KEY_ED25519,
	    .offer = TLS_OFFER_ED25519 },
};

static void
try_name(const uint8_t *p, size_t n, uint32_t offer)
{
	static struct tls_sni *table;
	const char *name = NULL;
	char twice_name[TLS_SNI_NAME];
	size_t twice, len = tls_sni_name(p, n, &name);

	if (table == NULL)
		table = tls_sni_new(certs, 3, &twice, twice_name);
	assert(len == 0 || (name >= (const char *)p &&
	    name + len <= (const char *)p + n));
	assert(tls_sni_pick(table, name, len, offer) < 3);
	/* any bytes as a name, and as one in a configuration */
	assert(tls_sni_pick(table, (const char *)p, n, offer) < 3);
	tls_sni_valid((const char *)p, n);
}

static void
try_psk(const uint8_t *p, size_t n)
{
	char error[TLS_PSK_ERROR];
	const uint8_t *key;
	struct tls_psk *psk = tls_psk_new((const char *)p, n, error);

	if (psk == NULL) {
		assert(strncmp(error, "line ", 5) == 0);
		return;
	}
	assert(tls_psk_find(psk, p, n, &key) <= TLS_PSK_KEY);
	tls_psk_free(psk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_sni_hello h = { .sigalgs = NULL };
	uint8_t *copy;
	size_t cut;

	if (size < 2)
		return 0;
	cut = (size_t)data[0] * (size - 1) / 255;
	size--;
	copy = malloc(size);		/* so that every byte over is seen */
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, size);
	h.sigalgs = copy;
	h.sigalgs_len = cut;
	h.versions = h.suites = copy + cut;
	h.versions_len = h.suites_len = size - cut;
	try_name(copy, size, tls_sni_offer(&h, data[0] & 1));
	try_psk(copy, size);
	free(copy);
	return 0;
}
