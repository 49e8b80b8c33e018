/*
 * Without libcurl nothing is fetched.
 */
#include <stdio.h>

#include "fetch.h"

enum fetch_result
fetch_document(const struct fetch_request *r, struct document *d,
    char reason[static FETCH_REASON])
{
	(void)r;
	*d = (struct document){ .len = 0 };
	snprintf(reason, FETCH_REASON, "no libcurl");
	return FETCH_FAILED;
}
