/*
 * A worker whose program is built into the master: the process role
 * (own_main) and, for single-process mode, the same glue without a process
 * around it (own_single). What the engine calls is in program.h.
 */
#ifndef SPAWND_OWN_H
#define SPAWND_OWN_H

#include "program.h"

/*
 * The process role: called by spawnd_main() when 1.2 says that we are a
 * worker, after log_open(). argv as the process got it; accepts
 * "[-DPv] [-d level] FILE [id]". Returns the exit status.
 */
int	 own_main(const struct program *, int argc, char **argv);
/* 1.2: descriptor 0 is a channel and SPAWND_WORKER is set. */
bool	 own_is_worker(void);

/*
 * How the master compiled, so that a worker given CONFIG compiles the very
 * same: NUL-terminated strings (file, broker_id, worker_id, argv0, self,
 * extra; NULL and "" are the same) that the master sends behind struct
 * channel_config, as a surplus of the payload (5.9). Bytes used, 0 if size
 * does not suffice. own_request_unpack() points into data; false: no tail.
 */
#define OWN_REQUEST_MAX	32768
size_t	 own_request_pack(char *buf, size_t size, const struct conf_request *);
bool	 own_request_unpack(struct conf_request *, const void *data,
	    size_t len);

/*
 * Single process: the master is its own worker and calls the engine through
 * this. The board is the master's; column is the worker's seat and column.
 * Hooks may be NULL; they are called at the end of a round, at most once
 * each per round, so they may do anything but free the own.
 */
struct own_hooks {
	void	(*done)(void *ctx);	/* places are free, or given back */
	void	(*retire)(void *ctx);	/* retire = N reached (5.5) */
};
struct own	*own_single(const struct program *, struct ev *,
		    struct board *, unsigned column, const struct own_hooks *,
		    void *ctx);
void		 own_single_free(struct own *);
/* As in struct worker_ops; commit also sets the column's generation. The
 * rows of c stand on the board before. */
int		 own_single_prepare(struct own *, struct compiled *,
		    struct diag *);
void		 own_single_commit(struct own *);
void		 own_single_forget(struct own *);
/* Hands n accepted connections to the engine; counts them as given (in the
 * seat) and taken. */
void		 own_single_conn(struct own *, const struct spawnd_conn *,
		    unsigned n);
void		 own_single_tickets(struct own *, const struct ticket_key *,
		    unsigned n);
void		 own_single_drain(struct own *);
void		 own_single_status(struct own *);
void		 own_single_kill(struct own *);

#endif
