/*
 * Where the files of a certificate are: by name (6.2.2), as far as the
 * configuration does not say it.
 */
#ifndef RELAYD_RD_KEYPAIR_H
#define RELAYD_RD_KEYPAIR_H

#include "rd_conf.h"

struct rd_keypair_files {
	const char	*cert, *key;
	const char	*ocsp;		/* NULL: none */
};

/*
 * pair NULL: by the address. listen says the port. The files are asked for
 * through the source; keys only as far as they are there, since not everybody
 * is given them. -1 and errno: *failed could not be read, it is the one tried
 * last. Texts are in the arena.
 */
int	 rd_keypair_find(struct source *, struct arena *,
	    const struct rd_keypair *pair, const struct net_addr *listen,
	    struct rd_keypair_files *, const char **failed);

#endif
