/*
 * Tokens are passed on as they were written. Nothing is known of them but
 * the two directives that every section has in common and that matter here:
 * include, and verify key.
 */
#include <stdlib.h>
#include <string.h>

#include "../misc/lex.h"
#include "../misc/url.h"
#include "foreign.h"

struct foreign {
	struct source		*source;
	struct diag		*diag;		/* of who asks */
	struct diag		*quiet;		/* of the lexer */
	struct lex		*lex;
	struct lex_mark		 marks[LEX_NESTING + 2];	/* by depth */
	struct lex_token	 tok;
	const char		*raw;		/* before it, and it */
	size_t			 rawlen;
	unsigned		 nest;		/* of blocks */
	bool			 value;		/* behind an '=' */
	char			*out;
	size_t			 len, room;
	bool			 fresh;		/* nothing of this document yet */
	bool			 changed, broken;
};

/* ---- what goes out ---- */

static void
put(struct foreign *f, const char *text, size_t len)
{
	char *more;

	if (f->room - f->len <= len) {
		size_t room = (f->room + len + 1) * 2;

		if ((more = realloc(f->out, room)) == NULL) {
			f->broken = true;
			return;
		}
		f->out = more;
		f->room = room;
	}
	memcpy(f->out + f->len, text, len);
	f->len += len;
}

/* White space and comments at its beginning. */
static size_t
gap(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && strchr(" \t\r\n#", text[at]) != NULL &&
	    text[at] != '\0') {
		if (text[at] == '#')
			while (at < len && text[at] != '\n')
				at++;
		else
			at++;
	}
	return at;
}

/* In one line; a line feed within a string is written otherwise. */
static void
put_flat(struct foreign *f)
{
	size_t at = gap(f->raw, f->rawlen), begin = at;

	if (!f->tok.glued || f->fresh)
		put(f, " ", 1);
	f->fresh = false;
	for (; at < f->rawlen; at++) {
		bool escape = f->raw[at] == '\\' && at + 1 < f->rawlen;

		if (f->tok.kind != LEX_STRING ||
		    (!escape && f->raw[at] != '\n'))
			continue;
		put(f, f->raw + begin, at - begin);
		if (!escape)
			put(f, "\\n", 2);
		else if (f->raw[++at] != '\n')	/* else it is no escape */
			put(f, f->raw + at - 1, 2);
		begin = at + 1;
	}
	put(f, f->raw + begin, f->rawlen - begin);
}

static void
put_token(struct foreign *f)
{
	if (f->tok.depth > 0)
		put_flat(f);
	else
		put(f, f->raw, f->rawlen);
}

/* ---- what comes in ---- */

/* false: the end of it all, or of what can be understood. */
static bool
next(struct foreign *f, unsigned flags)
{
	f->value = lex_is(&f->tok, '=');
	for (;;) {
		lex_next(f->lex, &f->tok, flags);
		if (f->tok.made || diag_errors(f->quiet) > 0)
			f->broken = true;
		if (f->broken)
			return false;
		f->raw = lex_since(f->lex, &f->marks[f->tok.depth],
		    &f->rawlen);
		f->marks[f->tok.depth] = lex_mark(f->lex);
		if (f->raw == NULL)
			f->raw = "", f->rawlen = 0;
		if (f->tok.kind != LEX_END)
			return true;
		if (f->tok.depth == 0)
			return false;
		put(f, " ", 1);
	}
}

static bool
is_word(const struct foreign *f, const char *word)
{
	return f->tok.kind == LEX_WORD && !f->value &&
	    strcmp(f->tok.text, word) == 0;
}

static bool
has_value(const struct foreign *f)
{
	return f->tok.kind == LEX_WORD || f->tok.kind == LEX_STRING;
}

/* As lex_include() would understand it. */
static bool
names_url(const struct foreign *f, bool remote)
{
	static const char confdir[] = "$CONFDIR/";

	return url_is(f->tok.text) || (remote && strncmp(f->tok.text,
	    confdir, sizeof confdir - 1) == 0);
}

/* The document in the place of the directive, which went out from `begin`
 * on. */
static void
document_take(struct foreign *f, size_t begin)
{
	size_t lines = 0, depth = f->tok.depth;
	const char *known = NULL, *url;

	for (size_t i = begin; i < f->len; i++)
		lines += f->out[i] == '\n';
	f->len = begin;
	while (lines-- > 0)
		put(f, "\n", 1);
	/* what is new is what this one brings */
	while ((url = source_url_next(f->source, known)) != NULL)
		known = url;
	lex_include(f->lex, f->tok.text, f->tok.kind == LEX_STRING,
	    &f->tok.place);
	if (diag_errors(f->quiet) > 0) {
		diag_merge(f->diag, f->quiet);
		f->broken = true;
		return;
	}
	while ((known = source_url_next(f->source, known)) != NULL)
		lex_fetched(f->source, f->diag, &f->tok.place, known);
	f->changed = f->fresh = true;
	if (depth < LEX_NESTING + 1)
		f->marks[depth + 1] = lex_mark(f->lex);
}

/* With the word in hand; what follows it is in hand afterwards. */
static bool
include_take(struct foreign *f, bool remote)
{
	size_t begin = f->len + (f->tok.depth > 0 ? 0 :
	    gap(f->raw, f->rawlen));

	put_token(f);
	if (!next(f, LEX_RAW))
		return false;
	if (lex_is(&f->tok, '=')) {
		put_token(f);
		if (!next(f, LEX_RAW))
			return false;
	}
	if (!has_value(f) || !names_url(f, remote))
		return true;
	put_token(f);
	document_take(f, begin);
	return !f->broken && next(f, LEX_SKIP);
}

/* verify key = FILE: from here on. */
static bool
key_take(struct foreign *f)
{
	put_token(f);
	if (!next(f, LEX_RAW) || !is_word(f, "key"))
		return !f->broken && f->tok.kind != LEX_END;
	put_token(f);
	if (!next(f, LEX_RAW))
		return false;
	if (lex_is(&f->tok, '=')) {
		put_token(f);
		if (!next(f, LEX_RAW))
			return false;
	}
	if (has_value(f) && !lex_remote(f->lex))
		lex_set_key(f->lex, f->tok.text);
	return true;
}

/* One token, or one directive. false: that was the last. */
static bool
step(struct foreign *f, bool remote)
{
	if (is_word(f, "include"))
		return include_take(f, remote);
	if (f->nest == 0 && is_word(f, "verify"))
		return key_take(f);
	f->nest += lex_is(&f->tok, '{');
	if (f->nest > 0)
		f->nest -= lex_is(&f->tok, '}');
	put_token(f);
	return next(f, LEX_SKIP);
}

static void
expand(struct foreign *f, const char *file)
{
	bool more, remote = url_is(file);

	f->tok = (struct lex_token){ .kind = LEX_END };
	f->marks[0] = lex_mark(f->lex);
	more = next(f, LEX_SKIP);
	while (more && !f->broken)
		more = step(f, remote);
	if (!f->broken)
		put(f, f->raw, f->rawlen);	/* behind the last token */
}

bool
foreign_read(struct source *source, struct diag *diag, struct arena *arena,
    const char *file, const char *key, const struct diag_place *from,
    struct foreign_text *text)
{
	struct foreign f = { .source = source, .diag = diag };

	*text = (struct foreign_text){ .text = NULL };
	if (source_document(source, file, key, &text->text, &text->len) == -1)
		return false;
	if ((f.quiet = diag_new()) == NULL)
		return true;
	f.lex = lex_new_signed(source, f.quiet, arena, file, key, from);
	if (f.lex != NULL) {
		expand(&f, file);
		if (f.changed && !f.broken) {
			text->text = arena_strndup(arena, f.out, f.len);
			text->len = f.len;
			text->changed = true;
		}
		lex_free(f.lex);
	}
	free(f.out);
	diag_free(f.quiet);
	return true;
}
