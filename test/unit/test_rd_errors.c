/*
 * What is wrong with a relayd.conf, row by row as the language's page lists
 * it (7.2 to 7.9): a file, and all that is said of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features.h"
#include "misc/tls.h"
#include "relayd/rd_conf.h"

#define X16	"xxxxxxxxxxxxxxxx"
#define X32	X16 X16
#define X64	X32 X32
#define X256	X64 X64 X64 X64
#define X1024	X256 X256 X256 X256
#define A32	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define H8	"10.1.0.1 10.1.0.2 10.1.0.3 10.1.0.4 " \
		"10.1.0.5 10.1.0.6 10.1.0.7 10.1.0.8 "

/* Line 1 of most files; the rest begins on line 2. */
#define WEB	"table <web> { 10.0.0.1 }\n"
/* So that a file has a service and no table is left over. */
#define OK	"relay \"ok\" { listen on 192.0.2.99 port 1\n" \
		"forward to 192.0.2.98 port 1 }\n"
#define OKWEB	"relay \"ok\" { listen on 192.0.2.99 port 1\n" \
		"forward to <web> port 1 }\n"
#define RELAY(statements) \
		"relay \"www\" {\nlisten on 192.0.2.1 port 80\n" statements \
		"\n}\n"
#define RDR(statements) \
		"redirect \"www\" {\nlisten on 192.0.2.1 port 80\n" \
		statements "\n}\n"
#define FWD	"\nforward to 10.0.0.9"
/* The protocol is used, its statements begin on line 2. */
#define PROTO(type, statements) \
		type " protocol \"a\" {\n" statements "\n}\n" \
		"relay \"ok\" { listen on 192.0.2.99 port 1\nprotocol \"a\"\n" \
		"forward to 192.0.2.98 port 1 }\n"
#define HTTP(statements)	PROTO("http", statements)
#define TCP(statements)		PROTO("tcp", statements)

#define R	"r.conf"

static const struct row {
	const char	*name, *text, *said;
} errors[] = {
	/* ---- 7.2 ---- */
	{ "E13", "interval 0\n" OK,
	    R ":1: interval must be at least 1 second\n" },
	{ "E13 negative", "\ninterval -5\n" OK,
	    R ":2: interval must be at least 1 second\n" },
	{ "interval", "interval 99999999999\n" OK,
	    R ":1: number 99999999999 is out of range\n" },
	{ "E14", "timeout -1\n" OK, R ":1: timeout must not be negative\n" },
	{ "E14 table", WEB RELAY("forward to <web> timeout -1"),
	    R ":4: timeout must not be negative\n" },
	{ "E15", "prefork 0\nprefork 33\n" OK,
	    R ":1: prefork must be between 1 and 32\n"
	    R ":2: prefork must be between 1 and 32\n" },
	{ "E16", "log everything\n" OK, R ":1: unknown log option "
	    "\"everything\", expected \"state changes\", \"host checks\" or "
	    "\"connection [errors]\"\n" },
	{ "E17", "agentx context " X32 "\n" OK,
	    R ":1: agentx context is longer than 31 bytes\n" },
	{ "E18", "agentx path \"" X64 X64 "\"\n" OK,
	    R ":1: agentx path is longer than 103 bytes\n" },
	{ "E19", "timeout 10000\n" OK, R ": global timeout (10000 ms) must "
	    "be smaller than the interval (10 s)\n" },
	{ "E20", WEB,
	    R ": configuration defines no redirect, relay or router\n" },
	{ "E20 empty", "",
	    R ": configuration defines no redirect, relay or router\n" },

	/* ---- 7.3 ---- */
	{ "E21", WEB "table <web> { 10.0.0.2 }\n" OKWEB,
	    R ":2: table <web> is already defined\n" },
	{ "E22", "table <web> disable\n" OKWEB,
	    R ":1: table <web> has no hosts\n" },
	{ "E23", "table <" X64 "> { 10.0.0.1 }\n" OK,
	    R ":1: table name <" X64 "> is too long\n" },
	{ "E23 port", "table <" X32 X16 "123456789012> { 10.0.0.1 }\n"
	    RELAY("forward to <" X32 X16 "123456789012> port 8080"),
	    R ":4: table name <" X32 X16 "123456789012:8080> is too long\n" },
	{ "E24", "table <web> {\n10.0.0.1\nno.such.host.example\n}\n" OKWEB,
	    R ":3: cannot resolve host \"no.such.host.example\"\n" },
	{ "host name", "table <web> { " X256 " }\n" OKWEB,
	    R ":1: host name is longer than 255 bytes\n" },
	{ "E25", "table <web> { 10.0.0.1 retry -1 }\n" OKWEB,
	    R ":1: retry must not be negative\n" },
	{ "E25 twice", "table <web> { 10.0.0.1 retry 2 retry 3 }\n" OKWEB,
	    R ":1: retry is given twice\n" },
	{ "E25 target", RELAY("forward to 10.0.0.1 retry -1"),
	    R ":3: retry must not be negative\n" },
	{ "E26 itself", "table <web> { 10.0.0.1 parent 1 }\n" OKWEB,
	    R ":1: host 1 cannot be its own parent\n" },
	{ "E26 none", "table <web> {\n10.0.0.1 parent 99\n}\n" OKWEB,
	    R ":2: parent host 99 does not exist\n" },
	{ "E26 chain", "table <web> { 10.0.0.1\n10.0.0.2 parent 1\n"
	    "10.0.0.3 parent 2 }\n" OKWEB,
	    R ":3: parent host 2 has a parent itself\n" },
	{ "E26 twice", "table <web> { 10.0.0.1 parent 2 parent 3 }\n" OKWEB,
	    R ":1: parent is given twice\n" },
	{ "E26 negative", "table <web> { 10.0.0.1 parent -1 }\n" OKWEB,
	    R ":1: parent must not be negative\n" },
	{ "E27", "table <web> { 10.0.0.1 priority 64 }\n" OKWEB,
	    R ":1: priority must be between 0 and 63\n" },
	{ "E27 twice", "table <web> { 10.0.0.1 priority 6 priority 6 }\n"
	    OKWEB, R ":1: priority is given twice\n" },
	{ "E28", "table <web> { 10.0.0.1 ip ttl 300 }\n" OKWEB,
	    R ":1: ip ttl must be between 0 and 255\n" },
	{ "E28 twice", "table <web> { 10.0.0.1 ip ttl 3 ip ttl 3 }\n" OKWEB,
	    R ":1: ip ttl is given twice\n" },
	{ "E29", WEB RELAY("forward to <nosuch> port 80"),
	    R ":4: table <nosuch> is not defined\n" },
	{ "E30", WEB RELAY("forward to <web>"),
	    R ":4: table reference <web> needs at least one option\n" },
	{ "E31", WEB RELAY("forward to <web> interval 15"),
	    R ":4: table interval must be a multiple of the global interval "
	    "(10 s)\n" },
	{ "E31 smaller", WEB RELAY("forward to <web> interval 5"),
	    R ":4: table interval must be a multiple of the global interval "
	    "(10 s)\n" },
	{ "E32", WEB RELAY("forward to <web> timeout 20000"),
	    R ": timeout of table <web:80> must be smaller than the "
	    "interval\n" },
	{ "E32 order", "timeout 5000\n" WEB "timeout 1\ninterval 5\n"
	    RELAY("forward to <web> check tcp"),
	    R ": timeout of table <web:80> must be smaller than the "
	    "interval\n" },
	{ "E33", WEB RELAY("forward to <web> check http \"/\" code 0"),
	    R ":4: HTTP status code must be between 100 and 999\n" },
	{ "E34", WEB RELAY("forward to <web> check http \"/\" digest "
	    "\"abc\""), R ":4: digest must have 32 (MD5) or 40 (SHA-1) "
	    "characters\n" },
	{ "E35", WEB RELAY("forward to <web> check send nothing expect \""
	    X256 "\""), R ":4: expect pattern is longer than 255 bytes\n" },
	{ "E36", WEB RELAY("forward to <web> check binary send \"0f1\" "
	    "expect \"00\""), R ":4: binary data must be an even number of "
	    "hexadecimal digits\n" },
	{ "E36 digit", WEB RELAY("forward to <web> check binary send "
	    "nothing expect \"0g\""), R ":4: binary data must be an even "
	    "number of hexadecimal digits\n" },
	{ "E37", WEB RELAY("forward to <web> check binary send \"\" expect "
	    "\"00\""), R ":4: binary data must not be empty\n" },
	{ "binary", WEB RELAY("forward to <web> check binary send nothing "
	    "expect " A32 A32 A32 A32 A32 A32 A32 A32),
	    R ":4: binary data is longer than 127 bytes\n" },
	{ "E38", WEB RELAY("forward to <web> check ftp"),
	    R ":4: unknown check \"ftp\"\n" },
	{ "script", WEB RELAY("forward to <web> check script \"" X1024
	    "\""), R ":4: script path is longer than 1023 bytes\n" },
	{ "E39", WEB RELAY("forward to <web> mode least-states"),
	    R ":4: mode least-states is only available in redirects\n" },
	{ "E39 router", "table <g> { 192.0.2.1 }\nrouter \"a\" {\n"
	    "route 10.0.0.0/8\nforward to <g> mode least-states check icmp\n"
	    "}\n",
	    R ":4: mode least-states is only available in redirects\n" },
	{ "E40", WEB RDR("forward to <web> check tcp mode hash"),
	    R ":4: mode hash is only available in relays\n" },
	{ "E40 loadbalance", WEB
	    RDR("forward to <web> check tcp mode loadbalance"),
	    R ":4: mode loadbalance is only available in relays\n" },
	{ "E41", WEB RELAY("forward to <web> mode random \"k\""),
	    R ":4: mode random does not take a key\n" },
	{ "E42", WEB RELAY("forward to <web> mode hash 0x1234"),
	    R ":4: hexadecimal key must have exactly 32 digits\n" },
	{ "E42 digit", WEB RELAY("forward to <web> mode hash \"0x" X32
	    "\""),
	    R ":4: hexadecimal key must have exactly 32 digits\n" },
	{ "E43", WEB RELAY("forward to <web> mode hash \"a\" mode "
	    "source-hash \"b\""), R ":4: key is given twice\n" },
	{ "E44", WEB RELAY("forward to <web> check tcp demote " X16),
	    R ":4: group name is longer than 15 bytes\n" },
	{ "E44 name", WEB RELAY("forward to <web> check tcp demote "
	    "\"../x\""), R ":4: interface group \"../x\" cannot be used for "
	    "demotion: not a group name\n" },
	{ "E45", WEB RELAY("forward to <web> port 70000\n"
	    "forward to <web> port 0"),
	    R ":4: port must be between 1 and 65535\n"
	    R ":5: port must be between 1 and 65535\n" },
	{ "E45 range", WEB "redirect \"r\" {\nlisten on 192.0.2.1 port 90:80"
	    "\nforward to <web> check tcp\n}\n",
	    R ":3: port range 90:80 is not valid\n" },
	{ "E45 zero", WEB "redirect \"r\" {\nlisten on 192.0.2.1 port 0:80"
	    "\nforward to <web> check tcp\n}\n",
	    R ":3: port range 0:80 is not valid\n" },
	{ "E46", WEB RELAY("forward to <web> port nosuchservice"),
	    R ":4: unknown service name \"nosuchservice\"\n" },
	{ "E47", WEB RELAY("forward to <web> port 80:90"),
	    R ":4: a single port is required here\n" },
	{ "E47 relay", RELAY("listen on 192.0.2.1 port 8:9" FWD),
	    R ":3: a single port is required here\n" },
	{ "E47 missing", WEB "relay \"www\" {\nforward to <web> check tcp\n"
	    "listen on 192.0.2.1 port 80\n}\n", R ":3: port is missing\n" },
	{ "E47 redirect", WEB "redirect \"www\" {\n"
	    "forward to <web> check tcp\nlisten on 192.0.2.1 port 80\n}\n",
	    R ":3: port is missing\n" },
	{ "E47 address", "relay \"www\" {\nforward to 10.0.0.1\n"
	    "listen on 192.0.2.1 port 80\n}\n", R ":2: port is missing\n" },

	/* ---- 7.4 ---- */
	{ "E48", WEB RDR("forward to <web> check tcp")
	    RDR("forward to <web> check tcp"),
	    R ":6: redirect \"www\" is already defined\n" },
	{ "E49", WEB "redirect \"" X32 "\" {\nlisten on 192.0.2.1 port 80\n"
	    "forward to <web> check tcp\n}\n",
	    R ":2: redirect name \"" X32 "\" is longer than 31 bytes\n" },
	{ "E50", RDR(""), R ":1: redirect \"www\" has no table\n" },
	{ "E51", WEB "redirect \"www\" {\nforward to <web> port 1 check tcp"
	    "\n}\n",
	    R ":2: redirect \"www\" has no address to listen on\n" },
	{ "E52", WEB RDR("forward to <web> check tcp interface em0"),
	    R ":4: \"interface\" is only allowed with \"route to\"\n" },
	{ "E53", WEB RDR("route to <web> check tcp"),
	    R ":4: \"route to\" needs an interface\n" },
	{ "interface", WEB RDR("route to <web> check tcp interface " X16),
	    R ":4: interface name is longer than 15 bytes\n" },
	{ "E54", WEB RDR("transparent forward to <web> check tcp"),
	    R ":4: \"transparent\" is only available in relays\n" },
	{ "E55", WEB RDR("forward to <web> port 80"),
	    R ":4: table <web:80> needs a check to be used in a redirect\n" },
	{ "E56", WEB RDR("forward to <web> check tcp\n"
	    "forward to <web> check tcp\nforward to <web> check tcp"),
	    R ":6: redirect \"www\" can have only one backup table\n" },
	{ "E57", WEB RDR("forward to <web> check tcp mode random\n"
	    "forward to <web> check tcp mode roundrobin"),
	    R ":5: main and backup table of redirect \"www\" must use the "
	    "same mode\n" },
	{ "E58", WEB RDR("forward to <web> check tcp\n"
	    "forward to <web> check tcp port 81"),
	    R ":5: main and backup table of redirect \"www\" must use the "
	    "same port\n" },
	{ "E59", WEB RDR("listen on no.such.host.example port 80\n"
	    "forward to <web> check tcp"), R ":4: cannot resolve listen "
	    "address \"no.such.host.example\"\n" },
	{ "E60", WEB RDR("listen on 192.0.2.1 foo port 81\n"
	    "forward to <web> check tcp"),
	    R ":4: unknown IP protocol \"foo\"\n" },
	{ "E61", WEB RDR("pftag " X64 "\nforward to <web> check tcp"),
	    R ":4: tag is longer than 63 bytes\n" },
	{ "E62", WEB RDR("session timeout -1\nsession timeout 2147483648\n"
	    "forward to <web> check tcp"),
	    R ":4: session timeout must be between 0 and 2147483647\n"
	    R ":5: session timeout must be between 0 and 2147483647\n" },
	{ "E62 relay", RELAY("session timeout 0" FWD),
	    R ":3: session timeout must be between 1 and 2147483647\n" },
	{ "E115", WEB RDR("forward to <web> check tcp\n"
	    "route to <web> check tcp interface em0"),
	    R ":5: redirect \"www\" mixes \"forward to\" and \"route to\"\n" },
	{ "E116", WEB RDR("match pftag A\n"
	    "route to <web> check tcp interface em0"),
	    R ":4: \"match pftag\" cannot be combined with \"route to\"\n" },
#ifdef __linux__
	{ "route least-states", WEB RDR("route to <web> check tcp mode "
	    "least-states interface em0"), R ":4: \"least-states\" cannot be "
	    "used with \"route to\" on this system\n" },
#endif

	/* ---- 7.5 ---- */
	{ "E63", RELAY("forward to 10.0.0.1") "relay \"www\" {\n"
	    "listen on 192.0.2.1 port 81" FWD "\n}\n",
	    R ":5: relay \"www\" is already defined\n" },
	{ "E63 address", RELAY("forward to 10.0.0.1") "relay \"other\" {\n"
	    "listen on 192.0.2.1 port 80" FWD "\n}\n",
	    R ":6: 192.0.2.1 port 80 is already used by relay \"www\"\n" },
	{ "E63 own", RELAY("listen on 192.0.2.1 port 80" FWD),
	    R ":3: 192.0.2.1 port 80 is already used by relay \"www\"\n" },
	{ "E63 generated", RELAY("listen on 192.0.2.1 port 81" FWD)
	    "relay \"www2:81\" {\nlisten on 192.0.2.2 port 80" FWD "\n}\n",
	    R ":6: relay \"www2:81\" is already defined\n" },
	{ "relay name", "relay \"" X256 "\" {\nlisten on 192.0.2.1 port 80"
	    FWD "\n}\n",
	    R ":1: relay name \"" X256 "\" is longer than 255 bytes\n" },
	{ "E64", "relay \"www\" {\nforward to 10.0.0.1 port 80\n}\n",
	    R ":1: relay \"www\" has no listener\n" },
	{ "E65", RELAY(""), R ":1: relay \"www\" has no target\n" },
	{ "E66", RELAY("forward to nat lookup\nforward to destination"),
	    R ":4: relay \"www\" cannot use both \"nat lookup\" and "
	    "\"destination\"\n" },
	{ "E67", WEB RELAY("route to <web> port 80"),
	    R ":4: \"route to\" is only available in redirects\n" },
	{ "E68", RELAY("forward to 10.0.0.1\nforward to 10.0.0.2"),
	    R ":4: relay \"www\" already has a target address\n" },
	{ "E69", RELAY("protocol \"nosuch\"" FWD),
	    R ":3: protocol \"nosuch\" is not defined\n" },
	{ "E70", "protocol \"a\"\nprotocol \"b\"\n"
	    RELAY("protocol \"a\"\nprotocol \"b\"" FWD),
	    R ":6: relay \"www\" already has a protocol\n" },
	{ "E71", "relay \"www\" {\nlisten on 192.0.2.1 port 443 tls" FWD
	    "\n}\n", R ":2: cannot load certificate for relay \"www\": "
	    "/etc/ssl/192.0.2.1.crt: No such file or directory\n" },
	{ "E71 ca", "protocol \"a\" { tls ca file \"/ca\" }\n"
	    RELAY("protocol \"a\"\nforward with tls to 10.0.0.1"),
	    R ":2: cannot load certificate for relay \"www\": /ca: "
	    "No such file or directory\n" },
	{ "E72", "protocol \"a\" {\ntls keypair \"nosuch\"\n}\n"
	    "relay \"www\" {\nlisten on 192.0.2.1 port 443 tls\n"
	    "protocol \"a\"" FWD "\n}\n", R ":2: cannot load keypair "
	    "\"nosuch\" for relay \"www\": /etc/ssl/nosuch.crt: No such file "
	    "or directory\n" },
	{ "E72 path", "protocol \"a\" {\ntls keypair \"k\" cert \"c.pem\"\n"
	    "}\nrelay \"www\" {\nlisten on 192.0.2.1 port 443 tls\n"
	    "protocol \"a\"" FWD "\n}\n", R ":2: cannot load keypair "
	    "\"k\" for relay \"www\": /where/c.pem: No such file or "
	    "directory\n" },
	{ "E73", RELAY("forward to 10.0.0.1 port 80 inet6 \"nonsense\""),
	    R ":3: \"nonsense\" is not an IPv6 address\n" },
	{ "E74", "dns protocol \"a\"\nrelay \"www\" {\n"
	    "listen on 192.0.2.1 port 53 tls\nprotocol \"a\"" FWD "\n}\n",
	    R ":3: relay \"www\": TLS is not available for dns protocols\n" },
	{ "E75", "table <web> { " H8 H8 H8 H8 "10.2.0.1 }\n"
	    RELAY("forward to <web> check tcp"),
	    R ":4: relay \"www\": table <web:80> has more than 32 hosts\n" },
	{ "E113", RELAY("listen on no.such.host.example port 80" FWD),
	    R ":3: cannot resolve listen address "
	    "\"no.such.host.example\"\n" },
	{ "E114", RELAY("forward to no.such.host.example port 80"),
	    R ":3: cannot resolve target \"no.such.host.example\"\n" },

	/* ---- 7.6 ---- */
	{ "E76", "protocol \"a\"\n" TCP(""),
	    R ":2: protocol \"a\" is already defined\n" },
	{ "E76 default", "protocol \"default\"\n" OK,
	    R ":1: protocol name \"default\" is taken\n" },
	{ "E76 long", "protocol \"" X64 "\"\n" OK,
	    R ":1: protocol name \"" X64 "\" is longer than 63 bytes\n" },
	{ "E77", PROTO("smtp", ""),
	    R ":1: invalid protocol type: smtp\n" },
	{ "E78", TCP("http headerlen 100"), R ":2: http options are only "
	    "available in http protocols\n" },
	{ "E79", PROTO("dns", "tcp nodelay\ntls edh"),
	    R ":2: tcp options are not available in dns protocols\n"
	    R ":3: tls options are not available in dns protocols\n" },
	{ "E80", HTTP("http headerlen 131073"),
	    R ":2: headerlen must be between 0 and 131072\n" },
	{ "E81", TCP("tcp backlog 513"),
	    R ":2: backlog must be between 0 and 512\n" },
	{ "E82", TCP("tcp socket buffer -1\ntcp ip ttl 256\n"
	    "tcp ip minttl -1"), R ":2: socket buffer must not be negative\n"
	    R ":3: ttl must be between 0 and 255\n"
	    R ":4: minttl must be between 0 and 255\n" },
	{ "E83", TCP("tcp ip tos 16"), R ":2: unknown IP option \"tos\"\n" },
	{ "E84", TCP("tls { tlsv9 }"), R ":2: unknown TLS option "
	    "\"tlsv9\"\n" },
	{ "E85", TCP("tls { no tlsv1 }"), R ":2: protocol \"a\" enables no "
	    "usable TLS version\n" },
	{ "E85 sslv3", TCP("tls { no tlsv1, sslv3 }"),
	    R ":2: warning: \"sslv3\" is obsolete and has no effect\n"
	    R ":2: protocol \"a\" enables no usable TLS version\n" },
	{ "E86", TCP("tls edh params 768"), R ":2: edh params must be "
	    "\"none\", \"auto\" or \"legacy\"\n" },
	{ "E87", TCP("tls ecdhe \"nosuchcurve\""),
	    R ":2: unknown curve \"nosuchcurve\"\n" },
	{ "E87 long", TCP("tls ecdhe " X64 X64),
	    R ":2: curve list is longer than 127 bytes\n" },
	{ "E88", TCP("tls ciphers " X256 X256 X256),
	    R ":2: cipher list is longer than 767 bytes\n" },
	{ "E88 unknown", TCP("tls ciphers \"nonsense\""),
	    R ":2: cipher list \"nonsense\" contains no known cipher\n" },
	{ "E88 paths", TCP("tls ca file " X1024 "\ntls ca cert " X1024 "\n"
	    "tls ca key " X1024 " password x\ntls client ca " X1024 "\n"
	    "tls keypair " X1024), R ":2: ca file is longer than 1023 bytes\n"
	    R ":3: ca cert is longer than 1023 bytes\n"
	    R ":4: ca key is longer than 1023 bytes\n"
	    R ":5: client ca is longer than 1023 bytes\n"
	    R ":6: keypair name is longer than 1023 bytes\n" },
	{ "E89", "protocol \"a\" {\ntls { keypair k cert \"/c\" key \"/k\" "
	    "\nca cert \"/x\" }\n}\nrelay \"www\" {\n"
	    "listen on 192.0.2.1 port 443 tls\nprotocol \"a\"\n"
	    "forward with tls to destination\n}\n",
	    R ":5: relay \"www\": TLS inspection needs \"ca key\"\n" },
	{ "keypair twice", TCP("tls keypair k key \"/a\"\n"
	    "tls keypair k cert \"/b\"\ntls keypair k key \"/c\""),
	    R ":4: key of keypair \"k\" is given twice, first at "
	    R ":2\n" },

	/* ---- 7.7 ---- */
	{ "E90", HTTP("block method \"get\""),
	    R ":2: unknown HTTP method \"get\"\n" },
	{ "E91", HTTP("match query set \"a\" value \"b\""),
	    R ":2: query parameters cannot be modified\n" },
	{ "E91 append", HTTP("match query append \"a\" value \"b\"\n"
	    "match query remove \"a\""),
	    R ":2: query parameters cannot be modified\n"
	    R ":3: query parameters cannot be modified\n" },
	{ "E92", HTTP("match url remove \"a\""),
	    R ":2: URLs cannot be modified\n" },
	{ "E93", HTTP("block response path \"/x\"\n"
	    "block response query \"x\"\nblock response url \"x\"\n"
	    "match response path strip 1"),
	    R ":2: \"path\" is only available for requests\n"
	    R ":3: \"query\" is only available for requests\n"
	    R ":4: \"url\" is only available for requests\n"
	    R ":5: \"path\" is only available for requests\n" },
	{ "E94", HTTP("match request path \"/x*\" forward to <nosuch>"),
	    R ":2: table <nosuch> is not defined\n" },
	{ "E95", HTTP("match tag A tag B\nmatch tag \"\"\nmatch tag " X64),
	    R ":2: tag is given twice\n" R ":3: tag must not be empty\n"
	    R ":4: tag is longer than 63 bytes\n" },
	{ "E95 tagged", HTTP("match tagged A tagged B\nmatch tagged \"\"\n"
	    "match tagged " X64), R ":2: tagged is given twice\n"
	    R ":3: tagged must not be empty\n"
	    R ":4: tagged is longer than 63 bytes\n" },
	{ "E96", HTTP("match no tag\nmatch tag A\nmatch no tag\n"
	    "match no label\nmatch label \"L\"\nmatch no label"),
	    R ":2: \"no tag\" has no effect because no tag was defined so "
	    "far\n"
	    R ":5: \"no label\" has no effect because no label was defined "
	    "so far\n" },
	{ "E97", HTTP("match label \"a\" label \"b\"\nmatch label \"\"\n"
	    "match label " X1024), R ":2: label is given twice\n"
	    R ":3: label must not be empty\n"
	    R ":4: label is longer than 1023 bytes\n" },
	{ "E98", HTTP("block url file \"/nonexistent\""),
	    R ":2: cannot read rule file \"/nonexistent\": No such file or "
	    "directory\n" },
	{ "E98 long", HTTP("block url file \"/long\""),
	    R ":2: cannot read rule file \"/long\": line 2 is longer than "
	    "8095 bytes\n" },
	{ "E99", HTTP("block url file \"/keys\" file \"/keys\""),
	    R ":2: only one file per rule\n" },
	{ "E100", HTTP("block file \"/keys\""), R ":2: file needs a type: "
	    "cookie, header, path, query or url\n" },
	{ "E100 key", HTTP("block path \"/a\" file \"/keys\""),
	    R ":2: file needs a type: cookie, header, path, query or url\n" },
	{ "E101", HTTP("block inet6 from 10.0.0.0/8"),
	    R ":2: address families do not match\n" },
	{ "E101 two", HTTP("block from 10.0.0.0/8 to ::1"),
	    R ":2: address families do not match\n" },
	{ "E102", HTTP("block from 10.0.0.0/33\nblock to ::/129"),
	    R ":2: prefix length must be between 0 and 32\n"
	    R ":3: prefix length must be between 0 and 128\n" },
	{ "E103", HTTP("match path strip -1"), R ":2: number of components "
	    "must be between 0 and 2147483647\n" },
	{ "E104", HTTP("block header\nmatch cookie set\nmatch header append\n"
	    "match header hash"), R ":2: \"header\" needs a key\n"
	    R ":3: \"cookie set\" needs a key\n"
	    R ":4: \"header append\" needs a key\n"
	    R ":5: \"header hash\" needs a key\n" },
	{ "E105", HTTP("match header set \"X-*\" value \"a\""),
	    R ":2: \"X-*\" is a pattern and cannot be set\n" },
	{ "E117", HTTP("block path \"/a\" path \"/b\"\n"
	    "match path \"/a/*\" path strip 1\n"
	    "match path strip 1 path \"/b\"\nblock header \"a\" header \"b\""),
	    R ":2: path given twice in one rule\n"
	    R ":3: path given twice in one rule\n"
	    R ":4: path given twice in one rule\n"
	    R ":5: header given twice in one rule\n" },
	{ "url digest", HTTP("block url digest \"abc\""),
	    R ":2: digest must have 32 (MD5) or 40 (SHA-1) characters\n" },
	{ "matcher set", HTTP("match header set glob \"X-A\" value \"b\"\n"
	    "match header append pattern \"X-A\" value \"b\"\n"
	    "match header set \"X-A\" value pattern \"b\""),
	    R ":2: a matching keyword cannot be used with set or append\n"
	    R ":3: a matching keyword cannot be used with set or append\n"
	    R ":4: a matching keyword cannot be used with set or append\n" },
	{ "matcher alone", HTTP("match header pattern\nblock path glob"),
	    R ":2: matching keyword without a key or file\n"
	    R ":3: matching keyword without a key or file\n" },
	{ "pattern file", HTTP("block path pattern file \"/patterns\""),
	    R ":2: rule file \"/patterns\", line 3: pattern \"[a\": "
	    "malformed pattern (missing ']') at column 1\n" },
	{ "pattern", HTTP("block path pattern \"%\"\n"
	    "block path \"/\" value pattern \"x(a\""), R ":2: pattern \"%\": "
	    "malformed pattern (ends with '%') at column 1\n"
	    R ":3: pattern \"x(a\": unfinished capture at column 2\n" },

	/* ---- 7.8 ---- */
#define GW	"table <gw> { 203.0.113.1 }\n"
#define ROUTER(statements)	"router \"a\" {\n" statements "\n}\n"
#define GO	"\nforward to <gw> check icmp"
	{ "E106", GW ROUTER("route 10.0.0.0/8" GO)
	    ROUTER("route 10.0.0.0/8" GO),
	    R ":6: router \"a\" is already defined\n" },
	{ "E107", GW ROUTER("forward to <gw> check icmp"),
	    R ":2: router \"a\" has no routes\n" },
	{ "E108", GW ROUTER("route 10.0.0.0/8\nroute 2001:db8::/32" GO),
	    R ":4: router \"a\" mixes address families\n" },
	{ "E108 gateways", GW ROUTER("route 2001:db8::/32" GO),
	    R ":4: router \"a\" mixes address families\n" },
	{ "E109", GW ROUTER("route 10.0.0.0/8\nrtable 256" GO),
	    R ":4: rtable must be between 0 and 255\n" },
#ifdef __linux__
	{ "E109 linux", GW ROUTER("route 10.0.0.0/8\nrtable 254" GO),
	    R ":4: rtable must be between 0 and 252 on this system\n" },
#endif
	{ "E109 twice", GW ROUTER("route 10.0.0.0/8\nrtable 2\nrtable 3" GO),
	    R ":5: rtable is given twice\n" },
	{ "E110", GW ROUTER("route 10.0.0.0/8" GO GO),
	    R ":5: router \"a\" already has a table\n" },
	{ "E111", ROUTER("route 10.0.0.0/8"),
	    R ":1: router \"a\" has no table\n" },
	{ "E112", GW ROUTER("route 10.0.0.0/8\nrtlabel " X32 GO),
	    R ":4: route label is longer than 31 bytes\n" },
	{ "router name", GW "router \"" X256 "\" {\nroute 10.0.0.0/8" GO
	    "\n}\n",
	    R ":2: router name \"" X256 "\" is longer than 255 bytes\n" },

	/* several in one run, and no news of what follows from them */
	{ "together", "table <a> { nohost }\nrelay \"x\" {\n"
	    "forward to <nosuch> check tcp\n}\ninterval 0\n",
	    R ":1: cannot resolve host \"nohost\"\n"
	    R ":3: table <nosuch> is not defined\n"
	    R ":5: interval must be at least 1 second\n" },
};

static const struct row warnings[] = {
	{ "none", OK, "" },
	{ "protocol", "protocol \"a\"\n" OK,
	    R ":1: warning: unused protocol \"a\"\n" },
	{ "table", WEB OK, R ":1: warning: unused table <web>\n" },
	{ "sections", OK "prefork 4\nsocket \"/s\"\n",
	    R ":3: warning: \"prefork\" should precede all sections\n"
	    R ":4: warning: \"socket\" should precede all sections\n" },
	{ "rules", TCP("pass\nblock"), R ":2: warning: filter rules have no "
	    "effect in tcp protocols\n" },
	{ "rules dns", PROTO("dns", "pass"), R ":2: warning: filter rules "
	    "have no effect in dns protocols\n" },
	{ "versions", TCP("tls sslv3\ntls tlsv1.0\ntls no tlsv1.1"),
	    R ":2: warning: \"sslv3\" is obsolete and has no effect\n"
	    R ":3: warning: \"tlsv1.0\" is obsolete and has no effect\n"
	    R ":4: warning: \"tlsv1.1\" is obsolete and has no effect\n" },
	{ "no value", HTTP("match header set \"X\"\n"
	    "match path append \"/*\"\nmatch cookie append \"c\""),
	    R ":2: warning: no value given, \"*\" will be used literally\n"
	    R ":4: warning: no value given, \"*\" will be used literally\n" },
	{ "rule table", WEB HTTP("pass forward to <web>"),
	    R ":3: warning: relay \"ok\": rule for table <web> has no "
	    "effect\n" },
	{ "router", "table <g> { 192.0.2.1 }\nrouter \"a\" {\n"
	    "route 10.0.0.0/8\nforward to <g> port 1\n}\n",
	    R ":4: warning: router \"a\": gateways without check are never "
	    "used\n" },
	{ "keyless", HTTP("match path set\nmatch path append\n"
	    "match path remove\nmatch path hash\nmatch query hash\n"
	    "match url hash\nmatch cookie remove\nmatch cookie hash"),
	    R ":2: warning: operation without key has no effect\n"
	    R ":3: warning: operation without key has no effect\n"
	    R ":4: warning: operation without key has no effect\n"
	    R ":5: warning: operation without key has no effect\n"
	    R ":6: warning: operation without key has no effect\n"
	    R ":7: warning: operation without key has no effect\n"
	    R ":8: warning: operation without key has no effect\n"
	    R ":9: warning: operation without key has no effect\n" },
	{ "keyless, no operation", HTTP("block cookie\nblock query\n"
	    "block path\nblock url\nmatch header log\nmatch header log "
	    "pattern"), "" },
	{ "verify-name", TCP("tls verify-name"), R ":2: warning: "
	    "\"verify-name\" has no effect without \"ca file\"\n" },
	{ "client-renegotiation", TCP("tls { no client-renegotiation, "
	    "client-renegotiation }"), R ":2: warning: "
	    "\"client-renegotiation\" has no effect\n" },
	{ "return error", TCP("return error\nreturn error { style x }"),
	    R ":2: warning: \"return error\" has no effect in tcp protocols\n"
	    R ":3: warning: \"return error\" has no effect in tcp "
	    "protocols\n" },
	{ "return error http", HTTP("return error { style x }"), "" },
	{ "ca file", TCP("tls ca file \"/c\""), R ":1: warning: \"ca file\" "
	    "has no effect: no relay of protocol \"a\" forwards with tls\n" },
	{ "client ca", TCP("tls client ca \"/c\""), R ":1: warning: "
	    "\"client ca\" has no effect: no relay of protocol \"a\" "
	    "listens with tls\n" },
	{ "ca", TCP("tls ca key \"/k\" password \"\""), R ":2: warning: "
	    "\"ca key\" has no effect without \"ca cert\"\n" },
	{ "family", "table <six> { 2001:db8::1 }\n"
	    RDR("forward to <six> check tcp"), R ":2: warning: redirect "
	    "\"www\": no host of table <six:80> has the address family of "
	    "192.0.2.1\n" },
#ifdef __linux__
	{ "realm", GW ROUTER("route 10.0.0.0/8\nrtlabel known" GO), "" },
	{ "realm hexadecimal", GW ROUTER("route 10.0.0.0/8\nrtlabel last" GO),
	    "" },
	{ "no realm", GW ROUTER("route 10.0.0.0/8\nrtlabel know" GO),
	    R ":4: warning: router \"a\": no realm \"know\", rtlabel has no "
	    "effect\n" },
	{ "realm IPv6", "table <gw> { ::1 }\n"
	    ROUTER("route ::/0\nrtlabel known" GO), R ":4: warning: router "
	    "\"a\": IPv6 routes have no realms, rtlabel has no effect\n" },
	{ "sack", TCP("tcp no sack"), R ":2: warning: \"sack\" is not "
	    "supported on this system and has no effect\n" },
#endif
	/* what replaces is no news, and a first 0 is not noticed */
	{ "again", "table <web> { 10.0.0.1 retry 0 retry 2 }\n"
	    RELAY("forward to <web> port 1 port 2 check tcp check icmp"),
	    "" },
};

static const struct rd_request request = { .file = R,
    .directory = "/where", .files = true };

/* The file, and those that rows name. */
static struct source *
source_make(const char *text)
{
	static const char realms[] = "# comment\n0\tcosmos\n"
	    " 12  known # it\n70000 know\n0x20 last";
	struct source *s = source_empty();
	char line[9000];

	source_add(s, SOURCE_TEXT, "/where/" R, text, strlen(text));
	source_add(s, SOURCE_TEXT, "/keys", "a\n", 2);
	source_add(s, SOURCE_TEXT, "/etc/iproute2/rt_realms", realms,
	    strlen(realms));
	source_add(s, SOURCE_TEXT, "/patterns", "%a\n\n[a\n", 7);
	source_add(s, SOURCE_CERT, "/c", "x", 1);
	source_add(s, SOURCE_KEY, "/k", "x", 1);
	memset(line, 'x', sizeof line);
	memcpy(line, "ok\n", 3);
	source_add(s, SOURCE_TEXT, "/long", line, sizeof line);
	return s;
}

static bool
row_try(const struct row *r, bool accepted)
{
	struct source *s;
	struct diag *d;
	struct rd_conf *c;
	char *said;
	size_t len;
	FILE *fp;
	bool good;

	if (!tls_available() && strstr(r->text, "tls") != NULL)
		return true;
	s = source_make(r->text);
	d = diag_new();
	c = rd_compile(&request, s, d);
	fp = open_memstream(&said, &len);
	assert_non_null(fp);
	diag_print(d, fp, NULL, false);
	fclose(fp);
	good = (c != NULL) == accepted && strcmp(said, r->said) == 0;
	if (!good)
		print_error("%s: %s\n---- expected\n%s---- said\n%s\n",
		    r->name, c != NULL ? "accepted" : "refused", r->said,
		    said);
	free(said);
	diag_free(d);
	if (c != NULL)
		rd_conf_unref(c);
	else
		source_free(s);
	return good;
}

static void
test_errors(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
		bad += !row_try(&errors[i], false);
	assert_int_equal(bad, 0);
}

static void
test_warnings(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof warnings / sizeof warnings[0]; i++)
		bad += !row_try(&warnings[i], true);
	assert_int_equal(bad, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
