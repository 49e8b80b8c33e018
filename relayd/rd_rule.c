/*
 * Filter rules (2.8), the checks of their keys and values (3.3), and rule
 * files, which expand in place (3.5).
 */
#include <sys/socket.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/pattern.h"
#include "rd_build_impl.h"

#define LINE_MAX_BYTES	8095		/* of a rule file, D-37 */
#define MD5_DIGITS	32
#define SHA1_DIGITS	40

#define OP(name)	(1u << RD_OP_ ## name)
#define MODIFIES	(OP(SET) | OP(APPEND) | OP(REMOVE))

static const struct {
	const char	*name;
	bool		 request_only;
	unsigned	 never;		/* operations, and what is said then */
	const char	*text;
	unsigned	 needs_key;	/* operations that do */
} parts[RD_PARTS] = {
	[RD_HEADER] = { "header", false, 0, NULL,
	    OP(NONE) | MODIFIES | OP(HASH) },
	[RD_QUERY] = { "query", true, MODIFIES,
	    "query parameters cannot be modified", 0 },
	[RD_PATH] = { "path", true, 0, NULL, 0 },
	[RD_URL] = { "url", true, MODIFIES, "URLs cannot be modified", 0 },
	[RD_COOKIE] = { "cookie", false, 0, NULL, OP(SET) | OP(APPEND) },
};

static const char *const ops[] = {
	[RD_OP_NONE] = "", [RD_OP_APPEND] = " append", [RD_OP_SET] = " set",
	[RD_OP_REMOVE] = " remove", [RD_OP_HASH] = " hash",
	[RD_OP_LOG] = " log", [RD_OP_STRIP] = " strip",
};

static const char *const matchers[] = {
	[RD_NATURAL] = "", [RD_GLOB] = " glob",
	[RD_GLOB_IGNORECASE] = " glob ignorecase", [RD_PATTERN] = " pattern",
};

/* 3.3.6 */
static const char *const methods[] = {
	"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE",
	"CONNECT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK",
	"UNLOCK", "VERSION-CONTROL", "REPORT", "CHECKOUT", "CHECKIN",
	"UNCHECKOUT", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE",
	"BASELINE-CONTROL", "MKACTIVITY", "ORDERPATCH", "ACL", "MKREDIRECTREF",
	"UPDATEREDIRECTREF", "SEARCH", "PATCH", "MKCALENDAR",
};

/* ---- the head ---- */

static int
prefix_family(const struct rd_prefix *p)
{
	return p->addr.len == 0 ? 0 : p->addr.sa.sa_family;
}

static bool
families_agree(const struct rd_rule *r)
{
	const int given[] = { r->family, prefix_family(&r->from),
	    prefix_family(&r->to) };
	int family = 0;

	for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
		if (given[i] != 0 && family != 0 && given[i] != family)
			return false;
		if (given[i] != 0)
			family = given[i];
	}
	return true;
}

static void
peer_take(struct rd_build *b, const char *word, const struct rd_word *w,
    const struct rd_number *bits, struct rd_prefix *p, struct rd_out *o)
{
	if (w->text == NULL)
		return;
	if (!rd_prefix_take(b, w, bits, p))
		p->addr.len = 0;
	rd_out_add(b, o, " %s %s", word, rd_prefix_text(b, w, bits));
}

void
rd_rule_begin(struct rd_build *b, const struct rd_rule_head *head)
{
	static const char *const actions[] = {
		[RD_PASS] = "pass", [RD_BLOCK] = "block",
		[RD_MATCH] = "match",
	};
	struct rd_rule_state *s = &b->rule;
	struct rd_rule *r = &s->rule;
	struct rd_out o = { NULL, 0, 0 };

	*s = (struct rd_rule_state){ .open = true };
	*r = (struct rd_rule){ .action = head->action,
	    .direction = head->direction, .quick = head->quick,
	    .family = head->family, .place = head->place };
	rd_out_add(b, &o, "%s %s%s%s", actions[r->action],
	    r->direction == RD_REQUEST ? "request" : "response",
	    r->quick ? " quick" : "", r->family == AF_INET ? " inet" :
	    r->family == AF_INET6 ? " inet6" : "");
	peer_take(b, "from", &head->from, &head->from_bits, &r->from, &o);
	peer_take(b, "to", &head->to, &head->to_bits, &r->to, &o);
	if (!families_agree(r))
		rd_error(b, &head->place, "address families do not match");
	s->head_text = o.p;
}

/* ---- keys and values ---- */

static bool
pattern_ok(struct rd_build *b, const struct diag_place *place,
    const char *where, const char *text)
{
	/* of a file there may be very many, and nobody runs them here */
	struct arena *scratch = arena_new();
	char error[PATTERN_ERROR];
	unsigned column;
	bool good;

	if (scratch == NULL) {
		rd_error(b, place, "%s", strerror(errno));
		return false;
	}
	good = pattern_new(scratch, text, error, &column) != NULL;
	arena_free(scratch);
	if (good)
		return true;
	rd_error(b, place, "%spattern \"%s\": %s at column %u", where, text,
	    error, column);
	return false;
}

static const char *
match_text(struct rd_build *b, const char *word,
    const struct rd_match_text *m)
{
	return arena_printf(b->arena, "%s%s%s%s", word,
	    matchers[m->matcher], m->word.text == NULL ? "" : " ",
	    m->word.text == NULL ? "" : rd_quoted(b, &m->word));
}

static bool
is_glob(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

/* Type and operation, before anything is known of keys. */
static bool
part_ok(struct rd_build *b, const struct rd_lookup_text *t)
{
	const char *name = parts[t->part].name;
	const struct rd_rule_state *s = &b->rule;

	if (s->rule.parts[t->part].used) {
		rd_error(b, &t->place, "%s given twice in one rule", name);
		return false;
	}
	if (parts[t->part].never & (1u << t->op)) {
		rd_error(b, &t->place, "%s", parts[t->part].text);
		return false;
	}
	if (parts[t->part].request_only &&
	    s->rule.direction == RD_RESPONSE) {
		rd_error(b, &t->place,
		    "\"%s\" is only available for requests", name);
		return false;
	}
	return true;
}

/* What the words before key and value permit. */
static bool
matchers_ok(struct rd_build *b, const struct rd_lookup_text *t)
{
	const struct rd_match_text *set =
	    t->key.matcher != RD_NATURAL ? &t->key :
	    t->value.matcher != RD_NATURAL ? &t->value : NULL;

	if ((t->op == RD_OP_SET || t->op == RD_OP_APPEND) && set != NULL) {
		rd_error(b, &set->matcher_place, "a matching keyword cannot "
		    "be used with set or append");
		return false;
	}
	if (t->key.matcher == RD_PATTERN && !t->file &&
	    t->key.word.text != NULL &&
	    !pattern_ok(b, &t->key.word.place, "", t->key.word.text))
		return false;
	return t->value.matcher != RD_PATTERN || t->value.word.text == NULL ||
	    pattern_ok(b, &t->value.word.place, "", t->value.word.text);
}

static bool
key_ok(struct rd_build *b, const struct rd_lookup_text *t)
{
	const struct rd_word *key = &t->key.word;
	size_t len;

	if (t->file || key->text == NULL)
		return true;
	len = strlen(key->text);
	if (t->digest && len != MD5_DIGITS && len != SHA1_DIGITS) {
		rd_error(b, &key->place, "digest must have 32 (MD5) or 40 "
		    "(SHA-1) characters");
		return false;
	}
	if (t->part == RD_HEADER && is_glob(key->text) &&
	    (t->op == RD_OP_SET || t->op == RD_OP_APPEND)) {
		rd_error(b, &key->place,
		    "\"%s\" is a pattern and cannot be set", key->text);
		return false;
	}
	return true;
}

static void
strip_take(struct rd_build *b, const struct rd_lookup_text *t)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_lookup *l = &s->rule.parts[RD_PATH];

	if (!rd_number_take(b, RD_RANGE_STRIP, &t->strip, &l->strip))
		return;
	l->used = true;
	l->op = RD_OP_STRIP;
	s->part_text[RD_PATH] = arena_printf(b->arena, " path strip %u",
	    l->strip);
}

static void
file_take(struct rd_build *b, enum rd_part part,
    const struct rd_match_text *path, const struct rd_match_text *value)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_lookup *l = &s->rule.parts[part];

	if (s->file.text != NULL) {
		rd_error(b, &path->word.place, "only one file per rule");
		return;
	}
	s->file = path->word;
	s->file_part = part;
	if (path->matcher != RD_NATURAL)
		l->key.matcher = path->matcher;
	l->value.matcher = value->matcher;
	l->value.text = value->word.text;
	s->file_text = arena_printf(b->arena, "%s file %s%s",
	    matchers[path->matcher], rd_quoted(b, &path->word),
	    value->word.text == NULL ? "" : match_text(b, " value", value));
}

void
rd_rule_lookup(struct rd_build *b, const struct rd_lookup_text *t)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_lookup *l = &s->rule.parts[t->part];

	if (!s->open || !part_ok(b, t))
		return;
	s->have_part = true;
	s->last_part = t->part;
	s->at[t->part] = t->place;
	if (t->op == RD_OP_STRIP) {
		strip_take(b, t);
		return;
	}
	l->used = true;
	l->op = t->op;
	if (!matchers_ok(b, t) || !key_ok(b, t))
		return;
	l->digest = t->digest;
	l->key.matcher = t->key.matcher;
	if (t->file) {
		s->part_text[t->part] = arena_printf(b->arena, " %s%s",
		    parts[t->part].name, ops[t->op]);
		file_take(b, t->part, &t->key, &t->value);
		return;
	}
	l->key.text = t->key.word.text;
	l->value.matcher = t->value.matcher;
	l->value.text = t->value.word.text;
	if (t->key.matcher != RD_NATURAL && l->key.text == NULL)
		s->matcher_at[t->part] = t->key.matcher_place;
	s->part_text[t->part] = arena_printf(b->arena, " %s%s%s%s%s",
	    parts[t->part].name, ops[t->op], t->digest ? " digest" : "",
	    match_text(b, "", &t->key), t->value.word.text == NULL ? "" :
	    match_text(b, " value", &t->value));
}

void
rd_rule_file(struct rd_build *b, const struct rd_match_text *path,
    const struct rd_match_text *value)
{
	struct rd_rule_state *s = &b->rule;
	const struct rd_lookup *l;

	if (!s->open)
		return;
	l = s->have_part ? &s->rule.parts[s->last_part] : NULL;
	if (s->file.text == NULL && (l == NULL || l->key.text != NULL ||
	    l->op == RD_OP_STRIP)) {
		rd_error(b, &path->word.place, "file needs a type: cookie, "
		    "header, path, query or url");
		return;
	}
	if (value->matcher == RD_PATTERN && value->word.text != NULL &&
	    !pattern_ok(b, &value->word.place, "", value->word.text))
		return;
	if ((l->op == RD_OP_SET || l->op == RD_OP_APPEND) &&
	    (path->matcher != RD_NATURAL || value->matcher != RD_NATURAL)) {
		rd_error(b, &path->matcher_place, "a matching keyword cannot "
		    "be used with set or append");
		return;
	}
	file_take(b, s->last_part, path, value);
}

/* ---- other options ---- */

static void
method_take(struct rd_build *b, const struct rd_word *w)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		if (strcmp(methods[i], w->text) == 0) {
			b->rule.rule.method = methods[i];
			return;
		}
	}
	rd_error(b, &w->place, "unknown HTTP method \"%s\"", w->text);
}

static void
name_take(struct rd_build *b, enum rd_length length, const char *what,
    const struct rd_word *w, const struct diag_place *place,
    const char **name)
{
	if (*name != NULL)
		rd_error(b, place, "%s is given twice", what);
	else if (w->text[0] == '\0')
		rd_error(b, &w->place, "%s must not be empty", what);
	else if (rd_length_ok(b, length, w))
		*name = w->text;
}

/* `no tag': of use only if there can be one. */
static void
name_clear(struct rd_build *b, const char *what, bool any,
    const struct diag_place *place, const char **name)
{
	if (!any)
		rd_error(b, place, "\"no %s\" has no effect because no %s "
		    "was defined so far", what, what);
	else if (*name != NULL)
		rd_error(b, place, "%s is given twice", what);
	else
		*name = "";
}

void
rd_rule_option(struct rd_build *b, enum rd_rule_option option,
    const struct rd_word *w, const struct diag_place *place)
{
	struct rd_rule *r = &b->rule.rule;

	if (!b->rule.open)
		return;
	switch (option) {
	case RD_RULE_METHOD:
		method_take(b, w);
		return;
	case RD_RULE_TABLE:
		if (rd_template_find(b, w->text) == NULL) {
			rd_error(b, &w->place, "table <%s> is not defined",
			    w->text);
			return;
		}
		rd_template_find(b, w->text)->used = true;
		r->table = w->text;
		return;
	case RD_RULE_TAG:
		name_take(b, RD_LEN_TAG, "tag", w, place, &r->tag);
		return;
	case RD_RULE_NO_TAG:
		name_clear(b, "tag", b->tags, place, &r->tag);
		return;
	case RD_RULE_TAGGED:
		name_take(b, RD_LEN_TAGGED, "tagged", w, place, &r->tagged);
		return;
	case RD_RULE_LABEL:
		name_take(b, RD_LEN_LABEL, "label", w, place, &r->label);
		return;
	case RD_RULE_NO_LABEL:
		name_clear(b, "label", b->labels, place, &r->label);
		return;
	}
}

/* ---- the end of a rule ---- */

static bool
op_modifies(enum rd_op op)
{
	return op == RD_OP_SET || op == RD_OP_APPEND;
}

/* A lookup without a key, and no file to bring one. */
static void
keyless_check(struct rd_build *b, enum rd_part part)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_lookup *l = &s->rule.parts[part];

	if (l->op == RD_OP_LOG) {
		l->key = (struct rd_text){ .text = "*" };
		return;
	}
	if (s->matcher_at[part].file != NULL) {
		rd_error(b, &s->matcher_at[part],
		    "matching keyword without a key or file");
		return;
	}
	if (parts[part].needs_key & (1u << l->op))
		rd_error(b, &s->at[part], "\"%s%s\" needs a key",
		    parts[part].name, ops[l->op]);
	else if (l->op != RD_OP_NONE)
		rd_warn(b, &s->at[part],
		    "operation without key has no effect");
}

static void
part_settle(struct rd_build *b, enum rd_part part)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_lookup *l = &s->rule.parts[part];

	if (!l->used || l->op == RD_OP_STRIP || s->part_text[part] == NULL)
		return;
	if (s->file.text == NULL && l->key.text == NULL) {
		keyless_check(b, part);
		return;
	}
	if (!op_modifies(l->op) || l->value.text != NULL ||
	    (part == RD_PATH && l->op == RD_OP_APPEND))
		return;
	rd_warn(b, &s->at[part],
	    "no value given, \"*\" will be used literally");
	l->value.text = "*";
}

static const char *
name_text(struct rd_build *b, const char *what, const char *name)
{
	if (name == NULL)
		return "";
	if (*name == '\0')
		return arena_printf(b->arena, " no %s", what);
	return arena_printf(b->arena, " %s %s", what, rd_quoted(b,
	    &(struct rd_word){ .text = name }));
}

static void
rule_print(struct rd_build *b)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_rule *r = &s->rule;
	struct rd_out o = { NULL, 0, 0 };

	rd_out_add(b, &o, "%s", s->head_text);
	if (r->method != NULL)
		rd_out_add(b, &o, " method %s", rd_bare(b,
		    &(struct rd_word){ .text = r->method }));
	for (size_t i = 0; i < RD_PARTS; i++) {
		if (s->part_text[i] != NULL)
			rd_out_add(b, &o, "%s", s->part_text[i]);
		if (s->file.text != NULL && s->file_part == (enum rd_part)i)
			rd_out_add(b, &o, "%s", s->file_text);
	}
	if (r->table != NULL)
		rd_out_add(b, &o, " forward to <%s>", rd_bare(b,
		    &(struct rd_word){ .text = r->table }));
	rd_statement(b, "%s%s%s%s", o.p, name_text(b, "tag", r->tag),
	    name_text(b, "tagged", r->tagged),
	    name_text(b, "label", r->label));
}

static void
rule_add(struct rd_build *b, const struct rd_rule *r)
{
	if (b->nrules == b->rules_room) {
		size_t room = b->rules_room == 0 ? 16 : 2 * b->rules_room;
		struct rd_rule *more = room > SIZE_MAX / sizeof *more ? NULL :
		    realloc(b->rules, room * sizeof *more);

		if (more == NULL) {
			rd_error(b, &r->place, "%s", strerror(ENOMEM));
			return;
		}
		b->rules = more;
		b->rules_room = room;
	}
	b->rules[b->nrules] = *r;
	b->rules[b->nrules].id = (uint32_t)b->nrules + 1;
	b->nrules++;
}

void
rd_rules_settle(struct rd_build *b)
{
	struct rd_protocol *p = b->protocol;

	p->nrules = b->nrules;
	b->nrules = 0;
	if (p->nrules == 0)
		return;
	p->rules = arena_array(b->arena, p->nrules, sizeof *p->rules);
	memcpy(p->rules, b->rules, p->nrules * sizeof *p->rules);
}

/* Every type of the rule gets the key. */
static bool
rule_add_key(struct rd_build *b, const char *key, const char *where)
{
	struct rd_rule_state *s = &b->rule;
	struct rd_rule r = s->rule;

	for (size_t i = 0; i < RD_PARTS; i++) {
		struct rd_lookup *l = &r.parts[i];

		if (!l->used || l->op == RD_OP_STRIP)
			continue;
		l->key.text = key;
		l->key.from_file = true;
		if (l->key.matcher == RD_PATTERN &&
		    !pattern_ok(b, &s->file.place, where, key))
			return false;
	}
	rule_add(b, &r);
	return true;
}

static void
file_error(struct rd_build *b, const char *reason)
{
	rd_error(b, &b->rule.file.place, "cannot read rule file \"%s\": %s",
	    b->rule.file.text, reason);
}

static void
file_line(struct rd_build *b, const char *line, size_t len, unsigned number)
{
	const struct rd_word *file = &b->rule.file;
	size_t key;

	if (len > LINE_MAX_BYTES) {
		file_error(b, arena_printf(b->arena,
		    "line %u is longer than %d bytes", number,
		    LINE_MAX_BYTES));
		return;
	}
	for (key = 0; key < len && line[key] != '\0' &&
	    strchr(" \t\r", line[key]) == NULL; key++)
		;
	if (key == 0 || line[0] == '#')
		return;
	rule_add_key(b, arena_strndup(b->arena, line, key),
	    arena_printf(b->arena, "rule file \"%s\", line %u: ",
	    file->text, number));
}

static void
rule_expand(struct rd_build *b)
{
	const char *path = rd_path(b, b->rule.file.text);
	const char *data, *next;
	unsigned number = 0;
	size_t len;

	if (source_file(b->source, SOURCE_TEXT, path, &data, &len) == -1) {
		file_error(b, strerror(errno));
		return;
	}
	rd_file_named(b, path);
	for (const char *p = data, *end = data + len; p < end; p = next) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl == NULL ? (size_t)(end - p) : (size_t)(nl - p);

		next = nl == NULL ? end : nl + 1;
		file_line(b, p, n, ++number);
	}
}

static void
type_check(struct rd_build *b)
{
	const struct rd_protocol *p = b->protocol;

	if (p->type == RD_HTTP || b->rules_told)
		return;
	b->rules_told = true;
	rd_warn(b, &b->rule.rule.place,
	    "filter rules have no effect in %s protocols",
	    p->type == RD_TCP ? "tcp" : "dns");
}

void
rd_rule_end(struct rd_build *b)
{
	struct rd_rule_state *s = &b->rule;

	if (!s->open)
		return;
	s->open = false;
	type_check(b);
	for (size_t i = 0; i < RD_PARTS; i++)
		part_settle(b, (enum rd_part)i);
	rule_print(b);
	if (s->file.text != NULL)
		rule_expand(b);
	else
		rule_add(b, &s->rule);
	if (s->rule.tag != NULL && s->rule.tag[0] != '\0')
		b->tags = true;
	if (s->rule.label != NULL && s->rule.label[0] != '\0')
		b->labels = true;
}
