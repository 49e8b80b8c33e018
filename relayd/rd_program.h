/*
 * relayd as the broker's supervisor runs it.
 */
#ifndef RELAYD_RD_PROGRAM_H
#define RELAYD_RD_PROGRAM_H

#include "../spawnd/program.h"

extern const struct program rd_program;

#endif
