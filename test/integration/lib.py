"""What the integration tests stand on: ports, certificates, the programs
under test, and peers for them. Everything is on loopback, ends by itself and
may run several times at once."""

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILDDIR", TOP / "build")).resolve()
TCPRELAY = BUILD / "bin" / "tcprelay"
SPAWND = BUILD / "bin" / "spawnd"
HELLO = BUILD / "sample" / "hello"
UDP_ECHO = BUILD / "sample" / "udp-echo"


def has_feature(name):
    """Whether the build under test has TLS, URL; it says so itself."""
    try:
        r = subprocess.run([TCPRELAY, "-v"], capture_output=True, text=True,
                           timeout=20, stdin=subprocess.DEVNULL)
    except OSError:
        return True		# the tests will say what is wrong
    return f"/{name}" in r.stdout


# Sanitized builds on two cores are slow; nothing waits longer than this.
TIMEOUT = float(os.environ.get("TEST_TIMEOUT", "20"))

SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Undefined)|runtime error:|"
    r"ASan(?! is ignoring)|Assertion .* failed")


# ---- ports

class Ports:
    """Free ports below the range the kernel takes for outgoing connections.
    A byte of one file, locked, is a port taken: other test processes keep
    away, and a process that dies gives its ports back."""

    FIRST, LAST = 20000, 30000

    def __init__(self):
        name = f"spawnd-test-ports-{os.getuid()}"
        self.fd = os.open(os.path.join(tempfile.gettempdir(), name),
                          os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.taken = set()
        self.lock = threading.Lock()

    def usable(self, port):
        for family, address in ((socket.AF_INET, "0.0.0.0"),
                                (socket.AF_INET6, "::")):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                try:
                    with socket.socket(family, kind) as s:
                        if family == socket.AF_INET6:
                            s.setsockopt(socket.IPPROTO_IPV6,
                                         socket.IPV6_V6ONLY, 1)
                        s.bind((address, port))
                except OSError as e:
                    if family == socket.AF_INET6 and not have_ipv6():
                        continue
                    del e
                    return False
        return True

    def get(self):
        with self.lock:
            while True:
                port = random.randrange(self.FIRST, self.LAST)
                if port in self.taken:
                    continue
                try:
                    fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1,
                                port)
                except OSError:
                    continue
                if self.usable(port):
                    self.taken.add(port)
                    return port
                fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, port)


PORTS = Ports()


def free_port():
    return PORTS.get()


def have_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


# ---- waiting

def wait_until(condition, what, timeout=None, step=0.01):
    """Waits for condition() to be true and returns what it returned."""
    end = time.monotonic() + (timeout or TIMEOUT)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(step)


# ---- processes, as /proc sees them

def proc_stat(pid):
    """(state, parent, session, start) of a process, or None when it is
    gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    rest = text.rpartition(")")[2].split()
    return rest[0], int(rest[1]), int(rest[3]), int(rest[19])


def alive(pid):
    stat = proc_stat(pid)
    return stat is not None and stat[0] not in "ZX"


def processes():
    return [int(p.name) for p in pathlib.Path("/proc").iterdir()
            if p.name.isdigit()]


def children(pid):
    """The oldest first: process ids begin anew some time."""
    out = []
    for p in processes():
        stat = proc_stat(p)
        if stat and stat[1] == pid and stat[0] not in "ZX":
            out.append((stat[3], p))
    return [p for _, p in sorted(out)]


def has_channel(pid):
    """Whether descriptor 0 is a socket; True where we may not look."""
    try:
        return os.readlink(f"/proc/{pid}/fd/0").startswith("socket:")
    except FileNotFoundError:
        return False
    except OSError:
        return True


def session_members(leader):
    """Processes of the session that pid leader began, living ones."""
    out = []
    for p in processes():
        stat = proc_stat(p)
        if stat and stat[2] == leader and stat[0] not in "ZX":
            out.append(p)
    return sorted(out)


def title(pid):
    """What ps shows."""
    raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode()


def descriptors(pid):
    """{number: target} of a process' descriptors."""
    out = {}
    for f in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            out[int(f.name)] = os.readlink(f)
    return out


# ---- the programs under test

class Service:
    """tcprelay or spawnd in the foreground with a configuration text. -D
    brings the log to standard error, which a thread collects."""

    def __init__(self, text, directory, program="tcprelay", args=(),
                 env=None, debug=True, argv0=None, limit=None, stdin=None,
                 pass_fds=(), wrap=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file = self.directory / "service.cfg"
        self.program = {"tcprelay": TCPRELAY, "spawnd": SPAWND}.get(
            program, pathlib.Path(program))
        self.args = ["-D"] * debug + [str(a) for a in args]
        self.env = environment(self.directory, env)
        self.argv0 = argv0
        self.limit = limit
        self.stdin = stdin
        self.pass_fds = pass_fds
        self.wrap = [str(w) for w in wrap]	# a command that execs ours
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.proc = None
        self.seen = set()
        self.write(text)

    def write(self, text):
        """Replaces the configuration (for reload)."""
        self.file.write_text(text)

    # -- life

    def launch(self):
        """Starts and returns at once."""
        command = [str(self.argv0 or self.program), *self.args,
                   str(self.file)]
        executable = str(self.program)
        if self.wrap:
            command = self.wrap + [executable] + command[1:]
            executable = None

        def prepare():
            if self.limit:
                import resource
                resource.setrlimit(resource.RLIMIT_NOFILE,
                                   (self.limit, self.limit))

        self.proc = subprocess.Popen(
            command, executable=executable,
            stdin=self.stdin if self.stdin is not None
            else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=self.env, cwd=self.directory, start_new_session=True,
            preexec_fn=prepare if self.limit else None,
            pass_fds=self.pass_fds)
        threading.Thread(target=self._collect, daemon=True,
                         args=(self.proc.stderr,)).start()
        return self

    def start(self, listeners=1, timeout=None):
        """Starts and waits until that many listeners are open and a worker
        is there."""
        self.launch()
        self.wait_for(r"listening on", timeout, count=listeners)
        return self

    def _collect(self, pipe):
        for raw in pipe:
            with self.changed:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def pid(self):
        return self.proc.pid

    def workers(self):
        """Process ids of the living workers: children whose descriptor 0 is
        a channel, not those that try a file or a key for a moment."""
        found = [p for p in children(self.pid) if has_channel(p)]
        self.seen.update(found)
        return found

    def wait_workers(self, n, timeout=None):
        return wait_until(
            lambda: (lambda w: w if len(w) == n else None)(self.workers()),
            f"{n} workers", timeout, 0.05) if n else wait_until(
            lambda: not self.workers(), "no workers", timeout, 0.05)

    def send_signal(self, signo):
        os.kill(self.pid, signo)

    # -- log

    def mark(self):
        """A place in the log, for since=."""
        with self.changed:
            return len(self.lines)

    def grep(self, regex, since=0):
        """Matches in the log so far."""
        pattern = re.compile(regex)
        with self.changed:
            lines = self.lines[since:]
        return [m for m in map(pattern.search, lines) if m]

    def wait_for(self, regex, timeout=None, since=0, count=1):
        """Waits for that many matching lines; returns the last match."""
        pattern = re.compile(regex)
        end = time.monotonic() + (timeout or TIMEOUT)
        with self.changed:
            while True:
                found = [m for m in map(pattern.search, self.lines[since:])
                         if m]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    break
                self.changed.wait(left)
        raise AssertionError(
            f"no line matches {regex!r} ({len(found)} of {count}):\n"
            + self.log())

    def log(self):
        """The last lines, for messages of tests."""
        with self.changed:
            return "\n".join(self.lines[-60:])

    # -- operating

    def reload(self, text=None, expect=r"reload: done", timeout=None):
        """SIGHUP, then waits for the outcome; returns its line's match."""
        if text is not None:
            self.write(text)
        since = self.mark()
        self.send_signal(signal.SIGHUP)
        m = self.wait_for(r"reload: (done|refused|failed).*", timeout, since)
        assert re.search(expect, m.group(0)), self.log()
        return m

    def wait(self, timeout=None):
        """Waits for the end of the master; its exit status. What it said
        has been read then, unless others may still say something."""
        status = self.proc.wait(timeout or TIMEOUT)
        if not session_members(self.pid):
            with contextlib.suppress(AssertionError):
                wait_until(lambda: self.ended, "the end of the log", 5)
        return status

    def stop(self, signo=signal.SIGTERM, timeout=None):
        """Ends the service and waits for master and workers. Returns the
        exit status of the master."""
        if self.proc is None:
            return None
        timeout = timeout or TIMEOUT
        if self.proc.poll() is None:
            self.send_signal(signo)
        try:
            status = self.proc.wait(timeout)
            wait_until(lambda: not session_members(self.pid),
                       "the end of the workers", timeout, 0.02)
        finally:
            self.kill()
        return status

    def kill(self):
        """Whatever is left of the session that this service began."""
        for pid in session_members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()

    def reports(self):
        """What sanitizers had to say."""
        with self.changed:
            out = [line for line in self.lines if SANITIZER.search(line)]
        out += sanitizer_files(self.directory)
        return out

    def assert_clean(self, status=0):
        got = self.stop()
        assert not self.reports(), "\n".join(self.reports()) + self.log()
        assert got == status, f"status {got}, not {status}:\n" + self.log()


@functools.lru_cache(None)
def reports_base():
    d = tempfile.mkdtemp(prefix="spawnd-test-reports-")
    os.chmod(d, 0o711)
    atexit.register(shutil.rmtree, d, True)
    return pathlib.Path(d)


def reports_of(directory):
    """Where programs that run in directory leave the reports of sanitizers:
    also those that are not who we are, and must not look into directory."""
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    d = reports_base() / name
    if not d.exists():
        d.mkdir()
        d.chmod(0o1777)
    return d


def environment(directory, extra=None):
    """An environment for programs under test: sanitizers report to files,
    see sanitizer_files(), as well as ending the process."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("LISTEN_", "NOTIFY_", "SPAWND_",
                                "IO_POLL_"))}
    log = reports_of(directory) / "sanitizer"
    env["ASAN_OPTIONS"] = (os.environ.get("ASAN_OPTIONS", "") +
                           f":log_path={log}:halt_on_error=1:exitcode=99"
                           ":detect_stack_use_after_return=0")
    env["UBSAN_OPTIONS"] = (os.environ.get("UBSAN_OPTIONS", "") +
                            f":log_path={log}:halt_on_error=1"
                            ":print_stacktrace=1:exitcode=99")
    env["LC_ALL"] = "C"
    for k, v in (extra or {}).items():
        if v is None:
            env.pop(k, None)
        else:
            env[k] = str(v)
    return env


def sanitizer_files(directory):
    """Its warning that it does not follow to another stack is none."""
    texts = {f: f.read_text(errors="replace")
             for f in reports_of(directory).glob("sanitizer.*")}
    return [f"{f}:\n{text}" for f, text in texts.items()
            if SANITIZER.search(text)]


def run(program, *args, directory=None, env=None, timeout=None, data=None,
        argv0=None):
    """Runs a program to its end: a CompletedProcess with text. Fails on
    sanitizer reports."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
        r = subprocess.run(
            [str(argv0 or program), *map(str, args)], executable=str(program),
            env=environment(directory, env), capture_output=True,
            input=data or "", text=True, timeout=timeout or TIMEOUT,
            cwd=directory)
        reports = sanitizer_files(directory)
        assert not reports and not SANITIZER.search(r.stderr), \
            "\n".join(reports) + r.stderr
        return r


def check_config(text, directory, *args, program=TCPRELAY, name="test.cfg"):
    """PROGRAM -P on a text: (status, standard error's lines)."""
    file = pathlib.Path(directory) / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    r = run(program, "-P", *args, file, directory=directory)
    return r.returncode, r.stderr.splitlines()


# ---- payload

def pattern(n, seed=0):
    """n bytes that repeat nowhere near, the same for the same seed."""
    rng = random.Random(seed)
    if n <= 1 << 20:
        return rng.randbytes(n)
    block = rng.randbytes(1 << 20)
    out = bytearray()
    while len(out) < n:
        out += len(out).to_bytes(8, "big") + block
    return bytes(out[:n])


def pattern_blocks(n, seed=0, size=1 << 18):
    """The bytes of a long transfer, in pieces, without holding them all."""
    rng = random.Random(seed)
    block = rng.randbytes(size - 8)
    sent = 0
    while sent < n:
        piece = (sent.to_bytes(8, "big") + block)[:n - sent]
        yield piece
        sent += len(piece)


def pattern_digest(n, seed=0, size=1 << 18):
    h = hashlib.sha256()
    for piece in pattern_blocks(n, seed, size):
        h.update(piece)
    return h.hexdigest()


# ---- backends

class Backend:
    """A server in threads. Subclasses say in serve() what a connection gets.
    port, path: given or chosen. context: TLS."""

    def __init__(self, host="127.0.0.1", port=None, path=None, context=None,
                 backlog=512):
        self.host, self.path, self.context = host, path, context
        self.connections = 0		# ever
        self.active = 0
        self.most = 0
        self.peers = []
        self.errors = []
        self.lock = threading.Lock()
        self.open_sockets = set()
        self.closed = False
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(str(path))
            self.port = None
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.port = port or free_port()
            self.sock = socket.socket(family)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # a pair would have no scope
            self.sock.bind(socket.getaddrinfo(host, self.port, family,
                                              socket.SOCK_STREAM)[0][4])
        self.prepare()
        self.sock.listen(backlog)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def prepare(self):
        """Socket options before listen."""

    def serve(self, conn):
        raise NotImplementedError

    @property
    def remote(self):
        """The inside of a remote { } block."""
        if self.path:
            return f'address = "{self.path}"'
        return f'address = {self.host} port = {self.port}'

    def _accept(self):
        while not self.closed:
            try:
                conn, peer = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(conn, peer),
                             daemon=True).start()

    def _one(self, conn, peer):
        with self.lock:
            self.connections += 1
            self.active += 1
            self.most = max(self.most, self.active)
            self.peers.append(peer)
            self.open_sockets.add(conn)
        raw = conn
        try:
            conn.settimeout(TIMEOUT * 3)
            if conn.family != socket.AF_UNIX:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                conn = self.context.wrap_socket(conn, server_side=True)
            self.serve(conn)
        except OSError as e:
            with self.lock:
                self.errors.append(e)
        finally:
            with contextlib.suppress(OSError):
                conn.close()
            with self.lock:
                self.active -= 1
                self.open_sockets.discard(raw)

    def drop(self):
        """Resets every open connection."""
        with self.lock:
            for s in list(self.open_sockets):
                with contextlib.suppress(OSError):
                    reset(s)

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        with self.lock:
            for s in list(self.open_sockets):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
        self.thread.join(TIMEOUT)
        if self.path:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Echo(Backend):
    """Sends back what comes, then its end."""

    def serve(self, conn):
        while data := conn.recv(1 << 16):
            conn.sendall(data)
        if self.context:
            conn.unwrap()


class Greeting(Backend):
    """Speaks first, as ssh does, then echoes."""

    def __init__(self, text=b"SSH-2.0-test\r\n", **kw):
        self.text = text
        super().__init__(**kw)

    def serve(self, conn):
        conn.sendall(self.text)
        while data := conn.recv(1 << 16):
            conn.sendall(data)


class Named(Backend):
    """Says its name and closes: which destination was chosen?"""

    def __init__(self, name, **kw):
        self.name = name.encode()
        super().__init__(**kw)

    def serve(self, conn):
        conn.sendall(self.name)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(1 << 16):
            pass


class Holder(Named):
    """Says its name and holds the connection until the client ends it."""

    def serve(self, conn):
        conn.sendall(self.name)
        while conn.recv(1 << 16):
            pass


class HalfClose(Backend):
    """Reads to the end, only then answers: length and SHA-256 of it all."""

    def serve(self, conn):
        h, n = hashlib.sha256(), 0
        while data := conn.recv(1 << 18):
            h.update(data)
            n += len(data)
        conn.sendall(f"{n} {h.hexdigest()}\n".encode())


class Duplex(Backend):
    """Sends size bytes of a pattern while it reads everything; the SHA-256
    of what came, per connection, is in digests."""

    def __init__(self, size, seed=1, **kw):
        self.size, self.seed = size, seed
        self.digests = []
        super().__init__(**kw)

    def serve(self, conn):
        failure = []

        def send():
            try:
                for piece in pattern_blocks(self.size, self.seed):
                    conn.sendall(piece)
                if not self.context:
                    conn.shutdown(socket.SHUT_WR)
            except OSError as e:
                failure.append(e)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        h, n = hashlib.sha256(), 0
        while data := conn.recv(1 << 18):
            h.update(data)
            n += len(data)
        with self.lock:
            self.digests.append((n, h.hexdigest()))
        sender.join()
        if failure:
            raise failure[0]


class Recorder(Backend):
    """Keeps everything each connection sent, in received; answers it."""

    def __init__(self, answer=b"", **kw):
        self.answer = answer
        self.received = []
        super().__init__(**kw)

    def serve(self, conn):
        if self.answer:
            conn.sendall(self.answer)
        got = bytearray()
        with self.lock:
            self.received.append(got)
        while data := conn.recv(1 << 16):
            got += data


class Slow(Backend):
    """Reads only after go is set, with a small receive buffer."""

    def __init__(self, **kw):
        self.go = threading.Event()
        self.counts = []
        super().__init__(**kw)

    def prepare(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)

    def serve(self, conn):
        self.go.wait(TIMEOUT * 3)
        h, n = hashlib.sha256(), 0
        while data := conn.recv(4096):
            h.update(data)
            n += len(data)
        with self.lock:
            self.counts.append((n, h.hexdigest()))


class Resetting(Backend):
    """Answers every connection, or each n-th one, with a reset; the others
    are echoed."""

    def __init__(self, every=1, **kw):
        self.every = every
        super().__init__(**kw)

    def serve(self, conn):
        with self.lock:
            n = self.connections
        if n % self.every == 0:
            reset(conn)
            return
        while data := conn.recv(1 << 16):
            conn.sendall(data)


class Refusing:
    """An address where nobody listens: connecting is refused. The port is
    kept, so it stays that way."""

    def __init__(self, host="127.0.0.1"):
        self.host, self.port = host, free_port()
        self.remote = f"address = {host} port = {self.port}"

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


class BlackHole:
    """An address that never answers a SYN: a listener whose queue is full."""

    def __init__(self, host="127.0.0.1"):
        self.host, self.port = host, free_port()
        self.remote = f"address = {host} port = {self.port}"
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, self.port))
        self.sock.listen(0)
        self.fill = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((host, self.port))
            self.fill.append(s)
        time.sleep(0.1)

    def close(self):
        for s in self.fill:
            s.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# ---- clients

def reset(sock):
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    b"\1\0\0\0\0\0\0\0")
    sock.close()


def connect(port, host="127.0.0.1", timeout=None, context=None, name=None,
            source=None):
    """A connected client socket; port may be the path of a UNIX socket."""
    timeout = timeout or TIMEOUT
    if isinstance(port, int):
        s = socket.create_connection(
            (host, port), timeout, source_address=source)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(str(port))
    if context:
        try:
            s = context.wrap_socket(s, server_hostname=name)
        except BaseException:
            s.close()
            raise
    return s


def read_exact(sock, n):
    out = bytearray()
    while len(out) < n:
        data = sock.recv(min(n - len(out), 1 << 18))
        if not data:
            raise AssertionError(f"end after {len(out)} of {n} bytes")
        out += data
    return bytes(out)


def read_all(sock):
    """Everything to the end of the stream."""
    out = bytearray()
    while data := sock.recv(1 << 18):
        out += data
    return bytes(out)


def read_digest(sock):
    """(length, SHA-256) of everything to the end, for what is large."""
    h, n = hashlib.sha256(), 0
    while data := sock.recv(1 << 18):
        h.update(data)
        n += len(data)
    return n, h.hexdigest()


def trickle(sock, data, size=1, pause=0.001):
    """Sends in pieces of that size."""
    for i in range(0, len(data), size):
        sock.sendall(data[i:i + size])
        time.sleep(pause)


def roundtrip(sock, data):
    """Sends, and expects the same back; sending goes on while reading."""
    sender = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
    if len(data) > 1 << 16:
        sender.start()
    else:
        sock.sendall(data)
    got = read_exact(sock, len(data))
    if len(data) > 1 << 16:
        sender.join(TIMEOUT)
    assert got == data
    return got


def echo_once(port, data=b"hello", **kw):
    """One whole exchange with an echo behind port."""
    with connect(port, **kw) as s:
        roundtrip(s, data)
        if not isinstance(s, ssl.SSLSocket):
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b""


def ask_name(port, **kw):
    """Which destination a new connection reaches (Named, Holder)."""
    with connect(port, **kw) as s:
        return s.recv(100).decode()


class TlsSocket(ssl.SSLSocket):
    """One thread may send while another one receives. What is below cannot:
    so they take turns, and wait outside of it."""

    def _begin(self):
        turn = self.__dict__.setdefault("_turn", threading.Lock())
        with turn:
            if "_limit" not in self.__dict__:
                self._limit = super().gettimeout()
                super().settimeout(0)
        return turn

    def _turns(self, call, *args):
        turn = self._begin()
        end = None if self._limit is None else \
            time.monotonic() + self._limit
        while True:
            with turn:
                try:
                    return call(*args)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as e:
                    if self._limit == 0:
                        raise
                    event = select.POLLIN if isinstance(
                        e, ssl.SSLWantReadError) else select.POLLOUT
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            p = select.poll()
            p.register(self, event)
            # a turn of the other one may have taken what woke us up
            p.poll(100 if left is None else min(left * 1000, 100))

    def settimeout(self, value):
        if "_limit" in self.__dict__:
            self._limit = value
        else:
            super().settimeout(value)

    def setblocking(self, flag):
        self.settimeout(None if flag else 0)

    def gettimeout(self):
        return self.__dict__.get("_limit", super().gettimeout())

    def read(self, *args):
        return self._turns(super().read, *args)

    def write(self, data):
        return self._turns(super().write, data)

    def send(self, *args):
        return self._turns(super().send, *args)

    def _plain(self):
        if "_limit" in self.__dict__:
            super().settimeout(self._limit)

    def unwrap(self):
        result = self._turns(super().unwrap)
        self._plain()
        return result

    def shutdown(self, how):
        super().shutdown(how)
        self._plain()


def client_context(ca=None, version=None, cert=None, alpn=None):
    """A TLS client; without ca nothing is verified."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.sslsocket_class = TlsSocket
    if ca:
        c.load_verify_locations(str(ca))
    else:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = version
    if cert:
        c.load_cert_chain(str(cert.cert), str(cert.key), cert.passphrase)
    if alpn:
        c.set_alpn_protocols(alpn)
    return c


def server_context(pair, version=None, client_ca=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.sslsocket_class = TlsSocket
    c.load_cert_chain(str(pair.cert), str(pair.key), pair.passphrase)
    if version:
        c.minimum_version = c.maximum_version = version
    if client_ca:
        c.load_verify_locations(str(client_ca))
        c.verify_mode = ssl.CERT_REQUIRED
    return c


# ---- certificates

class Pair:
    """A certificate: cert, key, and pem with both in one file."""

    def __init__(self, cert, key, pem, passphrase=None):
        self.cert, self.key, self.pem = cert, key, pem
        self.passphrase = passphrase


class Certs:
    """Certificates by openssl(1), made when first asked for."""

    KEYS = {
        "ecdsa": ["-algorithm", "EC", "-pkeyopt",
                  "ec_paramgen_curve:P-256"],
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ed25519": ["-algorithm", "ED25519"],
    }

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.made = {}
        self.serial = 0
        self.authorities = {}

    def openssl(self, *args):
        r = subprocess.run(["openssl", *map(str, args)], cwd=self.dir,
                           capture_output=True, text=True, timeout=60,
                           stdin=subprocess.DEVNULL)
        assert r.returncode == 0, (args, r.stderr)
        return r.stdout

    def authority(self, name="ca"):
        """The certificate of an authority; its key is beside it."""
        if name not in self.authorities:
            cert, key = self.dir / f"{name}.crt", self.dir / f"{name}.key"
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                         "-subj", f"/CN=test {name}", "-keyout", key,
                         "-out", cert)
            self.authorities[name] = cert
        return self.authorities[name]

    @property
    def ca(self):
        return self.authority()

    def make(self, label, names=("localhost",), ips=("127.0.0.1", "::1"),
             key="ecdsa", ca="ca", passphrase=None, expired=False,
             days=30, cn=None):
        """A certificate of that authority (None: self-signed), cached by
        everything that makes it: tests in one process may use one label for
        different ones."""
        what = (label, tuple(names), tuple(ips), key, ca, passphrase, expired,
                days, cn)
        if what in self.made:
            return self.made[what]
        self.serial += 1
        base = self.dir / f"{label}-{self.serial}"
        keyfile = base.with_suffix(".key")
        cert, req = base.with_suffix(".crt"), base.with_suffix(".csr")
        cipher = ["-aes-256-cbc", "-pass", f"pass:{passphrase}"] \
            if passphrase else []
        self.openssl("genpkey", *self.KEYS[key], *cipher, "-out", keyfile)
        alt = ",".join([f"DNS:{n}" for n in names] + [f"IP:{i}" for i in ips])
        ext = base.with_suffix(".ext")
        ext.write_text("basicConstraints=CA:FALSE\n"
                       + (f"subjectAltName={alt}\n" if alt else ""))
        passin = ["-passin", f"pass:{passphrase}"] if passphrase else []
        self.openssl("req", "-new", "-key", keyfile, *passin, "-subj",
                     f"/CN={cn or label}", "-out", req)
        when = ["-days", "-1"] if expired else ["-days", days]
        if ca is None:
            signer = ["-signkey", keyfile, *passin]
        else:
            authority = self.authority(ca)
            signer = ["-CA", authority, "-CAkey",
                      authority.with_suffix(".key"), "-set_serial",
                      1000 + self.serial]
        self.openssl("x509", "-req", "-in", req, *signer, *when, "-extfile",
                     ext, "-out", cert)
        pem = base.with_suffix(".pem")
        pem.write_text(cert.read_text() + keyfile.read_text())
        pair = Pair(cert, keyfile, pem, passphrase)
        self.made[what] = pair
        return pair

    # the usual ones

    @property
    def ecdsa(self):
        return self.make("ecdsa")

    @property
    def rsa(self):
        return self.make("rsa", key="rsa")

    @property
    def ed25519(self):
        return self.make("ed25519", key="ed25519")

    @property
    def expired(self):
        return self.make("expired", expired=True)

    @property
    def encrypted(self):
        return self.make("encrypted", passphrase="12345")

    @property
    def client(self):
        return self.make("client", names=(), ips=(), cn="test client")

    @property
    def stranger(self):
        """A client certificate that another authority signed."""
        return self.make("stranger", names=(), ips=(), ca="other",
                         cn="stranger")

    @property
    def expired_client(self):
        return self.make("expired-client", names=(), ips=(), expired=True)


def s_client(port, *args, data=b"", host="127.0.0.1", timeout=None):
    """openssl s_client as a peer: CompletedProcess with bytes. Its input ends
    behind data; it waits for the peer to close (-ign_eof)."""
    return subprocess.run(
        ["openssl", "s_client", "-connect",
         f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
         *map(str, args)], input=data, capture_output=True,
        timeout=timeout or TIMEOUT)


def curl(*args, timeout=None):
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time",
         str(int(timeout or TIMEOUT)), *map(str, args)],
        capture_output=True, timeout=(timeout or TIMEOUT) + 5,
        stdin=subprocess.DEVNULL)


def have(program):
    return shutil.which(program) is not None
