/*
 * Commands are rows, and those with the same first word stand together: what
 * is possible at a place of the command line is a range of rows, in the order
 * in which it is listed.
 */
#include <string.h>

#include "ctl_words.h"

#define SHOW(word, view) \
	{ { "show", word }, .action = CTL_DO_SHOW, \
	    .type = CTL_SHOW_SUMMARY, .value = view, .json = true }
#define ORDER(word, t) \
	{ { word, NULL }, .action = CTL_DO_ORDER, .type = t }
#define OBJECT(word, arg, name) \
	{ { word, "disable" }, .argument = arg, .action = CTL_DO_OBJECT, \
	    .type = name##_DISABLE }, \
	{ { word, "enable" }, .argument = arg, .action = CTL_DO_OBJECT, \
	    .type = name##_ENABLE }
#define LOG(word, verbose) \
	{ { "log", word }, .action = CTL_DO_LOG, .type = CTL_VERBOSE, \
	    .value = verbose }

const struct ctl_command ctl_commands[] = {
	{ { "monitor", NULL }, .action = CTL_DO_MONITOR, .type = CTL_NOTIFY,
	    .json = true },
	SHOW("summary", CTL_VIEW_SUMMARY),
	SHOW("hosts", CTL_VIEW_HOSTS),
	SHOW("redirects", CTL_VIEW_REDIRECTS),
	SHOW("relays", CTL_VIEW_RELAYS),
	SHOW("routers", CTL_VIEW_ROUTERS),
	{ { "show", "sessions" }, .action = CTL_DO_SESSIONS,
	    .type = CTL_SHOW_SESSIONS, .json = true },
	{ { "load", NULL }, .argument = CTL_ARG_PATH, .action = CTL_DO_LOAD,
	    .type = CTL_RELOAD },
	ORDER("poll", CTL_POLL),
	{ { "reload", NULL }, .action = CTL_DO_LOAD, .type = CTL_RELOAD },
	ORDER("stop", CTL_SHUTDOWN),
	OBJECT("redirect", CTL_ARG_REDIRECT, CTL_REDIRECT),
	OBJECT("table", CTL_ARG_TABLE, CTL_TABLE),
	OBJECT("host", CTL_ARG_HOST, CTL_HOST),
	LOG("verbose", 1),
	LOG("brief", 0),
	/* not of the original, whose abbreviations keep their meaning */
	{ { "plan", NULL }, .argument = CTL_ARG_PATH, .action = CTL_DO_PLAN,
	    .type = CTL_TEXT, .whole = true, .json = true },
	{ { "why", NULL }, .argument = CTL_ARG_SESSION, .action = CTL_DO_WHY,
	    .type = CTL_WHY, .whole = true, .json = true },
};
const size_t ctl_ncommands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

static const char *const arguments[CTL_ARGUMENTS][2] = {
	[CTL_ARG_REDIRECT] = { "<redirectid>", NULL },
	[CTL_ARG_TABLE] = { "<tableid>", NULL },
	[CTL_ARG_HOST] = { "<hostid>", NULL },
	[CTL_ARG_PATH] = { "<path>", NULL },
	[CTL_ARG_SESSION] = { "<sessionid>", "<hostid>" },
};

/* Rows that are left, of which all words before at are the same. */
struct range {
	size_t	from, to;
	size_t	at;
};

/* Each possible word once: its first row. r->to: there is none any more. */
static size_t
word_next(const struct range *r, size_t row)
{
	const char *word = ctl_commands[row].words[r->at];

	while (++row < r->to &&
	    strcmp(ctl_commands[row].words[r->at], word) == 0)
		continue;
	return row;
}

static bool
word_matches(const struct ctl_command *c, size_t at, const char *word)
{
	return !c->whole && strncmp(c->words[at], word, strlen(word)) == 0;
}

static void
problem(FILE *err, const char *what, const char *word)
{
	if (word == NULL)
		fprintf(err, "%s argument:\n", what);
	else
		fprintf(err, "%s argument: %s\n", what, word);
}

static void
list_words(FILE *err, const struct range *r)
{
	fprintf(err, "valid commands/args:\n");
	for (size_t i = r->from; i < r->to; i = word_next(r, i))
		fprintf(err, "  %s\n", ctl_commands[i].words[r->at]);
}

static void
list_arguments(FILE *err, enum ctl_argument argument)
{
	fprintf(err, "valid commands/args:\n");
	for (size_t i = 0; i < 2; i++)
		if (arguments[argument][i] != NULL)
			fprintf(err, "  %s\n", arguments[argument][i]);
}

/* Leaves the rows that word can mean. false: it is not one word of theirs. */
static bool
word_take(struct range *r, const char *word, FILE *err)
{
	size_t found = r->to, n = 0;

	for (size_t i = r->from; word != NULL && i < r->to;
	    i = word_next(r, i)) {
		if (strcmp(ctl_commands[i].words[r->at], word) == 0) {
			found = i;
			n = 1;
			break;
		}
		if (word_matches(&ctl_commands[i], r->at, word)) {
			found = i;
			n++;
		}
	}
	if (n != 1) {
		problem(err, word == NULL ? "missing" : n > 1 ? "ambiguous" :
		    "unknown", word);
		list_words(err, r);
		return false;
	}
	r->to = word_next(r, found);
	r->from = found;
	r->at++;
	return true;
}

const struct ctl_command *
ctl_words_match(int n, char *const *words, const char **argument, FILE *err)
{
	struct range r = { 0, ctl_ncommands, 0 };
	const struct ctl_command *c;
	int used = 0;

	*argument = NULL;
	do {
		if (!word_take(&r, used < n ? words[used] : NULL, err))
			return NULL;
		used++;
		c = &ctl_commands[r.from];
	} while (r.at < 2 && c->words[r.at] != NULL);
	if (c->argument != CTL_ARG_NONE) {
		if (used == n || words[used][0] == '\0') {
			problem(err, used == n ? "missing" : "unknown",
			    used == n ? NULL : words[used]);
			list_arguments(err, c->argument);
			return NULL;
		}
		*argument = words[used++];
	}
	if (used < n) {
		fprintf(err, "superfluous argument: %s\n", words[used]);
		return NULL;
	}
	return c;
}

/* ---- arguments ---- */

/* Digits alone, up to max; what follows them is *end. */
static bool
number_take(const char *text, uint64_t max, uint64_t *n, const char **end)
{
	*n = 0;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (*n > (max - digit) / 10)
			return false;
		*n = *n * 10 + digit;
	}
	*end = text;
	return true;
}

static bool
name_take(char name[static CTL_NAME], const char *word)
{
	size_t len = strlen(word), n = len < CTL_NAME ? len : CTL_NAME - 1;

	memcpy(name, word, n);
	return n == len;
}

bool
ctl_words_id(const char *word, struct ctl_id *id)
{
	const char *end;
	uint64_t n;

	*id = (struct ctl_id){ .id = CTL_NO_ID };
	if (number_take(word, UINT32_MAX, &n, &end) && *end == '\0') {
		id->id = (uint32_t)n;
		return true;
	}
	return name_take(id->name, word);
}

bool
ctl_words_why(const char *word, struct ctl_why *why, bool *number)
{
	const char *end;
	uint64_t n, worker = 0;

	*why = (struct ctl_why){ 0 };
	*number = false;
	if (number_take(word, UINT64_MAX, &n, &end)) {
		*number = *end == '\0';
		if (*end == ':' && n <= UINT32_MAX) {
			worker = n;
			if (!number_take(end + 1, UINT64_MAX, &n, &end))
				return name_take(why->name, word);
		}
		if (*end == '\0') {
			why->worker = (uint32_t)worker;
			why->session = n;
			return true;
		}
	}
	return name_take(why->name, word);
}
