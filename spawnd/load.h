/*
 * Reading a configuration: gathered, compiled and tried in a short-lived
 * child, which hands the bundle over as sealed memory files. The service
 * never waits for a slow disk or name server, and never parses a private key.
 */
#ifndef SPAWND_LOAD_H
#define SPAWND_LOAD_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"

/* A configuration found good; owned by the master. */
struct loaded {
	struct compiled	*conf;		/* one reference; NULL: none */
	int		 bundle, secrets; /* sealed memory files; -1: none */
	int		 shared;	/* secrets without private keys, for
					   workers that have a key process */
};

/* A child at work. Owned by whoever started it; the child is to be reaped by
 * its pid. */
struct load {
	pid_t		 pid;
	int		 report;	/* pipe: diagnostics, to its end */
	int		 files;		/* socket: one message with bundle */
	char		*data;		/* what came so far */
	size_t		 len, room;
};

struct load_request {
	struct conf_request	 conf;
	char *const		*environ_base;
	const struct source	*previous;	/* what came by URL is asked
						   for conditionally; NULL */
	const char		*copies;	/* directory of the copies to
						   fall back on; NULL: none */
	bool			 poll;		/* nothing comes of it if what
						   is there by URL is the same
						   as in previous */
	bool			 print;	/* the child reports to the operator
					   itself (start) */
	bool			 to_stderr;	/* on standard error only, not
						   in the log too */
	bool			 quiet;		/* no warnings (load_check) */
};

void	 loaded_init(struct loaded *);
void	 loaded_clear(struct loaded *);

/* Starts the child. -1, errno. */
int	 load_start(struct load *, const struct load_request *);
/* Takes in what is there. 1: the child is done, 0: more may come, -1. */
int	 load_read(struct load *);
/*
 * After load_read() said 1: compiles what the child found good. 0, or the
 * exit status that its errors stand for; they are in diag. Of a poll that
 * found nothing new: 0, and there is no configuration.
 */
int	 load_finish(struct load *, const struct load_request *,
	    struct loaded *, struct diag *);
/* Closes everything; a child that still runs is killed, not reaped. */
void	 load_clear(struct load *);

/* The whole of it, waiting: for the start. Exit status. */
int	 load_wait(const struct load_request *, struct loaded *);

/*
 * Compiles and tries in this process, reports on standard error: -P. *c is
 * what was compiled, if there are errors as conf_request.wrong has it, or
 * NULL. *said, if somebody wants it, is the text of the report, for free().
 */
int	 load_check(const struct load_request *, struct compiled **c,
	    char **said);

#endif
