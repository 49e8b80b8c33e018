/*
 * The parent's part, asked by processes that somebody may have taken over: it
 * does what the configuration in force asks for, and nothing else.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"
#include "misc/ev.h"
#include "misc/net.h"
#include "relayd/rd_engine.h"
#include "relayd/rd_program.h"
#include "relayd/rd_role.h"
#include "spawnd/conf.h"

/* ---- the master, as far as the parent sees it ---- */

static struct {
	unsigned role, type, n;
	uint32_t instance;
	size_t len;
	bool fd;
	_Alignas(8) uint8_t data[256];
	unsigned stops, reloads, loud;
	char path[256];
	bool busy;
	void (*done)(void *, bool);
	void *ctx;
} master;

void
master_tell(struct master *m, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	(void)m;
	assert_true(len <= sizeof master.data);
	master.n++;
	master.role = role;
	master.instance = instance;
	master.type = type;
	master.len = len;
	master.fd = fd != -1;
	if (len > 0)
		memcpy(master.data, data, len);
}

bool
master_reload(struct master *m, const char *file, void (*done)(void *, bool),
    void *ctx)
{
	(void)m;
	master.reloads++;
	snprintf(master.path, sizeof master.path, "%s",
	    file == NULL ? "(null)" : file);
	master.done = done;
	master.ctx = ctx;
	return !master.busy;
}

void
master_stop(struct master *m, const char *why)
{
	(void)m;
	assert_non_null(why);
	master.stops++;
}

void
master_verbose(struct master *m, bool on)
{
	(void)m;
	master.loud = on ? 1 : 2;
}

/* ---- what hce would be able to do ---- */

static bool unable;

bool
rd_hce_able(const struct rd_conf *conf, char *error, size_t size)
{
	(void)conf;
	if (unable)
		snprintf(error, size, "no raw sockets");
	return !unable;
}

/* ---- one parent for all tests, as there is one per process ---- */

static struct ev *ev;
static void *parent;
static char folder[64], path[128], script[128], agentx[128];
static struct compiled *current;

static struct compiled *
compile(const char *text)
{
	const struct rd_request request = { .file = "r.conf",
	    .directory = "/where" };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct compiled *c = calloc(1, sizeof *c);
	char error[256];

	source_add(s, SOURCE_TEXT, "/where/r.conf", text, strlen(text));
	c->refs = 1;
	c->front = rd_compile(&request, s, d);
	if (c->front == NULL)
		fail_msg("%s", diag_first(d, error, sizeof error));
	diag_free(d);
	return c;
}

struct compiled *
compiled_ref(struct compiled *c)
{
	c->refs++;
	return c;
}

void
compiled_unref(struct compiled *c)
{
	if (--c->refs > 0)
		return;
	rd_conf_unref(c->front);
	free(c);
}

static const char *
conf_text(bool all, const char *socket)
{
	static char text[2048];

	snprintf(text, sizeof text, "socket \"%s\"\n%s%s%s%s"
	    "table <web> { 127.0.0.1 }\n"
	    "relay r { listen on 127.0.0.1 port 1\n"
	    "%s forward to <web> port 80 check %s%s%s }\n", socket,
	    all ? "agentx path \"" : "", all ? agentx : "",
	    all ? "\"" : "", "\n", all ? "transparent" : "",
	    all ? "script \"" : "tcp", all ? script : "", all ? "\"" : "");
	return text;
}

static void
adopt(bool all, const char *socket)
{
	struct compiled *c = compile(conf_text(all, socket));
	char error[512];

	if (rd_parent_ops.prepare(parent, c, error, sizeof error) == -1)
		fail_msg("%s", error);
	rd_parent_ops.commit(parent);
	current = c;
	compiled_unref(c);
}

static int
begin(void **state)
{
	FILE *fp;

	(void)state;
	snprintf(folder, sizeof folder, "/tmp/rd_parent.XXXXXX");
	if (mkdtemp(folder) == NULL || chmod(folder, 0755) == -1)
		return -1;
	snprintf(path, sizeof path, "%s/ctl", folder);
	snprintf(agentx, sizeof agentx, "%s/master", folder);
	snprintf(script, sizeof script, "%s/script", folder);
	if ((fp = fopen(script, "w")) == NULL)
		return -1;
	fprintf(fp, "#!/bin/sh\ntest \"$1\" = web1\n");
	fchmod(fileno(fp), 0755);
	fclose(fp);
	setenv(RD_HASH_KEY, "000102030405060708090a0b0c0d0e0f", 1);
	ev = ev_new(NULL, true);
	parent = rd_parent_ops.open(NULL, ev);
	if (parent == NULL)
		return -1;
	adopt(true, path);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	rd_parent_ops.close(parent);
	ev_free(ev);
	(void)unlink(script);
	(void)unlink(agentx);
	return rmdir(folder);		/* the socket is gone */
}

static int
forget(void **state)
{
	(void)state;
	memset(&master, 0, sizeof master);
	return 0;
}

static void
tell(unsigned role, unsigned type, const void *data, size_t len)
{
	_Alignas(8) uint8_t room[4096];
	struct tell t = { .role = role, .instance = 7, .type = type,
	    .data = room, .len = len, .fd = -1 };

	assert_true(len <= sizeof room);
	if (len > 0)
		memcpy(room, data, len);
	rd_parent_ops.tell(parent, &t);
}

static bool
answered(unsigned role, unsigned type)
{
	return master.n > 0 && master.role == role && master.type == type;
}

/* ---- tests ---- */

static void
test_greet(void **state)
{
	static const uint32_t key[4] = { 0x00010203, 0x04050607, 0x08090a0b,
	    0x0c0d0e0f };

	(void)state;
	rd_parent_ops.greet(parent, RD_WORKER, 3);
	assert_true(answered(RD_WORKER, TELL_HASH_KEY));
	assert_int_equal(master.instance, 3);
	assert_memory_equal(master.data, key, sizeof key);
	rd_parent_ops.greet(parent, RD_PFE, 0);
	assert_true(answered(RD_PFE, RD_CONTROL));
	assert_true(master.fd);
	forget(NULL);
	rd_parent_ops.greet(parent, RD_HCE, 0);
	assert_int_equal(master.n, 0);
}

/* From everybody who may not, of each length: not a word, not a deed. */
static void
test_strangers(void **state)
{
	static const uint8_t bytes[4096];

	(void)state;
	for (unsigned type = 0; type <= RD_TELLS; type++) {
		for (unsigned role = 0; role <= RD_ROLES; role++) {
			const struct rd_tell_form *f = type < RD_TELLS ?
			    &rd_tells[type] : NULL;
			bool may = f != NULL && f->name != NULL &&
			    role < RD_ROLES && f->from == RD_TO(role) &&
			    f->to == RD_TO(RD_PARENT);

			for (size_t len = 0; len < sizeof bytes; len += 4)
				if (!may || len != f->size)
					tell(role, type, bytes, len);
		}
	}
	assert_int_equal(master.n + master.stops + master.reloads +
	    master.loud, 0);
}

static bool
script_run(const char *named, const char *argument)
{
	struct rd_tell_script s = { .host = 5, .run = 9, .timeout = 5000 };

	memcpy(s.text, named, strlen(named) + 1);
	memcpy(s.text + strlen(named) + 1, argument, strlen(argument) + 1);
	tell(RD_HCE, RD_SCRIPT, &s, sizeof s);
	for (int i = 0; i < 2000 && master.n == 0; i++) {
		int wstatus;
		pid_t pid;

		(void)ev_turn(ev, 10);
		while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
			assert_true(rd_parent_ops.reaped(parent, pid,
			    wstatus));
		if (strcmp(named, script) != 0 && i == 5)
			break;
	}
	return answered(RD_HCE, RD_SCRIPT_DONE);
}

static void
test_scripts(void **state)
{
	const struct rd_tell_done *done = (const void *)master.data;
	struct rd_tell_script endless;

	(void)state;
	assert_true(script_run(script, "other"));	/* ends with 1 */
	assert_int_equal(done->host, 5);
	assert_int_equal(done->run, 9);
	assert_int_equal(done->up, 1);
	forget(NULL);
	assert_true(script_run(script, "web1"));
	assert_int_equal(done->up, 0);
	forget(NULL);
	/* what no table of the file names */
	assert_false(script_run("/bin/sh", "web1"));
	assert_false(script_run("", ""));
	memset(&endless, 'x', sizeof endless);
	tell(RD_HCE, RD_SCRIPT, &endless, sizeof endless);
	endless.text[4] = '\0';
	tell(RD_HCE, RD_SCRIPT, &endless, sizeof endless);
	memset(endless.text, 'x', sizeof endless.text);
	endless.text[sizeof endless.text - 1] = '\0';
	tell(RD_HCE, RD_SCRIPT, &endless, sizeof endless);
	assert_int_equal(master.n, 0);
}

static int
bind_ask(int family)
{
	struct tell_bind b = { .token = 77 };
	const struct tell_bound *bound = (const void *)master.data;

	b.from.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		b.from.in.sin_addr.s_addr = htonl(0xc0000207);
	else
		b.from.in6.sin6_addr.s6_addr[0] = 0x20;
	/* what is not for it to choose */
	b.from.len = UINT16_MAX;
	b.from.in.sin_port = htons(1);
	tell(RD_WORKER, TELL_BIND, &b, sizeof b);
	assert_true(answered(RD_WORKER, TELL_BOUND));
	assert_int_equal(master.instance, 7);
	assert_int_equal(bound->token, 77);
	assert_int_equal(bound->error == 0, master.fd);
	return bound->error;
}

static void
test_bind(void **state)
{
	(void)state;
	if (geteuid() == 0)
		assert_int_equal(bind_ask(AF_INET), 0);
	assert_int_not_equal(bind_ask(AF_UNIX), 0);
	assert_int_not_equal(bind_ask(AF_UNSPEC), 0);
	adopt(false, path);
	assert_int_equal(bind_ask(AF_INET), EPERM);
	adopt(true, path);
}

static int
agentx_ask(void)
{
	int32_t error;

	tell(RD_SNMP, RD_AGENTX, NULL, 0);
	assert_true(answered(RD_SNMP, RD_AGENTX_SOCKET));
	memcpy(&error, master.data, sizeof error);
	assert_int_equal(error == 0, master.fd);
	return error;
}

static void
test_agentx(void **state)
{
	struct net_addr a;
	int fd = net_socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(agentx_ask(), ENOENT);
	assert_true(net_parse_unix(agentx, &a));
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	assert_int_equal(agentx_ask(), ECONNREFUSED);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(agentx_ask(), 0);
	adopt(false, path);
	assert_int_equal(agentx_ask(), EPERM);
	adopt(true, path);
	close(fd);
}

static void
test_reload(void **state)
{
	struct rd_tell_reload r = { .token = 11 };
	const struct rd_tell_verdict *v = (const void *)master.data;

	(void)state;
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	assert_string_equal(master.path, "(null)");
	assert_int_equal(master.n, 0);
	/* one at a time */
	r.token = 12;
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	assert_true(answered(RD_PFE, RD_RELOADED));
	assert_int_equal(v->token, 12);
	assert_int_equal(v->good, 0);
	assert_int_equal(master.reloads, 1);
	master.done(master.ctx, true);
	assert_int_equal(v->token, 11);
	assert_int_equal(v->good, 1);
	snprintf(r.path, sizeof r.path, "/other");
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	assert_string_equal(master.path, "/other");
	master.done(master.ctx, false);
	assert_int_equal(v->good, 0);
	/* a signal was first */
	master.busy = true;
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	assert_int_equal(v->good, 0);
	master.busy = false;
	/* no path at all */
	forget(NULL);
	snprintf(r.path, sizeof r.path, "relative");
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	memset(r.path, '/', sizeof r.path);
	tell(RD_PFE, RD_RELOAD, &r, sizeof r);
	assert_int_equal(master.reloads, 0);
	assert_int_equal(master.n, 2);
}

static void
test_orders(void **state)
{
	const uint32_t on = 1, off = 0;

	(void)state;
	tell(RD_PFE, RD_STOP, NULL, 0);
	assert_int_equal(master.stops, 1);
	tell(RD_PFE, RD_LOUD, &on, sizeof on);
	assert_int_equal(master.loud, 1);
	assert_int_equal(master.type, TELL_VERBOSE);
	assert_int_equal(master.instance, ROLE_ALL);
	/* those that come later are told, too */
	forget(NULL);
	rd_parent_ops.greet(parent, RD_HCE, 0);
	assert_true(answered(RD_HCE, TELL_VERBOSE));
	tell(RD_PFE, RD_LOUD, &off, sizeof off);
	assert_int_equal(master.loud, 2);
}

static bool
there(const char *at)
{
	struct stat st;

	return lstat(at, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void
test_control(void **state)
{
	char other[160], error[512] = "", none[200];
	struct compiled *c;

	(void)state;
	snprintf(other, sizeof other, "%s/other", folder);
	snprintf(none, sizeof none, "%s/none/ctl", folder);
	/* given up: nothing has happened */
	c = compile(conf_text(true, other));
	assert_int_equal(rd_parent_ops.prepare(parent, c, error,
	    sizeof error), 0);
	rd_parent_ops.forget(parent);
	compiled_unref(c);
	assert_true(there(path));
	assert_false(there(other));
	/* cannot be */
	c = compile(conf_text(true, none));
	assert_int_equal(rd_parent_ops.prepare(parent, c, error,
	    sizeof error), -1);
	assert_non_null(strstr(error, none));
	rd_parent_ops.forget(parent);
	compiled_unref(c);
	unable = true;
	c = compile(conf_text(true, other));
	assert_int_equal(rd_parent_ops.prepare(parent, c, error,
	    sizeof error), -1);
	assert_string_equal(error, "no raw sockets");
	rd_parent_ops.forget(parent);
	compiled_unref(c);
	unable = false;
	assert_false(there(other));
	assert_true(there(path));
	/* moves, and pfe gets the new one */
	assert_int_equal(master.n, 0);
	adopt(true, other);
	assert_true(answered(RD_PFE, RD_CONTROL));
	assert_true(master.fd);
	assert_true(there(other));
	assert_false(there(path));
	/* the same once more is no news */
	forget(NULL);
	adopt(true, other);
	assert_int_equal(master.n, 0);
	adopt(true, path);
	assert_false(there(other));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_greet, forget),
		cmocka_unit_test_setup(test_strangers, forget),
		cmocka_unit_test_setup(test_scripts, forget),
		cmocka_unit_test_setup(test_bind, forget),
		cmocka_unit_test_setup(test_agentx, forget),
		cmocka_unit_test_setup(test_reload, forget),
		cmocka_unit_test_setup(test_control, forget),
		cmocka_unit_test_setup(test_orders, forget),
	};

	if (geteuid() != 0 || getpwnam(RELAYD_USER) == NULL) {
		print_message("skipped: needs root, and a user %s\n",
		    RELAYD_USER);
		return 0;
	}
	return cmocka_run_group_tests(tests, begin, end);
}
