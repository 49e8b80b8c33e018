/*
 * relayctl's end of the control socket: connecting, the exchange of versions,
 * messages. It waits, as the whole program does.
 */
#ifndef RELAYD_CTL_TALK_H
#define RELAYD_CTL_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

enum talk_result {
	TALK_OK,
	TALK_CLOSED,		/* the other side has gone */
	TALK_OTHER,		/* it speaks something else */
	TALK_FAILED		/* errno */
};

struct talk {
	int	 fd;
	size_t	 begin, end;	/* of what was read and not looked at */
	uint8_t	 bytes[2 * CTL_LENGTH];
};

struct talk_message {
	struct ctl_header header;
	_Alignas(8) uint8_t body[CTL_LENGTH];
};

/* -1 and errno; ENAMETOOLONG: no path of a socket. */
int	 talk_open(struct talk *, const char *path);
enum talk_result talk_hello(struct talk *);
enum talk_result talk_send(struct talk *, unsigned type, const void *body,
	    size_t len);
/* The next message, whatever it says: its body is there, and nothing but its
 * length was checked (ctl_check). TALK_OTHER: that cannot be one. */
enum talk_result talk_read(struct talk *, struct talk_message *);
static inline size_t
talk_length(const struct talk_message *m)
{
	return m->header.length - sizeof(m->header);
}
void	 talk_close(struct talk *);

#endif
