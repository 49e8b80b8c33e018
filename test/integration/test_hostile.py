"""The service as somebody treats it who means it no good, or does not know
better: odd files, no room, no descriptors, no memory, crowds, and workers
that have been taken over. It may refuse, but neither spin, nor crash, nor
leak, nor let anybody suffer who has nothing to do with it."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time

import pytest

import lib
import ops
import stage

ROOT = os.getuid() == 0 and shutil.which("unshare")
as_root = pytest.mark.skipif(not ROOT, reason="needs root and unshare")

# in a file system of its own with so much room, all of it taken
FULL = ('mount -t tmpfs -o size={size},nr_inodes={inodes} none "{at}" && '
        '(dd if=/dev/zero of="{at}/fill" bs=4k count=64 2>/dev/null; true) '
        '&& exec "$0" "$@"')


def full(at, size="4k", inodes=10):
    return ["unshare", "-m", "sh", "-c",
            FULL.format(at=at, size=size, inodes=inodes)]


def calm(s, seconds=0.7, share=0.15):
    """Nobody of a service uses much of a processor."""
    pids = [s.pid, *s.workers()]
    before = {p: stage.cpu_time(p) for p in pids}
    time.sleep(seconds)
    used = {p: stage.cpu_time(p) - before[p] for p in pids if lib.alive(p)}
    assert all(v <= share * seconds + 0.02 for v in used.values()), \
        f"{used}\n" + s.log()


# ---- what a configuration can be

GOOD = """id = spawnd { listen = { port = 8080 } }
id = tcprelay { remote = { address = 192.0.2.10 port = 80 } }
"""


def check(*args, **kw):
    directory = kw.pop("directory")
    r = subprocess.run([lib.TCPRELAY, "-P", *map(str, args)],
                       env=lib.environment(directory), cwd=directory,
                       capture_output=True, timeout=lib.TIMEOUT * 3, **kw)
    assert not lib.sanitizer_files(directory)
    return r.returncode, r.stderr.decode(errors="replace")


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_from_a_descriptor(tmp_path, name, kind):
    good = tmp_path / "good"
    good.write_text(GOOD)
    if kind == "pipe":
        assert check(name, directory=tmp_path, input=GOOD.encode()) == (0, "")
    else:
        with open(good) as f:
            assert check(name, directory=tmp_path, stdin=f) == (0, "")


def test_odd_files(tmp_path):
    """66 and a reason, at once."""
    fifo, folder = tmp_path / "fifo", tmp_path / "folder"
    sock, loop = tmp_path / "sock", tmp_path / "loop"
    big, link = tmp_path / "big", tmp_path / "link"
    os.mkfifo(fifo)
    folder.mkdir()
    loop.symlink_to(loop)
    with open(big, "wb") as f:
        f.write(GOOD.encode())
        f.truncate(17 << 20)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(sock))
    for file, reason in ((fifo, "not supported"), (folder, "directory"),
                         (sock, "No such device"), (loop, "symbolic links"),
                         (big, "too large"), ("/dev/zero", "too large"),
                         ("/dev/ptmx", "temporarily unavailable"),
                         ("/dev/fd/77", "No such file")):
        status, err = check(file, directory=tmp_path,
                            stdin=subprocess.DEVNULL)
        assert status == 66 and reason in err, (file, status, err)
    link.symlink_to(tmp_path / "good")
    (tmp_path / "good").write_text(GOOD)
    assert check(link, directory=tmp_path) == (0, "")


ODD_BYTES = {
    "empty": (b"", 78),
    "crlf": (GOOD.replace("\n", "\r\n").encode(), 0),
    "bom": (b"\xef\xbb\xbf" + GOOD.encode(), 0),
    "utf-16": (GOOD.encode("utf-16"), 78),
    "latin-1": (b"# \xe4\xf6\xfc\n" + GOOD.encode() + b"id = \xe4 { }", 0),
    "no end of line": (GOOD.rstrip().encode(), 0),
    "15 MB of comments": (b"# so much to say\n" * 900000 + GOOD.encode(), 0),
    "1 MB in one word": (GOOD.encode() + b"x" * (1 << 20), 78),
    "1 MB of braces": (b"{" * (1 << 20), 78),
    "braces that close nothing": (b"}" * 100000, 78),
    "escapes of a terminal": (b"\x1b]0;x\x07\x1b[2J\n" + GOOD.encode(), 78),
    "formats": (b"id = spawnd { %n%s%n }" + GOOD.encode(), 78),
    "aliases that double": (b"alias a0 { permit 192.0.2.0/24 }\n" + b"".join(
        b"alias a%d { a%d a%d }\n" % (i + 1, i, i) for i in range(40))
     + b"id = spawnd { a40 }\n" + GOOD.encode(), 78),
}


@pytest.mark.parametrize("name", ODD_BYTES)
def test_odd_bytes(tmp_path, name):
    data, status = ODD_BYTES[name]
    file = tmp_path / "odd"
    file.write_bytes(data)
    got, err = check(file, directory=tmp_path)
    assert got == status, err[:2000]
    assert (status == 0) == (err == "") and "\x1b" not in err
    assert len(err) < 1 << 20


def test_pattern_finds_terminals(tmp_path):
    """Nothing that a pattern finds can hold the reader up."""
    file = tmp_path / "all"
    file.write_text('include = "/dev/ptm*"\n' + GOOD)
    status, err = check(file, directory=tmp_path)
    assert status == 78
    assert re.search("cannot read '/dev/ptmx'", err), err


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/{}"])
def test_reload_of_what_was_a_pipe(service, backend, port, name):
    """It can be read once. The service goes on without it."""
    echo = backend(lib.Echo)
    r, w = os.pipe()
    s = service(ops.conf(port, echo.remote), start=False, stdin=r,
                pass_fds=(r,))
    os.write(w, s.file.read_bytes())
    os.close(w)
    s.file = name.format(r)
    s.start()
    os.close(r)
    lib.echo_once(port)
    s.reload(None, "refused, ")
    lib.echo_once(port)


# ---- what stands on descriptor 0

def test_unconnected_socket_is_no_inetd(service, backend, port):
    echo = backend(lib.Echo)
    with socket.socket() as s:
        service(ops.conf(port, echo.remote), stdin=s.fileno())
        lib.echo_once(port)


@pytest.mark.parametrize("env, top", [
    ({"SPAWND_WORKER": "junk", "SPAWND_KEYPROC": "junk"}, ""),
    ({}, "setenv SPAWND_WORKER = junk setenv SPAWND_KEYPROC = junk"),
    ({"LANG": "tr_TR.UTF-8", "LC_ALL": "%n%s", "TZ": ":../%n\xff",
      "IO_POLL_MECHANISM": ""}, ""),
])
def test_environment(service, backend, port, env, top):
    """What is left over there does not reach workers or key processes."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, top=top), env=env)
    ops.wait_ready(s, 2)
    lib.echo_once(port)
    s.reload()
    lib.echo_once(port)


def test_junk_on_a_channel(tmp_path):
    """A worker that was started by nobody who knows how says so."""
    file = tmp_path / "x"
    file.write_text(GOOD)
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with a, b:
        for value in "junk", "1:0123", "65537:0011223344556677", "":
            r = subprocess.run(
                [lib.TCPRELAY, "-D", file], stdin=a, capture_output=True,
                text=True, timeout=lib.TIMEOUT, cwd=tmp_path,
                env=lib.environment(tmp_path, {"SPAWND_WORKER": value}))
            assert r.returncode == 78, r.stderr
            assert "SPAWND_WORKER" in r.stderr or "version" in r.stderr
    assert not lib.sanitizer_files(tmp_path)


# ---- somebody else at our paths

def test_another_socket_at_our_path(service, backend, tmp_path):
    """Who finds the path free may have it, and keeps it behind our end."""
    echo = backend(lib.Echo)
    path = tmp_path / "s"
    text = ops.conf(0, echo.remote, listen=f'listen {{ path = "{path}" }}')
    one = service(text)
    lib.echo_once(path)
    path.unlink()
    service(text)
    inode = path.stat().st_ino
    one.reload()
    assert one.stop() == 0
    assert path.stat().st_ino == inode
    lib.echo_once(path)


def test_link_at_our_path(service, backend, tmp_path):
    """A reload gives nobody's files away."""
    echo = backend(lib.Echo)
    path, victim = tmp_path / "s", tmp_path / "victim"
    victim.write_text("precious\n")
    victim.chmod(0o600)
    s = service(ops.conf(0, echo.remote, listen=f"""listen {{
        path = "{path}" mode = 0666 userid = {os.getuid()} }}"""))
    path.unlink()
    path.symlink_to(victim)
    s.reload()
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert s.stop() == 0
    assert path.is_symlink() and victim.exists()


# ---- no room

@as_root
@pytest.mark.parametrize("inodes", [10, 2])
def test_no_room_for_the_pid_file(service, port, tmp_path, inodes):
    at = tmp_path / "full"
    at.mkdir()
    s = service(ops.conf(port, "address = 127.0.0.1 port = 9"), start=False,
                clean=False, args=["-p", at / "pid"],
                wrap=full(at, inodes=inodes))
    s.launch()
    assert s.wait() == 73
    s.wait_for("pid file '.*': No space left on device")


@pytest.mark.parametrize("what", ["link", "folder", "fifo", "device"])
def test_wrong_pid_file(service, port, tmp_path, what):
    at, victim = tmp_path / "pid", tmp_path / "victim"
    if what == "link":
        at.symlink_to(victim)
    elif what == "folder":
        at.mkdir()
    elif what == "fifo":
        os.mkfifo(at)
    else:
        at = pathlib.Path("/dev/null")
    s = service(ops.conf(port, "address = 127.0.0.1 port = 9"), start=False,
                clean=False, args=["-p", at])
    s.launch()
    assert s.wait() == 73
    assert not victim.exists() and os.path.lexists(at)
    if what == "device":
        assert stat.S_ISCHR(at.stat().st_mode)


@as_root
def test_no_room_for_the_log(service, backend, port, tmp_path):
    """Lines are lost, nothing else; those that find room are whole."""
    echo = backend(lib.Echo)
    at = tmp_path / "full"
    at.mkdir()
    s = service(ops.conf(port, echo.remote, top=f'log file = "{at}/log"',
                         relay="log connections = yes"),
                wrap=full(at, size="16k", inodes=10))
    for _ in range(20):
        lib.echo_once(port)
    seen = pathlib.Path(f"/proc/{s.pid}/root{at}")
    (seen / "fill").unlink()
    lib.echo_once(port)
    lib.wait_until(lambda: "lines dropped" in (seen / "log").read_text(),
                   "the number of lines that were dropped")
    s.reload()
    calm(s)


def test_directory_is_gone(service, backend, port, tmp_path):
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote), start=False)
    gone = s.directory / "gone"
    gone.mkdir()
    s.wrap = ["sh", "-c", f'cd "{gone}" && rmdir "{gone}" && exec "$0" "$@"']
    s.start()
    lib.echo_once(port)
    s.reload()
    lib.echo_once(port)


# ---- crowds

def settings(certs, tls, more=""):
    if not tls:
        return more
    return (f"{more} tls cert-file = {certs.ecdsa.cert} "
            f"tls key-file = {certs.ecdsa.key}")


@pytest.mark.parametrize("tls", [False,
                                 pytest.param(True, marks=pytest.mark.tls)])
def test_connected_and_never_used(service, backend, port, certs, tls):
    """1,000 of them, until the timeout; and nothing stays of them."""
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, listen=f"listen {{ port {port} "
        f"{'tls' if tls else ''} }}", relay=settings(
            certs, tls, "idle timeout = 4 handshake timeout = 4"),
        spawn="instances min = 2 instances max = 2 users max = 2000"))
    pids = [s.pid, *ops.wait_ready(s, 2)]
    context = lib.client_context() if tls else None
    lib.echo_once(port, context=context)
    time.sleep(0.2)
    before = {p: len(lib.descriptors(p)) for p in pids}
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(lib.connect(port))
                 for _ in range(1000)]
        lib.echo_once(port, context=context)
        for c in crowd:
            with contextlib.suppress(ConnectionResetError):
                assert c.recv(1) == b""
    lib.wait_until(lambda: ops.users(s) == [0, 0], "nobody", step=0.2)
    # pipes may be kept for those who come
    lib.wait_until(lambda: all(len(lib.descriptors(p)) <= before[p] + 4
                               for p in pids), "closed descriptors",
                   step=0.2)
    calm(s)
    assert s.workers() == sorted(pids[1:])


@pytest.mark.tls
def test_half_open_handshakes(service, backend, port, certs):
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, listen=f"listen {{ port {port} tls }}",
        relay=settings(certs, True, "handshake timeout = 3"),
        spawn="instances min = 2 instances max = 2 users max = 2000"))
    workers = ops.wait_ready(s, 2)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = lib.client_context().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with contextlib.ExitStack() as stack:
        crowd = []
        for i in range(400):
            c = stack.enter_context(lib.connect(port))
            c.sendall(hello[:(len(hello), len(hello) // 2, 6, 5, 1)[i % 5]])
            crowd.append(c)
        for c in crowd[::3]:
            lib.reset(c)
        lib.echo_once(port, context=lib.client_context())
        calm(s)
        lib.wait_until(lambda: ops.users(s) == [0, 0], "nobody", step=0.2)
    assert s.workers() == sorted(workers)
    assert echo.connections == 1


def test_workers_killed_under_load(service, backend, port):
    """One after the other. Only their own sessions suffer; in the end all
    is as in the beginning."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote,
                         spawn="instances min = 3 instances max = 3"))
    ops.wait_ready(s, 3)
    before = len(lib.descriptors(s.pid))
    # of a worker that is left alone
    safe, keep = ops.hold(s, port)
    over, counts, lock = threading.Event(), [0, 0], threading.Lock()

    def load():
        while not over.is_set():
            try:
                lib.echo_once(port, lib.pattern(1000))
                good = 0
            except (OSError, AssertionError):
                good = 1
            with lock:
                counts[good] += 1

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    killed = 0
    for _ in range(12):
        victims = [p for p in s.workers() if p != keep]
        if victims:
            os.kill(victims[-1], signal.SIGKILL)
            killed += 1
        time.sleep(0.15)
        lib.roundtrip(safe, b"still here")
    over.set()
    for t in threads:
        t.join(lib.TIMEOUT)
    safe.close()
    assert counts[0] > counts[1]
    ops.wait_ready(s, 3, 40)
    lib.echo_once(port)
    assert len(s.grep("killed by signal 9")) == killed
    lib.wait_until(lambda: len(lib.descriptors(s.pid)) <= before + 4,
                   "closed descriptors", step=0.2)
    calm(s)


def test_stopped_and_continued(service, backend, port):
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote))
    workers = ops.wait_ready(s, 2)
    with ops.Stream(port) as stream:
        for _ in range(4):
            for p in workers:
                os.kill(p, signal.SIGSTOP)
            c = lib.connect(port)
            c.sendall(b"x")
            calm(s, 0.3)
            for p in workers:
                os.kill(p, signal.SIGCONT)
            with c:
                assert lib.read_exact(c, 1) == b"x"
            stream.goes_on()
    assert s.workers() == sorted(workers)


# ---- no descriptors, no memory

@pytest.mark.parametrize("limit, args, accept", [
    (10, ["-1"], "master"), (11, ["-1"], "master"), (16, ["-1"], "master"),
    (16, [], "master"), (16, [], "workers"), (32, [], "master"),
    (64, [], "workers")])
def test_few_descriptors(service, backend, port, limit, args, accept):
    """Few are served at a time, and one after the other all are."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, broker=f"accept = {accept}"),
                limit=limit, args=args)
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            c = stack.enter_context(lib.connect(port, timeout=5))
            c.sendall(b"x")
        calm(s)
    if limit < 12:
        return				# too few to relay anything
    for _ in range(5):
        lib.wait_until(lambda: tried(port), "to be served", step=0.2)
    # that may work or not: it changes nothing
    s.reload(None, "reload: ")
    lib.wait_until(lambda: tried(port), "to be served", step=0.2)
    calm(s)


def tried(port):
    try:
        lib.echo_once(port, timeout=3)
        return True
    except (OSError, AssertionError):
        return False


@pytest.mark.skipif(b"__asan_init" in lib.TCPRELAY.read_bytes()
                    if lib.TCPRELAY.exists() else True,
                    reason="a sanitizer needs more memory than that")
@pytest.mark.skipif(not shutil.which("prlimit"), reason="no prlimit")
@pytest.mark.parametrize("tls", [False,
                                 pytest.param(True, marks=pytest.mark.tls)])
def test_little_memory(service, backend, port, certs, tls):
    """Sessions fail for want of it. Nobody dies of it."""
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, listen=f"listen {{ port {port} "
        f"{'tls' if tls else ''} }}", relay=settings(certs, tls),
        spawn="instances min = 1 instances max = 1 users max = 2000"),
        wrap=["prlimit", f"--as={16 << 20}"])
    worker, = ops.wait_ready(s, 1)
    context = lib.client_context() if tls else None
    with contextlib.ExitStack() as stack:
        served = 0
        for _ in range(700):
            with contextlib.suppress(OSError, AssertionError):
                c = lib.connect(port, timeout=5, context=context)
                stack.callback(c.close)
                lib.roundtrip(c, b"x")
                served += 1
        assert served > 50
        calm(s)
    assert lib.wait_until(
        lambda: with_tls(port, context), "to be served", step=0.2)
    s.reload(None, "reload: ")
    lib.wait_until(lambda: with_tls(port, context), "to be served", step=0.2)
    assert not s.grep("killed by")
    assert lib.alive(worker) or s.grep("reload: done")


def with_tls(port, context):
    with contextlib.suppress(OSError, AssertionError):
        lib.echo_once(port, timeout=5, context=context)
        return True
    return False


# ---- a worker that was taken over

EVIL = r"""#!{python}
import os, socket, struct, sys, time

if "-P" in sys.argv:
    sys.exit(0)
what = {what!r}
s = socket.socket(fileno=0)
nonce = bytes.fromhex(os.environ["SPAWND_WORKER"].split(":")[1])
generation, = struct.unpack_from("=I", s.recv(70000), 16 + 8)
n = 0

def message(kind, payload=b""):
    global n
    n += 1
    return struct.pack("=IHHII", 0x53504E44, 1, kind, len(payload),
                       n) + payload

s.send(message(16, nonce + struct.pack("=II", generation, 100)))
many = struct.pack("=I", 4000000000)
while True:
    if what == "keepalive":
        s.send(message(1))
    elif what == "done":
        s.send(message(0, many))
    elif what == "max":
        s.send(message(5, many))
    elif what == "ready":
        s.send(message(16, nonce + struct.pack("=II", generation, 100)))
    elif what == "dying":
        s.send(message(3))
    elif what == "bad configuration":
        s.send(message(4, b"\x1b[2J%n%s" + b"A" * 4000))
    elif what == "return":
        s.send(message(22, struct.pack("=QI", n, 3)))
    elif what == "taken":
        s.send(message(17, struct.pack("=Q", n)))
    elif what == "descriptors":
        socket.send_fds(s, [message(1)], [0] * 250)
    elif what == "noise":
        s.send(os.urandom(300))
    elif what == "extended":
        for kind in 20, 21, 23, 25, 26, 27, 30, 33, 77:
            s.send(message(kind, bytes(400)))
"""


@pytest.mark.parametrize("what", [
    "keepalive", "done", "max", "ready", "dying", "bad configuration",
    "return", "taken", "descriptors", "noise", "extended"])
def test_worker_taken_over(service, port, tmp_path, what):
    """It floods the master, which goes on to do what it has to."""
    tmp_path.chmod(0o755)
    evil = tmp_path / "evil"
    evil.write_text(EVIL.format(python=sys.executable, what=what))
    evil.chmod(0o755)
    s = service(f"""id = spawnd {{ listen = {{ port = {port} }} spawn = {{
        exec = "{evil}" id = x instances min = 1 instances max = 1 }} }}
        id = x {{ }}""", program="spawnd", clean=False)
    s.wait_workers(1) if what != "dying" else None
    time.sleep(1)
    clients = [lib.connect(port, timeout=lib.TIMEOUT) for _ in range(5)]

    def held():		# the least: those of the message in hand are closed
        return min(len(lib.descriptors(s.pid)) for _ in range(20))

    before = held()
    since, began = s.mark(), time.monotonic()
    s.send_signal(signal.SIGUSR2)
    s.wait_for("status worker=", since=since)
    time.sleep(1)
    took = time.monotonic() - began
    # neither a line per message, nor a worker per message, nor descriptors
    assert s.mark() - since < 60 * took, s.log()
    assert len(s.workers()) < 10
    assert held() <= before + 10
    for c in clients:
        c.close()
    s.send_signal(signal.SIGTERM)
    assert s.wait() == 0
    assert "\x1b" not in s.log()
