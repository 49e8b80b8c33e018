"""relayd's control socket: who may, who does not keep to the rules, what is
ordered and what stays of it, and what is told of all that."""

import contextlib
import os
import pathlib
import pwd
import select
import signal
import socket
import stat
import struct
import subprocess
import time

import pytest

import ctl
import lib
import rd

pytestmark = rd.needed
T = ctl.T
PATIENCE = 30			# s, of the daemon with its clients
CLIENTS, MONITORS = 64, 48
NOBODY = 65534


class Client:
    """A client that has said hello (raw: has not)."""

    def __init__(self, daemon, raw=False, path=None):
        self.socket = socket.socket(socket.AF_UNIX)
        # a full queue is waited for, which connect() with a timeout is not
        self.socket.connect(str(path or daemon.socket))
        self.socket.settimeout(lib.TIMEOUT)
        if not raw:
            self.send(ctl.hello())
            kind, body = self.receive()
            assert (kind, body) == (T["HELLO"], struct.pack(
                "=II", ctl.MAGIC, ctl.VERSION))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        return ctl.receive(self.socket)

    def ask(self, kind, body=b""):
        self.send(ctl.message(kind, body))

    def rows(self, kind, body=b""):
        """All that is answered up to the END."""
        self.ask(kind, body)
        out = []
        while True:
            got = self.receive()
            assert got is not None, out
            if got[0] == T["END"]:
                return out
            out.append(got)

    def does(self, kind, body=b""):
        """Whether it succeeded."""
        self.ask(kind, body)
        got = self.receive()
        assert got is not None and got[0] in (T["OK"], T["FAIL"]), got
        return got[0] == T["OK"]

    def dropped(self):
        """Disconnected, and nothing was said."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def by_id(number):
    return struct.pack("=I64sI", number, b"", 0)


def by_name(title):
    return struct.pack("=I64sI", ctl.NO_ID, title.encode(), 0)


def path_of(file=""):
    return os.fsencode(file).ljust(1024, b"\0")


def relay(port, to, extra="", name="one"):
    return (f'relay "{name}" {{\n\tlisten on 127.0.0.1 port {port}\n'
            f"\tforward to <web> port {to}{extra}\n}}\n")


def simple(port, to=9, hosts="127.0.0.1", check=" check tcp", head=""):
    return f"interval 2\n{head}table <web> {{ {hosts} }}\n" + relay(
        port, to, check)


def shown(daemon, kind="host"):
    """{name: last column} of show summary; the first of that name."""
    rows = [line.split("\t") for line in
            daemon.ctl("show", "summary").splitlines()[1:]]
    return {r[2].strip(): r[4] for r in reversed(rows)
            if r[1].strip() == kind}


# ---- who may

def test_permissions(relayd, port):
    s = relayd(simple(port))
    st = os.stat(s.socket)
    assert stat.S_ISSOCK(st.st_mode)
    assert stat.S_IMODE(st.st_mode) == 0o660
    assert (st.st_uid, st.st_gid) == (0, 0)
    for user in NOBODY, pwd.getpwnam(rd.USER).pw_uid:
        r = subprocess.run([rd.RELAYCTL, "-s", s.socket, "show", "summary"],
                           user=user, group=user, extra_groups=[],
                           capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=lib.TIMEOUT)
        assert r.returncode == 1 and "connect: " in r.stderr, r.stderr


# ---- who does not keep to the rules

def u32(*n):
    return struct.pack(f"={len(n)}I", *n)


BREACHES = [
    b"GET / HTTP/1.0\r\n\r\n",
    bytes(16),
    b"\xff" * 64,
    ctl.message("SHOW_SUMMARY", length=15),
    ctl.message("SHOW_SUMMARY", length=0),
    ctl.message("SHOW_SUMMARY", length=0xffffffff),
    ctl.message("SHOW_SUMMARY", length=65537),
    ctl.message("SHOW_SUMMARY", b"x"),
    ctl.message("SHOW_SUMMARY", flags=1),
    ctl.message("SHOW_SUMMARY", peer=1),
    ctl.message("OK"),
    ctl.message("SYNC"),
    ctl.message("HOST_STATUS", u32(1, 1)),
    ctl.message(0),
    ctl.message(71),
    ctl.message(0xffff),
    ctl.message("VERBOSE"),
    ctl.message("VERBOSE", bytes(8)),
    ctl.message("HOST_DISABLE", bytes(71)),
    ctl.message("HOST_DISABLE", struct.pack("=I64sI", ctl.NO_ID, b"x" * 64,
                                            0)),
    ctl.message("RELOAD", b"/" * 1024),
    ctl.message("RELOAD", b"/\0"),
    ctl.message("WHY", bytes(16) + b"x" * 64),
    ctl.hello(),
    ctl.message("SHOW_SESSIONS") + ctl.message("SHOW_SESSIONS"),
]


def test_breaches(relayd, port):
    """Each costs its sender the connection, and nobody else anything."""
    s = relayd(simple(port))
    pfe = s.one("pfe")
    with Client(s) as witness:
        assert witness.does("NOTIFY")
        for data in BREACHES:
            with Client(s) as c:
                c.send(data)
                assert c.dropped(), data
        for data in (ctl.message("SHOW_SUMMARY"), ctl.hello(magic=1),
                     ctl.message("HELLO", b"")):
            with Client(s, raw=True) as c:
                c.send(data)
                assert c.dropped(), data
        # another version is told ours, and that is all
        with Client(s, raw=True) as c:
            c.send(ctl.hello(version=ctl.VERSION + 1))
            assert c.receive() == (T["HELLO"], u32(ctl.MAGIC, ctl.VERSION))
            assert c.dropped()
        # half of everything, and away
        for data in (ctl.hello(), ctl.message("RELOAD", path_of("/x"))):
            for n in (1, 7, 16, len(data) - 1):
                with Client(s, raw=True) as c:
                    c.send(data[:n])
        assert witness.does("POLL")
    assert s.one("pfe") == pfe
    assert shown(s, "relay") == {"one": "active"}


def test_trickled(relayd, port):
    s = relayd(simple(port))
    with Client(s, raw=True) as c:
        lib.trickle(c.socket, ctl.hello() + ctl.message(
            "HOST_DISABLE", by_name("127.0.0.1")))
        assert c.receive()[0] == T["HELLO"]
        assert c.receive()[0] == T["OK"]
    assert shown(s) == {"127.0.0.1": "disabled"}


def many(n):
    """That many hosts; an answer that no socket takes as a whole."""
    return " ".join(f"127.1.{i // 250}.{i % 250 + 1}" for i in range(n))


@pytest.mark.slow
def test_slow(relayd, port):
    """Who owes something does so for half a minute; others are not held up,
    and who owes nothing may stay."""
    s = relayd("interval 3600\n"
               f"table <web> {{ {many(4000)} }}\n"
               'redirect "r" { listen on 127.0.0.1 port 1\n'
               "forward to <web> port 9 check tcp }\n" +
               'table <one> { 127.0.0.1 }\nrelay "one" {\n'
               f"listen on 127.0.0.1 port {port}\n"
               "forward to <one> port 9\n}\n")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        def client(*args, **kw):
            return stack.enter_context(Client(s, *args, **kw))

        silent, half, unread, idle = (client(raw=True), client(), client(),
                                      client())
        half.send(ctl.message("POLL")[:9])
        unread.ask("SHOW_SUMMARY")
        monitor = client()
        assert monitor.does("NOTIFY")
        # meanwhile
        assert len([1 for kind, _ in client().rows("SHOW_SUMMARY")
                    if kind == T["HOST"]]) == 4001
        for c in (silent, half, idle):
            c.socket.settimeout(PATIENCE * 3)
            assert c.dropped()
        assert time.monotonic() - began >= PATIENCE - 1
        # nothing was taken of what it asked for: it is dropped as well
        gone = select.poll()
        gone.register(unread.socket, select.POLLRDHUP)
        assert gone.poll(PATIENCE * 3000)
        # what had gone out can be read, the rest never comes
        assert not [1 for _ in iter(unread.receive, None)
                    if _[0] == T["END"]]
        monitor.ask("POLL")
        while (kind := monitor.receive()[0]) != T["OK"]:
            assert kind in (T["SYNC"], T["HOST_STATUS"]), kind


def test_a_crowd(relayd, port):
    """There is a most of clients; another one waits for its turn."""
    s = relayd(simple(port))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(s)) for _ in range(CLIENTS)]
        late = stack.enter_context(Client(s, raw=True))
        late.send(ctl.hello() + ctl.message("POLL"))
        late.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.receive()
        late.socket.settimeout(lib.TIMEOUT)
        assert clients[0].does("NOTIFY")
        clients[1].socket.close()
        assert late.receive()[0] == T["HELLO"]
        assert late.receive()[0] == T["OK"]
        # monitors stay, so they are fewer
        late.socket.close()
        monitors = 1 + sum(c.does("NOTIFY") for c in clients[2:])
        assert monitors == MONITORS


def limit(pid, soft=None):
    """The most descriptors of a process, as its own user may set it; what it
    was."""
    user = pwd.getpwnam(rd.USER)
    r = subprocess.run(["prlimit", f"--pid={pid}", "--nofile", "--noheadings",
                        "--raw", "--output=SOFT"],
                       capture_output=True, text=True, timeout=lib.TIMEOUT,
                       user=user.pw_uid, group=user.pw_gid, check=True)
    if soft is not None:
        subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={soft}:"],
                       timeout=lib.TIMEOUT, user=user.pw_uid,
                       group=user.pw_gid, check=True)
    return int(r.stdout)


def ticks(pid):
    """Processor time so far, in hundredths of a second."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, text.rpartition(")")[2].split()[11:13]))


@pytest.mark.skipif(not lib.have("prlimit"), reason="there is no prlimit")
def test_no_descriptors(relayd, port):
    """Accepting pauses, what is served is served, and then it goes on."""
    s = relayd(simple(port))
    pfe = s.one("pfe")
    with Client(s) as old:
        assert old.does("POLL")
        before = limit(pfe, len(lib.descriptors(pfe)))
        with Client(s, raw=True) as c:
            c.send(ctl.hello())
            c.socket.settimeout(1.5)
            used = ticks(pfe)
            with pytest.raises(TimeoutError):
                c.receive()
            assert old.does("POLL")
            used = ticks(pfe) - used
            limit(pfe, before)
            c.socket.settimeout(lib.TIMEOUT)
            assert c.receive()[0] == T["HELLO"]
            assert used < 50, "it was busy all the time"


# ---- show

TREE = """\
table <web> {{ 127.0.0.1 127.0.0.2 parent 1 }}
table <spare> {{ 127.0.0.3 }}
table <gone> disable {{ 127.0.0.4 }}
table <gate> {{ 127.0.0.5 }}
redirect "idle" {{
	disable
	listen on 127.0.0.1 port 8000
	forward to <web> port {to} check tcp
}}
redirect "www" {{
	listen on 127.0.0.1 port 8001
	forward to <gone> port {to} check tcp
	forward to <web> port {to} check tcp
}}
relay "off" {{
	disable
	listen on 127.0.0.1 port {off}
	forward to <spare> port {to}
}}
relay "on" {{
	listen on 127.0.0.1 port {on}
	forward to <gone> port {to} check tcp
	forward to <spare> port {to}
}}
router "way" {{
	route 192.0.2.0/24
	route 198.51.100.0/25
	forward to <gate> check tcp
	rtable 0
}}
"""


def test_order_of_the_dump(relayd, backend):
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(TREE.format(to=to, on=lib.free_port(), off=lib.free_port()),
               relays=0)
    s.wait_host("127.0.0.1", "up")
    with Client(s) as c:
        rows = c.rows("SHOW_SUMMARY")
    names = {T[n]: n for n in ("REDIRECT", "STATISTICS", "TABLE", "HOST",
                               "RELAY", "ROUTER", "ROUTE")}
    text = []
    for kind, body in rows:
        what = names[kind].lower()
        if kind == T["STATISTICS"]:
            text.append(what)
        elif kind == T["ROUTE"]:
            text.append(f"{what}/{struct.unpack_from('=II', body)[1]}")
        else:
            at = {"REDIRECT": 8, "TABLE": 16, "RELAY": 8, "ROUTER": 16,
                  "HOST": 64}[names[kind]]
            state = struct.unpack_from("=II", body)[1]
            name = body[at:].split(b"\0")[0].decode()
            text.append(f"{what} {name} {state}")
    assert text == [
        f"redirect idle {ctl.DISABLED}",
        f"redirect www {ctl.BACKUP | ctl.NOT_APPLIED}",
        "statistics",
        f"table gone:{to} {ctl.DISABLED}",
        f"table web:{to} {ctl.ACTIVE}",
        f"host 127.0.0.1 {ctl.UP}",
        f"host 127.0.0.2 {ctl.UP}",
        f"relay off {ctl.DISABLED}",
        "statistics",
        f"table spare:{to} {ctl.ACTIVE}",
        f"host 127.0.0.3 {ctl.UNKNOWN}",
        f"relay on {ctl.ACTIVE}",
        "statistics",
        f"table gone:{to} {ctl.DISABLED}",
        f"table spare:{to} {ctl.ACTIVE}",
        f"host 127.0.0.3 {ctl.UNKNOWN}",
        f"router way {ctl.ACTIVE}",
        "route/24", "route/25",
        f"table gate:65535 {ctl.EMPTY}",
        f"host 127.0.0.5 {ctl.DOWN}",
    ]


def test_what_is_in_force(relayd, port, tmp_path):
    """The canonical text, and how the daemon was started; a refused file
    changes neither."""
    s = relayd(simple(port, hosts="$where"), macros={"where": "127.0.0.1"})
    with Client(s) as c:
        (kind, head), *parts = c.rows("TEXT")
        assert kind == T["REQUEST"]
        assert os.path.realpath(head[:1024].split(b"\0")[0].decode()) == str(
            s.file)
        assert head[1024:2048].split(b"\0")[0]
        assert any(head[2048:2080])		# a digest
        assert head[2080:] == u32(1, 16) + b"where\000127.0.0.1\0"
        assert {k for k, _ in parts} == {T["TEXT_PART"]}
        text = b"".join(b for _, b in parts)
        assert b"127.0.0.1" in text and b"check tcp" in text
        s.write("nonsense\n")
        assert not c.does("RELOAD", path_of())
        assert c.rows("TEXT")[1:] == parts


# ---- orders

def test_orders(relayd, port, backend):
    """By name and by id, with children, and what is refused."""
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(simple(port, to, hosts="127.0.0.1 127.0.0.2 parent 1 "
                                      "127.0.0.3"))
    for h in "127.0.0.1", "127.0.0.2 parent 1", "127.0.0.3":
        s.wait_host(h, "up")
    with Client(s) as c:
        for bad in ("HOST_DISABLE", by_id(2)), \
                ("HOST_ENABLE", by_name("127.0.0.2")), \
                ("HOST_DISABLE", by_id(0)), ("HOST_DISABLE", by_id(4)), \
                ("HOST_DISABLE", by_name("127.0.0.9")), \
                ("TABLE_DISABLE", by_name("web")), \
                ("TABLE_DISABLE", by_id(2)), \
                ("REDIRECT_DISABLE", by_id(1)), \
                ("REDIRECT_DISABLE", by_name("one")):
            assert not c.does(*bad), bad
        assert c.does("HOST_DISABLE", by_name("127.0.0.1"))
        assert c.does("HOST_DISABLE", by_id(1))		# is so already
        assert shown(s) == {"127.0.0.1": "disabled",
                            "127.0.0.2 parent 1": "disabled",
                            "127.0.0.3": "up"}
        assert shown(s, "table") == {f"web:{to}": "active (1 hosts)"}
        lib.wait_until(lambda: s.ctl("show", "hosts").count("total: ") == 1,
                       "counts of the disabled ones to be forgotten")
        assert c.does("HOST_ENABLE", by_id(1))
        for h in "127.0.0.1", "127.0.0.2 parent 1":
            s.wait_host(h, "up")
        assert c.does("TABLE_DISABLE", by_name(f"web:{to}"))
        assert shown(s) == {}
        assert shown(s, "table") == {f"web:{to}": "disabled"}
        assert c.does("TABLE_ENABLE", by_id(1))
        s.wait_host("127.0.0.3", "up")


def test_disabled_is_not_checked_and_not_used(relayd, port, backend):
    b = backend(lib.Recorder)
    s = relayd(simple(port, b.port))
    s.wait_host("127.0.0.1", "up")
    s.ctl("host", "disable", "127.0.0.1")
    with pytest.raises((ConnectionError, EOFError, AssertionError)):
        lib.echo_once(port)
    lib.wait_until(lambda: shown(s) == {"127.0.0.1": "disabled"}, "disabled")
    s.ctl("host", "enable", "127.0.0.1")
    s.wait_host("127.0.0.1", "up")


def test_orders_stay(relayd, port, backend):
    """Over reloads, and over the death of who keeps them and of who obeys;
    what the file says counts again once an order says the same."""
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(simple(port, to, hosts="127.0.0.1 127.0.0.3"), clean=False)
    s.wait_host("127.0.0.3", "up")
    s.ctl("host", "disable", "127.0.0.1")
    s.reload(simple(port, to, hosts="127.0.0.4 127.0.0.3 127.0.0.1"))
    s.wait_host("127.0.0.4", "up")
    assert shown(s)["127.0.0.1"] == "disabled"
    for title in "pfe", "hce":
        old = s.one(title)
        os.kill(old, signal.SIGKILL)
        lib.wait_until(lambda: s.named(title) not in ([], [old]),
                       f"another {title}")
        s.wait_for(f"lost child: {title} pid {old} terminated; signal 9")

        def answers():
            try:
                return shown(s)["127.0.0.1"] == "disabled"
            except (AssertionError, KeyError):
                return False
        lib.wait_until(answers, "an answer of the next one")
    s.wait_host("127.0.0.3", "up")
    assert shown(s)["127.0.0.1"] == "disabled"
    s.ctl("host", "enable", "127.0.0.1")
    s.wait_host("127.0.0.1", "up")
    assert s.stop() == 0
    assert not s.reports()


def test_redirects(relayd, backend):
    b = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(TREE.format(to=b, on=lib.free_port(), off=lib.free_port()),
               relays=0)
    s.wait_host("127.0.0.1", "up")
    assert shown(s, "redirect") == {
        "idle": "disabled",
        "www": "active (using backup table) (not applied)"}
    assert shown(s, "table")[f"gone:{b}"] == "disabled"
    s.ctl("redirect", "disable", "www")
    assert shown(s, "redirect")["www"] == "disabled"
    s.ctl("redirect", "enable", "www")	# and both of its tables
    lib.wait_until(lambda: shown(s, "redirect")["www"] in (
        "active (not applied)", "active (using backup table) (not applied)"),
        "a state of the redirect")
    assert shown(s, "table")[f"gone:{b}"] != "disabled"
    s.ctl("redirect", "enable", "1")
    lib.wait_until(lambda: shown(s, "redirect")["idle"] ==
                   "active (not applied)", "the other one")


# ---- events

def event(c):
    got = ctl.exactly(c.socket, 16)
    length, kind, flags, peer, pid = struct.unpack("=IHHII", got)
    assert (flags, peer, pid) == (0, 0, 1)
    return kind, ctl.exactly(c.socket, length - 16)


def test_events(relayd, port, backend):
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(simple(port, to))
    s.wait_host("127.0.0.1", "up")
    with Client(s) as monitor:
        assert monitor.does("NOTIFY")
        monitor.ask("NOTIFY")
        while True:			# an event may come first
            kind, _ = monitor.receive()
            if kind not in (T["SYNC"], T["HOST_STATUS"]):
                break
        assert kind == T["FAIL"]
        # a round: its begin, and each check that has ended, changed or not
        seen = []
        while seen.count(T["HOST_STATUS"]) < 2 or T["SYNC"] not in seen:
            kind, body = event(monitor)
            if kind == T["HOST_STATUS"]:
                assert struct.unpack("=Ii", body) == (1, 1)
            else:
                assert (kind, body) == (T["SYNC"], b"")
            seen.append(kind)

        def told(kind):
            while True:
                got, body = event(monitor)
                if got == T[kind]:
                    return body
                assert got in (T["SYNC"], T["HOST_STATUS"]), got
        with Client(s) as c:
            assert c.does("HOST_DISABLE", by_name("127.0.0.1"))
            assert told("HOST_DISABLE") == struct.pack(
                "=I64sI", 1, b"127.0.0.1", 0)
            assert c.does("HOST_ENABLE", by_id(1))
            assert told("HOST_ENABLE") == by_id(1)
            assert c.does("TABLE_DISABLE", by_id(1))
            assert told("TABLE_DISABLE") == by_id(1)
            assert not c.does("TABLE_DISABLE", by_id(9))
            assert c.does("VERBOSE", u32(1))
            assert told("VERBOSE") == u32(1)


# ---- what others do

def test_verbosity(relayd, port):
    """On and off for all processes, and kept by a reload."""
    s = relayd(simple(port), verbose=0, relays=0)
    lib.wait_until(lambda: len(s.named("pfe")) == 1, "pfe")

    def debug_of_hce(since):
        return s.grep("hce_notify_done: 127.0.0.1", since)
    with Client(s) as c:
        assert c.does("POLL")
        lib.wait_until(lambda: shown(s) == {"127.0.0.1": "down"}, "a check")
        assert not debug_of_hce(0)
        assert c.does("VERBOSE", u32(1))
        lib.wait_until(lambda: debug_of_hce(0), "a debug line")
        since = s.mark()
        s.reload()
        lib.wait_until(lambda: debug_of_hce(since), "another debug line")
        assert c.does("VERBOSE", u32(0))
        with Client(s) as monitor:
            assert monitor.does("NOTIFY")
            assert c.does("POLL")
            assert c.does("POLL")
            since = s.mark()
            while event(monitor)[0] != T["HOST_STATUS"]:
                pass
            while event(monitor)[0] != T["HOST_STATUS"]:
                pass
        assert not debug_of_hce(since)


def test_reload_and_load(relayd, port, tmp_path):
    s = relayd(simple(port))
    other = tmp_path / "other.conf"
    other.write_text(f'socket "{s.socket}"\n' + relay(
        port, 9, name="two").replace("<web>", "<x>") + "")
    with Client(s) as c:
        assert not c.does("RELOAD", path_of(other))	# <x> is missing
        assert shown(s, "relay") == {"one": "active"}
        other.write_text(f'socket "{s.socket}"\n' + simple(port).replace(
            '"one"', '"two"'))
        assert c.does("RELOAD", path_of(other))
        assert shown(s, "relay") == {"two": "active"}
        assert c.does("RELOAD", path_of())		# its own file
        assert shown(s, "relay") == {"one": "active"}
        assert not c.does("RELOAD", path_of(tmp_path / "missing.conf"))
        assert not c.does("RELOAD", path_of("other.conf"))
    assert s.grep("failed to load config file")


def test_stop(relayd, port):
    """Acknowledged, then it is the end of everything."""
    s = relayd(simple(port))
    with Client(s) as c:
        assert c.does("SHUTDOWN")
        assert c.receive() is None
    assert s.proc.wait(lib.TIMEOUT) == 0
    assert not s.socket.exists()


def test_another_socket(relayd, port, tmp_path):
    """A changed path is served before the old one goes; clients stay."""
    s = relayd(simple(port))
    old, new = s.socket, tmp_path / "new.sock"
    with Client(s) as c:
        s.socket = new
        s.reload(simple(port))
        assert c.does("POLL")
        lib.wait_until(lambda: not old.exists(), "the old one to go")
        assert shown(s, "relay") == {"one": "active"}
        assert stat.S_IMODE(os.stat(new).st_mode) == 0o660


# ---- sessions

@contextlib.contextmanager
def sessions_of(daemon, port, n):
    with contextlib.ExitStack() as stack:
        for i in range(n):
            c = stack.enter_context(lib.connect(port))
            c.sendall(b"x")
        yield stack


def listed(c):
    rows = c.rows("SHOW_SESSIONS")
    assert {k for k, _ in rows} <= {T["SESSION"]}
    return [struct.unpack_from("=QII", b) for _, b in rows]


def test_sessions(relayd, port, backend):
    """All of all workers, worker by worker; one that stands still is left
    out, and one that has died."""
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(simple(port, to, check="", head="prefork 3\n"), relays=3)
    with Client(s) as c:
        assert listed(c) == []
        with sessions_of(s, port, 60):
            lib.wait_until(lambda: len(listed(c)) == 60, "60 sessions")
            rows = listed(c)
            workers = [w for _, w, _ in rows]
            assert workers == sorted(workers)
            assert len(set(rows)) == 60
            assert {p for _, _, p in rows} <= set(lib.children(s.pid))
            busy = {p for _, _, p in rows}
            stopped = sorted(busy)[0]
            rest = [r for r in rows if r[2] != stopped]
            os.kill(stopped, signal.SIGSTOP)
            try:
                began = time.monotonic()
                assert listed(c) == rest
                assert time.monotonic() - began >= 4
            finally:
                os.kill(stopped, signal.SIGCONT)
            lib.wait_until(lambda: listed(c) == rows, "all of them again")
        lib.wait_until(lambda: listed(c) == [], "their end")


# ---- statistics

@pytest.mark.slow
def test_statistics(relayd, port, backend):
    """A minute's sessions, once it is over; kept by a reload."""
    to = backend(lib.Echo).port
    s = relayd(simple(port, to, check=""))
    for _ in range(7):
        lib.echo_once(port)

    def counted():
        return s.ctl("show", "relays").splitlines()[2:]
    lib.wait_until(counted, "the end of the minute", 120, 1)
    assert counted() == [
        "\t        \ttotal: 7 sessions",
        "\t        \tlast: 7/60s 7/h 7/d sessions",
        "\t        \taverage: 3/60s 0/h 0/d sessions",
    ]
    s.reload(simple(port, to, check="", head="table <more> { 127.0.0.1 }\n"
                    f"relay a {{ listen on 127.0.0.1 port {lib.free_port()}"
                    f"\nforward to <more> port {to} }}\n"))
    assert counted()[1:2] == ["\t        \ttotal: 7 sessions"], counted()
