/* misc/splice_linux.c: sockets through pipes. Elsewhere: that there is none. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "misc/splice.h"

static void
pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, fds), 0);
}

static void
fill(uint8_t *p, size_t n, size_t from)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)((from + i) * 31 + (from + i) / 253);
}

static void
test_pool(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct splice_pipe *p, *q;

	(void)state;
	assert_non_null(pool);
	assert_false(splice_pool_trim(pool));
	p = splice_get(pool);
	assert_non_null(p);
	assert_int_equal(p->held, 0);
	assert_true(p->size >= 65536);
	assert_int_equal(fcntl(p->fd[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(p->fd[0], F_GETFL) & O_NONBLOCK);
	q = splice_get(pool);
	assert_ptr_not_equal(p, q);
	splice_put(pool, p);
	assert_ptr_equal(splice_get(pool), p);
	splice_put(pool, p);
	splice_put(pool, q);
	splice_put(pool, NULL);
	/* both were needed since the last time, then none */
	assert_true(splice_pool_trim(pool));
	assert_false(splice_pool_trim(pool));
	splice_pool_free(pool);
	splice_pool_free(NULL);
	assert_null(splice_get(NULL));
	assert_false(splice_pool_trim(NULL));
}

/* A megabyte through a pipe in odd pieces, whole and in order. */
static void
test_through(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct splice_pipe *p = splice_get(pool);
	size_t sent = 0, moved = 0, seen = 0, total = 1000003;
	uint8_t out[8192], in[8192], want[8192];
	bool ended = false;
	int a[2], b[2];
	ssize_t n;

	(void)state;
	pair(a);
	pair(b);
	while (seen < total) {
		n = (ssize_t)(total - sent < sizeof(out) ? total - sent :
		    sizeof(out));
		fill(out, (size_t)n, sent);
		n = send(a[0], out, (size_t)n, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		if (sent == total && !ended) {
			shutdown(a[0], SHUT_WR);
			ended = true;
		}
		n = splice_in(p, a[1], 5001);
		assert_true(n >= 0 || errno == EAGAIN || errno == ENOBUFS);
		if (n > 0)
			moved += (size_t)n;
		assert_int_equal(p->held, moved - seen);
		n = p->held > 0 ? splice_out(p, b[0], 3001) : 0;
		if (n > 0) {
			assert_int_equal(recv(b[1], in, sizeof(in), 0), n);
			fill(want, (size_t)n, seen);
			assert_memory_equal(in, want, n);
			seen += (size_t)n;
		}
	}
	assert_int_equal(p->held, 0);
	/* and then its end */
	assert_int_equal(splice_in(p, a[1], 1000), 0);
	splice_put(pool, p);
	splice_pool_free(pool);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

/* EAGAIN of the source and of the pipe are told apart. */
static void
test_why(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct splice_pipe *p = splice_get(pool);
	static uint8_t block[65536];
	size_t total = 0;
	int a[2], b[2];
	ssize_t n;

	(void)state;
	pair(a);
	pair(b);
	assert_int_equal(splice_in(p, a[1], 1000), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(send(a[0], "abc", 3, 0), 3);
	assert_int_equal(splice_in(p, a[1], 1000), 3);
	/* something is held, but it is the source that has nothing */
	assert_int_equal(splice_in(p, a[1], 1000), -1);
	assert_int_equal(errno, EAGAIN);
	/* small pieces fill a pipe long before its size */
	for (;;) {
		assert_int_equal(send(a[0], "x", 1, 0), 1);
		n = splice_in(p, a[1], 1000);
		if (n == -1)
			break;
		total += (size_t)n;
		assert_true(p->held <= p->size);
	}
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(p->held, total + 3);
	/* the end of the source is seen only behind what is held */
	shutdown(a[0], SHUT_WR);
	assert_int_equal(splice_in(p, a[1], 1000), -1);
	assert_int_equal(errno, ENOBUFS);
	while (p->held > 0) {
		assert_true(splice_out(p, b[0], p->held) > 0);
		while (recv(b[1], block, sizeof(block), 0) > 0)
			;
	}
	assert_int_equal(splice_in(p, a[1], 1000), 1);
	assert_int_equal(splice_out(p, b[0], 1), 1);
	assert_int_equal(splice_in(p, a[1], 1000), 0);
	splice_put(pool, p);
	splice_pool_free(pool);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

/* Never more than its size, though the system would take it. */
static void
test_size(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct splice_pipe *p = splice_get(pool);
	static uint8_t block[65536];
	int a[2];
	ssize_t n;

	(void)state;
	pair(a);
	do {
		while (send(a[0], block, sizeof(block), 0) > 0)
			;
		n = splice_in(p, a[1], SIZE_MAX / 2);
		assert_true(p->held <= p->size);
	} while (n > 0);
	assert_int_equal(errno, ENOBUFS);
	/* given back with data in it: that is gone, also for the next one */
	splice_put(pool, p);
	p = splice_get(pool);
	assert_int_equal(p->held, 0);
	assert_int_equal(read(p->fd[0], block, 1), -1);
	assert_int_equal(errno, EAGAIN);
	splice_put(pool, p);
	splice_pool_free(pool);
	close(a[0]);
	close(a[1]);
}

static void
test_errors(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct splice_pipe *p = splice_get(pool);
	static uint8_t block[65536];
	int a[2], b[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	pair(a);
	pair(b);
	assert_int_equal(splice_in(p, -1, 1000), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(send(a[0], "abc", 3, 0), 3);
	assert_int_equal(splice_in(p, a[1], 1000), 3);
	/* a destination that takes nothing now: all is still there */
	while (send(b[0], block, sizeof(block), 0) > 0)
		;
	assert_int_equal(splice_out(p, b[0], 3), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(p->held, 3);
	close(b[1]);
	assert_int_equal(splice_out(p, b[0], 3), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(p->held, 3);
	splice_put(pool, p);
	splice_pool_free(pool);
	close(a[0]);
	close(a[1]);
	close(b[0]);
}

/* No descriptors left: no pipe, and no call in vain each time. */
static void
test_refused(void **state)
{
	struct splice_pool *pool = splice_pool_new();
	struct rlimit old, none;
	struct splice_pipe *p;
	int i;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	errno = 0;
	p = splice_get(pool);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_null(p);
	assert_int_equal(errno, 0);
	/* left in peace for a while, though it would work again */
	assert_null(splice_get(pool));
	for (i = 0; i < 1000 && p == NULL; i++)
		p = splice_get(pool);
	assert_non_null(p);
	splice_put(pool, p);
	splice_pool_free(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool), cmocka_unit_test(test_through),
		cmocka_unit_test(test_why), cmocka_unit_test(test_size),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_refused)
	};
	struct splice_pool *pool = splice_pool_new();

	if (pool == NULL) {
		print_message("this system has no splice\n");
		return splice_get(NULL) != NULL;
	}
	splice_pool_free(pool);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
