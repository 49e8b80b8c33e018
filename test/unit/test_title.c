/* misc/title.c: what ps shows, and how often. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/title.h"

#define START	UINT64_C(5000000000)

static char **args;

#ifdef __linux__
static const char *
cmdline(void)
{
	static char text[8192];
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}
#else
#define cmdline title_shown
#endif

/* One test: a process has one title, and the steps build on each other. */
static void
test_title(void **state)
{
	const char *home = getenv("TEST_TITLE");
	char longer[1000];

	(void)state;
	if (getenv("VALGRIND") != NULL)
		skip();			/* it answers for /proc/self/cmdline */
	/* what was moved can still be read */
	assert_non_null(home);
	assert_string_equal(home, "kept");
	assert_non_null(strstr(args[0], "test_title"));
	assert_string_equal(args[1], "again");
	assert_null(args[2]);
	assert_string_equal(title_shown(), "");

	/* the first one at once, the next ones in time */
	assert_int_equal(title_set(START, "relay: %d connections", 0), 0);
	assert_string_equal(title_shown(), "relay: 0 connections");
	assert_string_equal(cmdline(), "relay: 0 connections");
	assert_int_equal(title_set(START + 1, "relay: 1 connection"),
	    TITLE_PERIOD - 1);
	assert_string_equal(cmdline(), "relay: 0 connections");
	assert_int_equal(title_set(START + 2, "relay: 2 connections"),
	    TITLE_PERIOD - 2);
	assert_int_equal(title_flush(START + TITLE_PERIOD - 1), 1);
	assert_string_equal(cmdline(), "relay: 0 connections");
	assert_int_equal(title_flush(START + TITLE_PERIOD), 0);
	assert_string_equal(cmdline(), "relay: 2 connections");
	assert_int_equal(title_flush(START + TITLE_PERIOD), 0);

	/* back to what is shown: nothing is held any more */
	assert_true(title_set(START + TITLE_PERIOD + 1, "other") > 0);
	assert_int_equal(title_set(START + TITLE_PERIOD + 2,
	    "relay: 2 connections"), 0);
	assert_int_equal(title_flush(START + 5 * TITLE_PERIOD), 0);
	assert_string_equal(cmdline(), "relay: 2 connections");

	/* shorter, longer, too long */
	assert_int_equal(title_set(START + 10 * TITLE_PERIOD, "r"), 0);
	assert_string_equal(cmdline(), "r");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(title_set(START + 20 * TITLE_PERIOD, "%s", longer), 0);
	assert_int_equal(strlen(title_shown()), TITLE_MAX - 1);
	assert_int_equal(strncmp(cmdline(), longer, 100), 0);
	assert_true(strlen(cmdline()) < TITLE_MAX);

	/* nothing that lives elsewhere was written over */
	assert_string_equal(getenv("TEST_TITLE"), "kept");
	assert_string_equal(args[1], "again");
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_title),
	};
	char again[] = "again";

	/* with known arguments and environment, as the kernel lays them out */
	if (argc == 1) {
		setenv("TEST_TITLE", "kept", 1);
		execv(argv[0], (char *[]){ argv[0], again, NULL });
		return 1;
	}
	args = title_open(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
