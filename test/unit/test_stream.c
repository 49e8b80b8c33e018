/* misc/stream.c: plain streams. */
#include <sys/socket.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/stream.h"

static struct stream_env env;

/* Blocking on purpose: nothing here may wait all the same. */
static void
open_pair(struct stream s[2])
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	stream_init(&s[0], fds[0]);
	stream_init(&s[1], fds[1]);
}

static void
test_init(void **state)
{
	struct stream s;

	(void)state;
	memset(&s, 0xff, sizeof(s));
	stream_init(&s, 42);
	assert_int_equal(s.fd, 42);
	assert_true(stream_plain(&s));
	assert_false(s.eof || s.truncated || s.shut || s.pending || s.blocked);
	assert_int_equal(stream_flush(&env, &s), 0);
	stream_clear(&env, &s);
	assert_int_equal(s.fd, -1);
}

static void
test_bytes(void **state)
{
	struct stream s[2];
	char b[16];

	(void)state;
	open_pair(s);
	assert_int_equal(stream_read(&env, &s[0], b, sizeof(b)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(s[0].eof);
	assert_int_equal(stream_write(&env, &s[1], "hello", 5), 5);
	assert_int_equal(stream_read(&env, &s[0], b, 2), 2);
	assert_memory_equal(b, "he", 2);
	assert_int_equal(stream_read(&env, &s[0], b, sizeof(b)), 3);
	assert_memory_equal(b, "llo", 3);
	close(s[0].fd);
	close(s[1].fd);
}

static void
test_full(void **state)
{
	static char block[65536];
	struct stream s[2];
	size_t written = 0, seen = 0;
	ssize_t n;

	(void)state;
	open_pair(s);
	while ((n = stream_write(&env, &s[0], block, sizeof(block))) > 0)
		written += (size_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	/* nothing is held above the socket */
	assert_false(s[0].blocked);
	while ((n = stream_read(&env, &s[1], block, sizeof(block))) > 0)
		seen += (size_t)n;
	assert_int_equal(seen, written);
	close(s[0].fd);
	close(s[1].fd);
}

/* Each direction ends by itself. */
static void
test_half_close(void **state)
{
	struct stream s[2];
	char b[16];

	(void)state;
	open_pair(s);
	assert_int_equal(stream_write(&env, &s[0], "x", 1), 1);
	assert_int_equal(stream_shutdown(&env, &s[0]), 0);
	assert_true(s[0].shut);
	assert_int_equal(stream_shutdown(&env, &s[0]), 0);
	assert_int_equal(stream_read(&env, &s[1], b, sizeof(b)), 1);
	assert_false(s[1].eof);
	assert_int_equal(stream_read(&env, &s[1], b, sizeof(b)), 0);
	assert_true(s[1].eof);
	assert_false(s[1].truncated);
	assert_int_equal(stream_write(&env, &s[1], "answer", 6), 6);
	assert_int_equal(stream_read(&env, &s[0], b, sizeof(b)), 6);
	assert_false(s[0].eof);
	close(s[0].fd);
	close(s[1].fd);
}

/* A peer that is gone: an error, not a signal. */
static void
test_gone(void **state)
{
	struct stream s[2];

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	open_pair(s);
	close(s[1].fd);
	assert_int_equal(stream_write(&env, &s[0], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(stream_shutdown(&env, &s[0]), 0);
	assert_true(s[0].shut);
	close(s[0].fd);
	/* not a descriptor at all */
	assert_int_equal(stream_shutdown(&env, &s[1]), -1);
	assert_int_equal(errno, EBADF);
	assert_false(s[1].shut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_full), cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_gone)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
