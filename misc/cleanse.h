/*
 * Overwriting what was secret, such that no compiler drops it as useless.
 */
#ifndef MISC_CLEANSE_H
#define MISC_CLEANSE_H

#include <stddef.h>

void	 cleanse(void *, size_t);

#endif
