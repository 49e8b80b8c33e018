/*
 * One call per action of the grammar. The parser (rd_lex.c, relayd.y) knows
 * tokens and their order; what they mean, what is wrong with them (E13 to
 * E117 and the warnings of section 7), numbering and the canonical text are
 * here. Every call takes the place of the token that an error is to name, and
 * reports errors itself: the parser goes on as if all were well.
 *
 * Texts point into the configuration's arena and stay.
 */
#ifndef RELAYD_RD_BUILD_H
#define RELAYD_RD_BUILD_H

#include "rd_conf.h"

struct rd_build;

/* A STRING as the parser has it. */
struct rd_word {
	const char		*text;	/* NULL: not there */
	size_t			 len;
	bool			 quoted;
	struct diag_place	 place;
};

struct rd_number {
	int64_t			 value;
	bool			 given;
	struct diag_place	 place;
};

/* A port as written: a number, or a word ("low:high", a service name). */
struct rd_port {
	bool			 given;
	bool			 is_number;
	struct rd_number	 number;
	struct rd_word		 word;
};

struct rd_build	*rd_build_new(const struct rd_request *, struct source *,
		    struct diag *);
/* Checks of the whole file; the configuration, or NULL. The builder is gone
 * in any case. end: the place of the end of the main file. */
struct rd_conf	*rd_build_end(struct rd_build *,
		    const struct diag_place *end);
/* What the parser allocates from, so that it stays. */
struct arena	*rd_build_arena(struct rd_build *);
/* An error was reported by the parser: the statement is left out. Whatever
 * section is open stays open until its end call. */
void		 rd_statement_failed(struct rd_build *);

/* ---- globals ---- */

enum rd_global { RD_GLOBAL_INTERVAL, RD_GLOBAL_TIMEOUT, RD_GLOBAL_PREFORK };

void	 rd_global_number(struct rd_build *, enum rd_global,
	    const struct rd_number *);
void	 rd_global_socket(struct rd_build *, const struct rd_word *path);
/* bits: RD_LOG_*. */
void	 rd_global_log(struct rd_build *, unsigned bits,
	    const struct diag_place *);
void	 rd_global_agentx(struct rd_build *, const struct rd_word *context,
	    const struct rd_word *path, const struct diag_place *);

/* ---- tables ---- */

enum rd_host_flag { RD_HOST_RETRY, RD_HOST_PARENT, RD_HOST_PRIORITY,
    RD_HOST_TTL };

void	 rd_table_begin(struct rd_build *, const struct rd_word *name);
void	 rd_table_disable(struct rd_build *);
/* Flags that follow are of the host that came last. */
void	 rd_host(struct rd_build *, const struct rd_word *address);
void	 rd_host_flag(struct rd_build *, enum rd_host_flag,
	    const struct rd_number *);
void	 rd_table_end(struct rd_build *);

/* ---- references: the options come first, then the statement ---- */

struct rd_check_text {
	enum rd_check_kind	 kind;
	bool			 tls;
	struct rd_word		 path, host, digest, send, expect;
	struct rd_number	 code;
	struct diag_place	 place;
};

void	 rd_use_begin(struct rd_build *, const struct rd_word *table);
void	 rd_use_port(struct rd_build *, const struct rd_port *);
void	 rd_use_check(struct rd_build *, const struct rd_check_text *);
void	 rd_use_timeout(struct rd_build *, const struct rd_number *);
void	 rd_use_interval(struct rd_build *, const struct rd_number *);
void	 rd_use_demote(struct rd_build *, const struct rd_word *group);
/* word: the mode as written, or NULL for `mode' alone; key: text NULL. */
void	 rd_use_mode(struct rd_build *, enum rd_mode, const char *word,
	    const struct rd_word *key, const struct diag_place *);

/* ---- sections that share options: redirect, relay, router ---- */

void	 rd_disable(struct rd_build *);
void	 rd_session_timeout(struct rd_build *, const struct rd_number *);

/* ---- redirects ---- */

void	 rd_redirect_begin(struct rd_build *, const struct rd_word *name);
void	 rd_redirect_listen(struct rd_build *, const struct rd_word *address,
	    const struct rd_word *proto, const struct rd_port *,
	    const struct rd_word *interface, bool pflog);
/* The reference that was begun last. */
void	 rd_redirect_to(struct rd_build *, bool route, bool transparent,
	    const struct rd_word *interface, const struct diag_place *);
void	 rd_redirect_tag(struct rd_build *, bool match,
	    const struct rd_word *tag);
void	 rd_redirect_sticky(struct rd_build *);
void	 rd_redirect_end(struct rd_build *);

/* ---- relays ---- */

struct rd_forward {
	bool			 route;		/* E67 */
	bool			 transparent, with_tls;
	bool			 table;		/* the reference begun last */
	enum rd_target		 target;	/* else */
	struct rd_word		 address;
	struct rd_port		 port;
	struct rd_number	 retry;
	enum rd_map		 map;
	struct rd_word		 prefix;
	enum rd_proxy		 proxy;
	struct diag_place	 place;
};

void	 rd_relay_begin(struct rd_build *, const struct rd_word *name);
void	 rd_relay_listen(struct rd_build *, const struct rd_word *address,
	    const struct rd_port *, bool tls);
void	 rd_relay_forward(struct rd_build *, const struct rd_forward *);
void	 rd_relay_protocol(struct rd_build *, const struct rd_word *name);
void	 rd_relay_end(struct rd_build *);

/* ---- protocols ---- */

/* type: NULL word for none; anything else than tcp, http, dns is E77. */
void	 rd_protocol_begin(struct rd_build *, const struct rd_word *type,
	    const struct rd_word *name);

enum rd_tcp_option { RD_TCP_NODELAY, RD_TCP_SACK, RD_TCP_SPLICE,
    RD_TCP_FAILOVER, RD_TCP_BACKLOG, RD_TCP_BUFFER, RD_TCP_IP };

/* on: without `no'. word: of `ip' (E83). Between begin and end of a list,
 * which is one statement (one option alone is a list, too). */
void	 rd_tcp_option(struct rd_build *, enum rd_tcp_option, bool on,
	    const struct rd_number *, const struct rd_word *word,
	    const struct diag_place *);

enum rd_tls_option { RD_TLS_TICKETS, RD_TLS_CIPHERS, RD_TLS_ECDHE,
    RD_TLS_EDH, RD_TLS_CA_FILE, RD_TLS_CA_CERT, RD_TLS_CA_KEY,
    RD_TLS_CLIENT_CA, RD_TLS_KEYPAIR, RD_TLS_FLAG };

/* a, b: arguments; for RD_TLS_FLAG a is the word itself (E84). */
void	 rd_tls_option(struct rd_build *, enum rd_tls_option, bool on,
	    const struct rd_word *a, const struct rd_word *b,
	    const struct diag_place *);
/* A word behind a keypair: cert, certificate, key, ocsp. */
void	 rd_tls_keypair_file(struct rd_build *, const struct rd_word *which,
	    const struct rd_word *path);

enum rd_http_option { RD_HTTP_HEADERLEN, RD_HTTP_WEBSOCKETS };

void	 rd_http_option(struct rd_build *, enum rd_http_option, bool on,
	    const struct rd_number *, const struct diag_place *);
/* style: text NULL if there is none. */
void	 rd_return_error(struct rd_build *, const struct rd_word *style,
	    const struct diag_place *);

enum rd_list { RD_LIST_TCP, RD_LIST_TLS, RD_LIST_HTTP, RD_LIST_ERROR };

void	 rd_list_begin(struct rd_build *, enum rd_list,
	    const struct diag_place *);
void	 rd_list_end(struct rd_build *);

/* A rule: begin, options in any order, end. */
struct rd_rule_head {
	enum rd_action		 action;
	enum rd_direction	 direction;
	bool			 quick;
	int			 family;	/* AF_*; 0 */
	struct rd_word		 from, to;	/* text NULL: any */
	struct rd_number	 from_bits, to_bits;
	struct diag_place	 place;
};

/* A key or value, and the word before it. */
struct rd_match_text {
	enum rd_matcher		 matcher;
	struct diag_place	 matcher_place;	/* if not RD_NATURAL */
	struct rd_word		 word;
};

struct rd_lookup_text {
	enum rd_part		 part;
	enum rd_op		 op;
	bool			 digest;
	struct rd_match_text	 key, value;
	struct rd_number	 strip;		/* RD_OP_STRIP */
	/* `file' stands for the key; the matcher is key's */
	bool			 file;
	struct diag_place	 place;
};

enum rd_rule_option { RD_RULE_METHOD, RD_RULE_TABLE, RD_RULE_TAG,
    RD_RULE_NO_TAG, RD_RULE_TAGGED, RD_RULE_LABEL, RD_RULE_NO_LABEL };

void	 rd_rule_begin(struct rd_build *, const struct rd_rule_head *);
void	 rd_rule_lookup(struct rd_build *, const struct rd_lookup_text *);
/* `file' that does not stand directly behind its type. */
void	 rd_rule_file(struct rd_build *, const struct rd_match_text *path,
	    const struct rd_match_text *value);
void	 rd_rule_option(struct rd_build *, enum rd_rule_option,
	    const struct rd_word *, const struct diag_place *);
void	 rd_rule_end(struct rd_build *);

void	 rd_protocol_end(struct rd_build *);

/* ---- routers ---- */

void	 rd_router_begin(struct rd_build *, const struct rd_word *name);
void	 rd_router_route(struct rd_build *, const struct rd_word *address,
	    const struct rd_number *bits);
/* The reference that was begun last. */
void	 rd_router_forward(struct rd_build *, const struct diag_place *);
void	 rd_router_rtable(struct rd_build *, const struct rd_number *);
void	 rd_router_rtlabel(struct rd_build *, const struct rd_word *);
void	 rd_router_end(struct rd_build *);

#endif
