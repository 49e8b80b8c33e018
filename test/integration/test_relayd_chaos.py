"""relayd among operators and peers of the worst kind: processes that die at
any moment, files that change while clients come, peers that never finish."""

import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

import lib
import rd

pytestmark = rd.needed


def relay(name, port, forward, more=""):
    return (f'relay "{name}" {{\n\tlisten on 127.0.0.1 port {port}\n'
            f"\tforward to {forward}\n{more}}}\n")


class Load:
    """Clients that come one after the other as fast as they are served, each
    for one exchange; what went wrong for whom is in bad."""

    def __init__(self, *ports, clients=2, pause=0.002, **kw):
        self.done, self.bad, self.lock = 0, [], threading.Lock()
        self.pause, self.kw, self.end = pause, kw, threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True,
                                         args=(p,))
                        for p in ports for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self, port):
        while not self.end.is_set():
            began = time.monotonic()
            try:
                with lib.connect(port, **self.kw) as c:
                    lib.roundtrip(c, b"one exchange")
                with self.lock:
                    self.done += 1
            except (OSError, AssertionError) as e:
                with self.lock:
                    self.bad.append((began, time.monotonic(), port, repr(e)))
            time.sleep(self.pause)

    def more(self, n):
        """Until n more of them were served."""
        goal = self.done + n
        lib.wait_until(lambda: self.done >= goal, f"{n} more clients")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end.set()
        for t in self.threads:
            t.join(lib.TIMEOUT)


# ---- the number of workers

def test_fewer_workers(relayd, backend, port):
    """Those that are too many go at once, though clients never cease to
    come; their sessions go on as long as they last."""
    echo = backend(lib.Echo)

    def text(prefork):
        return f"prefork {prefork}\n" + relay(
            "www", port, f"127.0.0.1 port {echo.port}")

    def owners(*which):
        """Workers that have these sessions."""
        ports = {c.getsockname()[1] for c in which}
        return {x["pid"] for x in s.show("sessions")
                if x["client"]["port"] in ports}

    s = relayd(text(4), relays=4)
    with Load(port) as load, contextlib.ExitStack() as stack:
        sessions = []

        def several():
            """Who comes while one is busy is another one's."""
            for _ in range(20):
                c = stack.enter_context(socket.socket())
                c.setblocking(False)
                c.connect_ex(("127.0.0.1", port))
                sessions.append(c)
            for c in sessions[-20:]:
                c.settimeout(lib.TIMEOUT)
                lib.wait_until(lambda: c.connect_ex(("127.0.0.1", port)) in
                               (0, errno.EISCONN), "a connection")
                lib.roundtrip(c, b"1")
            return len(owners(*sessions)) > 1
        lib.wait_until(several, "sessions in several workers")
        before = owners(*sessions)
        s.reload(text(1))
        load.more(50)

        # the others have sessions only that were there before
        assert owners(*sessions) == before
        serving = set()
        for _ in range(12):
            with lib.connect(port) as c:
                lib.roundtrip(c, b"2")
                serving |= owners(c)
        assert len(serving) == 1
        for c in sessions:
            lib.roundtrip(c, b"3")
        stack.close()
        lib.wait_until(lambda: len(s.named("relay")) == 1,
                       "the end of those that are too many", 8)
        load.more(20)
    assert not load.bad
