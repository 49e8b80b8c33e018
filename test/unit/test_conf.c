/*
 * The configuration language as the operator meets it: every way to get a
 * directive wrong with its line and text, and how reading goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf_try.h"
#include "features.h"

/* No test here waits for a server: sources are not told to. */
#ifdef HAVE_LIBCURL
#define URL_FAILS(before, url)						\
	before "cannot fetch " url ": not by this process"
#else
#define URL_FAILS(before, url)	before "URL configurations need libcurl"
#endif

/* ---- one wrong line ---- */

/*
 * S: the fragment is line 2 of the first frame; T: it is line 5 of the
 * second. The message stands in that line and comes first, unless it is one
 * that needs the whole configuration, behind others of that kind.
 */
static const struct {
	const char	*name;
	unsigned	 line;
	const char	*fragment;
	const char	*want, *also;
} rows[] = {
	{ "S1", 2,
	    "foo = bar",
	    "but got 'foo'", NULL },
	{ "S2", 2,
	    "background = maybe",
	    "Expected 'yes', 'no', 'true', 'false', 'permit' or 'deny', but "
	    "got 'maybe'", NULL },
	{ "S3", 2,
	    "background = \"yes\"",
	    "but got \"yes\"", NULL },
	{ "S4", 2,
	    "background = YES",
	    "but got 'YES'", NULL },
	{ "S5", 2,
	    "background = = yes",
	    "but got '='", NULL },
	{ "S6", 2,
	    "overload = drop",
	    "Expected 'close', 'queue' or 'reset', but got 'drop'", NULL },
	{ "S7", 2,
	    "overload = }",
	    "overload: value missing", NULL },
	{ "S8", 2,
	    "pidfile = }",
	    "pidfile: value missing", NULL },
	{ "S9", 2,
	    "bind delay = 3",
	    "Expected 'retry', but got 'delay'", NULL },
	{ "S10", 2,
	    "bind retry delay = soon",
	    "bind retry delay: 'soon' is not a time", NULL },
	{ "S11", 2,
	    "bind retry delay = 99999999",
	    "is out of range (0 to 86400)", NULL },
	{ "S12", 2,
	    "tcp keepalive max = 3",
	    "Expected 'count', 'idle' or 'interval', but got 'max'", NULL },
	{ "S13", 2,
	    "tcp nodelay = yes",
	    "Expected 'keepalive' or 'bufsize', but got 'nodelay'", NULL },
	{ "S14", 2,
	    "sticky cash period = 3",
	    "Expected 'cache', but got 'cash'", NULL },
	{ "S15", 2,
	    "sticky cache age = 3",
	    "but got 'age'", NULL },
	{ "S16", 2,
	    "permit 300.1.1.1",
	    "permit: '300.1.1.1' is not an address or network", NULL },
	{ "S17", 2,
	    "deny 192.0.2.0/33",
	    "deny: '192.0.2.0/33' is not an address or network", NULL },
	{ "S18", 2,
	    "deny 192.0.2.0/255.0.255.0",
	    "is not an address or network", NULL },
	{ "S19", 3,
	    "permit not",
	    "permit: value missing", NULL },
	{ "S20", 2,
	    "permit 2001:db8::/129",
	    "is not an address or network", NULL },
	{ "S21", 2,
	    "listen = { }  port = 80",
	    "but got 'port'", NULL },
	{ "S22", 2,
	    "listen = { address = 127.0.0.1 }",
	    "listen: port missing", NULL },
	{ "S23", 2,
	    "listen = { port = 70000 }",
	    "port: 70000 is out of range (0 to 65535)", NULL },
	{ "S24", 2,
	    "listen = { port = nosuchservice }",
	    "port: unknown service 'nosuchservice'", NULL },
	{ "S25", 2,
	    "listen = { address = 256.0.0.1 port = 80 }",
	    "address: '256.0.0.1' is not an IP address", NULL },
	{ "S26", 2,
	    "listen = { frobnicate port = 80 }",
	    "but got 'frobnicate'", NULL },
	{ "S27", 2,
	    "listen = { ::1 ::2 port = 80 }",
	    "address given twice", NULL },
	{ "S28", 2,
	    "listen = { path = /run/x port = 80 }",
	    "'path' cannot be combined with 'port'", NULL },
	{ "S29", 2,
	    "listen = { path = /run/x mode = 0999 }",
	    "mode: '0999' is not an octal number", NULL },
	{ "S30", 2,
	    "listen = { path = /run/x userid = nosuchuser }",
	    "unknown user 'nosuchuser'", NULL },
	{ "S31", 2,
	    "listen = { path = /run/x groupid = nosuchgroup }",
	    "unknown group 'nosuchgroup'", NULL },
	{ "S32", 2,
	    "listen = { port = 80 realm = 0123456789abcdef }",
	    "realm: longer than 15 bytes", NULL },
	{ "S33", 2,
	    "listen = { port = 80 dscp = 64 }",
	    "dscp: 64 is out of range (0 to 63)", NULL },
	{ "S34", 2,
	    "listen = { port = 80 tls = maybe }",
	    "but got 'maybe'", NULL },
	{ "S35", 2,
	    "listen = { port = 80 tls = TLSv1.1 }",
	    "but got 'TLSv1.1'", NULL },
	{ "S36", 2,
	    "listen = { port = 80 tls = TLSv1.2,DTLSv1.2 }",
	    "Expected 'TLSv1.2' or 'TLSv1.3', but got 'DTLSv1.2'", NULL },
	{ "S37", 2,
	    "listen = { port = 80 tls = TLSv1.2, }",
	    "but got '}'", NULL },
	{ "S38", 2,
	    "listen = { port = 443 tls = yes }",
	    "needs 'tls cert-file'", NULL },
	{ "S39", 2,
	    "listen = { port = 80 protocol = HTTP }",
	    "but got 'HTTP'", NULL },
	{ "S40", 2,
	    "listen = { port = 53 protocol = UDP }",
	    "tcprelay relays streams only", NULL },
	{ "S41", 2,
	    "listen = { port = 80 type = RAW }",
	    "Expected 'STREAM', 'DGRAM' or 'SEQPACKET', but got 'RAW'", NULL },
	{ "S42", 2,
	    "listen = { port = 80 flag = both }",
	    "Expected 'access' or 'accounting', but got 'both'", NULL },
	{ "S43", 2,
	    "listen = { port = 80 backlog = 0 }",
	    "backlog: 0 is out of range (1 to 65535)", NULL },
	{ "S44", 2,
	    "listen = { port = 80 overload = close }",
	    "Expected 'backlog', but got '='", NULL },
	{ "S45", 2,
	    "listen = { port = 80 } listen = { port = 80 tls = yes }",
	    "differs from the listener in line 2", NULL },
	{ "S46", 2,
	    "spawn = { exec = /no/such/program }",
	    "exec: '/no/such/program' is not executable", NULL },
	{ "S47", 2,
	    "spawn = { exec = \"/opt/%x/relay\" }",
	    "unknown conversion '%x'", NULL },
	{ "S48", 2,
	    "spawn = { users = 40 }",
	    "Expected 'min', 'max', 'minimum' or 'maximum', "
	    "but got '='", NULL },
	{ "S49", 2,
	    "spawn = { users max = many }",
	    "users max: 'many' is not a number", NULL },
	{ "S50", 2,
	    "spawn = { users max = 0 }",
	    "users max: 0 is out of range (1 to 1000000)", NULL },
	{ "S51", 2,
	    "spawn = { users max = 99999999999 }",
	    "is out of range", NULL },
	{ "S52", 2,
	    "spawn = { users max = 12q }",
	    "users max: '12q' is not a number", NULL },
	{ "S53", 2,
	    "spawn = { users max = -5 }",
	    "users max: '-5' is not a number", NULL },
	{ "S54", 2,
	    "spawn = { servers min = 1 max = 2 }",
	    "but got 'max'", NULL },
	{ "S55", 2,
	    "spawn = { working = /tmp }",
	    "Expected 'directory'", NULL },
	{ "S56", 2,
	    "spawn = { userid = nosuchuser }",
	    "unknown user 'nosuchuser'", NULL },
	{ "S57", 2,
	    "single process = sometimes",
	    "but got 'sometimes'", NULL },
	{ "S58", 2,
	    "syslog facility = LOCAL9",
	    "syslog facility: unknown name 'LOCAL9'", NULL },
	{ "S59", 2,
	    "syslog colour = red",
	    "but got 'colour'", NULL },
	{ "S60", 2,
	    "debug = NOISE",
	    "but got 'NOISE'", NULL },
	{ "S61", 2,
	    "include = /no/such/file",
	    "include: cannot read '/no/such/file'", NULL },
	{ "S62", 4,
	    "listen = { port = 80",
	    "but got 'id'",
	    "block opened in line 1 is still open" },
	{ "S63", 6,
	    "pidfile = \"/run/x",
	    "string not closed, opened in line 2", NULL },
	{ "S64", 2,
	    "accept = nobody",
	    "Expected 'master' or 'workers', but got 'nobody'", NULL },
	{ "S65", 2,
	    "listen = { port = 80 accept = workers sticky cache period = 5 }",
	    "'accept = workers' cannot be combined with 'sticky cache'", NULL },
	{ "S66", 2,
	    "listen = { port = 80 name = a } listen = { port = 81 name = a }",
	    "name: 'a' used twice", NULL },
	{ "S67", 2,
	    "log format = xml",
	    "Expected 'text' or 'json', but got 'xml'", NULL },
	{ "S68", 2,
	    "log connections = yes",
	    "Expected 'file' or 'format', but got 'connections'", NULL },
	{ "S69", 2,
	    "refresh = 60",
	    "but got 'refresh'", NULL },
	{ "S70", 2,
	    "mavis policy { }",
	    "but got 'mavis'", NULL },
	{ "T1", 4,
	    "",
	    "no 'remote' defined", NULL },
	{ "T2", 5,
	    "remote = { port = 80 }",
	    "remote: address missing", NULL },
	{ "T3", 5,
	    "remote = { address = 192.0.2.1 }",
	    "remote: port missing", NULL },
	{ "T4", 5,
	    "remote = { address = www.example.net port = 80 }",
	    "address: 'www.example.net' is not an IP address", NULL },
	{ "T5", 5,
	    "remote = { address = 192.0.2.1 port = 0 }",
	    "port: 0 is out of range (1 to 65535)", NULL },
	{ "T6", 5,
	    "remote = { address = 192.0.2.1 port = 80 protocol = UDP }",
	    "Expected 'TCP' or 'SCTP', but got 'UDP'", NULL },
	{ "T7", 5,
	    "remote = { address = 192.0.2.1 port = 80 weight = heavy }",
	    "weight: 'heavy' is not a number", NULL },
	{ "T8", 5,
	    "remote = { host = 192.0.2.1 port = 80 }",
	    "but got 'host'", NULL },
	{ "T9", 5,
	    "remote = { address = [2001:db8::1 port = 80 }",
	    "Expected ']', but got 'port'", NULL },
	{ "T10", 5,
	    "local address = eth0",
	    "local address: 'eth0' is not an IP address", NULL },
	{ "T11", 5,
	    "remote = { address = 192.0.2.1 port = 80 } local address = "
	    "2001:db8::9",
	    "no 'remote' of the same family", NULL },
	{ "T12", 5,
	    "idle timeout = forever",
	    "idle timeout: 'forever' is not a time", NULL },
	{ "T13", 5,
	    "idle = 60",
	    "Expected 'timeout', but got '='", NULL },
	{ "T14", 5,
	    "rebalance = often",
	    "rebalance: 'often' is not a number", NULL },
	{ "T15", 5,
	    "retire after = 5",
	    "retire: 'after' is not a number", NULL },
	{ "T16", 5,
	    "tls certificate = x.pem",
	    "but got 'certificate'", NULL },
	{ "T17", 5,
	    "tls = yes",
	    "but got '='", NULL },
	{ "T18", 5,
	    "listen = { port = 80 }",
	    "but got 'listen'", NULL },
	{ "T19", 5,
	    "mavis module = nosuch { }",
	    "built without MAVIS support", NULL },
	{ "T20", 5,
	    "tls verify = required",
	    "needs 'tls ca-file'", NULL },
	{ "T21", 5,
	    "remote = { address = 192.0.2.1 port = 443 tls = auto }",
	    "but got 'auto'", NULL },
	{ "T22", 5,
	    "remote = { address = 192.0.2.1 port = 443 tls verify = no }",
	    "'tls verify' needs 'tls'", NULL },
	{ "T23", 5,
	    "remote = { address = /run/b.sock tls }",
	    "tls name missing", NULL },
	{ "T24", 5,
	    "tls sni { name = a.example.net }",
	    "tls sni: cert-file missing", NULL },
	{ "T25", 5,
	    "tls ticket lifetime = 1",
	    "tls ticket lifetime: 1 is out of range (300 to 604800)", NULL },
	{ "T26", 5,
	    "key store = yes",
	    "Expected 'process', but got 'store'", NULL },
	{ "T27", 5,
	    "connect timeout = 0",
	    "connect timeout: 0 is out of range (1 to 3600)", NULL },
};

static const char frame_s[] =
    "id = spawnd {\n"
    "%s\n"
    "}\n"
    "id = tcprelay {\n"
    "    remote = { address = 192.0.2.1 port = 80 }\n"
    "}\n";

static const char frame_t[] =
    "id = spawnd {\n"
    "    listen = { port = 8080 }\n"
    "}\n"
    "id = tcprelay {\n"
    "    %s\n"
    "}\n";

/* Said of the whole: may stand behind another one of the kind. */
static const char *const whole[] = { "T20" };

static bool
is_whole(const char *name)
{
	for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
		if (strcmp(whole[i], name) == 0)
			return true;
	}
	return false;
}

static void
row_check(const struct try *t, size_t i)
{
	char at[64];
	unsigned n = 0;

	snprintf(at, sizeof at, "main:%u: ", rows[i].line);
	while (is_whole(rows[i].name) && n + 1 < t->nlines &&
	    strncmp(t->lines[n], at, strlen(at)) != 0)
		n++;
	if (t->nlines <= n || strncmp(t->lines[n], at, strlen(at)) != 0 ||
	    strstr(t->lines[n], rows[i].want) == NULL ||
	    (rows[i].also != NULL &&
	    strstr(t->lines[n], rows[i].also) == NULL))
		fail_msg("%s: \"%s\", wanted %s%s", rows[i].name,
		    t->nlines > n ? t->lines[n] : "nothing", at,
		    rows[i].want);
	assert_int_equal(t->status, 78);
}

static void
test_rows(void **state)
{
	char text[1024];
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].name[0] == 'S')
			snprintf(text, sizeof text, frame_s, rows[i].fragment);
		else
			snprintf(text, sizeof text, frame_t, rows[i].fragment);
		try_run(&t, &try_tcprelay, try_file("main", text));
		row_check(&t, i);
		try_end(&t);
	}
}

/* ---- whole files ---- */

#define S	"id = spawnd { listen { } }\n"
#define T	"id = tcprelay { remote { address = ::9 port = 9 } }\n"

/*
 * Everything that is said, in order. A '*' stands for any text. Where the
 * table ends, so must the lines.
 */
static const struct {
	const char	*name, *text;
	int		 status;
	const char	*said[6];
} files[] = {
	{ "W1", "", 78, { "main:1: no section with id 'spawnd'" } },
	{ "W1, comments only", "\n\n# nothing\n", 78,
	    { "main:3: no section with id 'spawnd'" } },
	{ "W2", "id = spawnd { listen = { port = 8080 } }", 78,
	    { "main:1: no section with id 'tcprelay'" } },
	{ "W2, with a line feed", "id = spawnd {\n}\n", 78,
	    { "main:2: no section with id 'tcprelay'" } },
	{ "only the worker's", "id = tcprelay {\n}\n", 78,
	    { "main:1: no 'remote' defined",
	    "main:2: no section with id 'spawnd'" } },
	{ "W3", "id = x { }\n}\n", 78, { "main:2: Expected 'id', 'gcore', "
	    "'debug-cmd', 'cleanup', 'refresh', 'verify', 'include', "
	    "'alias', 'setenv', 'debug', 'trace', 'syslog', 'log', "
	    "'proctitle', 'coredump' or 'regex-match-case', but got '}'" } },
	{ "W4", "id = spawnd = { }", 78,
	    { "main:1: Expected '{', but got '='" } },
	{ "W5", "id spawnd listen", 78,
	    { "main:1: Expected '{', but got 'listen'" } },
	{ "W6", "alias x {", 78,
	    { "main:1: block not closed, opened in line 1" } },
	{ "W6, later", "\nalias x {\n  a b { c }\n\n", 78,
	    { "main:4: block not closed, opened in line 2" } },
	{ "W7", "alias x { x }\nid = spawnd {\n x\n}\n", 78,
	    { "main:3: alias 'x' refers to itself", "main:1: defined here" } },
	{ "a circle of two", "alias x { y }\nalias y { x }\n"
	    "id = spawnd {\n x }\n", 78,
	    { "main:4: alias 'x' refers to itself", "main:2: defined here",
	    "main:1: defined here" } },
	{ "W8", "\nalias port { 80 }\n", 78,
	    { "main:2: alias: 'port' is a reserved word" } },
	{ "reserved by the worker", "alias remote { 80 }\n", 78,
	    { "main:1: alias: 'remote' is a reserved word" } },
	{ "reserved as a value", "alias yes { no }\n", 78,
	    { "main:1: alias: 'yes' is a reserved word" } },
	{ "reserved for debugging", "alias NET { no }\n", 78,
	    { "main:1: alias: 'NET' is a reserved word" } },
	{ "alias twice", "alias x { 80 }\nalias x { 81 }\n", 78,
	    { "main:2: alias: 'x' is already defined (main:1)" } },
	{ "error in an alias", "alias x {\n backlog = 0 }\nid = spawnd {\n"
	    "  listen { port = 80 x } }\n" T, 78,
	    { "main:4: backlog: 0 is out of range (1 to 65535)",
	    "main:2: defined here" } },
	{ "W9", "\ninclude = \"$CONFDIR/main\"\n", 78,
	    { "main:2: include: 'main' includes itself" } },
	{ "W22", S T "id = other {\n foo = \"bar\n}\n", 78,
	    { "main:5: string not closed, opened in line 4" } },
	{ "another section's brace", S T "id = other {\n foo { \n}\n", 78,
	    { "main:5: block not closed, opened in line 3" } },
	{ "one brace too many behind it", S T "id = other {\n foo { }\n} }\n",
	    78, { "main:5: *but got '}'" } },
	{ "W25", "id = spawnd {\n"
	    "  listen {\n    port = 70000\n  }\n"
	    "  spawn {\n\n    users max = many\n"
	    "  }\n  bind retry delay = soon\n}\n" T, 78,
	    { "main:3: port: 70000 is out of range (0 to 65535)",
	    "main:7: users max: 'many' is not a number",
	    "main:9: bind retry delay: 'soon' is not a time" } },
	{ "both sections, by position", "id = tcprelay {\n  rebalance = x\n}\n"
	    "id = spawnd {\n  overload = x\n}\nid = tcprelay {\n"
	    "  dead time = x\n}\n", 78,
	    { "main:2: rebalance: *", "main:5: *", "main:8: dead time: *" } },
	{ "a wrong token is passed over", "id = spawnd {\n"
	    "  foo = bar { background = 1\n  background = 2 }\n"
	    "  background = no overload = drop\n"
	    "  pidfile = /x overload = drop\n  listen = { port 70000 }\n}\n",
	    78, { "main:2: *but got 'foo'*", "main:4: *but got 'drop'",
	    "main:5: *but got 'drop'", "main:6: port: 70000*" } },
	{ "strings are passed over, too", "id = spawnd {\n"
	    "  foo = \"\n}\nbackground = 2\n\"\n  background = 3\n}\n", 78,
	    { "main:2: *but got 'foo'*", "main:6: *but got '3'" } },
	{ "on to the brace", "id = spawnd { foo\n 1 2 3\n } id = tcprelay { bar"
	    "\n}", 78,
	    { "main:1: *but got 'foo'*", "main:3: *but got 'bar'*" } },
	{ "one error per line", "id = spawnd {\n"
	    "  listen { port = 70000 backlog = 0 dscp = 99 }\n}\n", 78,
	    { "main:2: port: 70000*" } },
	{ "what a block lacks", "id = spawnd {\n  listen\n  {\n"
	    "    backlog = 0\n"
	    "    address = ::1\n  }\n}\n" T, 78,
	    { "main:2: listen: port missing", "main:4: backlog: 0*" } },
	{ "a named socket is passed with its port", "id = spawnd {\n"
	    "  listen { name = web dscp = 3 tcp keepalive idle = 5 }\n"
	    "  listen { name = udp protocol = TCP }\n}\n" T, 0, { NULL } },
	{ "but not into a VRF", "id = spawnd {\n"
	    "  listen { name = web vrf = red }\n"
	    "  listen { name = adm address = ::1 }\n}\n" T, 78,
	    { "main:2: listen: port missing",
	    "main:3: listen: port missing" } },
	{ "a port is not lacking if it is wrong",
	    "id = spawnd {\n  listen {\n port = x.y\n  }\n}\n" T, 78,
	    { "main:3: port: unknown service 'x.y'" } },
	{ "nor if it was passed over", "id = spawnd {\n  listen {\n"
	    "    address = ::1\n    tls = maybe port = 80\n  }\n}\n" T, 78,
	    { "main:4: *but got 'maybe'" } },
	{ "nothing follows from a broken file", "id = spawnd {\n  listen {\n"
	    "    address = ::1\n    name = 'x\n", 78,
	    { "main:4: string not closed, opened in line 4" } },
	{ "whole checks come last", "id = spawnd {\n"
	    "  listen { port = 443 tls }\n}\nid = tcprelay {\n}\n", 78,
	    { "main:2: *needs 'tls cert-file'*",
	    "main:4: no 'remote' defined" } },
	{ "and only if nothing else is wrong", "id = spawnd {\n"
	    "  listen { port = 443 tls }\n  overload = x }\n", 78,
	    { "main:3: *but got 'x'" } },
	{ "did you mean", "id = spawnd { bakground = yes }\n" S T, 78,
	    { "main:1: *but got 'bakground' (did you mean 'background'?)" } },
	{ "two edits are near enough", "id = spawnd { sticky cahes size 3 }\n"
	    S T, 78, { "main:1: Expected 'cache', but got 'cahes' "
	    "(did you mean 'cache'?)" } },
	{ "three are not", "id = spawnd { background = yesyes }\n" S T, 78,
	    { "main:1: *but got 'yesyes'" } },
	{ "nor what is not a word", "id = spawnd { background = \"yess\" }\n"
	    S T, 78, { "main:1: *but got \"yess\"" } },
	{ "reserved for include", "id = spawnd { pidfile = include }\n" S T,
	    78, { "main:1: pidfile: Expected a value, but got 'include'" } },
	{ "delimiters are no values", "id = spawnd { pidfile = , }\n" S T,
	    78, { "main:1: pidfile: Expected a value, but got ','" } },
	{ "two signs", "id = spawnd { listen = = { } }\n" S T, 78,
	    { "main:1: Expected '{', but got '='" } },
	{ "control characters", "id = spawnd { \001\033[2J }\n" S T, 78,
	    { "main:1: *but got '?*'" } },
	{ "warnings", "id = spawnd {\n  spawn { instances min = 9 }\n"
	    "  spawn { instances max = 3 }\n  syslog filter = 1\n"
	    "  listen { port = 1 flag = accounting }\n}\n" T, 0,
	    { "main:2: warning: instances min: 9 is above the maximum, "
	    "reduced to 3",
	    "main:4: warning: syslog filter: no effect here",
	    "main:5: warning: 'flag = accounting' is not used by tcprelay" } },
	{ "more warnings", S "id = spawnd {\n"
	    "  listen { port = 1 aaa.protocol = radius.tcp }\n}\n"
	    "id = tcprelay {\n  remote { address = ::2 port = 1 weight = 0 }\n"
	    "  remote { address = ::2:0 port = 2 }\n"
	    "  remote { address = ::2:0 port = 2 }\n}\n", 0,
	    { "main:3: warning: 'aaa.protocol' is not used by tcprelay",
	    "main:6: warning: weight: 0 counts as 1",
	    "main:8: warning: same destination as in line 7, both count" } },
	{ "still more", "id = spawnd {\n  listen { port = 80 }\n"
	    "  listen { port = 80 }\n}\nid = tcprelay {\n  key process = yes\n"
	    "  tls ca-file = /x\n  remote { address = 127.0.0.1 port = 80 }\n"
	    "}\n", 0,
	    { "main:3: warning: same as the listener in line 2, opened once",
	    "main:6: warning: key process: there is no TLS",
	    "main:7: warning: tls ca-file: not used without 'tls verify'",
	    "main:8: warning: the destination is the listener in line 2" } },
	{ "destinations that are listeners", "id = spawnd {\n"
	    "  listen { address = 127.0.0.1 port = 80 }\n"
	    "  listen { address = 0.0.0.0 port = 81 }\n"
	    "  listen { port = 82 }\n"
	    "  listen { address = ::0 port = 84 }\n"
	    "  listen { path = /tmp/conf-loop }\n}\n"
	    "id = tcprelay {\n  remote { address = 127.0.0.1 port = 80 }\n"
	    "  remote { address = 127.0.0.9 port = 81 }\n"
	    "  remote { address = 127.0.0.9 port = 82 }\n"
	    "  remote { address = ::1 port = 82 }\n"
	    "  remote { address = 127.0.0.2 port = 84 }\n"
	    "  remote { address = /tmp/conf-loop }\n"
	    "  remote { address = 127.0.0.2 port = 80 }\n"
	    "  remote { address = ::1 port = 81 }\n"
	    "  remote { address = 192.0.2.1 port = 82 }\n"
	    "  remote { address = /tmp/conf-loop2 }\n}\n", 0,
	    { "main:9: warning: the destination is the listener in line 2",
	    "main:10: warning: the destination is the listener in line 3",
	    "main:11: warning: the destination is the listener in line 4",
	    "main:12: warning: the destination is the listener in line 4",
	    "main:13: warning: the destination is the listener in line 5",
	    "main:14: warning: the destination is the listener in line 6" } },
	{ "another program in a single process", "id = spawnd {\n"
	    "  single process = yes\n  listen { port = 1 }\n"
	    "  spawn { exec = /bin/sh }\n}\nid = sh {\n}\n" T, 0,
	    { "main:4: warning: exec: not used by a single process" } },
	{ "what has no effect",
	    "regex-match-case = no\nregex-match-case = yes\n" S T, 0,
	    { "main:2: warning: regex-match-case: no effect here" } },
	{ "but has a range", "cleanup interval = 3601\n" S T, 78,
	    { "main:1: cleanup interval: 3601 is out of range (1 to 3600)" } },
	{ "no such host", "id = spawnd {\n"
	    "  listen { address = no-such-host.invalid port = 80 }\n}\n" T, 0,
	    { "main:2: warning: address: cannot resolve "
	    "'no-such-host.invalid'" } },
	{ "an include without match", S T "include = \"$CONFDIR/*.none\"", 0,
	    { "main:3: warning: include: nothing matches '*.none'" } },
	{ "escapes", S T "proctitle = \"a\\q\\777\"\n"
	    "proctitle = '\\0'\n", 78,
	    { "main:3: warning: unknown escape '\\q'",
	    "main:3: '\\777' is larger than a byte",
	    "main:4: NUL byte in a string" } },
	{ "single &", S T "proctitle = a&b\n", 78, { "main:3: single '&'" } },
	{ "listeners that overlap", "id = spawnd {\n  listen { port = 1 }\n"
	    "  listen { ::0 port = 1 }\n  listen { 0.0.0.0 port = 1 }\n}\n" T,
	    0, { "main:2: warning: nothing remains for this listener, see "
	    "lines 4 and 3" } },
	{ "one path, two modes", "id = spawnd {\n  listen { path = /x }\n"
	    "  listen { path = /x mode = 600 }\n}\n" T, 78,
	    { "main:3: /x: differs from the listener in line 2" } },
	{ "path and address", "id = spawnd {\n"
	    "  listen { path = /x address = ::1 }\n}\n" T, 78,
	    { "main:2: 'path' cannot be combined with 'address'" } },
	{ "a default name is taken", "id = spawnd {\n  listen { port = 1 }\n"
	    "  listen { port = 2 name = listener-1 }\n}\n" T, 78,
	    { "main:3: name: 'listener-1' used twice" } },
	{ "who accepts", "id = spawnd {\n  accept = workers\n"
	    "  sticky cache period = 5\n  listen { port = 1 }\n}\n" T, 78,
	    { "main:4: 'accept = workers' cannot be combined with "
	    "'sticky cache'" } },
	{ "who accepts alone", "id = spawnd {\n  accept = workers\n"
	    "  single process = yes\n  listen { port = 1 }\n}\n"
	    "id = tcprelay {\n retire = 5\n remote { ::1 port = 1 } }\n", 78,
	    { "main:8: *but got '::1'" } },
	{ "in a single process", "id = spawnd {\n  accept = workers\n"
	    "  single process = yes\n  listen { port = 1 }\n}\n"
	    "id = tcprelay {\n retire = 5\n"
	    " remote { address ::1 port = 2 } }\n", 0,
	    { "main:4: warning: accept = workers: there is a single process, "
	    "the master accepts",
	    "main:7: warning: retire: no effect in a single process" } },
	{ "a path that does not fit", "id = spawnd {\n  status socket = "
	    "/0123456789012345678901234567890123456789012345678901234567890"
	    "12345678901234567890123456789012345678901234567\n}\n" T, 78,
	    { "main:2: status socket: path too long" } },
	{ "refresh", "refresh = 9\nrefresh = 604801\nrefresh = 0\n" S T, 78,
	    { "main:1: refresh: 9 is out of range (10 to 604800)",
	    "main:2: refresh: 604801 is out of range*" } },
	{ "pre-shared keys", "id = spawnd {\n"
	    "  listen { port = 1 tls tls psk = yes }\n}\n" T, 78,
	    { "main:2: 'tls psk' needs 'tls psk-file'" } },
	{ "a key alone", "id = spawnd { listen { port = 1 } }\n"
	    "id = tcprelay {\n  tls key-file = /x\n"
	    "  remote { address ::1 port 2 tls tls key-file /y }\n}\n", 78,
	    { "main:4: 'tls key-file' needs 'tls cert-file'" } },
	{ "DTLS", "id = spawnd {\n  listen { port = 1 tls = DTLSv1.2 }\n"
	    "  listen { port = 2 protocol = UDP tls = DTLSv1.3 }\n}\n", 78,
	    { "main:2: tls: DTLS versions on a stream listener",
	    "main:3: tls: the TLS library has no DTLSv1.3" } },
	{ "names of servers", "id = tcprelay {\n  tls sni {\n    cert = /x\n"
	    "    name = a.*.b\n  }\n"
	    "  remote { address ::1 port 2 tls tls name = a/b }\n}\n" S, 78,
	    { "main:4: name: 'a.*.b' is not a name",
	    "main:6: tls name: 'a/b' is not a name" } },
	{ "the port of an address", "id = spawnd {\n"
	    "  listen { address = 127.0.0.1:80 port = 81 }\n"
	    "  listen { address = 127.0.0.1:0 }\n}\n" T, 78,
	    { "main:2: warning: the port in '127.0.0.1:80' counts, not "
	    "'port'", "main:3: port: 0 is out of range (1 to 65535)" } },
	{ "brackets with room", "id = spawnd {\n"
	    "  listen { address = [ ::1] port = 1 }\n"
	    "  listen { address = [::1 ]:5 }\n"
	    "  listen { address = [127.0.0.1]:5 }\n}\n" T, 78,
	    { "main:2: address: '[' is not an IP address",
	    "main:3: Expected ']', but got ']'",
	    "main:4: address: '[127.0.0.1]:5' is not an IP address" } },
	{ "addresses in old forms", "id = spawnd {\n"
	    "  listen { address = 10.1 port = 1 }\n"
	    "  listen { address = 010.0.0.1 port = 1 }\n"
	    "  listen { address = 0x7f.0.0.1 port = 1 }\n}\n"
	    "id = tcprelay { remote { address = 10.1 port = 2 } }", 78,
	    { "main:2: address: '10.1' is not an IP address",
	    "main:3: address: '010.0.0.1' is not an IP address",
	    "main:4: address: *", "main:6: address: '10.1' is not an IP*" } },
	{ "URLs", "include = \"https://x.example/y\"\n" S T, 66,
	    { URL_FAILS("main:1: include: ", "https://x.example/y") } },
};

static bool
matches(const char *said, const char *want)
{
	while (*want != '\0' && *want != '*') {
		if (*said++ != *want++)
			return false;
	}
	if (*want == '\0')
		return *said == '\0';
	for (want++; *said != '\0'; said++) {
		if (matches(said, want))
			return true;
	}
	return *want == '\0';
}

static void
said_check(const char *name, const struct try *t, const char *const said[],
    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (said[i] == NULL) {
			if (i < t->nlines)
				fail_msg("%s: \"%s\" as well", name,
				    t->lines[i]);
			break;
		}
		if (i >= t->nlines || !matches(t->lines[i], said[i]))
			fail_msg("%s: \"%s\", wanted \"%s\"", name,
			    i < t->nlines ? t->lines[i] : "nothing",
			    said[i]);
	}
}

static void
test_files(void **state)
{
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		try_run(&t, &try_tcprelay, try_file("main", files[i].text));
		said_check(files[i].name, &t, files[i].said, 6);
		if (t.status != files[i].status)
			fail_msg("%s: status %d", files[i].name, t.status);
		try_end(&t);
	}
}

/* ---- what cannot be a string literal ---- */

static void
test_bytes(void **state)
{
	static const char nul[] = S "\n\n pid\0file\n";
	static const char comment[] = S T "# \0\n";
	static const char bom[] = "\xef\xbb\xbf" S T;
	static char big[70100];
	struct try t;

	(void)state;
	/* W11 */
	try_run(&t, &try_tcprelay, try_write("main", nul, sizeof nul - 1));
	assert_string_equal(t.lines[0], "main:4: NUL byte");
	assert_int_equal(t.nlines, 1);
	try_end(&t);
	try_run(&t, &try_tcprelay,
	    try_write("main", comment, sizeof comment - 1));
	assert_string_equal(t.lines[0], "main:3: NUL byte");
	try_end(&t);
	try_run(&t, &try_tcprelay, try_write("main", bom, sizeof bom - 1));
	assert_int_equal(t.nlines, 0);
	try_end(&t);
	/* W12: a word, a string */
	memset(big, 'x', sizeof big);
	memcpy(big, "\n\nproctitle ", 12);
	try_run(&t, &try_tcprelay, try_write("main", big, 12 + 70000));
	assert_string_equal(t.lines[0],
	    "main:3: token longer than 65535 bytes");
	try_end(&t);
	big[12] = big[70020] = '"';
	try_run(&t, &try_tcprelay, try_write("main", big, 70021));
	assert_string_equal(t.lines[0],
	    "main:3: token longer than 65535 bytes");
	try_end(&t);
	/* the longest that may be */
	memcpy(big, S T "proctitle ", sizeof S T "proctitle " - 1);
	try_run(&t, &try_tcprelay, try_write("main", big,
	    sizeof S T "proctitle " - 1 + 65535));
	try_end(&t);
}

static void
test_unreadable(void **state)
{
	struct try t;

	(void)state;
	/* W13 */
	try_run(&t, &try_tcprelay, try_path("missing"));
	assert_string_equal(t.lines[0],
	    "cannot read 'missing': No such file or directory");
	assert_int_equal(t.status, 66);
	try_end(&t);
	assert_int_equal(mkdir(try_path("folder"), 0755), 0);
	try_run(&t, &try_tcprelay, try_path("folder"));
	assert_string_equal(t.lines[0],
	    "cannot read 'folder': Is a directory");
	assert_int_equal(t.status, 66);
	try_end(&t);
	try_run(&t, &try_tcprelay, "https://config.example.net/relay.conf");
	assert_string_equal(t.lines[0], URL_FAILS("",
	    "https://config.example.net/relay.conf"));
	assert_int_equal(t.status, 66);
	try_end(&t);
}

/* ---- many errors ---- */

static void
test_too_many(void **state)
{
	char text[2000] = "id = spawnd {\n";
	struct try t;

	(void)state;
	for (int i = 0; i < 30; i++)
		strcat(text, "background = x\n");
	strcat(text, "}\n");
	try_run(&t, &try_tcprelay, try_file("main", text));
	assert_int_equal(t.nlines, 21);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text, sizeof text, "main:%u: *", i + 2);
		assert_true(matches(t.lines[i], text));
	}
	assert_string_equal(t.lines[20], "main:22: too many errors");
	try_end(&t);
}

/* ---- includes ---- */

static void
test_includes(void **state)
{
	char text[64];
	struct try t;

	(void)state;
	/* W10 */
	try_file("inc", "overload = reset\n\noverload = drop\n");
	try_run(&t, &try_tcprelay, try_file("main", "\nid = spawnd {\n"
	    "include = \"$CONFDIR/inc\" overload = x\n}\n" T));
	said_check("W10", &t, (const char *const[]){
	    "main:3: *but got 'x'", "inc:3: *but got 'drop'",
	    "main:3: included from here", NULL }, 4);
	try_end(&t);

	/* it gives a whole block, or parts of one */
	try_file("inc", "port = 4000\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    "id = spawnd { listen { include \"$CONFDIR/inc\" } }\n" T));
	assert_int_equal(t.nlines, 0);
	assert_int_equal(net_port(&t.compiled->broker.listeners[0].addr),
	    4000);
	try_end(&t);

	/* but closes what it opens, and nothing else */
	try_file("inc", "listen {\n port = 4000\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    "id = spawnd { include \"$CONFDIR/inc\" } }\n" T));
	said_check("open", &t, (const char *const[]){
	    "main:1: *but got '}'",
	    "inc:2: block not closed, opened in line 1",
	    "main:1: included from here", NULL }, 4);
	try_end(&t);
	try_file("inc", "background = no\n} listen = { port = 70000 }\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    "id = spawnd {\n  include \"$CONFDIR/inc\"\n}\n" T));
	said_check("close", &t, (const char *const[]){
	    "inc:2: *but got '}'", "main:2: included from here", NULL }, 3);
	try_end(&t);

	/* a value does not come from behind the end */
	try_file("inc", "pidfile =\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    "id = spawnd {\n  include \"$CONFDIR/inc\"\n  /x }\n" T));
	said_check("value", &t, (const char *const[]){
	    "inc:1: pidfile: value missing", "main:2: included from here",
	    NULL }, 3);
	try_end(&t);

	/* what is broken off does not take the includer along */
	try_file("inc", "listen {\n address = ::1 name = 'x\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    "id = spawnd {\n  include \"$CONFDIR/inc\"\n"
	    "  overload = x }\n" T));
	said_check("broken", &t, (const char *const[]){
	    "inc:2: string not closed, opened in line 2",
	    "main:2: included from here", "main:3: *but got 'x'", NULL }, 4);
	try_end(&t);

	/* not by way of another one, either */
	try_file("inc", "include \"$CONFDIR/inc2\"");
	try_file("inc2", "include \"$CONFDIR/inc\"");
	try_run(&t, &try_tcprelay, try_file("main",
	    S T "include = \"$CONFDIR/inc\""));
	said_check("circle", &t, (const char *const[]){
	    "inc2:1: include: 'inc' includes itself: 'inc' -> 'inc2' -> "
	    "'inc'", "inc:1: included from here",
	    "main:3: included from here", NULL }, 4);
	try_end(&t);

	/* sixteen deep, and no deeper */
	for (int deep = 16; deep <= 17; deep++) {
		for (int i = 0; i < deep; i++) {
			char name[16];

			snprintf(name, sizeof name, "deep%d", i);
			snprintf(text, sizeof text,
			    "include = \"$CONFDIR/deep%d\"\n", i + 1);
			try_file(name, text);
		}
		snprintf(text, sizeof text, "deep%d", deep);
		try_file(text, "proctitle = x\n");
		try_run(&t, &try_tcprelay, try_file("deep0",
		    S T "include = \"$CONFDIR/deep1\"\n"));
		if (deep == 16)
			assert_int_equal(t.nlines, 0);
		else
			assert_string_equal(t.lines[0],
			    "deep16:1: include: nesting too deep");
		try_end(&t);
	}
}

static void
test_patterns(void **state)
{
	struct try t;

	(void)state;
	try_file("p-b.inc", "proctitle = b\n");
	try_file("p-c.inc", "proctitle = c\nsyslog ident = c");
	try_file("p-a.inc", "proctitle = a\nsyslog ident = a\n");
	try_run(&t, &try_tcprelay, try_file("main",
	    S T "include = \"$CONFDIR/p-*.inc\"\n"));
	assert_int_equal(t.nlines, 0);
	assert_string_equal(t.compiled->broker_common.proctitle, "c");
	try_end(&t);
	try_run(&t, &try_tcprelay, try_file("main",
	    S T "include = \"$CONFDIR/p-{b,a}.inc\"\n"));
	assert_string_equal(t.compiled->broker_common.proctitle, "b");
	assert_string_equal(t.compiled->broker_common.log.ident, "a");
	try_end(&t);
	try_run(&t, &try_tcprelay, try_file("main",
	    S T "include = \"$CONFDIR/p-[ab].inc\"\n"));
	assert_string_equal(t.compiled->broker_common.proctitle, "b");
	try_end(&t);
}

/* ---- sections ---- */

static void
test_sections(void **state)
{
	static const char two[] =
	    "id = front-spawnd { listen { port = 1 } spawn { id = back } }\n"
	    "id = front { remote { address = ::1 port = 11 } }\n"
	    "id = edge { remote { address = ::1 port = 12 } }\n"
	    "id = back { remote { address = ::1 port = 13 } }\n"
	    "id = spawnd { listen { port = 2 } }\n"
	    "id = tcprelay { remote { address = ::1 port = 14 } }\n";
	static const struct {
		const char	*broker, *worker, *argv0;
		unsigned	 listen, remote;
	} want[] = {
		{ NULL, NULL, "tcprelay", 2, 14 },
		{ NULL, NULL, "/some/where/edge", 2, 12 },
		{ NULL, "front", "tcprelay", 2, 11 },
		{ "front-spawnd", NULL, "tcprelay", 1, 13 },
		{ "front-spawnd", "front", "/x/edge", 1, 11 },
	};
	const char *file = try_file("main", two);
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		const struct config *c;
		char *const env[] = { NULL };

		try_begin(&t, &try_tcprelay, file);
		t.request.broker_id = want[i].broker;
		t.request.worker_id = want[i].worker;
		t.request.argv0 = want[i].argv0;
		try_compile(&t, source_gather(env));
		assert_int_equal(t.nlines, 0);
		c = t.compiled->worker;
		assert_int_equal(net_port(
		    &t.compiled->broker.listeners[0].addr), want[i].listen);
		assert_int_equal(net_port(&c->remotes[0].addr),
		    want[i].remote);
		try_end(&t);
	}
	try_begin(&t, &try_tcprelay, file);
	t.request.broker_id = "none";
	t.request.worker_id = "nobody";
	try_compile(&t, source_gather(NULL));
	assert_string_equal(t.lines[0], "main:6: no section with id 'none'");
	try_end(&t);
}

/* Who is the worker of a broker that stands alone (1.4). */
static void
test_standalone(void **state)
{
	struct try t;
	const char *file;

	(void)state;
	/* its own name first, then the usual one */
	file = try_file("main", "id = edge { listen { port = 1 } "
	    "spawn { exec /bin/true } }\n"
	    "id = spawnd { listen { port = 2 } spawn { exec /bin/true } }\n");
	for (int i = 0; i < 2; i++) {
		try_begin(&t, &try_spawnd, file);
		t.request.argv0 = i == 0 ? "/x/edge" : "/x/other";
		try_compile(&t, source_gather(NULL));
		assert_int_equal(t.nlines, 0);
		assert_int_equal(net_port(
		    &t.compiled->broker.listeners[0].addr), i + 1);
		assert_string_equal(t.compiled->broker.spawn.id, "true");
		assert_null(t.compiled->worker);
		try_end(&t);
	}
	/* but what was asked for must be there */
	try_begin(&t, &try_spawnd, file);
	t.request.broker_id = "other";
	try_compile(&t, source_gather(NULL));
	assert_string_equal(t.lines[0], "main:2: no section with id 'other'");
	try_end(&t);

	/* no exec: by the only other section, beside ourselves */
	file = try_file("main", "id = spawnd { listen { port = 2 } }\n"
	    "id = relay { what \"ever\" }\nid = relay { }\n");
	try_begin(&t, &try_spawnd, file);
	t.request.self = try_path("spawnd");
	try_compile(&t, source_gather(NULL));
	assert_string_equal(t.lines[0], "main:1: spawn: 'exec' missing and no "
	    "program found for section 'relay'");
	try_end(&t);
	assert_int_equal(chmod(try_file("relay", "#!/bin/sh\n"), 0755), 0);
	try_begin(&t, &try_spawnd, file);
	t.request.self = try_path("spawnd");
	try_compile(&t, source_gather(NULL));
	assert_int_equal(t.nlines, 0);
	assert_string_equal(t.compiled->broker.spawn.exec, try_path("relay"));
	assert_string_equal(t.compiled->broker.spawn.id, "relay");
	try_end(&t);

	/* two could be meant, unless one is named */
	for (int i = 0; i < 3; i++) {
		char named[512];

		snprintf(named, sizeof named, i == 1 ? "id = spawnd {\n\n  "
		    "spawn { id = relay } }\nid = relay { }\nid = other { }\n" :
		    "id = spawnd {\n\n  spawn { } }\n"
		    "id = relay { }\nid = other { }\n");
		try_begin(&t, &try_spawnd, try_file("main", named));
		t.request.self = try_path("spawnd");
		t.request.worker_id = i == 2 ? "relay" : NULL;
		try_compile(&t, source_gather(NULL));
		if (i == 0)
			assert_string_equal(t.lines[0], "main:3: spawn: "
			    "'exec' missing and no program found for section "
			    "'relay', 'other'");
		else
			assert_string_equal(t.compiled->broker.spawn.exec,
			    try_path("relay"));
		try_end(&t);
	}

	/* no relay's word is wrong for it, nor is a single process right */
	try_run(&t, &try_spawnd, try_file("main", "id = spawnd {\n"
	    "  single process = yes\n  spawn { exec = /bin/true }\n}\n"));
	assert_string_equal(t.lines[0],
	    "main:2: single process: not with a stand-alone broker");
	try_end(&t);
	try_run(&t, &try_spawnd, try_file("main", "id = spawnd {\n"
	    "  accept = workers listen { port 1 protocol = TCP tls }\n"
	    "  spawn { exec = /bin/true }\n}\n"));
	said_check("alone", &t, (const char *const[]){ "main:2: warning: "
	    "accept = workers: the broker stands alone, the master accepts",
	    NULL }, 2);
	assert_int_equal(t.compiled->broker.listeners[0].accept,
	    ACCEPT_MASTER);
	try_end(&t);
}

/* With exec the worker is another program, or this one by another way. */
static void
test_exec(void **state)
{
	static const char text[] = "id = spawnd {\n"
	    "  listen { port = 1 }\n  spawn { exec = %s }\n}\n%s";
	char file[256];
	struct try t;

	(void)state;
	snprintf(file, sizeof file, text, "/bin/true", "");
	try_begin(&t, &try_tcprelay, try_file("main", file));
	t.request.self = "/bin/sh";
	try_compile(&t, source_gather(NULL));
	assert_int_equal(t.nlines, 0);
	assert_string_equal(t.compiled->broker.spawn.exec, "/bin/true");
	assert_string_equal(t.compiled->broker.spawn.id, "true");
	assert_null(t.compiled->worker);
	try_end(&t);

	snprintf(file, sizeof file, text, "/bin/../bin/true", T);
	try_begin(&t, &try_tcprelay, try_file("main", file));
	t.request.self = "/bin/true";
	try_compile(&t, source_gather(NULL));
	assert_int_equal(t.nlines, 0);
	assert_null(t.compiled->broker.spawn.exec);
	assert_string_equal(t.compiled->broker.spawn.id, "tcprelay");
	assert_non_null(t.compiled->worker);
	try_end(&t);

	/* cookies */
	snprintf(file, sizeof file, text, "\"/bin/%%/%o/%O\"", T);
	try_run(&t, &try_tcprelay, try_file("main", file));
	assert_true(matches(t.lines[0],
	    "main:3: exec: '/bin/%/*-*-*/*-*' is not executable"));
	try_end(&t);
}

/* The worker's half from a file of its own. */
static void
test_config_file(void **state)
{
	char text[PATH_MAX + 100];
	struct try t;

	(void)state;
	snprintf(text, sizeof text, "id = spawnd { listen { port = 1 }\n"
	    "  spawn { config = %s } }\n", try_path("other"));
	try_file("main", text);
	unlink(try_path("other"));
	try_run(&t, &try_tcprelay, try_path("main"));
	assert_string_equal(t.lines[0],
	    "main:2: cannot read 'other': No such file or directory");
	assert_int_equal(t.status, 66);
	try_end(&t);
	try_file("other", "\nid = tcprelay {\n  rebalance = x\n}\n");
	try_run(&t, &try_tcprelay, try_path("main"));
	assert_string_equal(t.lines[0],
	    "other:3: rebalance: 'x' is not a number");
	try_end(&t);
	try_file("other", T);
	try_run(&t, &try_tcprelay, try_path("main"));
	assert_int_equal(t.nlines, 0);
	try_end(&t);
}

/* A worker that somebody else's broker started reads its section only. */
static void
test_worker_only(void **state)
{
	struct try t;

	(void)state;
	try_begin(&t, &try_tcprelay, try_file("main",
	    "id = other { nothing known }\n"
	    "id = spawnd { nothing known either }\n" T));
	t.request.worker_only = true;
	t.request.worker_id = "tcprelay";
	try_compile(&t, source_gather(NULL));
	assert_int_equal(t.nlines, 0);
	assert_int_equal(((struct config *)t.compiled->worker)->nremotes, 1);
	try_end(&t);
}

/* ---- environment ---- */

static void
test_environment(void **state)
{
	struct try t;
	char **env;
	unsigned n = 0;

	(void)state;
	try_run(&t, &try_tcprelay, try_file("main",
	    "setenv A = 1\nproctitle = \"$A ${A} ${SET} ${B}\"\n"
	    "setenv B \"b-${A}\"\nsyslog ident = \"${B} \\044{B}\"\n"
	    "id = spawnd { setenv C = c listen { } }\n"
	    "id = tcprelay { setenv D = d\n"
	    "  remote { address = ::1 port = 2 pool = \"${C}${D}\" } }\n"
	    "id = spawnd { pidfile = \"${C}${D}\" }\n"));
	said_check("environment", &t, (const char *const[]){
	    "main:2: warning: environment variable 'B' is not set",
	    "main:8: warning: environment variable 'D' is not set",
	    NULL }, 3);
	assert_string_equal(t.compiled->broker_common.proctitle,
	    "$A 1 value ${B}");
	assert_string_equal(t.compiled->broker_common.log.ident, "b-1 b-1");
	assert_string_equal(t.compiled->broker.pidfile, "c${D}");
	assert_string_equal(((struct config *)t.compiled->worker)->
	    remotes[0].pool, "cd");
	assert_string_equal(source_getenv(t.compiled->source, "C"), "c");
	assert_null(source_getenv(t.compiled->source, "D"));
	for (env = source_environ(t.compiled->source); *env != NULL; env++)
		n += strcmp(*env, "SET=value") == 0 ||
		    strcmp(*env, "A=1") == 0 || strcmp(*env, "C=c") == 0 ||
		    strcmp(*env, "D=d") == 0;
	assert_int_equal(n, 4);
	try_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_standalone),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_config_file),
		cmocka_unit_test(test_worker_only),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, try_setup, try_teardown);
}
