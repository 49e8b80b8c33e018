/*
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012): 64 bits under a key, the same on all machines.
 */
#ifndef MISC_SIPHASH_H
#define MISC_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash {
	uint64_t	v[4];
	uint64_t	word;		/* bytes that make no whole word yet */
	uint64_t	length;
};

void		 siphash_init(struct siphash *, uint64_t k0, uint64_t k1);
void		 siphash_add(struct siphash *, const void *, size_t);
/* Of all so far; more may be added and asked for. */
uint64_t	 siphash_end(const struct siphash *);
uint64_t	 siphash(uint64_t k0, uint64_t k1, const void *, size_t);

#endif
