"""Signals to the master, to workers, and to a single process (5.10)."""

import os
import re
import signal
import time

import pytest

import lib
import ops

TWO = "instances min = 2 instances max = 2"


@pytest.fixture
def relay(service, backend, port):
    def make(broker="", args=(), n=2, clean=True, **kw):
        make.echo = backend(lib.Echo)
        make.text = ops.conf(port, make.echo.remote, broker=broker, **kw)
        s = service(make.text, args=args, clean=clean)
        if n:
            ops.wait_ready(s, n)
        return s

    return make


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_sigusr1(relay, port, accept):
    """New workers, the same configuration; old ones serve what they have."""
    s = relay(broker=f"accept = {accept}")
    before = s.wait_workers(2)
    # what stands in the file by now is of no interest
    s.write("broken {")
    with ops.Stream(port) as one, ops.Visitors(port) as visitors:
        visitors.more()
        since = s.mark()
        s.send_signal(signal.SIGUSR1)
        s.wait_for("reload: done, 1 kept, 0 added, 0 removed, 0 workers "
                   "kept, 2 replaced", since=since)
        visitors.more()
        one.goes_on()
        now = lib.wait_until(
            lambda: (lambda w: len(w) == 3 and w)(s.workers()),
            "one old worker and two new ones")
        assert len(set(now) & set(before)) == 1
    s.wait_for(r"ended, status 0, served \d+, lost 0", since=since, count=2)
    assert not set(s.wait_workers(2)) & set(before)
    assert all(w.generation == 2 for w in ops.workers(s))
    lib.echo_once(port)


def test_sigusr2(relay, port):
    """One line per worker and per destination, with the columns of 2.7."""
    s = relay(spawn="instances min = 2 instances max = 3 users max = 7",
              relay="remote = { address = 192.0.2.1 port = 9 weight = 0x10 "
                    "pool = spare }")
    pids = s.wait_workers(2)
    lib.echo_once(port, b"123")
    sock, pid = ops.hold(s, port)			# 4 bytes each way
    since = s.mark()
    s.send_signal(signal.SIGUSR2)
    s.wait_for("status destination=", since=since, count=2)
    lines = [m.group(0) for m in s.grep("status .*", since)]
    want = [rf"status worker={n} pid={p} generation=1 state=ready "
            rf"users={int(p == pid)} max=7 served=\d+ age=\d+"
            for n, p in enumerate(pids, 1)]
    # the order of destinations on the board is its own
    lines[2:] = sorted(lines[2:])
    want += [rf"status destination=\[127\.0\.0\.1\]:{relay.echo.port} "
             r"pool=default weight=1 state=up sessions=1 total=2 "
             r"failures=0 bytes-in=7 bytes-out=7",
             r"status destination=\[192\.0\.2\.1\]:9 pool=spare "
             r"weight=16 state=up sessions=0 total=0 failures=0 "
             r"bytes-in=0 bytes-out=0"]
    assert len(lines) == len(want)
    for line, regex in zip(lines, want):
        assert re.fullmatch(regex, line), (line, regex)
    assert sum(w.served for w in ops.workers(s)) == 1
    sock.close()


def quiet(s):
    """Waits until no reload is under way: what was started is done."""
    def look():
        return len(s.grep("reload: started")) == \
            len(s.grep("reload: done")) and \
            "loading" not in lib.title(s.pid)

    lib.wait_until(look, "the last reload to end", step=0.3)


@pytest.mark.parametrize("accept", ["master", "workers"])
@pytest.mark.parametrize("change", [False, True])
def test_sighup_storm(relay, port, accept, change):
    """Twenty in a row under load: nobody is refused, reset or lost."""
    s = relay(broker=f"accept = {accept}", top="setenv TIMES = 0")
    with ops.Stream(port) as one, ops.Visitors(port, 8) as visitors:
        visitors.more()
        for i in range(20):
            if change:				# workers have to be replaced
                ops.rewrite(s, relay.text.replace("TIMES = 0",
                                                  f"TIMES = {i + 1}"))
            s.send_signal(signal.SIGHUP)
            time.sleep(0.03)
        quiet(s)
        one.goes_on()
        visitors.more()
    done = len(s.grep("reload: done"))
    assert 1 <= done <= 20
    assert not s.grep("reload: (refused|failed)")
    if not change:
        assert not s.grep("worker .* ended")
    lib.wait_until(lambda: [w.generation for w in ops.workers(s)] ==
                   [1 + done] * 2, "two workers of the last generation",
                   step=0.1)


def test_all_signals_at_once(relay, port):
    """In any order, while clients come and go: the service stays."""
    s = relay()
    with ops.Stream(port) as one, ops.Visitors(port) as visitors:
        for signo in [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
                      signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1,
                      signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH] * 2:
            s.send_signal(signo)
            visitors.more(3)
        one.goes_on()
        quiet(s)
        visitors.more()
    lib.wait_until(lambda: len(s.workers()) == 2, "two workers in the end")


def test_second_sigterm_ends_a_worker(relay, port):
    s = relay()
    sock, victim = ops.hold(s, port)
    os.kill(victim, signal.SIGTERM)
    s.wait_for(rf"^{victim}: no new connections, 1 left")
    lib.roundtrip(sock, b"still")
    os.kill(victim, signal.SIGTERM)
    s.wait_for(rf"worker {victim} ended, status 0, served 1, lost 0")
    try:
        assert sock.recv(1) == b""
    except ConnectionResetError:
        pass
    lib.echo_once(port)
    lib.wait_until(lambda: len(s.workers()) == 2, "a replacement")
    assert not s.grep("ending too quickly")


def test_signals_a_worker_ignores(relay, port):
    s = relay()
    before = s.wait_workers(2)
    sock, victim = ops.hold(s, port)
    for signo in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        os.kill(victim, signo)
        lib.roundtrip(sock, b"nothing")
    assert s.workers() == before
    sock.close()


def test_second_sigterm_to_the_master(relay, port):
    """Nothing more than the first: it has gone, workers serve."""
    s = relay(clean=False)
    with ops.Stream(port) as one:
        s.send_signal(signal.SIGTERM)
        ops.signal_to(s.pid, signal.SIGTERM)
        assert s.wait() == 0
        one.goes_on()
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end")


# ---- single process

@pytest.fixture
def single(relay):
    def make(**kw):
        return relay(args=["-1"], n=0, **kw)

    return make


def test_single_sigterm(single, port):
    """Listeners close, the last session ends it."""
    s = single()
    with ops.Stream(port) as one:
        s.send_signal(signal.SIGTERM)
        s.wait_for("signal SIGTERM: ending")
        lib.wait_until(lambda: ops.refused(port), "connects to be refused")
        one.goes_on()
    assert s.wait() == 0
    assert s.grep(r"single-process mode is not recommended for production "
                  r"\(-1\)")


def test_single_second_sigterm(single, port):
    s = single()
    with lib.connect(port) as sock:
        lib.roundtrip(sock, b"x")
        s.send_signal(signal.SIGINT)
        s.wait_for("signal SIGINT: ending")
        lib.roundtrip(sock, b"y")
        s.send_signal(signal.SIGTERM)
        assert s.wait() == 0


def test_single_other_signals(single, port, backend):
    """SIGHUP reloads, SIGUSR1 does nothing, SIGUSR2 reports."""
    other = backend(lib.Echo)
    s = single()
    with ops.Stream(port) as one, ops.Visitors(port) as visitors:
        visitors.more()
        s.send_signal(signal.SIGUSR1)
        s.reload(single_text := ops.conf(port, other.remote))
        visitors.more()
        assert other.connections > 0
        one.goes_on()
        s.reload("broken {", expect="reload: refused")
        visitors.more()
        s.reload(single_text)
        one.goes_on()
    assert s.workers() == []
    rows, destinations = ops.status(s)
    assert [w.pid for w in rows.values()] == [s.pid]
    assert f"[127.0.0.1]:{other.port}" in destinations


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return {int(x) for x in f.read().split()}


@pytest.mark.slow
def test_reload_that_never_ends(relay, port):
    """The child that reads the new file stands still: refused after 30 s,
    and the next reload is a reload again."""
    s = relay(broker="accept = workers")
    before = children(s.pid)
    # long enough to be met while it is read
    s.write(make_long(relay.text))
    for _ in range(50):
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: started", since=since)
        new = children(s.pid) - before
        for child in new:
            try:
                os.kill(child, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        time.sleep(0.2)
        if new & children(s.pid):
            break
        s.wait_for("reload: done", since=since)
    else:
        pytest.fail("the child was always faster")
    with lib.connect(port) as c:
        c.sendall(b"meanwhile")
        assert c.recv(100) == b"meanwhile"
    s.wait_for("reload: refused, .*: not read within 30 s", 60, since)
    lib.wait_until(lambda: children(s.pid) == before, "the child to end")
    s.reload(relay.text)


def make_long(text):
    return "# nothing\n" * 400000 + text
