"""Crashes: core files, programs that look at them, and that everybody else
goes on (3.7, 5.10)."""

import os
import pathlib
import resource
import signal

import pytest

import lib
import ops

# Ours is to be seen at work, not the sanitizer's.
PLAIN_SEGV = {"ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0:"
              "handle_abort=0:detect_leaks=0"}


@pytest.fixture
def relay(service, backend, port, tmp_path):
    def make(top, **kw):
        echo = backend(lib.Echo)
        return service(ops.conf(port, echo.remote, top=top), env=PLAIN_SEGV,
                       **kw)

    return make


def cores(directory):
    return sorted(p.name for p in pathlib.Path(directory).rglob("core*"))


@pytest.mark.parametrize("signo,name", [
    (signal.SIGABRT, "SIGABRT"), (signal.SIGSEGV, "SIGSEGV"),
    (signal.SIGBUS, "SIGBUS")])
def test_debug_command(relay, port, tmp_path, signo, name):
    """It runs with the process id of who crashed, and with the environment of
    the file; the worker is replaced, nobody else notices."""
    seen = tmp_path / "seen"
    s = relay(f'setenv PLACE = here\n'
              f'debug-cmd = "echo $CRASHPID $PLACE >> {seen}"')
    other, victim = ops.wait_ready(s, 2)
    with ops.Stream(port) as one:		# the first gets the first
        os.kill(victim, signo)
        s.wait_for(rf"worker {victim} killed by signal {signo} \({name}\), "
                   r"lost 0")
        assert seen.read_text() == f"{victim} here\n"
        assert s.grep(rf"process {victim} crashed: signal {signo} "
                      rf"\({name}\)")
        lib.wait_until(lambda: len(s.workers()) == 2, "a replacement")
        one.goes_on()
    assert other in s.workers() and victim not in s.workers()
    lib.echo_once(port)
    assert cores(tmp_path) == []


def test_gcore(relay, port, tmp_path):
    """The program gets the process id, in the directory, while the process is
    there to be looked at; then the system writes no core."""
    place = tmp_path / "crash"
    place.mkdir()
    program = tmp_path / "my-gcore"
    program.write_text('#!/bin/sh\n'
                       'tr "\\0" " " </proc/$1/cmdline >image.$1\n')
    program.chmod(0o755)
    s = relay(f'coredump directory = "{place}"\ngcore = "{program}"')
    victim, _ = ops.wait_ready(s, 2)
    os.kill(victim, signal.SIGABRT)
    s.wait_for(rf"worker {victim} killed by signal 6")
    assert [p.name for p in place.iterdir()] == [f"image.{victim}"]
    assert "tcprelay: " in (place / f"image.{victim}").read_text()
    assert cores(tmp_path) == []
    lib.echo_once(port)


def kernel_writes_cores():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return pattern[:1] not in "|/" and hard != 0


@pytest.mark.parametrize("gcore", [None, "/bin/false"])
def test_core_file(relay, tmp_path, gcore):
    """The system's, in that directory and nowhere else; also when the program
    that should write it fails."""
    if not kernel_writes_cores():
        pytest.skip("this system puts core files elsewhere")
    if b"__asan_init" in lib.TCPRELAY.read_bytes():
        pytest.skip("a sanitizer's core is as big as its address space")
    place = tmp_path / "crash"
    place.mkdir()
    s = relay(f'coredump directory = "{place}"\n' +
              (f'gcore = "{gcore}"\n' if gcore else ""))
    victim, _ = ops.wait_ready(s, 2)
    os.kill(victim, signal.SIGSEGV)
    s.wait_for(rf"worker {victim} killed by signal 11")
    found = cores(place)
    assert found and cores(tmp_path) == found
    assert (place / found[0]).read_bytes()[:4] == b"\x7fELF"


def test_no_directory_no_core(relay, tmp_path):
    s = relay("")
    victim, _ = ops.wait_ready(s, 2)
    os.kill(victim, signal.SIGSEGV)
    s.wait_for(rf"worker {victim} killed by signal 11")
    assert cores(tmp_path) == []


def test_directory_that_is_not_there(relay, tmp_path):
    """No core in a wrong place instead."""
    s = relay(f'coredump directory = "{tmp_path}/none"')
    victim, _ = ops.wait_ready(s, 2)
    os.kill(victim, signal.SIGABRT)
    s.wait_for(rf"worker {victim} killed by signal 6")
    assert cores(tmp_path) == []


def test_long_command_stops_nobody(relay, port, tmp_path):
    """While somebody looks at the remains, the worker has a replacement and
    gets nothing any more."""
    go, seen = tmp_path / "go", tmp_path / "seen"
    os.mkfifo(go)
    s = relay(f'debug-cmd = "echo $CRASHPID >> {seen}; read x < {go}"')
    victim, _ = ops.wait_ready(s, 2)
    os.kill(victim, signal.SIGABRT)
    lib.wait_until(seen.exists, "the command to run")
    with ops.Visitors(port) as visitors:
        visitors.more(50)
        lib.wait_until(lambda: len(s.workers()) == 3, "a replacement")
        assert lib.alive(victim)
        go.write_text("\n")
        s.wait_for(rf"worker {victim} killed by signal 6")
        visitors.more()


def test_master(relay, port, tmp_path):
    seen = tmp_path / "seen"
    s = relay(f'debug-cmd = "echo $CRASHPID >> {seen}"', clean=False)
    ops.wait_ready(s, 2)
    with ops.Stream(port) as one:
        s.send_signal(signal.SIGABRT)
        assert s.wait() == -signal.SIGABRT
        assert seen.read_text() == f"{s.pid}\n"
        assert s.grep(rf"process {s.pid} crashed: signal 6 \(SIGABRT\)")
        one.goes_on()
    lib.wait_until(lambda: not lib.session_members(s.pid), "all to end")


def test_single_process(relay, tmp_path):
    seen = tmp_path / "seen"
    s = relay(f'debug-cmd = "echo $CRASHPID >> {seen}"', clean=False,
              args=["-1"])
    s.send_signal(signal.SIGSEGV)
    assert s.wait() == -signal.SIGSEGV
    assert seen.read_text() == f"{s.pid}\n"


def test_command_of_a_reload(relay, port, tmp_path):
    """Master and workers that stay use what was set last."""
    old, new = tmp_path / "old", tmp_path / "new"
    s = relay(f'debug-cmd = "echo $CRASHPID >> {old}"')
    victim, _ = ops.wait_ready(s, 2)
    s.reload(s.file.read_text().replace(str(old), str(new)))
    lib.wait_until(lambda: all(w.generation == 2 for w in ops.workers(s)),
                   "the second generation")
    for pid in s.wait_workers(2)[:1]:
        os.kill(pid, signal.SIGABRT)
        s.wait_for(rf"worker {pid} killed by signal 6")
        assert new.read_text() == f"{pid}\n"
    assert not old.exists()
