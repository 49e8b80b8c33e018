/*
 * What the parts of the builder share: one file per noun of the language, and
 * the helpers they are written with. Nothing outside of them includes this.
 */
#ifndef RELAYD_RD_BUILD_IMPL_H
#define RELAYD_RD_BUILD_IMPL_H

#include "rd_build.h"

/* Text that grows, in the arena. */
struct rd_out {
	char	*p;
	size_t	 len, room;
};

enum rd_section { RD_IN_NONE, RD_IN_TABLE, RD_IN_REDIRECT, RD_IN_RELAY,
    RD_IN_PROTOCOL, RD_IN_ROUTER };

/* A table as it is defined; instances are made of it. */
struct rd_template {
	const char		*name;
	bool			 disabled, used;
	unsigned		 timeout;	/* ms, 4.1 */
	struct rd_host		*hosts;
	unsigned		*given;		/* bits: enum rd_host_flag */
	size_t			 nhosts;
	struct diag_place	 place;
};

/* A table-spec while it is read. */
struct rd_reference {
	struct rd_template	*template;	/* NULL: not defined */
	struct rd_word		 name;
	bool			 bad;		/* was reported */
	unsigned		 options;	/* number of them */
	bool			 port_given;
	unsigned		 port;
	struct rd_check		 check;
	unsigned		 timeout;	/* 0: not given */
	unsigned		 interval;	/* 0: not given */
	unsigned		 skip;
	const char		*demote;
	enum rd_mode		 mode;
	bool			 key_seen;
	struct rd_key		 key;
	/* canonical, NULL: not given */
	const char		*port_text, *mode_text, *check_text;
};

/* The members of `tcp { }' and its like. */
struct rd_list_item {
	const char	*key;		/* a later one replaces; NULL: adds */
	const char	*text;
};

struct rd_list_state {
	bool			 open;
	enum rd_list		 kind;
	struct rd_list_item	*items;
	size_t			 nitems;
};

/* A rule while it is read. */
struct rd_rule_state {
	bool			 open;
	struct rd_rule		 rule;
	struct diag_place	 at[RD_PARTS];
	const char		*part_text[RD_PARTS];
	/* of one whose key did not come with it; file NULL: none */
	struct diag_place	 matcher_at[RD_PARTS];
	bool			 have_part;
	enum rd_part		 last_part;
	const char		*head_text;
	struct rd_word		 file;
	enum rd_part		 file_part;
	const char		*file_text;
};

/* A listener of the relay that is read. */
struct rd_listen {
	struct net_addr		 addr;
	bool			 tls;
	struct diag_place	 place;
};

/* A certificate, key or response that was named, and where. */
struct rd_keypair_places {
	struct diag_place	 cert, key, ocsp;	/* file NULL: not */
};

/* Lives in the configuration's arena. */
struct rd_build {
	const struct rd_request	*request;
	struct source		*source;	/* not owned */
	struct diag		*diag;
	struct arena		*arena;
	struct rd_conf		*conf;

	struct rd_out		 text;		/* canonical */
	struct rd_out		 body;		/* of the open section */
	enum rd_section		 section;
	bool			 broken;	/* the section has errors, so
						   what it lacks is no news */
	bool			 failed;	/* some statement is missing */
	bool			 after_section;
	bool			 text_open;	/* the last statement stands
						   outside of sections */
	size_t			 nservices;	/* redirects and such seen */
	bool			 tags, labels;	/* E96 */
	const char		**files;	/* named, for the digest */
	size_t			 nfiles;
	const char		**keys;		/* files of secrets, too */
	size_t			 nkeys;

	struct rd_template	**templates;
	size_t			 ntemplates;
	struct rd_template	*template;	/* open */
	struct rd_reference	 ref;
	struct rd_list_state	 list;

	struct rd_redirect	*redirect;
	struct diag_place	 tag_place;

	struct rd_relay		*relay;
	struct rd_listen	*listens;
	size_t			 nlistens;
	bool			 proxy_v1;
	bool			 to_nat, to_destination, to_address;

	struct rd_protocol	*protocol;
	const char		*protocol_head;
	bool			 list_off;	/* E78, E79: not for this */
	struct rd_keypair_places *pairs;
	size_t			 pair;		/* SIZE_MAX: none */
	struct diag_place	 versions_place, names_place;
	struct diag_place	*ca_places;	/* by id of the protocol */
	const char		*ca_file, *client_ca;	/* looked into last */
	struct rd_rule_state	 rule;
	/* of the protocol; not in the arena, since there may be a great
	   many, and growing leaves half of them behind */
	struct rd_rule		*rules;
	size_t			 nrules, rules_room;
	bool			 rules_told;	/* that they do nothing */

	struct rd_router	*router;
	struct diag_place	 label_place;
};

/* ---- rd_build.c ---- */

/* An array of n members in the arena with room for one more. */
void	*rd_grow(struct rd_build *, void *, size_t n, size_t size);
void	 rd_error(struct rd_build *, const struct diag_place *,
	    const char *, ...) __attribute__((format(printf, 3, 4)));
void	 rd_warn(struct rd_build *, const struct diag_place *,
	    const char *, ...) __attribute__((format(printf, 3, 4)));
void	 rd_section_begin(struct rd_build *, enum rd_section);
/* Prints it: head, and the statements in braces. */
void	 rd_section_end(struct rd_build *, const char *head, bool braces);
/* false, and an error: this build has no TLS. */
bool	 rd_tls_there(struct rd_build *, const struct diag_place *);

/* ---- rd_value.c: numbers, lengths, ports, addresses, paths ---- */

enum rd_limit { RD_MIN_INTERVAL, RD_MIN_TIMEOUT, RD_RANGE_PREFORK,
    RD_MIN_RETRY, RD_MIN_PARENT, RD_RANGE_PRIORITY, RD_RANGE_HOST_TTL,
    RD_RANGE_CODE, RD_RANGE_SESSION, RD_RANGE_RELAY_SESSION,
    RD_RANGE_HEADERLEN, RD_RANGE_BACKLOG, RD_MIN_BUFFER, RD_RANGE_TTL,
    RD_RANGE_MINTTL, RD_RANGE_STRIP, RD_RANGE_RTABLE };

enum rd_length { RD_LEN_CONTEXT, RD_LEN_AGENTX, RD_LEN_HOST, RD_LEN_GROUP,
    RD_LEN_EXPECT, RD_LEN_SCRIPT, RD_LEN_INTERFACE, RD_LEN_REDIRECT,
    RD_LEN_RELAY, RD_LEN_PROTOCOL, RD_LEN_ROUTER, RD_LEN_TAG, RD_LEN_TAGGED,
    RD_LEN_LABEL, RD_LEN_RTLABEL, RD_LEN_CIPHERS, RD_LEN_CURVES,
    RD_LEN_CA_FILE, RD_LEN_CA_CERT, RD_LEN_CA_KEY, RD_LEN_CLIENT_CA,
    RD_LEN_KEYPAIR, RD_LEN_KEYPAIR_FILE };

bool	 rd_number_take(struct rd_build *, enum rd_limit,
	    const struct rd_number *, unsigned *);
bool	 rd_length_ok(struct rd_build *, enum rd_length,
	    const struct rd_word *);
/* One port; range: two. false: reported. */
bool	 rd_port_take(struct rd_build *, const struct rd_port *,
	    unsigned *port);
bool	 rd_port_range(struct rd_build *, const struct rd_port *,
	    unsigned *low, unsigned *high);
bool	 rd_numeric(struct rd_build *, const char *text,
	    struct net_addr *);
/* All addresses, in the order of 1.14; 0: not resolvable. */
size_t	 rd_addresses(struct rd_build *, const char *text,
	    const struct net_addr **, bool *by_name);
/* The first one, and a warning if there are more. what: for the error,
 * "host". */
bool	 rd_address_take(struct rd_build *, const struct rd_word *,
	    const char *what, struct net_addr *, bool *by_name);
/* The address without what is behind the prefix. */
bool	 rd_prefix_take(struct rd_build *, const struct rd_word *,
	    const struct rd_number *bits, struct rd_prefix *);
/* A path as the source is asked for it, 1.10. */
const char *rd_path(struct rd_build *, const char *);
/* The same, from the folder of the file at that place. */
const char *rd_path_near(struct rd_build *, const struct diag_place *,
	    const char *);
/* Its contents count for the digest. */
void	 rd_file_named(struct rd_build *, const char *path);
void	 rd_key_named(struct rd_build *, const char *path);

/* ---- rd_print.c: the canonical text, 0.5 ---- */

void	 rd_out_add(struct rd_build *, struct rd_out *, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/* A statement of its own line, in the open section or outside of all. */
void	 rd_statement(struct rd_build *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
const char *rd_quoted(struct rd_build *, const struct rd_word *);
/* Bare where the language permits it. */
const char *rd_bare(struct rd_build *, const struct rd_word *);
const char *rd_port_text(struct rd_build *, const struct rd_port *);
const char *rd_prefix_text(struct rd_build *, const struct rd_word *,
	    const struct rd_number *bits);

/* ---- rd_check.c ---- */

bool	 rd_check_take(struct rd_build *, const struct rd_check_text *,
	    struct rd_check *, const char **text);
bool	 rd_check_same(const struct rd_check *, const struct rd_check *);

/* ---- rd_table.c, rd_use.c ---- */

struct rd_template *rd_template_find(struct rd_build *, const char *name);
/*
 * The reference that was begun last, as an instance. default_port 0: there is
 * none. *text is the table-spec. false: reported.
 */
bool	 rd_use_take(struct rd_build *, unsigned default_port, bool by_route,
	    struct rd_use *, const char **text);
bool	 rd_mode_keyed(enum rd_mode);

/* ---- rd_list.c ---- */

/* key: what a later item replaces, NULL: nothing. */
void	 rd_list_item(struct rd_build *, const char *key, const char *text);
/* More words of the last one. */
void	 rd_list_more(struct rd_build *, const char *text);

/* ---- whole-file checks ---- */

void	 rd_tables_end(struct rd_build *);
void	 rd_protocols_end(struct rd_build *);
/* At the end of a protocol. */
void	 rd_tls_end(struct rd_build *);
void	 rd_rules_settle(struct rd_build *);
/* Half of what inspection needs; who inspects was told (E89). */
void	 rd_tls_authority_check(struct rd_build *,
	    const struct rd_protocol *);
void	 rd_tls_sides_check(struct rd_build *, const struct rd_protocol *);
struct rd_protocol *rd_protocol_new(struct rd_build *, const char *name,
	    enum rd_type);

#endif
