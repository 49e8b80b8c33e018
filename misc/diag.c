/*
 * What is wrong with a configuration. Entries are copied as they come, and
 * sorted by position only when someone wants to see them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "diag.h"
#include "log.h"
#include "pool.h"
#include "source.h"
#include "str.h"

#define SHOWN		20	/* errors, then "too many errors" */
#define KEPT		1000	/* the rest is not even counted */
#define LEVELS		64	/* of includes, of aliases in aliases */
#define TEXT_MAX	2048
#define SOURCE_MAX	160	/* bytes of the offending line */

struct entry {
	struct entry		*next;		/* in order of arrival */
	struct diag_place	*place;		/* a copy, NULL: none */
	const char		*text;
	unsigned		 main;		/* which of the main files */
	unsigned		 order;
	int			 status;
	bool			 warning;
};

/* Owner of all its entries, which live in its arena. */
struct diag {
	struct arena	*arena;
	struct entry	*first, **last;
	const char	*mains[4];	/* files a configuration begins with */
	unsigned	 nmains;
	size_t		 nentries, nerrors;
	bool		 every;		/* see diag_every() */
};

struct diag *
diag_new(void)
{
	struct diag *d = calloc(1, sizeof *d);

	if (d == NULL || (d->arena = arena_new()) == NULL) {
		free(d);
		return NULL;
	}
	d->last = &d->first;
	return d;
}

void
diag_free(struct diag *d)
{
	if (d == NULL)
		return;
	arena_free(d->arena);
	free(d);
}

void
diag_every(struct diag *d)
{
	d->every = true;
}

static struct diag_place *
place_copy(struct diag *d, const struct diag_place *place)
{
	struct diag_place *first = NULL, **next = &first;

	for (int n = 0; place != NULL && n < LEVELS; n++) {
		struct diag_place *copy = arena_alloc(d->arena, sizeof *copy);
		const struct diag_place **def = &copy->defined;
		const struct diag_place *in = place->defined;

		copy->file = arena_strdup(d->arena, place->file);
		copy->line = place->line;
		copy->column = place->column;
		for (int k = 0; in != NULL && k < LEVELS; k++) {
			struct diag_place *one =
			    arena_alloc(d->arena, sizeof *one);

			one->file = arena_strdup(d->arena, in->file);
			one->line = in->line;
			one->column = in->column;
			*def = one;
			def = &one->defined;
			in = in->defined;
		}
		*next = copy;
		next = (struct diag_place **)&copy->from;
		place = place->from;
	}
	return first;
}

static unsigned
main_rank(struct diag *d, const struct diag_place *place)
{
	unsigned n;

	while (place->from != NULL)
		place = place->from;
	for (n = 0; n < d->nmains; n++) {
		if (strcmp(d->mains[n], place->file) == 0)
			return n;
	}
	if (n < sizeof d->mains / sizeof d->mains[0])
		d->mains[d->nmains++] = place->file;
	return n;
}

static bool
same_line(const struct diag_place *a, const struct diag_place *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->line == b->line && strcmp(a->file, b->file) == 0;
}

/* An error on a line that has one, or a warning that was given already. */
static bool
entry_known(const struct diag *d, const struct diag_place *place,
    bool warning, const char *text)
{
	for (const struct entry *e = d->first; e != NULL; e = e->next) {
		if (e->warning != warning || !same_line(e->place, place))
			continue;
		if ((place != NULL && !warning && !d->every) ||
		    strcmp(e->text, text) == 0)
			return true;
	}
	return false;
}

/* One entry is one line of output, whatever was in the file. */
static void
text_clean(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

static void
entry_add(struct diag *d, const struct diag_place *place, bool warning,
    int status, char *text)
{
	struct entry *e;

	text_clean(text);
	if (d->nentries >= KEPT || entry_known(d, place, warning, text))
		return;
	e = arena_alloc(d->arena, sizeof *e);
	e->place = place_copy(d, place);
	e->text = arena_strdup(d->arena, text);
	e->main = e->place == NULL ? 0 : main_rank(d, e->place);
	e->order = (unsigned)d->nentries++;
	e->status = status;
	e->warning = warning;
	*d->last = e;
	d->last = &e->next;
	if (!warning)
		d->nerrors++;
}

static void __attribute__((format(printf, 5, 0)))
entry_print(struct diag *d, const struct diag_place *place, bool warning,
    int status, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	vsnprintf(text, sizeof text, fmt, ap);
	entry_add(d, place, warning, status, text);
}

void
diag_error(struct diag *d, const struct diag_place *place, const char *fmt,
    ...)
{
	va_list ap;

	va_start(ap, fmt);
	entry_print(d, place, false, EX_CONFIG, fmt, ap);
	va_end(ap);
}

void
diag_warn(struct diag *d, const struct diag_place *place, const char *fmt,
    ...)
{
	va_list ap;

	va_start(ap, fmt);
	entry_print(d, place, true, 0, fmt, ap);
	va_end(ap);
}

void
diag_fail(struct diag *d, const struct diag_place *place, int status,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	entry_print(d, place, false, status, fmt, ap);
	va_end(ap);
}

size_t
diag_errors(const struct diag *d)
{
	return d->nerrors;
}

/* ---- order of position ---- */

static unsigned
place_levels(const struct diag_place *place,
    const struct diag_place *levels[static LEVELS])
{
	unsigned n = 0;

	for (; place != NULL && n < LEVELS; place = place->from)
		levels[n++] = place;
	return n;
}

/*
 * From the main file inwards: what an include brought stands behind what is
 * wrong with the line of the include, file by file in the order of names, as
 * they were read.
 */
static int
entry_cmp(const void *pa, const void *pb)
{
	const struct entry *a = *(const struct entry *const *)pa;
	const struct entry *b = *(const struct entry *const *)pb;
	const struct diag_place *la[LEVELS], *lb[LEVELS];
	unsigned na = place_levels(a->place, la);
	unsigned nb = place_levels(b->place, lb);

	if (na == 0 || nb == 0)
		goto order;
	if (a->main != b->main)
		return a->main < b->main ? -1 : 1;
	while (na > 0 && nb > 0) {
		const struct diag_place *x = la[--na], *y = lb[--nb];
		int files = strcmp(x->file, y->file);

		if (files != 0)
			return files;
		/* what concerns all of a file stands behind its lines */
		if (x->line != y->line)
			return x->line - 1 < y->line - 1 ? -1 : 1;
	}
order:
	if ((na > 0) != (nb > 0))
		return na > 0 ? 1 : -1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* NULL at the end; the caller frees it. */
static struct entry **
diag_sorted(const struct diag *d)
{
	struct entry **all = calloc(d->nentries + 1, sizeof *all);
	size_t n = 0;

	if (all == NULL)
		return NULL;
	for (struct entry *e = d->first; e != NULL; e = e->next)
		all[n++] = e;
	qsort(all, n, sizeof *all, entry_cmp);
	return all;
}

static const struct entry *
error_first(const struct diag *d)
{
	const struct entry *best = NULL;

	for (const struct entry *e = d->first; e != NULL; e = e->next) {
		if (!e->warning && (best == NULL || entry_cmp(&e, &best) < 0))
			best = e;
	}
	return best;
}

int
diag_status(const struct diag *d)
{
	const struct entry *e = error_first(d);

	return e == NULL ? 0 : e->status;
}

const char *
diag_first(struct diag *d, char *buf, size_t size)
{
	const struct entry *e = error_first(d);

	if (e == NULL)
		snprintf(buf, size, "%s", "");
	else if (e->place == NULL)
		snprintf(buf, size, "%s", e->text);
	else if (e->place->line == 0)
		snprintf(buf, size, "%s: %s", e->place->file, e->text);
	else
		snprintf(buf, size, "%s:%u: %s", e->place->file,
		    e->place->line, e->text);
	return buf;
}

const char *
diag_first_text(const struct diag *d, const struct diag_place **place)
{
	const struct entry *e = error_first(d);

	*place = e == NULL ? NULL : e->place;
	return e == NULL ? NULL : e->text;
}

/* ---- showing ---- */

void
diag_each_error(const struct diag *d, void (*error)(void *,
    const struct diag_place *, const char *), void *ctx)
{
	struct entry **all = diag_sorted(d);

	for (size_t i = 0; all != NULL && all[i] != NULL; i++)
		if (!all[i]->warning)
			error(ctx, all[i]->place, all[i]->text);
	free(all);
}

/* The offending line, and a caret below the offending byte. */
static void
source_show(FILE *fp, const struct source *source,
    const struct diag_place *place)
{
	size_t len, begin = 0, end, column = place->column;
	const char *text;

	if (source == NULL || column == 0 || place->line == 0 ||
	    (text = source_text(source, place->file, &len)) == NULL)
		return;
	for (unsigned line = 1; line < place->line; line++) {
		const char *lf = memchr(text + begin, '\n', len - begin);

		if (lf == NULL)
			return;
		begin = (size_t)(lf - text) + 1;
	}
	for (end = begin; end < len && text[end] != '\n'; end++)
		;
	if (column > end - begin + 1)
		return;
	if (column > SOURCE_MAX / 2) {		/* its neighbourhood will do */
		begin += column - SOURCE_MAX / 2;
		column = SOURCE_MAX / 2;
	}
	if (end - begin > SOURCE_MAX)
		end = begin + SOURCE_MAX;
	for (size_t i = begin; i < end; i++) {
		unsigned char c = (unsigned char)text[i];

		putc(c == '\t' || (c >= ' ' && c != 0x7f) ? c : '?', fp);
	}
	putc('\n', fp);
	for (size_t i = begin; i + 1 < begin + column; i++) {
		/* a UTF-8 sequence takes one column */
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			putc(text[i] == '\t' ? '\t' : ' ', fp);
	}
	fputs("^\n", fp);
}

/* Where lines go: to a file, or to the log. */
struct sink {
	FILE			*fp;		/* NULL: the log */
	const struct source	*source;	/* NULL: without carets */
	bool			 brief;		/* not where it was included */
};

static void
sink_line(const struct sink *sink, bool warning,
    const struct diag_place *place, const char *text)
{
	char where[1100] = "";

	if (place != NULL && place->line == 0)
		snprintf(where, sizeof where, "%s: ", place->file);
	else if (place != NULL)
		snprintf(where, sizeof where, "%s:%u: ", place->file,
		    place->line);
	text_clean(where);
	if (sink->fp != NULL)
		fprintf(sink->fp, "%s%s%s\n", where,
		    warning ? "warning: " : "", text);
	else if (log_plain() && warning)	/* relayd-conf 7 */
		log_err("%swarning: %s", where, text);
	else if (log_plain())
		log_crit("%s%s", where, text);
	else if (warning)
		log_warn("%swarning: %s", where, text);
	else
		log_err("Error %s%s", where, text);
}

static void
sink_entry(const struct sink *sink, const struct entry *e)
{
	const struct diag_place *place = e->place;

	sink_line(sink, e->warning, place, e->text);
	if (place == NULL)
		return;
	if (sink->fp != NULL)
		source_show(sink->fp, sink->source, place);
	for (place = e->place->defined; place != NULL; place = place->defined)
		sink_line(sink, e->warning, place, "defined here");
	place = sink->brief ? NULL : e->place->from;
	for (; place != NULL; place = place->from)
		sink_line(sink, e->warning, place, "included from here");
}

static void
sink_all(const struct sink *sink, const struct diag *d)
{
	struct entry **all = diag_sorted(d);
	unsigned errors = 0;

	if (all == NULL) {
		sink_line(sink, false, NULL, strerror(ENOMEM));
		return;
	}
	for (size_t i = 0; all[i] != NULL; i++) {
		if (!all[i]->warning && errors++ == SHOWN && !d->every) {
			sink_line(sink, false, all[i]->place,
			    "too many errors");
			break;
		}
		sink_entry(sink, all[i]);
	}
	if (d->every && d->nentries == KEPT)
		sink_line(sink, false, NULL, "too many errors");
	free(all);
}

void
diag_print(struct diag *d, FILE *fp, const struct source *source,
    bool show_source)
{
	sink_all(&(struct sink){ fp, show_source ? source : NULL, d->every }, d);
	fflush(fp);
}

void
diag_log(struct diag *d)
{
	sink_all(&(struct sink){ NULL, NULL, d->every }, d);
}

/* ---- from one to another ---- */

void
diag_merge(struct diag *d, const struct diag *from)
{
	char text[TEXT_MAX];

	for (const struct entry *e = from->first; e != NULL; e = e->next) {
		snprintf(text, sizeof text, "%s", e->text);
		entry_add(d, e->place, e->warning, e->status, text);
	}
}

/* In a blob an entry is this, its text, and its places. */
struct blob_entry {
	uint32_t	warning;
	int32_t		status;
	uint32_t	text;		/* bytes */
	uint32_t	from, defined;	/* places of each kind */
};

struct blob_place {
	uint32_t	line, column, file;	/* bytes of its name */
};

static int
write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
place_write(int fd, const struct diag_place *place)
{
	struct blob_place b = { place->line, place->column,
	    (uint32_t)strlen(place->file) };

	if (write_all(fd, &b, sizeof b) == -1)
		return -1;
	return write_all(fd, place->file, b.file);
}

static int
entry_write(int fd, const struct entry *e)
{
	struct blob_entry b = { e->warning, e->status,
	    (uint32_t)strlen(e->text), 0, 0 };
	const struct diag_place *p;

	for (p = e->place; p != NULL; p = p->from)
		b.from++;
	for (p = e->place; p != NULL && p->defined != NULL; p = p->defined)
		b.defined++;
	if (write_all(fd, &b, sizeof b) == -1 ||
	    write_all(fd, e->text, b.text) == -1)
		return -1;
	for (p = e->place; p != NULL; p = p->from) {
		if (place_write(fd, p) == -1)
			return -1;
	}
	for (p = e->place; p != NULL && p->defined != NULL; p = p->defined) {
		if (place_write(fd, p->defined) == -1)
			return -1;
	}
	return 0;
}

int
diag_write(const struct diag *d, int fd)
{
	for (const struct entry *e = d->first; e != NULL; e = e->next) {
		if (entry_write(fd, e) == -1)
			return -1;
	}
	return 0;
}

struct blob {
	const char	*p;
	size_t		 left;
};

static const char *
blob_take(struct blob *b, size_t n)
{
	const char *p = b->p;

	if (n > b->left)
		return NULL;
	b->p += n;
	b->left -= n;
	return p;
}

static bool
places_read(struct diag *d, struct blob *b, uint32_t n,
    struct diag_place places[LEVELS])
{
	struct blob_place head;
	const char *p;

	if (n > LEVELS)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if ((p = blob_take(b, sizeof head)) == NULL)
			return false;
		memcpy(&head, p, sizeof head);
		if ((p = blob_take(b, head.file)) == NULL)
			return false;
		places[i] = (struct diag_place){ .line = head.line,
		    .column = head.column,
		    .file = arena_strndup(d->arena, p, head.file) };
	}
	return true;
}

static bool
entry_read(struct diag *d, struct blob *b)
{
	struct diag_place from[LEVELS], defined[LEVELS];
	struct blob_entry head;
	char text[TEXT_MAX];
	const char *p;

	if ((p = blob_take(b, sizeof head)) == NULL)
		return false;
	memcpy(&head, p, sizeof head);
	if (head.text >= sizeof text ||
	    (p = blob_take(b, head.text)) == NULL)
		return false;
	memcpy(text, p, head.text);
	text[head.text] = '\0';
	if (!places_read(d, b, head.from, from) ||
	    !places_read(d, b, head.defined, defined))
		return false;
	for (uint32_t i = 1; i < head.from; i++)
		from[i - 1].from = &from[i];
	for (uint32_t i = 1; i < head.defined; i++)
		defined[i - 1].defined = &defined[i];
	if (head.from > 0 && head.defined > 0)
		from[0].defined = &defined[0];
	entry_add(d, head.from > 0 ? &from[0] : NULL, head.warning != 0,
	    head.status, text);
	return true;
}

int
diag_read(struct diag *d, const void *data, size_t len)
{
	struct blob b = { data, len };

	while (b.left > 0) {
		if (!entry_read(d, &b)) {
			errno = EBADMSG;
			return -1;
		}
	}
	return 0;
}
