/*
 * The command line as a text (relayd/rd_extra.h): any text is refused or says
 * what packs to itself.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/rd_extra.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What it packs may be in another order: that is stable from then on. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	struct rd_extra e;
	char *text;

	if (arena == NULL)
		return 0;
	text = arena_strndup(arena, (const char *)data, size);
	if (rd_extra_unpack(arena, text, &e)) {
		const char *once = rd_extra_pack(arena, &e), *twice;

		if (!rd_extra_unpack(arena, once, &e))
			abort();
		twice = rd_extra_pack(arena, &e);
		if (strcmp(once, twice) != 0)
			abort();
	}
	arena_free(arena);
	return 0;
}
