/*
 * A text in a System V shared-memory segment, for whoever knows its key:
 * a head of 16 bytes, the text, a NUL. One process makes it and takes it
 * away; others copy it. Systems without such segments have ipc_none.c.
 */
#ifndef MISC_IPC_H
#define MISC_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IPC_MAGIC	"spawnd1\n"	/* first in the head, without its NUL */

struct ipc_head {
	char		magic[8];
	uint64_t	len;		/* of the text, without the NUL */
};

bool	 ipc_available(void);

/* ipc://KEY/LENGTH, both decimal. */
#define IPC_URL_MAX	48
bool	 ipc_is_url(const char *);
void	 ipc_url_print(char text[static IPC_URL_MAX], unsigned key,
	    size_t len);
bool	 ipc_url_parse(const char *, unsigned *key, size_t *len);

/*
 * A new one, mode 0600, owned by uid and gid ((uid_t)-1: by us). One that is
 * there already gives way if it is of this kind and its creator is dead, or
 * was the program that this process executed before; else EEXIST. The id;
 * -1, errno.
 */
int	 ipc_create(unsigned key, const char *text, size_t len, uid_t, gid_t);
/* By who made it. */
void	 ipc_remove(int id);
/* Of len bytes, neither more nor less (EPROTO). To be freed, with a NUL
 * behind it; NULL, errno. */
char	*ipc_read(unsigned key, size_t len);

#endif
