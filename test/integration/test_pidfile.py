"""The pid file and starts in the background (1.5, 2.6)."""

import os
import re
import signal
import subprocess

import pytest

import lib

TEXT = """
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ instances min = 1 instances max = 1 }}
	{extra}
}}
id = tcprelay {{ remote = {{ address = 127.0.0.1 port = 9 }} }}
"""


def test_foreground(service, port, tmp_path):
    pidfile = tmp_path / "pid"
    s = service(TEXT.format(port=port, extra=f'pidfile = "{pidfile}"'))
    lib.wait_until(pidfile.exists, "the pid file")
    assert pidfile.read_text() == f"{s.pid}\n"
    assert pidfile.stat().st_mode & 0o777 == 0o644
    assert s.stop() == 0
    assert not pidfile.exists()


@pytest.mark.parametrize("path", ["pid", "./pid", "{0}/pid"])
def test_reload_keeps_it(service, port, path):
    """The same path, however it is written, is the same file: it stays, and
    so does its lock."""
    s = service(TEXT.format(port=port, extra=""), start=False)
    s.write(TEXT.format(port=port, extra=f"""
	pidfile = "{path.format(s.directory)}\""""))
    s.start()
    pidfile = s.directory / "pid"
    lib.wait_until(pidfile.exists, "the pid file")
    inode = pidfile.stat().st_ino
    for _ in range(2):
        s.reload()
        assert pidfile.read_text() == f"{s.pid}\n"
        assert pidfile.stat().st_ino == inode
    second = service(TEXT.format(port=lib.free_port(), extra=""),
                     args=["-p", pidfile], start=False, clean=False)
    second.launch()
    assert second.wait() == 73


def test_option_wins(service, port, tmp_path):
    pidfile, other = tmp_path / "pid", tmp_path / "other"
    s = service(TEXT.format(port=port, extra=f'pid-file = "{other}"'),
                args=["-p", pidfile])
    lib.wait_until(pidfile.exists, "the pid file")
    assert not other.exists()
    s.stop()


def test_locked(service, port, tmp_path):
    pidfile = tmp_path / "pid"
    first = service(TEXT.format(port=port, extra=""), args=["-p", pidfile])
    second = service(TEXT.format(port=lib.free_port(), extra=""),
                     args=["-p", pidfile], start=False, clean=False)
    lib.wait_until(pidfile.exists, "the pid file")
    second.launch()
    assert second.wait() == 73
    assert re.search(rf"\b{first.pid}\b", second.log())
    assert pidfile.read_text() == f"{first.pid}\n"


def test_stale_is_taken_over(service, port, tmp_path):
    pidfile = tmp_path / "pid"
    pidfile.write_text("1234567")		# of nobody, and longer than ours
    s = service(TEXT.format(port=port, extra=f'pidfile = "{pidfile}"'))
    lib.wait_until(lambda: pidfile.read_text() == f"{s.pid}\n",
                   "the pid in the file")


def test_symbolic_link_is_refused(service, port, tmp_path):
    target, pidfile = tmp_path / "target", tmp_path / "pid"
    target.write_text("precious\n")
    pidfile.symlink_to(target)
    s = service(TEXT.format(port=port, extra=f'pidfile = "{pidfile}"'),
                start=False, clean=False)
    s.launch()
    assert s.wait() == 73
    assert target.read_text() == "precious\n"
    assert pidfile.is_symlink()


def test_successor_keeps_its_file(service, port, tmp_path):
    pidfile = tmp_path / "pid"
    s = service(TEXT.format(port=port, extra=f'pidfile = "{pidfile}"'))
    lib.wait_until(pidfile.exists, "the pid file")
    pidfile.unlink()
    pidfile.write_text("successor\n")
    assert s.stop() == 0
    assert pidfile.read_text() == "successor\n"


def test_many_starts_one_wins(tmp_path):
    """A race of daemons for one pid file: exactly one serves, and the file
    is its."""
    pidfile = tmp_path / "pid"
    starts = []
    for i in range(6):
        file = tmp_path / f"race{i}.cfg"
        file.write_text(TEXT.format(port=lib.free_port(), extra=""))
        starts.append(subprocess.Popen(
            [lib.TCPRELAY, "-b", "-p", pidfile, file],
            env=lib.environment(tmp_path), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    statuses = sorted(p.wait(lib.TIMEOUT * 2) for p in starts)
    pid = int(pidfile.read_text())
    try:
        assert statuses == [0] + [73] * 5
        assert lib.alive(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
    lib.wait_until(lambda: not pidfile.exists(), "the pid file to go")
    lib.wait_until(lambda: not lib.session_members(pid), "all to end")
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("extra,args,background", [
    ("background = yes", [], True),
    ("background = yes", ["-f"], False),
    ("background = no", ["-b"], True),
    ("", ["-b", "-f"], False),
    ("", ["-fb"], True),
])
def test_background_precedence(tmp_path, port, extra, args, background):
    file, pidfile = tmp_path / "x.cfg", tmp_path / "pid"
    file.write_text(TEXT.format(port=port, extra=extra))
    p = subprocess.Popen([lib.TCPRELAY, *args, "-p", pidfile, file],
                         env=lib.environment(tmp_path),
                         stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        lib.wait_until(lambda: pidfile.exists() and pidfile.read_text(),
                       "the pid file")
        pid = int(pidfile.read_text())
        assert (pid != p.pid) == background
        if background:
            assert p.wait(lib.TIMEOUT) == 0
            assert lib.proc_stat(pid)[2] == pid		# its own session
            for fd, target in lib.descriptors(pid).items():
                assert fd > 2 or target == "/dev/null"
        os.kill(pid, signal.SIGTERM)
        lib.wait_until(lambda: not lib.session_members(pid), "all to end")
    finally:
        p.kill() if p.poll() is None and not background else None
        p.wait(lib.TIMEOUT)
