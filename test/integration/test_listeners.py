"""Listeners: options as the sockets have them, UNIX listeners, endpoints that
overlap, ports that are taken, who is let in, who comes back to whom."""

import ctypes
import os
import pathlib
import re
import socket
import stat
import time

import pytest

import lib
import ops

ROOT = os.getuid() == 0


@pytest.fixture
def probed(service, probe):
    """probed(listen blocks): a service whose worker says what it sees"""
    def make(listen, broker="", spawn="instances min = 1 instances max = 1",
             **kw):
        return service(f"""
id = spawnd {{
	{broker}
	{listen}
	spawn {{ exec = "{probe}" id = good {spawn} }}
}}
""", program="spawnd", **kw)

    return make


def ask(port, **kw):
    with lib.connect(port, **kw) as c:
        return ops.told(c)


# ---- options of sockets

def test_options_as_a_worker_sees_them(probed):
    a, b, c = lib.free_port(), lib.free_port(), lib.free_port()
    probed(f"""
	listen = {{ address = 127.0.0.1 port = {a} dscp = 0x2e realm = first
		tcp keepalive idle = 31 tcp keepalive count = 3 }}
	listen = {{ address = 127.0.0.1 port = {b} dscp = 0 }}
	listen = {{ port = {c} dscp = 10 }}""",
           "tcp keepalive idle = 2m\ntcp keepalive interval = 7\n"
           "tcp keepalive count = 5", listeners=3)
    first, second = ask(a), ask(b)
    assert (first["tos"], first["keepalive"], first["nodelay"]) == \
        (str(0x2e * 4), "1", "1")
    assert (first["idle"], first["count"], first["interval"]) == \
        ("31", "3", "7")
    assert first["realm"] == "first" and second["realm"] == "-"
    assert (second["tos"], second["idle"], second["count"]) == \
        ("0", "120", "5")
    assert ask(c)["tos"] == "40" or ask(c)["tclass"] == "40"
    if lib.have_ipv6():
        assert ask(c, host="::1")["tclass"] == "40"


def test_defaults_as_a_worker_sees_them(probed, port):
    probed(f"listen = {{ address = 127.0.0.1 port = {port} }}")
    about = ask(port)
    with socket.socket() as s:
        usual = [s.getsockopt(socket.IPPROTO_TCP, o) for o in
                 (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE,
                  socket.TCP_KEEPINTVL)]
    assert (about["tos"], about["keepalive"]) == ("0", "1")
    assert [int(about[k]) for k in ("count", "idle", "interval")] == usual


def sockets_of(pid):
    """Copies of a process' sockets. None: not permitted here."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, pid, 0)			# pidfd_open
    if pidfd == -1:
        return None
    out = []
    for fd, target in lib.descriptors(pid).items():
        if target.startswith("socket:"):
            copy = libc.syscall(438, pidfd, fd, 0)	# pidfd_getfd
            if copy == -1:
                os.close(pidfd)
                return None
            out.append(socket.socket(fileno=copy))
    os.close(pidfd)
    return out


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_both_sides_of_a_relay(service, backend, port, accept):
    """7.2: options of the client's socket and of the destination's."""
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, spawn="instances min = 1 instances max = 1",
        broker=f"accept = {accept}\ntcp bufsize = 1m",
        listen=f"listen = {{ address = 127.0.0.1 port = {port} dscp = 8 "
               "tcp keepalive idle = 41 tcp keepalive count = 4 "
               "tcp keepalive interval = 11 }"))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        copies = sockets_of(ops.serving_pid(s, c))
        if copies is None:
            pytest.skip("a process' sockets cannot be looked at here")
        try:
            ends = {}
            for k in copies:
                try:
                    peer = k.getpeername()
                except OSError:
                    continue
                if isinstance(peer, tuple) and peer[1] == echo.port:
                    ends["destination"] = k
                elif isinstance(peer, tuple) and \
                        peer[1] == c.getsockname()[1]:
                    ends["client"] = k
            assert set(ends) == {"client", "destination"}

            def options(k):
                return (k.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                        k.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                        k.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))

            assert options(ends["client"]) == (1, 1, 32)
            assert options(ends["destination"]) == (1, 1, 32)
            keep = [(o, getattr(socket, o)) for o in
                    ("TCP_KEEPIDLE", "TCP_KEEPCNT", "TCP_KEEPINTVL")]
            assert [ends["client"].getsockopt(socket.IPPROTO_TCP, o)
                    for _, o in keep] == [41, 4, 11]
            with socket.socket() as usual:
                for _, o in keep:		# the system's
                    assert ends["destination"].getsockopt(
                        socket.IPPROTO_TCP, o) == \
                        usual.getsockopt(socket.IPPROTO_TCP, o)
            for k in ends.values():
                assert not os.get_blocking(k.fileno())
        finally:
            for k in copies:
                k.close()


def test_realm_of_a_relay(service, backend):
    """In the session's line, per listener; 15 bytes at most."""
    a, b = lib.free_port(), lib.free_port()
    echo = backend(lib.Echo)
    s = service(ops.conf(
        None, echo.remote, relay="log connections = yes",
        listen=f"listen = {{ port = {a} realm = 0123456789abcde }} "
               f"listen = {{ port = {b} }}"), listeners=2)
    lib.echo_once(a)
    s.wait_for(r" realm=0123456789abcde ")
    lib.echo_once(b)
    s.wait_for(r" realm=- ")


# ---- who is let in

def test_acl(probed, port):
    """In file order, the first match decides; who is in nobody's line is
    refused; mapped addresses are IPv4."""
    s = probed(f"listen = {{ port = {port} }}", """
	permit 127.0.0.1/32
	deny 127.0.1.0/24
	permit 127.0.0.0/255.255.0.0
	acl permit 127.4.0.9
	deny not 127.5.0.0/16
	permit 127.5.5.5
""")
    for source, permitted in (
            ("127.0.0.1", True), ("127.0.1.7", False), ("127.0.2.3", True),
            ("127.4.0.9", True), ("127.4.0.8", False), ("127.5.5.5", True),
            ("127.5.5.6", False)):
        with lib.connect(port, source=(source, 0)) as c:
            if permitted:
                assert re.search(r"127\.\d+\.\d+\.\d+:",
                                 ops.told(c)["peer"])
            else:
                assert c.recv(1) == b"", source
    if lib.have_ipv6():
        with lib.connect(port, host="::1") as c:
            assert c.recv(1) == b""
        s.wait_for(r"connection from \[::1\] refused by line \d+$")
    s.wait_for(r"connection from \[127\.0\.1\.7\] refused by line 5$")
    s.wait_for(r"connection from \[127\.4\.0\.8\] refused by line 8$")
    s.wait_for(r"connection from \[127\.5\.5\.6\] refused, no line permits")


def test_acl_lines_are_limited(probed, port):
    """Ten a second, and how many more there were."""
    s = probed(f"listen = {{ address = 127.0.0.1 port = {port} }}",
               "deny 127.0.0.0/8")

    def refused(n):
        for _ in range(n):
            with lib.connect(port) as c:
                assert c.recv(1) == b""

    began = time.monotonic()
    refused(60)
    seconds = int(time.monotonic() - began) + 2
    assert 10 <= len(s.grep(r"refused by line")) <= 10 * seconds
    time.sleep(1.1)
    refused(1)
    s.wait_for(r"\d+ more connections refused")
    logged = len(s.grep("refused by line"))
    more = sum(int(m.group(1))
               for m in s.grep(r"(\d+) more connections refused"))
    assert logged + more == 61


def test_acl_does_not_know_unix_clients(probed, tmp_path):
    path = tmp_path / "s"
    probed(f'listen = {{ path = "{path}" }}', "deny 0.0.0.0/0\ndeny ::/0")
    assert ask(path)["type"] == "1"


# ---- who comes back to whom (4.4)

def hold_all(port, sources, held):
    for source in sources:
        c = lib.connect(port, source=(source, 0))
        held.append(c)
        yield ops.told(c)["pid"]


STICKY = ("instances min = 3 instances max = 3 users min = 1 "
          "users max = 2")


def test_sticky(probed, port):
    """A client comes back to its worker although another one is empty; where
    that one is full it gets, and keeps, another one."""
    s = probed(f"listen = {{ address = 127.0.0.1 port = {port} }}",
               "sticky cache period = 60", STICKY)
    held = []
    x, y = hold_all(port, ["127.0.0.2", "127.0.0.3"], held)
    assert x != y
    again, = hold_all(port, ["127.0.0.2"], held)		# c is empty
    assert again == x
    # a has two, that is all: c, and c from then on
    third, = hold_all(port, ["127.0.0.2"], held)
    assert third not in (x, y)
    held[0].close()
    lib.wait_until(lambda: sorted(ops.users(s)) == [1, 1, 1], "one to go")
    fourth, = hold_all(port, ["127.0.0.2"], held)
    assert fourth == third
    for c in held:
        c.close()


def test_sticky_entries(probed, port):
    """They go with their worker, the others' stay; over a reload of foreign
    workers none are left."""
    s = probed(f"listen = {{ address = 127.0.0.1 port = {port} "
               "sticky cache period = 60 sticky cache size = 2 }",
               spawn=STICKY)
    held = []
    x, y = hold_all(port, ["127.0.0.2", "127.0.0.3"], held)
    for c in held:
        c.close()
    ops.wait_users(s, [0, 0, 0])
    # without the cache everybody would come to the first
    assert ask(port, source=("127.0.0.3", 0))["pid"] == y
    os.kill(int(x), 9)
    s.wait_for(f"worker {x} killed")
    ops.wait_users(s, [0, 0, 0])
    assert ask(port, source=("127.0.0.3", 0))["pid"] == y
    assert ask(port, source=("127.0.0.2", 0))["pid"] != x
    # room for two: the one that was not used for longest makes room
    ops.wait_users(s, [0, 0, 0])
    ask(port, source=("127.0.0.4", 0))
    ops.wait_users(s, [0, 0, 0])
    first = ops.workers(s)[0].pid
    assert int(ask(port, source=("127.0.0.3", 0))["pid"]) == first
    s.reload()
    ops.wait_users(s, [0, 0, 0])
    pids = [str(w.pid) for w in ops.workers(s)]
    assert ask(port, source=("127.0.0.3", 0))["pid"] == pids[0]


def test_sticky_expires(probed, port):
    """After the period, which a hit begins anew."""
    s = probed(f"listen = {{ address = 127.0.0.1 port = {port} }}",
               "sticky cache period = 3", STICKY)
    held = []
    x, y = hold_all(port, ["127.0.0.2", "127.0.0.3"], held)
    hits = [time.monotonic()]
    for c in held:
        c.close()
    ops.wait_users(s, [0, 0, 0])
    assert x != y
    for _ in range(2):			# 4 s behind the first one
        time.sleep(2)
        pid = ask(port, source=("127.0.0.3", 0))["pid"]
        hits.append(time.monotonic())
        if hits[-1] - hits[-2] > 2.8:
            pytest.skip("this machine is too slow to tell")
        assert pid == y
        ops.wait_users(s, [0, 0, 0])
    time.sleep(3.2)
    assert ask(port, source=("127.0.0.3", 0))["pid"] == x


def test_sticky_over_a_reload(service, backend, port):
    """Workers that stay keep their clients."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, spawn=STICKY,
                         broker="sticky cache period = 60"))
    ops.wait_ready(s, 3)
    first, x = ops.hold(s, port, source=("127.0.0.2", 0))
    second, y = ops.hold(s, port, source=("127.0.0.3", 0))
    for c in (first, second):
        c.close()
    ops.wait_users(s, [0, 0, 0])
    s.reload()
    third, z = ops.hold(s, port, source=("127.0.0.3", 0))
    assert z == y != x
    third.close()
    ops.wait_users(s, [0, 0, 0])
    s.reload(s.file.read_text().replace("period = 60", "period = 50"))
    third, z = ops.hold(s, port, source=("127.0.0.3", 0))
    assert z == x
    third.close()


# ---- UNIX listeners

def test_unix(service, backend, tmp_path):
    path = tmp_path / "relay.sock"
    echo = backend(lib.Echo)
    s = service(ops.conf(None, echo.remote, relay="log connections = yes",
                         listen=f'listen = {{ path = "{path}" }}'))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    lib.echo_once(path, lib.pattern(300000))
    s.wait_for(rf"listener={re.escape(str(path))} .* end=done")
    s.wait_for(rf"listening on {re.escape(str(path))}$")
    s.reload()
    lib.echo_once(path)


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_unix_owner(probed, tmp_path):
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    probed(f"""
	listen = {{ path = "{a}" mode = 0600 userid = daemon groupid = adm }}
	listen = {{ path = "{b}" mode = 0660 userid = nobody }}
	listen = {{ address = unix:{c} groupid = adm }}""", listeners=3)
    import grp
    import pwd
    daemon, nobody = pwd.getpwnam("daemon"), pwd.getpwnam("nobody")
    adm = grp.getgrnam("adm").gr_gid
    got = [(p.stat().st_uid, p.stat().st_gid, stat.S_IMODE(p.stat().st_mode))
           for p in (a, b, c)]
    assert got[0] == (daemon.pw_uid, adm, 0o600)
    assert got[1] == (nobody.pw_uid, nobody.pw_gid, 0o660)
    assert got[2][:2] == (0, adm)
    about = ask(a)
    assert (about["peer"], about["protocol"]) in (("none", "0"),
                                                  ("unix", "0"))


def test_unix_stale_file(probed, tmp_path):
    """Nobody listens there any more: removed."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
        old.listen()
    with pytest.raises(ConnectionRefusedError):
        lib.connect(path)
    probed(f'listen = {{ path = "{path}" }}')
    ask(path)


@pytest.mark.parametrize("what", ["live", "file", "directory", "link"])
def test_unix_in_the_way(probed, tmp_path, what):
    """Somebody listens there, or it is no socket: left alone."""
    path = tmp_path / "s"
    old = socket.socket(socket.AF_UNIX)
    if what == "live":
        old.bind(str(path))
        old.listen()
    elif what == "file":
        path.write_text("precious\n")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = path.lstat().st_ino
    s = probed(f'listen = {{ path = "{path}" }}', start=False, clean=False)
    s.launch()
    assert s.wait() == 75
    s.wait_for(rf"cannot bind {re.escape(str(path))}: ")
    s.wait_for("no listener could be bound, giving up")
    assert path.lstat().st_ino == before
    if what == "file":
        assert path.read_text() == "precious\n"
    old.close()


def test_unix_overload_and_reload(probed, tmp_path):
    """The path stays through reloads, goes with its listener, comes back."""
    a, b = tmp_path / "a", tmp_path / "b"
    one = f'listen = {{ path = "{a}" }}'
    s = probed(one)
    inode = a.stat().st_ino
    text = s.file.read_text()
    with lib.connect(a) as c:
        ops.told(c)
        s.reload(text.replace(one, one + f' listen = {{ path = "{b}" }}'))
        assert a.stat().st_ino == inode
        ask(b)
        s.reload(text)
        with pytest.raises(OSError):
            lib.connect(b)
        ask(a)
        lib.roundtrip(c, b"still there")


# ---- endpoints that overlap (3.9)

six = pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6 here")


@six
def test_explicit_wildcard_owns_its_family(probed, port):
    """The founding document's sample: one block for IPv6, the other one gets
    what remains."""
    s = probed(f"""
	listen = {{ port = {port} realm = rest }}
	listen = {{ address = ::0 port = {port} realm = six }}""", listeners=2)
    assert ask(port)["realm"] == "rest"
    assert ask(port, host="::1")["realm"] == "six"
    s.wait_for(rf"listening on \[0\.0\.0\.0\]:{port}$")
    s.wait_for(rf"listening on \[::\]:{port}$")


@six
def test_wildcard_of_one_family_alone(probed, port):
    """Nobody claims it for IPv4: both."""
    s = probed(f"listen = {{ address = ::0 port = {port} }}")
    assert "127.0.0.1" in ask(port)["peer"]
    ask(port, host="::1")
    s.wait_for(rf"listening on \[::\]:{port} \(IPv4 and IPv6\)$")


@six
def test_specific_beside_wildcards(probed, port):
    probed(f"""
	listen = {{ port = {port} realm = any }}
	listen = {{ address = 127.0.0.7 port = {port} realm = seven }}
	listen = {{ address = ::1 port = {port} realm = one }}""", listeners=3)
    assert ask(port)["realm"] == "any"
    assert ask(port, host="127.0.0.7")["realm"] == "seven"
    assert ask(port, host="::1")["realm"] == "one"


def test_same_twice(probed, port):
    s = probed(f"""
	listen = {{ address = 127.0.0.1 port = {port} }}
	listen = {{ address = 127.0.0.1 port = {port} }}""")
    assert len(s.grep("listening on")) == 1
    assert s.grep(r"warning: ")
    ask(port)


def test_any_port(probed):
    s = probed("listen = { address = 127.0.0.1 port = 0 }")
    m = s.wait_for(r"listening on \[127\.0\.0\.1\]:(\d+)")
    assert int(m.group(1)) > 0
    ask(int(m.group(1)))
    s.reload()					# and it stays that one
    ask(int(m.group(1)))


# ---- ports that are taken

def test_retry(probed, port):
    """At that interval, silently behind the first failure."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        s = probed(f"listen = {{ address = 127.0.0.1 port = {port} }}",
                   "bind retry delay = 1", start=False)
        s.launch()
        s.wait_for(rf"cannot bind \[127\.0\.0\.1\]:{port}: Address already "
                   "in use, retrying every 1 s")
        time.sleep(2.2)
        assert len(s.grep("cannot bind")) == 1
    s.wait_for(rf"listening on \[127\.0\.0\.1\]:{port}$")
    ask(port)


def test_one_of_two_is_enough(probed, port):
    other = lib.free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", other))
        taken.listen()
        s = probed(f"""
	listen = {{ address = 127.0.0.1 port = {other} }}
	listen = {{ address = 127.0.0.1 port = {port} }}""")
        ask(port)
        assert s.grep(rf"cannot bind \[127\.0\.0\.1\]:{other}: "
                      "Address already in use$")


def test_retried_at_a_reload(probed, port):
    """A new listener that cannot be had fails the reload, unless it has a
    retry delay."""
    other = lib.free_port()
    one = f"listen = {{ address = 127.0.0.1 port = {port} }}"
    two = f"listen = {{ address = 127.0.0.1 port = {other} %s }}"
    s = probed(one)
    text = s.file.read_text()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", other))
        taken.listen()
        s.reload(text.replace(one, one + " " + two % ""),
                 expect=rf"reload: failed, cannot bind .*:{other}: Address")
        ask(port)
        s.reload(text.replace(one, one + " " + two % "bind retry delay = 1"))
        ask(port)
    s.wait_for(rf"listening on \[127\.0\.0\.1\]:{other}$")
    ask(other)


# ---- a system without IPv6

# socket(AF_INET6) fails as it does there, by a filter of system calls that
# workers inherit; numbers by machine
WITHOUT = """#!/usr/bin/env python3
import ctypes, os, struct, sys
nr = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
def op(code, jt, jf, k):
    return struct.pack("=HBBI", code, jt, jf, k)
code = [op(0x20, 0, 0, 0), op(0x15, 0, 3, nr),		# system call
        op(0x20, 0, 0, 16), op(0x15, 0, 1, 10),		# first argument
        op(0x06, 0, 0, 0x00050000 | 97),		# EAFNOSUPPORT
        op(0x06, 0, 0, 0x7fff0000)]			# anything else
program = ctypes.create_string_buffer(b"".join(code))
fprog = struct.pack("@HxxxxxxQ", len(code), ctypes.addressof(program))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
    os._exit(99)
os.execv(%r, [%r] + sys.argv[1:])
"""


def test_no_ipv6(service, backend, tmp_path):
    """A block without address listens on IPv4, and the founding document's
    sample works as far as it can."""
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("numbers of system calls are not known")
    program = tmp_path / "without"
    program.write_text(WITHOUT % (str(lib.TCPRELAY), str(lib.TCPRELAY)))
    program.chmod(0o755)
    a, b = lib.free_port(), lib.free_port()
    echo = backend(lib.Echo)
    s = service(ops.conf(None, echo.remote, listen=f"""
	listen = {{ port = {a} }}
	listen = {{ port = {b} }}
	listen = {{ address = ::0 port = {b} }}"""), program=program,
                start=False)
    s.launch()
    lib.wait_until(lambda: len(s.grep("listening on")) > 1 or s.ended,
                   "listeners")
    if s.ended and s.wait() == 99:
        pytest.skip("no filters of system calls here")
    s.wait_for(rf"listening on \[0\.0\.0\.0\]:{a}$")
    s.wait_for(rf"listening on \[0\.0\.0\.0\]:{b}$")
    s.wait_for(rf"cannot bind \[::\]:{b}: Address family not supported")
    for port in (a, b):
        lib.echo_once(port)
        with pytest.raises(ConnectionRefusedError):
            lib.connect(port, host="::1")
    s.reload()
    lib.echo_once(a)
