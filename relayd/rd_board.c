/*
 * Rows of tables, hosts and redirects on the board: what they are called
 * there, and entering them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/hash.h"
#include "../misc/siphash.h"
#include "../tcprelay/config.h"
#include "rd_board.h"
#include "rd_engine.h"

/* ---- names ---- */

/* NULL is another text than "". */
static void
bytes_add(struct siphash *h, const void *bytes, size_t n)
{
	const uint64_t head[2] = { bytes != NULL, n };

	siphash_add(h, head, sizeof(head));
	if (bytes != NULL)
		siphash_add(h, bytes, n);
}

static void
text_add(struct siphash *h, const char *text)
{
	bytes_add(h, text, text != NULL ? strlen(text) : 0);
}

/*
 * What is asked of a host, as a number. Neither how often nor how long: these
 * may change and its state goes on. No key: it must be the same tomorrow, and
 * nobody but who writes the file could make two of them meet.
 */
static uint64_t
check_digest(const struct rd_check *c)
{
	const uint64_t numbers[] = { c->kind, c->tls, c->code };
	struct siphash h;

	siphash_init(&h, 0, 0);
	siphash_add(&h, numbers, sizeof(numbers));
	text_add(&h, c->path);
	text_add(&h, c->host);
	text_add(&h, c->digest);
	bytes_add(&h, c->send, c->send_len);
	bytes_add(&h, c->expect, c->expect_len);
	return siphash_end(&h);
}

/* A host by what it is called. */
struct called {
	const char	*table;
	uint64_t	 check;
	struct rd_host	*host;
};

static int
called_cmp(const struct called *a, const struct called *b)
{
	int order = strcmp(a->table, b->table);

	if (order != 0)
		return order;
	if (a->check != b->check)
		return a->check < b->check ? -1 : 1;
	return net_cmp(&a->host->addr, &b->host->addr);
}

static int
called_sort(const void *a, const void *b)
{
	const struct called *x = a, *y = b;
	int order = called_cmp(x, y);

	return order != 0 ? order : (x->host->id > y->host->id) -
	    (x->host->id < y->host->id);
}

void
rd_board_number(struct rd_conf *conf)
{
	struct called *all = arena_array(conf->arena, conf->nhosts + 1,
	    sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];
		uint64_t check = check_digest(&t->check);

		for (size_t k = 0; k < t->nhosts && n < conf->nhosts; k++)
			all[n++] = (struct called){ t->name, check,
			    &t->hosts[k] };
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), called_sort);
	for (size_t i = 1; i < n; i++)
		if (called_cmp(&all[i - 1], &all[i]) == 0)
			all[i].host->same = all[i - 1].host->same + 1;
}

/* A name too long for the board is one by its digest: cut short it could be
 * another's. */
static const char *
name_fit(const char *text, size_t len, char name[static BOARD_NAME])
{
	uint8_t digest[HASH_SIZE];
	struct hash *h;
	size_t at;

	if (len < BOARD_NAME) {
		memcpy(name, text, len + 1);
		return name;
	}
	h = hash_new();
	hash_add(h, text, len);
	hash_end(h, digest);
	at = (size_t)snprintf(name, BOARD_NAME, "%.48s/", text);
	for (size_t i = 0; i < sizeof(digest); i++)
		at += (size_t)snprintf(name + at, BOARD_NAME - at, "%02x",
		    digest[i]);
	return name;
}

const char *
rd_board_host(const struct rd_conf *conf, const struct rd_table *table,
    const struct rd_host *host, char name[static BOARD_NAME])
{
	char text[RD_TABLE_NAME + NET_TEXT + 64], addr[NET_TEXT];
	uint64_t check = check_digest(&table->check);
	int len;

	(void)conf;
	len = snprintf(text, sizeof(text), "%s/%016" PRIx64 "/%d/%s",
	    table->name, check, host->addr.sa.sa_family == AF_INET6 ? 6 : 4,
	    net_ip_text(&host->addr, addr));
	if (host->same > 0 && len > 0 && (size_t)len < sizeof(text))
		snprintf(text + len, sizeof(text) - (size_t)len, "#%u",
		    host->same);
	return name_fit(text, strlen(text), name);
}

const char *
rd_board_table(const struct rd_conf *conf, const struct rd_table *table,
    char name[static BOARD_NAME])
{
	char text[RD_TABLE_NAME + 64];
	unsigned n = 0;

	for (size_t i = 0; i < conf->ntables && conf->tables[i] != table; i++)
		n += strcmp(conf->tables[i]->name, table->name) == 0;
	if (n > 0)
		snprintf(text, sizeof(text), "%s#%u", table->name, n);
	else
		snprintf(text, sizeof(text), "%s", table->name);
	return name_fit(text, strlen(text), name);
}

const char *
rd_board_redirect(const struct rd_redirect *redirect,
    char name[static BOARD_NAME])
{
	return name_fit(redirect->name, strlen(redirect->name), name);
}

/* ---- rows ---- */

static void
row_enter(struct board *b, uint32_t generation, uint32_t kind,
    const char *name, uint32_t order, const char *label, const char *text)
{
	int row = board_claim(b, kind, name, 0, generation);

	if (row != -1)
		board_describe(b, (unsigned)row, order, label, text);
}

static void
table_rows(const struct rd_conf *conf, const struct rd_table *t,
    struct board *b, uint32_t generation)
{
	char name[BOARD_NAME], text[NET_TEXT];

	row_enter(b, generation, BOARD_TABLE, rd_board_table(conf, t, name),
	    t->id, t->name, "");
	for (size_t i = 0; i < t->nhosts; i++) {
		const struct rd_host *h = &t->hosts[i];

		row_enter(b, generation, BOARD_HOST,
		    rd_board_host(conf, t, h, name), h->id, h->name,
		    net_ip_text(&h->addr, text));
	}
}

void
rd_board_rows(const struct compiled *c, struct board *b, uint32_t generation)
{
	const struct rd_conf *conf = rd_conf_of(c);
	char name[BOARD_NAME];

	config_rows(c, b, generation);
	for (size_t i = 0; i < conf->ntables; i++)
		table_rows(conf, conf->tables[i], b, generation);
	for (size_t i = 0; i < conf->nredirects; i++) {
		const struct rd_redirect *r = conf->redirects[i];

		row_enter(b, generation, BOARD_REDIRECT,
		    rd_board_redirect(r, name), r->id, r->name, "");
	}
}

unsigned
rd_board_row_count(const struct compiled *c)
{
	const struct rd_conf *conf = rd_conf_of(c);

	return config_row_count(c) + (unsigned)(conf->ntables + conf->nhosts +
	    conf->nredirects);
}
