/*
 * A running compilation: what the languages of sections are given. The
 * broker's own is spawnd/conf*.c; a worker's is a struct conf_section.
 */
#ifndef SPAWND_PARSE_H
#define SPAWND_PARSE_H

#include <stdbool.h>

#include "../misc/kw.h"
#include "../misc/net.h"
#include "conf.h"

struct parse {
	struct kw_reader		 r;	/* r.owner leads back here */
	const struct conf_request	*request;
	struct common_conf		*common;	/* of who reads */
	bool				 master;	/* reads for itself */

	/* The section that is looked for, and what its body is given. */
	const char			*id;
	void				(*body)(struct parse *, void *);
	void				*object;
	unsigned			 found;		/* how many of them */
	struct diag_place		 found_place;	/* the first one */
	/* Names of other sections, each once. */
	const char			**others;
	unsigned			 nothers;
	uint64_t			 skipped;	/* hash of their text */
};

/* Directives of 3.7 for sections, their object is parse->common. */
extern const struct kw common_kw[];
/* Those at top level only, and their sets of words. */
extern const struct kw top_kw[];
extern const struct kw_word *const common_words[];
extern const struct kw_word syslog_facilities[], syslog_severities[];

/* Whether a file has public keys; why not, otherwise. */
bool	 verify_key_check(struct source *, const char *path, char *why,
	    size_t);

/* Behind "id": the section is read if it is the one, else passed over. */
void	 section_begin(struct parse *);

/* ---- addresses as the language has them ---- */

enum address_kind {
	ADDRESS_BAD,
	ADDRESS_IP,		/* addr, perhaps port */
	ADDRESS_UNIX,		/* addr */
	ADDRESS_ANY,		/* "*" */
	ADDRESS_NAME		/* could be the name of a host */
};

struct address {
	struct net_addr	 addr;
	const char	*port;		/* as attached, in text; NULL */
};

/* A literal of 3.5; text must stay. */
enum address_kind address_parse(const char *text, struct address *);
/* An address in hand, brackets and all; false: reported. Consumed. */
bool	 address_read(struct kw_reader *, struct kw_value *);
/* Whether the token in hand begins an IP address without a directive. */
bool	 address_is(const struct kw_reader *);
/* A port in hand: a number in its range, or a name to be looked up when the
 * transport is known. false: reported. Consumed. */
bool	 port_read(struct kw_reader *, struct kw_value *, unsigned min);
/* A number, or a service of the transport ("tcp"). Otherwise reported as
 * "NAME: ..." at the value's place. */
bool	 address_port(struct kw_reader *, const char *name,
	    const struct kw_value *, const char *transport, unsigned min,
	    unsigned *port);

/* ---- values that both languages have ---- */

extern const struct kw_word tls_versions[];	/* SPAWND_TLS_1_2 ... */
extern const struct kw_word dtls_versions[];	/* SPAWND_DTLS_1_0 ... */

/* A comma list of at least one word out of set, or-ed together, into
 * *bits; the first one is in hand. false: reported. */
bool	 list_read(struct kw_reader *, const struct kw_word *set,
	    unsigned *bits);

/* ---- the broker's half, within spawnd/conf*.c ---- */

/* What a broker's section says, before it is put together. */
struct listen_block;


struct broker_build {
	struct spawnd_conf	*conf;
	/* defaults of listeners */
	unsigned		 retry;
	struct net_keepalive	 keepalive;
	int			 accept;	/* enum listen_accept */
	struct listen_block	*blocks, **last_block;
	unsigned		 nblocks;
	size_t			 acl_room;
	/* the spawn blocks */
	bool			 spawned;
	struct diag_place	 spawn_place;	/* the first one */
	struct kw_value		 exec, config, status;
	const char		*config_key;	/* for config, a URL; NULL */
	const char		*id;
	struct kw_owner		 owner;
	unsigned		 instances_min, instances_max;
	unsigned		 users_min, users_max;
	struct diag_place	 instances_place, users_place;
	bool			 instances_given, users_given;	/* min */
};

extern const struct kw broker_kw[], broker_conf_kw[], listen_kw[];
extern const struct kw spawn_kw[], spawn_conf_kw[];

void	 broker_begin(struct parse *, struct broker_build *,
	    struct spawnd_conf *);
void	 broker_body(struct parse *, void *);
/* Whole-configuration checks; own: the worker is the program itself. */
void	 broker_end(struct parse *, struct broker_build *, bool own);

void	 listen_read(struct kw_reader *, void *);
void	 listen_expand(struct parse *, struct broker_build *, bool own);
void	 bufsize_read(struct kw_reader *, void *);

void	 spawn_read(struct kw_reader *, void *);
/* Takes over what does not need the rest; the id is not known yet. */
void	 spawn_end(struct parse *, struct broker_build *);

/* Of everything that makes a difference. */
void	 compiled_digest(struct compiled *, const struct program *);

#endif
