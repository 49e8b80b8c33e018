/*
 * The grammar of relayd.conf (section 2 of the language's specification):
 * the order of tokens, and one call of the builder per action. What a
 * statement means is not known here.
 *
 * A section is lines in braces, a list is items in braces. `error' stands
 * for a line, or an item, that is bad; rd_parser_recover() sees to it that
 * what comes next is its end.
 */
%require "3.6"
%define api.pure full
%define api.prefix {rd_grammar_}
%define api.token.prefix {T_}
%define parse.error custom
%define parse.lac full
%param { struct rd_parser *p }
%expect 0

%code requires {
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rd_parse.h"
}

%union {
	struct rd_word		 word;
	struct rd_number	 number;
	struct rd_port		 port;
	struct rd_match_text	 match;
	struct rd_lookup_text	 lookup;
	struct { struct rd_word address; struct rd_number bits; } prefix;
	struct { enum rd_mode mode; const char *word; } mode;
	struct { enum rd_part part; struct diag_place place; } part;
	struct { enum rd_tcp_option option; struct diag_place place; } tcp;
	enum rd_op		 operation;
	bool			 flag;
}

%code {
static int	 rd_grammar_lex(RD_GRAMMAR_STYPE *, struct rd_parser *);
static void	 rd_grammar_error(struct rd_parser *, const char *);

static const struct rd_word no_word;
static const struct rd_number no_number;

/* A token came that is not used up, and that was not bad in itself. */
#define SEEN	(yychar != T_RD_GRAMMAR_EMPTY && yychar != T_RD_GRAMMAR_UNDEF)

/* In the action of `error'. At the end of the file the parser is to give
 * up, which it does if it is not told that all is well. */
#define RECOVER(depth, list) do {					\
	if (rd_parser_recover(p, (depth), (list), SEEN))		\
		yyclearin;						\
	if (yychar != T_END)						\
		yyerrok;						\
} while (0)

static void
list_begin(struct rd_parser *p, enum rd_list list,
    const struct diag_place *place)
{
	p->list_open = true;
	rd_list_begin(p->build, list, place);
}

static void
list_end(struct rd_parser *p)
{
	p->list_open = false;
	rd_list_end(p->build);
}

/* A reserved word where a name was expected. */
static void
name_reserved(struct rd_parser *p, const struct rd_word *word)
{
	diag_error(p->diag, &word->place, "\"%s\" is a reserved word, "
	    "quote it to use it as a name", word->text);
}

static void
macro_define(struct rd_parser *p, const struct rd_word *name,
    const struct rd_word *value)
{
	if (strpbrk(name->text, " \t") != NULL)
		diag_error(p->diag, &name->place,
		    "macro name \"%s\" contains white space", name->text);
	else
		rd_lex_define(p->lex, name, value);
}

static void
macro_reserved(struct rd_parser *p, const struct rd_word *name)
{
	diag_error(p->diag, &name->place, "\"%s\" is a reserved word and "
	    "cannot be a macro name", name->text);
}

static void
macro_number(struct rd_parser *p, const struct rd_number *value)
{
	diag_error(p->diag, &value->place, "macro value must be a string, "
	    "write \"%lld\"", (long long)value->value);
}

static void
obsolete(struct rd_parser *p, const struct diag_place *place,
    const char *old, const char *new)
{
	if (new == NULL)
		diag_warn(p->diag, place,
		    "\"%s\" is obsolete and has no effect", old);
	else
		diag_warn(p->diag, place,
		    "\"%s\" is obsolete, use \"%s\"", old, new);
}

/* Of `log': words that are obsolete, and those that are none. */
static void
log_word(struct rd_parser *p, const struct rd_word *word)
{
	if (!word->quoted && strcmp(word->text, "updates") == 0) {
		obsolete(p, &word->place, "log updates", "log state changes");
		rd_global_log(p->build, RD_LOG_STATE, &word->place);
	} else if (!word->quoted && strcmp(word->text, "all") == 0) {
		diag_warn(p->diag, &word->place, "\"log all\" is obsolete, "
		    "use \"log state changes\" and \"log host checks\"");
		rd_global_log(p->build, RD_LOG_STATE | RD_LOG_CHECKS,
		    &word->place);
	} else {
		diag_error(p->diag, &word->place, "unknown log option "
		    "\"%.256s\", expected \"state changes\", "
		    "\"host checks\" or \"connection [errors]\"",
		    word->text);
		rd_statement_failed(p->build);
	}
}

static void
tls_option(struct rd_parser *p, enum rd_tls_option option, bool on,
    const struct rd_word *a, const struct diag_place *place)
{
	rd_tls_option(p->build, option, on, a, &no_word, place);
}

static void
tls_ecdh(struct rd_parser *p, const struct rd_word *old,
    const struct rd_word *curve)
{
	struct rd_word word = { .text = "default", .len = 7,
	    .place = old->place };

	if (curve == NULL) {
		obsolete(p, &old->place, "ecdh", "ecdhe default");
		tls_option(p, RD_TLS_ECDHE, true, &word, &old->place);
	} else if (strcmp(curve->text, "none") == 0) {
		obsolete(p, &old->place, "ecdh curve none", NULL);
	} else {
		obsolete(p, &old->place, "ecdh curve", "ecdhe");
		tls_option(p, RD_TLS_ECDHE, true, curve, &old->place);
	}
}

/* A size in bits. Those of 512 and 768 are refused as any other word: who
 * has them is to notice. */
static void
tls_edh_bits(struct rd_parser *p, const struct rd_word *edh,
    const struct rd_number *bits)
{
	struct rd_word word = { .text = "auto", .len = 4,
	    .place = bits->place };
	char *text = arena_printf(p->arena, "%lld", (long long)bits->value);

	if (bits->value < 1024) {
		word.text = text;
		word.len = strlen(text);
	} else {
		diag_warn(p->diag, &bits->place, "\"edh params %s\" is "
		    "obsolete, use \"edh params auto\"", text);
	}
	tls_option(p, RD_TLS_EDH, true, &word, &edh->place);
}

/* A word of its own, perhaps with `no'. */
static void
tls_flag(struct rd_parser *p, bool on, const struct rd_word *word)
{
	if (!word->quoted && strcmp(word->text, "sslv2") == 0) {
		if (!on) {
			obsolete(p, &word->place, "no sslv2", NULL);
			return;
		}
		diag_error(p->diag, &word->place,
		    "SSL version 2 is not supported");
		rd_statement_failed(p->build);
		return;
	}
	tls_option(p, RD_TLS_FLAG, on, word, &word->place);
}

static void
tcp_option(struct rd_parser *p, enum rd_tcp_option option, bool on,
    const struct rd_number *n, const struct rd_word *word,
    const struct diag_place *place)
{
	rd_tcp_option(p->build, option, on, n, word, place);
}

static void
head_begin(struct rd_parser *p, enum rd_action action,
    const struct diag_place *place)
{
	p->head = (struct rd_rule_head){ .action = action,
	    .direction = RD_REQUEST, .place = *place };
}

static void
rule_option(struct rd_parser *p, enum rd_rule_option option,
    const struct rd_word *word, const struct rd_word *at)
{
	rd_rule_option(p->build, option, word, &at->place);
}

static void
lookup_done(struct rd_parser *p, struct rd_lookup_text *text,
    enum rd_part part, enum rd_op op, const struct diag_place *place)
{
	text->part = part;
	text->op = op;
	text->place = *place;
	rd_rule_lookup(p->build, text);
}

static struct rd_match_text
matched(enum rd_matcher matcher, const struct rd_word *at)
{
	return (struct rd_match_text){ .matcher = matcher,
	    .matcher_place = at->place };
}

static void
forward_begin(struct rd_parser *p, const struct diag_place *place)
{
	p->forward = (struct rd_forward){ .place = *place };
}
}

%token END 0
%token NEWLINE OTHER
%token <word> STRING
%token <number> NUMBER
%token <word> AGENTX APPEND BACKLOG BACKUP BINARY BLOCK BUFFER CA CACHE CERT
	CHANGES CHECK CHECKS CIPHERS CLIENT CODE CONNECTION CONTEXT COOKIE
	DEMOTE DESTINATION DIGEST DISABLE ECDHE EDH ERROR ERRORS EXPECT
	EXTERNAL FILE FORWARD FROM HASH HEADER HEADERLEN HOST HTTP ICMP
	INCLUDE INET INET6 INTERFACE INTERVAL IP KEY KEYPAIR LABEL
	LEAST_STATES LISTEN LOADBALANCE LOG LOOKUP MATCH METHOD MODE NAT NO
	NODELAY NOTHING ON PARAMS PARENT PASS PASSWORD PATH PFLOG PFTAG PORT
	PREFORK PRIORITY PROTOCOL PROXY_PROTOCOL QUERY QUICK RANDOM REAL
	REDIRECT RELAY REMOVE REQUEST RESPONSE RETRY RETURN ROUNDROBIN ROUTE
	ROUTER RTABLE RTLABEL SACK SCRIPT SEND SESSION SET SOCKET SOURCE_HASH
	SPLICE STATE STICKY_ADDRESS STRIP STYLE TABLE TAG TAGGED TCP TICKETS
	TIMEOUT TLS TO TRANSPARENT TTL URL V1 V2 VALUE WEBSOCKETS WITH
%token <word> CERTIFICATE CURVE ECDH FAILOVER GLOB HTTPS IGNORECASE OCSP
	PATTERN

%type <word> string name reserved table_name table_head redirect_head
%type <word> relay_head protocol_head router_head protocol_type flag_word
%type <word> interface proto key_word context_opt path_opt ip_option
%type <word> keypair_word error_begin
%type <port> port port_opt
%type <number> retry
%type <match> value value_opt matcher
%type <lookup> key lookup_key
%type <prefix> prefix
%type <mode> mode
%type <part> part
%type <tcp> tcp_flag
%type <operation> operation
%type <flag> http_word pflog tls_opt match_opt

/* `file' behind a type belongs to it. */
%precedence ALONE
%precedence FILE

%%

file
	: %empty
	| file NEWLINE
	| file statement NEWLINE
	| file bad_statement NEWLINE
	;

statement
	: include
	| macro
	| global
	| table
	| redirect
	| relay
	| protocol
	| router
	;

/* What is bad, by what surrounds it. */

bad_statement
	: error { RECOVER(0, false); }
	;

bad_line
	: error { RECOVER(1, false); }
	;

bad_item
	: error { RECOVER(2, true); }
	;

bad_host
	: error { RECOVER(1, true); }
	;

/* ---- words, separators ---- */

string
	: STRING | CERTIFICATE | CURVE | ECDH | FAILOVER | GLOB | HTTPS
	| IGNORECASE | OCSP | PATTERN
	;

reserved
	: AGENTX | APPEND | BACKLOG | BACKUP | BINARY | BLOCK | BUFFER | CA
	| CACHE | CERT | CHANGES | CHECK | CHECKS | CIPHERS | CLIENT | CODE
	| CONNECTION | CONTEXT | COOKIE | DEMOTE | DESTINATION | DIGEST
	| DISABLE | ECDHE | EDH | ERROR | ERRORS | EXPECT | EXTERNAL | FILE
	| FORWARD | FROM | HASH | HEADER | HEADERLEN | HOST | HTTP | ICMP
	| INCLUDE | INET | INET6 | INTERFACE | INTERVAL | IP | KEY | KEYPAIR
	| LABEL | LEAST_STATES | LISTEN | LOADBALANCE | LOG | LOOKUP | MATCH
	| METHOD | MODE | NAT | NO | NODELAY | NOTHING | ON | PARAMS | PARENT
	| PASS | PASSWORD | PATH | PFLOG | PFTAG | PORT | PREFORK | PRIORITY
	| PROTOCOL | PROXY_PROTOCOL | QUERY | QUICK | RANDOM | REAL | REDIRECT
	| RELAY | REMOVE | REQUEST | RESPONSE | RETRY | RETURN | ROUNDROBIN
	| ROUTE | ROUTER | RTABLE | RTLABEL | SACK | SCRIPT | SEND | SESSION
	| SET | SOCKET | SOURCE_HASH | SPLICE | STATE | STICKY_ADDRESS | STRIP
	| STYLE | TABLE | TAG | TAGGED | TCP | TICKETS | TIMEOUT | TLS | TO
	| TRANSPARENT | TTL | URL | V1 | V2 | VALUE | WEBSOCKETS | WITH
	;

/* Of a section. */
name
	: string
	| reserved { name_reserved(p, &$1); $$ = $1; }
	;

table_name
	: '<' name '>' { $$ = $2; }
	;

newlines
	: %empty
	| newlines NEWLINE
	;

sep
	: newlines
	| newlines ',' newlines
	;

port
	: NUMBER
		{ $$ = (struct rd_port){ true, true, $1, no_word }; }
	| string
		{ $$ = (struct rd_port){ true, false, no_number, $1 }; }
	| HTTP
		{ $$ = (struct rd_port){ true, false, no_number, $1 }; }
	;

port_opt
	: %empty { $$ = (struct rd_port){ 0 }; }
	| PORT port { $$ = $2; }
	;

/* No lookahead is needed here: the file's tokens are the next. */
include
	: INCLUDE string
	{
		if (!rd_lex_include(p->lex, &$2))
			rd_statement_failed(p->build);
	}
	;

macro
	: string '=' string { macro_define(p, &$1, &$3); }
	| string '=' NUMBER { macro_number(p, &$3); }
	| reserved '=' { macro_reserved(p, &$1); } macro_value
	;

macro_value
	: string
	| NUMBER { macro_number(p, &$1); }
	;

/* ---- globals ---- */

global
	: INTERVAL NUMBER
		{ rd_global_number(p->build, RD_GLOBAL_INTERVAL, &$2); }
	| TIMEOUT NUMBER
		{ rd_global_number(p->build, RD_GLOBAL_TIMEOUT, &$2); }
	| PREFORK NUMBER
		{ rd_global_number(p->build, RD_GLOBAL_PREFORK, &$2); }
	| SOCKET string { rd_global_socket(p->build, &$2); }
	| LOG STATE CHANGES
		{ rd_global_log(p->build, RD_LOG_STATE, &$1.place); }
	| LOG HOST CHECKS
		{ rd_global_log(p->build, RD_LOG_CHECKS, &$1.place); }
	| LOG CONNECTION
		{ rd_global_log(p->build, RD_LOG_CONN, &$1.place); }
	| LOG CONNECTION ERRORS
		{ rd_global_log(p->build, RD_LOG_ERRORS, &$1.place); }
	| LOG string { log_word(p, &$2); }
	| AGENTX context_opt path_opt
		{ rd_global_agentx(p->build, &$2, &$3, &$1.place); }
	;

context_opt
	: %empty { $$ = no_word; }
	| CONTEXT string { $$ = $2; }
	;

path_opt
	: %empty { $$ = no_word; }
	| PATH string { $$ = $2; }
	;

/* ---- tables ---- */

table
	: table_head table_parts { rd_section_leave(p); }
	;

table_head
	: TABLE table_name
	{
		p->open = RD_S_TABLE;
		rd_table_begin(p->build, &$2);
		$$ = $2;
	}
	| TABLE string
	{
		diag_error(p->diag, &$2.place, "table names are written in "
		    "angle brackets: <%.256s>", $2.text);
		p->open = RD_S_TABLE;
		rd_table_begin(p->build, &$2);
		$$ = $2;
	}
	;

table_parts
	: table_part
	| table_parts table_part
	;

table_part
	: DISABLE { rd_table_disable(p->build); }
	| table_open newlines table_close
	| table_open newlines hosts sep table_close
	;

table_open
	: '{' { rd_section_enter(p, RD_S_TABLE, &no_word); }
	;

table_close
	: '}'
	{
		p->section = RD_S_TOP;
		p->base = 0;
	}
	;

hosts
	: host_item
	| hosts sep host_item
	;

host_item
	: host
	| include
	| bad_host
	;

host
	: string { rd_host(p->build, &$1); }
	| host RETRY NUMBER
		{ rd_host_flag(p->build, RD_HOST_RETRY, &$3); }
	| host PARENT NUMBER
		{ rd_host_flag(p->build, RD_HOST_PARENT, &$3); }
	| host PRIORITY NUMBER
		{ rd_host_flag(p->build, RD_HOST_PRIORITY, &$3); }
	| host IP TTL NUMBER
		{ rd_host_flag(p->build, RD_HOST_TTL, &$4); }
	;

/* ---- references to tables ---- */

table_spec
	: table_ref
	| table_spec table_opt
	;

table_ref
	: table_name { rd_use_begin(p->build, &$1); }
	;

table_opt
	: CHECK
	{
		p->check = (struct rd_check_text){ .place = $1.place };
	} check { rd_use_check(p->build, &p->check); }
	| PORT port { rd_use_port(p->build, &$2); }
	| TIMEOUT NUMBER { rd_use_timeout(p->build, &$2); }
	| INTERVAL NUMBER { rd_use_interval(p->build, &$2); }
	| DEMOTE string { rd_use_demote(p->build, &$2); }
	| MODE
	{
		rd_use_mode(p->build, RD_ROUNDROBIN, NULL, &no_word,
		    &$1.place);
	}
	| MODE string
		{ rd_use_mode(p->build, RD_ROUNDROBIN, NULL, &$2, &$1.place); }
	| MODE mode
	{
		rd_use_mode(p->build, $2.mode, $2.word, &no_word, &$1.place);
	}
	| MODE mode string
		{ rd_use_mode(p->build, $2.mode, $2.word, &$3, &$1.place); }
	;

mode
	: ROUNDROBIN { $$.mode = RD_ROUNDROBIN; $$.word = $1.text; }
	| RANDOM { $$.mode = RD_RANDOM; $$.word = $1.text; }
	| LEAST_STATES { $$.mode = RD_LEAST_STATES; $$.word = $1.text; }
	| SOURCE_HASH { $$.mode = RD_SOURCE_HASH; $$.word = $1.text; }
	| LOADBALANCE { $$.mode = RD_LOADBALANCE; $$.word = $1.text; }
	| HASH { $$.mode = RD_HASH; $$.word = $1.text; }
	;

check
	: ICMP { p->check.kind = RD_CHECK_ICMP; }
	| TCP { p->check.kind = RD_CHECK_TCP; }
	| TLS
	{
		p->check.kind = RD_CHECK_TCP;
		p->check.tls = true;
	}
	| check_http CODE NUMBER
	{
		p->check.kind = RD_CHECK_HTTP_CODE;
		p->check.code = $3;
	}
	| check_http DIGEST string
	{
		p->check.kind = RD_CHECK_HTTP_DIGEST;
		p->check.digest = $3;
	}
	| SEND check_send { p->check.kind = RD_CHECK_SEND; }
	| BINARY SEND check_send { p->check.kind = RD_CHECK_BINARY; }
	| SCRIPT string
	{
		p->check.kind = RD_CHECK_SCRIPT;
		p->check.path = $2;
	}
	;

check_http
	: http_word string
	{
		p->check.tls = $1;
		p->check.path = $2;
	}
	| http_word string HOST string
	{
		p->check.tls = $1;
		p->check.path = $2;
		p->check.host = $4;
	}
	;

http_word
	: HTTP { $$ = false; }
	| HTTPS { $$ = true; }
	;

check_send
	: check_data EXPECT string tls_opt
	{
		p->check.expect = $3;
		p->check.tls = $4;
	}
	;

check_data
	: NOTHING
	| string { p->check.send = $1; }
	;

tls_opt
	: %empty { $$ = false; }
	| TLS { $$ = true; }
	;

/* ---- redirects ---- */

redirect
	: redirect_open redirect_lines '}' { rd_section_leave(p); }
	| redirect_open redirect_lines redirect_opt '}'
		{ rd_section_leave(p); }
	;

redirect_head
	: REDIRECT name
	{
		p->open = RD_S_REDIRECT;
		rd_redirect_begin(p->build, &$2);
		$$ = $2;
	}
	;

redirect_open
	: redirect_head '{' { rd_section_enter(p, RD_S_REDIRECT, &$1); }
	;

redirect_lines
	: %empty
	| redirect_lines NEWLINE
	| redirect_lines redirect_opt NEWLINE
	;

redirect_opt
	: rdr_mode TO table_spec interface
	{
		rd_redirect_to(p->build, p->forward.route,
		    p->forward.transparent, &$4, &p->forward.place);
	}
	| LISTEN ON string proto PORT port interface pflog
	{
		rd_redirect_listen(p->build, &$3, &$4, &$6, &$7, $8);
	}
	| match_opt PFTAG string { rd_redirect_tag(p->build, $1, &$3); }
	| SESSION TIMEOUT NUMBER { rd_session_timeout(p->build, &$3); }
	| STICKY_ADDRESS { rd_redirect_sticky(p->build); }
	| DISABLE { rd_disable(p->build); }
	| include
	| bad_line
	;

rdr_mode
	: FORWARD { forward_begin(p, &$1.place); }
	| ROUTE
	{
		forward_begin(p, &$1.place);
		p->forward.route = true;
	}
	| TRANSPARENT FORWARD
	{
		forward_begin(p, &$1.place);
		p->forward.transparent = true;
	}
	;

match_opt
	: %empty { $$ = false; }
	| MATCH { $$ = true; }
	;

proto
	: %empty { $$ = no_word; }
	| TCP
	| string
	;

interface
	: %empty { $$ = no_word; }
	| INTERFACE string { $$ = $2; }
	;

pflog
	: %empty { $$ = false; }
	| PFLOG { $$ = true; }
	;

/* ---- relays ---- */

relay
	: relay_open relay_lines '}' { rd_section_leave(p); }
	| relay_open relay_lines relay_opt '}' { rd_section_leave(p); }
	;

relay_head
	: RELAY name
	{
		p->open = RD_S_RELAY;
		rd_relay_begin(p->build, &$2);
		$$ = $2;
	}
	;

relay_open
	: relay_head '{' { rd_section_enter(p, RD_S_RELAY, &$1); }
	;

relay_lines
	: %empty
	| relay_lines NEWLINE
	| relay_lines relay_opt NEWLINE
	;

relay_opt
	: LISTEN ON string PORT port tls_opt
		{ rd_relay_listen(p->build, &$3, &$5, $6); }
	| rdr_mode with TO target family_map proxy
		{ rd_relay_forward(p->build, &p->forward); }
	| PROTOCOL name { rd_relay_protocol(p->build, &$2); }
	| SESSION TIMEOUT NUMBER { rd_session_timeout(p->build, &$3); }
	| DISABLE { rd_disable(p->build); }
	| include
	| bad_line
	;

with
	: %empty
	| WITH TLS { p->forward.with_tls = true; }
	;

target
	: string port_opt retry
	{
		p->forward.target = RD_TO_ADDRESS;
		p->forward.address = $1;
		p->forward.port = $2;
		p->forward.retry = $3;
	}
	| NAT LOOKUP retry
	{
		p->forward.target = RD_TO_NAT;
		p->forward.retry = $3;
	}
	| DESTINATION retry
	{
		p->forward.target = RD_TO_DESTINATION;
		p->forward.retry = $2;
	}
	| table_spec { p->forward.table = true; }
	;

retry
	: %empty { $$ = no_number; }
	| RETRY NUMBER { $$ = $2; }
	;

family_map
	: %empty
	| INET { p->forward.map = RD_MAP_INET; }
	| INET6 string
	{
		p->forward.map = RD_MAP_INET6;
		p->forward.prefix = $2;
	}
	;

proxy
	: %empty
	| PROXY_PROTOCOL V1 { p->forward.proxy = RD_PROXY_V1; }
	| PROXY_PROTOCOL V2 { p->forward.proxy = RD_PROXY_V2; }
	;

/* ---- protocols ---- */

protocol
	: protocol_head { rd_section_leave(p); }
	| protocol_open protocol_lines '}' { rd_section_leave(p); }
	| protocol_open protocol_lines protocol_opt '}'
		{ rd_section_leave(p); }
	;

protocol_head
	: PROTOCOL name
	{
		p->open = RD_S_PROTOCOL;
		rd_protocol_begin(p->build, &no_word, &$2);
		$$ = $2;
	}
	| protocol_type PROTOCOL name
	{
		p->open = RD_S_PROTOCOL;
		rd_protocol_begin(p->build, &$1, &$3);
		$$ = $3;
	}
	;

protocol_type
	: TCP
	| HTTP
	| string
	;

protocol_open
	: protocol_head '{' { rd_section_enter(p, RD_S_PROTOCOL, &$1); }
	;

protocol_lines
	: %empty
	| protocol_lines NEWLINE
	| protocol_lines protocol_opt NEWLINE
	;

protocol_opt
	: tcp_begin tcp_option { list_end(p); }
	| tcp_begin '{' newlines tcp_options sep '}' { list_end(p); }
	| tls_begin tls_option { list_end(p); }
	| tls_begin '{' newlines tls_options sep '}' { list_end(p); }
	| http_begin http_option { list_end(p); }
	| http_begin '{' newlines http_options sep '}' { list_end(p); }
	| error_begin
	{
		rd_return_error(p->build, &no_word, &$1.place);
		list_end(p);
	}
	| error_begin error_option { list_end(p); }
	| error_begin '{' newlines error_options sep '}' { list_end(p); }
	| rule
	| include
	| bad_line
	;

tcp_begin
	: TCP { list_begin(p, RD_LIST_TCP, &$1.place); }
	;

tcp_options
	: tcp_item
	| tcp_options sep tcp_item
	;

tcp_item
	: tcp_option
	| bad_item
	;

tcp_option
	: tcp_flag { tcp_option(p, $1.option, true, &no_number, &no_word,
	    &$1.place); }
	| NO tcp_flag { tcp_option(p, $2.option, false, &no_number,
	    &no_word, &$1.place); }
	| BACKLOG NUMBER
	{
		tcp_option(p, RD_TCP_BACKLOG, true, &$2, &no_word,
		    &$1.place);
	}
	| SOCKET BUFFER NUMBER
	{
		tcp_option(p, RD_TCP_BUFFER, true, &$3, &no_word, &$1.place);
	}
	| IP ip_option NUMBER
		{ tcp_option(p, RD_TCP_IP, true, &$3, &$2, &$1.place); }
	;

tcp_flag
	: NODELAY { $$.option = RD_TCP_NODELAY; $$.place = $1.place; }
	| SACK { $$.option = RD_TCP_SACK; $$.place = $1.place; }
	| SPLICE { $$.option = RD_TCP_SPLICE; $$.place = $1.place; }
	| FAILOVER { $$.option = RD_TCP_FAILOVER; $$.place = $1.place; }
	;

ip_option
	: TTL
	| string
	;

tls_begin
	: TLS { list_begin(p, RD_LIST_TLS, &$1.place); }
	;

tls_options
	: tls_item
	| tls_options sep tls_item
	;

tls_item
	: tls_option
	| bad_item
	;

tls_option
	: SESSION TICKETS
		{ tls_option(p, RD_TLS_TICKETS, true, &no_word, &$1.place); }
	| NO SESSION TICKETS
		{ tls_option(p, RD_TLS_TICKETS, false, &no_word, &$1.place); }
	| SESSION CACHE NUMBER
		{ obsolete(p, &$1.place, "session cache", NULL); }
	| SESSION CACHE DISABLE
		{ obsolete(p, &$1.place, "session cache", NULL); }
	| CIPHERS string
		{ tls_option(p, RD_TLS_CIPHERS, true, &$2, &$1.place); }
	| ECDHE string
		{ tls_option(p, RD_TLS_ECDHE, true, &$2, &$1.place); }
	| ECDH { tls_ecdh(p, &$1, NULL); }
	| ECDH CURVE string { tls_ecdh(p, &$1, &$3); }
	| NO ECDH { obsolete(p, &$1.place, "no ecdh", NULL); }
	| EDH { tls_option(p, RD_TLS_EDH, true, &no_word, &$1.place); }
	| EDH PARAMS string
		{ tls_option(p, RD_TLS_EDH, true, &$3, &$1.place); }
	| EDH PARAMS NUMBER { tls_edh_bits(p, &$1, &$3); }
	| NO EDH { tls_option(p, RD_TLS_EDH, false, &no_word, &$1.place); }
	| CA FILE string
		{ tls_option(p, RD_TLS_CA_FILE, true, &$3, &$1.place); }
	| CA CERT string
		{ tls_option(p, RD_TLS_CA_CERT, true, &$3, &$1.place); }
	| CA KEY string PASSWORD string
	{
		rd_tls_option(p->build, RD_TLS_CA_KEY, true, &$3, &$5,
		    &$1.place);
	}
	| CLIENT CA string
		{ tls_option(p, RD_TLS_CLIENT_CA, true, &$3, &$1.place); }
	| keypair
	| flag_word { tls_flag(p, true, &$1); }
	| NO flag_word { tls_flag(p, false, &$2); }
	;

keypair
	: KEYPAIR string
		{ tls_option(p, RD_TLS_KEYPAIR, true, &$2, &$1.place); }
	| keypair keypair_word string
		{ rd_tls_keypair_file(p->build, &$2, &$3); }
	;

keypair_word
	: CERT
	| CERTIFICATE
	| KEY
	| OCSP
	;

flag_word
	: STRING
	| FAILOVER
	| GLOB
	| HTTPS
	| IGNORECASE
	| PATTERN
	;

http_begin
	: HTTP { list_begin(p, RD_LIST_HTTP, &$1.place); }
	;

http_options
	: http_item
	| http_options sep http_item
	;

http_item
	: http_option
	| bad_item
	;

http_option
	: HEADERLEN NUMBER
	{
		rd_http_option(p->build, RD_HTTP_HEADERLEN, true, &$2,
		    &$1.place);
	}
	| WEBSOCKETS
	{
		rd_http_option(p->build, RD_HTTP_WEBSOCKETS, true,
		    &no_number, &$1.place);
	}
	| NO WEBSOCKETS
	{
		rd_http_option(p->build, RD_HTTP_WEBSOCKETS, false,
		    &no_number, &$1.place);
	}
	;

error_begin
	: RETURN ERROR
	{
		list_begin(p, RD_LIST_ERROR, &$1.place);
		$$ = $1;
	}
	;

error_options
	: error_item
	| error_options sep error_item
	;

error_item
	: error_option
	| bad_item
	;

error_option
	: STYLE string { rd_return_error(p->build, &$2, &$1.place); }
	;

/* ---- filter rules ---- */

rule
	: rule_head rule_opts { rd_rule_end(p->build); }
	;

rule_head
	: rule_action direction quick family from to
		{ rd_rule_begin(p->build, &p->head); }
	;

rule_action
	: PASS { head_begin(p, RD_PASS, &$1.place); }
	| BLOCK { head_begin(p, RD_BLOCK, &$1.place); }
	| MATCH { head_begin(p, RD_MATCH, &$1.place); }
	;

direction
	: %empty
	| REQUEST
	| RESPONSE { p->head.direction = RD_RESPONSE; }
	;

quick
	: %empty
	| QUICK { p->head.quick = true; }
	;

family
	: %empty
	| INET { p->head.family = AF_INET; }
	| INET6 { p->head.family = AF_INET6; }
	;

from
	: %empty
	| FROM prefix
	{
		p->head.from = $2.address;
		p->head.from_bits = $2.bits;
	}
	;

to
	: %empty
	| TO prefix
	{
		p->head.to = $2.address;
		p->head.to_bits = $2.bits;
	}
	;

prefix
	: string { $$.address = $1; $$.bits = no_number; }
	| string '/' NUMBER { $$.address = $1; $$.bits = $3; }
	;

rule_opts
	: %empty
	| rule_opts rule_opt
	;

rule_opt
	: METHOD string { rule_option(p, RD_RULE_METHOD, &$2, &$1); }
	| part operation key
	{
		lookup_done(p, &$3, $1.part, $2, &$1.place);
	}
	| URL operation key { lookup_done(p, &$3, RD_URL, $2, &$1.place); }
	| URL operation DIGEST key_word value_opt
	{
		struct rd_lookup_text text = { .digest = true,
		    .key.word = $4, .value = $5 };

		lookup_done(p, &text, RD_URL, $2, &$1.place);
	}
	| PATH STRIP NUMBER
	{
		struct rd_lookup_text text = { .strip = $3 };

		lookup_done(p, &text, RD_PATH, RD_OP_STRIP, &$1.place);
	}
	| FILE string value_opt
	{
		struct rd_match_text path = { .word = $2 };

		rd_rule_file(p->build, &path, &$3);
	}
	| FORWARD TO table_name
		{ rule_option(p, RD_RULE_TABLE, &$3, &$1); }
	| TAG string { rule_option(p, RD_RULE_TAG, &$2, &$1); }
	| NO TAG { rule_option(p, RD_RULE_NO_TAG, &no_word, &$1); }
	| TAGGED string { rule_option(p, RD_RULE_TAGGED, &$2, &$1); }
	| LABEL string { rule_option(p, RD_RULE_LABEL, &$2, &$1); }
	| NO LABEL { rule_option(p, RD_RULE_NO_LABEL, &no_word, &$1); }
	;

part
	: HEADER { $$.part = RD_HEADER; $$.place = $1.place; }
	| COOKIE { $$.part = RD_COOKIE; $$.place = $1.place; }
	| QUERY { $$.part = RD_QUERY; $$.place = $1.place; }
	| PATH { $$.part = RD_PATH; $$.place = $1.place; }
	;

operation
	: %empty { $$ = RD_OP_NONE; }
	| APPEND { $$ = RD_OP_APPEND; }
	| SET { $$ = RD_OP_SET; }
	| REMOVE { $$ = RD_OP_REMOVE; }
	| HASH { $$ = RD_OP_HASH; }
	| LOG { $$ = RD_OP_LOG; }
	;

key
	: %empty %prec ALONE { $$ = (struct rd_lookup_text){ 0 }; }
	| matcher %prec ALONE { $$ = (struct rd_lookup_text){ .key = $1 }; }
	| lookup_key value_opt { $$ = $1; $$.value = $2; }
	;

lookup_key
	: key_word { $$ = (struct rd_lookup_text){ .key.word = $1 }; }
	| matcher key_word
	{
		$$ = (struct rd_lookup_text){ .key = $1 };
		$$.key.word = $2;
	}
	| FILE string
	{
		$$ = (struct rd_lookup_text){ .file = true,
		    .key.word = $2 };
	}
	| matcher FILE string
	{
		$$ = (struct rd_lookup_text){ .file = true, .key = $1 };
		$$.key.word = $3;
	}
	;

value_opt
	: %empty { $$ = (struct rd_match_text){ 0 }; }
	| VALUE value { $$ = $2; }
	;

value
	: key_word { $$ = (struct rd_match_text){ .word = $1 }; }
	| matcher key_word { $$ = $1; $$.word = $2; }
	;

/* How the string behind it is compared. */
matcher
	: GLOB { $$ = matched(RD_GLOB, &$1); }
	| GLOB IGNORECASE { $$ = matched(RD_GLOB_IGNORECASE, &$1); }
	| PATTERN { $$ = matched(RD_PATTERN, &$1); }
	;

/* A string where a matcher could stand. */
key_word
	: STRING
	| CERTIFICATE
	| CURVE
	| ECDH
	| FAILOVER
	| HTTPS
	| OCSP
	;

/* ---- routers ---- */

router
	: router_open router_lines '}' { rd_section_leave(p); }
	| router_open router_lines router_opt '}' { rd_section_leave(p); }
	;

router_head
	: ROUTER name
	{
		p->open = RD_S_ROUTER;
		rd_router_begin(p->build, &$2);
		$$ = $2;
	}
	;

router_open
	: router_head '{' { rd_section_enter(p, RD_S_ROUTER, &$1); }
	;

router_lines
	: %empty
	| router_lines NEWLINE
	| router_lines router_opt NEWLINE
	;

router_opt
	: ROUTE prefix
		{ rd_router_route(p->build, &$2.address, &$2.bits); }
	| FORWARD TO table_spec { rd_router_forward(p->build, &$1.place); }
	| RTABLE NUMBER { rd_router_rtable(p->build, &$2); }
	| RTLABEL string { rd_router_rtlabel(p->build, &$2); }
	| DISABLE { rd_disable(p->build); }
	| include
	| bad_line
	;

%%

/* Tokens by kind. */
static const int tokens[] = {
	[RD_K_END] = T_END, [RD_K_NEWLINE] = T_NEWLINE,
	[RD_K_STRING] = T_STRING, [RD_K_NUMBER] = T_NUMBER,
	[RD_K_BAD] = T_RD_GRAMMAR_error,
#define TOKEN(name, text) [RD_K_##name] = T_##name,
	RD_RESERVED(TOKEN)
	RD_PLACE_WORDS(TOKEN)
#undef TOKEN
};

static int
rd_grammar_lex(RD_GRAMMAR_STYPE *value, struct rd_parser *p)
{
	const struct rd_token *t = &p->token;

	rd_parser_next(p);
	switch (t->kind) {
	case RD_K_NUMBER:
		value->number = (struct rd_number){ t->number, true,
		    t->word.place };
		break;
	case RD_K_BYTE:
		return t->word.text[0] != '\0' &&
		    strchr("{}<>=,/", t->word.text[0]) != NULL ?
		    t->word.text[0] : T_OTHER;
	default:
		value->word = t->word;
	}
	return tokens[t->kind];
}

/* Which kind of token a symbol is; RD_KINDS: none. */
static enum rd_kind
symbol_kind(yysymbol_kind_t symbol)
{
	for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
		if (i != RD_K_BAD && i != RD_K_BYTE &&
		    YYTRANSLATE(tokens[i]) == symbol)
			return (enum rd_kind)i;
	}
	return RD_KINDS;
}

static int
yyreport_syntax_error(const yypcontext_t *context, struct rd_parser *p)
{
	static const char punctuation[] = "{}<>=,/";
	yysymbol_kind_t symbols[YYNTOKENS];
	enum rd_kind kinds[YYNTOKENS];
	char bytes[sizeof punctuation];
	size_t nkinds = 0, nbytes = 0;
	int n = yypcontext_expected_tokens(context, symbols, YYNTOKENS);

	for (int i = 0; i < n; i++) {
		enum rd_kind kind = symbol_kind(symbols[i]);

		if (kind != RD_KINDS)
			kinds[nkinds++] = kind;
		for (const char *c = punctuation; *c != '\0'; c++) {
			int token = *c;

			if (YYTRANSLATE(token) == symbols[i])
				bytes[nbytes++] = *c;
		}
	}
	bytes[nbytes] = '\0';
	rd_parser_unexpected(p, kinds, nkinds, bytes);
	return 0;
}

/* Syntax errors go the way above; what is left is memory, see rd_read(). */
static void
rd_grammar_error(struct rd_parser *p, const char *why)
{
	(void)p;
	(void)why;
}
