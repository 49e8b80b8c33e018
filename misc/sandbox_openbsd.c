/*
 * OpenBSD: nothing of the file system, and pledges.
 */
#include <stdio.h>
#include <unistd.h>

#include "sandbox.h"

static const char *const promises[SANDBOX_ROLES] = {
	[SANDBOX_RELAY] = "stdio recvfd sendfd inet",
	[SANDBOX_CHECK] = "stdio recvfd inet",
	[SANDBOX_FILTER] = "stdio recvfd unix",
	[SANDBOX_KEY] = "stdio recvfd",
};

int
sandbox_enter(enum sandbox_role role, char what[static SANDBOX_ERROR])
{
	if (unveil("/", "") == -1 || unveil(NULL, NULL) == -1 ||
	    pledge(promises[role], "") == -1)
		return -1;
	snprintf(what, SANDBOX_ERROR, "unveil, pledge %s", promises[role]);
	return 0;
}
