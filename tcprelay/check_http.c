/*
 * Answers to HTTP checks: status code, digest of the body.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "check_http.h"

#define CODE_BYTES	14	/* "HTTP/1.1 200", and two more */

char *
check_http_request(struct arena *a, const char *method, const char *path,
    const char *host, const char *agent)
{
	if (host == NULL)
		return arena_printf(a, "%s %s HTTP/1.0\r\n"
		    "User-Agent: %s\r\n\r\n", method, path, agent);
	return arena_printf(a, "%s %s HTTP/1.1\r\nUser-Agent: %s\r\n"
	    "Host: %s\r\nConnection: close\r\n\r\n", method, path, agent,
	    host);
}

/* ---- the code ---- */

void
check_http_code_start(struct check_http *h)
{
	h->len = 0;
	h->blank = 0;
}

bool
check_http_code_take(struct check_http *h, const uint8_t *p, size_t n)
{
	size_t room = CODE_BYTES - h->len, part = n < room ? n : room;

	memcpy(h->line + h->len, p, part);
	h->len = (uint16_t)(h->len + part);
	if (memchr(p, '\n', n) != NULL)
		h->blank = 1;
	return h->blank == 1 && h->len == CODE_BYTES;
}

enum host_error
check_http_code(const struct check_http *h, unsigned want, unsigned *code)
{
	const uint8_t *p = h->line + 9;
	unsigned got;

	*code = 0;
	if (h->len < CODE_BYTES || (memcmp(h->line, "HTTP/1.1 ", 9) != 0 &&
	    memcmp(h->line, "HTTP/1.0 ", 9) != 0) ||
	    !isdigit(p[0]) || !isdigit(p[1]) || !isdigit(p[2]) ||
	    p[0] == '0')
		return HOST_CODE_MALFORMED;
	got = (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 +
	    (unsigned)(p[2] - '0');
	if (got == want)
		return HOST_CODE_OK;
	*code = got;
	return HOST_CODE_MISMATCH;
}

/* ---- the head before a body ---- */

/* The value of a field, without blanks around it; NULL: of another one. */
static const char *
field_value(char *line, const char *name)
{
	size_t n = strlen(name);
	char *end = line + strlen(line);

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t' ||
	    end[-1] == '\r'))
		*--end = '\0';
	for (line += n + 1; *line == ' ' || *line == '\t';)
		line++;
	return line;
}

/* Two lengths that differ are none. */
static void
take_length(struct check_http *h, const char *text)
{
	uint64_t n = 0;

	for (const char *p = text; *p != '\0' || p == text; p++) {
		if (!isdigit((unsigned char)*p) ||
		    n > (UINT64_MAX - 9) / 10) {
			h->wrong = true;
			return;
		}
		n = n * 10 + (uint64_t)(*p - '0');
	}
	h->wrong |= h->length && h->left != n;
	h->length = true;
	h->left = n;
}

/* RFC 9112, 6.1: chunked is the last coding. */
static bool
ends_chunked(const char *text)
{
	size_t n = strlen(text);

	return n >= 7 && strcasecmp(text + n - 7, "chunked") == 0 &&
	    (n == 7 || strchr(", \t", text[n - 8]) != NULL);
}

static void
head_line(struct check_http *h)
{
	char line[CHECK_HTTP_LINE + 1];
	const char *value;

	/* one that is too long is none of these */
	if (h->len < CHECK_HTTP_LINE) {
		memcpy(line, h->line, h->len);
		line[h->len] = '\0';
		if ((value = field_value(line, "Content-Length")) != NULL)
			take_length(h, value);
		else if ((value = field_value(line,
		    "Transfer-Encoding")) != NULL)
			h->chunked = ends_chunked(value);
	}
	h->len = 0;
}

static void
head_end(struct check_http *h)
{
	if (h->chunked)
		h->at = HTTP_AT_SIZE;
	else if (!h->length || h->wrong)
		h->at = HTTP_AT_REST;
	else
		h->at = h->left == 0 ? HTTP_AT_END : HTTP_AT_LENGTH;
}

static void
head_byte(struct check_http *h, uint8_t c)
{
	static const char blank[] = "\r\n\r\n";

	if (c == (uint8_t)blank[h->blank])
		h->blank++;
	else
		h->blank = c == '\r';
	if (c == '\n')
		head_line(h);
	else if (h->len < CHECK_HTTP_LINE)
		h->line[h->len++] = c;
	if (h->blank == 4)
		head_end(h);
}

/* ---- chunks, RFC 9112, 7.1 ---- */

static unsigned
hex(uint8_t c)
{
	return (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
}

static void
size_byte(struct check_http *h, uint8_t c)
{
	if (isxdigit(c) && h->at == HTTP_AT_SIZE) {
		if (h->digits == 0)
			h->left = 0;
		h->at = h->digits == 15 ? HTTP_AT_BROKEN : HTTP_AT_SIZE;
		h->digits++;
		h->left = h->left << 4 | hex(c);
	} else if (h->digits == 0)
		h->at = HTTP_AT_BROKEN;
	else if (c == '\n') {
		h->at = h->left == 0 ? HTTP_AT_END : HTTP_AT_CHUNK;
		h->digits = 0;
	} else if (h->at == HTTP_AT_EXTENSION || c == ';' || c == ' ' ||
	    c == '\t' || c == '\r')
		h->at = HTTP_AT_EXTENSION;
	else
		h->at = HTTP_AT_BROKEN;
}

static void
chunk_end_byte(struct check_http *h, uint8_t c)
{
	if (c == '\n')
		h->at = HTTP_AT_SIZE;
	else if (c != '\r')
		h->at = HTTP_AT_BROKEN;
}

/* ---- the digest ---- */

static enum digest_kind
kind_of(const char *want)
{
	return strlen(want) == 2 * 20 ? DIGEST_SHA1 : DIGEST_MD5;
}

void
check_http_digest_start(struct check_http *h, const char *want)
{
	*h = (struct check_http){ .at = HTTP_AT_HEAD };
	digest_init(&h->digest, kind_of(want));
}

/* As much of the body as is here; how much that is. */
static size_t
body(struct check_http *h, const uint8_t *p, size_t n)
{
	if (h->at != HTTP_AT_REST && h->left < n)
		n = (size_t)h->left;
	digest_add(&h->digest, p, n);
	if (h->at != HTTP_AT_REST && (h->left -= n) == 0)
		h->at = h->at == HTTP_AT_CHUNK ? HTTP_AT_CHUNK_END :
		    HTTP_AT_END;
	return n;
}

bool
check_http_digest_take(struct check_http *h, const uint8_t *p, size_t n)
{
	size_t used;

	for (; n > 0; p += used, n -= used) {
		used = 1;
		switch (h->at) {
		case HTTP_AT_HEAD:
			head_byte(h, *p);
			break;
		case HTTP_AT_SIZE:
		case HTTP_AT_EXTENSION:
			size_byte(h, *p);
			break;
		case HTTP_AT_CHUNK_END:
			chunk_end_byte(h, *p);
			break;
		case HTTP_AT_LENGTH:
		case HTTP_AT_REST:
		case HTTP_AT_CHUNK:
			used = body(h, p, n);
			break;
		case HTTP_AT_END:
		case HTTP_AT_BROKEN:
			return true;
		}
	}
	return h->at == HTTP_AT_END || h->at == HTTP_AT_BROKEN;
}

enum host_error
check_http_digest(struct check_http *h, const char *want)
{
	char text[DIGEST_TEXT];

	if (h->at == HTTP_AT_HEAD || h->at == HTTP_AT_BROKEN)
		return HOST_DIGEST_MALFORMED;
	digest_end_text(&h->digest, text);
	return strcasecmp(text, want) == 0 ? HOST_DIGEST_OK :
	    HOST_DIGEST_MISMATCH;
}
