/*
 * ipc key (8.4): the text of the workers' configuration in shared memory, as
 * long as the service lives. One key, one segment; while a reload changes the
 * key there are two.
 */
#ifndef SPAWND_SEGMENT_H
#define SPAWND_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/hash.h"

struct loaded;
struct master;

/* Owned by the master. */
struct segment {
	bool		 there;
	int		 id;
	unsigned	 key;
	uint32_t	 generation;	/* for which it was made */
	uint8_t		 digest[HASH_SIZE];	/* of what it has */
};

/* The key of that configuration is ours from now on. false: *error. */
bool	 segment_prepare(struct master *, const struct loaded *,
	    uint32_t generation, char *error, size_t size);
/* Has that generation's text for a worker that is to be started; false: it
 * cannot have it yet, one that starts still reads another. */
bool	 segment_show(struct master *, const struct loaded *,
	    uint32_t generation);
/* The running configuration is the only one. */
void	 segment_settle(struct master *);
/* Others have changed it meanwhile: made anew. */
void	 segment_resume(struct master *);
void	 segment_close(struct master *);

#endif
