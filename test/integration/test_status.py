"""The status socket and -s (2.7): what they show, to whom, and that neither
looking nor anything that happens to a worker costs the service a figure."""

import contextlib
import json
import mmap
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import tempfile
import time

import pytest

import lib
import ops
from test_upgrade import Old, program, replace, stub, upgrade

assert program and stub		# fixtures

CONF = """
id = spawnd {{
	{socket}
	{broker}
	{listen}
	spawn {{ {spawn} }}
}}
id = tcprelay {{
	{remote}
	{relay}
}}
"""

REASONS = ["done", "client-error", "destination-error", "idle",
           "no-destination", "handshake", "handshake-timeout",
           "proxy-header", "mavis", "session-timeout", "local-error",
           "killed"]

# {} an object, [] a list of such; "word|word" one of these.
N, T, MAYBE = "number", "text", "number or null"
SCHEMA = {
    "service": {"program": "tcprelay|spawnd", "version": T, "pid": N,
                "uptime": N, "generation": N, "users": N, "capacity": N,
                "overload": "no|queue|close|reset"},
    "workers": [{"worker": N, "pid": N, "generation": N,
                 "state": "starting|ready|suspected|retiring|ending",
                 "users": N, "max": N, "served": N, "age": N}],
    "listeners": [{"listener": T, "endpoint": T, "accept": "master|workers",
                   "state": "open|retrying|closing", "users": MAYBE,
                   "accepted": N, "refused": N}],
    "destinations": [{"destination": T, "pool": T, "weight": N,
                      "state": "up|dead|partly", "sessions": N, "total": N,
                      "failures": N, "bytes-in": N, "bytes-out": N}],
    "sessions": {"open": N, **{r: MAYBE for r in REASONS}},
}


def assert_schema(value, schema, where="status"):
    if isinstance(schema, dict):
        assert list(value) == list(schema), where
        for name, part in schema.items():
            assert_schema(value[name], part, f"{where}.{name}")
    elif isinstance(schema, list):
        assert type(value) is list, where
        for i, item in enumerate(value):
            assert_schema(item, schema[0], f"{where}[{i}]")
    elif schema in (N, MAYBE):
        assert (schema == MAYBE and value is None) or (
            type(value) is int and 0 <= value < 2 ** 63), (where, value)
    elif schema == T:
        assert type(value) is str and value, (where, value)
    else:
        assert value in schema.split("|"), (where, value)


@pytest.fixture
def short():
    """A directory whose name leaves room for that of a socket."""
    d = tempfile.mkdtemp(prefix="st-")
    os.chmod(d, 0o755)
    yield d
    shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def path(short):
    return f"{short}/status"


def conf(path, port, remote, broker="", listen=None, relay="",
         spawn="instances min = 2 instances max = 2"):
    return CONF.format(
        socket=f"status socket = {path}" if path else "", broker=broker,
        listen=listen or f"listen = {{ port = {port} }}", spawn=spawn,
        remote=f"remote = {{ {remote} }}", relay=relay)


def ask(s, *args, status=0):
    """-s on the service's file."""
    r = lib.run(s.program, "-s", *args, s.file, directory=s.directory)
    assert r.returncode == status, (r.returncode, r.stderr, r.stdout)
    return r


def look(s, *args):
    """The whole object, held against the schema."""
    out = json.loads(ask(s, "--json", *args).stdout)
    assert_schema(out, SCHEMA)
    return out


def by(table, column, value):
    found = [row for row in table if row[column] == value]
    assert len(found) == 1, (column, value, table)
    return found[0]


def wait_look(s, condition, what):
    def once():
        r = lib.run(s.program, "-s", "--json", s.file, directory=s.directory)
        if r.returncode == 1 and "not running" in r.stderr:
            return None			# it has just been started
        assert r.returncode == 0, (r.returncode, r.stderr, r.stdout)
        out = json.loads(r.stdout)
        assert_schema(out, SCHEMA)
        return out if condition(out) else None

    return lib.wait_until(once, what, step=0.05)


def ready(s, n=2):
    return wait_look(s, lambda o: [w["state"] for w in o["workers"]].count(
        "ready") == n, f"{n} ready workers")


def visit(port, n=1, data=b"hello"):
    for _ in range(n):
        with lib.connect(port) as c:
            lib.roundtrip(c, data)


def idle(s):
    return wait_look(s, lambda o: o["service"]["users"] == 0, "no users")


def sums(out):
    """Everything that must never fall."""
    flat = {("sessions", k): v for k, v in out["sessions"].items()
            if k != "open"}
    for x in out["listeners"]:
        for k in ("accepted", "refused"):
            flat["listener", x["endpoint"], k] = x[k]
    for x in out["destinations"]:
        for k in ("total", "failures", "bytes-in", "bytes-out"):
            flat["destination", x["destination"], x["pool"], k] = x[k]
    return flat


def assert_not_less(before, after):
    a, b = sums(before), sums(after)
    for k, v in a.items():
        if k in b:
            assert b[k] >= v, (k, v, b[k])


# ---- what is shown

def test_tables(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote + " weight = 3 pool = blue"))
    ready(s)
    visit(port)
    idle(s)
    lines = ask(s).stdout.split("\n")
    assert lines[0].startswith("tcprelay version ") and \
        f", pid {s.pid}, uptime " in lines[0]
    assert lines[0].endswith(", generation 1, users 0, capacity 80, "
                             "overload no")
    tables = [t.split("\n") for t in "\n".join(lines[2:]).rstrip("\n")
              .split("\n\n")]
    rows = [[line.split() for line in t] for t in tables]
    assert rows[0][0] == ["worker", "pid", "generation", "state", "users",
                          "max", "served", "age"]
    assert rows[1][0] == ["listener", "endpoint", "accept", "state", "users",
                          "accepted", "refused"]
    assert rows[2][0] == ["destination", "pool", "weight", "state",
                          "sessions", "total", "failures", "bytes-in",
                          "bytes-out"]
    assert rows[3][0] == ["reason", "count"]
    assert len(rows) == 4 and len(rows[0]) == 3
    assert rows[1][1] == ["listener-1", f"[::]:{port}"
                          if lib.have_ipv6() else f"[0.0.0.0]:{port}",
                          "master", "open", "0", "1", "0"]
    assert rows[2][1] == [f"[127.0.0.1]:{echo.port}", "blue", "3", "up", "0",
                          "1", "0", "5", "5"]
    assert [r[0] for r in rows[3][1:]] == ["open"] + REASONS
    assert rows[3][2] == ["done", "1"]
    # every row has every column, and numbers stand below each other
    for t, r in zip(tables, rows):
        assert {len(x) for x in r} == {len(r[0])}
        assert len({len(x) for x in t}) == 1


def test_json(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote))
    out = ready(s)
    assert out["service"]["program"] == "tcprelay"
    assert out["service"]["pid"] == s.pid
    assert lib.run(lib.TCPRELAY, "-v").stdout.startswith(
        f"tcprelay version {out['service']['version']}")
    assert [w["pid"] for w in out["workers"]] == sorted(
        s.workers(), key=[w["pid"] for w in out["workers"]].index)
    assert [w["worker"] for w in out["workers"]] == [1, 2]
    assert {w["max"] for w in out["workers"]} == {40}
    held = [ops.hold(s, port) for _ in range(3)]
    out = look(s)
    assert out["service"]["users"] == out["sessions"]["open"] == 3
    assert out["listeners"][0]["users"] == 3
    assert out["destinations"][0]["sessions"] == 3
    for w in out["workers"]:
        assert w["users"] == [pid for _, pid in held].count(w["pid"])
    for sock, _ in held:
        sock.close()
    out = idle(s)
    assert out["sessions"]["done"] == 3
    assert sum(w["served"] for w in out["workers"]) == 3


def test_paths_and_names(service, backend, path, short):
    """In tables columns are told apart by blanks, so there is none in
    them."""
    echo = backend()
    where = f"{short}/a b%c"
    s = service(conf(path, 0, echo.remote, listen=f'listen = {{ path = '
                     f'"{where}" name = local.one }}'))
    out = ready(s)
    assert out["listeners"][0]["listener"] == "local.one"
    assert out["listeners"][0]["endpoint"] == where
    assert f"{short}/a%20b%25c" in ask(s).stdout.split()


def test_sigusr2_says_the_same(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote))
    ready(s)
    sock, _ = ops.hold(s, port)
    visit(port, 3, b"x" * 1000)
    out = wait_look(s, lambda o: o["service"]["users"] == 1, "one user")
    logged, destinations = ops.status(s)
    for w in out["workers"]:
        got = logged[w["worker"]]._asdict()
        assert abs(got.pop("age") - w.pop("age")) <= 2
        assert got == w
    d = out["destinations"][0]
    assert destinations[d["destination"]] == {
        k: str(v) for k, v in d.items()}
    sock.close()


# ---- counting

def test_traffic(service, backend, path):
    """Who accepts counts, and everything is counted once."""
    a, b = lib.free_port(), lib.free_port()
    echo, dead = backend(), lib.free_port()
    s = service(conf(
        path, 0, echo.remote, listen=f"listen = {{ port = {a} name = first }} "
        f"listen = {{ port = {b} accept = workers name = second }}",
        broker="deny 127.0.0.9 permit 127.0.0.0/8",
        relay=f"remote = {{ address = 127.0.0.1 port = {dead} }}"),
        listeners=2)
    ready(s)
    visit(a, 6)
    visit(b, 4, b"y" * 100)
    for port, n in ((a, 2), (b, 3)):
        for _ in range(n):
            with socket.create_connection(
                    ("127.0.0.1", port), lib.TIMEOUT,
                    source_address=("127.0.0.9", 0)) as c:
                assert c.recv(1) == b""
    out = wait_look(s, lambda o: o["sessions"]["done"] == 10,
                    "ten sessions done")
    first = by(out["listeners"], "listener", "first")
    second = by(out["listeners"], "listener", "second")
    assert (first["accept"], second["accept"]) == ("master", "workers")
    assert (first["accepted"], first["refused"]) == (6, 2)
    assert (second["accepted"], second["refused"]) == (4, 3)
    good = by(out["destinations"], "destination", f"[127.0.0.1]:{echo.port}")
    bad = by(out["destinations"], "destination", f"[127.0.0.1]:{dead}")
    assert good["total"] == 10 and good["failures"] == 0
    assert good["bytes-in"] == good["bytes-out"] == 6 * 5 + 4 * 100
    assert (bad["total"], bad["sessions"]) == (0, 0)
    assert bad["state"] in ("dead", "partly", "up")
    assert (bad["failures"] > 0) == (bad["state"] != "up")
    held = [ops.hold(s, b)[0] for _ in range(2)]
    out = look(s)
    assert by(out["listeners"], "listener", "second")["users"] == 2
    assert by(out["listeners"], "listener", "first")["users"] == 0
    for c in held:
        c.close()


def test_overload_is_shown(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote, broker="overload = reset",
                     spawn="instances min = 1 instances max = 1 "
                     "users min = 1 users max = 2"))
    ready(s, 1)
    held = [ops.hold(s, port)[0] for _ in range(2)]
    out = wait_look(s, lambda o: o["service"]["overload"] == "reset",
                    "overload")
    assert out["service"]["capacity"] == 2
    with contextlib.suppress(OSError):
        lib.echo_once(port, timeout=5)
    wait_look(s, lambda o: o["listeners"][0]["refused"] > 0, "one shed")
    for c in held:
        c.close()
    wait_look(s, lambda o: o["service"]["overload"] == "no", "room")


def test_nothing_is_lost_with_workers(service, backend, port, path):
    """Killed, retired, replaced: totals never fall, and each session is
    counted once, those that went down with a worker as killed."""
    echo = backend()
    s = service(conf(path, port, echo.remote))
    ready(s)
    visit(port, 5)
    sock, pid = ops.hold(s, port)
    before = wait_look(s, lambda o: o["service"]["users"] == 1, "one user")
    os.kill(pid, signal.SIGKILL)
    after = wait_look(s, lambda o: pid not in [w["pid"] for w in
                                               o["workers"]] and
                      len(o["workers"]) == 2, "another worker")
    assert_not_less(before, after)
    assert after["sessions"]["open"] == 0
    assert after["sessions"]["killed"] == 1
    assert after["sessions"]["done"] == 5
    assert after["listeners"][0]["users"] == 0
    assert after["destinations"][0]["sessions"] == 0
    assert after["destinations"][0]["total"] == 6
    sock.close()
    ready(s)
    pids = set(s.workers())
    since = s.mark()
    s.send_signal(signal.SIGUSR1)
    s.wait_for("reload: done", since=since)
    lib.wait_until(lambda: not pids & set(s.workers()), "new workers")
    visit(port, 4)
    after = wait_look(s, lambda o: o["sessions"]["done"] == 9,
                      "nine sessions done")
    assert_not_less(before, after)
    assert after["destinations"][0]["total"] == 10
    assert after["listeners"][0]["accepted"] == 10


# ---- over reloads

def test_reload_keeps_counters(service, backend, path):
    """What is gone is shown as long as there are sessions, under the name
    it had."""
    a, b = lib.free_port(), lib.free_port()
    one, two = backend(), backend()
    s = service(conf(path, a, one.remote))
    ready(s)
    visit(a, 3)
    sock, pid = ops.hold(s, a)
    before = wait_look(s, lambda o: o["sessions"]["done"] == 3, "three done")
    text = conf(path, b, two.remote)
    s.reload(text)
    out = look(s)
    assert out["service"]["generation"] == 2
    assert pid in [w["pid"] for w in out["workers"]]
    assert len(out["listeners"]) == len(out["destinations"]) == 2
    # the running ones come first
    assert out["listeners"][0]["state"] == "open"
    gone = out["listeners"][1]
    assert gone["endpoint"].endswith(f":{a}") and gone["state"] == "closing"
    assert (gone["users"], gone["accepted"]) == (1, 4)
    gone = out["destinations"][1]
    assert gone["destination"] == f"[127.0.0.1]:{one.port}"
    assert (gone["sessions"], gone["total"]) == (1, 4)
    assert_not_less(before, out)
    lib.roundtrip(sock, b"still counted")
    assert by(look(s)["destinations"], "destination",
              gone["destination"])["bytes-in"] == 3 * 5 + 4 + 13
    sock.close()
    out = idle(s)
    assert [x["destination"] for x in out["destinations"]] == \
        [f"[127.0.0.1]:{two.port}"]
    assert len(out["listeners"]) == 1
    assert out["sessions"]["done"] == 4
    visit(b, 2)
    out = wait_look(s, lambda o: o["sessions"]["done"] == 6, "six done")
    assert out["destinations"][0]["total"] == 2


def test_refused_reload_shows_nothing_new(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote))
    before = ready(s)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        s.reload(conf(path, port, "address = 127.0.0.1 port = 1",
                      listen=f"listen = {{ port = {port} }} listen = {{ "
                      "address = 127.0.0.1 port = "
                      f"{taken.getsockname()[1]} }}"), "reload: failed")
    s.write(conf(path, port, echo.remote))
    out = look(s)
    for table in ("listeners", "destinations"):
        assert out[table] == before[table]


def boards(pid):
    return [t for t in lib.descriptors(pid).values() if "memfd:board" in t]


def test_many_reloads_one_board(service, backend, port, path):
    """Destinations that come and go for ever do not use rows up, whoever
    still has a session with one of the first."""
    echo = backend()
    first = conf(path, port, echo.remote)
    s = service(first)
    ready(s)
    sock, pid = ops.hold(s, port)
    pids = set(s.workers())
    before = boards(s.pid)
    for n in range(24):
        many = " ".join(f"remote = {{ address = 127.0.{n + 1}.{i} port = 9 "
                        "pool = spare }" for i in range(1, 101))
        s.reload(conf(path, port, echo.remote, relay=many))
    s.reload(first)
    assert boards(s.pid) == before
    assert set(s.workers()) == pids
    out = look(s)
    assert len(out["destinations"]) == 1
    assert out["destinations"][0]["sessions"] == 1
    lib.roundtrip(sock, b"here")
    sock.close()


def test_second_board(service, backend, port, path):
    """More destinations than there are rows: the figures go along, and who
    lives on the old board is shown on the new one."""
    echo = backend()
    s = service(conf(path, port, echo.remote))
    ready(s)
    visit(port, 5)
    sock, pid = ops.hold(s, port)
    before = wait_look(s, lambda o: o["sessions"]["done"] == 5, "five done")
    many = " ".join(f"remote = {{ address = 127.{n // 200 + 1}."
                    f"{n % 200 + 1}.1 port = 9 pool = spare }}"
                    for n in range(1500))
    s.reload(conf(path, port, echo.remote, relay=many))
    out = look(s)
    assert len(out["destinations"]) == 1501
    assert_not_less(before, out)
    old = by(out["workers"], "pid", pid)
    assert (old["state"], old["users"]) == ("ending", 1)
    assert out["listeners"][0]["users"] == 1
    assert out["sessions"]["open"] == 1
    d = by(out["destinations"], "destination", f"[127.0.0.1]:{echo.port}")
    assert (d["sessions"], d["total"]) == (1, 6)
    lib.roundtrip(sock, b"counted")
    d = by(look(s)["destinations"], "destination", d["destination"])
    assert d["bytes-in"] == 5 * 5 + 4 + 7
    sock.close()
    out = wait_look(s, lambda o: pid not in [w["pid"] for w in
                                             o["workers"]], "its end")
    d = by(out["destinations"], "destination", d["destination"])
    assert (d["sessions"], d["total"], d["bytes-in"]) == (0, 6, 36)
    assert out["sessions"]["done"] == 6
    assert_not_less(before, out)
    lib.wait_until(lambda: len(boards(s.pid)) == 2, "the old board to go")


# ---- over upgrades

def test_upgrade_keeps_figures(service, backend, program, port, path):
    """The board goes on, and so does the socket: another program, the same
    sums, and workers of both."""
    echo = backend()
    s = service(conf(path, port, echo.remote), program=program)
    ready(s)
    inode = os.stat(path).st_ino
    sock, pid = ops.hold(s, port)
    for n in (1, 2):
        visit(port, 5)
        before = wait_look(s, lambda o: o["sessions"]["done"] == 5 * n,
                           "sessions done")
        replace(program)
        upgrade(s)
        out = wait_look(s, lambda o: len(o["workers"]) == 3, "its end")
        assert_not_less(before, out)
        assert out["service"]["pid"] == s.pid
        assert out["service"]["uptime"] >= before["service"]["uptime"]
        assert out["service"]["generation"] == 1 + n
        old = by(out["workers"], "pid", pid)
        assert (old["state"], old["users"]) == ("ending", 1)
        assert out["listeners"][0]["users"] == 1
        assert out["destinations"][0]["sessions"] == 1
        assert out["destinations"][0]["total"] == 1 + 5 * n
        assert out["listeners"][0]["accepted"] == 1 + 5 * n
        assert len(boards(s.pid)) == 2
        assert os.stat(path).st_ino == inode
    sock.close()
    out = wait_look(s, lambda o: o["sessions"]["done"] == 11, "all done")
    assert out["destinations"][0]["sessions"] == 0
    s.assert_clean()
    assert not os.path.exists(path)


def test_upgrade_with_foreign_workers(service, probe, tmp_path, port, path):
    """Those that count by messages are shown again, and only once."""
    broker = tmp_path / "spawnd"
    shutil.copy2(lib.SPAWND, broker)
    s = service(f"""
id = spawnd {{
	status socket = {path}
	listen = {{ port = {port} name = front }}
	spawn {{ exec = "{probe}" id = probe instances min = 1
	    instances max = 1 }}
}}
id = probe {{ }}
""", program=broker)
    ready(s, 1)
    with lib.connect(port) as c:
        pid = int(ops.told(c)["pid"])
        wait_look(s, lambda o: o["service"]["users"] == 1, "one user")
        replace(broker, lib.SPAWND)
        upgrade(s)
        out = wait_look(s, lambda o: len(o["workers"]) == 2, "two workers")
        assert by(out["workers"], "pid", pid)["users"] == 1
        assert out["listeners"][0]["accepted"] == 1
    out = wait_look(s, lambda o: len(o["workers"]) == 1, "its end")
    assert out["service"]["users"] == 0
    assert out["sessions"]["done"] is None


def test_program_before_goes_on(service, backend, program, stub, port, short):
    """The new one is no good: the old one answers, with what it had and as
    who it is now."""
    echo = backend()
    path, pidfile = f"{short}/status", f"{short}/pid"
    s = service(conf(path, port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program, clean=False)
    ready(s)
    visit(port, 5)
    before = wait_look(s, lambda o: o["sessions"]["done"] == 5, "five done")
    s.program = lib.TCPRELAY
    replace(program, stub("_exit(0)"))
    s.send_signal(signal.SIGHUP)
    old = Old(s, lib.pathlib.Path(pidfile))
    out = wait_look(s, lambda o: o["service"]["pid"] == old.pid,
                    "the other process")
    assert_not_less(before, out)
    assert sorted(w["pid"] for w in out["workers"]) == \
        sorted(w["pid"] for w in before["workers"])
    visit(port, 2)
    wait_look(s, lambda o: o["destinations"][0]["total"] == 7, "two more")
    old.stop()
    assert not os.path.exists(path)


# ---- the socket

def receive(path):
    """What a client is sent: (version, zero, pid), [descriptors]."""
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(lib.TIMEOUT)
        c.connect(path)
        data, fds, _, _ = socket.recv_fds(c, 64, 8)
        assert c.recv(1) == b""
    return struct.unpack("=IIQ", data), fds


def as_nobody(work):
    """Runs work() in a process of that user; what it returned."""
    r, w = os.pipe()
    if (pid := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            user = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.write(w, json.dumps(work()).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return json.loads(data)


def tampering(fd):
    """What of it succeeds that a reader must not be able to do."""
    done = []

    def attempt(name, call):
        with contextlib.suppress(OSError, ValueError):
            call()
            done.append(name)

    size = os.fstat(fd).st_size
    attempt("read", lambda: os.pread(fd, 64, 0))
    attempt("map", lambda: mmap.mmap(fd, size, mmap.MAP_SHARED,
                                     mmap.PROT_READ))
    attempt("write", lambda: os.pwrite(fd, b"x", 0))
    attempt("map for writing", lambda: mmap.mmap(fd, size, mmap.MAP_SHARED))
    attempt("truncate", lambda: os.ftruncate(fd, 0))
    attempt("open again", lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR))
    attempt("chmod", lambda: os.fchmod(fd, 0o666))
    return done


def test_message(service, backend, port, path):
    s = service(conf(path, port, backend().remote))
    ready(s)
    head, fds = receive(path)
    assert head == (1, 0, s.pid)
    assert "memfd:board" in os.readlink(f"/proc/self/fd/{fds[0]}")
    assert tampering(fds[0])[:2] == ["read", "map"]
    assert not {"write", "map for writing", "truncate"} & \
        set(tampering(fds[0]))
    # the same user may see what it runs with, too
    assert len(fds) == 2
    for fd in fds:
        os.close(fd)
    st = os.stat(path)
    assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o660, os.getuid())


@pytest.mark.skipif(os.getuid() != 0, reason="needs to be somebody else")
def test_others(service, backend, port, path):
    """Who may not connect sees nothing; who may sees the board, to be read,
    and nothing else."""
    s = service(conf(path, port, backend().remote))
    ready(s)

    def refused():
        try:
            receive(path)
        except PermissionError:
            return True
        return False

    def board():
        head, fds = receive(path)
        return head[2], len(fds), tampering(fds[0])

    assert as_nobody(refused)
    os.chmod(path, 0o666)
    assert as_nobody(board) == [s.pid, 1, ["read", "map"]]


def test_clients_that_do_not_read(service, backend, port, path):
    """A hundred that connect and then do nothing, or write: nobody waits for
    them."""
    s = service(conf(path, port, backend().remote))
    ready(s)
    there = len(lib.descriptors(s.pid))
    clients = []
    for n in range(100):
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(lib.TIMEOUT)
        while True:
            try:
                c.connect(path)
                break
            except BlockingIOError:
                time.sleep(0.01)
        with contextlib.suppress(OSError):
            c.send(b"x" * (n * 100))
        clients.append(c)
    visit(port, 3)
    wait_look(s, lambda o: o["sessions"]["done"] == 3, "three done")
    lib.wait_until(lambda: len(lib.descriptors(s.pid)) <= there,
                   "no descriptor left behind")
    for c in clients:
        c.close()


def test_file_comes_and_goes(service, backend, port, path):
    s = service(conf(path, port, backend().remote))
    ready(s)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    s.assert_clean()
    assert not os.path.exists(path)
    assert ask(s, status=1).stderr == ops.not_running(path)
    # what is somebody else's by then stays
    s = service(conf(path, port, backend().remote))
    ready(s)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        s.assert_clean()
        assert os.path.exists(path)


def test_default_path(service, backend, port, short):
    """Beside the pid file, wherever that is named."""
    text = conf(None, port, backend().remote)
    s = service(text, args=["-p", f"{short}/pid"])
    lib.wait_until(lambda: os.path.exists(f"{short}/pid.sock"), "the socket")
    assert ask(s, status=1).stderr == ops.NO_PATH
    assert look(s, "-p", f"{short}/pid")["service"]["pid"] == s.pid
    s.assert_clean()
    s = service(conf(None, port, backend().remote,
                     broker=f"pidfile = {short}/other"))
    ready(s)
    assert look(s)["service"]["pid"] == s.pid
    assert os.path.exists(f"{short}/other.sock")
    s.assert_clean()
    assert os.listdir(short) == []


@pytest.mark.parametrize("what", ["stale", "live", "file", "directory"])
def test_something_is_there(service, backend, port, short, what):
    """One that nobody listens on is removed; anything else is an error for a
    path that was asked for, and a warning for the usual one."""
    path = f"{short}/pid.sock"
    other = socket.socket(socket.AF_UNIX)
    if what in ("stale", "live"):
        other.bind(path)
    elif what == "file":
        open(path, "w").close()
    else:
        os.mkdir(path)
    if what == "live":
        other.listen()
    if what != "live":
        other.close()
    remote = backend().remote
    text = {"pidfile": conf(None, port, remote,
                            broker=f"pidfile = {short}/pid"),
            "given": conf(path, port, remote)}
    s = service(text["pidfile"])
    s.wait_for("worker starting")
    if what == "stale":
        assert look(s)["service"]["pid"] == s.pid
    else:
        m = s.grep(f"status socket '{path}': (.*)")[0].group(1)
        assert m == {"live": "somebody listens there"}.get(
            what, "there is something else")
    s.assert_clean()
    if what != "stale":
        s = service(text["given"], start=False, clean=False).launch()
        assert s.wait() == 78
        s.wait_for(f"status socket '{path}': ")
        assert os.path.exists(path)
    other.close()


def test_no_place_for_the_path(service, backend, port, short):
    """The usual one is too long: a warning. Such a one given: an error, of
    the file."""
    deep = f"{short}/{'d' * 100}"
    os.mkdir(deep)
    remote = backend().remote
    s = service(conf(None, port, remote, broker=f"pidfile = {deep}/pid"))
    assert s.grep("status socket: path too long, there is none")
    assert ask(s, status=1).stderr == ops.NO_PATH
    # beside -p nobody has looked at it before
    s.assert_clean()
    s = service(conf(None, port, remote), args=["-p", f"{deep}/pid"])
    s.wait_for("status socket '.*': File name too long")
    status, errors = lib.check_config(conf(f"{deep}/status", port, remote),
                                      s.directory)
    assert status == 78 and "status socket: path too long" in errors[0]


def test_reload_to_another_path(service, backend, port, short):
    remote = backend().remote
    s = service(conf(f"{short}/a", port, remote))
    ready(s)
    old = s.file.read_text()
    s.reload(conf(f"{short}/b", port, remote))
    assert s.grep("restart needed for .*status socket")
    assert not os.path.exists(f"{short}/b")
    assert ask(s, status=1).stderr == ops.not_running(f"{short}/b")
    s.write(old)
    assert look(s)["service"]["generation"] == 2
    since = s.mark()
    s.reload()
    assert not s.grep("restart needed", since)


# ---- every kind of service

def test_single_process(service, backend, port, path):
    echo = backend()
    s = service(conf(path, port, echo.remote, broker="single process = yes"))
    out = ready(s, 1)
    assert [w["pid"] for w in out["workers"]] == [s.pid]
    sock = lib.connect(port)
    lib.roundtrip(sock, b"here")
    visit(port, 2)
    out = wait_look(s, lambda o: o["sessions"]["done"] == 2, "two done")
    assert out["listeners"][0]["users"] == 1
    assert out["listeners"][0]["accepted"] == 3
    assert out["destinations"][0]["sessions"] == 1
    s.reload()
    lib.roundtrip(sock, b"here")
    out = look(s)
    assert out["service"]["generation"] == 2
    assert out["destinations"][0]["total"] == 3
    sock.close()
    idle(s)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
def test_single_process_changes_its_user(service, backend, port, path):
    user = pwd.getpwnam("nobody")
    s = service(conf(path, port, backend().remote,
                     broker="single process = yes",
                     spawn="userid = nobody"))
    ready(s, 1)
    st = os.stat(path)
    assert (st.st_uid, st.st_gid) == (user.pw_uid, user.pw_gid)
    # the new user is whom the service belongs to now, and root is root
    assert as_nobody(lambda: len(receive(path)[1])) == 2
    assert len(receive(path)[1]) == 2


def test_foreign_workers(service, probe, port, path):
    """Behind a broker that does not know them: what it cannot know is
    null."""
    text = f"""
id = spawnd {{
	status socket = {path}
	listen = {{ port = {port} name = front }}
	spawn {{ exec = "{probe}" id = probe instances min = 2
	    instances max = 2 }}
}}
id = probe {{ }}
"""
    s = service(text, program="spawnd")
    out = ready(s)
    assert out["service"]["program"] == "spawnd"
    assert out["destinations"] == []
    assert set(out["sessions"][r] for r in REASONS) == {None}
    held = [lib.connect(port) for _ in range(3)]
    pids = [int(ops.told(c)["pid"]) for c in held]
    out = wait_look(s, lambda o: o["service"]["users"] == 3, "three users")
    assert out["sessions"]["open"] == 3
    assert (out["listeners"][0]["users"], out["listeners"][0]["accepted"]) \
        == (None, 3)
    for w in out["workers"]:
        assert w["users"] == pids.count(w["pid"])
    for c in held:
        c.close()
    out = idle(s)
    assert sum(w["served"] for w in out["workers"]) == 3
    table = ask(s).stdout
    row = [x.split() for x in table.split("\n") if x.startswith("front")][0]
    assert row[4:] == ["-", "3", "0"]
    assert "\ndone " in table and table.split("\ndone ")[1].split()[0] == "-"


def test_own_workers_of_the_broker(service, backend, port, path):
    """It knows the reasons from them, and no destinations."""
    echo = backend()
    text = conf(path, port, echo.remote).replace(
        "spawn {", f'spawn {{ exec = "{lib.TCPRELAY}" id = tcprelay ')
    s = service(text, program="spawnd")
    ready(s)
    visit(port, 2)
    out = wait_look(s, lambda o: o["sessions"]["done"] == 2, "two done")
    assert out["destinations"] == []
    assert out["listeners"][0]["users"] is None
    os.kill(out["workers"][0]["pid"], signal.SIGKILL)
    out = wait_look(s, lambda o: o["workers"][0]["worker"] > 1 and
                    len(o["workers"]) == 2, "another worker")
    assert out["sessions"]["done"] == 2


def test_by_inetd(service, backend, port, path):
    """What inetd gave is a listener like the others."""
    echo = backend()
    with socket.create_server(("127.0.0.1", port)) as sock:
        s = service(conf(path, port, echo.remote, listen="listen = { }"),
                    start=False, stdin=sock.fileno()).launch()
        s.wait_for("starting, version .* via inetd")
        ready(s)
        c = lib.connect(port)
        lib.roundtrip(c, b"here")
        out = look(s)
        assert [(x["endpoint"], x["users"], x["accepted"])
                for x in out["listeners"]] == [(f"[127.0.0.1]:{port}", 1, 1)]
        c.close()
        s.assert_clean()


# ---- asking in vain

def test_nobody_answers(tmp_path, port, short):
    """Exit statuses of 2.7, and nothing on standard output."""
    file = tmp_path / "f.cfg"
    for text, args, status, said in [
            (conf(f"{short}/no", port, "address = 127.0.0.1 port = 9"), [],
             1, ops.not_running(f"{short}/no")),
            (conf(None, port, "address = 127.0.0.1 port = 9"), [],
             1, ops.NO_PATH),
            (conf(f"{short}/no", port, "address = 127.0.0.1"), [],
             78, ": "),
            (conf(f"{short}/no", port, "address = 127.0.0.1 port = 9"),
             ["-I", "other"], 78, "other")]:
        file.write_text(text)
        for more in ([], ["--json"]):
            r = lib.run(lib.TCPRELAY, "-s", *more, *args, file)
            assert (r.returncode, r.stdout) == (status, ""), r.stderr
            assert said in r.stderr
    assert lib.run(lib.TCPRELAY, "-s", tmp_path / "none").returncode == 66
    for args in (["-s"], ["--json", file], ["-s", file, "a", "b"],
                 ["-s", "-P", file], ["-P", "--plan", file],
                 ["-s", "--plan", file]):
        r = lib.run(lib.TCPRELAY, *args)
        assert (r.returncode, r.stdout) == (64, "")


def test_warnings_are_not_repeated(service, backend, port, path):
    """Who asks for figures is told of figures."""
    s = service(conf(path, port, backend().remote,
                     relay="regex-match-case = yes"))
    ready(s)
    assert ask(s).stderr == ""


@pytest.mark.parametrize("sent", [
    b"", b"x", struct.pack("=IIQ", 2, 0, 1), struct.pack("=IIQ", 1, 0, 1),
    b"\0" * 16, struct.pack("=IIQ", 1, 0, 1) + b"more"])
@pytest.mark.parametrize("fds", [0, 1])
def test_something_else_answers(tmp_path, port, path, sent, fds):
    """Another program, another version, a file that is no board."""
    file = tmp_path / "f.cfg"
    file.write_text(conf(path, port, "address = 127.0.0.1 port = 9"))
    with socket.socket(socket.AF_UNIX) as server, \
            tempfile.TemporaryFile() as other:
        other.write(b"\0" * 100000)
        server.bind(path)
        server.listen()
        if (pid := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                c, _ = server.accept()
                if sent:
                    socket.send_fds(c, [sent], [other.fileno()] * fds)
                c.close()
            os._exit(0)
        r = lib.run(lib.TCPRELAY, "-s", file)
        os.waitpid(pid, 0)
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == ops.not_running(path) if not sent else \
        "another version, or another program" in r.stderr


def test_cut_board(service, backend, tmp_path, port, path, short):
    """A board whose memory could go away under a reader is not read; one
    that lies about itself neither."""
    s = service(conf(path, port, backend().remote))
    ready(s)
    _, fds = receive(path)
    size = os.fstat(fds[0]).st_size
    other = f"{short}/other"
    file = tmp_path / "f.cfg"
    file.write_text(conf(other, port, "address = 127.0.0.1 port = 9"))
    for change in (False, True):
        board = os.memfd_create("board", os.MFD_ALLOW_SEALING)
        os.write(board, os.pread(fds[0], size, 0))
        if change:
            os.pwrite(board, b"\xff" * 8, 16)	# columns, rows
            import fcntl
            fcntl.fcntl(board, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(other)
            server.listen()
            if (pid := os.fork()) == 0:
                with contextlib.suppress(BaseException):
                    c, _ = server.accept()
                    socket.send_fds(c, [struct.pack("=IIQ", 1, 0, 1)],
                                    [board])
                os._exit(0)
            r = lib.run(lib.TCPRELAY, "-s", file)
            os.waitpid(pid, 0)
        os.unlink(other)
        os.close(board)
        assert (r.returncode, r.stdout) == (1, "")
        assert "another version, or another program" in r.stderr
    for fd in fds:
        os.close(fd)
