/*
 * Around the grammar: tokens for it, with old words made new, and what is
 * said and done when one fits nowhere.
 */
#include <stdio.h>
#include <string.h>

#include "../misc/str.h"
#include "rd_parse.h"

/* ---- tokens ---- */

static bool
is_byte(const struct rd_token *t, char byte)
{
	return t->kind == RD_K_BYTE && t->word.text[0] == byte;
}

static void
token_fetch(struct rd_parser *p, struct rd_token *t)
{
	if (p->line_at < p->line.n)
		*t = p->line.tokens[p->line_at++];
	else
		rd_lex_next(p->lex, t);
}

/* With room for one token that is put in. */
static void
line_add(struct rd_parser *p, const struct rd_token *t)
{
	struct rd_token *more;

	if (p->line.n + 2 > p->line_room) {
		p->line_room = p->line_room == 0 ? 32 : p->line_room * 2;
		more = arena_array(p->arena, p->line_room, sizeof *more);
		if (p->line.n > 0)
			memcpy(more, p->line.tokens, p->line.n * sizeof *more);
		p->line.tokens = more;
	}
	p->line.tokens[p->line.n++] = *t;
}

/* Whether the line that is read ahead ends with it. An include reads more
 * only once it is understood. */
static bool
ends_line(const struct rd_token *t)
{
	return t->kind == RD_K_NEWLINE || t->kind == RD_K_END ||
	    is_byte(t, '{') || is_byte(t, '}');
}

/* A statement begins with *t: as a whole it may be an old one. */
static void
statement_check(struct rd_parser *p, struct rd_token *t)
{
	char text[RD_OLD_TEXT];
	struct diag_place place;
	struct rd_token next = *t;
	enum rd_age age;
	size_t at;

	p->line.n = p->line_at = 0;
	line_add(p, t);
	while (!ends_line(&next)) {
		rd_lex_next(p->lex, &next);
		line_add(p, &next);
	}
	/* one after the other: a line may have several */
	while ((age = rd_obsolete(p->section, p->section_name, &p->line,
	    text, &at)) == RD_AGE_ALIAS)
		diag_warn(p->diag, &p->line.tokens[at].word.place, "%s",
		    text);
	place = p->line.tokens[at].word.place;
	switch (age) {
	case RD_AGE_NONE:
	case RD_AGE_ALIAS:
		break;
	case RD_AGE_IGNORED:
		diag_warn(p->diag, &place, "%s", text);
		p->line_at = p->line.n - 1;
		break;
	case RD_AGE_RENAMED:
		diag_error(p->diag, &place, "%s", text);
		break;
	case RD_AGE_REJECTED:
		diag_error(p->diag, &place, "%s", text);
		p->line.tokens[0].kind = RD_K_BAD;
		break;
	}
	token_fetch(p, t);
}

/* In a table: what stood there once. */
static void
host_check(struct rd_parser *p, struct rd_token *t)
{
	char text[RD_OLD_TEXT];

	if (!rd_obsolete_host(t, text))
		return;
	diag_error(p->diag, &t->word.place, "%s", text);
	if (t->kind == RD_K_HOST)
		token_fetch(p, t);
	else
		t->kind = RD_K_BAD;
}

static void
depth_count(struct rd_parser *p)
{
	if (is_byte(&p->token, '{'))
		p->depth++;
	else if (is_byte(&p->token, '}') && p->depth > 0)
		p->depth--;
}

/* Where skipping stops: the statement, item or block is over. */
static bool
skip_stops(const struct rd_parser *p)
{
	const struct rd_token *t = &p->token;

	if (t->kind == RD_K_END)
		return true;
	if (is_byte(t, '}'))
		return p->depth < p->skip_depth;
	return p->depth <= p->skip_depth && (t->kind == RD_K_NEWLINE ||
	    (p->skip_list && is_byte(t, ',')));
}

void
rd_parser_next(struct rd_parser *p)
{
	struct rd_token *t = &p->token;

	p->previous = *t;
	token_fetch(p, t);
	p->second = p->first;
	p->first = false;
	if (!p->skip && p->start && t->kind != RD_K_NEWLINE) {
		statement_check(p, t);
		p->start = false;
		p->first = true;
	}
	if (!p->skip && p->section == RD_S_TABLE)
		host_check(p, t);
	depth_count(p);
	while (p->skip && !skip_stops(p)) {
		token_fetch(p, t);
		depth_count(p);
	}
	if (p->skip && t->kind == RD_K_END && p->depth > p->skip_depth)
		p->broken = true;
	p->skip = false;
	if (t->kind == RD_K_NEWLINE && p->depth == p->base)
		p->start = true;
}

/* ---- errors ---- */

static const char *const section_hints[] = {
	[RD_S_TOP] = "a statement was expected",
	[RD_S_TABLE] = "a host was expected",
	[RD_S_REDIRECT] = "an option of a redirect was expected",
	[RD_S_RELAY] = "an option of a relay was expected",
	[RD_S_PROTOCOL] = "an option of a protocol was expected",
	[RD_S_ROUTER] = "an option of a router was expected",
};

/* What the parser would have taken, without words that are words only in
 * their place: these are strings. */
struct expected {
	enum rd_kind	 kinds[RD_KINDS];
	size_t		 n;
	const char	*bytes;
	bool		 string, number, newline;
};

static void
hint_string(const struct rd_token *t, struct str *out)
{
	str_add(out, "a string was expected");
	if (is_byte(t, '/'))
		str_add(out, " (quote paths)");
	else if (t->kind == RD_K_NUMBER)
		str_add(out, " (quote numbers)");
	else if (rd_kind_reserved(t->kind))
		str_add(out, " (\"%s\" is a reserved word, quote it)",
		    t->word.text);
}

/* A few things by name. */
static void
hint_names(const struct expected *e, struct str *out)
{
	size_t nbytes = strlen(e->bytes), i = 0;
	size_t n = e->n + nbytes + e->newline + e->string;

#define JOINT	(i == 0 ? "" : i + 1 == n ? " or " : ", ")
	for (; i < e->n; i++)
		str_add(out, "%s\"%s\"", JOINT, rd_kind_text(e->kinds[i]));
	for (; i < e->n + nbytes; i++)
		str_add(out, "%s\"%c\"", JOINT, e->bytes[i - e->n]);
	if (e->string)
		str_add(out, "%sa string", JOINT);
	if (e->newline)
		str_add(out, "%sthe end of the line", JOINT);
#undef JOINT
	str_add(out, " was expected");
}

#define HINT_NAMES	4		/* things; more are not named */

static void
hint(const struct rd_parser *p, const struct expected *e, struct str *out)
{
	const struct rd_token *t = &p->token;
	size_t n = e->n + strlen(e->bytes) + e->newline + e->string;

	if (t->kind == RD_K_END && strchr(e->bytes, '}') != NULL)
		str_add(out, "\"}\" was expected");
	else if (p->first)
		str_add(out, "%s", section_hints[p->section]);
	else if (p->section == RD_S_TABLE && e->string)
		str_add(out, "%s", section_hints[RD_S_TABLE]);
	else if (e->string && (n == 1 || is_byte(t, '/')))
		hint_string(t, out);
	else if (e->string && e->number)
		str_add(out, "a number or a string was expected");
	else if (e->number)
		str_add(out, "a number was expected");
	else if (p->list_open && e->newline)
		str_add(out, "an option was expected");
	else if (n > 0 && n <= HINT_NAMES)
		hint_names(e, out);
	else if (e->newline)
		str_add(out, "an option or the end of the line was expected");
	else
		str_add(out, "an option was expected");
}

#define LOG_WORDS \
	"\"state changes\", \"host checks\" or \"connection [errors]\""

/* Words behind which anything else than a known one is named as such. */
static bool
unexpected_word(struct rd_parser *p)
{
	const struct rd_token *t = &p->token;

	bool log = p->previous.kind == RD_K_LOG && p->second &&
	    p->section == RD_S_TOP;
	char shown[128];

	if (log && t->kind != RD_K_STRING && rd_kind_text(t->kind) == NULL) {
		diag_error(p->diag, &t->word.place,
		    "unexpected %s, " LOG_WORDS " was expected",
		    rd_token_show(t, shown, sizeof shown));
		return true;
	}
	if (log) {
		diag_error(p->diag, &t->word.place, "unknown log option "
		    "\"%.256s\", expected " LOG_WORDS, t->word.text);
		return true;
	}
	if (t->kind != RD_K_STRING && rd_kind_text(t->kind) == NULL)
		return false;
	if (p->previous.kind == RD_K_CHECK) {
		diag_error(p->diag, &t->word.place, "unknown check "
		    "\"%.256s\"", t->word.text);
		return true;
	}
	return false;
}

/* What a line outside of sections begins with, but for a macro's name. */
static const enum rd_kind statements[] = { RD_K_AGENTX, RD_K_HTTP,
    RD_K_INCLUDE, RD_K_INTERVAL, RD_K_LOG, RD_K_PREFORK, RD_K_PROTOCOL,
    RD_K_REDIRECT, RD_K_RELAY, RD_K_ROUTER, RD_K_SOCKET, RD_K_TABLE,
    RD_K_TCP, RD_K_TIMEOUT };

#define NSTATEMENTS	(sizeof statements / sizeof statements[0])

/*
 * Any word may begin a line, as the name of a macro or the type of a
 * protocol. If what follows is neither, the word itself is what is wrong.
 */
static bool
unexpected_statement(struct rd_parser *p, const char **bytes)
{
	const struct rd_token *t = &p->previous;
	char shown[128];
	const char *near;

	if (!p->second || p->section != RD_S_TOP ||
	    strchr(*bytes, '=') == NULL)
		return false;
	*bytes = "";
	for (size_t i = 0; i < NSTATEMENTS; i++) {
		if (t->kind == statements[i])
			return false;
	}
	near = rd_kind_near(t, statements, NSTATEMENTS);
	diag_error(p->diag, &t->word.place,
	    "unexpected %s, a statement was expected%s%s%s",
	    rd_token_show(t, shown, sizeof shown),
	    near == NULL ? "" : " (did you mean \"",
	    near == NULL ? "" : near, near == NULL ? "" : "\"?)");
	return true;
}

void
rd_parser_unexpected(struct rd_parser *p, const enum rd_kind *kinds,
    size_t nkinds, const char *bytes)
{
	struct expected e = { 0 };
	char shown[128], why[1024];
	const char *near;
	struct str out;

	if (p->broken || unexpected_word(p) ||
	    unexpected_statement(p, &bytes))
		return;
	e.bytes = bytes;
	if (p->token.kind == RD_K_END)
		p->broken = true;	/* the rest are consequences */
	for (size_t i = 0; i < nkinds; i++) {
		e.string = e.string || kinds[i] == RD_K_STRING;
		/* of a macro's value it would be an error, too */
		e.number = e.number || (kinds[i] == RD_K_NUMBER &&
		    !is_byte(&p->previous, '='));
		e.newline = e.newline || kinds[i] == RD_K_NEWLINE;
	}
	for (size_t i = 0; i < nkinds; i++) {
		if (rd_kind_reserved(kinds[i]) || (!e.string &&
		    rd_kind_text(kinds[i]) != NULL))
			e.kinds[e.n++] = kinds[i];
	}
	str_init(&out, why, sizeof why);
	hint(p, &e, &out);
	near = rd_kind_near(&p->token, e.kinds, e.n);
	if (near != NULL)
		str_add(&out, " (did you mean \"%s\"?)", near);
	diag_error(p->diag, &p->token.word.place, "unexpected %s, %s",
	    rd_token_show(&p->token, shown, sizeof shown), why);
}

bool
rd_parser_recover(struct rd_parser *p, unsigned depth, bool list, bool seen)
{
	if (p->list_open && !list) {
		p->list_open = false;
		rd_statement_failed(p->build);
		rd_list_end(p->build);
	} else {
		rd_statement_failed(p->build);
	}
	if (depth == 0)
		rd_section_leave(p);
	p->skip_depth = depth;
	p->skip_list = list;
	if (seen && skip_stops(p))
		return false;
	p->skip = true;
	p->start = false;
	return true;
}

/* ---- sections ---- */

void
rd_section_enter(struct rd_parser *p, enum rd_where section,
    const struct rd_word *name)
{
	p->section = section;
	p->section_name = name->text;
	p->base = 1;
	p->start = section != RD_S_TABLE;
}

void
rd_section_leave(struct rd_parser *p)
{
	enum rd_where open = p->open;

	p->open = p->section = RD_S_TOP;
	p->section_name = NULL;
	p->base = 0;
	switch (open) {
	case RD_S_TOP:
		break;
	case RD_S_TABLE:
		rd_table_end(p->build);
		break;
	case RD_S_REDIRECT:
		rd_redirect_end(p->build);
		break;
	case RD_S_RELAY:
		rd_relay_end(p->build);
		break;
	case RD_S_PROTOCOL:
		rd_protocol_end(p->build);
		break;
	case RD_S_ROUTER:
		rd_router_end(p->build);
		break;
	}
}

void
rd_read(const struct rd_request *request, struct source *source,
    struct diag *diag, struct rd_build *build, struct diag_place *end)
{
	struct rd_parser p = { .request = request, .diag = diag,
	    .build = build, .arena = rd_build_arena(build), .start = true };

	diag_every(diag);
	*end = (struct diag_place){ .file = request->file };
	p.lex = rd_lex_new(request, source, diag, p.arena);
	if (p.lex == NULL) {
		rd_statement_failed(build);
		return;
	}
	if (rd_grammar_parse(&p) == 2)
		diag_error(diag, NULL, "%s", "out of memory");
	if (p.list_open)
		rd_list_end(build);
	rd_section_leave(&p);
	*end = rd_lex_place(p.lex);
	if (request->verbose && diag_errors(diag) == 0)
		rd_lex_unused(p.lex);
}
