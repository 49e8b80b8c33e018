/*
 * The files that TLS needs, for the front end: config_tls_build and its kin
 * are in config.h.
 */
#ifndef TCPRELAY_CONFIG_TLS_H
#define TCPRELAY_CONFIG_TLS_H

#include "config.h"

/* Asks the source for every file that config_tls_build will want, so that
 * they are in the bundle. Failures are recorded there and told later. */
void	 config_tls_gather(const struct config *, struct source *);

#endif
