"""Health checks of relayd: every kind against peers that behave and peers that
do not, the lines about them to the letter, retries, parents, intervals,
orders, scripts; and what a process that ends, or a reload, leaves of it."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import lib
import netns
import rd
import test_upgrade as up

pytestmark = rd.needed

BODY = b"hello, world\n"
MD5 = hashlib.md5(BODY).hexdigest()
SHA1 = hashlib.sha1(BODY).hexdigest()
LATE = 60 * 1000			# ms: not on any machine
SOON = 300				# ms: somebody is to be late


@pytest.fixture
def relayd(relayd):
    """Nobody comes to the relay: that it is served need not be waited for."""
    def make(text, relays=0, **kw):
        return relayd(text, relays=relays, **kw)
    return make


# ---- peers

class Talk(lib.Backend):
    """Waits for as many bytes as asked, sends the pieces, then closes or
    (hold) waits for the other end to do that."""

    def __init__(self, *pieces, wait=1, hold=False, pause=0.0, **kw):
        self.pieces, self.wait, self.hold = pieces, wait, hold
        self.pause = pause
        self.got = []
        super().__init__(**kw)

    def serve(self, conn):
        data = b""
        while len(data) < self.wait:
            more = conn.recv(4096)
            if not more:
                break
            data += more
        with self.lock:
            self.got.append(data)
        for piece in self.pieces:
            conn.sendall(piece)
            time.sleep(self.pause)
        if self.hold:
            while conn.recv(4096):
                pass


class Flood(lib.Backend):
    """Sends without end."""

    def serve(self, conn):
        with contextlib.suppress(OSError):
            while True:
                conn.sendall(b"x" * 65536)


class Reset(lib.Backend):
    """Hears somebody out, a little."""

    def serve(self, conn):
        conn.recv(1)
        lib.reset(conn)


def answer(status=200, body=BODY, length=True, reason="OK", more=""):
    head = f"HTTP/1.1 {status} {reason}\r\n{more}"
    if length:
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


CHUNKED = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           b"5\r\nhello\r\n8;x=y\r\n, world\n\r\n0\r\n\r\n")


def host_line(name, check, error, old, new, availability=None):
    """Of a log: to the letter, but for the time it took."""
    return (rf"host {re.escape(name)}, check {check} "
            rf"\((\d+)ms,{re.escape(error)}\), state {old} -> {new}, "
            rf"availability {re.escape(availability or '')}"
            + ("$" if availability is not None else r"(\d+\.\d\d%)?$"))


def conf(check, port, hosts="127.0.0.1", timeout=LATE, interval=None,
         more="", log="log state changes\nlog host checks\n"):
    """One table, checked, of one relay. Nobody comes to the relay."""
    interval = interval or max(10, timeout // 1000 + 1)
    return (f"interval {interval}\ntimeout {timeout}\n{log}prefork 1\n{more}"
            f"table <t> {{ {hosts} }}\n"
            f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
            f"\tforward to <t> port {port} {check}\n}}\n")


UP, DOWN = ("up", "100.00%"), ("down", "0.00%")

PLAIN = [
    # name, peer, check, name in lines, error, state, timeout
    ("tcp", lambda: lib.Echo(), "check tcp", "tcp", "tcp connect ok", UP,
     LATE),
    ("tcp-refused", lambda: lib.Refusing(), "check tcp", "tcp",
     "tcp connect failed", DOWN, LATE),
    ("tcp-late", lambda: lib.BlackHole(), "check tcp", "tcp",
     "tcp connect timeout", DOWN, SOON),
    ("code", lambda: Talk(answer(), wait=20), 'check http "/" code 200',
     "http code", "http code ok", UP, LATE),
    ("code-held", lambda: Talk(answer(length=False), wait=20, hold=True),
     'check http "/" code 200', "http code", "http code ok", UP, LATE),
    ("code-trickled", lambda: Talk(*[bytes([b]) for b in answer(204, b"")],
                                   wait=20, pause=0.001),
     'check http "/" code 204', "http code", "http code ok", UP, LATE),
    ("code-other", lambda: Talk(answer(503), wait=20),
     'check http "/" code 200', "http code", "http code mismatch,503", DOWN,
     LATE),
    ("code-nonsense", lambda: Talk(b"SSH-2.0-x\r\n", wait=20),
     'check http "/" code 200', "http code", "http code malformed", DOWN,
     LATE),
    ("code-nothing", lambda: Talk(wait=20), 'check http "/" code 200',
     "http code", "http code malformed", DOWN, LATE),
    ("code-silent", lambda: Talk(wait=20, hold=True),
     'check http "/" code 200', "http code", "tcp read timeout", DOWN, SOON),
    ("digest-md5", lambda: Talk(answer(), wait=20, hold=True),
     f'check http "/" digest "{MD5}"', "http digest", "http digest ok", UP,
     LATE),
    ("digest-sha1", lambda: Talk(answer(length=False), wait=20),
     f'check http "/" digest "{SHA1}"', "http digest", "http digest ok", UP,
     LATE),
    ("digest-chunked", lambda: Talk(CHUNKED, wait=20, hold=True),
     f'check http "/" digest "{SHA1}"', "http digest", "http digest ok", UP,
     LATE),
    ("digest-nul", lambda: Talk(answer(body=b"a\0b"), wait=20),
     f'check http "/" digest "{hashlib.md5(bytes([97, 0, 98])).hexdigest()}"',
     "http digest", "http digest ok", UP, LATE),
    ("digest-other", lambda: Talk(answer(body=b"bye"), wait=20),
     f'check http "/" digest "{MD5}"', "http digest",
     "http digest mismatch", DOWN, LATE),
    ("digest-nonsense", lambda: Talk(b"no head", wait=20),
     f'check http "/" digest "{MD5}"', "http digest",
     "http digest malformed", DOWN, LATE),
    ("expect", lambda: lib.Greeting(), 'check send nothing expect "SSH-*"',
     "send expect", "send/expect ok", UP, LATE),
    ("expect-asked", lambda: Talk(b"+PONG\r\n", wait=6, hold=True),
     r'check send "PING\r\n" expect "+PONG*"', "send expect",
     "send/expect ok", UP, LATE),
    ("expect-trickled", lambda: Talk(*[b"%c" % b for b in b"220 mail.x ok"],
                                     wait=0, pause=0.002, hold=True),
     'check send nothing expect "220 *ok"', "send expect", "send/expect ok",
     UP, LATE),
    ("expect-closed", lambda: Talk(b"500 no\r\n", wait=0),
     'check send nothing expect "220 *"', "send expect",
     "send/expect failed", DOWN, LATE),
    ("expect-held", lambda: Talk(b"500 no\r\n", wait=0, hold=True),
     'check send nothing expect "220 *"', "send expect",
     "send/expect failed", DOWN, SOON),
    ("expect-flood", lambda: Flood(), 'check send nothing expect "220 *"',
     "send expect", "send/expect failed", DOWN, LATE),
    ("binary", lambda: Talk(bytes.fromhex("0001ff00"), wait=2, hold=True),
     'check binary send "cafe" expect "0001ff"', "send expect",
     "send/expect ok", UP, LATE),
    ("binary-other", lambda: Talk(bytes.fromhex("0002"), wait=2, hold=True),
     'check binary send "cafe" expect "0001ff"', "send expect",
     "send/expect failed", DOWN, LATE),
    ("reset", lambda: Reset(), 'check send "x" expect "a*"', "send expect",
     "tcp read failed", DOWN, LATE),
]


@pytest.mark.parametrize("peer,check,kind,error,state,timeout",
                         [row[1:] for row in PLAIN],
                         ids=[row[0] for row in PLAIN])
def test_kinds(relayd, peer, check, kind, error, state, timeout):
    with peer() as p:
        s = relayd(conf(check, p.port, timeout=timeout))
        new, availability = state
        s.wait_for(host_line("127.0.0.1", kind, error, "unknown", new,
                             availability), lib.TIMEOUT * 2)


def test_request(relayd):
    """What is asked, byte by byte; the agent is the product's name."""
    with Talk(answer(), wait=20) as a, Talk(answer(), wait=20) as b:
        text = (f"log state changes\nprefork 1\ntimeout {LATE}\n"
                f"interval 61\n"
                "table <t> { 127.0.0.1 }\n"
                f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
                f'\tforward to <t> port {a.port} check http "/x?y" '
                "code 200\n"
                f'\tforward to <t> port {b.port} check http "/" '
                f'host "www.example" digest "{MD5}"\n}}\n')
        s = relayd(text)
        s.wait_for(r"state unknown -> up", count=2)
        agent = a.got[0].split(b"User-Agent: ")[1].split(b"\r\n")[0]
        assert a.got == [b"HEAD /x?y HTTP/1.0\r\nUser-Agent: " + agent +
                         b"\r\n\r\n"]
        assert b.got == [b"GET / HTTP/1.1\r\nUser-Agent: " + agent +
                         b"\r\nHost: www.example\r\nConnection: close"
                         b"\r\n\r\n"]


# ---- TLS

TLS = [
    ("tls", lambda c: lib.Echo(context=c), "check tls", "tcp use tls",
     "tls connect ok", UP, LATE),
    ("tls-plain-peer", lambda c: Talk(b"nonsense" * 100, wait=1),
     "check tls", "tcp use tls", "tls connect failed", DOWN, LATE),
    ("tls-silent", lambda c: Talk(wait=1 << 30), "check tls", "tcp use tls",
     "tls connect timeout", DOWN, SOON),
    ("https", lambda c: Talk(answer(), wait=20, context=c),
     'check https "/" code 200', "http code use tls", "http code ok", UP,
     LATE),
    ("https-held", lambda c: Talk(answer(length=False), wait=20, hold=True,
                                  context=c),
     'check https "/" code 200', "http code use tls", "http code ok", UP,
     LATE),
    ("https-digest", lambda c: Talk(answer(), wait=20, hold=True, context=c),
     f'check https "/" digest "{SHA1}"', "http digest use tls",
     "http digest ok", UP, LATE),
    ("https-late", lambda c: Talk(wait=20, hold=True, context=c),
     'check https "/" code 200', "http code use tls", "tls read timeout",
     DOWN, SOON * 10),
    ("expect", lambda c: lib.Greeting(context=c),
     'check send nothing expect "SSH-*" tls', "send expect use tls",
     "send/expect ok", UP, LATE),
    ("binary", lambda c: Talk(b"\0\1\2", wait=1, hold=True, context=c),
     'check binary send "00" expect "0001" tls', "send expect use tls",
     "send/expect ok", UP, LATE),
]


@pytest.mark.tls
@pytest.mark.parametrize("peer,check,kind,error,state,timeout",
                         [row[1:] for row in TLS],
                         ids=[row[0] for row in TLS])
def test_tls(relayd, certs, peer, check, kind, error, state, timeout):
    with peer(lib.server_context(certs.ecdsa)) as p:
        s = relayd(conf(check, p.port, timeout=timeout))
        s.wait_for(host_line("127.0.0.1", kind, error, "unknown", *state),
                   lib.TIMEOUT * 2)


@pytest.mark.tls
def test_server_name(relayd, certs):
    """A host given by name is asked for by it; one by address is not."""
    seen = []
    context = lib.server_context(certs.ecdsa)
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    with lib.Echo(context=context) as p:
        s = relayd(conf("check tls", p.port, hosts="localhost 127.0.0.1"))
        s.wait_for(r"state unknown -> up", count=2)
    assert sorted(seen, key=str) == [None, "localhost"]


@contextlib.contextmanager
def running(*command, port):
    p = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        def there():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
        lib.wait_until(there, "a peer")
        yield p
    finally:
        p.terminate()
        p.wait(lib.TIMEOUT)


@pytest.mark.tls
@pytest.mark.skipif(not lib.have("openssl"), reason="no openssl(1)")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(relayd, certs, version):
    port = lib.free_port()
    with running("openssl", "s_server", "-accept", f"127.0.0.1:{port}",
                 version, "-cert", certs.rsa.cert, "-key", certs.rsa.key,
                 "-quiet", "-www", port=port):
        # it does not know HEAD
        s = relayd(conf(r'check send "GET / HTTP/1.0\r\n\r\n" '
                        'expect "HTTP/1.0 200 ok*" tls', port))
        s.wait_for(host_line("127.0.0.1", "send expect use tls",
                             "send/expect ok", "unknown", "up", "100.00%"))


@pytest.mark.tls
@pytest.mark.skipif(not lib.have("nginx"), reason="no nginx")
def test_nginx(relayd, certs, tmp_path):
    port, tls = lib.free_port(), lib.free_port()
    (tmp_path / "index.html").write_bytes(BODY)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; "
        f"error_log {tmp_path}/error;\n"
        "events {}\nhttp { access_log off; "
        f"client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b; "
        f"fastcgi_temp_path {tmp_path}/c; uwsgi_temp_path {tmp_path}/d; "
        f"scgi_temp_path {tmp_path}/e;\n"
        f"server {{ listen 127.0.0.1:{port}; "
        f"listen 127.0.0.1:{tls} ssl; ssl_certificate {certs.rsa.cert}; "
        f"ssl_certificate_key {certs.rsa.key}; root {tmp_path}; }} }}\n")
    rows = [(port, 'check http "/" code 200'),
            (port, f'check http "/" host "x" digest "{SHA1}"'),
            (tls, 'check https "/" host "x" code 200'),
            (tls, f'check https "/index.html" digest "{MD5}"'),
            (port, 'check http "/none" code 404'),
            (port, r'check send "GET / HTTP/1.0\r\n\r\n" '
                   'expect "HTTP/1.1 200 OK*hello, world*"')]
    text = "".join(f"\tforward to <t> port {p} {c}\n" for p, c in rows)
    with running("nginx", "-p", tmp_path, "-e", tmp_path / "error", "-c",
                 tmp_path / "nginx.conf", port=port):
        s = relayd(f"log state changes\nlog host checks\nprefork 1\n"
                   f"interval 61\ntimeout {LATE}\n"
                   "table <t> { 127.0.0.1 }\n"
                   f"relay r {{\n\tlisten on 127.0.0.1 port "
                   f"{lib.free_port()}\n{text}}}\n")
        s.wait_for(r"state unknown -> up, availability 100.00%",
                   count=len(rows))


# ---- addresses, time to live

@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_ipv6(relayd):
    with lib.Echo(host="::1") as p:
        s = relayd(conf("check tcp", p.port, hosts="::1"))
        s.wait_for(host_line("::1", "tcp", "tcp connect ok", "unknown", "up",
                             "100.00%"))


def test_ttl(relayd):
    """Of the packets, as somebody at the wire sees them."""
    with lib.Echo() as p, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                        socket.htons(0x0800)) as wire:
        wire.bind(("lo", 0x0800))
        wire.settimeout(lib.TIMEOUT)
        s = relayd(quick("check tcp", p.port, hosts="127.0.0.1 ip ttl 7"))
        s.wait_for(r"state unknown -> up")
        # others use this wire, too: if one is missed, another comes
        end = time.monotonic() + lib.TIMEOUT
        while time.monotonic() < end:
            packet = wire.recv(2048)
            at = (packet[0] & 15) * 4
            if packet[9] == socket.IPPROTO_TCP and struct.unpack(
                    "!H", packet[at + 2:at + 4])[0] == p.port and \
                    packet[at + 13] & 0x12 == 2:
                assert packet[8] == 7
                return
    raise AssertionError("no SYN was seen")


ROUTED = """
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
ip addr add 2001:db8::1/128 dev lo nodad
ip route add unreachable 198.51.100.0/24
"""
SILENT = """
ip link set lo up
echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all
echo 1 >/proc/sys/net/ipv6/icmp/echo_ignore_all
"""


def test_icmp(relayd):
    """Replies of both address families, and a place where nothing can go."""
    with netns.Netns(ROUTED) as n:
        s = relayd(conf("check icmp", 1, timeout=LATE,
                        hosts="192.0.2.1 2001:db8::1 198.51.100.1 "
                              "127.0.0.1 ip ttl 3"),
                   wrap=n.wrap)
        for name in ("192.0.2.1", "2001:db8::1", "127.0.0.1"):
            s.wait_for(host_line(name, "icmp", "icmp ok", "unknown", "up",
                                 "100.00%"))
        s.wait_for(host_line("198.51.100.1", "icmp", "icmp write timeout",
                             "unknown", "down", "0.00%"))


def test_icmp_silence(relayd):
    """On loopback one's own request comes in, too: that is no answer."""
    with netns.Netns(SILENT) as n:
        s = relayd(conf("check icmp", 1, timeout=SOON,
                        hosts="127.0.0.1 ::1"), wrap=n.wrap)
        for name in ("127.0.0.1", "::1"):
            s.wait_for(host_line(name, "icmp", "icmp read timeout",
                                 "unknown", "down", "0.00%"))


NOT_RAW = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps",
           "-net_raw"]
no_setpriv = pytest.mark.skipif(not lib.have("setpriv"), reason="no setpriv")


@no_setpriv
def test_no_raw_sockets(relayd):
    """Who has no right to raw sockets needs them for check icmp alone: that
    is refused, at the start and by a reload."""
    with lib.Echo() as p:
        text = quick("check tcp", p.port)
        s = relayd(text, wrap=NOT_RAW)
        s.wait_for(r"state unknown -> up")
        since = s.mark()
        s.reload(text.replace("check tcp", "check icmp"),
                 expect="failed to load config file")
        assert s.grep(r"service\.cfg:\d+: host 127\.0\.0\.1: no raw sockets "
                      "for check icmp: Operation not permitted", since)
        s.wait_for(r"check tcp .*state up -> up", None, since, 2)
        assert not s.grep("lost child")


@no_setpriv
def test_no_raw_sockets_at_start(relayd):
    s = relayd(conf("check icmp", 1), wrap=NOT_RAW, start=False, clean=False)
    s.launch()
    assert s.wait() == 1
    s.wait_for(r"service\.cfg:\d+: host 127\.0\.0\.1: no raw sockets for "
               "check icmp: Operation not permitted")


# ---- states

def quick(check, port, **kw):
    return conf(check, port, interval=1, timeout=900, **kw)


def test_retry(relayd):
    """One failure is forgiven, and counts as a check that found it up."""
    port = lib.free_port()
    with lib.Echo(port=port):
        s = relayd(quick("check tcp", port, hosts="127.0.0.1 retry 1"))
        s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect ok", "up",
                             "up", "100.00%"))
    s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect failed", "up",
                         "up", "100.00%"))
    s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect failed", "up",
                         "down"))
    assert len(s.grep(host_line("127.0.0.1", "tcp", "tcp connect failed",
                                "up", "up"))) == 1
    with lib.Echo(port=port):
        s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect ok", "down",
                             "up"))


def test_first_failure_is_not_forgiven(relayd):
    with lib.Refusing() as p:
        s = relayd(conf("check tcp", p.port, hosts="127.0.0.1 retry 5"))
        s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect failed",
                             "unknown", "down", "0.00%"))


def test_log_options(relayd):
    """Changes of state without the other lines, the other lines without
    them. In debug mode changes are always told."""
    with lib.Echo() as p:
        s = relayd(quick("check tcp", p.port, log=""))
        s.wait_for(r"hce_notify_done: 127\.0\.0\.1 \(tcp connect ok\)",
                   count=3)
        assert len(s.grep(r"^host |: host ")) == 1
        s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect ok",
                             "unknown", "up", "100.00%"))


def test_quiet(relayd):
    """No debug lines unless asked for; an operator may ask at any time, and
    have enough, over a reload, too."""
    with lib.Echo() as p:
        s = relayd(quick("check tcp", p.port), verbose=0)
        s.wait_for(r"state up -> up", count=2)
        assert not s.grep("hce_notify_done")
        s.ctl("log", "verbose")
        s.wait_for(r"hce_notify_done: 127\.0\.0\.1 \(tcp connect ok\)")
        s.reload()
        since = s.mark()
        s.wait_for(r"hce_notify_done: ", None, since, 2)
        s.ctl("log", "brief")
        s.wait_for(r"state up -> up", None, s.mark())
        since = s.mark()
        s.reload()
        s.wait_for(r"state up -> up", None, since, 2)
        assert not s.grep("hce_notify_done", since)


def test_parent(relayd):
    """A child has no check of its own, and its own retries."""
    port = lib.free_port()
    hosts = "127.0.0.1 127.0.0.2 parent 1 retry 1"
    with lib.Echo(port=port):
        s = relayd(quick("check tcp", port, hosts=hosts))
        for name in ("127.0.0.1", "127.0.0.2"):
            s.wait_for(host_line(name, "tcp", "tcp connect ok", "unknown",
                                 "up", "100.00%"))
    s.wait_for(host_line("127.0.0.1", "tcp", "tcp connect failed", "up",
                         "down"))
    s.wait_for(host_line("127.0.0.2", "tcp", "tcp connect failed", "up",
                         "up"))
    s.wait_for(host_line("127.0.0.2", "tcp", "tcp connect failed", "up",
                         "down"))


def test_table_interval(relayd):
    """Every third round, beginning with the first."""
    with lib.Echo() as a, lib.Echo() as b:
        text = (f"interval 1\ntimeout 900\nlog host checks\nprefork 1\n"
                "table <a> { 127.0.0.1 }\ntable <b> { 127.0.0.2 }\n"
                f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
                f"\tforward to <a> port {a.port} check tcp\n"
                f"\tforward to <b> port {b.port} check tcp interval 3\n}}\n"
                ).replace("127.0.0.2", "127.0.0.1")
        s = relayd(text)
        lib.wait_until(lambda: a.connections >= 7, "seven rounds",
                       lib.TIMEOUT * 2)
        assert b.connections in (2, 3), (a.connections, b.connections)


def test_one_round_after_another(relayd):
    """Checks that hang do not hold up the others, nor the next round."""
    with lib.Echo() as p, lib.BlackHole() as hole:
        text = (f"interval 1\ntimeout 900\nlog host checks\nprefork 1\n"
                "table <a> { 127.0.0.1 }\n"
                f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
                f"\tforward to <a> port {hole.port} check tcp\n"
                f"\tforward to <a> port {p.port} check tcp\n}}\n")
        s = relayd(text)
        s.wait_for(r"tcp connect timeout\), state down -> down", count=2)
        assert s.grep(r"tcp connect ok\), state up -> up")


# ---- orders

def test_disable(relayd):
    """A host that is disabled is not checked; enabled, it is again."""
    with lib.Echo() as p:
        s = relayd(quick("check tcp", p.port))
        s.wait_host("127.0.0.1", "up")
        s.ctl("host", "disable", "127.0.0.1")
        s.wait_host("127.0.0.1", "disabled")
        time.sleep(0.2)				# one that was under way
        before = p.connections
        time.sleep(2.2)				# two rounds
        assert p.connections == before
        s.ctl("host", "enable", "127.0.0.1")
        s.wait_host("127.0.0.1", "up")
        assert p.connections > before


def test_poll(relayd):
    with lib.Echo() as p:
        s = relayd(conf("check tcp", p.port, interval=3600))
        s.wait_for(r"state unknown -> up")
        s.ctl("poll")
        s.wait_for(r"state up -> up")
        count_is(2, p)


def count_is(n, *peers):
    """Their threads may be late to count."""
    lib.wait_until(lambda: all(p.connections >= n for p in peers),
                   f"{n} connections")
    time.sleep(0.2)
    assert [p.connections for p in peers] == [n] * len(peers)


# ---- scripts

@pytest.fixture
def place():
    """A folder where anybody may write, with scripts(name, text)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="relayd-test-"))
    path.chmod(0o777)

    def script(name, text):
        file = path / name
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)
        return file

    script.path = path
    yield script
    shutil.rmtree(path, ignore_errors=True)


def script_conf(*paths, timeout=LATE, interval=None, more=""):
    interval = interval or max(10, timeout // 1000 + 1)
    text = "".join(f'\tforward to <t{i}> port {i + 1} check script '
                   f'"{p}"\n' for i, p in enumerate(paths))
    tables = "".join(f"table <t{i}> {{ 127.0.0.{i + 1} }}\n"
                     for i in range(len(paths)))
    return (f"interval {interval}\ntimeout {timeout}\nlog state changes\n"
            f"log host checks\nprefork 1\n{tables}"
            f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
            f"{text}{more}}}\n")


def test_script_status(relayd, place):
    """0 is down, anything else is up; a signal, or no program at all, down."""
    rows = [("one", "exit 1", "script ok", UP),
            ("zero", "exit 0", "script failed", DOWN),
            ("most", "exit 255", "script ok", UP),
            ("signal", "kill -TERM $$", "script failed", DOWN),
            (None, None, "script failed", DOWN)]
    paths = [place(name, text) if name else place.path / "none"
             for name, text, _, _ in rows]
    s = relayd(script_conf(*paths))
    for i, (_, _, error, state) in enumerate(rows):
        s.wait_for(host_line(f"127.0.0.{i + 1}", "script", error, "unknown",
                             *state))


def test_script_world(relayd, place):
    """Whom it runs as, where, with what."""
    out = place.path / "out"
    path = place("look", f'{{ id -u; id -G; pwd; echo "$#" "$1"; '
                         f'ls /proc/self/fd | sort -n | tr "\\n" " "; '
                         f'readlink /proc/$$/fd/0; env | grep -c ^RELAYD_; }} '
                         f'>{out}.new 2>&1\n'
                         f"mv {out}.new {out}\nexit 1\n")
    s = relayd(script_conf(path))
    s.wait_for(r"script ok\), state unknown -> up")
    import pwd
    user = pwd.getpwnam(rd.USER)
    lines = out.read_text().splitlines()
    assert lines[:4] == [str(user.pw_uid), str(user.pw_gid), "/",
                         "1 127.0.0.1"]
    # ls has the folder open, too
    assert lines[4].split()[:3] == ["0", "1", "2"]
    assert len(lines[4].split()) <= 5 and lines[4].endswith("/dev/null")
    assert lines[5] == "0"


def test_script_killed(relayd, place):
    """With all that it has begun."""
    pids = place.path / "pids"
    path = place("hang", f"trap '' TERM\nsleep 1000 &\n"
                         f"echo $$ $! >{pids}.new\nmv {pids}.new {pids}\n"
                         "wait\n")
    s = relayd(script_conf(path, timeout=SOON * 4))
    s.wait_for(host_line("127.0.0.1", "script", "script failed", "unknown",
                         "down", "0.00%"))
    started = [int(x) for x in pids.read_text().split()]
    lib.wait_until(lambda: not any(map(lib.alive, started)),
                   "the end of the script")


def test_script_many(relayd, place):
    """Sixteen at once: each waits for all the others to be there."""
    path = place("meet", f"touch {place.path}/$1\n"
                         "i=0\nwhile [ $i -lt 400 ]; do\n"
                         f"  [ $(ls {place.path} | grep -c 127) -ge 16 ] && "
                         "exit 1\n  sleep 0.1; i=$((i+1))\ndone\nexit 0\n")
    s = relayd(script_conf(*[path] * 16))
    s.wait_for(r"script ok\), state unknown -> up", lib.TIMEOUT * 2,
               count=16)


def test_script_hostile(relayd, place):
    """What scripts do to themselves (children without end in sight, floods of
    output, hanging) others do not notice: their checks are on time."""
    bomb = place("bomb", "i=0\nwhile [ $i -lt 50 ]; do sleep 1000 & "
                         "i=$((i+1)); done\nwait\n")
    flood = place("flood", "yes >&2 &\nyes\n")
    hang = place("hang", "exec sleep 1000\n")
    with lib.Echo() as p:
        s = relayd(script_conf(bomb, flood, hang, timeout=3900, interval=4,
                               more=f"\tforward to <e> port {p.port} "
                                    "check tcp timeout 3000\n").replace(
            "relay r", "table <e> { 127.0.0.9 }\nrelay r").replace(
            "127.0.0.9", "127.0.0.1"))
        s.wait_for(r"check tcp .*state unknown -> up")
        s.wait_for(r"check tcp .*state up -> up", lib.TIMEOUT * 2)
        s.wait_for(r"script failed\), state unknown -> down",
                   lib.TIMEOUT * 2, count=3)
        assert not s.grep(r"check tcp .* down,")
    assert s.stop() == 0
    left = [pid for pid in lib.processes()
            if str(place.path) in command(pid)]
    assert not left, left


def command(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(
            b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_disabled_meanwhile(relayd, place):
    """What a check finds of a host that was disabled since is ignored, and
    said to be."""
    here, go = place.path / "here", place.path / "go"
    path = place("wait", f"touch {here}\nwhile [ ! -e {go} ]; do sleep 0.05; "
                         "done\nexit 1\n")
    s = relayd(script_conf(path))
    lib.wait_until(here.exists, "the script")
    s.ctl("host", "disable", "127.0.0.1")
    s.wait_host("127.0.0.1", "disabled")
    go.touch()
    s.wait_for(r"host 127\.0\.0\.1, check script \(ignoring result, host "
               r"disabled\)$")
    assert not s.grep(r"state unknown -> up")
    s.ctl("host", "enable", "127.0.0.1")
    s.ctl("poll")
    s.wait_for(host_line("127.0.0.1", "script", "script ok", "unknown", "up",
                         "100.00%"))


# ---- processes and configurations that come and go

def test_another_process(relayd):
    """hce is killed: nobody's state moves, and checks go on."""
    up, down = lib.Echo(), lib.Refusing()
    text = (f"interval 1\ntimeout 900\nlog state changes\nprefork 1\n"
            "table <a> { 127.0.0.1 }\ntable <b> { 127.0.0.2 }\n"
            f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
            f"\tforward to <a> port {up.port} check tcp\n"
            f"\tforward to <b> port {down.port} check tcp\n}}\n")
    with up, down:
        s = relayd(text, clean=False)
        s.wait_for(r"state unknown -> up")
        s.wait_for(r"state unknown -> down")
        old, since, seen = s.one("hce"), s.mark(), up.connections
        os.kill(old, signal.SIGKILL)
        s.wait_for(rf"lost child: hce pid {old} terminated; signal 9", None,
                   since)
        lib.wait_until(lambda: s.named("hce") not in ([], [old]),
                       "another hce")
        lib.wait_until(lambda: up.connections >= seen + 3, "checks")
        assert not s.grep(r"state \w+ -> ", since), s.log()
        s.wait_host("127.0.0.1", "up")
        s.wait_host("127.0.0.2", "down")


def test_reload_keeps(relayd):
    """States and counts go on, new hosts are checked at once, and the rest is
    not checked again before its time."""
    with lib.Echo() as p:
        text = conf("check tcp", p.port, interval=3600, hosts="127.0.0.1")
        s = relayd(text)
        s.wait_for(r"state unknown -> up, availability 100.00%")
        for _ in range(3):
            s.reload(text.replace("table <t> {", "table <t> { ")
                     .replace("prefork 1", "prefork 2"))
        count_is(1, p)
        since = s.mark()
        with lib.Echo(host="127.0.0.2", port=p.port) as q:
            s.reload(text.replace("{ 127.0.0.1 }",
                                  "{ 127.0.0.2 127.0.0.1 }"))
            s.wait_for(host_line("127.0.0.2", "tcp", "tcp connect ok",
                                 "unknown", "up", "100.00%"), None, since)
            count_is(1, p, q)
            since = s.mark()
            s.ctl("poll")
            # the second check of one, the first one's second
            s.wait_for(r"state up -> up, availability 100.00%", None, since,
                       count=2)
            count_is(2, p, q)
        assert not s.grep(r"127\.0\.0\.1, .* state unknown", since)


def test_upgrade_keeps(relayd, tmp_path):
    """The next program knows what this one found: nobody is unknown for a
    moment, and counts go on."""
    program = tmp_path / "bin" / "relayd"
    program.parent.mkdir()
    shutil.copy2(rd.RELAYD, program)
    with lib.Echo() as p, lib.Refusing() as none:
        text = (f"interval 3600\ntimeout {LATE}\nlog state changes\n"
                "log host checks\nprefork 1\n"
                "table <a> { 127.0.0.1 }\ntable <b> { 127.0.0.2 retry 2 }\n"
                f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
                f"\tforward to <a> port {p.port} check tcp\n"
                f"\tforward to <b> port {none.port} check tcp\n}}\n")
        s = relayd(text, program=program, relays=1)
        s.wait_for(r"state unknown -> up")
        s.wait_for(r"state unknown -> down")
        since, old = s.mark(), s.one("hce")
        up.replace(program, rd.RELAYD)
        s.send_signal(signal.SIGHUP)
        s.wait_for(r"reload: done", since=since)
        lib.wait_until(lambda: len(s.named("hce")) == 1 and
                       s.one("hce") != old, "another hce")
        s.ctl("poll")
        s.wait_for(r"host 127\.0\.0\.1, .* state up -> up, "
                   r"availability 100\.00%$", since=since)
        s.wait_for(r"host 127\.0\.0\.2, .* state down -> down, "
                   r"availability 0\.00%$", since=since)
        assert not s.grep(r"state unknown", since), s.log()


def test_reload_forgets(relayd):
    """Another check, or another address, is another host."""
    with lib.Echo() as p:
        text = conf("check tcp", p.port, interval=3600)
        s = relayd(text)
        s.wait_for(r"state unknown -> up")
        since = s.mark()
        s.reload(text.replace("check tcp", 'check send "x" expect "x"'))
        s.wait_for(host_line("127.0.0.1", "send expect", "send/expect ok",
                             "unknown", "up", "100.00%"), None, since)


def test_descriptors(relayd):
    """Checks that have ended leave nothing open."""
    with lib.Echo() as p:
        s = relayd(quick("check tcp", p.port, hosts=" ".join(
            ["127.0.0.1"] * 20)))
        s.wait_for(r"state unknown -> up", count=20)
        hce = s.one("hce")

        def idle():
            return not any("socket" in t for t in tcp_of(hce))
        lib.wait_until(idle, "an end of all checks")


def tcp_of(pid):
    """Descriptors of a process that are TCP sockets."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text(
                    ).splitlines()[1:]:
                inodes.add(line.split()[9])
    found = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            to = os.readlink(fd)
            if to.startswith("socket:[") and to[8:-1] in inodes:
                found.append(to)
    return found
