#include <sys/socket.h>
#include <sys/stat.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/msg.h"
#include "../misc/net.h"
#include "look.h"
#include "statussock.h"

#define WAIT	5000		/* ms, for a master that is busy */
#define STEP	20		/* ms, between tries to connect */

static int
look_connect(const char *path)
{
	const struct timespec step = { 0, STEP * 1000000L };
	struct net_addr addr;
	int fd;

	if (!net_parse_unix(path, &addr)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = net_socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	/* EAGAIN: as many others wait already as may */
	for (int i = 0; i < WAIT / STEP; i++) {
		if (connect(fd, &addr.sa, addr.len) == 0)
			return fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
		nanosleep(&step, NULL);
	}
	net_close(fd);
	return -1;
}

/* Its message, or what stands for that there is none. */
static enum look_result
look_receive(int fd, struct statussock_hello *hello, int fds[MSG_FDS],
    unsigned *nfds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int truncated = 0;
	ssize_t n;

	*nfds = 0;
	if (poll(&p, 1, WAIT) != 1)
		return LOOK_NOBODY;
	n = msg_recv(fd, hello, sizeof(*hello), fds, nfds, &truncated);
	if (n <= 0)
		return LOOK_NOBODY;
	if (n != sizeof(*hello) || truncated ||
	    hello->version != STATUSSOCK_VERSION || *nfds == 0)
		return LOOK_OTHER;
	return LOOK_OK;
}

enum look_result
look_open(struct look *l, const char *path)
{
	struct statussock_hello hello;
	enum look_result result;
	int fds[MSG_FDS], fd;
	unsigned nfds;

	memset(l, 0, sizeof(*l));
	l->board.fd = l->board.view = l->facts = -1;
	if ((fd = look_connect(path)) == -1)
		return errno == ENOENT || errno == ECONNREFUSED ||
		    errno == EAGAIN ? LOOK_NOBODY : LOOK_FAILED;
	result = look_receive(fd, &hello, fds, &nfds);
	close(fd);
	if (result == LOOK_OK) {
		l->pid = hello.pid;
		if (board_look(&l->board, fds[0]) == -1)
			result = errno == EPROTO ? LOOK_OTHER : LOOK_FAILED;
		fds[0] = -1;		/* taken over in any case */
	}
	if (result == LOOK_OK && nfds > 1) {
		l->facts = fds[1];
		fds[1] = -1;
	}
	for (unsigned i = 0; i < nfds; i++)
		if (fds[i] != -1)
			net_close(fds[i]);
	return result;
}

void
look_close(struct look *l)
{
	board_close(&l->board);
	if (l->facts != -1)
		close(l->facts);
	l->facts = -1;
}
