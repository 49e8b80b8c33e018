/*
 * Ticket keys. They exist in the master, in messages to workers, and nowhere
 * else; none is ever written to disk.
 */
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "features.h"
#include "../misc/cleanse.h"
#include "tickets.h"

int
tickets_rotate(struct tickets *t, uint64_t now, uint64_t lifetime)
{
	struct ticket_key key;

	if (t->n > 0 && now < tickets_due(t, lifetime))
		return 0;
	static_assert(sizeof(key) <= 256, "getentropy gives 256 at most");
	if (getentropy(&key, sizeof(key)) == -1)
		return -1;
	memmove(t->keys + 1, t->keys, sizeof(key) * (TICKETS_MAX - 1));
	t->keys[0] = key;
	cleanse(&key, sizeof(key));
	if (t->n < TICKETS_MAX)
		t->n++;
	t->made = now;
	return 1;
}

uint64_t
tickets_due(const struct tickets *t, uint64_t lifetime)
{
	return t->made + lifetime;
}

void
tickets_clear(struct tickets *t)
{
	cleanse(t, sizeof(*t));
}
