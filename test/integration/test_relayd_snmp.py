"""relayd as a subagent of a real SNMP agent: its tables, traps, and a master
that goes, comes back, or says nothing."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

import pytest

import lib
import rd

BUILT = "rd_snmp_lib" in (lib.BUILD / "Makefile").read_text() and \
    "HAVE_NETSNMP 1" in (lib.BUILD / "features.h").read_text()
built = pytest.mark.skipif(not BUILT, reason="built without libnetsnmp")
needed = pytest.mark.skipif(
    not (BUILT and lib.have("snmpd") and lib.have("snmpwalk")),
    reason="there is no snmpd, or no libnetsnmp")
pytestmark = rd.needed
BASE = ".1.3.6.1.4.1.30155.3.2"
TRAP = ".1.3.6.1.4.1.30155.3.1"

CONF = """\
interval 2
agentx{context} path "{agentx}"
table <web> {{ 127.0.0.1 127.0.0.2 retry 1 }}
table <gate> {{ 127.0.0.3 }}
redirect "www" {{
	listen on 127.0.0.1 port 8000
	forward to <web> port {to} check tcp
}}
relay "one" {{
	listen on 127.0.0.1 port {port}
	forward to <web> port {to} check tcp
}}
router "way" {{
	route 192.0.2.0/24
	forward to <gate> check tcp
	rtable 0
}}
"""


class Agent:
    """snmpd; a trap receiver if traps is a port."""

    def __init__(self, directory, traps=None):
        self.directory = directory
        self.directory.mkdir()
        self.agentx = directory / "master"
        self.port = lib.free_port()
        # not snmpd.conf: the agent keeps its state in a file of that name
        self.conf = directory / "agent.conf"
        self.conf.write_text(
            f"master agentx\nagentXSocket {self.agentx}\n"
            "agentXPerms 0777 0777\nrocommunity public 127.0.0.1\n" +
            (f"trap2sink 127.0.0.1:{traps} public\n" if traps else ""))
        self.env = {**os.environ, "SNMP_PERSISTENT_DIR": str(directory),
                    "MIBS": "", "SNMPCONFPATH": str(directory)}
        self.proc = None

    def start(self):
        self.proc = subprocess.Popen(
            ["snmpd", "-f", "-Lf", self.directory / "log", "-C", "-c",
             self.conf, "-I", "-smux", f"udp:127.0.0.1:{self.port}"],
            env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lib.wait_until(self.agentx.exists, "the agent")
        return self

    def stop(self):
        if self.proc is not None:
            self.proc.terminate()
            try:
                self.proc.wait(lib.TIMEOUT)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc = None
        with contextlib.suppress(FileNotFoundError):
            self.agentx.unlink()

    def ask(self, program, *args):
        r = subprocess.run([program, "-v2c", "-c", "public", "-On", "-OQ",
                            "-t", "5", f"127.0.0.1:{self.port}", *args],
                           env=self.env, capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=60)
        return dict(line.split(" = ", 1) for line in r.stdout.splitlines()
                    if " = " in line)

    def walk(self, oid=BASE, bulk=False):
        """{rest of the identifier: value}"""
        found = self.ask("snmpbulkwalk" if bulk else "snmpwalk", oid)
        return {k.removeprefix(BASE + "."): v.strip().strip('"').strip()
                for k, v in found.items() if k.startswith(BASE + ".")}

    def get(self, oid):
        return self.ask("snmpget", f"{BASE}.{oid}").get(f"{BASE}.{oid}")


@pytest.fixture
def near():
    """A folder whose name leaves room in the address of a UNIX socket."""
    with tempfile.TemporaryDirectory(prefix="snmp-", dir="/tmp") as d:
        os.chmod(d, 0o755)
        yield pathlib.Path(d)


@pytest.fixture
def agent(near):
    running = []

    def make(**kw):
        a = Agent(near / f"agent{len(running)}", **kw)
        running.append(a)
        return a

    yield make
    for a in running:
        a.stop()


def conf(a, port, to, context=""):
    return CONF.format(agentx=a.agentx, port=port, to=to, context=context)


@needed
def test_tables(relayd, agent, backend, port):
    a = agent().start()
    to = backend(lib.Echo, host="0.0.0.0").port
    s = relayd(conf(a, port, to))
    s.wait_for("agentx: registered with ")
    s.wait_host("127.0.0.2", "up")
    with lib.connect(port) as c:
        lib.roundtrip(c, b"hello")
        found = a.walk()
        sessions = {k: v for k, v in found.items() if k.startswith("6.")}
        assert len(sessions) == 12, sessions
        (index,) = {k.split(".", 3)[3] for k in sessions}
        assert index.startswith("1.")
        assert sessions[f"6.1.2.{index}"] == "1"
        assert sessions[f"6.1.3.{index}"] == "7F 00 00 01"
        assert sessions[f"6.1.7.{index}"] == str(c.getsockname()[1])
        assert sessions[f"6.1.8.{index}"] == str(to)
        assert sessions[f"6.1.11.{index}"] == "0"
        assert int(sessions[f"6.1.12.{index}"]) in s.named("relay") + \
            lib.children(s.pid)
    expected = {
        "1.1.1.1": "1", "1.1.2.1": "0", "1.1.3.1": "www", "1.1.4.1": "0",
        "2.1.1.1": "1", "2.1.2.1": "0", "2.1.3.1": "one",
        "3.1.1.1": "1", "3.1.3.1": "0", "3.1.4.1": "way", "3.1.6.1": "0",
        "4.1.1.1": "1", "4.1.2.1": "C0 00 02 00", "4.1.3.1": "1",
        "4.1.4.1": "24", "4.1.5.1": "1",
        "5.1.4.1": "127.0.0.1", "5.1.5.2": "7F 00 00 02", "5.1.6.1": "1",
        "5.1.7.1": "0", "5.1.10.1": "11",
        "7.1.2.1": f"web:{to}", "7.1.3.1": "0",
    }
    assert {k: found.get(k) for k in expected} == expected
    assert int(found["5.1.8.1"]) >= int(found["5.1.9.1"]) > 0
    # the same in large pieces, but for what has moved on
    again = a.walk(bulk=True)
    lib.wait_until(lambda: not [k for k in a.walk() if k[0] == "6"],
                   "the end of the session", step=0.5)
    assert {k for k in found if k[0] != "6"} == {
        k for k in again if k[0] != "6"}
    # what is ordered is seen at once
    s.ctl("host", "disable", "1")
    s.ctl("redirect", "disable", "www")
    assert a.get("5.1.7.1") == "1"
    assert a.get("1.1.2.1") == "1"
    # nothing can be written
    r = subprocess.run(["snmpset", "-v2c", "-c", "public",
                        f"127.0.0.1:{a.port}", f"{BASE}.1.1.2.1", "i", "0"],
                       env=a.env, capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=60)
    assert r.returncode != 0
    assert a.get("1.1.2.1") == "1"


@needed
def test_the_master_goes_and_comes(relayd, agent, port):
    """Tried again until it is there; said once, not each time."""
    a = agent()
    s = relayd(conf(a, port, 9))
    s.wait_for(f"agentx: {re.escape(str(a.agentx))}: No such file")
    a.start()
    s.wait_for("agentx: registered with ")
    assert a.get("2.1.3.1") == '"one"'
    since = s.mark()
    a.stop()
    s.wait_for("agentx: .*: connection closed|agentx: .*: closed by",
               since=since)
    a.start()
    s.wait_for("agentx: registered with ", since=since)
    assert a.get("2.1.3.1") == '"one"'
    assert len(s.grep("No such file")) <= 2
    # off by a reload, and on again
    text = conf(a, port, 9)
    s.reload("".join(line + "\n" for line in text.splitlines()
                     if "agentx" not in line))
    lib.wait_until(lambda: a.get("2.1.3.1") != '"one"', "nothing there",
                   step=0.2)
    since = s.mark()
    s.reload(text)
    s.wait_for("agentx: registered with ", since=since)
    assert a.get("2.1.3.1") == '"one"'


@built
def test_a_master_that_says_nothing(relayd, near, port):
    """It holds nobody up, and is left after a while."""
    path = near / "silent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(5)
        listener.settimeout(lib.TIMEOUT)
        text = CONF.format(agentx=path, port=port, to=9, context="")
        s = relayd(text)
        c, _ = listener.accept()
        with c:
            c.settimeout(lib.TIMEOUT)
            assert c.recv(4096)[1] == 1		# open
            for _ in range(5):
                assert "one" in s.ctl("show", "summary")
            s.wait_for("agentx: .*: no answer")
            assert c.recv(1) == b""
        c, _ = listener.accept()
        with c:
            # and one that talks nonsense
            c.sendall(b"\x02" * 40)
            s.wait_for("agentx: .*: a message that is not readable")
            assert "one" in s.ctl("show", "summary")


@needed
def test_traps(relayd, agent, backend, port, tmp_path):
    if not lib.have("snmptrapd"):
        pytest.skip("there is no snmptrapd")
    traps = lib.free_port()
    a = agent(traps=traps)
    conf_file, log = tmp_path / "trapd.conf", tmp_path / "traps"
    conf_file.write_text("disableAuthorization yes\n")
    trapd = subprocess.Popen(
        ["snmptrapd", "-f", "-On", "-OQ", "-n", "-C", "-c", conf_file, "-Lf",
         log, f"udp:127.0.0.1:{traps}"], env=a.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        lib.wait_until(lambda: log.exists() and "NET-SNMP" in
                       log.read_text(), "the receiver of traps")
        a.start()
        to = backend(lib.Echo).port		# 127.0.0.2 is not there
        s = relayd(conf(a, port, to))
        s.wait_for("agentx: registered with ")
        s.wait_host("127.0.0.1", "up")
        s.ctl("host", "disable", "127.0.0.1")
        s.ctl("host", "enable", "127.0.0.1")

        def told():
            return [line for line in log.read_text().splitlines()
                    if f"{TRAP}.0" in line and '"127.0.0.1"' in line
                    and f"{TRAP}.2 = 1" in line]
        lib.wait_until(told, "a trap")
        line = told()[0]
        for n, value in ((1, '"127.0.0.1"'), (2, "1"), (3, "0"),
                         (7, "1"), (8, "0"), (9, "0")):
            assert f"{TRAP}.{n} = {value}" in line, line
        assert f'{TRAP}.6 = "web:' in line
    finally:
        trapd.send_signal(signal.SIGTERM)
        trapd.wait(lib.TIMEOUT)


@built
def test_a_master_that_hangs(relayd, near, backend, port):
    """Only the process that speaks with it waits: relayctl and checks do not,
    and the process is there again at once when it dies."""
    path = near / "hanging"
    to = backend(lib.Echo, host="0.0.0.0").port
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(5)
        listener.settimeout(lib.TIMEOUT)
        s = relayd("interval 1\nlog host checks\n" + CONF.format(
            agentx=path, port=port, to=to,
            context=' context "c"').replace("interval 2\n", ""),
                   clean=False)		# one is killed
        s.wait_host("127.0.0.1", "up")
        c, _ = listener.accept()
        with c:
            c.settimeout(lib.TIMEOUT)
            assert c.recv(4096)[1] == 1
            # it waits now, for 3 s
            for _ in range(3):
                since = s.mark()
                assert "one" in s.ctl("show", "summary")
                s.wait_for("host 127.0.0.1, check tcp", since=since)
                s.ctl("host", "disable", "1")
                s.ctl("host", "enable", "1")
                lib.echo_once(port)
            (victim,) = s.named("snmp")
            os.kill(victim, signal.SIGKILL)
            lib.wait_until(lambda: s.named("snmp") not in ([], [victim]),
                           "another one")
        c, _ = listener.accept()
        with c:
            c.settimeout(lib.TIMEOUT)
            assert c.recv(4096)[1] == 1
            s.wait_for("agentx: .*: no answer")
        assert "one" in s.ctl("show", "summary")


@needed
def test_context_and_death(relayd, agent, port, tmp_path):
    """Tables are in that context only, and come again after kill -9; a reload
    moves them to another one."""
    a = agent()
    a.conf.write_text(a.conf.read_text() +
                      "com2sec -Cn front user default front\n"
                      "com2sec -Cn back user default back\n"
                      "group all v2c user\nview all included .1\n"
                      'access all "" any noauth prefix all none none\n'
                      'access all front any noauth exact all none none\n'
                      'access all back any noauth exact all none none\n')
    a.start()

    def name(community):
        r = subprocess.run(
            ["snmpget", "-v2c", "-c", community, "-On", "-OQ", "-t", "3",
             "-r", "1", f"127.0.0.1:{a.port}", f"{BASE}.2.1.3.1"], env=a.env,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=60)
        return '"one"' in r.stdout

    s = relayd(conf(a, port, 9, " context front"), clean=False)
    s.wait_for("agentx: registered with ")
    assert name("front") and not name("public") and not name("back")
    since = s.mark()
    (victim,) = s.named("snmp")
    os.kill(victim, signal.SIGKILL)
    s.wait_for("agentx: registered with ", since=since)
    assert s.named("snmp") not in ([], [victim])
    assert name("front") and not name("public")
    since = s.mark()
    s.reload(s.file.read_text().replace("context front", "context back"))
    s.wait_for("agentx: registered with ", since=since)
    assert name("back") and not name("front")


@needed
def test_refused(relayd, agent, port, tmp_path):
    """Who else has the tables keeps them, and it is said."""
    a = agent().start()
    first = relayd(conf(a, port, 9))
    first.wait_for("agentx: registered with ")
    second = relayd(conf(a, lib.free_port(), 9).replace('"one"', '"two"'))
    second.wait_for(f"agentx: {re.escape(str(a.agentx))}: .*[a-z]")
    assert not second.grep("registered with ")
    assert a.get("2.1.3.1") == '"one"'
    assert "two" in second.ctl("show", "summary")


@pytest.mark.skipif(BUILT, reason="built with libnetsnmp")
def test_without_the_library(relayd, tmp_path, port):
    """It is said once that nothing comes of it, and there is no process."""
    s = relayd(CONF.format(agentx="/nonexistent/a", port=port, to=9,
                           context=""))
    lines = [m.string for m in s.grep(".*agentx.*no effect.*")]
    assert len(lines) == 1, lines
    assert '"agentx" is not supported on this system and has no effect' in \
        lines[0]
    assert not s.named("snmp")
