/*
 * Stand-in for event ports, port_create(3C), on systems without them: as much
 * of the interface as misc/ev_port.c uses, on top of poll(2). For tests only.
 */
#ifndef STANDIN_PORT_H
#define STANDIN_PORT_H

#include <stdint.h>
#include <time.h>

#define PORT_SOURCE_FD	4

typedef unsigned int uint_t;

typedef struct {
	int		 portev_events;
	unsigned short	 portev_source;
	unsigned short	 portev_pad;
	uintptr_t	 portev_object;
	void		*portev_user;
} port_event_t;

int	 port_create(void);
int	 port_associate(int, int, uintptr_t, int, void *);
int	 port_dissociate(int, int, uintptr_t);
int	 port_getn(int, port_event_t [], uint_t, uint_t *,
	    const struct timespec *);

#endif
