/*
 * What workers say of protocols at debug level.
 */
#ifndef RELAYD_RD_DUMP_H
#define RELAYD_RD_DUMP_H

#include "rd_conf.h"

/* n lines, in the arena. */
const char	**rd_dump(const struct rd_conf *, struct arena *, size_t *n);

#endif
