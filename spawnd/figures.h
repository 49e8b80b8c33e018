/*
 * What a service shows of itself (2.7): the figures of a board, summed up.
 * Of tables, log lines and JSON members there is one description.
 */
#ifndef SPAWND_FIGURES_H
#define SPAWND_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include "board.h"

#define FIGURE_UNKNOWN	UINT64_MAX	/* nobody counts it */

struct figures_worker {
	uint64_t	 number, pid, generation, users, max, served, age;
	const char	*state;
};

struct figures_listener {
	char		 label[BOARD_LABEL], text[BOARD_TEXT];
	const char	*accept, *state;
	uint64_t	 users, accepted, refused;
	uint64_t	 rank;		/* in the table */
};

struct figures_destination {
	char		 text[BOARD_TEXT], label[BOARD_LABEL];
	const char	*state;
	uint64_t	 weight, sessions, total, failures, in, out;
	uint64_t	 rank;
};

struct figures {
	char				 program[32], version[64];
	uint64_t			 pid, uptime, generation, users;
	uint64_t			 capacity;
	const char			*overload;
	struct figures_worker		*workers;
	struct figures_listener		*listeners;
	struct figures_destination	*destinations;
	size_t				 nworkers, nlisteners, ndestinations;
	uint64_t			 ended[BOARD_ENDS];
};

/* One column of a table; name NULL ends. */
struct figure {
	const char	*name;
	enum { FIGURE_CHARS, FIGURE_WORD, FIGURE_NUMBER } kind;
	size_t		 offset;
};

extern const struct figure worker_figures[], listener_figures[],
    destination_figures[];
#define FIGURES_MAX	10	/* columns of a table */

/* Everything that stands on the board, whoever wrote it. now: monotonic, ns.
 * NULL: no memory. */
struct figures	*figures_take(const struct board *, uint64_t now);
void		 figures_free(struct figures *);

/* Live sessions behind a row; of all of the service with kind 0. */
uint64_t	 figures_behind(const struct board *, uint32_t kind,
		    const char *name);

/* A text, or NULL if it is a number. */
const char	*figure_text(const struct figure *, const void *object);
uint64_t	 figure_number(const struct figure *, const void *object);

#endif
