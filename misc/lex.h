/*
 * Tokens of the `id = NAME { }` language: files, includes, aliases,
 * environment. Knows no directive. What is wrong with the text goes to the
 * diag; the reader gets tokens to the end in any case: a file that is broken
 * off is completed with the braces that are missing, and such tokens are
 * marked, since whatever is wrong with them is only a consequence.
 */
#ifndef MISC_LEX_H
#define MISC_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "diag.h"
#include "pool.h"
#include "source.h"

#define LEX_TOKEN_MAX	65535	/* bytes in the file */
#define LEX_NESTING	16	/* of includes */

enum lex_kind { LEX_END, LEX_WORD, LEX_STRING, LEX_DELIM };

struct lex_token {
	enum lex_kind		 kind;
	/* With a NUL behind its end and none within. */
	const char		*text;
	size_t			 len;
	struct diag_place	 place;
	unsigned		 depth;		/* of its file; main: 0 */
	bool			 glued;		/* no white space before it */
	bool			 made;		/* see above */
};

/* A token that is not an ordinary one. */
#define LEX_RAW		1u	/* no alias stands for anything */
#define LEX_SKIP	2u	/* raw, and strings are only passed over */

struct lex;

/*
 * A reader of the file, through source. The text of tokens is in memory of
 * the reader; places are in the arena given and point to names that the
 * source owns, so that they outlive it. NULL and errno when the file cannot
 * be read.
 */
struct lex	*lex_new(struct source *, struct diag *, struct arena *places,
		    const char *file);
/* The same, shown as another name in places. */
struct lex	*lex_new_as(struct source *, struct diag *,
		    struct arena *places, const char *file, const char *name);
/*
 * The same for a file that may be a URL: key is a file of public keys that
 * it is held to, or NULL; what there is to be said of it goes to from.
 */
struct lex	*lex_new_signed(struct source *, struct diag *,
		    struct arena *places, const char *file, const char *key,
		    const struct diag_place *from);
/* What is to be said of a document that came by URL, as a warning. */
void		 lex_fetched(const struct source *, struct diag *,
		    const struct diag_place *from, const char *url);
/* Whether the file being read came by URL. */
bool		 lex_remote(const struct lex *);
/* The file of public keys that URLs are held to which are named here; NULL:
 * none. It is that of the file that is read, and begins as that of the one
 * that includes it. */
const char	*lex_key(const struct lex *);
void		 lex_set_key(struct lex *, const char *file);
void		 lex_free(struct lex *);
/* Every token, with file, line and kind. */
void		 lex_trace(struct lex *, FILE *);

/* A place in the text that is read, behind the token that came last. */
struct lex_mark {
	const void	*input;		/* NULL: within an alias */
	size_t		 at;
};
struct lex_mark	 lex_mark(const struct lex *);
/* The text since then. NULL: it was not all in one file. */
const char	*lex_since(const struct lex *, const struct lex_mark *,
		    size_t *len);

/* The next token. LEX_END comes at the end of each included file, with its
 * depth, and then for ever at the end of the main file. */
void		 lex_next(struct lex *, struct lex_token *, unsigned flags);

/*
 * The tokens of the files that match come next. place is that of the pattern.
 * quoted: braces are expanded. $CONFDIR/ is the directory of the main file.
 */
void		 lex_include(struct lex *, const char *pattern, bool quoted,
		    const struct diag_place *);

/* *tok is the '{' behind the name; it will be the closing brace. From then on
 * the word stands for what is between them. */
void		 lex_alias(struct lex *, const struct lex_token *name,
		    struct lex_token *tok);

/* How a token is shown: 'word', "string", end of file. */
const char	*lex_show(const struct lex_token *, char *buf, size_t);
static inline bool
lex_is(const struct lex_token *tok, char delim)
{
	return tok->kind == LEX_DELIM && tok->text[0] == delim &&
	    tok->text[1] == '\0';
}

#endif
