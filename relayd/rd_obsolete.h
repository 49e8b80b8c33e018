/*
 * Files written for older releases (section 8 of the language's
 * specification): a statement's tokens in, what is to be done with them out.
 * Looks at the tokens only; what needs the grammar's eye stands there.
 */
#ifndef RELAYD_RD_OBSOLETE_H
#define RELAYD_RD_OBSOLETE_H

#include "rd_lex.h"

enum rd_where { RD_S_TOP, RD_S_TABLE, RD_S_REDIRECT, RD_S_RELAY,
    RD_S_PROTOCOL, RD_S_ROUTER };

enum rd_age {
	RD_AGE_NONE,		/* nothing obsolete, nothing was changed */
	RD_AGE_ALIAS,		/* tokens were changed: a warning, and there
				   may be more */
	RD_AGE_IGNORED,		/* the statement does nothing: a warning */
	RD_AGE_RENAMED,		/* an error; tokens were changed, read on */
	RD_AGE_REJECTED		/* an error; the statement is left out */
};

#define RD_OLD_TEXT	2048

/* The tokens of a statement, up to and with the newline or brace, and room
 * for one more. */
struct rd_line {
	struct rd_token	*tokens;
	size_t		 n;
};

/*
 * section_name is that of the section it stands in. *at: the token that the
 * message is about.
 */
enum rd_age	 rd_obsolete(enum rd_where, const char *section_name,
		    struct rd_line *, char text[static RD_OLD_TEXT],
		    size_t *at);
/* A word in the braces of a table that stood there once; false: not one. */
bool		 rd_obsolete_host(const struct rd_token *,
		    char text[static RD_OLD_TEXT]);

#endif
