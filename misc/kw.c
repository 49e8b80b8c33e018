/*
 * The walker through tables of directives: which row it is, what was expected
 * instead, and where reading goes on.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kw.h"
#include "str.h"

#define WORDS_MAX	4	/* of a directive */
#define SHOW_MAX	160
#define EXPECTED_MAX	1600

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
word_goes_on(char c)
{
	return c != '\0' && c != ' ' && c != '|';
}

/* Asked of every row for every directive: strcspn(3), which prepares a table
 * for each call, would be a fifth of the time that a long file takes. */
static bool
row_has(const struct kw *kw, unsigned n, const char *text)
{
	const char *p = kw->words, *t;

	for (; n > 0; n--) {
		while (*p != '\0' && *p != ' ')
			p++;
		if (*p++ == '\0')
			return false;
	}
	while (*p != '\0' && *p != ' ') {
		for (t = text; word_goes_on(*p) && *p == *t; p++)
			t++;
		if (*t == '\0' && !word_goes_on(*p))
			return true;
		while (word_goes_on(*p))
			p++;
		if (*p == '|')
			p++;
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

/* ---- the token in hand ---- */

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
		kw_read(r, kw, object);
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
