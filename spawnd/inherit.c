#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../misc/net.h"
#include "inherit.h"
#include "listen.h"
#include "master.h"

/* A UNIX socket may be anything that a supervisor has left there. */
enum inherit_inetd
inherit_inetd(void)
{
	struct net_addr addr;
	int type = 0, listening = 0;
	socklen_t len = sizeof(type);

	if (net_local(0, &addr) == -1 ||
	    (addr.sa.sa_family != AF_INET && addr.sa.sa_family != AF_INET6) ||
	    getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_STREAM)
		return INETD_NO;
	len = sizeof(listening);
	if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == -1)
		return INETD_NO;
	if (listening)
		return INETD_WAIT;
	len = sizeof(addr.ss);
	return getpeername(0, &addr.sa, &len) == 0 ? INETD_NOWAIT : INETD_NO;
}

/* No block of the file describes it: everything is as by default. */
static void
conf_default(struct listener_conf *c, int fd, uint32_t index)
{
	memset(c, 0, sizeof(*c));
	c->name = "inetd";
	c->index = index;
	(void)net_local(fd, &c->addr);
	c->type = SOCK_STREAM;
	c->protocol = IPPROTO_TCP;
	c->uid = (uid_t)-1;
	c->gid = (gid_t)-1;
	c->backlog = c->overload_backlog = 128;
	c->dscp = -1;
}

struct listener *
inherit_listener(struct master *m)
{
	static struct listener_conf conf;	/* there is one inetd */
	struct listener *l;
	int null, fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	if (fd == -1)
		return NULL;
	if (net_nonblock(fd) == -1 ||
	    (null = open("/dev/null", O_RDWR)) == -1 || dup2(null, 0) == -1) {
		net_close(fd);
		return NULL;
	}
	close(null);
	conf_default(&conf, fd, (uint32_t)m->conf.conf->broker.nlisteners);
	l = listener_new(m, &conf, m->generation);
	if (l == NULL) {
		net_close(fd);
		return NULL;
	}
	l->fd = fd;
	(void)net_nodelay(fd);
	(void)net_keepalive(fd, &conf.keepalive);
	return l;
}
