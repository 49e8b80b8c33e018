"""Workers that accept for themselves (4.7): how many there are, that limits
hold, and what happens to sockets that are lent."""

import os
import signal
import threading

import pytest

import lib
import ops

SMALL = "instances min = 1 instances max = 3 users min = 2 users max = 4"


@pytest.fixture
def relay(service, backend, port):
    def make(spawn=SMALL, listen=None, broker="accept = workers", n=1, **kw):
        make.echo = backend(lib.Echo)
        s = service(ops.conf(port, make.echo.remote, spawn=spawn,
                             broker=broker, listen=listen), **kw)
        ops.wait_ready(s, n)
        return s

    return make


def lent(s, pid, port):
    """Whether that worker has the listening socket."""
    inodes = ops.socket_inodes("listening", port)
    return bool({f"socket:[{i}]" for i in inodes} &
                set(lib.descriptors(pid).values()))


def test_growth(relay, port):
    """wanted = min(Wmax, max(Wmin, T / m rounded up)): example A has its
    second worker at three connections and its third at five."""
    s = relay()
    held = []
    for total, wanted in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3),
                          (12, 3)):
        while len(held) < total:
            c = lib.connect(port)
            held.append(c)
            lib.roundtrip(c, b"x")
        ops.wait_ready(s, wanted)
        assert sum(ops.users(s)) == total
    assert ops.users(s) == [4, 4, 4]
    for c in held:
        c.close()


def test_master_accepts_nothing(relay, port):
    """The connection id says who accepted; all share the socket."""
    s = relay(spawn="instances min = 2 instances max = 2", n=2)
    lib.wait_until(lambda: all(lent(s, w, port) for w in s.workers()),
                   "the socket to be lent")
    assert lent(s, s.pid, port)
    for _ in range(20):
        lib.echo_once(port)
    lib.wait_until(lambda: sum(w.served for w in ops.workers(s)) == 20,
                   "twenty served")


def test_limits(relay, port):
    """Never more than users max in one worker, whoever knocks."""
    s = relay(spawn="instances min = 2 instances max = 2 users max = 3", n=2)
    over = threading.Event()
    most = []

    def watch():
        while not over.is_set():
            most.append(max(w.users for w in ops.workers(s)))

    watcher = threading.Thread(target=watch, daemon=True)
    with ops.Visitors(port, 12) as visitors:
        watcher.start()
        visitors.more(300)
        over.set()
        watcher.join(lib.TIMEOUT)
    assert len(most) > 2 and 1 <= max(most) <= 3


def test_overload_queue(relay, port):
    """When all are full nobody accepts; a place that becomes free is taken by
    who waits."""
    s = relay()
    held = [lib.connect(port) for _ in range(12)]
    for c in held:
        lib.roundtrip(c, b"x")
    s.wait_for("12 connections reached, queueing new ones")
    late = lib.connect(port, timeout=0.3)
    late.sendall(b"late")
    with pytest.raises(TimeoutError):
        late.recv(1)
    held.pop(5).close()
    late.settimeout(lib.TIMEOUT)
    assert lib.read_exact(late, 4) == b"late"
    assert sorted(ops.users(s)) == [4, 4, 4]
    for c in held + [late]:
        c.close()


def test_both_ways_together(relay, port):
    """A listener each: what is handed over counts for those who accept."""
    other = lib.free_port()
    s = relay(spawn="instances min = 1 instances max = 2 users max = 3",
              broker="", listen=f"listen = {{ port = {port} accept = workers "
              f"}} listen = {{ port = {other} }}")
    held = []
    for p in (port, other, port, other, port, other):
        c = lib.connect(p)
        lib.roundtrip(c, b"x")
        held.append(c)
    assert ops.users(s) == [3, 3]
    for p in (port, other):
        with lib.connect(p, timeout=0.3) as c:
            c.sendall(b"y")
            with pytest.raises(TimeoutError):
                c.recv(1)
    for c in held:
        lib.roundtrip(c, b"z")
        c.close()


def test_stopped_worker_holds_nobody_up(relay, port):
    """One that does not run is not woken in place of one that does."""
    s = relay(spawn="instances min = 3 instances max = 3", n=3)
    pids = s.wait_workers(3)
    lib.wait_until(lambda: all(lent(s, w, port) for w in pids),
                   "the socket to be lent")
    for stopped in (pids[:1], pids[:2], pids[1:]):
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        lib.wait_until(lambda: all(lib.proc_stat(p)[0] == "T"
                                   for p in stopped), "workers to stop")
        try:
            for _ in range(10):
                lib.echo_once(port, timeout=5)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
    assert s.workers() == pids


def test_killed_worker(relay, port):
    """Only what it had accepted is lost; who is queued is served."""
    s = relay(spawn="instances min = 2 instances max = 2", n=2)
    sock, victim = ops.hold(s, port)
    with ops.Visitors(port, 2) as visitors:
        other = [p for p in s.workers() if p != victim][0]
        # those that it may have accepted just now are lost with it
        visitors.more()
        visitors.stop()
    os.kill(victim, signal.SIGKILL)
    s.wait_for(rf"worker {victim} killed by signal 9 \(SIGKILL\), lost 1")
    for _ in range(10):
        lib.echo_once(port)
    fresh = lib.wait_until(lambda: [p for p in s.workers() if p != other],
                           "a replacement")[0]
    lib.wait_until(lambda: lent(s, fresh, port), "the socket to be lent")
    sock.close()


def test_sockets_are_given_up_at_once(relay, port):
    """A worker that ends accepts nothing more (DYING includes REVOKE)."""
    s = relay(spawn="instances min = 2 instances max = 2", n=2)
    sock, victim = ops.hold(s, port)
    os.kill(victim, signal.SIGTERM)
    lib.wait_until(lambda: not lent(s, victim, port), "the socket to go")
    for _ in range(10):
        lib.echo_once(port)
    lib.roundtrip(sock, b"still")
    lib.wait_until(lambda: lib.title(victim) ==
                   "tcprelay: 1 connection, ending when idle", "the title")
    sock.close()
    s.wait_for(rf"worker {victim} ended, status 0, served \d+, lost 0")


@pytest.mark.parametrize("to", ["master", "gone"])
def test_reload_takes_sockets_back(relay, port, to):
    """accept changes, or the listener goes: nobody in between is lost."""
    other = lib.free_port()
    both = f"listen = {{ port = {other} }} listen = {{ port = {port} %s }}"
    s = relay(spawn="instances min = 2 instances max = 2", n=2,
              listen=both % "accept = workers", broker="")
    text = s.file.read_text()
    lib.wait_until(lambda: all(lent(s, w, port) for w in s.workers()),
                   "the socket to be lent")
    with ops.Stream(port) as one, ops.Visitors(other) as visitors:
        visitors.more()
        if to == "master":
            s.reload(text.replace("accept = workers", ""))
            with ops.Visitors(port) as more:
                more.more()
        else:
            s.reload(text.replace(both % "accept = workers",
                                  f"listen = {{ port = {other} }}"))
            with pytest.raises(ConnectionRefusedError):
                lib.connect(port)
        lib.wait_until(lambda: not any(lent(s, w, port)
                                       for w in s.workers()),
                       "the socket to come back")
        one.goes_on()
        s.reload(text)
        lib.wait_until(lambda: all(lent(s, w, port) for w in s.workers()),
                       "the socket to be lent again")
        with ops.Visitors(port) as more:
            more.more()
        one.goes_on()
        visitors.more()


@pytest.mark.parametrize("mechanism", [4, 8, 16])
def test_mechanisms(relay, port, mechanism):
    """Where all wake, the losers find nothing, and that is no error."""
    s = relay(spawn="instances min = 3 instances max = 3", n=3,
              env={"IO_POLL_MECHANISM": mechanism})
    with ops.Visitors(port, 8) as visitors:
        visitors.more(200)
        s.reload()
        visitors.more()
    name = {4: "epoll", 8: "poll", 16: "select"}[mechanism]
    assert len(s.grep(f"event mechanism: {name}$")) >= 4
    assert not s.grep("accept:|descriptors")


def test_acl(relay, port):
    """The worker's list is the master's."""
    s = relay(broker="accept = workers\ndeny 127.0.0.2\npermit 127.0.0.1")
    for source, permitted in (("127.0.0.1", True), ("127.0.0.2", False),
                              ("127.0.0.3", False)):
        with lib.connect(port, source=(source, 0)) as c:
            if permitted:
                lib.roundtrip(c, b"x")
            else:
                assert c.recv(1) == b""
    s.wait_for(r"connection from \[127\.0\.0\.2\] refused by line \d+")
    s.wait_for(r"connection from \[127\.0\.0\.3\] refused")
    # and changes with it
    s.reload(s.file.read_text().replace("deny 127.0.0.2",
                                        "permit 127.0.0.2"))
    lib.echo_once(port, source=("127.0.0.2", 0))


@pytest.mark.parametrize("kind,why", [
    ("single", "there is a single process"),
    ("stand-alone", "the broker stands alone"),
    ("foreign", "the worker is another program")])
def test_where_it_cannot_be(service, backend, port, kind, why):
    """One warning, and the master accepts."""
    echo = backend(lib.Echo)
    program = {"single": None, "stand-alone": lib.TCPRELAY,
               "foreign": lib.HELLO}[kind]
    spawn = "instances min = 2 instances max = 2" + (
        f' exec = "{program}" id = tcprelay' if program else "")
    s = service(ops.conf(port, echo.remote, spawn=spawn,
                         broker="accept = workers"),
                program="spawnd" if kind == "stand-alone" else "tcprelay",
                args=["-1"] if kind == "single" else [])
    for _ in range(5):
        if kind == "foreign":
            r = lib.curl(f"http://127.0.0.1:{port}/")
            assert b"127.0.0.1, this is worker" in r.stdout
        else:
            lib.echo_once(port)
    lines = s.grep(rf":\d+: warning: accept = workers: {why}, "
                   "the master accepts$")
    assert len(lines) == 1
    assert not any(lent(s, w, port) for w in s.workers())


def test_the_program_itself_is_no_foreigner(relay, port):
    """exec may name what would run anyway (1.4)."""
    s = relay(spawn=f'exec = "{lib.TCPRELAY}" id = tcprelay '
              "instances min = 1 instances max = 1")
    lib.echo_once(port)
    worker, = s.workers()
    lib.wait_until(lambda: lent(s, worker, port), "the socket to be lent")
    assert not s.grep("warning: accept")
