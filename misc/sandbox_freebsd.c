/*
 * FreeBSD: capability mode, where nothing is found by name any more. It knows
 * no connect(2) either, so processes that open connections go without.
 */
#include <sys/capsicum.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "sandbox.h"

static const bool by_descriptor[SANDBOX_ROLES] = {
	[SANDBOX_FILTER] = true,
	[SANDBOX_KEY] = true,
};

int
sandbox_enter(enum sandbox_role role, char what[static SANDBOX_ERROR])
{
	snprintf(what, SANDBOX_ERROR, "none");
	if (!by_descriptor[role])
		return 0;
	if (cap_enter() == -1)
		return errno == ENOSYS ? 0 : -1;
	snprintf(what, SANDBOX_ERROR, "capsicum");
	return 0;
}
