/*
 * How an IPv4 socket learns which address a datagram was sent to: each
 * system has one of dgram_*.c. Nothing outside them includes this.
 */
#ifndef MISC_DGRAM_IMPL_H
#define MISC_DGRAM_IMPL_H

#include <sys/socket.h>
#include <netinet/in.h>
#include <stdbool.h>

/* -1, errno. */
int	 dgram_ask_inet(int fd);
/* false: this control message does not tell. */
bool	 dgram_told_inet(const struct cmsghdr *, struct in_addr *);

#endif
