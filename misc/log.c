/*
 * Logging. A line is built once per form (text, JSON) in a buffer of its own
 * and leaves in one write, so that lines of several processes do not mix. A
 * reader that does not read costs lines, never time: what cannot be written
 * at once is dropped and counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "str.h"

/* PIPE_BUF of the systems we know: a pipe that polls writable takes that
 * much without blocking. */
#define LINE_MAX_LEN	4096
#define LINE_TAIL	4	/* kept free for what closes a line */
#define VALUE_MAX	1024	/* of one item, as written */
#define NAME_LEN	64

/* One line being built. What does not fit is left out as a whole: no half
 * escape sequence, no half character. */
struct line {
	size_t	len, limit;
	bool	full;
	char	text[LINE_MAX_LEN];
};

/* Where lines go; dropped counts since the last one that went through. */
struct sink {
	int		fd;
	unsigned	dropped;
};

static struct {
	char			ident[NAME_LEN];
	char			program[NAME_LEN];	/* as of log_open */
	char			role[NAME_LEN];
	uint32_t		worker;
	int			severity, warning;
	bool			to_syslog, json, copy, early, plain;
	bool			debug_syslog, debug_stderr, debug_file;
	bool			spoken, verbose;	/* log_verbose() */
	uint32_t		debug_bits;	/* as configured */
	struct sink		err, file, debug;
} logger = {
	.severity = LOG_INFO,
	.warning = LOG_WARNING,
	.to_syslog = true,
	.err = { .fd = STDERR_FILENO },
	.file = { .fd = -1 },
	.debug = { .fd = -1 },
};

uint32_t log_debug_bits;

static const char *const level_names[] = {
	[LOG_EMERG] = "emerg", [LOG_ALERT] = "alert", [LOG_CRIT] = "crit",
	[LOG_ERR] = "err", [LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

/* ---- building lines */

static void
line_start(struct line *l)
{
	l->len = 0;
	l->limit = sizeof(l->text) - LINE_TAIL;
	l->full = false;
}

static void
line_piece(struct line *l, const char *p, size_t n)
{
	if (l->full || n > l->limit - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->len, p, n);
	l->len += n;
}

static void
line_string(struct line *l, const char *s)
{
	line_piece(l, s, strlen(s));
}

static void __attribute__((format(printf, 2, 3)))
line_printf(struct line *l, const char *fmt, ...)
{
	char piece[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (n > 0)
		line_piece(l, piece, (size_t)n < sizeof(piece) ?
		    (size_t)n : sizeof(piece) - 1);
}

/* Goes into the room kept for it, whatever was left out before. */
static void
line_close(struct line *l, const char *tail)
{
	size_t n = strlen(tail);

	memcpy(l->text + l->len, tail, n);
	l->len += n;
}

/* A JSON string with its quotes. */
static void
line_json(struct line *l, const char *text, size_t most)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = strlen(text), limit = l->limit, k, bad;

	line_string(l, "\"");
	if (most < l->limit - l->len)
		l->limit = l->len + most;
	l->limit--;				/* for the closing quote */
	for (; n > 0 && !l->full; p += k, n -= k) {
		k = str_utf8(p, n, &bad);
		if (k == 0) {
			line_string(l, "\xef\xbf\xbd");
			k = bad;
		} else if (*p == '"' || *p == '\\')
			line_printf(l, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			line_printf(l, "\\u%04x", *p);
		else
			line_piece(l, (const char *)p, k);
	}
	l->limit++;
	l->full = false;
	line_string(l, "\"");
	l->limit = limit;
}

/* Plain text. Control characters are spelled out: what a peer sent must not
 * be able to forge a line or to drive a terminal. */
static void
line_text(struct line *l, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p != '\0'; p++) {
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
			line_printf(l, "\\x%02x", *p);
		else
			line_piece(l, (const char *)p, 1);
	}
}

/* A value without blanks; a lone "-" is spelled out because it means absent
 * (7.11). */
static void
line_encoded(struct line *l, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t limit = l->limit;

	if (*p == '\0') {
		line_string(l, "-");
		return;
	}
	if (strcmp(text, "-") == 0) {
		line_string(l, "%2D");
		return;
	}
	if (VALUE_MAX < l->limit - l->len)
		l->limit = l->len + VALUE_MAX;
	for (; *p != '\0' && !l->full; p++) {
		if (*p <= 0x20 || *p >= 0x7f || *p == '%' || *p == '"')
			line_printf(l, "%%%02X", *p);
		else
			line_piece(l, (const char *)p, 1);
	}
	l->limit = limit;
	l->full = false;
}

static void
line_time(struct line *l)
{
	struct timespec now;
	struct tm tm;

	if (clock_gettime(CLOCK_REALTIME, &now) == -1 ||
	    gmtime_r(&now.tv_sec, &tm) == NULL)
		memset(&tm, 0, sizeof(tm)), now.tv_nsec = 0;
	line_printf(l, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, (long)(now.tv_nsec / 1000));
}

/* The members every JSON line has, up to the comma. */
static void
line_json_head(struct line *l, int level)
{
	line_start(l);
	line_string(l, "{\"time\":\"");
	line_time(l);
	line_printf(l, "\",\"level\":\"%s\",\"ident\":",
	    level_names[level & LOG_PRIMASK]);
	line_json(l, logger.ident, VALUE_MAX);
	if (logger.role[0] != '\0') {
		line_string(l, ",\"role\":");
		line_json(l, logger.role, VALUE_MAX);
	}
	line_printf(l, ",\"pid\":%ld", (long)getpid());
	if (logger.worker != 0)
		line_printf(l, ",\"worker\":%u", logger.worker);
	line_string(l, ",");
}

/* ---- letting them go */

/*
 * One line, one write, never waiting. The descriptor may be shared with
 * processes that want it blocking, so it is asked rather than changed.
 */
static bool
sink_write(struct sink *s, const char *text, size_t n)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	ssize_t done;

	if (poll(&p, 1, 0) == 0)
		return false;
	do
		done = write(s->fd, text, n);
	while (done == -1 && errno == EINTR);
	return done != -1;
}

static void
sink_line(struct sink *s, const struct line *l)
{
	char lost[80];
	int n;

	if (s->fd == -1)
		return;
	if (s->dropped > 0) {
		n = logger.json ?
		    snprintf(lost, sizeof(lost),
			"{\"event\":\"dropped\",\"lines\":%u}\n", s->dropped) :
		    snprintf(lost, sizeof(lost),
			"%ld: %u lines dropped, nobody read them\n",
			(long)getpid(), s->dropped);
		if (!sink_write(s, lost, (size_t)n)) {
			s->dropped++;
			return;
		}
		s->dropped = 0;
	}
	if (!sink_write(s, l->text, l->len))
		s->dropped++;
}

/* The three places a line can go besides syslog. */
struct places {
	bool	syslog, err, file, debug;
};

static struct places
places_of(bool debug)
{
	bool err = logger.copy || logger.early;

	if (!debug)
		return (struct places){ .syslog = logger.to_syslog,
		    .err = err, .file = true };
	return (struct places){
		.syslog = logger.debug_syslog && logger.to_syslog,
		.file = logger.debug_syslog,
		.err = err || logger.debug_stderr,
		.debug = logger.debug_file,
	};
}

/* Only if there is anybody to see it is a form built. */
static bool
places_written(const struct places *to)
{
	return (to->err && logger.err.fd != -1) ||
	    (to->file && logger.file.fd != -1) ||
	    (to->debug && logger.debug.fd != -1);
}

static void
places_json(const struct places *to, struct line *l)
{
	line_close(l, "}\n");
	if (to->err)
		sink_line(&logger.err, l);
	if (to->file)
		sink_line(&logger.file, l);
	if (to->debug)
		sink_line(&logger.debug, l);
}

/* body is what stands behind the process id. A file is read later and by
 * others, so it also says when and who. */
static void
places_text(const struct places *to, const struct line *body)
{
	struct line l;

	if (to->err && logger.err.fd != -1) {
		line_start(&l);
		if (!logger.plain)
			line_printf(&l, "%ld: ", (long)getpid());
		line_piece(&l, body->text, body->len);
		line_close(&l, "\n");
		sink_line(&logger.err, &l);
	}
	if ((!to->file || logger.file.fd == -1) &&
	    (!to->debug || logger.debug.fd == -1))
		return;
	line_start(&l);
	line_time(&l);
	line_printf(&l, " %s[%ld]: ", logger.ident, (long)getpid());
	line_piece(&l, body->text, body->len);
	line_close(&l, "\n");
	if (to->file)
		sink_line(&logger.file, &l);
	if (to->debug)
		sink_line(&logger.debug, &l);
}

/* The prefixes of places_text must always fit in front of a body. */
static void
body_start(struct line *l)
{
	line_start(l);
	l->limit -= 2 * NAME_LEN + 64;
}

static void __attribute__((format(printf, 3, 0)))
log_message(int level, bool debug, const char *fmt, va_list ap)
{
	struct places to = places_of(debug);
	char text[LINE_MAX_LEN];
	struct line l;
	int saved = errno, n;

	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		snprintf(text, sizeof(text), "%s", fmt);
	body_start(&l);
	line_text(&l, text);
	if (to.syslog)
		syslog(level, "%.*s", (int)l.len, l.text);
	if (!places_written(&to))
		;
	else if (logger.json) {
		line_json_head(&l, level);
		line_string(&l, "\"msg\":");
		line_json(&l, text, LINE_MAX_LEN);
		places_json(&to, &l);
	} else
		places_text(&to, &l);
	errno = saved;
}

void
log_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(logger.severity, false, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(logger.warning, false, fmt, ap);
	va_end(ap);
}

void
log_err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_ERR, false, fmt, ap);
	va_end(ap);
}

void
log_crit(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_CRIT, false, fmt, ap);
	va_end(ap);
}

void
log_debug_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_DEBUG, true, fmt, ap);
	va_end(ap);
}

static void
items_text(struct line *l, const char *prefix, const struct log_item *item,
    unsigned n)
{
	const char *gap = prefix == NULL ? "" : " ";

	body_start(l);
	if (prefix != NULL)
		line_string(l, prefix);
	for (; n > 0; n--, item++, gap = " ") {
		line_printf(l, "%s%s=", gap, item->name);
		if (item->kind == LOG_NUMBER)
			line_printf(l, "%ju", (uintmax_t)item->number);
		else if (item->kind == LOG_TEXT && item->text != NULL)
			line_encoded(l, item->text);
		else
			line_string(l, "-");
	}
}

static void
items_json(struct line *l, const char *event, const struct log_item *item,
    unsigned n)
{
	line_json_head(l, logger.severity);
	line_string(l, "\"event\":");
	line_json(l, event, VALUE_MAX);
	/* an item goes in as a whole or not at all */
	for (; n > 0 && l->limit - l->len > VALUE_MAX + NAME_LEN + 8;
	    n--, item++) {
		line_printf(l, ",\"%.*s\":", NAME_LEN, item->name);
		if (item->kind == LOG_NUMBER)
			line_printf(l, "%ju", (uintmax_t)item->number);
		else if (item->kind == LOG_TEXT && item->text != NULL)
			line_json(l, item->text, VALUE_MAX);
		else
			line_string(l, "null");
	}
}

void
log_items(const char *prefix, const char *event, const struct log_item *items,
    unsigned n)
{
	struct places to = places_of(false);
	bool written = places_written(&to);
	struct line l;
	int saved = errno;

	if (to.syslog || (written && !logger.json)) {
		items_text(&l, prefix, items, n);
		if (to.syslog)
			syslog(logger.severity, "%.*s", (int)l.len, l.text);
		if (written && !logger.json)
			places_text(&to, &l);
	}
	if (written && logger.json) {
		items_json(&l, event, items, n);
		places_json(&to, &l);
	}
	errno = saved;
}

/* ---- setting up */

static void
name_copy(char name[static NAME_LEN], const char *from)
{
	size_t n = strnlen(from, NAME_LEN - 1);

	memcpy(name, from, n);
	name[n] = '\0';
}

/*
 * 0, 1 and 2 exist from here on: a socket that got number 2 would be sent
 * log lines.
 */
static void
standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}

void
log_open(const char *ident)
{
	standard_descriptors();
	name_copy(logger.program, ident);
	name_copy(logger.ident, ident);
	logger.debug_stderr = isatty(STDERR_FILENO);
	logger.debug_syslog = !logger.debug_stderr;
	openlog(logger.ident, LOG_PID, LOG_UUCP);
}

static void
debug_set(void)
{
	log_debug_bits = !logger.spoken ? logger.debug_bits :
	    logger.verbose ? DEBUG_VERBOSE : 0;
}

void
log_style(int facility, int warning, bool plain)
{
	logger.plain = plain;
	logger.warning = warning;
	closelog();
	openlog(logger.ident, LOG_PID, facility);
}

bool
log_plain(void)
{
	return logger.plain;
}

void
log_configure(const struct log_conf *c)
{
	bool terminal = isatty(STDERR_FILENO);

	name_copy(logger.ident, c->ident != NULL ? c->ident : logger.program);
	name_copy(logger.role, c->role != NULL ? c->role : "");
	logger.worker = c->worker;
	logger.severity = c->severity;
	logger.to_syslog = c->to_syslog;
	logger.json = c->json;
	logger.copy = c->stderr_copy;
	logger.debug_stderr = c->stderr_copy || (c->debug_set ?
	    c->debug_to == LOG_DEBUG_STDERR : terminal);
	logger.debug_file = c->debug_set && c->debug_to == LOG_DEBUG_FILE;
	logger.debug_syslog = c->debug_set ?
	    c->debug_to == LOG_DEBUG_SYSLOG : !logger.debug_stderr;
	logger.debug_bits = c->debug;
	debug_set();
	/* connected at once, and for good: later the process may be unable
	 * to */
	if (c->to_syslog)
		openlog(logger.ident, LOG_PID | LOG_NDELAY, c->facility);
	else
		closelog();
}

void
log_connect(int facility)
{
	openlog(logger.ident, LOG_PID | LOG_NDELAY, facility);
}

static void
sink_set(struct sink *s, int fd)
{
	if (s->fd != -1 && s->fd != fd)
		close(s->fd);
	s->fd = fd;
	s->dropped = 0;
}

void
log_file(int fd)
{
	sink_set(&logger.file, fd);
}

void
log_debug_file(int fd)
{
	sink_set(&logger.debug, fd);
}

void
log_stderr(bool on)
{
	logger.early = on;
}

void
log_verbose(bool on)
{
	logger.spoken = true;
	logger.verbose = on;
	debug_set();
}

void
log_close(void)
{
	logger.spoken = false;
	closelog();
	log_file(-1);
	log_debug_file(-1);
}

bool
log_allow(struct log_limit *l, uint64_t now, uint64_t period, unsigned burst,
    unsigned *held)
{
	*held = 0;
	if ((l->burst == 0 && l->held == 0) || now - l->last >= period) {
		l->last = now;
		l->burst = 0;
		*held = l->held;
		l->held = 0;
	}
	if (l->burst < burst) {
		l->burst++;
		return true;
	}
	l->held++;
	return false;
}
