/*
 * The bundle: the machine's own interfaces, their addresses and numbers.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <net/if.h>
#include <netinet/in.h>
#include <ifaddrs.h>
#include <string.h>

#include "ifgroup.h"
#include "source_impl.h"

/* The label of an IPv4 address may be NAME:WORD, and is of interface NAME. */
static bool
is_of(const char *label, const char *name)
{
	size_t len = strlen(name);

	return strncmp(label, name, len) == 0 &&
	    (label[len] == '\0' || label[len] == ':');
}

static bool
wanted(const struct ifaddrs *a, const char *name, const struct ifgroup *g)
{
	if (g->n == 0)
		return is_of(a->ifa_name, name);
	for (unsigned i = 0; i < g->n; i++) {
		if (is_of(a->ifa_name, g->names[i]))
			return true;
	}
	return false;
}

/* Kernels descended from KAME keep the scope inside of the address. */
static void
scope_extract(struct source_ip *ip)
{
	if (ip->scope != 0 || ip->ip[0] != 0xfe || (ip->ip[1] & 0xc0) != 0x80)
		return;
	ip->scope = (uint32_t)ip->ip[2] << 8 | ip->ip[3];
	ip->ip[2] = ip->ip[3] = 0;
}

static bool
ip_take(struct source_ip *ip, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*ip = (struct source_ip){ .family = sa->sa_family };
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof in);
		memcpy(ip->ip, &in.sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof in6);
	memcpy(ip->ip, &in6.sin6_addr, 16);
	ip->scope = in6.sin6_scope_id;
	scope_extract(ip);
	return true;
}

/* Those of that family behind what is there. */
static size_t
gather_family(const struct ifaddrs *list, const char *name,
    const struct ifgroup *g, int family, struct source_ip *ips, size_t n)
{
	for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
		size_t i = 0;

		if (a->ifa_addr == NULL ||
		    a->ifa_addr->sa_family != family || !wanted(a, name, g) ||
		    !ip_take(&ips[n], a->ifa_addr))
			continue;
		while (i < n && memcmp(&ips[i], &ips[n], sizeof ips[n]) != 0)
			i++;
		if (i == n)
			n++;
	}
	return n;
}

static void
gather(struct source *s, struct record *r, const char *name)
{
	struct ifaddrs *list;
	struct source_ip *ips;
	struct ifgroup g;
	size_t room = 1, n;

	if (getifaddrs(&list) == -1)
		return;
	ifgroup_find(name, &g);
	/* an interface of that name comes before a group */
	for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
		if (is_of(a->ifa_name, name))
			g.n = 0;
		room++;
	}
	ips = arena_array(s->arena, room, sizeof *ips);
	n = gather_family(list, name, &g, AF_INET, ips, 0);
	n = gather_family(list, name, &g, AF_INET6, ips, n);
	source_record_set(s, r, ips, n * sizeof *ips);
	freeifaddrs(list);
}

int
source_interface(struct source *s, const char *name, struct net_addr **addrs)
{
	bool fresh;
	struct record *r = source_record_get(s, RECORD_INTERFACE, name,
	    &fresh);

	*addrs = NULL;
	if (r == NULL || *name == '\0')
		return 0;
	if (fresh)
		gather(s, r, name);
	return source_ips(s, r, addrs);
}

/* ---- what stands behind '%' ---- */

struct scope {
	uint32_t	index;
	char		name[IF_NAMESIZE];	/* "": the system has none */
};

uint32_t
source_scope(struct source *s, const char *name)
{
	struct scope scope = { .index = 0 };
	bool fresh;
	struct record *r = source_record_get(s, RECORD_SCOPE, name, &fresh);

	if (r == NULL)
		return 0;
	if (fresh && (scope.index = net_scope(name)) != 0) {
		if (if_indextoname(scope.index, scope.name) == NULL)
			scope.name[0] = '\0';
		source_record_set(s, r, &scope, sizeof scope);
	}
	if (r->len != sizeof scope)
		return 0;
	memcpy(&scope, r->data, sizeof scope);
	if (memchr(scope.name, '\0', sizeof scope.name) == NULL)
		return 0;
	if (scope.name[0] != '\0')
		net_scope_learn(scope.index, scope.name);
	return scope.index;
}
