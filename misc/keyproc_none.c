/*
 * Without OpenSSL there are no keys, and nothing of this is ever reached.
 */
#include <errno.h>
#include <stddef.h>

#include "keyproc.h"

struct keyproc *
keyproc_new(struct ev *ev)
{
	(void)ev;
	errno = ENOTSUP;
	return NULL;
}

struct keyproc *
keyproc_ref(struct keyproc *k)
{
	return k;
}

void
keyproc_patience(struct keyproc *k, uint64_t ns, void (*late)(uint64_t))
{
	(void)k;
	(void)ns;
	(void)late;
}

void
keyproc_unref(struct keyproc *k)
{
	(void)k;
}

void
keyproc_attach(struct keyproc *k, int fd)
{
	(void)k;
	(void)fd;
}

struct keyproc_keys *
keyproc_keys_new(void)
{
	errno = ENOTSUP;
	return NULL;
}

void
keyproc_keys_free(struct keyproc_keys *keys)
{
	(void)keys;
}

int
keyproc_keys_add(struct keyproc_keys *keys, uint32_t index,
    const struct tls_keypair *k, unsigned uses, char *error)
{
	(void)keys;
	(void)index;
	(void)k;
	(void)uses;
	*error = '\0';
	return -1;
}

struct keyproc_peer *
keyproc_peer_new(struct ev *ev, struct keyproc_keys *keys, int fd,
    void (*gone)(void *), void *ctx)
{
	(void)ev;
	(void)keys;
	(void)fd;
	(void)gone;
	(void)ctx;
	errno = ENOTSUP;
	return NULL;
}

void
keyproc_peer_free(struct keyproc_peer *p)
{
	(void)p;
}
