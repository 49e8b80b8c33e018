/*
 * The line at the end of a session (7.11).
 */
#include <stdio.h>
#include <string.h>

#include "session.h"

#define TLS_TEXT	96

/* "TLSv1.3/SUITE" with what is to be noted about it, or NULL. */
static const char *
tls_text(const struct stream *t, char buf[static TLS_TEXT])
{
	size_t n;

	if (stream_plain(t))
		return NULL;
	stream_tls_text(t, buf, TLS_TEXT);
	n = strlen(buf);
	snprintf(buf + n, TLS_TEXT - n, "%s%s",
	    t->truncated ? ",tls-truncated" : "",
	    stream_tls_unverified(t) ? ",tls-unverified" : "");
	return buf;
}

/* Where the client arrived: an address, or the path of a UNIX listener. */
static const char *
listener_text(const struct session *s, char buf[static NET_TEXT])
{
	const struct facts *f = s->facts;
	const struct spawnd_conf *conf = &s->setup->compiled->broker;

	if (f->dst.family == AF_UNIX && f->listener < conf->nlisteners &&
	    !f->announced)
		return net_text(&conf->listeners[f->listener].addr, buf);
	return f->dst.family != 0 ? net_name_text(&f->dst, buf) : "-";
}

static struct log_item
text_item(const char *name, const char *text)
{
	/* absent and empty are the same, and "-" is how the text form shows
	   it: the logger does that */
	if (text == NULL || *text == '\0' || strcmp(text, "-") == 0)
		return (struct log_item){ name, LOG_ABSENT, NULL, 0 };
	return (struct log_item){ name, LOG_TEXT, text, 0 };
}

static struct log_item
number_item(const char *name, uint64_t n)
{
	return (struct log_item){ name, LOG_NUMBER, NULL, n };
}

void
sesslog_end(const struct session *s, enum session_end end)
{
	const struct worker *w = session_worker(s);
	const struct facts *f = s->facts;
	char id[64], src[NET_TEXT], listener[NET_TEXT], realm[17];
	char tls[TLS_TEXT], remote_tls[TLS_TEXT];
	uint64_t now = ev_now(w->ev);

	if (!s->setup->config->log_connections || f == NULL)
		return;
	snprintf(id, sizeof(id), "%u.%u.%ju", s->setup->compiled->generation,
	    own_number(w->own), (uintmax_t)f->counter);
	snprintf(realm, sizeof(realm), "%.16s", f->realm);

	const struct log_item items[] = {
		text_item("conn", id),
		text_item("src", net_name_text(&f->src, src)),
		text_item("listener", listener_text(s, listener)),
		text_item("realm", realm),
		text_item("dst", s->remote == -1 ? NULL :
		    s->setup->config->remotes[s->remote].text),
		number_item("tries", s->tries),
		text_item("tls", tls_text(&s->stream[CLIENT], tls)),
		text_item("dst-tls", tls_text(&s->stream[REMOTE], remote_tls)),
		number_item("in", s->flow[CLIENT].bytes),
		number_item("out", s->flow[REMOTE].bytes),
		number_item("ms", now > f->started ?
		    (now - f->started) / EV_MS : 0),
		text_item("end", session_end_name(end)),
	};
	log_items(NULL, "session", items, sizeof(items) / sizeof(items[0]));
}
