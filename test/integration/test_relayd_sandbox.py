"""What relayd's processes may do: whose they are, where their root is, what the
system refuses them; the self-test that operators can run; and that the lists
of calls are not too short for what the processes do."""

import contextlib
import os
import platform
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess

import pytest

import lib
import rd

pytestmark = rd.needed

TITLES = ("relay", "hce", "pfe", "ca")
FILTERED = platform.system() == "Linux" and \
    platform.machine() in ("x86_64", "aarch64")
filtered = pytest.mark.skipif(not FILTERED, reason="no filter of calls here")


def confined():
    """Whether this build confines at all."""
    text = (lib.BUILD / "Makefile").read_text()
    return "sandbox_none" not in text


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def some(port, check=""):
    return ("prefork 2\nlog connection\n"
            "table <t> { 127.0.0.1 }\n"
            f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
            f"\tforward to <t> port {port} {check}\n}}\n")


def listener(s):
    return int(re.search(r"listen on \S+ port (\d+)",
                         s.file.read_text()).group(1))


def self_test(**kw):
    return subprocess.run([str(rd.RELAYD), "-T"], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL,
                          timeout=lib.TIMEOUT * 3, **kw)


@pytest.mark.skipif(not confined(), reason="built --without-sandbox")
@filtered
def test_self_test():
    r = self_test()
    lines = r.stdout.splitlines()
    assert r.returncode == 0, r.stdout + r.stderr
    seen = {}
    for line in lines:
        m = re.fullmatch(r"(\w+): ([^:]+): denied \(.+\)", line)
        assert m, line
        seen.setdefault(m.group(1), []).append(m.group(2))
    assert set(seen) == {*TITLES, "snmp"}
    for title in seen:
        for what in ("read /etc/passwd", "create a file", "fork",
                     "execute a program", "open a raw socket", "become root",
                     "trace another process", "change the root directory",
                     "load a bpf map", "use the kernel's keyring", "mount",
                     "signal another process",
                     "read another process's memory"):
            assert what in seen[title], (title, what)
    for title in ("pfe", "ca", "snmp"):
        assert "open an internet socket" in seen[title]
    # some of it ends who tries
    assert "hce: execute a program: denied (killed)" in lines


def test_self_test_needs_root():
    user = pwd.getpwnam("nobody")
    folder = lib.BUILD / "bin"
    if not os.path.exists("/usr/bin/setpriv") or not reachable(folder):
        pytest.skip("nobody cannot run it here")
    r = subprocess.run(["setpriv", f"--reuid={user.pw_uid}",
                        f"--regid={user.pw_gid}", "--clear-groups",
                        str(rd.RELAYD), "-T"], capture_output=True,
                       text=True, timeout=lib.TIMEOUT)
    assert r.returncode == 1
    assert "need root privileges" in r.stderr


def reachable(path):
    return all(p.stat().st_mode & 1 for p in [path, *path.parents])


def test_processes(relayd):
    """Nobody's, in an empty directory, without a way back."""
    user = pwd.getpwnam(rd.USER)
    with lib.Echo() as p:
        s = relayd(some(p.port, "check tcp"), relays=2)
        s.wait_for(r"state unknown -> up")
        for title in TITLES:
            n = 2 if title in ("relay", "ca") else 1
            lib.wait_until(lambda: len(s.named(title)) == n,
                           f"{n} of {title}")
            for pid in s.named(title):
                check_process(pid, user)
        parent = status_of(s.pid)
        assert parent["Uid"].split()[1] == "0"


def check_process(pid, user):
    st = status_of(pid)
    assert st["Uid"].split() == [str(user.pw_uid)] * 4
    assert st["Gid"].split() == [str(user.pw_gid)] * 4
    assert set(st["Groups"].split()) <= {str(user.pw_gid)}
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(st[name], 16) == 0
    assert os.readlink(f"/proc/{pid}/root") == user.pw_dir
    assert os.readlink(f"/proc/{pid}/cwd") == user.pw_dir
    if confined():
        assert st["NoNewPrivs"].strip() == "1"
        if FILTERED:
            assert st["Seccomp"].strip() == "2"
    # not even one of the same user may look into it
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0


def test_descriptors(relayd):
    """Nobody holds what he need not: no file of the file system."""
    with lib.Echo() as p:
        s = relayd(some(p.port, "check tcp"), relays=2)
        s.wait_for(r"state unknown -> up")
        for title in TITLES:
            for pid in s.named(title):
                for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        to = os.readlink(fd)
                        assert re.match(r"(socket|pipe|anon_inode):|"
                                        r"/memfd:|/dev/null$|/$", to), \
                            (title, fd, to)


@filtered
@pytest.mark.skipif(not confined(), reason="built --without-sandbox")
def test_ends(relayd):
    """What only an intruder calls ends a process of ours at once, and the
    service goes on with another one. Nobody can be made to call it here, so
    the signal that comes of it has to do."""
    with lib.Echo() as p:
        s = relayd(some(p.port), relays=2, clean=False)
        old = s.one("hce")
        os.kill(old, signal.SIGSYS)
        s.wait_for(rf"lost child: hce pid {old} terminated; signal "
                   f"{int(signal.SIGSYS)}")
        lib.wait_until(lambda: s.named("hce") not in ([], [old]),
                       "another hce")
        lib.echo_once(listener(s))


# ---- the lists are long enough

@filtered
@pytest.mark.slow
@pytest.mark.tls
@pytest.mark.skipif(not confined(), reason="built --without-sandbox")
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_nothing_is_missed(relayd, tmp_path, certs):
    """No process is refused a call while it does what it is for: sessions,
    checks of all kinds, a reload, orders, the end."""
    trace = tmp_path / "trace"
    log = lib.Echo(context=lib.server_context(certs.ecdsa))
    with lib.Echo() as p, log as q, lib.Refusing() as none:
        text = ("prefork 1\nlog connection\ninterval 1\ntimeout 900\n"
                "log host checks\n"
                "table <t> { 127.0.0.1 }\ntable <u> { 127.0.0.1 }\n"
                f"relay r {{\n\tlisten on 127.0.0.1 port {lib.free_port()}\n"
                f"\tforward to <t> port {p.port} check tcp\n"
                f"\tforward to <u> port {q.port} check tls\n"
                f"\tforward to <u> port {none.port} check tcp\n"
                f"\tforward to <t> port {p.port} check icmp\n"
                f"\tforward to <t> port {p.port} check script \"/bin/false\"\n"
                "}\n")
        s = relayd(text, wrap=["strace", "-ff", "-o", trace, "-s", "64"],
                   clean=False)
        parent = lib.children(s.pid)[0]
        s.wait_for(r"state up -> up", lib.TIMEOUT * 3, count=8)
        lib.echo_once(listener(s), b"x" * 100000)
        since = s.mark()
        s.write(text.replace("prefork 1", "prefork 2"))
        os.kill(parent, signal.SIGHUP)
        s.wait_for(r"reload: done", lib.TIMEOUT * 3, since)
        if rd.RELAYCTL.exists():
            s.ctl("show", "summary")
            s.ctl("show", "sessions")
            s.ctl("host", "disable", "1")
            s.ctl("host", "enable", "1")
            since = s.mark()
            s.ctl("poll")
            s.wait_for("host .*check tcp .*state unknown -> up", None, since)
        lib.echo_once(listener(s), b"x" * 100000)
        os.kill(parent, signal.SIGTERM)
        s.proc.wait(lib.TIMEOUT * 3)
    missed = missed_calls(tmp_path)
    assert not missed, "\n".join(missed)


def missed_calls(folder):
    """What confined processes were refused, each with its file: one for each
    process. That ca may not find another syslog is meant so; the last thing
    of becoming nobody is to try to undo it."""
    missed, n = [], 0
    for file in folder.glob("trace.*"):
        text = file.read_text(errors="replace")
        before, enter, after = text.partition("seccomp(SECCOMP_SET_MODE_F")
        if not enter:
            continue
        n += 1
        missed += [f"{file.name}: {line}" for line in after.splitlines()
                   if re.search(r"= -1 (EPERM|ENOSYS) |--- SIGSYS", line)
                   and "socket(AF_UNIX, SOCK_DGRAM" not in line]
    assert n >= 4, "nobody was confined"
    return missed
