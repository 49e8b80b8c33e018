/*
 * permit and deny. Everything is an IPv6 network here: IPv4 lives in
 * ::ffff:0:0/96, so that ::/0 matches everybody.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "acl.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255 };

/* Into ip as IPv6; the bits in front that are not the operator's, or -1. */
static int
ip_parse(const char *text, uint8_t ip[16])
{
	if (inet_pton(AF_INET6, text, ip) == 1)
		return 0;
	if (inet_pton(AF_INET, text, ip + 12) != 1)
		return -1;
	memcpy(ip, mapped, sizeof mapped);
	return 96;
}

static int
length_parse(const char *text, int most)
{
	int n = 0;

	if (*text == '\0' || strlen(text) > 3)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (*text - '0');
	}
	return n <= most ? n : -1;
}

/* How many ones lead the mask from bit `from` on; -1: others follow zeros. */
static int
mask_length(const uint8_t mask[16], int from)
{
	int n = from;

	while (n < 128 && (mask[n / 8] & 0x80u >> n % 8))
		n++;
	for (int i = n; i < 128; i++) {
		if (mask[i / 8] & 0x80u >> i % 8)
			return -1;
	}
	return n - from;
}

bool
acl_parse(const char *text, struct acl_line *line)
{
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN + 1];
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	uint8_t mask[16];
	int front, n;

	if (len >= sizeof addr)
		return false;
	memcpy(addr, text, len);
	addr[len] = '\0';
	if ((front = ip_parse(addr, line->ip)) == -1)
		return false;
	if (slash == NULL)
		n = 128 - front;
	else if (ip_parse(slash + 1, mask) == front)
		n = mask_length(mask, front);
	else
		n = length_parse(slash + 1, 128 - front);
	if (n == -1)
		return false;
	line->bits = (uint8_t)(front + n);
	return true;
}

static bool
line_matches(const struct acl_line *line, const uint8_t ip[16])
{
	unsigned bytes = line->bits / 8, rest = line->bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	return memcmp(line->ip, ip, bytes) == 0 &&
	    (rest == 0 || ((line->ip[bytes] ^ ip[bytes]) & mask) == 0);
}

bool
acl_permits(const struct acl *acl, const struct sockaddr *peer,
    unsigned *line)
{
	uint8_t ip[16];

	*line = 0;
	if (acl->n == 0)
		return true;
	if (peer->sa_family == AF_INET) {
		memcpy(ip, mapped, sizeof mapped);
		memcpy(ip + 12, &((const struct sockaddr_in *)
		    (const void *)peer)->sin_addr, 4);
	} else if (peer->sa_family == AF_INET6) {
		memcpy(ip, &((const struct sockaddr_in6 *)
		    (const void *)peer)->sin6_addr, 16);
	} else {
		return true;
	}
	for (size_t i = 0; i < acl->n; i++) {
		const struct acl_line *l = &acl->lines[i];

		if (line_matches(l, ip) == l->invert)
			continue;
		if (!l->permit)
			*line = l->line;
		return l->permit;
	}
	return false;
}
