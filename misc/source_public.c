/*
 * The bundle: what is known of a file with a private key to those who do not
 * get the key.
 */
#include <string.h>

#include "hash.h"
#include "source_impl.h"

#define BEGIN	"-----BEGIN "
#define END	"-----END "
#define CERT	"CERTIFICATE-----"

/* Where the line behind p begins, or the end. */
static const char *
line_next(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	return nl == NULL ? end : nl + 1;
}

static bool
line_begins(const char *p, const char *end, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(end - p) >= len && memcmp(p, what, len) == 0;
}

static bool
line_has(const char *p, const char *next, const char *what)
{
	return memmem(p, (size_t)(next - p), what, strlen(what)) != NULL;
}

/* Certificates and the lines around them, one behind the other. to has room
 * for all of it. */
static size_t
certificates_copy(char *to, const char *p, const char *end)
{
	bool within = false;
	const char *next;
	size_t n = 0;

	for (; p < end; p = next) {
		next = line_next(p, end);
		if (line_begins(p, end, BEGIN))
			within = line_has(p, next, CERT);
		if (!within)
			continue;
		memcpy(to + n, p, (size_t)(next - p));
		n += (size_t)(next - p);
		if (line_begins(p, end, END))
			within = false;
	}
	return n;
}

int
source_public(struct source *s, const char *name, const char **data,
    size_t *len)
{
	struct record *r = source_record_find(s, RECORD_PUBLIC, name);
	char *copy;

	if (r == NULL) {
		if (source_file(s, SOURCE_CERT, name, data, len) == -1)
			return -1;
		r = source_record_new(s, RECORD_PUBLIC, name);
		copy = arena_alloc(s->arena, *len + 1);
		r->len = certificates_copy(copy, *data, *data + *len);
		copy[r->len] = '\0';
		r->data = copy;
	}
	*data = r->data;
	*len = r->len;
	return 0;
}

int
source_file_digest(struct source *s, const char *name, uint8_t digest[32])
{
	struct record *r = source_record_find(s, RECORD_DIGEST, name);
	struct hash *h;
	const char *data;
	size_t len;

	if (r == NULL) {
		if (source_file(s, SOURCE_CERT, name, &data, &len) == -1)
			return -1;
		h = hash_new();
		hash_add(h, data, len);
		hash_end(h, digest);
		r = source_record_new(s, RECORD_DIGEST, name);
		source_record_set(s, r, digest, HASH_SIZE);
	}
	memset(digest, 0, HASH_SIZE);
	memcpy(digest, r->data, r->len < HASH_SIZE ? r->len : HASH_SIZE);
	return 0;
}
