/*
 * The status socket (2.7), the master's side: who connects gets the board, to
 * be read, and whoever may see the configuration the facts about it.
 */
#ifndef SPAWND_STATUSSOCK_H
#define SPAWND_STATUSSOCK_H

#include <stdbool.h>
#include <stdint.h>

struct master;
struct spawnd_conf;
struct start;

#define STATUSSOCK_VERSION	1u

/* All that is sent; host order. */
struct statussock_hello {
	uint32_t	 version;
	uint32_t	 zero;
	uint64_t	 pid;		/* of the master */
};

/* Where it is for this command line and configuration, in static memory or
 * the configuration's. NULL: nowhere. *given: the file names it. */
const char *statussock_path(const struct start *, const struct spawnd_conf *,
	    bool *given);
/* 0, or the exit status: a path that was given could not be had. */
int	 statussock_open(struct master *);
/* A configuration was adopted: another path needs a restart. */
void	 statussock_reloaded(struct master *);
/* Removes the file, if it still is ours. */
void	 statussock_close(struct master *);

/* For a program that goes on in place of this one: the listening socket,
 * which stays ours, and its absolute path; -1 and NULL. */
int	 statussock_fd(const struct master *);
const char *statussock_name(const struct master *);
/* And there: it is taken over. */
void	 statussock_adopt(struct master *, int fd, const char *path);

#endif
