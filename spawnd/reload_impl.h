/*
 * What the files of a reload share: reading the new configuration
 * (reload_read.c), what is new about it (reload_facts.c), getting everybody
 * ready (reload.c), adopting it (reload_adopt.c). Nothing else includes this.
 */
#ifndef SPAWND_RELOAD_IMPL_H
#define SPAWND_RELOAD_IMPL_H

#include "../misc/ev.h"
#include "load.h"
#include "master.h"
#include "reload.h"

enum reload_state {
	RELOAD_LOADING,		/* a child reads the file */
	RELOAD_CHECKING,	/* another program does, upgrade.c */
	RELOAD_SETTLING,	/* about to become that program */
	RELOAD_PREPARING,	/* workers are asked */
	RELOAD_REVOKING,	/* lent sockets come back */
	RELOAD_YIELDING		/* sockets give way to others */
};

/* Owned by the master while a reload is under way. */
struct reload {
	enum reload_state	 state;
	enum reload_kind	 kind;
	unsigned		 again;		/* enum reload_kind bits */
	char			*file;		/* another one, this once; NULL */
	void			(*done)(void *, bool);	/* who asked; NULL */
	void			*ctx;
	struct load		 load;
	struct load_request	 request;
	struct loaded		 conf;		/* the new one */
	uint32_t		 generation;
	uint64_t		 began;		/* of the preparation */
	struct ev_timer		 timer;
	bool			 asked;		/* somebody; else nobody is waited for */
	unsigned		 fresh_needed;	/* workers to be started */
	unsigned		 fresh_failed;
	struct listener		**listeners;	/* by index in conf */

	int			 facts;		/* if it is adopted; -1 */
	bool			 replaces;	/* workers cannot go on */
	char			 later[200];	/* what needs a restart */
	struct upgrade		*upgrade;	/* NULL: none */
};

#define RELOAD_TOO_LONG	(30 * EV_SECOND)

/* Starts the child that reads. false, errno. */
bool	 reload_read(struct master *);
/* Of a good configuration in m->reload->conf: facts, replaces, later. */
void	 reload_compare(struct master *);
/* It is served now: those are the facts. */
void	 reload_facts_adopt(struct master *);
/* A good configuration is in m->reload->conf: everybody gets ready. */
void	 reload_prepare(struct master *);
/* Somebody is: lent sockets come back where they must, then the switch. */
void	 reload_switch(struct master *);
/* They have: the switch, behind the handshakes of sockets that give way. */
void	 reload_enter(struct master *);
/* The switch itself. */
void	 reload_commit(struct master *);
/* The end of it: freed, and what was remembered meanwhile begins. */
void	 reload_finish(struct master *);
void	 reload_fail(struct master *, const char *reason);

#endif
