/*
 * Canonical text of a configuration, and its digest: what is not printed
 * here makes no difference between two of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../misc/hash.h"
#include "parse.h"
#include "program.h"

static const char *
or_dash(const char *text)
{
	return text == NULL ? "-" : text;
}

static void
common_print(const char *who, const struct common_conf *c, FILE *fp)
{
	fprintf(fp, "%s log %s %d %d %d %d %d %d %x file %s debug %s\n", who,
	    or_dash(c->log.ident), c->log.facility, c->log.severity,
	    c->log.to_syslog, c->log.json, c->log.debug_set, c->log.debug_to,
	    (unsigned)c->log.debug, or_dash(c->log_path),
	    or_dash(c->debug_path));
	fprintf(fp, "%s title %s core %s gcore %s debug-cmd %s "
	    "cleanup %u refresh %u key %s\n", who, or_dash(c->proctitle),
	    or_dash(c->coredump), or_dash(c->gcore), or_dash(c->debug_cmd),
	    c->cleanup, c->refresh, or_dash(c->verify_key));
}

static void
listener_print(const struct listener_conf *l, FILE *fp)
{
	char text[NET_TEXT];

	fprintf(fp, "listen %u %s %s both %d v6only %d type %d protocol %d "
	    "mode %o owner %jd %jd backlog %d %d retry %u realm %s dscp %d "
	    "vrf %s versions %x flags %x aaa %u keepalive %d %d %d "
	    "tcp %d %d %d %d %d dead-peers %d accept %d "
	    "sticky %u %u %d\n", l->index, l->name, net_text(&l->addr, text),
	    l->both, l->v6only, l->type, l->protocol, (unsigned)l->mode,
	    (intmax_t)l->uid, (intmax_t)l->gid, l->backlog,
	    l->overload_backlog, l->retry, l->realm, l->dscp,
	    or_dash(l->vrf), l->versions, l->flags, l->aaa,
	    l->keepalive.count, l->keepalive.idle, l->keepalive.interval,
	    l->tcp.nodelay, l->tcp.sack, l->tcp.buffer, l->tcp.ttl,
	    l->tcp.minttl, l->no_keepalive, l->accept, l->sticky.period,
	    l->sticky.size, l->sticky.own);
}

void
conf_print(const struct spawnd_conf *c, FILE *fp)
{
	const struct spawn_conf *s = &c->spawn;

	for (size_t i = 0; i < c->nlisteners; i++)
		listener_print(&c->listeners[i], fp);
	for (size_t i = 0; i < c->acl.n; i++) {
		const struct acl_line *l = &c->acl.lines[i];

		fprintf(fp, "acl %d %d ", l->permit, l->invert);
		for (int k = 0; k < 16; k++)
			fprintf(fp, "%02x", l->ip[k]);
		fprintf(fp, "/%u\n", l->bits);
	}
	fprintf(fp, "spawn exec %s id %s config %s instances %u %u users %u "
	    "%u owner %jd %jd %s directory %s ipc %u\n", or_dash(s->exec),
	    or_dash(s->id), or_dash(s->config), s->instances_min,
	    s->instances_max, s->users_min, s->users_max, (intmax_t)s->uid,
	    (intmax_t)s->gid, or_dash(s->user), or_dash(s->directory),
	    s->ipc_key);
	fprintf(fp, "broker background %d pidfile %s status %s %d "
	    "overload %d single %d bufsize %u sticky %u %u\n", c->background,
	    or_dash(c->pidfile), or_dash(c->status_socket), c->status_given,
	    c->overload, c->single, c->bufsize, c->sticky.period,
	    c->sticky.size);
}

void
compiled_digest(struct compiled *c, const struct program *program)
{
	struct hash *h = hash_new();
	char *text = NULL;
	size_t len = 0;
	FILE *fp = open_memstream(&text, &len);

	if (program->compile != NULL)
		hash_add(h, c->digest, sizeof(c->digest));
	if (fp != NULL) {
		common_print("broker", &c->broker_common, fp);
		conf_print(&c->broker, fp);
		common_print("worker", &c->worker_common, fp);
		if (c->worker != NULL && program->section != NULL)
			program->section->print(c->worker, fp);
		fclose(fp);
		hash_add(h, text, len);
		free(text);
	}
	hash_end(h, c->digest);
}
