/*
 * A stored copy that anybody may have written. What is taken for one can be
 * written again and gives the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "spawnd/store.h"

#define URL	"file:///x"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct document d, again;
	size_t len;
	char *head, *file;

	if (!store_parse(URL, (const char *)data, size, &d)) {
		if (d.text != NULL || d.etag != NULL || d.modified != NULL)
			abort();
		return 0;
	}
	if (d.len == 0 || strlen(d.text) != d.len || d.fetched < 0)
		abort();
	if ((head = store_head(URL, &d, &len)) == NULL ||
	    (file = malloc(len + d.len)) == NULL)
		return 0;
	memcpy(file, head, len);
	memcpy(file + len, d.text, d.len);
	if (!store_parse(URL, file, len + d.len, &again) ||
	    again.len != d.len || memcmp(again.text, d.text, d.len) != 0 ||
	    again.fetched != d.fetched ||
	    (again.etag == NULL) != (d.etag == NULL))
		abort();
	document_clear(&again);
	document_clear(&d);
	free(file);
	free(head);
	return 0;
}
