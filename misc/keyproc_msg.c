/*
 * What workers and their key process say to each other, and what may be
 * signed at all. Pure: everything here may come from a worker that was taken
 * over.
 */
#include <string.h>
#include <strings.h>

#include "keyproc.h"

/* ---- messages ---- */

static int
next_take(const uint8_t **p, size_t *n, void *head, size_t size)
{
	if (*n == 0)
		return 0;
	if (*n < size)
		return -1;
	memcpy(head, *p, size);
	*p += size;
	*n -= size;
	return 1;
}

int
keyproc_request_next(const uint8_t **p, size_t *n, struct keyproc_request *r,
    const uint8_t **bytes)
{
	int got = next_take(p, n, r, sizeof(*r));

	if (got != 1)
		return got;
	if (r->len > *n || r->len > KEYPROC_BYTES ||
	    r->slot >= KEYPROC_SLOTS || r->hash >= KEYPROC_HASHES ||
	    r->padding >= KEYPROC_PADDINGS)
		return -1;
	*bytes = *p;
	*p += r->len;
	*n -= r->len;
	return 1;
}

int
keyproc_answer_next(const uint8_t **p, size_t *n, struct keyproc_answer *a,
    const uint8_t **bytes)
{
	int got = next_take(p, n, a, sizeof(*a));

	if (got != 1)
		return got;
	if (a->len > *n || a->len > KEYPROC_SIGNATURE ||
	    a->slot >= KEYPROC_SLOTS)
		return -1;
	*bytes = *p;
	*p += a->len;
	*n -= a->len;
	return 1;
}

/* ---- hashes ---- */

static const char *const hash_names[KEYPROC_HASHES][2] = {
	[KEYPROC_NO_HASH] = { "", "UNDEF" },
	[KEYPROC_SHA224] = { "SHA2-224", "SHA224" },
	[KEYPROC_SHA256] = { "SHA2-256", "SHA256" },
	[KEYPROC_SHA384] = { "SHA2-384", "SHA384" },
	[KEYPROC_SHA512] = { "SHA2-512", "SHA512" },
};

const char *
keyproc_hash_name(unsigned hash)
{
	return hash > KEYPROC_NO_HASH && hash < KEYPROC_HASHES ?
	    hash_names[hash][0] : NULL;
}

enum keyproc_hash
keyproc_hash_find(const char *name)
{
	unsigned hash = KEYPROC_NO_HASH;

	while (name != NULL && hash < KEYPROC_HASHES &&
	    strcasecmp(name, hash_names[hash][0]) != 0 &&
	    strcasecmp(name, hash_names[hash][1]) != 0)
		hash++;
	return hash;
}

/* ---- forms ---- */

/* RFC 8446, 4.4.3: 64 spaces, the context, a NUL, a hash of the handshake. */
static bool
is_tls13(const uint8_t *p, size_t n, const char *context)
{
	size_t len = strlen(context) + 1;

	if (n != 64 + len + 32 && n != 64 + len + 48)
		return false;
	for (size_t i = 0; i < 64; i++)
		if (p[i] != ' ')
			return false;
	return memcmp(p + 64, context, len) == 0;
}

static bool
is_server_13(const uint8_t *p, size_t n)
{
	return is_tls13(p, n, "TLS 1.3, server CertificateVerify");
}

static bool
is_client_13(const uint8_t *p, size_t n)
{
	return is_tls13(p, n, "TLS 1.3, client CertificateVerify");
}

/* RFC 8422, 5.4: named curve, its number, a point. */
static bool
is_ecdhe(const uint8_t *p, size_t n)
{
	return n > 4 && p[0] == 3 && p[3] == n - 4;
}

/* RFC 5246, 7.4.3: p, g and Ys, each with its length. */
static bool
is_dhe(const uint8_t *p, size_t n)
{
	for (int i = 0; i < 3; i++) {
		size_t len;

		if (n < 2)
			return false;
		len = (size_t)(p[0] << 8 | p[1]);
		if (len == 0 || len > n - 2)
			return false;
		p += 2 + len;
		n -= 2 + len;
	}
	return n == 0;
}

/* RFC 5246, 7.4.3: both randoms, then the parameters. */
static bool
is_server_12(const uint8_t *p, size_t n)
{
	return n > 64 && (is_ecdhe(p + 64, n - 64) || is_dhe(p + 64, n - 64));
}

/* RFC 5246, 7.4.8: all messages so far, ClientHello to ClientKeyExchange. */
static bool
is_client_12(const uint8_t *p, size_t n)
{
	uint8_t type = 0;

	if (n == 0 || p[0] != 1)
		return false;
	while (n > 0) {
		size_t len;

		if (n < 4)
			return false;
		type = p[0];
		len = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		if (len > n - 4)
			return false;
		p += 4 + len;
		n -= 4 + len;
	}
	return type == 16;
}

static const struct {
	unsigned	  use;
	bool		(*is)(const uint8_t *, size_t);
} forms[] = {
	{ KEYPROC_SERVER_13, is_server_13 },
	{ KEYPROC_CLIENT_13, is_client_13 },
	{ KEYPROC_SERVER_12, is_server_12 },
	{ KEYPROC_CLIENT_12, is_client_12 },
};

unsigned
keyproc_form(unsigned uses, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (uses & forms[i].use && forms[i].is(p, n))
			return forms[i].use;
	return 0;
}
