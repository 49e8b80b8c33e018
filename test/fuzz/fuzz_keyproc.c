/*
 * What a key process takes from workers, and workers from a key process:
 * messages of requests and answers, and the bytes that are to be signed. The
 * first byte says which.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "misc/keyproc.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
requests(const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n, *bytes;
	struct keyproc_request r;

	while (keyproc_request_next(&p, &n, &r, &bytes) == 1) {
		must(p + n == end && bytes + r.len == p);
		must(r.slot < KEYPROC_SLOTS && r.hash < KEYPROC_HASHES);
		must((keyproc_hash_name(r.hash) != NULL) ==
		    (r.hash != KEYPROC_NO_HASH));
		(void)keyproc_form(r.key, bytes, r.len);
	}
}

static void
answers(const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n, *bytes;
	struct keyproc_answer a;

	while (keyproc_answer_next(&p, &n, &a, &bytes) == 1) {
		must(p + n == end && bytes + a.len == p);
		must(a.slot < KEYPROC_SLOTS && a.len <= KEYPROC_SIGNATURE);
	}
}

/* One form at the most, and only one that was asked for. */
static void
form(const uint8_t *p, size_t n)
{
	static const char spaces[] = "        ";
	unsigned all = keyproc_form(UINT32_MAX, p, n);

	for (unsigned uses = 0; uses < 16; uses++) {
		unsigned got = keyproc_form(uses, p, n);

		must((got & ~uses) == 0 && (got & (got - 1)) == 0);
		must(all != 0 || got == 0);
		if (got == KEYPROC_SERVER_13 || got == KEYPROC_CLIENT_13)
			must(n > 98 && memcmp(p, spaces, 8) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static void (*const what[])(const uint8_t *, size_t) = {
		requests, answers, form
	};
	uint8_t *copy;

	if (n == 0)
		return 0;
	copy = malloc(n);	/* so that reading beyond is noticed */
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, n - 1);
	what[data[0] % 3](copy, n - 1);
	free(copy);
	return 0;
}
