"""relayctl and relayd together: every command, what monitor sees of it, plans
against what a reload then does, and sessions that are over."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import ctl
import lib
import rd
from test_relayctl import HEAD, IN, row

pytestmark = rd.needed

FAIL = "command failed\n"


def text(port, backend, more="", hosts="127.0.0.1 127.0.0.2", check="tcp",
         relay="", prefork=2):
    return f"""prefork {prefork}
log state changes
log connection
table <web> {{ {hosts} }}
{more}
relay www {{
	listen on 127.0.0.1 port {port}
{relay}	forward to <web> port {backend.port} check {check}
}}
"""


def ok(s, *args):
    assert s.ctl(*args) == "command succeeded\n"


def failed(s, *args):
    out = s.ctl(*args, status=1)
    assert out.startswith(FAIL), out
    return out


def statuses(s, kind):
    return {x["id"]: x["status"] for x in s.show("summary")
            if x["type"] == kind}


def settled(s, kind, want):
    lib.wait_until(lambda: statuses(s, kind) == want, f"{kind}s {want}",
                   step=0.05)


@pytest.fixture
def served(relayd, backend, port):
    """A relayd with two hosts, one of which is there."""
    echo = backend(lib.Echo)
    s = relayd(text(port, echo))
    s.port, s.echo = port, echo
    settled(s, "host", {1: "up", 2: "down"})
    return s


# ---- show

def test_show(served):
    s, table = served, f"web:{served.echo.port}"
    assert s.ctl("show", "summary").replace("100.00%", "") .split() == (
        HEAD + row(1, "relay", "www", "", "active") +
        row(1, "table", table, "", "active (1 hosts)") +
        row(1, "host", "127.0.0.1", "", "up") +
        row(2, "host", "127.0.0.2", "0.00%", "down")).split()
    assert s.ctl("show", "relays") == HEAD + row(1, "relay", "www", "",
                                                 "active")
    assert s.ctl("show", "redirects") == s.ctl("show", "routers") == HEAD
    lines = s.ctl("show", "hosts").splitlines(keepends=True)
    assert re.fullmatch(re.escape(IN) + r"total: (\d+)/\1 checks\n",
                        lines[3])
    assert re.fullmatch(re.escape(IN) + r"total: 0/\d+ checks, error: tcp "
                        r"connect failed\n", lines[5])
    for what in "summary", "hosts", "relays", "redirects", "routers":
        shown = [x for x in s.ctl("show", what).splitlines()[1:]
                 if not x.startswith("\t")]
        assert len(s.show(what)) == len(shown)


def test_permission(served, tmp_path):
    """Who may not write to the socket gets the connect error."""
    mode = os.stat(served.socket)
    assert (mode.st_mode & 0o7777, mode.st_uid) == (0o660, 0)
    if not lib.have("setpriv"):
        pytest.skip("no setpriv")
    folder = served.socket.parent
    while folder != folder.parent:
        os.chmod(folder, os.stat(folder).st_mode | 0o011)
        if folder == tmp_path.parents[2]:
            break
        folder = folder.parent
    r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534",
                        "--clear-groups", ctl.RELAYCTL, "-s",
                        served.socket, "show", "summary"],
                       capture_output=True, text=True, timeout=lib.TIMEOUT)
    if "execute" in r.stderr:
        pytest.skip("nobody may run what was built")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == f"relayctl: connect: {served.socket}: Permission " \
        "denied\n"


# ---- orders

def test_hosts(served):
    s = served
    ok(s, "host", "disable", "1")
    assert statuses(s, "host") == {1: "disabled", 2: "down"}
    assert s.show("hosts")[1]["checks"] == 0
    ok(s, "host", "disable", "1")		# again
    ok(s, "host", "disable", "127.0.0.2")
    assert statuses(s, "host") == {1: "disabled", 2: "disabled"}
    assert statuses(s, "table") == {1: "empty"}
    ok(s, "h", "e", "127.0.0.1")
    settled(s, "host", {1: "up", 2: "disabled"})
    ok(s, "host", "enable", "2")
    ok(s, "poll")
    settled(s, "host", {1: "up", 2: "down"})


@pytest.mark.parametrize("args", [
    "host disable 0", "host disable 3", "host enable 4294967295",
    "host disable 127.0.0.3", "table disable web", "table enable 2",
    "redirect disable www", "redirect enable 1", "host disable " + 64 * "x",
])
def test_nothing_there(served, args):
    failed(served, *args.split())
    assert statuses(served, "host") == {1: "up", 2: "down"}


def test_table(served):
    s = served
    name = f"web:{s.echo.port}"
    ok(s, "table", "disable", name)
    assert statuses(s, "table") == {1: "disabled"}
    assert statuses(s, "host") == {}		# they are not shown then
    ok(s, "table", "enable", "1")
    settled(s, "host", {1: "up", 2: "down"})


def test_children(relayd, backend, port):
    echo = backend(lib.Echo)
    s = relayd(text(port, echo, hosts="127.0.0.1, 127.0.0.2 parent 1"))
    settled(s, "host", {1: "up", 2: "up"})
    assert "127.0.0.2 parent 1  " in s.ctl("show", "summary")
    failed(s, "host", "disable", "2")
    failed(s, "host", "disable", "127.0.0.2")
    ok(s, "host", "disable", "1")
    assert statuses(s, "host") == {1: "disabled", 2: "disabled"}
    ok(s, "host", "enable", "1")
    settled(s, "host", {1: "up", 2: "up"})


def test_log(served):
    s = served
    assert s.ctl("log", "brief") == "logging request sent.\n"
    assert s.ctl("log", "verbose") == "logging request sent.\n"
    s.ctl("show", "summary")		# it goes on


def test_stop(served):
    s = served
    ok(s, "stop")
    lib.wait_until(lambda: s.proc.poll() is not None, "the end")
    assert s.proc.returncode == 0


# ---- monitor

class Monitor:
    def __init__(self, s, *args):
        self.proc = subprocess.Popen(
            [ctl.RELAYCTL, "-s", s.socket, *args, "monitor"], env=s.env,
            stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def until(self, regex):
        """Its lines up to one that is like this."""
        lines = []
        end = time.monotonic() + lib.TIMEOUT
        while not (lines and re.search(regex, lines[-1])):
            assert time.monotonic() < end, lines
            lines.append(self.proc.stdout.readline())
            assert lines[-1], lines
        return lines

    def close(self):
        self.proc.send_signal(signal.SIGINT)
        self.proc.communicate(timeout=lib.TIMEOUT)


def test_monitor(served):
    s = served
    m = Monitor(s)
    try:
        ok(s, "poll")
        lines = m.until(r"^\tid: 2$")		# registered by now
        events = {x.split(":")[0] for x in lines if not x.startswith("\t")}
        assert events <= {"sync", "host_status"}
        ok(s, "host", "disable", "127.0.0.1")
        lines = m.until(r"^\tname: ")
        at = next(i for i, x in enumerate(lines)
                  if x.startswith("ctl_host_disable: imsg type 22 len 88 "
                                  "peerid 0 pid 1"))
        assert re.fullmatch(r"\ttimestamp: \d+, .* 20\d\d\n", lines[at + 1])
        assert lines[at + 2] == "\tid: 1\n"
        assert lines[at + 3] == "\tname: 127.0.0.1\n"
        ok(s, "host", "enable", "1")
        m.until("^ctl_host_enable: imsg type 21 ")
        ok(s, "table", "disable", "1")
        m.until("^ctl_table_disable: imsg type 20 ")
        ok(s, "table", "enable", "1")
        m.until("^ctl_table_enable: imsg type 19 ")
        m.until("^\tstate: up")
    finally:
        m.close()


def test_monitor_to_the_end(served):
    m = Monitor(served, "-j")
    ok(served, "poll")
    json.loads(m.until("host_status")[-1])
    ok(served, "stop")
    m.proc.communicate(timeout=lib.TIMEOUT)
    assert m.proc.returncode == 1


# ---- reload, load, plan

def checks(s):
    return {x["name"]: x["checks"] for x in s.show("hosts")
            if x["type"] == "host"}


def test_reload(served):
    s = served
    ok(s, "reload")
    assert s.grep("reload: done, 1 kept, 0 added, 0 removed")
    since = s.mark()
    s.write(text(s.port, s.echo) + "nonsense\n")
    out = failed(s, "reload")
    assert "failed to load config file" in s.wait_for(
        "failed to load config file.*", since=since).group()
    assert out.startswith(FAIL)
    assert statuses(s, "host") == {1: "up", 2: "down"}
    since = s.mark()
    failed(s, "load", "/nonexistent/file")
    s.wait_for("failed to load config file", since=since)


def test_load_is_relative_to_the_caller(served, tmp_path):
    s = served
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "x.conf").write_text(
        f'socket "{s.socket}"\n' + text(s.port, s.echo, hosts="127.0.0.1"))
    r = subprocess.run([ctl.RELAYCTL, "-s", s.socket, "load", "x.conf"],
                       cwd=tmp_path / "here", env=s.env, text=True,
                       capture_output=True, timeout=lib.TIMEOUT)
    assert (r.returncode, r.stdout) == (0, "command succeeded\n"), s.log()
    assert set(statuses(s, "host")) == {1}
    ok(s, "reload")				# its own again
    assert set(statuses(s, "host")) == {1, 2}


PLANS = {
    "nothing": dict(),
    "hosts": dict(hosts="127.0.0.2 127.0.0.1 retry 2, 127.0.0.3"),
    "host gone": dict(hosts="127.0.0.1"),
    "check": dict(check='send "x" expect "x"'),
    "options": dict(more="protocol t { tcp { backlog 20, nodelay } }\n",
                    relay="\tprotocol t\n\tsession timeout 30\n"),
    "listener": dict(relay="\tlisten on ::1 port PORT\n"),
    "disabled": dict(relay="\tdisable\n"),
    "global": dict(prefork=3, more="interval 20\nlog host checks\n"),
    "more": dict(more="""table <other> { 127.0.0.1 }
relay first {
	listen on 127.0.0.1 port PORT
	forward to <other> port 9 check tcp
}
"""),
}


@pytest.mark.parametrize("what", PLANS)
def test_plan_is_what_a_reload_does(served, tmp_path, what):
    s = served
    file = tmp_path / "new.conf"
    file.write_text(f'socket "{s.socket}"\n' + text(
        s.port, s.echo, **PLANS[what]).replace("PORT",
                                               str(lib.free_port())))
    assert s.ctl("plan", s.file) == "no changes\n"
    shown = s.ctl("plan", file)
    told = json.loads(s.ctl("-j", "plan", file))
    assert (shown == "no changes\n") == (what == "nothing")
    assert shown.count("\n") >= len(told["changes"])
    before, since = checks(s), s.mark()
    ok(s, "load", file)
    kept, added, removed = map(int, s.wait_for(
        r"reload: done, (\d+) kept, (\d+) added, (\d+) removed",
        since=since).groups())
    assert told["listeners"] == {"kept": kept, "added": added,
                                 "removed": removed}
    # what keeps its state has been checked by now, all else at most once
    after = s.show("hosts")
    hosts = list({x["id"]: x for x in after if x["type"] == "host"}.values())
    old = [x for x in hosts if x["checks"] >= before.get(x["name"], 99) > 0
           and x["table"] == hosts[-1]["table"]]
    assert told["hosts"]["kept"] + told["hosts"]["checked"] == len(hosts)
    if what != "check":
        assert len(old) >= told["hosts"]["kept"]
    assert s.ctl("plan", file) == "no changes\n"
    if what != "nothing":
        back = json.loads(s.ctl("-j", "plan", s.file))
        assert back["listeners"]["added"] == removed
        assert back["hosts"]["kept"] == told["hosts"]["kept"]


def test_plan_with_errors(served, tmp_path):
    """The same lines as in the log of a reload."""
    s = served
    file = tmp_path / "new.conf"
    file.write_text("table <a> { 127.0.0.1 }\nrelay x { listen on\n}\n"
                    "nonsense\n")
    out = s.ctl("plan", file, status=1)
    assert f"{file}:2: " in out
    since = s.mark()
    failed(s, "load", file)
    s.wait_for("failed to load config file", since=since)
    log = s.log()
    for line in out.splitlines():
        assert line.split(": ", 1)[1] in log, (line, log)


def test_plan_of_macros_and_directory(relayd, backend, port, tmp_path):
    """-D of the daemon counts, and where it was started."""
    echo = backend(lib.Echo)
    s = relayd(text("$web", echo), macros={"web": port})
    assert s.ctl("plan", s.file) == "no changes\n"
    file = tmp_path / "other.conf"
    file.write_text(f'socket "{s.socket}"\n' + text(port, echo) +
                    'include "more.conf"\n')
    out = s.ctl("plan", file, status=1)
    assert "more.conf" in out
    since = s.mark()
    failed(s, "load", file)
    log = s.wait_for("more.conf.*", since=since).group()
    assert log in out


def test_plan_of_names(relayd, backend, port):
    """Addresses of names are those in use."""
    s = relayd(text(port, backend(lib.Echo), hosts="localhost, 127.0.0.2"))
    s.wait_for("adding 2 hosts")
    assert s.ctl("plan", s.file) == "no changes\n"


@pytest.mark.tls
def test_plan_of_a_certificate(relayd, backend, port, certs, tmp_path):
    """Renewed under its old name: a plan tells, a reload takes it."""
    shutil.copy(certs.ecdsa.cert, tmp_path / "c.pem")
    shutil.copy(certs.ecdsa.key, tmp_path / "k.pem")
    config = text(port, backend(lib.Echo), "tcp protocol t {\n"
                  f'tls keypair "a" cert "{tmp_path}/c.pem" '
                  f'key "{tmp_path}/k.pem"\n}}\n')
    config = config.replace(f"port {port}\n", f"port {port} tls\n"
                            "\tprotocol t\n")
    s = relayd(config)
    assert s.ctl("plan", s.file) == "no changes\n"
    shutil.copy(certs.rsa.cert, tmp_path / "c.pem")
    assert "cert" in s.ctl("plan", s.file, status=1)	# and its key
    shutil.copy(certs.rsa.key, tmp_path / "k.pem")
    assert s.ctl("plan", s.file).startswith(
        "~ global files  as they were read -> as they are  new sessions\n"
        "1 change\n")
    ok(s, "reload")
    assert s.ctl("plan", s.file) == "no changes\n"


# ---- sessions

def sessions(s, n):
    lib.wait_until(lambda: len(s.show("sessions")) == n, f"{n} sessions",
                   step=0.05)
    return s.show("sessions")


def test_sessions(served):
    s = served
    with lib.connect(s.port) as c:
        lib.roundtrip(c, b"hello")
        mine = c.getsockname()
        x, = sessions(s, 1)
        lines = s.ctl("show", "sessions").splitlines()
        name = f"{x['worker']}:{x['id']}"
        assert lines[0] == (f"session {name} 127.0.0.1:{mine[1]} -> "
                            f"127.0.0.1:{s.echo.port}\tRUNNING")
        assert re.fullmatch(r"\tage \d\d:\d\d:\d\d, idle \d\d:\d\d:\d\d, "
                            rf"relay 1, pid {x['pid']}", lines[1])
        assert x["pid"] in s.named("relay")
        assert x["client"] == {"address": "127.0.0.1", "port": mine[1]}
        assert "no session" in s.ctl("why", name, status=1)	# not over
    sessions(s, 0)
    assert s.ctl("show", "sessions") == ""


def why(s, word):
    """When it is known."""
    out = []

    def there():
        r = subprocess.run([ctl.RELAYCTL, "-j", "-s", s.socket, "why", word],
                           capture_output=True, text=True, env=s.env,
                           timeout=lib.TIMEOUT)
        out[:] = json.loads(r.stdout)
        return r.returncode == 0

    lib.wait_until(there, f"why {word}", step=0.05)
    return out


def test_why(served):
    s = served
    with lib.connect(s.port) as c:
        lib.roundtrip(c, b"hello")
        x, = sessions(s, 1)
    name = f"{x['worker']}:{x['id']}"
    got, = why(s, name)
    assert (got["worker"], got["id"]) == (x["worker"], x["id"])
    assert got["client"] == x["client"] and got["server"] == x["server"]
    assert got["relay"] == {"id": 1, "name": "www"}
    assert got["host"] == {"id": 1, "name": "127.0.0.1"}
    assert got["closed"] == "client" and got["tries"] == 1
    assert got["in"] == got["out"] == 5
    assert abs(got["began"] - time.time()) < 2 * lib.TIMEOUT
    phases = [p["phase"] for p in got["phases"]]
    times = [p["at"] for p in got["phases"]]
    assert times == sorted(times)
    assert phases[-1] == "closed"
    assert phases.index("destination chosen") <= phases.index("connected")
    line = s.wait_for(r"relay www, session .*").group()
    assert got["reason"] in line
    shown = s.ctl("why", name)
    assert shown.startswith(f"session {name} 127.0.0.1:")
    assert f"\tclosed by client: {got['reason']}\n" in shown
    assert "\t+" in shown and shown.endswith(" closed\n")


def test_why_of_a_host(served):
    """By name, by number, and of nobody."""
    s = served
    for _ in range(3):
        lib.echo_once(s.port)
    lib.wait_until(lambda: len(why(s, "127.0.0.1")) == 3, "three sessions")
    assert {x["host"]["id"] for x in why(s, "127.0.0.1")} == {1}
    assert s.ctl("why", "127.0.0.2", status=1) == \
        "relayctl: 127.0.0.2: no session that is over is known\n"
    assert "no session" in s.ctl("why", "99:1", status=1)
    assert "no session" in s.ctl("why", "nobody", status=1)


def test_why_the_server_ended(relayd, backend, port):
    s = relayd(text(port, backend(lib.Named, "web"), hosts="127.0.0.1"))
    s.wait_host("127.0.0.1", "up")
    with lib.connect(port) as c:
        assert lib.read_all(c) == b"web"
    got = why(s, "127.0.0.1")[-1]
    phases = {p["phase"]: p["at"] for p in got["phases"]}
    assert phases["first bytes of the server"] <= \
        phases["end of the server"] <= phases["end of the client"]
    assert got["out"] == 3 and not got["error"]


def test_many_at_once(served):
    """Clients that leave in the middle of an answer harm nobody."""
    s = served
    procs = [subprocess.Popen([ctl.RELAYCTL, "-s", s.socket, "show",
                               "summary"], stdout=subprocess.DEVNULL)
             for _ in range(20)]
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(s.socket))
            c.sendall(ctl.hello() + ctl.message("SHOW_SUMMARY"))
    assert [p.wait(lib.TIMEOUT) for p in procs] == [0] * 20
    assert statuses(s, "relay") == {1: "active"}


MORE = """redirect smtp {
	listen on 127.0.0.1 port 25
	forward to <web> port PORT check tcp
	forward to <sorry> port PORT check tcp
}
router uplinks {
	route 198.51.100.0/24
	rtlabel uplink
	forward to <gw> port PORT check tcp
}
"""


def test_redirects_and_routers(relayd, backend, port):
    echo = backend(lib.Echo)
    s = relayd(text(port, echo, "table <sorry> { 127.0.0.1 }\n"
                    "table <gw> { 127.0.0.3 }\n" + MORE.replace(
                        "PORT", str(echo.port)), hosts="127.0.0.2"))
    settled(s, "host", {1: "down", 2: "up", 3: "down", 4: "down"})
    shown, = [x for x in s.show("redirects") if x["name"] == "smtp"]
    assert (shown["status"], shown["backup"]) == ("active", True)
    assert "active (using backup table)" in s.ctl("show", "redirects")
    got, = s.show("routers")
    assert got == {"type": "router", "id": 1, "name": "uplinks",
                   "status": "active", "rtable": 0, "rtlabel": "uplink",
                   "routes": ["198.51.100.0/24"]}
    assert s.ctl("show", "routers") == HEAD + row(
        1, "router", "uplinks", "", "active") + IN + "rtlabel: uplink\n" + \
        IN + "route: 198.51.100.0/24\n"
    ok(s, "redirect", "disable", "smtp")
    assert statuses(s, "redirect") == {1: "disabled"}
    ok(s, "redirect", "disable", "1")
    ok(s, "redirect", "enable", "1")
    lib.wait_until(lambda: s.show("redirects")[0]["backup"], "the backup",
                   step=0.05)
    # the order of the dump
    assert [x["type"] for x in s.show("summary")] == [
        "redirect", "table", "host", "table", "host", "relay", "table",
        "host", "router", "table", "host"]


# ---- the sample

def drain(s, *args):
    return subprocess.Popen(
        ["sh", lib.TOP / "sample/relayd-drain", *args], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**s.env, "RELAYCTL": f"{ctl.RELAYCTL} -s {s.socket}"})


def test_drain(served):
    s = served
    with lib.connect(s.port) as c:
        lib.roundtrip(c, b"hello")
        p = drain(s, "127.0.0.1")
        lib.wait_until(lambda: statuses(s, "host")[1] == "disabled",
                       "the order", step=0.05)
        late = drain(s, "127.0.0.1", "1")
        out, err = late.communicate(timeout=lib.TIMEOUT)
        assert (late.returncode, out) == (2, "")
        assert err == "relayd-drain: 1 sessions to 127.0.0.1 are open\n"
        assert p.poll() is None
        lib.roundtrip(c, b"it goes on")
    out, err = p.communicate(timeout=lib.TIMEOUT)
    assert (p.returncode, out, err) == (0, "", "")
    assert statuses(s, "host")[1] == "disabled"
    nobody = drain(s, "127.0.0.9")
    out, err = nobody.communicate(timeout=lib.TIMEOUT)
    assert nobody.returncode == 1 and "cannot be disabled" in err
    by_number = drain(s, "2")
    assert "no name of a host" in by_number.communicate(
        timeout=lib.TIMEOUT)[1]
    assert by_number.returncode == drain(s).wait(lib.TIMEOUT) == 1
