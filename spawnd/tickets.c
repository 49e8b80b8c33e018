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
tickets_rotate(struct tickets *t, uint64_t now, uint64_t period,
    unsigned keep)
{
	struct ticket_key key;

	if (t->n > 0 && now < tickets_due(t, period))
		return 0;
	static_assert(sizeof(key) <= 256, "getentropy gives 256 at most");
	if (getentropy(&key, sizeof(key)) == -1)
		return -1;
	memmove(t->keys + 1, t->keys, sizeof(key) * (TICKETS_MAX - 1));
	t->keys[0] = key;
	cleanse(&key, sizeof(key));
	t->n = t->n + 1 < keep ? t->n + 1 : keep;
	if (t->n > TICKETS_MAX)
		t->n = TICKETS_MAX;
	cleanse(t->keys + t->n, sizeof(key) * (TICKETS_MAX - t->n));
	t->made = now;
	return 1;
}

uint64_t
tickets_due(const struct tickets *t, uint64_t period)
{
	return t->made + period;
}

void
tickets_clear(struct tickets *t)
{
	cleanse(t, sizeof(*t));
}
