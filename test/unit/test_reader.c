/*
 * The public reader: tokens of one section for somebody else's worker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "misc/ipc.h"
#include "misc/msg.h"
#include "spawnd/spawnd.h"

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/reader.XXXXXX");
	return mkdtemp(dir) == NULL || chdir(dir) == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink("main");
	unlink("inc");
	return rmdir(dir);
}

static void
put(const char *name, const char *text)
{
	FILE *fp = fopen(name, "w");

	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

/* Everything of the section, in one line; the result of the last call. */
static int
tokens(const char *file, const char *id, char got[static 512])
{
	struct spawnd_conf_reader *r = spawnd_conf_open(file, id);
	struct spawnd_token t;
	int last;

	got[0] = '\0';
	assert_non_null(r);
	while ((last = spawnd_conf_next(r, &t)) == 1) {
		snprintf(got + strlen(got), 100, t.kind ==
		    SPAWND_TOKEN_STRING ? "\"%s\" " : t.kind ==
		    SPAWND_TOKEN_DELIM ? "<%s> " : "%s ", t.text);
		assert_int_equal(strlen(t.text), t.len);
	}
	if (last == -1)
		snprintf(got + strlen(got), 200, "%s:%u: %s",
		    t.file == NULL ? "-" : t.file, t.line, t.text);
	assert_int_equal(spawnd_conf_next(r, &t), last);
	spawnd_conf_close(r);
	return last;
}

static void
test_sections(void **state)
{
	char got[512];

	(void)state;
	put("inc", "included \"${TEST_X}\" { deep }\n");
	put("main", "syslog ident = id\nalias two { 2 2 }\n"
	    "debug redirect = stderr other { id = hello { no } }\n"
	    "id = spawnd { listen { '\\q' } }\n"
	    "id = hello { a = b setenv TEST_X = 'y' include inc }\n"
	    "id \"hello\" { two 'two' name = include } \n"
	    "id = spawnd { }\n");
	assert_int_equal(tokens("main", "hello", got), 0);
	assert_string_equal(got, "a <=> b included \"y\" <{> deep <}> "
	    "2 2 \"two\" name <=> include ");
	assert_int_equal(tokens("main", "spawnd", got), 0);
	assert_string_equal(got, "listen <{> \"\" <}> ");
}

static void
test_none(void **state)
{
	(void)state;
	put("main", "id = spawnd { }\n");
	assert_null(spawnd_conf_open("main", "hello"));
	assert_int_equal(errno, ENOENT);
	assert_null(spawnd_conf_open("missing", "hello"));
	assert_int_equal(errno, ENOENT);
	assert_null(spawnd_conf_open("/", "hello"));
	assert_int_equal(errno, EISDIR);
}

/* Whatever is wrong is told before anything was given out. */
static void
test_wrong(void **state)
{
	static const struct {
		const char	*text, *want;
	} texts[] = {
		{ "id = hello { a\n", "main:1: block not closed, opened in "
		    "line 1" },
		{ "id = hello { a }\nid = x {\n \"", "main:3: string not "
		    "closed, opened in line 3" },
		{ "id = hello { include none }", "main:1: include: cannot "
		    "read 'none': No such file or directory" },
		{ "id = hello {\nid = other }\nid = ", "main:3: value "
		    "missing" },
		{ "id = hello = {}", "main:1: Expected '{'" },
		{ "id = hello { alias x y }", "main:1: Expected '{'" },
		{ "id = hello { setenv", "main:1: block not closed, opened "
		    "in line 1" },
		{ "id = hello { & }", "main:1: single '&'" },
	};
	char got[512];

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		put("main", texts[i].text);
		assert_int_equal(tokens("main", "hello", got), -1);
		assert_string_equal(got, texts[i].want);
	}
}

/* By descriptor, under the name it came from. */
static void
test_handed(void **state)
{
	static const char text[] = "id = hello {\n \"a }";
	char name[32], got[512];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, sizeof text - 1),
	    sizeof text - 1);
	close(fds[1]);
	snprintf(name, sizeof name, "/dev/fd/%d", fds[0]);
	setenv("SPAWND_CONFIG", "https://x.example/y", 1);
	assert_int_equal(tokens(name, "hello", got), -1);
	assert_null(getenv("SPAWND_CONFIG"));
	assert_string_equal(got, "https://x.example/y:2: string not closed, "
	    "opened in line 2");
	close(fds[0]);
}

/* A worker of a master, or so it seems: what it said. */
static int
tokens_of_worker(const char *file, char got[static 512])
{
	int fds[2], out[2], status;
	pid_t pid;
	ssize_t n;

	assert_int_equal(msg_pair(fds, 0), 0);
	assert_int_equal(pipe(out), 0);
	if ((pid = fork()) == 0) {
		dup2(fds[1], 0);
		setenv("SPAWND_WORKER", "1:0123456789abcdef", 1);
		setenv("SPAWND_CONFIG", "/etc/service.cfg", 1);
		status = tokens(file, "hello", got);
		_exit(write(out[1], got, strlen(got)) == -1 ? 9 :
		    getenv("SPAWND_CONFIG") != NULL ? 8 : -status);
	}
	close(fds[0]);
	close(fds[1]);
	close(out[1]);
	n = read(out[0], got, 511);
	got[n > 0 ? n : 0] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* In shared memory: for workers of a master only. */
static void
test_shared(void **state)
{
	static const char text[] = "id = hello { a = 1 }\n",
	    wrong[] = "id = hello {\n & }";
	unsigned key = 0x53500000u | ((unsigned)getpid() & 0xfffff);
	char url[IPC_URL_MAX], got[512];
	int id;

	(void)state;
	if (!ipc_available())
		skip();
	id = ipc_create(key, text, strlen(text), (uid_t)-1, (gid_t)-1);
	assert_int_not_equal(id, -1);
	ipc_url_print(url, key, strlen(text));
	assert_null(spawnd_conf_open(url, "hello"));
	assert_int_equal(errno, EACCES);
	assert_int_equal(tokens_of_worker(url, got), 0);
	assert_string_equal(got, "a <=> 1 ");
	ipc_remove(id);
	id = ipc_create(key, wrong, strlen(wrong), (uid_t)-1, (gid_t)-1);
	assert_int_not_equal(id, -1);
	ipc_url_print(url, key, strlen(wrong));
	assert_int_equal(tokens_of_worker(url, got), 1);
	assert_string_equal(got, "/etc/service.cfg:2: single '&'");
	ipc_remove(id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_handed),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
