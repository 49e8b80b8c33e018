/*
 * What a service manager is told, in the datagrams of sd_notify(3), and the
 * keep-alive it may want (1.6). One process, one manager; without
 * NOTIFY_SOCKET nothing here does anything. Nothing ever waits for the
 * manager: what it does not take at once is kept and offered again.
 */
#ifndef SPAWND_NOTIFY_H
#define SPAWND_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../misc/ev.h"
#include "../misc/net.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and leaves them for a
 * program that is executed in place; before a fork to the background, as the
 * last of them names the process that was started. */
void	 notify_open(void);
bool	 notify_active(void);
/* Keep-alives are sent from this loop from now on; from none after NULL. */
void	 notify_loop(struct ev *);

/* All listeners are bound; also the end of a reload, whatever came of it.
 * Goes with MAINPID when this is not the process that was started. */
void	 notify_ready(void);
void	 notify_reloading(void);
void	 notify_stopping(void);
/*
 * Another process is the service from now on. A manager may listen to the
 * one only that it knows as that (NotifyAccess=main), so whoever is it hands
 * it on: notify_hand() to one that is ready.
 */
void	 notify_mainpid(pid_t);
void	 notify_hand(pid_t);
/* A keep-alive if one is due, for who has no loop. */
void	 notify_alive(void);
/* One line for the operator; the same again costs nothing, and what changes
 * all the time is sent every two seconds. */
void	 notify_status(const char *, ...)
	    __attribute__((format(printf, 1, 2)));

/* "/path" or "@abstract"; false: neither, or too long. Pure. */
bool	 notify_address(const char *, struct net_addr *);
/* How often the keep-alive is due, ns: half of what is given in us. 0: never,
 * or pid names another process than self. pid may be NULL. Pure. */
uint64_t notify_period(const char *usec, const char *pid, pid_t self);

#endif
