/*
 * The broker's half of a configuration as facts. What a change comes to
 * stands here and nowhere else: reload.c asks the list.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../misc/str.h"
#include "../misc/url.h"
#include "conf_listen.h"
#include "facts.h"
#include "program.h"
#include "rows.h"
#include "spawnd.h"

#define ENDPOINT_TEXT	(NET_TEXT + 80)
#define COMMON_TEXT	4096

/* ---- listeners ---- */

/* What tells them apart, in words. */
static const char *
endpoint_text(const struct listener_conf *l, char buf[static ENDPOINT_TEXT])
{
	char addr[NET_TEXT];
	struct str s;

	str_init(&s, buf, ENDPOINT_TEXT);
	if (l->addr.len == 0) {
		str_add(&s, "passed socket %s", l->name);
		return buf;
	}
	if (l->protocol == IPPROTO_UDP)
		str_add(&s, "udp/");
	else if (l->protocol != 0 && l->protocol != IPPROTO_TCP)
		str_add(&s, "sctp/");
	else if (l->protocol == 0 && l->type == SOCK_DGRAM)
		str_add(&s, "dgram/");
	else if (l->protocol == 0 && l->type == SOCK_SEQPACKET)
		str_add(&s, "seqpacket/");
	str_add(&s, "%s", net_text(&l->addr, addr));
	if (l->v6only)
		str_add(&s, " ipv6 only");
	if (l->vrf != NULL)
		str_add(&s, " vrf %s", l->vrf);
	if (l->protocol == IPPROTO_SCTP && l->type != SOCK_STREAM)
		str_add(&s, " type %d", l->type);
	return buf;
}

/* A block that has several endpoints lends its name to each of them. */
static const char *
listener_shown(const struct spawnd_conf *c, size_t i, const char *endpoint,
    char buf[static ENDPOINT_TEXT + 80])
{
	const struct listener_conf *l = &c->listeners[i];

	if (!l->named)
		return endpoint;
	snprintf(buf, ENDPOINT_TEXT + 80, "%s", l->name);
	if ((i > 0 && strcmp(c->listeners[i - 1].name, l->name) == 0) ||
	    (i + 1 < c->nlisteners &&
	    strcmp(c->listeners[i + 1].name, l->name) == 0))
		snprintf(buf, ENDPOINT_TEXT + 80, "%s %s", l->name, endpoint);
	return buf;
}

static const char *
versions_text(const struct listener_conf *l, char *buf, size_t size)
{
	const struct kw_word *const sets[] = { tls_versions, dtls_versions };
	struct str s;

	str_init(&s, buf, size);
	if (l->versions == 0)
		str_add(&s, "no");
	else if (l->flags & SPAWND_TLS_AUTO)
		str_add(&s, "auto");
	for (size_t i = 0; i < 2 && s.len == 0; i++)
		for (const struct kw_word *w = sets[i]; w->text != NULL; w++)
			if (l->versions & (uint32_t)w->value)
				str_add(&s, "%s%s", s.len > 0 ? "," : "",
				    w->text);
	return buf;
}

static const char *
id_text(bool given, uintmax_t id, char buf[static 24])
{
	if (!given)
		return NULL;
	snprintf(buf, 24, "%" PRIuMAX, id);
	return buf;
}

static void
keepalive_facts(struct facts *f, const struct fact *base,
    const struct net_keepalive *k)
{
	const struct {
		const char	*option;
		int		 value;
	} items[] = {
		{ "tcp keepalive count", k->count },
		{ "tcp keepalive idle", k->idle },
		{ "tcp keepalive interval", k->interval },
	};

	for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
		char text[24];

		if (items[i].value == 0)
			continue;
		snprintf(text, sizeof(text), "%d", items[i].value);
		facts_text(f, base, items[i].option, text, "system's");
	}
}

/* What a connection brings along, from the next accept on. */
static void
listener_sessions(struct facts *f, struct fact base,
    const struct listener_conf *l)
{
	char text[64];

	base.effect = EFFECT_SESSIONS;
	if (l->versions != 0)
		facts_text(f, &base, "tls", versions_text(l, text,
		    sizeof(text)), "no");
	if (l->flags & SPAWND_TLS_PSK)
		facts_text(f, &base, "tls psk", "yes", "no");
	if (l->flags & SPAWND_HAPROXY)
		facts_text(f, &base, "haproxy", "yes", "no");
	if (l->flags & SPAWND_ACCOUNTING)
		facts_text(f, &base, "flag", "accounting", "access");
	if (l->aaa != 0)
		facts_text(f, &base, "aaa.protocol",
		    kw_word_text(aaa_protocols, (int)l->aaa), NULL);
	if (l->realm[0] != '\0')
		facts_text(f, &base, "realm", l->realm, NULL);
	if (l->dscp >= 0) {
		snprintf(text, sizeof(text), "%d", l->dscp);
		facts_text(f, &base, "dscp", text, NULL);
	}
	keepalive_facts(f, &base, &l->keepalive);
}

static void
sticky_facts(struct facts *f, const struct fact *base,
    const struct sticky_conf *s)
{
	char text[24];

	if (!s->own)
		return;
	snprintf(text, sizeof(text), "%u", s->period);
	facts_text(f, base, "sticky cache period", text, "shared");
	snprintf(text, sizeof(text), "%u", s->size);
	facts_text(f, base, "sticky cache size", text, "shared");
}

static void
listener_facts(struct facts *f, const struct spawnd_conf *c, size_t i)
{
	const struct listener_conf *l = &c->listeners[i];
	char endpoint[ENDPOINT_TEXT], shown[ENDPOINT_TEXT + 80], text[24];
	char row[BOARD_NAME];
	struct fact base = { .kind = FACT_LISTENER,
	    .row_kind = BOARD_LISTENER };

	endpoint_text(l, endpoint);
	base.name = base.row = rows_listener(l, row);
	base.shown = listener_shown(c, i, endpoint, shown);
	if (*base.row == '\0') {		/* there is no such row */
		base.name = endpoint;
		base.row_kind = 0;
		base.row = NULL;
	}
	facts_text(f, &base, NULL, endpoint, NULL);
	if (l->named)
		facts_text(f, &base, "name", l->name, NULL);
	facts_number(f, &base, "backlog", (uint64_t)l->backlog, 128);
	facts_number(f, &base, "overload backlog",
	    (uint64_t)l->overload_backlog, 128);
	facts_number(f, &base, "bind retry delay", l->retry, 0);
	if (l->accept == ACCEPT_WORKERS)
		facts_text(f, &base, "accept", "workers", "master");
	if (l->both)
		facts_text(f, &base, "any address", "yes", "no");
	sticky_facts(f, &base, &l->sticky);
	if (l->addr.len > 0 && l->addr.sa.sa_family == AF_UNIX) {
		snprintf(text, sizeof(text), "%04o", (unsigned)l->mode);
		facts_text(f, &base, "mode", text, "0644");
		facts_text(f, &base, "userid", id_text(l->uid != (uid_t)-1,
		    l->uid, text), NULL);
		facts_text(f, &base, "groupid", id_text(l->gid != (gid_t)-1,
		    l->gid, text), NULL);
	}
	listener_sessions(f, base, l);
}

/* ---- the ACL ---- */

static void
acl_facts(struct facts *f, const struct acl *acl)
{
	for (size_t i = 0; i < acl->n; i++) {
		static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
		const struct acl_line *l = &acl->lines[i];
		bool v4 = l->bits >= 96 && memcmp(l->ip, mapped, 12) == 0;
		char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 24];
		struct fact fact = { .kind = FACT_ACL, .name = text,
		    .rank = (uint32_t)i + 1 };

		inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? l->ip + 12 : l->ip,
		    ip, sizeof(ip));
		snprintf(text, sizeof(text), "%s %s%s/%u", l->permit ?
		    "permit" : "deny", l->invert ? "not " : "", ip,
		    v4 ? l->bits - 96u : l->bits);
		facts_text(f, &fact, NULL, text, NULL);
	}
}

/* ---- limits and workers ---- */

static void
limit_facts(struct facts *f, const struct spawnd_conf *c)
{
	const struct {
		const char	*name;
		unsigned	 value;
	} limits[] = {
		{ "instances min", c->spawn.instances_min },
		{ "instances max", c->spawn.instances_max },
		{ "users min", c->spawn.users_min },
		{ "users max", c->spawn.users_max },
		{ "sticky cache period", c->sticky.period },
		{ "sticky cache size", c->sticky.size },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct fact fact = { .kind = FACT_LIMIT,
		    .name = limits[i].name };

		facts_number(f, &fact, NULL, limits[i].value, 0);
	}
}

/* Values may be what people would rather not see on a screen. */
static void
environ_facts(struct facts *f, const struct compiled *c)
{
	for (char **var = source_settings(c->source); *var != NULL; var++) {
		size_t len = strcspn(*var, "=");
		char name[160];
		struct fact fact = { .kind = FACT_WORKER,
		    .effect = EFFECT_WORKERS, .name = name };

		/* a name that is too long shows by what it is called in full */
		snprintf(name, sizeof(name), "environment %.*s",
		    (int)(len < 128 ? len : 128), *var);
		if (strncmp(*var, "IO_POLL_MECHANISM=", 18) == 0)
			facts_text(f, &fact, NULL, *var + len + 1, NULL);
		else
			facts_add_secret(f, fact, *var, strlen(*var));
	}
}

/* With the name the supplementary groups change. */
static const char *
user_text(const struct spawn_conf *s, char *buf, size_t size)
{
	if (s->uid == (uid_t)-1)
		return NULL;
	if (s->user != NULL)
		snprintf(buf, size, "%.200s (%" PRIuMAX ")", s->user,
		    (uintmax_t)s->uid);
	else
		snprintf(buf, size, "%" PRIuMAX, (uintmax_t)s->uid);
	return buf;
}

static void
worker_facts(struct facts *f, const struct program *program,
    const struct compiled *c)
{
	const struct spawn_conf *s = &c->broker.spawn;
	bool keys = program->keys_apart != NULL && c->worker != NULL &&
	    !c->broker.single && program->keys_apart(c);
	char user[256], group[24], foreign[24], url[URL_SHOWN];
	const char *config = s->config == NULL ? NULL :
	    url_show(s->config, url);
	const struct {
		const char	*name, *value;
	} items[] = {
		{ "exec", s->exec },
		{ "id", s->id },
		{ "config", config },
		{ "userid", user_text(s, user, sizeof(user)) },
		{ "groupid", id_text(s->gid != (gid_t)-1, s->gid, group) },
		{ "working directory", s->directory },
		{ "coredump directory", c->worker_common.coredump },
		{ "key process", keys ? "yes" : "no" },
	};
	struct fact fact = { .kind = FACT_WORKER, .effect = EFFECT_WORKERS };

	for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
		fact.name = items[i].name;
		facts_text(f, &fact, NULL, items[i].value, NULL);
	}
	environ_facts(f, c);
	if (config != s->config) {		/* not all of it shows */
		fact.name = "config credentials";
		facts_add_secret(f, fact, s->config, strlen(s->config));
	}
	if (c->foreign == 0)
		return;
	/* whose file it is knows what changed in it, not we */
	snprintf(foreign, sizeof(foreign), "%016" PRIx64, c->foreign);
	fact.name = "text of the section";
	facts_text(f, &fact, NULL, foreign, NULL);
}

/* ---- options ---- */

/* One line for a directive that both readers have read, as long as it says
 * the same to both. */
static void
both_text(struct facts *f, const char *name, const char *broker,
    const char *worker)
{
	struct fact fact = { .kind = FACT_OPTION, .name = name };
	char text[2 * COMMON_TEXT];

	if (broker == NULL)
		broker = "none";
	if (worker == NULL)
		worker = "none";
	if (strcmp(broker, worker) == 0) {
		facts_text(f, &fact, NULL, broker, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%.*s (master), %.*s (workers)",
	    COMMON_TEXT - 16, broker, COMMON_TEXT - 16, worker);
	facts_text(f, &fact, NULL, text, NULL);
}

static const char *
debug_text(const struct log_conf *l, char buf[static 24])
{
	snprintf(buf, 24, "0x%x", (unsigned)l->debug);
	return buf;
}

static const char *
redirect_text(const struct common_conf *c)
{
	if (!c->log.debug_set)
		return NULL;
	switch (c->log.debug_to) {
	case LOG_DEBUG_SYSLOG:
		return "syslog";
	case LOG_DEBUG_STDERR:
		return "stderr";
	case LOG_DEBUG_FILE:
		return c->debug_path;
	}
	return NULL;
}

static const char *
number_text(unsigned n, char buf[static 24])
{
	snprintf(buf, 24, "%u", n);
	return buf;
}

static void
common_facts(struct facts *f, const struct compiled *c)
{
	const struct common_conf *a = &c->broker_common;
	/* what another program makes of them, it knows */
	const struct common_conf *b = c->worker == NULL ? a :
	    &c->worker_common;
	char x[24], y[24];

	both_text(f, "syslog ident", a->log.ident, b->log.ident);
	both_text(f, "syslog facility", kw_word_text(syslog_facilities,
	    a->log.facility), kw_word_text(syslog_facilities,
	    b->log.facility));
	both_text(f, "syslog severity", kw_word_text(syslog_severities,
	    a->log.severity), kw_word_text(syslog_severities,
	    b->log.severity));
	both_text(f, "syslog default", a->log.to_syslog ? "permit" : "deny",
	    b->log.to_syslog ? "permit" : "deny");
	both_text(f, "log file", a->log_path, b->log_path);
	both_text(f, "log format", a->log.json ? "json" : "text",
	    b->log.json ? "json" : "text");
	both_text(f, "debug", debug_text(&a->log, x), debug_text(&b->log, y));
	both_text(f, "debug redirect", redirect_text(a), redirect_text(b));
	both_text(f, "proctitle", a->proctitle, b->proctitle);
	both_text(f, "gcore", a->gcore, b->gcore);
	both_text(f, "debug-cmd", a->debug_cmd, b->debug_cmd);
	both_text(f, "cleanup interval", number_text(a->cleanup, x),
	    number_text(b->cleanup, y));
	/* of the workers it is a matter of their own */
	both_text(f, "coredump directory", a->coredump, a->coredump);
	both_text(f, "refresh", number_text(a->refresh, x), x);
	both_text(f, "verify key", a->verify_key, a->verify_key);
}

static void
option_facts(struct facts *f, const struct spawnd_conf *c)
{
	static const char *const overloads[] = {
		[OVERLOAD_QUEUE] = "queue", [OVERLOAD_CLOSE] = "close",
		[OVERLOAD_RESET] = "reset",
	};
	char bufsize[24], ipc[24];
	const struct {
		const char	*name, *value;
		enum fact_effect effect;
	} items[] = {
		{ "overload", overloads[c->overload], EFFECT_NOW },
		{ "pidfile", c->pidfile, EFFECT_NOW },
		{ "tcp bufsize", number_text(c->bufsize, bufsize),
		    EFFECT_NOW },
		{ "ipc key", number_text(c->spawn.ipc_key, ipc), EFFECT_NOW },
		/* only a start can do that */
		{ "background", c->background ? "yes" : "no",
		    EFFECT_RESTART },
		{ "single process", c->single ? "yes" : "no",
		    EFFECT_RESTART },
		{ "status socket", c->status_socket, EFFECT_RESTART },
	};

	for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
		struct fact fact = { .kind = FACT_OPTION,
		    .effect = items[i].effect, .name = items[i].name };

		facts_text(f, &fact, NULL, items[i].value, NULL);
	}
}

void
facts_broker(const struct program *program, const struct compiled *c,
    struct facts *f)
{
	for (size_t i = 0; i < c->broker.nlisteners; i++)
		listener_facts(f, &c->broker, i);
	acl_facts(f, &c->broker.acl);
	limit_facts(f, &c->broker);
	worker_facts(f, program, c);
	common_facts(f, c);
	option_facts(f, &c->broker);
}
