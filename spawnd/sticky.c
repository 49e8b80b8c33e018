/*
 * A hash table whose entries stand on a list in the order of their last use.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sticky.h"

struct entry {
	struct sticky_key	 key;
	uint32_t		 worker;
	uint64_t		 expiry;
	struct entry		*chain;		/* same bucket */
	struct entry		*newer, *older;	/* by last use */
};

struct sticky {
	unsigned	 size, count;
	unsigned	 nbuckets;		/* a power of two */
	struct entry	**buckets;
	struct entry	*newest, *oldest;
};

static unsigned
key_bucket(const struct sticky *s, const struct sticky_key *k)
{
	const uint8_t *p = (const uint8_t *)k;
	uint32_t h = 2166136261u;

	/* FNV-1a; a client who fills one bucket only slows a table that
	   stays within its size */
	for (size_t i = 0; i < sizeof(*k); i++)
		h = (h ^ p[i]) * 16777619u;
	return (h ^ h >> 15) & (s->nbuckets - 1);
}

struct sticky *
sticky_new(unsigned size)
{
	struct sticky *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->size = size > 0 ? size : 1;
	for (s->nbuckets = 64; s->nbuckets < s->size &&
	    s->nbuckets < 1u << 20; )
		s->nbuckets *= 2;
	s->buckets = calloc(s->nbuckets, sizeof(*s->buckets));
	if (s->buckets == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

void
sticky_free(struct sticky *s)
{
	if (s == NULL)
		return;
	for (struct entry *e = s->newest, *next; e != NULL; e = next) {
		next = e->older;
		free(e);
	}
	free(s->buckets);
	free(s);
}

unsigned
sticky_count(const struct sticky *s)
{
	return s->count;
}

bool
sticky_key_set(struct sticky_key *k, const struct sockaddr *sa,
    uint16_t local_port, uint16_t transport, bool datagram)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	memset(k, 0, sizeof(*k));
	switch (sa->sa_family) {
	case AF_INET:
		k->ip[10] = k->ip[11] = 0xff;
		memcpy(k->ip + 12, &in->sin_addr, 4);
		k->client_port = datagram ? in->sin_port : 0;
		break;
	case AF_INET6:
		memcpy(k->ip, &in6->sin6_addr, 16);
		k->client_port = datagram ? in6->sin6_port : 0;
		break;
	default:
		return false;
	}
	k->local_port = local_port;
	k->transport = transport;
	return true;
}

static void
list_remove(struct sticky *s, struct entry *e)
{
	*(e->newer != NULL ? &e->newer->older : &s->newest) = e->older;
	*(e->older != NULL ? &e->older->newer : &s->oldest) = e->newer;
}

static void
list_push(struct sticky *s, struct entry *e)
{
	e->newer = NULL;
	e->older = s->newest;
	*(s->newest != NULL ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

static struct entry **
entry_slot(struct sticky *s, const struct sticky_key *k)
{
	struct entry **e = &s->buckets[key_bucket(s, k)];

	while (*e != NULL && memcmp(&(*e)->key, k, sizeof(*k)) != 0)
		e = &(*e)->chain;
	return e;
}

static void
entry_remove(struct sticky *s, struct entry *e)
{
	*entry_slot(s, &e->key) = e->chain;
	list_remove(s, e);
	free(e);
	s->count--;
}

uint32_t
sticky_find(struct sticky *s, const struct sticky_key *k, uint64_t now)
{
	struct entry *e = *entry_slot(s, k);

	return e != NULL && now < e->expiry ? e->worker : 0;
}

void
sticky_set(struct sticky *s, const struct sticky_key *k, uint32_t worker,
    uint64_t expiry)
{
	struct entry **slot = entry_slot(s, k), *e = *slot;

	if (e != NULL)
		list_remove(s, e);
	else {
		if (s->count >= s->size) {
			entry_remove(s, s->oldest);
			slot = entry_slot(s, k);	/* may have moved */
		}
		if ((e = calloc(1, sizeof(*e))) == NULL)
			return;
		e->key = *k;
		*slot = e;
		s->count++;
	}
	e->worker = worker;
	e->expiry = expiry;
	list_push(s, e);
}

void
sticky_forget(struct sticky *s, uint32_t worker)
{
	for (struct entry *e = s->newest, *next; e != NULL; e = next) {
		next = e->older;
		if (e->worker == worker)
			entry_remove(s, e);
	}
}
