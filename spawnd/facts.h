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
#include <stdio.h>

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

struct fact {
	enum fact_kind	 kind;
	enum fact_effect effect;
	bool		 secret;	/* value is a digest; shown as *** */
	uint32_t	 row_kind;	/* BOARD_LISTENER, BOARD_DESTINATION:
					   the sessions behind it are those of
					   the row; 0: all of the service */
	const char	*name;		/* unique within its kind */
	const char	*value;
	const char	*row;		/* name of the row; NULL with 0 */
};

struct facts;

#define FACTS_SALT	16

/* Empty; NULL: no memory. */
struct facts	*facts_new(const uint8_t salt[FACTS_SALT]);
void		 facts_free(struct facts *);
/* Strings are copied. Out of memory is remembered, and facts_end fails. */
void		 facts_add(struct facts *, const struct fact *);
/* value is hashed with the salt, and the fact marked as secret. */
void		 facts_add_secret(struct facts *, struct fact,
		    const void *value, size_t len);
/* Sorted and ready; -1, errno. */
int		 facts_end(struct facts *);
const uint8_t	*facts_salt(const struct facts *);

/* All of a configuration: the broker's, and by program->facts the
 * worker's. NULL, errno. */
struct facts	*facts_of(const struct program *, const struct compiled *,
		    const uint8_t salt[FACTS_SALT]);

/* A sealed memory file with them, and back. -1 or NULL, errno; EBADMSG: not
 * a list of facts, EPROTO: of another version. fd stays the caller's. */
int		 facts_save(const struct facts *);
struct facts	*facts_load(int fd);

struct fact_change {
	const struct fact	*old, *new;	/* NULL: added, removed */
};

/* Every difference, in order of kind and name. Returns how many. */
size_t		 facts_compare(const struct facts *old,
		    const struct facts *new,
		    void (*change)(void *, const struct fact_change *),
		    void *);

#endif
