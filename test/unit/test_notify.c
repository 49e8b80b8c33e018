/*
 * Messages to a service manager: where to, how often, in which order, and
 * what happens while it does not listen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/net.h"
#include "spawnd/notify.h"

static void
test_address(void **state)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct net_addr a;

	(void)state;
	assert_true(notify_address("/run/notify", &a));
	assert_string_equal(a.un.sun_path, "/run/notify");
	assert_true(notify_address("@abc", &a));
	assert_memory_equal(a.un.sun_path, "\0abc", 4);
	assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 4);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	path[0] = '@';		/* just fits: it needs no NUL */
	assert_true(notify_address(path, &a));
	path[0] = '/';
	assert_false(notify_address(path, &a));
	path[sizeof(path) - 2] = '\0';
	assert_true(notify_address(path, &a));
	for (const char *const *s = (const char *const[]){ "", "@", "run/x",
	    "vsock:2:1234", "unix:/run/x", NULL }; *s != NULL; s++)
		assert_false(notify_address(*s, &a));
}

static void
test_period(void **state)
{
	static const struct {
		const char	*usec, *pid;
		uint64_t	 want;
	} rows[] = {
		{ "20000000", NULL, 10 * EV_SECOND },
		{ "20000000", "77", 10 * EV_SECOND },
		{ "20000000", "78", 0 },
		{ "20000000", "", 0 },
		{ "20000000", "77 ", 0 },
		{ "20000000", "-77", 0 },
		{ NULL, NULL, 0 },
		{ NULL, "77", 0 },
		{ "0", NULL, 0 },
		{ "", NULL, 0 },
		{ "1s", NULL, 0 },
		{ "-1", NULL, 0 },
		{ " 1", NULL, 0 },
		{ "1", NULL, EV_MS },		/* as good as never, too */
		{ "18446744073709551", NULL, UINT64_C(9223372036854775500) },
		{ "18446744073709552", NULL, 0 },
		{ "99999999999999999999999", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(notify_period(rows[i].usec, rows[i].pid, 77),
		    rows[i].want);
}

/* ---- with somebody at the other end */

static int manager;
static struct ev *ev;

static int
set_up(void **state)
{
	struct net_addr a;
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@spawnd-test-notify-%ld",
	    (long)getpid());
	if (!notify_address(name, &a))
		return -1;
	manager = net_socket(AF_UNIX, SOCK_DGRAM, 0);
	if (manager == -1 || bind(manager, &a.sa, a.len) == -1)
		return -1;
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	unsetenv("WATCHDOG_PID");
	ev = ev_new(NULL, true);
	return ev == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	notify_loop(NULL);
	ev_free(ev);
	return close(manager);
}

static const char *
next(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	if (n == -1) {
		assert_int_equal(errno, EAGAIN);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static const char *
wait_next(void)
{
	const char *text;

	for (int i = 0; i < 1000; i++) {
		if ((text = next()) != NULL)
			return text;
		assert_int_equal(ev_turn(ev, 50), 0);
	}
	fail_msg("nothing came");
	return NULL;
}

/* Nobody asked: nothing is sent, nothing is open. */
static void
test_nobody(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_open();
	assert_false(notify_active());
	notify_ready();
	notify_status("%d", 1);
	setenv("NOTIFY_SOCKET", "vsock:2:9999", 1);
	notify_open();
	assert_false(notify_active());
	notify_loop(ev);
	notify_loop(NULL);
}

static void
test_messages(void **state)
{
	struct timespec now;
	uint64_t usec, told;
	const char *text;

	(void)state;
	notify_open();
	assert_true(notify_active());
	notify_ready();
	assert_string_equal(next(), "READY=1");
	clock_gettime(CLOCK_MONOTONIC, &now);
	usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	notify_reloading();
	text = next();
	assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%" SCNu64,
	    &told), 1);
	assert_true(told >= usec && told < usec + 60000000);
	notify_stopping();
	assert_string_equal(next(), "STOPPING=1");
	notify_mainpid(4711);
	assert_string_equal(next(), "MAINPID=4711");
	assert_null(next());
}

static void
test_status(void **state)
{
	(void)state;
	notify_status("%d\nREADY=0 of %s", 1, "these");
	assert_string_equal(next(), "STATUS=1 READY=0 of these");
	notify_status("1 READY=0 of these");
	assert_null(next());
	/* without a loop there is nobody to send it later */
	notify_status("%0400d", 7);
	assert_int_equal(strlen(next()), strlen("STATUS=") + 255);
	notify_loop(ev);
	notify_status("a");
	assert_string_equal(wait_next(), "STATUS=a");
	notify_status("b");
	notify_status("c");
	for (const char *text = "WATCHDOG=1"; strcmp(text, "STATUS=c") != 0;
	    text = wait_next())
		assert_string_equal(text, "WATCHDOG=1");
	notify_loop(NULL);
	while (next() != NULL)
		continue;
}

static void
test_watchdog(void **state)
{
	(void)state;
	notify_loop(ev);
	for (int i = 0; i < 3; i++)
		assert_string_equal(wait_next(), "WATCHDOG=1");
	notify_loop(NULL);
	while (next() != NULL)
		continue;
	assert_int_equal(ev_turn(ev, 60), 0);
	assert_null(next());
}

/* A manager that is busy gets what it missed later, in its order; of too
 * much it gets the end. */
static void
test_full(void **state)
{
	const char *text;
	int got = -1, n, seen = 0;

	(void)state;
	for (n = 0; n < 5000; n++)
		notify_mainpid(n);
	notify_loop(ev);
	while (got != n - 1) {
		text = wait_next();
		if (strcmp(text, "WATCHDOG=1") == 0)
			continue;
		assert_int_equal(sscanf(text, "MAINPID=%d", &seen), 1);
		assert_true(seen > got);
		got = seen;
	}
	notify_loop(NULL);
	while (next() != NULL)
		continue;
}

/* It is gone: that must not hurt, and when it is back it hears us again. */
static void
test_gone(void **state)
{
	struct net_addr a;
	const char *name = getenv("NOTIFY_SOCKET");

	(void)state;
	close(manager);
	notify_stopping();
	notify_stopping();
	assert_true(notify_address(name, &a));
	manager = net_socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(manager, &a.sa, a.len), 0);
	notify_ready();
	assert_string_equal(next(), "READY=1");
	assert_null(next());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_period),
		cmocka_unit_test_setup_teardown(test_nobody, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_messages, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_status, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_watchdog, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
