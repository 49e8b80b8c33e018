/*
 * The key process, as the master sees it: one for each configuration that
 * wants one, started when the first worker needs it, restarted when it dies,
 * and left alone when its configuration is over: it ends with the last
 * worker that still has connections of that configuration.
 */
#ifndef SPAWND_KEYS_H
#define SPAWND_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct compiled;
struct loaded;
struct master;
struct proc;
struct program;
struct upgrade_keys;

/* Whether a configuration's private keys live in another process than the
 * workers of this program. */
bool	 keys_elsewhere(const struct program *, const struct compiled *);
/* Whether own workers of this configuration get no private keys. */
bool	 keys_apart(const struct master *, const struct compiled *);
/*
 * KEYS to a worker that was given CONFIG of that generation; nothing if it
 * has its keys itself. false: its channel does not take it.
 */
bool	 keys_give(struct proc *, const struct loaded *, uint32_t generation);
/* The configuration of that generation is not used any more by whoever comes
 * now; failed: nobody has ever used it. */
void	 keys_over(struct master *, uint32_t generation, bool failed);
/* SIGCHLD: true if it was one of ours. */
bool	 keys_reaped(struct master *, pid_t, int wstatus);
/* One has not answered, or not been asked since then. */
bool	 keys_owe(const struct master *, uint64_t since);
/* Signs of life; once a second while they are owed. */
void	 keys_watch(struct master *, uint64_t now);
/* SIGUSR2: new log files. */
void	 keys_logfiles(struct master *);
/* Those there are, as an upgrade hands them on; list may be NULL. Returns how
 * many. */
size_t	 keys_note(const struct master *, struct upgrade_keys *list);
/* One that the program before us has started: for its workers only. */
void	 keys_adopt(struct master *, const struct upgrade_keys *);
/* They are not our children any more: their channels tell of their ends. */
void	 keys_orphaned(struct master *);
/* At the end of the master: let go, not ended. */
void	 keys_clear(struct master *);

/* ---- the process itself, keys_main.c ---- */

#define KEYS_ENV	"SPAWND_KEYPROC"	/* as SPAWND_WORKER */

/* After log_open(). The exit status. */
int	 keys_main(const struct program *, char **argv);

#endif
