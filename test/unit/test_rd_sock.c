/*
 * The control socket as a file: never in the way of another one until it is
 * shown, never another's that is removed.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "misc/net.h"
#include "relayd/rd_sock.h"

static char folder[64], path[128];

static int
begin(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/rd_sock.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/ctl.sock", folder);
	return 0;
}

/* Nothing of ours may be left. */
static int
end(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(folder);
}

static bool
answers(const char *at)
{
	struct net_addr a;
	int fd, got;

	assert_true(net_parse_unix(at, &a));
	fd = net_socket(AF_UNIX, SOCK_STREAM, 0);
	got = connect(fd, &a.sa, a.len);
	close(fd);
	return got == 0;
}

static void
shown(struct rd_sock *s)
{
	char error[256] = "";

	if (rd_sock_open(s, path, error, sizeof error) == -1)
		fail_msg("%s", error);
	assert_int_equal(rd_sock_show(s), 0);
}

static void
test_life(void **state)
{
	struct rd_sock s;
	struct stat st;
	char error[256];

	(void)state;
	assert_int_equal(rd_sock_open(&s, path, error, sizeof error), 0);
	assert_false(rd_sock_there(&s));
	assert_int_equal(lstat(path, &st), -1);
	assert_int_equal(rd_sock_show(&s), 0);
	assert_int_equal(rd_sock_show(&s), 0);
	assert_true(rd_sock_there(&s));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_true(answers(path));
	rd_sock_close(&s);
	assert_int_equal(lstat(path, &st), -1);
	assert_false(rd_sock_there(&s));
	rd_sock_close(&s);
}

/* Not shown, it leaves nothing, and the one before answers all the time. */
static void
test_replaced(void **state)
{
	struct rd_sock a, b;
	char error[256];

	(void)state;
	shown(&a);
	assert_int_equal(rd_sock_open(&b, path, error, sizeof error), 0);
	assert_true(rd_sock_there(&a));
	rd_sock_close(&b);
	assert_true(answers(path));
	shown(&b);
	assert_false(rd_sock_there(&a));
	assert_false(rd_sock_lost(&a));		/* somebody is there */
	close(b.fd);
	assert_true(rd_sock_lost(&a));
	b.fd = dup(a.fd);
	rd_sock_close(&b);
	shown(&b);
	assert_true(rd_sock_there(&b));
	rd_sock_close(&a);
	assert_true(answers(path));
	rd_sock_close(&b);
}

static void
test_removed(void **state)
{
	struct rd_sock s;

	(void)state;
	shown(&s);
	assert_false(rd_sock_lost(&s));
	assert_int_equal(unlink(path), 0);
	assert_false(rd_sock_there(&s));
	assert_true(rd_sock_lost(&s));
	rd_sock_close(&s);
	assert_false(rd_sock_lost(&s));
}

/* What a run before this one has left. */
static void
test_stale(void **state)
{
	struct rd_sock s;
	struct net_addr a;
	int fd;

	(void)state;
	assert_true(net_parse_unix(path, &a));
	fd = net_socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	close(fd);
	shown(&s);
	assert_true(answers(path));
	rd_sock_close(&s);
}

static void
test_no_socket(void **state)
{
	struct rd_sock s;
	struct stat st;
	char error[256];
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	close(fd);
	assert_int_equal(rd_sock_open(&s, path, error, sizeof error), -1);
	assert_non_null(strstr(error, "is there, and is no socket"));
	assert_int_equal(lstat(path, &st), 0);
	rd_sock_close(&s);
	assert_int_equal(lstat(path, &st), 0);
}

static void
test_no_folder(void **state)
{
	struct rd_sock s;
	char error[256], away[256];

	(void)state;
	snprintf(away, sizeof away, "%s/none/ctl.sock", folder);
	assert_int_equal(rd_sock_open(&s, away, error, sizeof error), -1);
	assert_non_null(strstr(error, away));
	assert_non_null(strstr(error, "No such file or directory"));
	rd_sock_close(&s);
}

/* As long as a path can be, and one longer. */
static void
test_lengths(void **state)
{
	const size_t most = sizeof ((struct sockaddr_un *)NULL)->sun_path;
	char error[256], usual[sizeof path];
	struct rd_sock s;

	(void)state;
	memcpy(usual, path, sizeof path);
	for (size_t n = most - 12; n < most; n++) {
		memset(path, 'x', sizeof path);
		memcpy(path, folder, strlen(folder));
		path[strlen(folder)] = '/';
		path[n] = '\0';
		shown(&s);
		assert_true(rd_sock_there(&s));
		assert_true(answers(path));
		rd_sock_close(&s);
		assert_int_equal(access(path, F_OK), -1);
	}
	path[most - 1] = 'x';
	path[most] = '\0';
	assert_int_equal(rd_sock_open(&s, path, error, sizeof error), -1);
	assert_non_null(strstr(error, "File name too long"));
	memcpy(path, usual, sizeof path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, begin, end),
		cmocka_unit_test_setup_teardown(test_replaced, begin, end),
		cmocka_unit_test_setup_teardown(test_removed, begin, end),
		cmocka_unit_test_setup_teardown(test_stale, begin, end),
		cmocka_unit_test_setup_teardown(test_no_socket, begin, end),
		cmocka_unit_test_setup_teardown(test_no_folder, begin, end),
		cmocka_unit_test_setup_teardown(test_lengths, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
