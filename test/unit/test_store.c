/*
 * Copies on disk: what is written can be read, and nothing else can.
 */
#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "features.h"
#include "spawnd/program.h"
#include "spawnd/store.h"

#define URL	"https://u:secret@config.example.net/relay.conf?x=1"
#define TEXT	"id = spawnd { }\n\nid = tcprelay { }\n"

static char directory[64];

static int
setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof directory, "/tmp/store.XXXXXX");
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static struct document
document_make(bool all)
{
	struct document d = { .text = strdup(TEXT), .len = strlen(TEXT),
	    .fetched = 1795165523 };

	if (all) {
		d.etag = strdup("W/\"abc: d\"");
		d.modified = strdup("Fri, 20 Nov 2026 09:05:22 GMT");
		d.has_signature = true;
		for (int i = 0; i < SIGN_SIZE; i++)
			d.signature[i] = (uint8_t)(i * 37);
	}
	return d;
}

static char *
file_make(const struct document *d, size_t *len)
{
	char *head = store_head(URL, d, len);
	char *file = malloc(*len + d->len + 1);

	assert_non_null(head);
	memcpy(file, head, *len);
	memcpy(file + *len, d->text, d->len + 1);
	*len += d->len;
	free(head);
	return file;
}

static void
document_is(const struct document *d, const struct document *want)
{
	assert_int_equal(d->len, want->len);
	assert_memory_equal(d->text, want->text, want->len + 1);
	assert_int_equal(d->fetched, want->fetched);
	assert_int_equal(d->etag == NULL, want->etag == NULL);
	if (want->etag != NULL)
		assert_string_equal(d->etag, want->etag);
	assert_int_equal(d->modified == NULL, want->modified == NULL);
	if (want->modified != NULL)
		assert_string_equal(d->modified, want->modified);
	assert_int_equal(d->has_signature, want->has_signature);
	assert_memory_equal(d->signature, want->signature, SIGN_SIZE);
}

static void
test_parse(void **state)
{
	(void)state;
	for (int all = 0; all < 2; all++) {
		struct document d = document_make(all), got;
		size_t len;
		char *file = file_make(&d, &len);

		assert_true(store_parse(URL, file, len, &got));
		document_is(&got, &d);
		assert_null(strstr(file, "secret"));
		document_clear(&got);
		document_clear(&d);
		free(file);
	}
}

/* Cut off anywhere, longer, or with any byte another one. */
static void
test_damaged(void **state)
{
	struct document d = document_make(true), got;
	size_t len, good = 0;
	char *file = file_make(&d, &len);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char *part = malloc(i + 1);	/* so that ASan sees it */

		memcpy(part, file, i);
		assert_false(store_parse(URL, part, i, &got));
		assert_null(got.text);
		free(part);
	}
	for (size_t i = 0; i < len; i++) {
		file[i] ^= 0x40;
		/* tags and times are whatever they are */
		if (store_parse(URL, file, len, &got)) {
			assert_memory_equal(got.text, TEXT, got.len);
			document_clear(&got);
			good++;
		}
		file[i] ^= 0x40;
	}
	assert_true(good < 80);
	assert_true(store_parse(URL, file, len, &got));
	document_clear(&got);
	assert_false(store_parse("https://u:secret@other/relay.conf?x=1",
	    file, len, &got));
	document_clear(&d);
	free(file);
}

/* D, L: digest and length of "x\n", which is the text. */
#define D "digest: 73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2" \
	"aac7d9ac\n"
#define L "length: 2\n"
#define M "spawnd copy 1\n"
#define U "url: file:///x\n"
#define F "fetched: 5\n"

static void
test_hostile(void **state)
{
	static const struct {
		const char	*file;
		bool		 good;
	} rows[] = {
		{ M U F D L "\nx\n", true },
		{ M L D F U "\nx\n", true },
		{ "spawnd copy 2\n" U F D L "\nx\n", false },
		{ M F D L "\nx\n", false },
		{ M U D L "\nx\n", false },
		{ M U F L "\nx\n", false },
		{ M U F D "\nx\n", false },
		{ M U U F D L "\nx\n", false },
		{ M U F D L L "\nx\n", false },
		{ M U F D L "\nx\n\n", false },
		{ M U F D "length: 3\n\nx\n", false },
		{ M U F D "length: -2\n\nx\n", false },
		{ M U F D "length: 2 \n\nx\n", false },
		{ M U F D "length: 18446744073709551618\n\nx\n", false },
		{ M U F D "length: \n\nx\n", false },
		{ M U "fetched: 9223372036854775807\n" D L "\nx\n", true },
		{ M U "fetched: 9223372036854775808\n" D L "\nx\n", false },
		{ M U "fetched: -1\n" D L "\nx\n", false },
		{ M U F D L "owner: root\n\nx\n", false },
		{ M U F D L "etag:x\n\nx\n", false },
		{ M U F D L "etag: \"a\rb\"\n\nx\n", false },
		{ M U F D L "etag: \"a\tb\"\n\nx\n", false },
		{ M U F D L "etag: \"a\"\n\nx\n", true },
		{ M U F D L "signature: 00\n\nx\n", false },
		{ M U F D L "signature: zz\n\nx\n", false },
		{ M "\nx\n", false },
		{ M, false },
		{ "\n\n", false },
		{ M U F D L "x\n", false },
		{ M U F "digest: 0\n" L "\nx\n", false },
	};
	struct document d;
	char *large;

	(void)state;
#ifndef HAVE_OPENSSL
	skip();			/* their digests are SHA-256 */
#endif
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(store_parse("file:///x", rows[i].file,
		    strlen(rows[i].file), &d), rows[i].good);
		document_clear(&d);
	}
	/* a head without end, a tag without end */
	large = calloc(1, 100000);
	memcpy(large, M U F D L "etag: ", strlen(M U F D L "etag: "));
	memset(large + strlen(large), 'e', 1000);
	strcat(large, "\n\nx\n");
	assert_false(store_parse("file:///x", large, strlen(large), &d));
	memset(large, 'e', 99000);
	memcpy(large, M, strlen(M));
	strcat(large, "\n\nx\n");
	assert_false(store_parse("file:///x", large, strlen(large), &d));
	free(large);
}

static void
path_of(char *path, size_t size, const char *dir)
{
	char name[STORE_NAME];

	store_name(URL, name);
	snprintf(path, size, "%s/%s", dir, name);
}

static void
test_files(void **state)
{
	struct document d = document_make(true), got;
	char below[100], why[256] = "", path[200];
	struct stat st;

	(void)state;
	umask(022);
	snprintf(below, sizeof below, "%s/a/b", directory);
	path_of(path, sizeof path, below);
	/* none is no reason to complain */
	assert_false(store_read(below, URL, &got, why, sizeof why));
	assert_string_equal(why, "");
	for (int twice = 0; twice < 2; twice++)
		assert_true(store_write(below, URL, &d, why, sizeof why));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(below, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof path, "%s/a", directory);	/* not ours alone */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	path_of(path, sizeof path, below);
	assert_true(store_read(below, URL, &got, why, sizeof why));
	document_is(&got, &d);
	document_clear(&got);

	assert_int_equal(chmod(path, 0620), 0);
	assert_false(store_read(below, URL, &got, why, sizeof why));
	assert_string_equal(why, "others may have written it");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 300), 0);
	assert_false(store_read(below, URL, &got, why, sizeof why));
	assert_string_equal(why, "it is damaged");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_false(store_read(below, URL, &got, why, sizeof why));
	assert_string_not_equal(why, "");
	/* it is replaced, not followed */
	assert_true(store_write(below, URL, &d, why, sizeof why));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_false(store_write("/proc/nowhere", URL, &d, why, sizeof why));
	assert_string_not_equal(why, "");
	document_clear(&d);
}

static void
test_directory(void **state)
{
	static const struct program p = { .name = "tcprelay" };
	static const struct {
		const char	*set, *want;	/* NULL: where we were built */
	} rows[] = {
		{ "STATE_DIRECTORY=/var/lib/relay", "/var/lib/relay" },
		{ "STATE_DIRECTORY=/var/lib/a:/var/lib/b", "/var/lib/a" },
		{ "STATE_DIRECTORY=", NULL },
		{ "STATE_DIRECTORY=relative", NULL },
		{ "HOME=/root", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char *const env[] = { (char *)(uintptr_t)rows[i].set, NULL };
		char *got = store_directory(&p, env);

		assert_non_null(got);
		if (rows[i].want != NULL)
			assert_string_equal(got, rows[i].want);
		else
			assert_string_equal(got + strlen(got) -
			    strlen("/tcprelay"), "/tcprelay");
		free(got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_directory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
