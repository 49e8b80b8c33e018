/*
 * What relayctl prints, in the columns of relayctl(8). Bytes of names that
 * could do something to a terminal are shown as question marks.
 */
#ifndef RELAYD_CTL_PRINT_H
#define RELAYD_CTL_PRINT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

/* The line above a dump. */
void	 ctl_print_head(FILE *);
/* A row of a dump, if the view has it; types are those of a dump. */
void	 ctl_print_row(FILE *, unsigned view, unsigned type,
	    const void *body);
void	 ctl_print_session(FILE *, const struct tell_session *);
void	 ctl_print_why(FILE *, const struct tell_why *);
/* An event of monitor; when: seconds since 1970. */
void	 ctl_print_event(FILE *, const struct ctl_header *, const void *body,
	    int64_t when);

/* What somebody else has written. */
void	 ctl_print_text(FILE *, const void *, size_t);

/* ---- words, also of JSON ---- */

/* The view a row of the dump belongs to; 0: it is no row of a dump. */
unsigned ctl_views(unsigned type);
const char *ctl_redirect_word(uint32_t state);
const char *ctl_table_word(const struct ctl_table *);
const char *ctl_host_word(uint32_t state);
/* Of a relay or router. */
const char *ctl_active_word(uint32_t state);
/* Of an event; "<unknown>". */
const char *ctl_event_word(unsigned type);
/* How the last check went if that is why the host is down; NULL. */
const char *ctl_host_reason(const struct ctl_host *);
const char *ctl_who_word(uint32_t who);

#define CTL_AVAILABILITY	24
/* Without its "%"; "" when no check counts. */
const char *ctl_availability(const struct ctl_host *,
	    char buf[static CTL_AVAILABILITY]);

/* A phase that a session reached, and when: ns from its beginning. */
struct ctl_phase {
	const char	*name;
	uint64_t	 at;
};
/* In the order of time; how many there are. */
size_t	 ctl_phases(const struct tell_why *,
	    struct ctl_phase phases[static WHY_PHASES]);

#endif
