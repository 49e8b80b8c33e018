"""PROXY headers, coming in and going out (7.8)."""

import re
import socket
import struct

import pytest

import lib
import stage

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FAMILIES = {"4": (socket.AF_INET, 0x11), "6": (socket.AF_INET6, 0x21)}


def v1(src, dst, sport, dport):
    kind = "TCP6" if ":" in src else "TCP4"
    return f"PROXY {kind} {src} {dst} {sport} {dport}\r\n".encode()


def v2(src, dst, sport, dport, tlvs=b"", command=0x21):
    family, code = FAMILIES["6" if ":" in src else "4"]
    block = socket.inet_pton(family, src) + socket.inet_pton(family, dst) + \
        struct.pack(">HH", sport, dport) + tlvs
    return SIGNATURE + struct.pack(">BBH", command, code, len(block)) + block


def raw_v2(command, family, block):
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + \
        block


FOUR = ("192.0.2.7", "198.51.100.9", 4711, 443)
SIX = ("2001:db8::7", "2001:db8::9", 4712, 443)
FOUR_LOG, SIX_LOG = "[192.0.2.7]:4711", "[2001:db8::7]:4712"
REAL = None

# what comes, and whom the log must name; REAL: the peer itself
GOOD = {
    "v1 IPv4": (v1(*FOUR), FOUR_LOG),
    "v1 IPv6": (v1(*SIX), SIX_LOG),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", REAL),
    "v1 unknown with words": (
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", REAL),
    "v1 of 107 bytes": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", REAL),
    "v2 IPv4": (v2(*FOUR), FOUR_LOG),
    "v2 IPv6": (v2(*SIX), SIX_LOG),
    "v2 with TLVs": (v2(*FOUR, tlvs=b"\x04\x01\x00" + bytes(256)), FOUR_LOG),
    "v2 of 4096 bytes": (v2(*FOUR, tlvs=b"\x04\x0f\xe1" +
                            bytes(4096 - 16 - 12 - 3)), FOUR_LOG),
    "v2 local": (raw_v2(0x20, 0, b""), REAL),
    "v2 local with a block": (v2(*FOUR, command=0x20), REAL),
    "v2 unspecified": (raw_v2(0x21, 0, b""), REAL),
    "none": (b"", REAL),
    "none, but nearly": (b"PROXX", REAL),
    "none, begins like v2": (SIGNATURE[:11] + b"X", REAL),
}
CONSUMED = {name for name in GOOD if not name.startswith("none")}

BAD = {
    "v1 without end": b"PROXY TCP4 " + b"1" * 120,
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "v1 other protocol": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 missing port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "v1 surplus word": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "v1 two blanks": b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
    "v1 wrong family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "v1 bad address": b"PROXY TCP4 192.0.2.300 192.0.2.2 1 2\r\n",
    "v1 bad port": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
    "v1 negative port": b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
    "v1 CR alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX\n",
    "v1 NUL": b"PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n",
    "v2 version 1": v2(*FOUR, command=0x11),
    "v2 command 2": v2(*FOUR, command=0x22),
    "v2 family 4": raw_v2(0x21, 0x41, bytes(36)),
    "v2 transport 3": raw_v2(0x21, 0x13, bytes(12)),
    "v2 short block": raw_v2(0x21, 0x11, bytes(11)),
    "v2 short block IPv6": raw_v2(0x21, 0x21, bytes(35)),
    "v2 of 4097 bytes": v2(*FOUR, tlvs=bytes(4097 - 16 - 12)),
    "v2 of 65551 bytes": v2(*FOUR, tlvs=bytes(65535 - 12)),
}


def incoming(port, remote, **kw):
    return stage.config(port, remote, listen="haproxy = yes", **kw)


# ---- in

@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """One service in front of an echo for all of the table."""
    port, echo = lib.free_port(), lib.Echo()
    s = lib.Service(incoming(port, echo.remote),
                    tmp_path_factory.mktemp("front")).start()
    yield port, echo, s
    echo.close()
    s.assert_clean()


@pytest.mark.parametrize("trickled", [False, True], ids=["whole", "trickled"])
@pytest.mark.parametrize("name", GOOD)
def test_good(front, name, trickled):
    """The header is consumed, nothing behind it is, and the log names whom
    it announces."""
    port, _, s = front
    header, announced = GOOD[name]
    if trickled and len(header) > 200:
        header, size = header, 64
    else:
        size = 1
    data = b"GET / HTTP/1.0\r\n\r\n"
    expected = data if name in CONSUMED else header + data
    since = s.mark()
    with lib.connect(port) as c:
        if trickled:
            lib.trickle(c, header + data, size, 0.0005)
        else:
            c.sendall(header + data)
        assert lib.read_exact(c, len(expected)) == expected
        c.shutdown(socket.SHUT_WR)
        assert lib.read_all(c) == b""
        real = f"[127.0.0.1]:{c.getsockname()[1]}"
    m = s.wait_for(r"conn=\S+ src=(\S+) .* in=(\d+) out=(\d+) .*end=(\S+)",
                   since=since)
    assert m.groups() == (announced or real, str(len(expected)),
                          str(len(expected)), "done")


@pytest.mark.parametrize("name", BAD)
def test_bad(front, name):
    """Closed, with a log line; the destination hears nothing of it."""
    port, echo, s = front
    before, since = echo.connections, s.mark()
    with lib.connect(port) as c:
        c.sendall(BAD[name] + b"data")
        try:
            assert lib.read_all(c) == b""
        except ConnectionResetError:
            pass			# bytes that nobody read
        name = c.getsockname()[1]
    assert stage.session_of(s, name, since=since)["end"] == "proxy-header"
    s.wait_for(rf"proxy header from \[127\.0\.0\.1\]:{name} is malformed: ",
               since=since)
    assert echo.connections == before


@pytest.mark.parametrize("data, end", [
    (b"", "done"),			# nothing at all: direct
    (b"PROX", "done"),			# cannot be one any more: direct
    (b"PROXY TCP4 192.0.2.1", "proxy-header"),
    (SIGNATURE[:8], "done"),
    (SIGNATURE + b"\x21\x11", "proxy-header"),
    (v2(*FOUR)[:-1], "proxy-header"),
])
def test_partial_then_end(front, data, end):
    port, _, s = front
    since = s.mark()
    with lib.connect(port) as c:
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        assert lib.read_all(c) == (data if end == "done" else b"")
        name = c.getsockname()[1]
    assert stage.session_of(s, name, since=since)["end"] == end


def test_reset_within(front):
    port, _, s = front
    since = s.mark()
    c = lib.connect(port)
    name = c.getsockname()[1]
    c.sendall(b"PROXY TCP4 192.0")
    lib.reset(c)
    got = stage.session_of(s, name, since=since)
    assert got["end"] in ("client-error", "proxy-header"), got


def test_server_speaks_first(service, backend, port):
    """With a header the server's greeting does not wait for data."""
    server = backend(lib.Greeting)
    service(incoming(port, server.remote))
    with lib.connect(port) as c:
        c.sendall(v2(*FOUR))
        assert lib.read_exact(c, len(server.text)) == server.text


def test_acl_uses_the_peer(service, backend, port):
    """Neither can the announced address open the door nor close it."""
    echo = backend(lib.Echo)
    other = lib.free_port()
    service(incoming(port, echo.remote, broker="permit 127.0.0.1"))
    refusing = service(incoming(other, echo.remote,
                                broker="permit 192.0.2.0/24"))
    with lib.connect(port) as c:
        c.sendall(v1("203.0.113.66", "198.51.100.1", 1, 2) + b"in")
        assert lib.read_exact(c, 2) == b"in"
    with lib.connect(other) as c:
        try:
            c.sendall(v1(*FOUR))
            assert lib.read_all(c) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    refusing.wait_for(r"connection from \[127\.0\.0\.1\] refused")
    assert echo.connections == 1


@pytest.mark.tls
@pytest.mark.parametrize("listen", ["tls", "tls = auto"])
@pytest.mark.parametrize("header", [v1(*FOUR), v2(*FOUR), b""])
@pytest.mark.parametrize("trickled", [False, True])
def test_in_front_of_tls(service, backend, port, certs, listen, header,
                         trickled):
    """The header stands before the handshake; without one it begins at
    once."""
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote, listen=f"haproxy = yes {listen}",
        relay=f'tls cert-file = "{certs.ecdsa.pem}"'))
    with lib.connect(port) as raw:
        line = stage.Line(raw, trickled)
        line.push(header)
        c = stage.TlsLine(raw, lib.client_context(certs.ca),
                          name="localhost", trickle=trickled)
        c.send(b"secret")
        assert c.recv(6) == b"secret"
        name = FOUR[2] if header else raw.getsockname()[1]
        c.close()
    got = stage.session_of(s, name)
    assert (got["in"], got["out"], got["end"]) == ("6", "6", "done")
    assert got["tls"].startswith("TLSv1.3/")
    assert got["src"].startswith("[192.0.2.7]" if header else "[127.0.0.1]")


@pytest.mark.tls
def test_header_and_hello_in_one(service, backend, port, certs):
    """What stands behind the header is left for the handshake."""
    echo = backend(lib.Echo)
    service(stage.config(port, echo.remote, listen="haproxy = yes tls",
                         relay=f'tls cert-file = "{certs.ecdsa.pem}"'))

    class Joined(stage.TlsLine):
        head = v2(*SIX)

        def push(self, data):
            super().push(self.head + data)
            self.head = b""

    with lib.connect(port) as raw:
        c = Joined(raw, lib.client_context(certs.ca), name="localhost")
        c.send(b"x")
        assert c.recv(1) == b"x"
        c.close()


@pytest.mark.tls
def test_junk_where_a_header_or_tls_should_be(service, backend, port, certs):
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="haproxy = yes tls",
                             relay=f'tls cert-file = "{certs.ecdsa.pem}"'))
    for junk in (b"GET / HTTP/1.0\r\n\r\n", b"PROX no", b"PROXY \x16\x03",
                 v1(*FOUR) + b"GET / HTTP/1.0\r\n\r\n"):
        with lib.connect(port) as c:
            c.sendall(junk)
            try:
                lib.read_all(c)
            except ConnectionResetError:
                pass
    lib.wait_until(lambda: len(stage.sessions(s)) == 4, "all sessions")
    assert {x["end"] for x in stage.sessions(s)} == \
        {"handshake", "proxy-header"}
    assert echo.connections == 0


# ---- out

class Header(lib.Backend):
    """Reads a header, answers it in hexadecimal, then echoes."""

    def __init__(self, version, **kw):
        self.version = version
        super().__init__(**kw)

    def serve(self, conn):
        got = bytearray()
        if self.version == 1:
            while not got.endswith(b"\r\n"):
                got += lib.read_exact(conn, 1)
        else:
            got += lib.read_exact(conn, 16)
            got += lib.read_exact(conn, struct.unpack(">H", got[14:])[0])
        conn.sendall(got.hex().encode() + b"\n")
        while data := conn.recv(1 << 16):
            conn.sendall(data)
        if self.context:
            conn.unwrap()


def read_line(sock):
    out = bytearray()
    while not out.endswith(b"\n"):
        data = sock.recv(1)
        assert data, "the end instead of a header"
        out += data
    return bytes.fromhex(out.decode())


def expected(version, src, dst, sport, dport):
    return (v1 if version == 1 else v2)(src, dst, sport, dport)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("host", ["127.0.0.1"] + ["::1"] * lib.have_ipv6())
@pytest.mark.parametrize("first", ["client", "server"])
def test_out(service, backend, port, version, host, first):
    """The first thing sent, also when the client says nothing."""
    server = backend(Header, version)
    s = service(stage.config(port, f"{server.remote} haproxy = v{version}"))
    with lib.connect(port, host=host) as c:
        name = c.getsockname()[1]
        if first == "client":
            c.sendall(b"at once")
        assert read_line(c) == expected(version, host, host, name, port)
        if first == "client":
            assert lib.read_exact(c, 7) == b"at once"
        lib.roundtrip(c, lib.pattern(200000))
    got = stage.session_of(s, name)
    size = 200000 + (7 if first == "client" else 0)
    assert int(got["in"]) == size	# without the header
    assert got["end"] == "done"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("came", ["v1 IPv4", "v2 IPv6", "v2 local",
                                  "v1 unknown", "none"])
def test_through(service, backend, port, version, came):
    """What one proxy announced is announced to the next."""
    server = backend(Header, version)
    service(incoming(port, f"{server.remote} haproxy = v{version}"))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        c.sendall(GOOD[came][0] + b"data")
        got = read_line(c)
        assert lib.read_exact(c, 4) == b"data"
    where = {"v1 IPv4": FOUR, "v2 IPv6": SIX}.get(
        came, ("127.0.0.1", "127.0.0.1", name, port))
    assert got == expected(version, *where)


@pytest.mark.parametrize("version", [1, 2])
def test_unix_client(service, backend, tmp_path, version):
    """A UNIX client has no address to announce."""
    server = backend(Header, version)
    path = tmp_path / "front.sock"
    service(f"""
id = spawnd {{ listen = {{ path = "{path}" }} }}
id = tcprelay {{ remote = {{ {server.remote} haproxy = v{version} }} }}
""")
    with lib.connect(path) as c:
        got = read_line(c)
        lib.roundtrip(c, b"x")
    assert got == (b"PROXY UNKNOWN\r\n" if version == 1
                   else raw_v2(0x21, 0, b""))


@pytest.mark.parametrize("version", [1, 2])
def test_unix_destination(service, backend, port, tmp_path, version):
    server = backend(Header, version, path=tmp_path / "b.sock")
    service(stage.config(port, f"{server.remote} haproxy = v{version}"))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        assert read_line(c) == expected(version, "127.0.0.1", "127.0.0.1",
                                        name, port)
        lib.roundtrip(c, b"x")


@pytest.mark.parametrize("failing", [lib.Refusing, lib.BlackHole])
def test_out_after_failover(service, backend, port, failing):
    """Each destination gets its own kind of header, once."""
    bad, server = backend(failing), backend(Header, 2)
    service(stage.config(
        port, [f"{bad.remote} haproxy = v1", f"{server.remote} haproxy = v2"],
        relay="connect timeout = 1"))
    with lib.connect(port) as c:
        c.sendall(b"patience")
        name = c.getsockname()[1]
        assert read_line(c) == v2("127.0.0.1", "127.0.0.1", name, port)
        assert lib.read_exact(c, 8) == b"patience"


class HeaderThenTls(lib.Backend):
    """A header in the clear, then TLS."""

    def __init__(self, tls, **kw):
        self.tls = tls
        self.headers = []
        super().__init__(**kw)

    def serve(self, conn):
        got = lib.read_exact(conn, 16)
        got += lib.read_exact(conn, struct.unpack(">H", got[14:])[0])
        self.headers.append(got)
        with self.tls.wrap_socket(conn, server_side=True) as c:
            while data := c.recv(1 << 16):
                c.sendall(data)
            c.unwrap()


@pytest.mark.tls
@pytest.mark.parametrize("front", ["", "tls"])
def test_to_tls_destination(service, backend, port, certs, front):
    """Before the handshake with the destination."""
    server = backend(HeaderThenTls, lib.server_context(certs.ecdsa))
    s = service(stage.config(
        port, f'{server.remote} haproxy = v2 tls tls name = localhost '
        f'tls ca-file = "{certs.ca}"', listen=front,
        relay=f'tls cert-file = "{certs.ecdsa.pem}"' if front else ""))
    context = lib.client_context(certs.ca) if front else None
    with lib.connect(port, context=context, name="localhost") as c:
        name = c.getsockname()[1]
        lib.roundtrip(c, lib.pattern(100000))
        if front:
            c.unwrap()
    assert server.headers == [v2("127.0.0.1", "127.0.0.1", name, port)]
    got = stage.session_of(s, name)
    assert (got["in"], got["end"]) == ("100000", "done")
    assert re.match(r"TLSv1\.3/", got["dst-tls"])
