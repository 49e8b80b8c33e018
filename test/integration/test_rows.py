"""Faults of old, tried for real, where no other test does: what
doc/requirements.md names."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

import lib
import ops
import stage

# Steps of the wall clock, as a process sees them: whatever it asks for the
# time of day is off by the seconds in the file CLOCK_STEP names.
STEP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/time.h>
#include <time.h>

static long
step(void)
{
	const char *name = getenv("CLOCK_STEP");
	char text[32] = "";
	int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return atol(text);
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, ts);
	if (result == 0 && (clock == CLOCK_REALTIME ||
	    clock == CLOCK_REALTIME_COARSE))
		ts->tv_sec += step();
	return result;
}

time_t
time(time_t *at)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (at != NULL)
		*at = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
"""


@pytest.fixture(scope="module")
def stepper(tmp_path_factory):
    """What LD_PRELOAD has to be for steps of the clock."""
    cc = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if cc is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("step")
    (directory / "step.c").write_text(STEP)
    library = directory / "step.so"
    subprocess.run([cc, "-shared", "-fPIC", "-o", library,
                    directory / "step.c", "-ldl"], check=True)
    preload = [str(library)]
    # a sanitizer wants to be the first
    needed = subprocess.run(["ldd", lib.TCPRELAY], capture_output=True,
                            text=True).stdout
    for line in needed.splitlines():
        if "libasan" in line:
            preload.insert(0, line.split()[2])
    if len(preload) == 1 and b"__asan_init" in lib.TCPRELAY.read_bytes():
        pytest.skip("a sanitizer that is linked in cannot be preceded")
    return ":".join(preload)


def clock_of(s):
    """The day in the last line of the log, which the step must show."""
    text = (s.directory / "log").read_text().splitlines()
    return text[-1][:10] if text else None


@pytest.mark.parametrize("step", [86400 * 400, -86400 * 400])
def test_clock_step(service, backend, port, tmp_path, stepper, step):
    """Row 50. A step, either way, ends no session, and timeouts come when
    they would have come."""
    echo = backend(lib.Echo)
    late = tmp_path / "step"
    late.write_text("0")
    directory = tmp_path / "service0"
    s = service(stage.config(
        port, echo.remote, relay="idle timeout = 3",
        spawn="instances min = 1 instances max = 1",
        top=f'log file = "{directory}/log"'),
        env={"LD_PRELOAD": stepper, "CLOCK_STEP": late})
    ops.wait_ready(s, 1)
    today = clock_of(s)
    with ops.Stream(port) as busy, lib.connect(port) as idle:
        lib.roundtrip(idle, b"x")
        late.write_text(str(step))
        began = time.monotonic()
        # a busy one goes on for longer than the timeout of the idle one
        assert lib.read_all(idle) == b""
        took = time.monotonic() - began
        busy.goes_on()
        assert 2 < took < 12, took
    lib.wait_until(lambda: clock_of(s) != today, "a line of another day")
    lib.echo_once(port)
    s.reload()


def test_signals_at_once(service, backend, port):
    """Row 23. Processes at rest, which wait for nothing that comes soon."""
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote))
    pids = ops.wait_ready(s, 2)
    time.sleep(1.5)			# past what a start leaves behind
    os.kill(pids[0], signal.SIGHUP)
    lib.wait_until(lambda: not lib.alive(pids[0]), "a worker's end", 5)
    ops.wait_ready(s, 2, 5)
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    s.wait_for("reload: done", 5, since)
    s.send_signal(signal.SIGTERM)
    assert s.wait(5) == 0


def test_nobody_spins(service, backend, port):
    """Row 31. Workers that outlive their master, with sessions that are
    half-closed, stalled, or silent, do nothing."""
    echo, slow = backend(lib.HalfClose), backend(lib.Slow)
    s = service(stage.config(port, echo.remote))
    other = lib.free_port()
    t = service(stage.config(other, slow.remote))
    workers = s.wait_workers(1) + t.wait_workers(1)
    half, silent = lib.connect(port), lib.connect(port)
    half.sendall(b"request")
    stalled = lib.connect(other)
    stalled.setblocking(False)
    try:
        while True:
            stalled.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    # one more end of stream than the relay can pass on
    stalled.shutdown(socket.SHUT_WR)
    for x in s, t:
        x.send_signal(signal.SIGTERM)
        assert x.wait() == 0
    lib.wait_until(lambda: all(
        "ending when idle" in lib.title(p) for p in workers),
        "the workers to know")
    time.sleep(0.3)
    before = [stage.cpu_time(p) for p in workers]
    time.sleep(1)
    assert all(stage.cpu_time(p) - b <= 0.1
               for p, b in zip(workers, before))
    half.shutdown(socket.SHUT_WR)
    assert lib.read_all(half).startswith(b"7 ")
    slow.go.set()
    for c in half, silent, stalled:
        c.close()
    lib.wait_until(lambda: not any(map(lib.alive, workers)),
                   "the end of the workers")


def test_full_channel(service, backend, port):
    """Row 26. More than its channel holds for a worker that does not read:
    it is neither dead nor is anybody lost."""
    echo = backend(lib.Echo)
    s = service(ops.conf(
        port, echo.remote, listen=f"listen {{ port {port} backlog = 2000 }}",
        spawn="instances min = 1 instances max = 1 users max = 2000"))
    worker, = ops.wait_ready(s, 1)
    clients = []
    try:
        os.kill(worker, signal.SIGSTOP)
        # one by one, so that each is a message of its own
        for _ in range(900):
            clients.append(lib.connect(port, timeout=lib.TIMEOUT * 2))
        before = stage.cpu_time(s.pid)
        time.sleep(1)
        assert stage.cpu_time(s.pid) - before <= 0.15
    finally:
        os.kill(worker, signal.SIGCONT)
    for c in clients:
        c.sendall(b"x")
    for c in clients:
        assert lib.read_exact(c, 1) == b"x"
        c.close()
    assert s.workers() == [worker]


def test_log_without_syslog(service, backend, port):
    """Row 57. Where no syslog runs, -D shows every line of the master and
    of workers, and nothing waits for one."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    echo = backend(lib.Echo)
    s = service(ops.conf(port, echo.remote, relay="log connections = yes"),
                wrap=["unshare", "-m", "sh", "-c",
                      "mount -t tmpfs none /dev && "
                      "mknod -m 666 /dev/null c 1 3 && "
                      'mknod -m 666 /dev/urandom c 1 9 && exec "$0" "$@"'])
    lib.echo_once(port)
    s.wait_for(r"conn=\S+ .*end=done")
    assert s.grep("listening on")
    assert not pathlib.Path(f"/proc/{s.pid}/root/dev/log").exists()
