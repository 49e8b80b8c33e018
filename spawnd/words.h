/*
 * What the log says of a service, in the broker's words or, for a program
 * with manners of its own, in those of a service with parent and children.
 * One table has both.
 */
#ifndef SPAWND_WORDS_H
#define SPAWND_WORDS_H

#include <sys/types.h>

struct program;

/* Behind each: what is said with it, in the form of its text in words.c. */
enum word {
	WORD_START,		/* version, in which way */
	WORD_UNUSABLE,
	WORD_END,		/* signal */
	WORD_STOP,		/* why */
	WORD_GONE,		/* pid: the service has ended */
	WORD_HUP,
	WORD_RELOAD,
	WORD_RELOAD_DONE,	/* listeners kept, added, removed; workers
				   kept, replaced */
	WORD_RELOAD_FAILED,	/* reason */
	WORD_RELOAD_REFUSED,	/* first error; all of them were logged */
	WORD_RELOAD_FILE,	/* its name; behind one of these two */
	WORD_GOES_ON,		/* generation, listeners, workers */
	WORD_LISTENING,		/* address */
	WORD_LIMIT,		/* pid of a worker, connections */
	WORD_WORKER,		/* version; a worker's own words from here */
	WORD_MECHANISM,		/* name */
	WORD_UNNEEDED,
	WORD_DRAIN,		/* connections */
	WORD_ORPHAN,
	WORD_CHILD_END,		/* signal */
	WORD_CHILD_GONE,	/* title, pid */
	WORDS
};

/* Which of them, once at the start of a process. */
void	 words_of(const struct program *);
void	 words_say(enum word, ...);
/* Why the process ends. For operators of a service that is critical, for those
 * of a broker an error. */
void	 words_fatal(const char *text);
/* A child that was needed has ended. */
void	 words_lost(const char *title, pid_t, int wstatus);

#endif
