/*
 * Directives as rows of tables. A row's words are the directive, its kind
 * says how the value is read, checked and stored; what was expected, ranges,
 * "did you mean" and how reading goes on after an error (3.15) follow from
 * the tables.
 */
#ifndef MISC_KW_H
#define MISC_KW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diag.h"
#include "lex.h"
#include "pool.h"
#include "source.h"

struct kw_reader;

enum kw_kind {
	KW_KIND_END,
	KW_KIND_BOOL,		/* bool */
	KW_KIND_INT,		/* any unsigned or int, bounds */
	KW_KIND_SECONDS,	/* the same */
	KW_KIND_OCTAL,		/* the same */
	KW_KIND_TEXT,		/* const char * */
	KW_KIND_VALUE,		/* struct kw_value: text, and where it was */
	KW_KIND_WORD,		/* one of words; enum or int */
	KW_KIND_USER,		/* struct kw_owner */
	KW_KIND_GROUP,		/* the same */
	KW_KIND_CALL		/* the function reads what follows */
};

/* One of a set of words a value can be; text NULL at the end. */
struct kw_word {
	const char	*text;
	int		 value;
	bool		 tacit;		/* understood, but not shown */
};

/* A value that is looked at later, perhaps with others. */
struct kw_value {
	const char		*text;		/* NULL: not given */
	struct diag_place	 place;
};

/* userid and groupid of a block. A user by name brings his group. */
struct kw_owner {
	uid_t		 uid;
	gid_t		 gid, users_gid;
	const char	*user;		/* his name; NULL: by number */
	bool		 has_uid, has_gid, has_users_gid;
};

/* One directive. "a b|c" stands for "a b" and "a c". */
struct kw {
	const char		*words;
	enum kw_kind		 kind;
	size_t			 offset, size;	/* where the value goes */
	uint64_t		 min, max;
	const struct kw_word	*set;
	void			(*call)(struct kw_reader *, void *object);
	bool			 raw;	/* what follows is no alias */
};

#define KW_PLACE(type, member)						\
	.offset = offsetof(type, member),				\
	.size = sizeof(((type *)0)->member)
#define KW_BOOL(w, type, member)					\
	{ .words = w, .kind = KW_KIND_BOOL, KW_PLACE(type, member) }
#define KW_INT(w, type, member, lo, hi)					\
	{ .words = w, .kind = KW_KIND_INT, KW_PLACE(type, member),	\
	  .min = lo, .max = hi }
#define KW_SECONDS(w, type, member, lo, hi)				\
	{ .words = w, .kind = KW_KIND_SECONDS, KW_PLACE(type, member),	\
	  .min = lo, .max = hi }
#define KW_OCTAL(w, type, member, hi)					\
	{ .words = w, .kind = KW_KIND_OCTAL, KW_PLACE(type, member),	\
	  .max = hi }
#define KW_TEXT(w, type, member)					\
	{ .words = w, .kind = KW_KIND_TEXT, KW_PLACE(type, member) }
#define KW_VALUE(w, type, member)					\
	{ .words = w, .kind = KW_KIND_VALUE, KW_PLACE(type, member) }
#define KW_WORD(w, type, member, words_)				\
	{ .words = w, .kind = KW_KIND_WORD, KW_PLACE(type, member),	\
	  .set = words_ }
#define KW_USER(w, type, member)					\
	{ .words = w, .kind = KW_KIND_USER, KW_PLACE(type, member) }
#define KW_GROUP(w, type, member)					\
	{ .words = w, .kind = KW_KIND_GROUP, KW_PLACE(type, member) }
#define KW_CALL(w, function)						\
	{ .words = w, .kind = KW_KIND_CALL, .call = function }
#define KW_CALL_RAW(w, function)					\
	{ .words = w, .kind = KW_KIND_CALL, .call = function, .raw = true }
#define KW_END	{ .kind = KW_KIND_END }

/* Directives that may stand in a block, and what their values go to. */
struct kw_set {
	const struct kw	*table;
	void		*object;
};
#define KW_SETS	4

/* A block being read: on the stack of kw_block(). */
struct kw_block {
	struct kw_block		*outer;
	struct kw_set		 sets[KW_SETS];
	unsigned		 nsets;
	unsigned		 depth;		/* of the file with its '{' */
	unsigned		 line;		/* of its '{'; 0: top level */
	bool			 skipped;	/* errors hide parts of it */
	bool			 empty;		/* no directive came yet */
	/* A token that is no directive: true if it was something else that
	 * may stand here, and is consumed. */
	bool			(*other)(struct kw_reader *, void *object);
	void			*other_object;
};

struct kw_reader {
	struct lex		*lex;
	struct lex_token	 tok;		/* in hand, not consumed */
	struct diag		*diag;
	struct source		*source;
	struct arena		*arena;		/* of what is made */
	void			*owner;		/* who reads */
	/* Tables whose words no alias may take; NULL at the end. */
	const struct kw *const	*reserved;
	const struct kw_word *const *reserved_words;
	struct kw_block		*block;
	/* The directive in hand, as it was written, and its first word. */
	char			 name[128];
	struct diag_place	 place;
};

/* Takes the next token in hand. */
void	 kw_next(struct kw_reader *);
/* Everything to the end of the main file. */
void	 kw_top(struct kw_reader *, struct kw_block *);
/*
 * A block: an optional '=' where equals, '{', directives, '}'. false: it did
 * not begin. Otherwise b->skipped tells whether something may be missing from
 * what was read because of errors.
 */
bool	 kw_block(struct kw_reader *, struct kw_block *b, bool equals);

/* ---- for functions of rows ---- */

/* Passes over one '='. */
void	 kw_equals(struct kw_reader *);
/* Whether the token in hand is that word, unquoted. */
bool	 kw_is(const struct kw_reader *, const char *word);
/*
 * The token in hand is a value: then true, and it is still in hand. Otherwise
 * that is reported, and reading goes on elsewhere.
 */
bool	 kw_has_value(struct kw_reader *);
/* kw_has_value, and a copy of its text in the arena. NULL: reported. */
const char *kw_text(struct kw_reader *);
/* What is wrong with the value in hand: "NAME: ...". It is consumed. */
void	 kw_bad_value(struct kw_reader *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/* The same for a value that was read before. */
void	 kw_bad_place(struct kw_reader *, const struct diag_place *,
	    const char *, ...) __attribute__((format(printf, 3, 4)));
/* The word in hand if it is in the set, consumed; else reported. */
bool	 kw_word(struct kw_reader *, const struct kw_word *set, int *value);
/* Looks only: the value of the word in hand. */
bool	 kw_word_is(const struct kw_reader *, const struct kw_word *set,
	    int *value);
/* The number in hand, in its range: true, and it is still in hand. */
bool	 kw_number(struct kw_reader *, enum kw_kind, uint64_t min,
	    uint64_t max, uint64_t *value);
/* Any unquoted word out of several sets: reports what was expected, and goes
 * on elsewhere. */
void	 kw_expected(struct kw_reader *, const struct kw_word *const sets[],
	    unsigned nsets);
void	 kw_expected_text(struct kw_reader *, const char *expected);
/* Reports the token in hand (or the directive) as wrong, and goes on behind
 * it all. */
void	 kw_refuse(struct kw_reader *, const struct diag_place *,
	    const char *, ...) __attribute__((format(printf, 3, 4)));

/* Numbers as the language has them; false: errno EINVAL or ERANGE. */
bool	 kw_parse_int(const char *, uint64_t *);
bool	 kw_parse_seconds(const char *, uint64_t *);

extern const struct kw_word kw_bools[];
/* The word for a value, NULL: there is none. */
const char *kw_word_text(const struct kw_word *set, int value);

/* Reads and stores the value of a row; kw_value.c, for the walker. */
void	 kw_read(struct kw_reader *, const struct kw *, void *object);

/* Rows every block has: "include". */
void	 kw_include(struct kw_reader *, void *);
void	 kw_alias(struct kw_reader *, void *);

#endif
