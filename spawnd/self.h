/*
 * The program that runs: where it lies on disk, whether something else lies
 * there by now, and how to start the very same once more.
 */
#ifndef SPAWND_SELF_H
#define SPAWND_SELF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Path of this executable, found by the system, or from argv[0] and PATH.
 * Falls back to argv[0]; never fails. */
const char *self_path(const char *argv0, char *buf, size_t size);

/* One state of a file. */
struct self_file {
	uint64_t	 dev, ino, size;
	int64_t		 seconds, nanoseconds;	/* last modification */
};

struct self {
	char		 path[PATH_MAX];	/* as started, absolute: links
						   on the way may be moved */
	struct self_file file;		/* the one that runs */
	bool		 known;		/* there is one */
	bool		 emulated;	/* the system runs something else,
					   which runs it */
};

/* At start, before the directory changes: path is of self_path(). */
void	 self_note(struct self *, const char *argv0, const char *path);
/* Another program that may be executed lies at self->path. */
bool	 self_replaced(const struct self *);
/* What to execute for another process of the program that runs: path, unless
 * something else lies there. */
const char *self_image(const struct self *, const char *path);

/* Where a link to a running program says that its file was removed, the name
 * it had; in place. Pure. */
void	 self_undelete(char *path);

#endif
