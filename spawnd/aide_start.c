/*
 * Processes beside the workers are started by the master here.
 */
#include <sys/random.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "../misc/net.h"
#include "aide.h"
#include "environ.h"
#include "master.h"
#include "proc.h"
#include "self.h"

pid_t
aide_fork(struct master *m, struct channel *channel, uint8_t nonce[8],
    int size, int *theirs)
{
	int fds[2];
	pid_t pid;

	if (getentropy(nonce, 8) == -1 || msg_pair(fds, size) == -1)
		return -1;
	hand_forks(m);
	pid = fork();
	if (pid == 0) {
		*theirs = fds[1];
		return 0;
	}
	close(fds[1]);
	if (pid == -1)
		net_close(fds[0]);
	else
		*channel = (struct channel){ .fd = fds[0], .master = true };
	return pid;
}

_Noreturn void
aide_run(const struct master *m, int fd, const char *name,
    const uint8_t nonce[8], struct source *source, char **argv)
{
	static char var[64 + CHANNEL_ENV_MAX];
	const struct start *start = m->start;
	const char *path = self_image(start->image, start->self);
	char **env = environ_merge(start->environ_base, source);
	int at = snprintf(var, 64, "%s=", name);

	if (env == NULL || argv == NULL)
		_exit(EX_OSERR);
	channel_env_print(var + at, nonce);
	environ_put(env, var);
	ev_signal_reset();
	if (fd == 0 ? fcntl(0, F_SETFD, 0) == -1 : dup2(fd, 0) == -1)
		_exit(EX_OSERR);
	execve(path, argv, env);
	log_err("cannot execute %s: %s", path, strerror(errno));
	_exit(EX_OSERR);
}

struct channel_hello
aide_hello(const uint8_t nonce[8], uint32_t generation, uint32_t instance)
{
	struct channel_hello hello = { .generation = generation,
	    .worker = instance };

	memcpy(hello.nonce, nonce, sizeof(hello.nonce));
	memcpy(hello.build, channel_build, sizeof(hello.build));
	return hello;
}
