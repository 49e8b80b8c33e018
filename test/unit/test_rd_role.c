/*
 * Who may tell what to whom: whatever comes otherwise is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "relayd/rd_role.h"

static _Alignas(8) uint8_t bytes[ROLE_DATA];

static bool
good(unsigned type, unsigned from, unsigned to, size_t len, int fd)
{
	const struct tell t = { .role = from, .type = type, .data = bytes,
	    .len = len, .fd = fd };

	return rd_tell_good(&t, to);
}

static void
list_set(unsigned n)
{
	const struct tell_list list = { .n = n };

	memcpy(bytes, &list, sizeof list);
}

static bool
in(unsigned set, unsigned role)
{
	return role < RD_ROLES && (set & RD_TO(role)) != 0;
}

/* Each row of the table, from everybody to everybody, and with one thing at a
 * time wrong. */
static void
test_rows(void **state)
{
	unsigned rows = 0;

	(void)state;
	for (unsigned type = 0; type < RD_TELLS; type++) {
		const struct rd_tell_form *f = &rd_tells[type];

		memset(bytes, 0, 64);
		if (f->name == NULL) {
			assert_false(good(type, RD_PFE, RD_PARENT, 0, -1));
			continue;
		}
		rows++;
		assert_true(f->size + f->each <= ROLE_DATA);
		assert_true(f->from != 0 && f->to != 0);
		for (unsigned from = 0; from <= RD_ROLES; from++)
			for (unsigned to = 0; to < RD_ROLES; to++) {
				bool may = in(f->from, from) && in(f->to, to);

				assert_int_equal(good(type, from, to, f->size,
				    -1), may);
				if (!may)
					continue;
				assert_int_equal(good(type, from, to, f->size,
				    7), f->fd);
				assert_false(good(type, from, to, f->size + 1,
				    -1));
				if (f->size > 0)
					assert_false(good(type, from, to,
					    f->size - 1, -1));
			}
	}
	assert_true(rows > 15);
	/* some, by hand */
	assert_false(good(RD_STOP, RD_SNMP, RD_PARENT, 0, -1));
	assert_false(good(RD_AGENTX, RD_PFE, RD_PARENT, 0, -1));
	assert_true(good(RD_AGENTX, RD_SNMP, RD_PARENT, 0, -1));
	assert_true(good(RD_HOST, RD_HCE, RD_SNMP,
	    sizeof(struct rd_tell_host), -1));
	assert_false(good(RD_HOST, RD_HCE, RD_CA,
	    sizeof(struct rd_tell_host), -1));
}

static void
test_unknown(void **state)
{
	(void)state;
	assert_false(good(0, RD_PFE, RD_PARENT, 0, -1));
	assert_false(good(TELL_ENGINE - 1, RD_PFE, RD_PARENT, 0, -1));
	assert_false(good(RD_TELLS, RD_PFE, RD_PARENT, 0, -1));
	assert_false(good(UINT32_MAX, RD_PFE, RD_PARENT, 0, -1));
	assert_false(good(RD_STOP, UINT32_MAX, RD_PARENT, 0, -1));
}

static void
test_lists(void **state)
{
	const size_t head = sizeof(struct tell_list), each =
	    sizeof(struct tell_session);

	(void)state;
	list_set(3);
	assert_true(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE,
	    head + 3 * each, -1));
	assert_false(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE,
	    head + 2 * each, -1));
	assert_false(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE,
	    head + 4 * each, -1));
	assert_false(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE,
	    head + 3 * each + 8, -1));
	assert_false(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE, head - 1,
	    -1));
	list_set(UINT32_MAX);
	assert_false(good(TELL_SESSION_LIST, RD_WORKER, RD_PFE,
	    head + 3 * each, -1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
