/*
 * The gate of host states. It knows no checks, no tables, no clock.
 */
#include <inttypes.h>

#include "../misc/str.h"
#include "host.h"

static const char *const errors[HOST_ERRORS] = {
	[HOST_NONE] = "none",
	[HOST_ABORTED] = "aborted",
	[HOST_INTERVAL_TIMEOUT] = "interval timeout",
	[HOST_ICMP_OK] = "icmp ok",
	[HOST_ICMP_READ_TIMEOUT] = "icmp read timeout",
	[HOST_ICMP_WRITE_TIMEOUT] = "icmp write timeout",
	[HOST_TCP_SOCKET_ERROR] = "tcp socket error",
	[HOST_TCP_SOCKET_LIMIT] = "tcp socket limit",
	[HOST_TCP_SOCKET_OPTION] = "tcp socket option",
	[HOST_TCP_CONNECT_FAILED] = "tcp connect failed",
	[HOST_TCP_CONNECT_TIMEOUT] = "tcp connect timeout",
	[HOST_TCP_CONNECT_OK] = "tcp connect ok",
	[HOST_TCP_WRITE_TIMEOUT] = "tcp write timeout",
	[HOST_TCP_WRITE_FAILED] = "tcp write failed",
	[HOST_TCP_READ_TIMEOUT] = "tcp read timeout",
	[HOST_TCP_READ_FAILED] = "tcp read failed",
	[HOST_SCRIPT_OK] = "script ok",
	[HOST_SCRIPT_FAILED] = "script failed",
	[HOST_TLS_CONNECT_ERROR] = "tls connect error",
	[HOST_TLS_CONNECT_FAILED] = "tls connect failed",
	[HOST_TLS_CONNECT_OK] = "tls connect ok",
	[HOST_TLS_CONNECT_TIMEOUT] = "tls connect timeout",
	[HOST_TLS_READ_TIMEOUT] = "tls read timeout",
	[HOST_TLS_WRITE_TIMEOUT] = "tls write timeout",
	[HOST_TLS_READ_ERROR] = "tls read error",
	[HOST_TLS_WRITE_ERROR] = "tls write error",
	[HOST_EXPECT_FAILED] = "send/expect failed",
	[HOST_EXPECT_OK] = "send/expect ok",
	[HOST_CODE_MALFORMED] = "http code malformed",
	[HOST_CODE_MISMATCH] = "http code mismatch",
	[HOST_CODE_OK] = "http code ok",
	[HOST_DIGEST_MALFORMED] = "http digest malformed",
	[HOST_DIGEST_MISMATCH] = "http digest mismatch",
	[HOST_DIGEST_OK] = "http digest ok",
};

const char *
host_state_text(enum host_state state)
{
	switch (state) {
	case HOST_UP:
		return "up";
	case HOST_DOWN:
		return "down";
	case HOST_UNKNOWN:
		break;
	}
	return "unknown";
}

const char *
host_error_text(enum host_error error)
{
	return (unsigned)error < HOST_ERRORS ? errors[error] : "unknown error";
}

/*
 * A failure that is forgiven leaves the state, and counts as what the state
 * says. Whatever is not forgiven fills the credit up again, so that the very
 * first check has none.
 */
enum host_state
host_result(struct host *h, enum host_state result, enum host_error error,
    unsigned retry)
{
	enum host_state old = h->state;

	h->error = error;
	if (result == HOST_DOWN && h->left > 0)
		h->left--;
	else {
		h->state = result;
		h->left = retry;
	}
	if (h->state != HOST_UNKNOWN)
		h->checks++;
	if (h->state == HOST_UP)
		h->ups++;
	return old;
}

void
host_forget(struct host *h)
{
	*h = (struct host){ .state = HOST_UNKNOWN };
}

const char *
host_availability(const struct host *h, char buf[static HOST_AVAILABILITY])
{
	struct str s;
	uint64_t n, of = h->checks;

	str_init(&s, buf, HOST_AVAILABILITY);
	if (of == 0)
		return buf;
	/* for 10,000 times as much there is no room */
	n = h->ups > UINT64_MAX / 10000 ? 10000 * (h->ups / of) :
	    h->ups * 10000 / of;
	str_add(&s, "%" PRIu64 ".%02u%%", n / 100, (unsigned)(n % 100));
	return buf;
}

void
host_text(const struct host *h, enum host_state old, const char *name,
    const char *check, unsigned ms, char *buf, size_t size)
{
	char available[HOST_AVAILABILITY];
	struct str s;

	str_init(&s, buf, size);
	str_add(&s, "host %s, check %s (%ums,%s", name, check, ms,
	    host_error_text(h->error));
	if (h->code > 0)
		str_add(&s, ",%u", h->code);
	str_add(&s, "), state %s -> %s, availability %s",
	    host_state_text(old), host_state_text(h->state),
	    host_availability(h, available));
}
