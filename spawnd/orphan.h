/*
 * Workers whose parent this master is not: after a stand-in has taken over
 * they are somebody else's children, and no SIGCHLD tells of their end.
 */
#ifndef SPAWND_ORPHAN_H
#define SPAWND_ORPHAN_H

struct master;
struct proc;

/* While they are certainly there: something to know each by. */
void	 orphans_note(struct master *);
/* From now on their ends are watched for. */
void	 orphans_watch(struct master *);
/* p is gone. */
void	 orphan_forget(struct proc *);
/*
 * Columns of the board that workers of a failed program may still write to
 * are given to nobody before those have ended.
 */
void	 orphans_strays(struct master *);

#endif
