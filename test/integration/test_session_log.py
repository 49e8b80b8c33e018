"""The line at the end of a session (7.11), as text and as JSON."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import ssl
import time

import pytest

import lib
import stage

LINE = re.compile(
    r"conn=(?P<conn>\d+\.\d+\.\d+) src=(?P<src>\S+) "
    r"listener=(?P<listener>\S+) realm=(?P<realm>\S+) dst=(?P<dst>\S+) "
    r"tries=(?P<tries>\d+) tls=(?P<tls>\S+) dst-tls=(?P<dst_tls>\S+) "
    r"in=(?P<in>\d+) out=(?P<out>\d+) ms=(?P<ms>\d+) end=(?P<end>\S+)$")
ITEMS = ["conn", "src", "listener", "realm", "dst", "tries", "tls",
         "dst-tls", "in", "out", "ms", "end"]


# ---- the line

def test_text(service, backend, port):
    """Every item, in this order, nothing else."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="realm = customers"))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"12345")
        name = c.getsockname()[1]
        time.sleep(0.05)
    stage.session_of(s, name)
    line, = [x for x in s.lines if "conn=" in x]
    m = LINE.search(line)
    assert m, line
    assert line[:m.start()] == f"{s.workers()[0]}: "
    assert m["src"] == f"[127.0.0.1]:{name}"
    assert m["listener"] == f"[127.0.0.1]:{port}"
    assert (m["realm"], m["dst"]) == ("customers", stage.endpoint(echo))
    assert (m["tries"], m["tls"], m["dst_tls"]) == ("1", "-", "-")
    assert (m["in"], m["out"], m["end"]) == ("5", "5", "done")
    assert 50 <= int(m["ms"]) < lib.TIMEOUT * 1000


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_ipv6(service, backend, port):
    echo = backend(lib.Echo, host="::1")
    s = service(stage.config(port, echo.remote))
    with lib.connect(port, host="::1") as c:
        lib.roundtrip(c, b"x")
        name = c.getsockname()[1]
    got = stage.session_of(s, name)
    assert (got["src"], got["listener"], got["dst"]) == (
        f"[::1]:{name}", f"[::1]:{port}", f"[::1]:{echo.port}")


@pytest.mark.parametrize("accept", ["master", "workers", "single"])
def test_unix(service, backend, tmp_path, accept):
    """Paths for UNIX endpoints; a client that has no name is absent. Unusual
    bytes are percent-encoded."""
    front, back = tmp_path / "a b.sock", tmp_path / "c\u00e4.sock"
    echo = backend(lib.Echo, path=back)
    where = stage.ACCEPTS[accept]
    s = service(f"""
id = spawnd {{
	{where.get("broker", "")}
	listen = {{ path = "{front}" {where.get("listen", "")} }}
}}
id = tcprelay {{ log connections = yes remote = {{ {echo.remote} }} }}
""")
    with lib.connect(front) as c:
        lib.roundtrip(c, b"x")
    s.wait_for("conn=.* end=done")
    got = LINE.search([x for x in s.lines if "conn=" in x][0])
    assert got, s.log()
    assert got["listener"] == str(front).replace(" ", "%20")
    assert got["dst"] == str(back).replace("\u00e4", "%C3%A4")
    assert got["src"] == "-"


def test_off_by_default(service, backend, port):
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote)
                .replace("log connections = yes", ""))
    lib.echo_once(port)
    s.stop()
    assert not s.grep("conn=")


def test_json(service, backend, port):
    """One object: items under their names, numbers as numbers."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, top="log format = json",
                             listen='realm = "k\u00fcnden"'))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"12345")
        name = c.getsockname()[1]
    s.wait_for('"event":"session"')
    got, = [x for x in stage.json_lines(s) if x.get("event") == "session"]
    assert list(got)[-len(ITEMS):] == ITEMS
    assert set(got) - set(ITEMS) == {"time", "level", "ident", "role", "pid",
                                     "worker", "event"}
    assert got["src"] == f"[127.0.0.1]:{name}"
    assert got["realm"] == "k\u00fcnden"	# not percent-encoded
    assert (got["tries"], got["in"], got["out"]) == (1, 5, 5)
    assert isinstance(got["ms"], int)
    assert got["tls"] is None and got["dst-tls"] is None
    assert (got["end"], got["role"], got["worker"]) == ("done", "worker", 1)
    assert got["pid"] == s.workers()[0]
    assert re.fullmatch(r"1\.1\.\d+", got["conn"])
    when = datetime.datetime.strptime(got["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    age = datetime.datetime.utcnow() - when
    assert abs(age.total_seconds()) < 60


def test_json_nobody(service, port):
    """Absent items are null."""
    s = service(stage.config(port, lib.Refusing().remote,
                             top="log format = json"))
    with lib.connect(port) as c:
        assert lib.read_all(c) == b""
    s.wait_for('"event":"session"')
    got, = [x for x in stage.json_lines(s) if x.get("event") == "session"]
    assert (got["dst"], got["realm"], got["end"]) == \
        (None, None, "no-destination")


# ---- every reason

def done(s, port, peers):
    lib.echo_once(port)


def client_error(s, port, peers):
    c = lib.connect(port)
    lib.roundtrip(c, b"x")
    lib.reset(c)


def destination_error(s, port, peers):
    with lib.connect(port) as c:
        c.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            while c.recv(1):
                pass


def silent(s, port, peers):
    with lib.connect(port) as c:
        assert lib.read_all(c) == b""


def junk(s, port, peers):
    with lib.connect(port) as c:
        with contextlib.suppress(ConnectionResetError):
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            lib.read_all(c)


def local_error(s, port, peers):
    with lib.connect(port) as c:
        assert lib.read_all(c) == b""


def killed(s, port, peers):
    worker, = s.workers()
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        os.kill(worker, signal.SIGTERM)
        s.wait_for(r"signal (SIG)?TERM: ending")
        os.kill(worker, signal.SIGTERM)
        with contextlib.suppress(ConnectionResetError):
            assert lib.read_all(c) == b""


REASONS = {
    "done": (done, lib.Echo, "", ""),
    "client-error": (client_error, lib.Echo, "", ""),
    "destination-error": (destination_error, stage.Breaking, "", ""),
    "idle": (silent, lib.Recorder, "", "idle timeout = 1"),
    "no-destination": (silent, lib.Refusing, "", ""),
    "handshake": (junk, lib.Echo, "tls", ""),
    "handshake-timeout": (silent, lib.Echo, "haproxy = yes",
                          "handshake timeout = 1"),
    "proxy-header": (lambda s, port, peers: send(port, b"PROXY nonsense\r\n"),
                     lib.Echo, "haproxy = yes", ""),
    "local-error": (local_error, lib.Echo, "",
                    "local address = 192.0.2.77"),
    "killed": (killed, lib.Echo, "", ""),
    # mavis and session-timeout are answers of authorisation modules
}


def send(port, data):
    with lib.connect(port) as c:
        with contextlib.suppress(ConnectionResetError):
            c.sendall(data)
            lib.read_all(c)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("reason", [
    pytest.param(r, marks=pytest.mark.tls if r == "handshake" else [])
    for r in REASONS])
def test_reason(service, backend, port, certs, reason, as_json):
    act, kind, listen, relay = REASONS[reason]
    peer = backend(kind)
    if listen == "tls":
        relay = f'tls cert-file = "{certs.ecdsa.pem}"'
    s = service(stage.config(port, peer.remote, listen=listen, relay=relay,
                             top="log format = json" if as_json else ""))
    s.wait_workers(1)
    act(s, port, peer)
    if as_json:
        s.wait_for('"event":"session"')
        got, = [x for x in stage.json_lines(s)
                if x.get("event") == "session"]
        assert got["end"] == reason
    else:
        s.wait_for(rf"conn=.* end={reason}$")
        assert len(stage.sessions(s)) == 1


# ---- TLS

@pytest.mark.tls
def test_tls_items(service, backend, port, certs):
    """Version and cipher of both sides; bytes without framing."""
    server = backend(lib.Echo, context=lib.server_context(
        certs.ecdsa, ssl.TLSVersion.TLSv1_2))
    s = service(stage.config(
        port, f'{server.remote} tls tls name = localhost tls ca-file = '
        f'"{certs.ca}"', listen="tls",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"'))
    context = lib.client_context(certs.ca, ssl.TLSVersion.TLSv1_3)
    with lib.connect(port, context=context, name="localhost") as c:
        lib.roundtrip(c, b"12345")
        version, cipher = c.version(), c.cipher()[0]
        name = c.getsockname()[1]
        c.unwrap()
    got = stage.session_of(s, name)
    assert got["tls"] == f"{version}/{cipher}"
    assert re.fullmatch(r"TLSv1\.2/ECDHE-ECDSA-\S+", got["dst-tls"])
    assert (got["in"], got["out"], got["end"]) == ("5", "5", "done")


@pytest.mark.tls
@pytest.mark.parametrize("side", ["client", "destination"])
def test_truncated(service, backend, port, certs, side):
    """An end without a close alert counts as an end, and is noted."""
    class Rude(lib.Backend):
        """Ends its side without an alert."""

        def serve(self, conn):
            conn.sendall(b"cut off")
            raw = socket.socket(fileno=os.dup(conn.fileno()))
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1000):
                pass
            raw.close()

    back = side == "destination"
    server = backend(Rude if back else lib.Recorder,
                     context=lib.server_context(certs.ecdsa) if back else None)
    s = service(stage.config(
        port, server.remote + (' tls tls verify = no' if back else ""),
        listen="" if back else "tls",
        relay="" if back else f'tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as raw:
        name = raw.getsockname()[1]
        if back:
            assert lib.read_all(raw) == b"cut off"
        else:
            line = stage.TlsLine(raw, lib.client_context(certs.ca),
                                 name="localhost")
            line.send(b"cut off")
            line.end(alert=False)
            assert line.recv(1) == b"" and not line.truncated
    got = stage.session_of(s, name)
    item = "dst-tls" if back else "tls"
    assert re.fullmatch(r"TLSv1\.3/\w+,tls-truncated", got[item])
    assert got["end"] == "done"
    if not back:
        assert server.received == [b"cut off"]


# ---- identities

def test_ids_are_unique(service, backend, port):
    """Over workers, a reload, and a worker that was replaced."""
    echo = backend(lib.Echo)
    text = stage.config(
        port, echo.remote,
        spawn="instances min = 3 instances max = 3 users min = 1")
    s = service(text)
    s.wait_workers(3)

    def some(n):
        socks = [lib.connect(port) for _ in range(n)]
        for c in socks:
            lib.roundtrip(c, b"x")
        for c in socks:
            c.close()

    some(12)
    s.reload(text.replace("users min = 1", "users min = 2"))
    some(12)
    gone = s.workers()[0]
    os.kill(gone, signal.SIGTERM)
    lib.wait_until(lambda: gone not in s.workers() and len(s.workers()) == 3,
                   "another worker")
    some(12)
    old = s.workers()
    s.send_signal(signal.SIGUSR1)
    lib.wait_until(lambda: not set(old) & set(s.workers()), "new workers")
    some(12)
    lib.wait_until(lambda: len(stage.sessions(s)) == 48, "all lines")
    ids = [tuple(map(int, x["conn"].split("."))) for x in stage.sessions(s)]
    assert len(set(ids)) == 48
    assert {g for g, _, _ in ids} >= {1, 2}
    assert len({w for _, w, _ in ids}) >= 3
    # counters of a worker never repeat, whatever the generation
    assert len({(w, c) for _, w, c in ids}) == 48


def test_generation_is_the_session_s(service, backend, port):
    """A session that began before the reload keeps its generation."""
    echo = backend(lib.Echo)
    text = stage.config(port, echo.remote)
    s = service(text)
    with lib.connect(port) as old:
        lib.roundtrip(old, b"x")
        s.reload(text.replace("log connections = yes",
                              "log connections = yes idle timeout = 100"))
        with lib.connect(port) as new:
            lib.roundtrip(new, b"x")
            new_port = new.getsockname()[1]
        old_port = old.getsockname()[1]
    assert stage.session_of(s, old_port)["conn"].startswith("1.")
    assert stage.session_of(s, new_port)["conn"].startswith("2.")


def test_log_file(service, backend, port, tmp_path):
    """The line goes to the log file as well, with nothing lost when it is
    moved away and reopened."""
    echo = backend(lib.Echo)
    log = tmp_path / "relay.log"
    s = service(stage.config(port, echo.remote,
                             top=f'log file = "{log}"\nlog format = json'))
    lib.echo_once(port)
    lib.wait_until(lambda: log.exists() and
                   log.read_text().count('"event":"session"') == 1, "a line")
    assert log.stat().st_mode & 0o777 == 0o640
    log.rename(tmp_path / "old.log")
    s.send_signal(signal.SIGUSR2)
    lib.wait_until(log.exists, "the new file")

    def arrived():
        lib.echo_once(port)
        return '"event":"session"' in log.read_text()

    lib.wait_until(arrived, "a line in the new file", step=0.1)
    for x in log.read_text().splitlines():
        json.loads(x)


def test_log_file_full(service, backend, port):
    """A log that cannot be written to disturbs nobody."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote,
                             top='log file = "/dev/full"'))
    for _ in range(10):
        lib.echo_once(port)
    s.wait_for("end=done", count=10)


def test_many_lines(service, backend, port):
    """As many lines as sessions, each whole, from several workers."""
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote,
        spawn="instances min = 4 instances max = 4 users min = 2"))
    n = 200
    for _ in range(n // 20):
        socks = [lib.connect(port) for _ in range(20)]
        for c in socks:
            lib.roundtrip(c, b"x")
            c.close()
    s.wait_for(r"conn=.* end=done$", count=n)
    assert all(LINE.search(x) for x in s.lines if "conn=" in x)
    assert len([x for x in s.lines if "conn=" in x]) == n
