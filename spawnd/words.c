#include <sys/wait.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "../misc/log.h"
#include "program.h"
#include "words.h"

enum level { NOTHING, LINE, ERROR, DEBUG };

/* A text may leave out what stands last. */
static const struct {
	struct { enum level level; const char *text; } broker, service;
} words[WORDS] = {
	[WORD_START] = { { LINE, "starting, version %s%s" },
	    { LINE, "startup" } },
	[WORD_UNUSABLE] = { { ERROR, "configuration not usable" },
	    { NOTHING, "" } },
	[WORD_END] = { { LINE, "signal %s: ending" },
	    { DEBUG, "signal %s: ending" } },
	[WORD_STOP] = { { LINE, "%s: ending" }, { DEBUG, "%s: ending" } },
	[WORD_GONE] = { { NOTHING, "" },
	    { LINE, "parent terminating, pid %ld" } },
	[WORD_HUP] = { { NOTHING, "" },
	    { LINE, "parent_sig_handler: reload requested with SIGHUP" } },
	[WORD_RELOAD] = { { LINE, "reload: started" },
	    { DEBUG, "reload: started" } },
	[WORD_RELOAD_DONE] = { { LINE, "reload: done, %u kept, %u added, "
	    "%u removed, %u workers kept, %u replaced" },
	    { LINE, "reload: done, %u kept, %u added, %u removed" } },
	[WORD_RELOAD_FAILED] = { { ERROR, "reload: failed, %s" },
	    { ERROR, "reload: failed, %s" } },
	[WORD_RELOAD_REFUSED] = { { ERROR, "reload: refused, %s" },
	    { NOTHING, "" } },
	[WORD_RELOAD_FILE] = { { NOTHING, "" },
	    { ERROR, "failed to load config file %s" } },
	[WORD_GOES_ON] = { { LINE, "generation %u goes on, %u listeners, %u "
	    "workers" }, { DEBUG, "generation %u goes on" } },
	[WORD_LISTENING] = { { LINE, "listening on %s" },
	    { DEBUG, "listening on %s" } },
	[WORD_LIMIT] = { { LINE, "worker %ld can hold %u connections only" },
	    { DEBUG, "worker %ld can hold %u connections only" } },
	[WORD_WORKER] = { { LINE, "worker starting, version %s" },
	    { DEBUG, "starting, version %s" } },
	[WORD_MECHANISM] = { { LINE, "event mechanism: %s" },
	    { DEBUG, "event mechanism: %s" } },
	[WORD_UNNEEDED] = { { LINE, "no longer needed, ending" },
	    { DEBUG, "no longer needed, ending" } },
	[WORD_DRAIN] = { { LINE, "no new connections, %u left" },
	    { DEBUG, "no new connections, %u left" } },
	[WORD_ORPHAN] = { { LINE, "the master is gone" },
	    { DEBUG, "the parent is gone" } },
	[WORD_CHILD_END] = { { LINE, "signal %s: ending" },
	    { DEBUG, "signal %s: ending" } },
	[WORD_CHILD_GONE] = { { NOTHING, "" },
	    { LINE, "%s exiting, pid %ld" } },
};

static bool service;

void
words_of(const struct program *program)
{
	service = program->manners != NULL;
}

void
words_say(enum word word, ...)
{
	enum level level = service ? words[word].service.level :
	    words[word].broker.level;
	char text[2048];
	va_list ap;

	if (level == NOTHING || (level == DEBUG &&
	    (log_debug_bits & DEBUG_PROC) == 0))
		return;
	va_start(ap, word);
	vsnprintf(text, sizeof(text), service ? words[word].service.text :
	    words[word].broker.text, ap);
	va_end(ap);
	if (level == LINE)
		log_line("%s", text);
	else if (level == ERROR)
		log_err("%s", text);
	else
		log_debug_line("%s", text);
}

void
words_fatal(const char *text)
{
	if (service)
		log_crit("%s", text);
	else
		log_err("%s", text);
}

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
