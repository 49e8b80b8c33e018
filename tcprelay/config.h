/*
 * The relay's compiled configuration: what the engine works by, whatever
 * language said it. Immutable once compiled; lives in the arena of its
 * struct compiled (spawnd/conf.h), which is reference counted.
 */
#ifndef TCPRELAY_CONFIG_H
#define TCPRELAY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../misc/diag.h"
#include "../misc/keyproc.h"
#include "../misc/net.h"
#include "../misc/tls.h"
#include "../spawnd/conf.h"
#include "balance.h"
#include "target.h"

struct board;
struct board_cell;
struct facts;

enum config_haproxy { HAPROXY_NO, HAPROXY_V1, HAPROXY_V2 };

/* A file the configuration names: its bytes come from the source. */
struct config_file {
	const char		*path;		/* NULL: none */
	struct diag_place	 place;
};

struct config_keypair {
	struct config_file	 cert, key;	/* key.path NULL: in cert */
	struct config_file	 ocsp;		/* stapled */
	const char		*passphrase;
	struct diag_place	 place;		/* of the block */
	const char		**names;
	size_t			 nnames;
};

struct config_remote {
	struct diag_place	 place;
	struct net_addr		 addr;
	int			 protocol;	/* IPPROTO_TCP, IPPROTO_SCTP, 0 */
	uint16_t		 weight;
	const char		*pool;
	enum config_haproxy	 haproxy;
	uint32_t		 tls;		/* TLS_V1_*, 0: plain */
	bool			 tls_verify;
	const char		*tls_name;
	struct config_file	 tls_ca;
	struct config_keypair	*tls_own;	/* NULL: none */
	const char		*tls_ciphers, *tls_curves;	/* NULL: ours */
	bool			 tls_chain_only;	/* whosever it is */
	bool			 tls_silent;	/* tls_name is not sent */
	uint32_t		 tls_like;	/* index + 1 of one before it
						   that is like it in all of
						   that but the name; 0 */
	char			 identity[128];	/* row on the board */
	char			 text[NET_TEXT];	/* [ADDR]:PORT */
	uint32_t		 index;
	/* of a relay's table */
	uint32_t		 host;		/* number, 0: none */
	const char		*name;		/* as written */
	const char		*health;	/* row on the board, BOARD_HOST, where
						   its sessions count, too; NULL */
	bool			 disabled;	/* by the file */
	unsigned		 retry;
};

/*
 * ---- relays, by listener: the way of relayd ----
 *
 * A relay says how sessions of one listener are treated and where they go;
 * without relays (tcprelay's own language) all sessions choose among all
 * destinations, pick.h. Hosts of tables, and a fixed address, are
 * destinations like others: entries of config.remotes.
 */

struct config_table {
	const char		*name;		/* of the instance, web:80 */
	const char		*identity;	/* row on the board, BOARD_TABLE */
	bool			 check;		/* else all hosts are usable */
	bool			 disabled;	/* by the file */
	enum balance_mode	 mode;
	uint32_t		 first, n;	/* its hosts among remotes */
};

enum config_original {
	ORIGINAL_NO,
	ORIGINAL_LOCAL,		/* diverted: the address it arrived at */
	ORIGINAL_NAT		/* what it was before translation */
};

struct config_tcp {
	struct net_tcp		 socket;	/* of both sides */
	bool			 splice;
	bool			 failover;	/* D-46 */
};

#define CONFIG_LOG_SESSIONS	1u	/* `log connection' */
#define CONFIG_LOG_ERRORS	2u	/* `log connection errors' */

struct config_relay {
	struct diag_place	 place;
	uint32_t		 id;
	const char		*name;
	uint32_t		 listener;	/* its index */
	struct net_addr		 listen;
	bool			 disabled;
	unsigned		 timeout;	/* s: idle, connect, handshake */
	struct config_table	*tables;	/* in the order of choice */
	size_t			 ntables;
	uint32_t		 key[4];	/* of hashes */
	bool			 key_given;	/* else the service's own */
	enum config_original	 original;
	/* Among remotes, -1: none. address: a fixed one. template: how an
	 * original destination is treated; it has no address itself. */
	int32_t			 address, template;
	unsigned		 retry;		/* of address and template */
	bool			 transparent;
	enum target_map		 map;
	struct net_addr		 prefix;
	struct config_tcp	 tcp;
	struct config_tls	*tls;		/* NULL: not on this side */
	unsigned		 log;		/* CONFIG_LOG_* */
};

struct config_tls {
	struct config_keypair	*main;		/* NULL: none */
	struct config_keypair	*sni;
	size_t			 nsni;
	struct config_file	 ca, psk;
	enum tls_verify		 verify;
	const char		*ciphers, *suites;
	struct diag_place	 ciphers_place, suites_place;
	bool			 tickets;
	unsigned		 lifetime;	/* s */
	bool			 needed;	/* a listener has TLS */
	/* of relays */
	const char		*curves;	/* NULL: ours */
	enum tls_dh		 dh;
	bool			 client_preference;
	bool			 first_counts;	/* see tls.h */
	uint32_t		 versions;	/* TLS_V1_* */
	uint32_t		 key;		/* what the key process calls
						   main's; those of sni follow */
};

struct config {
	struct config_remote	*remotes;
	size_t			 nremotes;
	struct config_relay	*relays;	/* by listener; NULL: none */
	size_t			 nrelays;
	struct net_addr		 local;		/* len 0: system's choice */
	uint32_t		 rebalance;	/* 0: unset */
	uint32_t		 retire;	/* 0: never */
	unsigned		 idle;		/* s, 0: off */
	unsigned		 connect, handshake, dead;	/* s */
	bool			 log_connections;
	bool			 key_process;
	struct config_tls	 tls;
	uint8_t			 files[32];	/* digest of what they hold */
	/* What a worker says of it at debug level when it begins to serve
	 * with it; the front end's words. */
	const char		**dump;
	size_t			 ndump;
};

/* The `id = tcprelay` language, tcprelay/conf.c. */
extern const struct conf_section tcprelay_section;

/*
 * TLS contexts of a compiled configuration, made from its source's bytes.
 * servers: NULL when not needed. clients: one per remote, NULL entries for
 * plain ones; array in the arena. Reasons go to diag, with the place of the
 * directive. Used by check (master's child, -P) and by prepare (worker).
 * keys: where private keys are, NULL: in the source. Relays: the first one is
 * NULL then, each has its own.
 * tcprelay/config_tls.c
 */
int	 config_tls_build(const struct compiled *, struct diag *,
	    struct keyproc *keys, struct tls_server **,
	    struct tls_client ***clients);
/* That of a relay, for its clients; *server NULL: it has no TLS there. -1:
 * reasons in diag. */
int	 config_tls_relay(const struct compiled *,
	    const struct config_relay *, struct diag *, struct keyproc *keys,
	    struct tls_server **server);
void	 config_tls_free(const struct config *, struct tls_server *,
	    struct tls_client **);

/* program.keys_apart, program.keys_load */
bool	 config_keys_apart(const struct compiled *);
int	 config_keys_load(const struct compiled *, struct keyproc_keys *,
	    struct diag *);

/* Canonical text, without secrets. */
void	 config_print(const struct config *, FILE *);

/* program.check, program.rows, program.row_count */
void	 config_check(const struct compiled *, struct diag *);
void	 config_rows(const struct compiled *, struct board *, uint32_t);
unsigned config_row_count(const struct compiled *);

/*
 * Where sessions of a destination are counted in that column: in the row of
 * the host that it is, or in one of its own. To be given back by board_drop();
 * NULL: the master has none.
 */
struct board_cell *config_cell(const struct config_remote *, struct board *,
	    unsigned column);

/* program.facts; tcprelay/facts.c */
void	 config_facts(const struct compiled *, struct facts *);

#endif
