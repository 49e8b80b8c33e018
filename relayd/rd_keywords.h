/*
 * The words of relayd.conf, once: the lexer, the grammar's table of tokens,
 * suggestions in messages and a test work from these lists.
 */
#ifndef RELAYD_RD_KEYWORDS_H
#define RELAYD_RD_KEYWORDS_H

/* Keywords everywhere in the file, 1.13. */
#define RD_RESERVED(X) \
	X(AGENTX, "agentx") X(APPEND, "append") X(BACKLOG, "backlog") \
	X(BACKUP, "backup") X(BINARY, "binary") X(BLOCK, "block") \
	X(BUFFER, "buffer") X(CA, "ca") X(CACHE, "cache") X(CERT, "cert") \
	X(CHANGES, "changes") X(CHECK, "check") X(CHECKS, "checks") \
	X(CIPHERS, "ciphers") X(CLIENT, "client") X(CODE, "code") \
	X(CONNECTION, "connection") X(CONTEXT, "context") \
	X(COOKIE, "cookie") X(DEMOTE, "demote") \
	X(DESTINATION, "destination") X(DIGEST, "digest") \
	X(DISABLE, "disable") X(ECDHE, "ecdhe") X(EDH, "edh") \
	X(ERROR, "error") X(ERRORS, "errors") X(EXPECT, "expect") \
	X(EXTERNAL, "external") X(FILE, "file") X(FORWARD, "forward") \
	X(FROM, "from") X(HASH, "hash") X(HEADER, "header") \
	X(HEADERLEN, "headerlen") X(HOST, "host") X(HTTP, "http") \
	X(ICMP, "icmp") X(INCLUDE, "include") X(INET, "inet") \
	X(INET6, "inet6") X(INTERFACE, "interface") \
	X(INTERVAL, "interval") X(IP, "ip") X(KEY, "key") \
	X(KEYPAIR, "keypair") X(LABEL, "label") \
	X(LEAST_STATES, "least-states") X(LISTEN, "listen") \
	X(LOADBALANCE, "loadbalance") X(LOG, "log") X(LOOKUP, "lookup") \
	X(MATCH, "match") X(METHOD, "method") X(MODE, "mode") \
	X(NAT, "nat") X(NO, "no") X(NODELAY, "nodelay") \
	X(NOTHING, "nothing") X(ON, "on") X(PARAMS, "params") \
	X(PARENT, "parent") X(PASS, "pass") X(PASSWORD, "password") \
	X(PATH, "path") X(PFLOG, "pflog") X(PFTAG, "pftag") \
	X(PORT, "port") X(PREFORK, "prefork") X(PRIORITY, "priority") \
	X(PROTOCOL, "protocol") X(PROXY_PROTOCOL, "proxy-protocol") \
	X(QUERY, "query") X(QUICK, "quick") X(RANDOM, "random") \
	X(REAL, "real") X(REDIRECT, "redirect") X(RELAY, "relay") \
	X(REMOVE, "remove") X(REQUEST, "request") \
	X(RESPONSE, "response") X(RETRY, "retry") X(RETURN, "return") \
	X(ROUNDROBIN, "roundrobin") X(ROUTE, "route") \
	X(ROUTER, "router") X(RTABLE, "rtable") X(RTLABEL, "rtlabel") \
	X(SACK, "sack") X(SCRIPT, "script") X(SEND, "send") \
	X(SESSION, "session") X(SET, "set") X(SOCKET, "socket") \
	X(SOURCE_HASH, "source-hash") X(SPLICE, "splice") \
	X(STATE, "state") X(STICKY_ADDRESS, "sticky-address") \
	X(STRIP, "strip") X(STYLE, "style") X(TABLE, "table") \
	X(TAG, "tag") X(TAGGED, "tagged") X(TCP, "tcp") \
	X(TICKETS, "tickets") X(TIMEOUT, "timeout") X(TLS, "tls") \
	X(TO, "to") X(TRANSPARENT, "transparent") X(TTL, "ttl") \
	X(URL, "url") X(V1, "v1") X(V2, "v2") X(VALUE, "value") \
	X(WEBSOCKETS, "websockets") X(WITH, "with")

/* Words in their place only, where the grammar has to tell them from a
 * STRING; anywhere else, and quoted, they are one. */
#define RD_PLACE_WORDS(X) \
	X(CERTIFICATE, "certificate") X(CURVE, "curve") X(ECDH, "ecdh") \
	X(FAILOVER, "failover") X(GLOB, "glob") X(HTTPS, "https") \
	X(IGNORECASE, "ignorecase") X(OCSP, "ocsp") X(PATTERN, "pattern")

#endif
