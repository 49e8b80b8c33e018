/*
 * The bundle: documents are fetched, held to their signatures, and replaced
 * by their copies when that fails. A source only does so after
 * source_fetches().
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch.h"
#include "sign.h"
#include "source_impl.h"
#include "str.h"
#include "url.h"

#define LIMIT		(16u * 1024 * 1024)
#define TIMEOUT		28000	/* ms for all of a source: whoever waits for
				   us gives up after 30 s */

static int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The library looks for these where getenv(3) does: what the configuration
 * has set by now counts. */
static void
environment_set(struct source *s)
{
	static const char *const names[] = { "http_proxy", "https_proxy",
	    "HTTPS_PROXY", "ftp_proxy", "FTP_PROXY", "all_proxy",
	    "ALL_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE",
	    "SSL_CERT_DIR", "HOME" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *value = source_getenv(s, names[i]);

		if (value == NULL)
			(void)unsetenv(names[i]);
		else
			(void)setenv(names[i], value, 1);
	}
}

static enum fetch_result
fetch_one(struct source *s, struct fetch_request *q, struct document *d,
    char reason[static FETCH_REASON])
{
	int64_t now = clock_ms();

	if (s->fetch_end == 0)
		s->fetch_end = now + TIMEOUT;
	if (now >= s->fetch_end) {
		snprintf(reason, FETCH_REASON, "no time left, all "
		    "documents together took more than %d s",
		    TIMEOUT / 1000);
		return FETCH_FAILED;
	}
	q->timeout = (int)(s->fetch_end - now);
	return fetch_document(q, d, reason);
}

static char *
text_copy(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

/* The document as an earlier source has it. */
static bool
previous_take(const struct source *from, const char *url,
    struct document *d)
{
	const struct record *r = from == NULL ? NULL :
	    source_record_find(from, RECORD_FILE, url);
	struct source_meta m;

	if (r == NULL || r->error != 0 || r->sub != SOURCE_TEXT ||
	    !source_meta(from, url, &m))
		return false;
	*d = (struct document){ .len = r->len, .fetched = m.fetched,
	    .etag = text_copy(m.etag), .modified = text_copy(m.modified),
	    .has_signature = m.signature != NULL };
	if (m.signature != NULL)
		memcpy(d->signature, m.signature, SIGN_SIZE);
	if ((d->text = malloc(r->len + 1)) != NULL) {
		memcpy(d->text, r->data, r->len + 1);
		return true;
	}
	document_clear(d);
	return false;
}

/* From the server, or the previous one if that is still right. */
static bool
document_fetch(struct source *s, const char *url, struct document *d,
    char reason[static FETCH_REASON])
{
	struct document before;
	bool have = previous_take(s->fetching.previous, url, &before);
	struct fetch_request q = { .url = url, .limit = LIMIT,
	    .etag = have ? before.etag : NULL,
	    .modified = have ? before.modified : NULL };
	enum fetch_result result = fetch_one(s, &q, d, reason);

	if (result == FETCH_SAME) {
		*d = before;
		d->fetched = time(NULL);
		return true;
	}
	if (have)
		document_clear(&before);
	if (result == FETCH_FAILED)
		return false;
	if (d->len == 0)
		snprintf(reason, FETCH_REASON, "empty");
	else if (memchr(d->text, '\0', d->len) != NULL)
		snprintf(reason, FETCH_REASON,
		    "not a text, it has NUL bytes");
	else
		return true;
	document_clear(d);
	return false;
}

/* ---- signatures ---- */

static bool
signature_good(struct source *s, const struct document *d, const char *key,
    char reason[static FETCH_REASON])
{
	const char *pem;
	size_t len;

	if (source_file(s, SOURCE_CERT, key, &pem, &len) == -1) {
		snprintf(reason, FETCH_REASON, "cannot read key '%.200s'",
		    key);
		return false;
	}
	switch (sign_check(pem, len, d->signature, d->text, d->len)) {
	case SIGN_GOOD:
		return true;
	case SIGN_BAD:
		snprintf(reason, FETCH_REASON, "no valid signature");
		break;
	case SIGN_NO_KEY:
		snprintf(reason, FETCH_REASON,
		    "no Ed25519 public key in '%.200s'", key);
		break;
	case SIGN_UNABLE:
		snprintf(reason, FETCH_REASON,
		    "signatures cannot be checked by this build");
		break;
	}
	return false;
}

static bool
signature_fetch(struct source *s, const char *url, struct document *d,
    char reason[static FETCH_REASON])
{
	char *name = url_signature(url), why[FETCH_REASON] = "out of memory";
	struct fetch_request q = { .url = name, .limit = SIGN_SIZE };
	struct document sig = { .len = 0 };

	if (name != NULL && fetch_one(s, &q, &sig, why) == FETCH_OK) {
		if (sig.len == SIGN_SIZE)
			memcpy(d->signature, sig.text, SIGN_SIZE);
		d->has_signature = sig.len == SIGN_SIZE;
		snprintf(why, sizeof why, "%zu bytes, not %d", sig.len,
		    SIGN_SIZE);
	}
	free(name);
	document_clear(&sig);
	if (!d->has_signature)
		snprintf(reason, FETCH_REASON,
		    "no valid signature (%.400s)", why);
	return d->has_signature;
}

/* The signature that came with the text, perhaps earlier, else the one that
 * is there now. */
static bool
document_verify(struct source *s, const char *url, struct document *d,
    const char *key, char reason[static FETCH_REASON])
{
	if (key == NULL)
		return true;
	if (d->has_signature && signature_good(s, d, key, reason))
		return true;
	d->has_signature = false;
	return signature_fetch(s, url, d, reason) &&
	    signature_good(s, d, key, reason);
}

/* ---- the copy ---- */

static const struct {
	int64_t		 seconds;
	const char	*name;
} units[] = {
	{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" },
};

/* The two largest units. */
static void
age_show(struct str *to, int64_t age)
{
	int shown = 0;

	if (age < 0)
		age = 0;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		int64_t n = age / units[i].seconds;

		age %= units[i].seconds;
		if (n == 0 && (shown == 0 && units[i].seconds > 1))
			continue;
		if (n > 0 || shown == 0)
			str_add(to, "%s%" PRId64 " %s%s", shown > 0 ? " " :
			    "", n, units[i].name, n == 1 ? "" : "s");
		if (++shown == 2)
			break;
	}
}

static char *
copy_warning(struct source *s, const char *url, const struct document *d,
    const char *reason)
{
	char text[2048], when[64] = "an unknown time", shown[URL_SHOWN];
	time_t fetched = (time_t)d->fetched;
	struct tm tm;
	struct str to;

	if (gmtime_r(&fetched, &tm) != NULL)
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
	str_init(&to, text, sizeof text);
	str_add(&to, "cannot fetch %s: %s; using the copy of %s, ",
	    url_show(url, shown), reason, when);
	age_show(&to, (int64_t)time(NULL) - d->fetched);
	str_add(&to, " old");
	return arena_strdup(s->arena, text);
}

/* false: reason says why that does not help either. */
static bool
copy_take(struct source *s, const char *url, struct document *d,
    const char *key, char reason[static FETCH_REASON])
{
	const struct source_fetching *f = &s->fetching;
	char why[FETCH_REASON] = "";
	size_t len = strlen(reason);

	if (f->copy == NULL)
		return false;
	if (!f->copy(f->ctx, url, d, why, sizeof why)) {
		*d = (struct document){ .len = 0 };
	} else if (key == NULL || (d->has_signature &&
	    signature_good(s, d, key, why))) {
		return true;
	} else {
		document_clear(d);
		snprintf(why, sizeof why, "no valid signature");
	}
	if (*why != '\0')
		snprintf(reason + len, FETCH_REASON - len,
		    "; the copy cannot be used: %.200s", why);
	return false;
}

/* ---- records ---- */

static struct record *
url_gather(struct source *s, const char *url, const char *key)
{
	char reason[FETCH_REASON] = "", *warning = NULL;
	struct document d = { .len = 0 };
	struct record *r;
	bool good;

	environment_set(s);
	good = document_fetch(s, url, &d, reason);
	if (good && !document_verify(s, url, &d, key, reason)) {
		document_clear(&d);
		good = false;
	}
	if (!good) {
		char first[FETCH_REASON];

		memcpy(first, reason, sizeof first);
		if (!copy_take(s, url, &d, key, reason))
			return source_record_fail(s, url, reason);
		warning = copy_warning(s, url, &d, first);
	}
	r = source_record_new(s, RECORD_FILE, url);
	r->sub = SOURCE_TEXT;
	r->data = d.text;
	r->len = d.len;
	r->owned = true;
	source_meta_set(s, url, &d, key, warning, warning != NULL);
	d.text = NULL;
	document_clear(&d);
	return r;
}

/*
 * A document that is here already, named again. Whoever names it may ask for
 * a signature by another key.
 */
static void
url_hold(struct source *s, struct record *r, const char *key)
{
	char reason[FETCH_REASON] = "";
	struct source_meta m;
	struct document d;

	if (r->error != 0) {
		s->reason = r->data;
		return;
	}
	if (key == NULL || !source_meta(s, r->name, &m) ||
	    !previous_take(s, r->name, &d))
		return;
	if (document_verify(s, r->name, &d, key, reason))
		source_meta_set(s, r->name, &d, key, m.warning, m.copy);
	else
		s->reason = arena_strdup(s->arena, reason);
	document_clear(&d);
}

static struct record *
url_record(struct source *s, struct record *r, const char *url,
    const char *key)
{
	if (r == NULL)
		return url_gather(s, url, key);
	url_hold(s, r, key);
	return r;
}

void
source_fetches(struct source *s, const struct source_fetching *f)
{
	s->fetching = *f;
	s->fetch = url_record;
}

int
source_fetch_again(struct source *s, const char **failed)
{
	const struct source *before = s->fetching.previous;
	const char *url = NULL, *data;
	size_t len;
	int changed = 0;

	while ((url = source_url_next(before, url)) != NULL) {
		const struct record *r = source_record_find(before,
		    RECORD_FILE, url);
		struct source_meta m;

		*failed = url;
		if (!source_meta(before, url, &m))
			continue;
		if (source_document(s, url, m.key, &data, &len) == -1)
			return -1;
		if (r == NULL || r->len != len ||
		    memcmp(r->data, data, len) != 0)
			changed = 1;
	}
	return changed;
}
