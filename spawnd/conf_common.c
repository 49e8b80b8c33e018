/*
 * Directives that may stand anywhere (3.7), and those of the top level.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "../misc/sign.h"
#include "../misc/url.h"
#include "parse.h"

#define DEBUG_SETTABLE	(0xffffffffu & ~DEBUG_USERINPUT)

static struct parse *
parse_of(struct kw_reader *r)
{
	return r->owner;
}

/* Takes effect at once: the next token may already ask for it. */
static void
setenv_read(struct kw_reader *r, void *object)
{
	const char *name, *value;

	(void)object;
	if ((name = kw_text(r)) == NULL)
		return;
	if (*name == '\0' || strchr(name, '=') != NULL) {
		kw_bad_value(r, "'%.100s' is not a name", name);
		return;
	}
	kw_next(r);
	kw_equals(r);
	if ((value = kw_text(r)) == NULL)
		return;
	source_setenv(r->source, name, value, r->block->line > 0);
	kw_next(r);
}

/* ---- debug ---- */

/* NONE and ALL clear and set everything. */
static const struct kw_word debug_words[] = {
	{ "PARSE", DEBUG_PARSE, false }, { "AUTHOR", DEBUG_AUTHOR, false },
	{ "AUTHEN", DEBUG_AUTHEN, false }, { "ACCT", DEBUG_ACCT, false },
	{ "CONFIG", DEBUG_CONFIG, false }, { "PACKET", DEBUG_PACKET, false },
	{ "HEX", DEBUG_HEX, false }, { "LOCK", DEBUG_LOCK, false },
	{ "REGEX", DEBUG_REGEX, false }, { "ACL", DEBUG_ACL, false },
	{ "RADIUS", DEBUG_RADIUS, false }, { "CMD", DEBUG_CMD, false },
	{ "BUFFER", DEBUG_BUFFER, false }, { "PROC", DEBUG_PROC, false },
	{ "NET", DEBUG_NET, false }, { "PATH", DEBUG_PATH, false },
	{ "CONTROL", DEBUG_CONTROL, false },
	{ "INDEX", DEBUG_INDEX, false }, { "AV", DEBUG_AV, false },
	{ "MAVIS", DEBUG_MAVIS, false }, { "DNS", DEBUG_DNS, false },
	{ "USERINPUT", DEBUG_USERINPUT, false },
	{ "ALL", DEBUG_ALL, false }, { "NONE", 0, false },
	{ "LWRES", DEBUG_DNS, true },
	{ "FORK", DEBUG_PROC, true }, { "LOG", DEBUG_CONFIG, true },
	{ NULL, 0, false },
};

static bool
debug_number(const char *text, bool clear, uint32_t *bits)
{
	uint64_t value;

	if (!kw_parse_int(text, &value) || value > 0xffffffffu)
		return false;
	if (clear)
		*bits &= ~(uint32_t)value;
	else
		*bits |= (uint32_t)value & DEBUG_SETTABLE;
	return true;
}

static bool
debug_item(const struct lex_token *tok, uint32_t *bits)
{
	const char *text = tok->text;
	bool clear = *text == '-';
	const struct kw_word *w;

	if (tok->kind != LEX_WORD)
		return false;
	if (*text == '-' || *text == '+')
		text++;
	if (*text >= '0' && *text <= '9' && tok->text[0] != '+')
		return debug_number(text, clear, bits);
	for (w = debug_words; w->text != NULL; w++) {
		if (strcmp(w->text, text) == 0)
			break;
	}
	if (w->text == NULL)
		return false;
	if (w->value == 0)
		*bits = clear ? DEBUG_ALL : 0;
	else if (clear)
		*bits = (uint32_t)w->value == DEBUG_ALL ? 0 :
		    *bits & ~(uint32_t)w->value;
	else
		*bits |= (uint32_t)w->value;
	return true;
}

static void
debug_read(struct kw_reader *r, void *object)
{
	struct common_conf *c = object;
	const struct kw_word *const sets[] = { debug_words };

	kw_equals(r);
	if (r->tok.kind == LEX_END || lex_is(&r->tok, '}')) {
		(void)kw_has_value(r);		/* says that it is missing */
		return;
	}
	if (!debug_item(&r->tok, &c->log.debug)) {
		kw_expected(r, sets, 1);
		return;
	}
	do
		kw_next(r);
	while (debug_item(&r->tok, &c->log.debug));
}

static void
debug_redirect_read(struct kw_reader *r, void *object)
{
	struct common_conf *c = object;
	const char *text;

	kw_equals(r);
	if ((text = kw_text(r)) == NULL)
		return;
	c->log.debug_set = true;
	c->debug_path = NULL;
	if (kw_is(r, "syslog")) {
		c->log.debug_to = LOG_DEBUG_SYSLOG;
	} else if (kw_is(r, "stderr")) {
		c->log.debug_to = LOG_DEBUG_STDERR;
	} else {
		c->log.debug_to = LOG_DEBUG_FILE;
		c->debug_path = text;
	}
	kw_next(r);
}

/* ---- syslog: values, not keywords, in any case ---- */

const struct kw_word syslog_facilities[] = {
	{ "auth", LOG_AUTH, false },
#ifdef LOG_AUTHPRIV
	{ "authpriv", LOG_AUTHPRIV, false },
#endif
	{ "cron", LOG_CRON, false }, { "daemon", LOG_DAEMON, false },
#ifdef LOG_FTP
	{ "ftp", LOG_FTP, false },
#endif
	{ "kern", LOG_KERN, false },
	{ "local0", LOG_LOCAL0, false }, { "local1", LOG_LOCAL1, false },
	{ "local2", LOG_LOCAL2, false }, { "local3", LOG_LOCAL3, false },
	{ "local4", LOG_LOCAL4, false }, { "local5", LOG_LOCAL5, false },
	{ "local6", LOG_LOCAL6, false }, { "local7", LOG_LOCAL7, false },
	{ "lpr", LOG_LPR, false }, { "mail", LOG_MAIL, false },
	{ "news", LOG_NEWS, false }, { "syslog", LOG_SYSLOG, false },
	{ "user", LOG_USER, false }, { "uucp", LOG_UUCP, false },
	{ NULL, 0, false },
};

const struct kw_word syslog_severities[] = {
	{ "emerg", LOG_EMERG, false }, { "alert", LOG_ALERT, false },
	{ "crit", LOG_CRIT, false }, { "err", LOG_ERR, false },
	{ "warning", LOG_WARNING, false }, { "notice", LOG_NOTICE, false },
	{ "info", LOG_INFO, false }, { "debug", LOG_DEBUG, false },
	{ NULL, 0, false },
};

static void
name_read(struct kw_reader *r, const struct kw_word *names, int *value)
{
	kw_equals(r);
	if (!kw_has_value(r))
		return;
	while (names->text != NULL && strcasecmp(names->text, r->tok.text) != 0)
		names++;
	if (names->text == NULL) {
		kw_bad_value(r, "unknown name '%.100s'", r->tok.text);
		return;
	}
	*value = names->value;
	kw_next(r);
}

static void
facility_read(struct kw_reader *r, void *object)
{
	name_read(r, syslog_facilities,
	    &((struct common_conf *)object)->log.facility);
}

static void
severity_read(struct kw_reader *r, void *object)
{
	name_read(r, syslog_severities,
	    &((struct common_conf *)object)->log.severity);
}

/* What only other programs of the family use is read, checked, and said. */
static void
no_effect(struct kw_reader *r, const struct diag_place *place)
{
	diag_warn(r->diag, place, "%s: no effect here", r->name);
}

static void
syslog_filter_read(struct kw_reader *r, void *object)
{
	struct diag_place place = r->place;
	uint64_t value;

	(void)object;
	kw_equals(r);
	if (!kw_number(r, KW_KIND_INT, 0, 0xffffffffu, &value))
		return;
	no_effect(r, &place);
	kw_next(r);
}

/* `no` is what happens anyway. */
static void
regex_case_read(struct kw_reader *r, void *object)
{
	struct diag_place place = r->place;
	int value;

	(void)object;
	kw_equals(r);
	if (kw_word(r, kw_bools, &value) && value)
		no_effect(r, &place);
}

static const struct kw_word log_formats[] = {
	{ "text", false, false }, { "json", true, false },
	{ NULL, 0, false },
};

const struct kw_word *const common_words[] = { debug_words, kw_bools, NULL };

const struct kw common_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL_RAW("alias", kw_alias),
	KW_CALL("setenv", setenv_read),
	KW_CALL("debug|trace", debug_read),
	KW_CALL("debug|trace redirect", debug_redirect_read),
	KW_TEXT("syslog ident", struct common_conf, log.ident),
	KW_CALL("syslog facility", facility_read),
	KW_CALL("syslog severity|level", severity_read),
	KW_BOOL("syslog default", struct common_conf, log.to_syslog),
	KW_CALL("syslog filter", syslog_filter_read),
	KW_TEXT("log file", struct common_conf, log_path),
	KW_WORD("log format", struct common_conf, log.json, log_formats),
	KW_TEXT("proctitle", struct common_conf, proctitle),
	KW_TEXT("coredump directory", struct common_conf, coredump),
	KW_CALL("regex-match-case", regex_case_read),
	KW_END
};

/* ---- top level only ---- */

#define REFRESH_MIN	10
#define REFRESH_MAX	604800

/* 0 switches off; between that and the least there is nothing. */
static void
refresh_read(struct kw_reader *r, void *object)
{
	struct common_conf *c = object;
	uint64_t value;

	c->refresh_place = r->place;
	kw_equals(r);
	if (!kw_number(r, KW_KIND_SECONDS, 0, REFRESH_MAX, &value))
		return;
	if (value > 0 && value < REFRESH_MIN) {
		kw_bad_value(r, "%.100s is out of range (%d to %d)",
		    r->tok.text, REFRESH_MIN, REFRESH_MAX);
		return;
	}
	c->refresh = (unsigned)value;
	kw_next(r);
}

bool
verify_key_check(struct source *source, const char *path, char *why,
    size_t size)
{
	const char *pem;
	size_t len;

	if (source_file(source, SOURCE_CERT, path, &pem, &len) == -1) {
		snprintf(why, size, "cannot read '%.200s': %s", path,
		    strerror(errno));
		return false;
	}
	switch (sign_keys(pem, len)) {
	case -1:
		snprintf(why, size, "signatures need OpenSSL");
		return false;
	case 0:
		snprintf(why, size, "no Ed25519 public key in '%.200s'",
		    path);
		return false;
	default:
		return true;
	}
}

/* Not even a word of it may come from a server, by way of an alias. */
static bool
from_remote(const struct kw_reader *r)
{
	const struct diag_place *p = r->place.defined;

	while (p != NULL && !url_is(p->file))
		p = p->defined;
	return p != NULL || lex_remote(r->lex);
}

/* Holds for what the same file names behind it. */
static void
verify_key_read(struct kw_reader *r, void *object)
{
	struct common_conf *c = object;
	const char *path;
	char why[512];

	c->verify_place = r->place;
	kw_equals(r);
	if ((path = kw_text(r)) == NULL)
		return;
	if (from_remote(r))
		kw_bad_place(r, &r->place,
		    "verify key: only in a local file");
	else if (!verify_key_check(r->source, path, why, sizeof why)) {
		kw_bad_value(r, "%s", why);
		return;
	} else {
		c->verify_key = path;
		lex_set_key(r->lex, path);
	}
	kw_next(r);
}

static void
section_read(struct kw_reader *r, void *object)
{
	(void)object;
	section_begin(parse_of(r));
}

const struct kw top_kw[] = {
	KW_CALL("id", section_read),
	KW_TEXT("gcore", struct common_conf, gcore),
	KW_TEXT("debug-cmd", struct common_conf, debug_cmd),
	KW_SECONDS("cleanup interval", struct common_conf, cleanup, 1, 3600),
	KW_CALL("refresh", refresh_read),
	KW_CALL("verify key", verify_key_read),
	KW_END
};
