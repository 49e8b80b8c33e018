/*
 * The walker through tables, with a small language of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "misc/kw.h"

/* What the language says. */
struct thing {
	bool			 loud;
	uint16_t		 count;
	unsigned		 wait, mode;
	const char		*name;
	struct kw_value		 where;
	enum { RED, GREEN, BLUE } colour;
	struct kw_owner		 owner;
	unsigned		 called, bare;
	struct kw_block		 block;
};

static const struct kw_word colours[] = {
	{ "red", RED, false }, { "green", GREEN, false },
	{ "blue", BLUE, false }, { "azure", BLUE, true },
	{ NULL, 0, false },
};

static void
called(struct kw_reader *r, void *object)
{
	(void)r;
	((struct thing *)object)->called++;
}

static bool
bare(struct kw_reader *r, void *object)
{
	if (r->tok.kind != LEX_WORD || r->tok.text[0] != '@')
		return false;
	((struct thing *)object)->bare++;
	kw_next(r);
	return true;
}

static const struct kw inner_kw[] = {
	KW_INT("count", struct thing, count, 1, 9),
	KW_CALL("stop", called),
	KW_END
};

static void
inner(struct kw_reader *r, void *object)
{
	struct thing *t = object;

	t->block = (struct kw_block){ .sets = { { inner_kw, t } },
	    .nsets = 1, .other = bare, .other_object = t };
	(void)kw_block(r, &t->block, true);
}

static const struct kw outer_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL_RAW("alias", kw_alias),
	KW_BOOL("loud", struct thing, loud),
	KW_INT("count", struct thing, count, 1, 65535),
	KW_INT("count many", struct thing, count, 100, 200),
	KW_SECONDS("wait a while", struct thing, wait, 0, 3600),
	KW_SECONDS("wait a|some minute|hour", struct thing, wait, 60, 3600),
	KW_OCTAL("mode|modus", struct thing, mode, 0777),
	KW_TEXT("name", struct thing, name),
	KW_VALUE("where", struct thing, where),
	KW_WORD("colour", struct thing, colour, colours),
	KW_USER("user", struct thing, owner),
	KW_GROUP("group", struct thing, owner),
	KW_CALL("call me", called),
	KW_CALL("inner", inner),
	KW_END
};

struct run {
	struct source	*source;
	struct arena	*arena;
	struct diag	*diag;
	struct thing	 thing;
	char		*said;
};

static void
run(struct run *r, const char *text)
{
	static const struct kw *const reserved[] = { outer_kw, inner_kw,
	    NULL };
	static char *const env[] = { NULL };
	struct kw_block top = { .sets = { { outer_kw, &r->thing } },
	    .nsets = 1 };
	struct kw_reader kr = { .reserved = reserved };
	size_t len;
	FILE *fp;

	memset(r, 0, sizeof *r);
	kr.source = r->source = source_gather(env);
	kr.arena = r->arena = arena_new();
	kr.diag = r->diag = diag_new();
	source_add(r->source, SOURCE_TEXT, "f", text, strlen(text));
	kr.lex = lex_new(r->source, r->diag, r->arena, "f");
	kw_next(&kr);
	kw_top(&kr, &top);
	assert_int_equal(kr.tok.kind, LEX_END);
	lex_free(kr.lex);
	fp = open_memstream(&r->said, &len);
	diag_print(r->diag, fp, NULL, false);
	fclose(fp);
}

static void
run_end(struct run *r)
{
	free(r->said);
	diag_free(r->diag);
	arena_free(r->arena);
	source_free(r->source);
}

static void
test_values(void **state)
{
	struct run r;

	(void)state;
	run(&r, "loud = yes count 0x10 wait a while = 1m mode = 0640\n"
	    "name name where = \"x y\" colour = azure call me user root\n"
	    "group = 17 inner = { count 3 @x @y stop }");
	assert_string_equal(r.said, "");
	assert_true(r.thing.loud);
	assert_int_equal(r.thing.count, 3);
	assert_int_equal(r.thing.wait, 60);
	assert_int_equal(r.thing.mode, 0640);
	assert_string_equal(r.thing.name, "name");
	assert_string_equal(r.thing.where.text, "x y");
	assert_int_equal(r.thing.where.place.line, 2);
	assert_int_equal(r.thing.where.place.column, 19);
	assert_int_equal(r.thing.colour, BLUE);
	assert_true(r.thing.owner.has_uid && r.thing.owner.has_users_gid);
	assert_string_equal(r.thing.owner.user, "root");
	assert_int_equal(r.thing.owner.gid, 17);
	assert_int_equal(r.thing.called, 2);
	assert_int_equal(r.thing.bare, 2);
	assert_false(r.thing.block.skipped || r.thing.block.empty);
	run_end(&r);

	run(&r, "count many 150 wait some hour 60 modus 7 user 4294967294");
	assert_string_equal(r.said, "");
	assert_int_equal(r.thing.count, 150);
	assert_int_equal(r.thing.wait, 60);
	assert_int_equal(r.thing.mode, 7);
	assert_int_equal(r.thing.owner.uid, 4294967294u);
	assert_null(r.thing.owner.user);
	run_end(&r);

	run(&r, "alias x { count = y } alias y { 7 } x name = \"x\"");
	assert_string_equal(r.said, "");
	assert_int_equal(r.thing.count, 7);
	assert_string_equal(r.thing.name, "x");
	run_end(&r);

	run(&r, "inner { }");
	assert_true(r.thing.block.empty);
	run_end(&r);
}

static const struct {
	const char	*text, *said;
} wrong[] = {
	{ "x", "f:1: Expected 'include', 'alias', 'loud', 'count', 'wait', "
	    "'mode', 'modus', 'name', 'where', 'colour', 'user', 'group', "
	    "'call' or 'inner', but got 'x'\n" },
	{ "wait 5", "f:1: Expected 'a' or 'some', but got '5'\n" },
	{ "wait a moment", "f:1: Expected 'while', 'minute' or 'hour', but "
	    "got 'moment'\n" },
	{ "wait some while", "f:1: Expected 'minute' or 'hour', but got "
	    "'while'\n" },
	{ "call you", "f:1: Expected 'me', but got 'you'\n" },
	{ "call", "f:1: Expected 'me', but got end of file\n" },
	{ "count more", "f:1: count: 'more' is not a number\n" },
	{ "count many 5", "f:1: count many: 5 is out of range (100 to "
	    "200)\n" },
	{ "count = many", "f:1: count: 'many' is not a number\n" },
	{ "count \"many\"", "f:1: count: 'many' is not a number\n" },
	{ "modus 888", "f:1: modus: '888' is not an octal number\n" },
	{ "mode 1000", "f:1: mode: 1000 is out of range (0 to 777)\n" },
	{ "colour = \"red\"", "f:1: Expected 'red', 'green' or 'blue', but "
	    "got \"red\"\n" },
	{ "colour = gren", "f:1: Expected 'red', 'green' or 'blue', but got "
	    "'gren' (did you mean 'green'?)\n" },
	{ "colour", "f:1: colour: value missing\n" },
	{ "inner { count }", "f:1: count: value missing\n" },
	{ "inner { count = ( }", "f:1: count: Expected a value, but got "
	    "'('\n" },
	{ "inner count 5", "f:1: Expected '{', but got 'count'\n" },
	{ "inner { count 10\nname x\nid = 3\n}", "f:1: count: 10 is out of "
	    "range (1 to 9)\nf:2: Expected 'count', 'stop' or '}', but got "
	    "'name'\n" },
	{ "inner {\nid = 3 }", "f:2: Expected 'count', 'stop' or '}', but "
	    "got 'id'; block opened in line 1 is still open\n" },
	{ "user nobody-here", "f:1: user: unknown user 'nobody-here'\n" },
	{ "group 4294967296", "f:1: group: unknown group '4294967296'\n" },
	{ "alias loud { }", "f:1: alias: 'loud' is a reserved word\n" },
	{ "alias stop { }", "f:1: alias: 'stop' is a reserved word\n" },
	{ "alias green { }", "f:1: alias: 'green' is a reserved word\n" },
	{ "alias hour { }", "f:1: alias: 'hour' is a reserved word\n" },
	{ "alias x loud", "f:1: Expected '{', but got 'loud'\n" },
	{ "alias { }", "f:1: alias: Expected a value, but got '{'\n" },
	{ "include f", "f:1: include: 'f' includes itself\n" },
	/* going on */
	{ "x\nloud = 3\nmode = 9 count 0\n  count = 0 }\n} x\ncount 0",
	    "f:1: *f:2: *f:3: mode: '9' is not an octal number\n"
	    "f:4: count: 0 is out of range (1 to 65535)\n"
	    "f:6: count: 0 is out of range (1 to 65535)\n" },
	{ "inner { x\n count 0 { count 0\n count 0 }\n y count 0\n stop\n"
	    " count 0 } count 0\n count 0",
	    "f:1: *f:2: *f:6: count: 0 is out of range (1 to 9)\n"
	    "f:7: count: 0 is out of range (1 to 65535)\n" },
};

/* '*' stands for the rest of a line. */
static bool
said_matches(const char *said, const char *want)
{
	while (*want != '\0') {
		if (*want == '*') {
			said += strcspn(said, "\n");
			said += *said == '\n';
			want++;
		} else if (*said++ != *want++) {
			return false;
		}
	}
	return *said == '\0';
}

static void
test_wrong(void **state)
{
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		run(&r, wrong[i].text);
		if (!said_matches(r.said, wrong[i].said))
			fail_msg("%s: %s", wrong[i].text, r.said);
		run_end(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
