/*
 * The last known good copies of what came by URL (8.3): one file each in
 * LOCALSTATEDIR/PROGRAM, or in $STATE_DIRECTORY where a service manager has
 * made one. Read at a start that cannot fetch, written by a child when a
 * configuration has proven good.
 */
#ifndef SPAWND_STORE_H
#define SPAWND_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../misc/fetch.h"

struct master;
struct program;

/* To be freed; NULL: no memory. */
char	*store_directory(const struct program *, char *const *environ_base);

/* ---- one copy: pure ---- */

#define STORE_NAME	(64 + sizeof(".conf"))
/* The name of its file. */
void	 store_name(const char *url, char name[static STORE_NAME]);
/* What stands before the text. To be freed, *len bytes; NULL: no memory. */
char	*store_head(const char *url, const struct document *, size_t *len);
/* A whole file, which anybody may have written. false: it is not a copy of
 * that URL, and *d is empty. */
bool	 store_parse(const char *url, const char *data, size_t len,
	    struct document *d);

/* ---- files ---- */

/* The copy in that directory, or why there is none (nothing is said of one
 * that simply is not there). As source_fetching wants it: ctx is the
 * directory. */
bool	 store_read(void *directory, const char *url, struct document *,
	    char *why, size_t);
/* false: why. The older copy is whole then. */
bool	 store_write(const char *directory, const char *url,
	    const struct document *, char *why, size_t);

/* The running configuration is good: a child keeps what came by URL. */
void	 store_keep(struct master *);
/* SIGCHLD: true if it was that child. */
bool	 store_reaped(struct master *, pid_t);
/* The end of the service: the child goes on alone. */
void	 store_clear(struct master *);

#endif
