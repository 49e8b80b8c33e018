/*
 * Configuration for workers that are not ours: the tokens of one section.
 * Knows the directives of every section (include, alias, setenv) and leaves
 * the rest to the caller.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/lex.h"
#include "given.h"
#include "spawnd.h"

struct spawnd_conf_reader {
	struct arena		*arena;
	struct source		*source;
	struct diag		*diag;
	struct lex		*lex;
	const char		*id;
	const char		*name;		/* of the file, as shown */
	struct lex_token	 tok;		/* in hand */
	unsigned		 nest;		/* 0: between sections */
	unsigned		 found;		/* sections with the id */
	bool			 value;		/* an '=' was the last one */
};

extern char **environ;

static void
next(struct spawnd_conf_reader *r)
{
	r->value = lex_is(&r->tok, '=');
	lex_next(r->lex, &r->tok, 0);
}

static bool
is_directive(const struct spawnd_conf_reader *r, const char *word)
{
	return r->tok.kind == LEX_WORD && !r->value &&
	    strcmp(r->tok.text, word) == 0;
}

static bool
has_value(struct spawnd_conf_reader *r)
{
	if (r->tok.kind == LEX_WORD || r->tok.kind == LEX_STRING)
		return true;
	if (!r->tok.made)
		diag_error(r->diag, &r->tok.place, "value missing");
	return false;
}

static void
pass_equals(struct spawnd_conf_reader *r)
{
	if (lex_is(&r->tok, '='))
		next(r);
}

/* ---- what every section has ---- */

static void
include_read(struct spawnd_conf_reader *r)
{
	next(r);
	pass_equals(r);
	if (!has_value(r))
		return;
	lex_include(r->lex, r->tok.text, r->tok.kind == LEX_STRING,
	    &r->tok.place);
	next(r);
}

static void
setenv_read(struct spawnd_conf_reader *r)
{
	const char *name;

	next(r);
	if (!has_value(r))
		return;
	name = r->tok.text;
	next(r);
	pass_equals(r);
	if (!has_value(r))
		return;
	source_setenv(r->source, name, r->tok.text, false);
	next(r);
}

static void
alias_read(struct spawnd_conf_reader *r)
{
	struct lex_token name;

	lex_next(r->lex, &r->tok, LEX_RAW);
	if (lex_is(&r->tok, '='))
		lex_next(r->lex, &r->tok, LEX_RAW);
	if (!has_value(r))
		return;
	name = r->tok;
	lex_next(r->lex, &r->tok, LEX_RAW);
	if (!lex_is(&r->tok, '{')) {
		if (!r->tok.made)
			diag_error(r->diag, &r->tok.place, "Expected '{'");
		return;
	}
	lex_alias(r->lex, &name, &r->tok);
	next(r);
}

static const struct {
	const char	*word;
	void		(*read)(struct spawnd_conf_reader *);
} directives[] = {
	{ "include", include_read },
	{ "setenv", setenv_read },
	{ "alias", alias_read },
};

static bool
directive_read(struct spawnd_conf_reader *r)
{
	for (size_t i = 0; i < sizeof directives / sizeof directives[0];
	    i++) {
		if (is_directive(r, directives[i].word)) {
			directives[i].read(r);
			return true;
		}
	}
	return false;
}

/* ---- sections ---- */

/* With '{' in hand, to behind its '}'. */
static void
block_skip(struct spawnd_conf_reader *r)
{
	unsigned nest = 1;

	while (nest > 0 && r->tok.kind != LEX_END) {
		lex_next(r->lex, &r->tok, LEX_SKIP);
		nest += lex_is(&r->tok, '{');
		nest -= lex_is(&r->tok, '}');
	}
	next(r);
}

static void
section_read(struct spawnd_conf_reader *r)
{
	bool wanted;

	next(r);
	pass_equals(r);
	if (!has_value(r))
		return;
	wanted = strcmp(r->tok.text, r->id) == 0;
	next(r);
	if (!lex_is(&r->tok, '{')) {
		if (!r->tok.made)
			diag_error(r->diag, &r->tok.place, "Expected '{'");
	} else if (wanted) {
		r->found++;
		r->nest = 1;
		next(r);
	} else {
		block_skip(r);
	}
}

/* Between sections: true while there is more of the file. */
static bool
top_read(struct spawnd_conf_reader *r)
{
	if (r->tok.kind == LEX_END) {
		if (r->tok.depth == 0)
			return false;
		next(r);
	} else if (is_directive(r, "id")) {
		section_read(r);
	} else if (!directive_read(r)) {
		if (lex_is(&r->tok, '{'))
			block_skip(r);
		else
			next(r);
	}
	return true;
}

/*
 * The token in hand if it is the section's; false: it was not, and another
 * one is in hand.
 */
static bool
body_read(struct spawnd_conf_reader *r)
{
	if (r->tok.kind == LEX_END) {
		if (r->tok.depth == 0)
			r->nest = 0;	/* the file is wrong, and said so */
		next(r);
		return false;
	}
	if (directive_read(r))
		return false;
	if (lex_is(&r->tok, '}') && --r->nest == 0) {
		next(r);
		return false;
	}
	r->nest += lex_is(&r->tok, '{');
	return true;
}

/* To the next token of a section with the id; false: there is none. */
static bool
token_find(struct spawnd_conf_reader *r)
{
	for (;;) {
		if (r->nest > 0) {
			if (body_read(r))
				return true;
		} else if (!top_read(r)) {
			return false;
		}
	}
}

/* ---- the public half ---- */

static bool
file_open(struct spawnd_conf_reader *r, const char *file)
{
	lex_free(r->lex);
	source_env_reset(r->source);
	r->found = 0;
	r->nest = 0;
	r->lex = lex_new_as(r->source, r->diag, r->arena, file, r->name);
	if (r->lex == NULL)
		return false;
	r->tok = (struct lex_token){ .kind = LEX_END };
	next(r);
	return true;
}

void
spawnd_conf_close(struct spawnd_conf_reader *r)
{
	if (r == NULL)
		return;
	lex_free(r->lex);
	diag_free(r->diag);
	source_free(r->source);
	if (r->arena != NULL)
		arena_free(r->arena);
	free(r);
}

/* What the master hands over has its own name. */
static bool
given_take(struct spawnd_conf_reader *r, const char *file)
{
	struct given g;

	if (given_open(file, &g) == -1)
		return false;
	r->name = arena_strdup(r->arena, g.name);
	if (g.text != NULL)
		source_add(r->source, SOURCE_TEXT, file, g.text, g.len);
	given_clear(&g);
	return true;
}

/* Read once to see that there is such a section and that all is well. */
struct spawnd_conf_reader *
spawnd_conf_open(const char *file, const char *id)
{
	struct spawnd_conf_reader *r = calloc(1, sizeof *r);
	int error = ENOMEM;

	if (r == NULL || (r->arena = arena_new()) == NULL ||
	    (r->diag = diag_new()) == NULL ||
	    (r->source = source_gather(environ)) == NULL)
		goto fail;
	r->id = arena_strdup(r->arena, id);
	if (!given_take(r, file) || !file_open(r, file)) {
		error = errno;
		goto fail;
	}
	while (token_find(r))
		next(r);
	if (diag_errors(r->diag) > 0)
		return r;		/* spawnd_conf_next tells */
	error = r->found == 0 ? ENOENT : 0;
	if (error == 0 && file_open(r, file))
		return r;
fail:
	spawnd_conf_close(r);
	errno = error != 0 ? error : EIO;
	return NULL;
}

static int
error_tell(const struct spawnd_conf_reader *r, struct spawnd_token *t)
{
	const struct diag_place *place;

	t->text = diag_first_text(r->diag, &place);
	t->len = strlen(t->text);
	if (place != NULL) {
		t->file = place->file;
		t->line = place->line;
	}
	return -1;
}

int
spawnd_conf_next(struct spawnd_conf_reader *r, struct spawnd_token *t)
{
	static const enum spawnd_token_kind kinds[] = {
		[LEX_END] = SPAWND_TOKEN_END,
		[LEX_WORD] = SPAWND_TOKEN_WORD,
		[LEX_STRING] = SPAWND_TOKEN_STRING,
		[LEX_DELIM] = SPAWND_TOKEN_DELIM,
	};
	bool found;

	*t = (struct spawnd_token){ .kind = SPAWND_TOKEN_END, .text = "",
	    .file = r->tok.place.file, .line = r->tok.place.line };
	if (diag_errors(r->diag) > 0)
		return error_tell(r, t);
	found = token_find(r);
	if (diag_errors(r->diag) > 0)
		return error_tell(r, t);
	t->file = r->tok.place.file;
	t->line = r->tok.place.line;
	if (!found)
		return 0;
	t->kind = kinds[r->tok.kind];
	t->text = r->tok.text;
	t->len = r->tok.len;
	next(r);
	return 1;
}
