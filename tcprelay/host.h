/*
 * What is known of a host, and the gate that turns the result of a check into
 * its state: retries, counts, and the words of all that in logs. Pure.
 */
#ifndef TCPRELAY_HOST_H
#define TCPRELAY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_state { HOST_DOWN = -1, HOST_UNKNOWN = 0, HOST_UP = 1 };

/* How the last check ended. The numbers are known outside: none moves. */
enum host_error {
	HOST_NONE, HOST_ABORTED, HOST_INTERVAL_TIMEOUT,
	HOST_ICMP_OK, HOST_ICMP_READ_TIMEOUT, HOST_ICMP_WRITE_TIMEOUT,
	HOST_TCP_SOCKET_ERROR, HOST_TCP_SOCKET_LIMIT, HOST_TCP_SOCKET_OPTION,
	HOST_TCP_CONNECT_FAILED, HOST_TCP_CONNECT_TIMEOUT, HOST_TCP_CONNECT_OK,
	HOST_TCP_WRITE_TIMEOUT, HOST_TCP_WRITE_FAILED,
	HOST_TCP_READ_TIMEOUT, HOST_TCP_READ_FAILED,
	HOST_SCRIPT_OK, HOST_SCRIPT_FAILED,
	HOST_TLS_CONNECT_ERROR, HOST_TLS_CONNECT_FAILED, HOST_TLS_CONNECT_OK,
	HOST_TLS_CONNECT_TIMEOUT, HOST_TLS_READ_TIMEOUT,
	HOST_TLS_WRITE_TIMEOUT, HOST_TLS_READ_ERROR, HOST_TLS_WRITE_ERROR,
	HOST_EXPECT_FAILED, HOST_EXPECT_OK,
	HOST_CODE_MALFORMED, HOST_CODE_MISMATCH, HOST_CODE_OK,
	HOST_DIGEST_MALFORMED, HOST_DIGEST_MISMATCH, HOST_DIGEST_OK,
	HOST_ERRORS
};

/* Measured, by checks alone: what an operator orders is no part of it. */
struct host {
	enum host_state	 state;
	enum host_error	 error;		/* of the last check */
	unsigned	 left;		/* failures that are forgiven */
	unsigned	 code;		/* of HTTP, unlike the one wanted; 0 */
	uint64_t	 checks, ups;	/* since it is checked */
};

const char	*host_state_text(enum host_state);
const char	*host_error_text(enum host_error);	/* also unknown ones */

/* A check says so. Returns the state before. */
enum host_state	 host_result(struct host *, enum host_state result,
		    enum host_error, unsigned retry);
/* As one that never was checked. */
void		 host_forget(struct host *);

#define HOST_AVAILABILITY	24
/* "99.95%", "" when no check counts. */
const char	*host_availability(const struct host *,
		    char buf[static HOST_AVAILABILITY]);
/* The line about a check that ended; check is the name of its kind. */
void		 host_text(const struct host *, enum host_state old,
		    const char *name, const char *check, unsigned ms,
		    char *buf, size_t size);

#endif
