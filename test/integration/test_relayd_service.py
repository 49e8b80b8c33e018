"""relayd as a service: what keeps it from starting and what it says then, what
runs once it has started, its end, and what the parent does for the others."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

import lib
import rd
import test_syslog as syslog
import test_upgrade as upgrades

dev = syslog.dev

ROOT = os.getuid() == 0


def relay(port, to, extra="", name="www"):
    return (f'relay "{name}" {{\n\tlisten on 127.0.0.1 port {port}\n'
            f"\tforward to 127.0.0.1 port {to}\n{extra}}}\n")


def run(*args, user=None, directory=None, wrap=()):
    """relayd to its end: (status, lines of standard error)."""
    env = lib.environment(directory or "/")
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        env[name] = re.sub(r":log_path=[^:]*", "", env[name])
    r = subprocess.run([*map(str, wrap), str(rd.RELAYD), *map(str, args)],
                       capture_output=True, text=True, env=env, user=user,
                       stdin=subprocess.DEVNULL, cwd=directory,
                       timeout=lib.TIMEOUT)
    assert not lib.SANITIZER.search(r.stderr), r.stderr
    assert r.stdout == ""
    return r.returncode, r.stderr.splitlines()


@pytest.fixture
def place():
    """A folder that everybody can read; those of pytest are closed to others
    by each of its sessions."""
    with tempfile.TemporaryDirectory(prefix="spawnd-test-relayd-") as d:
        os.chmod(d, 0o755)
        yield pathlib.Path(d)


@pytest.fixture
def conf(place, port):
    """conf(text): a file that others can read."""
    def write(text=None, socket=None):
        f = place / "relayd.conf"
        f.write_text(f'socket "{socket or place / "ctl.sock"}"\n' +
                     (text or relay(port, 9)))
        f.chmod(0o644)
        return f
    return write


# ---- the command line

USAGE = ("usage: relayd [-dnv] [-D macro=value] [-F backend] [-f file] "
         "[-H dialect]")


@pytest.mark.parametrize("args, said", [
    (["-x"], USAGE),
    (["operand"], USAGE),
    (["-f"], USAGE),
    (["-D", "x"], "relayd: could not parse macro definition x"),
    (["-D", "=x"], "relayd: could not parse macro definition =x"),
    (["-F", "ipfw"], "relayd: unknown packet-filter backend ipfw"),
    (["-H", "2007"], "relayd: this version knows no other dialect: 2007"),
    (["-c", "hoststated"],
     "relayd: this version converts nothing: hoststated"),
    (["-f", "/none/relayd.conf"],
     "/none/relayd.conf: No such file or directory"),
])
def test_command_line(args, said):
    status, lines = run(*args)
    assert status == 1
    assert said in lines


@pytest.mark.parametrize("title", ["hce", "relay", "pfe", "ca", "parent", ""])
def test_a_child_by_hand(title):
    """Nothing that anybody could use."""
    for args in (["-P", title, "-I", "0"], ["-P", title],
                 ["-P", title, "-I", "0", "-d", "-f", "/dev/null"]):
        status, lines = run(*args)
        assert status == 1
        assert "started by the program itself" in lines[-1], lines


# ---- what is wrong is said in order: the file, then the rights

BAD = "relay www { listen on 127.0.0.1 port 1\n }\n" \
    "protocol x { tls bad }; relay www { }\n"


@pytest.mark.parametrize("args", [["-d"], []])
def test_a_bad_file(conf, args):
    f = conf(BAD)
    for user in [None, 65534] if ROOT else [None]:
        status, lines = run(*args, "-f", f, user=user)
        assert status == 1
        assert [x for x in lines if x.startswith(f"{f}:")], lines
        assert not [x for x in lines if "root privileges" in x], lines


@pytest.mark.parametrize("args", [["-d"], []])
def test_no_root(conf, args):
    status, lines = run(*args, "-f", conf(), user=65534 if ROOT else None)
    assert (status, lines[-1]) == (1, "relayd: need root privileges")


def test_check_needs_no_root(conf):
    status, lines = run("-n", "-f", conf(), user=65534 if ROOT else None)
    assert (status, lines) == (0, ["configuration OK"])


def other_users(tmp_path, entry):
    """A command for whose children /etc/passwd has that entry for relayd's
    user, None: none."""
    passwd = tmp_path / "passwd"
    lines = [x for x in pathlib.Path("/etc/passwd").read_text().splitlines()
             if not x.startswith(f"{rd.USER}:")]
    passwd.write_text("\n".join(lines + [entry] * (entry is not None)) + "\n")
    nsswitch = tmp_path / "nsswitch.conf"
    nsswitch.write_text("passwd: files\ngroup: files\n")
    return ["unshare", "-m", "--propagation", "private", "sh", "-c",
            f"mount --bind {passwd} /etc/passwd && "
            f"{{ test ! -e /etc/nsswitch.conf || "
            f"mount --bind {nsswitch} /etc/nsswitch.conf; }} && "
            'exec "$@"', "sh"]


def can_unshare():
    return ROOT and shutil.which("unshare") and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no mount namespaces here")
@pytest.mark.parametrize("home, said", [
    (None, "unknown user " + rd.USER),
    ("none", "unusable chroot directory HOME: No such file or directory"),
    ("file", "unusable chroot directory HOME: not a directory"),
    ("theirs", "unusable chroot directory HOME: not owned by root"),
    ("open", "unusable chroot directory HOME: writable by others"),
])
def test_no_user(conf, tmp_path, home, said):
    (tmp_path / "file").touch()
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    entry = None if home is None else \
        f"{rd.USER}:x:64999:65534::{tmp_path / home}:/usr/sbin/nologin"
    wrap = other_users(tmp_path, entry)
    status, lines = run("-d", "-f", conf(), wrap=wrap)
    assert (status, lines[-1]) == \
        (1, "relayd: " + said.replace("HOME", str(tmp_path / (home or ""))))
    # but what is wrong with the file goes before that
    status, lines = run("-d", "-f", conf(BAD), wrap=wrap)
    assert status == 1 and "relayd: " not in lines[-1], lines


@rd.needed
@pytest.mark.parametrize("args", [["-d"], []])
def test_no_socket_folder(conf, place, args):
    """Told before anything is served, in the background, too."""
    status, lines = run(*args, "-f", conf(socket=place / "no" / "sock"))
    assert status == 1
    assert any(f"control socket {place}/no/sock: No such file or "
               "directory" in x for x in lines), lines


@rd.needed
def test_no_socket_there(conf, place):
    """What the file names by mistake is not removed."""
    victim = place / "precious"
    victim.write_text("x")
    status, lines = run("-d", "-f", conf(socket=victim))
    assert status == 1
    assert any(f"control socket {victim}: is there, and is no socket" in x
               for x in lines), lines
    assert victim.read_text() == "x"


@rd.needed
@pytest.mark.parametrize("args", [["-d"], []])
def test_port_taken(conf, port, args):
    with socket.create_server(("127.0.0.1", port)):
        status, lines = run(*args, "-f", conf())
    assert status == 1
    assert any("Address already in use" in x for x in lines), lines
    assert not any("lost child" in x for x in lines), lines


# ---- a service

@rd.needed
def test_life(relayd, backend, port):
    """Ready when it says so; each process is who it should be; an end
    without a word about lost children."""
    echo = backend(lib.Echo)
    s = relayd("prefork 2\n" + relay(port, echo.port), relays=2)
    lib.echo_once(port)
    for title, n in ("relay", 2), ("ca", 2), ("hce", 1), ("pfe", 1):
        lib.wait_until(lambda: len(s.named(title)) == n, title)
    assert s.grep(r"^startup$")
    mode = s.socket.stat().st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o7777 == 0o660
    user = pwd.getpwnam(rd.USER)
    for pid in lib.children(s.pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        for what, i in ("Uid", user.pw_uid), ("Gid", user.pw_gid):
            assert re.search(rf"^{what}:" + rf"\t{i}" * 4 + "$", status,
                             re.M), status
        assert re.search(rf"^Groups:\s*({user.pw_gid}\s*)?$", status,
                         re.M), status
        assert re.search(r"^CapEff:\t0+$", status, re.M), status
        root = os.readlink(f"/proc/{pid}/root")
        assert root == user.pw_dir
        assert os.readlink(f"/proc/{pid}/cwd") == root
    pid = s.pid
    assert s.stop() == 0
    assert s.lines[-1] == f"parent terminating, pid {pid}"
    for title in "hce", "pfe", "ca", "relay":
        assert s.grep(rf"^{title} exiting, pid \d+"), s.log()


@rd.needed
@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_end_cuts_sessions(relayd, backend, port, signo):
    echo = backend(lib.Echo)
    s = relayd("log connection\nprefork 1\n" + relay(port, echo.port))
    with lib.connect(port) as c:
        assert lib.roundtrip(c, b"one") == b"one"
        assert s.stop(signo) == 0
        with contextlib.suppress(ConnectionResetError):
            assert c.recv(1) == b""
    assert not rd.session_lines(s), s.log()


@rd.needed
def test_background(conf, backend, port, place):
    """The status of the start says that it serves; nothing is left open."""
    echo = backend(lib.Echo)
    f = conf(relay(port, echo.port))
    status, lines = run("-f", f, directory=place)
    found = rd.parents_in(place)
    try:
        assert (status, lines) == (0, [])
        lib.echo_once(port)
        assert (place / "ctl.sock").exists()
        assert [lib.title(p) for p in found] == ["relayd: parent"]
        out = lib.descriptors(found[0])
        assert [out[i] for i in (0, 1, 2)] == ["/dev/null"] * 3
        os.kill(found[0], signal.SIGTERM)
        lib.wait_until(lambda: not lib.alive(found[0]), "its end")
        assert not (place / "ctl.sock").exists()
    finally:
        for pid in found:
            if lib.alive(pid):
                os.kill(pid, signal.SIGKILL)


@rd.needed
def test_started_twice(relayd, backend, port):
    """The second one takes nothing from the first."""
    echo = backend(lib.Echo)
    s = relayd(relay(port, echo.port))
    before = s.socket.stat()
    status, lines = run("-d", "-f", s.file)
    assert status == 1
    assert any("Address already in use" in x for x in lines), lines
    assert s.socket.stat().st_ino == before.st_ino
    assert connects(s.socket)
    assert [x for x in s.directory.glob("ctl.sock*")] == [s.socket]
    lib.echo_once(port)


@pytest.mark.skipif(not ROOT, reason="only root gets that far")
def test_endless_options(conf):
    args = [x for i in range(300) for x in ("-D", f"m{i}={'x' * 90}")]
    status, lines = run("-d", *args, "-f", conf())
    assert (status, lines[-1]) == \
        (1, "relayd: macro definitions are too long")


@rd.needed
def test_many_options(relayd, backend, port):
    """Macros reach every process; what looks like something else is text."""
    echo = backend(lib.Echo)
    macros = {f"m{i}": "x" * 60 for i in range(200)}
    macros["port"] = str(port)
    macros["odd"] = "d1:/ \n -P hce = 'x\" $port"
    s = relayd(relay("$port", echo.port), macros=macros)
    lib.echo_once(port)
    s.reload(relay("$port", echo.port))
    lib.echo_once(port)


@rd.needed
def test_syslog(conf, backend, place, port, dev):
    """In the background everything goes there, also what processes say that
    cannot reach it any more from where they are."""
    directory, sock = dev
    echo = backend(lib.Echo)
    f = conf("prefork 1\nlog connection\n" + relay(port, echo.port))
    status, lines = run("-v", "-f", f, directory=place, wrap=[
        "unshare", "-m", "sh", "-c", syslog.ENTER, "sh", directory])
    found = rd.parents_in(place)
    got = []
    try:
        assert (status, lines, len(found)) == (0, [], 1)

        def has(text):
            got.extend(syslog.lines(sock))
            return [x for x in got if re.search(text, x[3])]
        lib.wait_until(lambda: has("relay_launch: running relay www"),
                       "the worker")
        lib.echo_once(port)
        lib.wait_until(lambda: has("relay www, session 1 "), "a session")
        os.kill(found[0], signal.SIGTERM)
        lib.wait_until(lambda: has("parent terminating"), "its end")
    finally:
        for pid in found:
            if lib.alive(pid):
                os.kill(pid, signal.SIGKILL)
    for title in "hce", "pfe", "ca", "relay":
        assert has(f"^{title} exiting, pid")
    assert {(x[0], x[2]) for x in got} == {(syslog.FACILITIES["daemon"],
                                            "relayd")}
    levels = {x[1] for x in got}
    assert levels <= {syslog.LEVELS["info"], syslog.LEVELS["debug"]}, got


@rd.needed
def test_levels_of_a_start(conf, place, port, dev):
    """What keeps it from serving is critical."""
    directory, sock = dev
    got = []

    def start(text=None):
        status, lines = run("-f", conf(text), directory=place, wrap=[
            "unshare", "-m", "sh", "-c", syslog.ENTER, "sh", directory])
        assert (status, rd.parents_in(place)) == (1, []), lines

    def level(text):
        got.extend(syslog.lines(sock))
        return {x[1] for x in got if re.search(text, x[3])}

    with socket.create_server(("127.0.0.1", port)):
        start()
    lib.wait_until(lambda: level("Address already in use"), "its end")
    assert level("Address already in use") == {syslog.LEVELS["crit"]}, got
    del got[:]
    start("relay")
    lib.wait_until(lambda: level("unexpected end of line"), "its end")
    assert {x[1] for x in got} == {syslog.LEVELS["crit"]}, got


# ---- what this version does not do

UNAPPLIED = """
table <web> {{ 127.0.0.1 }}
redirect "shop" {{
	listen on 192.0.2.1 port 80
	forward to <web> port {port} check tcp
}}
"""


@rd.needed
def test_redirects_are_told_of(relayd, backend, port):
    """One warning, and the hosts of its table are checked all the same."""
    echo = backend(lib.Echo)
    s = relayd(UNAPPLIED.format(port=echo.port) + relay(port, echo.port))
    m = s.grep(r'warning: redirect "shop" is not applied by this version')
    assert len(m) == 1, s.log()
    assert re.match(rf"{s.file}:\d+: ", m[0].string)
    s.wait_for(r"host 127.0.0.1, .*-> up")


@rd.needed
def test_redirects_without_a_filter(conf, port):
    f = conf(UNAPPLIED.format(port=9))
    status, lines = run("-d", "-F", "none", "-f", f)
    assert status == 1
    assert any(re.match(rf"{f}:\d+: redirects are not available on this "
                        "system$", x) for x in lines), lines


# ---- reload

@rd.needed
def test_reload_of_a_bad_file(relayd, backend, port):
    """Everything goes on, and the log says where the mistake is."""
    echo = backend(lib.Echo)
    good = relay(port, echo.port)
    s = relayd(good, relays=3)
    lib.wait_until(lambda: len(lib.children(s.pid)) == 8, "all processes")
    family = set(lib.children(s.pid))
    with lib.connect(port) as c:
        s.reload(BAD, expect="failed to load config file")
        at = [int(m.group(1)) for m in s.grep(rf"^{s.file}:(\d+): ")]
        assert at == [2, 4, 4], s.log()
        assert s.grep(r"^parent_sig_handler: reload requested with SIGHUP$")
        assert lib.roundtrip(c, b"still") == b"still"
        lib.echo_once(port)
        s.reload(good)
        assert s.grep(r"reload: done, 1 kept, 0 added, 0 removed")
        assert lib.roundtrip(c, b"still") == b"still"
    # who has read the file ends by himself
    lib.wait_until(lambda: set(lib.children(s.pid)) == family, "the same")


def connects(path):
    with socket.socket(socket.AF_UNIX) as c:
        try:
            c.connect(str(path))
        except OSError:
            return False
        return True


@rd.needed
def test_socket_moves(relayd, backend, port):
    """The new one is there before the old one goes; a path that cannot be
    changes nothing."""
    echo = backend(lib.Echo)
    text = relay(port, echo.port)
    s = relayd(text)
    assert connects(s.socket)
    old, s.socket = s.socket, s.directory / "other.sock"
    s.reload(text)
    lib.wait_until(lambda: connects(s.socket), "the new socket")
    assert not old.exists()
    here, s.socket = s.socket, s.directory / "none" / "sock"
    s.reload(text, expect="failed to load config file")
    assert s.grep(rf"control socket {s.socket}: No such file or directory")
    s.socket = here
    assert connects(here)
    for again in lambda: s.reload(text), lambda: None:
        here.unlink()
        again()
        lib.wait_until(lambda: connects(here), "the socket once more")
    assert [x.name for x in s.directory.glob("*sock*")] == [here.name]


@rd.needed
def test_clients_stay_where_they_were(relayd, backend, port, tmp_path):
    """A table without a key: one of the service's own, the same in all
    workers, over reloads, and for the program after an upgrade."""
    program = tmp_path / "bin" / "relayd"
    program.parent.mkdir()
    shutil.copy2(rd.RELAYD, program)
    base = lib.free_port()
    names = [f"127.0.0.{n}" for n in range(11, 19)]
    for name in names:
        backend(lib.Named, name, host=name, port=base)
    s = relayd(f"prefork 2\ntable <all> {{ {' '.join(names)} }}\n"
               f'relay "www" {{\n\tlisten on 127.0.0.1 port {port}\n'
               f"\tforward to <all> port {base} mode source-hash\n}}\n",
               relays=2, program=program)

    def places():
        return [lib.ask_name(port, source=(f"127.0.1.{n}", 0))
                for n in range(1, 25)]
    first = places()
    assert len(set(first)) > 2
    assert places() == first		# the other worker, most likely
    s.reload()
    assert places() == first
    upgrades.replace(program, rd.RELAYD)
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    s.wait_for("reload: done", since=since)
    assert s.grep(r"upgrade: \S+ to", since)
    assert places() == first


# ---- scripts

SCRIPTS = {
    "good": "exit 1",
    "down": "exit 0",
    "hang": "trap '' TERM HUP INT; sleep 1000 & wait; sleep 1000",
    "fork": "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; setsid -f "
            "true; sleep 1000",
    "flood": "while :; do echo 0123456789012345678901234567890123456789; "
             "done",
}


@rd.needed
def test_scripts(relayd, backend, port, place):
    """As the user of relayd; whatever they do ends with their time, and
    nobody else's check is late."""
    tables, uses = "", ""
    marks = place / "marks"
    marks.mkdir()
    marks.chmod(0o1777)
    for n, (name, body) in enumerate(SCRIPTS.items()):
        f = place / name
        f.write_text(f'#!/bin/sh\nid -u >"{marks}/{name}.$$"\n{body}\n')
        f.chmod(0o755)
        tables += f"table <{name}> {{ 127.0.0.{n + 2} }}\n"
        uses += f'\tforward to <{name}> port 9 check script "{f}" ' \
                "timeout 400\n"
    echo = backend(lib.Echo)
    s = relayd("interval 1\nlog host checks\ntable <plain> { 127.0.0.1 }\n" +
               tables +
               relay(port, echo.port, name="www") +
               'relay "checks" {\n\tlisten on 127.0.0.1 port '
               f"{lib.free_port()}\n\tforward to <plain> port {echo.port} "
               f"check tcp\n{uses}}}\n", relays=2)

    def checked(host, what):
        return s.grep(rf"host {host}, .*{what}")

    s.wait_for(r"host 127\.0\.0\.2, .*-> up")
    for n in 3, 4, 5, 6:
        s.wait_for(rf"host 127\.0\.0\.{n}, .*-> down")
    s.wait_for(r"host 127\.0\.0\.1, .*-> up")
    # several rounds: no script is left behind that the next one waits for
    lib.wait_until(lambda: all(len(list(marks.glob(f"{name}.*"))) >= 3
                               for name in SCRIPTS), "three rounds", 40)
    uid = str(pwd.getpwnam(rd.USER).pw_uid)
    for f in marks.iterdir():
        assert f.read_text().strip() in (uid, "")
    lib.echo_once(port)
    assert not checked(r"127\.0\.0\.1", "-> down"), s.log()
    assert s.stop() == 0

    def left():
        return [p for p in lib.processes() if
                str(place).encode() in cmdline(p)]
    lib.wait_until(lambda: not left(), "the end of the scripts")


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# ---- service managers

@rd.needed
def test_service_manager(relayd, backend, port, tmp_path):
    """READY=1 when it serves, with -d as a unit has it."""
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
        n.bind(str(place))
        n.settimeout(lib.TIMEOUT)
        echo = backend(lib.Echo)
        s = relayd(relay(port, echo.port), start=False,
                   env={"NOTIFY_SOCKET": str(place)})
        s.launch()
        while b"READY=1" not in n.recv(4096).splitlines():
            pass
        lib.echo_once(port)
        s.send_signal(signal.SIGHUP)
        while not any(x.startswith(b"RELOADING=1")
                      for x in n.recv(4096).splitlines()):
            pass
        while b"READY=1" not in n.recv(4096).splitlines():
            pass

