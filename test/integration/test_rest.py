"""A service whose sessions are all idle is not woken by its clock; what
happens then is noticed as if it had looked all the time."""

import os
import re
import time

import pytest

import lib
import ops

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"),
                                reason="wake-ups are counted by /proc")
ACCEPT = ["master", "workers"]


def wakeups(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(),
                             re.M).group(1))


def rested(s):
    """Waits for 3.5 s in which the master was woken once at the most, which
    may have been for its look every 30 s."""
    def look():
        before = wakeups(s.pid)
        time.sleep(3.5)
        return wakeups(s.pid) - before <= 1

    lib.wait_until(look, "a master at rest", 25)


@pytest.mark.parametrize("accept", ACCEPT)
def test_idle_sessions(service, backend, port, accept):
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, broker=f"accept = {accept}",
                         spawn="instances min = 1 instances max = 1"))
    worker, = ops.wait_ready(s, 1)
    held = [lib.connect(port) for _ in range(3)]
    for c in held:
        lib.roundtrip(c, b"here")
    rested(s)
    before = wakeups(worker)
    time.sleep(2)
    assert wakeups(worker) - before <= 1
    assert "3 connections" in lib.title(s.pid)
    # it is told, well before it would look
    held.pop().close()
    lib.wait_until(lambda: "2 connections" in lib.title(s.pid), "the title",
                   10)
    rested(s)
    held.append(lib.connect(port))
    lib.wait_until(lambda: "3 connections" in lib.title(s.pid), "the title",
                   10)
    for c in held:
        c.close()
    lib.wait_until(lambda: "0 connections" in lib.title(s.pid), "the title",
                   10)


def test_growing_and_shrinking(service, backend, port):
    """Rested with as few workers as there may be, it grows; and what is too
    much goes after its 10 s of idleness, although nobody comes."""
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, broker="accept = workers",
        spawn="instances min = 1 instances max = 2 users min = 2"))
    ops.wait_ready(s, 1)
    held = [lib.connect(port)]
    lib.roundtrip(held[0], b"here")
    rested(s)
    held += [lib.connect(port) for _ in range(2)]
    lib.wait_until(lambda: len(lib.children(s.pid)) == 2, "a second worker",
                   10)
    ops.wait_ready(s, 2)
    for c in held:
        c.close()
    lib.wait_until(lambda: len(lib.children(s.pid)) == 1, "one worker", 25)
    rested(s)
