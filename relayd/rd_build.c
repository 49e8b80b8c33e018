/*
 * The builder itself: begin and end of a file, sections, global options, and
 * what is checked when all has been read. It never reads the language.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/hash.h"
#include "../misc/tls.h"
#include "features.h"
#include "rd_build_impl.h"

#define GROW_FIRST	8

void *
rd_grow(struct rd_build *b, void *array, size_t n, size_t size)
{
	void *more;

	/* full at 8, 16, 32 ... and at nothing */
	if (n != 0 && (n < GROW_FIRST || (n & (n - 1)) != 0))
		return array;
	more = arena_array(b->arena, n == 0 ? GROW_FIRST : 2 * n, size);
	if (n > 0)
		memcpy(more, array, n * size);
	return more;
}

void
rd_error(struct rd_build *b, const struct diag_place *place, const char *fmt,
    ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	diag_error(b->diag, place, "%s", text);
	b->broken = true;
}

void
rd_warn(struct rd_build *b, const struct diag_place *place, const char *fmt,
    ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	diag_warn(b->diag, place, "%s", text);
}

bool
rd_tls_there(struct rd_build *b, const struct diag_place *place)
{
	if (tls_available())
		return true;
	rd_error(b, place, "TLS is not available in this build");
	return false;
}

struct rd_build *
rd_build_new(const struct rd_request *request, struct source *source,
    struct diag *diag)
{
	struct arena *arena = arena_new();
	struct rd_build *b;

	if (arena == NULL)
		return NULL;
	b = arena_alloc(arena, sizeof *b);
	b->request = request;
	b->source = source;
	b->diag = diag;
	b->arena = arena;
	b->conf = arena_alloc(arena, sizeof *b->conf);
	*b->conf = (struct rd_conf){ .arena = arena, .refs = 1,
	    .interval = 10, .timeout = 200, .prefork = 3,
	    .socket = "/var/run/relayd.sock",
	    .agentx_path = "/var/agentx/master", .agentx_context = "" };
	rd_protocol_new(b, "default", RD_TCP);
	return b;
}

struct arena *
rd_build_arena(struct rd_build *b)
{
	return b->arena;
}

void
rd_statement_failed(struct rd_build *b)
{
	b->broken = b->failed = true;
	b->list.open = false;
	b->rule.open = false;
	b->ref.bad = true;
	/* what is missing now may have been in it */
	b->tags = b->labels = true;
}

/* ---- sections ---- */

void
rd_section_begin(struct rd_build *b, enum rd_section section)
{
	b->section = section;
	b->broken = false;
	b->body.len = 0;
	if (section != RD_IN_TABLE && section != RD_IN_PROTOCOL)
		b->nservices++;
}

void
rd_section_end(struct rd_build *b, const char *head, bool braces)
{
	if (b->text.len > 0)
		rd_out_add(b, &b->text, "\n");
	if (braces)
		rd_out_add(b, &b->text, "%s {\n%.*s}\n", head,
		    (int)b->body.len, b->body.len > 0 ? b->body.p : "");
	else
		rd_out_add(b, &b->text, "%s\n", head);
	b->section = RD_IN_NONE;
	b->after_section = true;
	b->text_open = false;
}

void
rd_disable(struct rd_build *b)
{
	if (b->section == RD_IN_REDIRECT)
		b->redirect->disabled = true;
	else if (b->section == RD_IN_RELAY)
		b->relay->disabled = true;
	else
		b->router->disabled = true;
	rd_statement(b, "disable");
}

void
rd_session_timeout(struct rd_build *b, const struct rd_number *n)
{
	bool relay = b->section == RD_IN_RELAY;
	unsigned timeout;

	if (!rd_number_take(b, relay ? RD_RANGE_RELAY_SESSION :
	    RD_RANGE_SESSION, n, &timeout))
		return;
	if (relay)
		b->relay->timeout = timeout;
	else
		b->redirect->timeout = timeout;
	rd_statement(b, "session timeout %u", timeout);
}

/* ---- globals ---- */

static void
precedes_sections(struct rd_build *b, const struct diag_place *place,
    const char *name)
{
	if (b->after_section)
		rd_warn(b, place, "\"%s\" should precede all sections", name);
}

void
rd_global_number(struct rd_build *b, enum rd_global which,
    const struct rd_number *n)
{
	static const struct {
		const char	*name;
		enum rd_limit	 limit;
		size_t		 offset;
		bool		 first;
	} globals[] = {
#define AT(member)	offsetof(struct rd_conf, member)
		[RD_GLOBAL_INTERVAL] = { "interval", RD_MIN_INTERVAL,
		    AT(interval), false },
		[RD_GLOBAL_TIMEOUT] = { "timeout", RD_MIN_TIMEOUT,
		    AT(timeout), false },
		[RD_GLOBAL_PREFORK] = { "prefork", RD_RANGE_PREFORK,
		    AT(prefork), true },
#undef AT
	};
	unsigned value;

	if (!rd_number_take(b, globals[which].limit, n, &value))
		return;
	if (globals[which].first)
		precedes_sections(b, &n->place, globals[which].name);
	*(unsigned *)(void *)((char *)b->conf + globals[which].offset) =
	    value;
	rd_statement(b, "%s %u", globals[which].name, value);
}

void
rd_global_socket(struct rd_build *b, const struct rd_word *path)
{
	precedes_sections(b, &path->place, "socket");
	b->conf->socket = rd_path(b, path->text);
	rd_statement(b, "socket %s", rd_quoted(b, path));
}

void
rd_global_log(struct rd_build *b, unsigned bits,
    const struct diag_place *place)
{
	(void)place;
	if (bits & RD_LOG_CONN)
		bits |= RD_LOG_ERRORS;
	b->conf->log |= bits;
	if (bits & RD_LOG_STATE)
		rd_statement(b, "log state changes");
	if (bits & RD_LOG_CHECKS)
		rd_statement(b, "log host checks");
	if (bits & RD_LOG_CONN)
		rd_statement(b, "log connection");
	else if (bits & RD_LOG_ERRORS)
		rd_statement(b, "log connection errors");
}

void
rd_global_agentx(struct rd_build *b, const struct rd_word *context,
    const struct rd_word *path, const struct diag_place *place)
{
	const char *context_text = "", *path_text = "";
	bool first;

	b->broken = false;
	first = !b->conf->agentx;
	b->conf->agentx = true;
	b->conf->agentx_path = "/var/agentx/master";
	b->conf->agentx_context = "";
	if (context->text != NULL &&
	    rd_length_ok(b, RD_LEN_CONTEXT, context)) {
		b->conf->agentx_context = context->text;
		context_text = arena_printf(b->arena, " context %s",
		    rd_quoted(b, context));
	}
	if (path->text != NULL && rd_length_ok(b, RD_LEN_AGENTX, path)) {
		b->conf->agentx_path = rd_path(b, path->text);
		path_text = arena_printf(b->arena, " path %s",
		    rd_quoted(b, path));
	}
#ifdef HAVE_NETSNMP
	(void)place;
	(void)first;
#else
	if (first && !b->broken)
		rd_warn(b, place, "\"agentx\" is not supported on this "
		    "system and has no effect");
#endif
	rd_statement(b, "agentx%s%s", context_text, path_text);
}

/* ---- the end ---- */

/* What concerns no line names the file. */
static void __attribute__((format(printf, 2, 3)))
file_error(struct rd_build *b, const char *fmt, ...)
{
	const struct diag_place whole = { .file = b->request->file };
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	rd_error(b, &whole, "%s", text);
}

static void
intervals_check(struct rd_build *b)
{
	const struct rd_conf *c = b->conf;
	uint64_t limit = (uint64_t)c->interval * 1000;
	bool global = c->timeout >= limit;

	if (global)
		file_error(b, "global timeout (%u ms) must be smaller than "
		    "the interval (%u s)", c->timeout, c->interval);
	for (size_t i = 0; i < c->ntables; i++) {
		struct rd_table *t = c->tables[i];
		uint64_t interval;

		/* those that only inherited it say nothing new */
		if (t->timeout >= limit &&
		    !(global && t->timeout == c->timeout))
			file_error(b, "timeout of table <%s> must be smaller "
			    "than the interval", t->name);
		/* the global one may have changed since */
		interval = ((uint64_t)t->skip + 1) * c->interval;
		t->interval = interval > INT_MAX ? INT_MAX :
		    (unsigned)interval;
	}
}

static void
parents_check(struct rd_build *b)
{
	const struct rd_conf *c = b->conf;

	for (size_t i = 0; i < c->nhosts; i++) {
		const struct rd_host *h = c->hosts[i];

		if (h->parent == 0)
			continue;
		if (h->parent == h->id)
			rd_error(b, &h->place,
			    "host %" PRIu32 " cannot be its own parent",
			    h->id);
		else if (h->parent > c->nhosts)
			rd_error(b, &h->place,
			    "parent host %" PRIu32 " does not exist",
			    h->parent);
		else if (c->hosts[h->parent - 1]->parent != 0)
			rd_error(b, &h->place,
			    "parent host %" PRIu32 " has a parent itself",
			    h->parent);
	}
}

static void
digest_add(struct hash *h, const char *name, const void *data, size_t len)
{
	uint64_t size = len;

	hash_add(h, name, strlen(name) + 1);
	hash_add(h, &size, sizeof size);
	hash_add(h, data, len);
}

/* Of the text and what the files say that it names. */
static void
digest_make(struct rd_build *b)
{
	struct hash *h = hash_new();
	uint8_t key[HASH_SIZE];
	const char *data;
	size_t len;

	hash_add(h, b->text.p, b->text.len);
	for (size_t i = 0; i < b->nfiles; i++) {
		if (source_file(b->source, SOURCE_CERT, b->files[i], &data,
		    &len) == 0)
			digest_add(h, b->files[i], data, len);
	}
	for (size_t i = 0; i < b->nkeys; i++) {
		if (source_file_digest(b->source, b->keys[i], key) == 0)
			digest_add(h, b->keys[i], key, sizeof key);
	}
	hash_end(h, b->conf->digest);
}

struct rd_conf *
rd_build_end(struct rd_build *b, const struct diag_place *end)
{
	struct rd_conf *c = b->conf;

	(void)end;
	/* of a file that could not even be read, enough is said */
	if (b->nservices == 0 && !b->failed &&
	    (diag_errors(b->diag) == 0 || b->text.len > 0))
		file_error(b,
		    "configuration defines no redirect, relay or router");
	intervals_check(b);
	/* with a table missing, numbers would not be those of the file */
	if (diag_errors(b->diag) == 0 && !b->failed)
		parents_check(b);
	rd_tables_end(b);
	rd_protocols_end(b);
	free(b->rules);
	if (diag_errors(b->diag) > 0 || b->failed) {
		arena_free(b->arena);
		return NULL;
	}
	digest_make(b);
	c->text = b->text.p;
	c->text_len = b->text.len;
	c->source = b->source;
	return c;
}

struct rd_conf *
rd_conf_ref(struct rd_conf *c)
{
	c->refs++;
	return c;
}

void
rd_conf_unref(struct rd_conf *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	source_free(c->source);
	arena_free(c->arena);
}
