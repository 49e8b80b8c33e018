/*
 * What comes is read in large pieces, and handed out message by message.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../misc/net.h"
#include "ctl_talk.h"

int
talk_open(struct talk *t, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	t->begin = t->end = 0;
	t->fd = -1;
	if (len >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, len);
	if ((t->fd = socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	while (connect(t->fd, (const struct sockaddr *)&sun,
	    sizeof(sun)) == -1) {
		if (errno == EINTR)
			continue;
		net_close(t->fd);
		t->fd = -1;
		return -1;
	}
	return 0;
}

void
talk_close(struct talk *t)
{
	if (t->fd != -1)
		close(t->fd);
	t->fd = -1;
}

static enum talk_result
failed(void)
{
	return errno == EPIPE || errno == ECONNRESET ? TALK_CLOSED :
	    TALK_FAILED;
}

static enum talk_result
bytes_send(struct talk *t, const void *data, size_t len)
{
	const uint8_t *p = data;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = write(t->fd, p, len);
		if (n == -1 && errno != EINTR)
			return failed();
		if (n == -1)
			n = 0;
	}
	return TALK_OK;
}

enum talk_result
talk_send(struct talk *t, unsigned type, const void *body, size_t len)
{
	struct ctl_header h = { .type = (uint16_t)type,
	    .length = (uint32_t)(sizeof(h) + len) };
	uint8_t whole[sizeof(h) + CTL_PATH];

	/* no request is longer, and in one piece it is not answered before
	   it is complete */
	if (len > sizeof(whole) - sizeof(h)) {
		errno = EMSGSIZE;
		return TALK_FAILED;
	}
	memcpy(whole, &h, sizeof(h));
	if (len > 0)
		memcpy(whole + sizeof(h), body, len);
	return bytes_send(t, whole, sizeof(h) + len);
}

/* At least n bytes, which are no more than there is room for. */
static enum talk_result
bytes_want(struct talk *t, size_t n)
{
	ssize_t got;

	if (t->begin > 0 && sizeof(t->bytes) - t->begin < n) {
		memmove(t->bytes, t->bytes + t->begin, t->end - t->begin);
		t->end -= t->begin;
		t->begin = 0;
	}
	while (t->end - t->begin < n) {
		got = read(t->fd, t->bytes + t->end,
		    sizeof(t->bytes) - t->end);
		if (got == 0)
			return TALK_CLOSED;
		if (got == -1 && errno != EINTR)
			return failed();
		if (got > 0)
			t->end += (size_t)got;
	}
	return TALK_OK;
}

enum talk_result
talk_read(struct talk *t, struct talk_message *m)
{
	enum talk_result r;

	if ((r = bytes_want(t, sizeof(m->header))) != TALK_OK)
		return r;
	memcpy(&m->header, t->bytes + t->begin, sizeof(m->header));
	if (m->header.length < sizeof(m->header) ||
	    m->header.length > CTL_LENGTH)
		return TALK_OTHER;
	if ((r = bytes_want(t, m->header.length)) != TALK_OK)
		return r;
	memcpy(m->body, t->bytes + t->begin + sizeof(m->header),
	    talk_length(m));
	t->begin += m->header.length;
	if (t->begin == t->end)
		t->begin = t->end = 0;
	return TALK_OK;
}

enum talk_result
talk_hello(struct talk *t)
{
	struct ctl_hello hello = { CTL_MAGIC, CTL_VERSION };
	struct talk_message m;
	enum talk_result r;

	r = talk_send(t, CTL_HELLO, &hello, sizeof(hello));
	if (r == TALK_OK)
		r = talk_read(t, &m);
	if (r != TALK_OK)
		return r;
	if (m.header.type != CTL_HELLO ||
	    ctl_check(&m.header, m.body, false) != NULL)
		return TALK_OTHER;
	memcpy(&hello, m.body, sizeof(hello));
	return hello.version == CTL_VERSION ? TALK_OK : TALK_OTHER;
}
