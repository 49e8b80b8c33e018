/*
 * pfe as a subagent: the session with the AgentX master (section 8 of the
 * runtime's specification). The parent connects; whatever goes wrong is tried
 * again a little later, and nobody waits for the master.
 */
#ifndef RELAYD_RD_AGENTX_H
#define RELAYD_RD_AGENTX_H

#include <stdint.h>

#include "rd_role.h"

struct rd_agentx;
struct rd_pfe;

struct rd_agentx	*rd_agentx_new(struct rd_pfe *);
void			 rd_agentx_free(struct rd_agentx *);
/* Another configuration is in force. */
void			 rd_agentx_config(struct rd_agentx *);
/* The parent has connected, fd is taken over; or why not. */
void			 rd_agentx_socket(struct rd_agentx *, int32_t error,
			    int fd);
/* The state of a host has changed. */
void			 rd_agentx_host(struct rd_agentx *,
			    const struct rd_tell_host *);

#endif
