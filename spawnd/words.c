#include <sys/wait.h>

#include "../misc/log.h"
#include "words.h"

void
words_lost(const char *title, pid_t pid, int wstatus)
{
	if (WIFSIGNALED(wstatus))
		log_warn("lost child: %s pid %ld terminated; signal %d",
		    title, (long)pid, WTERMSIG(wstatus));
	else if (WEXITSTATUS(wstatus) != 0)
		log_warn("lost child: %s pid %ld exited abnormally", title,
		    (long)pid);
	else
		log_line("%s pid %ld has ended, another one follows", title,
		    (long)pid);
}
