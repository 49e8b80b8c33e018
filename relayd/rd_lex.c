/*
 * Tokens. Text comes from a stack of inputs: files, and on top of them the
 * value of a macro, which is read as if it stood in the file.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/str.h"
#include "rd_lex.h"

#define NO_BYTE		(-1)		/* end of all input */

struct input {
	struct input		*below;
	const char		*p, *end;
	bool			 macro;
	bool			 ended;	/* the newline at its end was given */
	bool			 cr_known;
	int			 back;	/* pushed back; NO_BYTE: nothing */
	const char		*line_start;
	struct diag_place	 place;	/* of a file: name and line */
};

struct macro {
	struct macro		*next;
	const char		*name, *value;
	size_t			 len;
	bool			 permanent;	/* -D */
	bool			 used;
	struct diag_place	 place;		/* file NULL: -D */
};

/* In the arena, with all that it has. */
struct rd_lex {
	const struct rd_request	*request;
	struct source		*source;
	struct diag		*diag;
	struct arena		*arena;
	struct input		*top;
	struct macro		*macros, **last_macro;
	unsigned		 depth;		/* of includes */
	bool			 too_deep;
	bool			 from_macro;	/* the byte read last did */
	struct diag_place	 start;		/* of the token */
	char			 text[RD_TOKEN_MAX + 1];
	size_t			 len;
	bool			 too_long;
};

static const struct word {
	const char	*text;
	enum rd_kind	 kind;
} words[] = {
#define WORD(name, text) { text, RD_K_##name },
	RD_RESERVED(WORD)
	RD_PLACE_WORDS(WORD)
#undef WORD
};

#define NWORDS	(sizeof words / sizeof words[0])

const char *
rd_kind_text(enum rd_kind kind)
{
	for (size_t i = 0; i < NWORDS; i++) {
		if (words[i].kind == kind)
			return words[i].text;
	}
	return NULL;
}

bool
rd_kind_reserved(enum rd_kind kind)
{
	switch (kind) {
#define CASE(name, text) case RD_K_##name:
	RD_RESERVED(CASE)
#undef CASE
		return true;
	default:
		return false;
	}
}

static enum rd_kind
word_kind(const char *text)
{
	for (size_t i = 0; i < NWORDS; i++) {
		if (strcmp(words[i].text, text) == 0)
			return words[i].kind;
	}
	return RD_K_STRING;
}

const char *
rd_kind_near(const struct rd_token *t, const enum rd_kind *kinds, size_t n)
{
	unsigned best = t->word.len < 5 ? 2 : 3, d;
	const char *near = NULL;

	if (t->word.quoted || (t->kind != RD_K_STRING &&
	    rd_kind_text(t->kind) == NULL) || t->word.len < 3)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *text = rd_kind_text(kinds[i]);

		if (text == NULL)
			continue;
		d = str_distance(t->word.text, text, 2);
		if (d < best && d < strlen(text)) {
			best = d;
			near = text;
		}
	}
	return near;
}

const char *
rd_token_show(const struct rd_token *t, char *buf, size_t size)
{
	unsigned char c;

	switch (t->kind) {
	case RD_K_END:
		snprintf(buf, size, "end of file");
		break;
	case RD_K_NEWLINE:
		snprintf(buf, size, "end of line");
		break;
	case RD_K_NUMBER:
		snprintf(buf, size, "%lld", (long long)t->number);
		break;
	case RD_K_BYTE:
		c = (unsigned char)t->word.text[0];
		if (c > ' ' && c < 0x7f)
			snprintf(buf, size, "\"%c\"", c);
		else
			snprintf(buf, size, "byte 0x%02x", c);
		break;
	default:
		if (t->word.len > 64)
			snprintf(buf, size, "\"%.64s...\"", t->word.text);
		else
			snprintf(buf, size, "\"%s\"", t->word.text);
	}
	return buf;
}

/* ---- inputs ---- */

static struct input *
input_push(struct rd_lex *lex, const char *data, size_t len)
{
	struct input *in = arena_alloc(lex->arena, sizeof *in);

	in->p = in->line_start = data;
	in->end = data + len;
	in->back = NO_BYTE;
	in->below = lex->top;
	lex->top = in;
	return in;
}

/* Where reading is: of the file, also below a macro. */
static struct input *
input_file(const struct rd_lex *lex)
{
	struct input *in = lex->top;

	while (in->macro)
		in = in->below;
	return in;
}

struct diag_place
rd_lex_place(const struct rd_lex *lex)
{
	return input_file(lex)->place;
}

static void
input_line(struct rd_lex *lex)
{
	struct input *in = input_file(lex);

	in->place.line++;
	in->line_start = in->p;
}

/* Paths count from where the daemon was started. */
static const char *
path_resolve(struct rd_lex *lex, const char *path)
{
	const char *dir = lex->request->directory;

	if (path[0] == '/' || dir == NULL || dir[0] == '\0')
		return path;
	return arena_printf(lex->arena, "%s%s%s", dir,
	    dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

static int
file_push(struct rd_lex *lex, const char *path, const struct diag_place *from)
{
	struct input *in;
	const char *data;
	size_t len;

	if (source_file(lex->source, SOURCE_TEXT, path_resolve(lex, path),
	    &data, &len) == -1)
		return -1;
	in = input_push(lex, data, len);
	in->place = (struct diag_place){ .file = path, .line = 1,
	    .from = from };
	return 0;
}

/*
 * A byte as the file has it. Files end with a newline of their own, macros
 * with nothing; the main file stays on the stack.
 */
static int
byte_raw(struct rd_lex *lex)
{
	struct input *in;
	int c;

	while ((in = lex->top)->back == NO_BYTE && in->p == in->end) {
		if (!in->macro && !in->ended) {
			in->ended = true;
			lex->from_macro = false;
			return '\n';
		}
		if (in->below == NULL)
			return NO_BYTE;
		if (!in->macro)
			lex->depth--;
		lex->top = in->below;
	}
	lex->from_macro = in->macro;
	if ((c = in->back) != NO_BYTE) {
		in->back = NO_BYTE;
		return c;
	}
	if (*in->p == '\r' && in->end - in->p > 1 && in->p[1] == '\n') {
		if (!in->macro && !in->cr_known)
			diag_warn(lex->diag, &in->place,
			    "carriage returns at line ends are ignored");
		in->cr_known = true;
		in->p++;
	}
	return (unsigned char)*in->p++;
}

/* The newline that ends an input is on no new line of it. */
static void
newline_seen(struct rd_lex *lex)
{
	if (!lex->from_macro && !lex->top->ended)
		input_line(lex);
}

/* A byte outside quotes: with lines joined and backslashes gone. */
static int
byte_next(struct rd_lex *lex)
{
	int c;

	if (lex->top->back != NO_BYTE)
		return byte_raw(lex);
	while ((c = byte_raw(lex)) == '\\') {
		if ((c = byte_raw(lex)) != '\n')
			break;
		newline_seen(lex);
	}
	return c;
}

/* The byte read last; it stays below an input that is pushed now. */
static void
byte_back(struct rd_lex *lex, int c)
{
	lex->top->back = c;
}

/* ---- macros ---- */

static struct macro *
macro_find(const struct rd_lex *lex, const char *name)
{
	for (struct macro *m = lex->macros; m != NULL; m = m->next) {
		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

static struct macro *
macro_set(struct rd_lex *lex, const char *name, const char *value, size_t len)
{
	struct macro *m = macro_find(lex, name);

	if (m != NULL && m->permanent)
		return m;
	if (m == NULL) {
		m = arena_alloc(lex->arena, sizeof *m);
		m->name = name;
		*lex->last_macro = m;
		lex->last_macro = &m->next;
	}
	m->value = value;
	m->len = len;
	return m;
}

void
rd_lex_define(struct rd_lex *lex, const struct rd_word *name,
    const struct rd_word *value)
{
	struct macro *m = macro_set(lex, name->text, value->text, value->len);

	if (!m->permanent)
		m->place = name->place;
}

void
rd_lex_unused(const struct rd_lex *lex)
{
	for (const struct macro *m = lex->macros; m != NULL; m = m->next) {
		if (!m->used)
			diag_warn(lex->diag, m->permanent ? NULL : &m->place,
			    "macro \"%s\" is not used", m->name);
	}
}

bool
rd_lex_include(struct rd_lex *lex, const struct rd_word *path)
{
	struct diag_place *from;

	if (lex->too_deep)
		return false;		/* this is refused anyway */
	if (lex->depth == RD_INCLUDES) {
		lex->too_deep = true;
		diag_error(lex->diag, &path->place, "include files are "
		    "nested deeper than %d levels", RD_INCLUDES);
		return false;
	}
	from = arena_alloc(lex->arena, sizeof *from);
	*from = path->place;
	if (file_push(lex, path->text, from) == -1) {
		diag_error(lex->diag, &path->place,
		    "cannot open include file \"%s\": %s", path->text,
		    strerror(errno));
		return false;
	}
	lex->depth++;
	return true;
}

/* ---- tokens ---- */

static bool
is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(int c)
{
	return c == ' ' || c == '\t';
}

/* What a bare word goes on with. */
static bool
is_word(int c)
{
	return c > ' ' && c < 0x7f && strchr("(){}<>!=#,/", c) == NULL;
}

/* What may stand behind a number. */
static bool
ends_number(int c)
{
	return c == NO_BYTE || is_blank(c) || c == '\n' || c == '\r' ||
	    c == '\v' || c == '\f' || (c != 0 && strchr("),/}=", c) != NULL);
}

static void
text_add(struct rd_lex *lex, int c)
{
	if (lex->len == RD_TOKEN_MAX)
		lex->too_long = true;
	else
		lex->text[lex->len++] = (char)c;
}

static void
token_bad(struct rd_lex *lex, struct rd_token *t, const char *why)
{
	diag_error(lex->diag, &lex->start, "%s", why);
	t->kind = RD_K_BAD;
}

/* The text collected becomes the token's. */
static void
token_text(struct rd_lex *lex, struct rd_token *t, enum rd_kind kind)
{
	char why[64];

	if (lex->too_long) {
		snprintf(why, sizeof why, "token is longer than %d bytes",
		    RD_TOKEN_MAX);
		token_bad(lex, t, why);
		return;
	}
	lex->text[lex->len] = '\0';
	t->kind = kind;
	t->word.text = arena_strndup(lex->arena, lex->text, lex->len);
	t->word.len = lex->len;
}

static bool
at_end(const struct rd_lex *lex, int c)
{
	return c == NO_BYTE ||
	    (c == '\n' && !lex->from_macro && lex->top->ended);
}

/* A string, behind its opening quote. A backslash that protects nothing is an
 * ordinary byte, and so is what follows it, another backslash, too. */
static void
token_quoted(struct rd_lex *lex, struct rd_token *t, int quote)
{
	bool nul = false;
	int c, next;

	t->word.quoted = true;
	while ((c = byte_raw(lex)) != quote) {
		if (at_end(lex, c)) {
			token_bad(lex, t, "quoted string is not closed "
			    "before the end of the file");
			byte_back(lex, c);
			return;
		}
		nul = nul || c == '\0';
		if (c == '\n') {
			newline_seen(lex);
			continue;
		}
		if (c != '\\') {
			text_add(lex, c);
			continue;
		}
		next = byte_raw(lex);
		if (at_end(lex, next)) {
			byte_back(lex, next);
			continue;
		}
		nul = nul || next == '\0';
		if (next == '\n') {
			newline_seen(lex);
			continue;
		}
		if (next != quote && !is_blank(next))
			text_add(lex, c);
		text_add(lex, next);
	}
	if (nul)
		token_bad(lex, t, "unexpected byte 0x00 in a quoted string");
	else
		token_text(lex, t, RD_K_STRING);
}

/* The rest of a bare word. */
static void
token_word(struct rd_lex *lex, struct rd_token *t)
{
	int c;

	while (is_word(c = byte_next(lex)))
		text_add(lex, c);
	byte_back(lex, c);
	token_text(lex, t, RD_K_STRING);
	if (t->kind == RD_K_STRING)
		t->kind = word_kind(t->word.text);
}

static void
token_number(struct rd_lex *lex, struct rd_token *t)
{
	char why[RD_TOKEN_MAX + 64];

	token_text(lex, t, RD_K_NUMBER);
	if (t->kind == RD_K_BAD)
		return;
	errno = 0;
	t->number = strtoll(lex->text, NULL, 10);
	if (errno == 0)
		return;
	snprintf(why, sizeof why, "number %s is out of range", lex->text);
	token_bad(lex, t, why);
}

static void
token_byte(struct rd_lex *lex, struct rd_token *t, int c)
{
	lex->len = 0;
	text_add(lex, c);
	token_text(lex, t, RD_K_BYTE);
}

/* Digits, perhaps behind a minus. */
static void
token_digits(struct rd_lex *lex, struct rd_token *t, int c)
{
	bool minus = c == '-';

	do {
		text_add(lex, c);
	} while (is_digit(c = byte_next(lex)));
	byte_back(lex, c);
	if (lex->len > (minus ? 1u : 0u) && ends_number(c))
		token_number(lex, t);
	else if (minus)
		token_byte(lex, t, '-');
	else
		token_word(lex, t);
}

/* A reference, behind its dollar sign; true: its value comes next. */
static bool
macro_push(struct rd_lex *lex, struct rd_token *t)
{
	struct macro *m;
	int c;

	while (is_letter(c = byte_next(lex)) || is_digit(c) || c == '_')
		text_add(lex, c);
	byte_back(lex, c);
	if (lex->len == 0) {
		token_byte(lex, t, '$');
		return false;
	}
	token_text(lex, t, RD_K_STRING);
	if (t->kind == RD_K_BAD)
		return false;
	if ((m = macro_find(lex, t->word.text)) == NULL) {
		t->kind = RD_K_BAD;
		diag_error(lex->diag, &lex->start,
		    "macro \"%s\" is not defined", t->word.text);
		return false;
	}
	m->used = true;
	lex->len = 0;
	input_push(lex, m->value, m->len)->macro = true;
	return true;
}

static int
comment_skip(struct rd_lex *lex)
{
	int c;

	while ((c = byte_next(lex)) != '\n' && c != NO_BYTE)
		;
	return c;
}

static void
token_start(struct rd_lex *lex)
{
	struct input *in = input_file(lex);

	lex->start = in->place;
	lex->start.column = in->p > in->line_start ?
	    (unsigned)(in->p - in->line_start) : 1;
}

void
rd_lex_next(struct rd_lex *lex, struct rd_token *t)
{
	bool expanding = false;
	int c;

	lex->len = 0;
	lex->too_long = false;
	*t = (struct rd_token){ .word.text = "" };
	for (;;) {
		while (is_blank(c = byte_next(lex)))
			;
		if (c == '#')
			c = comment_skip(lex);
		/* inside a macro, what is read stands where its name does */
		if (!lex->from_macro || !expanding)
			token_start(lex);
		t->word.place = lex->start;
		if (c != '$' || lex->from_macro)
			break;
		if (!macro_push(lex, t))
			return;
		expanding = true;
	}
	if (c == NO_BYTE) {
		t->kind = RD_K_END;
	} else if (c == '\n') {
		newline_seen(lex);
		t->kind = RD_K_NEWLINE;
	} else if (c == '"' || c == '\'') {
		token_quoted(lex, t, c);
	} else if (is_digit(c) || c == '-') {
		token_digits(lex, t, c);
	} else if (is_letter(c) || c == ':' || c == '_') {
		text_add(lex, c);
		token_word(lex, t);
	} else {
		token_byte(lex, t, c);
	}
}

struct rd_lex *
rd_lex_new(const struct rd_request *request, struct source *source,
    struct diag *diag, struct arena *arena)
{
	struct rd_lex *lex = arena_alloc(arena, sizeof *lex);

	lex->request = request;
	lex->source = source;
	lex->diag = diag;
	lex->arena = arena;
	lex->last_macro = &lex->macros;
	if (file_push(lex, arena_strdup(arena, request->file), NULL) == -1) {
		struct diag_place place = { .file = request->file };

		diag_error(diag, &place, "%s", strerror(errno));
		return NULL;
	}
	for (size_t i = 0; i < request->nmacros; i++) {
		const struct rd_macro *m = &request->macros[i];

		macro_set(lex, arena_strdup(arena, m->name),
		    arena_strdup(arena, m->value),
		    strlen(m->value))->permanent = true;
	}
	return lex;
}
