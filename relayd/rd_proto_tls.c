/*
 * TLS options of protocols (2.7.2), and keypairs (relayd-conf-2026.md 3).
 */
#include <stddef.h>
#include <string.h>

#include "../misc/tls.h"
#include "rd_build_impl.h"

static const char *
no_text(struct rd_build *b, bool on, const char *name)
{
	return on ? name : arena_printf(b->arena, "no %s", name);
}

static void
word_item(struct rd_build *b, const char *name, const struct rd_word *w)
{
	rd_list_item(b, name, arena_printf(b->arena, "%s %s", name,
	    rd_quoted(b, w)));
}

/* ---- ciphers and curves ---- */

/* relayd-runtime.md 6.1 */
static const struct {
	const char	*word, *list;
} cipher_words[] = {
	{ "secure", "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20" },
	{ "default", "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20" },
	{ "compat", "HIGH:!aNULL" },
	{ "legacy", "HIGH:MEDIUM:!aNULL" },
	{ "all", "ALL:!aNULL:!eNULL" },
	{ "insecure", "ALL:!aNULL:!eNULL" },
};

static void
ciphers_take(struct rd_build *b, const struct rd_word *w)
{
	struct rd_tls *t = &b->protocol->tls;
	const char *list = w->text;

	if (!rd_length_ok(b, RD_LEN_CIPHERS, w))
		return;
	for (size_t i = 0; i < sizeof cipher_words / sizeof cipher_words[0];
	    i++) {
		if (strcmp(cipher_words[i].word, list) == 0)
			list = cipher_words[i].list;
	}
	if (!tls_ciphers_known(list)) {
		rd_error(b, &w->place,
		    "cipher list \"%s\" contains no known cipher", w->text);
		return;
	}
	t->ciphers = list;
	word_item(b, "ciphers", w);
}

static void
curves_take(struct rd_build *b, const struct rd_word *w)
{
	const char *given = strcmp(w->text, "default") == 0 ?
	    "X25519,P-256,P-384" : w->text;
	char bad[64], *list;

	if (!rd_length_ok(b, RD_LEN_CURVES, w))
		return;
	if (!tls_curves_known(given, bad, sizeof bad)) {
		rd_error(b, &w->place, "unknown curve \"%s\"", bad);
		return;
	}
	list = arena_strdup(b->arena, given);
	for (char *p = list; *p != '\0'; p++) {
		if (*p == ',')
			*p = ':';	/* as the library takes it */
	}
	b->protocol->tls.curves = list;
	word_item(b, "ecdhe", w);
}

static void
edh_take(struct rd_build *b, bool on, const struct rd_word *params)
{
	static const char *const words[] = {
		[RD_EDH_NONE] = "none", [RD_EDH_AUTO] = "auto",
		[RD_EDH_LEGACY] = "legacy",
	};
	struct rd_tls *t = &b->protocol->tls;

	if (!on || params == NULL || params->text == NULL) {
		t->edh = on ? RD_EDH_AUTO : RD_EDH_NONE;
		rd_list_item(b, "edh", no_text(b, on, "edh"));
		return;
	}
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (strcmp(words[i], params->text) != 0)
			continue;
		t->edh = (enum rd_edh)i;
		rd_list_item(b, "edh", arena_printf(b->arena,
		    "edh params %s", words[i]));
		return;
	}
	rd_error(b, &params->place,
	    "edh params must be \"none\", \"auto\" or \"legacy\"");
}

/* ---- authorities ---- */

static void
ca_take(struct rd_build *b, enum rd_tls_option option,
    const struct rd_word *path, const struct rd_word *password,
    const struct diag_place *place)
{
	struct rd_tls *t = &b->protocol->tls;
	static const struct {
		const char	*name;
		enum rd_length	 length;
		size_t		 offset;
	} rows[] = {
#define AT(member)	offsetof(struct rd_tls, member)
		[RD_TLS_CA_FILE] = { "ca file", RD_LEN_CA_FILE,
		    AT(ca_file) },
		[RD_TLS_CA_CERT] = { "ca cert", RD_LEN_CA_CERT,
		    AT(ca_cert) },
		[RD_TLS_CA_KEY] = { "ca key", RD_LEN_CA_KEY, AT(ca_key) },
		[RD_TLS_CLIENT_CA] = { "client ca", RD_LEN_CLIENT_CA,
		    AT(client_ca) },
#undef AT
	};

	if (!rd_length_ok(b, rows[option].length, path))
		return;
	*(const char **)(void *)((char *)t + rows[option].offset) =
	    rd_path(b, path->text);
	if (option == RD_TLS_CA_CERT || option == RD_TLS_CA_KEY)
		b->ca_places[b->protocol->id] = *place;
	if (option != RD_TLS_CA_KEY) {
		word_item(b, rows[option].name, path);
		return;
	}
	t->ca_password = password->text;
	rd_list_item(b, rows[option].name, arena_printf(b->arena,
	    "ca key %s password %s", rd_quoted(b, path),
	    rd_quoted(b, password)));
}

/* ---- keypairs ---- */

/* Statements with the same name add up; the text has each. */
static void
keypair_take(struct rd_build *b, const struct rd_word *name)
{
	struct rd_tls *t = &b->protocol->tls;

	if (!rd_length_ok(b, RD_LEN_KEYPAIR, name)) {
		b->pair = SIZE_MAX;
		return;
	}
	for (b->pair = 0; b->pair < t->nkeypairs; b->pair++) {
		if (strcmp(t->keypairs[b->pair].name, name->text) == 0)
			break;
	}
	if (b->pair == t->nkeypairs) {
		t->keypairs = rd_grow(b, t->keypairs, t->nkeypairs,
		    sizeof *t->keypairs);
		b->pairs = rd_grow(b, b->pairs, t->nkeypairs,
		    sizeof *b->pairs);
		b->pairs[t->nkeypairs] = (struct rd_keypair_places){
			.cert = { .file = NULL } };
		t->keypairs[t->nkeypairs++] = (struct rd_keypair){
			.name = name->text, .place = name->place };
	}
	rd_list_item(b, NULL, arena_printf(b->arena, "keypair %s",
	    rd_quoted(b, name)));
}

static const struct pair_word {
	const char	*word, *shown;
	size_t		 file;		/* in struct rd_keypair */
	size_t		 place;		/* in struct rd_keypair_places */
} pair_words[] = {
#define ROW(word, name)	{ word, #name, offsetof(struct rd_keypair, name), \
	offsetof(struct rd_keypair_places, name) }
	ROW("cert", cert),
	ROW("certificate", cert),
	ROW("key", key),
	ROW("ocsp", ocsp),
#undef ROW
};

static const struct pair_word *
pair_word_find(const char *word)
{
	for (size_t i = 0; i < sizeof pair_words / sizeof pair_words[0]; i++) {
		if (strcmp(pair_words[i].word, word) == 0)
			return &pair_words[i];
	}
	return NULL;
}

static void
pair_file_set(struct rd_build *b, const struct pair_word *w,
    const struct diag_place *place, const struct rd_word *path)
{
	struct rd_keypair *k = &b->protocol->tls.keypairs[b->pair];
	const char **file = (const char **)(void *)((char *)k + w->file);
	struct diag_place *first = (struct diag_place *)(void *)
	    ((char *)&b->pairs[b->pair] + w->place);

	if (*file != NULL) {
		rd_error(b, place, "%s of keypair \"%s\" is given twice, "
		    "first at %s:%u", w->shown, k->name, first->file,
		    first->line);
		return;
	}
	*first = *place;
	*file = rd_path_near(b, &path->place, path->text);
	rd_list_more(b, arena_printf(b->arena, " %s %s", w->shown,
	    rd_quoted(b, &(struct rd_word){ .text = *file })));
}

void
rd_tls_keypair_file(struct rd_build *b, const struct rd_word *which,
    const struct rd_word *path)
{
	const struct pair_word *w = pair_word_find(which->text);

	if (b->list_off || b->pair == SIZE_MAX)
		return;
	if (w == NULL)
		rd_error(b, &which->place, "unknown TLS option \"%s\"",
		    which->text);
	else if (rd_length_ok(b, RD_LEN_KEYPAIR_FILE, path))
		pair_file_set(b, w, &which->place, path);
}

/* ---- words ---- */

enum flag_kind { FLAG_VERSION, FLAG_OBSOLETE, FLAG_BOOL, FLAG_NOTHING };

static const struct tls_flag {
	const char	*name;
	enum flag_kind	 kind;
	unsigned	 versions;
	size_t		 offset;
} tls_flags[] = {
#define AT(member)	offsetof(struct rd_tls, member)
	{ "tlsv1", FLAG_VERSION, RD_TLS_1_2 | RD_TLS_1_3, 0 },
	{ "tlsv1.2", FLAG_VERSION, RD_TLS_1_2, 0 },
	{ "tlsv1.3", FLAG_VERSION, RD_TLS_1_3, 0 },
	{ "sslv3", FLAG_OBSOLETE, 0, 0 },
	{ "tlsv1.0", FLAG_OBSOLETE, 0, 0 },
	{ "tlsv1.1", FLAG_OBSOLETE, 0, 0 },
	{ "cipher-server-preference", FLAG_BOOL, 0, AT(server_preference) },
	{ "client-renegotiation", FLAG_NOTHING, 0, 0 },
	{ "server-name", FLAG_BOOL, 0, AT(server_name) },
	{ "verify-name", FLAG_BOOL, 0, AT(verify_name) },
#undef AT
};

static const struct tls_flag *
flag_find(const char *name)
{
	for (size_t i = 0; i < sizeof tls_flags / sizeof tls_flags[0]; i++) {
		if (strcmp(tls_flags[i].name, name) == 0)
			return &tls_flags[i];
	}
	return NULL;
}

static void
flag_take(struct rd_build *b, bool on, const struct rd_word *w)
{
	const struct tls_flag *f = flag_find(w->text);
	struct rd_tls *t = &b->protocol->tls;

	if (f == NULL) {
		rd_error(b, &w->place, "unknown TLS option \"%s\"", w->text);
		return;
	}
	switch (f->kind) {
	case FLAG_OBSOLETE:
		rd_warn(b, &w->place,
		    "\"%s\" is obsolete and has no effect", w->text);
		return;
	case FLAG_VERSION:
		t->versions = on ? t->versions | f->versions :
		    t->versions & ~f->versions;
		b->versions_place = w->place;
		break;
	case FLAG_BOOL:
		*(bool *)(void *)((char *)t + f->offset) = on;
		if (f->offset == offsetof(struct rd_tls, verify_name))
			b->names_place = w->place;
		break;
	case FLAG_NOTHING:
		if (on)
			rd_warn(b, &w->place, "\"%s\" has no effect",
			    w->text);
		break;
	}
	rd_list_item(b, f->name, no_text(b, on, f->name));
}

void
rd_tls_option(struct rd_build *b, enum rd_tls_option option, bool on,
    const struct rd_word *a, const struct rd_word *second,
    const struct diag_place *place)
{
	b->pair = SIZE_MAX;
	if (b->list_off)
		return;
	switch (option) {
	case RD_TLS_TICKETS:
		b->protocol->tls.tickets = on;
		rd_list_item(b, "session tickets",
		    no_text(b, on, "session tickets"));
		return;
	case RD_TLS_CIPHERS:
		ciphers_take(b, a);
		return;
	case RD_TLS_ECDHE:
		curves_take(b, a);
		return;
	case RD_TLS_EDH:
		edh_take(b, on, a);
		return;
	case RD_TLS_CA_FILE:
	case RD_TLS_CA_CERT:
	case RD_TLS_CA_KEY:
	case RD_TLS_CLIENT_CA:
		ca_take(b, option, a, second, place);
		return;
	case RD_TLS_KEYPAIR:
		keypair_take(b, a);
		return;
	case RD_TLS_FLAG:
		flag_take(b, on, a);
		return;
	}
}

void
rd_tls_end(struct rd_build *b)
{
	const struct rd_tls *t = &b->protocol->tls;

	if (t->versions == 0)
		rd_error(b, &b->versions_place,
		    "protocol \"%s\" enables no usable TLS version",
		    b->protocol->name);
	if (t->verify_name && t->ca_file == NULL)
		rd_warn(b, &b->names_place,
		    "\"verify-name\" has no effect without \"ca file\"");
}

void
rd_tls_authority_check(struct rd_build *b, const struct rd_protocol *p)
{
	bool cert = p->tls.ca_cert != NULL;

	if (cert != (p->tls.ca_key != NULL))
		rd_warn(b, &b->ca_places[p->id],
		    "\"%s\" has no effect without \"%s\"",
		    cert ? "ca cert" : "ca key", cert ? "ca key" : "ca cert");
}

/* Who names authorities believes that somebody is verified. */
void
rd_tls_sides_check(struct rd_build *b, const struct rd_protocol *p)
{
	const struct rd_conf *c = b->conf;
	bool server = false, client = false;

	for (size_t i = 0; i < c->nrelays; i++) {
		const struct rd_relay *r = c->relays[i];

		if (r->protocol != p)
			continue;
		server = server || r->tls;
		client = client || r->with_tls;
	}
	if (p->tls.client_ca != NULL && !server)
		rd_warn(b, &p->place, "\"client ca\" has no effect: no relay "
		    "of protocol \"%s\" listens with tls", p->name);
	if (p->tls.ca_file != NULL && !client)
		rd_warn(b, &p->place, "\"ca file\" has no effect: no relay of "
		    "protocol \"%s\" forwards with tls", p->name);
}
