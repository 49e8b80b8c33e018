"""Reloads in great numbers, and of great files. bench/reload does the same
for as long as one likes, and tells figures; none is judged here."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

import lib
import ops

RELOAD = lib.TOP / "bench" / "reload"
TWO = "instances min = 2 instances max = 2 users max = 2000"


def bench(tmp_path, *args, timeout=100):
    if shutil.which("cc") is None or shutil.which("openssl") is None:
        pytest.skip("bench/reload needs cc and openssl")
    out = tmp_path / "out.json"
    r = subprocess.run(
        [RELOAD, "--tcprelay", lib.TCPRELAY, "--json", out, *map(str, args)],
        capture_output=True, text=True, timeout=timeout,
        env=lib.environment(tmp_path))
    assert not lib.sanitizer_files(tmp_path), lib.sanitizer_files(tmp_path)
    assert out.exists(), r.stdout + r.stderr
    return json.loads(out.read_text()), r.stdout + r.stderr


@pytest.mark.tls
@pytest.mark.slow
def test_two_hundred(tmp_path, no_quarantine):
    """Listeners, who accepts, options, destinations, weights and certificates
    change all the time: nobody is refused, reset, cut short or kept waiting,
    all bytes are right, and nothing grows."""
    slow = b"__asan_init" in lib.TCPRELAY.read_bytes()
    r, text = bench(tmp_path, "--reloads", 200, "--pause", 0.02, "--rate",
                    60 if slow else 120, "--held", 100 if slow else 300,
                    "--warm", 20)
    assert r["reloads"] == 200 and r["replaced"] == 0, text
    for name in ("refused", "reset", "short", "wrong", "late", "local"):
        assert r["crowd"][name] == 0, text
    assert r["crowd"]["visits"] > 200 and r["crowd"]["bytes"] > 100000, text
    assert r["before"]["pids"] == r["after"]["pids"], text
    assert r["before"]["fds"] == r["after"]["fds"], text
    # Allocators keep what was used once: a leak of 100 kB a reload would be
    # seen, one of 10 kB by bench/reload.
    assert r["after"]["pss"][1] < r["before"]["pss"][1] + (20 << 20), text


def test_bench_big_and_kill(tmp_path):
    """They measure something."""
    slow = b"__asan_init" in lib.TCPRELAY.read_bytes()
    r, text = bench(tmp_path, "--big", "--reloads", 3, "--listeners", 20,
                    "--remotes", 50, *["--no-turns"] * slow)
    assert len(r["rows"]) == 3 and r["same"], text
    assert all(x > 0 for row in r["rows"] for x in row[:4]), text
    assert slow or sum(row[5] for row in r["rows"]) > 0, text
    r, text = bench(tmp_path, "--kill", "--kills", 2, "--impatient")
    assert [len(x) for x in r["kill"].values()] == [2] * 4, text
    assert all(0 < t < 10 for x in r["kill"].values() for t in x), text


# ---- large files

def address(i):
    return f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}"


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["master", "workers"])
def test_many_listeners_and_destinations(service, backend, port, accept):
    """300 and 2,000, in another order, some others, with other settings: what
    is the same stays open, in the same processes, and each works."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 6000:
        pytest.skip(f"only {hard} descriptors")
    echo = backend(lib.Echo)
    first = f"listen = {{ address = 127.0.0.1 port = {port} }}"

    def text(numbers, remotes, options=""):
        return ops.conf(
            None, echo.remote, spawn=TWO, broker=f"accept = {accept}",
            listen=first + "\n".join(
                f"listen = {{ address = {address(i)} port = {port} {options} "
                f"}}" for i in numbers),
            relay="\n".join(
                f"remote = {{ address = 127.0.0.1 port = {echo.port} weight "
                f"= {1 + i % 5} }}" for i in remotes))

    def works(numbers):
        for i in random.sample(numbers, 10) + [numbers[0], numbers[-1]]:
            lib.echo_once(port, host=address(i))

    numbers = list(range(300))
    s = service(text(numbers, range(2000)), listeners=301)
    pids = ops.wait_ready(s, 2)
    if accept == "workers":
        lib.wait_until(lambda: all(
            sum(t.startswith("socket:") for t in
                lib.descriptors(p).values()) > 300 for p in pids),
            "all sockets to be lent")
    works(numbers)
    with ops.Stream(port) as stream, ops.Visitors(port, 2) as visitors:
        inodes = set(ops.socket_inodes("listening", port))
        random.shuffle(numbers)
        s.reload(text(numbers, reversed(range(2000)), "backlog = 50"),
                 "done, 301 kept, 0 added, 0 removed, 2 workers kept")
        assert set(ops.socket_inodes("listening", port)) == inodes
        works(numbers)
        s.reload(text(numbers[:150] + list(range(300, 400)),
                      range(500, 2000)),
                 "done, 151 kept, 100 added, 150 removed, 2 workers kept")
        works(numbers[:150] + list(range(300, 400)))
        for i in numbers[150:160]:
            with pytest.raises(ConnectionRefusedError):
                lib.connect(port, host=address(i))
        s.reload(text([], range(10)),
                 "done, 1 kept, 0 added, 250 removed, 2 workers kept")
        stream.goes_on()
        visitors.more()
    assert ops.wait_ready(s, 2) == pids
    for p in [s.pid] + pids:
        lib.wait_until(lambda: len(lib.descriptors(p)) < 60,
                       "descriptors to be closed")


# ---- descriptors under way

def cpu_of(pid):
    return time.clock_gettime((~pid << 3) | 2)


@pytest.mark.parametrize("kind", ["connections", "lent"])
def test_descriptors_under_way(service, backend, port, tmp_path, kind):
    """An unprivileged master may not have more descriptors under way in
    channels than it may have open (ETOOMANYREFS). Where workers stand still
    it waits, without turning round and round, and then all are served."""
    if os.getuid() != 0 or not lib.have("setpriv"):
        pytest.skip("needs root and setpriv, to become somebody else")
    os.chmod(tmp_path, 0o755)
    # so that no ancestor of the file keeps him out
    for d in [tmp_path, *tmp_path.parents]:
        if not d.stat().st_mode & 0o001:
            if d.stat().st_uid != 0 or d == pathlib.Path("/"):
                pytest.skip(f"{d} is closed to others")
            os.chmod(d, d.stat().st_mode | 0o011)
    echo = backend(lib.Echo)
    # a uid of its own: what is under way counts per user
    uid = 60000 + os.getpid() % 5000
    other = [lib.free_port() for _ in range(60)] if kind == "lent" else []
    text = ops.conf(
        None, echo.remote, spawn="instances min = 1 instances max = 1 "
        "users max = 1000", listen=f"listen = {{ address = 127.0.0.1 port = "
        f"{port} backlog = 512 }}" + "".join(
            f" listen = {{ address = 127.0.0.1 port = {p} accept = master }}"
            for p in other))
    directory = tmp_path / "run"
    directory.mkdir()
    os.chown(directory, uid, uid)
    s = lib.Service(text, directory, limit=100,
                    wrap=["setpriv", f"--reuid={uid}", f"--regid={uid}",
                          "--clear-groups"])
    s.file.chmod(0o644)
    s.start(1 + len(other))
    try:
        worker, = ops.wait_ready(s, 1)
        os.kill(worker, signal.SIGSTOP)
        if kind == "connections":
            clients = [lib.connect(port) for _ in range(150)]
        else:
            clients = []
            s.write(text.replace("accept = master", "accept = workers"))
            s.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        before = cpu_of(s.pid)
        time.sleep(2)
        used = cpu_of(s.pid) - before
        os.kill(worker, signal.SIGCONT)
        for i, c in enumerate(clients):
            with c:
                lib.roundtrip(c, b"%06d" % i)
        if kind == "lent":
            s.wait_for("reload: done")
            lib.wait_until(lambda: sum(
                t.startswith("socket:") for t in
                lib.descriptors(worker).values()) >= len(other),
                "the sockets to be lent")
            for p in other[::7]:
                lib.echo_once(p)
        # a master that spins takes all there is of a core
        assert used < 0.8, f"{used:.2f} s of CPU in 2 s"
        s.assert_clean()
    finally:
        s.kill()


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_full_channel(service, backend, port, accept):
    """What the master says to a worker that stands still for a while comes
    in order, all of it: sockets of 400 listeners, and their recall."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 6000:
        pytest.skip(f"only {hard} descriptors")
    echo = backend(lib.Echo)
    many = range(400)

    def text(accept, n):
        return ops.conf(
            None, echo.remote, spawn=TWO, listen="\n".join(
                f"listen = {{ address = {address(i)} port = {port} "
                f"accept = {accept} }}" for i in many[:n]))

    s = service(text(accept, 400), listeners=400)
    pids = ops.wait_ready(s, 2)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ops.Visitors(port, 2, lambda: lib.connect(
            port, host=address(0))))
        for i in range(4):
            for p in pids:
                os.kill(p, signal.SIGSTOP)
            s.write(text("workers" if i % 2 else "master", 400 - i))
            since = s.mark()
            s.send_signal(signal.SIGHUP)
            s.wait_for("reload: started", since=since)
            time.sleep(0.2)
            for p in pids:
                os.kill(p, signal.SIGCONT)
            s.wait_for("reload: done, .* 2 workers kept, 0 repl", None,
                       since)
            for k in (0, 200, 390):
                lib.echo_once(port, host=address(k))
    assert ops.wait_ready(s, 2) == pids
    lib.wait_until(lambda: all(
        sum(t.startswith("socket:") for t in lib.descriptors(p).values())
        >= 397 for p in pids), "all sockets to be lent")
    assert not s.grep("no answer|suspected|gap")
