/*
 * What can be said of a compiled configuration: its canonical text, and its
 * rows on the board.
 */
#include <stdio.h>

#include "../spawnd/board.h"
#include "config.h"

static const char *
or_dash(const char *text)
{
	return text == NULL ? "-" : text;
}

/* No passphrase: the text may be shown. */
static void
keypair_print(const char *what, const struct config_keypair *k, FILE *fp)
{
	if (k == NULL)
		return;
	fprintf(fp, "%s cert %s key %s passphrase %d names", what,
	    or_dash(k->cert.path), or_dash(k->key.path),
	    k->passphrase != NULL);
	for (size_t i = 0; i < k->nnames; i++)
		fprintf(fp, " %s", k->names[i]);
	fputc('\n', fp);
}

static void
remote_print(const struct config_remote *r, FILE *fp)
{
	fprintf(fp, "remote %u %s %s protocol %d weight %u pool %s "
	    "haproxy %d tls %x verify %d name %s ca %s\n", r->index,
	    r->identity, r->text, r->protocol, r->weight, r->pool,
	    r->haproxy, r->tls, r->tls_verify, or_dash(r->tls_name),
	    or_dash(r->tls_ca.path));
	keypair_print("remote tls", r->tls_own, fp);
}

void
config_print(const struct config *c, FILE *fp)
{
	const struct config_tls *tls = &c->tls;
	char text[NET_TEXT];

	for (size_t i = 0; i < c->nremotes; i++)
		remote_print(&c->remotes[i], fp);
	fprintf(fp, "relay local %s rebalance %u retire %u idle %u "
	    "connect %u handshake %u dead %u log %d key-process %d\n",
	    net_text(&c->local, text), c->rebalance, c->retire, c->idle,
	    c->connect, c->handshake, c->dead, c->log_connections,
	    c->key_process);
	keypair_print("tls", tls->main, fp);
	for (size_t i = 0; i < tls->nsni; i++)
		keypair_print("tls sni", &tls->sni[i], fp);
	fprintf(fp, "tls ca %s psk %s verify %d ciphers %s suites %s "
	    "tickets %d lifetime %u needed %d files ", or_dash(tls->ca.path),
	    or_dash(tls->psk.path), tls->verify, or_dash(tls->ciphers),
	    or_dash(tls->suites), tls->tickets, tls->lifetime, tls->needed);
	for (size_t i = 0; i < sizeof c->files; i++)
		fprintf(fp, "%02x", c->files[i]);
	fputc('\n', fp);
}

unsigned
config_row_count(const struct compiled *compiled)
{
	const struct config *c = compiled->worker;
	unsigned n = 0;

	for (size_t i = 0; c != NULL && i < c->nremotes; i++)
		n += c->remotes[i].health == NULL;
	return n;
}

struct board_cell *
config_cell(const struct config_remote *r, struct board *board,
    unsigned column)
{
	return r->health != NULL ?
	    board_hold(board, column, BOARD_HOST, r->health) :
	    board_hold(board, column, BOARD_DESTINATION, r->identity);
}

void
config_rows(const struct compiled *compiled, struct board *board,
    uint32_t generation)
{
	const struct config *c = compiled->worker;

	for (size_t i = 0; c != NULL && i < c->nremotes; i++) {
		const struct config_remote *r = &c->remotes[i];
		int row;

		if (r->health != NULL)
			continue;	/* the front end enters hosts */
		row = board_claim(board, BOARD_DESTINATION, r->identity,
		    r->weight, generation);
		if (row != -1)
			board_describe(board, (unsigned)row, r->index, r->pool,
			    r->text);
	}
}
