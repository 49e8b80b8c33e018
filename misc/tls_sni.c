/*
 * Which certificate for which client. All names stand in one sorted table,
 * lower case and without a dot at the end: an exact name as it is, "*.b" as
 * ".b" (which no name can be), "*" and the main certificate as "". So a
 * choice is at most three binary searches, whatever the number of names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls_sni.h"

struct entry {
	char			*name;
	size_t			 cert;
	uint32_t		 offer;
	enum tls_key_type	 type;
	bool			 main;
};

struct tls_sni {
	struct entry	*entries;
	size_t		 n;
};

const char *
tls_key_type_text(enum tls_key_type type)
{
	switch (type) {
	case TLS_KEY_ECDSA:
		return "ECDSA";
	case TLS_KEY_ED25519:
		return "Ed25519";
	case TLS_KEY_ED448:
		return "Ed448";
	case TLS_KEY_RSA:
		return "RSA";
	}
	return "unknown";
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The name as the table has it; false: too long to be one. */
static bool
fold(const char *name, size_t len, char out[static TLS_SNI_NAME])
{
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len >= TLS_SNI_NAME || memchr(name, '\0', len) != NULL)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = lower(name[i]);
	out[len] = '\0';
	return true;
}

/* "*.b" becomes ".b", "*" becomes "". */
static bool
fold_pattern(const char *name, char out[static TLS_SNI_NAME])
{
	if (*name == '*')
		name++;
	return fold(name, strlen(name), out);
}

bool
tls_sni_valid(const char *name, size_t len)
{
	size_t label = 0;

	if (len == 1 && name[0] == '*')
		return true;
	if (len > 2 && name[0] == '*' && name[1] == '.') {
		name += 2;
		len -= 2;
	}
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = lower(name[i]);

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0;
}

/* By name; those of one name in the order of preference. */
static int
entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order != 0)
		return order;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->main != y->main)
		return x->main ? -1 : 1;
	return x->cert < y->cert ? -1 : x->cert > y->cert;
}

static int
entry_add(struct tls_sni *t, const struct tls_sni_cert *c, size_t cert,
    const char *name)
{
	char folded[TLS_SNI_NAME];
	struct entry *e = &t->entries[t->n];

	if (!fold_pattern(name, folded)) {
		errno = EINVAL;
		return -1;
	}
	e->name = strdup(folded);
	if (e->name == NULL)
		return -1;
	e->cert = cert;
	e->offer = c->offer;
	e->type = c->type;
	e->main = c->main;
	t->n++;
	return 0;
}

/* Two entries of one name and type that the client cannot choose between. */
static const struct entry *
find_twice(const struct tls_sni *t)
{
	for (size_t i = 1; i < t->n; i++) {
		const struct entry *a = &t->entries[i - 1];
		const struct entry *b = &t->entries[i];

		if (strcmp(a->name, b->name) == 0 && a->type == b->type &&
		    a->main == b->main && a->cert != b->cert)
			return b;
	}
	return NULL;
}

static void
tell_twice(const struct entry *e, size_t *twice,
    char name[static TLS_SNI_NAME])
{
	size_t len = strlen(e->name);
	bool pattern = len == 0 || e->name[0] == '.';

	if (pattern && len + 2 > TLS_SNI_NAME)
		len = TLS_SNI_NAME - 2;
	if (pattern)
		name[0] = '*';
	memcpy(name + pattern, e->name, len);
	name[len + pattern] = '\0';
	*twice = e->cert;
}

struct tls_sni *
tls_sni_new(const struct tls_sni_cert *certs, size_t n, size_t *twice,
    char name[static TLS_SNI_NAME])
{
	struct tls_sni *t = calloc(1, sizeof(*t));
	const struct entry *same;
	size_t max = 0;

	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		max += certs[i].nnames + 1;
	t->entries = calloc(max + 1, sizeof(*t->entries));
	if (t->entries == NULL)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		if (certs[i].main && entry_add(t, &certs[i], i, "*") == -1)
			goto fail;
		for (size_t j = 0; (!certs[i].main || certs[i].named) &&
		    j < certs[i].nnames; j++)
			if (entry_add(t, &certs[i], i,
			    certs[i].names[j]) == -1)
				goto fail;
	}
	qsort(t->entries, t->n, sizeof(*t->entries), entry_compare);
	same = twice != NULL ? find_twice(t) : NULL;
	if (same != NULL) {
		tell_twice(same, twice, name);
		tls_sni_free(t);
		errno = EEXIST;
		return NULL;
	}
	return t;
fail:
	tls_sni_free(t);
	return NULL;
}

void
tls_sni_free(struct tls_sni *t)
{
	int saved = errno;

	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->entries[i].name);
	free(t->entries);
	free(t);
	errno = saved;
}

/* The best of those with this name: the first one that the client can check,
 * else the last (RSA, if there is one), and let the handshake tell. */
static size_t
pick_named(const struct tls_sni *t, const char *name, uint32_t offer)
{
	size_t lo = 0, hi = t->n, last = TLS_SNI_NONE;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(t->entries[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < t->n && strcmp(t->entries[lo].name, name) == 0; lo++) {
		last = t->entries[lo].cert;
		if ((t->entries[lo].offer & offer) != 0)
			return last;
	}
	return last;
}

size_t
tls_sni_pick(const struct tls_sni *t, const char *name, size_t len,
    uint32_t offer)
{
	char folded[TLS_SNI_NAME];
	size_t cert = TLS_SNI_NONE;
	const char *dot;

	/* A leading dot would find the table's form of a pattern. */
	if (len > 0 && *name != '.' && fold(name, len, folded) &&
	    folded[0] != '\0') {
		cert = pick_named(t, folded, offer);
		dot = strchr(folded, '.');
		if (cert == TLS_SNI_NONE && dot != NULL)
			cert = pick_named(t, dot, offer);
	}
	if (cert == TLS_SNI_NONE)
		cert = pick_named(t, "", offer);
	return cert;
}

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* RFC 6066, 3: a list of names, at most one of each type. */
size_t
tls_sni_name(const uint8_t *p, size_t len, const char **name)
{
	size_t list, n;

	if (p == NULL || len < 2 || (list = get16(p)) != len - 2)
		return 0;
	p += 2;
	while (list >= 3) {
		n = get16(p + 1);
		if (n > list - 3)
			return 0;
		if (p[0] == 0) {
			*name = (const char *)p + 3;
			return n;
		}
		p += 3 + n;
		list -= 3 + n;
	}
	return 0;
}

/* RFC 8446, 4.2.3. With SHA-1 only TLS 1.2 could use a key, and we do not. */
static const struct { uint16_t code; uint8_t offer; } sigalgs[] = {
	{ 0x0403, TLS_OFFER_P256 }, { 0x0503, TLS_OFFER_P384 },
	{ 0x0603, TLS_OFFER_P521 }, { 0x0807, TLS_OFFER_ED25519 },
	{ 0x0808, TLS_OFFER_ED448 }, { 0x0401, TLS_OFFER_RSA },
	{ 0x0501, TLS_OFFER_RSA }, { 0x0601, TLS_OFFER_RSA },
	{ 0x0804, TLS_OFFER_RSA }, { 0x0805, TLS_OFFER_RSA },
	{ 0x0806, TLS_OFFER_RSA }, { 0x0809, TLS_OFFER_RSA_PSS },
	{ 0x080a, TLS_OFFER_RSA_PSS }, { 0x080b, TLS_OFFER_RSA_PSS },
};

static uint32_t
offer_of(const uint8_t *p, size_t len)
{
	uint32_t offer = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		for (size_t j = 0; j < sizeof(sigalgs) / sizeof(*sigalgs); j++)
			if (sigalgs[j].code == get16(p + i))
				offer |= sigalgs[j].offer;
	return offer;
}

/* Suites of TLS 1.2 that are signed with a key of an elliptic curve. */
static bool
suite_ecdsa(unsigned suite)
{
	switch (suite) {
	case 0xc006: case 0xc007: case 0xc008: case 0xc009: case 0xc00a:
	case 0xc023: case 0xc024: case 0xc02b: case 0xc02c: case 0xc048:
	case 0xc049: case 0xc05c: case 0xc05d: case 0xc072: case 0xc073:
	case 0xc086: case 0xc087: case 0xc0ac: case 0xc0ad: case 0xc0ae:
	case 0xc0af: case 0xcca9:
		return true;
	}
	return false;
}

/* RFC 8446, 4.2.1: a byte of length, then versions. */
static bool
offers_tls13(const struct tls_sni_hello *h)
{
	if (h->versions == NULL)
		return false;
	for (size_t i = 1; i + 1 < h->versions_len; i += 2)
		if (get16(h->versions + i) == 0x0304)
			return true;
	return false;
}

uint32_t
tls_sni_offer(const struct tls_sni_hello *h, bool tls13)
{
	uint32_t offer;

	/* RFC 5246, 7.4.1.4.1: without the extension SHA-1, and whoever is
	 * that old has RSA. */
	if (h->sigalgs == NULL || h->sigalgs_len < 2 ||
	    get16(h->sigalgs) != h->sigalgs_len - 2)
		return TLS_OFFER_RSA;
	offer = offer_of(h->sigalgs + 2, h->sigalgs_len - 2);
	if (tls13 && offers_tls13(h))
		return offer;

	/* In TLS 1.2 a hash does not name a curve (RFC 8422, 5.1.1), but
	 * such keys need a suite of their own. */
	if ((offer & TLS_OFFER_ECDSA) != 0)
		offer |= TLS_OFFER_ECDSA;
	for (size_t i = 0; i + 1 < h->suites_len; i += 2)
		if (suite_ecdsa(get16(h->suites + i)))
			return offer;
	return offer & (TLS_OFFER_RSA | TLS_OFFER_RSA_PSS);
}
