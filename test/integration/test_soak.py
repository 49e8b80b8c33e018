"""Many sessions, one after the other and at once: nothing grows. With
SPAWND_SOAK=1 a million of them, and ten thousand at once."""

import os
import resource
import shutil
import signal
import subprocess
import time

import pytest

import lib
import stage

FULL = os.environ.get("SPAWND_SOAK", "") not in ("", "0")
SHORT = 1000000 if FULL else 20000	# sessions
HELD = 10000 if FULL else 1000		# at once
TIME = 3600 if FULL else 100		# s
# Memory may differ by what one burst happened to need: without TLS a leak of
# the smallest kind, 16 bytes per session, is more than that. A sanitizer's
# allocator and its notes about stacks grow for longer; it finds leaks itself.
SLACK = {"plain": 128 << 10, "tls": 1 << 20}


@pytest.fixture(scope="session")
def load_program(tmp_path_factory):
    """bench/load.c, which is generator and echo in one process."""
    cc = os.environ.get("CC", "cc").split()
    if not shutil.which(cc[0]):
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("load") / "load"
    source = lib.TOP / "bench" / "load.c"
    for more in (["-lssl", "-lcrypto"], ["-DWITHOUT_TLS"]):
        r = subprocess.run([*cc, "-O2", "-D_GNU_SOURCE", "-o", program,
                            source, *more], capture_output=True)
        if r.returncode == 0:
            return program
    raise AssertionError(r.stderr.decode())


class Load:
    """Two of them: one is the echo, the other one generates, so that each
    needs a descriptor per session only."""

    def __init__(self, program):
        self.procs = [subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True) for _ in range(2)]
        ports = [int(p.stdout.readline()) for p in self.procs]
        self.remote = f"address = 127.0.0.1 port = {ports[0]}"

    def __call__(self, *words):
        """One command; (done, failed, resumed)."""
        proc = self.procs[1]
        print(*words, file=proc.stdin, flush=True)
        answer = proc.stdout.readline().split()
        assert answer[:1] == ["done"], answer
        return int(answer[1]), int(answer[3]), int(answer[5])

    def close(self):
        for p in reversed(self.procs):
            p.stdin.close()
            p.wait(lib.TIMEOUT)


@pytest.fixture
def load(load_program):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < HELD + 500:
        pytest.skip("too few descriptors")
    x = Load(load_program)
    yield x
    x.close()


class Sample:
    """What the processes of a service hold."""

    def __init__(self, service):
        pids = [service.pid, *service.workers()]
        self.pids = pids
        self.memory = [stage.memory(p) for p in pids]
        self.descriptors = [len(lib.descriptors(p)) for p in pids]

    def __repr__(self):
        return (f"memory {[m // 1024 for m in self.memory]} kB, "
                f"descriptors {self.descriptors}")


def resting(service):
    """A sample when all sessions are over and what bursts need was given
    back."""
    last = None

    def settled():
        nonlocal last
        now = Sample(service)
        same = last is not None and \
            now.descriptors == last.descriptors and \
            abs(sum(now.memory) - sum(last.memory)) < 4096
        last = now
        return same

    lib.wait_until(lambda: sum(int(w["users"]) for w in
                               stage.status(service)[0]) == 0,
                   "the end of all sessions", 60, 0.2)
    lib.wait_until(settled, "rest", 60, 0.5)
    return last


def report(what, *samples):
    """Shown with -s, and by a test that fails."""
    for s in samples:
        print(f"{what}: {s}")


def slack_of(tls):
    slack = SLACK["plain" if tls == "plain" else "tls"]
    return max(4 * slack, SHORT * 16) if stage.sanitized() else slack


def compare(middle, end, tls="plain", slack=None):
    slack = slack or slack_of(tls)
    assert middle.pids == end.pids, "a process was replaced"
    for a, b in zip(middle.descriptors, end.descriptors):
        assert b <= a, f"descriptors: {middle} then {end}"
    for a, b in zip(middle.memory, end.memory):
        assert b - a <= slack, f"memory: {middle} then {end}"


def soak_config(port, remote, accept, tls, certs):
    parts = dict(stage.ACCEPTS[accept])
    if tls != "plain":
        parts["listen"] = parts.get("listen", "") + " tls"
        parts["relay"] = f'tls cert-file = "{certs.ecdsa.pem}"'
    return stage.config(
        port, remote, top="cleanup interval = 1", **parts,
        spawn=f"instances min = 2 instances max = 2 users max = {HELD}") \
        .replace("log connections = yes", "")


@pytest.mark.slow
@pytest.mark.parametrize("accept, tls", [
    ("master", "plain"), ("workers", "plain"),
    pytest.param("master", "resume", marks=pytest.mark.tls),
    pytest.param("master", "tls", marks=pytest.mark.tls)])
def test_short(no_quarantine, service, load, port, certs, accept, tls):
    """Connect, one echo, close, 32 at a time. Every fourth of them with a
    handshake."""
    signal.alarm(TIME)
    n = {"plain": SHORT, "resume": SHORT // 10, "tls": SHORT // 20}[tls]
    s = service(soak_config(port, load.remote, accept, tls, certs))
    s.wait_workers(2)
    assert load("short", port, tls, n // 4, 32)[:2] == (n // 4, 0)
    assert load("short", port, tls, n // 4, 32)[:2] == (n // 4, 0)
    middle = resting(s)
    done, failed, resumed = load("short", port, tls, n // 2, 32)
    assert (done, failed) == (n // 2, 0)
    assert resumed >= (n // 2 - 32 if tls == "resume" else 0)
    end = resting(s)
    report(f"{n} short sessions, {tls}, accept = {accept}", middle, end)
    compare(middle, end, tls)
    served = sum(int(w["served"]) for w in stage.status(s)[0])
    assert served == n
    assert not s.grep("lost [1-9]|descriptor|memory")


@pytest.mark.slow
@pytest.mark.parametrize("accept, tls", [
    ("master", "plain"), ("workers", "plain"),
    pytest.param("master", "resume", marks=pytest.mark.tls)])
def test_held(no_quarantine, service, load, port, certs, accept, tls):
    """At once, several times over: the second time needs no more than the
    first, and what they needed is given back."""
    signal.alarm(TIME)
    s = service(soak_config(port, load.remote, accept, tls, certs))
    s.wait_workers(2)
    full, empty = [], []
    for turn in range(3):
        assert load("hold", port, tls, HELD, 64)[:2] == (HELD, 0)
        full.append(Sample(s))
        users = [int(w["users"]) for w in stage.status(s)[0]]
        assert sum(users) == HELD
        if turn == 2:
            time.sleep(1.5)		# cleanup interval is 1 s
        assert sum(full[-1].descriptors[1:]) >= 2 * HELD
        assert load("drop")[0] == HELD
        empty.append(resting(s))
        # and between them others are served
        assert load("short", port, tls, 500, 8)[:2] == (500, 0)
    report(f"{HELD} sessions at once, {tls}, accept = {accept}", *full)
    report("and without them", *empty)
    for x in empty:
        assert max(x.descriptors) < 50
    # the kernel deals lent connections as it likes, and a worker keeps what
    # the most it ever had needed
    slack = slack_of(tls) + (HELD * 100 if accept == "workers" else 0)
    assert sum(full[2].memory) - sum(full[1].memory) <= slack
    if tls == "plain":
        compare(empty[1], empty[2], slack=slack)
        return
    assert empty[2].descriptors == empty[1].descriptors
    if not stage.sanitized():
        # what they needed was given back, although they were there for
        # longer than a burst's memory is kept
        for p, most in zip(s.workers(), full[2].memory[1:]):
            lib.wait_until(lambda: stage.memory(p) < most // 2,
                           f"memory less than {most // 2}", 30, 0.2)


@pytest.mark.slow
def test_failures_leave_nothing(no_quarantine, service, backend, load, port):
    """Sessions that fail in every way, thousands of them."""
    signal.alarm(TIME)
    n = 2000
    flaky = backend(lib.Resetting, every=2)
    s = service(stage.config(
        port, [backend(lib.Refusing).remote, flaky.remote],
        relay="rebalance = 3", listen="haproxy = yes",
        spawn="instances min = 1 instances max = 1 users max = 500")
        .replace("log connections = yes", ""))
    s.wait_workers(1)
    kinds = [b"x", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\nx", b"PROXY nonsense",
             b""]

    def some(count):
        for i in range(count):
            c = lib.connect(port)
            c.sendall(kinds[i % 4])
            if i % 3 == 0:
                lib.reset(c)
            elif i % 3 == 1:
                c.close()
            else:
                c.settimeout(0.02)
                try:
                    c.recv(10)
                except OSError:
                    pass
                c.close()

    some(n // 4)
    middle = resting(s)
    some(n // 2)
    end = resting(s)
    report(f"{n} sessions that failed", middle, end)
    compare(middle, end)


def test_reloads_leave_nothing(no_quarantine, service, backend, port, certs):
    """Configurations come and go; so do their files, keys and columns."""
    echo = backend(lib.Echo)
    tls = '' if "/TLS" not in lib.run(lib.TCPRELAY, "-v").stdout else \
        f'tls cert-file = "{certs.ecdsa.pem}"'
    text = stage.config(port, echo.remote, listen="tls" if tls else "",
                        relay=tls)
    s = service(text)

    def some(count):
        for i in range(count):
            s.reload(text.replace("log connections = yes",
                                  f"idle timeout = {i + 100}"))

    some(15)
    middle = resting(s)
    some(15)
    end = resting(s)
    report("15 reloads more", middle, end)
    assert end.descriptors[0] <= middle.descriptors[0]
    assert end.descriptors[1] <= middle.descriptors[1]
    assert end.memory[0] - middle.memory[0] < 256 << 10
    if middle.pids == end.pids:
        assert end.memory[1] - middle.memory[1] < 256 << 10
