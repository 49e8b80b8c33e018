"""Much in both directions at the same time, with checksums. SPAWND_BULK_MB
says how much each way."""

import hashlib
import os
import select
import signal
import socket
import ssl
import threading

import pytest

import lib
import stage

SIZE = int(os.environ.get("SPAWND_BULK_MB", "32")) << 20
# a slow test's limit is for the default size; large ones have their own
TIME = 120 + (SIZE >> 20)

UP, DOWN = 11, 12		# seeds


class Exchange(threading.Thread):
    """One end of it: sends a pattern and its end, while it reads to the end.
    A TLS socket of Python may not be read and written at the same time, so
    one thread does both, as far as the socket lets it."""

    def __init__(self, sock, seed):
        super().__init__(daemon=True)
        self.sock, self.seed = sock, seed
        self.result = self.failure = None

    def run(self):
        try:
            self.result = self.plain() \
                if not isinstance(self.sock, ssl.SSLSocket) else self.tls()
        except BaseException as e:
            self.failure = e

    def plain(self):
        sender = threading.Thread(target=self.send, daemon=True)
        sender.start()
        result = lib.read_digest(self.sock)
        sender.join()
        return result

    def send(self):
        for piece in lib.pattern_blocks(SIZE, self.seed):
            self.sock.sendall(piece)
        self.sock.shutdown(socket.SHUT_WR)

    def tls(self):
        """Both ends know the size: no half-close is needed."""
        s, h, n, total = self.sock, hashlib.sha256(), 0, 0
        pieces = lib.pattern_blocks(SIZE, self.seed)
        out = memoryview(next(pieces))
        s.setblocking(False)
        while n < SIZE or out:
            moved = False
            if n < SIZE:
                try:
                    data = s.recv(1 << 18)
                    if not data:
                        raise AssertionError(f"end after {n} bytes")
                    h.update(data)
                    n += len(data)
                    moved = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            if out:
                try:
                    done = s.send(out)
                    out, total = out[done:], total + done
                    if not out and total < SIZE:
                        out = memoryview(next(pieces))
                    moved = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            if not moved:
                r, w, _ = select.select([s], [s] if out else [], [],
                                        lib.TIMEOUT)
                assert r or w, f"stalled: {n} read, {total} sent of {SIZE}"
        s.setblocking(True)
        s.settimeout(lib.TIMEOUT)
        return n, h.hexdigest()


class Peer(lib.Backend):
    def __init__(self, **kw):
        self.exchange = None
        super().__init__(**kw)

    def serve(self, conn):
        conn.settimeout(TIME)
        exchange = Exchange(conn, DOWN)
        exchange.run()
        self.exchange = exchange
        if self.context:
            conn.unwrap()


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
TLS = pytest.mark.tls


@pytest.mark.slow
@pytest.mark.parametrize("accept, front, back", [
    pytest.param("master", None, None, id="plain"),
    pytest.param("workers", None, None, id="plain-workers"),
    pytest.param("single", None, None, id="plain-single"),
    pytest.param("master", V12, None, id="tls1.2", marks=TLS),
    pytest.param("master", V13, None, id="tls1.3", marks=TLS),
    pytest.param("master", V12, V12, id="both-tls1.2", marks=TLS),
    pytest.param("master", V13, V13, id="both-tls1.3", marks=TLS),
    pytest.param("master", None, V13, id="to-tls1.3", marks=TLS),
])
def test_both_ways(service, backend, port, certs, accept, front, back):
    signal.alarm(TIME)
    pair = certs.ecdsa
    server = backend(Peer, context=lib.server_context(pair, back)
                     if back else None)
    parts = dict(stage.ACCEPTS[accept])
    if front:
        parts["listen"] = parts.get("listen", "") + " tls"
        parts["relay"] = f'tls cert-file = "{pair.pem}"'
    s = service(stage.config(
        port, server.remote + (f' tls tls name = localhost tls ca-file = '
                               f'"{certs.ca}"' if back else ""), **parts))
    context = lib.client_context(certs.ca, front) if front else None
    with lib.connect(port, timeout=TIME, context=context,
                     name="localhost") as c:
        client_port = c.getsockname()[1]
        client = Exchange(c, UP)
        client.run()
        if client.failure:
            raise client.failure
        assert client.result == (SIZE, lib.pattern_digest(SIZE, DOWN))
        if front:
            c.unwrap()
        lib.wait_until(lambda: server.exchange, "the server", TIME)
    if server.exchange.failure:
        raise server.exchange.failure
    assert server.exchange.result == (SIZE, lib.pattern_digest(SIZE, UP))
    got = stage.session_of(s, client_port)
    assert got["end"] == "done", got
    assert int(got["in"]) == int(got["out"]) == SIZE
    for item, version in (("tls", front), ("dst-tls", back)):
        want = {None: "-", V12: "TLSv1.2/", V13: "TLSv1.3/"}[version]
        assert got[item].startswith(want), got
        assert "truncated" not in got[item]


@pytest.mark.slow
def test_unix_both_ways(service, backend, tmp_path):
    """Neither end is a TCP socket."""
    path = tmp_path / "front.sock"
    server = backend(Peer, path=tmp_path / "back.sock")
    s = service(f"""
id = spawnd {{ listen = {{ path = "{path}" }} }}
id = tcprelay {{ log connections = yes remote = {{ {server.remote} }} }}
""")
    with lib.connect(path, timeout=TIME) as c:
        client = Exchange(c, UP)
        client.run()
        assert client.result == (SIZE, lib.pattern_digest(SIZE, DOWN))
    lib.wait_until(lambda: server.exchange, "the server", TIME)
    assert server.exchange.result == (SIZE, lib.pattern_digest(SIZE, UP))
    s.wait_for(f"in={SIZE} out={SIZE} .*end=done")


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, pytest.param(True, marks=TLS)])
def test_several_at_once(service, backend, port, certs, tls):
    """Sessions of one worker do not mix their bytes."""
    server = backend(lib.Echo)
    service(stage.config(
        port, server.remote, listen="tls" if tls else "",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"' if tls else ""))
    context = lib.client_context(certs.ca) if tls else None
    failures = []

    def one(seed):
        try:
            with lib.connect(port, context=context, name="localhost",
                             timeout=60) as c:
                size, done = 2 << 20, 0
                for piece in lib.pattern_blocks(size, seed):
                    c.sendall(piece)
                    assert lib.read_exact(c, len(piece)) == piece
                    done += len(piece)
                assert done == size
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=one, args=(i,), daemon=True)
               for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
