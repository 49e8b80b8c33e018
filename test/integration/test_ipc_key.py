"""ipc key (8.4): the workers' configuration in shared memory; and, for those
that get it by descriptor, a text in the place of a URL (8.3)."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket

import pytest

import lib
import ops
import web

CONF = """
id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} protocol = UDP }}
	spawn {{ exec = "{exec}" id = {id} {spawn}
		instances min = {least} instances max = {most} }}
}}
id = echo {{ idle = {idle} }}
"""

libc = ctypes.CDLL(None, use_errno=True)
IPC_CREAT, IPC_EXCL, IPC_RMID = 0o1000, 0o2000, 0
pytestmark = pytest.mark.skipif(
    not pathlib.Path("/proc/sysvipc/shm").exists(),
    reason="no System V shared memory to look at")


def remove(key):
    found = ops.segments().get(key)
    if found:
        libc.shmctl(found["shmid"], IPC_RMID, None)


@pytest.fixture
def key():
    """A key that nobody else has; nothing is left of it."""
    key = 0x53000000 | int.from_bytes(os.urandom(3), "big")
    assert key not in ops.segments()
    yield key
    remove(key)
    remove(key + 1)


@pytest.fixture
def start(service, port):
    """start(key, ...): spawnd with sample/udp-echo"""
    def make(key, least=1, most=2, spawn="", run=True, idle=10,
             program="spawnd", **kw):
        s = service(conf(port, key, least, most, spawn, idle),
                    program=program, start=False, **kw)
        return s.start() if run else s

    return make


def conf(port, key, least=1, most=2, spawn="", idle=10):
    return CONF.format(port=port, exec=lib.UDP_ECHO, id="echo", least=least,
                       most=most, idle=idle, spawn=spawn +
                       (f" ipc key = {key}" if key else ""))


def text_of(key):
    """What is in it."""
    segment = ops.segments()[key]
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(segment["shmid"], None, 0o10000)	# SHM_RDONLY
    assert at not in (None, ctypes.c_void_p(-1).value)
    data = ctypes.string_at(at, segment["size"])
    libc.shmdt(ctypes.c_void_p(at))
    assert data[:8] == b"spawnd1\n" and data[-1:] == b"\0"
    assert int.from_bytes(data[8:16], "little") == len(data) - 17
    return data[16:-1].decode()


def arguments(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode() \
        .split("\0")[:-1]


@pytest.fixture
def relay_program(tmp_path):
    """tcprelay, and what it was started with: (program, () -> the last
    arguments and SPAWND_CONFIG); it puts its title over that."""
    log = tmp_path / "started"
    program = tmp_path / "relay"
    program.write_text(f"""#!/bin/sh
echo "$*" "$SPAWND_CONFIG" "$(sed -n 's/^flags:.*\\(.\\)$/\\1/p' \\
    /proc/$$/fdinfo/3 2>/dev/null)" >>{log}
exec {lib.TCPRELAY} "$@"
""")
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    return program, lambda: log.read_text().splitlines()[-1].split()


def variables(pid):
    text = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(x.split("=", 1) for x in text.split("\0") if "=" in x)


def ask(port, data=b"hello", timeout=None):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        c.settimeout(timeout or lib.TIMEOUT)
        c.sendto(data, ("127.0.0.1", port))
        assert c.recv(100) == data


def owner(segment):
    return segment["uid"], segment["gid"], segment["perms"] & 0o777


# ---- a segment's life

@pytest.mark.parametrize("program", ["spawnd", "tcprelay"])
def test_life(start, port, key, program):
    """Made at the start, of the worker's identity; workers read it; removed
    at the end. Behind either program."""
    root = os.getuid() == 0
    s = start(key, program=program, spawn="userid = nobody" if root else "",
              least=2)
    ask(port)
    ops.wait_ready(s, 2)
    text = s.file.read_text()
    segment = ops.segments()[key]
    assert text_of(key) == text
    assert segment["cpid"] == s.pid and segment["nattch"] == 0
    if root:
        import pwd
        nobody = pwd.getpwnam("nobody")
        assert owner(segment) == (nobody.pw_uid, nobody.pw_gid, 0o600)
    else:
        assert owner(segment) == (os.getuid(), os.getgid(), 0o600)
    for pid in s.wait_workers(2):
        assert arguments(pid)[-2:] == [f"ipc://{key}/{len(text)}", "echo"]
        assert variables(pid)["SPAWND_CONFIG"] == str(s.file)
    # nobody may read the file: who starts now does not need it
    for pid in s.workers():
        os.kill(pid, signal.SIGKILL)
        s.wait_for(rf"worker {pid} killed by signal 9")
    s.wait_workers(2)
    ask(port)
    assert s.stop() == 0
    assert key not in ops.segments()


def test_hexadecimal_and_named_in_the_manual(start, port, key):
    start(key, spawn=f"ipc key = 0x{key:x}")
    ask(port)
    assert key in ops.segments()


def test_reload(start, port, key):
    """The same key with the new text, whether it is longer or shorter; the
    same text stays where it is."""
    s = start(key)
    ask(port)
    first = ops.segments()[key]
    s.reload()
    assert ops.segments()[key]["shmid"] == first["shmid"]
    for idle in 12345, 7:
        new = conf(port, key, idle=idle)
        s.reload(new)
        assert text_of(key) == new
        ask(port)
        lib.wait_until(lambda: {arguments(p)[-2] for p in s.workers()} ==
                       {f"ipc://{key}/{len(new)}"}, "the new workers")
    assert len([k for k in ops.segments() if k == key]) == 1


def test_broken_reload(start, port, key):
    """Everything stays, and workers that start meanwhile get the old one."""
    s = start(key)
    old = s.file.read_text()
    s.reload(old.replace("id = spawnd {", "id = spawnd { foo"),
             expect="refused")
    assert text_of(key) == old
    # good for the broker, but no worker gets ready with it
    s.reload(old.replace("id = echo {", "id = other {"), expect="failed",
             timeout=60)
    assert text_of(key) == old
    pid, = ops.wait_ready(s, 1)
    os.kill(pid, signal.SIGKILL)
    s.wait_for(rf"worker {pid} killed")
    s.wait_workers(1)
    ask(port)


def test_other_key(start, port, key):
    """Both are there until the new one is adopted; and none is wanted."""
    s = start(key)
    s.reload(conf(port, key + 1))
    assert text_of(key + 1) == s.file.read_text()
    assert key not in ops.segments()
    ask(port)
    s.reload(conf(port, 0))
    assert key + 1 not in ops.segments()
    ask(port)
    assert arguments(ops.wait_ready(s, 1)[0])[-2] == str(s.file)
    s.reload(conf(port, key))
    assert key in ops.segments()
    ask(port)


# ---- somebody else's

@contextlib.contextmanager
def foreign(key, size=100):
    id = libc.shmget(key, size, IPC_CREAT | IPC_EXCL | 0o600)
    assert id != -1
    yield id
    libc.shmctl(id, IPC_RMID, None)


def test_in_use(start, port, key):
    with foreign(key):
        s = start(key, run=False, clean=False)
        s.launch()
        assert s.wait() == 73
        s.wait_for(f"ipc key {key} in use")
        assert key in ops.segments()
    s = start(key)
    ask(port)


def test_in_use_by_a_living_master(start, service, port, key):
    start(key)
    other = lib.free_port()
    t = service(conf(other, key), program="spawnd", start=False, clean=False)
    t.launch()
    assert t.wait() == 73
    t.wait_for(f"ipc key {key} in use")
    ask(port)
    assert key in ops.segments()


def test_in_use_at_a_reload(start, port, key):
    s = start(key)
    with foreign(key + 1):
        s.reload(conf(port, key + 1),
                 expect=f"failed, ipc key {key + 1} in use")
        assert key + 1 in ops.segments()
    assert text_of(key) == conf(port, key)
    ask(port)


def test_left_by_a_killed_master(start, service, port, key):
    """It is replaced: its creator is dead, and it is of our kind."""
    s = start(key, clean=False)
    ask(port)
    old = ops.segments()[key]
    s.proc.kill()
    s.proc.wait()
    assert key in ops.segments()
    t = service(conf(port, key, idle=99), program="spawnd")
    ask(port)
    new = ops.segments()[key]
    assert new["shmid"] != old["shmid"] and new["cpid"] == t.pid
    assert text_of(key) == conf(port, key, idle=99)


def test_removed_under_its_nose(start, port, key):
    """By whom ever: workers cannot start until the master makes it anew,
    which a reload does."""
    s = start(key)
    ask(port)
    remove(key)
    s.reload(conf(port, key, idle=5))
    assert text_of(key) == conf(port, key, idle=5)
    ask(port)


def test_not_by_hand(tmp_path, start, key):
    """ipc:// is for workers of a master."""
    s = start(key)
    url = f"ipc://{key}/{len(s.file.read_text())}"
    for program in lib.SPAWND, lib.TCPRELAY:
        r = lib.run(program, "-P", url)
        assert r.returncode == 66, r.stderr
    r = lib.run(lib.UDP_ECHO, url, "echo")
    assert r.returncode == 78 and "Permission denied" in r.stderr


def test_check_makes_none(config, port, key):
    assert config(conf(port, key), program=lib.SPAWND) == (0, [])
    status, lines = config(conf(port, key) + "id = echo { & }\n",
                           program=lib.SPAWND)
    assert status == 78 and lines[0].endswith(":8: single '&'")
    assert key not in ops.segments()


def test_single_process(service, backend, port, key):
    """And own workers: it is made in any case."""
    echo = backend(lib.Echo)
    for args in [], ["-1"]:
        s = service(ops.conf(port, echo.remote, spawn="instances min = 1 "
                             f"instances max = 1 ipc key = {key}"),
                    args=args)
        lib.echo_once(port)
        assert text_of(key) == s.file.read_text()
        s.reload(s.file.read_text() + "# more\n")
        assert text_of(key) == s.file.read_text()
        assert s.stop() == 0
        assert key not in ops.segments()


def test_tcprelay_behind_the_broker(service, backend, port, key,
                                    relay_program):
    """It reads the segment, too, and names the file in what it says."""
    echo = backend(lib.Echo)
    program, started = relay_program
    text = f"""
id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} }}
	spawn {{ exec = "{program}" ipc key = {key} instances min = 1
		id = tcprelay instances max = 1 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }}
	include = $CONFDIR/more.inc
}}
"""
    s = service(text, program="spawnd", start=False)
    (s.directory / "more.inc").write_text("idle timeout = 5m\n")
    s.start()
    lib.echo_once(port)
    assert started()[1:4] == [f"ipc://{key}/{len(text)}", "tcprelay",
                              str(s.file)]
    s.reload(text.replace("}\n\tinclude", "}\n foo\n\tinclude"),
             expect="failed", timeout=60)
    s.wait_for(rf"configuration not usable: {s.file}:8: Expected .*'foo'")
    lib.echo_once(port)


# ---- by descriptor, in the place of a URL

def relay(port, backend, more="", program=lib.TCPRELAY):
    return f"""id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} }}
	spawn {{ exec = "{program}" id = tcprelay instances min = 1
		instances max = 1 }}
}}
id = tcprelay {{ remote = {{ {backend} }}
{more}
}}
"""


@pytest.fixture
def server():
    running = []

    def make(documents):
        running.append(web.Web(documents))
        return running[-1]

    yield make
    for w in running:
        w.close()


have_url = pytest.mark.skipif(
    "define HAVE_LIBCURL 1" not in (lib.BUILD / "features.h").read_text()
    if (lib.BUILD / "features.h").exists() else False,
    reason="this build has no libcurl")
NO_PROXY = {k: None for k in ("http_proxy", "https_proxy", "all_proxy",
                              "HTTPS_PROXY", "ALL_PROXY", "no_proxy")}


@pytest.fixture
def by_url(service, tmp_path):
    def make(url, program="spawnd", **kw):
        s = service("", program=program, start=False, env={
            **NO_PROXY, "STATE_DIRECTORY": tmp_path / "state"}, **kw)
        s.file = url
        return s.start()

    return make


@have_url
def test_url(server, by_url, backend, port, relay_program):
    """Workers get a text, with all that it includes; none asks the server,
    which may be away when one is started."""
    echo = backend(lib.Echo)
    program, started = relay_program
    w = server({"/d/relay.conf": relay(port, echo.remote,
                                       "include = $CONFDIR/more.conf",
                                       program),
                "/d/more.conf": "idle timeout = 4m # x\n"
                'include = "$CONFDIR/last.conf"\n',
                "/d/last.conf": "log connections = yes\n"})
    s = by_url(w.url("/d/relay.conf"))
    lib.echo_once(port)
    s.wait_for("end=done")			# it has read the last one
    for path in "/d/relay.conf", "/d/more.conf", "/d/last.conf":
        assert w.count(path) == 1
    pid, = s.workers()
    assert started() == ["-D", "/dev/fd/3", "tcprelay",
                         w.url("/d/relay.conf"), "0"]	# O_RDONLY
    w.close()
    os.kill(pid, signal.SIGKILL)
    s.wait_for("worker starting", count=2)
    lib.echo_once(port)


@have_url
def test_url_and_shared_memory(server, by_url, port, key):
    w = server({"/u.conf": conf(port, key) + "include = $CONFDIR/x\n",
                "/x": "# nothing\nid = other {\n}\n"})
    s = by_url(w.url("/u.conf"))
    ask(port)
    text = text_of(key)
    assert "id = other" in text and "include" not in text
    pid, = ops.wait_ready(s, 1)
    assert arguments(pid)[-2] == f"ipc://{key}/{len(text)}"
    assert variables(pid)["SPAWND_CONFIG"] == w.url("/u.conf")
    w.put("/x", "id = another { }\n")
    s.reload()
    assert "id = another" in text_of(key)
    ask(port)


@have_url
def test_url_messages(server, by_url, backend, port):
    """The worker's own errors stand where they are in the document; what is
    included stands in the line of the include."""
    echo = backend(lib.Echo)
    w = server({"/r.conf": relay(port, echo.remote, "\n\nfoo"),
                "/i.conf": relay(port, echo.remote,
                                 "\ninclude = $CONFDIR/bad"),
                "/bad": "\n\n\nidle timeout = 1m\nbar\n"})

    def check(path):
        r = lib.run(lib.SPAWND, "-P", w.url(path), env=NO_PROXY)
        return r.returncode, [x for x in r.stderr.splitlines()
                              if "protects nothing" not in x]

    status, lines = check("/r.conf")
    assert status == 78
    assert lines[0].startswith(w.url("/r.conf") + ":9: Expected")
    status, lines = check("/i.conf")
    assert status == 78
    assert lines[0].startswith(w.url("/i.conf") + ":8: Expected")
    assert lines[0].endswith("but got 'bar'")
    w.put("/bad", "idle timeout = 1m\n")
    assert check("/i.conf") == (0, [])
    w.documents.pop("/bad")
    status, lines = check("/i.conf")
    assert status == 66 and lines[0].startswith(
        f"{w.url('/i.conf')}:8: include: cannot fetch {w.url('/bad')}: ")


@have_url
def test_credentials(server, by_url, backend, port, relay_program):
    """Workers learn no more of them than the log."""
    program, started = relay_program
    w = server({"/r.conf": relay(port, backend(lib.Echo).remote, "",
                                 program)})
    s = by_url(w.url("/r.conf").replace("://", "://me:secret@"))
    lib.echo_once(port)
    assert started()[1:4] == ["/dev/fd/3", "tcprelay",
                              w.url("/r.conf").replace("://", "://***@")]


@have_url
def test_local_file_that_includes(service, backend, port, relay_program,
                                  tmp_path):
    """A worker that is given the file's name could not fetch what it
    includes."""
    more = tmp_path / "more.conf"
    more.write_text("log connections = yes\n")
    program, started = relay_program
    s = service(relay(port, backend(lib.Echo).remote,
                      f'include = "{more.as_uri()}"', program),
                program="spawnd")
    lib.echo_once(port)
    s.wait_for("end=done")
    assert started()[1:] == ["/dev/fd/3", "tcprelay", str(s.file), "0"]


@have_url
def test_config_by_url(server, service, backend, port, relay_program):
    """The worker's file alone."""
    echo = backend(lib.Echo)
    w = server({"/w.conf": f"id = tcprelay {{ remote = {{ {echo.remote} }} "
                "}\n"})
    program, started = relay_program
    text = f"""id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} }}
	spawn {{ exec = "{program}" id = tcprelay instances min = 1
		instances max = 1 config = "{w.url('/w.conf')}" }}
}}
"""
    s = service(text, program="spawnd", env=NO_PROXY)
    lib.echo_once(port)
    assert started()[1:4] == ["/dev/fd/3", "tcprelay", w.url("/w.conf")]
    w.documents.pop("/w.conf")
    s.reload(expect="refused")
    lib.echo_once(port)
