"""Listening sockets of relays: their options, which connections inherit, and
what is said of those that cannot be opened."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import lib
import ops
import rd
import test_upgrade

pytestmark = rd.needed

PIDFD_GETFD = 438		# the same on all of Linux' machines
IP_MINTTL, IPV6_MINHOPCOUNT = 21, 73


def taken(pid, number):
    """A copy of another process' socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    error = ctypes.get_errno()
    os.close(pidfd)
    if fd == -1:
        raise OSError(error, os.strerror(error))
    return socket.socket(fileno=fd)


def sockets(pid, wanted):
    """Copies of all that satisfy."""
    found = []
    for n, name in lib.descriptors(pid).items():
        if not name.startswith("socket:"):
            continue
        try:
            s = taken(pid, n)
        except OSError:
            continue		# closed meanwhile
        if s.family in (socket.AF_INET, socket.AF_INET6) and wanted(s):
            found.append(s)
        else:
            s.close()
    return found


def listening(port):
    return lambda s: s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) \
        and s.getsockname()[1] == port


def options(s):
    """nodelay, size for sending and receiving, ttl, least ttl, linger,
    keepalive."""
    v6 = s.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
    return {
        "nodelay": s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        "send": s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        "receive": s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        "ttl": s.getsockopt(level, socket.IPV6_UNICAST_HOPS if v6
                            else socket.IP_TTL),
        "minttl": s.getsockopt(level, IPV6_MINHOPCOUNT if v6
                               else IP_MINTTL),
        "linger": s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[0],
        "keepalive": s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    }


def backlog(port):
    """As ss shows it."""
    r = subprocess.run(["ss", "-Hltn", f"sport = :{port}"],
                       capture_output=True, text=True, check=True)
    return {int(line.split()[2]) for line in r.stdout.splitlines()}


def conf(port, server, tcp="", host="127.0.0.1", prefork=1):
    return f"""
prefork {prefork}
protocol "p" {{
	{tcp}
}}
relay "www" {{
	listen on {host} port {port}
	protocol "p"
	forward to 127.0.0.1 port {server}
}}
"""


ALL = "tcp { nodelay, backlog 7, socket buffer 40000, ip ttl 9, " \
      "ip minttl 3 }"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_options(relayd, backend, port, host):
    """On the listener, on what it accepts, and towards servers."""
    if ":" in host and not lib.have_ipv6():
        pytest.skip("no IPv6")
    s = relayd(conf(port, backend(lib.Echo).port, ALL, host))
    door, = sockets(s.pid, listening(port))
    with door, lib.connect(port, host=host) as c:
        lib.roundtrip(c, b"x")
        want = {"nodelay": 1, "send": 80000, "receive": 80000, "ttl": 9,
                "minttl": 3, "linger": 0, "keepalive": 0}
        assert options(door) == want
        assert backlog(port) == {7}
        if door.family == socket.AF_INET6:
            assert door.getsockopt(socket.IPPROTO_IPV6,
                                   socket.IPV6_V6ONLY) == 1
        both = sockets(s.one("relay"), lambda x: not x.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        assert len(both) == 2
        for x in both:
            with x:
                assert options(x) == want


def test_nothing_is_set_unasked(relayd, backend, port):
    s = relayd(conf(port, backend(lib.Echo).port))
    door, = sockets(s.pid, listening(port))
    fresh = socket.socket()
    with door, fresh:
        assert options(door) == options(fresh)
        assert backlog(port) == {10}


def test_no_nodelay(relayd, backend, port):
    s = relayd(conf(port, backend(lib.Echo).port, "tcp no nodelay"))
    door, = sockets(s.pid, listening(port))
    with door:
        assert options(door)["nodelay"] == 0


def test_reload(relayd, backend, port):
    """The socket stays and has what the file says; what it does not say any
    more is the system's again, but for a size."""
    server = backend(lib.Echo).port
    s = relayd(conf(port, server))
    door, = sockets(s.pid, listening(port))
    with door, ops.Stream(port) as stream:
        usual = options(door)
        s.reload(conf(port, server, ALL))
        assert options(door)["ttl"] == 9 and options(door)["minttl"] == 3
        assert options(door)["nodelay"] == 1
        assert backlog(port) == {7}
        s.reload(conf(port, server, "tcp backlog 512"))
        for name in ("nodelay", "ttl", "minttl"):
            assert options(door)[name] == usual[name]
        assert backlog(port) == {512}
        assert options(door)["receive"] == 80000
        assert s.grep(rf"\]:{port}: socket buffer: Operation not supported")
        stream.goes_on()
    lib.echo_once(port)


def test_upgrade_with_another_file(relayd, backend, port, tmp_path):
    """The new program does not know what the old one had set, and sees to
    it that all is as the file has it now."""
    program, server = tmp_path / "relayd", backend(lib.Echo).port
    shutil.copy2(rd.RELAYD, program)
    s = relayd(conf(port, server, "tcp { nodelay, ip ttl 9, ip minttl 3 }"),
               program=program)
    door, = sockets(s.pid, listening(port))
    with door, ops.Stream(port) as stream:
        assert options(door)["ttl"] == 9
        s.write(conf(port, server, "tcp ip ttl 11"))
        test_upgrade.replace(program, rd.RELAYD)
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for(r"upgrade: \S+ to \S+", since=since)
        s.wait_for("reload: done", since=since)
        with socket.socket() as fresh:
            assert options(door) == {**options(fresh), "ttl": 11}
        stream.goes_on()
        lib.echo_once(port)


def test_families_side_by_side(relayd, backend, port):
    if not lib.have_ipv6():
        pytest.skip("no IPv6")
    one, two = backend(lib.Named, "four"), backend(lib.Named, "six")
    relayd(f"""
prefork 1
relay "four" {{
	listen on 0.0.0.0 port {port}
	forward to 127.0.0.1 port {one.port}
}}
relay "six" {{
	listen on :: port {port}
	forward to 127.0.0.1 port {two.port}
}}
""", relays=2)
    assert lib.ask_name(port) == "four"
    assert lib.ask_name(port, host="::1") == "six"


# ---- what cannot be opened

def place(s, text):
    """FILE:LINE of the line that begins with that."""
    lines = s.file.read_text().splitlines()
    line = next(i for i, x in enumerate(lines, 1) if x.startswith(text))
    return re.escape(f"{s.file}:{line}")


def test_taken_at_the_start(relayd, backend, port):
    """One that fails is enough."""
    other, b = lib.free_port(), backend(lib.Echo)
    with socket.socket() as taken_by:
        taken_by.bind(("127.0.0.1", other))
        taken_by.listen()
        s = relayd(conf(port, b.port) + f"""
relay "other" {{
	listen on 127.0.0.1 port {other}
	forward to 127.0.0.1 port {b.port}
}}
""", start=False, clean=False)
        s.launch()
        assert s.wait() == 1
    assert s.grep(place(s, 'relay "other"') + ': relay "other": cannot '
                  rf'listen on 127\.0\.0\.1 port {other}: '
                  'Address already in use')
    assert ops.refused(port)


def test_taken_at_a_reload(relayd, backend, port):
    """Nothing changes then."""
    other, b = lib.free_port(), backend(lib.Echo)
    s = relayd(conf(port, b.port))
    with socket.socket() as taken_by, ops.Stream(port) as stream:
        taken_by.bind(("127.0.0.1", other))
        taken_by.listen()
        s.reload(conf(port, b.port) + f"""
relay "other" {{
	listen on 127.0.0.1 port {other}
	forward to 127.0.0.1 port {b.port}
}}
""", expect="failed to load config file")
        assert s.grep(place(s, 'relay "other"') + ': relay "other": cannot '
                      rf'listen on 127\.0\.0\.1 port {other}: '
                      'Address already in use')
        stream.goes_on()
        lib.echo_once(port)
    s.reload()
    lib.wait_until(lambda: not ops.refused(other), "the other relay")


# ---- what this version does not serve

@pytest.mark.parametrize("kind", ["http", "dns"])
def test_not_served(relayd, backend, port, kind, tmp_path):
    """A check takes it, a start and a reload say that it is not done."""
    b = backend(lib.Echo)
    text = conf(port, b.port).replace("protocol \"p\" {",
                                      f"{kind} protocol \"p\" {{", 1)
    s = relayd(text, start=False, clean=False)
    r = lib.run(rd.RELAYD, "-n", "-f", s.file)
    assert r.returncode == 0 and "configuration OK" in r.stderr
    s.launch()
    assert s.wait() == 1
    why = rf'relay "www": protocols of type {kind} are not served by ' \
        "this version"
    assert s.grep(place(s, 'relay "www"') + f": {why}")
    t = relayd(conf(port, b.port))
    t.reload(text, expect="failed to load config file")
    assert t.grep(why)
    lib.echo_once(port)


@pytest.mark.tls
def test_inspection_not_served(relayd, backend, certs, port):
    pair = certs.ecdsa
    s = relayd(f"""
protocol "p" {{
	tls keypair "k" cert "{pair.cert}" key "{pair.key}"
	tls ca cert "{certs.ca}"
	tls ca key "{certs.ca.with_suffix('.key')}" password ""
}}
relay "www" {{
	listen on 127.0.0.1 port {port} tls
	protocol "p"
	forward with tls to 127.0.0.1 port 1
}}
""", start=False, clean=False)
    r = lib.run(rd.RELAYD, "-n", "-f", s.file)
    assert r.returncode == 0, r.stderr
    s.launch()
    assert s.wait() == 1
    assert s.grep('relay "www": TLS inspection is not served by this version')
