/*
 * URLs as text: what is shown, where redirects may lead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "misc/url.h"

static void
test_show(void **state)
{
	static const struct {
		const char	*url, *want;
	} rows[] = {
		{ "https://h/x", "https://h/x" },
		{ "/etc/relay.conf", "/etc/relay.conf" },
		{ "/etc/a:b@c", "/etc/a:b@c" },
		{ "https://u:p@h/x", "https://***@h/x" },
		{ "https://token@h:8443/x?y", "https://***@h:8443/x?y" },
		{ "https://u:p@ss@h/x", "https://***@h/x" },
		{ "https://:p@[::1]:8443/", "https://***@[::1]:8443/" },
		{ "https://u:p@h", "https://***@h" },
		{ "https://u:p@h?q=a@b", "https://***@h?q=a@b" },
		{ "sftp://u:p@h#f@g", "sftp://***@h#f@g" },
		/* not credentials */
		{ "https://h/a@b", "https://h/a@b" },
		{ "https://h:443/a@b", "https://h:443/a@b" },
		{ "https://[::1]:443/a@b", "https://[::1]:443/a@b" },
		{ "https://h?a@b", "https://h?a@b" },
		/* somebody forgot to encode */
		{ "https://u:p/w@h/x", "https://***@h/x" },
		{ "https://u:p?w@h/x", "https://***@h/x" },
		{ "https://", "https://" },
		{ "://@", "://***@" },
	};
	char buf[URL_SHOWN], url[3000];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_string_equal(url_show(rows[i].url, buf), rows[i].want);
	memset(url, 'x', sizeof url - 1);
	url[sizeof url - 1] = '\0';
	memcpy(url, "https://u:secret@", 17);
	assert_int_equal(strlen(url_show(url, buf)), URL_SHOWN - 1);
	assert_null(strstr(buf, "secret"));
}

static void
test_schemes(void **state)
{
	static const struct {
		const char	*url, *scheme;
		bool		 permitted, here, plain;
	} rows[] = {
		{ "https://h/", "https", true, true, false },
		{ "HTTPS://h/", "https", true, true, false },
		{ "http://h/", "http", true, false, true },
		{ "file:///x", "file", true, true, false },
		{ "ftp://h/", "ftp", true, false, true },
		{ "ftps://h/", "ftps", true, false, false },
		{ "sftp://h/", "sftp", true, false, false },
		{ "scp://h/", "scp", true, false, false },
		{ "gopher://h/", "gopher", false, false, false },
		{ "ipc://1/2", "ipc", false, false, false },
		{ "httpsx://h/", "httpsx", false, false, false },
		{ "http s://h/", "", false, false, false },
		{ "/x/https://h", "", false, false, false },
		{ "averyveryverylongscheme://h", "", false, false, false },
		{ "://h", "", false, false, false },
		{ "https:/h", "", false, false, false },
		{ "", "", false, false, false },
	};
	char buf[URL_SCHEME];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_string_equal(url_scheme(rows[i].url, buf),
		    rows[i].scheme);
		assert_int_equal(url_permitted(rows[i].url),
		    rows[i].permitted);
		assert_int_equal(url_permitted_here(rows[i].url),
		    rows[i].here);
		assert_int_equal(url_plain(rows[i].url), rows[i].plain);
	}
	assert_true(url_is("./a://b"));
	assert_false(url_is("/etc/a:b"));
}

static void
test_redirects(void **state)
{
	static const struct {
		const char	*from, *to;
		bool		 permitted;
	} rows[] = {
		{ "https://a/", "https://b/", true },
		{ "HTTPS://a/", "HtTpS://b/", true },
		{ "https://a/", "http://a/", false },
		{ "https://a/", "file:///etc/passwd", false },
		{ "https://a/", "ftps://a/", false },
		{ "https://a/", "//a/", false },
		{ "https://a/", "", false },
		{ "http://a/", "http://b/", true },
		{ "http://a/", "https://b/", true },
		{ "http://a/", "ftp://b/", false },
		{ "http://a/", "file:///etc/passwd", false },
		{ "http://a/", "sftp://b/", false },
		{ "ftp://a/", "ftp://b/", false },
		{ "file:///a", "file:///b", false },
		{ "gopher://a", "gopher://b", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(url_redirect_permitted(rows[i].from,
		    rows[i].to), rows[i].permitted);
}

static void
test_directory(void **state)
{
	static const struct {
		const char	*url, *want;	/* "": it has no path */
	} rows[] = {
		{ "https://h/a/b.conf", "https://h/a/" },
		{ "https://h/b.conf", "https://h/" },
		{ "https://h/a/", "https://h/a/" },
		{ "https://u:p@h/a/b?c=/d/e#/f", "https://u:p@h/a/" },
		{ "https://h?x=/y", "" },
		{ "https://h", "" },
		{ "file:///etc/x", "file:///etc/" },
		{ "file:///x", "file:///" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t len = url_directory(rows[i].url);

		assert_int_equal(len, strlen(rows[i].want));
		assert_memory_equal(rows[i].url, rows[i].want, len);
	}
}

static void
test_signature(void **state)
{
	static const struct {
		const char	*url, *want;
	} rows[] = {
		{ "https://h/a", "https://h/a.sig" },
		{ "https://h/a?b=c?d", "https://h/a.sig?b=c?d" },
		{ "https://h/a#b", "https://h/a.sig#b" },
		{ "file:///x/y", "file:///x/y.sig" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char *got = url_signature(rows[i].url);

		assert_string_equal(got, rows[i].want);
		free(got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_schemes),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
