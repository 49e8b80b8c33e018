/*
 * CONFIG as a message: whoever is sent one compiles the same configuration
 * as the master has, from the bundle and from how the master compiled.
 */
#ifndef SPAWND_CONFIG_MSG_H
#define SPAWND_CONFIG_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "own.h"

struct loaded;
struct master;

/* Made to be sent at once; the descriptors are those of the configuration. */
struct config_out {
	struct channel_config	 head;
	char			 tail[OWN_REQUEST_MAX];
	size_t			 len;		/* of the tail */
	int			 fds[2];
	unsigned		 nfds;
};

/* keyed: to one that is not to have private keys, KEYS tells it who has. */
void	 config_pack(struct config_out *, const struct master *,
	    const struct loaded *, uint32_t generation, bool keyed);

/*
 * The receiver's side. NULL: *why, or reasons in diag. program and
 * worker_only of the request are the caller's; what else it has is replaced,
 * and stays as long as the result.
 */
struct compiled	*config_unpack(const struct conf_request *,
	    const struct channel_message *, struct diag *, const char **why);

#endif
