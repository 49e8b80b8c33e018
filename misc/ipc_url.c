/*
 * How a segment is named.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ipc.h"

static const char prefix[] = "ipc://";

bool
ipc_is_url(const char *text)
{
	return strncmp(text, prefix, sizeof(prefix) - 1) == 0;
}

void
ipc_url_print(char text[static IPC_URL_MAX], unsigned key, size_t len)
{
	snprintf(text, IPC_URL_MAX, "%s%u/%zu", prefix, key, len);
}

/* Digits up to end. false: none, or too many. */
static bool
number(const char **text, char end, uint64_t max, uint64_t *n)
{
	const char *p = *text;

	for (*n = 0; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (*n > (max - digit) / 10)
			return false;
		*n = *n * 10 + digit;
	}
	if (p == *text || *p != end)
		return false;
	*text = p + 1;
	return true;
}

bool
ipc_url_parse(const char *text, unsigned *key, size_t *len)
{
	uint64_t k, n;

	if (!ipc_is_url(text))
		return false;
	text += sizeof(prefix) - 1;
	if (!number(&text, '/', INT_MAX, &k) || k == 0 ||
	    !number(&text, '\0', UINT32_MAX, &n))
		return false;
	*key = (unsigned)k;
	*len = (size_t)n;
	return true;
}
