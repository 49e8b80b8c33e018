/*
 * A compiled configuration as a list of facts, made to be compared. What a
 * reload does and what --plan shows both come from comparing two such lists
 * (2.8), so that they cannot disagree. It holds no secret: of secrets it has
 * a digest, salted per service, so that a change shows and nothing else.
 */
#ifndef SPAWND_FACTS_H
#define SPAWND_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compiled;
struct program;

enum fact_kind { FACT_LISTENER, FACT_DESTINATION, FACT_WORKER, FACT_LIMIT,
    FACT_TLS, FACT_ACL, FACT_MAVIS, FACT_OPTION };

/* What becomes of it when it changes; ordered by weight. */
enum fact_effect {
	EFFECT_NOW,		/* "now" */
	EFFECT_SESSIONS,	/* "new sessions" */
	EFFECT_WORKERS,		/* "replaces workers" */
	EFFECT_RESTART		/* "restart needed": a reload leaves it */
};

/*
 * A thing (option NULL), or a setting of one. A setting that has its usual
 * value is left out of the list. Settings of things that come or go are no
 * changes of their own.
 */
struct fact {
	enum fact_kind	 kind;
	enum fact_effect effect;
	bool		 secret;	/* value is a digest; shown as *** */
	uint32_t	 row_kind;	/* BOARD_LISTENER, BOARD_DESTINATION:
					   the sessions behind it are those of
					   the row; 0: all of the service */
	uint32_t	 rank;		/* position, where order matters, the
					   first one first; 0 */
	const char	*name;		/* with option unique in its kind: one
					   that is not gets "#2" */
	const char	*option;
	const char	*value;
	const char	*usual;		/* value of settings left out; NULL:
					   a thing, or never left out */
	const char	*row;		/* name of the row; NULL with 0 */
	const char	*shown;		/* what people call it; NULL: name */
};

struct facts;

#define FACTS_SALT	16
#define FACTS_FAILED	((size_t)-1)

/* Empty; NULL: no memory. */
struct facts	*facts_new(const uint8_t salt[FACTS_SALT]);
void		 facts_free(struct facts *);
/* Strings are copied. Out of memory is remembered, and facts_end fails. */
void		 facts_add(struct facts *, const struct fact *);
/* value is hashed with the salt, and the fact marked as secret. */
void		 facts_add_secret(struct facts *, struct fact,
		    const void *value, size_t len);
/*
 * The same in short: base with that option and value, in the forms they come
 * in. usual as in struct fact; with option NULL there is none. A NULL text is
 * "none". Of a digest the beginning shows.
 */
void		 facts_text(struct facts *, const struct fact *base,
		    const char *option, const char *value, const char *usual);
void		 facts_number(struct facts *, const struct fact *base,
		    const char *option, uint64_t value, uint64_t usual);
void		 facts_bool(struct facts *, const struct fact *base,
		    const char *option, bool value, bool usual);
void		 facts_digest(struct facts *, const struct fact *base,
		    const char *option, const uint8_t digest[32]);
/* Complete and ready; -1, errno. */
int		 facts_end(struct facts *);
const uint8_t	*facts_salt(const struct facts *);
size_t		 facts_count(const struct facts *);

/* All of a configuration: the broker's, and by program->facts the
 * worker's. NULL, errno. */
struct facts	*facts_of(const struct program *, const struct compiled *,
		    const uint8_t salt[FACTS_SALT]);
/* The broker's half only; spawnd/facts_broker.c */
void		 facts_broker(const struct program *,
		    const struct compiled *, struct facts *);

/* A sealed memory file with them, and back. -1 or NULL, errno; EBADMSG: not
 * a list of facts, EPROTO: of another version. fd stays the caller's. */
int		 facts_save(const struct facts *);
struct facts	*facts_load(int fd);

/* Both are gone when the callback returns; shown is what it is called. */
struct fact_change {
	const struct fact	*old, *new;	/* NULL: added, removed */
};

/* Every difference, in order of kind and name. Returns how many;
 * FACTS_FAILED: no memory, nothing was said. */
size_t		 facts_compare(const struct facts *old,
		    const struct facts *new,
		    void (*change)(void *, const struct fact_change *),
		    void *);
/* The greater weight of the two sides. */
enum fact_effect facts_effect(const struct fact_change *);

/* What is true once new has been adopted where old was: new, but what needs
 * a restart is as in old. NULL: errno. */
struct facts	*facts_adopt(const struct facts *old,
		    const struct facts *new);

#endif
