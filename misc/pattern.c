/*
 * Patterns, compiled into a row of items that is walked with backtracking,
 * and globs, which are walked as they are. Neither knows what is matched, or
 * why.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pattern.h"

/* Steps for each byte of the subject, beyond PATTERN_STEPS. */
#define STEPS_PER_BYTE	128

/* ---- sets of bytes ---- */

struct set {
	uint32_t	bits[8];
};

static void
set_add(struct set *s, unsigned char c)
{
	s->bits[c / 32] |= UINT32_C(1) << c % 32;
}

static bool
set_has(const struct set *s, unsigned char c)
{
	return (s->bits[c / 32] >> c % 32 & 1) != 0;
}

static void
set_invert(struct set *s)
{
	for (int i = 0; i < 8; i++)
		s->bits[i] = ~s->bits[i];
}

static void
set_add_range(struct set *s, unsigned char from, unsigned char to)
{
	for (unsigned c = from; c <= to; c++)
		set_add(s, (unsigned char)c);
}

/* Classes of the C locale, whatever the process is in. */
#define RANGES	5
static const struct {
	char		 letter;	/* after % */
	const char	*name;		/* in a glob's [:name:] */
	struct { unsigned char from, to; } ranges[RANGES];
} classes[] = {
	{ 'a', "alpha",	 { { 'A', 'Z' }, { 'a', 'z' } } },
	{ 'c', "cntrl",	 { { 0, 31 }, { 127, 127 } } },
	{ 'd', "digit",	 { { '0', '9' } } },
	{ 'g', "graph",	 { { 33, 126 } } },
	{ 'l', "lower",	 { { 'a', 'z' } } },
	{ 'p', "punct",	 { { 33, 47 }, { 58, 64 }, { 91, 96 },
	    { 123, 126 } } },
	{ 's', "space",	 { { 9, 13 }, { ' ', ' ' } } },
	{ 'u', "upper",	 { { 'A', 'Z' } } },
	{ 'w', "alnum",	 { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
	{ 'x', "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
	{ 'z', "",	 { { 0, 0 } } },	/* older than 5.2, still known */
	{ 0,   "blank",	 { { 9, 9 }, { ' ', ' ' } } },
	{ 0,   "print",	 { { 32, 126 } } },
};
#define CLASSES	(sizeof classes / sizeof classes[0])

static void
set_add_class(struct set *s, size_t class)
{
	for (int i = 0; i < RANGES; i++) {
		/* 0 to 0 stands for no range, but in the first place */
		if (i == 0 || classes[class].ranges[i].to != 0)
			set_add_range(s, classes[class].ranges[i].from,
			    classes[class].ranges[i].to);
	}
}

/* %c: a class, its complement if upper case, or the byte itself. */
static void
set_add_escaped(struct set *s, unsigned char c)
{
	bool upper = c >= 'A' && c <= 'Z';
	char letter = (char)(upper ? c - 'A' + 'a' : c);
	struct set class = { { 0 } };
	size_t i = 0;

	while (i < CLASSES && (classes[i].letter == 0 ||
	    classes[i].letter != letter))
		i++;
	if (i == CLASSES) {
		set_add(s, c);
		return;
	}
	set_add_class(&class, i);
	if (upper)
		set_invert(&class);
	for (i = 0; i < 8; i++)
		s->bits[i] |= class.bits[i];
}

/* ---- compiling ---- */

enum item_kind { ITEM_ONCE, ITEM_MOST, ITEM_SOME, ITEM_LEAST, ITEM_MAYBE,
    ITEM_OPEN, ITEM_CLOSE, ITEM_POSITION, ITEM_AGAIN, ITEM_BALANCE,
    ITEM_FRONTIER, ITEM_END, ITEM_DONE };

struct item {
	enum item_kind	kind;
	unsigned char	capture;	/* open, close, again */
	unsigned char	first, last;	/* balance */
	struct set	set;		/* of one byte; frontier */
};

struct pattern {
	bool		 anchored;
	const struct set *lead;		/* repeated at the start, or NULL */
	const struct item *items;	/* ITEM_DONE is the last one */
};

enum capture_state { CAPTURE_OPEN, CAPTURE_CLOSED, CAPTURE_POSITION };

struct compiler {
	const char	*text, *p;
	struct item	*items;
	size_t		 nitems;
	unsigned	 ncaptures;
	struct {
		enum capture_state	 state;
		const char		*at;
	} captures[PATTERN_CAPTURES];
	char		*error;
	unsigned	*column;
};

static bool
fail(struct compiler *c, const char *at, const char *error)
{
	snprintf(c->error, PATTERN_ERROR, "%s", error);
	*c->column = (unsigned)(at - c->text) + 1;
	return false;
}

static struct item *
item_add(struct compiler *c, enum item_kind kind)
{
	struct item *it = &c->items[c->nitems++];

	it->kind = kind;
	return it;
}

/*
 * From behind the [ to behind the ]. A ] that comes first is itself, and what
 * the end of a range is, is not looked at: [a-%z] has nothing from a to %, and
 * z. So does Lua.
 */
static bool
compile_set(struct compiler *c, struct set *s)
{
	const char *open = c->p - 1, *from, *end;
	bool invert = *c->p == '^';

	from = end = c->p + invert;
	do {
		if (*end == '\0')
			return fail(c, open,
			    "malformed pattern (missing ']')");
		if (*end++ == '%' && *end != '\0')
			end++;
	} while (*end != ']');
	for (const char *p = from; p < end; p++) {
		if (*p == '%') {
			set_add_escaped(s, (unsigned char)*++p);
		} else if (p[1] == '-' && p + 2 < end) {
			set_add_range(s, (unsigned char)p[0],
			    (unsigned char)p[2]);
			p += 2;
		} else {
			set_add(s, (unsigned char)*p);
		}
	}
	if (invert)
		set_invert(s);
	c->p = end + 1;
	return true;
}

static bool
compile_open(struct compiler *c)
{
	bool position = c->p[1] == ')';

	if (c->ncaptures == PATTERN_CAPTURES)
		return fail(c, c->p, "too many captures");
	c->captures[c->ncaptures].state =
	    position ? CAPTURE_POSITION : CAPTURE_OPEN;
	c->captures[c->ncaptures].at = c->p;
	item_add(c, position ? ITEM_POSITION : ITEM_OPEN)->capture =
	    (unsigned char)c->ncaptures++;
	c->p += position ? 2 : 1;
	return true;
}

static bool
compile_close(struct compiler *c)
{
	unsigned i = c->ncaptures;

	while (i > 0 && c->captures[i - 1].state != CAPTURE_OPEN)
		i--;
	if (i == 0)
		return fail(c, c->p, "invalid pattern capture");
	c->captures[i - 1].state = CAPTURE_CLOSED;
	item_add(c, ITEM_CLOSE)->capture = (unsigned char)(i - 1);
	c->p++;
	return true;
}

static bool
compile_again(struct compiler *c)
{
	unsigned i = (unsigned char)c->p[1] - (unsigned)'0';
	char error[PATTERN_ERROR];

	if (i == 0 || i > c->ncaptures ||
	    c->captures[i - 1].state == CAPTURE_OPEN) {
		snprintf(error, sizeof error, "invalid capture index %%%u", i);
		return fail(c, c->p, error);
	}
	item_add(c, ITEM_AGAIN)->capture = (unsigned char)(i - 1);
	c->p += 2;
	return true;
}

static bool
compile_balance(struct compiler *c)
{
	struct item *it;

	if (c->p[2] == '\0' || c->p[3] == '\0')
		return fail(c, c->p,
		    "malformed pattern (missing arguments to '%b')");
	it = item_add(c, ITEM_BALANCE);
	it->first = (unsigned char)c->p[2];
	it->last = (unsigned char)c->p[3];
	c->p += 4;
	return true;
}

static bool
compile_frontier(struct compiler *c)
{
	if (c->p[2] != '[')
		return fail(c, c->p, "missing '[' after '%f' in pattern");
	c->p += 3;
	return compile_set(c, &item_add(c, ITEM_FRONTIER)->set);
}

/* What matches one byte, and the suffix. */
static bool
compile_single(struct compiler *c)
{
	struct item *it = item_add(c, ITEM_ONCE);

	switch (*c->p++) {
	case '.':
		set_invert(&it->set);
		break;
	case '[':
		if (!compile_set(c, &it->set))
			return false;
		break;
	case '%':
		if (*c->p == '\0')
			return fail(c, c->p - 1,
			    "malformed pattern (ends with '%')");
		set_add_escaped(&it->set, (unsigned char)*c->p++);
		break;
	default:
		set_add(&it->set, (unsigned char)c->p[-1]);
	}
	switch (*c->p) {
	case '*':
		it->kind = ITEM_MOST;
		break;
	case '+':
		it->kind = ITEM_SOME;
		break;
	case '-':
		it->kind = ITEM_LEAST;
		break;
	case '?':
		it->kind = ITEM_MAYBE;
		break;
	default:
		return true;
	}
	c->p++;
	return true;
}

static bool
compile_item(struct compiler *c)
{
	if (c->p[0] == '(')
		return compile_open(c);
	if (c->p[0] == ')')
		return compile_close(c);
	if (c->p[0] == '$' && c->p[1] == '\0') {
		item_add(c, ITEM_END);
		c->p++;
		return true;
	}
	if (c->p[0] == '%' && c->p[1] >= '0' && c->p[1] <= '9')
		return compile_again(c);
	if (c->p[0] == '%' && c->p[1] == 'b')
		return compile_balance(c);
	if (c->p[0] == '%' && c->p[1] == 'f')
		return compile_frontier(c);
	return compile_single(c);
}

/*
 * What all items begin with, if it is repeated. Of a run of its bytes, what
 * can follow behind a later start can follow behind the first one: the others
 * need not be tried. Unless it matters later on what was captured.
 */
static const struct set *
find_lead(const struct item *items)
{
	const struct item *it = items;

	for (; it->kind != ITEM_DONE; it++) {
		if (it->kind == ITEM_AGAIN)
			return NULL;
	}
	it = items;
	while (it->kind == ITEM_OPEN || it->kind == ITEM_POSITION)
		it++;
	return it->kind == ITEM_MOST || it->kind == ITEM_SOME ||
	    it->kind == ITEM_LEAST ? &it->set : NULL;
}

struct pattern *
pattern_new(struct arena *arena, const char *text,
    char error[static PATTERN_ERROR], unsigned *column)
{
	struct pattern *pattern = arena_alloc(arena, sizeof *pattern);
	struct compiler c = { .text = text, .error = error,
	    .column = column };

	/* an item takes a byte at the least, but for the last one */
	c.items = arena_array(arena, strlen(text) + 1, sizeof *c.items);
	pattern->anchored = *text == '^';
	c.p = text + pattern->anchored;
	while (*c.p != '\0') {
		if (!compile_item(&c))
			return NULL;
	}
	for (unsigned i = 0; i < c.ncaptures; i++) {
		if (c.captures[i].state == CAPTURE_OPEN) {
			fail(&c, c.captures[i].at, "unfinished capture");
			return NULL;
		}
	}
	item_add(&c, ITEM_DONE);
	pattern->lead = find_lead(c.items);
	pattern->items = c.items;
	return pattern;
}

/* ---- matching ---- */

struct matching {
	const unsigned char	*s;
	size_t			 len;
	uint64_t		 steps;		/* left */
	bool			 exhausted;
	/* Set on the way to each item that asks: nothing is taken back. */
	struct { size_t from, to; } captures[PATTERN_CAPTURES];
};

static bool	 match_items(struct matching *, const struct item *, size_t at,
		    unsigned depth);

static bool
spend(struct matching *m, size_t n)
{
	if (m->exhausted || m->steps < n) {
		m->exhausted = true;
		return false;
	}
	m->steps -= n;
	return true;
}

static bool
match_single(const struct matching *m, const struct item *it, size_t at)
{
	return at < m->len && set_has(&it->set, m->s[at]);
}

static bool
match_most(struct matching *m, const struct item *it, size_t at,
    unsigned depth)
{
	size_t n = 0;

	while (match_single(m, it, at + n))
		n++;
	if (!spend(m, n))
		return false;
	for (;; n--) {
		if (match_items(m, it + 1, at + n, depth + 1))
			return true;
		if (n == 0 || m->exhausted)
			return false;
	}
}

static bool
match_least(struct matching *m, const struct item *it, size_t at,
    unsigned depth)
{
	for (;; at++) {
		if (match_items(m, it + 1, at, depth + 1))
			return true;
		if (m->exhausted || !match_single(m, it, at))
			return false;
	}
}

/* What the capture holds, once more; of a position there is nothing. */
static bool
match_again(struct matching *m, const struct item *it, size_t *at)
{
	size_t from = m->captures[it->capture].from;
	size_t to = m->captures[it->capture].to;

	if (to == SIZE_MAX || to - from > m->len - *at ||
	    !spend(m, to - from) ||
	    memcmp(m->s + from, m->s + *at, to - from) != 0)
		return false;
	*at += to - from;
	return true;
}

static bool
match_balance(struct matching *m, const struct item *it, size_t *at)
{
	size_t open = 1, p = *at;

	if (p >= m->len || m->s[p] != it->first)
		return false;
	while (++p < m->len && open > 0) {
		if (m->s[p] == it->last)
			open--;
		else if (m->s[p] == it->first)
			open++;
	}
	if (!spend(m, p - *at) || open > 0)
		return false;
	*at = p;
	return true;
}

/* Before and behind the subject there is a NUL. */
static bool
match_frontier(const struct matching *m, const struct item *it, size_t at)
{
	unsigned char before = at == 0 ? '\0' : m->s[at - 1];
	unsigned char here = at == m->len ? '\0' : m->s[at];

	return !set_has(&it->set, before) && set_has(&it->set, here);
}

/*
 * All items from here on. Depth counts what Lua recurses for, so that the
 * same patterns are too deep; captures need no recursion here.
 */
static bool
match_items(struct matching *m, const struct item *it, size_t at,
    unsigned depth)
{
	for (;; it++) {
		if (depth > PATTERN_DEPTH)
			m->exhausted = true;
		if (!spend(m, 1))
			return false;
		switch (it->kind) {
		case ITEM_ONCE:
			if (!match_single(m, it, at++))
				return false;
			break;
		case ITEM_MOST:
			if (match_single(m, it, at))
				return match_most(m, it, at, depth);
			break;
		case ITEM_SOME:
			return match_single(m, it, at) &&
			    match_most(m, it, at + 1, depth);
		case ITEM_LEAST:
			if (match_single(m, it, at))
				return match_least(m, it, at, depth);
			break;
		case ITEM_MAYBE:
			if (match_single(m, it, at) &&
			    match_items(m, it + 1, at + 1, depth + 1))
				return true;
			break;
		case ITEM_OPEN:
			m->captures[it->capture].from = at;
			depth++;
			break;
		case ITEM_CLOSE:
			m->captures[it->capture].to = at;
			depth++;
			break;
		case ITEM_POSITION:
			m->captures[it->capture].to = SIZE_MAX;
			depth++;
			break;
		case ITEM_AGAIN:
			if (!match_again(m, it, &at))
				return false;
			break;
		case ITEM_BALANCE:
			if (!match_balance(m, it, &at))
				return false;
			break;
		case ITEM_FRONTIER:
			if (!match_frontier(m, it, at))
				return false;
			break;
		case ITEM_END:
			if (at != m->len)
				return false;
			break;
		case ITEM_DONE:
			return true;
		}
	}
}

bool
pattern_match(const struct pattern *p, const char *subject, size_t len,
    bool *exhausted)
{
	struct matching m = { .s = (const unsigned char *)subject,
	    .len = len,
	    .steps = PATTERN_STEPS + (uint64_t)len * STEPS_PER_BYTE };
	bool matches = false;

	for (size_t at = 0; at <= len && !matches && !m.exhausted; at++) {
		matches = match_items(&m, p->items, at, 1);
		if (p->anchored)
			break;
		while (p->lead != NULL && at < len &&
		    set_has(p->lead, m.s[at]))
			at++;
	}
	*exhausted = m.exhausted;
	return matches;
}

/* ---- globs ---- */

static unsigned char
fold(unsigned char c, bool ignorecase)
{
	return ignorecase && c >= 'A' && c <= 'Z' ?
	    (unsigned char)(c - 'A' + 'a') : c;
}

/* [:name:] at p: behind it, or NULL. */
static const char *
glob_class(const char *p, struct set *s)
{
	for (size_t i = 0; p[0] == '[' && p[1] == ':' && i < CLASSES; i++) {
		size_t len = strlen(classes[i].name);

		if (len == 0 || strncmp(p + 2, classes[i].name, len) != 0 ||
		    p[2 + len] != ':' || p[3 + len] != ']')
			continue;
		set_add_class(s, i);
		return p + len + 4;
	}
	return NULL;
}

/* One byte of a set, maybe after a backslash; NULL at the end. */
static const char *
glob_byte(const char *p, unsigned char *c)
{
	if (p[0] == '\\' && p[1] != '\0')
		p++;
	if (*p == '\0')
		return NULL;
	*c = (unsigned char)*p;
	return p + 1;
}

/* The set behind a [: behind its ], or NULL if there is none. */
static const char *
glob_set(const char *p, struct set *s)
{
	bool invert = *p == '!' || *p == '^', first = true;

	memset(s, 0, sizeof *s);
	p += invert;
	for (; first || *p != ']'; first = false) {
		const char *class = glob_class(p, s);
		unsigned char from, to;

		if (class != NULL) {
			p = class;
			continue;
		}
		if ((p = glob_byte(p, &from)) == NULL)
			return NULL;
		to = from;
		if (p[0] == '-' && p[1] != ']' && p[1] != '\0' &&
		    (p = glob_byte(p + 1, &to)) == NULL)
			return NULL;
		set_add_range(s, from, to);
	}
	if (invert)
		set_invert(s);
	return p + 1;
}

static bool
glob_set_has(const struct set *s, unsigned char c, bool ignorecase)
{
	bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';

	return set_has(s, c) || (ignorecase && (upper || lower) &&
	    set_has(s, c ^ ('a' ^ 'A')));
}

/*
 * Whether the part of the pattern at p, which is no star, is for c; then *p
 * is behind it. In any case, [!x] is for neither case of x.
 */
static bool
glob_one(const char **p, unsigned char c, bool ignorecase)
{
	const char *at = *p, *behind;
	struct set set;
	bool matches;

	if (*at == '\0')
		return false;
	if (*at == '?') {
		*p = at + 1;
		return true;
	}
	if (*at == '[' && (behind = glob_set(at + 1, &set)) != NULL) {
		if (ignorecase && (at[1] == '!' || at[1] == '^')) {
			set_invert(&set);
			matches = !glob_set_has(&set, c, true);
		} else {
			matches = glob_set_has(&set, c, ignorecase);
		}
		*p = behind;
		return matches;
	}
	if (*at == '\\' && at[1] != '\0')
		at++;
	*p = at + 1;
	return fold((unsigned char)*at, ignorecase) == fold(c, ignorecase);
}

/* Only the last star ever needs to be tried again with one byte more. */
bool
glob_match(const char *pattern, const char *subject, size_t len,
    bool ignorecase)
{
	const char *p = pattern, *star = NULL;
	size_t at = 0, star_at = 0;

	while (at < len || *p == '*') {
		if (*p == '*') {
			star = ++p;
			star_at = at;
		} else if (glob_one(&p, (unsigned char)subject[at],
		    ignorecase)) {
			at++;
		} else if (star != NULL) {
			p = star;
			at = ++star_at;
		} else {
			return false;
		}
	}
	return *p == '\0';
}
