/*
 * The reading half of relayd.conf: from text to the calls of rd_build.h.
 */
#ifndef RELAYD_RD_PARSE_H
#define RELAYD_RD_PARSE_H

#include "rd_obsolete.h"

/* State of one run; on the stack of rd_read(), its memory in the arena. */
struct rd_parser {
	const struct rd_request	*request;
	struct diag		*diag;
	struct arena		*arena;
	struct rd_build		*build;
	struct rd_lex		*lex;

	enum rd_where		 open;		/* its end call is owed */
	bool			 list_open;	/* that of a list, too */
	enum rd_where		 section;	/* whose braces we are in */
	const char		*section_name;
	unsigned		 depth;		/* of braces, with the token
						   that came last */
	unsigned		 base;		/* depth of its statements */

	struct rd_token		 token, previous;
	bool			 start;		/* a statement begins here */
	bool			 first;		/* the token began one */
	bool			 second;	/* the one before did */
	bool			 broken;	/* the end came unexpected */
	bool			 skip;		/* to the end of what is bad */
	unsigned		 skip_depth;
	bool			 skip_list;	/* a comma will do */
	struct rd_line		 line;		/* read ahead, */
	size_t			 line_at, line_room;	/* up to here */

	struct rd_forward	 forward;
	struct rd_check_text	 check;
	struct rd_rule_head	 head;
};

/*
 * Reads the file and tells the builder; what is wrong goes to the diag.
 * *end is where the main file ended.
 */
void		 rd_read(const struct rd_request *, struct source *,
		    struct diag *, struct rd_build *, struct diag_place *end);

/* ---- between rd_read.c and relayd.y ---- */

/* 0; 1: it gave up, and the diag says why; 2: no memory. */
int		 rd_grammar_parse(struct rd_parser *);

/* The next token. */
void		 rd_parser_next(struct rd_parser *);
/* The parser met a token that fits nowhere; these would have fit. */
void		 rd_parser_unexpected(struct rd_parser *,
		    const enum rd_kind *kinds, size_t nkinds,
		    const char *bytes);
/*
 * What is bad is left out: up to the end of the line, of the block that the
 * line opens, or of the item of a list. seen: the token that came last is
 * not used up. true: it is to be dropped.
 */
bool		 rd_parser_recover(struct rd_parser *, unsigned depth,
		    bool list, bool seen);
void		 rd_section_enter(struct rd_parser *, enum rd_where,
		    const struct rd_word *name);
void		 rd_section_leave(struct rd_parser *);

#endif
