/*
 * misc/ev.c and its mechanisms: one contract, tested with every mechanism
 * of this system, and with the others on top of stand-ins for their
 * interfaces (test/standin). What the loop asks of a mechanism is tested
 * with one of ours that counts.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#include "features.h"
#include "misc/ev.h"
#include "misc/ev_mech.h"

#define FAKE	64u			/* the bit of our own mechanism */
#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

extern const struct ev_mech mech_fake;

const struct ev_mech *const ev_mechs[] = {
	&mech_fake, &ev_mech_port, &ev_mech_kqueue, &ev_mech_devpoll,
#ifdef HAVE_EPOLL
	&ev_mech_epoll,
#endif
	&ev_mech_poll, &ev_mech_select, NULL
};

/* Our mechanism: remembers what it is asked */

static struct {
	bool		 broken;	/* cannot be created */
	int		 change_error;	/* change() fails so */
	int		 wait_error;
	char		 calls[512];
	int		 timeout;	/* of the last wait */
	int		 ready_fd;	/* reported by the next wait, -1 */
	uint32_t	 ready_serial;
	unsigned	 ready;
} fake;

static void
fake_note(const char *fmt, ...)
{
	size_t n = strlen(fake.calls);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake.calls + n, sizeof(fake.calls) - n, fmt, ap);
	va_end(ap);
}

static void *
fake_open(int *limit)
{
	if (fake.broken) {
		errno = ENOSYS;
		return NULL;
	}
	*limit = 100000;
	return &fake;
}

static void
fake_close(void *state)
{
	assert_ptr_equal(state, &fake);
}

static int
fake_change(void *state, int fd, uint32_t serial, unsigned was, unsigned now,
    bool known)
{
	(void)state;
	fake.ready_serial = serial;
	fake_note("%s%d:%u-%u ", known ? "mod" : "add", fd, was, now);
	errno = fake.change_error;
	return errno != 0 ? -1 : 0;
}

static void
fake_forget(void *state, int fd, unsigned was, bool closing)
{
	(void)state;
	fake_note("%s%d:%u ", closing ? "closing" : "del", fd, was);
}

static int
fake_wait(void *state, struct ev *ev, int timeout)
{
	(void)state;
	fake.timeout = timeout;
	if (fake.ready_fd != -1)
		ev_report(ev, fake.ready_fd, fake.ready_serial, fake.ready);
	fake.ready_fd = -1;
	errno = fake.wait_error;
	return errno != 0 ? -1 : 0;
}

const struct ev_mech mech_fake = {
	FAKE, "fake", fake_open, fake_close, fake_change, fake_forget,
	fake_wait
};

static void
fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.ready_fd = -1;
}

/* A watched descriptor that counts its callbacks */

struct watched {
	struct ev	*ev;
	int		 fd;
	int		 readable, writable, error, hangup;
	bool		 drain;			/* read what is there */
	bool		 end;			/* close when called */
	void		(*act)(struct watched *);	/* more to do */
	struct watched	*other;
	ssize_t		 got;			/* by the last read */
};

static void
called(struct watched *w, int fd, int *count)
{
	assert_int_equal(fd, w->fd);
	++*count;
	if (w->act != NULL)
		w->act(w);
	if (w->end)
		ev_close(w->ev, fd);
}

static void
readable(void *ctx, int fd)
{
	struct watched *w = ctx;
	char b[64];

	if (w->drain)
		w->got = read(fd, b, sizeof(b));
	called(w, fd, &w->readable);
}

static void
writable(void *ctx, int fd)
{
	struct watched *w = ctx;

	called(w, fd, &w->writable);
}

static void
on_error(void *ctx, int fd)
{
	struct watched *w = ctx;

	called(w, fd, &w->error);
}

static void
on_hangup(void *ctx, int fd)
{
	struct watched *w = ctx;

	called(w, fd, &w->hangup);
}

static const struct ev_ops all_ops = { readable, writable, on_error,
    on_hangup };
static const struct ev_ops some_ops = { readable, writable, NULL, NULL };
static const struct ev_ops hangup_ops = { readable, writable, NULL,
    on_hangup };

static int
calls(const struct watched *w)
{
	return w->readable + w->writable + w->error + w->hangup;
}

/* Things that most tests need */

static struct ev *
loop(void **state)
{
	char mask[16];
	struct ev *ev;

	snprintf(mask, sizeof(mask), "0x%x", *(unsigned *)*state);
	ev = ev_new(mask, true);
	assert_non_null(ev);
	assert_int_equal(ev_mechanism(ev), *(unsigned *)*state);
	return ev;
}

static void
pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, fds), 0);
}

static void
watch(struct ev *ev, struct watched *w, int fd, unsigned interest)
{
	w->ev = ev;
	w->fd = fd;
	assert_int_equal(ev_add(ev, fd, &all_ops, w, interest), 0);
}

static void
put(int fd)
{
	assert_int_equal(write(fd, "x", 1), 1);
}

/* A round that need not find anything. */
static void
turn(struct ev *ev)
{
	assert_int_equal(ev_turn(ev, 10), 0);
}

/* Rounds until something came; over TCP it may take its time. */
static void
await(struct ev *ev, const int *count)
{
	int i;

	for (i = 0; *count == 0 && i < 500; i++)
		turn(ev);
	assert_int_equal(*count, 1);
}

static void
set_true(void *ctx)
{
	*(bool *)ctx = true;
}

/*
 * Rounds until ns have passed. They are many if something keeps the loop
 * awake, a handful otherwise, on whatever machine.
 */
static int
rounds(struct ev *ev, uint64_t ns)
{
	struct ev_timer t = { .slot = 0 };
	bool over = false;
	int n = 0;

	ev_clock(ev);
	ev_timer_set(ev, &t, ns, set_true, &over);
	/* bounded: a timer runs before the wait of its round */
	while (!over) {
		assert_int_equal(ev_turn(ev, 10), 0);
		n++;
	}
	return n;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* A listening TCP socket on loopback. */
static int
listening(struct sockaddr_in *sa)
{
	socklen_t len = sizeof(*sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*sa = (struct sockaddr_in){ .sin_family = AF_INET };
	sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)sa, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &len), 0);
	return fd;
}

static int
connecting(const struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == -1)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* A connected pair of TCP sockets. */
static void
tcp_pair(int fds[2])
{
	struct sockaddr_in sa;
	int l = listening(&sa);

	fds[0] = connecting(&sa);
	do
		fds[1] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fds[1] == -1 && errno == EAGAIN);
	assert_int_not_equal(fds[1], -1);
	close(l);
}

/* Descriptors, with every mechanism */

static void
test_level(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2];

	pair(fds);
	watch(ev, &w, fds[0], EV_READ);
	turn(ev);
	assert_int_equal(calls(&w), 0);
	put(fds[1]);
	turn(ev);
	assert_int_equal(w.readable, 1);
	/* nothing was read: again */
	turn(ev);
	assert_int_equal(w.readable, 2);
	w.drain = true;
	turn(ev);
	assert_int_equal(w.readable, 3);
	turn(ev);
	assert_int_equal(calls(&w), 3);
	ev_close(ev, fds[0]);
	close(fds[1]);
	ev_free(ev);
	assert_false(is_open(fds[0]));
}

static void
test_one_callback(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true };
	int fds[2];

	pair(fds);
	watch(ev, &w, fds[0], EV_READ | EV_WRITE);
	put(fds[1]);
	turn(ev);
	assert_int_equal(w.readable, 1);
	assert_int_equal(w.writable, 0);
	turn(ev);
	assert_int_equal(w.readable, 1);
	assert_int_equal(w.writable, 1);
	ev_interest(ev, fds[0], EV_READ);
	turn(ev);
	assert_int_equal(calls(&w), 2);
	ev_del(ev, fds[0]);
	assert_true(is_open(fds[0]));
	close(fds[0]);
	close(fds[1]);
	ev_free(ev);
}

static void
test_interest(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2];

	pair(fds);
	put(fds[1]);
	watch(ev, &w, fds[0], 0);
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	assert_int_equal(calls(&w), 0);
	ev_interest(ev, fds[0], EV_WRITE);
	turn(ev);
	assert_int_equal(w.writable, 1);
	ev_interest(ev, fds[0], EV_READ);
	turn(ev);
	assert_int_equal(w.writable, 1);
	assert_int_equal(w.readable, 1);
	ev_interest(ev, fds[0], 0);
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	assert_int_equal(calls(&w), 2);
	/* changed to and fro before the wait */
	ev_interest(ev, fds[0], EV_READ);
	ev_interest(ev, fds[0], EV_WRITE);
	ev_interest(ev, fds[0], EV_READ | EV_WRITE);
	ev_interest(ev, fds[0], EV_READ);
	turn(ev);
	assert_int_equal(w.readable, 2);
	ev_close(ev, fds[0]);
	ev_close(ev, fds[1]);
	ev_free(ev);
}

/* Interest that goes away within the round is respected within the round. */
static void
no_interest(struct watched *w)
{
	ev_interest(w->ev, w->other->fd, 0);
}

static void
test_interest_in_round(void **state)
{
	struct ev *ev = loop(state);
	struct watched a = { .act = no_interest }, b = { .act = no_interest };
	int fa[2], fb[2];

	pair(fa);
	pair(fb);
	a.other = &b;
	b.other = &a;
	watch(ev, &a, fa[0], EV_READ);
	watch(ev, &b, fb[0], EV_READ);
	put(fa[1]);
	put(fb[1]);
	turn(ev);
	assert_int_equal(calls(&a) + calls(&b), 1);
	ev_close(ev, fa[0]);
	ev_close(ev, fb[0]);
	close(fa[1]);
	close(fb[1]);
	ev_free(ev);
}

static void
close_other(struct watched *w)
{
	ev_close(w->ev, w->other->fd);
	assert_false(ev_has(w->ev, w->other->fd));
	/* the number is not free before the end of the round */
	assert_true(is_open(w->other->fd));
	/* twice is once */
	ev_close(w->ev, w->other->fd);
}

static void
test_close_in_callback(void **state)
{
	struct ev *ev = loop(state);
	struct watched a = { .act = close_other }, b = { .act = close_other };
	int fa[2], fb[2];

	pair(fa);
	pair(fb);
	a.other = &b;
	b.other = &a;
	watch(ev, &a, fa[0], EV_READ);
	watch(ev, &b, fb[0], EV_READ);
	put(fa[1]);
	put(fb[1]);
	turn(ev);
	/* both were ready; who came first closed the other one */
	assert_int_equal(calls(&a) + calls(&b), 1);
	assert_true(is_open(fa[0]) != is_open(fb[0]));
	assert_true(ev_has(ev, fa[0]) == is_open(fa[0]));
	ev_close(ev, a.readable ? fa[0] : fb[0]);
	turn(ev);
	assert_false(is_open(fa[0]) || is_open(fb[0]));
	close(fa[1]);
	close(fb[1]);
	ev_free(ev);
}

static void
test_close_self(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .end = true };
	int fds[2];

	pair(fds);
	watch(ev, &w, fds[0], EV_READ);
	put(fds[1]);
	turn(ev);
	turn(ev);
	assert_int_equal(calls(&w), 1);
	assert_false(is_open(fds[0]));
	close(fds[1]);
	ev_free(ev);
}

/* The other descriptor is closed, and its number comes again at once. */
static struct watched reborn;

static void
replace_other(struct watched *w)
{
	int fds[2], fd = w->other->fd;

	ev_del(w->ev, fd);
	close(fd);
	pair(fds);
	if (fds[0] != fd) {
		assert_int_equal(fds[1] == fd ? dup2(fds[0], fd + 1000) :
		    dup2(fds[0], fd), fds[1] == fd ? fd + 1000 : fd);
		close(fds[0]);
		fds[0] = fds[1] == fd ? fd + 1000 : fd;
	}
	if (fds[1] == fd) {
		fds[1] = fds[0];
		fds[0] = fd;
	}
	reborn = (struct watched){ .other = w };
	watch(w->ev, &reborn, fd, EV_READ);
	w->got = fds[1];		/* the peer of the new one */
}

static void
test_number_reused(void **state)
{
	struct ev *ev = loop(state);
	struct watched a = { .act = replace_other };
	struct watched b = { .act = replace_other };
	struct watched *first;
	int fa[2], fb[2];

	pair(fa);
	pair(fb);
	a.other = &b;
	b.other = &a;
	watch(ev, &a, fa[0], EV_READ);
	watch(ev, &b, fb[0], EV_READ);
	put(fa[1]);
	put(fb[1]);
	turn(ev);
	/* the event of the former owner went to nobody */
	assert_int_equal(calls(&a) + calls(&b), 1);
	assert_int_equal(calls(&reborn), 0);
	first = a.readable ? &a : &b;
	ev_del(ev, first->fd);
	turn(ev);
	assert_int_equal(calls(&reborn), 0);
	/* the new one is watched like any other */
	put((int)first->got);
	turn(ev);
	assert_int_equal(reborn.readable, 1);
	close((int)first->got);
	ev_close(ev, reborn.fd);
	ev_close(ev, first->fd);
	close(fa[1]);
	close(fb[1]);
	ev_free(ev);
}

/* The same over rounds: the mechanism, too, must have forgotten. */
static void
test_number_reused_later(void **state)
{
	struct ev *ev = loop(state);
	struct watched a = { 0 }, b = { 0 };
	int fds[2], old;

	pair(fds);
	old = fds[0];
	watch(ev, &a, old, EV_READ | EV_WRITE);
	turn(ev);
	assert_int_equal(a.writable, 1);
	ev_close(ev, old);
	turn(ev);
	close(fds[1]);
	pair(fds);
	if (fds[1] == old)
		fds[1] = fds[0];
	else if (fds[0] != old)
		assert_int_equal(dup2(fds[0], old), old), close(fds[0]);
	watch(ev, &b, old, EV_READ);
	assert_true(rounds(ev, 30 * EV_MS) < 20);
	assert_int_equal(calls(&b), 0);
	put(fds[1]);
	turn(ev);
	assert_int_equal(b.readable, 1);
	assert_int_equal(calls(&a), 1);
	ev_close(ev, old);
	close(fds[1]);
	ev_free(ev);
}

static void
test_close_never_added(void **state)
{
	struct ev *ev = loop(state);
	int fds[2], high;

	pair(fds);
	high = fcntl(fds[1], F_DUPFD_CLOEXEC, 900);
	ev_close(ev, fds[0]);
	ev_close_shared(ev, high);
	assert_false(ev_has(ev, fds[0]));
	assert_true(is_open(fds[0]));
	/* without waiting, though nothing is ready */
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_false(is_open(fds[0]));
	assert_false(is_open(high));
	close(fds[1]);
	ev_free(ev);
}

static void
test_hangup_order(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true };
	int fds[2];

	pair(fds);
	put(fds[1]);
	watch(ev, &w, fds[0], EV_READ | EV_WRITE);
	close(fds[1]);
	turn(ev);
	/* data first, then the end of file, both to the reader */
	assert_int_equal(w.readable, 1);
	assert_int_equal(w.got, 1);
	turn(ev);
	assert_int_equal(w.readable, 2);
	assert_int_equal(w.got, 0);
	assert_int_equal(calls(&w), 2);
	/* no writing into what has hung up */
	ev_interest(ev, fds[0], EV_WRITE);
	turn(ev);
	assert_int_equal(w.writable, 0);
	assert_int_equal(w.hangup + w.error, 1);
	ev_interest(ev, fds[0], 0);
	turn(ev);
	turn(ev);
	assert_int_equal(w.hangup + w.error, 3);
	assert_int_equal(calls(&w), 5);
	ev_close(ev, fds[0]);
	ev_free(ev);
}

/* It is noticed while the loop waits, also by who wants nothing. */
static void
test_hangup_waiting(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .end = true };
	int fds[2], status;
	pid_t pid;

	pair(fds);
	pid = fork();
	if (pid == 0) {
		poll(NULL, 0, 30);
		_exit(0);
	}
	close(fds[1]);
	watch(ev, &w, fds[0], 0);
	alarm(60);
	while (calls(&w) == 0)
		assert_int_equal(ev_turn(ev, -1), 0);
	alarm(0);
	assert_int_equal(w.hangup, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ev_free(ev);
}

/* A pipe without writers: the hang-up is the reader's end of file. */
static void
test_hangup_pipe(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true, .got = -1 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	watch(ev, &w, fds[0], EV_READ);
	close(fds[1]);
	turn(ev);
	assert_int_equal(w.readable, 1);
	assert_int_equal(w.got, 0);
	assert_int_equal(calls(&w), 1);
	ev_close(ev, fds[0]);
	ev_free(ev);
}

/* A pipe without readers is an error to the writer. */
static void
test_error_pipe(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	watch(ev, &w, fds[1], 0);
	turn(ev);
	assert_int_equal(calls(&w), 0);
	close(fds[0]);
	turn(ev);
	assert_int_equal(w.error, 1);
	/* and again while it lasts */
	turn(ev);
	assert_int_equal(w.error, 2);
	assert_int_equal(calls(&w), 2);
	ev_close(ev, fds[1]);
	ev_free(ev);
}

/* The end of one direction is nothing to who does not read. */
static void
test_half_close(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true, .got = -1 };
	int fds[2];

	tcp_pair(fds);
	watch(ev, &w, fds[0], 0);
	turn(ev);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	assert_true(rounds(ev, 100 * EV_MS) < 30);
	assert_int_equal(calls(&w), 0);
	ev_interest(ev, fds[0], EV_WRITE);
	await(ev, &w.writable);
	ev_interest(ev, fds[0], EV_READ);
	await(ev, &w.readable);
	assert_int_equal(w.got, 0);
	ev_interest(ev, fds[0], 0);
	assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
	ev_close(ev, fds[0]);
	close(fds[1]);
	ev_free(ev);
}

/* A reset reaches those who want nothing, and those who write. */
static void
test_reset(void **state)
{
	static const unsigned interests[] = { 0, EV_WRITE };
	struct linger now = { 1, 0 };
	struct ev *ev = loop(state);
	struct watched w;
	int fds[2];
	size_t i;

	for (i = 0; i < NELEM(interests); i++) {
		memset(&w, 0, sizeof(w));
		tcp_pair(fds);
		watch(ev, &w, fds[0], 0);
		turn(ev);
		setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fds[1]);
		assert_int_equal(poll(&(struct pollfd){ .fd = fds[0] }, 1,
		    5000), 1);
		ev_interest(ev, fds[0], interests[i]);
		await(ev, &w.error);
		assert_int_equal(calls(&w), 1);
		ev_close(ev, fds[0]);
	}
	ev_free(ev);
}

static void
test_refused(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .end = true };
	struct sockaddr_in sa;
	int l = listening(&sa), fd;

	close(l);
	fd = connecting(&sa);
	watch(ev, &w, fd, EV_WRITE);
	while (calls(&w) == 0)
		assert_int_equal(ev_turn(ev, 1000), 0);
	assert_int_equal(w.error, 1);
	turn(ev);
	assert_int_equal(calls(&w), 1);
	ev_free(ev);
}

static void
test_connected(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 }, lw = { 0 };
	struct sockaddr_in sa;
	int l = listening(&sa), fd = connecting(&sa);

	watch(ev, &lw, l, EV_READ);
	watch(ev, &w, fd, EV_WRITE);
	while (lw.readable == 0 || w.writable == 0)
		assert_int_equal(ev_turn(ev, 1000), 0);
	assert_int_equal(lw.writable + lw.error + lw.hangup, 0);
	assert_int_equal(w.readable + w.error + w.hangup, 0);
	ev_close(ev, l);
	ev_close(ev, fd);
	ev_free(ev);
}

/* Nobody to tell: out of the loop, once, and quiet from then on. */
static void
test_nobody_to_tell(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .ev = ev }, h = { .ev = ev };
	int fds[2], error[2];

	pair(fds);
	w.fd = fds[0];
	assert_int_equal(ev_add(ev, fds[0], &some_ops, &w, 0), 0);
	close(fds[1]);
	turn(ev);
	assert_false(ev_has(ev, fds[0]));
	assert_true(is_open(fds[0]));
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	/* what its owner does now is harmless */
	ev_interest(ev, fds[0], EV_READ);
	ev_set(ev, fds[0], &all_ops, &w);
	ev_del(ev, fds[0]);
	turn(ev);
	assert_int_equal(calls(&w), 0);
	ev_close(ev, fds[0]);

	/* an error with a hang-up, and only the latter has a callback */
	tcp_pair(error);
	h.fd = error[0];
	h.end = true;
	assert_int_equal(ev_add(ev, error[0], &hangup_ops, &h, 0), 0);
	setsockopt(error[1], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
	    sizeof(struct linger));
	close(error[1]);
	await(ev, &h.hangup);
	ev_free(ev);
	assert_false(is_open(fds[0]) || is_open(error[0]));
}

/* Closed behind the loop's back: whatever is seen of it, it is no storm. */
static void
test_closed_behind(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .ev = ev }, other = { .drain = true };
	int fds[2], others[2];

	pair(fds);
	pair(others);
	w.fd = fds[0];
	assert_int_equal(ev_add(ev, fds[0], &some_ops, &w, EV_READ), 0);
	watch(ev, &other, others[0], EV_READ);
	turn(ev);
	close(fds[0]);
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	put(others[1]);
	turn(ev);
	assert_int_equal(other.readable, 1);
	ev_del(ev, fds[0]);
	ev_close(ev, others[0]);
	close(others[1]);
	close(fds[1]);
	ev_free(ev);
}

static void
test_add_twice(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2];

	pair(fds);
	watch(ev, &w, fds[0], EV_READ);
	errno = 0;
	assert_int_equal(ev_add(ev, fds[0], &all_ops, &w, EV_READ), -1);
	assert_int_equal(errno, EEXIST);
	ev_del(ev, fds[0]);
	assert_int_equal(ev_add(ev, fds[0], &all_ops, &w, EV_READ), 0);
	put(fds[1]);
	turn(ev);
	assert_int_equal(w.readable, 1);
	/* out, and in again, within a round */
	ev_del(ev, fds[0]);
	assert_int_equal(ev_add(ev, fds[0], &all_ops, &w, EV_READ), 0);
	turn(ev);
	assert_int_equal(w.readable, 2);
	ev_close(ev, fds[0]);
	close(fds[1]);
	ev_free(ev);
}

static void
test_set(void **state)
{
	struct ev *ev = loop(state);
	struct watched a = { 0 }, b = { 0 };
	int fds[2];

	pair(fds);
	put(fds[1]);
	watch(ev, &a, fds[0], EV_READ);
	turn(ev);
	b.fd = fds[0];
	ev_set(ev, fds[0], &some_ops, &b);
	turn(ev);
	assert_int_equal(calls(&a), 1);
	assert_int_equal(b.readable, 1);
	ev_close(ev, fds[0]);
	close(fds[1]);
	ev_free(ev);
}

static void
test_regular_file(void **state)
{
	struct ev *ev = loop(state);
	struct watched r = { 0 }, w = { 0 };
	char path[] = "/tmp/test_ev.XXXXXX";
	int fd = mkstemp(path), fd2;

	assert_int_not_equal(fd, -1);
	unlink(path);
	fd2 = dup(fd);
	/* empty: at its end from the start, and ready all the same */
	watch(ev, &r, fd, EV_READ);
	watch(ev, &w, fd2, EV_WRITE);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(r.readable, 2);
	assert_int_equal(w.writable, 2);
	ev_interest(ev, fd, 0);
	ev_interest(ev, fd2, 0);
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	assert_int_equal(calls(&r) + calls(&w), 4);
	ev_interest(ev, fd2, EV_READ);
	ev_close(ev, fd);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(w.readable, 1);
	assert_false(is_open(fd));
	ev_close(ev, fd2);
	assert_true(rounds(ev, 30 * EV_MS) < 20);
	assert_int_equal(calls(&r) + calls(&w), 5);
	ev_free(ev);
}

/* Two loops watch one listening socket, as two workers do. */
static void
test_shared(void **state)
{
	struct ev *a = loop(state), *b = loop(state);
	struct watched wa = { .ev = a }, wb = { .ev = b };
	struct sockaddr_in sa;
	int l = listening(&sa), copy = dup(l), client, got;

	wa.fd = l;
	wb.fd = copy;
	assert_int_equal(ev_add_shared(a, l, &all_ops, &wa, EV_READ), 0);
	assert_int_equal(ev_add_shared(b, copy, &all_ops, &wb, 0), 0);
	turn(a);
	turn(b);
	assert_int_equal(calls(&wa) + calls(&wb), 0);
	client = connecting(&sa);
	await(a, &wa.readable);
	turn(b);
	assert_int_equal(calls(&wb), 0);
	/* the one is full, the other has room: interest changes hands */
	ev_interest(a, l, 0);
	ev_interest(b, copy, EV_READ);
	turn(a);
	turn(b);
	assert_int_equal(wa.readable, 1);
	assert_int_equal(wb.readable, 1);
	ev_interest(a, l, EV_READ);
	turn(a);
	assert_int_equal(wa.readable, 2);
	/* given up by one, though the file lives on: no event, no storm */
	ev_close(a, l);
	assert_true(rounds(a, 50 * EV_MS) < 20);
	assert_false(is_open(l));
	assert_int_equal(wa.readable, 2);
	got = accept(copy, NULL, NULL);
	assert_int_not_equal(got, -1);
	turn(b);
	assert_int_equal(wb.readable, 1);
	ev_interest(b, copy, 0);
	turn(b);
	ev_close(b, copy);
	close(got);
	close(client);
	ev_free(a);
	ev_free(b);
}

/* Another process holds a copy. */
static void
test_close_shared(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2], copy;

	pair(fds);
	copy = dup(fds[0]);
	watch(ev, &w, fds[0], EV_READ);
	turn(ev);
	ev_close_shared(ev, fds[0]);
	turn(ev);
	assert_false(is_open(fds[0]));
	put(fds[1]);
	assert_true(rounds(ev, 50 * EV_MS) < 20);
	assert_int_equal(calls(&w), 0);
	close(copy);
	close(fds[1]);
	ev_free(ev);
}

static void
test_many(void **state)
{
	enum { N = 400 };
	struct ev *ev = loop(state);
	static struct watched w[N];
	static int fds[N][2];
	int i, done;

	memset(w, 0, sizeof(w));
	for (i = 0; i < N; i++) {
		pair(fds[i]);
		put(fds[i][1]);
		/* with select, what it cannot hold stays out */
		if (fds[i][0] >= ev_limit(ev))
			break;
		w[i].drain = true;
		watch(ev, &w[i], fds[i][0], EV_READ);
	}
	done = i;
	assert_true(done > 100);
	/* more than a mechanism fetches at once: in several rounds */
	for (i = 0; i < 10; i++)
		assert_int_equal(ev_turn(ev, 0), 0);
	for (i = 0; i < done; i++) {
		assert_int_equal(calls(&w[i]), 1);
		ev_close(ev, fds[i][0]);
	}
	turn(ev);
	for (i = 0; i < done; i++)
		close(fds[i][1]);
	if (done < N) {
		close(fds[done][0]);
		close(fds[done][1]);
	}
	ev_free(ev);
}

static void
test_limit(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true };
	struct rlimit rl, high;
	int fds[2], fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	high = rl;
	high.rlim_cur = rl.rlim_max < 4000 ? rl.rlim_max : 4000;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &high), 0);
	assert_true(ev_limit(ev) <= (int)high.rlim_cur);
	pair(fds);
	fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 1500);
	if (fd == -1) {
		print_message("descriptor limit too low to see more\n");
	} else if (ev_mechanism(ev) == EV_SELECT) {
		assert_int_equal(ev_limit(ev), FD_SETSIZE);
		assert_int_equal(ev_add(ev, fd, &all_ops, &w, EV_READ), -1);
		assert_int_equal(errno, EMFILE);
		assert_false(ev_has(ev, fd));
		ev_close(ev, fd);
		turn(ev);
	} else {
		watch(ev, &w, fd, EV_READ);
		put(fds[1]);
		turn(ev);
		assert_int_equal(w.readable, 1);
		ev_close(ev, fd);
		turn(ev);
	}
	assert_false(is_open(fd));
	close(fds[0]);
	close(fds[1]);
	ev_free(ev);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
}

static void
nothing(int signo)
{
	(void)signo;
}

/* An interrupted wait is an empty round. */
static void
test_interrupted(void **state)
{
	struct sigaction sa = { .sa_handler = nothing }, old;
	struct itimerval soon = { .it_value = { 0, 10000 },
	    .it_interval = { 0, 10000 } }, never = { .it_value = { 0, 0 } };
	struct ev *ev = loop(state);
	struct watched w = { 0 };
	int fds[2];

	pair(fds);
	watch(ev, &w, fds[0], EV_READ);
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(ev_turn(ev, -1), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	assert_int_equal(calls(&w), 0);
	put(fds[1]);
	turn(ev);
	assert_int_equal(w.readable, 1);
	ev_close(ev, fds[0]);
	close(fds[1]);
	ev_free(ev);
}

/* Signals arrive between callbacks, in the loop. */
static int signals[2];

static void
on_signal(void *ctx, int signo)
{
	assert_ptr_equal(ctx, signals);
	signals[signo == SIGUSR2]++;
}

static void
test_signals(void **state)
{
	struct ev *ev = loop(state), *second = loop(state);

	signals[0] = signals[1] = 0;
	assert_int_equal(ev_signal(ev, SIGUSR1, on_signal, signals), 0);
	assert_int_equal(ev_signal(ev, SIGUSR2, on_signal, signals), 0);
	assert_int_equal(ev_signal(ev, SIGPIPE, NULL, NULL), 0);
	assert_int_equal(ev_signal(ev, SIGKILL, on_signal, signals), -1);
	assert_int_equal(ev_signal(ev, 0, on_signal, signals), -1);
	assert_int_equal(ev_signal(second, SIGUSR1, on_signal, signals), -1);
	assert_int_equal(errno, EBUSY);
	ev_free(second);
	raise(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGPIPE);
	assert_int_equal(signals[0], 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(signals[0], 1);
	assert_int_equal(signals[1], 0);
	raise(SIGUSR2);
	raise(SIGUSR1);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(signals[0], 2);
	assert_int_equal(signals[1], 1);
	turn(ev);
	assert_int_equal(signals[0] + signals[1], 3);
	ev_free(ev);
}

/* A child that has not reset them yet must not wake its parent. */
static void
test_signals_fork(void **state)
{
	struct ev *ev = loop(state);
	struct sigaction sa;
	int status;
	pid_t pid;

	signals[0] = signals[1] = 0;
	assert_int_equal(ev_signal(ev, SIGUSR1, on_signal, signals), 0);
	pid = fork();
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGUSR1);
	pid = fork();
	if (pid == 0) {
		ev_signal_reset();
		sigaction(SIGUSR1, NULL, &sa);
		_exit(sa.sa_handler == SIG_DFL ? 7 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	turn(ev);
	assert_int_equal(signals[0], 0);
	raise(SIGUSR1);
	turn(ev);
	assert_int_equal(signals[0], 1);
	ev_free(ev);
	sigaction(SIGUSR1, NULL, &sa);
	assert_true(sa.sa_handler == SIG_DFL);
}

/* A child that goes on with the loop: descriptors, timers and signals are
 * where they were. */
static void
test_forked(void **state)
{
	struct ev *ev = loop(state);
	struct watched w = { .drain = true };
	int fds[2], status;
	pid_t pid;

	signals[0] = signals[1] = 0;
	pair(fds);
	watch(ev, &w, fds[0], EV_READ);
	assert_int_equal(ev_signal(ev, SIGUSR1, on_signal, signals), 0);
	turn(ev);
	pid = fork();
	if (pid == 0) {
		if (ev_forked(ev) == -1)
			_exit(2);
		raise(SIGUSR1);
		if (write(fds[1], "x", 1) != 1)
			_exit(3);
		for (int i = 0; i < 100 && (signals[0] == 0 ||
		    w.readable == 0); i++)
			(void)ev_turn(ev, 10);
		_exit(signals[0] == 1 && w.readable == 1 ? 7 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	ev_free(ev);
	close(fds[0]);
	close(fds[1]);
}

/* What the loop itself does, with any mechanism */

static char fired[256];

struct named {
	struct ev_timer	 timer;
	struct ev_task	 task;
	struct ev	*ev;
	char		 name;
	uint64_t	 again;		/* set anew with this, if not 0 */
	struct named	*stops, *defers;
	bool		 frees;
};

static void
fire(void *ctx)
{
	struct named *n = ctx;
	size_t len = strlen(fired);

	assert_true(len + 1 < sizeof(fired));
	assert_int_equal(n->timer.slot, 0);
	fired[len] = n->name;
	fired[len + 1] = '\0';
	if (n->again != 0)
		ev_timer_set(n->ev, &n->timer, n->again - 1, fire, n);
	if (n->stops != NULL) {
		ev_timer_stop(n->ev, &n->stops->timer);
		ev_defer_cancel(n->ev, &n->stops->task);
	}
	if (n->defers != NULL)
		ev_defer(n->ev, &n->defers->task, fire, n->defers);
	if (n->frees)
		free(n);
}

static void
set(struct ev *ev, struct named *n, char name, uint64_t ns)
{
	n->ev = ev;
	n->name = name;
	ev_timer_set(ev, &n->timer, ns, fire, n);
}

/* Rounds until everything that is due within ns has been called. */
static void
pass(struct ev *ev, uint64_t ns)
{
	uint64_t until = ev_clock(ev) + ns;

	while (ev_now(ev) < until)
		assert_int_equal(ev_turn(ev, (int)((until - ev_now(ev) +
		    EV_MS - 1) / EV_MS)), 0);
	/* timers come first in a round */
	assert_int_equal(ev_turn(ev, 0), 0);
}

static void
test_timer_order(void **state)
{
	struct ev *ev = loop(state);
	struct named a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };

	fired[0] = '\0';
	set(ev, &c, 'c', 3 * EV_MS);
	set(ev, &a, 'a', EV_MS);
	set(ev, &d, 'd', 3 * EV_MS);
	set(ev, &b, 'b', 2 * EV_MS);
	set(ev, &e, 'e', 3 * EV_MS);
	assert_true(ev_timer_pending(&e.timer));
	/* set again at the same time: behind the others of that time */
	set(ev, &c, 'c', 3 * EV_MS);
	pass(ev, 20 * EV_MS);
	assert_string_equal(fired, "abdec");
	assert_false(ev_timer_pending(&e.timer));
	ev_free(ev);
}

static void
test_timer_move(void **state)
{
	struct ev *ev = loop(state);
	struct named a = { 0 }, b = { 0 }, c = { 0 };
	uint64_t start = ev_clock(ev);

	fired[0] = '\0';
	set(ev, &a, 'a', 5 * EV_MS);
	set(ev, &b, 'b', 30 * EV_MS);
	set(ev, &c, 'c', 20 * EV_MS);
	set(ev, &a, 'a', 60 * EV_MS);		/* later */
	set(ev, &b, 'b', 10 * EV_MS);		/* sooner */
	ev_timer_stop(ev, &c.timer);
	ev_timer_stop(ev, &c.timer);
	assert_false(ev_timer_pending(&c.timer));
	while (fired[0] == '\0')
		assert_int_equal(ev_turn(ev, 100), 0);
	assert_string_equal(fired, "b");
	assert_true(ev_now(ev) - start >= 10 * EV_MS);
	while (fired[1] == '\0')
		assert_int_equal(ev_turn(ev, 100), 0);
	assert_string_equal(fired, "ba");
	assert_true(ev_now(ev) - start >= 60 * EV_MS);
	ev_free(ev);
}

/* Never early, whatever the rounding of the wait. */
static void
test_timer_accuracy(void **state)
{
	static const uint64_t times[] = { 1, 999, EV_MS - 1, EV_MS, EV_MS + 1,
	    1500000, 2 * EV_MS + 1, 7 * EV_MS };
	struct ev *ev = loop(state);
	struct named n = { 0 };
	uint64_t start;
	size_t i;
	int turns;

	for (i = 0; i < NELEM(times); i++) {
		fired[0] = '\0';
		start = ev_clock(ev);
		set(ev, &n, 'x', times[i]);
		turns = 0;
		while (fired[0] == '\0') {
			assert_int_equal(ev_turn(ev, 100), 0);
			turns++;
		}
		assert_true(ev_now(ev) - start >= times[i]);
		/* one wait, not many short ones: it was rounded up */
		assert_true(turns <= 4);
	}
	ev_free(ev);
}

/* Setting a timer in a timer: the next round, even for no time at all. */
static void
test_timer_again(void **state)
{
	struct ev *ev = loop(state);
	struct named a = { .again = 1 }, b = { 0 };

	fired[0] = '\0';
	set(ev, &a, 'a', 0);
	set(ev, &b, 'b', 0);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(fired, "ab");
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(fired, "aba");
	a.again = 0;
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(fired, "abaa");
	/* one that is due is stopped by the one before it */
	a.stops = &b;
	set(ev, &a, 'a', 0);
	set(ev, &b, 'b', 0);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(fired, "abaaa");
	assert_false(ev_timer_pending(&b.timer));
	/* for ever */
	set(ev, &a, 'a', UINT64_MAX);
	assert_int_equal(ev_turn(ev, 1), 0);
	assert_true(ev_timer_pending(&a.timer));
	ev_free(ev);
	assert_false(ev_timer_pending(&a.timer));
}

/* Many timers, moved and stopped at random, against the plain list. */
struct model {
	struct ev_timer	 timer;
	bool		 set, fired;
	uint64_t	 due;
	unsigned	 order;
};

static struct model models[500];
static unsigned orders, model_fired;
static uint64_t model_last_due;
static unsigned model_last_order;

static void
model_fire(void *ctx)
{
	struct model *m = ctx;

	assert_true(m->set && !m->fired);
	assert_true(m->due > model_last_due || (m->due == model_last_due &&
	    m->order > model_last_order));
	model_last_due = m->due;
	model_last_order = m->order;
	m->fired = true;
	model_fired++;
}

static void
test_timer_model(void **state)
{
	struct ev *ev = loop(state);
	unsigned i, expected = 0, seed = 12345;
	struct model *m;
	uint64_t ns;

	memset(models, 0, sizeof(models));
	orders = model_fired = model_last_order = 0;
	model_last_due = 0;
	for (i = 0; i < 5000; i++) {
		seed = seed * 1103515245u + 12345u;
		m = &models[(seed >> 8) % NELEM(models)];
		if ((seed >> 4) % 8 == 0) {
			ev_timer_stop(ev, &m->timer);
			m->set = false;
			continue;
		}
		/* few distinct times, so that there are many ties */
		ns = (seed >> 20) % 40 * (EV_MS / 8);
		ev_timer_set(ev, &m->timer, ns, model_fire, m);
		m->set = true;
		m->due = ev_now(ev) + ns;
		m->order = ++orders;
	}
	for (i = 0; i < NELEM(models); i++)
		expected += models[i].set;
	assert_true(expected > 100);
	pass(ev, 10 * EV_MS);
	assert_int_equal(model_fired, expected);
	ev_free(ev);
}

static void
test_defer(void **state)
{
	struct named a = { .name = 'a' }, b = { .name = 'b' };
	struct named c = { .name = 'c' }, *gone = calloc(1, sizeof(*gone));
	struct ev *ev = loop(state);

	fired[0] = '\0';
	a.ev = b.ev = c.ev = gone->ev = ev;
	gone->name = 'g';
	gone->frees = true;
	ev_defer(ev, &a.task, fire, &a);
	ev_defer(ev, &b.task, fire, &b);
	ev_defer(ev, &gone->task, fire, gone);
	ev_defer(ev, &a.task, fire, &a);
	ev_defer(ev, &c.task, fire, &c);
	assert_true(ev_deferred(&c.task));
	ev_defer_cancel(ev, &c.task);
	ev_defer_cancel(ev, &c.task);
	assert_false(ev_deferred(&c.task));
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(fired, "abg");
	turn(ev);
	assert_string_equal(fired, "abg");
	/* one takes the next one off the queue */
	fired[0] = '\0';
	a.stops = &b;
	ev_defer(ev, &a.task, fire, &a);
	ev_defer(ev, &b.task, fire, &b);
	ev_defer(ev, &c.task, fire, &c);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(fired, "ac");
	/* deferred by a deferred one: the next round, at once */
	fired[0] = '\0';
	a.stops = NULL;
	a.defers = &a;
	ev_defer(ev, &a.task, fire, &a);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(fired, "a");
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(fired, "aa");
	a.defers = &b;
	assert_int_equal(ev_turn(ev, -1), 0);
	ev_defer(ev, &c.task, fire, &c);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_string_equal(fired, "aaabc");
	ev_defer(ev, &a.task, fire, &a);
	ev_free(ev);
	assert_false(ev_deferred(&a.task));
}

static void
stop_cb(void *ctx)
{
	ev_stop(ctx, 7);
}

static void
test_run(void **state)
{
	struct ev *ev = loop(state);
	struct ev_timer t = { .slot = 0 };
	struct ev_task task = { .link = NULL };

	ev_timer_set(ev, &t, EV_MS, stop_cb, ev);
	assert_int_equal(ev_run(ev), 7);
	ev_defer(ev, &task, stop_cb, ev);
	assert_int_equal(ev_run(ev), 7);
	ev_free(ev);
}

/* What a mechanism is asked, with ours */

static struct ev *
fake_loop(void)
{
	struct ev *ev;

	fake_reset();
	ev = ev_new("64", true);
	assert_non_null(ev);
	assert_int_equal(ev_mechanism(ev), FAKE);
	return ev;
}

static void
asked(struct ev *ev, const char *calls)
{
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_string_equal(fake.calls, calls);
	fake.calls[0] = '\0';
}

static void
test_asked(void **state)
{
	struct ev *ev = fake_loop();
	struct watched w = { 0 };

	(void)state;
	/* numbers that are no descriptors: nothing may close them here */
	watch(ev, &w, 500, 0);
	ev_interest(ev, 500, EV_READ);
	asked(ev, "add500:0-1 ");
	/* back where it was */
	ev_interest(ev, 500, EV_READ | EV_WRITE);
	ev_interest(ev, 500, EV_READ);
	asked(ev, "");
	ev_interest(ev, 500, EV_READ | EV_WRITE);
	ev_interest(ev, 500, 0);
	asked(ev, "mod500:1-0 ");
	ev_interest(ev, 500, 0);
	asked(ev, "");
	ev_del(ev, 500);
	asked(ev, "del500:0 ");
	/* came and went within a round */
	watch(ev, &w, 500, EV_READ);
	ev_del(ev, 500);
	asked(ev, "");
	watch(ev, &w, 500, EV_READ);
	ev_close(ev, 500);
	asked(ev, "");
	watch(ev, &w, 500, EV_READ);
	ev_del(ev, 500);
	watch(ev, &w, 500, EV_WRITE);
	asked(ev, "add500:0-2 ");
	ev_close(ev, 500);
	asked(ev, "closing500:2 ");
	watch(ev, &w, 501, EV_READ);
	asked(ev, "add501:0-1 ");
	ev_close_shared(ev, 501);
	asked(ev, "del501:1 ");
	assert_int_equal(ev_add_shared(ev, 502, &all_ops, &w, EV_READ), 0);
	asked(ev, "add502:16-17 ");
	ev_interest(ev, 502, 0);
	asked(ev, "mod502:17-16 ");
	ev_close(ev, 502);
	asked(ev, "del502:16 ");
	ev_free(ev);
}

/* A mechanism that cannot be told of a descriptor. */
static void
test_change_fails(void **state)
{
	struct ev *ev = fake_loop();
	struct watched w = { 0 }, x = { 0 };

	(void)state;
	fake.change_error = ENOSPC;
	watch(ev, &w, 500, EV_READ);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(fake.timeout, 0);
	assert_int_equal(w.error, 1);
	ev_del(ev, 500);
	/* nobody to tell */
	assert_int_equal(ev_add(ev, 501, &some_ops, &x, EV_READ), 0);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_false(ev_has(ev, 501));
	assert_string_equal(fake.calls, "add500:0-1 add501:0-1 ");
	/* a kind of file that is always ready */
	fake.change_error = EPERM;
	watch(ev, &w, 502, EV_READ);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(fake.timeout, 0);
	assert_int_equal(w.readable, 2);
	ev_interest(ev, 502, 0);
	assert_int_equal(ev_turn(ev, 33), 0);
	assert_int_equal(fake.timeout, 33);
	ev_del(ev, 502);
	assert_string_equal(fake.calls,
	    "add500:0-1 add501:0-1 add502:0-1 ");
	ev_free(ev);
}

/* A report for a former owner of the number. */
static void
test_late_report(void **state)
{
	struct ev *ev = fake_loop();
	struct watched w = { 0 };
	uint32_t old;

	(void)state;
	watch(ev, &w, 500, EV_READ);
	assert_int_equal(ev_turn(ev, 0), 0);
	old = fake.ready_serial;
	ev_del(ev, 500);
	watch(ev, &w, 500, EV_READ);
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_not_equal(fake.ready_serial, old);
	fake.ready_serial = old;
	fake.ready_fd = 500;
	fake.ready = EV_READ | EV_HANGUP;
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_equal(calls(&w), 0);
	ev_del(ev, 500);
	fake.ready_fd = 500;
	assert_int_equal(ev_turn(ev, 0), 0);
	fake.ready_fd = 99999;
	assert_int_equal(ev_turn(ev, 0), 0);
	assert_int_equal(calls(&w), 0);
	ev_free(ev);
}

/* How long a wait may be. */
static void
test_wait_time(void **state)
{
	struct ev *ev = fake_loop();
	struct named n = { 0 };

	(void)state;
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(fake.timeout, -1);
	assert_int_equal(ev_turn(ev, 12), 0);
	assert_int_equal(fake.timeout, 12);
	ev_clock(ev);
	set(ev, &n, 'x', 100 * EV_SECOND - 1);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(fake.timeout, 100000);
	assert_int_equal(ev_turn(ev, 12), 0);
	assert_int_equal(fake.timeout, 12);
	/* longer than an int can say */
	set(ev, &n, 'x', UINT64_MAX / 2);
	ev_timer_stop(ev, &n.timer);
	set(ev, &n, 'x', UINT64_MAX / 2);
	assert_int_equal(ev_turn(ev, -1), 0);
	assert_int_equal(fake.timeout, INT32_MAX);
	ev_free(ev);
}

static void
test_wait_fails(void **state)
{
	struct ev *ev = fake_loop();

	(void)state;
	fake.wait_error = EINTR;
	assert_int_equal(ev_turn(ev, -1), 0);
	fake.wait_error = EBADF;
	assert_int_equal(ev_turn(ev, -1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(ev_run(ev), EX_SOFTWARE);
	ev_free(ev);
}

/* IO_POLL_MECHANISM */
static void
test_choice(void **state)
{
	static const struct { const char *mask; unsigned want; } rows[] = {
		{ NULL, FAKE },
		{ "8", EV_POLL },
		{ "16", EV_SELECT },
		{ "0x10", EV_SELECT },
		{ "0X8", EV_POLL },
		{ "0xc", EV_EPOLL },
		{ "0xC", EV_EPOLL },
		{ "010", EV_POLL | EV_DEVPOLL },	/* ten */
		{ "24", EV_POLL },		/* of two, the preferred */
		{ "28", EV_EPOLL },
		{ "63", EV_PORT },
		{ "31", EV_KQUEUE },
		{ "30", EV_DEVPOLL },
		{ "4294967295", FAKE },
		/* unusable: as if it were not there */
		{ "0", FAKE },
		{ "0x0", FAKE },
		{ "128", FAKE },
		{ "", FAKE },
		{ "x", FAKE },
		{ "0x", FAKE },
		{ "0x0x8", FAKE },
		{ "8 ", FAKE },
		{ " 8", FAKE },
		{ "+8", FAKE },
		{ "-8", FAKE },
		{ "8.0", FAKE },
		{ "epoll", FAKE },
		{ "4294967296", FAKE },
		{ "99999999999999999999999999", FAKE },
		{ "0xfffffffffffffffffffffffff", FAKE },
	};
	struct ev *ev;
	size_t i;

	(void)state;
	fake_reset();
	for (i = 0; i < NELEM(rows); i++) {
#ifndef HAVE_EPOLL
		if (rows[i].want == EV_EPOLL)
			continue;
#endif
		ev = ev_new(rows[i].mask, false);
		assert_non_null(ev);
		assert_true(ev_mechanism(ev) & rows[i].want);
		assert_non_null(ev_name(ev));
		ev_free(ev);
	}
}

/* One that cannot be created: the next one that is permitted, or any. */
static void
test_choice_fails(void **state)
{
	struct ev *ev;

	(void)state;
	fake_reset();
	fake.broken = true;
	ev = ev_new("72", true);
	assert_int_equal(ev_mechanism(ev), EV_POLL);
	ev_free(ev);
	ev = ev_new("64", true);
	assert_int_equal(ev_mechanism(ev), EV_PORT);
	ev_free(ev);
	ev = ev_new(NULL, true);
	assert_int_equal(ev_mechanism(ev), EV_PORT);
	ev_free(ev);
}

/* All together */

#define EACH(f)	{ #f, f }

static const struct {
	const char	*name;
	void		(*f)(void **);
} contract[] = {
	EACH(test_level), EACH(test_one_callback), EACH(test_interest),
	EACH(test_interest_in_round), EACH(test_close_in_callback),
	EACH(test_close_self), EACH(test_number_reused),
	EACH(test_number_reused_later), EACH(test_close_never_added),
	EACH(test_hangup_order), EACH(test_hangup_waiting),
	EACH(test_hangup_pipe),
	EACH(test_error_pipe), EACH(test_half_close), EACH(test_reset),
	EACH(test_refused), EACH(test_connected), EACH(test_nobody_to_tell),
	EACH(test_closed_behind), EACH(test_add_twice), EACH(test_set),
	EACH(test_regular_file), EACH(test_shared), EACH(test_close_shared),
	EACH(test_many), EACH(test_limit), EACH(test_interrupted),
	EACH(test_signals), EACH(test_signals_fork), EACH(test_forked),
	EACH(test_timer_order),
	EACH(test_timer_move), EACH(test_timer_accuracy),
	EACH(test_timer_again), EACH(test_timer_model), EACH(test_defer),
	EACH(test_run)
};

static const struct CMUnitTest alone[] = {
	cmocka_unit_test(test_asked), cmocka_unit_test(test_change_fails),
	cmocka_unit_test(test_late_report), cmocka_unit_test(test_wait_time),
	cmocka_unit_test(test_wait_fails), cmocka_unit_test(test_choice),
	cmocka_unit_test(test_choice_fails)
};

int
main(void)
{
	static unsigned bits[NELEM(ev_mechs)];
	static struct CMUnitTest tests[NELEM(contract)];
	static char names[NELEM(contract)][64];
	int failed = 0;
	size_t i, m;

	signal(SIGPIPE, SIG_IGN);
	for (m = 1; ev_mechs[m] != NULL; m++) {
		bits[m] = ev_mechs[m]->bit;
		for (i = 0; i < NELEM(contract); i++) {
			snprintf(names[i], sizeof(names[i]), "%s, %s",
			    contract[i].name, ev_mechs[m]->name);
			tests[i] = (struct CMUnitTest){ names[i],
			    contract[i].f, NULL, NULL, &bits[m] };
		}
		failed += cmocka_run_group_tests_name(ev_mechs[m]->name,
		    tests, NULL, NULL);
	}
	failed += cmocka_run_group_tests_name("the loop", alone, NULL, NULL);
	return failed != 0;
}
