/*
 * The file is read as by a reload, in a child and by its bundle, so that what
 * is compared is what a master would have. The other side is what the master
 * says that it serves.
 */
#include <sys/wait.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/json.h"
#include "facts.h"
#include "load.h"
#include "look.h"
#include "master.h"
#include "plan.h"
#include "statussock.h"

enum { PLAN_NOTHING = 0, PLAN_FAILED = 1, PLAN_CHANGES = 2 };

struct plan {
	const struct start	*start;
	bool			 json;
	struct loaded		 loaded;
	struct look		 look;
	bool			 looking;	/* look is open */
	char			 why[PATH_MAX + 80];	/* else */
	bool			*counted;	/* by row of the board */
	uint64_t		 users;		/* of the service */
	bool			 rows;		/* all workers count there */

	size_t			 changes, rows_added;
	bool			 everybody;	/* a change concerns all */
	uint64_t		 clients, sessions;	/* of listeners, of
							   destinations */
};

/* ---- what is wrong ---- */

static void
json_error(const char *file, unsigned line, const char *text, bool first)
{
	printf("%s{\"file\":", first ? "" : ",");
	json_string(stdout, file);
	printf(",\"line\":%u,\"message\":", line);
	json_string(stdout, text);
	putchar('}');
}

struct listing {
	unsigned	n;
};

static void
error_cb(void *ctx, const struct diag_place *place, const char *text)
{
	struct listing *l = ctx;

	json_error(place != NULL ? place->file : NULL,
	    place != NULL ? place->line : 0, text, l->n++ == 0);
}

static int
fail_diag(const struct plan *p, struct diag *d)
{
	struct listing l = { 0 };

	if (p->json) {
		printf("{\"changes\":[],\"errors\":[");
		diag_each_error(d, error_cb, &l);
		printf("]}\n");
	} else
		diag_print(d, stderr, NULL, false);
	return PLAN_FAILED;
}

static int
fail(const struct plan *p, const char *text)
{
	if (p->json) {
		printf("{\"changes\":[],\"errors\":[");
		json_error(NULL, 0, text, true);
		printf("]}\n");
	} else
		fprintf(stderr, "%s: %s\n", p->start->base, text);
	return PLAN_FAILED;
}

/* ---- the new side ---- */

static int
load_new(struct plan *p, const struct program *program)
{
	struct load_request r = { .environ_base = p->start->environ_base };
	struct diag *d = diag_new();
	struct load l;
	int n, status;

	start_request(p->start, program, &r.conf);
	if (d == NULL || load_start(&l, &r) == -1) {
		diag_free(d);
		return fail(p, strerror(errno));
	}
	while ((n = load_read(&l)) == 0)
		continue;
	while (waitpid(l.pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	l.pid = -1;
	status = n == -1 ? -1 : load_finish(&l, &r, &p->loaded, d);
	load_clear(&l);
	if (status == 0 && !p->json)
		diag_print(d, stderr, NULL, false);	/* warnings */
	status = status == 0 ? 0 : diag_errors(d) > 0 ? fail_diag(p, d) :
	    fail(p, "the configuration cannot be read");
	diag_free(d);
	return status;
}

/* ---- the service ---- */

/* false: p->why. */
static bool
look_at(struct plan *p, const char *path)
{
	const char *reason;

	switch (look_open(&p->look, path)) {
	case LOOK_OK:
		return p->looking = true;
	case LOOK_NOBODY:
		snprintf(p->why, sizeof(p->why), LOOK_NOT_RUNNING, path);
		return false;
	case LOOK_OTHER:
		snprintf(p->why, sizeof(p->why), "not running: another "
		    "version, or another service, is at '%s'", path);
		return false;
	case LOOK_FAILED:
		break;
	}
	reason = strerror(errno);
	snprintf(p->why, sizeof(p->why), "%s'%s': %s", errno == EACCES ||
	    errno == EPERM ? "no permission, " : "", path, reason);
	return false;
}

/*
 * The new file may say another path than the one that is in use; then it is
 * tried where it would be by default. false: p->why.
 */
static bool
look_for(struct plan *p)
{
	const struct spawnd_conf *c = &p->loaded.conf->broker;
	const char *pidfile = p->start->pidfile != NULL ? p->start->pidfile :
	    c->pidfile, *path;
	char usual[PATH_MAX];
	bool given;

	snprintf(p->why, sizeof(p->why), LOOK_NO_PATH);
	if ((path = statussock_path(p->start, c, &given)) != NULL &&
	    look_at(p, path))
		return true;
	if (pidfile == NULL)
		return false;
	snprintf(usual, sizeof(usual), "%s.sock", pidfile);
	return (path == NULL || strcmp(path, usual) != 0) &&
	    look_at(p, usual);
}

static int
users_count(struct plan *p)
{
	const struct board *b = &p->look.board;

	p->rows = true;
	if ((p->counted = calloc(b->rows + 1, sizeof(*p->counted))) == NULL)
		return fail(p, strerror(errno));
	for (unsigned c = 0; c < b->columns; c++) {
		struct board_seat *s = board_seat(b, c);

		if (atomic_load(&s->state) == BOARD_FREE)
			continue;
		p->users += board_use(b, c);
		p->rows &= (atomic_load(&s->flags) & BOARD_NO_ROWS) == 0;
	}
	return 0;
}

/*
 * Sessions behind a change. What a worker of another kind does with its users
 * nobody counts: then it may be all of them.
 */
static uint64_t
sessions_of(struct plan *p, const struct fact_change *ch)
{
	const struct board *b = &p->look.board;
	uint64_t n = 0;
	int row;

	if (ch->old == NULL) {
		p->rows_added += ch->new->row_kind != 0;
		return 0;
	}
	if (ch->old->row_kind == 0 || !p->rows) {
		p->everybody = true;
		return p->users;
	}
	if ((row = board_find(b, ch->old->row_kind, ch->old->row)) == -1)
		return 0;
	for (unsigned c = 0; c < b->columns; c++)
		if (atomic_load(&board_seat(b, c)->state) != BOARD_FREE)
			n += atomic_load(&board_cell(b, c,
			    (unsigned)row)->use);
	if (p->counted[row])
		return n;
	p->counted[row] = true;
	if (ch->old->row_kind == BOARD_LISTENER)
		p->clients += n;
	else
		p->sessions += n;
	return n;
}

/*
 * Each session once. It came by a listener and went to a destination, and
 * which by which nobody writes down: so this is the most that it can be.
 */
static uint64_t
sessions_touched(const struct plan *p)
{
	uint64_t n = p->clients + p->sessions;

	return p->everybody || n > p->users ? p->users : n;
}

/* ---- printing ---- */

static const char *const kinds[] = {
	[FACT_LISTENER] = "listener", [FACT_DESTINATION] = "destination",
	[FACT_WORKER] = "worker", [FACT_LIMIT] = "limit", [FACT_TLS] = "tls",
	[FACT_ACL] = "acl", [FACT_MAVIS] = "mavis", [FACT_OPTION] = "option",
};

static const char *const effects[] = {
	[EFFECT_NOW] = "now", [EFFECT_SESSIONS] = "new sessions",
	[EFFECT_WORKERS] = "replaces workers",
	[EFFECT_RESTART] = "restart needed",
};

static const char *
value_of(const struct fact *f)
{
	return f == NULL ? NULL : f->secret ? "***" : f->value;
}

/* NAME, or NAME OPTION: the caller frees it. */
static char *
name_of(const struct fact *f)
{
	const char *option = f->option != NULL ? f->option : "";
	size_t size = strlen(f->shown) + strlen(option) + 2;
	char *text = malloc(size);

	if (text != NULL)
		snprintf(text, size, "%s%s%s", f->shown,
		    *option != '\0' ? " " : "", option);
	return text;
}

static void
change_json(const struct fact_change *ch, const char *name, uint64_t n,
    bool first)
{
	const struct fact *f = ch->new != NULL ? ch->new : ch->old;

	printf("%s{\"op\":\"%s\",\"kind\":\"%s\",\"name\":", first ? "" :
	    ",", ch->old == NULL ? "add" : ch->new == NULL ? "remove" :
	    "change", kinds[f->kind]);
	json_string(stdout, name);
	printf(",\"old\":");
	json_string(stdout, value_of(ch->old));
	printf(",\"new\":");
	json_string(stdout, value_of(ch->new));
	printf(",\"sessions\":%" PRIu64 ",\"effect\":\"%s\"}", n,
	    effects[facts_effect(ch)]);
}

/* What comes from files may be anything, and goes to a terminal. */
static void
text_print(const char *text)
{
	for (; *text != '\0'; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' :
		    *text);
}

static void
change_text(const struct fact_change *ch, const char *name, uint64_t n)
{
	const struct fact *f = ch->new != NULL ? ch->new : ch->old;

	printf("%c %s ", ch->old == NULL ? '+' : ch->new == NULL ? '-' : '~',
	    kinds[f->kind]);
	text_print(name);
	if (ch->old != NULL && ch->new != NULL) {
		printf("  ");
		text_print(value_of(ch->old));
		printf(" -> ");
		text_print(value_of(ch->new));
	}
	printf("  %" PRIu64 " sessions  %s\n", n,
	    effects[facts_effect(ch)]);
}

static void
change_cb(void *ctx, const struct fact_change *ch)
{
	struct plan *p = ctx;
	uint64_t n = sessions_of(p, ch);
	char *name = name_of(ch->new != NULL ? ch->new : ch->old);
	const char *shown = name != NULL ? name : "?";

	if (p->json)
		change_json(ch, shown, n, p->changes == 0);
	else
		change_text(ch, shown, n);
	p->changes++;
	free(name);
}

/* ---- all of it ---- */

/* Nobody has it, or it can be had. */
static bool
row_free(const struct board *b, unsigned row)
{
	const struct board_row *r = board_row(b, row);

	if (!board_row_used(r))
		return true;
	if (r->generation == atomic_load(&b->head->generation))
		return false;
	for (unsigned c = 0; c < b->columns; c++) {
		const struct board_cell *cell = board_cell(b, c, row);

		if (atomic_load(&board_seat(b, c)->state) != BOARD_FREE &&
		    (atomic_load(&cell->use) != 0 ||
		    atomic_load(&cell->held) != 0))
			return false;
	}
	return true;
}

/*
 * Where all that is counted has no place any more there is to be a larger
 * board, and who counts on the old one is replaced. That follows from no
 * configuration alone.
 */
static void
board_tell(struct plan *p)
{
	const struct board *b = &p->look.board;
	char rows[32];
	struct fact old = { .kind = FACT_WORKER, .effect = EFFECT_WORKERS,
	    .name = "board", .shown = "board", .value = rows }, new = old;
	const struct fact_change ch = { &old, &new };
	size_t n = 0;

	if (p->loaded.conf->worker == NULL || p->loaded.conf->broker.single)
		return;
	for (unsigned row = 0; row < b->rows && n < p->rows_added; row++)
		n += row_free(b, row);
	if (n == p->rows_added)
		return;
	snprintf(rows, sizeof(rows), "%u rows", b->rows);
	new.value = "more rows";
	change_cb(p, &ch);
}

static int
compare(struct plan *p, const struct facts *old, const struct facts *new)
{
	if (p->json)
		printf("{\"changes\":[");
	if (facts_compare(old, new, change_cb, p) == FACTS_FAILED) {
		if (p->json)
			printf("],\"errors\":[");
		if (p->json)
			json_error(NULL, 0, strerror(ENOMEM), true);
		else
			fprintf(stderr, "%s\n", strerror(ENOMEM));
		if (p->json)
			printf("]}\n");
		return PLAN_FAILED;
	}
	board_tell(p);
	if (p->json)
		printf("],\"errors\":[]}\n");
	else
		printf("%zu changes, %" PRIu64 " sessions touched\n",
		    p->changes, sessions_touched(p));
	return p->changes > 0 ? PLAN_CHANGES : PLAN_NOTHING;
}

static int
facts_both(struct plan *p, const struct program *program)
{
	struct facts *old = facts_load(p->look.facts), *new;
	int status;

	if (old == NULL)
		return fail(p, errno == EPROTO ? "not running: another "
		    "version is there" : strerror(errno));
	new = facts_of(program, p->loaded.conf, facts_salt(old));
	if (new == NULL)
		status = fail(p, strerror(errno));
	else
		status = compare(p, old, new);
	facts_free(new);
	facts_free(old);
	return status;
}

static int
plan_tell(struct plan *p, const struct program *program)
{
	int status;

	if ((status = load_new(p, program)) != 0)
		return status;
	if (!look_for(p))
		return fail(p, p->why);
	if (p->look.facts == -1)
		return fail(p, "no permission, the service belongs to "
		    "somebody else");
	if ((status = users_count(p)) != 0)
		return status;
	return facts_both(p, program);
}

int
plan_main(const struct start *s, const struct program *program)
{
	struct plan p = { .start = s, .json = s->json };
	int status;

	loaded_init(&p.loaded);
	status = plan_tell(&p, program);
	if (p.looking)
		look_close(&p.look);
	loaded_clear(&p.loaded);
	free(p.counted);
	return fflush(stdout) == 0 ? status : PLAN_FAILED;
}
