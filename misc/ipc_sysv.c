/*
 * Segments as shmget(2) makes them. What is found under a key may be
 * anybody's and anything.
 */
#include <sys/types.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc.h"

#define ATTEMPTS	3	/* others may be as quick */

static_assert(sizeof(struct ipc_head) == 16, "head");

bool
ipc_available(void)
{
	return true;
}

static const struct ipc_head *
attach(int id)
{
	void *p = shmat(id, NULL, SHM_RDONLY);

	return p == (void *)-1 ? NULL : p;
}

static bool
is_dead(pid_t pid)
{
	/* 0: of another name space; it may well live */
	return pid > 0 && (pid == getpid() ||
	    (kill(pid, 0) == -1 && errno == ESRCH));
}

/* One that nobody will take away any more. */
static bool
is_stale(int id)
{
	const struct ipc_head *head;
	struct shmid_ds ds;
	bool ours;

	if (shmctl(id, IPC_STAT, &ds) == -1 || !is_dead(ds.shm_cpid) ||
	    ds.shm_segsz < sizeof(*head) || (head = attach(id)) == NULL)
		return false;
	ours = memcmp(head->magic, IPC_MAGIC, sizeof(head->magic)) == 0;
	(void)shmdt(head);
	return ours;
}

static int
segment_new(unsigned key, size_t size)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		int old, id = shmget((key_t)key, size,
		    IPC_CREAT | IPC_EXCL | 0600);

		if (id != -1 || errno != EEXIST)
			return id;
		/* another size is no error with 0 */
		old = shmget((key_t)key, 0, 0);
		if (old == -1 && errno == ENOENT)
			continue;
		if (old == -1 || !is_stale(old) ||
		    shmctl(old, IPC_RMID, NULL) == -1)
			break;
	}
	errno = EEXIST;
	return -1;
}

static int
segment_fill(int id, const char *text, size_t len)
{
	struct ipc_head head = { .len = len };
	char *p = shmat(id, NULL, 0);

	if (p == (void *)-1)
		return -1;
	memcpy(head.magic, IPC_MAGIC, sizeof(head.magic));
	memcpy(p, &head, sizeof(head));
	if (len > 0)
		memcpy(p + sizeof(head), text, len);
	p[sizeof(head) + len] = '\0';
	return shmdt(p);
}

static int
segment_give(int id, uid_t uid, gid_t gid)
{
	struct shmid_ds ds;

	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	if (shmctl(id, IPC_STAT, &ds) == -1)
		return -1;
	if (uid != (uid_t)-1)
		ds.shm_perm.uid = uid;
	if (gid != (gid_t)-1)
		ds.shm_perm.gid = gid;
	ds.shm_perm.mode = 0600;
	return shmctl(id, IPC_SET, &ds);
}

int
ipc_create(unsigned key, const char *text, size_t len, uid_t uid, gid_t gid)
{
	int id = segment_new(key, sizeof(struct ipc_head) + len + 1);
	int reason;

	if (id == -1)
		return -1;
	if (segment_fill(id, text, len) == 0 &&
	    segment_give(id, uid, gid) == 0)
		return id;
	reason = errno;
	ipc_remove(id);
	errno = reason;
	return -1;
}

void
ipc_remove(int id)
{
	(void)shmctl(id, IPC_RMID, NULL);
}

/* The segment may be smaller than it says. */
static char *
copy(int id, const struct ipc_head *head, size_t len)
{
	struct shmid_ds ds;
	char *text;

	if (shmctl(id, IPC_STAT, &ds) == -1)
		return NULL;
	if (ds.shm_segsz < sizeof(*head) || len > ds.shm_segsz -
	    sizeof(*head) || memcmp(head->magic, IPC_MAGIC,
	    sizeof(head->magic)) != 0 || head->len != len) {
		errno = EPROTO;
		return NULL;
	}
	if ((text = malloc(len + 1)) == NULL)
		return NULL;
	memcpy(text, head + 1, len);
	text[len] = '\0';
	return text;
}

char *
ipc_read(unsigned key, size_t len)
{
	const struct ipc_head *head;
	int reason, id = shmget((key_t)key, 0, 0);
	char *text;

	if (id == -1 || (head = attach(id)) == NULL)
		return NULL;
	text = copy(id, head, len);
	reason = errno;
	(void)shmdt(head);
	errno = reason;
	return text;
}
