/*
 * The kinds of values: how they are written, checked and stored.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kw.h"

#define SHOW_MAX	160

const struct kw_word kw_bools[] = {
	{ "yes", true, false }, { "no", false, false },
	{ "true", true, false }, { "false", false, false },
	{ "permit", true, false }, { "deny", false, false },
	{ NULL, 0, false },
};

const char *
kw_word_text(const struct kw_word *set, int value)
{
	while (set->text != NULL && set->value != value)
		set++;
	return set->text;
}

bool
kw_has_value(struct kw_reader *r)
{
	char show[SHOW_MAX];

	if (r->tok.kind == LEX_STRING ||
	    (r->tok.kind == LEX_WORD && !kw_is(r, "include")))
		return true;
	if (r->tok.kind == LEX_END || lex_is(&r->tok, '}'))
		kw_refuse(r, &r->tok.place, "%s: value missing", r->name);
	else
		kw_refuse(r, &r->tok.place,
		    "%s: Expected a value, but got %s", r->name,
		    lex_show(&r->tok, show, sizeof show));
	return false;
}

const char *
kw_text(struct kw_reader *r)
{
	if (!kw_has_value(r))
		return NULL;
	return arena_strndup(r->arena, r->tok.text, r->tok.len);
}

bool
kw_word_is(const struct kw_reader *r, const struct kw_word *set, int *value)
{
	for (; set->text != NULL; set++) {
		if (kw_is(r, set->text)) {
			*value = set->value;
			return true;
		}
	}
	return false;
}

bool
kw_word(struct kw_reader *r, const struct kw_word *set, int *value)
{
	if (kw_word_is(r, set, value)) {
		kw_next(r);
		return true;
	}
	if (r->tok.kind == LEX_END || lex_is(&r->tok, '}'))
		kw_refuse(r, &r->tok.place, "%s: value missing", r->name);
	else
		kw_expected(r, &set, 1);
	return false;
}

/* Digits of a base; what is behind them stays in *rest. */
static bool
parse_digits(const char *text, unsigned base, uint64_t *value,
    const char **rest)
{
	bool over = false;

	*value = 0;
	*rest = text;
	for (;; (*rest)++) {
		unsigned char c = (unsigned char)**rest;
		unsigned digit = isdigit(c) ? c - (unsigned)'0' :
		    isxdigit(c) ? (unsigned)tolower(c) - 'a' + 10 : 99;

		if (digit >= base)
			break;
		if (*value > (UINT64_MAX - digit) / base)
			over = true;
		else
			*value = *value * base + digit;
	}
	errno = *rest == text ? EINVAL : ERANGE;
	return *rest != text && !over;
}

/* What a suffix letter multiplies by. */
struct suffix {
	char		letter;
	uint64_t	factor;
};

static bool
parse_suffix(const char *rest, const struct suffix *suffixes, bool good,
    uint64_t *value)
{
	uint64_t factor = 1;

	if (*rest != '\0') {
		char c = (char)tolower((unsigned char)*rest);

		while (suffixes->letter != '\0' && suffixes->letter != c)
			suffixes++;
		if (suffixes->letter == '\0' || rest[1] != '\0') {
			errno = EINVAL;
			return false;
		}
		factor = suffixes->factor;
	}
	if (!good || *value > UINT64_MAX / factor) {
		errno = ERANGE;
		return false;
	}
	*value *= factor;
	return true;
}

static bool
parse_number(const char *text, unsigned base, const struct suffix *suffixes,
    uint64_t *value)
{
	const char *rest;
	bool good = parse_digits(text, base, value, &rest);

	if (!good && errno == EINVAL)
		return false;
	return parse_suffix(rest, suffixes, good, value);
}

bool
kw_parse_int(const char *text, uint64_t *value)
{
	static const struct suffix suffixes[] = { { 'k', 1024 },
	    { 'm', 1024 * 1024 }, { 'g', 1024 * 1024 * 1024 }, { 0, 0 } };
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	return parse_number(hex ? text + 2 : text, hex ? 16 : 10, suffixes,
	    value);
}

bool
kw_parse_seconds(const char *text, uint64_t *value)
{
	static const struct suffix suffixes[] = { { 's', 1 }, { 'm', 60 },
	    { 'h', 3600 }, { 'd', 86400 }, { 0, 0 } };

	return parse_number(text, 10, suffixes, value);
}

static bool
parse_octal(const char *text, uint64_t *value)
{
	static const struct suffix none[] = { { 0, 0 } };

	return parse_number(text, 8, none, value);
}

static void
store(void *object, const struct kw *kw, uint64_t value)
{
	char *p = (char *)object + kw->offset;
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;

	if (kw->size == sizeof v8)
		memcpy(p, &v8, sizeof v8);
	else if (kw->size == sizeof v16)
		memcpy(p, &v16, sizeof v16);
	else if (kw->size == sizeof v32)
		memcpy(p, &v32, sizeof v32);
	else
		memcpy(p, &value, sizeof value);
}

/* How the kinds of numbers are read, and what else is said of a text. */
static const struct {
	bool		(*parse)(const char *, uint64_t *);
	const char	*what;
} numbers[] = {
	[KW_KIND_INT] = { kw_parse_int, "a number" },
	[KW_KIND_SECONDS] = { kw_parse_seconds, "a time" },
	[KW_KIND_OCTAL] = { parse_octal, "an octal number" },
};

bool
kw_number(struct kw_reader *r, enum kw_kind kind, uint64_t min, uint64_t max,
    uint64_t *value)
{
	bool good;

	if (!kw_has_value(r))
		return false;
	good = numbers[kind].parse(r->tok.text, value);
	if (!good && errno == EINVAL)
		kw_bad_value(r, "'%.100s' is not %s", r->tok.text,
		    numbers[kind].what);
	else if (good && *value >= min && *value <= max)
		return true;
	else if (kind == KW_KIND_OCTAL)
		kw_bad_value(r, "%.100s is out of range (%jo to %jo)",
		    r->tok.text, (uintmax_t)min, (uintmax_t)max);
	else
		kw_bad_value(r, "%.100s is out of range (%ju to %ju)",
		    r->tok.text, (uintmax_t)min, (uintmax_t)max);
	return false;
}

static void
read_number(struct kw_reader *r, const struct kw *kw, void *object)
{
	uint64_t value;

	if (!kw_number(r, kw->kind, kw->min, kw->max, &value))
		return;
	store(object, kw, value);
	kw_next(r);
}

static void
read_text(struct kw_reader *r, const struct kw *kw, void *object)
{
	const char *text = kw_text(r);

	if (text == NULL)
		return;
	memcpy((char *)object + kw->offset, &text, sizeof text);
	kw_next(r);
}

static void
read_value(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_value *v = (void *)((char *)object + kw->offset);
	const char *text = kw_text(r);

	if (text == NULL)
		return;
	v->text = text;
	v->place = r->tok.place;
	kw_next(r);
}

static void
read_word(struct kw_reader *r, const struct kw *kw, void *object)
{
	int value;

	if (kw_word(r, kw->kind == KW_KIND_BOOL ? kw_bools : kw->set, &value))
		store(object, kw, (uint64_t)value);
}

/* A number of an account, which need not exist. */
static bool
parse_id(const char *text, uint32_t *id)
{
	const char *rest;
	uint64_t value;

	if (!parse_digits(text, 10, &value, &rest) || *rest != '\0' ||
	    value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

static void
read_user(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_owner *o = (void *)((char *)object + kw->offset);
	uint32_t id;

	if (!kw_has_value(r))
		return;
	o->user = NULL;
	o->has_users_gid = false;
	if (parse_id(r->tok.text, &id)) {
		o->uid = id;
	} else if (source_user(r->source, r->tok.text, &o->uid,
	    &o->users_gid) == 0) {
		o->user = arena_strdup(r->arena, r->tok.text);
		o->has_users_gid = true;
	} else {
		kw_bad_value(r, "unknown user '%.100s'", r->tok.text);
		return;
	}
	o->has_uid = true;
	kw_next(r);
}

static void
read_group(struct kw_reader *r, const struct kw *kw, void *object)
{
	struct kw_owner *o = (void *)((char *)object + kw->offset);
	uint32_t id;

	if (!kw_has_value(r))
		return;
	if (parse_id(r->tok.text, &id)) {
		o->gid = id;
	} else if (source_group(r->source, r->tok.text, &o->gid) == -1) {
		kw_bad_value(r, "unknown group '%.100s'", r->tok.text);
		return;
	}
	o->has_gid = true;
	kw_next(r);
}

void
kw_read(struct kw_reader *r, const struct kw *kw, void *object)
{
	if (kw->kind != KW_KIND_CALL)
		kw_equals(r);
	switch (kw->kind) {
	case KW_KIND_BOOL:
	case KW_KIND_WORD:
		read_word(r, kw, object);
		break;
	case KW_KIND_INT:
	case KW_KIND_SECONDS:
	case KW_KIND_OCTAL:
		read_number(r, kw, object);
		break;
	case KW_KIND_TEXT:
		read_text(r, kw, object);
		break;
	case KW_KIND_VALUE:
		read_value(r, kw, object);
		break;
	case KW_KIND_USER:
		read_user(r, kw, object);
		break;
	case KW_KIND_GROUP:
		read_group(r, kw, object);
		break;
	case KW_KIND_CALL:
		kw->call(r, object);
		break;
	case KW_KIND_END:
		break;
	}
}
