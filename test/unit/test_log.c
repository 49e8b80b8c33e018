/* misc/log.c: forms, places, and that nobody can be held up or forged. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/log.h"

static char got[1 << 16];

static struct log_conf
quiet(void)
{
	return (struct log_conf){ .ident = "relay", .facility = LOG_UUCP,
	    .severity = LOG_INFO, .to_syslog = false, .debug_set = true,
	    .debug_to = LOG_DEBUG_SYSLOG, .role = "worker", .worker = 7 };
}

/* A log file to look at: an unlinked temporary one. */
static int
log_to_file(void)
{
	char name[] = "/tmp/test_log.XXXXXX";
	int fd = mkstemp(name);

	assert_int_not_equal(fd, -1);
	unlink(name);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	log_file(dup(fd));
	return fd;
}

static const char *
contents(int fd)
{
	ssize_t n = pread(fd, got, sizeof(got) - 1, 0);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_int_equal(ftruncate(fd, 0), 0);
	return got;
}

/* The time in front is real: every digit is shown as 9. */
static const char *
without_time(char *text)
{
	char *p;

	for (p = text; *p != '\0' && (size_t)(p - text) < 40; p++)
		if (*p >= '0' && *p <= '9')
			*p = '9';
	return text;
}

static void
test_text(void **state)
{
	struct log_conf c = quiet();
	int fd = log_to_file();
	char want[200];

	(void)state;
	log_configure(&c);
	log_line("listening on %s", "[::]:80");
	snprintf(want, sizeof(want), " relay[%ld]: listening on [::]:80\n",
	    (long)getpid());
	assert_string_equal(contents(fd) + strlen("2026-11-20T05:34:00.123456Z"),
	    want);
	assert_int_equal(strncmp(without_time(got),
	    "9999-99-99T99:99:99.999999Z ", 28), 0);
	log_close();
	close(fd);
}

/* Text of a message, and what is behind "msg": in JSON. */
static const struct {
	const char *in, *text, *json;
} messages[] = {
	{ "plain", "plain", "\"plain\"" },
	{ "tab\there", "tab\there", "\"tab\\u0009here\"" },
	{ "a\nb\r\x1b[31m\x7f", "a\\x0ab\\x0d\\x1b[31m\\x7f",
	    "\"a\\u000ab\\u000d\\u001b[31m\\u007f\"" },
	{ "\"quoted\" back\\slash", "\"quoted\" back\\slash",
	    "\"\\\"quoted\\\" back\\\\slash\"" },
	{ "sm\xc3\xb8rbr\xc3\xb8" "d \xe2\x82\xac \xf0\x9f\x90\x9f",
	    "sm\xc3\xb8rbr\xc3\xb8" "d \xe2\x82\xac \xf0\x9f\x90\x9f",
	    "\"sm\xc3\xb8rbr\xc3\xb8" "d \xe2\x82\xac \xf0\x9f\x90\x9f\"" },
	/* not UTF-8: lone continuation, overlong, surrogate, too large, cut */
	{ "a\x80z", "a\x80z", "\"a\xef\xbf\xbdz\"" },
	{ "a\xc0\xafz", "a\xc0\xafz",
	    "\"a\xef\xbf\xbd\xef\xbf\xbdz\"" },
	{ "a\xed\xa0\x80z", "a\xed\xa0\x80z",
	    "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"" },
	{ "a\xf4\x90\x80\x80z", "a\xf4\x90\x80\x80z",
	    "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"" },
	{ "a\xf5z", "a\xf5z", "\"a\xef\xbf\xbdz\"" },
	{ "a\xff", "a\xff", "\"a\xef\xbf\xbd\"" },
	{ "a\xe2\x82", "a\xe2\x82", "\"a\xef\xbf\xbd\"" },
	{ "a\xf0\x9f\x90", "a\xf0\x9f\x90", "\"a\xef\xbf\xbd\"" },
	{ "a\xe2\x82\"", "a\xe2\x82\"", "\"a\xef\xbf\xbd\\\"\"" },
	{ "", "", "\"\"" },
};

static void
test_messages(void **state)
{
	struct log_conf c = quiet();
	int fd = log_to_file();
	char want[400], *body;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		c.json = false;
		log_configure(&c);
		log_line("%s", messages[i].in);
		contents(fd);
		body = strstr(got, "]: ");
		assert_non_null(body);
		snprintf(want, sizeof(want), "%s\n", messages[i].text);
		assert_string_equal(body + 3, want);

		c.json = true;
		log_configure(&c);
		log_line("%s", messages[i].in);
		contents(fd);
		snprintf(want, sizeof(want), "{\"time\":\"9999-99-99T99:99:"
		    "99.999999Z\",\"level\":\"info\",\"ident\":\"relay\","
		    "\"role\":\"worker\",\"pid\":%ld,\"worker\":7,"
		    "\"msg\":%s}\n", (long)getpid(), messages[i].json);
		assert_string_equal(without_time(got), want);
	}
	log_close();
	close(fd);
}

static void
test_levels(void **state)
{
	struct log_conf c = quiet();
	int fd = log_to_file();

	(void)state;
	c.json = true;
	c.severity = LOG_NOTICE;
	c.role = "master";
	c.worker = 0;
	log_configure(&c);
	log_line("a");
	assert_non_null(strstr(contents(fd), "\"level\":\"notice\""));
	assert_non_null(strstr(got, "\"role\":\"master\""));
	assert_null(strstr(got, "\"worker\":"));
	log_warn("a");
	assert_non_null(strstr(contents(fd), "\"level\":\"warning\""));
	log_err("a");
	assert_non_null(strstr(contents(fd), "\"level\":\"err\""));
	log_close();
	close(fd);
}

static void
test_items(void **state)
{
	static const struct log_item items[] = {
		{ "conn", LOG_TEXT, "1.2.3", 0 },
		{ "realm", LOG_TEXT, "a b%\xc3\xb8\n\"", 0 },
		{ "dash", LOG_TEXT, "-", 0 },
		{ "empty", LOG_TEXT, "", 0 },
		{ "dst", LOG_ABSENT, NULL, 0 },
		{ "null", LOG_TEXT, NULL, 0 },
		{ "in", LOG_NUMBER, NULL, UINT64_MAX },
	};
	struct log_conf c = quiet();
	int fd = log_to_file();

	(void)state;
	log_configure(&c);
	log_items("status", "session", items, 7);
	assert_string_equal(strstr(contents(fd), "]: "),
	    "]: status conn=1.2.3 realm=a%20b%25%C3%B8%0A%22 dash=%2D empty=- "
	    "dst=- null=- in=18446744073709551615\n");
	log_items(NULL, "session", items, 1);
	assert_string_equal(strstr(contents(fd), "]: "), "]: conn=1.2.3\n");
	c.json = true;
	log_configure(&c);
	log_items(NULL, "session", items, 7);
	assert_string_equal(strstr(contents(fd), "\"event\""),
	    "\"event\":\"session\",\"conn\":\"1.2.3\","
	    "\"realm\":\"a b%\xc3\xb8\\u000a\\\"\",\"dash\":\"-\","
	    "\"empty\":\"\",\"dst\":null,\"null\":null,"
	    "\"in\":18446744073709551615}\n");
	log_close();
	close(fd);
}

/* However long: one line, closed properly, no more than one pipe write. */
static void
test_long(void **state)
{
	static char text[20000];
	struct log_item items[40];
	struct log_conf c = quiet();
	int fd = log_to_file();
	size_t i, n;
	bool json;

	(void)state;
	memset(text, '"', sizeof(text) - 1);
	for (i = 0; i < 40; i++)
		items[i] = (struct log_item){ "item", LOG_TEXT, text, 0 };
	for (json = false;; json = true) {
		c.json = json;
		log_configure(&c);
		log_line("%s", text);
		n = strlen(contents(fd));
		assert_in_range(n, 2000, 4096);
		assert_ptr_equal(strchr(got, '\n'), got + n - 1);
		if (json)
			assert_string_equal(got + n - 5, "\\\"\"}\n");
		log_items(NULL, "session", items, 40);
		n = strlen(contents(fd));
		assert_in_range(n, 2000, 4096);
		assert_ptr_equal(strchr(got, '\n'), got + n - 1);
		if (json) {
			assert_string_equal(got + n - 3, "\"}\n");
			break;
		}
	}
	log_close();
	close(fd);
}

/* Standard error as a pipe that somebody else should read. */
struct captured {
	int	saved, read;
};

static struct captured
capture(void)
{
	struct captured c;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	c.saved = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	c.read = fds[0];
	fcntl(c.read, F_SETFL, O_NONBLOCK);
	return c;
}

static size_t
captured_read(const struct captured *c)
{
	size_t n = 0;
	ssize_t k;

	while (n < sizeof(got) - 1 &&
	    (k = read(c->read, got + n, sizeof(got) - 1 - n)) > 0)
		n += (size_t)k;
	got[n] = '\0';
	return n;
}

static void
captured_end(const struct captured *c)
{
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->read);
}

static void
test_stderr(void **state)
{
	struct captured c = capture();
	struct log_conf conf = quiet();
	char want[100];

	(void)state;
	log_configure(&conf);
	log_line("not there");
	assert_int_equal(captured_read(&c), 0);
	log_stderr(true);
	log_line("early");
	log_stderr(false);
	conf.stderr_copy = true;
	log_configure(&conf);
	log_line("copy");
	log_debug(DEBUG_NET, "off");
	conf.debug = DEBUG_NET;
	log_configure(&conf);
	log_debug(DEBUG_PROC, "off");
	log_debug(DEBUG_NET, "on");
	captured_read(&c);
	captured_end(&c);
	snprintf(want, sizeof(want), "%ld: early\n%ld: copy\n%ld: on\n",
	    (long)getpid(), (long)getpid(), (long)getpid());
	assert_string_equal(got, want);
	log_close();
}

/* Nobody reads: it neither blocks nor loses count. */
/* Bare lines, warnings as errors; the other way without. */
static void
test_style(void **state)
{
	struct log_conf conf = quiet();
	struct captured c;
	int fd;

	(void)state;
	conf.stderr_copy = true;
	log_configure(&conf);
	log_style(LOG_DAEMON, LOG_ERR, true);
	c = capture();
	log_line("bare");
	captured_read(&c);
	captured_end(&c);
	assert_string_equal(got, "bare\n");
	conf.stderr_copy = false;
	conf.json = true;
	log_configure(&conf);
	fd = log_to_file();
	log_warn("x");
	assert_non_null(strstr(contents(fd), "\"level\":\"err\""));
	log_style(LOG_UUCP, LOG_WARNING, false);
	log_warn("x");
	assert_non_null(strstr(contents(fd), "\"level\":\"warning\""));
	close(fd);
	log_close();
}

static void
test_stalled(void **state)
{
	struct captured c = capture();
	struct log_conf conf = quiet();
	unsigned i, lines = 0, dropped = 0;
	char *p;

	(void)state;
	conf.stderr_copy = true;
	log_configure(&conf);
	alarm(20);
	for (i = 0; i < 20000; i++)
		log_line("line %u", i);
	alarm(0);
	while (captured_read(&c) > 0) {
		for (p = got; (p = strchr(p, '\n')) != NULL; p++)
			lines++;
	}
	assert_in_range(lines, 100, 19999);
	log_line("last");
	captured_read(&c);
	captured_end(&c);
	p = strstr(got, ": ");
	assert_non_null(p);
	assert_int_equal(sscanf(p, ": %u lines dropped", &dropped), 1);
	assert_int_equal(lines + dropped, 20000);
	assert_non_null(strstr(got, ": last\n"));
	log_close();
}

/* What was said last stays, whatever is configured. */
static void
test_verbose(void **state)
{
	struct log_conf conf = quiet();

	(void)state;
	conf.debug = DEBUG_NET;
	log_configure(&conf);
	log_verbose(true);
	assert_int_equal(log_debug_bits, DEBUG_VERBOSE);
	conf.debug = DEBUG_PROC;
	log_configure(&conf);
	assert_int_equal(log_debug_bits, DEBUG_VERBOSE);
	log_verbose(false);
	assert_int_equal(log_debug_bits, 0);
	log_configure(&conf);
	assert_int_equal(log_debug_bits, 0);
	log_close();
}

static void
test_debug_places(void **state)
{
	struct captured c = capture();
	struct log_conf conf = quiet();
	char name[] = "/tmp/test_log.XXXXXX";
	int file = log_to_file(), debug = mkstemp(name);

	(void)state;
	unlink(name);
	log_debug_file(dup(debug));
	conf.debug = DEBUG_ALL;
	conf.debug_to = LOG_DEBUG_FILE;
	log_configure(&conf);
	log_debug(DEBUG_ACL, "to the debug file");
	assert_non_null(strstr(contents(debug), "to the debug file\n"));
	assert_string_equal(contents(file), "");
	conf.debug_to = LOG_DEBUG_STDERR;
	log_configure(&conf);
	log_debug(DEBUG_ACL, "to standard error");
	assert_string_equal(contents(debug), "");
	assert_string_equal(contents(file), "");
	captured_read(&c);
	assert_non_null(strstr(got, "to standard error\n"));
	/* like any line of syslog's, into the log file as well */
	conf.debug_to = LOG_DEBUG_SYSLOG;
	log_configure(&conf);
	log_debug(DEBUG_ACL, "to syslog");
	assert_non_null(strstr(contents(file), "to syslog\n"));
	assert_int_equal(captured_read(&c), 0);
	captured_end(&c);
	log_close();
	close(file);
	close(debug);
}

static void
test_files_are_closed(void **state)
{
	int fds[2];
	char c;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_file(fds[1]);
	log_file(-1);
	assert_int_equal(read(fds[0], &c, 1), 0);	/* end: nobody has it */
	close(fds[0]);
}

static void
test_allow(void **state)
{
	struct log_limit l = { 0 };
	unsigned held;

	(void)state;
	assert_true(log_allow(&l, 5, 100, 2, &held));
	assert_int_equal(held, 0);
	assert_true(log_allow(&l, 50, 100, 2, &held));
	assert_false(log_allow(&l, 60, 100, 2, &held));
	assert_false(log_allow(&l, 104, 100, 2, &held));
	assert_true(log_allow(&l, 105, 100, 2, &held));
	assert_int_equal(held, 2);
	assert_true(log_allow(&l, 106, 100, 2, &held));
	assert_int_equal(held, 0);
	assert_false(log_allow(&l, 107, 100, 2, &held));
	assert_true(log_allow(&l, 1000, 100, 2, &held));
	assert_int_equal(held, 1);
}

/* A closed descriptor 2 must not be given to a socket later. */
static void
test_standard_descriptors(void **state)
{
	int saved = dup(STDERR_FILENO), fd;

	(void)state;
	close(STDERR_FILENO);
	log_open("test");
	fd = dup(saved);
	assert_true(fd > STDERR_FILENO);
	close(fd);
	dup2(saved, STDERR_FILENO);
	close(saved);
	log_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_style),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_verbose),
		cmocka_unit_test(test_debug_places),
		cmocka_unit_test(test_files_are_closed),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_standard_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
