/*
 * What a daemon tells relayctl: the first byte says which view, the rest are
 * messages. Whatever has a good form is printed, as text and as JSON: nothing
 * in it reaches a terminal that it could move, and brackets match.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/ctl_json.h"
#include "relayd/ctl_plan.h"
#include "relayd/ctl_print.h"
#include "relayd/ctl_words.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const unsigned views[] = { CTL_VIEW_SUMMARY, CTL_VIEW_HOSTS,
    CTL_VIEW_REDIRECTS, CTL_VIEW_RELAYS, CTL_VIEW_ROUTERS };

/* Where output goes. */
struct out {
	FILE	*fp;
	char	*text;
	size_t	 len;
};

static void
out_open(struct out *o)
{
	o->text = NULL;
	if ((o->fp = open_memstream(&o->text, &o->len)) == NULL)
		abort();
}

static void
out_harmless(const struct out *o)
{
	for (size_t i = 0; i < o->len; i++) {
		unsigned char c = (unsigned char)o->text[i];

		assert(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
	}
}

static void
out_balanced(const struct out *o)
{
	bool quoted = false;
	char open[8];
	size_t depth = 0;

	for (const char *p = o->text; p < o->text + o->len; p++) {
		if (quoted && *p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (quoted)
			assert((unsigned char)*p >= ' ');
		else if (*p == '{' || *p == '[') {
			assert(depth < sizeof(open));
			open[depth++] = *p == '{' ? '}' : ']';
		} else if (*p == '}' || *p == ']')
			assert(depth > 0 && open[--depth] == *p);
	}
	assert(!quoted && depth == 0);
}

static void
out_close(struct out *o)
{
	free(o->text);
}

/* One message of good form. */
static void
shown(struct out *text, struct out *events, struct ctl_json *json,
    const struct ctl_header *h, const void *body)
{
	if (ctl_views(h->type) != 0) {
		ctl_print_row(text->fp, json->view, h->type, body);
		ctl_json_row(json, h->type, body);
	} else if (h->type == CTL_SESSION) {
		ctl_print_session(text->fp, body);
		ctl_json_session(json, body);
	} else if (h->type == CTL_WHY_ENTRY) {
		ctl_print_why(text->fp, body);
		ctl_json_why(json, body);
	} else {
		ctl_print_event(text->fp, h, body, h->pid);
		ctl_json_event(events->fp, h, body, h->pid);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(8) uint8_t body[CTL_LENGTH];
	struct ctl_running running = { 0 };
	struct out text, list, events;
	struct ctl_json json;
	struct ctl_header h;
	size_t len;

	if (size == 0)
		return 0;
	out_open(&text);
	out_open(&list);
	out_open(&events);
	ctl_json_begin(&json, list.fp,
	    views[*data % (sizeof(views) / sizeof(views[0]))]);
	data++;
	size--;
	for (; size >= sizeof(h); data += len, size -= len) {
		memcpy(&h, data, sizeof(h));
		data += sizeof(h);
		size -= sizeof(h);
		if (h.length < sizeof(h) || h.length > CTL_LENGTH ||
		    h.length - sizeof(h) > size)
			break;
		len = h.length - sizeof(h);
		memcpy(body, data, len);
		if (ctl_check(&h, body, false) != NULL)
			continue;
		shown(&text, &events, &json, &h, body);
		(void)ctl_running_take(&running, h.type, body, len);
	}
	ctl_json_end(&json);
	ctl_running_clear(&running);
	fclose(text.fp);
	fclose(list.fp);
	fclose(events.fp);
	out_harmless(&text);
	out_balanced(&list);
	out_balanced(&events);
	out_close(&text);
	out_close(&list);
	out_close(&events);
	return 0;
}
