/*
 * A text of items, each KIND LENGTH : BYTES, like "d5:/root". No byte of them
 * means anything else within one.
 */
#include <stdint.h>
#include <string.h>

#include "rd_extra.h"

enum { DIRECTORY = 'd', BACKEND = 'f', VERBOSE = 'v', FOREGROUND = 'g',
    MACRO = 'm', VALUE = 'w' };

/* ---- to text ---- */

static char *
item_add(struct arena *arena, const char *before, int kind, const char *text)
{
	return arena_printf(arena, "%s%c%zu:%s", before, kind, strlen(text),
	    text);
}

const char *
rd_extra_pack(struct arena *arena, const struct rd_extra *e)
{
	char *text = arena_strdup(arena, "");

	if (e->directory != NULL)
		text = item_add(arena, text, DIRECTORY, e->directory);
	if (e->backend != NULL)
		text = item_add(arena, text, BACKEND, e->backend);
	if (e->verbose)
		text = item_add(arena, text, VERBOSE, "");
	if (e->foreground)
		text = item_add(arena, text, FOREGROUND, "");
	for (size_t i = 0; i < e->nmacros; i++) {
		text = item_add(arena, text, MACRO, e->macros[i].name);
		text = item_add(arena, text, VALUE, e->macros[i].value);
	}
	return text;
}

/* ---- and back ---- */

/* Takes one item off *p. 0: it is none. */
static int
item_take(struct arena *arena, const char **p, const char **text)
{
	const char *s = *p;
	int kind = (unsigned char)*s++;
	size_t left = strlen(*p), len = 0;

	if (*s < '0' || *s > '9')
		return 0;
	for (; *s >= '0' && *s <= '9'; s++) {
		len = len * 10 + (size_t)(*s - '0');
		if (len > left)
			return 0;
	}
	if (*s++ != ':' || len > strlen(s))
		return 0;
	*text = arena_strndup(arena, s, len);
	*p = s + len;
	return kind;
}

/* More than there can be. */
static size_t
macros_most(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == MACRO;
	return n;
}

bool
rd_extra_unpack(struct arena *arena, const char *text, struct rd_extra *e)
{
	struct rd_macro *macros;
	const char *item, *value;

	*e = (struct rd_extra){ 0 };
	if (text == NULL)
		return true;
	macros = arena_array(arena, macros_most(text) + 1, sizeof(*macros));
	e->macros = macros;
	while (*text != '\0') {
		switch (item_take(arena, &text, &item)) {
		case DIRECTORY:
			e->directory = item;
			break;
		case BACKEND:
			e->backend = item;
			break;
		case VERBOSE:
			e->verbose = true;
			break;
		case FOREGROUND:
			e->foreground = true;
			break;
		case MACRO:
			if (*text == '\0' ||
			    item_take(arena, &text, &value) != VALUE)
				return false;
			macros[e->nmacros++] = (struct rd_macro){ item,
			    value };
			break;
		default:
			return false;
		}
	}
	return true;
}
