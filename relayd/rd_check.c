/*
 * Health checks as written (2.4): their arguments, decoded.
 */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "rd_build_impl.h"

#define BINARY_MAX	127
#define MD5_DIGITS	32
#define SHA1_DIGITS	40

struct bytes {
	const uint8_t	*p;
	size_t		 len;
};

static int
digit(char c)
{
	const char *all = "0123456789abcdef";
	const char *at = c == '\0' ? NULL :
	    strchr(all, tolower((unsigned char)c));

	return at == NULL ? -1 : (int)(at - all);
}

static bool
binary_decode(struct rd_build *b, const struct rd_word *w, size_t max,
    struct bytes *out)
{
	size_t len = strlen(w->text);
	uint8_t *p;

	if (len == 0) {
		rd_error(b, &w->place, "binary data must not be empty");
		return false;
	}
	p = arena_alloc(b->arena, len / 2 + 1);
	for (size_t i = 0; i + 1 < len; i += 2) {
		int high = digit(w->text[i]), low = digit(w->text[i + 1]);

		if (high == -1 || low == -1) {
			len = 1;	/* as wrong as an odd number */
			break;
		}
		p[i / 2] = (uint8_t)(high * 16 + low);
	}
	if (len % 2 != 0) {
		rd_error(b, &w->place, "binary data must be an even number "
		    "of hexadecimal digits");
		return false;
	}
	if (len / 2 > max) {
		rd_error(b, &w->place, "binary data is longer than %zu bytes",
		    max);
		return false;
	}
	*out = (struct bytes){ p, len / 2 };
	return true;
}

/* \n and \r are what they are elsewhere, \ and anything else is that. */
static struct bytes
text_decode(struct rd_build *b, const char *text)
{
	uint8_t *p = arena_alloc(b->arena, strlen(text) + 1);
	size_t n = 0;

	for (; *text != '\0'; text++) {
		char c = *text;

		if (c == '\\' && text[1] != '\0') {
			c = *++text;
			c = c == 'n' ? '\n' : c == 'r' ? '\r' : c;
		}
		p[n++] = (uint8_t)c;
	}
	return (struct bytes){ p, n };
}

/* ---- the kinds: what is wrong, and how it is printed ---- */

static bool
plain_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	(void)b;
	(void)c;
	*text = t->kind == RD_CHECK_ICMP ? "check icmp" :
	    t->tls ? "check tls" : "check tcp";
	return true;
}

static const char *
http_text(struct rd_build *b, const struct rd_check_text *t)
{
	const char *host = t->host.text == NULL ? "" :
	    arena_printf(b->arena, " host %s", rd_quoted(b, &t->host));

	return arena_printf(b->arena, "check %s %s%s",
	    t->tls ? "https" : "http", rd_quoted(b, &t->path), host);
}

static bool
code_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	c->path = t->path.text;
	c->host = t->host.text;
	if (!rd_number_take(b, RD_RANGE_CODE, &t->code, &c->code))
		return false;
	*text = arena_printf(b->arena, "%s code %u", http_text(b, t),
	    c->code);
	return true;
}

static bool
digest_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	size_t len = strlen(t->digest.text);
	char *lower;

	c->path = t->path.text;
	c->host = t->host.text;
	if (len != MD5_DIGITS && len != SHA1_DIGITS) {
		rd_error(b, &t->digest.place, "digest must have 32 (MD5) or "
		    "40 (SHA-1) characters");
		return false;
	}
	lower = arena_strdup(b->arena, t->digest.text);
	for (char *p = lower; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	c->digest = lower;
	*text = arena_printf(b->arena, "%s digest %s", http_text(b, t),
	    rd_quoted(b, &t->digest));
	return true;
}

static bool
send_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	bool binary = t->kind == RD_CHECK_BINARY;
	struct bytes send = { NULL, 0 }, expect;

	if (binary) {
		if ((t->send.text != NULL &&
		    !binary_decode(b, &t->send, SIZE_MAX, &send)) ||
		    !binary_decode(b, &t->expect, BINARY_MAX, &expect))
			return false;
	} else {
		if (!rd_length_ok(b, RD_LEN_EXPECT, &t->expect))
			return false;
		if (t->send.text != NULL)
			send = text_decode(b, t->send.text);
		expect = text_decode(b, t->expect.text);
	}
	c->send = send.p;
	c->send_len = send.len;
	c->expect = expect.p;
	c->expect_len = expect.len;
	*text = arena_printf(b->arena, "check %ssend %s expect %s%s",
	    binary ? "binary " : "",
	    t->send.text == NULL ? "nothing" : rd_quoted(b, &t->send),
	    rd_quoted(b, &t->expect), t->tls ? " tls" : "");
	return true;
}

static bool
script_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	c->path = t->path.text;
	if (!rd_length_ok(b, RD_LEN_SCRIPT, &t->path))
		return false;
	*text = arena_printf(b->arena, "check script %s",
	    rd_quoted(b, &t->path));
	return true;
}

bool
rd_check_take(struct rd_build *b, const struct rd_check_text *t,
    struct rd_check *c, const char **text)
{
	static bool (*const kinds[])(struct rd_build *,
	    const struct rd_check_text *, struct rd_check *,
	    const char **) = {
		[RD_CHECK_NONE] = NULL,
		[RD_CHECK_ICMP] = plain_take,
		[RD_CHECK_TCP] = plain_take,
		[RD_CHECK_HTTP_CODE] = code_take,
		[RD_CHECK_HTTP_DIGEST] = digest_take,
		[RD_CHECK_SEND] = send_take,
		[RD_CHECK_BINARY] = send_take,
		[RD_CHECK_SCRIPT] = script_take,
	};

	*c = (struct rd_check){ .kind = t->kind, .tls = t->tls };
	assert(kinds[t->kind] != NULL);
	if (t->tls && !rd_tls_there(b, &t->place))
		return false;
	return kinds[t->kind](b, t, c, text);
}

static bool
text_same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
bytes_same(const uint8_t *a, size_t na, const uint8_t *b, size_t nb)
{
	if (a == NULL || b == NULL)
		return a == b;
	return na == nb && memcmp(a, b, na) == 0;
}

bool
rd_check_same(const struct rd_check *a, const struct rd_check *b)
{
	return a->kind == b->kind && a->tls == b->tls &&
	    text_same(a->path, b->path) && text_same(a->host, b->host) &&
	    a->code == b->code && text_same(a->digest, b->digest) &&
	    bytes_same(a->send, a->send_len, b->send, b->send_len) &&
	    bytes_same(a->expect, a->expect_len, b->expect, b->expect_len);
}
