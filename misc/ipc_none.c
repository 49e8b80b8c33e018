/*
 * Systems without System V shared memory.
 */
#include <errno.h>

#include "ipc.h"

bool
ipc_available(void)
{
	return false;
}

int
ipc_create(unsigned key, const char *text, size_t len, uid_t uid, gid_t gid)
{
	(void)key;
	(void)text;
	(void)len;
	(void)uid;
	(void)gid;
	errno = ENOSYS;
	return -1;
}

void
ipc_remove(int id)
{
	(void)id;
}

char *
ipc_read(unsigned key, size_t len)
{
	(void)key;
	(void)len;
	errno = ENOSYS;
	return NULL;
}
