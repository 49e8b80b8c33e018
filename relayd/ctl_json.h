/*
 * The same facts as JSON, for programs: written as they come, so that a list
 * may be as long as it likes. relayctl(8) has the members.
 */
#ifndef RELAYD_CTL_JSON_H
#define RELAYD_CTL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

/* A list of objects, one per line. */
struct ctl_json {
	FILE	*fp;
	unsigned view;
	bool	 any;		/* an object was begun */
	bool	 open;		/* and may get more members */
	bool	 routes;	/* the last one is a list of routes */
	size_t	 nroutes;	/* in it */
};

void	 ctl_json_begin(struct ctl_json *, FILE *, unsigned view);
void	 ctl_json_row(struct ctl_json *, unsigned type, const void *body);
void	 ctl_json_session(struct ctl_json *, const struct tell_session *);
void	 ctl_json_why(struct ctl_json *, const struct tell_why *);
void	 ctl_json_end(struct ctl_json *);

/* An object of its own, in a line. */
void	 ctl_json_event(FILE *, const struct ctl_header *, const void *body,
	    int64_t when);

#endif
