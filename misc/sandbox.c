/*
 * Becoming nobody: root directory, groups and ids. What else a process may do
 * from then on is the system's own word for it, sandbox_*.c.
 */
#include <sys/types.h>
#include <sys/stat.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define LEAKS	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS	1
#endif
#endif
#ifdef LEAKS
/* The search for leaks at the end of a process needs /proc and threads. */
static int confined;

int	__lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return confined;
}
#define leaks_forget()	((void)(confined = 1))
#else
#define leaks_forget()	((void)0)
#endif

/* Whoever could write there could have us find files. NULL: nobody can. */
static const char *
home_fault(const char *home)
{
	struct stat st;

	if (home == NULL || home[0] != '/')
		return "not an absolute path";
	if (lstat(home, &st) == -1)
		return strerror(errno);
	if (!S_ISDIR(st.st_mode))
		return "not a directory";
	if (st.st_uid != 0)
		return "not owned by root";
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "writable by others";
	return NULL;
}

/* The entry, valid until the next question of this kind; NULL: error. */
static const struct passwd *
user_find(const char *user, char error[static SANDBOX_ERROR])
{
	const struct passwd *pw = getpwnam(user);
	const char *why;

	if (pw == NULL) {
		snprintf(error, SANDBOX_ERROR, "unknown user %s", user);
		return NULL;
	}
	if (pw->pw_uid == 0) {
		snprintf(error, SANDBOX_ERROR, "user %s is root", user);
		return NULL;
	}
	if ((why = home_fault(pw->pw_dir)) != NULL) {
		snprintf(error, SANDBOX_ERROR,
		    "unusable chroot directory %s: %s", pw->pw_dir, why);
		return NULL;
	}
	return pw;
}

int
sandbox_user(const char *user, uid_t *uid, gid_t *gid,
    char error[static SANDBOX_ERROR])
{
	const struct passwd *pw = user_find(user, error);

	if (pw == NULL)
		return -1;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int
refused(char error[static SANDBOX_ERROR], const char *what)
{
	snprintf(error, SANDBOX_ERROR, "%s: %s", what, strerror(errno));
	return -1;
}

int
sandbox_drop(const char *user, char error[static SANDBOX_ERROR])
{
	const struct passwd *pw = user_find(user, error);
	uid_t uid;
	gid_t gid;

	if (pw == NULL)
		return -1;
	uid = pw->pw_uid;
	gid = pw->pw_gid;
	/*
	 * The time zone is a file that is out of reach in a moment. With a
	 * name for it the C library does not look again.
	 */
	if (getenv("TZ") == NULL && setenv("TZ", ":/etc/localtime", 0) == -1)
		return refused(error, "TZ");
	tzset();
	if (chroot(pw->pw_dir) == -1)
		return refused(error, "chroot");
	leaks_forget();
	if (chdir("/") == -1)
		return refused(error, "chdir");
	/* As root these set the real, effective and saved one. */
	if (setgroups(1, &gid) == -1)
		return refused(error, "setgroups");
	if (setgid(gid) == -1)
		return refused(error, "setgid");
	if (setuid(uid) == -1)
		return refused(error, "setuid");
	if (getuid() != uid || geteuid() != uid || getgid() != gid ||
	    getegid() != gid || setuid(0) != -1 || setgid(0) != -1) {
		snprintf(error, SANDBOX_ERROR, "privileges of user %s: "
		    "not given up", user);
		return -1;
	}
	return 0;
}
