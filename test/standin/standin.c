#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "standin.h"

int
standin_note(struct standin_file *f, int fd)
{
	struct stat st;

	if (fd < 0 || fd >= STANDIN_FDS || fstat(fd, &st) == -1) {
		errno = EBADF;
		return -1;
	}
	*f = (struct standin_file){ true, st.st_dev, st.st_ino };
	return 0;
}

bool
standin_same(const struct standin_file *f, int fd)
{
	struct stat st;

	return f->used && fstat(fd, &st) == 0 && st.st_dev == f->dev &&
	    st.st_ino == f->ino;
}

static long long
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int
standin_wait(int (*look)(void *), void *ctx, int timeout)
{
	long long end = now_ms() + timeout;
	int n;

	for (;;) {
		n = look(ctx);
		if (n != 0 || timeout == 0)
			return n;
		if (timeout > 0 && now_ms() >= end)
			return 0;
		if (poll(NULL, 0, 1) == -1)
			return -1;
	}
}

/* Each slot starts with the descriptor that stands for it. A closed one is
 * noticed when its number comes again. */
int
standin_instance(void *slots, size_t size)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), *slot;
	static unsigned next;

	if (fd == -1)
		return -1;
	slot = standin_find(slots, size, fd);
	if (slot == NULL)
		slot = (void *)((char *)slots + next++ % STANDIN_SLOTS * size);
	memset(slot, 0, size);
	*slot = fd;
	return fd;
}

void *
standin_find(void *slots, size_t size, int fd)
{
	int i, *slot;

	for (i = 0; i < STANDIN_SLOTS; i++) {
		slot = (void *)((char *)slots + (size_t)i * size);
		if (*slot == fd && fd != 0)
			return slot;
	}
	errno = EBADF;
	return NULL;
}
