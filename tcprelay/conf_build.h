/*
 * The tcprelay section while it is read: conf.c fills it in, conf_end.c makes
 * the configuration of it.
 */
#ifndef TCPRELAY_CONF_BUILD_H
#define TCPRELAY_CONF_BUILD_H

#include "../spawnd/parse.h"
#include "config.h"

/* A certificate and its key, as written. */
struct pair_block {
	struct kw_value		 cert, key;
	const char		*passphrase;
};

/* A remote block, as written; then what it comes to. */
struct remote_block {
	struct remote_block	*next;
	struct config_remote	 c;
	struct kw_value		 address, port, tls_name, tls_ca;
	struct pair_block	 pair;
	int			 protocol;	/* IPPROTO_*, 0: unset */
	bool			 verify_given;
	bool			 wrong;		/* address or port */
	bool			 addressed, ported;	/* even wrongly */
};

struct sni_name {
	struct sni_name		*next;
	const char		*text;
};

struct sni_block {
	struct sni_block	*next;
	struct diag_place	 place;
	struct pair_block	 pair;
	struct sni_name		*names, **last_name;
	size_t			 nnames;
};

/* The section while it is read; config is what is made of it. */
struct relay_build {
	struct config		 config;	/* first: begin() returns it */
	struct remote_block	*remotes, **last_remote;
	struct sni_block	*snis, **last_sni;
	struct pair_block	 pair;
	struct kw_value		 ca, psk, ciphers, suites, local;
	struct diag_place	 verify_place, retire_place, key_place;
};

struct config_file	 conf_file(const struct kw_value *);
void	 conf_pair(struct config_keypair *, const struct pair_block *,
	    const struct diag_place *);

/* Whole-configuration checks and what follows from them. */
void	 conf_end(struct parse *, struct relay_build *,
	    const struct spawnd_conf *, const struct diag_place *body_place);

#endif
