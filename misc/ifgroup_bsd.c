/*
 * Interface groups of the BSDs: the kernel keeps them, egress included. NetBSD
 * has none.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ifgroup.h"

#ifdef SIOCGIFGMEMB

/* Asked for the size first: the list may grow before it is fetched. */
static struct ifg_req *
members(int fd, const char *group, size_t *n)
{
	struct ifgroupreq req;
	struct ifg_req *list;

	memset(&req, 0, sizeof req);
	memcpy(req.ifgr_name, group, strlen(group));
	if (ioctl(fd, SIOCGIFGMEMB, &req) == -1 || req.ifgr_len == 0 ||
	    (list = calloc(1, req.ifgr_len)) == NULL)
		return NULL;
	req.ifgr_groups = list;
	if (ioctl(fd, SIOCGIFGMEMB, &req) == -1) {
		free(list);
		return NULL;
	}
	*n = req.ifgr_len / sizeof *list;
	return list;
}

void
ifgroup_find(const char *group, struct ifgroup *g)
{
	struct ifg_req *list;
	size_t n = 0;
	int fd;

	g->n = 0;
	if (strlen(group) >= IFNAMSIZ ||
	    (fd = socket(AF_INET, SOCK_DGRAM, 0)) == -1)
		return;
	list = members(fd, group, &n);
	close(fd);
	for (size_t i = 0; list != NULL && i < n && g->n < IFGROUP_MAX; i++) {
		memcpy(g->names[g->n], list[i].ifgrq_member, IF_NAMESIZE);
		g->names[g->n++][IF_NAMESIZE - 1] = '\0';
	}
	free(list);
}

#else

void
ifgroup_find(const char *group, struct ifgroup *g)
{
	(void)group;
	g->n = 0;
}

#endif
