"""Relay cases as data: what a client does, what a server does, and what must
be seen and logged. A script is a list of steps; see Player. Also what tests of
the relay ask about sessions and processes."""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import threading
import time

import lib


# ---- configurations

ACCEPTS = {
    "master": {},
    "workers": {"listen": "accept = workers"},
    "single": {"broker": "single process = yes"},
}


def config(port, remotes, top="", broker="", listen="", spawn=None, relay=""):
    """A service of one worker with one listener. remotes: the inside of one
    remote block, or a list of them."""
    if isinstance(remotes, str):
        remotes = [remotes]
    spawn = spawn or "instances min = 1 instances max = 1 users max = 2000"
    blocks = "\n".join(f"\tremote = {{ {r} }}" for r in remotes)
    return f"""{top}
id = spawnd {{
	{broker}
	listen = {{ port = {port} {listen} }}
	spawn = {{ {spawn} }}
}}
id = tcprelay {{
	log connections = yes
	{relay}
{blocks}
}}
"""


# ---- what a service says

ITEM = re.compile(r"([\w-]+)=(\S*)")


def session_of(service, sock_or_port, timeout=None, since=0):
    """Waits for the line of the session whose client has that port."""
    port = sock_or_port if isinstance(sock_or_port, int) \
        else sock_or_port.getsockname()[1]
    m = service.wait_for(rf"conn=\S+ src=\[[^]]+\]:{port} .* end=\S+",
                         timeout, since)
    return dict(ITEM.findall(m.group(0)))


def sessions(service, since=0):
    """All session lines so far."""
    return [dict(ITEM.findall(m.group(0)))
            for m in service.grep(r"\bconn=\S+ src=.* end=\S+", since)]


def endpoint(peer):
    """How the logs call a backend."""
    return str(peer.path) if getattr(peer, "path", None) \
        else f"[{peer.host}]:{peer.port}"


def status(service):
    """SIGUSR2: (rows of workers, {destination: row}); rows are dicts. In a
    single process there are no workers."""
    since = service.mark()
    service.send_signal(signal.SIGUSR2)
    service.wait_for(r"status destination=", since=since)
    n = None
    while n != service.mark():		# they come together
        n = service.mark()
        time.sleep(0.02)
    rows = [dict(ITEM.findall(m.group(1)))
            for m in service.grep(r"status (\w+=.*)", since)]
    return ([r for r in rows if "worker" in r],
            {r["destination"]: r for r in rows if "destination" in r})


def users_of(service, peer):
    """Sessions that a destination has, those that connect included."""
    return int(status(service)[1][endpoint(peer)]["sessions"])


# ---- processes

def memory(pid):
    """Anonymous memory of a process, in bytes."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", text).group(1)) * 1024


def cpu_time(pid):
    """User and system time of a process, in seconds."""
    rest = pathlib.Path(f"/proc/{pid}/stat").read_text() \
        .rpartition(")")[2].split()
    return (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")


def sanitized():
    """Whether the programs under test were built with sanitizers."""
    return b"__asan_init" in lib.TCPRELAY.read_bytes()


# ---- streams with a half-close, plain and TLS

class Line:
    """A plain stream. trickle: in pieces of one byte, and the relay may see
    each of them."""

    def __init__(self, sock, trickle=False):
        self.sock, self.trickle = sock, trickle
        self.truncated = False

    def push(self, data):
        if not self.trickle:
            self.sock.sendall(data)
            return
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])
            os.sched_yield()

    def send(self, data):
        self.push(data)

    def recv(self, n):
        return self.sock.recv(n)

    def end(self):
        """No more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        lib.reset(self.sock)


class TlsLine(Line):
    """TLS on it, whose sending half can be ended alone; Python's own TLS
    sockets cannot do that."""

    def __init__(self, sock, context, server=False, name=None, trickle=False,
                 session=None):
        super().__init__(sock, trickle)
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward, server, name,
                                    session=session)
        self.early = bytearray()
        self.ended = False
        try:
            self._drive(self.tls.do_handshake)
        except BaseException:
            self._flush_quietly()
            raise
        self._flush()

    def _flush(self):
        data = self.outward.read()
        if data:
            self.push(data)

    def _flush_quietly(self):
        try:
            self._flush()
        except OSError:
            pass

    def _drive(self, function, *args):
        while True:
            try:
                result = function(*args)
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(1 << 18)
                if data:
                    self.inward.write(data)
                else:
                    self.inward.write_eof()
            else:
                self._flush()
                return result

    def send(self, data):
        self.tls.write(data)
        self._flush()

    def recv(self, n):
        if self.early:			# read by end()
            data = bytes(self.early[:n])
            del self.early[:n]
            return data
        if self.ended:
            return b""
        try:
            data = self._drive(self.tls.read, n)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError) as e:
            self.truncated = isinstance(e, ssl.SSLEOFError)
            data = b""
        self.ended = not data
        return data

    def end(self, alert=True):
        if alert:
            # what has come is read first: shutting down would refuse it
            while not self.ended:
                try:
                    data = self.tls.read(1 << 18)
                except ssl.SSLWantReadError:
                    break
                self.early += data
                self.ended = not data
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                pass
            self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        if not self.sock._closed:
            try:
                self.end()
            except OSError:
                pass
        self.sock.close()


# ---- scripts

class Player:
    """Plays the steps of one side on a Line:

    send DATA           and
    read DATA           expects exactly that
    read_end            expects the end, with an alert if it is TLS
    read_reset          expects a reset; bytes before it are thrown away
    end, close, reset   of the own side
    flood               sends until that fails
    meet                waits for the other side to come to its meet
    await_data          until something can be read, without reading it"""

    def __init__(self, line, steps, meeting):
        self.line, self.steps, self.meeting = line, steps, meeting

    def play(self):
        for step in self.steps:
            getattr(self, step[0])(*step[1:])

    def send(self, data):
        self.line.send(data)

    def read(self, data):
        got = bytearray()
        while len(got) < len(data):
            piece = self.line.recv(min(len(data) - len(got), 1 << 18))
            assert piece, f"end after {len(got)} of {len(data)} bytes"
            got += piece
        assert got == data, "other bytes than were sent"

    def read_end(self):
        data = self.line.recv(1)
        assert data == b"", f"{data!r} instead of the end"
        assert not self.line.truncated, "the end without a close alert"

    def read_reset(self):
        try:
            while self.line.recv(1 << 16):
                pass
        except ConnectionResetError:
            return
        raise AssertionError("an orderly end instead of a reset")

    def flood(self):
        piece = bytes(1 << 16)
        try:
            while True:
                self.line.send(piece)
        except (ConnectionResetError, BrokenPipeError):
            pass

    def end(self):
        self.line.end()

    def close(self):
        self.line.close()

    def reset(self):
        self.line.reset()

    def meet(self):
        self.meeting.wait(lib.TIMEOUT)

    def await_data(self):
        assert self.line.sock.recv(1, socket.MSG_PEEK)


class Stage(lib.Backend):
    """A server that plays the script that is set, one connection each."""

    def __init__(self, tls=None, **kw):
        self.tls = tls
        self.trickle = None
        self.steps, self.meeting = [], None
        self.done = threading.Event()
        self.failure = None
        super().__init__(**kw)

    def set(self, steps, meeting, trickle=False):
        self.steps, self.meeting, self.trickle = steps, meeting, trickle
        self.failure = None
        self.done.clear()

    def serve(self, conn):
        line = None
        try:
            if self.tls:
                line = TlsLine(conn, self.tls, server=True,
                               trickle=self.trickle)
            else:
                line = Line(conn, self.trickle)
            Player(line, self.steps, self.meeting).play()
        except BaseException as e:
            self.failure = e
            self.meeting.abort()
        finally:
            if line is not None:
                line.close()
            self.done.set()


class Breaking(lib.Backend):
    """Resets each n-th connection, but only when it has got something: before
    that the client's own connect would fail. The others are echoed."""

    def __init__(self, every=1, **kw):
        self.every = every
        super().__init__(**kw)

    def serve(self, conn):
        with self.lock:
            n = self.connections
        while data := conn.recv(1 << 16):
            if n % self.every == 0:
                lib.reset(conn)
                return
            conn.sendall(data)


class Case:
    """client, server: steps. end: reason in the log. counted: whether in=
    and out= must be what the scripts send. trickled: whether single bytes
    make sense. resets: something UNIX sockets do not know. plain: with TLS
    the tickets that the client never reads make its close a reset."""

    def __init__(self, client, server, end="done", counted=True,
                 trickled=True, resets=False, plain=False):
        self.client, self.server, self.end = client, server, end
        self.counted, self.trickled = counted, trickled
        self.resets, self.plain = resets, plain

    @staticmethod
    def sent(steps):
        return sum(len(s[1]) for s in steps if s[0] == "send")


def cases(small, bulk):
    """The table, with messages of about that size."""
    ask, answer = lib.pattern(small, 1), lib.pattern(2 * small, 2)
    large = lib.pattern(bulk, 3)
    dialogue = [(b"%d" % (i % 10), b"%d" % ((i + 5) % 10))
                for i in range(100)]
    return {
        "request": Case(
            [("send", ask), ("read", answer), ("read_end",), ("end",)],
            [("read", ask), ("send", answer), ("end",), ("read_end",)]),
        "greeting first": Case(
            [("read", answer), ("send", ask), ("end",), ("read_end",)],
            [("send", answer), ("read", ask), ("read_end",), ("end",)]),
        "answer after the end of the request": Case(
            [("send", ask), ("end",), ("read", answer), ("read_end",)],
            [("read", ask), ("read_end",), ("send", answer), ("end",)]),
        "server ends first": Case(
            [("read", answer), ("read_end",), ("send", ask), ("meet",),
             ("send", ask), ("end",)],
            [("send", answer), ("end",), ("read", ask), ("meet",),
             ("read", ask), ("read_end",)]),
        "large to the server, answer after its end": Case(
            [("send", large), ("end",), ("read", answer), ("read_end",)],
            [("read", large), ("read_end",), ("send", answer), ("end",)]),
        "large to the client, after its end": Case(
            [("end",), ("read", large), ("read_end",)],
            [("read_end",), ("send", large), ("end",)]),
        "both end at once": Case(
            [("send", ask), ("read", answer), ("meet",), ("end",),
             ("read_end",)],
            [("send", answer), ("read", ask), ("meet",), ("end",),
             ("read_end",)]),
        "both close at once": Case(
            [("send", ask), ("read", answer), ("meet",), ("close",)],
            [("send", answer), ("read", ask), ("meet",), ("close",)],
            end="done|client-error|destination-error"),
        "single bytes in turns": Case(
            [s for a, b in dialogue for s in (("send", a), ("read", b))]
            + [("end",), ("read_end",)],
            [s for a, b in dialogue for s in (("read", a), ("send", b))]
            + [("read_end",), ("end",)], trickled=False),
        "empty": Case(
            [("end",), ("read_end",)],
            [("read_end",), ("end",)]),
        "empty, closed": Case(
            [("close",)],
            [("read_end",), ("end",)], plain=True),
        "client resets": Case(
            [("send", ask), ("read", answer), ("meet",), ("reset",)],
            [("read", ask), ("send", answer), ("meet",), ("read_reset",)],
            end="client-error", resets=True),
        "client resets after its end": Case(
            [("send", ask), ("end",), ("read", answer), ("meet",),
             ("reset",)],
            [("read", ask), ("read_end",), ("send", answer), ("meet",),
             ("flood",)],
            end="client-error", counted=False, resets=True),
        "server resets": Case(
            [("send", ask), ("read", answer), ("meet",), ("read_reset",)],
            [("read", ask), ("send", answer), ("meet",), ("reset",)],
            end="destination-error", resets=True),
        # not one byte at a time: what the system still has to send to the
        # client is lost when that is reset
        "server resets behind its answer": Case(
            [("send", ask), ("await_data",), ("meet",), ("read", answer),
             ("read_reset",)],
            [("read", ask), ("send", answer), ("meet",), ("reset",)],
            end="destination-error", trickled=False, resets=True),
        "server resets after its end": Case(
            [("read", answer), ("read_end",), ("send", ask), ("meet",),
             ("flood",)],
            [("send", answer), ("end",), ("read", ask), ("meet",),
             ("reset",)],
            end="destination-error", counted=False, resets=True),
        "client closes with the answer to come": Case(
            [("send", ask), ("read", bytes(10)), ("close",)],
            [("read", ask), ("flood",)],
            end="client-error", counted=False, trickled=False, resets=True),
        "server closes with more to come": Case(
            [("flood",)],
            [("read", bytes(10)), ("close",)],
            end="destination-error", counted=False, trickled=False,
            resets=True),
    }


def run_case(case, service, stage, port, context=None, trickle=False):
    """Plays a case through a service and checks everything it promises.
    context: TLS towards the listener."""
    meeting = threading.Barrier(2)
    stage.set(case.server, meeting, trickle)
    sock = lib.connect(port)
    name = sock.getsockname()[1] if isinstance(port, int) else None
    line = None
    try:
        if context:
            line = TlsLine(sock, context, name="localhost", trickle=trickle)
        else:
            line = Line(sock, trickle)
        try:
            Player(line, case.client, meeting).play()
        except BaseException as e:
            meeting.abort()
            stage.done.wait(lib.TIMEOUT)
            if isinstance(e, threading.BrokenBarrierError) and stage.failure:
                raise stage.failure
            raise AssertionError(f"client: {e!r}, server: "
                                 f"{stage.failure!r}\n" + service.log()) \
                from e
        assert stage.done.wait(lib.TIMEOUT), "the server does not end"
        if stage.failure:
            raise AssertionError(f"server: {stage.failure!r}\n"
                                 + service.log()) from stage.failure
    finally:
        (line or sock).close()
    if name is None:
        return None
    got = session_of(service, name)
    assert re.fullmatch(case.end, got["end"]), got
    assert got["tries"] == "1"
    if case.counted:
        assert int(got["in"]) == case.sent(case.client), got
        assert int(got["out"]) == case.sent(case.server), got
    assert got["tls"].startswith("TLSv1.") if context else got["tls"] == "-"
    assert got["dst-tls"].startswith("TLSv1.") if stage.tls \
        else got["dst-tls"] == "-"
    return got


def json_lines(service):
    return [json.loads(x) for x in service.lines if x[:1] == "{"]
