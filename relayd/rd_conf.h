/*
 * What a relayd.conf says, checked and numbered: the object model between the
 * language (rd_lex, relayd.y, rd_build) and everything that acts on it. One
 * arena, changed by nobody once rd_compile() has returned it. It knows no
 * grammar, and nothing below the front end knows it.
 *
 * Section numbers are those of the language's specification.
 */
#ifndef RELAYD_RD_CONF_H
#define RELAYD_RD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/diag.h"
#include "../misc/net.h"
#include "../misc/pool.h"
#include "../misc/source.h"

#define RD_HOST_NAME	255		/* bytes, E24 */
#define RD_TABLE_NAME	63		/* E23 */
#define RD_TAG_NAME	63		/* E95, E61 */
#define RD_LABEL	1023		/* E97 */
#define RD_RELAY_HOSTS	32		/* of one table, E75 */
#define RD_NO_PORT	65535		/* of a router's table, 4.1 */

/* ---- tables, 2.3, 2.4, 4 ---- */

/* A host of a template; each instance has a copy with a number. */
struct rd_host {
	uint32_t	 id;		/* 1 ... over the configuration; 0 in
					   a template */
	const char	*name;		/* as written */
	struct net_addr	 addr;		/* port 0 in a template */
	bool		 by_name;	/* it was resolved */
	unsigned	 retry;
	uint32_t	 parent;	/* host id; 0: none */
	unsigned	 priority;	/* routers, 0: the kernel chooses */
	unsigned	 ttl;		/* of checks, 0: the system's */
	unsigned	 same;		/* how many before it are called the
					   same on the board (rd_board.h) */
	struct diag_place place;
};

enum rd_check_kind { RD_CHECK_NONE, RD_CHECK_ICMP, RD_CHECK_TCP,
    RD_CHECK_HTTP_CODE, RD_CHECK_HTTP_DIGEST, RD_CHECK_SEND, RD_CHECK_BINARY,
    RD_CHECK_SCRIPT };

struct rd_check {
	enum rd_check_kind kind;
	bool		 tls;
	const char	*path;		/* http, script */
	const char	*host;		/* http; NULL */
	unsigned	 code;
	const char	*digest;	/* lower case; 32 or 40 digits */
	const uint8_t	*send;		/* decoded; NULL: nothing */
	size_t		 send_len;
	const uint8_t	*expect;	/* binary: bytes; send: the pattern */
	size_t		 expect_len;
};

enum rd_mode { RD_ROUNDROBIN, RD_RANDOM, RD_LEAST_STATES, RD_SOURCE_HASH,
    RD_LOADBALANCE, RD_HASH };

struct rd_key {
	bool		 given;
	uint32_t	 word[4];	/* w0 ... w3 of 4.8.1 */
};

/* What runs: a template as a reference made it. */
struct rd_table {
	uint32_t	 id;		/* 1 ... in order of creation */
	const char	*name;		/* TEMPLATE:PORT */
	const char	*template;
	unsigned	 port;
	bool		 port_given;
	struct rd_check	 check;
	unsigned	 timeout;	/* ms */
	unsigned	 interval;	/* s */
	unsigned	 skip;		/* interval / global interval - 1 */
	const char	*demote;	/* interface group; NULL */
	bool		 disabled;
	bool		 by_route;	/* made by a `route to' */
	struct rd_host	*hosts;
	size_t		 nhosts;
	struct diag_place place;
};

/* A reference to an instance, with how to pick from it. */
struct rd_use {
	struct rd_table	*table;
	enum rd_mode	 mode;
	struct rd_key	 key;
	unsigned	 port;		/* for traffic */
};

/* ---- redirects, 2.5, 5 ---- */

struct rd_rdr_listen {
	struct net_addr	 addr;		/* port: the lowest */
	unsigned	 port, port_to;	/* the same: a single one */
	int		 proto;		/* IPPROTO_TCP ... */
	const char	*proto_name;	/* as the database calls it */
	const char	*interface;	/* NULL: any */
	bool		 pflog;
};

struct rd_redirect {
	uint32_t	 id;
	const char	*name;
	struct rd_rdr_listen *listens;	/* in the order of the file */
	size_t		 nlistens;
	struct rd_use	 main, backup;	/* backup.table NULL: none */
	bool		 route;		/* route to, else forward to */
	const char	*route_interface;
	const char	*tag;		/* pftag; NULL */
	bool		 match;
	bool		 sticky;
	bool		 disabled;
	unsigned	 timeout;	/* s; 0: pf's own */
	struct diag_place place;
};

/* ---- protocols and rules, 2.7, 2.8, 3 ---- */

enum rd_type { RD_TCP, RD_HTTP, RD_DNS };
enum rd_tri { RD_DEFAULT, RD_ON, RD_OFF };

struct rd_tcp {
	enum rd_tri	 nodelay, sack;
	bool		 no_splice;
	bool		 no_failover;	/* D-46 */
	int		 backlog;
	int		 buffer;	/* bytes; 0: the system's */
	int		 ttl, minttl;	/* 0: not set */
};

#define RD_TLS_1_2	1u
#define RD_TLS_1_3	2u

enum rd_edh { RD_EDH_NONE, RD_EDH_AUTO, RD_EDH_LEGACY };

/* A certificate and key; NULL: to be found by name, 6.2.2. */
struct rd_keypair {
	const char	*name;
	const char	*cert, *key, *ocsp;	/* absolute paths */
	struct diag_place place;
};

struct rd_tls {
	unsigned	 versions;	/* RD_TLS_* */
	bool		 tickets;
	bool		 server_preference;
	bool		 server_name, verify_name;
	const char	*ciphers;	/* as the library takes it */
	const char	*curves;	/* the same, with colons */
	enum rd_edh	 edh;
	const char	*ca_file, *ca_cert, *ca_key, *ca_password;
	const char	*client_ca;
	struct rd_keypair *keypairs;
	size_t		 nkeypairs;
};

enum rd_action { RD_PASS, RD_BLOCK, RD_MATCH };
enum rd_direction { RD_REQUEST, RD_RESPONSE };

/* What a condition or an operation is about. In the order of evaluation. */
enum rd_part { RD_HEADER, RD_QUERY, RD_PATH, RD_URL, RD_COOKIE, RD_PARTS };
enum rd_op { RD_OP_NONE, RD_OP_APPEND, RD_OP_SET, RD_OP_REMOVE, RD_OP_HASH,
    RD_OP_LOG, RD_OP_STRIP };
/* How a string is compared; NATURAL: as the part's table in 3.3 says. */
enum rd_matcher { RD_NATURAL, RD_GLOB, RD_GLOB_IGNORECASE, RD_PATTERN };

struct rd_text {
	const char	*text;		/* NULL: not given */
	enum rd_matcher	 matcher;
	bool		 from_file;	/* 3.5: never a glob for header */
};

struct rd_lookup {
	bool		 used;
	enum rd_op	 op;
	bool		 digest;	/* url: key is one */
	struct rd_text	 key, value;
	unsigned	 strip;		/* components */
};

struct rd_prefix {
	struct net_addr	 addr;		/* len 0: any */
	unsigned	 bits;
};

struct rd_rule {
	uint32_t	 id;		/* 1 ... within the protocol */
	enum rd_action	 action;
	enum rd_direction direction;
	bool		 quick;
	int		 family;	/* AF_INET, AF_INET6; 0: any */
	struct rd_prefix from, to;
	const char	*method;	/* NULL: any */
	struct rd_lookup parts[RD_PARTS];
	const char	*table;		/* template of forward to; NULL */
	const char	*tag, *tagged;	/* "" with no tag; NULL: not given */
	const char	*label;		/* "" with no label */
	struct diag_place place;
};

struct rd_protocol {
	uint32_t	 id;		/* 1 ...; 0: the built-in default */
	const char	*name;
	enum rd_type	 type;
	struct rd_tcp	 tcp;
	struct rd_tls	 tls;
	unsigned	 headerlen;
	bool		 websockets;
	bool		 return_error;
	const char	*style;		/* NULL: built in */
	struct rd_rule	*rules;
	size_t		 nrules;
	bool		 used;
	struct diag_place place;
};

/* ---- relays, 2.6, 4.8, 6.1 ---- */

enum rd_target { RD_TO_NONE, RD_TO_ADDRESS, RD_TO_DESTINATION, RD_TO_NAT };
enum rd_map { RD_MAP_NONE, RD_MAP_INET, RD_MAP_INET6 };
enum rd_proxy { RD_PROXY_NO, RD_PROXY_V1, RD_PROXY_V2 };

/* One listener; those of one block share everything from `tables' on. */
struct rd_relay {
	uint32_t	 id;
	const char	*name;		/* NAME, or NAME<id>:PORT */
	struct net_addr	 listen;
	bool		 tls;
	struct rd_use	*tables;	/* in the order of the file */
	size_t		 ntables;
	enum rd_target	 target;
	struct net_addr	 address;	/* len 0: none; where an original
					   destination is not found, too */
	const char	*address_name;	/* as written */
	bool		 address_by_name;
	unsigned	 retry;
	bool		 with_tls;
	bool		 transparent;
	enum rd_map	 map;
	struct net_addr	 map_prefix;
	enum rd_proxy	 proxy;
	unsigned	 timeout;	/* s */
	bool		 disabled;
	struct rd_protocol *protocol;
	struct diag_place place;
};

/* ---- routers, 2.9, 6.3 ---- */

struct rd_router {
	uint32_t	 id;
	const char	*name;
	struct rd_prefix *routes;
	size_t		 nroutes;
	struct rd_use	 gateways;
	unsigned	 rtable;
	const char	*rtlabel;	/* NULL */
	bool		 disabled;
	struct diag_place place;
};

/* ---- all of it ---- */

/* A macro of the command line, -D. */
struct rd_macro {
	const char	*name, *value;
};

struct rd_request {
	const char		*file;		/* as given */
	const char		*directory;	/* that relative paths count
						   from */
	const struct rd_macro	*macros;
	size_t			 nmacros;
	bool			 verbose;	/* unused macros, too */
	bool			 files;		/* certificates and keys are
						   looked at, E71, E72 */
};

#define RD_LOG_STATE	1u
#define RD_LOG_CHECKS	2u
#define RD_LOG_CONN	4u
#define RD_LOG_ERRORS	8u

struct rd_conf {
	struct arena		*arena;
	unsigned		 refs;
	struct source		*source;	/* owned */
	uint8_t			 digest[32];	/* of the canonical text */
	const char		*text;		/* canonical, 0.5 */
	size_t			 text_len;
	struct rd_request	 request;	/* what it was made for */

	unsigned		 interval;	/* s */
	unsigned		 timeout;	/* ms, at the end of the file */
	unsigned		 prefork;
	const char		*socket;
	unsigned		 log;		/* RD_LOG_* */
	bool			 agentx;
	const char		*agentx_path, *agentx_context;

	struct rd_table		**tables;	/* by id - 1 */
	size_t			 ntables;
	struct rd_host		**hosts;	/* by id - 1 */
	size_t			 nhosts;
	struct rd_redirect	**redirects;
	size_t			 nredirects;
	struct rd_relay		**relays;
	size_t			 nrelays;
	struct rd_protocol	**protocols;	/* the default comes first */
	size_t			 nprotocols;
	struct rd_router	**routers;
	size_t			 nrouters;
};

/*
 * Reads and checks everything, through source, which the result owns; NULL:
 * it stays the caller's, and diag says all that is wrong. Pure: the same
 * source gives the same result.
 */
struct rd_conf	*rd_compile(const struct rd_request *, struct source *,
		    struct diag *);
struct rd_conf	*rd_conf_ref(struct rd_conf *);
void		 rd_conf_unref(struct rd_conf *);

#endif
