/*
 * The tcprelay section as facts: what a reload would change is read off two
 * lists of them.
 */
#include <string.h>

#include "../misc/str.h"
#include "../spawnd/board.h"
#include "../spawnd/facts.h"
#include "config.h"

/* ---- TLS material ---- */

/*
 * What a file holds, by its digest. One that may hold a private key shows
 * nothing of that, either. Most of many destinations name the same files, so
 * the last one is remembered.
 */
struct digests {
	struct source	*source;
	bool		 needed;	/* else nobody has read them */
	const char	*path;
	uint8_t		 digest[32];
	bool		 known;
};

static bool
digest_of(struct digests *d, const char *path)
{
	if (d->path == NULL || strcmp(d->path, path) != 0) {
		d->known = source_file_digest(d->source, path, d->digest) ==
		    0;
		d->path = path;
	}
	return d->known;
}

static void
file_facts(struct facts *f, struct digests *d, const struct fact *base,
    const char *option, const char *content, const struct config_file *file,
    bool secret)
{
	struct fact fact = *base;

	if (file->path == NULL)
		return;
	facts_text(f, base, option, file->path, NULL);
	fact.option = content;
	fact.usual = "none";
	if (!d->needed || !digest_of(d, file->path))
		return;
	if (secret)
		facts_add_secret(f, fact, d->digest, sizeof(d->digest));
	else
		facts_digest(f, base, content, d->digest);
}

/* A certificate without a key file has its key in it. */
static void
pair_facts(struct facts *f, struct digests *d, const struct fact *base,
    const struct config_keypair *k)
{
	struct fact passphrase = *base;

	file_facts(f, d, base, "cert-file", "cert-file content", &k->cert,
	    k->key.path == NULL);
	file_facts(f, d, base, "key-file", "key-file content", &k->key,
	    true);
	if (k->passphrase == NULL)
		return;
	passphrase.option = "passphrase";
	passphrase.usual = "none";
	facts_add_secret(f, passphrase, k->passphrase,
	    strlen(k->passphrase));
}

static const char *const verifies[] = {
	[TLS_VERIFY_NO] = "no", [TLS_VERIFY_OPTIONAL] = "optional",
	[TLS_VERIFY_REQUIRED] = "required",
};

static void
sni_facts(struct facts *f, struct digests *d, const struct config_keypair *k,
    uint32_t rank)
{
	char shown[512], names[4096];
	struct fact fact = { .kind = FACT_TLS, .effect = EFFECT_SESSIONS,
	    .name = shown, .rank = rank };
	struct str s;

	str_init(&s, shown, sizeof(shown));
	str_add(&s, "sni %s", k->cert.path);
	str_init(&s, names, sizeof(names));
	for (size_t i = 0; i < k->nnames; i++)
		str_add(&s, "%s%s", i > 0 ? " " : "", k->names[i]);
	facts_text(f, &fact, NULL, k->cert.path, NULL);
	facts_text(f, &fact, "name", k->nnames > 0 ? names : NULL, NULL);
	/* what does not fit there counts all the same */
	if (s.len + 1 >= sizeof(names))
		for (size_t i = 0; i < k->nnames; i++)
			facts_text(f, &fact, k->names[i], "yes", "no");
	pair_facts(f, d, &fact, k);
}

/* The thing whose settings these are is there as long as the section is. */
static void
tls_facts(struct facts *f, const struct config *c, struct digests *d)
{
	static const struct config_keypair no_pair;
	const struct config_tls *t = &c->tls;
	struct fact tls = { .kind = FACT_TLS, .effect = EFFECT_SESSIONS,
	    .name = "tls" };

	facts_text(f, &tls, NULL, "server", NULL);
	pair_facts(f, d, &tls, t->main != NULL ? t->main : &no_pair);
	file_facts(f, d, &tls, "ca-file", "ca-file content", &t->ca, false);
	file_facts(f, d, &tls, "psk-file", "psk-file content", &t->psk,
	    true);
	facts_text(f, &tls, "verify", verifies[t->verify], "no");
	facts_text(f, &tls, "ciphers", t->ciphers, NULL);
	facts_text(f, &tls, "cipher-suites", t->suites, NULL);
	facts_bool(f, &tls, "tickets", t->tickets, true);
	facts_number(f, &tls, "ticket lifetime", t->lifetime, 7200);
	for (size_t i = 0; i < t->nsni; i++)
		sni_facts(f, d, &t->sni[i], (uint32_t)i + 1);
}

/* ---- destinations ---- */

static const char *const haproxies[] = {
	[HAPROXY_NO] = "no", [HAPROXY_V1] = "v1", [HAPROXY_V2] = "v2",
};

static const char *
versions_text(uint32_t versions)
{
	switch (versions) {
	case 0:
		return "no";
	case TLS_V1_2:
		return "TLSv1.2";
	case TLS_V1_3:
		return "TLSv1.3";
	default:
		return "TLSv1.2,TLSv1.3";
	}
}

/* The identity without what is usual: as status calls it, as a rule. */
static const char *
remote_shown(const struct config_remote *r, char buf[static BOARD_NAME])
{
	static const char usual[] = "tcp/", pool[] = "/default";
	const char *name = r->identity;
	size_t len;

	if (strncmp(name, usual, sizeof(usual) - 1) == 0)
		name += sizeof(usual) - 1;
	len = strlen(name);
	if (len > sizeof(pool) - 1 &&
	    strcmp(name + len - (sizeof(pool) - 1), pool) == 0)
		len -= sizeof(pool) - 1;
	snprintf(buf, BOARD_NAME, "%.*s", (int)len, name);
	return buf;
}

static void
remote_facts(struct facts *f, const struct config_remote *r,
    struct digests *d)
{
	char shown[BOARD_NAME];
	struct fact fact = { .kind = FACT_DESTINATION,
	    .effect = EFFECT_SESSIONS, .row_kind = BOARD_DESTINATION,
	    .rank = r->index + 1, .name = r->identity, .row = r->identity,
	    .shown = remote_shown(r, shown) };

	facts_text(f, &fact, NULL, r->text, NULL);
	facts_number(f, &fact, "weight", r->weight, 1);
	if (r->haproxy != HAPROXY_NO)
		facts_text(f, &fact, "haproxy", haproxies[r->haproxy], "no");
	if (r->tls == 0)
		return;
	facts_text(f, &fact, "tls", versions_text(r->tls), "no");
	facts_bool(f, &fact, "tls verify", r->tls_verify, true);
	facts_text(f, &fact, "tls name", r->tls_name, NULL);
	file_facts(f, d, &fact, "tls ca-file", "tls ca-file content",
	    &r->tls_ca, false);
	if (r->tls_own != NULL)
		pair_facts(f, d, &fact, r->tls_own);
}

/* ---- all of it ---- */

static void
number(struct facts *f, enum fact_kind kind, const char *name,
    uint32_t value)
{
	struct fact fact = { .kind = kind, .effect = EFFECT_SESSIONS,
	    .name = name };

	facts_number(f, &fact, NULL, value, 0);
}

void
config_facts(const struct compiled *compiled, struct facts *f)
{
	const struct config *c = compiled->worker;
	struct digests d = { .source = compiled->source };
	struct fact option = { .kind = FACT_OPTION,
	    .effect = EFFECT_SESSIONS };
	char text[NET_TEXT];

	d.needed = true;
	for (size_t i = 0; i < c->nremotes; i++)
		remote_facts(f, &c->remotes[i], &d);
	d.needed = c->tls.needed;
	tls_facts(f, c, &d);
	number(f, FACT_LIMIT, "rebalance", c->rebalance);
	number(f, FACT_LIMIT, "retire", c->retire);
	number(f, FACT_OPTION, "idle timeout", c->idle);
	number(f, FACT_OPTION, "connect timeout", c->connect);
	number(f, FACT_OPTION, "handshake timeout", c->handshake);
	number(f, FACT_OPTION, "dead time", c->dead);
	option.name = "log connections";
	facts_bool(f, &option, NULL, c->log_connections, false);
	option.name = "local address";
	facts_text(f, &option, NULL, c->local.len > 0 ?
	    net_ip_text(&c->local, text) : NULL, NULL);
}
