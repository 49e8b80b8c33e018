/*
 * A copy as a file: lines of "name: value", an empty one, and the text as it
 * was received. Whoever reads it believes nothing of it.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/hash.h"
#include "../misc/url.h"
#include "store.h"

#define MAGIC		"spawnd copy 1\n"
#define HEAD_MAX	8192		/* bytes before the text */
#define TAG_MAX		512

static void
hex_put(char *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(to + 2 * i, 3, "%02x", from[i]);
}

static void
digest_hex(const void *data, size_t len, char to[static 2 * HASH_SIZE + 1])
{
	struct hash *h = hash_new();
	uint8_t digest[HASH_SIZE];

	hash_add(h, data, len);
	hash_end(h, digest);
	hex_put(to, digest, sizeof(digest));
}

void
store_name(const char *url, char name[static STORE_NAME])
{
	char hex[2 * HASH_SIZE + 1];

	digest_hex(url, strlen(url), hex);
	snprintf(name, STORE_NAME, "%s.conf", hex);
}

/* ---- writing ---- */

char *
store_head(const char *url, const struct document *d, size_t *len)
{
	char shown[URL_SHOWN], hex[2 * SIGN_SIZE + 1], *head = NULL;
	FILE *fp = open_memstream(&head, len);

	if (fp == NULL)
		return NULL;
	/* no passwords on the disk: the name of the file tells URLs apart */
	fprintf(fp, MAGIC "url: %.*s\nfetched: %" PRId64 "\n",
	    URL_SHOWN - 1, url_show(url, shown), d->fetched);
	if (d->etag != NULL)
		fprintf(fp, "etag: %s\n", d->etag);
	if (d->modified != NULL)
		fprintf(fp, "modified: %s\n", d->modified);
	if (d->has_signature) {
		hex_put(hex, d->signature, SIGN_SIZE);
		fprintf(fp, "signature: %s\n", hex);
	}
	digest_hex(d->text, d->len, hex);
	fprintf(fp, "digest: %s\nlength: %zu\n\n", hex, d->len);
	if (fclose(fp) == EOF) {
		free(head);
		return NULL;
	}
	return head;
}

/* ---- reading ---- */

/* Values point into a copy of the head. */
struct head {
	const char	*url, *fetched, *etag, *modified, *signature;
	const char	*digest, *length;
};

static const struct field {
	const char	*name;
	size_t		 offset;
} fields[] = {
	{ "url", offsetof(struct head, url) },
	{ "fetched", offsetof(struct head, fetched) },
	{ "etag", offsetof(struct head, etag) },
	{ "modified", offsetof(struct head, modified) },
	{ "signature", offsetof(struct head, signature) },
	{ "digest", offsetof(struct head, digest) },
	{ "length", offsetof(struct head, length) },
};

static bool
printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* "name: value"; each name at most once. */
static bool
line_parse(struct head *h, char *line)
{
	char *value = strstr(line, ": ");

	if (value == NULL)
		return false;
	*value = '\0';
	value += 2;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *before;

		if (strcmp(fields[i].name, line) != 0)
			continue;
		memcpy(&before, (char *)h + fields[i].offset, sizeof(before));
		if (before != NULL || *value == '\0' || !printable(value))
			return false;
		memcpy((char *)h + fields[i].offset, &value, sizeof(value));
		return true;
	}
	return false;
}

static bool
number_parse(const char *text, uint64_t max, uint64_t *to)
{
	*to = 0;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (*to > (max - digit) / 10)
			return false;
		*to = *to * 10 + digit;
	}
	return *text == '\0';
}

static bool
hex_parse(const char *text, uint8_t *to, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < 2 * len; i++) {
		const char *digit = strchr(digits, text[i]);

		if (digit == NULL)
			return false;
		to[i / 2] = (uint8_t)(to[i / 2] << 4 | (digit - digits));
	}
	return true;
}

static bool
tag_set(char **to, const char *text)
{
	if (text == NULL)
		return true;
	if (strlen(text) > TAG_MAX)
		return false;
	*to = strdup(text);
	return *to != NULL;
}

static bool
head_check(const struct head *h, const char *url, const char *text,
    size_t len, struct document *d)
{
	char shown[URL_SHOWN], whole[URL_SHOWN], hex[2 * HASH_SIZE + 1];
	uint64_t fetched, length;

	if (h->url == NULL || h->fetched == NULL || h->digest == NULL ||
	    h->length == NULL)
		return false;
	snprintf(whole, sizeof(whole), "%s", url_show(url, shown));
	if (strcmp(h->url, whole) != 0 ||
	    !number_parse(h->fetched, INT64_MAX, &fetched) ||
	    !number_parse(h->length, SIZE_MAX, &length) || length != len ||
	    len == 0 || memchr(text, '\0', len) != NULL)
		return false;
	digest_hex(text, len, hex);
	if (strcmp(hex, h->digest) != 0)
		return false;
	d->fetched = (int64_t)fetched;
	d->has_signature = h->signature != NULL;
	return (h->signature == NULL ||
	    hex_parse(h->signature, d->signature, SIGN_SIZE)) &&
	    tag_set(&d->etag, h->etag) && tag_set(&d->modified, h->modified);
}

/* Of what stands before the empty line; copy is cut into lines. */
static bool
head_parse(struct head *h, char *copy)
{
	for (char *line = copy, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (!line_parse(h, line))
			return false;
	}
	return true;
}

bool
store_parse(const char *url, const char *data, size_t len,
    struct document *d)
{
	const size_t magic = sizeof(MAGIC) - 1;
	const char *end;
	struct head h = { .url = NULL };
	char *copy;
	bool good;

	*d = (struct document){ .len = 0 };
	if (len < magic || memcmp(data, MAGIC, magic) != 0)
		return false;
	data += magic;
	len -= magic;
	end = memmem(data, len < HEAD_MAX ? len : HEAD_MAX, "\n\n", 2);
	if (end == NULL || memchr(data, '\0', (size_t)(end - data)) != NULL ||
	    (copy = strndup(data, (size_t)(end - data))) == NULL)
		return false;
	end += 2;
	len -= (size_t)(end - data);
	good = head_parse(&h, copy) && head_check(&h, url, end, len, d);
	free(copy);
	if (good && (d->text = malloc(len + 1)) != NULL) {
		memcpy(d->text, end, len);
		d->text[len] = '\0';
		d->len = len;
		return true;
	}
	document_clear(d);
	return false;
}
