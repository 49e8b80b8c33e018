"""A SIGHUP that finds another program file (5.6, upgrade): the service goes
on in the same process with the new program, or with the old one in another
process; clients notice neither."""

import os
import shutil
import signal
import subprocess

import pytest

import lib
import ops

DONE = r"upgrade: version \S+ takes over"
GOES_ON = r"upgrade: the program before goes on as process (\d+)"

# A program that checks a configuration like the real one and then does not
# serve.
STUB = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	int i, check = 0;

	for (i = 1; i < argc; i++)
		check = check || strcmp(argv[i], "-P") == 0;
	if (check == CHECKS)
		execv(REAL, argv);
	DOES;
	return 1;
}
"""


@pytest.fixture
def program(tmp_path):
    """A copy of the program that may be replaced."""
    path = tmp_path / "bin" / "tcprelay"
    path.parent.mkdir()
    shutil.copy2(lib.TCPRELAY, path)
    return path


def replace(path, by=lib.TCPRELAY):
    """As a package manager does."""
    new = path.with_name(path.name + ".new")
    shutil.copy(by, new)
    new.chmod(0o755)
    os.rename(new, path)


def pid_in(path):
    try:
        return int(path.read_text())
    except ValueError:
        return None		# it is being written


@pytest.fixture
def stub(tmp_path):
    """stub(does, checks=1): such a program."""
    cc = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang")
               if c and lib.have(c)), None)
    if cc is None:
        pytest.skip("no C compiler")

    def make(does, checks=1):
        source, out = tmp_path / "stub.c", tmp_path / "stub"
        source.write_text(STUB)
        r = subprocess.run([cc, f'-DREAL="{lib.TCPRELAY}"', f"-DDOES={does}",
                            f"-DCHECKS={checks}", "-o", out, source],
                           capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        return out

    return make


def serves(pid, sock):
    """Whether that process has the other end of a client's socket."""
    return f"socket:[{ops.inode_of_peer(sock)}]" in \
        lib.descriptors(pid).values()


class Old:
    """A service whose former program goes on as another process."""

    def __init__(self, s, pidfile, since=0):
        self.s = s
        self.pid = int(s.wait_for(GOES_ON, since=since).group(1))
        self.proc = None
        lib.wait_until(lambda: pid_in(pidfile) == self.pid, "the pid file")

    def send_signal(self, signo):
        os.kill(self.pid, signo)

    def stop(self):
        """All of it, and everything else that the service was."""
        self.send_signal(signal.SIGTERM)
        lib.wait_until(lambda: not lib.session_members(self.s.pid),
                       "the end of the service")


def upgrade(s, expect=r"reload: done"):
    since = s.mark()
    old = set(s.workers())
    s.reload(expect=expect)
    s.wait_for(DONE, since=since)
    return old


def test_pid_and_listeners(service, backend, program, port, tmp_path):
    """Same process, same sockets; established sessions go on, old workers
    end with them."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program)
    old = s.wait_workers(2)
    held = [lib.connect(port) for _ in range(4)]
    for h in held:
        assert lib.roundtrip(h, b"before") == b"before"
    inode = ops.socket_inodes("listening", port)
    with ops.Visitors(port) as v:
        v.more()
        replace(program)
        upgrade(s)
        v.more()
    assert v.failed == []
    assert pid_in(pidfile) == s.pid
    assert ops.socket_inodes("listening", port) == inode
    assert os.readlink(f"/proc/{s.pid}/exe") == str(program)
    for h in held:
        assert lib.roundtrip(h, b"after") == b"after"
        h.close()
    lib.wait_until(lambda: not set(s.workers()) & set(old), "old workers")
    s.wait_workers(2)


DIES = ["abort()", "_exit(0)", "kill(getpid(), SIGKILL)"]


@pytest.mark.parametrize("does", DIES)
def test_program_that_ends_at_once(service, backend, program, stub, port,
                                   tmp_path, does):
    """The former program goes on in another process, which is in the pid
    file; nobody is refused; its workers are replaced when they die, and
    SIGTERM ends everything."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program, clean=False)
    workers = s.wait_workers(2)
    with ops.Stream(port) as held:
        with ops.Visitors(port) as v:
            v.more()
            replace(program, stub(does))
            s.send_signal(signal.SIGHUP)
            old = Old(s, pidfile)
            v.more()
            held.goes_on()
        assert v.failed == []
        s.wait()
        assert old.pid != s.pid
        assert [w for w in workers if lib.alive(w)] == workers
        # one that dies is replaced, by the program that runs
        victim = next(w for w in workers if not serves(w, held.sock))
        since = s.mark()
        os.kill(victim, signal.SIGKILL)
        s.wait_for(rf"worker {victim} ended, status unknown", since=since)
        fresh = lib.wait_until(
            lambda: [p for p in lib.children(old.pid)
                     if lib.has_channel(p)], "a new worker")
        assert os.path.samefile(f"/proc/{fresh[0]}/exe",
                                f"/proc/{old.pid}/exe")
        with ops.Visitors(port) as v:
            v.more()
        assert v.failed == []
        held.goes_on()
    old.stop()
    assert not pidfile.exists()
    assert ops.refused(port)
