/*
 * tcprelay: the broker with the relay engine as its worker, configured in
 * the `id = tcprelay` language.
 */
#include "features.h"

#include "../spawnd/program.h"
#include "config.h"
#include "worker.h"

#ifdef HAVE_OPENSSL
#define FEATURE_TLS	"/TLS"
#else
#define FEATURE_TLS	""
#endif
#ifdef HAVE_LIBCURL
#define FEATURE_URL	"/URL"
#else
#define FEATURE_URL	""
#endif

static unsigned
ticket_lifetime(const struct compiled *c)
{
	const struct config *config = c->worker;

	return config->tls.needed && config->tls.tickets ?
	    config->tls.lifetime : 0;
}

int
main(int argc, char **argv)
{
	static const struct program tcprelay = {
		.name = "tcprelay", .features = FEATURE_TLS FEATURE_URL,
		.section = &tcprelay_section,
		.check = config_check, .rows = config_rows,
		.row_count = config_row_count, .facts = config_facts,
		.ticket_lifetime = ticket_lifetime,
		.keys_apart = config_keys_apart,
		.keys_load = config_keys_load,
		.worker = &relay_worker_ops,
	};

	return spawnd_main(&tcprelay, argc, argv);
}
