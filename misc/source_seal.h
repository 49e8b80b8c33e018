/*
 * Memory files for bundles, and for what is made from them to be handed
 * about; what the system offers is in source_SYSTEM.c.
 */
#ifndef MISC_SOURCE_SEAL_H
#define MISC_SOURCE_SEAL_H

#include <stdbool.h>
#include <stddef.h>

/* A new one, close-on-exec, with these bytes, for reading only as far as the
 * system can do that. -1, errno. */
int	 seal_new(const char *name, const void *, size_t);
/* Whether nobody can change or shorten what fd holds. */
bool	 seal_holds(int fd);

#endif
