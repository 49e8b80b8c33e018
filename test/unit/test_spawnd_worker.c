/*
 * The public worker half against a master played by the test, over a real
 * socket pair and a real process: this program, executed again as a worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/msg.h"
#include "spawnd/worker.h"

#define WAIT		10000	/* ms, before a test is given up */
#define FLOOD		3000

/* ---- the worker */

enum { EXIT_NOTSOCK = 10, EXIT_PROTO, EXIT_OTHER, EXIT_ENV, EXIT_LOST,
    EXIT_WRONG };

/* A connection says in its first byte what is to be done with it. */
static void
worker_conn(struct spawnd_worker *w, struct spawnd_conn *c)
{
	char order = 0, text[64];
	int n;

	if (c->data != NULL) {
		(void)!write(c->fd, c->data, c->len);
		close(c->fd);
		(void)spawnd_worker_done(w, 1);
		return;
	}
	if (read(c->fd, &order, 1) != 1)
		exit(EXIT_WRONG);
	if (order == 'r') {
		if (spawnd_worker_return(w, c, SPAWND_RETURN_RESOURCES) == -1
		    || c->fd != -1)
			exit(EXIT_WRONG);
		return;
	}
	n = snprintf(text, sizeof(text), "%llu %s %u",
	    (unsigned long long)c->id, c->realm, c->listener);
	(void)!write(c->fd, text, (size_t)n);
	close(c->fd);
	(void)spawnd_worker_done(w, 1);
}

static int
worker_loop(struct spawnd_worker *w)
{
	struct spawnd_conn c;

	for (;;) {
		struct pollfd p = { .fd = spawnd_worker_fd(w),
		    .events = POLLIN };

		if (poll(&p, 1, spawnd_worker_tick(w)) == -1)
			return EXIT_WRONG;
		switch (spawnd_worker_next(w, &c)) {
		case 1:
			worker_conn(w, &c);
			break;
		case 2:
			if (worker_flushed(w))
				return 0;
			break;
		case -1:
			return EXIT_LOST;
		}
	}
}

static int
worker_main(const char *mode)
{
	struct spawnd_worker *w = spawnd_worker_open(
	    strcmp(mode, "version") == 0 ? 2 : SPAWND_VERSION);
	int status;

	if (w == NULL)
		return errno == ENOTSOCK ? EXIT_NOTSOCK :
		    errno == EPROTO ? EXIT_PROTO : EXIT_OTHER;
	if (getenv("SPAWND_WORKER") != NULL ||
	    (fcntl(0, F_GETFD) & FD_CLOEXEC) == 0)
		return EXIT_ENV;
	if (spawnd_worker_max(w, 3) != -1)
		return EXIT_WRONG;	/* nothing was announced yet */
	if (spawnd_worker_ready(w, strcmp(mode, "limit") == 0 ? 0 : 7) == -1)
		return EXIT_WRONG;
	if (strcmp(mode, "max") == 0 && (spawnd_worker_max(w, 8) != -1 ||
	    spawnd_worker_max(w, 0) != -1 || spawnd_worker_max(w, 3) == -1))
		return EXIT_WRONG;
	if (strcmp(mode, "dying") == 0)
		(void)spawnd_worker_dying(w);
	if (strcmp(mode, "bad") == 0)
		(void)spawnd_worker_bad_config(w, "x:1: no good");
	if (strcmp(mode, "tick") == 0)
		w->spoke -= WORKER_KEEPALIVE;
	for (int i = 0; strcmp(mode, "flood") == 0 && i < FLOOD; i++)
		if (spawnd_worker_dying(w) == -1 ||
		    spawnd_worker_done(w, 2) == -1)
			return EXIT_WRONG;
	status = worker_loop(w);
	spawnd_worker_close(w);
	return status;
}

/* ---- the master */

static const char *self;

struct child {
	pid_t pid;
	struct channel ch;
	alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message m;
};

static const uint8_t nonce[8] = { 1, 2, 3, 4, 250, 6, 7, 8 };

static void
child_start(struct child *c, const char *mode, const char *env)
{
	int fds[2];

	memset(c, 0, offsetof(struct child, buf));
	assert_int_equal(msg_pair(fds, 0), 0);
	c->pid = fork();
	assert_int_not_equal(c->pid, -1);
	if (c->pid == 0) {
		dup2(fds[1], 0);
		if (env == NULL)
			unsetenv("SPAWND_WORKER");
		else
			setenv("SPAWND_WORKER", env, 1);
		alarm(WAIT / 1000 * 2);
		execl(self, self, "worker", mode, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	c->ch.fd = fds[0];
	c->ch.master = true;
}

static void
child_hello(struct child *c)
{
	struct channel_hello h;

	memset(&h, 0, sizeof(h));
	memcpy(h.nonce, nonce, sizeof(h.nonce));
	h.generation = 42;
	h.worker = 7;
	assert_int_equal(channel_send(&c->ch, CHANNEL_HELLO, &h, sizeof(h),
	    NULL, 0, NULL, 0), 0);
}

/* The next message must be of that type. */
static void
child_expect(struct child *c, enum channel_type type)
{
	enum channel_result got = CHANNEL_NOTHING;

	for (int i = 0; i < 50 && got == CHANNEL_NOTHING; i++) {
		struct pollfd p = { .fd = c->ch.fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, WAIT), 1);
		got = channel_recv(&c->ch, c->buf, &c->m);
	}
	assert_int_equal(got, CHANNEL_GOT);
	assert_int_equal(c->m.type, type);
}

static void
child_ready(struct child *c, const char *mode)
{
	struct channel_ready ready;
	char env[CHANNEL_ENV_MAX];

	channel_env_print(env, nonce);
	child_start(c, mode, env);
	child_hello(c);
	child_expect(c, CHANNEL_READY);
	assert_int_equal(c->m.len, CHANNEL_READY_PLAIN);
	memcpy(&ready, c->m.payload, CHANNEL_READY_PLAIN);
	assert_memory_equal(ready.nonce, nonce, sizeof(nonce));
	assert_int_equal(ready.generation, 42);
	if (strcmp(mode, "limit") == 0)
		assert_in_range(ready.count, 8, 1048576);
	else
		assert_int_equal(ready.count, 7);
}

static int
child_end(struct child *c)
{
	int status;

	close(c->ch.fd);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
child_dismiss(struct child *c)
{
	int status;

	assert_int_equal(channel_send(&c->ch, CHANNEL_MAY_DIE, NULL, 0, NULL,
	    0, NULL, 0), 0);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	close(c->ch.fd);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Hands over one end of a pair, whose other end is returned; age in s. */
static int
child_accept(struct child *c, uint64_t id, const char *order, int age,
    bool with_fd)
{
	struct channel_record r;
	struct spawnd_conn conn;
	int fds[2];

	memset(&conn, 0, sizeof(conn));
	conn.id = id;
	conn.handed = conn.accepted = worker_clock() -
	    (uint64_t)age * UINT64_C(1000000000);
	conn.listener = 5;
	memcpy(conn.realm, "blue", 5);
	channel_pack(&r, &conn);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	assert_int_equal(write(fds[0], order, strlen(order)), strlen(order));
	assert_int_equal(channel_send(&c->ch, CHANNEL_ACCEPT, &r, sizeof(r),
	    NULL, 0, &fds[1], with_fd), 0);
	close(fds[1]);
	return fds[0];
}

static void
expect_id(struct child *c, enum channel_type type, uint64_t want)
{
	uint64_t id;

	child_expect(c, type);
	memcpy(&id, c->m.payload, sizeof(id));
	assert_int_equal(id, want);
}

static void
expect_return(struct child *c, uint64_t want, uint32_t reason)
{
	struct channel_return r;

	expect_id(c, CHANNEL_RETURN, want);
	memcpy(&r, c->m.payload, sizeof(r));
	assert_int_equal(r.reason, reason);
}

static void
expect_text(int fd, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[128];
	ssize_t n;

	assert_int_equal(poll(&p, 1, WAIT), 1);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
	assert_int_equal(read(fd, text, 1), 0);
	close(fd);
}

static void
expect_count(struct child *c, enum channel_type type, uint32_t want)
{
	struct channel_count n;

	child_expect(c, type);
	memcpy(&n, c->m.payload, sizeof(n));
	assert_int_equal(n.count, want);
}

/* ---- the tests */

static void
test_not_a_worker(void **state)
{
	struct child c;

	(void)state;
	child_start(&c, "ready", NULL);
	assert_int_equal(child_end(&c), EXIT_NOTSOCK);
	/* the variable alone does not make one */
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fds[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1)
			_exit(127);
		dup2(fds[0], 0);
		setenv("SPAWND_WORKER", "1:0102030405060708", 1);
		execl(self, self, "worker", "ready", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), EXIT_NOTSOCK);
}

static void
test_refusals(void **state)
{
	static const struct { const char *env, *text; } rows[] = {
		{ "1:ffffffffffffffff", "HELLO has another nonce than "
		    "SPAWND_WORKER: not started by this master" },
		{ "2:01020304fa060708", "the master speaks version 2 of the "
		    "channel, this worker 1" },
		{ "rubbish", "SPAWND_WORKER in the environment is "
		    "malformed" },
	};
	struct child c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		child_start(&c, "ready", rows[i].env);
		child_hello(&c);
		child_expect(&c, CHANNEL_BAD_CONFIG);
		assert_int_equal(c.m.len, strlen(rows[i].text));
		assert_memory_equal(c.m.payload, rows[i].text, c.m.len);
		assert_int_equal(child_end(&c), EXIT_PROTO);
	}
	/* a version that the library does not have */
	child_start(&c, "version", "1:01020304fa060708");
	assert_int_equal(child_end(&c), EXIT_PROTO);
	/* another first message, and another version in its header */
	child_start(&c, "ready", "1:01020304fa060708");
	assert_int_equal(channel_send(&c.ch, CHANNEL_MAY_DIE, NULL, 0, NULL,
	    0, NULL, 0), 0);
	child_expect(&c, CHANNEL_BAD_CONFIG);
	assert_int_equal(child_end(&c), EXIT_PROTO);
	child_start(&c, "ready", "1:01020304fa060708");
	struct channel_header h = { CHANNEL_MAGIC, 2, CHANNEL_HELLO, 0, 1 };
	struct iovec iov = { &h, sizeof(h) };

	assert_int_equal(msg_send(c.ch.fd, &iov, 1, NULL, 0), 0);
	child_expect(&c, CHANNEL_BAD_CONFIG);
	assert_int_equal(child_end(&c), EXIT_PROTO);
	/* the master ends before it said anything */
	child_start(&c, "ready", "1:01020304fa060708");
	assert_int_equal(child_end(&c), EXIT_PROTO);
}

static void
test_serves(void **state)
{
	struct child c;
	int fd;

	(void)state;
	child_ready(&c, "ready");
	fd = child_accept(&c, 99, "e", 0, true);
	expect_id(&c, CHANNEL_TAKEN, 99);
	expect_text(fd, "99 blue 5");
	expect_count(&c, CHANNEL_DONE, 1);
	/* given back by the worker */
	fd = child_accept(&c, 100, "r", 0, true);
	expect_id(&c, CHANNEL_TAKEN, 100);
	expect_return(&c, 100, SPAWND_RETURN_RESOURCES);
	expect_text(fd, "");
	/* without its descriptor */
	fd = child_accept(&c, 101, "e", 0, false);
	expect_return(&c, 101, SPAWND_RETURN_NOFD);
	close(fd);
	/* under way for too long: not taken, not read */
	fd = child_accept(&c, 102, "e", 21, true);
	expect_return(&c, 102, SPAWND_RETURN_OLD);
	close(fd);
	fd = child_accept(&c, 103, "e", 19, true);
	expect_id(&c, CHANNEL_TAKEN, 103);
	expect_text(fd, "103 blue 5");
	expect_count(&c, CHANNEL_DONE, 1);
	assert_int_equal(child_dismiss(&c), 0);
}

static void
test_ping(void **state)
{
	struct child c;

	(void)state;
	child_ready(&c, "limit");
	assert_int_equal(channel_send(&c.ch, CHANNEL_PING, "12345678", 8,
	    NULL, 0, NULL, 0), 0);
	child_expect(&c, CHANNEL_PONG);
	assert_memory_equal(c.m.payload, "12345678", 8);
	/* a message of a feature that was not agreed is ignored */
	assert_int_equal(channel_send(&c.ch, CHANNEL_COMMIT, "1234", 4, NULL,
	    0, NULL, 0), 0);
	/* and a second HELLO */
	child_hello(&c);
	assert_int_equal(channel_send(&c.ch, CHANNEL_PING, "abcdefgh", 8,
	    NULL, 0, NULL, 0), 0);
	child_expect(&c, CHANNEL_PONG);
	assert_memory_equal(c.m.payload, "abcdefgh", 8);
	assert_int_equal(child_end(&c), EXIT_LOST);
}

static void
test_says(void **state)
{
	struct child c;

	(void)state;
	child_ready(&c, "tick");
	child_expect(&c, CHANNEL_KEEPALIVE);
	assert_int_equal(child_dismiss(&c), 0);
	child_ready(&c, "max");
	expect_count(&c, CHANNEL_MAX_USERS, 3);
	assert_int_equal(child_dismiss(&c), 0);
	child_ready(&c, "dying");
	child_expect(&c, CHANNEL_DYING);
	assert_int_equal(child_dismiss(&c), 0);
	child_ready(&c, "bad");
	child_expect(&c, CHANNEL_BAD_CONFIG);
	assert_int_equal(c.m.len, strlen("x:1: no good"));
	assert_memory_equal(c.m.payload, "x:1: no good", c.m.len);
	assert_int_equal(child_dismiss(&c), 0);
}

/* The master does not read: nothing blocks, nothing is lost, the order
 * stays, and a connection waits for its TAKEN. */
static void
test_flood(void **state)
{
	struct child c;
	uint32_t done = 0, dying = 0;
	int fd, got = 0;

	(void)state;
	child_ready(&c, "flood");
	fd = child_accept(&c, 1, "e", 0, true);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 300), 0);
	while (got != CHANNEL_TAKEN) {
		struct channel_count n;

		struct pollfd q = { .fd = c.ch.fd, .events = POLLIN };

		assert_int_equal(poll(&q, 1, WAIT), 1);
		if (channel_recv(&c.ch, c.buf, &c.m) != CHANNEL_GOT)
			continue;
		got = (int)c.m.type;
		if (got == CHANNEL_DYING) {
			dying++;
		} else if (got == CHANNEL_DONE) {
			memcpy(&n, c.m.payload, sizeof(n));
			done += n.count;
		}
	}
	assert_int_equal(dying, FLOOD);
	assert_int_equal(done, 2 * FLOOD);
	expect_text(fd, "1 blue 5");
	expect_count(&c, CHANNEL_DONE, 1);
	assert_int_equal(child_dismiss(&c), 0);
}

static void
test_datagram(void **state)
{
	struct channel_record r;
	struct spawnd_conn conn;
	uint8_t payload[4 + 4096 + 11];
	uint32_t len = 4096;
	char text[8192];
	struct child c;
	int fds[2];

	(void)state;
	memset(&conn, 0, sizeof(conn));
	conn.id = 5;
	conn.handed = worker_clock();
	channel_pack(&r, &conn);
	memcpy(payload, &len, sizeof(len));
	memset(payload + 4, 'd', sizeof(payload) - 4);
	child_ready(&c, "ready");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	assert_int_equal(channel_send(&c.ch, CHANNEL_UDPDATA, &r, sizeof(r),
	    payload, sizeof(payload), &fds[1], 1), 0);
	close(fds[1]);
	expect_id(&c, CHANNEL_TAKEN, 5);
	expect_count(&c, CHANNEL_DONE, 1);
	assert_int_equal(recv(fds[0], text, sizeof(text), MSG_WAITALL), 4096);
	assert_int_equal(text[4095], 'd');
	close(fds[0]);
	assert_int_equal(child_dismiss(&c), 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_a_worker),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_serves),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_says),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_datagram),
	};

	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return worker_main(argv[2]);
	self = argv[0];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
