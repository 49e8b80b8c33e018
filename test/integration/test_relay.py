"""The data path as client and destination see it: the table of stage.py over
every kind of wire, whole and one byte at a time, however it was accepted; and
what does not fit into a table."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import lib
import stage

TABLE = stage.cases(300, 3 << 20)
SMALL = stage.cases(100, 400)		# for single bytes

# wire: TLS of the listener, TLS towards the destination
WIRES = {
    "plain": (False, False),
    "tls": (True, False),
    "plain to tls": (False, True),
    "tls to tls": (True, True),
}
NEEDS_TLS = pytest.mark.tls


def wire_marks(wire):
    return [NEEDS_TLS] if wire != "plain" else []


class Theatre:
    """A service with a stage behind it, for many cases."""

    def __init__(self, directory, certs, wire, accept):
        front, back = WIRES[wire]
        parts = dict(stage.ACCEPTS[accept])
        relay, tls = "", ""
        pair = certs.ecdsa
        self.context = None
        if front:
            self.context = lib.client_context(certs.ca)
            parts["listen"] = parts.get("listen", "") + " tls = yes"
            relay = f'tls cert-file = "{pair.pem}"'
        if back:
            tls = f' tls tls name = localhost tls ca-file = "{certs.ca}"'
        self.port = lib.free_port()
        self.stage = stage.Stage(
            tls=lib.server_context(pair) if back else None)
        self.service = lib.Service(
            stage.config(self.port, self.stage.remote + tls, relay=relay,
                         **parts), directory).start()

    def close(self):
        self.stage.close()
        self.service.assert_clean()


@pytest.fixture(scope="module")
def theatre(tmp_path_factory, certs):
    houses = {}

    def find(wire, accept):
        key = wire, accept
        if key not in houses:
            houses[key] = Theatre(tmp_path_factory.mktemp("theatre"), certs,
                                  wire, accept)
        return houses[key]

    yield find
    problems = []
    for t in houses.values():
        try:
            t.close()
        except BaseException as e:
            problems.append(e)
    if problems:
        raise problems[0]


def crossings():
    """All wires, whole and trickled, where the master accepts; the other ways
    to accept differ only before the first byte."""
    for wire in WIRES:
        for accept in stage.ACCEPTS:
            if accept != "master" and wire not in ("plain", "tls to tls"):
                continue
            for name, case in TABLE.items():
                if case.plain and WIRES[wire][0]:
                    continue
                yield pytest.param(wire, accept, name, False,
                                   id=f"{wire}-{accept}-{name}",
                                   marks=wire_marks(wire))
                if accept == "master" and case.trickled:
                    yield pytest.param(wire, accept, name, True,
                                       id=f"{wire}-trickled-{name}",
                                       marks=wire_marks(wire))


@pytest.mark.parametrize("wire, accept, name, trickle", crossings())
def test_case(theatre, wire, accept, name, trickle):
    house = theatre(wire, accept)
    case = (SMALL if trickle else TABLE)[name]
    stage.run_case(case, house.service, house.stage, house.port,
                   house.context, trickle)


@pytest.mark.parametrize("name", [n for n, c in TABLE.items()
                                  if not c.resets])
def test_unix(service, backend, tmp_path, name):
    """UNIX sockets on both sides; they know no resets."""
    path = tmp_path / "front.sock"
    server = backend(stage.Stage, path=tmp_path / "back.sock")
    s = service(f"""
id = spawnd {{
	listen = {{ path = "{path}" }}
	spawn = {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{ log connections = yes remote = {{ {server.remote} }} }}
""")
    case = TABLE[name]
    stage.run_case(case, s, server, str(path))
    m = s.wait_for(r"conn=\S+ src=.* end=(\S+)")
    got = dict(stage.ITEM.findall(m.group(0)))
    assert (got["listener"], got["dst"]) == (str(path), str(server.path))
    assert got["end"] in case.end.split("|")


# ---- slow peers

class Pusher(lib.Backend):
    """Sends size bytes as fast as they are taken."""

    def __init__(self, size, **kw):
        self.size, self.sent = size, 0
        super().__init__(**kw)

    def serve(self, conn):
        for piece in lib.pattern_blocks(self.size, 7):
            conn.sendall(piece)
            self.sent += len(piece)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(1 << 16):
            pass


def wait_stalled(progress):
    """Until a number does not change for half a second."""
    last, since = progress(), time.monotonic()
    end = since + lib.TIMEOUT
    while time.monotonic() - since < 0.5:
        now = progress()
        if now != last:
            last, since = now, time.monotonic()
        assert since < end, "it never stalls"
        time.sleep(0.02)
    return last


SIZE = 64 << 20


def at_rest(service, port):
    """A worker's memory, once it has served somebody."""
    lib.reset(lib.connect(port))
    lib.wait_until(lambda: stage.sessions(service), "a session's end")
    worker, = service.workers()
    return stage.memory(worker)


@pytest.mark.parametrize("tls", [False,
                                 pytest.param(True, marks=pytest.mark.tls)])
def test_client_that_does_not_read(no_quarantine, service, backend,
        port, certs, tls):
    """The worker's memory stays bounded and nothing is lost."""
    server = backend(Pusher, SIZE)
    s = service(stage.config(
        port, server.remote, listen="tls = yes" if tls else "",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"' if tls else ""))
    context = lib.client_context(certs.ca) if tls else None
    before = at_rest(s, port)
    worker, = s.workers()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        raw.settimeout(lib.TIMEOUT)
        raw.connect(("127.0.0.1", port))
        c = context.wrap_socket(raw, server_hostname="localhost") \
            if tls else raw
        lib.wait_until(lambda: server.sent > 1 << 20, "the first bytes")
        stalled = wait_stalled(lambda: server.sent)
        assert stalled < SIZE // 2
        assert stage.memory(worker) - before < 8 << 20
        cpu = stage.cpu_time(worker)
        time.sleep(0.5)			# nothing to do: nothing is done
        assert stage.cpu_time(worker) - cpu <= 0.05
        n, digest = lib.read_digest(c)
        assert (n, digest) == (SIZE, lib.pattern_digest(SIZE, 7))
        assert stage.memory(worker) - before < 8 << 20
        c.close()


@pytest.mark.parametrize("tls", [False,
                                 pytest.param(True, marks=pytest.mark.tls)])
def test_destination_that_does_not_read(no_quarantine, service, backend,
        port, certs, tls):
    server = backend(lib.Slow)
    s = service(stage.config(
        port, server.remote, listen="tls = yes" if tls else "",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"' if tls else ""))
    before = at_rest(s, port)
    worker, = s.workers()
    sent = [0]
    context = lib.client_context(certs.ca) if tls else None
    with lib.connect(port) as raw:
        c = stage.TlsLine(raw, context, name="localhost") if tls \
            else stage.Line(raw)

        def push():
            for piece in lib.pattern_blocks(SIZE, 9):
                c.send(piece)
                sent[0] += len(piece)
            c.end()

        pusher = threading.Thread(target=push, daemon=True)
        pusher.start()
        lib.wait_until(lambda: sent[0], "the first bytes")
        assert wait_stalled(lambda: sent[0]) < SIZE // 2
        assert stage.memory(worker) - before < 8 << 20
        server.go.set()
        lib.wait_until(lambda: any(n == SIZE for n, _ in server.counts),
                       "all bytes")
        pusher.join(lib.TIMEOUT)
        assert (SIZE, lib.pattern_digest(SIZE, 9)) in server.counts


def test_slow_reader_hinders_nobody(service, backend, port):
    """Sessions beside one that is stuck go on."""
    server = backend(Pusher, SIZE)
    echo = backend(lib.Echo)
    s = service(stage.config(port, [server.remote, echo.remote]))
    with lib.connect(port):		# the first goes to the pusher
        lib.wait_until(lambda: server.sent, "the first bytes")
        wait_stalled(lambda: server.sent)
        for _ in range(20):
            lib.echo_once(port, lib.pattern(100000))
    lib.wait_until(lambda: len(stage.sessions(s)) == 21, "all sessions")
    ends = [x["end"] for x in stage.sessions(s)]
    assert ends.count("done") == 20 and ends[-1] == "client-error"


# ---- while the destination is not there yet

def test_data_survives_failover(service, backend, port):
    """One that refuses, one that does not answer, one that serves: the
    client notices nothing, and not a byte is lost."""
    server = backend(lib.HalfClose)
    refusing, hole = backend(lib.Refusing), backend(lib.BlackHole)
    s = service(stage.config(
        port, [refusing.remote, hole.remote, server.remote],
        relay="connect timeout = 1"))
    data = lib.pattern(2 << 20)
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        c.sendall(data[:1000])
        threading.Thread(target=lambda: (
            c.sendall(data[1000:]), c.shutdown(socket.SHUT_WR)),
            daemon=True).start()
        n, digest = lib.read_all(c).split()
    assert int(n) == len(data)
    assert digest.decode() == hashlib.sha256(data).hexdigest()
    got = stage.session_of(s, name)
    assert (got["tries"], got["end"]) == ("3", "done")
    assert got["dst"] == f"[127.0.0.1]:{server.port}"
    assert int(got["in"]) == len(data)


@pytest.mark.parametrize("end", ["half", "whole"])
def test_end_while_connecting(service, backend, port, end):
    """An end of file is no reason to stop connecting."""
    server = backend(lib.Recorder)
    hole = backend(lib.BlackHole)
    s = service(stage.config(port, [hole.remote, server.remote],
                             relay="connect timeout = 1"))
    c = lib.connect(port)
    name = c.getsockname()[1]
    c.sendall(b"testament")
    if end == "half":
        c.shutdown(socket.SHUT_WR)
        assert lib.read_all(c) == b""
    c.close()
    got = stage.session_of(s, name)
    assert (got["end"], got["tries"], got["in"]) == ("done", "2", "9")
    assert [bytes(r) for r in server.received] == [b"testament"]


def test_reset_while_connecting(service, backend, port):
    """A reset is: at once, and no other destination is bothered."""
    server = backend(lib.Recorder)
    hole = backend(lib.BlackHole)
    s = service(stage.config(port, [hole.remote, server.remote],
                             relay="connect timeout = 6"))
    c = lib.connect(port)
    name = c.getsockname()[1]
    c.sendall(b"never mind")
    lib.wait_until(lambda: stage.users_of(s, hole) == 1,
                   "the attempt to connect")
    start = time.monotonic()
    lib.reset(c)
    got = stage.session_of(s, name)
    assert time.monotonic() - start < 4
    assert (got["end"], got["tries"]) == ("client-error", "1")
    assert server.connections == 0


def test_reset_with_an_end_while_connecting(service, backend, port):
    """The client ended its half first, then went away for good."""
    server = backend(lib.Recorder)
    hole = backend(lib.BlackHole)
    s = service(stage.config(port, [hole.remote, server.remote],
                             relay="connect timeout = 6"))
    c = lib.connect(port)
    name = c.getsockname()[1]
    c.sendall(b"never mind")
    c.shutdown(socket.SHUT_WR)
    lib.wait_until(lambda: stage.users_of(s, hole) == 1,
                   "the attempt to connect")
    start = time.monotonic()
    lib.reset(c)
    got = stage.session_of(s, name)
    assert time.monotonic() - start < 4
    assert got["end"] == "client-error"
    assert server.connections == 0


def test_connecting_costs_nothing(service, backend, port):
    """Clients that talk and end while nobody answers: the worker waits."""
    hole, server = backend(lib.BlackHole), backend(lib.HalfClose)
    s = service(stage.config(port, [hole.remote, server.remote],
                             relay="connect timeout = 2"))
    worker, = s.wait_workers(1)
    c = lib.connect(port)
    c.sendall(lib.pattern(100000))
    c.shutdown(socket.SHUT_WR)
    lib.wait_until(lambda: stage.users_of(s, hole) == 1,
                   "the attempt to connect")
    cpu = stage.cpu_time(worker)
    assert int(lib.read_all(c).split()[0]) == 100000
    assert stage.cpu_time(worker) - cpu < 0.3
    c.close()


# ---- sockets

def test_orderly_end_is_no_reset(service, backend, port):
    """What the client sends and the server never reads must not turn the
    server's last words into a reset."""
    class Rude(lib.Backend):
        def serve(self, conn):
            conn.recv(1)
            conn.sendall(b"x" * 50000)
            conn.shutdown(socket.SHUT_WR)
            conn.recv(1)		# until the client is through
    server = backend(Rude)
    s = service(stage.config(port, server.remote))
    for _ in range(20):
        with lib.connect(port) as c:
            c.sendall(b"ab")
            assert len(lib.read_all(c)) == 50000
    assert not s.grep("end=local-error")


# ---- taking what is there

@pytest.mark.skipif(not lib.have("strace"), reason="no strace")
@pytest.mark.parametrize("accept", ["master", "workers"])
def test_accepts_in_batches(service, backend, port, tmp_path, accept):
    """One wake-up takes what is queued, 64 at the most (6.5, 9 row 53)."""
    n = 100
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen=stage.ACCEPTS[
        accept].get("listen", "") + " backlog = 512"))
    worker, = s.wait_workers(1)
    lib.echo_once(port)
    stopped = [s.pid, worker]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    socks = [lib.connect(port) for _ in range(n)]
    trace = tmp_path / "trace"
    strace = subprocess.Popen(
        ["strace", "-e", "trace=accept4,accept,epoll_wait", "-o", trace,
         "-p", str(s.pid if accept == "master" else worker)],
        stderr=subprocess.PIPE)
    try:
        if b"attached" not in strace.stderr.readline():
            pytest.skip("strace may not attach")
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        for c in socks:
            lib.roundtrip(c, b"x")
            c.close()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
    batches, current = [], 0
    for line in trace.read_text().splitlines():
        if line.startswith("epoll_wait"):
            batches.append(current)
            current = 0
        elif re.match(r"accept4?\(.*= \d+", line):
            current += 1
    batches.append(current)
    assert sum(batches) == n, batches
    assert 16 <= max(batches) <= 64, batches
