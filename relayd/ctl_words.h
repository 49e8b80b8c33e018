/*
 * The words of relayctl: one table of its commands, and what a command line
 * means by it. Pure, but for the messages.
 */
#ifndef RELAYD_CTL_WORDS_H
#define RELAYD_CTL_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

/* What is done for a command; relayctl.c has a function for each. */
enum ctl_action {
	CTL_DO_MONITOR, CTL_DO_SHOW, CTL_DO_SESSIONS, CTL_DO_LOAD,
	CTL_DO_ORDER, CTL_DO_OBJECT, CTL_DO_LOG, CTL_DO_PLAN, CTL_DO_WHY,
	CTL_ACTIONS
};

/* What stands behind the words of a command. */
enum ctl_argument {
	CTL_ARG_NONE, CTL_ARG_REDIRECT, CTL_ARG_TABLE, CTL_ARG_HOST,
	CTL_ARG_PATH, CTL_ARG_SESSION, CTL_ARGUMENTS
};

/* Which rows of the dump a `show' prints. */
#define CTL_VIEW_SUMMARY	1u
#define CTL_VIEW_HOSTS		2u
#define CTL_VIEW_REDIRECTS	4u
#define CTL_VIEW_RELAYS		8u
#define CTL_VIEW_ROUTERS	16u

struct ctl_command {
	const char	*words[2];	/* the second one may be NULL */
	enum ctl_argument argument;
	enum ctl_action	 action;
	uint16_t	 type;		/* of the request */
	uint16_t	 value;		/* a view; of `log', verbose or not */
	bool		 whole;		/* only when it is spelled in full */
	bool		 json;		/* there is something to show as JSON */
};

extern const struct ctl_command ctl_commands[];
extern const size_t ctl_ncommands;

/*
 * The command that the words say, and the argument behind them (else NULL).
 * NULL: what is wrong with them went to err.
 */
const struct ctl_command *ctl_words_match(int n, char *const *words,
	    const char **argument, FILE *err);

/* A number or a name. false: the name was cut. */
bool	 ctl_words_id(const char *word, struct ctl_id *);
/* WORKER:ID, ID, or a host's name, address; *number: an ID alone, which may
 * be the one of a host as well. false: the name was cut. */
bool	 ctl_words_why(const char *word, struct ctl_why *, bool *number);

#endif
