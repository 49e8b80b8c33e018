/*
 * Where the files of a certificate are.
 */
#include <errno.h>
#include <string.h>

#include "rd_keypair.h"

#ifndef RD_SSL_DIR
#define RD_SSL_DIR	"/etc/ssl"
#endif

static int
there(struct source *source, enum source_kind kind, const char *path)
{
	uint8_t digest[32];
	const char *data;
	size_t len;
	int saved;

	if (source_file(source, kind, path, &data, &len) == 0) {
		if (kind == SOURCE_KEY)
			(void)source_file_digest(source, path, digest);
		return 0;
	}
	saved = errno;
	/* who has no secrets knows of a key by its digest, and of a file with
	 * both by what is public in it */
	if (kind == SOURCE_KEY ?
	    source_file_digest(source, path, digest) == 0 :
	    source_public(source, path, &data, &len) == 0)
		return 0;
	errno = saved;
	return -1;
}

/* An empty response is as good as none. */
static bool
empty(struct source *source, const char *path)
{
	const char *data;
	size_t len;

	return source_file(source, SOURCE_CERT, path, &data, &len) == -1 ||
	    len == 0;
}

struct finding {
	struct source	*source;
	struct arena	*arena;
	const char	*name;
	unsigned	 port;
};

static const char *
path_make(const struct finding *f, const char *dir, bool port,
    const char *suffix)
{
	if (port)
		return arena_printf(f->arena, "%s%s/%s:%u%s", RD_SSL_DIR, dir,
		    f->name, f->port, suffix);
	return arena_printf(f->arena, "%s%s/%s%s", RD_SSL_DIR, dir, f->name,
	    suffix);
}

/* *port: whether it is the one of the port; 0 if it is there. */
static int
either_find(const struct finding *f, enum source_kind kind, const char *dir,
    const char *suffix, bool *port, const char **path)
{
	*port = true;
	*path = path_make(f, dir, true, suffix);
	if (there(f->source, kind, *path) == 0)
		return 0;
	*port = false;
	*path = path_make(f, dir, false, suffix);
	return there(f->source, kind, *path);
}

int
rd_keypair_find(struct source *source, struct arena *arena,
    const struct rd_keypair *pair, const struct net_addr *listen,
    struct rd_keypair_files *files, const char **failed)
{
	static const struct rd_keypair by_address;
	struct finding f = { source, arena, NULL, net_port(listen) };
	char shown[NET_TEXT];
	bool port, with_port = false;

	if (pair == NULL) {
		pair = &by_address;
		f.name = arena_strdup(arena, net_ip_text(listen, shown));
	} else {
		f.name = pair->name;
	}
	*files = (struct rd_keypair_files){ pair->cert, pair->key,
	    pair->ocsp };

	if (pair->cert != NULL) {
		*failed = pair->cert;
		if (there(source, SOURCE_CERT, pair->cert) == -1)
			return -1;
	} else if (either_find(&f, SOURCE_CERT, "", ".crt", &with_port,
	    &files->cert) == -1) {
		*failed = files->cert;
		return -1;
	}
	/* the variant is that of the certificate, if that was looked for */
	if (pair->key == NULL) {
		if (pair->cert == NULL)
			files->key = path_make(&f, "/private", with_port,
			    ".key");
		else
			(void)either_find(&f, SOURCE_KEY, "/private", ".key",
			    &port, &files->key);
	}
	*failed = files->key;
	if (there(source, SOURCE_KEY, files->key) == -1)
		return -1;
	if (pair->ocsp != NULL) {
		*failed = pair->ocsp;
		if (there(source, SOURCE_CERT, pair->ocsp) == -1)
			return -1;
	} else if (pair->cert != NULL) {
		(void)either_find(&f, SOURCE_CERT, "", ".ocsp", &port,
		    &files->ocsp);
	} else {
		files->ocsp = path_make(&f, "", with_port, ".ocsp");
	}
	if (empty(source, files->ocsp))
		files->ocsp = NULL;
	return 0;
}
