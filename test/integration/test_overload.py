"""More connections than places: three policies, and the way back (4.3)."""

import contextlib
import re
import subprocess

import pytest

import lib
import ops


@pytest.fixture(params=["master", "workers"])
def full(request, service, backend, port):
    """full(policy): a service with 6 places, all taken: (service, clients)"""
    with contextlib.ExitStack() as stack:
        def make(policy, listen=""):
            echo = backend(lib.Echo)
            s = service(ops.conf(
                port, echo.remote, spawn="instances min = 1 instances max = 2"
                " users min = 1 users max = 3", broker="overload = " + policy,
                listen=f"listen = {{ port = {port} accept = {request.param} "
                       f"{listen} }}"))
            held = []
            for _ in range(6):
                c = stack.enter_context(lib.connect(port))
                lib.roundtrip(c, b"x")
                held.append(c)
            make.echo = echo
            return s, held

        yield make


DOING = {"queue": "queueing", "close": "closing", "reset": "resetting"}


def wait_full(s, policy):
    s.wait_for(f"6 connections reached, {DOING[policy]} new ones")
    lib.wait_until(lambda: lib.title(s.pid) ==
                   f"tcprelay: 6 connections, full, {DOING[policy]}",
                   "the title")
    assert ops.users(s) == [3, 3]


def test_queue(full, port):
    """Nothing is answered until a place is free, then in order."""
    s, held = full("queue")
    waiting = [lib.connect(port, timeout=0.5) for _ in range(4)]
    wait_full(s, "queue")
    for c in waiting:
        c.sendall(b"hello")
    with pytest.raises(TimeoutError):
        waiting[0].recv(1)
    assert full.echo.connections == 6
    for old, new in zip(held, waiting):
        old.close()
        new.settimeout(lib.TIMEOUT)
        assert lib.read_exact(new, 5) == b"hello"
    for c in waiting:
        c.close()
    s.wait_for("accepting again")
    for c in held[4:]:
        lib.roundtrip(c, b"undisturbed")
    lib.echo_once(port)


@pytest.mark.parametrize("policy", ["close", "reset"])
def test_shed(full, port, policy):
    """An end, or a reset, and at once; those inside notice nothing."""
    s, held = full(policy)
    for _ in range(3):
        if policy == "close":
            with lib.connect(port) as c:
                assert c.recv(1) == b""
        else:
            with pytest.raises(ConnectionError):
                with lib.connect(port) as c:
                    assert c.recv(1) == b"", "closed, not reset"
    wait_full(s, policy)
    for c in held:
        lib.roundtrip(c, b"undisturbed")
    held[0].close()
    s.wait_for("accepting again")

    def served():
        try:
            lib.echo_once(port)
            return True
        except (OSError, AssertionError):
            return False

    lib.wait_until(served, "a place", 5)
    for c in held[1:]:
        lib.roundtrip(c, b"undisturbed")


def test_backlog(full, port):
    """The queue is shorter while nobody is accepted."""
    def backlog():
        out = subprocess.run(["ss", "-Hltn", f"sport = :{port}"],
                             capture_output=True, text=True).stdout
        return {int(x.split()[2]) for x in out.splitlines()}

    if not lib.have("ss"):
        pytest.skip("no ss(8)")
    s, held = full("queue", "backlog = 64 overload backlog = 3")
    lib.wait_until(lambda: backlog() == {3}, "the short queue")
    held[0].close()
    lib.wait_until(lambda: backlog() == {64}, "the long queue")


def test_lines_are_rare(full, port):
    """Entering and leaving is logged once in 10 s each; later ones count."""
    s, held = full("queue")
    s.wait_for("connections reached")
    for _ in range(8):
        held.pop().close()
        s.wait_for("accepting again")
        lib.wait_until(lambda: "free" in lib.title(s.pid), "room",
                       step=0.02)
        c = lib.connect(port)
        lib.roundtrip(c, b"x")
        held.append(c)
        lib.wait_until(lambda: "full" in lib.title(s.pid), "no room",
                       step=0.02)
    assert len(s.grep("connections reached")) <= 2
    assert len(s.grep("accepting again")) <= 2
    for m in s.grep(r"(reached, queueing new ones|accepting again)(.*)")[2:]:
        assert re.fullmatch(r" \(\d times more\)", m.group(2))
    for c in held:
        c.close()


def test_single_process(service, backend, port):
    """users max counts there, too; instances do not."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, broker="overload = close",
                         spawn="users max = 3"), args=["-1"])
    held = [lib.connect(port) for _ in range(3)]
    for c in held:
        lib.roundtrip(c, b"x")
    with lib.connect(port) as c:
        assert c.recv(1) == b""
    s.wait_for("3 connections reached, closing new ones")
    held.pop().close()
    s.wait_for("accepting again")
    lib.echo_once(port)
    for c in held:
        lib.roundtrip(c, b"y")
        c.close()
