"""The line at the end of a relay's session, to the letter (runtime 3.9), debug
lines, statistics, and what relayctl shows of sessions, alive and over."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import lib
import netns
import rd
import stage
from test_syslog import ENTER, FACILITIES, LEVELS, dev, lines  # noqa: F401

pytestmark = rd.needed

CONF = """
{log}
prefork {prefork}
{top}
protocol "p" {{
	tcp {splice}
	{protocol}
}}
relay "{name}" {{
	listen on {listen} port {port}{tls}
	protocol "p"
	session timeout {timeout}
	{forward}
}}
"""
LINE = re.compile(r"^relay (\S+), session (\d+) \((\d+) active\), 0, "
                  r"(\S*) -> (\S*):(\d+), (.*)$")


def conf(port, server=None, log="log connection", splice="splice", prefork=1,
         top="", protocol="", name="www", listen="127.0.0.1", timeout=600,
         forward=None, tls=""):
    if forward is None:
        forward = f"forward to {server.host} port {server.port}"
    return CONF.format(port=port, log=log, splice=splice, prefork=prefork,
                       top=top, protocol=protocol, name=name, listen=listen,
                       timeout=timeout, forward=forward, tls=tls)


def found(s, since=0):
    """The lines of sessions as (relay, id, active, client, server, port,
    reason)."""
    out = []
    for line in rd.session_lines(s, since):
        m = LINE.fullmatch(line)
        assert m, line
        out.append(m.groups())
    return out


def one(s, *want, since=0):
    """Waits for the only line there is, and its fields."""
    s.wait_for(r"relay \S+, session ", since=since)
    got = found(s, since)
    assert len(got) == 1, s.log()
    assert got[0] == tuple(map(str, want)), s.log()


@pytest.fixture(params=["splice", "no splice"])
def splice(request):
    return request.param


def test_done(relayd, backend, port, splice):
    server = backend(lib.Echo)
    s = relayd(conf(port, server, splice=splice))
    lib.echo_once(port)
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port, "done")


@pytest.mark.parametrize("ender", ["client", "server"])
def test_reset_is_done(relayd, backend, port, splice, ender):
    """A reset counts as the end of the stream."""
    server = backend(lib.Echo if ender == "client" else stage.Breaking)
    s = relayd(conf(port, server, splice=splice))
    c = lib.connect(port)
    if ender == "client":
        lib.roundtrip(c, b"hello")
        lib.reset(c)
    else:
        c.sendall(b"hello")
        with c, contextlib.suppress(ConnectionResetError):
            assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port, "done")


class Pouring(lib.Backend):
    """Sends size bytes and closes, whoever reads."""

    size = 8 << 20

    def serve(self, conn):
        conn.sendall(bytes(self.size))
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(1 << 16):
            pass


def test_last_write(relayd, backend, port, splice):
    """The end had to wait for a client that reads slowly."""
    server = backend(Pouring)
    s = relayd(conf(port, server, splice=splice))
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(lib.TIMEOUT)
        c.connect(("127.0.0.1", port))
        n = 0
        while data := c.recv(1 << 16):
            n += len(data)
    assert n == Pouring.size
    s.wait_for(r"relay www, session 1 ")
    assert re.fullmatch(r"done|last write \(done\)", found(s)[0][6])


def test_last_write_certain(relayd, backend, port):
    """The server has ended while the relay keeps what it sent: a client with
    a small window reads only then."""
    server = backend(Pouring)
    server.size = 200_000
    s = relayd(conf(port, server, splice="no splice",
                    protocol="tcp socket buffer 4096"))
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(lib.TIMEOUT)
        c.connect(("127.0.0.1", port))
        lib.wait_until(lambda: "\tDONE\n" in s.ctl("show", "sessions"),
                       "the server's end", step=0.1)
        assert found(s) == []
        assert len(lib.read_all(c)) == server.size
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "last write (done)")


def test_idle(relayd, backend, port, splice):
    server = backend(lib.Echo)
    s = relayd(conf(port, server, splice=splice, timeout=1))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"hello")
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "buffer event timeout")


def test_nobody_reads(relayd, backend, port, splice):
    """Pending output that cannot be written for the session timeout, though
    the other direction is in use all the time."""
    server = backend(Pouring)
    s = relayd(conf(port, server, splice=splice, timeout=2))
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(lib.TIMEOUT)
        c.connect(("127.0.0.1", port))
        end = time.monotonic() + lib.TIMEOUT
        with contextlib.suppress(OSError):
            while not found(s) and time.monotonic() < end:
                c.sendall(b"x")
                time.sleep(0.2)
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "buffer event timeout")


def test_refused(relayd, backend, port, splice):
    server = backend(lib.Refusing)
    s = relayd(conf(port, server, splice=splice))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "socket error: Connection refused")


def test_connect_timeout(relayd, backend, port):
    server = backend(lib.BlackHole)
    s = relayd(conf(port, server, timeout=1))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "connect timeout")


def test_no_table(relayd, backend, port):
    server = backend(lib.Echo)
    s = relayd(conf(port, top="table <t> disable { 127.0.0.1 }",
                    forward=f"forward to <t> port {server.port}"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "", 0, "session failed")
    assert server.connections == 0


def test_looping(relayd, port):
    s = relayd(conf(port, forward=f"forward to 127.0.0.1 port {port}"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    s.wait_for(r"^relay www, session 1 \(1 active\), 0, 127\.0\.0\.1 -> "
               r"\S*:\d+, session aborted$")
    assert len(s.grep(r"^relay_session: session 1: looping$")) == 1
    assert len(found(s)) == 1


def test_nat_lookup(relayd, port):
    """Nobody has translated this connection."""
    s = relayd(conf(port, forward="forward to nat lookup",
                    log="log connection errors"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "", 0, "session NAT lookup failed")


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_bindany(relayd, backend, port):
    """A client's address that no socket to that server can have."""
    server = backend(lib.Echo, host="::1")
    s = relayd(conf(port, log="log connection errors", forward=f"transparent "
                    f"forward to ::1 port {server.port}"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "::1", server.port,
        "bindany failed, invalid socket")
    assert server.connections == 0


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_ipv6(relayd, backend, port, splice):
    """No brackets, also in front of the port."""
    server = backend(lib.Echo, host="::1")
    s = relayd(conf(port, server, splice=splice, listen="::1"))
    lib.echo_once(port, host="::1")
    one(s, "www", 1, 1, "::1", "::1", server.port, "done")


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_scope(relayd, backend, port, splice):
    """Local addresses are shown with their interface, by processes that could
    not ask for its name."""
    with netns.Netns("ip link set lo up; ip link add d0 type veth peer name "
                     "d1; ip link set d1 up; ip link set d0 up; "
                     "ip addr add fe80::1/64 dev d0 nodad") as n, n.inside():
        server = backend(lib.Echo, host="fe80::1%d0")
        s = relayd(conf(port, server, splice=splice, listen="fe80::1%d0"),
                   wrap=n.wrap)
        lib.echo_once(port, host="fe80::1%d0")
        one(s, "www", 1, 1, "fe80::1%d0", "fe80::1%d0", server.port, "done")
        assert s.stop() == 0


def test_active_and_ids(relayd, backend, port):
    """Numbers from 1 on; how many there were, with the one that ends."""
    server = backend(lib.Echo)
    s = relayd(conf(port, server))
    held = []
    for i in range(3):
        held.append(lib.connect(port))
        lib.roundtrip(held[-1], b"x")
    for n, active in (2, 3), (1, 2), (3, 1):
        since = s.mark()
        held[n - 1].close()
        one(s, "www", n, active, "127.0.0.1", "127.0.0.1", server.port,
            "done", since=since)


def test_one_line_each(relayd, backend, splice):
    """Sessions of all kinds, of two relays and two workers: as many lines, and
    no number twice in a worker."""
    port, other = lib.free_port(), lib.free_port()
    echo, gone = backend(lib.Echo), backend(lib.Refusing)
    s = relayd(conf(port, echo, splice=splice, prefork=2) + f"""
relay "gone" {{
	listen on 127.0.0.1 port {other}
	forward to 127.0.0.1 port {gone.port}
}}
""", relays=4)

    def client(n):
        with contextlib.suppress(OSError):
            if n % 3 == 0:
                with lib.connect(other) as c:
                    lib.read_all(c)
            elif n % 3 == 1:
                lib.echo_once(port)
            else:
                c = lib.connect(port)
                lib.roundtrip(c, b"x")
                lib.reset(c)

    for _ in range(5):
        threads = [threading.Thread(target=client, args=(n,))
                   for n in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    lib.wait_until(lambda: len(found(s)) >= 150, "all lines")
    assert s.stop() == 0
    got = found(s)
    assert len(got) == 150
    assert sum(x[0] == "gone" for x in got) == 50
    assert sum(x[6] == "socket error: Connection refused" for x in got) == 50
    assert sum(x[6] == "done" for x in got) == 100
    ids = sorted(int(x[1]) for x in got)
    # two workers count for themselves
    assert all(ids.count(n) <= 2 for n in ids)
    assert ids.count(1) in (1, 2) and ids[-1] <= 150


def test_options_of_the_log(relayd, backend, splice):
    """`log connection', `log connection errors', neither, both."""
    want = {"log connection": {"done", "socket error: Connection refused",
                               "session failed"},
            "log connection errors": {"session failed"},
            "": set(),
            "log connection\nlog connection errors": {
                "done", "socket error: Connection refused",
                "session failed"}}
    echo, gone = backend(lib.Echo), backend(lib.Refusing)
    for log, reasons in want.items():
        a, b, c = lib.free_port(), lib.free_port(), lib.free_port()
        s = relayd(conf(a, echo, log=log, splice=splice, top="""
table <t> disable { 127.0.0.1 }
""") + f"""
relay "gone" {{
	listen on 127.0.0.1 port {b}
	forward to 127.0.0.1 port {gone.port}
}}
relay "none" {{
	listen on 127.0.0.1 port {c}
	forward to <t> port 9
}}
""", relays=3)
        lib.echo_once(a)
        for port in b, c:
            with lib.connect(port) as sock, contextlib.suppress(OSError):
                assert lib.read_all(sock) == b""
        for _ in range(len(reasons)):
            s.wait_for(r"relay \S+, session ", count=len(reasons))
        assert s.stop() == 0
        assert {x[6] for x in found(s)} == reasons, (log, s.log())
        assert len(found(s)) == len(reasons)


def test_end_of_the_service(relayd, backend, port, splice):
    """Sessions are cut, and nothing is logged of them."""
    server = backend(lib.Echo)
    s = relayd(conf(port, server, splice=splice))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"hello")
        assert s.stop() == 0
        with contextlib.suppress(OSError):
            assert lib.read_all(c) == b""
    assert found(s) == []


def test_reload(relayd, backend, port, splice):
    """A session keeps what it began with, and is logged when it ends."""
    server = backend(lib.Echo)
    s = relayd(conf(port, server, splice=splice))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"hello")
        since = s.mark()
        s.reload(conf(port, server, splice=splice, name="other"))
        s.wait_for(r"^relay_launch: running relay other$", since=since)
        assert found(s) == []
        lib.roundtrip(c, b"again")
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port, "done")
    since = s.mark()
    lib.echo_once(port)
    one(s, "other", 2, 1, "127.0.0.1", "127.0.0.1", server.port, "done",
        since=since)


# ---- TLS

def tls_conf(port, server, certs, **kw):
    pair = certs.ecdsa
    return conf(port, server, tls=" tls", protocol=f'tls keypair "k" cert '
                f'"{pair.cert}" key "{pair.key}"', **kw)


@pytest.mark.tls
def test_tls_error(relayd, backend, certs, port):
    server = backend(lib.Echo)
    s = relayd(tls_conf(port, server, certs, log="log connection errors"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        lib.read_all(c)
    s.wait_for(r"^relay www, session 1 \(1 active\), 0, 127\.0\.0\.1 -> "
               r":0, TLS handshake error: \S.*$")
    assert len(found(s)) == 1
    # no line of the library's may have been added
    assert server.connections == 0


@pytest.mark.tls
def test_tls_timeout(relayd, backend, certs, port):
    server = backend(lib.Echo)
    s = relayd(tls_conf(port, server, certs, timeout=1,
                        log="log connection errors"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "", 0, "TLS handshake timeout")


@pytest.mark.tls
def test_tls_error_of_the_server(relayd, backend, port):
    """A server without TLS; its address is in the line."""
    server = backend(lib.Recorder, b"220 mail ESMTP\r\n")
    s = relayd(conf(port, log="log connection errors", forward=f"forward with "
                    f"tls to 127.0.0.1 port {server.port}"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    s.wait_for(r"^relay www, session 1 \(1 active\), 0, 127\.0\.0\.1 -> "
               r"127\.0\.0\.1:%d, TLS handshake error: \S.*$" % server.port)
    assert len(found(s)) == 1


@pytest.mark.tls
def test_tls_timeout_of_the_server(relayd, backend, port):
    """A server that says nothing at all."""
    server = backend(lib.Recorder)
    s = relayd(conf(port, timeout=1, log="log connection errors",
                    forward=f"forward with tls to 127.0.0.1 port "
                    f"{server.port}"))
    with lib.connect(port) as c, contextlib.suppress(OSError):
        assert lib.read_all(c) == b""
    one(s, "www", 1, 1, "127.0.0.1", "127.0.0.1", server.port,
        "TLS handshake timeout")


@pytest.mark.tls
def test_tls_debug_lines(relayd, backend, certs, port):
    """Handshakes that are done, once each."""
    server = backend(lib.Echo)
    s = relayd(tls_conf(port, server, certs))
    lib.echo_once(port, context=lib.client_context())
    s.wait_for(r"relay www, session 1 ")
    assert len(s.grep(r"^relay www, tls session 1 established "
                      r"\(1 active\)$")) == 1


# ---- levels

def test_levels(relayd, backend, port, dev):  # noqa: F811
    """Errors at error level, all others at info; facility daemon."""
    directory, sock = dev
    echo, gone = backend(lib.Echo), lib.free_port()
    null = lib.free_port()
    s = relayd(conf(port, echo, top="table <t> disable { 127.0.0.1 }") + f"""
relay "none" {{
	listen on 127.0.0.1 port {null}
	forward to <t> port {gone}
}}
""", start=False, clean=False, verbose=0,
               wrap=["unshare", "-m", "sh", "-c", ENTER, "sh", directory])
    s.args = [a for a in s.args if a != "-d"]
    s.launch()
    assert s.proc.wait(lib.TIMEOUT) == 0, s.log()
    got = []

    def said(regex):
        got.extend(lines(sock))
        return any(re.search(regex, x[3]) for x in got)

    pid = None
    try:
        lib.wait_until(s.socket.exists, "the control socket")
        lib.wait_until(lambda: not lib.wait_until(
            lambda: said("startup"), "startup") or True, "start")
        pid = master_of(s)
        lib.echo_once(port)
        with lib.connect(null) as c, contextlib.suppress(OSError):
            assert lib.read_all(c) == b""
        lib.wait_until(lambda: said(r"^relay none, session"), "its line")
        lib.wait_until(lambda: said(r"^relay www, session"), "its line")
    finally:
        if pid is None:
            pid = master_of(s)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            lib.wait_until(lambda: not lib.alive(pid), "its end")
    said("")
    by = {x[3].split(",")[0]: x for x in got if ", session " in x[3]}
    assert by["relay www"][:2] == (FACILITIES["daemon"], LEVELS["info"])
    assert by["relay none"][:2] == (FACILITIES["daemon"], LEVELS["err"])
    assert not any(x[1] == LEVELS["debug"] for x in got)


def master_of(s):
    """The process that was started in the background; None."""
    found = rd.parents_in(s.directory)
    return found[0] if found else None


# ---- debug lines

def test_launch_lines(relayd, backend, port):
    """Behind them the listener can be used, by every worker."""
    server = backend(lib.Echo)
    s = relayd(conf(port, prefork=2, top=f"""
table <a> {{ 127.0.0.1 127.0.0.2 }}
table <b> {{ 127.0.0.1 }}
""", forward=f"forward to <a> port {server.port}\n"
                    f"forward to <b> port {server.port} check tcp"),
               start=False)
    s.launch()
    s.wait_for(r"^relay_launch: running relay www$")
    lib.connect(port).close()
    s.wait_for(r"^relay_launch: running relay www$", count=2)
    assert len(s.grep(rf"^adding 2 hosts from table a:{server.port} "
                      r"\(no check\)$")) == 2
    assert len(s.grep(rf"^adding 1 hosts from table b:{server.port}$")) == 2


def test_quiet(relayd, backend, port):
    """Without -v no debug line; with `log verbose' there are, with `log brief'
    no more, and a reload changes nothing about it."""
    server = backend(lib.Echo)
    s = relayd(conf(port, top="table <t> { 127.0.0.1 }",
                    forward=f"forward to <t> port {server.port}"),
               relays=0, verbose=0)

    def loud():
        """Whether the worker has said what it says of each configuration at
        debug level; what it says anyway stands around that."""
        since = s.mark()
        s.reload()
        s.wait_for("adding 1 hosts from table", since=since)
        lib.echo_once(port)
        s.wait_for(r"relay www, session ", since=since)
        return bool(s.grep("^relay_launch: ", since))

    assert not s.grep("relay_launch")
    assert not loud()
    assert s.ctl("log", "verbose") == "logging request sent.\n"
    lib.wait_until(loud, "debug lines", step=0.1)
    assert loud()
    s.ctl("log", "brief")
    lib.wait_until(lambda: not loud(), "the end of debug lines", step=0.1)
    assert not loud()


# ---- relayctl

SESSION = re.compile(
    r"session (\d+):(\d+) (\S+):(\d+) -> (\S*):(\d+)\t(RUNNING|DONE)\n"
    r"\tage (\d\d+:\d\d:\d\d), idle (\d\d+:\d\d:\d\d), relay (\d+), "
    r"pid (\d+)\n")


class Patient(lib.Backend):
    """Echoes, and does not end with its client."""

    def serve(self, conn):
        while data := conn.recv(1 << 16):
            conn.sendall(data)
        conn.settimeout(None)
        while not self.closed:
            time.sleep(0.05)


def test_show_sessions(relayd, backend, port):
    server = backend(Patient)
    s = relayd(conf(port, server, prefork=2), relays=2)
    assert s.ctl("show", "sessions") == ""
    held = [lib.connect(port) for _ in range(20)]
    for c in held:
        lib.roundtrip(c, b"x")
    held[0].shutdown(socket.SHUT_WR)
    lib.wait_until(lambda: "DONE" in s.ctl("show", "sessions"),
                   "one that has ended", step=0.1)
    text = s.ctl("show", "sessions")
    assert SESSION.sub("", text) == "", text
    got = SESSION.findall(text)
    assert {int(x[3]) for x in got} == {c.getsockname()[1] for c in held}
    assert {x[2] for x in got} == {"127.0.0.1"}
    assert {x[4:6] for x in got} == {("127.0.0.1", str(server.port))}
    assert len({x[:2] for x in got}) == len(held)
    assert {int(x[10]) for x in got} <= set(s.named("relay"))
    assert {x[9] for x in got} == {"1"}
    assert [int(x[3]) for x in got if x[6] == "DONE"] == \
        [held[0].getsockname()[1]]
    # worker by worker
    workers = [x[0] for x in got]
    assert workers == sorted(workers, key=workers.index)
    for c in held:
        lib.reset(c)
    lib.wait_until(lambda: s.ctl("show", "sessions") == "",
                   "an empty list", step=0.1)


def test_show_sessions_many(relayd, backend, port):
    """Complete, and nobody waits: while the list is written other sessions
    are served."""
    n = 2000
    server = backend(lib.Echo, backlog=4096)
    s = relayd(conf(port, server, log="log connection errors",
                    protocol="tcp backlog 512"))
    held = []
    try:
        for _ in range(n):
            held.append(lib.connect(port))
        for c in held:
            lib.roundtrip(c, b"x")
        listing = subprocess.Popen([str(rd.RELAYCTL), "-s", str(s.socket),
                                    "show", "sessions"],
                                   stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL)
        lib.echo_once(port)
        text, _ = listing.communicate(timeout=lib.TIMEOUT)
        assert listing.returncode == 0
        ids = {x[1] for x in SESSION.findall(text)}
        assert len(ids & {str(i) for i in range(1, n + 1)}) == n
    finally:
        for c in held:
            c.close()


def test_why(relayd, backend, port):
    """Who ended them, why and when, of sessions that are over: by number,
    by host, newest last."""
    echo, gone = backend(lib.Echo), backend(lib.Refusing)
    other = lib.free_port()
    s = relayd(conf(port, top="table <t> { 127.0.0.1 }",
                    forward=f"forward to <t> port {echo.port}") + f"""
relay "gone" {{
	listen on 127.0.0.1 port {other}
	forward to 127.0.0.1 port {gone.port}
}}
""", relays=2)

    def why(what):
        return json.loads(s.ctl("-j", "why", str(what)))

    lib.echo_once(port, b"12345")
    s.wait_for(r"relay www, session 1 ")
    with lib.connect(port) as c, contextlib.suppress(OSError):
        lib.roundtrip(c, b"123")
        lib.reset(c)
    s.wait_for(r"relay www, session 2 ")
    with lib.connect(other) as c, contextlib.suppress(OSError):
        lib.read_all(c)
    s.wait_for(r"relay gone, session 3 ")

    first, = why(1)
    assert (first["id"], first["worker"]) == (1, 1)
    assert first["relay"] == {"id": 1, "name": "www"}
    assert first["host"] == {"id": 1, "name": "127.0.0.1"}
    assert first["server"] == {"address": "127.0.0.1", "port": echo.port}
    assert (first["closed"], first["reason"], first["error"]) == \
        ("client", "done", False)
    assert (first["in"], first["out"], first["tries"]) == (5, 5, 1)
    phases = {p["phase"]: p["at"] for p in first["phases"]}
    assert set(phases) == {
        "destination chosen", "connected", "first bytes of the client",
        "first bytes of the server", "end of the client",
        "end of the server", "closed"}
    assert phases["destination chosen"] <= phases["connected"] <= \
        phases["first bytes of the client"] <= \
        phases["first bytes of the server"] <= \
        phases["end of the client"] <= phases["closed"]
    assert abs(first["began"] - time.time()) < 3600

    second, = why(2)
    assert (second["closed"], second["in"]) == ("client", 3)
    third, = why(3)
    assert (third["closed"], third["reason"]) == \
        ("server", "socket error: Connection refused")
    assert third["relay"]["name"] == "gone"
    assert [x["id"] for x in why("127.0.0.1")] == [1, 2, 3]
    assert "no session that is over" in s.ctl("why", "99", status=1)


def test_why_of_the_last(relayd, backend, port):
    """A ring: the oldest are gone, and there are as many as fit."""
    server = backend(lib.Echo)
    s = relayd(conf(port, server, log="log connection errors"))
    for _ in range(700):
        lib.echo_once(port)
    lib.wait_until(lambda: s.ctl("show", "sessions") == "", "their ends")
    got = json.loads(s.ctl("-j", "why", "127.0.0.1"))
    assert [x["id"] for x in got] == list(range(700 - 640 + 1, 701))


@pytest.mark.slow
def test_statistics(relayd, backend):
    """Nothing before the first minute is over, then what the formulas make of
    it (unit tests have the days); of all workers, also over a reload, by
    name."""
    server = backend(lib.Echo)
    a, b = lib.free_port(), lib.free_port()

    def text(name):
        return conf(a, server, prefork=2, name=name) + f"""
relay "other" {{
	listen on 127.0.0.1 port {b}
	forward to 127.0.0.1 port {server.port}
}}
"""

    s = relayd(text("www"), relays=4)
    assert "sessions" not in s.ctl("show", "relays")
    for _ in range(7):
        lib.echo_once(a)
    lib.echo_once(b)
    shown = lib.wait_until(
        lambda: (lambda t: t if t.count("total: ") == 2 else None)(
            s.ctl("show", "relays")),
        "the first minute", timeout=100, step=0.5)
    indent = "\t        \t"
    assert [x for x in shown.splitlines() if x.startswith(indent)] == [
        indent + x for x in (
            "total: 7 sessions",
            "last: 7/60s 7/h 7/d sessions",
            "average: 3/60s 0/h 0/d sessions",
            "total: 1 sessions",
            "last: 1/60s 1/h 1/d sessions",
            "average: 0/60s 0/h 0/d sessions")], shown
    s.reload()
    assert s.ctl("show", "relays") == shown
    s.reload(text("renamed"))
    shown = lib.wait_until(
        lambda: (lambda t: t if "renamed" in t else None)(
            s.ctl("show", "relays")), "the new name")
    assert "total: 7" not in shown and "total: 1 sessions" in shown, shown


# ---- the manual

def test_manual():
    """relayd(8) has every reason."""
    code = (lib.TOP / "tcprelay" / "reason.c").read_text()
    table = code.split("relay_reasons[REASONS]")[1].split("\n};")[0]
    reasons = re.findall(r'\{ "([^"]+)"', table)
    assert len(reasons) > 15
    page = (lib.TOP / "doc" / "relayd.8").read_text()
    part = page.split(".Ss Sessions")[1].split("\n.Sh ")[0]
    told = [re.sub(": REASON", "", x)
            for x in re.findall(r'\.It "([^"]+)"', part)]
    assert sorted(told) == sorted(reasons)
