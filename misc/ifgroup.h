/*
 * Interface groups: a name for several network interfaces. Systems without
 * groups know one at the most, "egress": the interfaces that carry a default
 * route. Asks the system each time; only source_interface() calls it.
 */
#ifndef MISC_IFGROUP_H
#define MISC_IFGROUP_H

#include <sys/types.h>
#include <sys/socket.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#define IFGROUP_EGRESS	"egress"
#define IFGROUP_MAX	256		/* the rest is ignored */

struct ifgroup {
	unsigned	n;
	char		names[IFGROUP_MAX][IF_NAMESIZE];
};

/* Interfaces of that group, each once; n is 0 if there is none such. */
void	 ifgroup_find(const char *group, struct ifgroup *);

static inline bool
ifgroup_has(const struct ifgroup *g, const char *name)
{
	for (unsigned i = 0; i < g->n; i++) {
		if (strcmp(g->names[i], name) == 0)
			return true;
	}
	return false;
}

#endif
