/*
 * Globs, as automata without memory of what they have read: element i takes
 * state i to i + 1 for the bytes it matches, a star keeps the state it
 * stands at.
 */
#include <ctype.h>
#include <string.h>

#include "expect.h"

struct expect {
	unsigned	n;			/* elements */
	uint64_t	stay[EXPECT_WORDS];	/* a star stands there */
	uint64_t	step[256][EXPECT_WORDS];	/* by byte */
};

struct set {
	bool	has[256];
};

static const struct {
	const char	*name;
	int		(*is)(int);
} classes[] = {
	{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank },
	{ "cntrl", iscntrl }, { "digit", isdigit }, { "graph", isgraph },
	{ "lower", islower }, { "print", isprint }, { "punct", ispunct },
	{ "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
};

static void
bit_set(uint64_t *bits, unsigned i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

/* "[:name:]" at p adds what it means; its length, or 0: it is none. */
static size_t
class_add(const uint8_t *p, size_t n, struct set *set)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		size_t len = strlen(classes[i].name);

		if (n < len + 4 || memcmp(p, "[:", 2) != 0 ||
		    memcmp(p + 2, classes[i].name, len) != 0 ||
		    memcmp(p + 2 + len, ":]", 2) != 0)
			continue;
		for (int c = 0; c < 128; c++)
			set->has[c] |= classes[i].is(c) != 0;
		return len + 4;
	}
	return 0;
}

/* One byte of a set, perhaps behind a backslash. */
static size_t
set_byte(const uint8_t *p, size_t n, uint8_t *c)
{
	size_t used = n > 1 && p[0] == '\\' ? 2 : 1;

	*c = p[used - 1];
	return used;
}

/* What stands behind "[": its length with the "]", or 0: it is no set. */
static size_t
set_parse(const uint8_t *p, size_t n, struct set *set)
{
	bool negate = n > 0 && (p[0] == '!' || p[0] == '^');
	size_t i = negate, first = i, used;
	uint8_t low, high;

	memset(set, 0, sizeof(*set));
	for (; i < n && (p[i] != ']' || i == first); i += used) {
		used = class_add(p + i, n - i, set);
		if (used > 0)
			continue;
		used = set_byte(p + i, n - i, &low);
		high = low;
		if (i + used + 1 < n && p[i + used] == '-' &&
		    p[i + used + 1] != ']')
			used += 1 + set_byte(p + i + used + 1,
			    n - i - used - 1, &high);
		for (unsigned c = low; c <= high; c++)
			set->has[c] = true;
	}
	if (i >= n)
		return 0;
	for (unsigned c = 0; negate && c < 256; c++)
		set->has[c] = !set->has[c];
	return i + 1;
}

/* The element at p that is no star; its length. */
static size_t
element_parse(const uint8_t *p, size_t n, struct set *set)
{
	size_t used = 1;

	if (p[0] == '[' && (used = set_parse(p + 1, n - 1, set)) > 0)
		return used + 1;
	memset(set, p[0] == '?', sizeof(*set));
	if (p[0] == '?')
		return 1;
	used = p[0] == '\\' && n > 1 ? 2 : 1;
	set->has[p[used - 1]] = true;
	return used;
}

struct expect *
expect_new(struct arena *arena, const uint8_t *p, size_t n)
{
	struct expect *e;
	struct set set;

	if (n > EXPECT_MAX)
		return NULL;
	e = arena_alloc(arena, sizeof(*e));
	for (size_t i = 0; i < n;) {
		if (p[i] == '*') {
			bit_set(e->stay, e->n);
			i++;
			continue;
		}
		i += element_parse(p + i, n - i, &set);
		for (unsigned c = 0; c < 256; c++)
			if (set.has[c])
				bit_set(e->step[c], e->n);
		e->n++;
	}
	return e;
}

void
expect_start(struct expect_state *s)
{
	*s = (struct expect_state){ .bits = { 1 } };
}

void
expect_add(const struct expect *e, struct expect_state *s, const uint8_t *p,
    size_t n)
{
	uint64_t bits[EXPECT_WORDS], taken, carry;

	memcpy(bits, s->bits, sizeof(bits));
	for (size_t i = 0; i < n; i++) {
		const uint64_t *step = e->step[p[i]];

		carry = 0;
		for (unsigned w = 0; w < EXPECT_WORDS; w++) {
			taken = bits[w] & step[w];
			bits[w] = (bits[w] & e->stay[w]) | taken << 1 | carry;
			carry = taken >> 63;
		}
	}
	memcpy(s->bits, bits, sizeof(bits));
}

bool
expect_matches(const struct expect *e, const struct expect_state *s)
{
	return (s->bits[e->n / 64] >> (e->n % 64) & 1) != 0;
}
