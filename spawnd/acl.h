/*
 * permit and deny lines (3.11): first match decides, denied if none of at
 * least one matches. Pure.
 */
#ifndef SPAWND_ACL_H
#define SPAWND_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct acl_line {
	uint8_t		ip[16];		/* IPv4 as ::ffff:a.b.c.d */
	uint8_t		bits;		/* 0 to 128 */
	bool		invert;		/* not */
	bool		permit;
	unsigned	line;		/* of the file, for the log */
};

struct acl {
	struct acl_line	*lines;
	size_t		 n;
};

/* ADDR, ADDR/LEN, ADDR/MASK (contiguous). false: not an address or network. */
bool	 acl_parse(const char *text, struct acl_line *);
/* true: permitted. *line is the deciding line of the file when denied, 0 if
 * no line matched. Peers without an IP address are always permitted. */
bool	 acl_permits(const struct acl *, const struct sockaddr *peer,
	    unsigned *line);

#endif
