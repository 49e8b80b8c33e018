/*
 * A relayd.conf from bytes, through the whole compiler. Nothing is looked up:
 * the source knows the text only, and what is behind a line "%%" as the file
 * "/inc". What is wrong must be said; what compiles must print a text that
 * compiles to the same; and what the engine gets must hang together.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/rd_conf.h"
#include "relayd/rd_engine.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
shown(struct diag *d, const struct source *s)
{
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	if (fp == NULL)
		return;
	diag_print(d, fp, s, true);
	fclose(fp);
	free(text);
}

static struct rd_conf *
compiled(const char *text, size_t len, const char *inc, size_t inc_len,
    bool verbose)
{
	static const struct rd_macro macros[] = { { "given", "10.0.0.1" } };
	struct rd_request q = { .file = "/main", .directory = "/",
	    .macros = macros, .nmacros = 1, .verbose = verbose };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_conf *c;

	if (s == NULL || d == NULL)
		abort();
	source_add(s, SOURCE_TEXT, "/main", text, len);
	source_add(s, SOURCE_TEXT, "/inc", inc, inc_len);
	c = rd_compile(&q, s, d);
	if ((c == NULL) != (diag_errors(d) > 0))
		abort();
	shown(d, s);
	if (c == NULL)
		source_free(s);
	diag_free(d);
	return c;
}

static void
must(bool true_)
{
	if (!true_)
		abort();
}

static void
relay_look(const struct config *c, const struct config_relay *r)
{
	size_t n = c->nremotes;

	must(r->address >= -1 && (r->address == -1 ||
	    ((size_t)r->address < n &&
	    c->remotes[r->address].addr.len > 0)));
	must(r->template >= -1 && (r->template == -1 ||
	    ((size_t)r->template < n &&
	    c->remotes[r->template].addr.len == 0)));
	must(r->ntables > 0 || r->address != -1 || r->template != -1);
	for (size_t i = 0; i < r->ntables; i++) {
		const struct config_table *t = &r->tables[i];

		must(t->n <= 32 && t->first <= n && t->n <= n - t->first);
		for (uint32_t k = t->first; k < t->first + t->n; k++)
			must(c->remotes[k].health != NULL &&
			    c->remotes[k].host > 0);
	}
}

/* false: certificates that are not there, nothing else. */
static bool
engine_look(const struct rd_conf *conf, uint8_t digest[static 32])
{
	struct compiled c = { .arena = arena_new(), .refs = 1,
	    .check = true };
	struct diag *d = diag_new();
	const struct config *config;
	bool good;

	must(c.arena != NULL && d != NULL);
	good = rd_engine(&c, conf, d);
	must(good == (diag_errors(d) == 0));
	config = c.worker;
	must(c.broker.nlisteners == conf->nrelays &&
	    config->nrelays == conf->nrelays);
	for (size_t i = 0; i < config->nrelays; i++) {
		must(config->relays[i].listener == i &&
		    c.broker.listeners[i].index == i);
		relay_look(config, &config->relays[i]);
	}
	for (size_t i = 0; i < config->nremotes; i++)
		must(config->remotes[i].index == i &&
		    config->remotes[i].tls_like <= i);
	memcpy(digest, c.digest, sizeof c.digest);
	diag_free(d);
	arena_free(c.arena);
	return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n%%\n";
	const char *text = (const char *)data;
	const char *inc = size == 0 ? NULL :
	    memmem(text, size, mark, sizeof mark - 1);
	size_t len = inc == NULL ? size : (size_t)(inc - text);
	struct rd_conf *c, *again;
	uint8_t before[32], after[32];

	inc = inc == NULL ? "" : inc + sizeof mark - 1;
	c = compiled(text, len, inc, len == size ? 0 :
	    size - len - (sizeof mark - 1), size % 2);
	if (c == NULL)
		return 0;
	again = compiled(c->text, c->text_len, "", 0, false);
	if (again == NULL || again->text_len != c->text_len ||
	    memcmp(again->text, c->text, c->text_len) != 0 ||
	    memcmp(again->digest, c->digest, sizeof c->digest) != 0)
		abort();
	must(engine_look(c, before) == engine_look(again, after) &&
	    memcmp(before, after, sizeof before) == 0);
	rd_conf_unref(again);
	rd_conf_unref(c);
	return 0;
}
