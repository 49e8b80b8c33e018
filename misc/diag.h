/*
 * What is wrong with a configuration: collected, sorted by position, printed
 * once (3.15).
 */
#ifndef MISC_DIAG_H
#define MISC_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct diag;
struct source;

struct diag_place {
	const char			*file;
	unsigned			 line;		/* from 1; 0: the file as
						   a whole */
	const struct diag_place	*from;	/* included from here; NULL: main */
	const struct diag_place	*defined;	/* of an alias' token: where
						   it stands in the alias */
	unsigned			 column;	/* from 1; 0: not known */
};

struct diag	*diag_new(void);
void		 diag_free(struct diag *);
/* From now on every error is kept and shown (1000 of them and of warnings,
 * then "too many errors"), several of a line, too; and nothing is said of
 * where a file was included. For relayd.conf. */
void		 diag_every(struct diag *);
/* At most one error per line of a file, the first; 20 are shown, then "too
 * many errors". Exit status 78. Places are copied. */
void		 diag_error(struct diag *, const struct diag_place *,
		    const char *, ...) __attribute__((format(printf, 3, 4)));
void		 diag_warn(struct diag *, const struct diag_place *,
		    const char *, ...) __attribute__((format(printf, 3, 4)));
/* An error with another status, place may be NULL (no FILE:LINE). */
void		 diag_fail(struct diag *, const struct diag_place *, int status,
		    const char *, ...) __attribute__((format(printf, 4, 5)));
size_t		 diag_errors(const struct diag *);
/* 0, or the status of the first error (in the order of position). */
int		 diag_status(const struct diag *);
/* The first error as "FILE:LINE: TEXT" for the reload line. */
const char	*diag_first(struct diag *, char *buf, size_t size);
/* The same in parts; *place NULL: none. NULL: there is no error. */
const char	*diag_first_text(const struct diag *,
		    const struct diag_place **place);
/* Every error, in order; place NULL: none. */
void		 diag_each_error(const struct diag *, void (*error)(void *ctx,
		    const struct diag_place *place, const char *text),
		    void *ctx);
/* Everything, in order, to fp as "FILE:LINE: MESSAGE" lines (with the
 * offending line and a caret when show_source), warnings prefixed. */
void		 diag_print(struct diag *, FILE *fp, const struct source *,
		    bool show_source);
/* Everything, in order, to the log (errors prefixed "Error "). */
void		 diag_log(struct diag *);
/* Copies all entries of from into the first one (strings are copied). */
void		 diag_merge(struct diag *, const struct diag *from);
/* To and from one blob of bytes, for a checking child's pipe. */
int		 diag_write(const struct diag *, int fd);
int		 diag_read(struct diag *, const void *data, size_t len);

#endif
