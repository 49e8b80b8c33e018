/*
 * Words and columns of relayctl: which word counts of several states, what a
 * number that nobody knows becomes, and phases in their order. Whole outputs
 * are in test_relayctl.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/ctl_json.h"
#include "relayd/ctl_print.h"
#include "relayd/ctl_words.h"
#include "tcprelay/host.h"

static const struct { uint32_t state; const char *word; } redirects[] = {
	{ CTL_DISABLED | CTL_DOWN | CTL_BACKUP, "disabled" },
	{ CTL_DOWN | CTL_BACKUP, "down" },
	{ CTL_BACKUP | CTL_ACTIVE, "active (using backup table)" },
	{ CTL_ACTIVE, "active" }, { 0, "active" },
}, hosts[] = {
	{ CTL_DISABLED | CTL_UP, "disabled" },
	{ CTL_DOWN | CTL_UNKNOWN, "down" },
	{ CTL_UNKNOWN | CTL_UP, "unknown" },
	{ CTL_UP, "up" }, { 0, "unknown" },
};

static void
test_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(redirects) / sizeof(redirects[0]); i++)
		assert_string_equal(ctl_redirect_word(redirects[i].state),
		    redirects[i].word);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		assert_string_equal(ctl_host_word(hosts[i].state),
		    hosts[i].word);
	assert_string_equal(ctl_active_word(CTL_DISABLED | CTL_ACTIVE),
	    "disabled");
	assert_string_equal(ctl_active_word(CTL_ACTIVE), "active");
}

static const struct { uint32_t state, up; const char *word; } tables[] = {
	{ CTL_DISABLED | CTL_ACTIVE, 3, "disabled" },
	{ CTL_EMPTY, 0, "empty" }, { CTL_ACTIVE, 0, "empty" },
	{ CTL_EMPTY, 3, "empty" }, { CTL_ACTIVE, 1, "active" },
};

static void
test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct ctl_table t = { .state = tables[i].state,
		    .up = tables[i].up };

		assert_string_equal(ctl_table_word(&t), tables[i].word);
	}
}

static const struct { uint32_t state, error; const char *text; } reasons[] = {
	{ CTL_DOWN, HOST_TCP_CONNECT_FAILED, "tcp connect failed" },
	{ CTL_DOWN, HOST_NONE, NULL },
	{ CTL_UP, HOST_TCP_CONNECT_FAILED, NULL },
	{ CTL_UNKNOWN, HOST_TCP_CONNECT_FAILED, NULL },
	{ CTL_DISABLED | CTL_DOWN, HOST_TCP_CONNECT_FAILED, NULL },
	{ CTL_DOWN, UINT32_MAX, "unknown error" },
	{ CTL_DOWN, HOST_ERRORS, "unknown error" },
};

static void
test_reasons(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		const struct ctl_host h = { .state = reasons[i].state,
		    .error = reasons[i].error };
		const char *text = ctl_host_reason(&h);

		if (reasons[i].text == NULL)
			assert_null(text);
		else
			assert_string_equal(text, reasons[i].text);
	}
	assert_string_equal(ctl_who_word(UINT32_MAX), "somebody");
	assert_string_equal(ctl_event_word(CTL_SYNC), "sync");
	assert_string_equal(ctl_event_word(CTL_OK), "<unknown>");
	assert_string_equal(ctl_event_word(UINT16_MAX), "<unknown>");
}

static void
test_phases(void **state)
{
	struct ctl_phase p[WHY_PHASES];
	struct tell_why w = { 0 };

	(void)state;
	assert_int_equal(ctl_phases(&w, p), 0);
	for (int i = 0; i < WHY_PHASES; i++)
		w.phase[i] = (uint64_t)(WHY_PHASES - i);
	assert_int_equal(ctl_phases(&w, p), WHY_PHASES);
	for (int i = 0; i < WHY_PHASES; i++)
		assert_int_equal(p[i].at, i + 1);
	assert_string_equal(p[0].name, "closed");
	/* at the same time: as they are named */
	w = (struct tell_why){ .phase = { [WHY_CONNECTED] = 5,
	    [WHY_CHOSEN] = 5, [WHY_END] = 5 } };
	assert_int_equal(ctl_phases(&w, p), 3);
	assert_string_equal(p[0].name, "destination chosen");
	assert_string_equal(p[1].name, "connected");
	assert_string_equal(p[2].name, "closed");
}

/* Each row of a dump has its views, nothing else has. */
static void
test_views(void **state)
{
	unsigned all = 0;

	(void)state;
	for (unsigned type = 0; type < CTL_TYPES + 100; type++) {
		bool row = type == CTL_REDIRECT || type == CTL_TABLE ||
		    type == CTL_HOST || type == CTL_RELAY ||
		    type == CTL_ROUTER || type == CTL_ROUTE ||
		    type == CTL_STATISTICS;

		assert_int_equal(ctl_views(type) != 0, row);
		all |= ctl_views(type);
	}
	assert_int_equal(all, CTL_VIEW_SUMMARY | CTL_VIEW_HOSTS |
	    CTL_VIEW_REDIRECTS | CTL_VIEW_RELAYS | CTL_VIEW_ROUTERS);
}

/* What belongs to a row but has none before it is left out. */
static void
test_stray(void **state)
{
	const struct ctl_route route = { .router = 1 };
	const struct ctl_statistics s = { .relay = 1, .total = 1 };
	const struct ctl_router router = { .id = 1, .name = "r" };
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);
	struct ctl_json j;

	(void)state;
	assert_non_null(fp);
	ctl_json_begin(&j, fp, CTL_VIEW_RELAYS);
	ctl_json_row(&j, CTL_STATISTICS, &s);
	ctl_json_end(&j);
	ctl_json_begin(&j, fp, CTL_VIEW_ROUTERS);
	ctl_json_row(&j, CTL_ROUTE, &route);
	ctl_json_row(&j, CTL_ROUTER, &router);
	ctl_json_row(&j, CTL_STATISTICS, &s);
	ctl_json_end(&j);
	fclose(fp);
	assert_string_equal(text, "[]\n[\n{\"type\":\"router\",\"id\":1,"
	    "\"name\":\"r\",\"status\":\"active\",\"rtable\":0,"
	    "\"rtlabel\":null,\"routes\":[]}\n]\n");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_stray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
