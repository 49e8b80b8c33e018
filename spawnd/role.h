/*
 * Processes of a program beside its workers. Each is a role: the master
 * starts it, gives it the board and every configuration, starts it anew when
 * it dies, and carries what roles, workers and the master's own part of the
 * program (its parent) have to tell each other. Nobody talks past the master.
 *
 * A role's process executes the program anew, opens what needs privileges,
 * gives them up (program.confine), and only then reads anything.
 */
#ifndef SPAWND_ROLE_H
#define SPAWND_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/diag.h"
#include "../misc/ev.h"

struct board;
struct compiled;
struct conf_request;
struct master;

/* Who tells, or is told. */
#define ROLE_PARENT	0u	/* the program's part in the master */
#define ROLE_WORKER	1u	/* instance: worker number */
#define ROLE_FIRST	2u	/* program.roles[0], then the others;
				   instance: from 0 */
#define ROLE_ALL	UINT32_MAX	/* every instance */

#define ROLE_DATA	65000u	/* most bytes of a tell */

/*
 * To a role with keys, of a worker: the other end of fd is its. data is the
 * uint32_t generation of the configuration (compiled.generation) whose keys
 * it is for; that one has been told to the role before.
 */
#define ROLE_KEYS	0u

/* Something told. */
struct tell {
	unsigned	 role;		/* from whom */
	uint32_t	 instance;
	unsigned	 type;		/* the program's own numbers, not 0;
					   ROLE_KEYS */
	const void	*data;		/* aligned to 8 */
	size_t		 len;
	int		 fd;		/* -1: none. Who keeps it sets it to
					   -1, else it is closed */
};

/* ---- a role's process ---- */

struct role;			/* its end of the channel */

struct role_ops {
	/* First of all, with all privileges: may open what needs them. NULL:
	 * it has logged why, the process ends. */
	void	*(*open)(struct ev *, struct role *);
	/*
	 * That is in force now; the board has come before. A reference is
	 * taken if it is kept. -1: reasons in diag, the process ends. With
	 * another board it may be the same one once more: what is held on
	 * the former board is gone when this returns. Roles with keys are
	 * told of a configuration before it is in force, and if that does
	 * not come to pass of the one in force again.
	 */
	int	 (*config)(void *, struct compiled *, struct diag *);
	void	 (*tell)(void *, struct tell *);
	/* The service ends, or this process is not needed any more. */
	void	 (*close)(void *);
};

struct program_role {
	const char		*title;		/* "hce" */
	/* How many of them; NULL: one. */
	unsigned		(*instances)(const struct compiled *);
	/* It gets private keys with the configuration; workers and others
	 * do not if there is such a role. */
	bool			 secrets;
	/* A way from instance i to every worker whose number is i modulo the
	 * instances: tells role and worker (worker_ops.keys). */
	bool			 keys;
	const struct role_ops	*ops;
};

/* Told in order, kept while the channel is full. fd is copied, -1: none. */
void		 role_tell(struct role *, unsigned role, uint32_t instance,
		    unsigned type, const void *, size_t, int fd);
/* Never NULL once config was called. */
struct board	*role_board(struct role *);
uint32_t	 role_instance(const struct role *);
struct ev	*role_ev(struct role *);
/* End the process; the master starts another one, and says nothing of it if
 * status is 0. */
void		 role_fail(struct role *, int status);

/* ---- the parent: in the master's process, which must not wait ---- */

struct parent_ops {
	/* Once, before the first configuration is in force. NULL: logged. */
	void	*(*open)(struct master *, struct ev *);
	/* Make ready what this one needs, beside what is in force. -1: error
	 * says why not; then, or when something else fails, forget. */
	int	 (*prepare)(void *, struct compiled *, char *error,
		    size_t size);
	void	 (*commit)(void *);
	void	 (*forget)(void *);
	/* A process of a role is there and has the configuration; it may be
	 * another one than before. */
	void	 (*greet)(void *, unsigned role, uint32_t instance);
	void	 (*tell)(void *, struct tell *);
	/* A child that the master does not know: true if it was ours. */
	bool	 (*reaped)(void *, pid_t, int wstatus);
	void	 (*close)(void *);
};

void		 master_tell(struct master *, unsigned role,
		    uint32_t instance, unsigned type, const void *, size_t,
		    int fd);
/*
 * Read file (NULL: the one of the start) and adopt it; another program file
 * is not looked at. false: a reload is under way. Else done is called once,
 * from the loop, unless the service ends before.
 */
bool		 master_reload(struct master *, const char *file,
		    void (*done)(void *ctx, bool good), void *ctx);
/* End the service, as SIGTERM does. */
void		 master_stop(struct master *, const char *why);
/* Debug lines of all processes, from now on. */
void		 master_verbose(struct master *, bool on);

#endif
