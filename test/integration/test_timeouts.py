"""Timeouts: a session ends between T and T + 1 s (7.7). The lower bound is
strict; the upper one leaves room for a machine that is busy with other tests,
and its second is taken from the service's own clock where that tells."""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

import lib
import stage

LATE = 4.0		# s on top of the promised one


class Clock:
    """Time since it began; checks T to T + 1 s."""

    def __init__(self):
        self.start = time.monotonic()

    def restart(self):
        self.start = time.monotonic()

    @property
    def now(self):
        return time.monotonic() - self.start

    def check(self, t):
        now = self.now
        assert t - 0.02 <= now < t + 1 + LATE, f"{now:.3f} s instead of {t} s"


def ended_after(service, sock_port, seconds, end):
    """The session's own line: reason and duration."""
    got = stage.session_of(service, sock_port)
    assert got["end"] == end, got
    ms = int(got["ms"])
    assert seconds * 1000 - 20 <= ms < (seconds + 1 + LATE) * 1000, got
    return got


# ---- idle

@pytest.mark.parametrize("accept", list(stage.ACCEPTS))
def test_idle(service, backend, port, accept):
    """Both sides see an orderly end."""
    server = backend(lib.Recorder)
    s = service(stage.config(port, server.remote, relay="idle timeout = 1",
                             **stage.ACCEPTS[accept]))
    with lib.connect(port) as c:
        clock = Clock()
        c.sendall(b"x")
        assert lib.read_all(c) == b""
        clock.check(1)
        ended_after(s, c.getsockname()[1], 1, "idle")
    lib.wait_until(lambda: server.active == 0, "the destination's end")
    assert not server.errors and server.received == [b"x"]


@pytest.mark.tls
def test_idle_tls(service, backend, port, certs):
    """With a close alert."""
    server = backend(lib.Recorder)
    s = service(stage.config(
        port, server.remote, listen="tls",
        relay=f'idle timeout = 1 tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as raw:
        c = stage.TlsLine(raw, lib.client_context(certs.ca),
                          name="localhost")
        clock = Clock()
        c.send(b"x")
        assert c.recv(1) == b"" and not c.truncated
        clock.check(1)
        ended_after(s, raw.getsockname()[1], 1, "idle")


@pytest.mark.parametrize("who", ["client", "server"])
def test_idle_restarts(service, backend, port, who):
    """Every byte in either direction counts."""
    class Ticking(lib.Backend):
        def serve(self, conn):
            for _ in range(5):
                time.sleep(0.4)
                conn.sendall(b"t")
            with contextlib.suppress(OSError):
                conn.recv(1)

    server = backend(Ticking if who == "server" else lib.Recorder)
    s = service(stage.config(port, server.remote, relay="idle timeout = 1"))
    with lib.connect(port) as c:
        clock = Clock()
        if who == "client":
            for _ in range(5):
                time.sleep(0.4)
                c.sendall(b"t")
            last = clock.now
            assert lib.read_all(c) == b""
        else:
            assert lib.read_exact(c, 5) == b"ttttt"
            last = clock.now - 0.1
            assert lib.read_all(c) == b""
        assert clock.now >= last + 1 - 0.02 and clock.now > 2.9
        got = stage.session_of(s, c)
    assert got["end"] == "idle" and int(got["ms"]) >= 2900


def test_idle_while_connecting(service, backend, port):
    """It runs in every state."""
    hole = backend(lib.BlackHole)
    s = service(stage.config(port, hole.remote,
                             relay="idle timeout = 1 connect timeout = 30"))
    with lib.connect(port) as c:
        clock = Clock()
        assert lib.read_all(c) == b""
        clock.check(1)
        ended_after(s, c.getsockname()[1], 1, "idle")


def test_idle_half_closed(service, backend, port):
    """A half-close does not stop it."""
    with_end = threading.Event()

    class Waiting(lib.Backend):
        def serve(self, conn):
            while conn.recv(100):
                pass
            with_end.wait(lib.TIMEOUT)

    server = backend(Waiting)
    s = service(stage.config(port, server.remote, relay="idle timeout = 1"))
    with lib.connect(port) as c:
        clock = Clock()
        c.shutdown(socket.SHUT_WR)
        assert lib.read_all(c) == b""
        clock.check(1)
        ended_after(s, c.getsockname()[1], 1, "idle")
        with_end.set()


def test_idle_stuck(service, backend, port):
    """Bytes that wait but do not move are idle."""
    slow = backend(lib.Slow)
    s = service(stage.config(port, slow.remote, relay="idle timeout = 1"))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        c.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                c.sendall(bytes(1 << 16))
        got = stage.session_of(s, name)
        assert got["end"] == "idle" and int(got["ms"]) >= 1000
        slow.go.set()


def test_no_idle_timeout(service, backend, port):
    """Off by default: an open half stays open."""
    server = backend(lib.Echo)
    s = service(stage.config(port, server.remote))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        time.sleep(2.5)
        assert not stage.sessions(s)
        lib.roundtrip(c, b"y")


# ---- handshake

def greetings():
    """Beginnings of a client that never goes on."""
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(100)
    tls = [("nothing", b""), ("a record's head", hello[:5]),
           ("half a hello", hello)]
    proxy = [("nothing", b""), ("half a line", b"PROXY TCP4 192.0.2"),
             ("half a block", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2")]
    for name, data in tls:
        yield pytest.param("tls", data, id=f"tls-{name}",
                           marks=pytest.mark.tls)
    for name, data in tls[1:]:
        yield pytest.param("tls = auto", data, id=f"auto-{name}",
                           marks=pytest.mark.tls)
    for name, data in proxy:
        yield pytest.param("haproxy = yes", data, id=f"proxy-{name}")
    yield pytest.param("haproxy = yes tls",
                       b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + hello,
                       id="proxy-and-tls", marks=pytest.mark.tls)


@pytest.mark.parametrize("listen, data", greetings())
def test_handshake(service, backend, port, certs, listen, data):
    server = backend(lib.Recorder)
    s = service(stage.config(
        port, server.remote, listen=listen,
        relay=f'handshake timeout = 1 tls cert-file = "{certs.ecdsa.pem}"'
        if "tls" in listen else "handshake timeout = 1"))
    with lib.connect(port) as c:
        clock = Clock()
        c.sendall(data)
        assert lib.read_all(c) == b""
        clock.check(1)
        name = c.getsockname()[1]
    if "PROXY TCP4 192.0.2.1 " in data.decode("latin1"):
        got = stage.session_of(s, 1)
        assert got["src"] == "[192.0.2.1]:1"
        assert got["end"] == "handshake-timeout"
    else:
        ended_after(s, name, 1, "handshake-timeout")
    assert server.connections == 0


@pytest.mark.tls
@pytest.mark.parametrize("listen", ["tls", "tls = auto", "haproxy = yes tls"])
def test_handshake_trickled(service, backend, port, certs, listen):
    """Bytes that keep coming do not extend it: one common deadline."""
    server = backend(lib.Recorder)
    s = service(stage.config(
        port, server.remote, listen=listen,
        relay=f'handshake timeout = 2 tls cert-file = "{certs.ecdsa.pem}"'))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = lib.client_context().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    data = outgoing.read()
    head = b"PROXY TCP4 192.0.2.1 192.0.2.2 77 2\r\n" if "haproxy" in listen \
        else b""
    with lib.connect(port) as c:
        name = 77 if head else c.getsockname()[1]
        clock = Clock()
        c.sendall(head)
        c.settimeout(0.1)
        end = False
        for byte in data:
            try:
                c.sendall(bytes([byte]))
                end = c.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                end = True
            if end:
                break
        assert end, "the hello was too short for this test"
        clock.check(2)
    ended_after(s, name, 2, "handshake-timeout")
    assert server.connections == 0


@pytest.mark.tls
def test_handshake_slow_but_in_time(service, backend, port, certs):
    server = backend(lib.Echo)
    s = service(stage.config(
        port, server.remote, listen="tls",
        relay=f'handshake timeout = 20 tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as raw:
        c = stage.TlsLine(raw, lib.client_context(certs.ca),
                          name="localhost", trickle=True)
        c.send(b"ping")
        assert c.recv(4) == b"ping"
        c.close()
    assert s.wait_for(r"end=(\S+)").group(1) == "done"


# ---- auto

@pytest.mark.tls
def test_auto_silent(service, backend, port, certs):
    """Silent for 3 s: plain, and the server speaks first."""
    server = backend(lib.Greeting)
    s = service(stage.config(
        port, server.remote, listen="tls = auto",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as c:
        clock = Clock()
        assert lib.read_exact(c, len(server.text)) == server.text
        clock.check(3)
        lib.roundtrip(c, b"more")
        name = c.getsockname()[1]
    got = stage.session_of(s, name)
    assert (got["tls"], got["end"]) == ("-", "done")


@pytest.mark.tls
def test_auto_silent_within_handshake_timeout(service, backend, port, certs):
    """The common deadline is the earlier one."""
    server = backend(lib.Greeting)
    s = service(stage.config(
        port, server.remote, listen="tls = auto",
        relay=f'handshake timeout = 1 tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as c:
        clock = Clock()
        assert lib.read_all(c) == b""
        clock.check(1)
        ended_after(s, c.getsockname()[1], 1, "handshake-timeout")


@pytest.mark.tls
def test_auto_speaks_at_once(service, backend, port, certs):
    """One byte is enough to know that it is plain."""
    server = backend(lib.Echo)
    service(stage.config(
        port, server.remote, listen="tls = auto",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as c:
        clock = Clock()
        lib.roundtrip(c, b"x")
        assert clock.now < 2.5
    with lib.connect(port, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        lib.roundtrip(c, b"x")


# ---- connect

def test_connect(service, backend, port):
    """Per destination: two holes take twice the time."""
    holes = [backend(lib.BlackHole), backend(lib.BlackHole)]
    server = backend(lib.Named, "c")
    s = service(stage.config(
        port, [h.remote for h in holes] + [server.remote],
        relay="connect timeout = 1"))
    clock = Clock()
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        assert lib.read_all(c) == b"c"
        clock.check(2)
    got = stage.session_of(s, name)
    assert got["tries"] == "3" and int(got["ms"]) >= 1980


@pytest.mark.tls
@pytest.mark.parametrize("kind", ["silent", "dribbling"])
def test_connect_covers_tls(service, backend, port, certs, kind):
    """The handshake with the destination is within the same time."""
    class Dumb(lib.Backend):
        def serve(self, conn):
            if kind == "dribbling":
                conn.recv(1)
                # a server hello that never gets complete
                for byte in bytes.fromhex("1603030100020000fc0303") + \
                        bytes(200):
                    conn.sendall(bytes([byte]))
                    time.sleep(0.05)
            while conn.recv(1000):
                pass

    dumb = backend(Dumb)
    server = backend(lib.Named, "b")
    s = service(stage.config(
        port, [dumb.remote + " tls tls verify = no", server.remote],
        relay="connect timeout = 1"))
    clock = Clock()
    with lib.connect(port) as c:
        assert lib.read_all(c) == b"b"
        clock.check(1)
    s.wait_for(rf"destination \[127\.0\.0\.1\]:{dumb.port} failed: ")


# ---- closing

@pytest.mark.slow
@pytest.mark.tls
def test_closing(service, backend, port, certs):
    """30 s behind our close alert, or idle timeout if that is shorter: no
    client can hold a session that has ended."""
    server = backend(lib.Named, "bye")
    ports = [port, lib.free_port()]
    services = [service(stage.config(
        p, server.remote, listen="tls",
        relay=f'{idle} tls cert-file = "{certs.ecdsa.pem}"'))
        for p, idle in zip(ports, ("", "idle timeout = 2"))]
    clients = []
    for p in ports:
        raw = lib.connect(p, timeout=60)
        line = stage.TlsLine(raw, lib.client_context(certs.ca),
                             name="localhost")
        clock = Clock()
        assert line.recv(3) == b"bye" and line.recv(1) == b""
        assert not line.truncated
        clients.append((raw, clock))
    # neither says a word
    for s, (raw, clock), t, end in zip(reversed(services), reversed(clients),
                                       (2, 30), ("idle", "done")):
        got = stage.session_of(s, raw, timeout=45)
        clock.check(t)
        assert got["end"] == end
        raw.close()


# ---- the clock on the wall

STEP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long
step(void)
{
	return access(getenv("STEP_FILE"), F_OK) == 0 ?
	    atol(getenv("STEP")) : 0;
}

int
clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (real == NULL)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
		    "clock_gettime");
	r = real(id, t);
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		t->tv_sec += step();
	return r;
}

time_t
time(time_t *t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (t != NULL)
		*t = now.tv_sec;
	return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}
"""


@pytest.fixture(scope="session")
def stepping_clock(tmp_path_factory):
    """A library that moves the wall clock once a file exists."""
    if stage.sanitized():
        pytest.skip("sanitizers want to be the first library")
    cc = os.environ.get("CC", "cc").split()
    if not lib.have(cc[0]):
        pytest.skip("no C compiler")
    where = tmp_path_factory.mktemp("clock")
    source, library = where / "step.c", where / "step.so"
    source.write_text(STEP)
    subprocess.run([*cc, "-shared", "-fPIC", "-o", library, source, "-ldl"],
                   check=True)
    return library


@pytest.mark.parametrize("step", [86400, -86400])
def test_clock_step(service, backend, port, stepping_clock, tmp_path, step):
    """A step of the wall clock neither fires nor delays anything; only the
    log shows it (9, row 50)."""
    server = backend(lib.Recorder)
    hole = backend(lib.BlackHole)
    file = tmp_path / "now"
    s = service(stage.config(
        port, [server.remote, hole.remote], top="log format = json",
        relay="idle timeout = 2 connect timeout = 1 dead time = 1"),
        env={"LD_PRELOAD": stepping_clock, "STEP_FILE": file, "STEP": step})
    with lib.connect(port) as c, lib.connect(port) as second:
        clock = Clock()
        c.sendall(b"x")
        lib.wait_until(lambda: clock.now > 0.5, "half a second")
        file.touch()
        assert lib.read_all(c) == b""
        clock.check(2)
        second.settimeout(lib.TIMEOUT)
        lib.read_all(second)
    s.wait_for('"event":"session"', count=2)
    lines = stage.json_lines(s)
    days = {x["time"][:10] for x in lines}
    assert len(days) >= 2, days
    assert {x["end"] for x in lines if x.get("event") == "session"} == \
        {"idle"}
    assert all(1900 < x["ms"] < 10000 for x in lines
               if x.get("event") == "session")
