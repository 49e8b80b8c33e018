/*
 * The file is compiled as the daemon would: with its macros, and from the
 * directory it was started in. The other side is the canonical text of what
 * is in force, compiled the same way.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "../misc/json.h"
#include "ctl_plan.h"
#include "ctl_print.h"
#include "rd_diff.h"
#include "rd_engine.h"

#define TEXT_MAX	(64u * 1024 * 1024)

/* ---- what the daemon tells ---- */

static bool
request_take(struct ctl_running *r, const void *body, size_t len)
{
	struct ctl_request *q;
	const char *at;

	if (r->request != NULL || (r->arena = arena_new()) == NULL)
		return false;
	q = arena_alloc(r->arena, len);
	memcpy(q, body, len);
	r->macros = arena_array(r->arena, (size_t)q->nmacros + 1,
	    sizeof(*r->macros));
	at = (const char *)(q + 1);
	/* ctl_check has counted them */
	for (uint32_t i = 0; i < q->nmacros; i++) {
		r->macros[i].name = at;
		at += strlen(at) + 1;
		r->macros[i].value = at;
		at += strlen(at) + 1;
	}
	r->request = q;
	return true;
}

static bool
part_take(struct ctl_running *r, const void *body, size_t len)
{
	char *more;

	if (r->request == NULL || len > TEXT_MAX - r->len)
		return false;
	if (r->room - r->len < len) {
		size_t room = 2 * (r->room + len);

		if ((more = realloc(r->text, room)) == NULL)
			return false;
		r->text = more;
		r->room = room;
	}
	memcpy(r->text + r->len, body, len);
	r->len += len;
	return true;
}

bool
ctl_running_take(struct ctl_running *r, unsigned type, const void *body,
    size_t len)
{
	switch (type) {
	case CTL_REQUEST:
		return request_take(r, body, len);
	case CTL_TEXT_PART:
		return part_take(r, body, len);
	default:
		return false;
	}
}

void
ctl_running_clear(struct ctl_running *r)
{
	free(r->text);
	arena_free(r->arena);
	*r = (struct ctl_running){ 0 };
}

/* ---- both sides ---- */

/* The source is the configuration's, or gone. */
static struct rd_conf *
compile(const struct rd_request *request, struct source *source,
    struct diag *diag)
{
	struct rd_conf *conf;

	if (source == NULL || diag == NULL)
		return NULL;
	conf = rd_compile(request, source, diag);
	if (conf == NULL)
		source_free(source);
	return conf;
}

/* The one it was started in, if that could be found out. */
static const char *
directory(const struct ctl_running *r)
{
	const char *d = r->request->directory;

	return d[0] != '\0' ? d : NULL;
}

/* By its own name: files are looked for beside it. */
static struct rd_conf *
compile_running(const struct ctl_running *r, bool files, struct diag *diag)
{
	const struct rd_request request = { .file = r->request->file,
	    .directory = directory(r), .files = files };
	struct source *source = source_gather(environ);
	const char *path = request.file;

	/* the reader makes it absolute the same way */
	if (path[0] != '/' && request.directory != NULL)
		path = arena_printf(r->arena, "%s%s%s", request.directory,
		    request.directory[strlen(request.directory) - 1] == '/' ?
		    "" : "/", path);
	if (source != NULL)
		source_add(source, SOURCE_TEXT, path,
		    r->text != NULL ? r->text : "", r->len);
	return compile(&request, source, diag);
}

/* The engine has its own errors. */
static bool
engine_good(const struct rd_conf *conf, struct diag *diag)
{
	struct compiled c = { .arena = arena_new() };
	bool good;

	if (c.arena == NULL) {
		diag_error(diag, NULL, "%s", strerror(ENOMEM));
		return false;
	}
	good = rd_engine(&c, conf, diag);
	if (c.worker_free != NULL)
		c.worker_free(c.worker);
	arena_free(c.arena);
	return good;
}

static struct rd_conf *
compile_file(const struct ctl_plan *p, struct diag *diag)
{
	const struct ctl_running *r = p->running;
	const struct rd_request request = { .file = p->file,
	    .directory = directory(r), .macros = r->macros,
	    .nmacros = r->request->nmacros, .files = true };

	struct rd_conf *conf = compile(&request, source_gather(environ),
	    diag);

	if (conf == NULL || engine_good(conf, diag))
		return conf;
	rd_conf_unref(conf);
	return NULL;
}

/* ---- what is wrong ---- */

struct listing {
	size_t	n;
};

static void
error_cb(void *ctx, const struct diag_place *place, const char *text)
{
	struct listing *l = ctx;

	printf("%s{\"file\":", l->n++ == 0 ? "" : ",");
	json_string(stdout, place != NULL ? place->file : NULL);
	printf(",\"line\":%u,\"message\":", place != NULL ? place->line : 0);
	json_string(stdout, text);
	putchar('}');
}

static int
fail_diag(const struct ctl_plan *p, struct diag *diag)
{
	struct listing l = { 0 };

	if (p->json) {
		printf("{\"changes\":[],\"errors\":[");
		diag_each_error(diag, error_cb, &l);
		printf("]}\n");
	} else
		diag_print(diag, stderr, NULL, false);
	return 1;
}

static int
fail(const struct ctl_plan *p, const char *what)
{
	struct listing l = { 0 };

	if (p->json) {
		printf("{\"changes\":[],\"errors\":[");
		error_cb(&l, NULL, what);
		printf("]}\n");
	} else
		fprintf(stderr, "relayctl: %s\n", what);
	return 1;
}

/* ---- printing ---- */

static const char *const kinds[RD_DIFF_KINDS] = {
	[RD_DIFF_GLOBAL] = "global", [RD_DIFF_LISTENER] = "listener",
	[RD_DIFF_RELAY] = "relay", [RD_DIFF_REDIRECT] = "redirect",
	[RD_DIFF_ROUTER] = "router", [RD_DIFF_TABLE] = "table",
	[RD_DIFF_HOST] = "host", [RD_DIFF_PROTOCOL] = "protocol",
};

static const char *const effects[RD_EFFECTS] = {
	[RD_EFFECT_NOW] = "now", [RD_EFFECT_SESSIONS] = "new sessions",
	[RD_EFFECT_CHECKED] = "checked at once",
	[RD_EFFECT_KEPT] = "state kept",
};

static void
text_print(const char *before, const char *text)
{
	fputs(before, stdout);
	ctl_print_text(stdout, text, strlen(text));
}

static void
change_text(const struct rd_change *c)
{
	printf("%c %s", c->old == NULL ? '+' : c->new == NULL ? '-' : '~',
	    kinds[c->kind]);
	if (c->name[0] != '\0')
		text_print(" ", c->name);
	if (c->option != NULL)
		text_print(" ", c->option);
	if (c->old != NULL && c->new != NULL) {
		text_print("  ", c->old);
		text_print(" -> ", c->new);
	} else if (c->option != NULL)
		text_print("  ", c->old != NULL ? c->old : c->new);
	printf("  %s\n", effects[c->effect]);
}

static void
change_json(const struct rd_change *c, bool first)
{
	printf("%s\n{\"op\":\"%s\",\"kind\":\"%s\",\"name\":",
	    first ? "" : ",", c->old == NULL ? "add" :
	    c->new == NULL ? "remove" : "change", kinds[c->kind]);
	json_string(stdout, c->name[0] != '\0' ? c->name : NULL);
	printf(",\"option\":");
	json_string(stdout, c->option);
	printf(",\"old\":");
	json_string(stdout, c->old);
	printf(",\"new\":");
	json_string(stdout, c->new);
	printf(",\"effect\":\"%s\"}", effects[c->effect]);
}

static void
change_cb(void *ctx, const struct rd_change *c)
{
	struct ctl_plan *p = ctx;

	if (p->json)
		change_json(c, p->n == 0);
	else
		change_text(c);
	p->n++;
}

static size_t
renumbered(const struct rd_diff *d)
{
	size_t n = 0;

	for (int i = 0; i < RD_DIFF_KINDS; i++)
		n += d->of[i].renumbered;
	return n;
}

static void
end_text(const struct ctl_plan *p, const struct rd_diff *d)
{
	const struct rd_diff_count *l = &d->of[RD_DIFF_LISTENER];
	const struct rd_diff_count *h = &d->of[RD_DIFF_HOST];
	size_t n = renumbered(d);

	if (p->n == 0 && n == 0) {
		printf("no changes\n");
		return;
	}
	printf("%zu %s\n", p->n, p->n == 1 ? "change" : "changes");
	printf("listeners: %zu kept, %zu added, %zu removed\n", l->kept,
	    l->added, l->removed);
	printf("hosts: %zu keep their state, %zu checked at once, "
	    "%zu removed\n", h->kept, d->checked, h->removed);
	if (n > 0)
		printf("ids: %zu %s another one\n", n, n == 1 ? "gets" :
		    "get");
}

static void
end_json(const struct ctl_plan *p, const struct rd_diff *d)
{
	const struct rd_diff_count *l = &d->of[RD_DIFF_LISTENER];
	const struct rd_diff_count *h = &d->of[RD_DIFF_HOST];

	printf("%s],\"errors\":[],\n", p->n > 0 ? "\n" : "");
	printf("\"listeners\":{\"kept\":%zu,\"added\":%zu,\"removed\":%zu},"
	    "\n", l->kept, l->added, l->removed);
	printf("\"hosts\":{\"kept\":%zu,\"checked\":%zu,\"removed\":%zu},\n",
	    h->kept, d->checked, h->removed);
	printf("\"renumbered\":%zu}\n", renumbered(d));
}

/* ---- all of it ---- */

/*
 * The daemon says what it compiled, with what was in the files that it names.
 * The same text, but another digest: one of them has changed since.
 */
static bool
files_changed(const struct ctl_plan *p)
{
	static const uint8_t none[32];
	const uint8_t *digest = p->running->request->digest;

	return p->files && memcmp(digest, none, sizeof(none)) != 0 &&
	    memcmp(digest, p->old->digest, sizeof(p->old->digest)) != 0;
}

int
ctl_plan_print(struct ctl_plan *p)
{
	static const struct rd_change files = { .kind = RD_DIFF_GLOBAL,
	    .name = "", .option = "files", .old = "as they were read",
	    .new = "as they are", .effect = RD_EFFECT_SESSIONS };
	struct rd_diff diff;

	if (p->json)
		printf("{\"changes\":[");
	if (files_changed(p))
		change_cb(p, &files);
	if (!rd_diff(p->old, p->new, change_cb, p, &diff)) {
		fprintf(stderr, "relayctl: %s\n", strerror(ENOMEM));
		return 1;
	}
	if (p->json)
		end_json(p, &diff);
	else
		end_text(p, &diff);
	return 0;
}

bool
ctl_plan_by_name(const struct ctl_plan *p)
{
	for (size_t i = 0; i < p->old->nhosts; i++)
		if (p->old->hosts[i]->by_name)
			return true;
	return false;
}

void
ctl_plan_host(struct ctl_plan *p, const struct ctl_host *row)
{
	struct rd_host *h;
	unsigned port;

	if (row->id == 0 || row->id > p->old->nhosts)
		return;
	h = p->old->hosts[row->id - 1];
	if (!h->by_name || strcmp(h->name, row->name) != 0 ||
	    (row->addr.family != AF_INET && row->addr.family != AF_INET6))
		return;
	port = net_port(&h->addr);
	net_name_addr(&row->addr, &h->addr);
	net_set_port(&h->addr, port);
}

/*
 * First with its files. If they are not what they should be any more, which
 * concerns nobody who has read them, without.
 */
static int
old_compile(struct ctl_plan *p)
{
	struct diag *strict = diag_new(), *diag = diag_new();
	char text[256] = "no memory", why[512];

	p->old = compile_running(p->running, true, strict);
	p->files = p->old != NULL;
	if (p->old == NULL)
		p->old = compile_running(p->running, false, diag);
	if (p->old == NULL && diag != NULL)
		diag_first(diag, text, sizeof(text));
	diag_free(strict);
	diag_free(diag);
	if (p->old != NULL)
		return 0;
	snprintf(why, sizeof(why), "what is in force cannot be read here: "
	    "%s", text);
	return fail(p, why);
}

static int
new_compile(struct ctl_plan *p)
{
	struct diag *diag = diag_new();
	int status = 0;

	p->new = compile_file(p, diag);
	if (diag == NULL)
		status = fail(p, strerror(ENOMEM));
	else if (p->new == NULL)
		status = fail_diag(p, diag);
	else if (!p->json)
		diag_print(diag, stderr, NULL, false);	/* warnings */
	diag_free(diag);
	return status;
}

int
ctl_plan_compile(struct ctl_plan *p, const struct ctl_running *running,
    const char *file, bool json)
{
	int status;

	*p = (struct ctl_plan){ .running = running, .json = json,
	    .file = daemon_path(file) };
	if (p->file == NULL)
		return fail(p, strerror(errno));
	if (running->request == NULL)
		return fail(p, "the daemon did not tell how it was started");
	status = new_compile(p);
	return status != 0 ? status : old_compile(p);
}

void
ctl_plan_clear(struct ctl_plan *p)
{
	rd_conf_unref(p->new);
	rd_conf_unref(p->old);
	free(p->file);
	*p = (struct ctl_plan){ 0 };
}
