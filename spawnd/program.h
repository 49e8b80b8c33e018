/*
 * What a program hands to the broker: its name, the language of its worker's
 * section, and the worker itself. spawnd runs roles it does not know.
 */
#ifndef SPAWND_PROGRAM_H
#define SPAWND_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "channel.h"
#include "conf.h"
#include "../misc/ev.h"
#include "role.h"

struct facts;		/* spawnd/facts.h */
struct keyproc_keys;	/* misc/keyproc.h */
struct own;		/* the worker's half of the channel, spawnd/own.c */
struct worker;		/* the engine's */

/*
 * What the engine is asked. All are called from the loop of the process the
 * worker lives in: its own, or (single process) the master's.
 */
struct worker_ops {
	/* Once, before any configuration. own: for the calls below. */
	struct worker	*(*open)(struct ev *, struct own *);
	/* Make ready to serve with c (a reference is taken); the old one goes
	 * on until commit. -1: cannot be used, reasons in diag. A second
	 * prepare replaces the first. */
	int		 (*prepare)(struct worker *, struct compiled *c,
			    struct diag *);
	void		 (*commit)(struct worker *);
	void		 (*forget)(struct worker *);	/* drop what is prepared */
	/* n accepted connections; their descriptors now are the engine's.
	 * It must call own_done() once for each, at its end. */
	void		 (*conn)(struct worker *, const struct spawnd_conn *,
			    unsigned n);
	void		 (*tickets)(struct worker *, const struct ticket_key *,
			    unsigned n);
	/* The way to the key process of a configuration (keyed) of that
	 * generation, instead of the one before; fd now is the engine's.
	 * NULL: it never has one. */
	void		 (*keys)(struct worker *, uint32_t generation, int fd);
	/* No new connections will come (again); titles and logs only. */
	void		 (*drain)(struct worker *);
	/* SIGUSR2 in single-process mode: status lines. */
	void		 (*status)(struct worker *);
	/* Something that a role, or the parent, has told; NULL: ignored. */
	void		 (*tell)(struct worker *, struct tell *);
	/* End all sessions at once, reason "killed". */
	void		 (*kill)(struct worker *);
	void		 (*close)(struct worker *);
};

/* Wherein a service differs from the broker's in what is seen of it. */
struct program_manners {
	const char	*worker;	/* title of workers: "NAME: relay" */
	int		 facility;	/* of syslog */
	int		 warning;	/* its severity; 0: LOG_WARNING */
	bool		 plain;		/* standard error: the bare line */
	bool		 cut;		/* the end of the service cuts
					   sessions; children end silently */
	bool		 unhurried;	/* SIGUSR1 is ignored, and SIGHUP by
					   children */
	bool		 exits_1;	/* 0 or 1 is all that it exits with */
	bool		 exact;		/* workers beyond instances max drain
					   at once, not when they are idle */
};

struct program {
	const char			*name;
	bool				 broker_only;	/* spawnd itself */
	const char			*features;	/* for -v: "/TLS/..." */
	const struct conf_section	*section;	/* NULL: stand-alone */
	/* Tries files and TLS material of a compiled configuration; run in a
	 * short-lived child by the master, directly by -P. */
	void				 (*check)(const struct compiled *,
					    struct diag *);
	/* Enters the configuration's rows on the board (master, and for a
	 * private board the worker). */
	void				 (*rows)(const struct compiled *,
					    struct board *, uint32_t generation);
	/* How many rows that takes. */
	unsigned			 (*row_count)(const struct compiled *);
	/* Adds what the worker's section says, for comparing (2.8). NULL: it
	 * is not known to this program. */
	void				 (*facts)(const struct compiled *,
					    struct facts *);
	/* Seconds that a session ticket lives, 0: there are none. NULL: two
	 * hours. */
	unsigned			 (*ticket_lifetime)(
					    const struct compiled *);
	/* How many keys it sees, one after the other, at most four; all of
	 * these decrypt as long as it lives. 0: one, and for as long again. */
	unsigned			 ticket_keys;
	/* Whether private keys are to live in a process of their own, and
	 * what that one does: takes them in, -1: reasons in diag. NULL: there
	 * is no such thing. */
	bool				 (*keys_apart)(const struct compiled *);
	int				 (*keys_load)(const struct compiled *,
					    struct keyproc_keys *,
					    struct diag *);
	const struct worker_ops		*worker;

	/*
	 * A language of its own in the place of the two sections: fills in
	 * what struct compiled has for both halves, whose arena is there.
	 * false: errors in diag. NULL: the sections.
	 */
	bool				 (*compile)(const struct conf_request *,
					    struct source *, struct compiled *,
					    struct diag *);
	/* NULL: those of the broker. */
	const struct program_manners	*manners;
	/*
	 * In every process but the master, as soon as nothing needs
	 * privileges any more, and before a byte of anybody else is read:
	 * become nobody. title: "relay" or that of a role. false: it has
	 * logged why, the process ends. NULL: as `spawn' says.
	 */
	bool				 (*confine)(const char *title);
	const struct program_role	*roles;
	unsigned			 nroles;
	const struct parent_ops		*parent;	/* NULL: none */
};

/* main() of every program: options, configuration, master or worker role.
 * Returns the exit status. */
int	 spawnd_main(const struct program *, int argc, char **argv);
/*
 * The same for a program with options of its own. First thing in main():
 * true if this is a child that the master started, whatever its role; then
 * *status is what it ended with. Else what its options say goes into a
 * zeroed struct start (master.h), whose argv and file are set, and
 * spawnd_serve() is the master.
 */
bool	 spawnd_child(const struct program *, int argc, char ***argv,
	    int *status);
struct start;
int	 spawnd_serve(const struct program *, struct start *);

/* ---- what the engine may call (spawnd/own.c, or single-process glue) ---- */

uint32_t own_number(const struct own *);	/* worker number, 1... */
/* Board and the column that is this worker's to write. Never NULL: a private
 * one where the master has none to share. */
struct board	*own_board(struct own *);
unsigned own_column(const struct own *);
/* n sessions have ended. */
void	 own_done(struct own *, unsigned n);
/* One of them for this reason, an index of board_ends[]. */
void	 own_ended(struct own *, unsigned end);
/* Where sessions of a listener are counted, or (NULL) of one that no block of
 * the file describes; to be given back by board_drop(). NULL: nobody wants to
 * know. */
struct board_cell *own_listener(struct own *, const struct listener_conf *);
/* Give a connection back untouched: closes c->fd without shutdown. */
void	 own_return(struct own *, const struct spawnd_conn *c,
	    unsigned reason);
/* retire = N reached: no more connections, serve what there is (5.5). */
void	 own_retire(struct own *);
/* Something that connections need is short: accept no more for ns, or until
 * one has ended. A worker that is given connections has no say in it. */
void	 own_rest(struct own *, uint64_t ns);
/*
 * Descriptors may be held by the master too: shutdown before close, and take
 * them out of the loop first (5.4). own_copy() of a connection, while conn()
 * is called with it, is what own_shared() is asked with at its end. false:
 * certainly nobody else has it, from now on.
 */
uint64_t own_copy(const struct own *, const struct spawnd_conn *c);
bool	 own_shared(const struct own *, uint64_t copy);
/* The number of users right now, for titles. */
uint32_t own_use(const struct own *);
/* As role_tell(). Where there is no master of our build nobody hears it. */
void	 own_tell(struct own *, unsigned role, uint32_t instance,
	    unsigned type, const void *, size_t, int fd);

#endif
