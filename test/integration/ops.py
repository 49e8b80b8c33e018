"""What the tests of the broker in operation share: configurations, status
lines, clients that watch a service while something happens to it."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import lib

CONF = """
{top}
id = spawnd {{
	{broker}
	{listen}
	spawn {{ {spawn} }}
}}
id = tcprelay {{
	{remote}
	{relay}
}}
"""


def conf(port, remote, spawn="instances min = 2 instances max = 2", broker="",
         relay="", top="", listen=None):
    """A configuration for tcprelay; port or a whole listen block."""
    return CONF.format(
        top=top, broker=broker, relay=relay, spawn=spawn,
        listen=listen or f"listen = {{ port = {port} }}",
        remote=f"remote = {{ {remote} }}" if remote else "")


def rewrite(s, text):
    """Replaces the file of a service under its nose."""
    new = s.file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, s.file)


# ---- what a service says about itself

# to whom asks where nobody is
NO_PATH = ("tcprelay: no 'status socket', nor one beside a pid file "
           "('pidfile', -p)\n")


def not_running(path):
    return f"tcprelay: not running, nobody answers at '{path}'\n"


Worker = collections.namedtuple(
    "Worker", "worker pid generation state users max served age")


def status(s):
    """Asks by SIGUSR2: ({number: Worker}, {destination: {column: text}})."""
    since = s.mark()
    s.send_signal(signal.SIGUSR2)
    # destinations come last; a master knows those of its own workers
    own = s.program != lib.SPAWND and "exec =" not in s.file.read_text()
    s.wait_for("status destination=" if own else "status worker=",
               since=since)
    time.sleep(0.02)
    workers, destinations = {}, {}
    for m in s.grep(r"status (\w+)=(.*)", since):
        items = dict(x.split("=", 1) for x in m.group(0).split()[1:])
        if m.group(1) == "worker":
            w = Worker(**{k: v if k == "state" else int(v)
                          for k, v in items.items()})
            workers[w.worker] = w
        else:
            destinations[items["destination"]] = items
    return workers, destinations


def workers(s):
    """[Worker], oldest first."""
    return [w for _, w in sorted(status(s)[0].items())]


def users(s):
    """[users of each worker], oldest first; only those that may get more."""
    return [w.users for w in workers(s) if w.state in ("starting", "ready")]


def wait_users(s, wanted, timeout=None):
    lib.wait_until(lambda: users(s) == wanted,
                   f"{wanted} users per worker, last {users(s)}", timeout,
                   0.1)


def wait_ready(s, n, timeout=None):
    """n workers that may be given connections; their process ids."""
    def look():
        ready = [w.pid for w in workers(s) if w.state == "ready"]
        return ready if len(ready) == n else None

    return lib.wait_until(look, f"{n} ready workers", timeout, 0.05)


def socket_inodes(state, port, peer=None):
    """Inodes of TCP sockets: "listening" ones, or the "connected" one whose
    other end has port peer. There may be very many others in TIME_WAIT, which
    only ss(8) knows how to leave out."""
    if lib.have("ss"):
        out = subprocess.run(
            ["ss", "-Htne", "state", state, "sport", "=", f":{port}"] +
            (["and", "dport", "=", f":{peer}"] if peer else []),
            capture_output=True, text=True).stdout
        found = re.findall(r"\bino:(\d+)", out)
    else:
        regex = re.compile(rf"^ *\d+: \w+:{port:04X} \w+:{peer or 0:04X} "
                           rf"{'0[^6A]' if peer else '0A'} (?:\S+ +){{5}}"
                           r"(\d+)", re.M)
        found = []
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                found += regex.findall(pathlib.Path("/proc/net", table)
                                       .read_text())
    return [i for i in found if i != "0"]


def inode_of_peer(sock):
    """The other end of a client's socket."""
    found = socket_inodes("connected", sock.getpeername()[1],
                          sock.getsockname()[1])
    return found[0] if found else None


def serving_pid(s, sock):
    """The worker that has the other end of a client's socket."""
    def look():
        inode = inode_of_peer(sock)
        for pid in s.workers():
            try:
                if f"socket:[{inode}]" in lib.descriptors(pid).values():
                    return pid
            except OSError:
                pass				# it has just ended
        return None

    return lib.wait_until(look, "a worker that serves the client")


def hold(s, port, **kw):
    """A connection through an echo, and the process that serves it."""
    sock = lib.connect(port, **kw)
    lib.roundtrip(sock, b"here")
    return sock, serving_pid(s, sock)


def segments():
    """{key: its columns} of System V shared memory."""
    lines = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()
    names = lines[0].split()
    all = [{n: int(x, 8 if n == "perms" else 10)
            for n, x in zip(names, line.split())} for line in lines[1:]]
    return {s["key"] & 0xffffffff: s for s in all}


# ---- a worker of another kind

def build_probe(directory):
    """probe.c as anybody would build a worker: against the library. None:
    there is no compiler."""
    cc = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang")
               if c and lib.have(c)), None)
    if cc is None:
        return None
    library = lib.BUILD / "libspawnd.a"
    flags = ["-fsanitize=address,undefined"] \
        if b"__asan_init" in library.read_bytes() else []
    program = pathlib.Path(directory) / "probe"
    r = subprocess.run([cc, "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra",
                        "-Werror", *flags, f"-I{lib.TOP / 'spawnd'}", "-o",
                        program, pathlib.Path(__file__).with_name("probe.c"),
                        library], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return program


def told(sock):
    """What the probe says about the connection: {name: text}."""
    line = bytearray()
    while not line.endswith(b"\n"):
        data = sock.recv(1)
        assert data, "closed without a word"
        line += data
    return dict(x.split("=", 1) for x in line.decode().split())


# ---- clients that watch

class Stream:
    """A session that carries numbered lines through an echo all the time:
    nothing may get lost, doubled or late for ever."""

    def __init__(self, port, pause=0.01, **kw):
        self.sock = lib.connect(port, **kw)
        self.pause = pause
        self.n = 0
        self.error = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.goes_on()

    def _run(self):
        try:
            while not self.over.is_set():
                line = b"%08d\n" % self.n
                self.sock.sendall(line)
                got = lib.read_exact(self.sock, len(line))
                assert got == line, (got, line)
                self.n += 1
                self.over.wait(self.pause)
        except (OSError, AssertionError) as e:
            self.error = e

    def goes_on(self, lines=3):
        """Waits for so many more lines to have passed."""
        n = self.n
        lib.wait_until(lambda: self.error or self.n >= n + lines,
                       "a session to go on")
        assert self.error is None, repr(self.error)

    def broken(self):
        return self.error is not None

    def close(self):
        self.over.set()
        self.thread.join(lib.TIMEOUT)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
        if exc[0] is None:
            assert self.error is None, repr(self.error)


class Visitors:
    """Clients that come and go all the time, each with a whole exchange.
    failed: what went wrong, for each that did."""

    def __init__(self, port, clients=4, connect=None):
        self.port = port
        self.done = 0
        self.failed = []
        self.connect = connect or (lambda: lib.connect(port))
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True)
                        for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self):
        while not self.over.is_set():
            try:
                with self.connect() as s:
                    s.sendall(b"visit")
                    s.shutdown(socket.SHUT_WR)
                    got = lib.read_all(s)
                    assert got == b"visit", got
                with self.lock:
                    self.done += 1
            except (OSError, AssertionError) as e:
                with self.lock:
                    self.failed.append(repr(e))
                time.sleep(0.01)

    def more(self, n=20):
        """Waits until so many more have been served."""
        done = self.done
        lib.wait_until(lambda: self.done >= done + n, f"{n} more visitors")

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(lib.TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
        if exc[0] is None:
            assert not self.failed, self.failed[:5]


def refused(port):
    """Whether nobody listens there."""
    try:
        lib.connect(port, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def signal_to(pid, signo):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signo)
