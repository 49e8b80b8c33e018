/*
 * What a program leaves to the next one, from bytes: refused, or everything
 * in it can be used, and written again it is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spawnd/upgrade_state.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint8_t
touch(const struct upgrade_bytes *b, unsigned n)
{
	uint8_t sum = 0;

	for (; n > 0; n--, b++)
		for (size_t i = 0; i < b->len; i++)
			sum ^= ((const uint8_t *)b->data)[i];
	return sum;
}

/* What the new master does with numbers and texts without asking again. */
static void
use(const struct upgrade_state *s)
{
	uint8_t sum = touch(s->service.tail, 3);

	if (s->service.ntickets > TICKETS_MAX)
		abort();
	for (size_t i = 0; i < s->nlisteners; i++) {
		const struct upgrade_listener *l = &s->listeners[i];

		sum ^= touch(l->tail, 3);
		sum ^= (uint8_t)strlen(l->tail[UPGRADE_NAME].data);
		sum ^= (uint8_t)strlen(l->tail[UPGRADE_TEXT].data);
		if (l->addr_len > 128 || l->bound_len > 128 ||
		    l->passed > s->npassed)
			abort();
	}
	for (size_t i = 0; i < s->nworkers; i++) {
		sum ^= touch(s->workers[i].tail, 1);
		if (s->workers[i].board > s->nboards)
			abort();
	}
	for (size_t i = 0; i < s->nhands; i++)
		if (s->hands[i].listener >= s->nlisteners &&
		    s->hands[i].listener != UINT32_MAX)
			abort();
	for (size_t i = 0; i < s->npassed; i++)
		sum ^= (uint8_t)strlen(s->passed[i].tail[0].data);
	*(volatile uint8_t *)&sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upgrade_state *s, *again;
	const char *why;
	uint8_t *copy = malloc(size + 1);
	size_t len, len2;
	void *packed, *packed2;
	uint64_t whole = size;

	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	/* nobody guesses the length that the head must tell */
	if (size >= 24 && (copy[12] & 1) != 0) {
		copy[12] = 0;
		memcpy(copy + 16, &whole, sizeof(whole));
	}
	s = upgrade_state_read(copy, size, &why);
	free(copy);
	if (s == NULL) {
		if (why == NULL)
			abort();
		return 0;
	}
	use(s);
	packed = upgrade_state_pack(s, &len);
	if (packed == NULL)
		abort();
	again = upgrade_state_read(packed, len, &why);
	if (again == NULL)
		abort();
	packed2 = upgrade_state_pack(again, &len2);
	if (packed2 == NULL || len != len2 || memcmp(packed, packed2, len))
		abort();
	free(packed);
	free(packed2);
	upgrade_state_free(again);
	upgrade_state_free(s);
	return 0;
}
