/* relayd/ctl.c: what may be sent to and by the control socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relayd/ctl.h"

static uint64_t body[CTL_LENGTH / 8];	/* aligned */

static const char *
check(unsigned type, size_t len, bool from_client)
{
	struct ctl_header h = {
		.length = (uint32_t)(sizeof(h) + len), .type = (uint16_t)type
	};

	return ctl_check(&h, body, from_client);
}

/* Every length of every type: what its form says, and nothing else. */
static void
lengths(void **state)
{
	struct ctl_hello hello = { CTL_MAGIC, CTL_VERSION };

	(void)state;
	memset(body, 0, sizeof(body));
	for (unsigned type = 0; type < CTL_TYPES + 10; type++) {
		const struct ctl_form *f = type < CTL_TYPES ?
		    &ctl_forms[type] : NULL;

		for (size_t len = 0; len < 5000; len++) {
			bool good = f != NULL && f->known && len >= f->min &&
			    len <= f->max;

			if (type == CTL_HELLO)
				memcpy(body, &hello, sizeof(hello));
			else if (type == CTL_REQUEST)
				good = len == sizeof(struct ctl_request);
			assert_int_equal(check(type, len, false) == NULL,
			    good);
			assert_int_equal(check(type, len, true) == NULL,
			    good && f->asked);
		}
		memset(body, 0, sizeof(hello));
	}
}

/* What is asked, and what never is. */
static void
directions(void **state)
{
	static const unsigned asked[] = { CTL_HELLO, CTL_SHOW_SUMMARY,
	    CTL_SHOW_SESSIONS, CTL_POLL, CTL_SHUTDOWN, CTL_NOTIFY, CTL_TEXT,
	    CTL_VERBOSE, CTL_RELOAD, CTL_REDIRECT_ENABLE,
	    CTL_REDIRECT_DISABLE, CTL_TABLE_ENABLE, CTL_TABLE_DISABLE,
	    CTL_HOST_ENABLE, CTL_HOST_DISABLE, CTL_WHY };
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		assert_true(ctl_forms[asked[i]].asked);
	for (unsigned type = 0; type < CTL_TYPES; type++)
		n += ctl_forms[type].asked;
	assert_int_equal(n, sizeof(asked) / sizeof(asked[0]));
}

static void
headers(void **state)
{
	static const struct {
		struct ctl_header h;
		const char *wrong;
	} rows[] = {
		{ { 16, CTL_POLL, 0, 0, 0 }, NULL },
		{ { 16, CTL_POLL, 0, 0, 77 }, NULL },
		{ { 0, CTL_POLL, 0, 0, 0 }, "bad length" },
		{ { 15, CTL_POLL, 0, 0, 0 }, "bad length" },
		{ { 17, CTL_POLL, 0, 0, 0 }, "bad length for its type" },
		{ { CTL_LENGTH, CTL_POLL, 0, 0, 0 },
		    "bad length for its type" },
		{ { CTL_LENGTH + 1, CTL_POLL, 0, 0, 0 }, "bad length" },
		{ { UINT32_MAX, CTL_POLL, 0, 0, 0 }, "bad length" },
		{ { 16, CTL_POLL, 1, 0, 0 }, "bad header" },
		{ { 16, CTL_POLL, 0, 1, 0 }, "bad header" },
		{ { 16, 0, 0, 0, 0 }, "unknown type" },
		{ { 16, 24, 0, 0, 0 }, "unknown type" },
		{ { 16, CTL_TYPES, 0, 0, 0 }, "unknown type" },
		{ { 16, UINT16_MAX, 0, 0, 0 }, "unknown type" },
		{ { 16, CTL_OK, 0, 0, 0 }, "not to be asked" },
		{ { 16, CTL_SYNC, 0, 0, 0 }, "not to be asked" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *wrong = ctl_check(&rows[i].h, body, true);

		if (rows[i].wrong == NULL)
			assert_null(wrong);
		else
			assert_string_equal(wrong, rows[i].wrong);
	}
}

/* One without an end is seen, wherever it is. */
static void
ends(void **state)
{
	static const struct {
		unsigned type;
		size_t at, size;
	} rows[] = {
		{ CTL_REDIRECT_ENABLE, 4, 64 }, { CTL_HOST_DISABLE, 4, 64 },
		{ CTL_TABLE_ENABLE, 4, 64 }, { CTL_RELOAD, 0, 1024 },
		{ CTL_WHY, 16, 64 }, { CTL_REDIRECT, 8, 64 },
		{ CTL_TABLE, 16, 72 },
		{ CTL_HOST, offsetof(struct ctl_host, name), 256 },
		{ CTL_RELAY, 8, 88 }, { CTL_ROUTER, 16, 64 },
		{ CTL_ROUTER, 80, 64 },
		{ CTL_SESSION, offsetof(struct tell_session, tag), 64 },
		{ CTL_WHY_ENTRY, offsetof(struct tell_why, reason), 64 },
		{ CTL_WHY_ENTRY, offsetof(struct tell_why, relay_name), 64 },
		{ CTL_WHY_ENTRY, offsetof(struct tell_why, host_name), 64 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *text = (uint8_t *)body + rows[i].at;

		memset(body, 0, sizeof(body));
		memset(text, 'x', rows[i].size);
		assert_string_equal(check(rows[i].type,
		    ctl_forms[rows[i].type].min, false), "text without end");
		text[rows[i].size - 1] = '\0';
		assert_null(check(rows[i].type, ctl_forms[rows[i].type].min,
		    false));
	}
}

static void
hello(void **state)
{
	struct ctl_hello h = { CTL_MAGIC, CTL_VERSION + 7 };

	(void)state;
	memcpy(body, &h, sizeof(h));
	assert_null(check(CTL_HELLO, sizeof(h), true));
	h.magic ^= 1;
	memcpy(body, &h, sizeof(h));
	assert_string_equal(check(CTL_HELLO, sizeof(h), true),
	    "not of this protocol");
}

static void
macros(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint32_t n, length;
		bool good;
	} rows[] = {
		{ "", 0, 0, 0, true },
		{ "a\0b", 4, 1, 4, true },
		{ "a\0b\0c\0", 7, 2, 7, true },		/* value of c: "" */
		{ "a\0b", 4, 2, 4, false },
		{ "a\0b", 4, 0, 4, false },
		{ "a\0b", 3, 1, 3, false },
		{ "a\0b", 4, 1, 3, false },
		{ "a\0b", 4, 1, 5, false },
		{ "a\0b", 4, UINT32_MAX, 4, false },
		{ "a\0b", 4, 1, UINT32_MAX, false },
		{ "a\0b", 4, 0x80000001u, 4, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_request r = { .nmacros = rows[i].n,
		    .length = rows[i].length };

		memcpy(body, &r, sizeof(r));
		memcpy((uint8_t *)body + sizeof(r), rows[i].bytes,
		    rows[i].len);
		assert_int_equal(check(CTL_REQUEST, sizeof(r) + rows[i].len,
		    false) == NULL, rows[i].good);
	}
}

/* Numbers that scripts may know. */
static void
numbers(void **state)
{
	static const struct { unsigned type, number; const char *name; }
	rows[] = {
		{ CTL_HOST_STATUS, 37, "host_status" }, { CTL_SYNC, 38, "sync" },
		{ CTL_REDIRECT_DISABLE, 18, "ctl_rdr_disable" },
		{ CTL_REDIRECT_ENABLE, 17, "ctl_rdr_enable" },
		{ CTL_TABLE_DISABLE, 20, "ctl_table_disable" },
		{ CTL_TABLE_ENABLE, 19, "ctl_table_enable" },
		{ CTL_HOST_DISABLE, 22, "ctl_host_disable" },
		{ CTL_HOST_ENABLE, 21, "ctl_host_enable" },
		{ CTL_TABLE_CHANGED, 13, "ctl_table_changed" },
		{ CTL_PULL_RULESET, 14, "ctl_pull_ruleset" },
		{ CTL_PUSH_RULESET, 15, "ctl_push_ruleset" },
	};
	unsigned named = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(rows[i].type, rows[i].number);
		assert_string_equal(ctl_forms[rows[i].type].name,
		    rows[i].name);
	}
	for (unsigned type = 0; type < CTL_TYPES; type++)
		named += ctl_forms[type].name != NULL;
	assert_int_equal(named, sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(CTL_VERBOSE, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(directions),
		cmocka_unit_test(headers),
		cmocka_unit_test(ends),
		cmocka_unit_test(hello),
		cmocka_unit_test(macros),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
