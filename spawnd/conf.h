/*
 * The broker's half of a compiled configuration, and compiling as a whole:
 * conf_compile() is pure, all it asks goes through the source.
 */
#ifndef SPAWND_CONF_H
#define SPAWND_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/diag.h"
#include "../misc/log.h"
#include "../misc/net.h"
#include "../misc/pool.h"
#include "../misc/source.h"
#include "acl.h"

struct passed;		/* spawnd/inherit.h */
struct parse;		/* a running compilation, spawnd/parse.h */
struct program;
struct kw;		/* misc/kw.h */

/* Directives that stand anywhere (3.7), as one process sees them. */
struct common_conf {
	struct log_conf	 log;
	const char	*log_path;		/* log file; NULL: none */
	const char	*debug_path;		/* debug redirect to a file */
	const char	*proctitle;
	const char	*coredump;
	const char	*gcore;
	const char	*debug_cmd;
	const char	*verify_key;		/* for URLs */
	struct diag_place verify_place;
	unsigned	 cleanup;		/* s: housekeeping */
	unsigned	 refresh;		/* s, 0: off */
	struct diag_place refresh_place;
};

struct sticky_conf {
	unsigned	 period;		/* s, 0: off */
	unsigned	 size;
	bool		 own;			/* this listener's own cache */
};

enum listen_accept { ACCEPT_MASTER, ACCEPT_WORKERS };
enum overload { OVERLOAD_QUEUE, OVERLOAD_CLOSE, OVERLOAD_RESET };

/* One endpoint. A block whose name has several addresses, or without address
 * next to an explicit wildcard, makes one or more of them. */
struct listener_conf {
	struct diag_place	 place;		/* of the block's first word */
	const char		*name;		/* listener-N or as given */
	bool			 named;		/* it was given */
	uint32_t		 index;		/* of the block: workers know
						   it by this */
	struct net_addr		 addr;		/* len 0: none was passed */
	const struct passed	*passed;	/* a socket for it; NULL. Never
						   set by the compiler */
	bool			 plain;		/* passed, and no block */
	bool			 both;		/* :: for IPv4 too; 0.0.0.0
						   where there is no IPv6 */
	bool			 v6only;
	int			 type;		/* SOCK_STREAM ... */
	int			 protocol;	/* IPPROTO_TCP ..., 0: UNIX */
	mode_t			 mode;		/* UNIX */
	uid_t			 uid;		/* (uid_t)-1: the master's */
	gid_t			 gid;
	int			 backlog, overload_backlog;
	unsigned		 retry;		/* s, 0: never */
	char			 realm[16];
	int			 dscp;		/* -1: unset */
	const char		*vrf;
	uint32_t		 versions;	/* SPAWND_TLS_1_2 ..., 0: plain */
	uint32_t		 flags;		/* SPAWND_HAPROXY ... */
	uint32_t		 aaa;		/* SPAWND_AAA_* */
	struct net_keepalive	 keepalive;
	struct net_tcp		 tcp;
	bool			 no_keepalive;
	bool			 foreign;	/* takes what is diverted to it,
						   whatever address it is for */
	const char		*owner;		/* whose it is, for errors: such
						   a one must be open; NULL */
	enum listen_accept	 accept;
	struct sticky_conf	 sticky;
};

struct spawn_conf {
	const char	*exec;		/* NULL: the program itself */
	const char	*id;		/* section of the worker */
	const char	*config;	/* file the worker reads; NULL: ours */
	unsigned	 instances_min, instances_max;
	unsigned	 users_min, users_max;
	uid_t		 uid;		/* (uid_t)-1: the master's */
	gid_t		 gid;
	const char	*user;		/* for supplementary groups; NULL */
	const char	*directory;
	unsigned	 ipc_key;
	/* What a worker that reads for itself is given in the place of the
	   file; NULL: nothing, it has the file's name. */
	const char	*text;
	size_t		 text_len;
	const char	*text_name;	/* of the file */
};

struct spawnd_conf {
	struct listener_conf	*listeners;
	size_t			 nlisteners;
	/* what is opened for them: the same, unless sockets were passed */
	struct listener_conf	*endpoints;
	size_t			 nendpoints;
	uint32_t		 indexes;	/* all of theirs are below */
	struct acl		 acl;
	struct spawn_conf	 spawn;
	bool			 background;
	const char		*pidfile;
	const char		*status_socket;
	bool			 status_given;
	enum overload		 overload;
	bool			 single;
	struct diag_place	 single_place;
	unsigned		 bufsize;	/* master-worker sockets, 0 */
	struct sticky_conf	 sticky;	/* the shared cache */
};

/* A compiled configuration: both halves in one arena, sealed. Reference
 * counted: sessions keep the one they began with. */
struct compiled {
	struct arena		*arena;
	unsigned		 refs;
	uint32_t		 generation;	/* set when adopted */
	struct common_conf	 broker_common, worker_common;
	struct spawnd_conf	 broker;
	void			*worker;	/* the front end's own, or NULL */
	void			(*worker_free)(void *);
	void			*front;		/* what program.compile made it
						   from; NULL */
	void			(*front_free)(void *);
	struct source		*source;	/* owned */
	void			*request;	/* what the request points to, for
						   free(); NULL: it stays */
	const char		*file;		/* of the request */
	uint8_t			 digest[32];
	/* A hash of what another program is to read: its file, or what is
	 * not ours of this one. 0: the worker is the program itself. */
	uint64_t		 foreign;
	bool			 check;		/* as in the request */
	bool			 keyed;		/* this process has no private
						   keys: KEYS tells who has */
};

struct conf_request {
	const struct program	*program;
	const char		*file;
	const char		*broker_id;	/* -I or trailing id; NULL */
	const char		*worker_id;	/* -i; NULL */
	const char		*argv0;		/* its base name is a default id */
	const char		*self;		/* path of this executable */
	const char		*keyfile;	/* -k: public keys for file, a
						   URL; NULL */
	bool			 check;		/* -P: failures of files only
						   needed at run time warn */
	bool			 trace;		/* -d 1: list tokens on stderr */
	bool			 single;	/* -1 */
	const char		*extra;		/* what else the program's own
						   language needs to know of
						   its command line; NULL */
	const char		*shown;		/* how file is called; NULL:
						   as it is */
	bool			 worker_only;	/* a worker that reads FILE
						   itself: the broker's section
						   may be anything, or missing */
	struct compiled		**wrong;	/* gets what has errors, and
						   only tells who the worker
						   is; NULL: nobody asks */
};

/*
 * Reads and checks everything a start needs, in both sections, through
 * source (owned by the result, which is returned only if there is no error;
 * on failure the caller keeps it). Errors and warnings go to diag.
 */
struct compiled	*conf_compile(const struct conf_request *, struct source *,
		    struct diag *);
struct compiled	*compiled_ref(struct compiled *);
void		 compiled_unref(struct compiled *);

/* The language of a worker's section, called by the compiler. */
struct conf_section {
	/* a zeroed, defaulted object in the arena */
	void	*(*begin)(struct parse *);
	/* the body, with its '{' in hand, to behind its '}'; several may
	   come */
	void	 (*body)(struct parse *, void *);
	/* whole-configuration checks; only if nothing else was wrong.
	   body_place: first word of the first section, for "no 'remote'
	   defined" */
	void	 (*end)(struct parse *, void *, const struct spawnd_conf *,
		    const struct diag_place *body_place);
	/* canonical text of everything, for the digest and for printing */
	void	 (*print)(const void *, FILE *);
	void	 (*free)(void *);	/* what is not in the arena */
	/* what no alias may be called: tables, sets of words; NULL ends */
	const struct kw *const *reserved;
};

/* Canonical text of the broker's half. */
void	 conf_print(const struct spawnd_conf *, FILE *);

#endif
