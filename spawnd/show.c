#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "../misc/json.h"
#include "figures.h"
#include "load.h"
#include "look.h"
#include "master.h"
#include "show.h"
#include "statussock.h"
#include "store.h"

#define CELL	(3 * BOARD_TEXT + 1)	/* all of it encoded */

/* ---- tables ---- */

/* Columns are told apart by blanks, so that there is none in them. */
static void
cell_encode(char to[CELL], const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	if (*text == '\0')
		text = "-";
	for (; *text != '\0' && n + 4 < CELL; text++) {
		unsigned char c = (unsigned char)*text;

		if (c > ' ' && c < 0x7f && c != '%') {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '%';
		to[n++] = digits[c >> 4];
		to[n++] = digits[c & 15];
	}
	to[n] = '\0';
}

static void
number_text(char to[CELL], uint64_t n)
{
	if (n == FIGURE_UNKNOWN)
		snprintf(to, CELL, "-");
	else
		snprintf(to, CELL, "%" PRIu64, n);
}

static void
figure_cell(char to[CELL], const struct figure *f, const void *object)
{
	const char *text = figure_text(f, object);

	if (text != NULL)
		cell_encode(to, text);
	else
		number_text(to, figure_number(f, object));
}

/* Numbers stand below each other, texts begin where the others do. */
static void
cell_print(FILE *fp, const struct figure *f, const char *cell, int width)
{
	bool last = f[1].name == NULL;

	if (f->kind == FIGURE_NUMBER)
		fprintf(fp, "%*s", width, cell);
	else
		fprintf(fp, "%-*s", last ? 0 : width, cell);
	fputs(last ? "\n" : "  ", fp);
}

static void
table_print(FILE *fp, const struct figure *figures, const void *objects,
    size_t n, size_t size)
{
	int widths[FIGURES_MAX];
	char cell[CELL];

	for (const struct figure *f = figures; f->name != NULL; f++) {
		size_t width = strlen(f->name);

		for (size_t i = 0; i < n; i++) {
			figure_cell(cell, f, (const char *)objects + i * size);
			if (strlen(cell) > width)
				width = strlen(cell);
		}
		widths[f - figures] = (int)width;
	}
	putc('\n', fp);
	for (const struct figure *f = figures; f->name != NULL; f++)
		cell_print(fp, f, f->name, widths[f - figures]);
	for (size_t i = 0; i < n; i++)
		for (const struct figure *f = figures; f->name != NULL; f++) {
			figure_cell(cell, f, (const char *)objects + i * size);
			cell_print(fp, f, cell, widths[f - figures]);
		}
}

struct reason {
	const char	*name;
	uint64_t	 count;
};

static const struct figure reason_figures[] = {
	{ "reason", FIGURE_WORD, offsetof(struct reason, name) },
	{ "count", FIGURE_NUMBER, offsetof(struct reason, count) },
	{ NULL, FIGURE_NUMBER, 0 }
};

static size_t
reasons_fill(const struct figures *f, struct reason reasons[BOARD_ENDS + 1])
{
	size_t n = 0;

	reasons[n++] = (struct reason){ "open", f->users };
	for (unsigned i = 0; i < BOARD_ENDS; i++)
		if (board_ends[i] != NULL)
			reasons[n++] = (struct reason){ board_ends[i],
			    f->ended[i] };
	return n;
}

void
show_tables(const struct figures *f, FILE *fp)
{
	struct reason reasons[BOARD_ENDS + 1];
	char program[CELL], version[CELL];
	size_t n = reasons_fill(f, reasons);

	cell_encode(program, f->program);
	cell_encode(version, f->version);
	fprintf(fp, "%s version %s, pid %" PRIu64 ", uptime %" PRIu64 " s, "
	    "generation %" PRIu64 ", users %" PRIu64 ", capacity %" PRIu64
	    ", overload %s\n", program, version, f->pid, f->uptime,
	    f->generation, f->users, f->capacity, f->overload);
	table_print(fp, worker_figures, f->workers, f->nworkers,
	    sizeof(*f->workers));
	table_print(fp, listener_figures, f->listeners, f->nlisteners,
	    sizeof(*f->listeners));
	table_print(fp, destination_figures, f->destinations,
	    f->ndestinations, sizeof(*f->destinations));
	table_print(fp, reason_figures, reasons, n, sizeof(*reasons));
}

/* ---- JSON ---- */

static void
number_json(FILE *fp, uint64_t n)
{
	if (n == FIGURE_UNKNOWN)
		fputs("null", fp);
	else
		fprintf(fp, "%" PRIu64, n);
}

static void
object_json(FILE *fp, const struct figure *figures, const void *object)
{
	for (const struct figure *f = figures; f->name != NULL; f++) {
		const char *text = figure_text(f, object);

		putc(f == figures ? '{' : ',', fp);
		json_string(fp, f->name);
		putc(':', fp);
		if (text != NULL)
			json_string(fp, text);
		else
			number_json(fp, figure_number(f, object));
	}
	putc('}', fp);
}

static void
table_json(FILE *fp, const char *name, const struct figure *figures,
    const void *objects, size_t n, size_t size)
{
	fprintf(fp, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putc(',', fp);
		object_json(fp, figures, (const char *)objects + i * size);
	}
	putc(']', fp);
}

static const struct figure service_figures[] = {
#define SERVICE(kind, name, field) \
	{ name, kind, offsetof(struct figures, field) }
	SERVICE(FIGURE_CHARS, "program", program),
	SERVICE(FIGURE_CHARS, "version", version),
	SERVICE(FIGURE_NUMBER, "pid", pid),
	SERVICE(FIGURE_NUMBER, "uptime", uptime),
	SERVICE(FIGURE_NUMBER, "generation", generation),
	SERVICE(FIGURE_NUMBER, "users", users),
	SERVICE(FIGURE_NUMBER, "capacity", capacity),
	SERVICE(FIGURE_WORD, "overload", overload),
	{ NULL, FIGURE_NUMBER, 0 }
};

void
show_json(const struct figures *f, FILE *fp)
{
	struct reason reasons[BOARD_ENDS + 1];
	size_t n = reasons_fill(f, reasons);

	fputs("{\"service\":", fp);
	object_json(fp, service_figures, f);
	table_json(fp, "workers", worker_figures, f->workers, f->nworkers,
	    sizeof(*f->workers));
	table_json(fp, "listeners", listener_figures, f->listeners,
	    f->nlisteners, sizeof(*f->listeners));
	table_json(fp, "destinations", destination_figures, f->destinations,
	    f->ndestinations, sizeof(*f->destinations));
	fputs(",\"sessions\":{", fp);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putc(',', fp);
		json_string(fp, reasons[i].name);
		putc(':', fp);
		number_json(fp, reasons[i].count);
	}
	fputs("}}\n", fp);
}

/* ---- -s ---- */

static int
board_show(const struct look *l, bool json)
{
	struct timespec now;
	struct figures *f;

	clock_gettime(CLOCK_MONOTONIC, &now);
	f = figures_take(&l->board, (uint64_t)now.tv_sec *
	    UINT64_C(1000000000) + (uint64_t)now.tv_nsec);
	if (f == NULL) {
		perror("status");
		return EX_OSERR;
	}
	f->pid = l->pid;
	(json ? show_json : show_tables)(f, stdout);
	figures_free(f);
	if (fflush(stdout) == 0)
		return 0;
	perror("standard output");
	return EX_IOERR;
}

/* The running one's socket, by its configuration. */
static int
socket_show(const struct start *s, const struct compiled *c, bool json)
{
	struct look l;
	bool given;
	const char *path = statussock_path(s, &c->broker, &given);
	int status = 1;

	if (path == NULL) {
		fprintf(stderr, "%s: " LOOK_NO_PATH "\n", s->base);
		return 1;
	}
	switch (look_open(&l, path)) {
	case LOOK_OK:
		status = board_show(&l, json);
		look_close(&l);
		break;
	case LOOK_NOBODY:
		fprintf(stderr, "%s: " LOOK_NOT_RUNNING "\n", s->base, path);
		break;
	case LOOK_OTHER:
		fprintf(stderr, "%s: status socket '%s': another version, or "
		    "another program\n", s->base, path);
		break;
	case LOOK_FAILED:
		fprintf(stderr, "%s: status socket '%s': %s\n", s->base, path,
		    strerror(errno));
		break;
	}
	return status;
}

/* All that is wanted of the file is where to ask, at times when much may be
 * wrong: so what came by URL may be as old as it is in the service. */
int
show_status(const struct start *s, const struct program *program, bool json)
{
	char *copies = store_directory(program, s->environ_base);
	struct load_request r = { .environ_base = s->environ_base,
	    .copies = copies, .to_stderr = true, .quiet = true };
	struct compiled *c = NULL;
	int status;

	start_request(s, program, &r.conf);
	r.conf.check = true;
	status = load_check(&r, &c, NULL);
	if (status == 0 && c != NULL)
		status = socket_show(s, c, json);
	if (c != NULL)
		compiled_unref(c);
	free(copies);
	return status;
}
