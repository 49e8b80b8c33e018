/*
 * The first bytes of a connection: one decides, and no later one counts.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tcprelay/hello.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum hello first = hello_look(data, 0);

	if (first != HELLO_MORE)
		abort();
	for (size_t n = 1; n <= size; n++) {
		enum hello r = hello_look(data, n);

		if (r == HELLO_MORE || (first != HELLO_MORE && r != first))
			abort();
		first = r;
	}
	return 0;
}
