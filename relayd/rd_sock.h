/*
 * The control socket in the file system: made, shown under its name, and
 * taken away again if it still is ours. Who serves it is somebody else.
 */
#ifndef RELAYD_RD_SOCK_H
#define RELAYD_RD_SOCK_H

#include <sys/stat.h>
#include <stdbool.h>
#include <stddef.h>

/* Zeroed: none. */
struct rd_sock {
	int	 fd;		/* listening */
	char	*path;		/* where it is to be; NULL: there is none */
	char	*made;		/* where it still is; NULL: there already */
	dev_t	 dev;
	ino_t	 ino;
};

/* Binds and listens, beside the path as long as it can: another one's socket
 * there goes on. Mode 0660. -1 and why. */
int	 rd_sock_open(struct rd_sock *, const char *path, char *error,
	    size_t size);
/* Instead of whatever socket is at the path. -1, errno. */
int	 rd_sock_show(struct rd_sock *);
/* Is it still at its path? */
bool	 rd_sock_there(const struct rd_sock *);
/* It was shown, is not there any more, and nobody else serves there. */
bool	 rd_sock_lost(const struct rd_sock *);
/* Closed, and its file removed. Safe twice. */
void	 rd_sock_close(struct rd_sock *);

#endif
