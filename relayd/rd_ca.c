/*
 * The process that has the private keys and signs for workers. Keys belong to
 * a configuration, as the numbers do by which workers ask for them: those of
 * the one before stay until the next, for handshakes that began with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../misc/keyproc.h"
#include "../misc/log.h"
#include "../tcprelay/config.h"
#include "rd_role.h"

/* The one in force, the one before, and one that is being prepared. */
#define CA_SETS		3

struct ca_peer {
	struct keyproc_peer	*peer;
	struct ca_peer		*next, **link;
};

/* Keys of one configuration, and who asks for them. Owned by the process. */
struct ca_set {
	uint32_t		 generation;
	struct keyproc_keys	*keys;		/* NULL: none */
	struct ca_peer		*peers;
};

/* One per process. */
struct ca {
	struct ev		*ev;
	struct ca_set		*sets[CA_SETS];	/* the newest first; NULL */
};

/* ---- who asks ---- */

static void
peer_free(struct ca_peer *p)
{
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	free(p);
}

static void
peer_gone_cb(void *ctx)
{
	peer_free(ctx);
}

/* A way to a worker; *fd is -1 once it is taken. */
static void
peer_add(struct ca *ca, struct ca_set *s, int *fd)
{
	struct ca_peer *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->peer = keyproc_peer_new(ca->ev, s->keys, *fd,
	    peer_gone_cb, p)) == NULL) {
		log_err("cannot serve a worker: %s", strerror(errno));
		free(p);
		return;
	}
	*fd = -1;
	p->next = s->peers;
	p->link = &s->peers;
	if (p->next != NULL)
		p->next->link = &p->next;
	s->peers = p;
}

/* ---- keys ---- */

static void
set_free(struct ca_set *s)
{
	if (s == NULL)
		return;
	while (s->peers != NULL) {
		keyproc_peer_free(s->peers->peer);
		peer_free(s->peers);
	}
	if (s->keys != NULL)
		keyproc_keys_free(s->keys);
	free(s);
}

static struct ca_set *
set_find(const struct ca *ca, uint32_t generation)
{
	for (size_t i = 0; i < CA_SETS; i++)
		if (ca->sets[i] != NULL &&
		    ca->sets[i]->generation == generation)
			return ca->sets[i];
	return NULL;
}

static struct ca_set *
set_new(const struct compiled *c, struct diag *diag)
{
	struct ca_set *s = calloc(1, sizeof(*s));

	/* a build without TLS has none */
	if (s == NULL || ((s->keys = keyproc_keys_new()) == NULL &&
	    errno != ENOTSUP)) {
		free(s);
		diag_fail(diag, NULL, EX_OSERR, "out of memory");
		return NULL;
	}
	s->generation = c->generation;
	if (s->keys != NULL && config_keys_load(c, s->keys, diag) == -1) {
		set_free(s);
		return NULL;
	}
	return s;
}

/* What was prepared behind s has come to nothing. */
static void
sets_return(struct ca *ca, const struct ca_set *s)
{
	while (ca->sets[0] != s) {
		set_free(ca->sets[0]);
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
	struct ca_set *s = set_find(ca, c->generation);

	if (s != NULL) {
		sets_return(ca, s);
		return 0;
	}
	if ((s = set_new(c, diag)) == NULL)
		return -1;
	set_free(ca->sets[CA_SETS - 1]);
	memmove(&ca->sets[1], &ca->sets[0],
	    (CA_SETS - 1) * sizeof(ca->sets[0]));
	ca->sets[0] = s;
	return 0;
}

static void
ca_keys(struct ca *ca, struct tell *t)
{
	struct ca_set *s;
	uint32_t generation;

	if (t->len < sizeof(generation) || t->fd == -1)
		return;
	memcpy(&generation, t->data, sizeof(generation));
	if ((s = set_find(ca, generation)) != NULL && s->keys != NULL)
		peer_add(ca, s, &t->fd);
	else if (s == NULL)
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
		set_free(ca->sets[i]);
	free(ca);
}

const struct role_ops rd_ca_ops = {
	.open = ca_open, .config = ca_config, .tell = ca_tell,
	.close = ca_close,
};
