/*
 * The path of the executable that runs.
 */
#ifndef SPAWND_SELF_H
#define SPAWND_SELF_H

#include <stddef.h>

/* argv[0] is the last resort, looked up in PATH. Returns buf. */
const char *self_path(const char *argv0, char *buf, size_t size);

#endif
