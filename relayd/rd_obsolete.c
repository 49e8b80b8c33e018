/*
 * What older releases wrote, by the word a statement begins with.
 */
#include <stdio.h>
#include <string.h>

#include "../misc/str.h"
#include "rd_obsolete.h"

/* ---- looking at tokens ---- */

static const struct rd_token *
token_at(const struct rd_line *l, size_t i)
{
	static const struct rd_token none = { .kind = RD_K_NEWLINE,
	    .word.text = "" };

	return i < l->n ? &l->tokens[i] : &none;
}

static bool
is_kind(const struct rd_line *l, size_t i, enum rd_kind kind)
{
	return token_at(l, i)->kind == kind;
}

/* A word that is none of the language any more. */
static bool
is_word(const struct rd_line *l, size_t i, const char *word)
{
	const struct rd_token *t = token_at(l, i);

	return t->kind == RD_K_STRING && !t->word.quoted &&
	    strcmp(t->word.text, word) == 0;
}

static bool
is_byte(const struct rd_line *l, size_t i, char byte)
{
	return is_kind(l, i, RD_K_BYTE) &&
	    token_at(l, i)->word.text[0] == byte;
}

static bool
is_text(const struct rd_line *l, size_t i)
{
	const struct rd_token *t = token_at(l, i);

	return t->kind == RD_K_STRING || (rd_kind_text(t->kind) != NULL &&
	    !rd_kind_reserved(t->kind));
}

static bool
is_end(const struct rd_line *l, size_t i)
{
	return is_kind(l, i, RD_K_NEWLINE) || is_kind(l, i, RD_K_END) ||
	    is_byte(l, i, '}');
}

static void
token_become(struct rd_token *t, enum rd_kind kind)
{
	t->kind = kind;
	t->word.text = rd_kind_text(kind);
	t->word.len = strlen(t->word.text);
	t->word.quoted = false;
}

static void
tokens_drop(struct rd_line *l, size_t from, size_t n)
{
	memmove(&l->tokens[from], &l->tokens[from + n],
	    (l->n - from - n) * sizeof l->tokens[0]);
	l->n -= n;
}

/* How a token is named in advice: names as they are, numbers too. */
static const char *
text_of(const struct rd_token *t, char *buf, size_t size)
{
	if (t->kind == RD_K_NUMBER)
		snprintf(buf, size, "%lld", (long long)t->number);
	else
		snprintf(buf, size, "%s", t->word.text);
	return buf;
}

/* ---- filter statements until 2014, 8.3 ---- */

struct filter {
	const struct rd_line	*line;
	size_t			 at;
	struct str		*out;
	const char		*direction;	/* with a blank, or "" */
	const char		*type;
	const struct rd_token	*key, *value, *mark, *marked;
	bool			 file;		/* key is one of keys */
	bool			 log;
};

static void
quote(struct str *out, const char *text)
{
	str_add(out, "\"");
	for (; *text != '\0'; text++)
		str_add(out, *text == '"' ? "\\%c" : "%c", *text);
	str_add(out, "\"");
}

static void
quote_token(struct str *out, const struct rd_token *t)
{
	char text[RD_TOKEN_MAX + 1];

	quote(out, text_of(t, text, sizeof text));
}

static void
filter_key(const struct filter *f)
{
	if (f->key == NULL)
		return;
	str_add(f->out, f->file ? " file " : " ");
	quote_token(f->out, f->key);
}

static void
filter_value(const struct filter *f)
{
	if (f->value == NULL)
		return;
	str_add(f->out, " value ");
	quote_token(f->out, f->value);
}

static void
filter_tags(const struct filter *f)
{
	if (f->mark != NULL) {
		str_add(f->out, " tag ");
		quote_token(f->out, f->mark);
	}
	if (f->marked != NULL) {
		str_add(f->out, " tagged ");
		quote_token(f->out, f->marked);
	}
}

/* "match request header append "k" value "v"", and what follows it. */
static void
filter_rule(const struct filter *f, const char *action, const char *quick,
    const char *op)
{
	str_add(f->out, "%s %s%s%s%s", action, f->direction, quick, f->type,
	    op);
	filter_key(f);
	filter_value(f);
	filter_tags(f);
}

static void
write_set(const struct filter *f)
{
	filter_rule(f, "match", "", " set");
}

static void
write_append(const struct filter *f)
{
	filter_rule(f, "match", "", " append");
}

static void
write_remove(const struct filter *f)
{
	filter_rule(f, "match", "", " remove");
}

static void
write_hash(const struct filter *f)
{
	filter_rule(f, "match", "", " hash");
}

static void
write_log(const struct filter *f)
{
	filter_rule(f, "match", "", " log");
}

static void
write_filter(const struct filter *f)
{
	filter_rule(f, "block", "quick ", "");
}

static void
write_digest(const struct filter *f)
{
	filter_rule(f, "block", "quick ", " digest");
}

/* A header needs a key, so nothing but the direction can be refused. */
static void
write_expect(const struct filter *f)
{
	bool header = strcmp(f->type, "header") == 0;

	str_add(f->out, "block");
	if (f->direction[0] != '\0')
		str_add(f->out, " %.*s", (int)strlen(f->direction) - 1,
		    f->direction);
	if (!header)
		str_add(f->out, " %s", f->type);
	str_add(f->out, " followed by ");
	filter_rule(f, "pass", "", "");
}

static void
write_mark(const struct filter *f)
{
	filter_rule(f, "match", "", "");
}

static const struct old_action {
	const char	*word, *second;
	enum rd_kind	 joint;		/* between value and key; 0: none */
	void		(*write)(const struct filter *);
} old_actions[] = {
	{ "append", NULL, RD_K_TO, write_append },
	{ "change", NULL, RD_K_TO, write_set },
	{ "remove", NULL, 0, write_remove },
	{ "hash", NULL, 0, write_hash },
	{ "log", NULL, 0, write_log },
	{ "filter", "digest", 0, write_digest },
	{ "digest", NULL, 0, write_digest },
	{ "filter", NULL, RD_K_FROM, write_filter },
	{ "expect", NULL, RD_K_FROM, write_expect },
	{ "mark", NULL, RD_K_FROM, write_mark },
};

static bool
filter_takes(struct filter *f, const char *word)
{
	const struct rd_token *t = token_at(f->line, f->at);

	if (word == NULL || t->word.quoted || t->word.len == 0 ||
	    strcmp(t->word.text, word) != 0)
		return false;
	f->at++;
	return true;
}

static const struct rd_token *
filter_text(struct filter *f)
{
	if (!is_text(f->line, f->at) &&
	    !is_kind(f->line, f->at, RD_K_NUMBER))
		return NULL;
	return token_at(f->line, f->at++);
}

/* What is behind the action; false: it is not what was ever written. */
static bool
filter_operands(struct filter *f, const struct old_action *a)
{
	bool append = a->joint == RD_K_TO;
	const struct rd_token *first, *second = NULL;

	f->file = filter_takes(f, "file");
	if ((first = filter_text(f)) == NULL)
		return a->write == write_log && is_end(f->line, f->at);
	if (a->joint != 0 && is_kind(f->line, f->at, a->joint)) {
		f->at++;
		if ((second = filter_text(f)) == NULL)
			return false;
	}
	/* change "KEY" to "VALUE", but append "VALUE" to "KEY" */
	f->key = second == NULL || a->write == write_set ? first : second;
	f->value = second == NULL ? NULL : f->key == first ? second : first;
	if (append && second == NULL && !f->file)
		return false;
	if (a->write == write_mark && (!filter_takes(f, "with") ||
	    (f->mark = filter_text(f)) == NULL))
		return false;
	if (filter_takes(f, "marked") && (f->marked = filter_text(f)) == NULL)
		return false;
	f->log = filter_takes(f, "log");
	return is_end(f->line, f->at);
}

static bool
filter_read(struct filter *f)
{
	static const char *const types[] = { "cookie", "header", "path",
	    "query", "url" };
	const struct rd_line *l = f->line;
	struct filter log;

	f->direction = "";
	if (is_kind(l, 0, RD_K_REQUEST))
		f->direction = "request ";
	if (is_kind(l, 0, RD_K_RESPONSE))
		f->direction = "response ";
	f->at = f->direction[0] != '\0';
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		if (filter_takes(f, types[i])) {
			f->type = types[i];
			break;
		}
	}
	if (f->type == NULL)
		return false;
	for (size_t i = 0; i < sizeof old_actions / sizeof old_actions[0];
	    i++) {
		const struct old_action *a = &old_actions[i];
		size_t at = f->at;

		if (!filter_takes(f, a->word) || (a->second != NULL &&
		    !filter_takes(f, a->second))) {
			f->at = at;
			continue;
		}
		if (!filter_operands(f, a))
			return false;
		a->write(f);
		if (f->log) {
			log = *f;
			log.value = log.mark = log.marked = NULL;
			str_add(f->out, " followed by ");
			write_log(&log);
		}
		return true;
	}
	return false;
}

static void
label_write(const struct rd_line *l, struct str *out)
{
	if (is_kind(l, 0, RD_K_NO)) {
		str_add(out, "match request no label");
	} else {
		str_add(out, "match request label ");
		quote_token(out, token_at(l, 1));
	}
}

static enum rd_age
filter_old(struct rd_line *l, char *text)
{
	struct str out;
	struct filter f = { .line = l, .out = &out };

	str_init(&out, text, RD_OLD_TEXT);
	str_add(&out, "old filter syntax, use: ");
	if (is_kind(l, 0, RD_K_NO) || is_kind(l, 0, RD_K_LABEL))
		label_write(l, &out);
	else if (!filter_read(&f))
		snprintf(text, RD_OLD_TEXT, "old filter syntax, use rules "
		    "that begin with \"match\", \"pass\" or \"block\"");
	return RD_AGE_REJECTED;
}

/* ---- by section ---- */

/* Reads on as if the modern word stood there. */
static enum rd_age
renamed(struct rd_line *l, size_t at, const char *old, enum rd_kind kind,
    char *text)
{
	snprintf(text, RD_OLD_TEXT, "\"%s\" is obsolete, use \"%s\"", old,
	    rd_kind_text(kind));
	token_become(&l->tokens[at], kind);
	return RD_AGE_ALIAS;
}

static enum rd_age
rejected(char *text, const char *why)
{
	snprintf(text, RD_OLD_TEXT, "%s", why);
	return RD_AGE_REJECTED;
}

static enum rd_age
snmp_old(struct rd_line *l, char *text)
{
	bool trap = is_word(l, 1, "trap");
	size_t path = trap ? 2 : 1;

	if (!is_end(l, path) && !(is_text(l, path) && is_end(l, path + 1)))
		return RD_AGE_NONE;
	snprintf(text, RD_OLD_TEXT, "\"%s\" is obsolete, use \"agentx\"%s",
	    trap ? "snmp trap" : "snmp", trap ? "; traps are not sent" : "");
	token_become(&l->tokens[0], RD_K_AGENTX);
	if (is_end(l, path)) {
		if (trap)
			tokens_drop(l, 1, 1);
		return RD_AGE_ALIAS;
	}
	if (!trap) {			/* there is room for it */
		memmove(&l->tokens[2], &l->tokens[1],
		    (l->n - 1) * sizeof l->tokens[0]);
		l->n++;
	}
	token_become(&l->tokens[1], RD_K_PATH);
	return RD_AGE_ALIAS;
}

static enum rd_age
old_top(struct rd_line *l, char *text)
{
	if (is_word(l, 0, "snmp"))
		return snmp_old(l, text);
	if (is_kind(l, 0, RD_K_SEND) && is_word(l, 1, "trap") &&
	    is_end(l, 2)) {
		snprintf(text, RD_OLD_TEXT, "\"send trap\" is obsolete and "
		    "has no effect, traps are not sent");
		return RD_AGE_IGNORED;
	}
	if (is_word(l, 0, "service") && !is_byte(l, 1, '=') &&
	    !is_kind(l, 1, RD_K_PROTOCOL)) {
		snprintf(text, RD_OLD_TEXT,
		    "\"service\" was renamed, use \"redirect\"");
		token_become(&l->tokens[0], RD_K_REDIRECT);
		return RD_AGE_RENAMED;
	}
	if (is_kind(l, 0, RD_K_DEMOTE) && !is_byte(l, 1, '='))
		return rejected(text,
		    "use \"demote\" as an option of \"forward to\"");
	return RD_AGE_NONE;
}

/* `ssl' in the places where it meant tls. */
static enum rd_age
ssl_old(struct rd_line *l, char *text, size_t *at)
{
	enum rd_age age = RD_AGE_NONE;

	for (size_t i = 1; i < l->n; i++) {
		if (is_word(l, i, "ssl") && (is_kind(l, i - 1, RD_K_WITH) ||
		    is_kind(l, i - 1, RD_K_CHECK) ||
		    (i > 1 && is_kind(l, i - 2, RD_K_EXPECT)) ||
		    (i > 1 && is_kind(l, 0, RD_K_LISTEN) &&
		    is_kind(l, i - 2, RD_K_PORT)))) {
			*at = i;
			age = renamed(l, i, "ssl", RD_K_TLS, text);
		}
	}
	return age;
}

static enum rd_age
table_old(const struct rd_line *l, char *text)
{
	size_t at = is_byte(l, 1, '<') ? 2 : 1;

	snprintf(text, RD_OLD_TEXT, "use \"forward to <%.256s>\"",
	    is_end(l, at) ? "NAME" : token_at(l, at)->word.text);
	return RD_AGE_REJECTED;
}

static enum rd_age
backup_old(const struct rd_line *l, char *text)
{
	size_t at = is_kind(l, 1, RD_K_TABLE) ? 2 : 1;

	at += is_byte(l, at, '<');
	snprintf(text, RD_OLD_TEXT, "use a second \"forward to <%.256s>\"",
	    is_end(l, at) ? "NAME" : token_at(l, at)->word.text);
	return RD_AGE_REJECTED;
}

static enum rd_age
virtual_old(const struct rd_line *l, char *text)
{
	if (is_kind(l, 1, RD_K_HOST))
		return rejected(text, "\"virtual host\" was renamed, "
		    "use \"listen on addr port p\"");
	if (is_kind(l, 1, RD_K_IP))
		return rejected(text,
		    "\"virtual ip\" was renamed, use \"listen on\"");
	return RD_AGE_NONE;
}

static enum rd_age
old_redirect(struct rd_line *l, char *text, size_t *at)
{
	size_t match = is_kind(l, 0, RD_K_MATCH);

	if (is_kind(l, match, RD_K_TAG)) {
		*at = match;
		return renamed(l, match, match ? "match tag" : "tag",
		    RD_K_PFTAG, text);
	}
	if (is_word(l, 0, "virtual"))
		return virtual_old(l, text);
	if (is_kind(l, 0, RD_K_TABLE))
		return table_old(l, text);
	if (is_kind(l, 0, RD_K_BACKUP))
		return backup_old(l, text);
	return ssl_old(l, text, at);
}

/* `transparent forward ... interface if': the interface is not needed. */
static bool
interface_old(struct rd_line *l)
{
	for (size_t i = 2; is_kind(l, 0, RD_K_TRANSPARENT) && i + 1 < l->n;
	    i++) {
		if (is_kind(l, i, RD_K_INTERFACE) && is_text(l, i + 1)) {
			tokens_drop(l, i, 2);
			return true;
		}
	}
	return false;
}

static enum rd_age
old_relay(struct rd_line *l, char *text, size_t *at)
{
	enum rd_age age;
	char number[32];

	if (is_kind(l, 0, RD_K_TABLE))
		return table_old(l, text);
	if (is_kind(l, 0, RD_K_BACKUP))
		return backup_old(l, text);
	if (is_word(l, 0, "service"))
		return rejected(text, "forwarding to a redirect is not "
		    "supported, name the address");
	if (is_kind(l, 0, RD_K_NAT))
		return rejected(text, "use \"forward to nat lookup\"");
	if (is_kind(l, 0, RD_K_TIMEOUT)) {
		snprintf(text, RD_OLD_TEXT, "use \"session timeout %s\"",
		    is_kind(l, 1, RD_K_NUMBER) ? text_of(token_at(l, 1),
		    number, sizeof number) : "n");
		return RD_AGE_REJECTED;
	}
	for (size_t i = 1; i + 1 < l->n; i++) {
		if (is_kind(l, i, RD_K_NO) && is_kind(l, i + 1, RD_K_CHECK)) {
			*at = i;
			return rejected(text,
			    "leave out \"check\" instead");
		}
	}
	if ((age = ssl_old(l, text, at)) != RD_AGE_NONE ||
	    !interface_old(l))
		return age;
	snprintf(text, RD_OLD_TEXT, "%s", "\"transparent forward ... "
	    "interface\" is obsolete, use \"transparent forward\"");
	*at = 0;
	return RD_AGE_ALIAS;
}

static enum rd_age
old_protocol(const char *name, struct rd_line *l, char *text)
{
	static const enum rd_kind begins[] = { RD_K_REQUEST, RD_K_RESPONSE,
	    RD_K_HEADER, RD_K_COOKIE, RD_K_PATH, RD_K_QUERY, RD_K_URL };

	if (is_word(l, 0, "ssl"))
		return renamed(l, 0, "ssl", RD_K_TLS, text);
	if (is_kind(l, 0, RD_K_PROTOCOL)) {
		snprintf(text, RD_OLD_TEXT,
		    "give the type first: %.64s protocol \"%.256s\"",
		    is_end(l, 1) ? "TYPE" : token_at(l, 1)->word.text, name);
		return RD_AGE_REJECTED;
	}
	for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
		if (is_kind(l, 0, begins[i]))
			return filter_old(l, text);
	}
	if ((is_kind(l, 0, RD_K_LABEL) && !is_end(l, 1)) ||
	    (is_kind(l, 0, RD_K_NO) && is_kind(l, 1, RD_K_LABEL)))
		return filter_old(l, text);
	return RD_AGE_NONE;
}

enum rd_age
rd_obsolete(enum rd_where section, const char *name, struct rd_line *l,
    char text[static RD_OLD_TEXT], size_t *at)
{
	*at = 0;
	switch (section) {
	case RD_S_TOP:
		return old_top(l, text);
	case RD_S_REDIRECT:
		return old_redirect(l, text, at);
	case RD_S_RELAY:
		return old_relay(l, text, at);
	case RD_S_PROTOCOL:
		return old_protocol(name, l, text);
	case RD_S_ROUTER:
		return ssl_old(l, text, at);
	case RD_S_TABLE:
		break;
	}
	return RD_AGE_NONE;
}

bool
rd_obsolete_host(const struct rd_token *t, char text[static RD_OLD_TEXT])
{
	switch (t->kind) {
	case RD_K_HOST:
		snprintf(text, RD_OLD_TEXT, "\"host\" does not belong into a "
		    "table any more, write the address alone");
		return true;
	case RD_K_CHECK:
	case RD_K_REAL:
	case RD_K_TIMEOUT:
	case RD_K_INTERVAL:
	case RD_K_DEMOTE:
		snprintf(text, RD_OLD_TEXT, "\"%s\" does not belong into a "
		    "table any more, give it as an option of "
		    "\"forward to <table>\"",
		    t->kind == RD_K_REAL ? "real port" :
		    rd_kind_text(t->kind));
		return true;
	default:
		return false;
	}
}
