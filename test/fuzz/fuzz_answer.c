/*
 * Answers to health checks, from strangers: a code, a digest, a glob. However
 * an answer is cut, the verdict is one; and a glob is that of rules. The first
 * byte says how long the pieces are and how long the pattern, which stands
 * before the answer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "misc/pattern.h"
#include "tcprelay/check_http.h"
#include "tcprelay/expect.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define CHECK(x)	do { if (!(x)) abort(); } while (0)
#define WANT		"d41d8cd98f00b204e9800998ecf8427e"

static enum host_error
code(const uint8_t *p, size_t n, size_t step, unsigned *got)
{
	struct check_http h;
	bool done = false;

	check_http_code_start(&h);
	for (size_t at = 0; at < n && !done; at += step)
		done = check_http_code_take(&h, p + at,
		    n - at < step ? n - at : step);
	return check_http_code(&h, 200, got);
}

static enum host_error
digest(const uint8_t *p, size_t n, size_t step)
{
	struct check_http h;
	bool done = false;

	check_http_digest_start(&h, WANT);
	for (size_t at = 0; at < n && !done; at += step)
		done = check_http_digest_take(&h, p + at,
		    n - at < step ? n - at : step);
	CHECK(!done || h.at == HTTP_AT_END || h.at == HTTP_AT_BROKEN);
	return check_http_digest(&h, WANT);
}

static bool
expect(const struct expect *e, const uint8_t *p, size_t n, size_t step)
{
	struct expect_state s;

	expect_start(&s);
	for (size_t at = 0; at < n; at += step)
		expect_add(e, &s, p + at, n - at < step ? n - at : step);
	return expect_matches(e, &s);
}

static void
glob(const uint8_t *pattern, size_t pn, const uint8_t *p, size_t n,
    size_t step)
{
	struct arena *a = arena_new();
	struct expect *e = expect_new(a, pattern, pn);
	bool yes;

	CHECK(a != NULL && e != NULL);
	yes = expect(e, p, n, n + 1);
	CHECK(yes == expect(e, p, n, step));
	if (memchr(pattern, '\0', pn) == NULL)
		CHECK(yes == glob_match(arena_strndup(a,
		    (const char *)pattern, pn), (const char *)p, n, false));
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step, pn;
	unsigned one = 0, other = 0;

	if (size == 0 || size > 4096)
		return 0;
	step = (data[0] & 7) + 1;
	pn = data[0] >> 3;
	data++;
	size--;
	if (pn > size)
		pn = size;
	CHECK(code(data, size, step, &one) ==
	    code(data, size, size + 1, &other));
	CHECK(one == other && (one == 0 || (one >= 100 && one <= 999)));
	CHECK(digest(data, size, step) == digest(data, size, size + 1));
	glob(data, pn, data + pn, size - pn, step);
	return 0;
}
