"""--plan: what a file would change in the service that runs, held against
what the reload then does."""

import json
import os
import re
import shutil
import signal

import pytest

import lib
import ops

LINE = re.compile(r"([+~-]) (listener|destination|worker|limit|tls|acl|mavis|"
                  r"option) (.+?)(?:  (.*) -> (.*))?  (\d+) sessions  "
                  r"(now|new sessions|replaces workers|restart needed)")
LAST = re.compile(r"(\d+) changes, (\d+) sessions touched")
OPS = {"+": "add", "-": "remove", "~": "change"}


class Plan:
    """One run: status, changes as dictionaries, the last line's numbers."""

    def __init__(self, r):
        self.status, self.err = r.returncode, r.stderr
        self.lines = r.stdout.splitlines()
        self.changes = []
        for line in self.lines[:-1]:
            m = LINE.fullmatch(line)
            assert m, line
            op, kind, name, old, new, n, effect = m.groups()
            self.changes.append({"op": OPS[op], "kind": kind, "name": name,
                                 "old": old, "new": new, "sessions": int(n),
                                 "effect": effect})
        if self.lines:
            m = LAST.fullmatch(self.lines[-1])
            assert m, self.lines[-1]
            self.n, self.touched = map(int, m.groups())
            assert self.n == len(self.changes)

    def one(self, kind, name):
        found = [c for c in self.changes
                 if c["kind"] == kind and c["name"] == name]
        assert len(found) == 1, (kind, name, self.lines)
        return found[0]

    def named(self):
        return [(c["op"], c["kind"], c["name"]) for c in self.changes]


def run(file, *args, program=lib.TCPRELAY, **kw):
    return lib.run(program, "--plan", *args, file, **kw)


def plan(s, text=None, *args, **kw):
    """What that text would change in a service."""
    file = s.file
    if text is not None:
        file = s.directory / "new.cfg"
        file.write_text(text)
    p = Plan(run(file, *args, directory=s.directory, program=s.program,
                 **kw))
    assert p.status == (2 if p.changes else 0), (p.status, p.lines, p.err)
    return p


def plan_json(s, text, *args):
    file = s.directory / "new.cfg"
    file.write_text(text)
    r = run(file, "--json", *args, directory=s.directory, program=s.program)
    assert r.stderr == ""
    return r.returncode, json.loads(r.stdout)


class Conf:
    """A configuration in parts that tests replace."""

    def __init__(self, directory, port, *remotes, **kw):
        self.parts = dict(
            top="", broker="", spawn="instances min = 2 instances max = 2",
            listen=f"listen {{ address = 127.0.0.1 port = {port} }}",
            pidfile=directory / "pid", relay="", remote="\n".join(
                f"remote {{ address = 127.0.0.1 port = {r} }}"
                for r in remotes))
        self.parts.update(kw)

    def text(self, **kw):
        return """
{top}
id = spawnd {{
	pidfile = {pidfile}
	{broker}
	{listen}
	spawn {{ {spawn} }}
}}
id = tcprelay {{
	{remote}
	{relay}
}}
""".format(**{**self.parts, **kw})


@pytest.fixture
def conf(tmp_path, port, backend):
    return Conf(tmp_path, port, backend().port)


def ready(s, n=2):
    ops.wait_ready(s, n)
    return s


# ---- what is said

def test_nothing(service, conf):
    s = ready(service(conf.text()))
    p = plan(s)
    assert p.lines == ["0 changes, 0 sessions touched"]
    # what means the same is no change, however it is written
    assert plan(s, conf.text().replace(" = ", " ").replace(
        "id tcprelay", "# comment\nid = tcprelay")).status == 0


def test_listeners(service, conf, port):
    """Sessions are those of the listener, whichever way they came in."""
    other, third = lib.free_port(), lib.free_port()
    two = (f"{conf.parts['listen']} listen {{ name = web address = 127.0.0.1 "
           f"port = {other} %s }}")
    s = ready(service(conf.text(listen=two % "backlog = 64"), 2))
    with lib.connect(port) as a, lib.connect(other) as b, \
            lib.connect(other) as c:
        for sock in (a, b, c):
            lib.roundtrip(sock, b"x")
        p = plan(s, conf.text(listen=two % "backlog = 64 realm = inner"))
        assert p.changes == [
            {"op": "change", "kind": "listener", "name": "web realm",
             "old": "none", "new": "inner", "sessions": 2,
             "effect": "new sessions"}]
        assert p.touched == 2
        p = plan(s, conf.text(listen=f"{two % 'overload backlog = 9'} listen "
                              f"{{ address = 127.0.0.1 port = {third} }}"))
        assert p.one("listener", f"[127.0.0.1]:{third}") == {
            "op": "add", "kind": "listener", "name": f"[127.0.0.1]:{third}",
            "old": None, "new": None, "sessions": 0, "effect": "now"}
        assert p.one("listener", "web backlog")["old"] == "64"
        assert p.one("listener", "web backlog")["new"] == "128"
        assert p.one("listener", "web overload backlog")["new"] == "9"
        assert (p.n, p.touched) == (3, 2)
        # gone, and with it all that was set there
        p = plan(s, conf.text())
        assert p.changes == [
            {"op": "remove", "kind": "listener", "name": "web", "old": None,
             "new": None, "sessions": 2, "effect": "now"}]
        assert p.touched == 2
        # a name is no endpoint: that one stays
        p = plan(s, conf.text(listen=(two % "backlog = 64").replace(
            "web", "other")))
        assert p.named() == [("change", "listener", "other name")]


def test_destinations(service, tmp_path, port, backend):
    one, two = backend(), backend()
    conf = Conf(tmp_path, port, one.port, two.port)
    s = ready(service(conf.text()))
    name = "[127.0.0.1]:%d"
    with lib.connect(port) as a, lib.connect(port) as b, \
            lib.connect(port) as c:
        for sock in (a, b, c):
            lib.roundtrip(sock, b"x")

        def remotes(*weights):
            return "\n".join(
                f"remote {{ address = 127.0.0.1 port = {r} weight = {w} }}"
                for r, w in weights)

        p = plan(s, conf.text(remote=remotes((one.port, 3), (two.port, 1))))
        change = p.one("destination", name % one.port + " weight")
        assert (change["old"], change["new"]) == ("1", "3")
        first = change["sessions"]
        assert p.touched == first
        p = plan(s, conf.text(remote=remotes((one.port, 2))))
        gone = p.one("destination", name % two.port)
        assert gone["op"] == "remove"
        assert gone["effect"] == "new sessions"
        assert first + gone["sessions"] == 3
        assert p.touched == 3
        p = plan(s, conf.text(remote=remotes((one.port, 1), (two.port, 1),
                                             (9, 1))))
        assert p.named() == [("add", "destination", name % 9)]
        assert p.touched == 0
        # order decides ties
        p = plan(s, conf.text(remote=remotes((two.port, 1), (one.port, 1))))
        assert len(p.changes) == 1
        assert p.changes[0]["name"].endswith(" position")
        # a listener and a destination: nobody is counted twice
        p = plan(s, conf.text(
            remote=remotes((one.port, 2), (two.port, 2)),
            listen=f"listen {{ address = 127.0.0.1 port = {port} "
            "realm = x }"))
        assert sum(c["sessions"] for c in p.changes) == 6
        assert p.touched == 3


def test_limits_and_options(service, conf):
    s = ready(service(conf.text()))
    p = plan(s, conf.text(
        top="syslog severity = notice", broker="permit 127.0.0.0/8\n"
        "overload = reset", spawn="instances min = 2 instances max = 3 "
        "users max = 77", relay="idle timeout = 30m retire = 5"))
    assert [(c["kind"], c["name"], c["old"], c["new"], c["effect"])
            for c in p.changes] == [
        ("limit", "instances max", "2", "3", "now"),
        ("limit", "retire", "0", "5", "new sessions"),
        ("limit", "users max", "40", "77", "now"),
        ("acl", "permit 127.0.0.0/8", None, None, "now"),
        ("option", "idle timeout", "0", "1800", "new sessions"),
        ("option", "overload", "queue", "reset", "now"),
        ("option", "syslog severity", "info", "notice", "now")]


@pytest.mark.tls
def test_secrets(service, conf, certs, tmp_path):
    """A certificate by its digest, whatever is secret not at all."""
    cert, key = tmp_path / "cert", tmp_path / "key"
    psk = tmp_path / "psk"

    def put(pair):
        shutil.copy(pair.cert, cert)
        shutil.copy(pair.key, key)

    put(certs.ecdsa)
    psk.write_text("me:00112233445566778899aabbccddeeff\n")
    psk.chmod(0o600)
    port2 = lib.free_port()
    text = conf.text(
        listen=f"listen {{ address = 127.0.0.1 port = {port2} tls = yes "
        "tls psk = yes }", top="setenv TOKEN = swordfish",
        relay=f"tls cert-file = {cert} tls key-file = {key} "
        f"tls psk-file = {psk} tls passphrase = opensesame")
    s = ready(service(text))
    assert plan(s).changes == []
    put(certs.rsa)
    psk.write_text("me:ffeeddccbbaa99887766554433221100\n")
    p = plan(s, text.replace("opensesame", "sesame").replace(
        "swordfish", "trout"))
    c = p.one("tls", "tls cert-file content")
    assert re.fullmatch("[0-9a-f]{16}", c["old"])
    assert re.fullmatch("[0-9a-f]{16}", c["new"])
    assert c["old"] != c["new"] and c["effect"] == "new sessions"
    for name in ("key-file content", "psk-file content", "passphrase"):
        c = p.one("tls", f"tls {name}")
        assert (c["old"], c["new"]) == ("***", "***")
    c = p.one("worker", "environment TOKEN")
    assert (c["old"], c["new"], c["effect"]) == ("***", "***",
                                                 "replaces workers")
    out = "\n".join(p.lines)
    for secret in ("opensesame", "swordfish", "trout", "ffeeddcc", "0011"):
        assert secret not in out
    # the same file again: keys are read again, and adopted in place
    pids = s.workers()
    p = plan(s)
    assert {c["effect"] for c in p.changes} == {"new sessions"}
    s.reload()
    assert s.workers() == pids
    assert plan(s).changes == []


def test_json(service, conf, port):
    s = ready(service(conf.text()))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        status, got = plan_json(s, conf.text(
            broker="permit ::/0", relay="idle timeout = 9"))
    assert status == 2
    assert got == {"changes": [
        {"op": "add", "kind": "acl", "name": "permit ::/0", "old": None,
         "new": "permit ::/0", "sessions": 0, "effect": "now"},
        {"op": "change", "kind": "option", "name": "idle timeout",
         "old": "0", "new": "9", "sessions": 1, "effect": "new sessions"}],
        "errors": []}
    status, got = plan_json(s, conf.text())
    assert (status, got) == (0, {"changes": [], "errors": []})
    # whatever is in a file, it is JSON
    status, got = plan_json(s, conf.text(
        top='syslog ident = "a\\"b\\\\c\\001\\377"'))
    assert status == 2
    assert got["changes"][0]["new"] == 'a"b\\c\x01�'


# ---- what cannot be said

def test_errors(service, conf, tmp_path):
    s = ready(service(conf.text()))
    bad = tmp_path / "bad.cfg"
    bad.write_text(conf.text(broker="backlogg = 7", relay="weight = 3"))
    lines = [n for n, line in enumerate(bad.read_text().splitlines(), 1)
             if "backlogg" in line or "weight" in line]
    r = run(bad)
    assert r.returncode == 1 and r.stdout == ""
    assert [int(m) for m in re.findall(rf"^{bad}:(\d+): ", r.stderr,
                                       re.M)] == lines
    r = run(bad, "--json")
    assert r.returncode == 1 and r.stderr == ""
    got = json.loads(r.stdout)
    assert got["changes"] == []
    assert [(e["file"], e["line"]) for e in got["errors"]] == [
        (str(bad), n) for n in lines]
    assert all(set(e) == {"file", "line", "message"} for e in got["errors"])
    # what a reload would refuse is no plan, even if -P only warns
    if lib.run(lib.TCPRELAY, "-v").stdout.find("/TLS") != -1:
        bad.write_text(conf.text(
            listen=f"listen {{ address = 127.0.0.1 port = {lib.free_port()} "
            "tls = yes }", relay="tls cert-file = /no/such/file"))
        r = run(bad)
        assert r.returncode == 1 and "cannot load certificate" in r.stderr
    r = run(tmp_path / "missing.cfg")
    assert r.returncode == 1 and "missing.cfg" in r.stderr
    assert s.proc.poll() is None


def test_not_running(conf, tmp_path):
    file = tmp_path / "x.cfg"
    file.write_text(conf.text())
    said = ops.not_running(f"{tmp_path}/pid.sock")
    r = run(file)
    assert (r.returncode, r.stdout, r.stderr) == (1, "", said)
    r = run(file, "--json")
    assert r.returncode == 1
    assert json.loads(r.stdout) == {"changes": [], "errors": [
        {"file": None, "line": 0, 
         "message": said.removeprefix("tcprelay: ").rstrip()}]}
    file.write_text(conf.text().replace("pidfile", "# pidfile"))
    r = run(file)
    assert (r.returncode, r.stderr) == (1, ops.NO_PATH)


def test_after_the_end(service, conf):
    s = ready(service(conf.text()))
    assert plan(s).status == 0
    s.stop()
    r = run(s.file)
    assert r.returncode == 1
    assert r.stderr.startswith("tcprelay: not running, nobody answers at ")


def test_usage(tmp_path):
    file = tmp_path / "x.cfg"
    file.write_text("")
    for args in (["--json", file], ["--plan"], ["--plan", file, "a", "b"]):
        r = lib.run(lib.TCPRELAY, *args)
        assert r.returncode == 64, args


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_no_permission(service, conf, tmp_path):
    """The socket admits others, and shows them the board only."""
    sock = tmp_path / "status"
    text = conf.text(broker=f"status socket = {sock}")
    s = ready(service(text))
    sock.chmod(0o666)
    d = tmp_path
    while d != d.parent:			# pytest keeps others out
        if d.stat().st_uid == os.getuid() and d.stat().st_mode & 0o700:
            d.chmod(d.stat().st_mode | 0o055)
        d = d.parent
    s.file.chmod(0o644)
    nobody = shutil.which("setpriv")
    if nobody is None:
        pytest.skip("no setpriv")
    r = lib.run(nobody, "--reuid=65534", "--regid=65534", "--clear-groups",
                str(lib.TCPRELAY), "--plan", str(s.file))
    assert (r.returncode, r.stdout, r.stderr) == (
        1, "", "tcprelay: no permission, the service belongs to somebody else\n")


def test_status_socket_elsewhere(service, conf, tmp_path):
    """A file that moves the socket is compared all the same."""
    s = ready(service(conf.text()))
    moved = conf.text(broker=f"status socket = {tmp_path}/elsewhere")
    p = plan(s, moved)
    assert p.changes == [
        {"op": "change", "kind": "option", "name": "status socket",
         "old": f"{tmp_path}/pid.sock", "new": f"{tmp_path}/elsewhere",
         "sessions": 0, "effect": "restart needed"}]
    # and stays a change, as long as nobody has started anew
    since = s.mark()
    s.reload(moved)
    s.wait_for("reload: restart needed for 'status socket'", since=since)
    assert plan(s).changes == p.changes


# ---- the plan is what the reload does

IN_PLACE = {
    "nothing": {},
    "acl": {"broker": "permit 127.0.0.0/8"},
    "limits": {"spawn": "instances min = 2 instances max = 3 users max = 9"},
    "idle": {"relay": "idle timeout = 1h"},
    "log": {"top": "syslog facility = daemon"},
    "overload": {"broker": "overload = close"},
    "accept": {"broker": "accept = workers"},
    "bufsize": {"broker": "tcp bufsize = 256k"},
    "proctitle": {"top": "proctitle = other"},
}
REPLACED = {
    "environment": {"top": "setenv NEW = value"},
    "mechanism": {"top": "setenv IO_POLL_MECHANISM = 8"},
    "directory": {"spawn": "instances min = 2 instances max = 2 "
                  "working directory = /"},
    "coredumps": {"top": "coredump directory = /tmp"},
    "section": {"spawn": "instances min = 2 instances max = 2 id = other",
                "relay": "} id = other {"},
    "config": {"spawn": "instances min = 2 instances max = 2 "
               "config = {dir}/worker.cfg"},
}
if os.getuid() == 0:
    REPLACED["user"] = {"spawn": "instances min = 2 instances max = 2 "
                        "userid = 0"}


def pieces(conf, tmp_path, change):
    new = {k: v.replace("{dir}", str(tmp_path)) for k, v in change.items()}
    if new.get("relay", "").startswith("} id"):
        new["relay"] += conf.parts["remote"]
    (tmp_path / "worker.cfg").write_text(
        f"id = tcprelay {{ {conf.parts['remote']} }}")
    return conf.text(**new)


@pytest.mark.parametrize("name", [*IN_PLACE, *REPLACED])
def test_reload_does_it(service, conf, tmp_path, port, name):
    """Workers are replaced when the plan says so, and only then; afterwards
    nothing is left to be done."""
    text = pieces(conf, tmp_path, {**IN_PLACE, **REPLACED}[name])
    s = ready(service(conf.text()))
    before = set(s.workers())
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        p = plan(s, text)
        assert bool(p.changes) == (name != "nothing")
        replaces = "replaces workers" in {c["effect"] for c in p.changes}
        assert replaces == (name in REPLACED), p.lines
        for change in p.changes:
            assert change["sessions"] == (0 if change["op"] == "add" else
                                          1), p.lines
        s.reload(text)
        new = {w.pid for w in ops.workers(s) if w.state == "ready"}
        assert new & before == (set() if replaces else before)
        assert plan(s).changes == []
        # and back: what came goes
        p = plan(s, conf.text())
        assert bool(p.changes) == (name != "nothing")
        assert ("replaces workers" in {c["effect"] for c in p.changes}) == \
            (name in REPLACED)
        lib.roundtrip(c, b"y")
    assert plan(s).changes == []


@pytest.mark.tls
def test_key_process(service, conf, certs):
    def text(more):
        return conf.text(
            listen=f"listen {{ address = 127.0.0.1 port = {port} "
            "tls = yes }", relay=f"tls cert-file = {certs.ecdsa.pem} {more}")

    port = lib.free_port()
    s = ready(service(text("")))
    before = set(s.workers())
    p = plan(s, text("key process = yes"))
    assert p.changes == [
        {"op": "change", "kind": "worker", "name": "key process",
         "old": "no", "new": "yes", "sessions": 0,
         "effect": "replaces workers"}]
    s.reload(text("key process = yes"))
    assert not {w.pid for w in ops.workers(s)
                if w.state == "ready"} & before
    assert plan(s).changes == []


@pytest.mark.parametrize("what", ["background = yes",
                                  "single process = yes"])
def test_restart_needed(service, conf, what):
    """A reload leaves it, says so, and the plan goes on to show it."""
    s = ready(service(conf.text(), args=["-f"]))
    name = what.split(" = ")[0]
    text = conf.text(broker=what)
    p = plan(s, text)
    assert p.changes == [
        {"op": "change", "kind": "option", "name": name, "old": "no",
         "new": "yes", "sessions": 0, "effect": "restart needed"}]
    before = s.workers()
    since = s.mark()
    s.reload(text)
    s.wait_for(f"reload: restart needed for '{name}'", since=since)
    assert s.workers() == before
    assert plan(s).changes == p.changes
    # taken back, nothing is left of it
    s.reload(conf.text())
    assert plan(s).changes == []


def test_refused_reload_changes_nothing(service, conf):
    s = ready(service(conf.text()))
    s.reload(conf.text(broker="nonsense"), expect="refused")
    assert plan(s, conf.text()).changes == []
    s.reload(conf.text())


def test_sigusr1_changes_nothing(service, conf):
    s = ready(service(conf.text()))
    before = set(s.workers())
    since = s.mark()
    s.send_signal(signal.SIGUSR1)
    s.wait_for("reload: done", since=since)
    assert not {w.pid for w in ops.workers(s)
                if w.state == "ready"} & before
    assert plan(s).changes == []


# ---- other ways to run

def test_single_process(service, conf, port):
    s = service(conf.text(broker="single process = yes"))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        p = plan(s, conf.text(broker="single process = yes",
                              relay="idle timeout = 5"))
    assert p.changes == [
        {"op": "change", "kind": "option", "name": "idle timeout",
         "old": "0", "new": "5", "sessions": 1, "effect": "new sessions"}]


def test_broker_alone(service, conf, tmp_path, port):
    """It compares its own section, and of the worker's whether its text is
    the same."""
    def text(more="", section="", **kw):
        return conf.text(spawn=f"exec = {lib.TCPRELAY} id = tcprelay "
                         "instances min = 2 instances max = 2" + more,
                         relay=section, **kw)

    s = ready(service(text(), program="spawnd"))
    assert plan(s).changes == []
    p = plan(s, text(section="idle timeout = 5"))
    assert p.named() == [("change", "worker", "text of the section")]
    assert p.changes[0]["effect"] == "replaces workers"
    p = plan(s, text(broker="overload = reset"))
    assert p.named() == [("change", "option", "overload")]
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        # how many of them came by which listener only the workers know
        p = plan(s, text(listen=conf.parts["listen"].replace(
            "port", "realm = x port")))
        assert p.changes == [
            {"op": "change", "kind": "listener",
             "name": f"[127.0.0.1]:{port} realm", "old": "none",
             "new": "x", "sessions": 1, "effect": "new sessions"}]
    worker = tmp_path / "worker.cfg"
    worker.write_text(f"id = tcprelay {{ {conf.parts['remote']} }}")
    apart = text(more=f" config = {worker}")
    s.reload(apart)
    assert plan(s).changes == []
    worker.write_text(worker.read_text() + "\n")
    assert plan(s, apart).named() == [
        ("change", "worker", "text of the section")]


def test_sections_by_option(service, conf, tmp_path):
    text = conf.text().replace("id = spawnd", "id = front").replace(
        "id = tcprelay", "id = inner")
    s = ready(service(text, args=["-I", "front", "-i", "inner"]))
    assert plan(s, text, "-I", "front", "-i", "inner").changes == []
    file = s.directory / "new.cfg"
    r = run(file, "-i", "inner")
    assert r.returncode == 1 and "no section with id 'spawnd'" in r.stderr


def test_pid_file_by_option(service, conf, tmp_path):
    """As init scripts do it: the socket is beside that file."""
    text = conf.text().replace("pidfile", "# pidfile")
    s = ready(service(text, args=["-p", tmp_path / "other"]))
    assert plan(s, None, "-p", tmp_path / "other").changes == []
    r = run(s.file)
    assert (r.returncode, r.stderr) == (1, ops.NO_PATH)


def test_page():
    """The example of the manual is what is printed."""
    page = (lib.TOP / "doc/tcprelay.8").read_text()
    begin = page.index("\n~ listener")
    lines = page[begin + 1:page.index("\n.Ed", begin)].splitlines()
    assert len(lines) == 4
    for line in lines[:-1]:
        assert LINE.fullmatch(line), line
    assert LAST.fullmatch(lines[-1]).group(1) == "3"
    listed = page[page.index(".Ss Plan"):]
    for effect in ("now", "new sessions", "replaces workers",
                   "restart needed"):
        assert f".It Cm {effect}\n" in listed


def test_very_many(service, tmp_path, port, backend):
    """More than the board was made for: then there is another one, and
    workers that do not have it."""
    one = backend()
    conf = Conf(tmp_path, port, one.port)
    s = ready(service(conf.text()))
    before = set(s.workers())
    text = conf.text(remote=conf.parts["remote"] + "\n".join(
        f"remote {{ address = 127.9.{n // 250}.{n % 250 + 1} port = 9 }}"
        for n in range(1500)))
    p = plan(s, text)
    added = [c for c in p.changes if c["op"] == "add"]
    assert len(added) == 1500
    replaces = [c for c in p.changes if c["effect"] == "replaces workers"]
    s.reload(text)
    new = {w.pid for w in ops.workers(s) if w.state == "ready"}
    assert bool(replaces) == (not new & before)
    assert plan(s).changes == []
