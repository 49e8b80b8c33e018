/*
 * Logging: syslog, standard error, a file; text or JSON lines. One line is
 * one write. A process has one log; nothing here allocates.
 */
#ifndef MISC_LOG_H
#define MISC_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* Debug bits, 3.7. */
#define DEBUG_PARSE	0x000001u
#define DEBUG_AUTHOR	0x000002u
#define DEBUG_AUTHEN	0x000004u
#define DEBUG_ACCT	0x000008u
#define DEBUG_CONFIG	0x000010u
#define DEBUG_PACKET	0x000020u
#define DEBUG_HEX	0x000040u
#define DEBUG_LOCK	0x000080u
#define DEBUG_REGEX	0x000100u
#define DEBUG_ACL	0x000200u
#define DEBUG_RADIUS	0x000400u
#define DEBUG_CMD	0x000800u
#define DEBUG_BUFFER	0x001000u
#define DEBUG_PROC	0x002000u
#define DEBUG_NET	0x004000u
#define DEBUG_PATH	0x008000u
#define DEBUG_CONTROL	0x010000u
#define DEBUG_INDEX	0x020000u
#define DEBUG_AV	0x040000u
#define DEBUG_MAVIS	0x080000u
#define DEBUG_DNS	0x100000u
#define DEBUG_USERINPUT	0x200000u
#define DEBUG_ALL	2141192191u
/* Without what only those want who look for faults of ours. */
#define DEBUG_VERBOSE	(DEBUG_ALL & ~(DEBUG_PACKET | DEBUG_HEX | \
			DEBUG_LOCK | DEBUG_BUFFER))

struct log_conf {
	const char	*ident;		/* NULL: as given to log_open */
	int		 facility;	/* LOG_UUCP ... */
	int		 severity;	/* LOG_INFO ...: of ordinary messages */
	bool		 to_syslog;	/* syslog default = permit */
	bool		 json;		/* log file and standard error */
	bool		 stderr_copy;	/* -D */
	bool		 debug_set;	/* a debug redirect was configured */
	enum log_debug_to { LOG_DEBUG_SYSLOG, LOG_DEBUG_STDERR,
	    LOG_DEBUG_FILE } debug_to;
	uint32_t	 debug;		/* DEBUG_* */
	const char	*role;		/* "master", "worker", "single" */
	uint32_t	 worker;	/* number; 0: none */
};

/* First thing in main(): ident is the base name of argv[0]. Strings given
 * to log_* are copied. */
void	 log_open(const char *ident);
/* From log_open() on, whatever is configured: where syslog(3) sorts lines in
 * before that, the severity of warnings, and whether lines on standard error
 * are bare. */
void	 log_style(int facility, int warning, bool plain);
bool	 log_plain(void);
void	 log_configure(const struct log_conf *);
/* To syslog, now: from where the process goes it cannot be reached. What is
 * configured later leaves that connection as it is. */
void	 log_connect(int facility);
void	 log_close(void);
/* Take over a descriptor open for append (closed when replaced; -1: none). */
void	 log_file(int fd);
void	 log_debug_file(int fd);
/* Lines go to standard error as well, for instance before configuration. */
void	 log_stderr(bool on);
/* Debug lines (DEBUG_VERBOSE) or none from now on, whatever is configured. */
void	 log_verbose(bool on);

/* The usual level (syslog severity). */
void	 log_line(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_err(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_crit(const char *, ...) __attribute__((format(printf, 1, 2)));

/* Cheap when the bit is off: the arguments are not evaluated. */
extern uint32_t log_debug_bits;
#define log_debug(bit, ...) do {					\
	if (log_debug_bits & (bit))					\
		log_debug_line(__VA_ARGS__);				\
} while (0)
void	 log_debug_line(const char *, ...)
	    __attribute__((format(printf, 1, 2)));

/* A line of items: text "name=value name=value", or JSON members. */
struct log_item {
	const char	*name;
	enum { LOG_ABSENT, LOG_TEXT, LOG_NUMBER } kind;
	const char	*text;		/* percent-encoded in the text form */
	uint64_t	 number;
};
/* prefix stands before the items in the text form ("status", or NULL); event
 * is the member "event" in JSON. */
void	 log_items(const char *prefix, const char *event,
	    const struct log_item *, unsigned n);

/* At most once per period (ns) for this place; tells how many were held
 * back since: for what a peer can repeat at will. */
struct log_limit { uint64_t last; unsigned burst, held; };
bool	 log_allow(struct log_limit *, uint64_t now, uint64_t period,
	    unsigned burst, unsigned *held);

#endif
