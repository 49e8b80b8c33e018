/*
 * Lists of options in braces: `tcp { nodelay, backlog 256 }'. They are checked
 * as they come and printed when they end, without what a later one replaced.
 */
#include <string.h>

#include "rd_build_impl.h"

static const struct {
	const char	*word;
	bool		 alone;		/* means something without members */
} lists[] = {
	[RD_LIST_TCP] = { "tcp", false },
	[RD_LIST_TLS] = { "tls", false },
	[RD_LIST_HTTP] = { "http", false },
	[RD_LIST_ERROR] = { "return error", true },
};

/* What the type of the protocol forbids. */
static bool
list_allowed(struct rd_build *b, enum rd_list kind,
    const struct diag_place *place)
{
	enum rd_type type = b->protocol->type;

	if (kind == RD_LIST_HTTP && type != RD_HTTP) {
		rd_error(b, place,
		    "http options are only available in http protocols");
		return false;
	}
	if ((kind == RD_LIST_TCP || kind == RD_LIST_TLS) && type == RD_DNS) {
		rd_error(b, place,
		    "%s options are not available in dns protocols",
		    lists[kind].word);
		return false;
	}
	return kind != RD_LIST_TLS || rd_tls_there(b, place);
}

void
rd_list_begin(struct rd_build *b, enum rd_list kind,
    const struct diag_place *place)
{
	b->list = (struct rd_list_state){ .open = true, .kind = kind };
	b->list_off = !list_allowed(b, kind, place);
}

void
rd_list_item(struct rd_build *b, const char *key, const char *text)
{
	struct rd_list_state *l = &b->list;

	for (size_t i = 0; key != NULL && i < l->nitems; i++) {
		if (l->items[i].key == NULL ||
		    strcmp(l->items[i].key, key) != 0)
			continue;
		l->nitems--;
		memmove(&l->items[i], &l->items[i + 1],
		    (l->nitems - i) * sizeof *l->items);
		break;
	}
	l->items = rd_grow(b, l->items, l->nitems, sizeof *l->items);
	l->items[l->nitems++] = (struct rd_list_item){ key, text };
}

void
rd_list_more(struct rd_build *b, const char *text)
{
	struct rd_list_state *l = &b->list;

	if (l->nitems > 0)
		l->items[l->nitems - 1].text = arena_printf(b->arena, "%s%s",
		    l->items[l->nitems - 1].text, text);
}

void
rd_list_end(struct rd_build *b)
{
	struct rd_list_state *l = &b->list;
	struct rd_out o = { NULL, 0, 0 };
	const char *word = lists[l->kind].word;

	if (!l->open)
		return;
	l->open = false;
	b->list_off = false;
	for (size_t i = 0; i < l->nitems; i++)
		rd_out_add(b, &o, "%s%s", i == 0 ? "" : ", ",
		    l->items[i].text);
	if (l->nitems > 1)
		rd_statement(b, "%s { %s }", word, o.p);
	else if (l->nitems == 1)
		rd_statement(b, "%s %s", word, o.p);
	else if (lists[l->kind].alone)
		rd_statement(b, "%s", word);
}
