"""Started by a service manager, which these tests play: sockets passed by
sd_listen_fds(3), messages of sd_notify(3), the watchdog (1.6)."""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time

import pytest

import lib
import ops
import test_upgrade as upgrades
from test_upgrade import stub	# noqa: F401, a fixture

# as a service manager does it, between fork and exec: descriptors from 3 on,
# the process id of who is started
STARTER = """
import fcntl, os, sys
fds = [int(x) for x in sys.argv[1].split(",") if x]
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in fds]
for n, fd in enumerate(fds):
    os.dup2(fd, 3 + n)
os.closerange(3 + len(fds), 1024)
for name in "LISTEN_PID", "WATCHDOG_PID":
    if os.environ.get(name) == "self":
        os.environ[name] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """NOTIFY_SOCKET: keeps what it is told."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(path)
        self.path = path.replace("\0", "@")
        self.messages = []		# (process, text)
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, ancillary, _, _ = self.sock.recvmsg(4096, 256)
            if data == b"end":
                return
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            with self.changed:
                self.messages.append((pid, data.decode()))
                self.changed.notify_all()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.path.replace("@", "\0"))
        self.thread.join(lib.TIMEOUT)
        self.sock.close()

    def mark(self):
        with self.changed:
            return len(self.messages)

    def grep(self, regex, since=0):
        with self.changed:
            messages = self.messages[since:]
        return [m for _, text in messages if (m := re.search(regex, text))]

    def wait_for(self, regex, since=0, count=1):
        with self.changed:
            self.changed.wait_for(
                lambda: len(self.grep(regex, since)) >= count, lib.TIMEOUT)
            found = self.grep(regex, since)
            assert len(found) >= count, (regex, self.messages[-40:])
            return found[count - 1]


@pytest.fixture
def manager(tmp_path):
    m = Manager(f"\0spawnd-test-{os.getpid()}-{id(tmp_path)}")
    yield m
    m.close()


@pytest.fixture
def passed(service):
    """passed(text, {name: socket or sockets}, ...): started with them."""
    def start(text, sockets, env=None, pid="self", names=True, listeners=None,
              args=(), start=True, **kw):
        flat = [(n, s) for n, many in sockets.items()
                for s in (many if isinstance(many, list) else [many])]
        fds = [s.fileno() for _, s in flat]
        env = {"LISTEN_FDS": str(len(fds)), "LISTEN_PID": pid,
               **({"LISTEN_FDNAMES": ":".join(n for n, _ in flat)}
                  if names else {}), **(env or {})}
        s = service(text, env=env, pass_fds=fds, start=False, args=args,
                    wrap=[sys.executable, "-c", STARTER,
                          ",".join(map(str, fds))], **kw)
        return s.start(len(fds) if listeners is None else listeners) \
            if start else s.launch()

    return start


def listening(host="127.0.0.1", port=None, v6only=None, backlog=64):
    """As a .socket unit has it: (socket, port)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    port = port or lib.free_port()
    s.bind((host, port))
    s.listen(backlog)
    return s, port


def inode(sock):
    return f"socket:[{os.fstat(sock.fileno()).st_ino}]"


def relay(remote, *listen, **kw):
    return ops.conf(None, remote, **{
        "spawn": "instances min = 1 instances max = 2",
        "listen": "\n\t".join(f"listen {{ {x} }}" for x in listen) or
        "listen { }", **kw, "relay": "log connections = yes " +
        kw.get("relay", "")})


# ---- what the manager is told

@pytest.mark.parametrize("program", ["tcprelay", "spawnd"])
def test_told(service, backend, manager, port, program):
    """READY when connections are taken, RELOADING and READY around a reload,
    STOPPING; in between a line of status."""
    echo = backend(lib.Echo)
    text = relay(echo.remote, f"port = {port}")
    s = service(text, program=program, env={"NOTIFY_SOCKET": manager.path},
                start=False)
    s.launch()
    manager.wait_for("^READY=1$")
    lib.echo_once(port)				# no waiting here
    manager.wait_for(r"^STATUS=serving, \d+ process.*, \d+ of \d+ connec")
    since = manager.mark()
    before = time.monotonic()
    s.reload()
    m = manager.wait_for(r"^RELOADING=1\nMONOTONIC_USEC=(\d+)$", since)
    assert before <= int(m.group(1)) / 1e6 <= time.monotonic()
    manager.wait_for("^READY=1$", since)
    since = manager.mark()
    s.reload("id = spawnd { rubbish }\n" + text, expect="refused")
    manager.wait_for("^RELOADING=1", since)
    manager.wait_for("^READY=1$", since)
    s.write(text)
    since = manager.mark()
    s.send_signal(signal.SIGUSR1)		# new workers are a reload, too
    manager.wait_for("^RELOADING=1", since)
    manager.wait_for("^READY=1$", since)
    assert s.stop() == 0
    manager.wait_for("^STOPPING=1$")
    assert len(manager.grep("STOPPING")) == 1
    # one word at a time, and all of them the master's
    states = [x for _, x in manager.messages if not x.startswith("STATUS=")]
    assert [x.split("=")[0] for x in states] == \
        ["READY"] + ["RELOADING", "READY"] * 3 + ["STOPPING"]
    assert {pid for pid, _ in manager.messages} == {s.pid}


def test_reload_that_cannot_open_a_listener(service, backend, manager, port):
    """It has begun to prepare, and still the manager hears of its end."""
    echo = backend(lib.Echo)
    s = service(relay(echo.remote, f"port = {port}"),
                env={"NOTIFY_SOCKET": manager.path})
    with listening()[0] as taken:
        other = taken.getsockname()[1]
        since = manager.mark()
        s.reload(relay(echo.remote, f"port = {port}",
                       f"address = 127.0.0.1 port = {other}"),
                 expect="reload: failed")
    manager.wait_for("^RELOADING=1", since)
    manager.wait_for("^READY=1$", since)


def test_not_ready_without_listener(service, manager, port):
    """A service that does not listen never says that it is ready
    (9, row 33)."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        s = service(relay("address = 127.0.0.1 port = 9", f"port = {port}"),
                    env={"NOTIFY_SOCKET": manager.path}, start=False,
                    clean=False)
        s.launch()
        assert s.wait() == 75
    assert manager.messages == []


def test_ready_after_all_are_bound(service, backend, manager):
    """Not after the first of them."""
    echo = backend(lib.Echo)
    ports = [lib.free_port() for _ in range(40)]
    s = service(relay(echo.remote, *[f"address = 127.0.0.1 port = {p}"
                                     for p in ports]),
                env={"NOTIFY_SOCKET": manager.path}, start=False)
    s.launch()
    manager.wait_for("^READY=1$")
    for p in ports:
        lib.connect(p).close()


def test_status(service, backend, manager, port):
    """Users, capacity and overload in one line."""
    echo = backend(lib.Echo)
    text = relay(echo.remote, f"port = {port}",
                 spawn="instances min = 1 instances max = 1 users max = 3")
    s = service(text, env={"NOTIFY_SOCKET": manager.path})
    manager.wait_for("^STATUS=serving, 1 process, 0 of 3 connections$")
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            c = stack.enter_context(lib.connect(port))
            lib.roundtrip(c, b"here")
        manager.wait_for("^STATUS=serving, 1 process, 2 of 3 connections$")
        c = stack.enter_context(lib.connect(port))
        lib.roundtrip(c, b"here")
        manager.wait_for("^STATUS=full, queueing, 1 process, 3 of 3 ")
    since = manager.mark()
    manager.wait_for("^STATUS=serving, 1 process, 0 of 3 connections$", since)
    assert not s.grep("service manager")


def test_watchdog(service, backend, manager, port):
    """At half of the period, from the event loop: a master that hangs says
    nothing."""
    echo = backend(lib.Echo)
    s = service(relay(echo.remote, f"port = {port}"),
                env={"NOTIFY_SOCKET": manager.path,
                     "WATCHDOG_USEC": "400000"})
    manager.wait_for("^WATCHDOG=1$", count=3)
    s.reload()
    since = manager.mark()
    manager.wait_for("^WATCHDOG=1$", since, count=2)
    s.send_signal(signal.SIGSTOP)
    lib.wait_until(lambda: lib.proc_stat(s.pid)[0] == "T", "the stop")
    time.sleep(0.1)				# what is under way arrives
    since = manager.mark()
    time.sleep(1.0)
    assert not manager.grep("WATCHDOG", since)
    s.send_signal(signal.SIGCONT)
    manager.wait_for("^WATCHDOG=1$", since)


@pytest.mark.parametrize("env", [
    {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
    {"WATCHDOG_USEC": "rubbish"}, {"WATCHDOG_USEC": "0"}, {}])
def test_no_watchdog(service, backend, manager, port, env):
    echo = backend(lib.Echo)
    service(relay(echo.remote, f"port = {port}"),
            env={"NOTIFY_SOCKET": manager.path, **env})
    manager.wait_for("^READY=1$")
    lib.echo_once(port)
    time.sleep(0.5)
    assert not manager.grep("WATCHDOG")


def test_watchdog_of_this_process(passed, backend, manager):
    """WATCHDOG_PID names it."""
    echo = backend(lib.Echo)
    sock, _ = listening()
    with sock:
        passed(relay(echo.remote), {"a": sock},
               env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_PID": "self",
                    "WATCHDOG_USEC": "200000"})
        manager.wait_for("^WATCHDOG=1$", count=2)


def test_path_and_nobody_there(service, backend, port, tmp_path):
    """A socket with a path; and one where nobody listens harms nothing."""
    echo = backend(lib.Echo)
    path = lib.reports_base() / f"n{os.getpid()}{port}"
    m = Manager(str(path))
    try:
        s = service(relay(echo.remote, f"port = {port}"),
                    env={"NOTIFY_SOCKET": m.path})
        m.wait_for("^READY=1$")
    finally:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as c:
            c.sendto(b"end", str(path))
        m.thread.join(lib.TIMEOUT)
        m.sock.close()
        path.unlink()
    s.reload()
    s.reload()
    lib.echo_once(port)
    assert len(s.grep("service manager: ")) == 1
    other = service(relay(echo.remote, f"port = {lib.free_port()}"),
                    env={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert other.grep("NOTIFY_SOCKET: 'vsock:2:1234' is no UNIX socket")


def test_background(passed, backend, manager, tmp_path):
    """The manager learns which process it is; the parent ends with 0 only
    then. LISTEN_PID and WATCHDOG_PID named the parent."""
    echo = backend(lib.Echo)
    sock, port = listening()
    pidfile = tmp_path / "pid"
    with sock:
        s = passed(relay(echo.remote, "name = web",
                         broker=f'background = yes pidfile = "{pidfile}"'),
                   {"web": sock}, start=False, clean=False,
                   env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_PID": "self",
                        "WATCHDOG_USEC": "200000"})
        assert s.wait() == 0
        pid = int(pidfile.read_text())
        try:
            assert manager.wait_for(r"^READY=1\nMAINPID=(\d+)$").group(1) == \
                str(pid) != str(s.pid)
            lib.echo_once(port)
            manager.wait_for("^WATCHDOG=1$")
            assert inode(sock) in lib.descriptors(pid).values()
        finally:
            os.kill(pid, signal.SIGTERM)
            lib.wait_until(lambda: not lib.session_members(pid), "the end")
        manager.wait_for("^STOPPING=1$")
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("program", ["tcprelay", "spawnd"])
def test_nothing_reaches_workers(passed, backend, manager, tmp_path,
                                 program):
    """Neither the variables nor the descriptors; what else was there does."""
    echo = backend(lib.Echo)
    worker = tmp_path / "worker"
    worker.write_text(f'#!/bin/sh\nenv >"{tmp_path}/new"\n'
                      f'ls -l /proc/$$/fd >>"{tmp_path}/new"\n'
                      f'mv "{tmp_path}/new" "{tmp_path}/env"\n'
                      f'exec "{lib.TCPRELAY}" "$@"\n')
    worker.chmod(0o755)
    sock, port = listening()
    name = inode(sock)
    with sock:
        passed(relay(echo.remote, "name = web",
                     spawn=f'exec = "{worker}" id = tcprelay '
                     "instances min = 1"),
               {"web": sock}, program=program,
               env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_PID": "self",
                    "WATCHDOG_USEC": "20000000", "OTHERS": "kept"})
        lib.echo_once(port)
    env = (tmp_path / "env").read_text()
    assert "OTHERS=kept" in env and "SPAWND_WORKER=" in env
    assert not re.search("^(LISTEN_|NOTIFY_|WATCHDOG_)", env, re.M)
    assert "0 -> socket:" in env and name not in env


@pytest.mark.tls
def test_nothing_reaches_the_key_process(passed, backend, manager, certs):
    echo = backend(lib.Echo)
    sock, port = listening()
    with sock:
        s = passed(relay(echo.remote, "name = web tls = auto", relay=f"""
	key process = yes
	tls certfile = "{certs.ecdsa.cert}"
	tls keyfile = "{certs.ecdsa.key}" """), {"web": sock},
                   env={"NOTIFY_SOCKET": manager.path})
        lib.echo_once(port)
        lib.wait_until(lambda: any("key process" in lib.title(p)
                                   for p in lib.children(s.pid)), "it")
        for pid in lib.children(s.pid):
            assert inode(sock) not in lib.descriptors(pid).values()


def test_woken_for_the_watchdog_only(service, backend, manager, port):
    """At rest the clock wakes the master for keep-alives and nothing else."""
    echo = backend(lib.Echo)
    s = service(relay(echo.remote, f"port = {port}"),
                env={"NOTIFY_SOCKET": manager.path,
                     "WATCHDOG_USEC": "2000000"})
    with lib.connect(port) as c:
        lib.roundtrip(c, b"here")

        def woken():
            with open(f"/proc/{s.pid}/status") as f:
                return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)",
                                     f.read(), re.M).group(1))

        def quiet():
            """From one keep-alive to the third behind it: three wake-ups,
            and one more of the tick at its long period."""
            manager.wait_for("^WATCHDOG=1$", manager.mark())
            since, before = manager.mark(), woken()
            manager.wait_for("^WATCHDOG=1$", since, count=3)
            return woken() - before <= 4 and not manager.grep("STATUS", since)

        lib.wait_until(quiet, "rest", timeout=lib.TIMEOUT * 3)


# ---- sockets

def test_by_name(passed, backend):
    """A block with a name and nothing else is filled by the socket of that
    name."""
    one = backend(lib.Echo)
    a, pa = listening()
    b, pb = listening()
    with a, b:
        s = passed(relay(one.remote, "name = web", "name = admin"),
                   {"admin": a, "web": b})
        lib.echo_once(pa)
        lib.echo_once(pb)
        assert s.grep(rf"listening on \[127.0.0.1\]:{pa} inherited "
                      r"\(admin\)$")
        assert s.grep(rf"listening on \[127.0.0.1\]:{pb} inherited \(web\)$")


def test_by_address(passed, backend):
    """Without names: by address and port, beside a listener of our own."""
    echo = backend(lib.Echo)
    a, pa = listening()
    own = lib.free_port()
    with a:
        s = passed(relay(echo.remote, f"address = 127.0.0.1 port = {pa}",
                         f"address = 127.0.0.1 port = {own}"), {"x": a},
                   names=False, listeners=2)
        lib.echo_once(pa)
        lib.echo_once(own)
        assert s.grep(rf"listening on \[127.0.0.1\]:{pa} inherited "
                      r"\(unknown\)$")
        assert s.grep(rf"listening on \[127.0.0.1\]:{own}$")


def test_name_wins_over_address(passed, service, backend):
    """The block of the name takes the socket although another one has its
    address, and does not bind what it says itself; nor does a later block
    that has the address get it."""
    echo = backend(lib.Echo)
    a, pa = listening()
    other = lib.free_port()
    with a:
        s = passed(relay(echo.remote,
                         f"name = web address = 127.0.0.1 port = {other} "
                         "realm = mine"), {"web": a})
        lib.echo_once(pa)
        s.wait_for("realm=mine .*end=done")
        with pytest.raises(ConnectionRefusedError):
            lib.connect(other)
        # two want it: the name decides, the other cannot bind it
        t = passed(relay(echo.remote,
                         f"address = 127.0.0.1 port = {pa}", "name = web"),
                   {"web": a}, listeners=1)
        t.wait_for(rf"cannot bind \[127.0.0.1\]:{pa}: Address already in use")


def test_plain_listener(passed, backend):
    """A socket that no block describes serves all the same, and the log says
    so; names that come twice are told apart."""
    echo = backend(lib.Echo)
    a, pa = listening()
    b, pb = listening()
    with a, b:
        s = passed(relay(echo.remote), {"x": [a, b]})
        for p in pa, pb:
            lib.echo_once(p)
            assert s.grep(rf"listening on \[127.0.0.1\]:{p} inherited "
                          r"\(x\), no listen block describes it")


def test_several_of_one_name(passed, backend):
    """All sockets of one unit have one name: the block is for all of them."""
    echo = backend(lib.Echo)
    some = [listening() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for s, _ in some:
            stack.enter_context(s)
        s = passed(relay(echo.remote, "name = web realm = r1"),
                   {"web": [x for x, _ in some]})
        for n, (_, p) in enumerate(some):
            lib.echo_once(p)
            s.wait_for("realm=r1 .*end=done", count=n + 1)
        s.reload()
        for _, p in some:
            lib.echo_once(p)


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("how", ["both", "6", "4", "two"])
def test_wildcards(passed, backend, how):
    """A block without address is filled by whatever wildcard was passed."""
    echo = backend(lib.Echo)
    port = lib.free_port()
    with contextlib.ExitStack() as stack:
        socks = []
        if how in ("4", "two"):
            socks.append(stack.enter_context(
                listening("0.0.0.0", port)[0]))
        if how != "4":
            socks.append(stack.enter_context(
                listening("::", port, v6only=how != "both")[0]))
        s = passed(relay(echo.remote, f"port = {port} realm = r1"),
                   {"x": socks})
        assert not s.grep("no listen block")
        if how != "4":
            lib.echo_once(port, host="::1")
        if how != "6":
            lib.echo_once(port)
        s.wait_for("realm=r1 ")
        assert bool(s.grep(r"IPv4 and IPv6")) == (how == "both")
        assert not s.grep("cannot bind")


def test_unix(passed, backend, tmp_path):
    """Its file is the manager's: not removed, its owner and mode kept, also
    when the service ends; who connects then is served by the next one."""
    echo = backend(lib.Echo)
    path = tmp_path / "passed.sock"
    with socket.socket(socket.AF_UNIX) as u:
        u.bind(str(path))
        u.listen(16)
        path.chmod(0o600)
        text = relay(echo.remote, f'path = "{path}" mode = 0666')
        for by in ({"x": u}, {"y": u}):
            s = passed(text, by)
            assert not s.grep("no listen block")
            lib.echo_once(path)
            assert path.stat().st_mode & 0o777 == 0o600
            s.reload()
            s.reload(relay(echo.remote))
            s.wait_for("no listen block describes it any more")
            lib.echo_once(path)
            assert s.stop() == 0
            assert path.is_socket()
        with lib.connect(path) as early:
            early.sendall(b"anybody?")
            s = passed(text.replace(f'path = "{path}"', "name = z"),
                       {"z": u})
            assert lib.read_exact(early, 8) == b"anybody?"


def options_of(sock):
    return [sock.getsockopt(*o) for o in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_IP, socket.IP_TOS))] + [backlog_of(sock)]


def backlog_of(sock):
    """Of a listening socket TCP_INFO has it where else segments in flight
    are counted (tcp_get_info(), net/ipv4/tcp.c): tcpi_sacked."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[28:32], sys.byteorder)


@pytest.mark.parametrize("by", ["name", "address"])
def test_settings_apply(passed, backend, by):
    """backlog, keepalive and dscp of the block are set on the socket, at
    start and by reloads; a plain one is left as it came."""
    echo = backend(lib.Echo)
    a, pa = listening(backlog=77)
    b, pb = listening(backlog=78)

    def block(backlog, keep, dscp):
        where = "name = web" if by == "name" else \
            f"address = 127.0.0.1 port = {pa}"
        return relay(echo.remote, f"{where} backlog = {backlog} "
                     f"tcp keepalive idle = {keep} "
                     f"tcp keepalive interval = {keep + 1} "
                     f"tcp keepalive count = 5 dscp = {dscp}")

    with a, b:
        plain = options_of(b)
        s = passed(block(33, 60, 10), {"web": a, "rest": b})
        assert options_of(a) == [1, 60, 61, 5, 40, 33]
        assert options_of(b)[1:] == plain[1:]
        s.reload(block(200, 70, 12))
        assert options_of(a) == [1, 70, 71, 5, 48, 200]
        assert options_of(b)[1:] == plain[1:]
        lib.echo_once(pa)


@pytest.mark.tls
def test_tls(passed, backend, certs):
    """What a block says of TLS and PROXY headers holds for its sockets."""
    echo = backend(lib.Echo)
    (a, pa), (b, pb) = listening(), listening()
    pair = certs.ecdsa
    with a, b:
        passed(relay(echo.remote, "name = web tls = yes", relay=f"""
	tls certfile = "{pair.cert}"
	tls keyfile = "{pair.key}" """), {"web": [a, b]})
        for p in pa, pb:
            lib.echo_once(p, context=lib.client_context(certs.ca),
                          name="localhost")


@pytest.mark.parametrize("program,args,broker", [
    ("tcprelay", [], ""), ("tcprelay", ["-1"], ""), ("spawnd", [], ""),
    ("tcprelay", [], "accept = workers")])
def test_reload(passed, backend, program, args, broker):
    """The socket stays the same one, whether its block changes, goes, or
    comes: nobody is refused, sessions go on."""
    echo = backend(lib.Echo)
    a, pa = listening()
    own = lib.free_port()
    texts = [
        relay(echo.remote, "name = web realm = r1", broker=broker),
        relay(echo.remote, f"address = 127.0.0.1 port = {pa} realm = r2",
              broker=broker),
        relay(echo.remote, f"port = {own} realm = r3", broker=broker),
        relay(echo.remote, broker=broker),
        relay(echo.remote, f"address = 127.0.0.1 port = {own}",
              "name = web realm = r4 backlog = 5", broker=broker),
    ]
    with a:
        s = passed(texts[0], {"web": a}, program=program, args=args)
        with ops.Stream(pa) as one:
            refused = 0
            for text in texts[1:] + texts:
                m = s.reload(text)
                one.goes_on()
                lib.echo_once(pa)
                refused += "failed" in m.group(0)
            assert not refused
            if args != ["-1"]:
                s.send_signal(signal.SIGUSR1)
                s.wait_for("reload: done", count=len(texts) * 2)
                lib.echo_once(pa)
            one.goes_on()
        assert len(s.grep("no listen block describes it any more")) == 2
        assert list(lib.descriptors(s.pid).values()).count(inode(a)) == 1
        for r in "r1", "r2", "r4":
            s.wait_for(f"realm={r} .*end=done")
        assert not s.grep("realm=r3 ")


def test_reload_takes_and_lacks(passed, backend):
    """A new block takes its socket out of those that were plain; one without
    a socket is a bind failure, and nothing changes."""
    echo = backend(lib.Echo)
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote), {"web": a})
        assert s.grep("no listen block describes it")
        s.reload(relay(echo.remote, "name = web realm = here"))
        lib.echo_once(pa)
        s.wait_for("realm=here ")
        s.reload(relay(echo.remote, "name = web", "name = admin"),
                 expect="reload: failed, cannot bind 'admin': no socket of "
                 "that name was passed")
        lib.echo_once(pa)
        s.wait_for("realm=here ", count=2)


def test_none_passed(service, manager):
    """Nothing else to listen on: as if the bind had failed."""
    s = service(relay("address = 127.0.0.1 port = 9", "name = web"),
                start=False, clean=False)
    s.launch()
    assert s.wait() == 75
    s.wait_for("cannot bind 'web': no socket of that name was passed")
    s.wait_for("no listener could be bound, giving up")


def test_somebody_elses(passed, backend, port):
    """LISTEN_PID is not ours: the descriptors are left alone."""
    echo = backend(lib.Echo)
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote, f"port = {port}", "name = web"),
                   {"web": a}, pid="1", listeners=1)
        lib.echo_once(port)
        assert s.grep("cannot bind 'web'")
        assert not s.grep("inherited")


def test_first_client_waits(passed, backend):
    """Who connected before the service was started, as with socket
    activation, is served."""
    echo = backend(lib.Echo)
    a, pa = listening()
    with a, lib.connect(pa) as early:
        early.sendall(b"anybody?")
        s = passed(relay(echo.remote, "name = web"), {"web": a})
        assert lib.read_exact(early, 8) == b"anybody?"
        with lib.connect(pa) as c:
            lib.roundtrip(c, b"then")
            s.send_signal(signal.SIGTERM)
            assert s.wait() == 0
            lib.roundtrip(c, b"still")
            # the socket listens on: the next one serves
            with lib.connect(pa) as late:
                late.sendall(b"next")
                passed(relay(echo.remote, "name = web"), {"web": a})
                assert lib.read_exact(late, 4) == b"next"


def bound():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    return s


WRONG = [
    (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
     "is a datagram socket, which cannot be relayed"),
    (lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0],
     "is a sequential packet socket, which cannot be relayed"),
    (bound, "does not listen"),
    (lambda: socket.socketpair()[0],
     r"is a connection, not a listening socket \(Accept=yes\?\)"),
    (lambda: open("/dev/null"), "is no socket"),
    (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
     "is of no address family that is served here"),
]


@pytest.mark.parametrize("make,message", WRONG,
                         ids=[m[:30].strip() for _, m in WRONG])
def test_wrong_kinds(passed, manager, make, message):
    """One that cannot be used ends the start, and the message says which."""
    good, _ = listening()
    with good, make() as bad:
        s = passed(relay("address = 127.0.0.1 port = 9", "name = web"),
                   {"good": good, "bad": bad}, start=False, clean=False,
                   env={"NOTIFY_SOCKET": manager.path})
        assert s.wait() == 64
        s.wait_for(r"LISTEN_FDS: descriptor 4 \(bad\) " + message)
    assert not manager.grep("READY")


@pytest.mark.parametrize("count,message", [
    ("3", r"LISTEN_FDS: descriptor 4 \(unknown\) is not open"),
    ("x", "LISTEN_FDS: 'x' is no number of descriptors"),
    ("-1", "LISTEN_FDS: '-1' is no number of descriptors"),
    ("2147483647", "LISTEN_FDS: '2147483647' is no number"),
])
def test_wrong_numbers(passed, count, message):
    a, _ = listening()
    with a:
        s = passed(relay("address = 127.0.0.1 port = 9"), {"web": a},
                   start=False, clean=False, env={"LISTEN_FDS": count})
        assert s.wait() == 64
        s.wait_for(message)


def test_type_of_the_block(passed, backend):
    """The broker serves more kinds, but a block has one."""
    a, _ = listening()
    with a:
        s = passed(relay("address = 127.0.0.1 port = 9",
                         "name = web type = SEQPACKET"), {"web": a},
                   program="spawnd", start=False, clean=False)
        assert s.wait() == 78
        s.wait_for(r":\d+: name: the socket 'web' that was passed is a "
                   "stream socket, not 'type = SEQPACKET'")


@pytest.mark.parametrize("how", ["name", "address"])
def test_datagrams(passed, how):
    """A UDP socket for the broker: by name or address, over reloads."""
    port = lib.free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        u.bind(("127.0.0.1", port))
        where = "name = dns type = DGRAM" if how == "name" else \
            f"address = 127.0.0.1 port = {port} protocol = UDP"
        text = f"""
id = spawnd {{
	listen {{ {where} }}
	spawn {{ exec = "{lib.UDP_ECHO}" id = echo instances min = 1 }}
}}
id = echo {{ idle = 10 }}
"""
        s = passed(text, {"dns": u}, program="spawnd")
        c.settimeout(lib.TIMEOUT)
        for data in b"one", b"two":
            c.sendto(data, ("127.0.0.1", port))
            assert c.recvfrom(100) == (data, ("127.0.0.1", port))
            s.reload()
        assert inode(u) in lib.descriptors(s.pid).values()
        s.reload(text.replace(f"listen {{ {where} }}",
                              f"listen {{ port = {lib.free_port()} }}"))
        s.wait_for("no listen block describes it any more")
        c.sendto(b"plain", ("127.0.0.1", port))
        assert c.recvfrom(100)[0] == b"plain"


def unix_datagrams():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(f"\0spawnd-test-{os.getpid()}-{id(s)}")
    return s


@pytest.mark.parametrize("make,message", [
    (unix_datagrams, "is a UNIX datagram socket, where nobody could be"),
    (lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 253),
     "is a socket of an unknown type, which no worker can use")])
def test_wrong_kinds_for_the_broker(passed, make, message):
    try:
        bad = make()
    except PermissionError:
        pytest.skip("only root opens raw sockets")
    with bad:
        s = passed(relay("address = 127.0.0.1 port = 9"), {"bad": bad},
                   program="spawnd", start=False, clean=False)
        assert s.wait() == 64
        s.wait_for(r"LISTEN_FDS: descriptor 3 \(bad\) " + message)


def test_overload(passed, backend):
    """The backlogs of a block are switched on a passed socket, too."""
    echo = backend(lib.Echo)
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote,
                         "name = web backlog = 50 overload backlog = 4",
                         spawn="instances min = 1 instances max = 1 "
                         "users max = 1"), {"web": a})
        assert backlog_of(a) == 50
        with lib.connect(pa) as c:
            lib.roundtrip(c, b"one")
            s.wait_for("connections reached")
            lib.wait_until(lambda: backlog_of(a) == 4, "the small backlog")
        lib.wait_until(lambda: backlog_of(a) == 50, "the large backlog")


def test_fast_reloads(passed, backend, manager):
    """Signals that come during a reload are one more: each RELOADING has its
    READY, and the last word is READY."""
    echo = backend(lib.Echo)
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote, "name = web"), {"web": a},
                   env={"NOTIFY_SOCKET": manager.path})
        manager.wait_for("^READY")
        for _ in range(20):
            s.send_signal(signal.SIGHUP)
            lib.echo_once(pa)
        s.wait_for("reload: done")

        def settled():
            words = [x.split("=")[0] for _, x in list(manager.messages)
                     if re.match("RE", x)]
            n = len(words) // 2
            return n > 0 and words == \
                ["READY"] + ["RELOADING", "READY"] * n and \
                len(s.grep("reload: started")) == n

        lib.wait_until(settled, "an end of reloads")


# ---- upgrade

def heard(manager, pid):
    """What a manager hears that listens to the main process only
    (NotifyAccess=main): (main process, [word, ...])."""
    words = []
    with manager.changed:
        messages = list(manager.messages)
    for sender, text in messages:
        if sender != pid:
            continue
        for line in text.splitlines():
            key, _, value = line.partition("=")
            words.append(key)
            if key == "MAINPID":
                pid = int(value)
    return pid, words


def after_reload(words):
    """Each RELOADING has come to its READY."""
    states = [w for w in words if w in ("READY", "RELOADING")]
    return "RELOADING" in states and states[-1] == "READY"


def test_upgrade(passed, backend, manager, tmp_path):
    """The program is another one, the sockets are those that were passed;
    the manager knows at any time which process the service is."""
    echo = backend(lib.Echo)
    program = tmp_path / "tcprelay"
    upgrades.replace(program)
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote, "name = web realm = r1"), {"web": a},
                   program=program,
                   env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_PID": "self",
                        "WATCHDOG_USEC": "400000"})
        with ops.Stream(pa) as one:
            for n in range(2):
                upgrades.replace(program)
                upgrades.upgrade(s)
                lib.echo_once(pa)
                one.goes_on()

                def settled():
                    main, words = heard(manager, s.pid)
                    return main == s.pid and after_reload(words) and \
                        words.count("RELOADING") == n + 1

                lib.wait_until(settled, "the word of the new program")
                since = manager.mark()
                manager.wait_for("^WATCHDOG=1$", since, count=2)
        s.reload(relay(echo.remote))		# it still is what was passed
        s.wait_for("no listen block describes it any more")
        lib.echo_once(pa)
        s.reload(relay(echo.remote, "name = web realm = r2"))
        lib.echo_once(pa)
        s.wait_for("realm=r2 ")
        for pid in s.workers():
            assert inode(a) not in lib.descriptors(pid).values()
    assert s.stop() == 0
    assert heard(manager, s.pid)[1][-1] == "STOPPING"


def test_upgrade_that_fails(passed, backend, manager, tmp_path, stub):
    """The former program goes on as another process, and the manager has
    been told before it could see the other one end; while nothing is decided
    yet there are keep-alives."""
    echo = backend(lib.Echo)
    program = tmp_path / "tcprelay"
    upgrades.replace(program)
    go = tmp_path / "go"
    bad = stub(f'while (access("{go}", F_OK)) usleep(1000)')
    pidfile = tmp_path / "pid"
    a, pa = listening()
    with a:
        s = passed(relay(echo.remote, "name = web",
                         broker=f"pidfile = {pidfile}"), {"web": a},
                   program=program, clean=False,
                   env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_PID": "self",
                        "WATCHDOG_USEC": "200000"})
        with ops.Stream(pa) as one:
            upgrades.replace(program, bad)
            s.send_signal(signal.SIGHUP)
            lib.wait_until(lambda: heard(manager, s.pid)[0] != s.pid,
                           "the stand-in")
            standin = heard(manager, s.pid)[0]
            before = heard(manager, s.pid)[1].count("WATCHDOG")
            lib.wait_until(lambda: heard(manager, s.pid)[1].count(
                "WATCHDOG") >= before + 3, "keep-alives")
            go.touch()
            old = upgrades.Old(s, pidfile)
            assert old.pid == standin == heard(manager, s.pid)[0]
            one.goes_on()
            lib.echo_once(pa)
            lib.wait_until(lambda: after_reload(heard(manager, s.pid)[1]),
                           "the end of the reload")
            s.wait()
            since = manager.mark()
            manager.wait_for("^WATCHDOG=1$", since, count=2)
        old.stop()
    assert heard(manager, s.pid)[1][-1] == "STOPPING"
