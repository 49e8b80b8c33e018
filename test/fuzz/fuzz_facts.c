/*
 * A file of facts from somebody else: read or refused; what is read compares
 * equal with itself, can be written down and comes back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "misc/source_seal.h"
#include "spawnd/facts.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct facts *
load(int fd)
{
	struct facts *f = fd == -1 ? NULL : facts_load(fd);

	if (fd != -1)
		close(fd);
	return f;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct facts *f = load(seal_new("fuzz", data, size)), *g, *h;

	if (f == NULL)
		return 0;
	if ((g = load(facts_save(f))) == NULL ||
	    facts_count(f) != facts_count(g) ||
	    facts_compare(f, g, NULL, NULL) != 0)
		abort();
	h = facts_adopt(f, g);
	if (h != NULL)
		(void)facts_compare(h, g, NULL, NULL);
	facts_free(f);
	facts_free(g);
	facts_free(h);
	return 0;
}
