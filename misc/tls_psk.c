/*
 * Pre-shared keys of a file, sorted by identity. The key is what stands
 * behind the last colon of a line, so that an identity may contain some.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_psk.h"

struct key {
	char		*identity;
	size_t		 identity_len;
	unsigned	 line;
	uint8_t		 len;
	uint8_t		 bytes[TLS_PSK_KEY];
};

struct tls_psk {
	struct key	*keys;
	size_t		 n;
};

/* A write that the compiler cannot take for useless. */
static void
cleanse(void *p, size_t n)
{
	volatile uint8_t *v = p;

	while (n-- > 0)
		*v++ = 0;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int
key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->identity_len != y->identity_len)
		return x->identity_len < y->identity_len ? -1 : 1;
	return memcmp(x->identity, y->identity, x->identity_len);
}

/* NULL, or what is wrong with the key. */
static const char *
parse_key(struct key *k, const char *p, size_t len)
{
	if (len == 0)
		return "key missing";
	if (len > 2 * TLS_PSK_KEY)
		return "key longer than 64 bytes";
	for (size_t i = 0; i < len; i++)
		if (hex(p[i]) == -1)
			return "key is not hexadecimal";
	if (len % 2 != 0)
		return "key has an odd number of digits";
	for (size_t i = 0; i < len; i += 2)
		k->bytes[i / 2] = (uint8_t)(hex(p[i]) << 4 | hex(p[i + 1]));
	k->len = (uint8_t)(len / 2);
	return NULL;
}

static const char *
parse_line(struct key *k, const char *line, size_t len)
{
	size_t colon = len;

	while (colon > 0 && line[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return "no ':'";
	if (colon == 1)
		return "identity missing";
	if (colon - 1 > TLS_PSK_IDENTITY)
		return "identity longer than 255 bytes";
	if (memchr(line, '\0', colon) != NULL)
		return "NUL byte";
	k->identity_len = colon - 1;
	k->identity = strndup(line, k->identity_len);
	if (k->identity == NULL)
		return "out of memory";
	return parse_key(k, line + colon, len - colon);
}

static bool
add_line(struct tls_psk *p, unsigned number, const char *line, size_t len,
    char error[static TLS_PSK_ERROR])
{
	struct key *k = &p->keys[p->n];
	const char *reason;

	while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL &&
	    line[len - 1] != '\0')
		len--;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	if (len == 0 || *line == '#')
		return true;
	p->n++;			/* its identity is freed with the rest */
	k->line = number;
	reason = parse_line(k, line, len);
	if (reason == NULL)
		return true;
	snprintf(error, TLS_PSK_ERROR, "line %u: %s", number, reason);
	return false;
}

static bool
add_lines(struct tls_psk *p, const char *text, size_t len,
    char error[static TLS_PSK_ERROR])
{
	unsigned number = 0;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end != NULL ? (size_t)(end - text) : len;

		if (!add_line(p, ++number, text, n, error))
			return false;
		n += end != NULL;
		text += n;
		len -= n;
	}
	return true;
}

static bool
check_twice(const struct tls_psk *p, char error[static TLS_PSK_ERROR])
{
	for (size_t i = 1; i < p->n; i++) {
		const struct key *a = &p->keys[i - 1], *b = &p->keys[i];

		if (key_compare(a, b) != 0)
			continue;
		snprintf(error, TLS_PSK_ERROR,
		    "line %u: identity '%.60s' given twice",
		    a->line > b->line ? a->line : b->line, a->identity);
		return false;
	}
	return true;
}

static size_t
count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

struct tls_psk *
tls_psk_new(const char *text, size_t len, char error[static TLS_PSK_ERROR])
{
	struct tls_psk *p = calloc(1, sizeof(*p));

	snprintf(error, TLS_PSK_ERROR, "line 1: out of memory");
	if (p == NULL)
		return NULL;
	p->keys = calloc(count_lines(text, len), sizeof(*p->keys));
	if (p->keys == NULL || !add_lines(p, text, len, error))
		goto fail;
	if (p->n > 1)
		qsort(p->keys, p->n, sizeof(*p->keys), key_compare);
	if (!check_twice(p, error))
		goto fail;
	if (p->n == 0) {
		snprintf(error, TLS_PSK_ERROR, "line 1: no key in the file");
		goto fail;
	}
	return p;
fail:
	tls_psk_free(p);
	return NULL;
}

void
tls_psk_free(struct tls_psk *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++)
		free(p->keys[i].identity);
	if (p->keys != NULL)
		cleanse(p->keys, p->n * sizeof(*p->keys));
	free(p->keys);
	free(p);
}

size_t
tls_psk_find(const struct tls_psk *p, const void *identity, size_t len,
    const uint8_t **key)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct key *k = &p->keys[mid];
		int order = k->identity_len != len ?
		    (k->identity_len < len ? -1 : 1) :
		    memcmp(k->identity, identity, len);

		if (order == 0) {
			*key = k->bytes;
			return k->len;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return 0;
}
