"""What the original's regression suite wants of plain TCP relays and of a
broken configuration (runtime A.1, A.2, A.8): every case with and without
splicing, over packets that hold next to nothing, and with bytes trickled."""

import hashlib
import http.client
import re
import socket
import threading
import time

import pytest

import lib
import netns
import rd

pytestmark = rd.needed

SPLICES = ("splice", "no splice")
TINY = "ip link set lo mtu 68 gso_max_segs 1 up"
TIMEOUT_LINE = r"buffer event timeout|splice timeout"

CONF = """
log state changes
log host checks
log connection
prefork 1
{table}
protocol "proto-test" {{
	tcp {splice}
	{tls}
}}
relay "relay-test" {{
	listen on 127.0.0.1 port {port}{listen_tls}
	protocol "proto-test"
	session timeout {timeout}
	forward {with_tls}to {to} port {server}
}}
"""


@pytest.fixture(params=["plain", "tiny mtu", "trickled"])
def world(request):
    """Where a case is played. trickle: pieces of one byte."""
    if request.param != "tiny mtu":
        yield {"trickle": request.param == "trickled", "wrap": ()}
        return
    with netns.Netns(TINY) as n, n.inside():
        yield {"trickle": False, "wrap": n.wrap}


@pytest.fixture(params=["plain", "tls listener", "tls to the server",
                        "tls on both sides"])
def ways(request):
    return ("listener" in request.param or "both" in request.param,
            "server" in request.param or "both" in request.param)


class Harness:
    """One relay for each way of splicing, and one case played over both of
    them at the same time."""

    def __init__(self, relayd, backend, world, serve, timeout=600,
                 tls=(False, False), certs=None, table=False):
        self.world, self.tls = world, tls
        self.server = backend(Server, serve, world["trickle"], host="127.0.0.1",
                              context=lib.server_context(certs.ecdsa)
                              if tls[1] else None)
        pair = certs.ecdsa if certs else None
        self.services = {}
        for splice in SPLICES:
            port = lib.free_port()
            s = relayd(CONF.format(
                splice=splice, port=port, timeout=timeout,
                server=self.server.port,
                listen_tls=" tls" if tls[0] else "",
                with_tls="with tls " if tls[1] else "",
                table="table <hosts> { 127.0.0.1 }" if table else "",
                to="<hosts>" if table else "127.0.0.1",
                tls=f'tls keypair "test" cert "{pair.cert}" '
                f'key "{pair.key}"' if tls[0] else ""),
                wrap=self.world["wrap"])
            self.services[splice] = s, port

    def connect(self, port):
        return lib.connect(port, context=lib.client_context()
                           if self.tls[0] else None)

    def send(self, sock, data):
        if self.world["trickle"]:
            lib.trickle(sock, data, 1, 0.0005)
        else:
            sock.sendall(data)

    def play(self, client):
        """client(socket), over both at a time; what each returned."""
        results, failures = {}, []

        def one(splice, port):
            try:
                with self.connect(port) as sock:
                    results[splice] = client(sock)
            except BaseException as e:
                failures.append((splice, e))

        threads = [threading.Thread(target=one, args=(splice, port))
                   for splice, (s, port) in self.services.items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join(lib.TIMEOUT * 2)
        assert not failures, (failures, self.log())
        assert len(results) == len(SPLICES), self.log()
        return results

    def log(self):
        return "\n".join(s.log() for s, port in self.services.values())

    def lines(self, regex, count):
        """So many lines of all output match, at both."""
        for splice, (s, port) in self.services.items():
            found = [m.string for m in s.grep(regex)]
            assert len(found) == count, (splice, found, s.log())

    def end(self, reasons):
        """Exactly one session each, and that is how it ended."""
        for splice, (s, port) in self.services.items():
            s.wait_for(r"relay relay-test, session 1 ")
            assert s.stop() == 0, s.log()
            found = s.grep(r"relay relay-test, session \d+ \(\d+ active\), "
                           r"0, 127\.0\.0\.1 -> 127\.0\.0\.1:%d, (.*)$"
                           % self.server.port)
            assert len(found) == 1 and len(rd.session_lines(s)) == 1, s.log()
            assert re.fullmatch(reasons, found[0].group(1)), \
                (splice, found[0].string)
            assert s.grep(r"parent terminating"), s.log()
            assert not s.grep("lost child"), s.log()


class Server(lib.Backend):
    """What a connection got, whole, in received; serve(server, conn) says
    what else is to be done with it."""

    def __init__(self, serve, trickle, **kw):
        self.steps, self.trickle = serve, trickle
        self.received = []
        super().__init__(**kw)

    def send(self, conn, data):
        if self.trickle:
            lib.trickle(conn, data, 1, 0.0005)
        else:
            conn.sendall(data)

    def serve(self, conn):
        self.steps(self, conn)

    def read_to_end(self, conn):
        got = bytearray()
        try:
            while data := conn.recv(1 << 16):
                got += data
        except OSError:
            pass			# cut: what came before counts
        with self.lock:
            self.received.append(bytes(got))

    def wait_received(self, want):
        lib.wait_until(lambda: len(self.received) == len(SPLICES),
                       "the end of what the server reads")
        for got in self.received:
            assert (len(got), hashlib.md5(got).hexdigest()) == \
                (len(want), hashlib.md5(want).hexdigest())


def reader(server, conn):
    server.read_to_end(conn)


SIZES = [251, 60000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("table", [False, True], ids=["address", "table"])
def test_default(relayd, backend, world, size, table):
    """The client sends and closes."""
    data = lib.pattern(size if not world["trickle"] else 251)
    h = Harness(relayd, backend, world, reader, table=table)
    h.play(lambda sock: h.send(sock, data))
    h.server.wait_received(data)
    h.end(r"done|last write \(done\)")
    h.lines(TIMEOUT_LINE, 0)


@pytest.mark.parametrize("size", SIZES)
def test_reverse(relayd, backend, world, size):
    """The server sends and closes."""
    data = lib.pattern(size if not world["trickle"] else 251, 5)

    def serve(server, conn):
        server.send(conn, data)

    h = Harness(relayd, backend, world, serve)
    for got in h.play(lib.read_all).values():
        assert (len(got), hashlib.md5(got).hexdigest()) == \
            (len(data), hashlib.md5(data).hexdigest())
    h.end(r"done|last write \(done\)")


def test_answer_after_the_end(relayd, backend, world):
    """A half-close is forwarded: the answer to it arrives."""
    data = lib.pattern(251)

    def serve(server, conn):
        server.read_to_end(conn)
        server.send(conn, data[::-1])

    def client(sock):
        h.send(sock, data)
        sock.shutdown(socket.SHUT_WR)
        return lib.read_all(sock)

    h = Harness(relayd, backend, world, serve)
    for got in h.play(client).values():
        assert got == data[::-1]
    h.server.wait_received(data)
    h.end(r"done|last write \(done\)")


def test_http_over_tcp(relayd, backend, world):
    """One request, through a protocol of type tcp, whose rules know nothing
    of it."""
    body = lib.pattern(251)

    def serve(server, conn):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = conn.recv(1)
            if not piece:
                return
            head += piece
        with server.lock:
            server.received.append(head)
        server.send(conn, b"HTTP/1.0 200 OK\r\nServer: test\r\n\r\n" + body)

    def client(sock):
        h.send(sock, b"GET /251 HTTP/1.0\r\nHost: foo.bar\r\n\r\n")
        r = http.client.HTTPResponse(sock)
        r.begin()
        assert r.status == 200 and r.getheader("Server") == "test"
        return r.read()

    h = Harness(relayd, backend, world, serve)
    for got in h.play(client).values():
        assert got == body
    h.server.wait_received(b"GET /251 HTTP/1.0\r\nHost: foo.bar\r\n\r\n")
    h.end(r"done|last write \(done\)")


# ---- times

def test_time_in(relayd, backend, world, ways, certs):
    """A pause within the session timeout."""
    def client(sock):
        h.send(sock, b"12345")
        time.sleep(2)
        h.send(sock, b"6789")

    h = Harness(relayd, backend, world, reader, 3, ways, certs)
    h.play(client)
    h.server.wait_received(b"123456789")
    h.end(r"done|last write \(done\)")
    h.lines(TIMEOUT_LINE, 0)


def test_time_out(relayd, backend, world, ways, certs):
    """A pause beyond it: the writer finds a broken pipe."""
    def client(sock):
        h.send(sock, b"12345")
        lib.wait_until(lambda: all(
            s.grep(r"relay relay-test, session 1 ")
            for s, port in h.services.values()), "the sessions' end")
        with pytest.raises((BrokenPipeError, ConnectionResetError, OSError)):
            for _ in range(1000):
                sock.sendall(b"6789")
                time.sleep(0.01)

    h = Harness(relayd, backend, world, reader, 3, ways, certs)
    h.play(client)
    h.server.wait_received(b"12345")
    h.end("buffer event timeout" if any(ways) else TIMEOUT_LINE)
    h.lines(TIMEOUT_LINE, 1)


@pytest.mark.parametrize("direction", ["put", "get"])
def test_time_one_direction(relayd, backend, world, ways, certs, direction):
    """Traffic in one direction keeps the other one alive."""
    def feed(sock):
        for i in range(5):
            time.sleep(1)
            sock.sendall(b"%d" % i)

    def serve(server, conn):
        if direction == "get":
            feed(conn)
        else:
            server.read_to_end(conn)

    h = Harness(relayd, backend, world, serve, 2, ways, certs)
    results = h.play(feed if direction == "put" else lambda s:
                     lib.read_exact(s, 5))
    if direction == "put":
        h.server.wait_received(b"01234")
    else:
        assert set(results.values()) == {b"01234"}
    h.end(r"done|last write \(done\)")
    h.lines(TIMEOUT_LINE, 0)


# ---- A.8

def test_invalid_protocol_type(tmp_path):
    """Started, not only checked: it says so and exits."""
    conf = tmp_path / "relayd.conf"
    conf.write_text('http protocol "a" { }\nfoo protocol "b" { }\n')
    r = lib.run(rd.RELAYD, "-d", "-v", "-v", "-f", conf, directory=tmp_path)
    assert r.returncode == 1
    found = [x for x in r.stderr.splitlines() if
             "relayd.conf:" in x and "invalid protocol type: foo" in x]
    assert len(found) == 1, r.stderr
    assert "relay_launch: " not in r.stderr


# ---- A.1

FORBIDDEN = (", done", "last write (done)", "Forbidden",
             "buffer event timeout", "splice timeout", ", malformed",
             "invalid chunk size", "chunk size too long")


def test_debug_lines_do_not_speak_like_session_lines():
    """Whoever counts lines of a kind counts debug lines as well."""
    calls = re.compile(r"log_debug(?:_line)?\((.*?)\);", re.S)
    seen = 0
    for part in "misc", "spawnd", "tcprelay", "relayd":
        for file in sorted((lib.TOP / part).glob("*.c")):
            for call in calls.findall(file.read_text()):
                text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call))
                seen += 1
                assert not [f for f in FORBIDDEN if f in text], (file, text)
    assert seen > 10
