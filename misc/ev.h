/*
 * The event loop: one thread, one loop per process, level-triggered with
 * every mechanism. Order inside a round: timers, interest changes are
 * submitted, wait, clock, callbacks, deferred calls, deferred closes.
 */
#ifndef MISC_EV_H
#define MISC_EV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EV_READ		1u
#define EV_WRITE	2u

/* Bits of IO_POLL_MECHANISM; the order of preference is that of ev_mechs. */
#define EV_KQUEUE	1u
#define EV_DEVPOLL	2u
#define EV_EPOLL	4u
#define EV_POLL		8u
#define EV_SELECT	16u
#define EV_PORT		32u

#define EV_MS		UINT64_C(1000000)
#define EV_SECOND	UINT64_C(1000000000)

struct ev;

/*
 * What to call for a descriptor; at most one per round, in the order
 * readable (if reading is wanted), writable (if wanted and no hang-up),
 * error, hang-up. A hang-up counts as readable while reading is wanted: the
 * reader finds the end of file. Where error and hang-up come together and
 * only one of them has a callback, that one is called. One that happens
 * without any takes the descriptor out of the loop (ev_has turns false) and
 * is logged; never a busy loop.
 */
struct ev_ops {
	void	(*readable)(void *ctx, int fd);
	void	(*writable)(void *ctx, int fd);
	void	(*error)(void *ctx, int fd);
	void	(*hangup)(void *ctx, int fd);
};

/* Embedded in its owner, zeroed before first use; owned by the owner. */
struct ev_timer {
	void		(*cb)(void *ctx);
	void		*ctx;
	uint64_t	 due;		/* when it is to fire, ns */
	uint64_t	 seq;		/* order of setting, breaks ties */
	uint32_t	 slot;		/* heap index + 1, 0: not set */
};

/* Embedded in its owner, zeroed before first use. */
struct ev_task {
	void		(*cb)(void *ctx);
	void		*ctx;
	struct ev_task	*next;
	struct ev_task	**link;		/* what points at us, if queued */
};

/*
 * A new loop with the best mechanism that mask permits: text as of
 * IO_POLL_MECHANISM (decimal or 0x), NULL for no restriction. Unusable
 * text: one warning, then the unrestricted order. Logs the choice unless
 * quiet. NULL and errno if not a single mechanism can be created.
 */
struct ev	*ev_new(const char *mask, bool quiet);
void		 ev_free(struct ev *);
const char	*ev_name(const struct ev *);
unsigned	 ev_mechanism(const struct ev *);	/* its bit */
/* Is it the one that a new loop with this mask would try first? */
bool		 ev_favoured(const struct ev *, const char *mask);

/* Most descriptors the mechanism can watch (FD_SETSIZE, OPEN_MAX, else the
 * descriptor limit), 6.6. */
int		 ev_limit(const struct ev *);

/*
 * Watch fd. ctx and ops must stay until ev_del or ev_close. -1 and errno
 * if the number is beyond what the mechanism can watch (EMFILE), it is
 * already watched (EEXIST) or memory is out. A regular file counts as always
 * ready. The kernel hears of fd before the next wait only; what it then
 * objects to reaches the error callback.
 */
int		 ev_add(struct ev *, int fd, const struct ev_ops *, void *ctx,
		    unsigned interest);
/* A listening socket shared with other processes: one connection wakes one
 * waiter where the mechanism can do that (EPOLLEXCLUSIVE). Without interest
 * nothing of it is reported. ev_close of it is ev_close_shared. */
int		 ev_add_shared(struct ev *, int fd, const struct ev_ops *,
		    void *ctx, unsigned interest);
/* Change callbacks and context, interest stays. */
void		 ev_set(struct ev *, int fd, const struct ev_ops *, void *ctx);
/* Cheap: collected, and submitted before the next wait if still different
 * from what the kernel knows. */
void		 ev_interest(struct ev *, int fd, unsigned interest);
bool		 ev_has(const struct ev *, int fd);
/* Stop watching; the descriptor stays open. Pending events are discarded. */
void		 ev_del(struct ev *, int fd);
/*
 * Stop watching and close at the end of the round, whether or not fd was
 * ever added. Pending events are discarded, and the number cannot be re-used
 * within the round.
 */
void		 ev_close(struct ev *, int fd);
/* The same when another process may hold a copy: taken out of the mechanism
 * first, or epoll would report it for ever. */
void		 ev_close_shared(struct ev *, int fd);

/* Monotonic time in ns, read once per round (and by ev_clock anew). */
uint64_t	 ev_now(const struct ev *);
uint64_t	 ev_clock(struct ev *);

/*
 * Fire cb(ctx) once, ns from ev_now(). Setting a set timer moves it; moving
 * it to later is O(1) (it is re-sorted when the old time comes up).
 */
void		 ev_timer_set(struct ev *, struct ev_timer *, uint64_t ns,
		    void (*cb)(void *), void *ctx);
void		 ev_timer_stop(struct ev *, struct ev_timer *);
static inline bool
ev_timer_pending(const struct ev_timer *t)
{
	return t->slot != 0;
}

/*
 * Call cb(ctx) at the end of the round; once, however often deferred. The
 * task is off the queue when it is called: it may free or defer itself.
 * What is deferred by a deferred call waits for the end of the next round,
 * which follows without delay.
 */
void		 ev_defer(struct ev *, struct ev_task *, void (*cb)(void *),
		    void *ctx);
static inline bool
ev_deferred(const struct ev_task *t)
{
	return t->link != NULL;
}
void		 ev_defer_cancel(struct ev *, struct ev_task *);

/* Deliver signo through the loop, from a pipe: several of one kind may
 * arrive as one. cb NULL: ignore it (SIG_IGN). One loop per process can do
 * this: EBUSY. */
int		 ev_signal(struct ev *, int signo, void (*cb)(void *, int),
		    void *ctx);
/* In a child after fork: default dispositions, the loop is not touched. */
void		 ev_signal_reset(void);
/*
 * In a child that is to go on with the loop where its parent left it: what
 * the kernel has of it is made anew, and signals now are the child's. The
 * parent must not use it any more. -1, errno: the loop is gone.
 */
int		 ev_forked(struct ev *);

/* Rounds until ev_stop(); the value given there. 70 (EX_SOFTWARE) if the
 * wait itself fails, which is logged. */
int		 ev_run(struct ev *);
void		 ev_stop(struct ev *, int status);
/* One round, waiting at most max_ms (-1: no bound); -1 if the wait failed. */
int		 ev_turn(struct ev *, int max_ms);

#endif
