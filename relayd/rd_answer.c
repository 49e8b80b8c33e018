/*
 * The requests of relayctl, one row each: what it does is its function, whose
 * answer is sent at once or is a work of the client's (rd_ctl.h).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/log.h"
#include "rd_order.h"
#include "rd_pfe.h"
#include "rd_show.h"

#define PART	32768		/* of the configuration's text */

static const char no_memory[] = "no memory";

/* ---- show ---- */

static bool
show_next(void *work, struct rd_client *client)
{
	struct rd_show *s = work;
	struct rd_row row;

	if (rd_show_next(s, &row)) {
		rd_client_send(client, row.type, &row.body, row.len);
		return true;
	}
	rd_client_send(client, CTL_END, NULL, 0);
	rd_client_done(client);
	return false;
}

static void
show_end(void *work)
{
	struct rd_show *s = work;

	rd_view_unref(s->view);
	free(s);
}

static const struct rd_work show_work = { show_next, show_end };

static void
ask_summary(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	struct rd_show *s = calloc(1, sizeof(*s));

	(void)type;
	(void)body;
	if (s == NULL) {
		rd_client_fail(client, no_memory);
		return;
	}
	s->view = rd_view_ref(p->view);
	s->stats = &p->stats;
	rd_client_work(client, &show_work, s);
}

static void
ask_sessions(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	(void)type;
	(void)body;
	rd_ask_sessions(&p->asks, client);
}

static void
ask_why(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	(void)type;
	rd_ask_why(&p->asks, client, body);
}

/* ---- the text of what is in force ---- */

/* Owned by the client's work. */
struct text {
	struct rd_view	*view;		/* a reference */
	size_t		 at;
};

static bool
text_next(void *work, struct rd_client *client)
{
	struct text *t = work;
	const struct rd_conf *conf = t->view->conf;
	size_t n = conf->text_len - t->at;

	n = n < PART ? n : PART;
	if (n > 0) {
		/* before it is sent: the client may be gone then */
		t->at += n;
		rd_client_send(client, CTL_TEXT_PART,
		    conf->text + t->at - n, n);
		return true;
	}
	rd_client_send(client, CTL_END, NULL, 0);
	rd_client_done(client);
	return false;
}

static void
text_end(void *work)
{
	struct text *t = work;

	rd_view_unref(t->view);
	free(t);
}

static const struct rd_work text_work = { text_next, text_end };

static bool
text_fits(char *to, size_t size, const char *from)
{
	size_t len = from != NULL ? strlen(from) : 0;

	if (len >= size)
		return false;
	memcpy(to, from != NULL ? from : "", len + 1);
	return true;
}

/* NULL: it is too long for a message. For free(). */
static struct ctl_request *
request_pack(const struct rd_request *q, const uint8_t digest[32],
    size_t *len)
{
	struct ctl_request *r;
	size_t n = 0;
	char *at;

	for (size_t i = 0; i < q->nmacros; i++)
		n += strlen(q->macros[i].name) + 1 +
		    strlen(q->macros[i].value) + 1;
	*len = sizeof(*r) + n;
	if (*len > ctl_forms[CTL_REQUEST].max ||
	    (r = calloc(1, *len)) == NULL)
		return NULL;
	if (!text_fits(r->file, sizeof(r->file), q->file) ||
	    !text_fits(r->directory, sizeof(r->directory), q->directory)) {
		free(r);
		return NULL;
	}
	memcpy(r->digest, digest, sizeof(r->digest));
	r->nmacros = (uint32_t)q->nmacros;
	r->length = (uint32_t)n;
	at = (char *)(r + 1);
	for (size_t i = 0; i < q->nmacros; i++) {
		at = stpcpy(at, q->macros[i].name) + 1;
		at = stpcpy(at, q->macros[i].value) + 1;
	}
	return r;
}

static void
ask_text(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	const struct rd_conf *conf = p->view->conf;
	struct text *t = calloc(1, sizeof(*t));
	size_t len;
	struct ctl_request *r = request_pack(&conf->request, conf->digest,
	    &len);

	(void)type;
	(void)body;
	if (t == NULL || r == NULL) {
		rd_client_fail(client, t == NULL ? no_memory :
		    "the command line of the start is too long");
		free(t);
		free(r);
		return;
	}
	rd_client_send(client, CTL_REQUEST, r, len);
	free(r);
	t->view = rd_view_ref(p->view);
	rd_client_work(client, &text_work, t);
}

/* ---- orders ---- */

static void
switched_cb(void *ctx, enum rd_switched what, uint32_t id, bool on)
{
	const struct rd_pfe *p = ctx;
	const struct rd_tell_switch s = { .what = what, .id = id, .on = on };

	role_tell(p->role, RD_HCE, 0, RD_SWITCH, &s, sizeof(s), -1);
}

static void
ask_order(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	struct ctl_id id = { 0 };
	const char *why;

	memcpy(&id, body, sizeof(id));
	if (id.id != CTL_NO_ID)
		memset(id.name, 0, sizeof(id.name));
	why = rd_order(p->view, type, &id, switched_cb, p);
	if (why != NULL) {
		rd_client_fail(client, why);
		return;
	}
	id.zero = 0;
	rd_ctl_event(p->ctl, type, &id, sizeof(id));
	rd_client_send(client, CTL_OK, NULL, 0);
}

static void
ask_poll(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	(void)type;
	(void)body;
	role_tell(p->role, RD_HCE, 0, RD_POLL, NULL, 0, -1);
	rd_client_send(client, CTL_OK, NULL, 0);
}

static void
ask_notify(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	(void)p;
	(void)type;
	(void)body;
	if (rd_client_monitor(client))
		rd_client_send(client, CTL_OK, NULL, 0);
	else
		rd_client_fail(client, "there are monitors enough");
}

/* ---- the service ---- */

static void
ask_verbose(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	uint32_t on;

	memcpy(&on, body, sizeof(on));
	on = on != 0;
	role_tell(p->role, RD_PARENT, 0, RD_LOUD, &on, sizeof(on), -1);
	rd_ctl_event(p->ctl, type, &on, sizeof(on));
	rd_client_send(client, CTL_OK, NULL, 0);
}

static void
ask_stop(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	(void)type;
	(void)body;
	rd_client_send(client, CTL_OK, NULL, 0);
	role_tell(p->role, RD_PARENT, 0, RD_STOP, NULL, 0, -1);
}

static void
reload_end(void *work)
{
	struct rd_pfe *p = work;

	p->reload.client = NULL;
}

static const struct rd_work reload_work = { NULL, reload_end };

static void
ask_reload(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body)
{
	struct rd_tell_reload q = { 0 };

	(void)type;
	static_assert(sizeof(q.path) == CTL_PATH, "path");
	if (p->reload.token != 0) {
		rd_client_fail(client, "another reload is in progress");
		return;
	}
	snprintf(q.path, sizeof(q.path), "%s", (const char *)body);
	if (q.path[0] != '\0' && q.path[0] != '/') {
		rd_client_fail(client, "the path is not absolute");
		return;
	}
	q.token = p->reload.token = ++p->tokens;
	p->reload.client = client;
	rd_client_work(client, &reload_work, p);
	role_tell(p->role, RD_PARENT, 0, RD_RELOAD, &q, sizeof(q), -1);
}

void
rd_answer_reloaded(struct rd_pfe *p, const struct rd_tell_verdict *v)
{
	struct rd_client *client = p->reload.client;

	if (v->token != p->reload.token)
		return;			/* of who was here before us */
	p->reload.token = 0;
	if (client == NULL)
		return;
	rd_client_done(client);
	if (v->good)
		rd_client_send(client, CTL_OK, NULL, 0);
	else
		rd_client_fail(client, "the log says why");
}

/* ---- all of them ---- */

static void (*const answers[CTL_TYPES])(struct rd_pfe *, struct rd_client *,
    unsigned type, const void *body) = {
	[CTL_SHOW_SUMMARY]	= ask_summary,
	[CTL_SHOW_SESSIONS]	= ask_sessions,
	[CTL_WHY]		= ask_why,
	[CTL_TEXT]		= ask_text,
	[CTL_REDIRECT_ENABLE]	= ask_order,
	[CTL_REDIRECT_DISABLE]	= ask_order,
	[CTL_TABLE_ENABLE]	= ask_order,
	[CTL_TABLE_DISABLE]	= ask_order,
	[CTL_HOST_ENABLE]	= ask_order,
	[CTL_HOST_DISABLE]	= ask_order,
	[CTL_POLL]		= ask_poll,
	[CTL_NOTIFY]		= ask_notify,
	[CTL_VERBOSE]		= ask_verbose,
	[CTL_SHUTDOWN]		= ask_stop,
	[CTL_RELOAD]		= ask_reload,
};

void
rd_answer(struct rd_pfe *p, struct rd_client *client, unsigned type,
    const void *body, size_t len)
{
	(void)len;			/* its form says it */
	if (p->view == NULL)
		rd_client_fail(client, "the service is starting");
	else if (answers[type] == NULL)
		rd_client_drop(client, "asked what is not answered");
	else
		answers[type](p, client, type, body);
}
