/*
 * Tokens. Inputs stand on a stack: files, and aliases being replayed. A file
 * that cannot be read on is broken off: its open braces are closed by tokens
 * made here, and nothing more is said about it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lex.h"
#include "str.h"
#include "url.h"

#define ALIAS_TOKENS	1000000u	/* replayed in all: no bombs */
#define SHOWN_MAX	100		/* bytes of a token in a message */

struct alias {
	struct alias		*next;
	const char		*name;
	struct diag_place	 place;
	struct lex_token	*tokens;
	size_t			 ntokens, room;
	bool			 active;	/* it is on the stack */
};

/* A file, or an alias on its way through. */
struct input {
	struct input		*below;
	unsigned		 depth;		/* of the file */

	struct alias		*alias;		/* NULL: a file */
	size_t			 next;		/* token of it */
	struct diag_place	 use;
	bool			 use_glued;

	const char		*path;		/* what was opened */
	const struct input	*parent;	/* the file that includes it */
	const struct diag_place	*from;
	const char		*name;		/* as shown */
	const char		*key;		/* for URLs named in it; NULL */
	bool			 remote;
	const char		*data;
	size_t			 len, at;
	unsigned		 line;
	size_t			 line_at;	/* where the line begins */
	unsigned		*open;		/* lines of open braces */
	size_t			 nopen, room;
	unsigned		 last;		/* line, once at the end */
	bool			 broken, ended;
};

struct lex {
	struct source	*source;
	struct diag	*diag;
	struct arena	*places;
	struct arena	*arena;		/* tokens, inputs; goes with it */
	struct input	*top;
	struct input	*main;
	struct alias	*aliases;
	const char	*confdir;	/* with its slash */
	size_t		 replayed;	/* tokens of aliases */
	FILE		*trace;
	char		 buf[LEX_TOKEN_MAX + 1];
};

/* ---- inputs ---- */

/* A NUL ends the file; that is said before anything is read up to there. */
static void
nul_check(struct lex *lex, struct input *in)
{
	const char *nul = memchr(in->data, '\0', in->len), *p = in->data, *lf;
	struct diag_place place = { .file = in->name, .line = 1,
	    .from = in->from };

	if (nul == NULL)
		return;
	for (; (lf = memchr(p, '\n', (size_t)(nul - p))) != NULL; p = lf + 1)
		place.line++;
	place.column = (unsigned)(nul - p) + 1;
	diag_error(lex->diag, &place, "NUL byte");
	in->len = (size_t)(nul - in->data);
	in->broken = true;
}

/* An error page that came as a good answer. */
static void
markup_check(struct lex *lex, struct input *in)
{
	struct diag_place place = { .file = in->name, .line = 1,
	    .from = in->from };
	size_t at = in->at;

	while (at < in->len && strchr(" \t\r\n", in->data[at]) != NULL)
		at++;
	if (at < in->len && in->data[at] == '<')
		diag_warn(lex->diag, &place, "this looks like a page for "
		    "browsers, not like a configuration");
}

void
lex_fetched(const struct source *source, struct diag *diag,
    const struct diag_place *from, const char *url)
{
	char shown[URL_SHOWN], scheme[URL_SCHEME];
	struct source_meta m;

	if (url_plain(url))
		diag_warn(diag, from, "%s: %s protects nothing against being "
		    "read or changed on its way", url_show(url, shown),
		    url_scheme(url, scheme));
	if (source_meta(source, url, &m) && m.warning != NULL)
		diag_warn(diag, from, "%s", m.warning);
}

static int
file_push(struct lex *lex, const char *path, const char *name,
    const struct input *parent, const struct diag_place *from,
    const char *key)
{
	char shown[URL_SHOWN];
	struct input *in;
	const char *data;
	size_t len;

	if (source_document(lex->source, path, key, &data, &len) == -1)
		return -1;
	in = arena_alloc(lex->arena, sizeof *in);
	in->key = key;
	in->remote = url_is(name);
	in->below = lex->top;
	in->depth = parent == NULL ? 0 : parent->depth + 1;
	in->path = arena_strdup(lex->arena, path);
	in->parent = parent;
	in->from = from;
	in->name = arena_strdup(lex->places, url_show(name, shown));
	in->data = data;
	in->len = len;
	in->line = 1;
	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		in->at = in->line_at = 3;
	lex->top = in;
	nul_check(lex, in);
	if (url_is(path)) {
		lex_fetched(lex->source, lex->diag, from, path);
		markup_check(lex, in);
	}
	return 0;
}

static struct input *
file_current(const struct lex *lex)
{
	struct input *in = lex->top;

	while (in->alias != NULL)
		in = in->below;
	return in;
}

static void
input_pop(struct lex *lex)
{
	if (lex->top->alias != NULL)
		lex->top->alias->active = false;
	lex->top = lex->top->below;
}

/* Nothing more is read from the file in hand. */
static void
file_break(struct lex *lex)
{
	while (lex->top->alias != NULL)
		input_pop(lex);
	lex->top->broken = true;
	lex->top->at = lex->top->len;
}

/* With its slash. */
static const char *
directory_of(struct arena *arena, const char *name)
{
	const char *base = str_base(name);
	size_t len = (size_t)(base - name);

	if (url_is(name) && (len = url_directory(name)) == 0)
		return arena_printf(arena, "%.*s/",
		    (int)strcspn(name, "?#"), name);
	return len == 0 ? "./" : arena_strndup(arena, name, len);
}

static struct lex *
lex_open(struct source *source, struct diag *diag, struct arena *places,
    const char *file, const char *name, const char *key,
    const struct diag_place *from)
{
	struct lex *lex = calloc(1, sizeof *lex);
	int error;

	if (lex == NULL || (lex->arena = arena_new()) == NULL) {
		free(lex);
		errno = ENOMEM;
		return NULL;
	}
	lex->source = source;
	lex->diag = diag;
	lex->places = places;
	lex->confdir = directory_of(lex->arena, name);
	if (file_push(lex, file, name, NULL, from, key) == -1) {
		error = errno;
		lex_free(lex);
		errno = error;
		return NULL;
	}
	lex->main = lex->top;
	return lex;
}

struct lex *
lex_new_as(struct source *source, struct diag *diag, struct arena *places,
    const char *file, const char *name)
{
	return lex_open(source, diag, places, file, name, NULL, NULL);
}

struct lex *
lex_new_signed(struct source *source, struct diag *diag,
    struct arena *places, const char *file, const char *key,
    const struct diag_place *from)
{
	return lex_open(source, diag, places, file, file, key, from);
}

struct lex *
lex_new(struct source *source, struct diag *diag, struct arena *places,
    const char *file)
{
	return lex_open(source, diag, places, file, file, NULL, NULL);
}

bool
lex_remote(const struct lex *lex)
{
	return file_current(lex)->remote;
}

const char *
lex_key(const struct lex *lex)
{
	return file_current(lex)->key;
}

void
lex_set_key(struct lex *lex, const char *file)
{
	file_current(lex)->key = file;
}

void
lex_free(struct lex *lex)
{
	if (lex == NULL)
		return;
	arena_free(lex->arena);
	free(lex);
}

void
lex_trace(struct lex *lex, FILE *fp)
{
	lex->trace = fp;
}

/* ---- one token of a file ---- */

static void
place_here(const struct input *in, struct diag_place *place)
{
	*place = (struct diag_place){ .file = in->name, .line = in->line,
	    .from = in->from, .column = (unsigned)(in->at - in->line_at) + 1 };
}

static void
token_too_long(struct lex *lex, const struct diag_place *place)
{
	diag_error(lex->diag, place, "token longer than %d bytes",
	    LEX_TOKEN_MAX);
	file_break(lex);
}

static void
line_next(struct input *in)
{
	in->line++;
	in->line_at = in->at;
}

/* White space and comments. Whether there was any. */
static bool
space_skip(struct input *in)
{
	size_t begin = in->at;

	while (in->at < in->len) {
		char c = in->data[in->at];

		if (c == '\n') {
			in->at++;
			line_next(in);
		} else if (c == ' ' || c == '\t' || c == '\r') {
			in->at++;
		} else if (c == '#') {
			while (in->at < in->len && in->data[in->at] != '\n')
				in->at++;
		} else {
			break;
		}
	}
	return in->at > begin;
}

static bool
word_ends(char c)
{
	return strchr(" \t\r\n={}()[]|&!,", c) != NULL;
}

static void
token_set(struct lex_token *tok, enum lex_kind kind, const char *text,
    size_t len)
{
	tok->kind = kind;
	tok->text = text;
	tok->len = len;
}

static bool
word_read(struct lex *lex, struct input *in, struct lex_token *tok)
{
	size_t begin = in->at;

	while (in->at < in->len && !word_ends(in->data[in->at]))
		in->at++;
	if (in->at - begin > LEX_TOKEN_MAX) {
		token_too_long(lex, &tok->place);
		return false;
	}
	token_set(tok, LEX_WORD, arena_strndup(lex->arena, in->data + begin,
	    in->at - begin), in->at - begin);
	return true;
}

/* ---- strings ---- */

static const char escapes[] = "a\ab\bt\tn\nv\vf\fr\re\033\"\"''\\\\";

/*
 * The escape at p, which stands behind the backslash; end is the end of the
 * string. Returns how many bytes it took; *byte is -1 if it stands for none.
 */
static size_t
escape_read(struct lex *lex, const struct diag_place *place, const char *p,
    const char *end, int *byte)
{
	unsigned value = 0;
	size_t n = 0;

	*byte = -1;
	if (*p >= '0' && *p <= '7') {
		while (n < 3 && p + n < end && p[n] >= '0' && p[n] <= '7')
			value = value * 8 + (unsigned)(p[n++] - '0');
		if (value == 0)
			diag_error(lex->diag, place, "NUL byte in a string");
		else if (value > 255)
			diag_error(lex->diag, place,
			    "'\\%o' is larger than a byte", value);
		else
			*byte = (int)value;
		return n;
	}
	for (const char *e = escapes; *e != '\0'; e += 2) {
		if (*e == *p) {
			*byte = (unsigned char)e[1];
			return 1;
		}
	}
	diag_warn(lex->diag, place, "unknown escape '\\%c'", *p);
	return 1;
}

/* What is between the quotes, escapes replaced, into lex->buf. */
static size_t
string_unescape(struct lex *lex, const struct input *in, size_t begin,
    size_t end, struct diag_place place)
{
	size_t line_at = begin + 1 - place.column, len = 0;
	int byte;

	for (size_t i = begin; i < end;) {
		if (in->data[i] == '\n') {
			place.line++;
			line_at = i + 1;
		}
		if (in->data[i] != '\\') {
			lex->buf[len++] = in->data[i++];
			continue;
		}
		place.column = (unsigned)(i - line_at) + 1;
		i++;
		i += escape_read(lex, &place, in->data + i, in->data + end,
		    &byte);
		if (byte != -1)
			lex->buf[len++] = (char)byte;
	}
	lex->buf[len] = '\0';
	return len;
}

/* The value of the ${NAME} at p, or NULL; *n is how long it is. */
static const char *
variable_at(struct lex *lex, const struct diag_place *place, const char *p,
    size_t *n)
{
	const char *end = strchr(p, '}'), *value;
	char name[256];

	if (end == NULL || end == p + 2 ||
	    (size_t)(end - p - 2) >= sizeof name)
		return NULL;
	*n = (size_t)(end - p) + 1;
	memcpy(name, p + 2, *n - 3);
	name[*n - 3] = '\0';
	if (strchr(name, '=') != NULL)
		return NULL;
	value = source_getenv(lex->source, name);
	if (value == NULL)
		diag_warn(lex->diag, place,
		    "environment variable '%s' is not set", name);
	return value;
}

/* lex->buf with the environment in it, in the arena. */
static bool
string_substitute(struct lex *lex, struct lex_token *tok, size_t len)
{
	size_t at = 0, size = len, n;
	const char *value;
	char *out;

	if (strstr(lex->buf, "${") == NULL) {
		token_set(tok, LEX_STRING, arena_strndup(lex->arena, lex->buf,
		    len), len);
		return true;
	}
	out = arena_alloc(lex->arena, LEX_TOKEN_MAX + 1);
	for (const char *p = lex->buf; *p != '\0';) {
		if (p[0] != '$' || p[1] != '{' ||
		    (value = variable_at(lex, &tok->place, p, &n)) == NULL) {
			value = p;
			size = 1;
			p++;
		} else {
			size = strlen(value);
			p += n;
		}
		if (size > LEX_TOKEN_MAX - at) {
			token_too_long(lex, &tok->place);
			return false;
		}
		memcpy(out + at, value, size);
		at += size;
	}
	token_set(tok, LEX_STRING, arena_strndup(lex->arena, out, at), at);
	return true;
}

static bool
string_read(struct lex *lex, struct input *in, struct lex_token *tok,
    bool skip)
{
	char quote = in->data[in->at++];
	size_t begin = in->at;
	struct diag_place place;

	while (in->at < in->len && in->data[in->at] != quote) {
		if (in->data[in->at] == '\\' && in->at + 1 < in->len)
			in->at++;
		if (in->data[in->at++] == '\n')
			line_next(in);
	}
	if (in->at == in->len) {
		place_here(in, &place);
		place.column = 0;
		if (in->line_at == in->len && in->line > 1)
			place.line--;
		if (!in->broken)
			diag_error(lex->diag, &place,
			    "string not closed, opened in line %u",
			    tok->place.line);
		file_break(lex);
		return false;
	}
	if (in->at - begin > LEX_TOKEN_MAX) {
		token_too_long(lex, &tok->place);
		return false;
	}
	in->at++;
	if (skip) {
		token_set(tok, LEX_STRING, "", 0);
		if (lex->trace != NULL)		/* as it was written */
			token_set(tok, LEX_STRING, arena_strndup(lex->arena,
			    in->data + begin, in->at - 1 - begin),
			    in->at - 1 - begin);
		return true;
	}
	place = tok->place;
	place.column++;
	return string_substitute(lex, tok,
	    string_unescape(lex, in, begin, in->at - 1, place));
}

/* ---- delimiters ---- */

static const char *const delims[] = { "=", ",", "{", "}", "(", ")", "[", "]",
    "!", "&&", "||" };

static void
brace_opened(struct lex *lex, struct input *in)
{
	unsigned *more;

	if (in->nopen == in->room) {
		in->room = in->room == 0 ? 16 : in->room * 2;
		more = arena_array(lex->arena, in->room, sizeof *more);
		if (in->nopen > 0)
			memcpy(more, in->open, in->nopen * sizeof *more);
		in->open = more;
	}
	in->open[in->nopen++] = in->line;
}

/* false: not a delimiter, reported and passed over */
static bool
delim_read(struct lex *lex, struct input *in, struct lex_token *tok)
{
	for (size_t i = 0; i < sizeof delims / sizeof delims[0]; i++) {
		size_t len = strlen(delims[i]);

		if (len > in->len - in->at ||
		    memcmp(in->data + in->at, delims[i], len) != 0)
			continue;
		if (delims[i][0] == '{')
			brace_opened(lex, in);
		else if (delims[i][0] == '}' && in->nopen > 0)
			in->nopen--;
		in->at += len;
		token_set(tok, LEX_DELIM, delims[i], len);
		return true;
	}
	diag_error(lex->diag, &tok->place, "single '%c'", in->data[in->at]);
	in->at++;
	return false;
}

/* ---- the end of a file ---- */

/* A line feed at the very end does not begin another line. */
static unsigned
last_line(const struct input *in)
{
	unsigned line = 1;

	for (size_t i = 0; i + 1 < in->len; i++)
		line += in->data[i] == '\n';
	return line;
}

static void
file_end(struct lex *lex, struct input *in, struct lex_token *tok)
{
	if (in->last == 0)
		in->last = last_line(in);
	tok->place.line = in->last;
	tok->place.column = 0;
	if (in->nopen > 0) {
		if (!in->broken)
			diag_error(lex->diag, &tok->place,
			    "block not closed, opened in line %u",
			    in->open[in->nopen - 1]);
		in->broken = true;
		in->nopen--;
		token_set(tok, LEX_DELIM, "}", 1);
	} else {
		in->ended = true;
		token_set(tok, LEX_END, "", 0);
	}
	tok->made = in->broken;
}

static void
file_token(struct lex *lex, struct input *in, struct lex_token *tok,
    unsigned flags)
{
	bool space = in->at == 0, good;

	do {
		space = space_skip(in) || space;
		*tok = (struct lex_token){ .depth = in->depth,
		    .glued = !space };
		place_here(in, &tok->place);
		if (in->at == in->len) {
			file_end(lex, in, tok);
			return;
		}
		switch (in->data[in->at]) {
		case '"':
		case '\'':
			good = string_read(lex, in, tok, flags & LEX_SKIP);
			break;
		default:
			good = word_ends(in->data[in->at]) ?
			    delim_read(lex, in, tok) :
			    word_read(lex, in, tok);
		}
	} while (!good);
}

/* ---- aliases ---- */

static struct alias *
alias_find(const struct lex *lex, const char *name)
{
	struct alias *a;

	for (a = lex->aliases; a != NULL; a = a->next) {
		if (strcmp(a->name, name) == 0)
			break;
	}
	return a;
}

static void
alias_push(struct lex *lex, struct alias *a, const struct lex_token *use)
{
	struct input *in;

	if (a->active) {
		diag_error(lex->diag, &use->place,
		    "alias '%s' refers to itself", a->name);
		file_break(lex);
		return;
	}
	if (a->ntokens > ALIAS_TOKENS - lex->replayed) {
		diag_error(lex->diag, &use->place,
		    "alias '%s': more than %u tokens from aliases", a->name,
		    ALIAS_TOKENS);
		file_break(lex);
		return;
	}
	lex->replayed += a->ntokens;
	in = arena_alloc(lex->arena, sizeof *in);
	in->below = lex->top;
	in->depth = lex->top->depth;
	in->alias = a;
	in->use = use->place;
	in->use_glued = use->glued;
	a->active = true;
	lex->top = in;
}

/* It stands where the alias is used; where it was written is kept too. */
static void
alias_token(struct lex *lex, struct input *in, struct lex_token *tok)
{
	const struct lex_token *t = &in->alias->tokens[in->next];
	struct diag_place *defined;

	*tok = *t;
	tok->place = in->use;
	tok->depth = in->depth;
	if (in->next++ == 0)
		tok->glued = in->use_glued;
	if (in->use.defined == NULL) {
		tok->place.defined = &t->place;
		return;
	}
	defined = arena_alloc(lex->places, sizeof *defined);
	*defined = t->place;
	defined->defined = in->use.defined;
	tok->place.defined = defined;
}

static void
alias_add(struct lex *lex, struct alias *a, const struct lex_token *tok)
{
	struct lex_token *more;

	if (a->ntokens == a->room) {
		a->room = a->room == 0 ? 8 : a->room * 2;
		more = arena_array(lex->places, a->room, sizeof *more);
		if (a->ntokens > 0)
			memcpy(more, a->tokens, a->ntokens * sizeof *more);
		a->tokens = more;
	}
	a->tokens[a->ntokens++] = *tok;
}

void
lex_alias(struct lex *lex, const struct lex_token *name,
    struct lex_token *tok)
{
	struct alias *a = arena_alloc(lex->arena, sizeof *a);
	struct alias *old = alias_find(lex, name->text);
	unsigned nest = 1;

	a->name = name->text;
	a->place = name->place;
	for (;;) {
		lex_next(lex, tok, LEX_RAW);
		if (tok->kind == LEX_END)
			break;
		nest += lex_is(tok, '{');
		nest -= lex_is(tok, '}');
		if (nest == 0)
			break;
		alias_add(lex, a, tok);
	}
	if (old != NULL) {
		diag_error(lex->diag, &name->place,
		    "alias: '%s' is already defined (%s:%u)", name->text,
		    old->place.file, old->place.line);
		return;
	}
	a->next = lex->aliases;
	lex->aliases = a;
}

/* ---- tokens ---- */

static void
token_trace(const struct lex *lex, const struct lex_token *tok)
{
	static const char *const kinds[] = { [LEX_END] = "end",
	    [LEX_WORD] = "word", [LEX_STRING] = "string",
	    [LEX_DELIM] = "delimiter" };

	fprintf(lex->trace, "%s:%u: %s '%s'\n", tok->place.file,
	    tok->place.line, kinds[tok->kind], tok->text);
}

void
lex_next(struct lex *lex, struct lex_token *tok, unsigned flags)
{
	struct alias *a;

	for (;;) {
		struct input *in = lex->top;

		if (in->alias == NULL ? in->ended && in != lex->main :
		    in->next == in->alias->ntokens) {
			input_pop(lex);
			continue;
		}
		if (in->alias != NULL)
			alias_token(lex, in, tok);
		else
			file_token(lex, in, tok, flags);
		if (tok->kind != LEX_WORD || (flags & (LEX_RAW | LEX_SKIP)) ||
		    (a = alias_find(lex, tok->text)) == NULL)
			break;
		alias_push(lex, a, tok);
	}
	if (lex->trace != NULL)
		token_trace(lex, tok);
}

struct lex_mark
lex_mark(const struct lex *lex)
{
	const struct input *in = lex->top;

	return (struct lex_mark){ in->alias == NULL ? in : NULL, in->at };
}

const char *
lex_since(const struct lex *lex, const struct lex_mark *mark, size_t *len)
{
	const struct input *in = lex->top;

	if (mark->input == NULL || in != mark->input || in->at < mark->at)
		return NULL;
	*len = in->at - mark->at;
	return in->data + mark->at;
}

const char *
lex_show(const struct lex_token *tok, char *buf, size_t size)
{
	int shown = tok->len > SHOWN_MAX ? SHOWN_MAX : (int)tok->len;
	const char *rest = tok->len > SHOWN_MAX ? "..." : "";

	switch (tok->kind) {
	case LEX_END:
		snprintf(buf, size, "end of file");
		break;
	case LEX_STRING:
		snprintf(buf, size, "\"%.*s%s\"", shown, tok->text, rest);
		break;
	case LEX_WORD:
	case LEX_DELIM:
		snprintf(buf, size, "'%.*s%s'", shown, tok->text, rest);
		break;
	}
	return buf;
}

/* ---- includes ---- */

/* Whether path is being read already; the chain of names from there on. */
static bool
include_circle(const struct input *file, const char *path, struct str *chain)
{
	if (file == NULL)
		return false;
	if (strcmp(file->path, path) != 0 &&
	    !include_circle(file->parent, path, chain))
		return false;
	str_add(chain, "%s'%s'", chain->len > 0 ? " -> " : "", file->name);
	return true;
}

static void
include_one(struct lex *lex, const char *path, const struct input *parent,
    const struct diag_place *place)
{
	char names[1500], failure[SOURCE_FAILURE], shown[URL_SHOWN];
	const char *name = url_show(path, shown);
	struct str chain;

	str_init(&chain, names, sizeof names);
	if (include_circle(parent, path, &chain)) {
		if (strcmp(parent->path, path) == 0)
			diag_error(lex->diag, place,
			    "include: '%s' includes itself", name);
		else
			diag_error(lex->diag, place,
			    "include: '%s' includes itself: %s -> '%s'", name,
			    names, name);
	} else if (parent->depth >= LEX_NESTING) {
		diag_error(lex->diag, place, "include: nesting too deep");
	} else if (file_push(lex, path, path, parent, place, parent->key) ==
	    -1) {
		diag_fail(lex->diag, place, url_is(path) ? EX_NOINPUT :
		    EX_CONFIG, "include: %s", source_failure(lex->source,
		    path, failure));
	}
}

/* A local file, and whatever a configuration that begins as one brings in,
 * names no server by a scheme that anybody may answer. */
static void
include_url(struct lex *lex, const char *url, const struct input *parent,
    const struct diag_place *place)
{
	char shown[URL_SHOWN], scheme[URL_SCHEME];

	if (lex->main->remote && parent->remote ? url_permitted(url) :
	    url_permitted_here(url))
		include_one(lex, url, parent, place);
	else
		diag_fail(lex->diag, place, EX_NOINPUT, "include: cannot "
		    "fetch %s: scheme '%s' not permitted",
		    url_show(url, shown), url_scheme(url, scheme));
}

void
lex_include(struct lex *lex, const char *pattern, bool quoted,
    const struct diag_place *where)
{
	static const char confdir[] = "$CONFDIR/";
	const struct input *parent = file_current(lex);
	struct diag_place *place = arena_alloc(lex->places, sizeof *place);
	char *const *names;
	size_t n = 0;

	*place = *where;
	if (strncmp(pattern, confdir, sizeof confdir - 1) == 0)
		pattern = arena_printf(lex->arena, "%s%s", lex->confdir,
		    pattern + sizeof confdir - 1);
	if (url_is(pattern)) {
		include_url(lex, pattern, parent, place);
		return;
	}
	if (strpbrk(pattern, quoted ? "*?[{" : "*?[") == NULL) {
		include_one(lex, pattern, parent, place);
		return;
	}
	names = source_glob(lex->source, pattern, quoted);
	if (names[0] == NULL)
		diag_warn(lex->diag, place, "include: nothing matches '%s'",
		    pattern);
	while (names[n] != NULL)
		n++;
	/* What is pushed last is read first. */
	while (n > 0)
		include_one(lex, names[--n], parent, place);
}
