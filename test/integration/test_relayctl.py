"""relayctl against a daemon that answers what a test wants: what it asks, what
it prints, byte for byte, and what it makes of answers that are none."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

import ctl
import lib

HEAD = "Id  \tType    \tName                    \tAvlblty\tStatus\n"
TOP = ("monitor", "show", "load", "poll", "reload", "stop", "redirect",
       "table", "host", "log", "plan", "why")
SHOW = ("summary", "hosts", "redirects", "relays", "routers", "sessions")
AS_C = {**os.environ, "TZ": "UTC"}


def run(*args, **kw):
    kw.setdefault("env", AS_C)
    kw.setdefault("stdout", subprocess.PIPE)
    r = subprocess.run([ctl.RELAYCTL, *map(str, args)], text=True,
                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                       timeout=lib.TIMEOUT, **kw)
    assert not lib.SANITIZER.search(r.stderr), r.stderr
    return r


@pytest.fixture
def daemon(tmp_path):
    """daemon(answer, ...): its path is what -s wants."""
    running = []

    def make(*answers, **kw):
        d = ctl.Daemon(tmp_path / "s", *answers, **kw)
        running.append(d)
        return d

    yield make
    for d in running:
        d.close()


def good(d, *args):
    r = run("-s", d.path, *args)
    assert (r.returncode, r.stderr) == (0, ""), (r.stdout, r.stderr)
    return r.stdout


def bad(d, *args):
    """What it said on standard error."""
    r = run("-s", d.path, *args)
    assert r.returncode == 1
    return r.stderr


# ---- the command line

def listing(words):
    return "valid commands/args:\n" + "".join(f"  {w}\n" for w in words)


@pytest.mark.parametrize("args, error", [
    ([], "missing argument:\n" + listing(TOP)),
    (["r"], "ambiguous argument: r\n" + listing(TOP)),
    (["re"], "ambiguous argument: re\n" + listing(TOP)),
    (["s"], "ambiguous argument: s\n" + listing(TOP)),
    (["l"], "ambiguous argument: l\n" + listing(TOP)),
    (["lo"], "ambiguous argument: lo\n" + listing(TOP)),
    ([""], "ambiguous argument: \n" + listing(TOP)),
    (["Show"], "unknown argument: Show\n" + listing(TOP)),
    (["pl"], "unknown argument: pl\n" + listing(TOP)),
    (["w"], "unknown argument: w\n" + listing(TOP)),
    (["shows"], "unknown argument: shows\n" + listing(TOP)),
    (["show"], "missing argument:\n" + listing(SHOW)),
    (["show", "r"], "ambiguous argument: r\n" + listing(SHOW)),
    (["sh", "re"], "ambiguous argument: re\n" + listing(SHOW)),
    (["show", "s"], "ambiguous argument: s\n" + listing(SHOW)),
    (["show", ""], "ambiguous argument: \n" + listing(SHOW)),
    (["show", "x"], "unknown argument: x\n" + listing(SHOW)),
    (["red"], "missing argument:\n" + listing(("disable", "enable"))),
    (["table", "x"], "unknown argument: x\n" +
     listing(("disable", "enable"))),
    (["log"], "missing argument:\n" + listing(("verbose", "brief"))),
    (["redirect", "d"], "missing argument:\n" + listing(["<redirectid>"])),
    (["table", "e"], "missing argument:\n" + listing(["<tableid>"])),
    (["host", "e"], "missing argument:\n" + listing(["<hostid>"])),
    (["host", "e", ""], "unknown argument: \n" + listing(["<hostid>"])),
    (["load"], "missing argument:\n" + listing(["<path>"])),
    (["plan"], "missing argument:\n" + listing(["<path>"])),
    (["why"], "missing argument:\n" + listing(["<sessionid>",
                                               "<hostid>"])),
    (["poll", "now", "x"], "superfluous argument: now\n"),
    (["show", "summary", "-j"], "superfluous argument: -j\n"),
    (["host", "disable", "a", "b"], "superfluous argument: b\n"),
    (["-j", "reload"], "relayctl: reload: there is nothing to show as "
     "JSON\n"),
])
def test_words_that_are_wrong(tmp_path, args, error):
    r = run("-s", tmp_path / "nobody", *args)
    assert (r.returncode, r.stdout, r.stderr) == (1, "", error)


@pytest.mark.parametrize("args", [["-x", "poll"], ["-s"], ["--help"]])
def test_usage(args):
    r = run(*args)
    assert r.returncode == 1 and r.stdout == ""
    assert "usage: relayctl [-s socket] command [argument ...]\n" in r.stderr


NO_NAME = bytes(64)


def id_(n, name=""):
    return struct.pack("=I64sI", n, ctl.text(name, 64), 0)


@pytest.mark.parametrize("args, kind, body", [
    ("poll", "POLL", b""),
    ("po", "POLL", b""),
    ("p", "POLL", b""),
    ("stop", "SHUTDOWN", b""),
    ("st", "SHUTDOWN", b""),
    ("rel", "RELOAD", bytes(1024)),
    ("load /etc/other.conf", "RELOAD", ctl.text("/etc/other.conf", 1024)),
    ("loa x", "RELOAD", None),
    ("redirect disable www", "REDIRECT_DISABLE", id_(ctl.NO_ID, "www")),
    ("red e 1", "REDIRECT_ENABLE", id_(1)),
    ("table disable web:80", "TABLE_DISABLE", id_(ctl.NO_ID, "web:80")),
    ("t en 4294967295", "TABLE_ENABLE", id_(4294967295)),
    ("t en 4294967296", "TABLE_ENABLE", id_(ctl.NO_ID, "4294967296")),
    ("host dis 192.0.2.1", "HOST_DISABLE", id_(ctl.NO_ID, "192.0.2.1")),
    ("h e 0", "HOST_ENABLE", id_(0)),
    ("h e +1", "HOST_ENABLE", id_(ctl.NO_ID, "+1")),
    ("h e " + 63 * "n", "HOST_ENABLE", id_(ctl.NO_ID, 63 * "n")),
], ids=str)
def test_orders(daemon, args, kind, body):
    d = daemon([ctl.OK])
    assert good(d, *args.split()) == "command succeeded\n"
    if body is None:
        body = ctl.text(os.path.join(os.getcwd(), "x"), 1024)
    assert d.asked == [(ctl.T[kind], body)]


def test_order_fails(daemon):
    d = daemon([ctl.FAIL], [ctl.message("FAIL", b"a reload is \x1bin "
                                        b"progress")])
    r = run("-s", d.path, "host", "disable", "x")
    assert (r.returncode, r.stdout, r.stderr) == (1, "command failed\n", "")
    r = run("-s", d.path, "reload")
    assert (r.returncode, r.stdout) == (1, "command failed\n")
    assert r.stderr == "relayctl: a reload is ?in progress\n"


def test_name_too_long(daemon, tmp_path):
    """It would be cut and could be another one: nothing is sent."""
    d = daemon([ctl.OK])
    r = run("-s", d.path, "host", "disable", 64 * "n")
    assert (r.returncode, r.stdout) == (1, "command failed\n")
    assert "more than 63 bytes" in r.stderr
    assert "more than 1023 bytes" in bad(d, "load", "/" + 1023 * "d")
    assert d.asked == []


@pytest.mark.parametrize("word, value", [("verbose", 1), ("v", 1),
                                         ("brief", 0)])
def test_log(daemon, word, value):
    """No answer is waited for."""
    d = daemon([], hold=True)
    assert good(d, "log", word) == "logging request sent.\n"
    lib.wait_until(lambda: d.asked, "the request")
    assert d.asked == [(ctl.T["VERBOSE"], struct.pack("=I", value))]


# ---- connections

def test_no_daemon(tmp_path):
    path = tmp_path / "none"
    r = run("-s", path, "show", "summary")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == f"relayctl: connect: {path}: No such file or " \
        "directory\n"
    long = "/" + 110 * "x"
    r = run("-s", long, "poll")
    assert r.stderr == f"relayctl: socket `{long}' too long\n"
    assert r.returncode == 1


@pytest.mark.parametrize("greeting", [
    ctl.hello(version=ctl.VERSION + 1), ctl.hello(magic=1), ctl.OK,
    ctl.message("HELLO", b"x"), ctl.message("HELLO", length=3),
    ctl.message("HELLO", length=1 << 30), b"HTTP/1.1 400 Bad Request\r\n\r\n",
], ids=repr)
def test_other_versions(daemon, greeting):
    d = daemon([ctl.OK], greeting=greeting)
    assert "another version" in bad(d, "poll")
    assert d.asked == []


DUMP = [
    ctl.redirect(1, ctl.ACTIVE, "www"),
    ctl.statistics(1, 0, 312, (2, 15, 120), (3, 14, 100)),
    ctl.table(1, ctl.ACTIVE, "web:80", 2),
    ctl.host(1, ctl.UP, "192.0.2.10", checks=2000, ups=1991, error=11),
    ctl.host(2, ctl.DOWN, "192.0.2.11", checks=29, ups=27, error=10,
             left=0),
    ctl.host(3, ctl.DOWN, "192.0.2.12", checks=3, left=2, parent=1),
    ctl.host(4, ctl.UNKNOWN, "web4", address="2001:db8::4"),
    ctl.host(5, ctl.DISABLED, "web5"),
    ctl.table(2, ctl.EMPTY, "sorry:80", 0),
    ctl.redirect(2, ctl.BACKUP | ctl.NOT_APPLIED, "smtp"),
    ctl.statistics(2, 0, 0),
    ctl.redirect(3, ctl.DISABLED | ctl.DOWN, "off"),
    ctl.redirect(4, ctl.DOWN, "down"),
    ctl.relay(1, ctl.ACTIVE, "tls"),
    ctl.statistics(1, 1, 7, (0, 1, 2), (0, 0, 1)),
    ctl.table(3, ctl.DISABLED, "web:8080"),
    ctl.relay(2, ctl.DISABLED, "tls2:8443"),
    ctl.statistics(2, 1, 0),
    ctl.router(1, ctl.ACTIVE, "uplinks", 3, "uplink"),
    ctl.route(1, "10.0.0.0", 8),
    ctl.route(1, "2001:db8::", 32),
    ctl.table(4, ctl.ACTIVE, "gw:65535", 1),
    ctl.router(2, ctl.DISABLED, "none"),
    ctl.END,
]


def row(n, kind, name, availability, status):
    return f"{n:<4}\t{kind:<8}\t{name:<24}\t{availability:<7}\t{status}\n"


IN = "\t        \t"
OBJECTS = {
    "redirects": [
        row(1, "redirect", "www", "", "active"),
        row(2, "redirect", "smtp", "", "active (using backup table) (not "
            "applied)"),
        row(3, "redirect", "off", "", "disabled"),
        row(4, "redirect", "down", "", "down")],
    "relays": [row(1, "relay", "tls", "", "active"),
               row(2, "relay", "tls2:8443", "", "disabled")],
    "routers": [row(1, "router", "uplinks", "", "active"),
                row(2, "router", "none", "", "disabled")],
    "tables": [row(1, "table", "web:80", "", "active (2 hosts)"),
               row(2, "table", "sorry:80", "", "empty"),
               row(3, "table", "web:8080", "", "disabled"),
               row(4, "table", "gw:65535", "", "active (1 hosts)")],
    "hosts": [row(1, "host", "192.0.2.10", "99.55%", "up"),
              row(2, "host", "192.0.2.11", "93.10%", "down"),
              row(3, "host", "192.0.2.12 parent 1", "0.00%", "down"),
              row(4, "host", "web4", "", "unknown"),
              row(5, "host", "web5", "", "disabled")],
}


def test_row_by_hand():
    """One row, without the help of what the others are made by."""
    assert OBJECTS["hosts"][1] == (
        "2   \thost    \t192.0.2.11              \t93.10% \tdown\n")
    assert OBJECTS["tables"][2] == (
        "3   \ttable   \tweb:8080                \t       \tdisabled\n")


def test_summary(daemon):
    r, t, h = OBJECTS["redirects"], OBJECTS["tables"], OBJECTS["hosts"]
    relays, routers = OBJECTS["relays"], OBJECTS["routers"]
    d = daemon(DUMP)
    assert good(d, "show", "summary") == HEAD + "".join(
        [r[0], t[0], *h, t[1], *r[1:], relays[0], t[2], relays[1],
         routers[0], t[3], routers[1]])
    assert d.asked == [(ctl.T["SHOW_SUMMARY"], b"")]


def test_hosts(daemon):
    t, h = OBJECTS["tables"], OBJECTS["hosts"]
    assert good(daemon(DUMP), "sh", "h") == HEAD + "".join(
        [t[0], h[0], IN, "total: 1991/2000 checks\n",
         h[1], IN, "total: 27/29 checks, error: tcp connect timeout\n",
         h[2], IN, "total: 0/3 checks, 2 retries\n",
         h[3], h[4], *t[1:]])


def test_redirects(daemon):
    r = OBJECTS["redirects"]
    assert good(daemon(DUMP), "show", "red") == HEAD + "".join(
        [r[0], IN, "total: 312 sessions\n",
         IN, "last: 2/60s 15/h 120/d sessions\n",
         IN, "average: 3/60s 14/h 100/d sessions\n", *r[1:]])


def test_relays(daemon):
    r = OBJECTS["relays"]
    assert good(daemon(DUMP), "show", "rel") == HEAD + "".join(
        [r[0], IN, "total: 7 sessions\n",
         IN, "last: 0/60s 1/h 2/d sessions\n",
         IN, "average: 0/60s 0/h 1/d sessions\n", r[1]])


def test_routers(daemon):
    r = OBJECTS["routers"]
    assert good(daemon(DUMP), "show", "ro") == HEAD + "".join(
        [r[0], IN, "rtable: 3\n", IN, "rtlabel: uplink\n",
         IN, "route: 10.0.0.0/8\n", IN, "route: 2001:db8::/32\n", r[1]])


def test_empty(daemon):
    d = daemon([ctl.END])
    assert good(d, "show", "summary") == HEAD
    assert good(d, "-j", "show", "summary") == "[]\n"
    assert good(d, "show", "sessions") == ""
    assert good(d, "-j", "show", "sessions") == "[]\n"


def test_long_content_is_not_cut(daemon):
    title = "n" * 255
    d = daemon([ctl.host(4294967295, ctl.UP, title, parent=4294967294,
                         checks=2 ** 64 - 1, ups=2 ** 64 - 1), ctl.END])
    assert good(d, "show", "summary") == HEAD + \
        f"4294967295\thost    \t{title} parent 4294967294\t100.00%\tup\n"


def test_names_do_nothing_to_terminals(daemon):
    d = daemon([ctl.relay(1, ctl.ACTIVE, "a\x1b[2Jb\nc\x7f\u00e9"), ctl.END])
    assert good(d, "show", "relays") == HEAD + row(
        1, "relay", "a?[2Jb?c?\u00e9", "", "active").replace(
            "\u00e9" + 14 * " ", "\u00e9" + 13 * " ")


SESSIONS = [
    ctl.session(17, 2, ("203.0.113.9", 51234), ("192.0.2.11", 80),
                age=3723.9, idle=1.2, pid=4711, relay_=2),
    ctl.session(18, 2, ("2001:db8::7", 443), done=1, age=360000, idle=61,
                pid=4711, relay_=1, tag="IMG"),
]


def test_sessions(daemon):
    d = daemon([*SESSIONS, ctl.END])
    assert good(d, "show", "sessions") == (
        "session 2:17 203.0.113.9:51234 -> 192.0.2.11:80\tRUNNING\n"
        "\tage 01:02:03, idle 00:00:01, relay 2, pid 4711\n"
        "session 2:18 2001:db8::7:443 -> :0\tDONE\n"
        "\tage 100:00:00, idle 00:01:01, relay 1, pid 4711, tag (id) IMG\n")
    assert d.asked == [(ctl.T["SHOW_SESSIONS"], b"")]


@pytest.mark.parametrize("trickle", [False, True])
def test_many_sessions(daemon, trickle):
    """As they come; in pieces that end anywhere."""
    n = 300 if trickle else 20000
    d = daemon([*SESSIONS[:1] * n, ctl.END], trickle=trickle)
    assert good(d, "show", "sessions").count("RUNNING\n") == n
    if not trickle:
        assert len(json.loads(good(d, "-j", "show", "sessions"))) == n


# ---- JSON

def test_json_summary(daemon):
    d = daemon(DUMP)
    got = json.loads(good(d, "-j", "show", "summary"))
    assert [(x["type"], x["id"]) for x in got] == [
        ("redirect", 1), ("table", 1), *[("host", n) for n in range(1, 6)],
        ("table", 2), ("redirect", 2), ("redirect", 3), ("redirect", 4),
        ("relay", 1), ("table", 3), ("relay", 2), ("router", 1),
        ("table", 4), ("router", 2)]
    assert got[3] == {
        "type": "host", "id": 2, "name": "192.0.2.11", "status": "down",
        "address": "192.0.2.1", "table": 1,
        "parent": None, "availability": 93.1, "checks": 29, "up": 27,
        "retries": 0, "error": "tcp connect timeout"}
    assert got[4]["parent"] == 1 and got[4]["error"] is None
    assert got[5]["availability"] is None
    assert got[1] == {"type": "table", "id": 1, "name": "web:80",
                      "status": "active", "up": 2, "check": True}
    assert got[8] == {"type": "redirect", "id": 2, "name": "smtp",
                      "status": "active", "backup": True, "applied": False}


def test_json_views(daemon):
    d = daemon(DUMP)
    got = json.loads(good(d, "-j", "show", "redirects"))
    assert got[0] == {
        "type": "redirect", "id": 1, "name": "www", "status": "active",
        "backup": False, "applied": True,
        "sessions": {"total": 312, "interval": 60,
                     "last": {"interval": 2, "hour": 15, "day": 120},
                     "average": {"interval": 3, "hour": 14, "day": 100}}}
    assert [x["status"] for x in got] == ["active", "active", "disabled",
                                          "down"]
    assert got[1]["sessions"]["total"] == 0 and "sessions" not in got[2]
    got = json.loads(good(d, "-j", "show", "relays"))
    assert [x["sessions"]["total"] for x in got] == [7, 0]
    got = json.loads(good(d, "-j", "show", "routers"))
    assert got == [
        {"type": "router", "id": 1, "name": "uplinks", "status": "active",
         "rtable": 3, "rtlabel": "uplink",
         "routes": ["10.0.0.0/8", "2001:db8::/32"]},
        {"type": "router", "id": 2, "name": "none", "status": "disabled",
         "rtable": 0, "rtlabel": None, "routes": []}]
    got = json.loads(good(d, "-j", "show", "hosts"))
    assert {x["type"] for x in got} == {"table", "host"} and len(got) == 9


def test_json_sessions(daemon):
    got = json.loads(good(daemon([*SESSIONS, ctl.END]), "-j", "sh", "se"))
    assert got == [
        {"type": "session", "worker": 2, "id": 17,
         "client": {"address": "203.0.113.9", "port": 51234},
         "server": {"address": "192.0.2.11", "port": 80},
         "state": "RUNNING", "age": 3723.9, "idle": 1.2, "relay": 2,
         "pid": 4711, "tag": None},
        {"type": "session", "worker": 2, "id": 18,
         "client": {"address": "2001:db8::7", "port": 443}, "server": None,
         "state": "DONE", "age": 360000, "idle": 61, "relay": 1,
         "pid": 4711, "tag": "IMG"}]


def test_json_strings(daemon):
    d = daemon([ctl.relay(1, ctl.ACTIVE, 'a"\\\x01\udcff'), ctl.END])
    assert json.loads(good(d, "-j", "show", "relays"))[0]["name"] == \
        'a"\\\x01\ufffd'


# ---- answers that are none

@pytest.mark.parametrize("args, answer, error", [
    ("show summary", [ctl.OK], "wrong message in summary: 1"),
    ("show summary", [ctl.redirect(1, 8, "a"), SESSIONS[0]],
     "wrong message in summary: 10"),
    ("show sessions", [ctl.redirect(1, 8, "a")],
     "wrong message in session: 6"),
    ("show summary", [ctl.message("RELAY", bytes(95))],
     "wrong message in summary: 9"),
    ("show summary", [ctl.message("RELAY", 8 * b"\1" + 88 * b"x")],
     "wrong message in summary: 9"),
    ("show summary", [ctl.message(999)], "wrong message in summary: 999"),
    ("show summary", [ctl.message("RELAY", length=15)], "another version"),
    ("show summary", [ctl.message("RELAY", length=65537)],
     "another version"),
    ("show summary", [], "pipe closed"),
    ("show summary", [ctl.relay(1, 8, "a")], "pipe closed"),
    ("show summary", [ctl.relay(1, 8, "a")[:-1]], "pipe closed"),
    ("show sessions", [SESSIONS[0]], "pipe closed"),
    ("poll", [], "pipe closed"),
    ("poll", [ctl.OK[:9]], "pipe closed"),
    ("poll", [ctl.END], "wrong message in answer: 5"),
    ("why 1", [ctl.OK], "wrong message in session: 1"),
])
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_answers(daemon, args, answer, error, as_json):
    if as_json and args == "poll":
        return
    d = daemon(answer)
    r = run("-s", d.path, *["-j"][:as_json], *args.split())
    assert r.returncode == 1
    assert re.fullmatch(rf"relayctl: .*{re.escape(error)}.*\n", r.stderr)
    if args == "show summary" and not as_json:
        assert r.stdout.startswith(HEAD)


def test_no_room_for_output(daemon):
    d = daemon([*SESSIONS * 3000, ctl.END])
    with open("/dev/full", "w") as full:
        r = run("-s", d.path, "show", "sessions", stdout=full)
        assert r.returncode == 1
        assert r.stderr == \
            "relayctl: standard output: No space left on device\n"
        r = run("-s", d.path, "show", "summary", stdout=full)
        assert r.returncode == 1
    read, write = os.pipe()
    os.close(read)
    r = run("-s", d.path, "show", "sessions", stdout=write)
    os.close(write)
    assert r.returncode == 1
    assert r.stderr == "relayctl: standard output: Broken pipe\n"


# ---- monitor

class Monitor:
    def __init__(self, path, *args):
        self.proc = subprocess.Popen(
            [ctl.RELAYCTL, *args, "-s", path, "monitor"], env=AS_C,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL)

    def end(self):
        """Of itself."""
        out, err = self.proc.communicate(timeout=lib.TIMEOUT)
        return self.proc.returncode, out, err

    def kill(self):
        self.proc.send_signal(signal.SIGINT)
        return self.end()


EVENTS = [
    ctl.status(3, 1), ctl.status(4, -1), ctl.status(5, 0),
    ctl.message("SYNC", pid=1),
    ctl.object_id("HOST_DISABLE", 2, "192.0.2.1"),
    ctl.object_id("HOST_ENABLE", 2),
    ctl.object_id("TABLE_DISABLE", 1), ctl.object_id("TABLE_ENABLE", 1),
    ctl.object_id("REDIRECT_DISABLE", 1),
    ctl.object_id("REDIRECT_ENABLE", 1),
    ctl.object_id("TABLE_CHANGED", 7), ctl.object_id("PULL_RULESET", 8),
    ctl.object_id("PUSH_RULESET", 9),
    ctl.message("VERBOSE", struct.pack("=I", 1), pid=1),
    ctl.message(60, b"abc", pid=1),
    ctl.status(6, 1),
]


def test_monitor(daemon):
    before = int(time.time())
    d = daemon(EVENTS)
    status, out, err = Monitor(d.path).end()
    assert (status, err) == (1, "relayctl: pipe closed\n")
    assert d.asked == [(ctl.T["NOTIFY"], b"")]
    times = {int(x) for x in re.findall(r"timestamp: (\d+),", out)}
    assert all(before <= t <= time.time() for t in times)
    for t in times:
        assert f"\ttimestamp: {t}, {time.asctime(time.gmtime(t))}\n" in out
    plain = re.sub(r"\ttimestamp: .*\n", "", out)
    assert plain == (
        "host_status: imsg type 37 len 24 peerid 0 pid 1\n"
        "\tid: 3\n\tstate: up\n"
        "host_status: imsg type 37 len 24 peerid 0 pid 1\n"
        "\tid: 4\n\tstate: down\n"
        "host_status: imsg type 37 len 24 peerid 0 pid 1\n"
        "\tid: 5\n\tstate: unknown\n"
        "sync: imsg type 38 len 16 peerid 0 pid 1\n"
        "ctl_host_disable: imsg type 22 len 88 peerid 0 pid 1\n"
        "\tid: 2\n\tname: 192.0.2.1\n"
        "ctl_host_enable: imsg type 21 len 88 peerid 0 pid 1\n\tid: 2\n"
        "ctl_table_disable: imsg type 20 len 88 peerid 0 pid 1\n\tid: 1\n"
        "ctl_table_enable: imsg type 19 len 88 peerid 0 pid 1\n\tid: 1\n"
        "ctl_rdr_disable: imsg type 18 len 88 peerid 0 pid 1\n\tid: 1\n"
        "ctl_rdr_enable: imsg type 17 len 88 peerid 0 pid 1\n\tid: 1\n"
        "ctl_table_changed: imsg type 13 len 88 peerid 0 pid 1\n\tid: 7\n"
        "ctl_pull_ruleset: imsg type 14 len 88 peerid 0 pid 1\n\tid: 8\n"
        "ctl_push_ruleset: imsg type 15 len 88 peerid 0 pid 1\n\tid: 9\n"
        "<unknown>: imsg type 3 len 20 peerid 0 pid 1\n"
        "<unknown>: imsg type 60 len 19 peerid 0 pid 1\n"
        "host_status: imsg type 37 len 24 peerid 0 pid 1\n"
        "\tid: 6\n\tstate: up\n")


def test_monitor_json(daemon):
    d = daemon(EVENTS)
    status, out, err = Monitor(d.path, "-j").end()
    assert status == 1
    got = [json.loads(x) for x in out.splitlines()]
    assert len(got) == len(EVENTS)
    assert all(x.pop("time") > 10 ** 9 for x in got)
    assert got[0] == {"event": "host_status", "type": 37, "id": 3,
                      "state": "up"}
    assert got[3] == {"event": "sync", "type": 38}
    assert got[4] == {"event": "ctl_host_disable", "type": 22, "id": 2,
                      "name": "192.0.2.1"}
    assert got[5]["name"] is None
    assert got[13] == {"event": None, "type": 3}


def test_monitor_flushes(daemon):
    """An event is seen when it happens, also through a pipe."""
    d = daemon([ctl.OK, ctl.status(3, 1)], hold=True)
    m = Monitor(d.path)
    lines = [m.proc.stdout.readline() for _ in range(4)]
    assert lines[3] == "\tstate: up\n"
    status, out, err = m.kill()
    assert (status, out) == (-signal.SIGINT, "")


def test_monitor_waits_for_a_daemon(tmp_path):
    path = tmp_path / "s"
    m = Monitor(path)
    lib.wait_until(lambda: lib.alive(m.proc.pid), "monitor")
    time.sleep(0.3)			# it may have failed by now
    assert m.proc.poll() is None
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(path))		# refused
        time.sleep(0.3)
    assert m.proc.poll() is None
    path.unlink()
    d = ctl.Daemon(path, [ctl.status(1, 1)])
    assert m.end()[0] == 1
    d.close()
    assert d.asked


@pytest.mark.parametrize("event, error", [
    (ctl.message("HOST_STATUS", b"x"), "wrong message in event: 37"),
    (ctl.message("SYNC", b"x"), "wrong message in event: 38"),
    (ctl.message("HOST_ENABLE", 72 * b"x"), "wrong message in event: 21"),
])
def test_monitor_wrong(daemon, event, error):
    status, out, err = Monitor(daemon([event]).path).end()
    assert (status, out, err) == (1, "", f"relayctl: {error}\n")


def test_monitor_refused(daemon):
    d = daemon([ctl.FAIL], [ctl.message("FAIL", b"enough of them")])
    assert Monitor(d.path).end() == (1, "command failed\n", "")
    assert Monitor(d.path).end() == (1, "command failed\n",
                                     "relayctl: enough of them\n")


# ---- why

WHY = [
    ctl.why(17, 2, ("203.0.113.9", 51234), ("192.0.2.11", 80), 1, "www", 2,
            "192.0.2.11", 2, 1700000000 * 10 ** 9 + 5, 512, 10240, 1, 0,
            "done", chosen=0.000151, connected=0.0012, first_request=0.0013,
            server_end=1.5, client_end=1.25, end=1.600001),
    ctl.why(18, 1, ("2001:db8::7", 443), relay_=3, relay_name="tls",
            tries=1, began=1700000000 * 10 ** 9, who=0, error=1,
            reason="TLS handshake error: a\x1bb", end=0.5),
]


def test_why(daemon):
    d = daemon([*WHY, ctl.END])
    assert good(d, "why", "2:17") == (
        "session 2:17 203.0.113.9:51234 -> 192.0.2.11:80\t"
        "closed by server: done\n"
        "\trelay 1 www, host 2 192.0.2.11, 2 tries, 512 bytes in, "
        "10240 out\n"
        "\tbegan Tue Nov 14 22:13:20 2023\n"
        "\t+0.000151 destination chosen\n"
        "\t+0.001200 connected\n"
        "\t+0.001300 first bytes of the client\n"
        "\t+1.250000 end of the client\n"
        "\t+1.500000 end of the server\n"
        "\t+1.600001 closed\n"
        "session 1:18 2001:db8::7:443 -> :0\t"
        "closed by client: TLS handshake error: a?b (error)\n"
        "\trelay 3 tls, 1 try, 0 bytes in, 0 out\n"
        "\tbegan Tue Nov 14 22:13:20 2023\n"
        "\t+0.500000 closed\n")
    assert d.asked == [(ctl.T["WHY"], struct.pack(
        "=QII64s", 17, 2, 0, NO_NAME))]


def test_why_json(daemon):
    got = json.loads(good(daemon([*WHY, ctl.END]), "-j", "why", "web"))
    assert len(got) == 2
    assert got[0].pop("phases") == [
        {"phase": "destination chosen", "at": 0.000151},
        {"phase": "connected", "at": 0.0012},
        {"phase": "first bytes of the client", "at": 0.0013},
        {"phase": "end of the client", "at": 1.25},
        {"phase": "end of the server", "at": 1.5},
        {"phase": "closed", "at": 1.600001}]
    assert got[0] == {
        "type": "session", "worker": 2, "id": 17,
        "client": {"address": "203.0.113.9", "port": 51234},
        "server": {"address": "192.0.2.11", "port": 80},
        "relay": {"id": 1, "name": "www"},
        "host": {"id": 2, "name": "192.0.2.11"}, "closed": "server",
        "reason": "done", "error": False, "tries": 2, "in": 512,
        "out": 10240, "began": 1700000000.000000005}
    assert got[1]["host"] is None and got[1]["error"] is True


@pytest.mark.parametrize("word, asked", [
    ("17", (17, 0, 0, "")), ("3:17", (17, 3, 0, "")),
    ("web1", (0, 0, 0, "web1")), ("192.0.2.1", (0, 0, 0, "192.0.2.1")),
    ("2001:db8::1", (0, 0, 0, "2001:db8::1")), ("::1", (0, 0, 0, "::1")),
    ("3:", (0, 0, 0, "3:")), ("1:2:3", (0, 0, 0, "1:2:3")),
])
def test_why_whom(daemon, word, asked):
    d = daemon([WHY[0], ctl.END])
    good(d, "why", word)
    session, worker, host, name = asked
    assert d.asked == [(ctl.T["WHY"], struct.pack(
        "=QII64s", session, worker, host, ctl.text(name, 64)))]


def test_why_number_of_a_host(daemon):
    """If no session has it."""
    d = daemon([ctl.END], [WHY[0], ctl.END])
    assert "session 2:17" in good(d, "why", "5")
    assert [x[1][:16] for x in d.asked] == [
        struct.pack("=QII", 5, 0, 0), struct.pack("=QII", 0, 0, 5)]


def test_why_nothing(daemon):
    d = daemon([ctl.END])
    r = run("-s", d.path, "why", "web1")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == "relayctl: web1: no session that is over is known\n"
    r = run("-j", "-s", d.path, "why", "1:2")
    assert (r.returncode, r.stdout) == (1, "[]\n")


# ---- plan

RUNNING = """table <web> { 192.0.2.1 192.0.2.2 }
relay www {
	listen on 127.0.0.1 port 8080
	forward to <web> port 80 check tcp
}
"""


def canonical(text, folder):
    """What relayd makes of it."""
    file = folder / "canonical.conf"
    file.write_text(text)
    r = subprocess.run([lib.BUILD / "bin/relayd", "-nv", "-f", file],
                       capture_output=True, timeout=lib.TIMEOUT,
                       stdin=subprocess.DEVNULL)
    assert r.returncode == 0, r.stderr
    return r.stdout


@pytest.fixture
def plan(daemon, tmp_path):
    """plan(text, *options): of a daemon that runs RUNNING."""
    served = []

    def make(text, *args, running=RUNNING, macros=(), name="new.conf",
             directory=None):
        if not served:
            served.append(daemon([
                ctl.request(str(tmp_path / "running.conf"),
                            str(directory or tmp_path), macros),
                *ctl.parts(canonical(running, tmp_path), 100), ctl.END]))
        (tmp_path / name).write_text(text)
        return run("-s", served[0].path, *args, "plan", name, cwd=tmp_path)

    return make


def test_plan_nothing(plan):
    r = plan("# the same\n" + RUNNING)
    assert (r.returncode, r.stdout, r.stderr) == (0, "no changes\n", "")
    r = plan(RUNNING, "-j")
    assert json.loads(r.stdout) == {
        "changes": [], "errors": [],
        "listeners": {"kept": 1, "added": 0, "removed": 0},
        "hosts": {"kept": 2, "checked": 0, "removed": 0}, "renumbered": 0}


CHANGED = """prefork 5
table <web> { 192.0.2.3 192.0.2.2 retry 1 }
protocol fast { tcp nodelay }
relay www {
	listen on 127.0.0.1 port 8080
	listen on ::1 port 8080
	session timeout 30
	protocol fast
	forward to <web> port 80 check tcp
}
"""


def test_plan(plan):
    r = plan(CHANGED)
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout == """\
~ global prefork  3 -> 5  now
+ listener ::1:8080  now
~ relay www protocol  default -> fast  new sessions
~ relay www session timeout  600 s -> 30 s  new sessions
+ relay www2:8080  new sessions
+ host 192.0.2.3 in web:80  checked at once
~ host 192.0.2.2 in web:80 retry  0 -> 1  state kept
- host 192.0.2.1 in web:80  now
+ protocol fast  new sessions
9 changes
listeners: 1 kept, 1 added, 0 removed
hosts: 1 keep their state, 1 checked at once, 1 removed
"""


def test_plan_json(plan):
    got = json.loads(plan(CHANGED, "-j").stdout)
    assert len(got["changes"]) == 9 and got["errors"] == []
    assert got["changes"][0] == {
        "op": "change", "kind": "global", "name": None, "option": "prefork",
        "old": "3", "new": "5", "effect": "now"}
    assert got["changes"][1] == {
        "op": "add", "kind": "listener", "name": "::1:8080", "option": None,
        "old": None, "new": "::1:8080", "effect": "now"}
    assert got["changes"][7]["op"] == "remove"
    assert got["hosts"] == {"kept": 1, "checked": 1, "removed": 1}


def test_plan_ids(plan):
    """Nothing but the numbers is another one."""
    r = plan(RUNNING.replace("192.0.2.1 192.0.2.2", "192.0.2.2 192.0.2.1"))
    assert r.stdout == (
        "0 changes\nlisteners: 1 kept, 0 added, 0 removed\n"
        "hosts: 2 keep their state, 0 checked at once, 0 removed\n"
        "ids: 2 get another one\n")


def test_plan_errors(plan, tmp_path):
    """As a reload would log them, by the path that load would send."""
    r = plan("table <web> { 192.0.2.1 }\nrelais x\n")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr.startswith(f"{tmp_path}/new.conf:2: unexpected "
                               '"relais"')
    r = plan("table <web> { 192.0.2.1 }\nrelais x\n", "-j")
    assert r.returncode == 1 and r.stderr == ""
    got = json.loads(r.stdout)
    assert got["changes"] == [] and len(got["errors"]) >= 1
    assert got["errors"][0]["file"] == f"{tmp_path}/new.conf"
    assert got["errors"][0]["line"] == 2
    (tmp_path / "new.conf").unlink()
    r = plan(RUNNING, name="other.conf")	# and one that is not there
    assert r.returncode == 0
    r = run("-s", tmp_path / "s", "plan", tmp_path / "gone")
    assert r.returncode == 1 and "No such file" in r.stderr


def test_plan_as_the_daemon_was_started(plan, tmp_path):
    """Its macros, and its directory for relative paths."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "more").write_text("interval 20\n")
    r = plan('include "more"\n' + RUNNING.replace("8080", "$port"),
             macros=[("port", "8080"), ("unused", "")],
             directory=tmp_path / "there")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith("~ global interval  10 s -> 20 s  now\n"
                               "1 change\n")
    assert run("-s", tmp_path / "s", "plan", "new.conf",
               cwd=tmp_path).returncode == 0


def test_plan_relative_file(daemon, tmp_path):
    """relayd -f relayd.conf, in a directory that is given."""
    d = daemon([ctl.request("relayd.conf", str(tmp_path)),
                *ctl.parts(canonical(RUNNING, tmp_path)), ctl.END])
    (tmp_path / "new.conf").write_text(RUNNING)
    assert good(d, "plan", tmp_path / "new.conf") == "no changes\n"
    assert d.asked == [(ctl.T["TEXT"], b"")]


BY_NAME = RUNNING.replace("192.0.2.1 192.0.2.2", "localhost, 192.0.2.2")


def test_plan_of_names(daemon, tmp_path):
    """A name whose address is another one by now is another host."""
    file = tmp_path / "new.conf"
    file.write_text(BY_NAME)
    answer = {
        "TEXT": [ctl.request(str(file), str(tmp_path)),
                 *ctl.parts(canonical(BY_NAME, tmp_path)), ctl.END],
        "SHOW_SUMMARY": [
            ctl.relay(1, 8, "www"), ctl.table(1, 8, "web:80"),
            ctl.host(1, ctl.UP, "localhost", address="192.0.2.99"),
            ctl.host(2, ctl.UP, "192.0.2.2", address="192.0.2.98"),
            ctl.host(3, ctl.UP, "localhost", address="192.0.2.97"),
            ctl.END]}
    d = daemon(answer)
    assert good(d, "plan", file).splitlines()[:3] == [
        "+ host localhost in web:80  checked at once",
        "- host localhost in web:80  now", "2 changes"]
    assert [x[0] for x in d.asked] == [ctl.T["TEXT"], ctl.T["SHOW_SUMMARY"]]
    now = socket.getaddrinfo("localhost", 80)[0][4][0]
    answer["SHOW_SUMMARY"][2] = ctl.host(1, ctl.UP, "localhost", address=now)
    out = good(d, "plan", file)
    if len({x[4][0] for x in socket.getaddrinfo("localhost", 80)}) == 1:
        assert out == "no changes\n"
    answer["SHOW_SUMMARY"] = [SESSIONS[0]]
    assert "wrong message in summary: 10" in bad(d, "plan", file)


def test_plan_of_files(daemon, tmp_path):
    """Something that the daemon has read is not what it was."""
    file = tmp_path / "new.conf"
    file.write_text(RUNNING)
    d = daemon([ctl.request(str(file), str(tmp_path), digest=32 * b"x"),
                *ctl.parts(canonical(RUNNING, tmp_path)), ctl.END])
    assert good(d, "plan", file) == (
        "~ global files  as they were read -> as they are  new sessions\n"
        "1 change\nlisteners: 1 kept, 0 added, 0 removed\n"
        "hosts: 2 keep their state, 0 checked at once, 0 removed\n")
    got = json.loads(good(d, "-j", "plan", file))
    assert [x["option"] for x in got["changes"]] == ["files"]


def test_plan_of_what_the_engine_refuses(plan):
    r = plan("table <d> { 192.0.2.1 }\ndns protocol d { pass }\n"
             "relay d { listen on 127.0.0.1 port 5353\nprotocol d\n"
             "forward to <d> port 53 }\n")
    assert r.returncode == 1 and 'relay "d"' in r.stderr


def test_plan_reason(daemon, tmp_path):
    d = daemon([ctl.message("FAIL", b"too long")])
    assert bad(d, "plan", tmp_path) == "relayctl: too long\n"


@pytest.mark.parametrize("answer, error", [
    ([ctl.END], "did not tell how it was started"),
    ([*ctl.parts(b"text"), ctl.END], "wrong message in plan: 69"),
    ([ctl.request("/a", "/"), ctl.request("/a", "/"), ctl.END],
     "wrong message in plan: 70"),
    ([ctl.request("/a", "/")[:-4] + b"\1\0\0\0", ctl.END],
     "wrong message in plan: 70"),
    ([ctl.request("/a", "/"), *ctl.parts(b"nonsense\n"), ctl.END],
     "what is in force cannot be read here: /a:1: "),
    ([ctl.request("/a", "/"), ctl.END], "what is in force cannot be read"),
    ([ctl.request("/a", "/")], "pipe closed"),
    ([ctl.FAIL], "wrong message in plan: 2"),
])
def test_plan_wrong_answers(daemon, tmp_path, answer, error):
    (tmp_path / "new.conf").write_text(RUNNING)
    assert error in bad(daemon(answer), "plan", tmp_path / "new.conf")
