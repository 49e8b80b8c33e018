/*
 * SipHash-2-4, byte by byte: what is hashed here is an address and a few
 * words.
 */
#include "siphash.h"

static uint64_t
rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void
rounds(uint64_t v[static 4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void
compress(uint64_t v[static 4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

void
siphash_init(struct siphash *h, uint64_t k0, uint64_t k1)
{
	*h = (struct siphash){ .v = {
	    k0 ^ UINT64_C(0x736f6d6570736575),
	    k1 ^ UINT64_C(0x646f72616e646f6d),
	    k0 ^ UINT64_C(0x6c7967656e657261),
	    k1 ^ UINT64_C(0x7465646279746573) } };
}

void
siphash_add(struct siphash *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		h->word |= (uint64_t)p[i] << h->length % 8 * 8;
		if (++h->length % 8 == 0) {
			compress(h->v, h->word);
			h->word = 0;
		}
	}
}

uint64_t
siphash_end(const struct siphash *h)
{
	uint64_t v[4] = { h->v[0], h->v[1], h->v[2], h->v[3] };

	compress(v, h->word | h->length << 56);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
siphash(uint64_t k0, uint64_t k1, const void *data, size_t len)
{
	struct siphash h;

	siphash_init(&h, k0, k1);
	siphash_add(&h, data, len);
	return siphash_end(&h);
}
