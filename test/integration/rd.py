"""relayd in tests: started as root in debug mode with a control socket of its
own, as spec A.1 has it; its children are looked at through /proc."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import subprocess

import pytest

import lib

RELAYD = lib.BUILD / "bin" / "relayd"
RELAYCTL = lib.BUILD / "bin" / "relayctl"
USER = os.environ.get("RELAYD_USER", "_relayd")


def _missing():
    if os.getuid() != 0:
        return "relayd has to be started by root"
    try:
        home = pwd.getpwnam(USER).pw_dir
    except KeyError:
        return f"there is no user {USER}; ./check makes it"
    return None if os.path.isdir(home) else f"{home} of {USER} is missing"


# for modules: pytestmark = rd.needed
needed = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))


class Relayd(lib.Service):
    """relayd -dv -f FILE, in a folder of its own. A line `socket' is put in
    front of the text, which must not have one."""

    def __init__(self, text, directory, args=(), verbose=2, macros=None,
                 program=RELAYD, **kw):
        self.socket = pathlib.Path(directory) / "ctl.sock"
        super().__init__(text, directory, program=program, debug=False,
                         args=["-d", *["-v"] * verbose,
                               *[x for k, v in (macros or {}).items()
                                 for x in ("-D", f"{k}={v}")],
                               *args, "-f"], **kw)
        # its children see no file: what sanitizers say goes to the log
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            self.env[name] = re.sub(r":log_path=[^:]*", "", self.env[name])

    def write(self, text):
        self.file.write_text(f'socket "{self.socket}"\n' + text)

    def start(self, relays=1, timeout=None):
        """Waits until that many relays are served (0: until it is started);
        with prefork N each of them is told N times."""
        self.launch()
        if relays:
            self.wait_for(r"relay_launch: ", timeout, count=relays)
        else:
            lib.wait_until(lambda: self.socket.exists() or self.ended,
                           "the control socket", timeout)
        return self

    # -- processes

    def named(self, title):
        """Process ids of the children with that title, `relay' ..."""
        found = []
        for p in lib.children(self.pid):
            with contextlib.suppress(OSError):	# it has just ended
                if lib.title(p) == f"relayd: {title}":
                    found.append(p)
        return found

    def one(self, title):
        """There is one; it has its title a moment after its start."""
        return lib.wait_until(
            lambda: (lambda p: p[0] if len(p) == 1 else None)(
                self.named(title)), f"one {title}")

    def stop(self, signo=signal.SIGTERM, timeout=None):
        """Its exit status; all children must have ended with it."""
        if self.proc is None:
            return None
        family = lib.children(self.pid) if self.proc.poll() is None else []
        try:
            if self.proc.poll() is None:
                self.send_signal(signo)
            status = self.proc.wait(timeout or lib.TIMEOUT)
            lib.wait_until(lambda: not any(map(lib.alive, family)),
                           "the end of the children", timeout, 0.02)
            lib.wait_until(lambda: self.ended, "the end of the log", timeout)
            # what they said last has to be read yet
            lib.wait_until(lambda: self.ended, "the end of the log", timeout)
        finally:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    if lib.alive(pid):
                        os.kill(pid, signal.SIGKILL)
            self.kill()
        return status

    def assert_clean(self, status=0):
        super().assert_clean(status)
        assert not self.grep("lost child"), self.log()
        if status == 0:
            # it may not have been read to the end yet
            self.wait_for(r"parent terminating, pid \d+")
            assert not self.socket.exists()

    def reload(self, text=None, expect=r"reload: done", timeout=None):
        if text is not None:
            self.write(text)
        since = self.mark()
        self.send_signal(signal.SIGHUP)
        m = self.wait_for(r"reload: done.*|failed to load config file.*",
                          timeout, since)
        assert re.search(expect, m.group(0)), self.log()
        return m

    # -- operating

    def ctl(self, *args, status=0, timeout=None):
        """relayctl; what it printed."""
        r = subprocess.run([str(RELAYCTL), "-s", str(self.socket),
                            *map(str, args)], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, env=self.env,
                           timeout=timeout or lib.TIMEOUT)
        assert status is None or r.returncode == status, \
            f"{args}: {r.returncode} {r.stdout}{r.stderr}"
        assert not lib.SANITIZER.search(r.stderr), r.stderr
        return r.stdout if status == 0 else r.stdout + r.stderr

    def show(self, what):
        """relayctl -j show: objects."""
        return json.loads(self.ctl("-j", "show", what))

    def wait_host(self, name, state, timeout=None):
        """Until relayctl says so of every host of that name."""
        def there():
            rows = [line.split("\t") for line in
                    self.ctl("show", "summary").splitlines()]
            found = [r[4].strip() for r in rows if len(r) == 5 and
                     r[1].strip() == "host" and r[2].strip() == name]
            return found and all(s == state for s in found)
        lib.wait_until(there, f"host {name} {state}", timeout, 0.05)


def parents_in(directory):
    """The relayds that were started there, not by another one."""
    found = []
    for pid in lib.processes():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe") == os.path.realpath(
                    RELAYD) and os.readlink(f"/proc/{pid}/cwd") == \
                    str(directory):
                found.append(pid)
    young = {p for pid in found for p in lib.children(pid)}
    return [pid for pid in found if pid not in young]


def session_lines(s, since=0):
    """What is logged of sessions that have ended."""
    return [m.group(0) for m in s.grep(
        r"relay \S+, session \d+ \(\d+ active\), .* -> .*", since)]
