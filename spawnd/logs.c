#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/log.h"
#include "channel.h"
#include "keys.h"
#include "logs.h"
#include "master.h"
#include "proc.h"
#include "reload.h"
#include "roles.h"

enum { FILE_LOG = 1, FILE_DEBUG = 2 };		/* kinds of LOGFILE */

/*
 * For append. A log file is not opened through a symbolic link: whoever may
 * write to its directory must not choose what we append to.
 */
static int
file_open(const char *path, int kind)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOCTTY | (kind == FILE_LOG ? O_NOFOLLOW : 0), 0640);
}

static int
file_open_diag(const char *path, int kind, struct diag *d)
{
	int fd = file_open(path, kind);

	if (fd == -1)
		diag_fail(d, NULL, EX_CONFIG, "%s: cannot open '%s': %s",
		    kind == FILE_LOG ? "log file" : "debug redirect", path,
		    strerror(errno));
	return fd;
}

bool
logs_apply(const struct start *s, const struct common_conf *c,
    const char *role, struct diag *d)
{
	struct log_conf log = c->log;
	int file = -1, debug = -1;

	if (c->log_path != NULL &&
	    (file = file_open_diag(c->log_path, FILE_LOG, d)) == -1)
		return false;
	if (c->debug_path != NULL &&
	    (debug = file_open_diag(c->debug_path, FILE_DEBUG, d)) == -1) {
		if (file != -1)
			close(file);
		return false;
	}
	log.debug |= s->debug;
	log.stderr_copy = log.stderr_copy || s->stderr_copy;
	log.role = role;
	log_configure(&log);
	log_file(file);
	log_debug_file(debug);
	return true;
}

bool
logs_try(const struct common_conf *c, struct diag *d)
{
	const char *paths[] = { c->log_path, c->debug_path };
	bool ok = true;

	for (int i = 0; i < 2; i++) {
		int fd;

		if (paths[i] == NULL)
			continue;
		fd = file_open_diag(paths[i], i + FILE_LOG, d);
		if (fd == -1)
			ok = false;
		else
			close(fd);
	}
	return ok;
}

static void
send_one(struct proc *p, const char *path, uint32_t kind)
{
	struct channel_logfile msg = { kind };
	int fd;

	if (path == NULL)
		return;
	if ((fd = file_open(path, (int)kind)) == -1) {
		log_warn("%s: cannot open '%s': %s", kind == FILE_LOG ?
		    "log file" : "debug redirect", path, strerror(errno));
		return;
	}
	proc_send(p, CHANNEL_LOGFILE, &msg, sizeof(msg), NULL, 0, &fd, 1);
	close(fd);
}

void
logs_send(struct proc *p)
{
	const struct loaded *conf = reload_conf(p->master, p->generation);

	if (!(p->channel.features & FEATURE_CONFIG) || conf == NULL)
		return;
	send_one(p, conf->conf->worker_common.log_path, FILE_LOG);
	send_one(p, conf->conf->worker_common.debug_path, FILE_DEBUG);
}

static void
channel_one(struct channel *ch, const char *path, uint32_t kind)
{
	struct channel_logfile msg = { kind };
	int fd = path == NULL ? -1 : file_open(path, (int)kind);

	if (fd == -1)
		return;		/* workers have the same, and complain */
	(void)channel_send(ch, CHANNEL_LOGFILE, &msg, sizeof(msg), NULL, 0,
	    &fd, 1);
	close(fd);
}

void
logs_channel(struct channel *ch, const struct common_conf *c)
{
	channel_one(ch, c->log_path, FILE_LOG);
	channel_one(ch, c->debug_path, FILE_DEBUG);
}

void
logs_reopen(struct master *m)
{
	const struct common_conf *c = &m->conf.conf->broker_common;
	int fd;

	if (c->log_path != NULL) {
		if ((fd = file_open(c->log_path, FILE_LOG)) != -1)
			log_file(fd);
		else
			log_warn("log file: cannot open '%s': %s",
			    c->log_path, strerror(errno));
	}
	if (c->debug_path != NULL &&
	    (fd = file_open(c->debug_path, FILE_DEBUG)) != -1)
		log_debug_file(fd);
	for (struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->state == PROC_READY || p->state == PROC_RETIRING)
			logs_send(p);
	keys_logfiles(m);
	roles_logfiles(m);
}
