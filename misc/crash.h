/*
 * What a process does when it crashes: says so, lets a program look at it,
 * leaves a core file. Everything is prepared beforehand; the handler only
 * forks, waits for a while and dies of the signal it got.
 */
#ifndef MISC_CRASH_H
#define MISC_CRASH_H

struct crash_conf {
	const char	*directory;	/* for core files; NULL: where it is */
	const char	*gcore;		/* program that writes one, run with the
					   process id in that directory; NULL:
					   the system does. Needs directory */
	const char	*debug_cmd;	/* for the shell, CRASHPID set; NULL */
	int		 channel;	/* socket shut down before anything
					   else, so that who is at its other
					   end does not wait; -1: none */
};

/*
 * From here on SIGSEGV, SIGBUS and SIGABRT are answered like that. Texts and
 * environment are copied; a second call replaces the first. 0, or -1 with
 * errno: what was set before stays.
 */
int	 crash_configure(const struct crash_conf *, char *const *env);

#endif
