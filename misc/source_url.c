/*
 * The bundle: what is known of documents that came by URL. What the server
 * said of one, and its signature, is a record of its own beside the text.
 * Nothing is fetched here, since workers of others have this, too.
 */
#include <stddef.h>
#include <string.h>

#include "fetch.h"
#include "sign.h"
#include "source_impl.h"

/* On record: this, then four texts, each with its NUL; "" is none. */
struct meta_head {
	int64_t		fetched;
	uint32_t	copy, has_signature;
	uint8_t		signature[SIGN_SIZE];
};

enum { META_ETAG, META_MODIFIED, META_KEY, META_WARNING, META_TEXTS };

static const char *
text_or_null(const char *text)
{
	return *text == '\0' ? NULL : text;
}

bool
source_meta(const struct source *s, const char *url, struct source_meta *m)
{
	const struct record *r = source_record_find(s, RECORD_META, url);
	const char *texts[META_TEXTS], *p, *end;
	struct meta_head head;

	if (r == NULL || r->len < sizeof head)
		return false;
	memcpy(&head, r->data, sizeof head);
	p = r->data + sizeof head;
	end = r->data + r->len;
	for (int i = 0; i < META_TEXTS; i++) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (nul == NULL)
			return false;
		texts[i] = p;
		p = nul + 1;
	}
	*m = (struct source_meta){
		.etag = text_or_null(texts[META_ETAG]),
		.modified = text_or_null(texts[META_MODIFIED]),
		.key = text_or_null(texts[META_KEY]),
		.warning = text_or_null(texts[META_WARNING]),
		.signature = head.has_signature == 0 ? NULL :
		    (const uint8_t *)r->data +
		    offsetof(struct meta_head, signature),
		.fetched = head.fetched, .copy = head.copy != 0,
	};
	return true;
}

static size_t
text_put(char *to, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len > 0)
		memcpy(to, text, len);
	to[len] = '\0';
	return len + 1;
}

void
source_meta_set(struct source *s, const char *url, const struct document *d,
    const char *key, const char *warning, bool copy)
{
	struct record *r = source_record_find(s, RECORD_META, url);
	const char *const texts[META_TEXTS] = { [META_ETAG] = d->etag,
	    [META_MODIFIED] = d->modified, [META_KEY] = key,
	    [META_WARNING] = warning };
	struct meta_head head = { .fetched = d->fetched, .copy = copy,
	    .has_signature = d->has_signature };
	size_t len = sizeof head;
	char *data;

	memcpy(head.signature, d->signature, SIGN_SIZE);
	for (int i = 0; i < META_TEXTS; i++)
		len += (texts[i] == NULL ? 0 : strlen(texts[i])) + 1;
	data = arena_alloc(s->arena, len + 1);
	memcpy(data, &head, sizeof head);
	len = sizeof head;
	for (int i = 0; i < META_TEXTS; i++)
		len += text_put(data + len, texts[i]);
	if (r == NULL)
		r = source_record_new(s, RECORD_META, url);
	r->data = data;
	r->len = len;
}

const char *
source_url_next(const struct source *s, const char *url)
{
	bool behind = url == NULL;

	for (const struct record *r = s->first; r != NULL; r = r->next) {
		if (r->kind != RECORD_META)
			continue;
		if (behind)
			return r->name;
		behind = strcmp(r->name, url) == 0;
	}
	return NULL;
}
