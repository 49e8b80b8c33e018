/*
 * The canonical text (0.5): what was accepted, one statement per line, in the
 * order of the file. It reads back as the same configuration.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rd_build_impl.h"
#include "rd_keywords.h"

static const char *const reserved[] = {		/* sorted */
#define RESERVED(name, text) text,
	RD_RESERVED(RESERVED)
#undef RESERVED
};

static int
word_cmp(const void *key, const void *row)
{
	return strcmp(key, *(const char *const *)row);
}

static bool
is_reserved(const char *text)
{
	return bsearch(text, reserved, sizeof reserved / sizeof reserved[0],
	    sizeof reserved[0], word_cmp) != NULL;
}

static void __attribute__((format(printf, 3, 0)))
out_vadd(struct rd_build *b, struct rd_out *o, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return;
	if (o->len + (size_t)n + 1 > o->room) {
		size_t room = 2 * (o->len + (size_t)n + 1) + 1024;
		char *p = arena_alloc(b->arena, room);

		if (o->len > 0)
			memcpy(p, o->p, o->len);
		o->p = p;
		o->room = room;
	}
	vsnprintf(o->p + o->len, o->room - o->len, fmt, ap);
	o->len += (size_t)n;
}

void
rd_out_add(struct rd_build *b, struct rd_out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	out_vadd(b, o, fmt, ap);
	va_end(ap);
}

void
rd_statement(struct rd_build *b, const char *fmt, ...)
{
	struct rd_out *o = &b->body;
	va_list ap;

	if (b->section == RD_IN_NONE) {
		o = &b->text;
		/* the first one behind a section keeps its distance */
		if (b->after_section && !b->text_open)
			rd_out_add(b, o, "\n");
		b->text_open = true;
	} else {
		rd_out_add(b, o, "\t");
	}
	va_start(ap, fmt);
	out_vadd(b, o, fmt, ap);
	va_end(ap);
	rd_out_add(b, o, "\n");
}

/*
 * Between quotes only the quote itself can be escaped, and a backslash before
 * anything else stays. So in what was between apostrophes there may be a
 * backslash before a double quote, and only apostrophes can say that again.
 */
static char
quote_for(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text != '\\')
			continue;
		if (*++text == '"')
			return '\'';
		if (*text == '\0')
			break;
	}
	return '"';
}

/* A backslash at the end protects the closing quote. */
static bool
ends_in_backslash(const char *text)
{
	while (*text != '\0') {
		if (*text++ == '\\' && *text++ == '\0')
			return true;
	}
	return false;
}

/*
 * Only a word without quotes can be such a text, so it can be written as one
 * again, unless something was put before it since.
 */
static const char *
quoted_bare(struct rd_build *b, const struct rd_word *w)
{
	char *text = arena_alloc(b->arena, 2 * strlen(w->text) + 1);
	char *p = text;

	for (const char *s = w->text; *s != '\0'; s++) {
		if (!isgraph((unsigned char)*s) ||
		    strchr("(){}<>!=#,/", *s) != NULL) {
			rd_error(b, &w->place, "a text with a backslash at "
			    "its end cannot be printed");
			break;
		}
		if (*s == '\\')
			*p++ = '\\';
		*p++ = *s;
	}
	return text;
}

const char *
rd_quoted(struct rd_build *b, const struct rd_word *w)
{
	char quote = quote_for(w->text);
	char *text = arena_alloc(b->arena, 2 * strlen(w->text) + 3);
	char *p = text;

	if (ends_in_backslash(w->text))
		return quoted_bare(b, w);
	*p++ = quote;
	for (const char *s = w->text; *s != '\0'; s++) {
		if (*s == '\\' && s[1] != '\0')
			*p++ = *s++;
		else if (*s == quote)
			*p++ = '\\';
		*p++ = *s;
	}
	*p++ = quote;
	*p = '\0';
	return text;
}

/* 1.6, without what has a meaning of its own at some place of a word; and
 * nothing that would read as a number. */
static bool
can_be_bare(const char *text)
{
	static const char never[] = "(){}<>!=#,/\"'$\\";
	bool digits = true;

	if (!isalnum((unsigned char)*text) && *text != ':' && *text != '_')
		return false;
	for (const char *p = text; *p != '\0'; p++) {
		if (!isgraph((unsigned char)*p) || strchr(never, *p) != NULL)
			return false;
		if (!isdigit((unsigned char)*p))
			digits = false;
	}
	return !digits && !is_reserved(text);
}

const char *
rd_bare(struct rd_build *b, const struct rd_word *w)
{
	return can_be_bare(w->text) ? w->text : rd_quoted(b, w);
}

const char *
rd_port_text(struct rd_build *b, const struct rd_port *port)
{
	if (port->is_number)
		return arena_printf(b->arena, "%" PRId64,
		    port->number.value);
	/* reserved, but a port all the same */
	if (strcmp(port->word.text, "http") == 0)
		return "http";
	return rd_bare(b, &port->word);
}

const char *
rd_prefix_text(struct rd_build *b, const struct rd_word *w,
    const struct rd_number *bits)
{
	if (!bits->given)
		return rd_bare(b, w);
	return arena_printf(b->arena, "%s/%" PRId64, rd_bare(b, w),
	    bits->value);
}
