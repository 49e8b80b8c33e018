/*
 * relayd's ways to pick a server. The results are part of the language:
 * machines side by side, and versions one after the other, must send a client
 * to the same host.
 */
#include <sys/socket.h>

#include "balance.h"

#define HASH_TRIES	5

/* ---- what kind of target ---- */

static bool
table_usable(const struct balance_table *t)
{
	return !t->check || t->up > 0;
}

enum balance_target
balance_target(const struct balance_targets *t, size_t *table)
{
	/* a rule's word is final: no other table stands in */
	if (t->selected) {
		*table = t->selection;
		return t->selection < t->ntables &&
		    table_usable(&t->tables[t->selection]) ?
		    BALANCE_TABLE : BALANCE_FAILED;
	}
	if (t->original)
		return BALANCE_ORIGINAL;
	for (size_t i = 0; i < t->ntables; i++) {
		if (table_usable(&t->tables[i])) {
			*table = i;
			return BALANCE_TABLE;
		}
	}
	return t->ntables == 0 && t->address ? BALANCE_ADDRESS :
	    BALANCE_FAILED;
}

/* ---- which host ---- */

/* The first usable one from there to the end, then from the beginning. */
static int
search(const struct balance_ask *a, size_t from)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t at = from < a->n - i ? from + i : from - (a->n - i);

		if (a->usable[at])
			return (int)at;
	}
	return -1;
}

static int
pick_roundrobin(const struct balance_ask *a)
{
	int i = search(a, *a->index >= a->n ? 0 : *a->index);

	if (i != -1)
		*a->index = (size_t)i + 1;
	return i;
}

/* 0 ... n - 1, each as likely: the uneven rest of all draws is drawn again. */
static uint32_t
draw_below(const struct balance_ask *a, uint32_t n)
{
	uint32_t spare = (UINT32_MAX - n + 1) % n, drawn;

	do {
		drawn = a->draw(a->ctx);
	} while (drawn < spare);
	return drawn % n;
}

/* Among the usable, so that nobody gets the share of a neighbour who is
 * down. */
static int
pick_random(const struct balance_ask *a)
{
	uint32_t n = 0, nth;
	size_t i = 0;

	for (size_t k = 0; k < a->n; k++)
		n += a->usable[k];
	if (n == 0)
		return -1;
	nth = draw_below(a, n);
	while (!a->usable[i] || nth-- > 0)
		i++;
	return (int)i;
}

static int
pick_hash(const struct balance_ask *a)
{
	size_t tries = a->n < HASH_TRIES ? a->n : HASH_TRIES, i = 0;
	uint64_t p = a->hash;

	for (size_t k = 0; k < tries; k++, p >>= 1) {
		i = (size_t)(p % a->n);
		if (a->usable[i])
			return (int)i;
	}
	return search(a, i);
}

static const struct {
	int	(*pick)(const struct balance_ask *);
	bool	 client, listen;	/* what is hashed */
} modes[] = {
	[BALANCE_ROUNDROBIN]  = { pick_roundrobin, false, false },
	[BALANCE_RANDOM]      = { pick_random, false, false },
	[BALANCE_SOURCE_HASH] = { pick_hash, true, false },
	[BALANCE_LOADBALANCE] = { pick_hash, true, true },
	[BALANCE_HASH]	      = { pick_hash, false, true },
};

int
balance_host(const struct balance_ask *a)
{
	return a->n == 0 ? -1 : modes[a->mode].pick(a);
}

bool
balance_hashes(enum balance_mode mode)
{
	return modes[mode].pick == pick_hash;
}

/* ---- hashes ---- */

void
balance_hash_begin(struct siphash *h, const uint32_t key[4])
{
	siphash_init(h, key[0] | (uint64_t)key[1] << 32,
	    key[2] | (uint64_t)key[3] << 32);
}

static void
add_ip(struct siphash *h, const struct net_name *name)
{
	if (name->family == AF_INET)
		siphash_add(h, name->ip, 4);
	else if (name->family == AF_INET6)
		siphash_add(h, name->ip, 16);
}

uint64_t
balance_hash(struct siphash *h, enum balance_mode mode,
    const struct net_name *client, const struct net_name *listen)
{
	if (modes[mode].client)
		add_ip(h, client);
	if (modes[mode].listen) {
		add_ip(h, listen);
		if (listen->family == AF_INET || listen->family == AF_INET6)
			siphash_add(h, &listen->port, 2);
	}
	return siphash_end(h);
}
