/*
 * Clients of relayd's control socket, and a worker that answers for them: the
 * first byte says in what pieces it comes, the rest is what is sent. Whatever
 * that is, what clients are told is well formed, and pfe goes on.
 */
#include <errno.h>
#include <stdint.h>

#include "test/unit/pfe_fake.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char config[] =
    "table <web> { 10.0.0.1 10.0.0.2 10.0.0.3 parent 1 }\n"
    "table <gate> { 10.0.4.1 }\n"
    "redirect www { listen on 192.0.2.1 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay one { listen on 192.0.2.3 port 80\n"
    "	forward to <web> port 8080 }\n"
    "router way { route 198.51.100.0/24\n"
    "	forward to <gate> check icmp }\n";

static void
begin(void)
{
	static bool begun;
	char error[256];
	struct compiled *c;

	if (begun)
		return;
	begun = true;
	c = fake_compile(config, sizeof(config) - 1, error, sizeof(error));
	if (c == NULL || fake_open(c) == -1)
		abort();
	fake_seat(0, 1, BOARD_READY);
}

/* What a client is told has to be what a client takes. */
static bool
told_well(int fd)
{
	static _Alignas(8) uint8_t body[CTL_LENGTH];
	static uint8_t in[2 * CTL_LENGTH];
	static size_t len;
	struct ctl_header h;
	ssize_t n;

	if (fd == -1) {
		len = 0;
		return false;
	}
	n = read(fd, in + len, sizeof(in) - len);
	if (n <= 0)
		return n == -1 && errno == EAGAIN;
	len += (size_t)n;
	for (;;) {
		if (len < sizeof(h))
			return true;
		memcpy(&h, in, sizeof(h));
		if (h.length < sizeof(h) || h.length > CTL_LENGTH)
			abort();
		if (len < h.length)
			return true;
		memcpy(body, in + sizeof(h), h.length - sizeof(h));
		if (ctl_check(&h, body, false) != NULL)
			abort();
		len -= h.length;
		memmove(in, in + h.length, len);
	}
}

/* The worker answers with the same bytes, as a list and as they are. */
static void
worker(const uint8_t *data, size_t size)
{
	static _Alignas(8) uint8_t list[60000];
	struct tell_list head = { .last = 1 };

	for (unsigned i = 0; i < fake.ntold; i++) {
		unsigned type = fake.told[i].type;
		size_t each = type == TELL_WHY ? sizeof(struct tell_why) :
		    sizeof(struct tell_session);

		if (type != TELL_WHY && type != TELL_SESSIONS)
			continue;
		memcpy(&head.token, fake.told[i].data, sizeof(head.token));
		head.n = (uint32_t)(size / each);
		if (head.n > 50)
			head.n = 50;
		memcpy(list, &head, sizeof(head));
		memcpy(list + sizeof(head), data, head.n * each);
		fake_tell(RD_WORKER, 1, type + 1, list,
		    sizeof(head) + head.n * each);
	}
	fake.ntold = 0;
	if (size >= 4 && size < sizeof(list)) {
		memcpy(list, data + 1, size - 1);
		fake_tell(data[0] % RD_ROLES, 1, data[1], list, size - 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece, at = 0;
	bool there = true;
	int fd;

	if (size == 0 || size > 20000)
		return 0;
	begin();
	piece = data[0] == 0 ? size : data[0];
	data++;
	size--;
	if ((fd = fake_client()) == -1)
		abort();
	(void)told_well(-1);
	while (there && at < size) {
		size_t n = size - at < piece ? size - at : piece;
		ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL);

		if (sent > 0)
			at += (size_t)sent;
		ev_turn(fake.ev, 0);
		worker(data, size);
		ev_turn(fake.ev, 0);
		there = told_well(fd);
	}
	for (int i = 0; i < 8 && there; i++) {
		ev_turn(fake.ev, 0);
		worker(data, size);
		there = told_well(fd);
	}
	close(fd);
	for (int i = 0; i < 3; i++)
		ev_turn(fake.ev, 0);
	if (rd_ctl_clients(fake_pfe->ctl) != 0)
		abort();
	return 0;
}
