#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_msg.h"
#include "master.h"

void
config_pack(struct config_out *out, const struct master *m,
    const struct loaded *conf, uint32_t generation, bool keyed)
{
	int secrets = keyed ? conf->shared : conf->secrets;
	struct conf_request request;

	master_request(m, &request);
	request.file = conf->conf->file;
	out->head = (struct channel_config){ .generation = generation,
	    .flags = (secrets != -1 ? CONFIG_SECRETS : 0) |
	    (keyed ? CONFIG_KEYED : 0) };
	memcpy(out->head.digest, conf->conf->digest,
	    sizeof(out->head.digest));
	out->len = own_request_pack(out->tail, sizeof(out->tail), &request);
	out->fds[0] = conf->bundle;
	out->fds[1] = secrets;
	out->nfds = secrets != -1 ? 2 : 1;
}

/* NULL: it does not say how to compile, or no memory. */
static char *
tail_take(struct conf_request *request, const struct channel_message *m)
{
	size_t len = m->len - sizeof(struct channel_config);
	char *tail;

	if (len == 0 || len > OWN_REQUEST_MAX || (tail = malloc(len)) == NULL)
		return NULL;
	memcpy(tail, m->payload + sizeof(struct channel_config), len);
	if (own_request_unpack(request, tail, len))
		return tail;
	free(tail);
	return NULL;
}

struct compiled *
config_unpack(const struct conf_request *r, const struct channel_message *m,
    struct diag *d, const char **why)
{
	struct conf_request request = *r;
	struct channel_config head;
	struct compiled *c;
	struct source *s;
	char *tail;

	memcpy(&head, m->payload, sizeof(head));
	if ((tail = tail_take(&request, m)) == NULL) {
		*why = "CONFIG does not say how to compile";
		return NULL;
	}
	s = source_replay(m->fds[0], (head.flags & CONFIG_SECRETS) != 0 ?
	    m->fds[1] : -1);
	if (s == NULL) {
		*why = "the bundle cannot be read";
		free(tail);
		return NULL;
	}
	if ((c = conf_compile(&request, s, d)) == NULL) {
		source_free(s);
		free(tail);
		return NULL;
	}
	c->request = tail;
	c->generation = head.generation;
	c->keyed = (head.flags & CONFIG_KEYED) != 0;
	return c;
}
