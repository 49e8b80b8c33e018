/*
 * Messages with descriptors: boundaries, how many descriptors arrive, and
 * that none is lost or left open.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/msg.h"

static int
send_text(int fd, const char *text, const int *fds, unsigned nfds)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return msg_send(fd, &iov, 1, fds, nfds);
}

/* The lowest number free: how many descriptors are open shows in it. */
static int
lowest(void)
{
	int fd = dup(0);

	assert_int_not_equal(fd, -1);
	close(fd);
	return fd;
}

static void
test_pair(void **state)
{
	int fds[2], n = 0;
	socklen_t len = sizeof(n);

	(void)state;
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	for (int i = 0; i < 2; i++)
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &n, &len), 0);
	assert_int_equal(n, msg_socktype());
	close(fds[0]);
	close(fds[1]);
}

static void
test_bufsize(void **state)
{
	int fds[2], plain, n = 0;
	socklen_t len = sizeof(n);

	(void)state;
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &plain,
	    &len), 0);
	close(fds[0]);
	close(fds[1]);
	/* only enlarges */
	assert_int_equal(msg_pair(fds, 4096), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &n,
		    &len), 0);
		assert_int_equal(n, plain);
	}
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(msg_pair(fds, plain + 1), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &n,
		    &len), 0);
		assert_true(n >= plain);
	}
	close(fds[0]);
	close(fds[1]);
}

static void
test_boundaries(void **state)
{
	int fds[2], got[MSG_FDS], cut;
	unsigned n;
	char buf[16];
	struct iovec parts[2] = { { "ab", 2 }, { "cde", 3 } };

	(void)state;
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut),
	    -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(msg_send(fds[1], parts, 2, NULL, 0), 0);
	assert_int_equal(send_text(fds[1], "x", NULL, 0), 0);
	assert_int_equal(msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut), 5);
	assert_memory_equal(buf, "abcde", 5);
	assert_int_equal(n, 0);
	assert_int_equal(cut, 0);
	assert_int_equal(msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut), 1);
	/* longer than the room: said so, and the next one is whole */
	assert_int_equal(send_text(fds[1], "abcdefgh", NULL, 0), 0);
	assert_int_equal(send_text(fds[1], "z", NULL, 0), 0);
	assert_int_equal(msg_recv(fds[0], buf, 4, got, &n, &cut), 4);
	assert_int_not_equal(cut, 0);
	assert_int_equal(msg_recv(fds[0], buf, 4, got, &n, &cut), 1);
	assert_int_equal(cut, 0);
	close(fds[1]);
	if (msg_socktype() != SOCK_DGRAM)
		assert_int_equal(msg_recv(fds[0], buf, 4, got, &n, &cut), 0);
	assert_int_equal(send_text(fds[0], "x", NULL, 0), -1);
	assert_true(errno == EPIPE || errno == ECONNREFUSED ||
	    errno == ECONNRESET);
	close(fds[0]);
}

static void
test_descriptors(void **state)
{
	static const unsigned counts[] = { 1, 2, 7, MSG_FDS };
	int fds[2], pipes[2], many[MSG_FDS], got[MSG_FDS], cut;
	char buf[16];
	unsigned n;

	(void)state;
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(pipe(pipes), 0);
	for (unsigned i = 0; i < MSG_FDS; i++)
		many[i] = pipes[i & 1];
	int before = lowest();
	for (size_t k = 0; k < sizeof(counts) / sizeof(*counts); k++) {
		assert_int_equal(send_text(fds[0], "fds", many, counts[k]),
		    0);
		assert_int_equal(msg_recv(fds[1], buf, sizeof(buf), got, &n,
		    &cut), 3);
		assert_int_equal(n, counts[k]);
		assert_int_equal(cut, 0);
		for (unsigned i = 0; i < n; i++) {
			assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
			/* in the order they were sent */
			assert_int_equal(fcntl(got[i], F_GETFL) & O_ACCMODE,
			    i & 1 ? O_WRONLY : O_RDONLY);
			close(got[i]);
		}
		assert_int_equal(lowest(), before);
	}
	assert_int_equal(send_text(fds[0], "x", many, MSG_FDS + 1), -1);
	assert_int_equal(errno, EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	close(fds[0]);
	close(fds[1]);
}

/* The receiver has no room for all of them: what came is the first ones. */
static void
test_out_of_descriptors(void **state)
{
	int fds[2], pipes[2], many[8], got[MSG_FDS], cut;
	struct rlimit old, small;
	char buf[16];
	unsigned n;

	(void)state;
	if (getenv("VALGRIND") != NULL)
		skip();			/* it keeps the kernel's limit */
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(pipe(pipes), 0);
	for (int i = 0; i < 8; i++)
		many[i] = pipes[i & 1];
	assert_int_equal(send_text(fds[0], "fds", many, 8), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	small = old;
	small.rlim_cur = (rlim_t)lowest() + 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	assert_int_equal(msg_recv(fds[1], buf, sizeof(buf), got, &n, &cut), 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(n, 3);
	assert_int_not_equal(cut, 0);
	assert_int_equal(fcntl(got[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(got[1], F_GETFL) & O_ACCMODE, O_WRONLY);
	while (n > 0)
		close(got[--n]);
	close(pipes[0]);
	close(pipes[1]);
	close(fds[0]);
	close(fds[1]);
}

static void
test_full(void **state)
{
	int fds[2], got[MSG_FDS], cut, sent = 0, seen = 0;
	char buf[512];
	unsigned n;

	(void)state;
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(msg_pair(fds, 0), 0);
	/* the blocking end too never blocks here */
	for (;;) {
		struct iovec iov = { buf, sizeof(buf) };

		if (msg_send(fds[1], &iov, 1, NULL, 0) == -1)
			break;
		assert_true(++sent < 100000);
	}
	assert_int_equal(errno, EAGAIN);
	while (msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut) > 0)
		seen++;
	assert_int_equal(seen, sent);
	assert_int_equal(send_text(fds[1], "again", NULL, 0), 0);
	close(fds[0]);
	close(fds[1]);
}

/* Who leaves without reading what it was sent is still heard. */
static void
test_last_words(void **state)
{
	int fds[2], got[MSG_FDS], cut;
	unsigned n;
	char buf[16];

	(void)state;
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(send_text(fds[0], "unread", NULL, 0), 0);
	assert_int_equal(send_text(fds[1], "last words", NULL, 0), 0);
	close(fds[1]);
	assert_int_equal(msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut), 10);
	assert_memory_equal(buf, "last words", 10);
	assert_int_equal(msg_recv(fds[0], buf, sizeof(buf), got, &n, &cut), 0);
	close(fds[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_bufsize),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
