#include <stdint.h>
#include <string.h>

#include "features.h"
#include "cleanse.h"

void
cleanse(void *p, size_t len)
{
#ifdef HAVE_EXPLICIT_BZERO
	explicit_bzero(p, len);
#else
	volatile uint8_t *b = p;

	while (len-- > 0)
		*b++ = 0;
#endif
}
