/*
 * A document as it was fetched.
 */
#include <stdlib.h>

#include "fetch.h"

void
document_clear(struct document *d)
{
	free(d->text);
	free(d->etag);
	free(d->modified);
	*d = (struct document){ .len = 0 };
}
