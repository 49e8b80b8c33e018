/* tcprelay/check_http.c: answers to HTTP checks, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tcprelay/check_http.h"

static void
requests(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_string_equal(check_http_request(a, "HEAD", "/alive", NULL, "S"),
	    "HEAD /alive HTTP/1.0\r\nUser-Agent: S\r\n\r\n");
	assert_string_equal(check_http_request(a, "GET", "/", "a.example",
	    "S"), "GET / HTTP/1.1\r\nUser-Agent: S\r\nHost: a.example\r\n"
	    "Connection: close\r\n\r\n");
	arena_free(a);
}

/* done: the verdict is there before the end. */
static const struct {
	const char	*answer;
	bool		 done;
	enum host_error	 error;
	unsigned	 code;
} codes[] = {
	{ "HTTP/1.1 200 OK\r\n", true, HOST_CODE_OK, 0 },
	{ "HTTP/1.0 200 OK\r\n", true, HOST_CODE_OK, 0 },
	{ "HTTP/1.1 200\r\n", true, HOST_CODE_OK, 0 },
	{ "HTTP/1.1 200\nA: b", true, HOST_CODE_OK, 0 },
	{ "HTTP/1.1 404 Not Found\r\n", true, HOST_CODE_MISMATCH, 404 },
	{ "HTTP/1.1 999\r\n", true, HOST_CODE_MISMATCH, 999 },
	{ "HTTP/1.1 200 O", false, HOST_CODE_OK, 0 },
	{ "HTTP/1.1 503 O", false, HOST_CODE_MISMATCH, 503 },
	{ "", false, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 200", false, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 200 ", false, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 200\n", false, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1  200 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/2.0 200 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "http/1.1 200 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 099 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 +20 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "HTTP/1.1 2x0 OK\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "220 mail.example ready\r\n", true, HOST_CODE_MALFORMED, 0 },
	{ "\r\n", false, HOST_CODE_MALFORMED, 0 },
};

static void
status_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		size_t n = strlen(codes[i].answer);

		for (size_t step = 1; step <= n + 1; step++) {
			struct check_http h;
			unsigned code = 1;
			bool done = false;

			check_http_code_start(&h);
			for (size_t at = 0; at < n; at += step)
				done = check_http_code_take(&h,
				    (const uint8_t *)codes[i].answer + at,
				    n - at < step ? n - at : step);
			assert_int_equal(done, codes[i].done);
			assert_int_equal(check_http_code(&h, 200, &code),
			    codes[i].error);
			assert_int_equal(code, codes[i].code);
		}
	}
}

#define HELLO_MD5	"5d41402abc4b2a76b9719d911017c592"
#define HELLO_SHA1	"AAF4C61ddcc5e8a2dabede0f3b482cd9aea9434d"
#define EMPTY_MD5	"d41d8cd98f00b204e9800998ecf8427e"
#define NUL_MD5		"70350f6027bce3713f6b76473084309b"	/* a NUL b */

#define S(text)	text, sizeof(text) - 1
static const struct {
	const char	*answer;
	size_t		 n;
	const char	*want;
	bool		 done;
	enum host_error	 error;
} digests[] = {
	{ S("HTTP/1.0 200 OK\r\n\r\nhello"), HELLO_MD5, false,
	    HOST_DIGEST_OK },
	{ S("HTTP/1.0 200 OK\r\n\r\nhello"), HELLO_SHA1, false,
	    HOST_DIGEST_OK },
	{ S("HTTP/1.0 200 OK\r\n\r\nhello\n"), HELLO_MD5, false,
	    HOST_DIGEST_MISMATCH },
	{ S("HTTP/1.0 200 OK\r\n\r\n"), EMPTY_MD5, false, HOST_DIGEST_OK },
	{ S("HTTP/1.0 200 OK\r\n\r\na\0b"), NUL_MD5, false, HOST_DIGEST_OK },
	{ S("HTTP/1.1 404 No\r\nA: b\r\nContent-Length: 5\r\n\r\nhello"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	/* what follows is no part of it */
	{ S("HTTP/1.1 200 OK\r\ncontent-length:5 \r\n\r\nhello world"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	{ S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), EMPTY_MD5, true,
	    HOST_DIGEST_OK },
	{ S("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"),
	    HELLO_MD5, false, HOST_DIGEST_OK },
	/* lengths that are none: until the end */
	{ S("H\r\nContent-Length: 5x\r\n\r\nhello"), HELLO_MD5, false,
	    HOST_DIGEST_OK },
	{ S("H\r\nContent-Length: \r\n\r\nhello"), HELLO_MD5, false,
	    HOST_DIGEST_OK },
	{ S("H\r\nContent-Length: 99999999999999999999\r\n\r\nhello"),
	    HELLO_MD5, false, HOST_DIGEST_OK },
	{ S("H\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhello"),
	    HELLO_MD5, false, HOST_DIGEST_OK },
	{ S("H\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	/* chunks */
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	{ S("H\r\ntransfer-encoding: gzip, Chunked\r\nContent-Length: 1\r\n"
	    "\r\n2;a=b\r\nhe\r\n03 \r\nllo\r\n000\r\n\r\n"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n"),
	    HELLO_MD5, true, HOST_DIGEST_OK },
	{ S("H\r\nTransfer-Encoding: unchunked\r\n\r\nhello"),
	    HELLO_MD5, false, HOST_DIGEST_OK },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"),
	    HELLO_MD5, false, HOST_DIGEST_OK },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\nhello"),
	    HELLO_MD5, true, HOST_DIGEST_MALFORMED },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"),
	    HELLO_MD5, true, HOST_DIGEST_MALFORMED },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello"),
	    HELLO_MD5, true, HOST_DIGEST_MALFORMED },
	{ S("H\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
	    HELLO_MD5, true, HOST_DIGEST_MALFORMED },
	/* no end of the head */
	{ S(""), EMPTY_MD5, false, HOST_DIGEST_MALFORMED },
	{ S("HTTP/1.0 200 OK\n\nhello"), HELLO_MD5, false,
	    HOST_DIGEST_MALFORMED },
	{ S("HTTP/1.0 200 OK\r\n\rhello"), HELLO_MD5, false,
	    HOST_DIGEST_MALFORMED },
	{ S("HTTP/1.0 200 OK\r\r\n\r\nhello"), HELLO_MD5, false,
	    HOST_DIGEST_OK },
};

static void
bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		for (size_t step = 1; step <= digests[i].n + 1; step++) {
			struct check_http h;
			bool done = false;

			check_http_digest_start(&h, digests[i].want);
			for (size_t at = 0; at < digests[i].n && !done;
			    at += step)
				done = check_http_digest_take(&h,
				    (const uint8_t *)digests[i].answer + at,
				    digests[i].n - at < step ?
				    digests[i].n - at : step);
			if (done != digests[i].done ||
			    check_http_digest(&h, digests[i].want) !=
			    digests[i].error)
				fail_msg("row %zu, step %zu", i, step);
		}
	}
}

/* A line of any length, and one with the right name that is too long. */
static void
long_lines(void **state)
{
	static const char length[] = "\r\nContent-Length: 5\r\n\r\nhello";
	uint8_t many[4096];
	struct check_http h;

	(void)state;
	memset(many, 'x', sizeof(many));
	check_http_digest_start(&h, HELLO_MD5);
	for (int i = 0; i < 100; i++)
		assert_false(check_http_digest_take(&h, many, sizeof(many)));
	assert_true(check_http_digest_take(&h, (const uint8_t *)length,
	    sizeof(length) - 1));
	assert_int_equal(check_http_digest(&h, HELLO_MD5), HOST_DIGEST_OK);
	check_http_digest_start(&h, EMPTY_MD5);
	memset(many, ' ', sizeof(many));
	assert_false(check_http_digest_take(&h,
	    (const uint8_t *)"Content-Length:", 15));
	assert_false(check_http_digest_take(&h, many, 200));
	assert_false(check_http_digest_take(&h,
	    (const uint8_t *)"0\r\n\r\n", 5));
	assert_int_equal(h.at, HTTP_AT_REST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(status_lines),
		cmocka_unit_test(bodies),
		cmocka_unit_test(long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
