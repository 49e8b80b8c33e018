/*
 * Compiling a configuration. It is read twice, as the two who use it would:
 * the master reads its section and passes over the worker's, the worker the
 * other way round, since the id of the worker's section, and even the file,
 * is only known behind the master's. Reading has no effect but on the
 * source's records, so the same bundle always gives the same result.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "features.h"
#include "../misc/str.h"
#include "../misc/url.h"
#include "foreign.h"
#include "parse.h"
#include "program.h"

/* ---- sections ---- */

#define TEXT_HASH	UINT64_C(0xcbf29ce484222325)

/* Whether it is the same text, no more. */
static uint64_t
text_hash(uint64_t h, const char *text, size_t len)
{
	while (len-- > 0)
		h = (h ^ (uint8_t)*text++) * UINT64_C(0x100000001b3);
	return h;
}

/* Tokens, nothing more; but braces and quotes are what they are. */
static void
section_skip(struct parse *p)
{
	struct kw_reader *r = &p->r;
	struct lex_mark begin = lex_mark(r->lex);
	unsigned nest = 1;
	const char *text;
	size_t len;

	while (nest > 0) {
		lex_next(r->lex, &r->tok, LEX_SKIP);
		nest += lex_is(&r->tok, '{');
		nest -= lex_is(&r->tok, '}');
		if (r->tok.kind == LEX_END)
			return;
	}
	if ((text = lex_since(r->lex, &begin, &len)) != NULL)
		p->skipped = text_hash(p->skipped, text, len);
	kw_next(r);
}

static void
section_note(struct parse *p, const char *name)
{
	const char **more;

	for (unsigned i = 0; i < p->nothers; i++) {
		if (strcmp(p->others[i], name) == 0)
			return;
	}
	/* room is a power of two */
	if ((p->nothers & (p->nothers - 1)) == 0) {
		more = arena_array(p->r.arena,
		    p->nothers == 0 ? 1 : p->nothers * 2, sizeof *more);
		if (p->nothers > 0)
			memcpy(more, p->others, p->nothers * sizeof *more);
		p->others = more;
	}
	p->others[p->nothers++] = name;
}

void
section_begin(struct parse *p)
{
	struct kw_reader *r = &p->r;
	struct diag_place place = r->place;
	const char *name;

	kw_equals(r);
	if ((name = kw_text(r)) == NULL)
		return;
	kw_next(r);
	if (!lex_is(&r->tok, '{')) {
		kw_expected_text(r, "{");
		return;
	}
	if (strcmp(name, p->id) != 0) {
		section_note(p, name);
		p->skipped = text_hash(p->skipped, name, strlen(name) + 1);
		section_skip(p);
		return;
	}
	if (p->found++ == 0)
		p->found_place = place;
	p->body(p, p->object);
}

/* ---- one reader going through a file ---- */

static void
common_begin(struct common_conf *c)
{
	memset(c, 0, sizeof *c);
	c->log.facility = LOG_UUCP;
	c->log.severity = LOG_INFO;
	c->cleanup = 2;
	c->log.to_syslog = true;
}

/*
 * The whole file. false: it cannot be read, which is reported. The place of
 * its end is in p->r.tok afterwards.
 */
static bool
parse_file(struct parse *p, const char *file, const char *key,
    const struct diag_place *from)
{
	struct kw_block top = { .sets = { { top_kw, p->common },
	    { common_kw, p->common } }, .nsets = 2 };
	char failure[SOURCE_FAILURE];

	if (p->request->shown != NULL)
		p->r.lex = lex_new_as(p->r.source, p->r.diag, p->r.arena,
		    file, p->request->shown);
	else
		p->r.lex = lex_new_signed(p->r.source, p->r.diag, p->r.arena,
		    file, key, from);
	if (p->r.lex == NULL) {
		diag_fail(p->r.diag, from, EX_NOINPUT, "%s",
		    source_failure(p->r.source, file, failure));
		return false;
	}
	/* Each token once: the worker reads what the master has read. */
	if (p->request->trace && (p->master || from != NULL ||
	    p->request->worker_only))
		lex_trace(p->r.lex, stderr);
	p->r.owner = p;
	kw_next(&p->r);
	kw_top(&p->r, &top);
	lex_free(p->r.lex);
	p->r.lex = NULL;
	return true;
}

/* What no alias may be called. */
static const struct kw *const *
reserved_tables(struct arena *arena, const struct program *program)
{
	const struct kw *const own[] = { top_kw, common_kw, broker_kw,
	    broker_conf_kw, listen_kw, spawn_kw, spawn_conf_kw };
	const struct kw **all;
	size_t n = sizeof own / sizeof own[0], more = 0;
	const struct kw *const *theirs = program->section == NULL ? NULL :
	    program->section->reserved;

	while (theirs != NULL && theirs[more] != NULL)
		more++;
	all = arena_array(arena, n + more + 1, sizeof *all);
	memcpy(all, own, sizeof own);
	for (size_t i = 0; i < more; i++)
		all[n + i] = theirs[i];
	return all;
}

static void
parse_begin(struct parse *p, const struct conf_request *request,
    struct source *source, struct diag *diag, struct arena *arena)
{
	*p = (struct parse){ .request = request, .skipped = TEXT_HASH };
	p->r.source = source;
	p->r.diag = diag;
	p->r.arena = arena;
	p->r.reserved = reserved_tables(arena, request->program);
	p->r.reserved_words = common_words;
}

/* ---- compiling ---- */

struct compile {
	const struct conf_request	*request;
	struct source			*source;
	struct diag			*diag;
	struct compiled			*c;
	struct parse			 broker, worker;
	struct broker_build		 build;
	bool				 own;	/* the worker is the program */
	bool				 broker_read, worker_read;
	const char			*broker_id, *worker_id;
	struct diag_place		 broker_last, worker_last;
};

static void
broker_parse(struct compile *k, const char *id)
{
	struct parse *p = &k->broker;

	k->broker_id = id;
	source_env_reset(k->source);
	parse_begin(p, k->request, k->source, k->diag, k->c->arena);
	common_begin(&k->c->broker_common);
	memset(&k->c->broker, 0, sizeof k->c->broker);
	broker_begin(p, &k->build, &k->c->broker);
	p->common = &k->c->broker_common;
	p->master = true;
	p->id = id;
	p->body = broker_body;
	p->object = &k->build;
	k->broker_read = parse_file(p, k->request->file,
	    k->request->keyfile, NULL);
	k->broker_last = p->r.tok.place;
	k->c->broker.single = k->c->broker.single || k->request->single;
}

/*
 * A stand-alone broker looks for a section of its own name, and if there is
 * none takes the usual one: what was wrong with the first try is forgotten
 * then, as it was read with other eyes.
 */
static void
broker_find(struct compile *k)
{
	const struct conf_request *q = k->request;
	struct diag *diag = k->diag, *trial;
	const char *base = q->argv0 == NULL ? "spawnd" : str_base(q->argv0);

	if (q->broker_id != NULL || !q->program->broker_only ||
	    strcmp(base, "spawnd") == 0) {
		broker_parse(k, q->broker_id != NULL ? q->broker_id :
		    "spawnd");
		return;
	}
	if ((trial = diag_new()) == NULL) {
		diag_fail(diag, NULL, EX_OSERR, "%s", strerror(ENOMEM));
		return;
	}
	k->diag = trial;
	broker_parse(k, base);
	k->diag = k->broker.r.diag = diag;
	if (k->broker.found == 0 && k->broker_read)
		broker_parse(k, "spawnd");
	else
		diag_merge(diag, trial);
	diag_free(trial);
}

/* The directory of path, with its slash; NULL if there is none in it. */
static const char *
directory_of(struct arena *arena, const char *path)
{
	const char *base;

	if (path == NULL || (base = str_base(path)) == path)
		return NULL;
	return arena_strndup(arena, path, (size_t)(base - path));
}

/* A program called like the section, beside us or where it is installed. */
static const char *
program_find(struct compile *k, const char *id)
{
	const char *directories[] = {
		directory_of(k->c->arena, k->request->self),
		SPAWND_SBINDIR "/", SPAWND_LIBEXECDIR "/",
	};

	if (*id == '\0' || strchr(id, '/') != NULL)
		return NULL;
	for (size_t i = 0; i < sizeof directories / sizeof directories[0];
	    i++) {
		const char *path;

		if (directories[i] == NULL)
			continue;
		path = arena_printf(k->c->arena, "%s%s", directories[i], id);
		if (source_executable(k->source, path))
			return path;
	}
	return NULL;
}

/* Stand-alone, and no exec (1.4): false is reported later, if at all. */
static void
worker_search(struct compile *k)
{
	struct spawn_conf *spawn = &k->c->broker.spawn;
	const struct parse *p = &k->broker;

	if (k->build.exec.place.file != NULL)
		return;			/* there is one, and it is wrong */
	if (k->worker_id == NULL && p->nothers == 1)
		k->worker_id = p->others[0];
	if (k->worker_id != NULL)
		spawn->exec = program_find(k, k->worker_id);
}

/*
 * What a worker reads that is given the text only, as it cannot fetch it: not
 * our language perhaps, but it comes with the bundle. Of a file that cannot be
 * read the worker itself will say so.
 */
static void
text_find(struct compile *k)
{
	struct spawn_conf *spawn = &k->c->broker.spawn;
	const struct kw_value *config = spawn->config != NULL ?
	    &k->build.config : NULL;
	const char *file = config != NULL ? spawn->config : k->request->file;
	struct foreign_text t;
	char failure[SOURCE_FAILURE];

	if (!foreign_read(k->source, k->diag, k->c->arena, file,
	    config != NULL ? k->build.config_key : k->request->keyfile,
	    config != NULL ? &config->place : NULL, &t)) {
		if (url_is(file) || spawn->ipc_key > 0)
			diag_fail(k->diag, config != NULL ? &config->place :
			    NULL, EX_NOINPUT, "config: %s",
			    source_failure(k->source, file, failure));
		return;
	}
	if (config != NULL && url_is(file) && !k->own)
		lex_fetched(k->source, k->diag, &config->place, file);
	if (!url_is(file) && !t.changed && spawn->ipc_key == 0)
		return;
	spawn->text = t.text;
	spawn->text_len = t.len;
	spawn->text_name = arena_strdup(k->c->arena, file);
}

/* Who the worker is, and which section it reads. */
static void
worker_find(struct compile *k)
{
	const struct conf_request *q = k->request;
	struct spawn_conf *spawn = &k->c->broker.spawn;

	k->worker_id = q->worker_id != NULL ? q->worker_id : k->build.id;
	spawn->exec = k->build.exec.text;
	spawn->config = k->build.config.text;
	if (spawn->exec != NULL && !q->program->broker_only &&
	    q->self != NULL && source_same(k->source, spawn->exec, q->self))
		spawn->exec = NULL;
	if (k->c->broker.single && spawn->exec != NULL &&
	    !q->program->broker_only) {
		diag_warn(k->diag, &k->build.exec.place,
		    "exec: not used by a single process");
		spawn->exec = NULL;
	}
	k->own = !q->program->broker_only && spawn->exec == NULL &&
	    q->program->section != NULL;
	if (q->program->broker_only && spawn->exec == NULL)
		worker_search(k);
	if (k->worker_id == NULL && spawn->exec != NULL)
		k->worker_id = str_base(spawn->exec);
	else if (k->worker_id == NULL && !q->program->broker_only)
		k->worker_id = q->argv0 != NULL ? str_base(q->argv0) :
		    q->program->name;
	if (k->worker_id != NULL)
		spawn->id = arena_strdup(k->c->arena, k->worker_id);
	if (!k->own || spawn->ipc_key > 0)
		text_find(k);
}

/* Of a file that cannot be read the worker itself will say so. */
static uint64_t
worker_text(struct compile *k)
{
	const char *config = k->c->broker.spawn.config, *text;
	size_t len;

	if (config == NULL || (url_is(config) ? source_document(k->source,
	    config, k->build.config_key, &text, &len) :
	    source_file(k->source, SOURCE_TEXT, config, &text, &len)) == -1)
		return k->broker.skipped;
	return text_hash(TEXT_HASH, text, len);
}

static void
worker_parse(struct compile *k)
{
	const struct spawn_conf *spawn = &k->c->broker.spawn;
	struct parse *p = &k->worker;

	parse_begin(p, k->request, k->source, k->diag, k->c->arena);
	common_begin(&k->c->worker_common);
	if (!k->own) {
		k->c->foreign = worker_text(k);
		return;
	}
	source_reader(k->source, SOURCE_WORKER);
	p->common = &k->c->worker_common;
	p->id = k->worker_id;
	p->body = k->request->program->section->body;
	p->object = k->c->worker = k->request->program->section->begin(p);
	k->c->worker_free = k->request->program->section->free;
	if (spawn->config != NULL)
		k->worker_read = parse_file(p, spawn->config,
		    k->build.config_key, &k->build.config.place);
	else
		k->worker_read = parse_file(p, k->request->file,
		    k->request->keyfile, NULL);
	k->worker_last = p->r.tok.place;
	source_reader(k->source, SOURCE_MASTER);
}

/*
 * A worker that reads the file itself: who listens, and how, is not its
 * business, nor need the file say it. The broker's half stays as it begins.
 */
static void
worker_alone(struct compile *k)
{
	const struct conf_request *q = k->request;

	source_env_reset(k->source);
	common_begin(&k->c->broker_common);
	broker_begin(&k->broker, &k->build, &k->c->broker);
	k->own = true;
	k->worker_id = q->worker_id != NULL ? q->worker_id :
	    q->program->name;
	worker_parse(k);
}

/* All the sections that could have told what to run. */
static void
exec_missing(struct compile *k)
{
	const struct parse *p = &k->broker;
	char names[512] = "";
	struct str s;

	str_init(&s, names, sizeof names);
	if (k->worker_id != NULL)
		str_add(&s, "%s", k->worker_id);
	for (unsigned i = 0; k->worker_id == NULL && i < p->nothers; i++)
		str_add(&s, "%s%s", i > 0 ? "', '" : "", p->others[i]);
	diag_error(k->diag, k->build.spawned ? &k->build.spawn_place :
	    &p->found_place,
	    "spawn: 'exec' missing and no program found for section '%s'",
	    names);
}

/* -k, before what it is for is fetched. false: reported. */
static bool
keyfile_check(struct compile *k)
{
	const char *keyfile = k->request->keyfile;
	char why[512];

	if (keyfile == NULL || verify_key_check(k->source, keyfile, why,
	    sizeof why))
		return true;
	diag_fail(k->diag, NULL, EX_CONFIG, "-k: %s", why);
	return false;
}

/* Directives that are for URLs, where there is none. */
static void
urls_missing(struct compile *k)
{
	const struct common_conf *const readers[] = { &k->c->broker_common,
	    &k->c->worker_common };

	if (source_url_next(k->source, NULL) != NULL)
		return;
	for (int i = 0; i < 2; i++) {
		const struct common_conf *c = readers[i];

		if (c->refresh > 0)
			diag_warn(k->diag, &c->refresh_place,
			    "refresh: no URL in the configuration");
		if (c->verify_key != NULL)
			diag_warn(k->diag, &c->verify_place,
			    "verify key: no URL in the configuration");
	}
}

/* What can only be said of the whole, and only if nothing else is wrong. */
static void
compile_end(struct compile *k)
{
	const struct conf_section *section = k->request->program->section;

	if (k->request->worker_only)
		;
	else if (k->broker.found == 0)
		diag_error(k->diag, &k->broker_last,
		    "no section with id '%s'", k->broker_id);
	else
		broker_end(&k->broker, &k->build, k->own);
	if (k->own && k->worker.found == 0)
		diag_error(k->diag, &k->worker_last,
		    "no section with id '%s'", k->worker_id);
	else if (k->own)
		section->end(&k->worker, k->c->worker, &k->c->broker,
		    &k->worker.found_place);
	if (k->broker.found > 0 && k->request->program->broker_only &&
	    k->c->broker.spawn.exec == NULL)
		exec_missing(k);
}

/* The broker's sections, and the worker's. */
static void
compile_sections(const struct conf_request *request, struct source *source,
    struct compiled *c, struct diag *diag)
{
	size_t before = diag_errors(diag);
	struct compile k = { .request = request, .source = source,
	    .diag = diag, .c = c };

	if (request->worker_only)
		worker_alone(&k);
	else if (keyfile_check(&k))
		broker_find(&k);
	if (k.broker_read) {
		worker_find(&k);
		worker_parse(&k);
	}
	urls_missing(&k);
	if (diag_errors(diag) == before)
		compile_end(&k);
}

/* A language of the program's own, which fills in both halves. */
static void
compile_front(const struct conf_request *request, struct source *source,
    struct compiled *c, struct diag *diag)
{
	const struct program_manners *manners = request->program->manners;
	size_t before = diag_errors(diag);

	source_env_reset(source);
	common_begin(&c->broker_common);
	common_begin(&c->worker_common);
	if (manners != NULL)
		c->broker_common.log.facility =
		    c->worker_common.log.facility = manners->facility;
	c->broker.spawn.uid = (uid_t)-1;
	c->broker.spawn.gid = (gid_t)-1;
	if (!request->program->compile(request, source, c, diag) &&
	    diag_errors(diag) == before)
		diag_fail(diag, NULL, EX_SOFTWARE,
		    "the configuration cannot be used");
}

struct compiled *
conf_compile(const struct conf_request *request, struct source *source,
    struct diag *diag)
{
	size_t before = diag_errors(diag);
	struct compiled *c = calloc(1, sizeof *c);

	if (c == NULL || (c->arena = arena_new()) == NULL) {
		free(c);
		diag_fail(diag, NULL, EX_OSERR, "%s", strerror(ENOMEM));
		return NULL;
	}
	c->refs = 1;
	c->check = request->check;
	c->file = arena_strdup(c->arena, request->file);
	if (request->program->compile != NULL)
		compile_front(request, source, c, diag);
	else
		compile_sections(request, source, c, diag);
	if (diag_errors(diag) != before) {
		if (request->wrong != NULL)
			*request->wrong = c;
		else
			compiled_unref(c);
		return NULL;
	}
	compiled_digest(c, request->program);
	c->source = source;
	return c;
}

struct compiled *
compiled_ref(struct compiled *c)
{
	c->refs++;
	return c;
}

void
compiled_unref(struct compiled *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	if (c->worker != NULL && c->worker_free != NULL)
		c->worker_free(c->worker);
	if (c->front != NULL && c->front_free != NULL)
		c->front_free(c->front);
	source_free(c->source);
	arena_free(c->arena);
	free(c->request);
	free(c);
}
