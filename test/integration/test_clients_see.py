"""What clients see while something happens to the service: the rows of
specification 5.11, with sessions that carry data before, during and after."""

import os
import re
import signal
import socket
import time

import pytest

import lib
import ops

ACCEPT = ["master", "workers"]
TWO = "instances min = 2 instances max = 2"


@pytest.fixture(params=ACCEPT)
def relay(request, service, backend, port):
    """relay(**of ops.conf): a service, with either way of accepting."""
    def make(remote=None, broker="", args=(), clean=True, n=2, **kw):
        make.echo = backend(lib.Echo)
        make.text = ops.conf(port, remote or make.echo.remote,
                             broker=f"accept = {request.param}\n{broker}",
                             **kw)
        s = service(make.text, args=args, clean=clean)
        ops.wait_ready(s, n)
        return s

    return make


@pytest.mark.parametrize("change", ["in place", "replaced"])
def test_sighup_good(relay, backend, port, change):
    """Sessions go on with the settings they began with, new ones use the new
    ones, and nobody is refused or reset in between."""
    other = backend(lib.Echo)
    s = relay(spawn=TWO)
    before = s.wait_workers(2)
    text = relay.text.replace(relay.echo.remote, other.remote)
    if change == "replaced":
        text = "setenv SOMETHING = else\n" + text
    with ops.Stream(port) as one, ops.Visitors(port) as visitors:
        visitors.more()
        m = s.reload(text)
        visitors.more()
        one.goes_on()
        assert re.search("1 kept, 0 added, 0 removed, " + (
            "2 workers kept, 0 replaced" if change == "in place" else
            "0 workers kept, 2 replaced"), m.group(0)), s.log()
        assert relay.echo.active == 1
        n = other.connections
        visitors.more()
        assert other.connections > n
    if change == "in place":
        assert s.workers() == before
    else:
        lib.wait_until(lambda: len(s.workers()) == 2 and
                       not set(before) & set(s.workers()),
                       "new workers only")


BROKEN = [		# section 10: what, instead of what, message
    ("foo = bar", "{broker}", "but got 'foo'"),
    ("background = maybe", "{broker}", "but got 'maybe'"),
    ("permit 300.1.1.1", "{broker}", "is not an address or network"),
    ("listen = { port = 70000 }", "{broker}", "is out of range"),
    ('pidfile = "/run/x', "{broker}", "string not closed"),
    ("include = /no/such/file", "{broker}", "cannot read"),
    ("remote = { port = 80 }", "{relay}", "remote: address missing"),
    ("retire after = 5", "{relay}", "'after' is not a number"),
    ("}", "{top}", "but got '}'"),
]


def test_sighup_bad(relay, port):
    """A broken file is reported, and nothing else happens."""
    marks = {"broker": "# {broker}\n", "relay": "# {relay}\n",
             "top": "# {top}\n"}
    s = relay(spawn=TWO, broker=marks["broker"], relay=marks["relay"],
              top=marks["top"])
    before = s.wait_workers(2)
    with ops.Stream(port) as one, ops.Visitors(port, 2) as visitors:
        for what, where, message in BROKEN:
            since = s.mark()
            m = s.reload(relay.text.replace(f"# {where}\n", what + "\n"),
                         expect="reload: refused")
            assert message in m.group(0) and ":" in m.group(0), s.log()
            assert len(s.grep("reload: refused", since)) == 1
            one.goes_on(1)
            visitors.more(2)
        # key material that is not there
        s.reload(relay.text
                 .replace("# {broker}\n",
                          f"listen = {{ port = {lib.free_port()} tls }}\n")
                 .replace("# {relay}\n", "tls cert-file = /no/such\n"),
                 expect="reload: refused, .*(/no/such|without TLS)")
        # the file gone altogether
        s.file.unlink()
        s.reload(expect="reload: refused.*cannot read")
        # and a port that somebody else has
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            n = taken.getsockname()[1]
            s.reload(relay.text.replace(
                "# {broker}\n",
                f"listen = {{ address = 127.0.0.1 port = {n} }}\n"),
                expect=rf"reload: failed, cannot bind .*:{n}")
        one.goes_on()
        visitors.more()
        assert s.workers() == before
        s.reload(relay.text)			# none of that lasted
        visitors.more()
    assert s.workers() == before


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_to_master(relay, port, tmp_path, signo):
    pidfile = tmp_path / "pid"
    s = relay(spawn=TWO, args=["-p", pidfile])
    with ops.Stream(port) as one:
        assert pidfile.exists()
        s.send_signal(signo)
        assert s.wait() == 0
        assert not pidfile.exists()
        assert ops.refused(port)
        one.goes_on()
        # only the one that has it is left, and says so
        left = lib.wait_until(
            lambda: (lambda w: len(w) == 1 and w)(lib.session_members(s.pid)),
            "idle workers to end")
        lib.wait_until(lambda: lib.title(left[0]) ==
                       "tcprelay: 1 connection, ending when idle",
                       "the title of who is left")
        assert s.grep(f"signal SIG{signo.name[3:]}: ending")
        one.goes_on()
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end")


def test_queued_when_ending(relay, port):
    """Who was queued when SIGTERM came is served."""
    s = relay(spawn="instances min = 1 instances max = 1", n=1)
    worker, = s.workers()
    s.send_signal(signal.SIGSTOP)
    os.kill(worker, signal.SIGSTOP)
    socks = [lib.connect(port) for _ in range(20)]
    s.send_signal(signal.SIGTERM)
    s.send_signal(signal.SIGCONT)
    os.kill(worker, signal.SIGCONT)
    for c in socks:
        lib.roundtrip(c, b"still here")
    assert s.wait() == 0
    for c in socks:
        lib.roundtrip(c, b"and now")
        c.close()


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP,
                                   signal.SIGINT])
def test_worker_told_to_end(relay, port, signo):
    """Its sessions go on, others serve new ones, a replacement starts."""
    s = relay(spawn=TWO)
    sock, victim = ops.hold(s, port)
    with sock, ops.Visitors(port) as visitors:
        os.kill(victim, signo)
        s.wait_for(rf"^{victim}: no new connections, \d+ left")
        visitors.more()
        lib.wait_until(lambda: len(s.workers()) == 3, "a replacement")
        lib.roundtrip(sock, b"on and on")
        lib.wait_until(lambda: lib.title(victim) ==
                       "tcprelay: 1 connection, ending when idle",
                       "nothing new there")
    s.wait_for(rf"worker {victim} ended, status 0, served \d+, lost 0")
    lib.wait_until(lambda: len(s.workers()) == 2, "two workers again")


def test_worker_killed(relay, port):
    """Its clients see an end, nobody else sees anything."""
    s = relay(spawn=TWO + " users min = 2 users max = 6")
    held = [ops.hold(s, port) for _ in range(4)]
    while len({p for _, p in held}) < 2:		# the kernel's choice
        held.append(ops.hold(s, port))
    victim = held[0][1]
    os.kill(victim, signal.SIGKILL)
    n = sum(p == victim for _, p in held)
    s.wait_for(rf"worker {victim} killed by signal 9 \(SIGKILL\), lost {n}")
    for sock, pid in held:
        if pid == victim:
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
        else:
            lib.roundtrip(sock, b"nothing happened")
    for _ in range(10):
        lib.echo_once(port)
    lib.wait_until(lambda: len(s.workers()) == 2, "a replacement")
    for sock, _ in held:
        sock.close()


def test_master_killed(relay, port):
    s = relay(spawn=TWO, clean=False)
    with ops.Stream(port) as one:
        s.send_signal(signal.SIGKILL)
        s.wait()
        # the channel's end is seen at once
        s.wait_for(r"the master is gone", count=2)
        lib.wait_until(lambda: ops.refused(port), "connects to be refused")
        lib.wait_until(lambda: len(lib.session_members(s.pid)) == 1,
                       "the idle worker to end", 5)
        one.goes_on()
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end", 5)


def test_retirement(relay, port):
    """Every third session is a worker's last; nobody is lost over it."""
    s = relay(spawn=TWO, relay="retire = 3")
    held = [lib.connect(port) for _ in range(3)]
    for c in held:
        lib.roundtrip(c, b"one of the last")
    with ops.Visitors(port) as visitors:
        visitors.more(60)
        for c in held:
            lib.roundtrip(c, b"not retired")
            c.close()
    s.wait_for(r"limit of 3 sessions reached, retiring", count=5)
    # what was on its way when one retired is served by it, too
    s.wait_for(r"ended, status 0, served [3-9], lost 0", count=5)
    assert not s.grep(r"ending too quickly")


def test_acl_denies(relay, port):
    s = relay(broker="deny 127.0.0.2\npermit 127.0.0.0/8")
    with ops.Stream(port) as one:
        for _ in range(3):
            with lib.connect(port, source=("127.0.0.2", 0)) as c:
                assert c.recv(1) == b""
        one.goes_on()
    lib.echo_once(port)
    line = 1 + s.file.read_text().splitlines().index("deny 127.0.0.2")
    s.wait_for(rf"connection from \[127\.0\.0\.2\] refused by line {line}$",
               count=3)


def test_all_destinations_dead(relay, port):
    dead = lib.Refusing()
    s = relay(remote=dead.remote)
    for _ in range(3):
        with lib.connect(port) as c:
            assert c.recv(1) == b""
    s.wait_for(r"destination \[127\.0\.0\.1\]:\d+ failed: ")
    s.wait_for(r"all destinations failed, trying all again")
    with lib.Echo(port=dead.port):			# until one is back
        lib.echo_once(port)
    s.wait_for(r"destination \[127\.0\.0\.1\]:\d+ is back")


@pytest.mark.slow
@pytest.mark.parametrize("accept", ACCEPT)
def test_worker_stopped(service, backend, port, accept):
    """Its sessions stall and go on; what it was handed and has not taken goes
    to the other worker after 30 s, and nothing is given to it then."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, spawn=TWO + " users min = 3",
                         broker=f"accept = {accept}"))
    ops.wait_ready(s, 2)
    sock, victim = ops.hold(s, port)
    os.kill(victim, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        waiting = [lib.connect(port, timeout=60) for _ in range(6)]
        for c in waiting:
            c.sendall(b"anybody?")
        sock.sendall(b"stalls")
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        for c in waiting:
            assert lib.read_exact(c, 8) == b"anybody?"
        if accept == "master":
            assert time.monotonic() - stopped > 20	# two of them waited
            s.wait_for(rf"worker {victim} shows no sign of life, no new "
                       "connections")
        else:
            # one that hangs strands only what it had accepted
            assert time.monotonic() - stopped < 20
        for _ in range(20):
            lib.echo_once(port)
        assert victim in s.workers()
    finally:
        os.kill(victim, signal.SIGCONT)
    sock.settimeout(lib.TIMEOUT)
    assert lib.read_exact(sock, 6) == b"stalls"
    if accept == "master":
        s.wait_for(rf"worker {victim} is back")
    for c in waiting:
        lib.roundtrip(c, b"still")			# nobody was served twice
        c.close()
    sock.close()
    assert echo.connections == 1 + 6 + 20
