/*
 * The stand-alone broker: the program whose only role is to execute what its
 * configuration names.
 */
#include "features.h"
#include "program.h"

#ifdef HAVE_LIBCURL
#define FEATURE_URL	"/URL"
#else
#define FEATURE_URL	""
#endif

int
main(int argc, char **argv)
{
	static const struct program spawnd = {
		.name = "spawnd", .features = FEATURE_URL, .broker_only = true,
	};

	return spawnd_main(&spawnd, argc, argv);
}
