/*
 * Without libnetsnmp: nothing is told to anybody, and the process for it is
 * not started.
 */
#include <stdio.h>

#include "rd_snmp_lib.h"

bool
snmp_lib_open(const struct rd_snmp_ops *ops, void *ctx,
    char why[static RD_SNMP_REASON])
{
	(void)ops;
	(void)ctx;
	snprintf(why, RD_SNMP_REASON, "built without libnetsnmp");
	return false;
}

bool
snmp_lib_connect(int fd, const char *context,
    char why[static RD_SNMP_REASON])
{
	(void)fd;
	(void)context;
	snprintf(why, RD_SNMP_REASON, "built without libnetsnmp");
	return false;
}

uint64_t
snmp_lib_turn(void)
{
	return 0;
}

const char *
snmp_lib_lost(void)
{
	return "";
}

void
snmp_lib_go_on(void)
{
}

void
snmp_lib_trap(const struct rd_snmp_trap *t, const char *context)
{
	(void)t;
	(void)context;
}

void
snmp_lib_leave(void)
{
}

void
snmp_lib_close(void)
{
}
