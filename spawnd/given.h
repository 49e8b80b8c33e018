/*
 * What a master hands over in the place of a configuration file (8.3, 8.4):
 * a text on descriptor 3, or in shared memory, and how it is to be called.
 * The worker's side.
 */
#ifndef SPAWND_GIVEN_H
#define SPAWND_GIVEN_H

#include <stddef.h>

#define GIVEN_FD	3
#define GIVEN_FILE	"/dev/fd/3"
#define GIVEN_ENV	"SPAWND_CONFIG"

struct given {
	char		*text;		/* NULL: it is a file like others */
	size_t		 len;
	const char	*name;		/* as shown, and for $CONFDIR */
};

/* Remembers what the environment says, and takes it out of there. Before
 * SPAWND_WORKER goes; more than once does no harm. */
void	 given_note(void);
/* What the argument FILE stands for. -1, errno: it was handed over, and
 * cannot be had; EACCES: by nobody. */
int	 given_open(const char *file, struct given *);
void	 given_clear(struct given *);

#endif
