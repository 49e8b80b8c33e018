/*
 * What finds a channel full waits, in order, with its descriptors, and leaves
 * when there is room.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/ev.h"
#include "misc/msg.h"
#include "spawnd/outbox.h"

#define DATA	2000
#define EVERY	7		/* each of so many has a descriptor */

struct fixture {
	struct ev	*ev;
	struct channel	 ours, theirs;
	struct outbox	 outbox;
	unsigned	 flushed;
};

static void
writable_cb(void *ctx, int fd)
{
	struct fixture *f = ctx;

	(void)fd;
	outbox_flush(&f->outbox);
}

static void
ignore_cb(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
}

static const struct ev_ops ops = {
	.readable = ignore_cb, .writable = writable_cb,
	.error = ignore_cb, .hangup = ignore_cb,
};

static void
flushed_cb(void *ctx)
{
	((struct fixture *)ctx)->flushed++;
}

static void
fixture_open(struct fixture *f)
{
	int fds[2];

	memset(f, 0, sizeof(*f));
	f->ev = ev_new(NULL, true);
	assert_non_null(f->ev);
	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	f->ours = (struct channel){ .fd = fds[0], .master = true };
	f->theirs = (struct channel){ .fd = fds[1] };
	f->ours.features = f->theirs.features = FEATURE_BOARD |
	    FEATURE_CONFIG;
	outbox_init(&f->outbox, f->ev, &f->ours, flushed_cb, f);
	assert_int_equal(ev_add(f->ev, fds[0], &ops, f, EV_READ), 0);
}

static void
fixture_close(struct fixture *f)
{
	outbox_clear(&f->outbox);
	if (f->ours.fd != -1)
		ev_close(f->ev, f->ours.fd);
	if (f->theirs.fd != -1)
		close(f->theirs.fd);
	ev_free(f->ev);
}

/* A message that says its number, perhaps with a file of that length. */
static bool
say(struct fixture *f, uint32_t number)
{
	const struct channel_tell head = { .role = 2, .instance = number,
	    .type = 1 };
	char data[DATA];
	int fd = -1;
	bool sent;

	memset(data, (int)(number & 0xff), sizeof(data));
	if (number % EVERY == 0) {
		char path[] = "/tmp/test_outbox.XXXXXX";

		fd = mkstemp(path);
		assert_int_not_equal(fd, -1);
		unlink(path);
		assert_int_equal(ftruncate(fd, number), 0);
	}
	sent = outbox_send(&f->outbox, CHANNEL_TELL, &head, sizeof(head),
	    data, sizeof(data), &fd, fd != -1);
	if (fd != -1)
		close(fd);		/* the outbox has a copy */
	return sent;
}

/* false: nothing there. */
static bool
hear(struct fixture *f, uint32_t number)
{
	static alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message m;
	struct channel_tell head;
	struct stat st;

	if (channel_recv(&f->theirs, buf, &m) != CHANNEL_GOT)
		return false;
	assert_int_equal(m.type, CHANNEL_TELL);
	memcpy(&head, m.payload, sizeof(head));
	assert_int_equal(head.instance, number);
	assert_int_equal(m.len, sizeof(head) + DATA);
	for (size_t i = sizeof(head); i < m.len; i++)
		assert_int_equal(m.payload[i], number & 0xff);
	assert_int_equal(m.nfds, number % EVERY == 0);
	if (m.nfds > 0) {
		assert_int_equal(fstat(m.fds[0], &st), 0);
		assert_int_equal(st.st_size, number);
		close(m.fds[0]);
	}
	return true;
}

static void
test_order(void **state)
{
	struct fixture f;
	uint32_t said = 0, heard = 0, kept;

	(void)state;
	fixture_open(&f);
	while (f.outbox.first == NULL)
		assert_true(say(&f, ++said));
	assert_true(f.outbox.blocked);
	for (kept = 0; kept < 300; kept++)
		assert_true(say(&f, ++said));
	assert_int_equal(f.outbox.size, (kept + 1) *
	    (sizeof(struct channel_tell) + DATA));
	assert_int_equal(f.flushed, 0);
	/* and more, while some of them leave */
	while (heard < said) {
		if (hear(&f, heard + 1)) {
			heard++;
			if (heard % 50 == 0 && heard < 300)
				assert_true(say(&f, ++said));
		} else {
			assert_int_equal(ev_turn(f.ev, 1000), 0);
		}
	}
	assert_null(f.outbox.first);
	assert_null(f.outbox.last);
	assert_int_equal(f.outbox.size, 0);
	assert_false(f.outbox.blocked);
	assert_true(f.flushed > 0);
	assert_false(hear(&f, 0));
	fixture_close(&f);
}

/* What can go to somebody else does not wait. */
static void
test_kept_by_sender(void **state)
{
	struct fixture f;
	struct channel_record record;
	uint32_t said = 0;
	int fd;

	(void)state;
	fixture_open(&f);
	while (f.outbox.first == NULL)
		assert_true(say(&f, ++said));
	fd = dup(f.theirs.fd);
	memset(&record, 0, sizeof(record));
	assert_false(outbox_send(&f.outbox, CHANNEL_ACCEPT, &record,
	    sizeof(record), NULL, 0, &fd, 1));
	assert_int_equal(errno, EAGAIN);
	close(fd);
	/* nothing is left of what waits */
	outbox_clear(&f.outbox);
	assert_null(f.outbox.first);
	assert_int_equal(f.outbox.size, 0);
	fixture_close(&f);
}

static void
test_end(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	close(f.theirs.fd);
	f.theirs.fd = -1;
	assert_false(say(&f, 1));
	assert_null(f.outbox.first);
	ev_close(f.ev, f.ours.fd);
	f.ours.fd = -1;
	assert_false(say(&f, 2));
	assert_int_equal(errno, EPIPE);
	outbox_flush(&f.outbox);
	assert_int_equal(f.flushed, 0);
	fixture_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_kept_by_sender),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
