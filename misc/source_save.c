/*
 * The bundle on its way: the records are written down, secret ones apart;
 * who replays them asks nobody.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "source_impl.h"
#include "source_seal.h"

#define BUNDLE_MAGIC	UINT64_C(0x3162756e64777073)
#define SECRETS_MAGIC	UINT64_C(0x31736563726e7773)

#define NEED_FACTOR	64u
#define NEED_LEAST	(4u << 20)

struct bundle_head {
	uint64_t	magic;
	uint64_t	records;
};

/* In the file: this, the name and its NUL, the data and its NUL, padding. */
struct bundle_record {
	uint32_t	kind, sub;
	int32_t		error;
	uint32_t	mode, uid, name;
	uint64_t	data;
	uint32_t	elsewhere;	/* data is in the other file */
	uint32_t	pad;
};

static bool
record_secret(const struct record *r)
{
	return r->kind == RECORD_FILE && r->error == 0 &&
	    (r->sub == SOURCE_SECRET || r->sub == SOURCE_KEY);
}

/* What goes into a file of secrets: all of them, or those for workers. */
enum secrets { SECRETS_NONE, SECRETS_SHARED, SECRETS_ALL };

static bool
record_wanted(const struct record *r, enum secrets secrets)
{
	if (secrets == SECRETS_NONE)
		return true;		/* perhaps without its bytes */
	return record_secret(r) &&
	    (secrets == SECRETS_ALL || r->sub != SOURCE_KEY);
}

static void
put(FILE *fp, const void *data, size_t len)
{
	fwrite(data, 1, len, fp);
}

static void
record_put(FILE *fp, const struct record *r, bool with_data)
{
	static const char zero[8];
	struct bundle_record b = {
		.kind = r->kind, .sub = r->sub, .error = r->error,
		.mode = r->mode, .uid = r->uid,
		.name = (uint32_t)strlen(r->name),
		.data = with_data ? r->len : 0, .elsewhere = !with_data,
	};
	size_t len = b.name + 1 + b.data + 1;

	put(fp, &b, sizeof b);
	put(fp, r->name, b.name + 1);
	put(fp, r->data, b.data);
	put(fp, zero, 1 + (8 - len % 8) % 8);
}

/* One of the two files: everything but secrets' bytes, or secrets only. */
static int
bundle_write(const struct source *s, enum secrets secrets, const char *name)
{
	struct bundle_head head = { secrets == SECRETS_NONE ?
	    BUNDLE_MAGIC : SECRETS_MAGIC, 0 };
	const struct record *r;
	char *image = NULL;
	size_t size = 0;
	FILE *fp;
	bool whole;
	int fd = -1, error;

	for (r = s->first; r != NULL; r = r->next)
		head.records += record_wanted(r, secrets);
	if ((fp = open_memstream(&image, &size)) == NULL)
		return -1;
	put(fp, &head, sizeof head);
	for (r = s->first; r != NULL; r = r->next) {
		if (record_wanted(r, secrets))
			record_put(fp, r, secrets != SECRETS_NONE ||
			    !record_secret(r));
	}
	/* without memory the image is cut short, and closing says nothing */
	whole = fflush(fp) == 0 && !ferror(fp);
	if (fclose(fp) == 0 && whole)
		fd = seal_new(name, image, size);
	error = whole ? errno : ENOMEM;
	if (image != NULL)
		cleanse(image, size);
	free(image);
	errno = error;
	return fd;
}

/* -1 in *fd: there are none such. */
static int
secrets_write(const struct source *s, enum secrets secrets, int *fd)
{
	const struct record *r = s->first;

	*fd = -1;
	while (r != NULL && !record_wanted(r, secrets))
		r = r->next;
	if (r == NULL)
		return 0;
	*fd = bundle_write(s, secrets, "spawnd-secrets");
	return *fd == -1 ? -1 : 0;
}

int
source_save(const struct source *s, int *bundle_fd, int *secrets_fd)
{
	*secrets_fd = -1;
	*bundle_fd = bundle_write(s, SECRETS_NONE, "spawnd-bundle");
	if (*bundle_fd == -1)
		return -1;
	if (secrets_write(s, SECRETS_ALL, secrets_fd) == 0)
		return 0;
	close(*bundle_fd);
	*bundle_fd = -1;
	return -1;
}

int
source_save_shared(const struct source *s, int *secrets_fd)
{
	return secrets_write(s, SECRETS_SHARED, secrets_fd);
}

/* Pages of a sealed file are shared with everybody who reads it. */
static int
map_open(struct map *m, int fd, bool secret)
{
	struct stat st;
	size_t have = 0;

	if (fstat(fd, &st) == -1)
		return -1;
	if (st.st_size < (off_t)sizeof(struct bundle_head) ||
	    (uintmax_t)st.st_size > SIZE_MAX / 2) {
		errno = EBADMSG;
		return -1;
	}
	m->len = (size_t)st.st_size;
	m->secret = secret;
	m->mapped = seal_holds(fd);
	if (m->mapped) {
		m->p = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, fd, 0);
		if (m->p == MAP_FAILED)
			m->p = NULL;
		return m->p == NULL ? -1 : 0;
	}
	if ((m->p = malloc(m->len)) == NULL)
		return -1;
	while (have < m->len) {
		ssize_t n = pread(fd, m->p + have, m->len - have,
		    (off_t)have);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EBADMSG : errno;
			return -1;
		}
		have += (size_t)n;
	}
	return 0;
}

static bool
record_take(struct source *s, const struct map *m, size_t *at)
{
	struct bundle_record b;
	struct record *r;
	const char *name;
	size_t left;

	if (m->len - *at < sizeof b)
		return false;
	memcpy(&b, m->p + *at, sizeof b);
	*at += sizeof b;
	left = m->len - *at;
	if (b.kind >= RECORD_KINDS || b.name >= left ||
	    b.data >= left - b.name - 1)
		return false;
	name = m->p + *at;
	if (name[b.name] != '\0' || strlen(name) != b.name ||
	    name[b.name + 1 + b.data] != '\0')
		return false;
	*at += b.name + 1 + b.data + 1;
	*at += (8 - *at % 8) % 8;
	if (*at > m->len)
		return false;
	/* A secret takes the place that the public file keeps for it. */
	if (m->secret) {
		r = source_record_find(s, b.kind, name);
		if (r == NULL || !r->absent)
			return false;
		r->absent = false;
	} else {
		r = source_record_new(s, b.kind, name);
		r->absent = b.elsewhere != 0;
	}
	r->sub = b.sub;
	r->error = b.error;
	r->mode = b.mode;
	r->uid = b.uid;
	r->data = name + b.name + 1;
	r->len = b.data;
	return true;
}

static int
map_read(struct source *s, const struct map *m)
{
	struct bundle_head head;
	size_t at = sizeof head;

	memcpy(&head, m->p, sizeof head);
	if (head.magic != (m->secret ? SECRETS_MAGIC : BUNDLE_MAGIC))
		goto bad;
	for (uint64_t i = 0; i < head.records; i++) {
		if (!record_take(s, m, &at))
			goto bad;
	}
	if (at == m->len)
		return 0;
bad:
	errno = EBADMSG;
	return -1;
}

/*
 * Without memory a compiler ends its process, which may be a service that
 * has a good configuration. So more than it will need must be there to begin
 * with: thirty times the text was measured.
 */
static bool
replay_possible(int fd)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) == -1 || st.st_size < 0 ||
	    (uintmax_t)st.st_size > SIZE_MAX / NEED_FACTOR / 2) {
		errno = EBADMSG;
		return false;
	}
	/* the compiler must not see that nothing is done with it */
	p = malloc((size_t)st.st_size * NEED_FACTOR + NEED_LEAST);
	*(void *volatile *)&p = p;
	free(p);
	if (p == NULL)
		errno = ENOMEM;
	return p != NULL;
}

struct source *
source_replay(int bundle_fd, int secrets_fd)
{
	struct source *s = replay_possible(bundle_fd) ? source_empty() : NULL;
	const int fds[2] = { bundle_fd, secrets_fd };
	int error;

	if (s == NULL)
		return NULL;
	for (int i = 0; i < 2; i++) {
		if (fds[i] == -1 && i == 1)
			continue;
		if (map_open(&s->maps[i], fds[i], i == 1) == -1 ||
		    map_read(s, &s->maps[i]) == -1) {
			error = errno;
			source_free(s);
			errno = error;
			return NULL;
		}
	}
	return s;
}

void
source_digest(const struct source *s, uint8_t digest[32])
{
	struct hash *h = hash_new();

	for (const struct record *r = s->first; r != NULL; r = r->next) {
		bool secret = record_secret(r);
		uint64_t head[4] = { r->kind, (uint64_t)(int64_t)r->error,
		    strlen(r->name), secret ? 0 : r->len };

		if (r->kind == RECORD_META)	/* when it came, and so on */
			continue;
		hash_add(h, head, sizeof head);
		hash_add(h, r->name, head[2]);
		hash_add(h, r->data, head[3]);
	}
	hash_end(h, digest);
}

int
source_text_file(const char *text, size_t len)
{
	int fd = seal_new("spawnd-text", text, len), again;
	char path[32];

	if (fd == -1)
		return -1;
	/* nobody could write to it, but who looks sees that, too */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if ((again = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return fd;
	close(fd);
	return again;
}
