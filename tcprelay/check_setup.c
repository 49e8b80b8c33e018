/*
 * From what is to be checked to what checks it, and what goes over from one
 * configuration to the next: hosts that are still the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "check_impl.h"

/* ---- copies ---- */

static const char *
copy_text(struct arena *a, const char *text)
{
	return text != NULL ? arena_strdup(a, text) : NULL;
}

static const uint8_t *
copy_bytes(struct arena *a, const uint8_t *p, size_t n)
{
	uint8_t *copy = p != NULL ? arena_alloc(a, n + 1) : NULL;

	return copy != NULL ? memcpy(copy, p, n) : NULL;
}

static struct check_how
copy_how(struct arena *a, const struct check_how *how)
{
	struct check_how c = *how;

	c.path = copy_text(a, how->path);
	c.host = copy_text(a, how->host);
	c.digest = copy_text(a, how->digest);
	c.send = copy_bytes(a, how->send, how->send_len);
	c.expect = copy_bytes(a, how->expect, how->expect_len);
	return c;
}

/* ---- what a table needs for its checks ---- */

static const struct judge *
judge_of(enum check_kind kind)
{
	switch (kind) {
	case CHECK_HTTP_CODE:
		return &judge_code;
	case CHECK_HTTP_DIGEST:
		return &judge_digest;
	case CHECK_SEND:
		return &judge_expect;
	case CHECK_BINARY:
		return &judge_binary;
	case CHECK_NONE:
	case CHECK_ICMP:
	case CHECK_TCP:
	case CHECK_SCRIPT:
		break;
	}
	return NULL;
}

static void
group_request(struct group *g, struct arena *a, const char *agent)
{
	const struct check_how *how = &g->conf->how;
	char *text;

	g->judge = judge_of(how->kind);
	g->request = how->send;
	g->request_len = how->send != NULL ? how->send_len : 0;
	if (how->kind == CHECK_SEND)
		g->expect = expect_new(a, how->expect, how->expect_len);
	if (how->kind != CHECK_HTTP_CODE && how->kind != CHECK_HTTP_DIGEST)
		return;
	text = check_http_request(a,
	    how->kind == CHECK_HTTP_CODE ? "HEAD" : "GET", how->path,
	    how->host, agent);
	g->request_len = strlen(text);
	g->request = copy_bytes(a, (const uint8_t *)text, g->request_len);
}

/* Without a context its checks say so, one by one. */
static void
group_tls(struct check *c, struct group *g)
{
	const struct tls_client_conf conf = {
		.versions = TLS_V1_2 | TLS_V1_3, .fresh = true
	};
	char error[TLS_ERROR];

	if (!g->conf->how.tls)
		return;
	g->tls = tls_client_new(&conf, error);
	if (g->tls == NULL)
		check_line(c, LOG_ERR, "table %s: %s", g->conf->name, error);
}

/* ---- who is still the same ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_bytes(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
	if (a == NULL || b == NULL)
		return a == b;
	return an == bn && memcmp(a, b, an) == 0;
}

static bool
same_how(const struct check_how *a, const struct check_how *b)
{
	return a->kind == b->kind && a->tls == b->tls && a->code == b->code &&
	    same_text(a->path, b->path) && same_text(a->host, b->host) &&
	    same_text(a->digest, b->digest) &&
	    same_bytes(a->send, a->send_len, b->send, b->send_len) &&
	    same_bytes(a->expect, a->expect_len, b->expect, b->expect_len);
}

static bool
same_group(const struct group *old, const struct check_table *t)
{
	return strcmp(old->conf->name, t->name) == 0 &&
	    same_how(&old->conf->how, &t->how);
}

static struct probe *
host_of(const struct group *old, const struct check_host *h)
{
	for (size_t i = 0; i < old->nprobes; i++)
		if (!old->probes[i]->kept &&
		    net_same(&old->probes[i]->conf.addr, &h->addr))
			return old->probes[i];
	return NULL;
}

/* ---- probes ---- */

static struct probe *
probe_new(struct check *c)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		check_line(c, LOG_CRIT, "health checks: %s", strerror(ENOMEM));
		exit(EXIT_FAILURE);
	}
	p->check = c;
	p->fresh = true;
	p->stream.fd = -1;
	return p;
}

static void
probe_free(struct probe *p)
{
	probe_stop(p);
	free(p);
}

/* What the operator said last counts, unless the configuration now says
 * something else than it did. */
static bool
still(bool now, bool was, bool said)
{
	return said == was ? now : said;
}

static void
probe_take(struct probe *p, struct group *g, const struct check_host *h,
    struct arena *a)
{
	p->disabled = p->group == NULL ? h->disabled :
	    still(p->disabled, p->conf.disabled, h->disabled);
	if (p->group == NULL && h->known != NULL)
		p->host = *h->known;
	p->group = g;
	p->kept = true;
	p->conf = *h;
	p->conf.name = arena_strdup(a, h->name);
	p->conf.known = NULL;
	p->children = p->sibling = NULL;
	if (p->host.left > h->retry)
		p->host.left = h->retry;
	if (h->parent != 0 || g->disabled)
		probe_stop(p);
}

/* ---- tables ---- */

/* The old table that a new one goes on with; the same place first. */
static struct group *
group_before(const struct setup *old, const struct check_table *t, size_t at)
{
	if (old == NULL)
		return NULL;
	for (size_t i = 0; i < old->ngroups; i++) {
		struct group *g = &old->groups[(at + i) % old->ngroups];

		if (same_group(g, t))
			return g;
	}
	return NULL;
}

static struct probe *
probe_before(const struct setup *old, const struct group *hint,
    const struct check_table *t, const struct check_host *h)
{
	struct probe *p = hint != NULL ? host_of(hint, h) : NULL;

	/* several tables may have one name */
	for (size_t i = 0; p == NULL && hint != NULL && i < old->ngroups; i++)
		if (&old->groups[i] != hint && same_group(&old->groups[i], t))
			p = host_of(&old->groups[i], h);
	return p;
}

static void
group_take(struct group *g, const struct group *before,
    const struct check_table *t)
{
	g->timeout = t->timeout * EV_MS;
	g->disabled = before == NULL ? t->disabled :
	    still(before->disabled, before->conf->disabled, t->disabled);
	/* new hosts are checked now: that was the first round */
	g->left = before != NULL ? before->left : t->every - 1;
	if (g->left >= t->every)
		g->left = t->every - 1;
	if (before != NULL && before->disabled && !g->disabled)
		g->left = 0;
}

static void
group_init(struct check *c, struct setup *s, size_t at,
    const struct check_table *t, const char *agent)
{
	struct group *g = &s->groups[at];
	const struct group *before = group_before(c->setup, t, at);
	struct check_table *copy = arena_alloc(s->arena, sizeof(*copy));

	*copy = *t;
	copy->name = arena_strdup(s->arena, t->name);
	copy->how = copy_how(s->arena, &t->how);
	copy->hosts = NULL;
	g->conf = copy;
	group_take(g, before, t);
	if (c->setup == NULL)
		g->left = 0;
	group_request(g, s->arena, agent);
	group_tls(c, g);
	g->probes = arena_array(s->arena, t->nhosts, sizeof(*g->probes));
	g->nprobes = t->nhosts;
	for (size_t i = 0; i < t->nhosts; i++) {
		struct probe *p = probe_before(c->setup, before, t,
		    &t->hosts[i]);

		g->probes[i] = p != NULL ? p : probe_new(c);
		probe_take(g->probes[i], g, &t->hosts[i], s->arena);
		s->probes[s->nprobes++] = g->probes[i];
	}
}

static int
probe_cmp(const void *a, const void *b)
{
	const struct probe *const *p = a, *const *q = b;

	return (*p)->conf.id < (*q)->conf.id ? -1 :
	    (*p)->conf.id > (*q)->conf.id;
}

struct probe *
setup_find(const struct setup *s, uint32_t id)
{
	size_t low = 0, high = s->nprobes, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->probes[middle]->conf.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->nprobes && s->probes[low]->conf.id == id ?
	    s->probes[low] : NULL;
}

/* Backwards, so that children come in the order of their numbers. */
static void
link_children(struct setup *s)
{
	for (size_t i = s->nprobes; i-- > 0;) {
		struct probe *p = s->probes[i], *parent;

		p->kept = false;
		parent = p->conf.parent != 0 ?
		    setup_find(s, p->conf.parent) : NULL;
		if (parent == NULL || parent == p)
			continue;
		p->sibling = parent->children;
		parent->children = p;
	}
}

static void
setup_drop(struct setup *s)
{
	for (size_t i = 0; i < s->ngroups; i++)
		tls_client_unref(s->groups[i].tls);
	arena_free(s->arena);
}

static void
drop_old(struct setup *old)
{
	for (size_t i = 0; i < old->nprobes; i++)
		if (!old->probes[i]->kept)
			probe_free(old->probes[i]);
	setup_drop(old);
}

struct setup *
setup_new(struct check *c, const struct check_conf *conf)
{
	struct arena *a = arena_new();
	struct setup *s;
	size_t n = 0;

	if (a == NULL) {
		check_line(c, LOG_CRIT, "health checks: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	for (size_t i = 0; i < conf->ntables; i++)
		n += conf->tables[i].nhosts;
	s = arena_alloc(a, sizeof(*s));
	s->arena = a;
	s->interval = conf->interval * EV_MS;
	s->groups = arena_array(a, conf->ntables, sizeof(*s->groups));
	s->ngroups = conf->ntables;
	s->probes = arena_array(a, n, sizeof(struct probe *));
	for (size_t i = 0; i < conf->ntables; i++)
		group_init(c, s, i, &conf->tables[i], conf->agent);
	if (s->nprobes > 0)
		qsort(s->probes, s->nprobes, sizeof(struct probe *), probe_cmp);
	if (c->setup != NULL)
		drop_old(c->setup);
	link_children(s);
	c->adopted = c->serial;
	return s;
}

void
setup_free(struct setup *s)
{
	for (size_t i = 0; i < s->nprobes; i++)
		probe_free(s->probes[i]);
	setup_drop(s);
}
