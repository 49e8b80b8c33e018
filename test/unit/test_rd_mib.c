/*
 * The tables that SNMP sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pfe_fake.h"
#include "relayd/rd_mib.h"

static const char config[] =
    "agentx path \"/agentx\"\n"
    "table <web> { 10.0.0.1 10.0.0.2 parent 1 }\n"
    "table <off> disable { 2001:db8::1 }\n"
    "redirect www { listen on 192.0.2.1 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay one { listen on 192.0.2.3 port 80\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay two { disable\n"
    "	listen on 192.0.2.3 port 81\n"
    "	forward to <off> port 81 }\n"
    "router way { route 198.51.100.0/24\n"
    "	route 203.0.113.0/25\n"
    "	forward to <web> check icmp }\n"
    "router way6 { route 2001:db8::/32\n"
    "	forward to <off> check icmp }\n";

static int
setup(void **state)
{
	char error[256] = "";
	struct compiled *c = fake_compile(config, sizeof(config) - 1, error,
	    sizeof(error));

	(void)state;
	if (c == NULL)
		print_error("%s\n", error);
	return c == NULL ? -1 : fake_open(c);
}

static int
teardown(void **state)
{
	(void)state;
	fake_close();
	return 0;
}

/* ---- tables ---- */

static const struct rd_mib_session none[1];

static struct rd_mib
mib(const struct rd_mib_session *s, size_t n)
{
	return (struct rd_mib){ .view = fake_pfe->view,
	    .stats = &fake_pfe->stats, .sessions = s, .nsessions = n };
}

/* "5.1.4.2" below the base. */
static struct rd_oid
oid(const char *text)
{
	struct rd_oid o = rd_mib_base;
	char *end;

	for (; *text != '\0'; text = *end == '.' ? end + 1 : end)
		o.sub[o.n++] = (uint32_t)strtoul(text, &end, 10);
	return o;
}

static const char *
shown(const struct rd_mib_value *v)
{
	static char text[300];
	const uint8_t *bytes = v->bytes;
	size_t n = 0;

	switch (v->kind) {
	case RD_MIB_NO_OBJECT:
		return "no object";
	case RD_MIB_NO_INSTANCE:
		return "no instance";
	case RD_MIB_STRING:
		text[0] = '\0';
		for (size_t i = 0; i < v->len; i++)
			n += (size_t)sprintf(text + n, bytes[i] > ' ' &&
			    bytes[i] < 127 ? "%c" : "\\%02x", bytes[i]);
		return text;
	default:
		sprintf(text, "%c:%llu", v->kind == RD_MIB_INTEGER ? 'i' :
		    v->kind == RD_MIB_GAUGE ? 'g' : v->kind ==
		    RD_MIB_COUNTER64 ? 'c' : 't',
		    (unsigned long long)v->number);
		return text;
	}
}

static void
gets(void **state)
{
	static const struct { const char *oid, *value; } rows[] = {
		{ "", "no object" }, { "1", "no object" },
		{ "1.1", "no object" }, { "1.1.1", "no instance" },
		{ "1.1.1.0", "no instance" }, { "1.1.1.2", "no instance" },
		{ "1.1.1.1.1", "no instance" }, { "1.1.0.1", "no object" },
		{ "1.1.11.1", "no object" }, { "1.2.1.1", "no object" },
		{ "0.1.1.1", "no object" }, { "8.1.1.1", "no object" },
		{ "1.1.1.4294967295", "no instance" },
		{ "1.1.1.1", "i:1" }, { "1.1.2.1", "i:2" },
		{ "1.1.3.1", "www" }, { "1.1.4.1", "c:0" },
		{ "1.1.10.1", "g:0" },
		{ "2.1.2.1", "i:2" }, { "2.1.2.2", "i:1" },
		{ "2.1.3.1", "one" }, { "2.1.4.2", "c:0" },
		{ "3.1.3.1", "i:0" }, { "3.1.4.2", "way6" },
		{ "3.1.5.1", "" }, { "3.1.6.1", "i:0" },
		{ "3.1.7.1", "no object" },
		{ "4.1.1.3", "i:3" },
		{ "4.1.2.1", "" },	/* set below */
		{ "4.1.3.2", "i:1" }, { "4.1.3.3", "i:2" },
		{ "4.1.4.2", "i:25" }, { "4.1.5.3", "i:2" },
		{ "4.1.1.4", "no instance" },
		{ "5.1.2.2", "i:1" }, { "5.1.3.2", "i:1" },
		{ "5.1.4.1", "10.0.0.1" },
		{ "5.1.5.2", "\\0a\\00\\00\\02" }, { "5.1.6.1", "i:1" },
		{ "5.1.7.1", "i:3" }, { "5.1.8.1", "c:0" },
		{ "5.1.10.1", "i:0" },
		{ "6.1.1.1.1", "no instance" }, { "6.1.13.1.1", "no object" },
		{ "7.1.2.1", "web:80" }, { "7.1.3.1", "i:1" },
		{ "7.1.4.1", "no object" },
	};
	const struct rd_mib m = mib(none, 0);
	struct rd_mib_room room;
	struct rd_mib_value v;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rd_oid o = oid(rows[i].oid);

		rd_mib_get(&m, &o, &v, &room);
		if (strcmp(rows[i].oid, "4.1.2.1") == 0) {
			assert_int_equal(v.len, 4);
			assert_memory_equal(v.bytes, "\306\063\144\0", 4);
		} else if (strcmp(shown(&v), rows[i].value) != 0) {
			fail_msg("%s: %s", rows[i].oid, shown(&v));
		}
	}
}

/* Walking finds everything that get finds, in order, and comes to an end. */
static void
walks(void **state)
{
	struct rd_mib_session s[3] = {
		{ .session = { .id = 7, .worker = 2, .relay = 2 } },
		{ .session = { .id = 7, .worker = 1, .relay = 1 } },
		{ .session = { .id = 7, .worker = 3, .relay = 1 } },
	};
	struct rd_mib m = mib(s, 3);
	struct rd_oid from = rd_mib_base, end = { 0 }, name, last;
	struct rd_mib_room room;
	struct rd_mib_value v, got;
	unsigned n = 0, cells;

	(void)state;
	rd_mib_sort(s, 3);
	assert_int_equal(s[0].session.relay, 1);
	assert_int_equal(s[0].number, 7 * 64 + 1);
	assert_int_equal(s[1].number, 7 * 64 + 3);
	assert_int_equal(s[2].session.relay, 2);
	last = from;
	while (rd_mib_next(&m, &from, &end, &name, &v, &room)) {
		char text[300];

		assert_int_equal(rd_oid_cmp(&last, &name), -1);
		snprintf(text, sizeof(text), "%s", shown(&v));
		rd_mib_get(&m, &name, &got, &room);
		assert_string_equal(shown(&got), text);
		/* itself, if it is included */
		from = name;
		from.include = true;
		assert_true(rd_mib_next(&m, &from, &end, &from, &v, &room));
		assert_int_equal(rd_oid_cmp(&from, &name), 0);
		/* not at its end */
		from = last;
		assert_false(rd_mib_next(&m, &from, &name, &from, &v,
		    &room));
		last = from = name;
		n++;
	}
	cells = 1 * 10 + 2 * 10 + 2 * 6 + 3 * 5 +
	    (unsigned)m.view->conf->nhosts * 10 + 3 * 12 +
	    (unsigned)m.view->conf->ntables * 3;
	assert_int_equal(n, cells);
}

static void
wanted(void **state)
{
	static const struct { const char *oid; bool get, next; } rows[] = {
		{ "", false, false }, { "1.1.1.1", false, false },
		{ "4.1.5.3", false, false }, { "5", false, true },
		{ "5.1.10.2", false, true }, { "6", true, true },
		{ "6.1.1.1", true, true }, { "6.1.12.1.1", true, true },
		{ "7", false, false }, { "7.1.1.1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rd_oid o = oid(rows[i].oid);

		assert_int_equal(rd_mib_wants_sessions(&o, false),
		    rows[i].get);
		assert_int_equal(rd_mib_wants_sessions(&o, true),
		    rows[i].next);
	}
}

/* As memcmp(); what is shorter comes first. */
static void
order(void **state)
{
	static const char *const rows[] = { "", "1", "1.1", "1.1.7", "1.2",
	    "1.10", "2", "4294967295" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
			struct rd_oid a = oid(rows[i]), b = oid(rows[k]);

			assert_int_equal(rd_oid_cmp(&a, &b),
			    (i > k) - (i < k));
		}
}

int
main(void)
{
#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		TEST(gets),
		TEST(walks),
		TEST(wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
