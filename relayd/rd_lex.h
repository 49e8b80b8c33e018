/*
 * Tokens of relayd.conf: files and what they include, macros, continuation,
 * comments, quotes, numbers (section 1 of the language's specification).
 * Knows every word and no order of words.
 */
#ifndef RELAYD_RD_LEX_H
#define RELAYD_RD_LEX_H

#include "rd_build.h"
#include "rd_keywords.h"

#define RD_TOKEN_MAX	8095		/* bytes, E07 */
#define RD_INCLUDES	16		/* nesting, E09 */

enum rd_kind {
	RD_K_END,			/* of the main file */
	RD_K_NEWLINE,
	RD_K_STRING,
	RD_K_NUMBER,
	RD_K_BYTE,			/* punctuation, and what is nothing */
	RD_K_BAD,			/* an error, and it was reported */
#define RD_KIND(name, text) RD_K_##name,
	RD_RESERVED(RD_KIND)
	RD_PLACE_WORDS(RD_KIND)
#undef RD_KIND
	RD_KINDS
};

struct rd_token {
	enum rd_kind	 kind;
	/* Any token has a text; place is where it begins. */
	struct rd_word	 word;
	int64_t		 number;	/* RD_K_NUMBER */
};

struct rd_lex;

/* A reader of request->file, in the arena, as all texts and places. NULL,
 * and the diag says why: it cannot be read. */
struct rd_lex	*rd_lex_new(const struct rd_request *, struct source *,
		    struct diag *, struct arena *);
/* RD_K_END for ever, once it came. */
void		 rd_lex_next(struct rd_lex *, struct rd_token *);
/* The tokens of that file come next; false: an error, and it was reported. */
bool		 rd_lex_include(struct rd_lex *, const struct rd_word *path);
void		 rd_lex_define(struct rd_lex *, const struct rd_word *name,
		    const struct rd_word *value);
/* Warnings about macros that nobody used. */
void		 rd_lex_unused(const struct rd_lex *);
/* Where the main file ends, or how far it was read. */
struct diag_place rd_lex_place(const struct rd_lex *);

bool		 rd_kind_reserved(enum rd_kind);
/* How it is written; NULL: no word. */
const char	*rd_kind_text(enum rd_kind);
/* Of the kinds that may come, the one that was probably meant; NULL. */
const char	*rd_kind_near(const struct rd_token *, const enum rd_kind *,
		    size_t n);
/* How a token is shown: "word", 80, end of line. */
const char	*rd_token_show(const struct rd_token *, char *buf, size_t);

#endif
