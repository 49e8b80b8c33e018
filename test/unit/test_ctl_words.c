/*
 * The words of relayctl: every abbreviation of every command, and what is
 * said of those that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/ctl_words.h"

static char *said;
static size_t said_len;

/* Words of line, by blanks. */
static const struct ctl_command *
match(const char *line, const char **argument)
{
	static char copy[512];
	char *words[16], *save = NULL;
	const struct ctl_command *c;
	FILE *err;
	int n = 0;

	free(said);
	said = NULL;
	err = open_memstream(&said, &said_len);
	assert_non_null(err);
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w != NULL;
	    w = strtok_r(NULL, " ", &save))
		words[n++] = strcmp(w, "''") == 0 ? &w[2] : w;
	c = ctl_words_match(n, words, argument, err);
	fclose(err);
	return c;
}

/* In full, each is itself. */
static void
test_all(void **state)
{
	const char *argument;
	char line[128];

	(void)state;
	for (size_t i = 0; i < ctl_ncommands; i++) {
		const struct ctl_command *c = &ctl_commands[i];

		snprintf(line, sizeof(line), "%s %s %s", c->words[0],
		    c->words[1] != NULL ? c->words[1] : "",
		    c->argument != CTL_ARG_NONE ? "arg" : "");
		assert_ptr_equal(match(line, &argument), c);
		assert_string_equal(said, "");
		if (c->argument != CTL_ARG_NONE)
			assert_string_equal(argument, "arg");
		else
			assert_null(argument);
		strcat(line, " more");
		assert_null(match(line, &argument));
		assert_string_equal(said, "superfluous argument: more\n");
	}
}

/* A prefix is a command if just one begins with it: counted here in another
 * way than there. */
static void
test_prefixes(void **state)
{
	static const char *const first[] = { "monitor", "show", "load",
	    "poll", "reload", "stop", "redirect", "table", "host", "log" };
	const char *argument;
	char word[16], want[64];

	(void)state;
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		for (size_t len = 1; len <= strlen(first[i]); len++) {
			size_t n = 0;

			snprintf(word, sizeof(word), "%.*s", (int)len,
			    first[i]);
			for (size_t j = 0; j < sizeof(first) /
			    sizeof(first[0]); j++)
				n += strncmp(first[j], word, len) == 0;
			(void)match(word, &argument);
			snprintf(want, sizeof(want), "ambiguous argument: "
			    "%s\n", word);
			assert_int_equal(strncmp(said, want,
			    strlen(want)) == 0, n > 1);
			assert_null(strstr(said, "unknown"));
		}
}

static const struct {
	const char	*line, *first, *second;
} good[] = {
	{ "p", "poll", NULL }, { "m", "monitor", NULL },
	{ "sh su", "show", "summary" }, { "sh h", "show", "hosts" },
	{ "sho red", "show", "redirects" }, { "sh rel", "show", "relays" },
	{ "sh ro", "show", "routers" }, { "sh se", "show", "sessions" },
	{ "loa /x", "load", NULL }, { "rel", "reload", NULL },
	{ "st", "stop", NULL }, { "red d 1", "redirect", "disable" },
	{ "t e 1", "table", "enable" }, { "h d x", "host", "disable" },
	{ "log v", "log", "verbose" }, { "log b", "log", "brief" },
	{ "plan f", "plan", NULL }, { "why 1:2", "why", NULL },
};

static void
test_abbreviations(void **state)
{
	const struct ctl_command *c;
	const char *argument;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		c = match(good[i].line, &argument);
		assert_non_null(c);
		assert_string_equal(c->words[0], good[i].first);
		if (good[i].second != NULL)
			assert_string_equal(c->words[1], good[i].second);
		else
			assert_null(c->words[1]);
	}
}

static const struct { const char *line, *said; } bad[] = {
	{ "", "missing argument:\n" }, { "''", "ambiguous argument: \n" },
	{ "pl", "unknown argument: pl\n" },
	{ "pla x", "unknown argument: pla\n" },
	{ "wh", "unknown argument: wh\n" },
	{ "plans", "unknown argument: plans\n" },
	{ "POLL", "unknown argument: POLL\n" },
	{ "show ''", "ambiguous argument: \n" },
	{ "show r", "ambiguous argument: r\n" },
	{ "show summaryx", "unknown argument: summaryx\n" },
	{ "host", "missing argument:\n" },
	{ "host ''", "ambiguous argument: \n" },
	{ "host x", "unknown argument: x\n" },
	{ "host d ''", "unknown argument: \n" },
	{ "load", "missing argument:\n" },
};

static void
test_wrong(void **state)
{
	const char *argument;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(match(bad[i].line, &argument));
		said[strlen(bad[i].said)] = '\0';
		assert_string_equal(said, bad[i].said);
	}
}

static const struct {
	const char	*word;
	uint32_t	 id;
	const char	*name;
} ids[] = {
	{ "0", 0, "" }, { "1", 1, "" }, { "007", 7, "" },
	{ "4294967295", UINT32_MAX, "" },
	{ "4294967296", CTL_NO_ID, "4294967296" },
	{ "99999999999999999999999", CTL_NO_ID, "99999999999999999999999" },
	{ "-1", CTL_NO_ID, "-1" }, { "+1", CTL_NO_ID, "+1" },
	{ " 1", CTL_NO_ID, " 1" }, { "1 ", CTL_NO_ID, "1 " },
	{ "0x1", CTL_NO_ID, "0x1" }, { "192.0.2.1", CTL_NO_ID, "192.0.2.1" },
	{ "www", CTL_NO_ID, "www" },
};

static void
test_ids(void **state)
{
	char word[65];
	struct ctl_id id;

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_true(ctl_words_id(ids[i].word, &id));
		assert_int_equal(id.id, ids[i].id);
		assert_string_equal(id.name, ids[i].name);
	}
	memset(word, 'x', sizeof(word));
	word[64] = '\0';
	assert_false(ctl_words_id(word, &id));
	assert_int_equal(strlen(id.name), 63);
	word[63] = '\0';
	assert_true(ctl_words_id(word, &id));
	assert_string_equal(id.name, word);
}

static const struct {
	const char	*word;
	uint64_t	 session;
	uint32_t	 worker;
	const char	*name;
	bool		 number;
} whys[] = {
	{ "17", 17, 0, "", true }, { "3:17", 17, 3, "", false },
	{ "18446744073709551615", UINT64_MAX, 0, "", true },
	{ "18446744073709551616", 0, 0, "18446744073709551616", false },
	{ "4294967296:1", 0, 0, "4294967296:1", false },
	{ "3:", 0, 0, "3:", false }, { ":3", 0, 0, ":3", false },
	{ "1:2:3", 0, 0, "1:2:3", false }, { "1:x", 0, 0, "1:x", false },
	{ "::1", 0, 0, "::1", false }, { "1.2.3.4", 0, 0, "1.2.3.4", false },
	{ "web", 0, 0, "web", false },
};

static void
test_why(void **state)
{
	struct ctl_why why;
	bool number;

	(void)state;
	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++) {
		assert_true(ctl_words_why(whys[i].word, &why, &number));
		assert_int_equal(why.session, whys[i].session);
		assert_int_equal(why.worker, whys[i].worker);
		assert_string_equal(why.name, whys[i].name);
		assert_int_equal(number, whys[i].number);
		assert_int_equal(why.host, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_abbreviations),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_why),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(said);
	return failed;
}
