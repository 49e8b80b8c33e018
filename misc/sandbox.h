/*
 * Confinement of a process that has nothing to lose any more: no files, no
 * new privileges, and of the system's calls only what its role needs. One
 * allow list per role, each system's file says it in its own words.
 */
#ifndef MISC_SANDBOX_H
#define MISC_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

enum sandbox_role {
	SANDBOX_RELAY,		/* sockets, descriptors received, pipes */
	SANDBOX_CHECK,		/* the same, raw sockets that are open */
	SANDBOX_FILTER,		/* UNIX sockets that are open, and theirs */
	SANDBOX_KEY,		/* descriptors it has, and received ones */
	SANDBOX_ROLES
};

#define SANDBOX_ERROR	256

/*
 * chroot to the user's home and chdir there, no supplementary groups, real,
 * effective and saved ids of user. 0, or -1 and why in error: `unknown user U', `unusable chroot
 * directory DIR: REASON', or what the system refused.
 */
int	 sandbox_drop(const char *user, char error[static SANDBOX_ERROR]);
/* The checks of sandbox_drop, without its doing: for the start. */
int	 sandbox_user(const char *user, uid_t *, gid_t *,
	    char error[static SANDBOX_ERROR]);

/*
 * From now on only that. What the system does not offer is left out: *what
 * tells what is in force ("seccomp, landlock"; "none"). -1, errno: it should
 * have worked and did not.
 */
int	 sandbox_enter(enum sandbox_role, char what[static SANDBOX_ERROR]);

/*
 * As root: tries what is forbidden to a role, each thing in a process that was
 * confined like that, and tells on fd, `TITLE: WHAT: denied (WHY)'. Returns
 * how much of it was possible: 0 is well.
 */
unsigned sandbox_test(const char *user, enum sandbox_role, const char *title,
	    int fd);

#endif
