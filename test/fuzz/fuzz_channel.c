/*
 * Messages of the channel from bytes: first byte direction and number of
 * descriptors, second byte features, then the message. What is well-formed
 * is also taken apart as its receiver does; each message travels over a real
 * channel to the public worker half, which must survive it and leak nothing.
 */
#include <fcntl.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "misc/msg.h"
#include "spawnd/own.h"
#include "spawnd/worker.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Every byte of a payload that a receiver may look at. */
static void
take_apart(const uint8_t *data)
{
	const uint8_t *p = data + sizeof(struct channel_header);
	struct channel_header h;
	struct channel_record r;
	struct spawnd_conn c;
	struct conf_request request;
	uint32_t n = 1, len;
	uint8_t sum = 0;

	memcpy(&h, data, sizeof(h));
	for (uint32_t i = 0; i < h.length; i++)
		sum ^= p[i];
	if (h.type == CHANNEL_BATCHED) {
		memcpy(&n, p, sizeof(n));
		p += sizeof(struct channel_batch);
	}
	if (h.type == CHANNEL_BATCHED || h.type == CHANNEL_ACCEPT ||
	    h.type == CHANNEL_UDPDATA) {
		for (uint32_t i = 0; i < n; i++) {
			memcpy(&r, p + i * sizeof(r), sizeof(r));
			channel_unpack(&c, &r);
			if (strnlen(c.realm, sizeof(c.realm)) ==
			    sizeof(c.realm))
				abort();
		}
	}
	if (h.type == CHANNEL_UDPDATA) {
		memcpy(&len, p + sizeof(r), sizeof(len));
		for (uint32_t i = 0; i < len; i++)
			sum ^= p[sizeof(r) + sizeof(len) + i];
	}
	if (h.type == CHANNEL_CONFIG && own_request_unpack(&request,
	    p + sizeof(struct channel_config),
	    h.length - sizeof(struct channel_config)))
		sum ^= (uint8_t)strlen(request.file);
	*(volatile uint8_t *)&sum;
}

static int
lowest(void)
{
	int fd = fcntl(0, F_DUPFD, 3);

	if (fd != -1)
		close(fd);
	return fd;
}

/* A worker as spawnd_worker_open() makes it, without its environment. */
static void
receive(const uint8_t *data, size_t size, unsigned nfds)
{
	static alignas(8) uint8_t room[sizeof(struct spawnd_worker)];
	struct spawnd_worker *w = (struct spawnd_worker *)room;
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct spawnd_conn c;
	struct worker_out *o;
	int fds[2], send[MSG_FDS], before = lowest();

	if (msg_pair(fds, 0) == -1)
		abort();
	memset(w, 0, offsetof(struct spawnd_worker, buf));
	w->out_end = &w->out;
	w->spoke = worker_clock();
	w->ch.fd = fds[1];
	for (unsigned i = 0; i < nfds; i++)
		send[i] = 0;
	if (fcntl(0, F_GETFD) != -1 &&
	    msg_send(fds[0], &iov, 1, send, nfds) == 0 &&
	    spawnd_worker_next(w, &c) == 1) {
		if (c.data != NULL)
			*(volatile const uint8_t *)((const uint8_t *)c.data +
			    (c.len > 0 ? c.len - 1 : 0));
		close(c.fd);
	}
	while ((o = w->out) != NULL) {
		w->out = o->next;
		free(o);
	}
	close(fds[0]);
	close(fds[1]);
	if (lowest() != before)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	unsigned nfds;

	if (size < 2 || size - 2 > CHANNEL_MAX)
		return 0;
	nfds = data[0] & 0x7f;
	/* in its own memory, so that the first byte too far is seen */
	copy = malloc(size - 2 + 1);
	if (copy == NULL)
		abort();
	memcpy(copy, data + 2, size - 2);
	if (channel_check(copy, size - 2, nfds, data[0] & 0x80, data[1]) ==
	    NULL)
		take_apart(copy);
	if (data[1] & 0x80 && size - 2 >= sizeof(struct channel_header) + 24) {
		uint64_t now = worker_clock();

		/* else every connection is too old to be delivered */
		memcpy(copy + sizeof(struct channel_header) +
		    offsetof(struct channel_record, handed), &now,
		    sizeof(now));
	}
	if (size > 2)
		receive(copy, size - 2, nfds > MSG_FDS ? MSG_FDS : nfds);
	free(copy);
	return 0;
}
