/*
 * MD5 and SHA-1.
 */
#include <string.h>

#include "digest.h"

static uint32_t
rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* ---- MD5: little-endian, a table of sines ---- */

static const uint32_t md5_sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
	0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
	0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
	0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
	0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* Per quarter: how far to turn, and the next word of the block. */
static const struct {
	uint8_t	turn[4], step, from;
} md5_rounds[4] = {
	{ { 7, 12, 17, 22 }, 1, 0 },
	{ { 5, 9, 14, 20 }, 5, 1 },
	{ { 4, 11, 16, 23 }, 3, 5 },
	{ { 6, 10, 15, 21 }, 7, 0 },
};

static uint32_t
md5_mix(unsigned quarter, uint32_t b, uint32_t c, uint32_t d)
{
	switch (quarter) {
	case 0:
		return (b & c) | (~b & d);
	case 1:
		return (d & b) | (~d & c);
	case 2:
		return b ^ c ^ d;
	}
	return c ^ (b | ~d);
}

static void
md5_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], w[16], next;

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 |
		    (uint32_t)p[4 * i + 2] << 16 |
		    (uint32_t)p[4 * i + 3] << 24;
	for (unsigned i = 0; i < 64; i++) {
		unsigned q = i / 16;

		next = a + md5_mix(q, b, c, d) + md5_sines[i] +
		    w[(md5_rounds[q].from + md5_rounds[q].step * i) % 16];
		a = d;
		d = c;
		c = b;
		b += rotate(next, md5_rounds[q].turn[i % 4]);
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
}

/* ---- SHA-1: big-endian ---- */

static uint32_t
sha1_mix(unsigned quarter, uint32_t b, uint32_t c, uint32_t d)
{
	static const uint32_t add[4] = {
		0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6
	};

	switch (quarter) {
	case 0:
		return ((b & c) | (~b & d)) + add[0];
	case 2:
		return ((b & c) | (b & d) | (c & d)) + add[2];
	}
	return (b ^ c ^ d) + add[quarter];
}

static void
sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	uint32_t w[80], next;

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 |
		    (uint32_t)p[4 * i + 1] << 16 |
		    (uint32_t)p[4 * i + 2] << 8 | (uint32_t)p[4 * i + 3];
	for (unsigned i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (unsigned i = 0; i < 80; i++) {
		next = rotate(a, 5) + sha1_mix(i / 20, b, c, d) + e + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* ---- both ---- */

static const struct {
	size_t	  size;
	unsigned  bottom;	/* the least significant byte of a word comes
				   first (0) or last (3) */
	void	(*block)(uint32_t h[5], const uint8_t *);
} digests[] = {
	[DIGEST_MD5] = { 16, 0, md5_block },
	[DIGEST_SHA1] = { 20, 3, sha1_block },
};

void
digest_init(struct digest *d, enum digest_kind kind)
{
	*d = (struct digest){ .kind = kind, .h = {
		0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 } };
}

void
digest_add(struct digest *d, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t used = d->length % sizeof(d->block), part;

	d->length += n;
	while (n > 0) {
		if (used == 0 && n >= sizeof(d->block)) {
			digests[d->kind].block(d->h, p);
			p += sizeof(d->block);
			n -= sizeof(d->block);
			continue;
		}
		part = sizeof(d->block) - used < n ?
		    sizeof(d->block) - used : n;
		memcpy(d->block + used, p, part);
		p += part;
		n -= part;
		used += part;
		if (used == sizeof(d->block)) {
			digests[d->kind].block(d->h, d->block);
			used = 0;
		}
	}
}

size_t
digest_end(struct digest *d, uint8_t out[static DIGEST_MAX])
{
	static const uint8_t pad[64] = { 0x80 };
	unsigned bottom = digests[d->kind].bottom;
	uint64_t bits = d->length * 8;
	uint8_t size[8];

	for (unsigned i = 0; i < 8; i++)
		size[bottom == 0 ? i : 7 - i] = (uint8_t)(bits >> (8 * i));
	digest_add(d, pad, 1 + (119 - d->length % 64) % 64);
	digest_add(d, size, sizeof(size));
	for (unsigned i = 0; i < digests[d->kind].size; i++)
		out[i] = (uint8_t)(d->h[i / 4] >> (8 * (i % 4 ^ bottom)));
	return digests[d->kind].size;
}

const char *
digest_end_text(struct digest *d, char out[static DIGEST_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[DIGEST_MAX];
	size_t n = digest_end(d, bytes);

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}
