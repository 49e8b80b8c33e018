/*
 * The walker through tables of directives, and the kinds of values.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kw.h"
#include "str.h"

#define WORDS_MAX	4	/* of a directive */
#define SHOW_MAX	160
#define EXPECTED_MAX	1600

const struct kw_word kw_bools[] = {
	{ "yes", true, false }, { "no", false, false },
	{ "true", true, false }, { "false", false, false },
	{ "permit", true, false }, { "deny", false, false },
	{ NULL, 0, false },
};

void
kw_next(struct kw_reader *r)
{
	lex_next(r->lex, &r->tok, 0);
}

/* ---- reporting ---- */

/* What is wrong with tokens the lexer made up has been reported already. */
static void __attribute__((format(printf, 3, 0)))
report(struct kw_reader *r, const struct diag_place *place, const char *fmt,
    va_list ap)
{
	char text[EXPECTED_MAX + 400];

	vsnprintf(text, sizeof text, fmt, ap);
	if (!r->tok.made)
		diag_error(r->diag, place, "%s", text);
}

/* Words that would have been right, in the order of the tables. */
struct expected {
	const char	*words[128];
	size_t		 lens[128];
	unsigned	 n;
};

static void
expected_add(struct expected *e, const char *word, size_t len)
{
	for (unsigned i = 0; i < e->n; i++) {
		if (e->lens[i] == len && memcmp(e->words[i], word, len) == 0)
			return;
	}
	if (e->n < sizeof e->words / sizeof e->words[0]) {
		e->words[e->n] = word;
		e->lens[e->n++] = len;
	}
}

/*
 * One of them at most two edits away; but not if that leaves nothing of one
 * of the words.
 */
static void
expected_guess(const struct expected *e, const struct lex_token *tok,
    struct str *text)
{
	unsigned best = 3;
	const char *guess = NULL;
	char word[64];

	if (tok->kind != LEX_WORD)
		return;
	for (unsigned i = 0; i < e->n; i++) {
		unsigned n;

		if (e->lens[i] >= sizeof word)
			continue;
		memcpy(word, e->words[i], e->lens[i]);
		word[e->lens[i]] = '\0';
		n = str_distance(word, tok->text, 2);
		if (n < best && n < e->lens[i] && n < tok->len) {
			best = n;
			guess = e->words[i];
		}
	}
	for (unsigned i = 0; guess != NULL && i < e->n; i++) {
		if (e->words[i] == guess)
			str_add(text, " (did you mean '%.*s'?)",
			    (int)e->lens[i], guess);
	}
}

static void	 skip(struct kw_reader *);

static void
expected_report(struct kw_reader *r, const struct expected *e)
{
	char text[EXPECTED_MAX], show[SHOW_MAX];
	struct str list;

	str_init(&list, text, sizeof text);
	for (unsigned i = 0; i < e->n; i++)
		str_add(&list, "%s'%.*s'", i == 0 ? "" :
		    i + 1 == e->n ? " or " : ", ", (int)e->lens[i],
		    e->words[i]);
	str_add(&list, ", but got %s", lex_show(&r->tok, show, sizeof show));
	expected_guess(e, &r->tok, &list);
	/* A section inside a block: its brace was forgotten. */
	if (r->block->line > 0 && kw_is(r, "id"))
		str_add(&list, "; block opened in line %u is still open",
		    r->block->line);
	if (!r->tok.made)
		diag_error(r->diag, &r->tok.place, "Expected %s", text);
	skip(r);
}

void
kw_expected(struct kw_reader *r, const struct kw_word *const sets[],
    unsigned nsets)
{
	struct expected e = { .n = 0 };

	for (unsigned i = 0; i < nsets; i++) {
		for (const struct kw_word *w = sets[i]; w->text != NULL;
		    w++) {
			if (!w->tacit)
				expected_add(&e, w->text, strlen(w->text));
		}
	}
	expected_report(r, &e);
}

void
kw_expected_text(struct kw_reader *r, const char *expected)
{
	struct expected e = { .n = 0 };

	expected_add(&e, expected, strlen(expected));
	expected_report(r, &e);
}

void
kw_refuse(struct kw_reader *r, const struct diag_place *place,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, place, fmt, ap);
	va_end(ap);
	skip(r);
}

/* ---- words of rows ---- */

/* The n-th part of "a b|c d": its alternatives stand between '|'. */
static bool
row_part(const struct kw *kw, unsigned n, const char **part, size_t *len)
{
	const char *p = kw->words;

	while (n-- > 0) {
		p += strcspn(p, " ");
		if (*p == '\0')
			return false;
		p++;
	}
	*part = p;
	*len = strcspn(p, " ");
	return true;
}

static bool
part_next(const char **part, size_t *len, const char **word, size_t *wlen)
{
	if (*len == 0)
		return false;
	*word = *part;
	*wlen = strcspn(*part, "| ");
	*part += *wlen;
	*len -= *wlen;
	if (*len > 0) {
		(*part)++;
		(*len)--;
	}
	return true;
}

static bool
row_has(const struct kw *kw, unsigned n, const char *text)
{
	const char *part, *word;
	size_t len, wlen, tlen = strlen(text);

	if (!row_part(kw, n, &part, &len))
		return false;
	while (part_next(&part, &len, &word, &wlen)) {
		if (wlen == tlen && memcmp(word, text, wlen) == 0)
			return true;
	}
	return false;
}

static bool
row_ends(const struct kw *kw, unsigned n)
{
	const char *part;
	size_t len;

	return !row_part(kw, n, &part, &len);
}

static bool
row_matches(const struct kw *kw, const char *const words[], unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!row_has(kw, i, words[i]))
			return false;
	}
	return true;
}

/* ---- going on after an error ---- */

static bool
block_begins(const struct kw_block *b, const struct lex_token *tok)
{
	if (tok->kind != LEX_WORD)
		return false;
	for (unsigned i = 0; i < b->nsets; i++) {
		for (const struct kw *kw = b->sets[i].table;
		    kw->kind != KW_KIND_END; kw++) {
			if (row_has(kw, 0, tok->text))
				return true;
		}
	}
	return false;
}

static bool
block_closes(const struct kw_block *b, const struct lex_token *tok)
{
	if (b->line == 0)
		return tok->kind == LEX_END && tok->depth == 0;
	return lex_is(tok, '}') && tok->depth == b->depth;
}

static bool
same_line(const struct diag_place *a, const struct diag_place *b)
{
	return a->line == b->line && strcmp(a->file, b->file) == 0;
}

/*
 * To the first token of a later line that is a directive of the block, or to
 * the brace that closes it. Directives that are passed over may be missed
 * when the block closes, so it remembers.
 */
static void
skip(struct kw_reader *r)
{
	struct diag_place line = r->tok.place, before;
	unsigned nest = 0;

	r->block->skipped = true;
	for (;;) {
		if (nest == 0 && block_closes(r->block, &r->tok))
			return;
		if (r->tok.kind == LEX_END && r->tok.depth == 0)
			return;
		if (lex_is(&r->tok, '{'))
			nest++;
		else if (lex_is(&r->tok, '}') && nest > 0)
			nest--;
		before = r->tok.place;
		kw_next(r);
		if (nest == 0 && !same_line(&before, &r->tok.place) &&
		    !same_line(&line, &r->tok.place) &&
		    block_begins(r->block, &r->tok))
			return;
	}
}

/* ---- values ---- */

void
kw_equals(struct kw_reader *r)
{
	if (lex_is(&r->tok, '='))
		kw_next(r);
}

bool
kw_is(const struct kw_reader *r, const char *word)
{
	return r->tok.kind == LEX_WORD && strcmp(r->tok.text, word) == 0;
}

bool
kw_has_value(struct kw_reader *r)
{
	char show[SHOW_MAX];

	if (r->tok.kind == LEX_STRING ||
	    (r->tok.kind == LEX_WORD && !kw_is(r, "include")))
		return true;
	if (r->tok.kind == LEX_END || lex_is(&r->tok, '}'))
		kw_refuse(r, &r->tok.place, "%s: value missing", r->name);
	else
		kw_refuse(r, &r->tok.place,
		    "%s: Expected a value, but got %s", r->name,
		    lex_show(&r->tok, show, sizeof show));
	return false;
}

const char *
kw_text(struct kw_reader *r)
{
	if (!kw_has_value(r))
		return NULL;
	return arena_strndup(r->arena, r->tok.text, r->tok.len);
}

void
kw_bad_value(struct kw_reader *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!r->tok.made)
		diag_error(r->diag, &r->tok.place, "%s: %s", r->name, text);
	kw_next(r);
}

void
kw_bad_place(struct kw_reader *r, const struct diag_place *place,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, place, fmt, ap);
	va_end(ap);
}

bool
kw_word_is(const struct kw_reader *r, const struct kw_word *set, int *value)
{
	for (; set->text != NULL; set++) {
		if (kw_is(r, set->text)) {
			*value = set->value;
			return true;
		}
	}
	return false;
}

bool
kw_word(struct kw_reader *r, const struct kw_word *set, int *value)
{
	if (kw_word_is(r, set, value)) {
		kw_next(r);
		return true;
	}
	if (r->tok.kind == LEX_END || lex_is(&r->tok, '}'))
		kw_refuse(r, &r->tok.place, "%s: value missing", r->name);
	else
		kw_expected(r, &set, 1);
	return false;
}

/* Digits of a base; what is behind them stays in *rest. */
static bool
parse_digits(const char *text, unsigned base, uint64_t *value,
    const char **rest)
{
	bool over = false;

	*value = 0;
	*rest = text;
	for (;; (*rest)++) {
		unsigned char c = (unsigned char)**rest;
		unsigned digit = isdigit(c) ? c - (unsigned)'0' :
		    isxdigit(c) ? (unsigned)tolower(c) - 'a' + 10 : 99;

		if (digit >= base)
			break;
		if (*value > (UINT64_MAX - digit) / base)
			over = true;
		else
			*value = *value * base + digit;
	}
	errno = *rest == text ? EINVAL : ERANGE;
	return *rest != text && !over;
}

/* What a suffix letter multiplies by. */
struct suffix {
	char		letter;
	uint64_t	factor;
};

static bool
parse_suffix(const char *rest, const struct suffix *suffixes, bool good,
    uint64_t *value)
{
	uint64_t factor = 1;

	if (*rest != '\0') {
		char c = (char)tolower((unsigned char)*rest);

		while (suffixes->letter != '\0' && suffixes->letter != c)
			suffixes++;
		if (suffixes->letter == '\0' || rest[1] != '\0') {
			errno = EINVAL;
			return false;
		}
		factor = suffixes->factor;
	}
	if (!good || *value > UINT64_MAX / factor) {
		errno = ERANGE;
		return false;
	}
	*value *= factor;
	return true;
}

static bool
parse_number(const char *text, unsigned base, const struct suffix *suffixes,
    uint64_t *value)
{
	const char *rest;
	bool good = parse_digits(text, base, value, &rest);

	if (!good && errno == EINVAL)
		return false;
	return parse_suffix(rest, suffixes, good, value);
}

bool
kw_parse_int(const char *text, uint64_t *value)
{
	static const struct suffix suffixes[] = { { 'k', 1024 },
	    { 'm', 1024 * 1024 }, { 'g', 1024 * 1024 * 1024 }, { 0, 0 } };
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	return parse_number(hex ? text + 2 : text, hex ? 16 : 10, suffixes,
	    value);
}

bool
kw_parse_seconds(const char *text, uint64_t *value)
{
	static const struct suffix suffixes[] = { { 's', 1 }, { 'm', 60 },
	    { 'h', 3600 }, { 'd', 86400 }, { 0, 0 } };

	return parse_number(text, 10, suffixes, value);
}

static bool
parse_octal(const char *text, uint64_t *value)
{
	static const struct suffix none[] = { { 0, 0 } };

	return parse_number(text, 8, none, value);
}

static void
store(void *object, const struct kw *kw, uint64_t value)
{
	char *p = (char *)object + kw->offset;
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;

	if (kw->size == sizeof v8)
		memcpy(p, &v8, sizeof v8);
	else if (kw->size == sizeof v16)
		memcpy(p, &v16, sizeof v16);
	else if (kw->size == sizeof v32)
		memcpy(p, &v32, sizeof v32);
	else
		memcpy(p, &value, sizeof value);
}

/* How the kinds of numbers are read, and what else is said of a text. */
static const struct {
	bool		(*parse)(const char *, uint64_t *);
	const char	*what;
} numbers[] = {
	[KW_KIND_INT] = { kw_parse_int, "a number" },
	[KW_KIND_SECONDS] = { kw_parse_seconds, "a time" },
	[KW_KIND_OCTAL] = { parse_octal, "an octal number" },
};

bool
kw_number(struct kw_reader *r, enum kw_kind kind, uint64_t min, uint64_t max,
    uint64_t *value)
{
	bool good;

	if (!kw_has_value(r))
		return false;
	good = numbers[kind].parse(r->tok.text, value);
	if (!good && errno == EINVAL)
		kw_bad_value(r, "'%.100s' is not %s", r->tok.text,
		    numbers[kind].what);
	else if (good && *value >= min && *value <= max)
		return true;
	else if (kind == KW_KIND_OCTAL)
		kw_bad_value(r, "%.100s is out of range (%jo to %jo)",
		    r->tok.text, (uintmax_t)min, (uintmax_t)max);
	else
		kw_bad_value(r, "%.100s is out of range (%ju to %ju)",
		    r->tok.text, (uintmax_t)min, (uintmax_t)max);
	return false;
}

static void
read_number(struct kw_reader *r, const struct kw *kw, void *object)
{
	uint64_t value;

	if (!kw_number(r, kw->kind, kw->min, kw->max, &value))
		return;
	store(object, kw, value);
	kw_next(r);
}

static void
read_text(struct kw_reader *r, const struct kw *kw, void *object)
{
	const char *text = kw_text(r);

	if (text == NULL)
		return;
	memcpy((char *)object + kw->offset, &text, sizeof text);
	kw_next(r);
}

static void
read_value(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_value *v = (void *)((char *)object + kw->offset);
	const char *text = kw_text(r);

	if (text == NULL)
		return;
	v->text = text;
	v->place = r->tok.place;
	kw_next(r);
}

static void
read_word(struct kw_reader *r, const struct kw *kw, void *object)
{
	int value;

	if (kw_word(r, kw->kind == KW_KIND_BOOL ? kw_bools : kw->set, &value))
		store(object, kw, (uint64_t)value);
}

/* A number of an account, which need not exist. */
static bool
parse_id(const char *text, uint32_t *id)
{
	const char *rest;
	uint64_t value;

	if (!parse_digits(text, 10, &value, &rest) || *rest != '\0' ||
	    value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

static void
read_user(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_owner *o = (void *)((char *)object + kw->offset);
	uint32_t id;

	if (!kw_has_value(r))
		return;
	o->user = NULL;
	o->has_users_gid = false;
	if (parse_id(r->tok.text, &id)) {
		o->uid = id;
	} else if (source_user(r->source, r->tok.text, &o->uid,
	    &o->users_gid) == 0) {
		o->user = arena_strdup(r->arena, r->tok.text);
		o->has_users_gid = true;
	} else {
		kw_bad_value(r, "unknown user '%.100s'", r->tok.text);
		return;
	}
	o->has_uid = true;
	kw_next(r);
}

static void
read_group(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_owner *o = (void *)((char *)object + kw->offset);
	uint32_t id;

	if (!kw_has_value(r))
		return;
	if (parse_id(r->tok.text, &id)) {
		o->gid = id;
	} else if (source_group(r->source, r->tok.text, &o->gid) == -1) {
		kw_bad_value(r, "unknown group '%.100s'", r->tok.text);
		return;
	}
	o->has_gid = true;
	kw_next(r);
}

static void
read_row(struct kw_reader *r, const struct kw *kw, void *object)
{
	if (kw->kind != KW_KIND_CALL)
		kw_equals(r);
	switch (kw->kind) {
	case KW_KIND_BOOL:
	case KW_KIND_WORD:
		read_word(r, kw, object);
		break;
	case KW_KIND_INT:
	case KW_KIND_SECONDS:
	case KW_KIND_OCTAL:
		read_number(r, kw, object);
		break;
	case KW_KIND_TEXT:
		read_text(r, kw, object);
		break;
	case KW_KIND_VALUE:
		read_value(r, kw, object);
		break;
	case KW_KIND_USER:
		read_user(r, kw, object);
		break;
	case KW_KIND_GROUP:
		read_group(r, kw, object);
		break;
	case KW_KIND_CALL:
		kw->call(r, object);
		break;
	case KW_KIND_END:
		break;
	}
}

/* ---- the walker ---- */

/* A directive on its way: the words so far, and what they may become. */
struct walk {
	const char	*words[WORDS_MAX];
	unsigned	 n;
};

static void
walk_take(struct kw_reader *r, struct walk *w, bool raw)
{
	size_t len = strlen(r->name);

	if (w->n == 0) {
		len = 0;
		r->place = r->tok.place;
	}
	snprintf(r->name + len, sizeof r->name - len, "%s%s",
	    w->n > 0 ? " " : "", r->tok.text);
	w->words[w->n++] = r->tok.text;
	lex_next(r->lex, &r->tok, raw ? LEX_RAW : 0);
}

/* Rows that go on with the token in hand; *raw is theirs. */
static bool
walk_continues(const struct kw_reader *r, const struct walk *w, bool *raw)
{
	const struct kw_block *b = r->block;
	bool found = false;

	*raw = false;
	if (r->tok.kind != LEX_WORD || w->n == WORDS_MAX)
		return false;
	for (unsigned i = 0; i < b->nsets; i++) {
		for (const struct kw *kw = b->sets[i].table;
		    kw->kind != KW_KIND_END; kw++) {
			if (!row_matches(kw, w->words, w->n) ||
			    !row_has(kw, w->n, r->tok.text))
				continue;
			found = true;
			*raw = *raw || kw->raw;
		}
	}
	return found;
}

static const struct kw *
walk_complete(const struct kw_reader *r, const struct walk *w, void **object)
{
	const struct kw_block *b = r->block;

	for (unsigned i = 0; w->n > 0 && i < b->nsets; i++) {
		for (const struct kw *kw = b->sets[i].table;
		    kw->kind != KW_KIND_END; kw++) {
			if (row_matches(kw, w->words, w->n) &&
			    row_ends(kw, w->n)) {
				*object = b->sets[i].object;
				return kw;
			}
		}
	}
	return NULL;
}

static void
walk_expected(struct kw_reader *r, const struct walk *w)
{
	const struct kw_block *b = r->block;
	struct expected e = { .n = 0 };
	const char *part, *word;
	size_t len, wlen;

	for (unsigned i = 0; i < b->nsets; i++) {
		for (const struct kw *kw = b->sets[i].table;
		    kw->kind != KW_KIND_END; kw++) {
			if (!row_matches(kw, w->words, w->n) ||
			    !row_part(kw, w->n, &part, &len))
				continue;
			while (part_next(&part, &len, &word, &wlen))
				expected_add(&e, word, wlen);
		}
	}
	if (w->n == 0 && b->line > 0)
		expected_add(&e, "}", 1);
	expected_report(r, &e);
}

static void
directive(struct kw_reader *r)
{
	struct walk w = { .n = 0 };
	const struct kw *kw;
	void *object;
	bool raw;

	while (walk_continues(r, &w, &raw))
		walk_take(r, &w, raw);
	r->block->empty = false;
	if ((kw = walk_complete(r, &w, &object)) != NULL) {
		read_row(r, kw, object);
		return;
	}
	if (w.n == 0 && r->block->other != NULL &&
	    r->block->other(r, r->block->other_object))
		return;
	walk_expected(r, &w);
}

static void
directives(struct kw_reader *r)
{
	while (!block_closes(r->block, &r->tok)) {
		if (r->tok.kind != LEX_END)
			directive(r);
		else if (r->tok.depth > 0)
			kw_next(r);	/* an included file has ended */
		else
			return;
	}
}

void
kw_top(struct kw_reader *r, struct kw_block *b)
{
	b->outer = NULL;
	b->line = 0;
	b->depth = 0;
	b->skipped = false;
	b->empty = true;
	r->block = b;
	directives(r);
	r->block = NULL;
}

bool
kw_block(struct kw_reader *r, struct kw_block *b, bool equals)
{
	if (equals)
		kw_equals(r);
	if (!lex_is(&r->tok, '{')) {
		kw_expected_text(r, "{");
		return false;
	}
	b->outer = r->block;
	b->line = r->tok.place.line;
	b->depth = r->tok.depth;
	b->skipped = false;
	b->empty = true;
	r->block = b;
	kw_next(r);
	directives(r);
	if (r->tok.made)
		b->skipped = true;
	r->block = b->outer;
	if (r->tok.kind != LEX_END)
		kw_next(r);
	return true;
}

/* ---- rows that every language has ---- */

void
kw_include(struct kw_reader *r, void *object)
{
	const char *pattern;

	(void)object;
	kw_equals(r);
	if ((pattern = kw_text(r)) == NULL)
		return;
	lex_include(r->lex, pattern, r->tok.kind == LEX_STRING,
	    &r->tok.place);
	kw_next(r);
}

static bool
word_reserved(const struct kw_reader *r, const char *word)
{
	if (strcmp(word, "id") == 0)
		return true;
	for (const struct kw *const *t = r->reserved; t != NULL && *t != NULL;
	    t++) {
		for (const struct kw *kw = *t; kw->kind != KW_KIND_END; kw++) {
			for (unsigned n = 0; !row_ends(kw, n); n++) {
				if (row_has(kw, n, word))
					return true;
			}
			for (const struct kw_word *w = kw->set;
			    w != NULL && w->text != NULL; w++) {
				if (strcmp(w->text, word) == 0)
					return true;
			}
		}
	}
	for (const struct kw_word *const *s = r->reserved_words;
	    s != NULL && *s != NULL; s++) {
		for (const struct kw_word *w = *s; w->text != NULL; w++) {
			if (strcmp(w->text, word) == 0)
				return true;
		}
	}
	return false;
}

/* The name and what is behind it are read raw: no alias stands in them. */
void
kw_alias(struct kw_reader *r, void *object)
{
	struct lex_token name;

	(void)object;
	if (lex_is(&r->tok, '='))
		lex_next(r->lex, &r->tok, LEX_RAW);
	if (!kw_has_value(r))
		return;
	name = r->tok;
	lex_next(r->lex, &r->tok, LEX_RAW);
	if (!lex_is(&r->tok, '{')) {
		kw_expected_text(r, "{");
		return;
	}
	if (word_reserved(r, name.text))
		diag_error(r->diag, &name.place,
		    "alias: '%.100s' is a reserved word", name.text);
	lex_alias(r->lex, &name, &r->tok);
	kw_next(r);
}
