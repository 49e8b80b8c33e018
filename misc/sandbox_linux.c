/*
 * Linux: no new privileges.
 */
#include <sys/prctl.h>
#include <stdio.h>

#include "sandbox.h"

int
sandbox_enter(enum sandbox_role role, char what[static SANDBOX_ERROR])
{
	(void)role;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	snprintf(what, SANDBOX_ERROR, "no new privileges");
	return 0;
}
