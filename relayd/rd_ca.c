/*
 * The process that has the private keys and signs for workers. Keys belong to
 * a configuration, as the numbers do by which workers ask for them: those of
 * the one before stay until the next, for handshakes that began with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "../spawnd/keyset.h"
#include "../tcprelay/config.h"
#include "rd_role.h"

/* The one in force, the one before, and one that is being prepared. */
#define CA_SETS		3

/* One per process. */
struct ca {
	struct ev		*ev;
	struct keyset		*sets[CA_SETS];	/* the newest first; NULL */
};

/* ---- keys ---- */

static struct keyset *
set_find(const struct ca *ca, uint32_t generation)
{
	for (size_t i = 0; i < CA_SETS; i++)
		if (ca->sets[i] != NULL &&
		    keyset_generation(ca->sets[i]) == generation)
			return ca->sets[i];
	return NULL;
}

/* What was prepared behind s has come to nothing. */
static void
sets_return(struct ca *ca, const struct keyset *s)
{
	while (ca->sets[0] != s) {
		keyset_free(ca->sets[0]);
		memmove(&ca->sets[0], &ca->sets[1],
		    (CA_SETS - 1) * sizeof(ca->sets[0]));
		ca->sets[CA_SETS - 1] = NULL;
	}
}

/* ---- the role ---- */

static void *
ca_open(struct ev *ev, struct role *role)
{
	struct ca *ca = calloc(1, sizeof(*ca));

	(void)role;
	if (ca == NULL)
		log_crit("ca: %s", strerror(errno));
	else
		ca->ev = ev;
	return ca;
}

static int
ca_config(void *ctx, struct compiled *c, struct diag *diag)
{
	struct ca *ca = ctx;
	struct keyset *s = set_find(ca, c->generation);

	if (s != NULL) {
		sets_return(ca, s);
		return 0;
	}
	s = keyset_new(ca->ev, c, config_keys_load, diag, NULL, NULL);
	if (s == NULL)
		return -1;
	keyset_free(ca->sets[CA_SETS - 1]);
	memmove(&ca->sets[1], &ca->sets[0],
	    (CA_SETS - 1) * sizeof(ca->sets[0]));
	ca->sets[0] = s;
	return 0;
}

static void
ca_keys(struct ca *ca, struct tell *t)
{
	struct keyset *s;
	uint32_t generation;

	if (t->len < sizeof(generation) || t->fd == -1)
		return;
	memcpy(&generation, t->data, sizeof(generation));
	if ((s = set_find(ca, generation)) != NULL)
		keyset_serve(s, &t->fd);
	else
		log_warn("a worker asks for keys of another configuration");
}

static void
ca_tell(void *ctx, struct tell *t)
{
	if (t->type == ROLE_KEYS)
		ca_keys(ctx, t);
	else
		(void)rd_tell_good(t, RD_CA);
}

static void
ca_close(void *ctx)
{
	struct ca *ca = ctx;

	for (size_t i = 0; i < CA_SETS; i++)
		keyset_free(ca->sets[i]);
	free(ca);
}

const struct role_ops rd_ca_ops = {
	.open = ca_open, .config = ca_config, .tell = ca_tell,
	.close = ca_close,
};
