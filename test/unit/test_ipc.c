/*
 * Texts in shared memory: names, what is written, whose a segment is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/ipc.h"

static unsigned key;
static int made = -1;		/* taken away behind each test */

static int
setup(void **state)
{
	(void)state;
	key = 0x53600000u | ((unsigned)getpid() & 0xfffff);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (made != -1)
		ipc_remove(made);
	made = -1;
	return 0;
}

static void
test_urls(void **state)
{
	static const struct {
		const char	*text;
		unsigned	 key;
		size_t		 len;
	} good[] = {
		{ "ipc://1/0", 1, 0 },
		{ "ipc://1380273241/210", 1380273241, 210 },
		{ "ipc://2147483647/4294967295", 2147483647, 4294967295u },
	};
	static const char *const bad[] = {
		"", "ipc", "ipc://", "ipc:///", "ipc:///1", "ipc://1",
		"ipc://1/", "ipc://0/1", "ipc://2147483648/1",
		"ipc://1/4294967296", "ipc://1/99999999999999999999",
		"ipc://-1/1", "ipc://1/-1", "ipc://+1/1", "ipc://1/1/",
		"ipc://1/1 ", " ipc://1/1", "ipc://0x1/1", "IPC://1/1",
		"http://1/1", "ipc://1/1x", "ipc://a/1",
	};
	char text[IPC_URL_MAX];
	unsigned k;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_true(ipc_url_parse(good[i].text, &k, &len));
		assert_int_equal(k, good[i].key);
		assert_int_equal(len, good[i].len);
		ipc_url_print(text, k, len);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(ipc_url_parse(bad[i], &k, &len));
	assert_true(ipc_is_url("ipc://nonsense"));
	assert_false(ipc_is_url("ipc:/1"));
}

#ifdef __has_include
#if __has_include(<sys/shm.h>)
#define HAVE_SHM
#endif
#endif

#ifdef HAVE_SHM
#include <sys/ipc.h>
#include <sys/shm.h>

static void
make(const char *text)
{
	made = ipc_create(key, text, strlen(text), (uid_t)-1, (gid_t)-1);
	assert_int_not_equal(made, -1);
}

static void
expect(const char *text)
{
	char *got = ipc_read(key, strlen(text));

	assert_non_null(got);
	assert_string_equal(got, text);
	free(got);
}

static void
test_text(void **state)
{
	static const char *const texts[] = { "", "a", "id = x {\n}\n" };
	static char large[1 << 20];

	(void)state;
	if (!ipc_available())
		skip();
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		make(texts[i]);
		expect(texts[i]);
		(void)teardown(NULL);
		assert_null(ipc_read(key, strlen(texts[i])));
		assert_int_equal(errno, ENOENT);
	}
	memset(large, 'x', sizeof large - 1);
	make(large);
	expect(large);
}

/* As others see it: head, text, NUL. */
static void
test_layout(void **state)
{
	struct shmid_ds ds;
	struct ipc_head head;
	const char *p;

	(void)state;
	if (!ipc_available())
		skip();
	make("text");
	assert_int_equal(shmctl(made, IPC_STAT, &ds), 0);
	assert_int_equal(ds.shm_segsz, 16 + 4 + 1);
	assert_int_equal(ds.shm_perm.mode & 0777, 0600);
	assert_int_equal(ds.shm_perm.uid, geteuid());
	assert_int_equal(ds.shm_nattch, 0);
	p = shmat(made, NULL, SHM_RDONLY);
	assert_true(p != (void *)-1);
	memcpy(&head, p, sizeof head);
	assert_memory_equal(head.magic, "spawnd1\n", 8);
	assert_int_equal(head.len, 4);
	assert_string_equal(p + sizeof head, "text");
	shmdt(p);
	if (geteuid() != 0)
		return;
	(void)teardown(NULL);
	made = ipc_create(key, "", 0, 12, 34);
	assert_int_equal(shmctl(made, IPC_STAT, &ds), 0);
	assert_int_equal(ds.shm_perm.uid, 12);
	assert_int_equal(ds.shm_perm.gid, 34);
	assert_int_equal(ds.shm_perm.mode & 0777, 0600);
}

static void
test_wrong_length(void **state)
{
	(void)state;
	if (!ipc_available())
		skip();
	make("four");
	for (size_t len = 0; len < 9; len++) {
		char *got = ipc_read(key, len);

		assert_int_equal(got != NULL, len == 4);
		if (got == NULL)
			assert_int_equal(errno, EPROTO);
		free(got);
	}
	assert_null(ipc_read(key, SIZE_MAX));
}

/* A segment that claims more than it has, or is none of ours. */
static void
test_strange(void **state)
{
	struct ipc_head head = { .len = 5000 };
	char *p;

	(void)state;
	if (!ipc_available())
		skip();
	made = shmget((key_t)key, 100, IPC_CREAT | IPC_EXCL | 0600);
	assert_int_not_equal(made, -1);
	assert_null(ipc_read(key, 5000));
	assert_int_equal(errno, EPROTO);
	memcpy(head.magic, IPC_MAGIC, sizeof head.magic);
	p = shmat(made, NULL, 0);
	memcpy(p, &head, sizeof head);
	shmdt(p);
	assert_null(ipc_read(key, 5000));
	assert_int_equal(errno, EPROTO);
	(void)teardown(NULL);
	made = shmget((key_t)key, 3, IPC_CREAT | IPC_EXCL | 0600);
	assert_null(ipc_read(key, 0));
	assert_int_equal(errno, EPROTO);
	assert_int_equal(ipc_create(key, "", 0, (uid_t)-1, (gid_t)-1), -1);
	assert_int_equal(errno, EEXIST);
}

/* What another process does; it lives until `go` is closed. */
static pid_t
other(bool with_magic, int *go)
{
	int started[2], end[2];
	char byte = '\0';
	pid_t pid;

	assert_int_equal(pipe(started) | pipe(end), 0);
	if ((pid = fork()) == 0) {
		int id = with_magic ? ipc_create(key, "old", 3, (uid_t)-1,
		    (gid_t)-1) : shmget((key_t)key, 64,
		    IPC_CREAT | IPC_EXCL | 0600);

		close(end[1]);
		_exit(write(started[1], &byte, 1) != 1 ||
		    read(end[0], &byte, 1) != 0 || id == -1);
	}
	close(started[1]);
	close(end[0]);
	assert_int_equal(read(started[0], &byte, 1), 1);
	close(started[0]);
	*go = end[1];
	return pid;
}

static void
end(pid_t pid, int go)
{
	int status;

	close(go);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_in_use(void **state)
{
	pid_t pid;
	int go;

	(void)state;
	if (!ipc_available())
		skip();
	pid = other(true, &go);
	assert_int_equal(ipc_create(key, "new", 3, (uid_t)-1, (gid_t)-1), -1);
	assert_int_equal(errno, EEXIST);
	expect("old");
	end(pid, go);
	make("newer");			/* that one has died */
	expect("newer");
	/* and we ourselves may have been another program */
	made = ipc_create(key, "newest", 6, (uid_t)-1, (gid_t)-1);
	expect("newest");
}

static void
test_not_ours(void **state)
{
	pid_t pid;
	int go;

	(void)state;
	if (!ipc_available())
		skip();
	pid = other(false, &go);
	end(pid, go);
	made = shmget((key_t)key, 0, 0);
	assert_int_not_equal(made, -1);
	assert_int_equal(ipc_create(key, "new", 3, (uid_t)-1, (gid_t)-1), -1);
	assert_int_equal(errno, EEXIST);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
#ifdef HAVE_SHM
		cmocka_unit_test_teardown(test_text, teardown),
		cmocka_unit_test_teardown(test_layout, teardown),
		cmocka_unit_test_teardown(test_wrong_length, teardown),
		cmocka_unit_test_teardown(test_strange, teardown),
		cmocka_unit_test_teardown(test_in_use, teardown),
		cmocka_unit_test_teardown(test_not_ours, teardown),
#endif
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
