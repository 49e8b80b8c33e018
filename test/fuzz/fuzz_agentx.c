/*
 * What an AgentX master sends to pfe: as it comes, after a session was opened
 * and registered. Whatever that is, what it is answered is well formed, and
 * pfe goes on.
 */
#include <stdint.h>

#include "test/unit/pfe_fake.h"
#include "relayd/agentx.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char config[] =
    "agentx context c\n"
    "table <web> { 10.0.0.1 10.0.0.2 }\n"
    "redirect www { listen on 192.0.2.1 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay one { listen on 192.0.2.3 port 80\n"
    "	forward to <web> port 8080 }\n"
    "router way { route 198.51.100.0/24\n"
    "	forward to <web> check icmp }\n";

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
}

/* Everything that was answered is a message. */
static void
said(int fd, uint32_t *packet)
{
	static uint8_t data[4 * AGENTX_MESSAGE];
	struct agentx_header h;
	ssize_t n;
	size_t len = 0, at = 0;

	while ((n = read(fd, data + len, sizeof(data) - len)) > 0)
		len += (size_t)n;
	while (at < len) {
		if (agentx_header(data + at, len - at, &h) != AGENTX_WHOLE)
			abort();
		*packet = h.packet;
		at += AGENTX_HEADER + h.length;
	}
}

static void
good(int fd, uint32_t packet)
{
	const struct agentx_header h = { .type = AGENTX_RESPONSE,
	    .session = 1, .packet = packet };
	struct agentx_out out = { 0 };
	size_t place = agentx_out_begin(&out, &h);

	agentx_out_u32(&out, 0);
	agentx_out_u32(&out, 0);
	agentx_out_end(&out, place);
	if (write(fd, out.data, out.len) != (ssize_t)out.len)
		abort();
	agentx_out_clear(&out);
	ev_turn(fake.ev, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int32_t none_wrong = 0;
	struct tell t = { .role = RD_PARENT, .type = RD_AGENTX_SOCKET,
	    .data = &none_wrong, .len = sizeof(none_wrong) };
	uint32_t packet = 0;
	int fds[2];

	if (size > 4000)
		return 0;
	begin();
	/* not to wait until it tries again */
	rd_agentx_free(fake_pfe->agentx);
	fake_pfe->agentx = rd_agentx_new(fake_pfe);
	if (fake_pfe->agentx == NULL)
		abort();
	rd_agentx_config(fake_pfe->agentx);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		abort();
	t.fd = fds[0];
	rd_pfe_ops.tell(fake_pfe, &t);
	ev_turn(fake.ev, 0);
	for (int i = 0; i < 2; i++) {
		said(fds[1], &packet);
		good(fds[1], packet);
	}
	if (size > 0 && send(fds[1], data, size, MSG_NOSIGNAL) == -1)
		abort();
	for (int i = 0; i < 4; i++) {
		ev_turn(fake.ev, 0);
		said(fds[1], &packet);
	}
	close(fds[1]);
	ev_turn(fake.ev, 0);
	fake.ntold = 0;
	return 0;
}
