"""Started by inetd and xinetd, the real ones, with the lines of sample/; by
launchd's files, as far as they can be read here; by an init script (1.6)."""

import contextlib
import os
import plistlib
import re
import signal
import shutil
import subprocess

import pytest

import lib
import ops

SAMPLE = lib.TOP / "sample"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


def program(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if os.getuid() != 0:
        pytest.skip(f"{name} needs root")
    return found


class Super:
    """A super-server, and what it starts, which leads a session of its own:
    found by its pid file."""

    def __init__(self, directory, remote, program="tcprelay", listen="",
                 extra=""):
        self.pidfile = directory / "pid"
        self.log = directory / "log"
        self.config = directory / "relay.conf"
        self.config.write_text(ops.conf(
            None, remote, listen=f"listen {{ {listen} }}",
            top=f'log file = "{self.log}"', relay="log connections = yes",
            broker=f'pidfile = "{self.pidfile}" {extra}',
            spawn="instances min = 1 instances max = 1"))
        self.directory = directory
        self.proc = None
        self.pids = set()

    def start(self, *command):
        self.out = open(self.directory / "super.log", "wb")
        self.proc = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.out,
            stderr=self.out, env=lib.environment(self.directory),
            cwd=self.directory, start_new_session=True)

    def pid(self):
        """Of the master that runs."""
        def look():
            with contextlib.suppress(OSError, ValueError):
                pid = int(self.pidfile.read_text())
                return pid if lib.alive(pid) else None
            return None

        pid = lib.wait_until(look, "a pid file")
        self.pids.add(pid)
        return pid

    def text(self):
        return self.log.read_text() if self.log.exists() else ""

    def wait_log(self, regex):
        lib.wait_until(lambda: re.search(regex, self.text()),
                       f"{regex!r} in\n{self.text()}")

    def close(self):
        if self.proc:
            self.proc.terminate()
            self.proc.wait(lib.TIMEOUT)
            self.out.close()
        for pid in self.pids:
            members = {pid, *lib.session_members(pid), *lib.children(pid)}
            for p in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p, signal.SIGTERM)
            lib.wait_until(lambda m=members: not any(map(lib.alive, m)),
                           "the end", step=0.05)
        assert not lib.sanitizer_files(self.directory)


@pytest.fixture
def server(tmp_path):
    running = []

    def make(*args, **kw):
        s = Super(tmp_path, *args, **kw)
        running.append(s)
        return s

    yield make
    for s in running:
        s.close()


def through(s, port):
    """Served; ended by SIGHUP and started afresh for the next client, while
    the session goes on and nobody is refused."""
    lib.echo_once(port)
    first = s.pid()
    with lib.connect(port) as one:
        lib.roundtrip(one, b"before")
        workers = lib.children(first)
        for pid in workers:
            targets = lib.descriptors(pid)
            assert targets[1] == targets[2] == "/dev/null"
        os.kill(first, signal.SIGHUP)
        lib.wait_until(lambda: not lib.alive(first), "the end")
        lib.roundtrip(one, b"after")
        lib.echo_once(port)
        second = s.pid()
        assert second != first
        lib.roundtrip(one, b"still")
        for pid in workers:
            s.pids.add(pid)
    for _ in range(10):
        lib.echo_once(port)
    assert s.pid() == second
    assert s.text().count("starting, version") >= 2
    s.wait_log(r"starting, version \S+ via inetd")
    s.wait_log(r"signal SIGHUP: ending")
    s.wait_log(r"listening on \S+:\d+.* inherited \(inetd\)")


def inetd_lines():
    return [x.lstrip("#") for x in
            (SAMPLE / "tcprelay.inetd").read_text().splitlines()
            if "\t" in x]


@pytest.mark.parametrize("number", range(3))
def test_openbsd_inetd(server, backend, tmp_path, number):
    """Each line of sample/tcprelay.inetd."""
    inetd = program("inetd")
    echo = backend(lib.Echo)
    line = inetd_lines()[number]
    if "tcp6" in line and not lib.have_ipv6():
        pytest.skip("no IPv6")
    port = lib.free_port()
    s = server(echo.remote)
    host = "[::1]" if "tcp6" in line else "127.0.0.1"
    assert line.startswith("relay\t")
    line = f"{host}:{port}{line[len('relay'):]}"
    for old, new in [("/usr/local/sbin/tcprelay", str(lib.TCPRELAY)),
                     ("/usr/local/sbin/spawnd", str(lib.SPAWND)),
                     ("/etc/tcprelay.conf", str(s.config)),
                     ("/etc/spawnd.conf", str(s.config))]:
        line = line.replace(old, new)
    assert "/usr/local" not in line and "/etc" not in line
    conf = tmp_path / "inetd.conf"
    conf.write_text(line + "\n")
    s.start(inetd, "-d", str(conf))

    def up():
        with contextlib.suppress(ConnectionRefusedError):
            lib.connect(port, host=host.strip("[]")).close()
            return True
        return False

    lib.wait_until(up, "inetd")
    if "tcp6" in line:
        lib.echo_once(port, host="::1")
        s.pid()
        s.wait_log("via inetd")
    else:
        through(s, port)


def test_inetd_nowait(server, tmp_path):
    """A line of the other kind ends with a word about it and 64, each time."""
    inetd = program("inetd")
    port = lib.free_port()
    s = server("address = 127.0.0.1 port = 9")
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\n"{lib.TCPRELAY}" -D "{s.config}" '
                       f'2>"{tmp_path}/said"\n'
                       f'echo $? >"{tmp_path}/status"\n')
    wrapper.chmod(0o755)
    conf = tmp_path / "inetd.conf"
    conf.write_text(f"127.0.0.1:{port} stream tcp nowait root {wrapper} w\n")
    s.start(inetd, "-d", str(conf))

    def told():
        with contextlib.suppress(OSError), lib.connect(port) as c:
            while c.recv(100):
                pass
        file = tmp_path / "status"
        return file.exists() and file.read_text() == "64\n"

    lib.wait_until(told, "status 64", step=0.1)
    assert "only 'wait' services" in (tmp_path / "said").read_text()


def test_inetd_settings(server, backend, tmp_path, certs):
    """listen { name = inetd } says what holds for the socket."""
    inetd = program("inetd")
    echo = backend(lib.Echo)
    port = lib.free_port()
    s = server(echo.remote, listen="name = inetd realm = given")
    conf = tmp_path / "inetd.conf"
    conf.write_text(f"127.0.0.1:{port} stream tcp wait root "
                    f"{lib.TCPRELAY} tcprelay {s.config}\n")
    s.start(inetd, "-d", str(conf))

    def served():
        with contextlib.suppress(ConnectionRefusedError):
            lib.echo_once(port)
            return True
        return False

    lib.wait_until(served, "inetd")
    s.pid()
    s.wait_log("realm=given .*end=done")
    # new workers, and the socket is still there
    os.kill(s.pid(), signal.SIGUSR1)
    s.wait_log("reload: done, 1 kept, 0 added, 0 removed")
    lib.echo_once(port)


def test_xinetd(server, backend, tmp_path):
    """sample/tcprelay.xinetd."""
    xinetd = program("xinetd")
    echo = backend(lib.Echo)
    port = lib.free_port()
    s = server(echo.remote)
    text = (SAMPLE / "tcprelay.xinetd").read_text()
    for old, new in [("= 8080", f"= {port}"),
                     ("/usr/local/sbin/tcprelay", str(lib.TCPRELAY)),
                     ("/etc/tcprelay.conf", str(s.config)),
                     *([] if lib.have_ipv6() else [(" IPv6", "")])]:
        assert old in text
        text = text.replace(old, new)
    conf = tmp_path / "xinetd.conf"
    conf.write_text(text)
    s.start(xinetd, "-dontfork", "-f", str(conf), "-pidfile",
            str(tmp_path / "xinetd.pid"), "-filelog",
            str(tmp_path / "xinetd.log"))

    def up():
        with contextlib.suppress(ConnectionRefusedError):
            lib.connect(port).close()
            return True
        return False

    lib.wait_until(up, "xinetd")
    through(s, port)


# ---- launchd

@pytest.mark.parametrize("name", ["tcprelay.plist", "tcprelay-inetd.plist"])
def test_launchd(name, service, backend, port):
    """A property list with what launchd.plist(5) has; its command line
    starts the service."""
    with open(SAMPLE / name, "rb") as f:
        p = plistlib.load(f)
    assert set(p) <= {"Label", "ProgramArguments", "RunAtLoad", "KeepAlive",
                      "ExitTimeOut", "AbandonProcessGroup", "Sockets",
                      "SoftResourceLimits", "HardResourceLimits",
                      "inetdCompatibility"}
    args = p["ProgramArguments"]
    assert args[0].endswith("/tcprelay") and args[-1].endswith(".conf")
    echo = backend(lib.Echo)
    if "inetd" in name:
        assert p["inetdCompatibility"] == {"Wait": True}
        assert "KeepAlive" not in p and "-b" not in args
        assert p["Sockets"]["Listeners"]["SockType"] == "stream"
    else:
        assert "-f" in args and p["KeepAlive"] == {"SuccessfulExit": False}
        service(ops.conf(port, echo.remote, broker="background = yes"),
                args=args[1:-1])
        lib.echo_once(port)


# ---- an init script

class Init:
    def __init__(self, directory, program=lib.TCPRELAY):
        self.directory = directory
        self.config, self.pidfile = directory / "conf", directory / "pid"
        self.defaults = directory / "defaults"
        self.defaults.write_text(f"PROGRAM='{program}'\n"
                                 f"CONFIG='{self.config}'\n"
                                 f"PIDFILE='{self.pidfile}'\n")

    def __call__(self, *args):
        r = subprocess.run(
            [SAMPLE / "tcprelay.init", *args], timeout=lib.TIMEOUT * 3,
            env={**lib.environment(self.directory), "PATH": PATH,
                 "DEFAULTS": str(self.defaults)}, cwd=self.directory,
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return r.returncode, r.stdout + r.stderr


@pytest.fixture
def init(tmp_path):
    i = Init(tmp_path)
    yield i
    if i.pidfile.exists():
        pid = int(i.pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        lib.wait_until(lambda: not lib.session_members(pid), "the end")
    assert not lib.sanitizer_files(tmp_path)


def test_init_script(init, backend, port):
    """sample/tcprelay.init: what is not good is not started, and what runs
    goes on."""
    echo = backend(lib.Echo)
    other = lib.free_port()
    assert init("status") == (3, "tcprelay: is not running\n")
    assert init("stop") == (0, "tcprelay: is not running\n")
    assert init("reload")[0] == 7
    status, said = init("start")
    assert status == 6 and "no " + str(init.config) in said
    init.config.write_text("id = spawnd { rubbish }\n")
    status, said = init("start")
    assert status == 6 and re.search(r"conf:1: Expected.*is not usable",
                                     said, re.S)
    init.config.write_text(ops.conf(port, echo.remote))
    assert init("start") == (0, "tcprelay: started\n")
    lib.echo_once(port)				# no waiting here
    pid = int(init.pidfile.read_text())
    assert init("start") == (0, "tcprelay: is running\n")
    assert init("status") == (0, f"tcprelay: is running, process {pid}\n")
    with lib.connect(port) as one:
        lib.roundtrip(one, b"before")
        init.config.write_text("id = spawnd { rubbish }\n")
        for action in "reload", "restart", "try-restart":
            assert init(action)[0] == 6
            lib.echo_once(port)
        assert int(init.pidfile.read_text()) == pid
        init.config.write_text(ops.conf(other, echo.remote))
        assert init("reload")[0] == 0

        def moved():
            with contextlib.suppress(ConnectionRefusedError):
                lib.echo_once(other)
                return True
            return False

        lib.wait_until(moved, "the new port")
        assert init("restart")[0] == 0
        lib.roundtrip(one, b"after")		# it is in no hurry
    lib.echo_once(other)
    assert int(init.pidfile.read_text()) != pid
    assert init("stop") == (0, "tcprelay: stopped\n")
    with pytest.raises(ConnectionRefusedError):
        lib.connect(other)
    assert not init.pidfile.exists()
    assert init("rubbish")[0] == 2


def test_init_script_tells_of_a_failed_start(init, port):
    """Nothing to bind: the script's status is that of the start."""
    with lib.socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        init.config.write_text(ops.conf(
            port, "address = 127.0.0.1 port = 9"))
        status, said = init("start")
    assert status == 75 and "no listener could be bound" in said


def test_shellcheck():
    r = subprocess.run([program("shellcheck"), "-s", "sh",
                        SAMPLE / "tcprelay.init"], capture_output=True,
                       text=True)
    assert r.returncode == 0, r.stdout
