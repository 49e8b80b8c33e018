/*
 * relayd as the broker's supervisor runs it.
 */
#ifndef RELAYD_RD_PROGRAM_H
#define RELAYD_RD_PROGRAM_H

#include "../spawnd/program.h"

/* In the parent's environment: 32 hexadecimal digits, made at the start. */
#define RD_HASH_KEY	"RELAYD_HASH_KEY"

extern const struct program rd_program;

/* As root: tries in each process' confinement what is forbidden there, and
 * tells of it on fd, a line each. Returns how much of it was possible. */
unsigned	 rd_program_test(int fd);

#endif
