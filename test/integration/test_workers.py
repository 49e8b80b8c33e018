"""Workers that end, are replaced, are throttled, or cannot start (5.7)."""

import os
import re
import signal

import pytest

import lib
import ops


@pytest.fixture
def relay(service, backend, port):
    def make(spawn="instances min = 2 instances max = 4", n=2, **kw):
        make.echo = backend(lib.Echo)
        s = service(ops.conf(port, make.echo.remote, spawn=spawn, **kw))
        if n:
            ops.wait_ready(s, n)
        return s

    return make


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_replaced_at_once(relay, port):
    """Without a connection that asks for one."""
    s = relay()
    for signo, name in ((9, "SIGKILL"), (3, "SIGQUIT"), (14, "SIGALRM")):
        pid = s.wait_workers(2)[0]
        os.kill(pid, signo)
        s.wait_for(rf"worker {pid} killed by signal {signo} \({name}\), "
                   "lost 0")
        lib.wait_until(lambda: pid not in s.workers() and
                       len(s.workers()) == 2, "a replacement")


def test_line_of_a_death(relay, port):
    """Served and lost are counted per worker."""
    s = relay(spawn="instances min = 1 instances max = 1", n=1)
    for _ in range(3):
        lib.echo_once(port)
    socks = [lib.connect(port) for _ in range(5)]
    for c in socks:
        lib.roundtrip(c, b"x")
    pid, = s.workers()
    lib.wait_until(lambda: ops.workers(s)[0].served == 3, "three served")
    os.kill(pid, signal.SIGKILL)
    s.wait_for(rf"worker {pid} killed by signal 9 \(SIGKILL\), lost 5")
    for c in socks:
        c.close()
    # and of a peaceful one
    pid, = ops.wait_ready(s, 1)
    lib.echo_once(port)
    os.kill(pid, signal.SIGTERM)
    s.wait_for(rf"worker {pid} ended, status 0, served 1, lost 0")


def test_throttled_by_signals(relay, port):
    """Deaths in quick succession delay the next start, doubling; the others
    serve meanwhile."""
    s = relay()
    survivor = s.wait_workers(2)[0]
    for n, delay in enumerate(["0.1", "0.2", "0.4"], 1):
        pid = lib.wait_until(
            lambda: [w for w in s.workers() if w != survivor],
            "a second worker")[0]
        os.kill(pid, signal.SIGKILL)
        s.wait_for(rf"worker {pid} killed")
        m = s.wait_for("workers ending too quickly, waiting (.*) s before "
                       "the next start", count=n)
        assert m.group(1) == delay
        lib.echo_once(port)
    lib.wait_until(lambda: len(s.workers()) == 2, "a replacement")


def test_program_that_ends_at_once(service, port, tmp_path):
    """The master never gives up, and does not run wild; connections wait in
    the queue until a worker program works."""
    counter = tmp_path / "starts"
    good = tmp_path / "good"
    program = script(tmp_path / "worker", f'''echo x >>"{counter}"
test -e "{good}" && exec "{lib.HELLO}"
exit 3
''')
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ exec = "{program}" id = w instances min = 2 instances max = 2 }}
}}
""", program="spawnd")
    with lib.connect(port) as early:
        early.sendall(b"GET / HTTP/1.0\r\n\r\n")
        s.wait_for(r"worker \d+ ended, status 3, served 0, lost 0", count=3)
        s.wait_for(r"ending too quickly, waiting 0\.8 s")
        starts = len(counter.read_text().splitlines())
        assert starts < 20
        assert lib.alive(s.pid)
        good.touch()
        assert lib.read_all(early).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("status", [78, 77])
def test_first_workers_report_configuration(service, port, tmp_path, status):
    """77 or 78 before anybody was ready: the service cannot run (5.7)."""
    program = script(tmp_path / "worker",
                     f'test "$1" = -P && exit 0\nexit {status}\n')
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ exec = "{program}" id = w instances min = 2 instances max = 2 }}
}}
""", program="spawnd", start=False, clean=False)
    s.launch()
    assert s.wait() == status
    s.wait_for("configuration not usable")
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end of all")


def test_later_workers_do_not_end_the_service(service, port, tmp_path):
    """The same once one was ready: throttled."""
    bad = tmp_path / "bad"
    program = script(tmp_path / "worker",
                     f'test -e "{bad}" && exit 78\nexec "{lib.HELLO}"\n')
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ exec = "{program}" id = w instances min = 1 instances max = 1 }}
}}
""", program="spawnd")

    def get():
        with lib.connect(port) as c:
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return lib.read_all(c)

    first = int(re.search(rb"worker (\d+)", get()).group(1))
    bad.touch()
    os.kill(first, signal.SIGKILL)
    s.wait_for(r"worker \d+ ended, status 78, served 0, lost 0", count=2)
    bad.unlink()
    second = int(re.search(rb"worker (\d+)", get()).group(1))
    assert second != first and s.proc.poll() is None


@pytest.mark.parametrize("debug", [True, False])
def test_identity_that_cannot_be_assumed(service, port, tmp_path, debug):
    """1.7: a directory that is not there ends it with 77, and whoever has
    typed the command is told why, also without -D."""
    s = service(ops.conf(port, "address = 127.0.0.1 port = 9",
                         spawn=f'working directory = "{tmp_path}/none"'),
                start=False, clean=False, debug=debug)
    s.launch()
    assert s.wait() == 77
    s.wait_for("worker cannot become what 'spawn' says: working directory: "
               "No such file")
    s.wait_for("configuration not usable")
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end of all")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_identity(relay, port):
    """User, group, supplementary groups and directory of each worker; the
    master keeps its own."""
    s = relay(spawn="userid = nobody groupid = daemon "
              "working directory = / instances min = 1 instances max = 1",
              n=1)
    lib.echo_once(port)
    import grp
    import pwd
    uid = pwd.getpwnam("nobody").pw_uid
    gid = grp.getgrnam("daemon").gr_gid
    worker, = s.workers()

    def ids(pid):
        with open(f"/proc/{pid}/status") as f:
            text = f.read()
        return {k: set(map(int, re.search(
            rf"^{k}:[ \t]*(.*)", text, re.M).group(1).split()))
            for k in ("Uid", "Gid", "Groups")}

    got = ids(worker)
    assert got["Uid"] == {uid} and got["Gid"] == {gid}
    assert 0 not in got["Groups"]
    assert os.readlink(f"/proc/{worker}/cwd") == "/"
    assert ids(s.pid)["Uid"] == {0}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_identity_single(service, backend, port, tmp_path):
    """A single process assumes it as well, after the pid file is there."""
    echo = backend(lib.Echo)
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, spawn="userid = nobody"),
                args=["-1", "-p", pidfile], clean=False)
    lib.wait_until(lambda: os.stat(f"/proc/{s.pid}").st_uid != 0 or
                   open(f"/proc/{s.pid}/status").read().split(
                       "Uid:")[1].split()[0] != "0", "another user")
    lib.echo_once(port)
    assert pidfile.read_text() == f"{s.pid}\n"
    assert s.stop() == 0
