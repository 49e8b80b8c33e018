/*
 * Of protocols, the statements of the canonical text are compared.
 */
#include <string.h>

#include "rd_diff_impl.h"

struct lines {
	const char	**line;
	size_t		 n;
};

static bool
is_protocol(const char *line, size_t len)
{
	static const char *const heads[] = { "protocol ", "tcp protocol ",
	    "http protocol ", "dns protocol " };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t n = strlen(heads[i]);

		if (len >= n && memcmp(line, heads[i], n) == 0)
			return true;
	}
	return false;
}

/* Its statements: the canonical text has protocols by their number. */
static struct lines
statements(const struct side *s, const struct rd_protocol *p)
{
	const char *at = s->conf->text, *end = at + s->conf->text_len;
	struct lines out = { NULL, 0 };
	size_t room = 0, len;
	uint32_t n = 0;

	for (; at < end; at += len + 1) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		len = (size_t)((newline != NULL ? newline : end) - at);
		if (is_protocol(at, len))
			n++;
		if (n != p->id || len == 0 || *at != '\t') {
			if (n > p->id)
				break;
			if (n == p->id && len == 1 && *at == '}')
				break;
			continue;
		}
		if (out.n == room) {
			const char **more = arena_array(s->arena,
			    2 * room + 16, sizeof(*more));

			if (out.n > 0)
				memcpy(more, out.line,
				    out.n * sizeof(*more));
			out.line = more;
			room = 2 * room + 16;
		}
		out.line[out.n++] = arena_strndup(s->arena, at + 1, len - 1);
	}
	return out;
}

#define LINES_MAX	2000	/* of either side: then only that they differ */

/*
 * Statements that came and went, by the longest common subsequence: rules
 * count in their order.
 */
static size_t
lines_compare(struct diff *d, const char *name, struct lines a,
    struct lines b)
{
	uint16_t *best;			/* of what is left, by (i, j) */
	size_t i, j, n = 0, wide;

	while (a.n > 0 && b.n > 0 && strcmp(a.line[a.n - 1],
	    b.line[b.n - 1]) == 0)
		a.n--, b.n--;
	while (a.n > 0 && b.n > 0 && strcmp(a.line[0], b.line[0]) == 0)
		a.n--, b.n--, a.line++, b.line++;
	if (a.n > LINES_MAX || b.n > LINES_MAX) {
		diff_told(d, name, "statements", diff_number(&d->old, (unsigned)a.n,
		    " others"), diff_number(&d->new, (unsigned)b.n, " others"),
		    RD_EFFECT_SESSIONS);
		return 1;
	}
	wide = b.n + 1;
	best = arena_array(d->arena, (a.n + 1) * wide, sizeof(*best));
	for (i = a.n; i-- > 0;)
		for (j = b.n; j-- > 0;) {
			uint16_t down = best[(i + 1) * wide + j];
			uint16_t right = best[i * wide + j + 1];

			best[i * wide + j] = strcmp(a.line[i],
			    b.line[j]) == 0 ? (uint16_t)(1 +
			    best[(i + 1) * wide + j + 1]) :
			    down > right ? down : right;
		}
	for (i = j = 0; i < a.n || j < b.n;) {
		if (i < a.n && j < b.n && strcmp(a.line[i], b.line[j]) == 0)
			i++, j++;
		else if (j == b.n || (i < a.n && best[(i + 1) * wide + j] >=
		    best[i * wide + j + 1])) {
			diff_told(d, name, "statement", a.line[i++], NULL,
			    RD_EFFECT_SESSIONS);
			n++;
		} else {
			diff_told(d, name, "statement", NULL, b.line[j++],
			    RD_EFFECT_SESSIONS);
			n++;
		}
	}
	return n;
}

size_t
diff_statements(struct diff *d, const char *name,
    const struct rd_protocol *old, const struct rd_protocol *new)
{
	return lines_compare(d, name, statements(&d->old, old),
	    statements(&d->new, new));
}
