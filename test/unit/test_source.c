/*
 * The bundle: answers are given once and stay the same, in a replay as well;
 * secrets travel apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "features.h"
#include "misc/fetch.h"
#include "misc/source.h"

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/source.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const char *
path(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned n;
	char *p = paths[n++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void
put(const char *name, const char *text)
{
	FILE *fp = fopen(path(name), "w");

	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

static char *const env[] = { (char *)(uintptr_t)"A=1",
    (char *)(uintptr_t)"B=2", (char *)(uintptr_t)"AB=", NULL };

static void
file_is(struct source *s, enum source_kind kind, const char *name,
    const char *want)
{
	const char *data;
	size_t len;
	int r = source_file(s, kind, path(name), &data, &len);

	if (want == NULL) {
		assert_int_equal(r, -1);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(len, strlen(want));
	assert_string_equal(data, want);
}

/* Everything there is to ask, and what must come. */
static void
ask(struct source *s, bool secrets)
{
	char *const *names;
	struct net_addr *addrs;
	const char *data;
	unsigned port;
	size_t len;
	mode_t mode;
	uid_t uid;
	gid_t gid;

	file_is(s, SOURCE_TEXT, "text", "text\n");
	file_is(s, SOURCE_TEXT, "text", "text\n");
	file_is(s, SOURCE_TEXT, "empty", "");
	file_is(s, SOURCE_CERT, "cert", "public");
	file_is(s, SOURCE_SECRET, "key", secrets ? "secret" : NULL);
	file_is(s, SOURCE_CERT, "both", secrets ?
	    "x -----BEGIN PRIVATE KEY----- y" : NULL);
	assert_int_equal(source_file(s, SOURCE_TEXT, path("none"), &data,
	    &len), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(source_file(s, SOURCE_TEXT, dir, &data, &len), -1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(source_file(s, SOURCE_TEXT, path("fifo"), &data,
	    &len), -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(source_mode(s, path("key"), &mode, &uid), 0);
	assert_int_equal(mode & 0777, 0604);
	assert_int_equal(uid, geteuid());
	assert_non_null(source_text(s, path("text"), &len));
	assert_null(source_text(s, path("key"), &len));

	names = source_glob(s, path("*t"), false);
	assert_string_equal(names[0], path("cert"));
	assert_string_equal(names[1], path("text"));
	assert_null(names[2]);
	names = source_glob(s, path("{text,cert}"), true);
	assert_string_equal(names[0], path("cert"));
	assert_null(source_glob(s, path("{text,cert}"), false)[0]);
	assert_null(source_glob(s, path("none*"), true)[0]);

	assert_string_equal(source_getenv(s, "A"), "1");
	assert_string_equal(source_getenv(s, "AB"), "");
	assert_null(source_getenv(s, "C"));

	assert_int_equal(source_user(s, "root", &uid, &gid), 0);
	assert_int_equal(uid, 0);
	assert_int_equal(source_user(s, "no such user", &uid, &gid), -1);
	assert_int_equal(source_group(s, "daemon", &gid), 0);
	assert_int_equal(gid, 1);
	assert_int_equal(source_group(s, "no such group", &gid), -1);
	assert_int_equal(source_service(s, "domain", "udp", &port), 0);
	assert_int_equal(port, 53);
	assert_int_equal(source_service(s, "no-such", "tcp", &port), -1);
	assert_int_equal(source_host(s, "127.0.0.1", &addrs), 1);
	assert_int_equal(addrs[0].sa.sa_family, AF_INET);
	assert_int_equal(ntohl(addrs[0].in.sin_addr.s_addr), 0x7f000001);
	assert_int_equal(source_host(s, "no such host", &addrs), 0);
	assert_true(source_executable(s, "/bin/sh"));
	assert_false(source_executable(s, path("text")));
	assert_false(source_executable(s, dir));
	assert_true(source_same(s, "/bin/sh", "/bin/../bin/sh"));
	assert_true(source_same(s, "no file", "no file"));
	assert_false(source_same(s, path("text"), path("cert")));
	assert_false(source_have(s, "no such thing"));
	assert_int_not_equal(strlen(source_platform(s)), 0);
}

static void
test_replay(void **state)
{
	struct source *s, *again, *without;
	uint8_t digests[3][32];
	int fds[2];

	(void)state;
	put("text", "text\n");
	put("empty", "");
	put("cert", "public");
	put("key", "secret");
	put("both", "x -----BEGIN PRIVATE KEY----- y");
	assert_int_equal(chmod(path("key"), 0604), 0);
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	s = source_gather(env);
	ask(s, true);
	/* the world goes on; what was said stays */
	put("text", "other\n");
	unlink(path("text"));
	unlink(path("empty"));
	unlink(path("cert"));
	unlink(path("key"));
	unlink(path("both"));
	unlink(path("fifo"));
	ask(s, true);
	source_digest(s, digests[0]);

	assert_int_equal(source_save(s, &fds[0], &fds[1]), 0);
	source_free(s);
	again = source_replay(fds[0], fds[1]);
	without = source_replay(fds[0], -1);
	assert_non_null(again);
	assert_non_null(without);
	ask(again, true);
	ask(without, false);
	source_digest(again, digests[1]);
	source_digest(without, digests[2]);
	assert_memory_equal(digests[0], digests[1], 32);
	assert_memory_equal(digests[0], digests[2], 32);
	assert_string_equal(source_platform(without), source_platform(again));
	/* nothing new is found out */
	assert_null(source_getenv(again, "PATH"));
	assert_false(source_executable(again, "/bin/true"));
	source_free(again);
	source_free(without);
	close(fds[0]);
	close(fds[1]);
}

static void
test_sealed(void **state)
{
	struct source *s = source_empty();
	struct stat st;
	char *bytes;
	int fds[2];

	(void)state;
	source_add(s, SOURCE_SECRET, "key", "hidden treasure", 15);
	source_add(s, SOURCE_TEXT, "text", "to be seen", 10);
	assert_int_equal(source_save(s, &fds[0], &fds[1]), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fds[0], &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(pread(fds[0], bytes, (size_t)st.st_size, 0),
	    st.st_size);
	assert_non_null(memmem(bytes, (size_t)st.st_size, "to be seen", 10));
	assert_null(memmem(bytes, (size_t)st.st_size, "treasure", 8));
	free(bytes);
	assert_int_equal(pwrite(fds[0], "x", 1, 0), -1);
	assert_int_equal(ftruncate(fds[0], 1), -1);
	assert_int_equal(pwrite(fds[1], "x", 1, 0), -1);
	close(fds[0]);
	close(fds[1]);
	source_free(s);
}

/* What others learn of a file with a key: certificates, a digest. */
static void
test_keys_apart(void **state)
{
	static const char both[] =
	    "who: me\n-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"
	    "BBBB\n-----END PRIVATE KEY-----\n"
	    "-----BEGIN TRUSTED CERTIFICATE-----\nCCCC\n"
	    "-----END TRUSTED CERTIFICATE-----";
	static const char want[] =
	    "-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n"
	    "-----BEGIN TRUSTED CERTIFICATE-----\nCCCC\n"
	    "-----END TRUSTED CERTIFICATE-----";
	struct source *s = source_empty();
	uint8_t digest[2][32];
	const char *data;
	int bundle, all, shared;
	size_t len;

	(void)state;
	source_add(s, SOURCE_CERT, "both", both, sizeof both - 1);
	source_add(s, SOURCE_KEY, "key", "hidden", 6);
	source_add(s, SOURCE_SECRET, "psk", "for all", 7);
	assert_int_equal(source_public(s, "both", &data, &len), 0);
	assert_string_equal(data, want);
	assert_int_equal(source_file_digest(s, "both", digest[0]), 0);
	assert_int_equal(source_public(s, "none", &data, &len), -1);
	assert_int_equal(source_file_digest(s, "none", digest[1]), -1);
	assert_int_equal(source_save(s, &bundle, &all), 0);
	assert_int_equal(source_save_shared(s, &shared), 0);
	source_free(s);

	s = source_replay(bundle, shared);
	assert_non_null(s);
	assert_int_equal(source_file(s, SOURCE_CERT, "both", &data, &len), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(source_file(s, SOURCE_KEY, "key", &data, &len), -1);
	assert_int_equal(source_file(s, SOURCE_SECRET, "psk", &data, &len),
	    0);
	assert_string_equal(data, "for all");
	assert_int_equal(source_public(s, "both", &data, &len), 0);
	assert_string_equal(data, want);
	assert_int_equal(len, sizeof want - 1);
	assert_int_equal(source_file_digest(s, "both", digest[1]), 0);
	assert_memory_equal(digest[0], digest[1], 32);
	assert_int_equal(source_public(s, "key", &data, &len), -1);
	source_free(s);

	s = source_replay(bundle, all);
	assert_non_null(s);
	assert_int_equal(source_file(s, SOURCE_KEY, "key", &data, &len), 0);
	assert_string_equal(data, "hidden");
	assert_int_equal(source_file(s, SOURCE_SECRET, "psk", &data, &len),
	    0);
	source_free(s);
	close(bundle);
	close(all);
	close(shared);

	s = source_empty();
	source_add(s, SOURCE_KEY, "key", "hidden", 6);
	assert_int_equal(source_save_shared(s, &shared), 0);
	assert_int_equal(shared, -1);
	source_free(s);
}

/* Bytes that are no bundle, cut or changed anywhere. */
static void
test_refused(void **state)
{
	struct source *s = source_empty();
	struct stat st;
	char *bytes;
	int fds[2], fd;

	(void)state;
	source_add(s, SOURCE_TEXT, "text", "to be seen", 10);
	source_add(s, SOURCE_SECRET, "key", "hidden", 6);
	(void)source_getenv(s, "x");
	assert_int_equal(source_save(s, &fds[0], &fds[1]), 0);
	source_free(s);
	assert_int_equal(fstat(fds[0], &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(pread(fds[0], bytes, (size_t)st.st_size, 0),
	    st.st_size);
	for (off_t n = 0; n < 2 * st.st_size; n++) {
		off_t len = n < st.st_size ? n : st.st_size;

		if (n >= st.st_size)
			bytes[n - st.st_size] ^= 0x7f;
		fd = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(write(fd, bytes, (size_t)len), len);
		s = source_replay(fd, -1);
		if (n < st.st_size) {
			assert_null(s);
			assert_int_equal(errno, EBADMSG);
		}
		source_free(s);
		close(fd);
		if (n >= st.st_size)
			bytes[n - st.st_size] ^= 0x7f;
	}
	free(bytes);
	/* secrets are no bundle of their own */
	assert_null(source_replay(fds[1], -1));
	assert_null(source_replay(fds[0], fds[0]));
	close(fds[0]);
	close(fds[1]);
}

static void
test_environment(void **state)
{
	struct source *s = source_gather(env);
	char **got;
	unsigned n = 0;

	(void)state;
	source_setenv(s, "A", "top", false);
	source_setenv(s, "S", "section", true);
	assert_string_equal(source_getenv(s, "A"), "top");
	source_setenv(s, "A", "again", false);
	assert_string_equal(source_getenv(s, "A"), "again");
	source_reader(s, SOURCE_WORKER);
	assert_string_equal(source_getenv(s, "A"), "1");
	assert_string_equal(source_getenv(s, "S"), "section");
	source_setenv(s, "S", "mine", true);
	assert_string_equal(source_getenv(s, "S"), "mine");
	source_reader(s, SOURCE_MASTER);
	assert_string_equal(source_getenv(s, "S"), "section");
	for (got = source_environ(s); *got != NULL; got++)
		n += strcmp(*got, "A=again") == 0 ||
		    strcmp(*got, "B=2") == 0 || strcmp(*got, "AB=") == 0 ||
		    strcmp(*got, "S=mine") == 0 ? 1 : 100;
	assert_int_equal(n, 4);
	source_env_reset(s);
	assert_string_equal(source_getenv(s, "A"), "1");
	assert_null(source_getenv(s, "S"));
	source_free(s);
}

/* Only what is given by descriptor may be a pipe; there is a limit. */
static void
test_odd_files(void **state)
{
	struct source *s = source_gather(NULL);
	const char *data;
	char name[32];
	size_t len;
	int fds[2], fd;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "piped", 5), 5);
	close(fds[1]);
	snprintf(name, sizeof name, "/dev/fd/%d", fds[0]);
	assert_int_equal(source_file(s, SOURCE_TEXT, name, &data, &len), 0);
	assert_string_equal(data, "piped");
	/* read once only */
	assert_int_equal(source_file(s, SOURCE_TEXT, name, &data, &len), 0);
	assert_int_equal(len, 5);
	close(fds[0]);
	assert_int_equal(source_file(s, SOURCE_TEXT, "/dev/null", &data,
	    &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(source_file(s, SOURCE_TEXT, "/dev/zero", &data,
	    &len), -1);
	assert_int_equal(errno, EFBIG);
	fd = open(path("big"), O_CREAT | O_WRONLY, 0600);
	assert_int_equal(ftruncate(fd, 16 * 1024 * 1024 + 1), 0);
	assert_int_equal(source_file(s, SOURCE_TEXT, path("big"), &data,
	    &len), -1);
	assert_int_equal(errno, EFBIG);
	close(fd);
	unlink(path("big"));
	/* nobody types */
	assert_int_equal(source_file(s, SOURCE_TEXT, "/dev/ptmx", &data,
	    &len), -1);
	source_free(s);
}

/* Records are found by name among thousands, of the right kind, and the
 * first of two stays the one. */
static void
test_many(void **state)
{
	enum { MANY = 5000 };
	struct source *s = source_empty();
	char name[32], text[32];
	const char *data;
	size_t len;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "/file%d", i);
		snprintf(text, sizeof text, "text %d", i);
		source_add(s, SOURCE_TEXT, name, text, strlen(text));
	}
	source_add(s, SOURCE_TEXT, "/file7", "again", 5);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "/file%d", i);
		snprintf(text, sizeof text, "text %d", i);
		assert_int_equal(source_file(s, SOURCE_TEXT, name, &data,
		    &len), 0);
		assert_string_equal(data, text);
		assert_null(source_getenv(s, name));
	}
	assert_int_equal(source_file(s, SOURCE_TEXT, "/file5000", &data,
	    &len), -1);
	source_free(s);
}

/* ---- documents ---- */

static void
failure_is(struct source *s, const char *url, const char *want)
{
	char buf[SOURCE_FAILURE];
	const char *data;
	size_t len;

	assert_int_equal(source_document(s, url, NULL, &data, &len), -1);
	assert_string_equal(source_failure(s, url, buf), want);
}

/* Who may not wait does not fetch, and who replays has what there is. */
static void
test_no_fetching(void **state)
{
	struct source *const sources[] = { source_empty(),
	    source_gather(env) };
	static const char *const reasons[] = { "not in the bundle",
	    "not by this process" };
	char want[200];

	(void)state;
	for (int i = 0; i < 2; i++) {
#ifdef HAVE_LIBCURL
		snprintf(want, sizeof want,
		    "cannot fetch https://***@h/x: %s", reasons[i]);
#else
		snprintf(want, sizeof want,
		    "URL configurations need libcurl");
		(void)reasons;
#endif
		failure_is(sources[i], "https://u:p@h/x", want);
		failure_is(sources[i], "https://u:p@h/x", want);
		assert_null(source_url_next(sources[i], NULL));
		source_free(sources[i]);
	}
}

#ifdef HAVE_LIBCURL

static bool
copy_give(void *ctx, const char *url, struct document *d, char *why,
    size_t size)
{
	snprintf(why, size, "no copy of %s", url);
	if (ctx == NULL)
		return false;
	*d = (struct document){ .text = strdup(ctx), .len = strlen(ctx),
	    .etag = strdup("tag"), .fetched = 1 };
	return true;
}

static struct source *
replayed(struct source *s)
{
	int bundle, secrets;
	struct source *again;

	assert_int_equal(source_save(s, &bundle, &secrets), 0);
	again = source_replay(bundle, secrets);
	assert_non_null(again);
	close(bundle);
	return again;
}

/* By the one scheme that needs no server. */
static void
test_fetching(void **state)
{
	char url[PATH_MAX + 16], text[] = "# a copy\n";
	const char *data, *failed;
	uint8_t before[32], after[32];
	struct source *s, *again;
	struct source_meta m;
	size_t len;

	(void)state;
	snprintf(url, sizeof url, "file://%s", path("document"));
	put("document", "# one\n");
	s = source_gather(env);
	source_fetches(s, &(struct source_fetching){ .previous = NULL });
	assert_int_equal(source_document(s, url, NULL, &data, &len), 0);
	assert_string_equal(data, "# one\n");
	put("document", "# two\n");	/* asked once */
	assert_int_equal(source_document(s, url, NULL, &data, &len), 0);
	assert_string_equal(data, "# one\n");
	assert_string_equal(source_text(s, url, &len), "# one\n");
	assert_string_equal(source_url_next(s, NULL), url);
	assert_null(source_url_next(s, url));

	/* a replay has it, and when it came is not in the digest */
	again = replayed(s);
	source_digest(s, before);
	source_digest(again, after);
	assert_memory_equal(before, after, sizeof before);
	assert_true(source_meta(again, url, &m));
	assert_true(m.fetched > 1700000000);
	assert_false(m.copy);
	assert_null(m.warning);
	assert_null(m.signature);
	assert_null(m.key);
	source_free(s);

	/* what has changed since */
	for (int i = 0; i < 2; i++) {
		s = source_gather(env);
		source_fetches(s, &(struct source_fetching){
		    .previous = again });
		assert_int_equal(source_fetch_again(s, &failed), i == 0);
		source_free(s);
		put("document", "# one\n");
	}
	unlink(path("document"));
	s = source_gather(env);
	source_fetches(s, &(struct source_fetching){ .previous = again });
	assert_int_equal(source_fetch_again(s, &failed), -1);
	assert_string_equal(failed, url);
	source_free(s);

	/* a copy, and none */
	s = source_gather(env);
	source_fetches(s, &(struct source_fetching){ .copy = copy_give,
	    .ctx = text });
	assert_int_equal(source_document(s, url, NULL, &data, &len), 0);
	assert_string_equal(data, text);
	assert_true(source_meta(s, url, &m));
	assert_true(m.copy);
	assert_int_equal(m.fetched, 1);
	assert_string_equal(m.etag, "tag");
	assert_non_null(strstr(m.warning, "using the copy of 1970-01-01"));
	source_free(s);
	s = source_gather(env);
	source_fetches(s, &(struct source_fetching){ .copy = copy_give });
	assert_int_equal(source_document(s, url, NULL, &data, &len), -1);
	source_free(s);
	source_free(again);
}

#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_keys_apart),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_odd_files),
		cmocka_unit_test(test_no_fetching),
#ifdef HAVE_LIBCURL
		cmocka_unit_test(test_fetching),
#endif
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
