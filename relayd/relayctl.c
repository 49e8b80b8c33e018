/*
 * relayctl: one request to a relayd that runs, and its answer printed.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "ctl_json.h"
#include "ctl_plan.h"
#include "ctl_print.h"
#include "ctl_talk.h"
#include "ctl_words.h"

#define RETRY_NS	100000000L	/* monitor, until there is a daemon */

struct relayctl {
	const char		*socket;
	bool			 json;
	const struct ctl_command *command;
	const char		*argument;	/* NULL */
	struct talk		 talk;
	struct talk_message	 message;	/* the last one that came */
};

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: relayctl [-s socket] command "
	    "[argument ...]\n"
	    "       relayctl -j [-s socket] monitor | show ... | plan path | "
	    "why id\n");
	exit(1);
}

/* ---- what goes wrong ---- */

/* Returns the exit status. What was printed before goes out before. */
static int __attribute__((format(printf, 1, 2)))
fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "relayctl: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return 1;
}

static int
fail_talk(const struct relayctl *r, enum talk_result result)
{
	switch (result) {
	case TALK_CLOSED:
		return fail("pipe closed");
	case TALK_OTHER:
		return fail("%s: what answers there is another program, or "
		    "another version", r->socket);
	case TALK_OK:
	case TALK_FAILED:
		break;
	}
	return fail("%s: %s", r->socket, strerror(errno));
}

static int
fail_message(const struct relayctl *r, const char *where)
{
	return fail("wrong message in %s: %u", where,
	    r->message.header.type);
}

static int
fail_output(void)
{
	return fail("standard output: %s", strerror(errno));
}

/* ---- the daemon ---- */

static int
fail_connect(const struct relayctl *r)
{
	if (errno == ENAMETOOLONG)
		return fail("socket `%s' too long", r->socket);
	return fail("connect: %s: %s", r->socket, strerror(errno));
}

/* Connected, greeted and asked: 0, else the exit status. */
static int
ask(struct relayctl *r, unsigned type, const void *body, size_t len)
{
	enum talk_result result = talk_hello(&r->talk);

	if (result == TALK_OK)
		result = talk_send(&r->talk, type, body, len);
	return result == TALK_OK ? 0 : fail_talk(r, result);
}

static int
request(struct relayctl *r, const void *body, size_t len)
{
	if (talk_open(&r->talk, r->socket) == -1)
		return fail_connect(r);
	return ask(r, r->command->type, body, len);
}

/* The next message, of a known form. 0, else the exit status. */
static int
next(struct relayctl *r, const char *where)
{
	enum talk_result result = talk_read(&r->talk, &r->message);

	if (result != TALK_OK)
		return fail_talk(r, result);
	if (ctl_check(&r->message.header, r->message.body, false) != NULL)
		return fail_message(r, where);
	return 0;
}

static void
reason_print(const struct relayctl *r)
{
	fflush(stdout);
	fputs("relayctl: ", stderr);
	ctl_print_text(stderr, r->message.body, talk_length(&r->message));
	putc('\n', stderr);
}

static int
refused(const struct relayctl *r)
{
	printf("command failed\n");
	if (talk_length(&r->message) > 0)
		reason_print(r);
	return 1;
}

static int
verdict(struct relayctl *r)
{
	int status;

	if ((status = next(r, "answer")) != 0)
		return status;
	switch (r->message.header.type) {
	case CTL_OK:
		printf("command succeeded\n");
		return 0;
	case CTL_FAIL:
		return refused(r);
	default:
		return fail_message(r, "answer");
	}
}

/* ---- commands ---- */

static int
do_order(struct relayctl *r)
{
	int status = request(r, NULL, 0);

	return status != 0 ? status : verdict(r);
}

/* The original sent such a name cut off, to whatever that was. */
static int
refuse_name(const struct relayctl *r)
{
	printf("command failed\n");
	return fail("name of more than %d bytes: %s", CTL_NAME - 1,
	    r->argument);
}

static int
do_object(struct relayctl *r)
{
	struct ctl_id id;
	int status;

	if (!ctl_words_id(r->argument, &id))
		return refuse_name(r);
	status = request(r, &id, sizeof(id));
	return status != 0 ? status : verdict(r);
}

static int
do_load(struct relayctl *r)
{
	char path[CTL_PATH] = "";
	char *whole;
	int status;

	if (r->argument != NULL) {
		if ((whole = daemon_path(r->argument)) == NULL)
			return fail("%s", strerror(errno));
		if (strlen(whole) >= sizeof(path)) {
			free(whole);
			return fail("path of more than %d bytes: %s",
			    CTL_PATH - 1, r->argument);
		}
		memcpy(path, whole, strlen(whole) + 1);
		free(whole);
	}
	status = request(r, path, sizeof(path));
	return status != 0 ? status : verdict(r);
}

static int
do_log(struct relayctl *r)
{
	uint32_t verbose = r->command->value;
	int status = request(r, &verbose, sizeof(verbose));

	if (status == 0)
		printf("logging request sent.\n");
	return status;
}

/* Passes one message on after the other, until the end. */
static int
each(struct relayctl *r, const char *where, bool (*take)(void *ctx,
    unsigned type, const void *body, size_t len), void *ctx)
{
	int status;

	while ((status = next(r, where)) == 0) {
		unsigned type = r->message.header.type;

		if (type == CTL_END)
			return 0;
		if (type == CTL_FAIL && talk_length(&r->message) > 0) {
			reason_print(r);
			return 1;
		}
		if (!take(ctx, type, r->message.body,
		    talk_length(&r->message)))
			return fail_message(r, where);
		if (ferror(stdout))
			return fail_output();
	}
	return status;
}

struct show {
	unsigned	 view;
	bool		 as_json;
	struct ctl_json	 json;
	size_t		 n;
};

static bool
row_take(void *ctx, unsigned type, const void *body, size_t len)
{
	struct show *s = ctx;

	(void)len;
	if (ctl_views(type) == 0)
		return false;
	if (s->as_json)
		ctl_json_row(&s->json, type, body);
	else
		ctl_print_row(stdout, s->view, type, body);
	return true;
}

static int
do_show(struct relayctl *r)
{
	struct show s = { .view = r->command->value, .as_json = r->json };
	int status;

	if ((status = request(r, NULL, 0)) != 0)
		return status;
	if (r->json)
		ctl_json_begin(&s.json, stdout, s.view);
	else
		ctl_print_head(stdout);
	if ((status = each(r, "summary", row_take, &s)) == 0 && r->json)
		ctl_json_end(&s.json);
	return status;
}

static bool
session_take(void *ctx, unsigned type, const void *body, size_t len)
{
	struct show *s = ctx;

	(void)len;
	if (type != CTL_SESSION)
		return false;
	if (s->as_json)
		ctl_json_session(&s->json, body);
	else
		ctl_print_session(stdout, body);
	return true;
}

static int
do_sessions(struct relayctl *r)
{
	struct show s = { .as_json = r->json };
	int status;

	if ((status = request(r, NULL, 0)) != 0)
		return status;
	if (r->json)
		ctl_json_begin(&s.json, stdout, 0);
	if ((status = each(r, "session", session_take, &s)) == 0 && r->json)
		ctl_json_end(&s.json);
	return status;
}

/* ---- why ---- */

static bool
why_take(void *ctx, unsigned type, const void *body, size_t len)
{
	struct show *s = ctx;

	(void)len;
	if (type != CTL_WHY_ENTRY)
		return false;
	s->n++;
	if (s->as_json)
		ctl_json_why(&s->json, body);
	else
		ctl_print_why(stdout, body);
	return true;
}

static int
do_why(struct relayctl *r)
{
	struct show s = { .as_json = r->json };
	struct ctl_why why;
	bool number;
	int status;

	if (!ctl_words_why(r->argument, &why, &number))
		return fail("name of more than %d bytes: %s", CTL_NAME - 1,
		    r->argument);
	if ((status = request(r, &why, sizeof(why))) != 0)
		return status;
	if (r->json)
		ctl_json_begin(&s.json, stdout, 0);
	status = each(r, "session", why_take, &s);
	/* no session has that number: then it is the one of a host */
	if (status == 0 && s.n == 0 && number && why.session <= UINT32_MAX) {
		why.host = (uint32_t)why.session;
		why.session = 0;
		talk_close(&r->talk);
		if ((status = request(r, &why, sizeof(why))) == 0)
			status = each(r, "session", why_take, &s);
	}
	if (status != 0)
		return status;
	if (r->json)
		ctl_json_end(&s.json);
	return s.n > 0 ? 0 : fail("%s: no session that is over is known",
	    r->argument);
}

/* ---- monitor ---- */

/* There may be no daemon yet. */
static int
wait_for_daemon(struct relayctl *r)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };

	while (talk_open(&r->talk, r->socket) == -1) {
		if (errno != ENOENT && errno != ECONNREFUSED)
			return fail_connect(r);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int
event(struct relayctl *r)
{
	const struct ctl_header *h = &r->message.header;
	int64_t now = (int64_t)time(NULL);

	if (h->type < CTL_TYPES && ctl_forms[h->type].name != NULL &&
	    ctl_check(h, r->message.body, false) != NULL)
		return fail_message(r, "event");
	if (r->json)
		ctl_json_event(stdout, h, r->message.body, now);
	else
		ctl_print_event(stdout, h, r->message.body, now);
	return fflush(stdout) == 0 ? 0 : fail_output();
}

static int
do_monitor(struct relayctl *r)
{
	enum talk_result result;
	bool first = true;
	int status;

	if ((status = wait_for_daemon(r)) != 0 ||
	    (status = ask(r, r->command->type, NULL, 0)) != 0)
		return status;
	while ((result = talk_read(&r->talk, &r->message)) == TALK_OK) {
		unsigned type = r->message.header.type;

		/* the answer to the request is no event */
		if (first && type == CTL_FAIL)
			return refused(r);
		if (!(first && type == CTL_OK) && (status = event(r)) != 0)
			return status;
		first = false;
	}
	return fail_talk(r, result);
}

/* ---- plan ---- */

static bool
running_take(void *ctx, unsigned type, const void *body, size_t len)
{
	return ctl_running_take(ctx, type, body, len);
}

static bool
host_take(void *ctx, unsigned type, const void *body, size_t len)
{
	(void)len;
	if (type == CTL_HOST)
		ctl_plan_host(ctx, body);
	return ctl_views(type) != 0;
}

/* Names may have other addresses by now than those that are in use. */
static int
hosts_ask(struct relayctl *r, struct ctl_plan *plan)
{
	int status;

	talk_close(&r->talk);
	if (talk_open(&r->talk, r->socket) == -1)
		return fail_connect(r);
	status = ask(r, CTL_SHOW_SUMMARY, NULL, 0);
	return status != 0 ? status : each(r, "summary", host_take, plan);
}

static int
do_plan(struct relayctl *r)
{
	struct ctl_running running = { 0 };
	struct ctl_plan plan = { 0 };
	int status;

	if ((status = request(r, NULL, 0)) == 0 &&
	    (status = each(r, "plan", running_take, &running)) == 0 &&
	    (status = ctl_plan_compile(&plan, &running, r->argument,
	    r->json)) == 0 && ctl_plan_by_name(&plan))
		status = hosts_ask(r, &plan);
	if (status == 0)
		status = ctl_plan_print(&plan);
	ctl_plan_clear(&plan);
	ctl_running_clear(&running);
	return status;
}

/* ---- all of it ---- */

static int (*const actions[CTL_ACTIONS])(struct relayctl *) = {
	[CTL_DO_MONITOR] = do_monitor,
	[CTL_DO_SHOW] = do_show,
	[CTL_DO_SESSIONS] = do_sessions,
	[CTL_DO_LOAD] = do_load,
	[CTL_DO_ORDER] = do_order,
	[CTL_DO_OBJECT] = do_object,
	[CTL_DO_LOG] = do_log,
	[CTL_DO_PLAN] = do_plan,
	[CTL_DO_WHY] = do_why,
};

int
main(int argc, char **argv)
{
	static struct relayctl r = { .socket = CTL_SOCKET,
	    .talk = { .fd = -1 } };
	int c, status;

	/* options end with the first word, also where getopt(3) would go on */
	while ((c = getopt(argc, argv, "+js:")) != -1) {
		switch (c) {
		case 'j':
			r.json = true;
			break;
		case 's':
			r.socket = optarg;
			break;
		default:
			usage();
		}
	}
	r.command = ctl_words_match(argc - optind, argv + optind,
	    &r.argument, stderr);
	if (r.command == NULL)
		return 1;
	if (r.json && !r.command->json)
		return fail("%s: there is nothing to show as JSON",
		    r.command->words[0]);
	/* that a pipe is closed is told as any failure */
	signal(SIGPIPE, SIG_IGN);
	status = actions[r.command->action](&r);
	talk_close(&r.talk);
	if (fflush(stdout) != 0)
		return fail_output();
	return status;
}
