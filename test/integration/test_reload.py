"""Reloads in hard cases (5.6): what is in the way, who does not answer, and
what must not change meanwhile. test_reload_load.py has those in great
numbers."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import lib
import ops

TWO = "instances min = 2 instances max = 2"
ONE = "instances min = 1 instances max = 1"


@pytest.fixture
def relay(service, backend):
    """relay(port, n workers, **arguments of ops.conf): an echo behind it."""
    def make(port, n=2, clean=True, env=None, limit=None, **kw):
        echo = backend(lib.Echo)
        kw.setdefault("spawn", TWO if n == 2 else ONE)
        s = service(ops.conf(port, echo.remote, **kw), clean=clean, env=env,
                    limit=limit)
        ops.wait_ready(s, n)
        s.echo = echo
        s.text = lambda listen, **more: ops.conf(
            None, echo.remote, **{**kw, **more, "listen": listen})
        return s

    return make


def pids(s):
    return [s.pid] + s.workers()


def listening(port):
    return len(ops.socket_inodes("listening", port))


# ---- listeners

@pytest.mark.parametrize("retry", [False, True])
def test_one_of_ten_is_taken(relay, port, retry):
    """Nothing changes then, unless it may wait for its address."""
    s = relay(port)
    before = pids(s), len(lib.descriptors(s.pid))
    ports = [lib.free_port() for _ in range(10)]
    taken = socket.create_server(("127.0.0.1", ports[6]))
    text = s.text("\n".join(
        [f"listen = {{ port = {port} realm = new }}"] +
        [f"listen = {{ address = 127.0.0.1 port = {p} }}" for p in ports]),
        broker="bind retry delay = 1" if retry else "")
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors, taken:
        visitors.more()
        if not retry:
            since = s.mark()
            s.reload(text, rf"failed, cannot bind .*:{ports[6]}: Address")
            s.wait_for("generation 1 goes on, 1 listeners, 2 workers$",
                       since=since)
            assert not s.grep("listening on", since)
            for p in ports:
                assert p == ports[6] or ops.refused(p)
            # its child's pipes are gone by now, too
            lib.wait_until(lambda: (pids(s), len(lib.descriptors(s.pid))) ==
                           before, "all to be as before")
            taken.close()
            s.reload(text, "done, 1 kept, 10 added, 0 removed, 2 workers")
        else:
            s.reload(text, "done, 1 kept, 10 added, 0 removed, 2 workers")
            for p in ports[:6] + ports[7:]:
                lib.echo_once(p)
            since = s.mark()
            taken.close()
            s.wait_for(rf"listening on .*:{ports[6]}", since=since)
        for p in ports:
            lib.echo_once(p)
        stream.goes_on()
        visitors.more()
        assert pids(s) == before[0]


def listeners(s):
    """{name: state} as -s shows them."""
    r = lib.run(s.program, "-s", "--json", s.file, directory=s.directory)
    assert r.returncode == 0, r.stderr
    return {x["listener"]: x["state"]
            for x in json.loads(r.stdout)["listeners"]}


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_not_open_since_the_start(relay, port, tmp_path, accept):
    """The next reload tries again what a start could not have; in vain, it
    is none the worse for it."""
    other = lib.free_port()
    taken = socket.create_server(("127.0.0.1", other))
    both = (f"listen {{ name = one port = {port} accept = {accept} }} "
            f"listen {{ name = two address = 127.0.0.1 port = {other} "
            f"accept = {accept} }}")
    s = relay(port, listen=both, broker=f"pidfile = {tmp_path}/p")
    before = pids(s)
    assert len(s.grep(rf"cannot bind .*:{other}: Address already in use$"))
    assert listeners(s) == {"one": "open", "two": "retrying"}
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors, taken:
        visitors.more()
        since = s.mark()
        s.reload(expect="done, 2 kept, 0 added, 0 removed, 2 workers")
        assert len(s.grep(rf"cannot bind .*:{other}: Address", since)) == 1
        assert listeners(s) == {"one": "open", "two": "retrying"}
        taken.close()
        since = s.mark()
        s.reload(expect="done, 2 kept, 0 added, 0 removed, 2 workers")
        assert s.grep(rf"listening on .*:{other}$", since)
        assert listeners(s) == {"one": "open", "two": "open"}
        lib.echo_once(other)
        stream.goes_on()
        visitors.more()
        assert pids(s) == before


def test_retry_delay_changes(relay, port, tmp_path):
    """Who waits for an address does as the running configuration says."""
    other = lib.free_port()
    listen = (f"listen {{ name = one port = {port} }} "
              f"listen {{ name = two address = 127.0.0.1 port = {other} %s }}")
    pidfile = f"pidfile = {tmp_path}/p"
    with socket.create_server(("127.0.0.1", other)) as taken:
        s = relay(port, listen=listen % "bind retry delay = 1",
                  broker=pidfile)
        s.reload(s.text(listen % "", broker=pidfile), "done, 2 kept")
        taken.close()
        time.sleep(2.5)
        assert ops.refused(other)
        assert listeners(s) == {"one": "open", "two": "retrying"}
    with socket.create_server(("127.0.0.1", other)) as taken:
        # an hour of the first one is not waited for
        for delay in 3600, 1:
            s.reload(s.text(listen % f"bind retry delay = {delay}",
                            broker=pidfile), "done, 2 kept")
        since = s.mark()
        taken.close()
        s.wait_for(rf"listening on .*:{other}$", since=since)
    lib.echo_once(other)


WILD = "listen = {{ port = {0} }}"
SPECIFIC = "listen = {{ address = 127.0.0.1 port = {0} }}"
SPLIT = ("listen = {{ address = 0.0.0.0 port = {0} }} "
         "listen = {{ address = ::0 port = {0} }}")
V4 = "listen = {{ address = 0.0.0.0 port = {0} }}"


@pytest.mark.parametrize("accept", ["master", "workers"])
@pytest.mark.parametrize("one, other", [
    (WILD, SPECIFIC), (V4, SPECIFIC), (WILD, SPLIT), (WILD, V4),
    (SPECIFIC + WILD, WILD), (SPECIFIC + WILD, SPECIFIC)])
def test_wildcard_and_address_change_places(relay, port, one, other, accept):
    """At every moment somebody listens where clients go."""
    kw = {"broker": f"accept = {accept}"}
    s = relay(None, listen=one.format(port), **kw)
    before = pids(s)
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        for i in range(6):
            visitors.more(10)
            s.reload(s.text((one if i % 2 else other).format(port)))
        stream.goes_on()
        visitors.more()
    assert pids(s) == before
    assert not s.grep("cannot|Error|Warning")
    # one that a wildcard includes is kept beside it
    assert listening(port) <= 3
    s.reload(s.text(f"listen = {{ port = {lib.free_port()} }}"))
    assert not listening(port) and ops.refused(port)


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_end_while_a_wildcard_gives_way(relay, port, accept):
    """Who waits in the queue of the new socket is served all the same."""
    s = relay(None, listen=WILD.format(port), broker=f"accept = {accept}")
    since = s.mark()
    s.write(s.text(SPECIFIC.format(port), broker=f"accept = {accept}"))
    s.send_signal(signal.SIGHUP)
    # both listen for a moment; a busy machine may be late for it
    lib.wait_until(lambda: listening(port) == 2 or
                   s.grep("reload: done", since), "the new socket")
    with lib.connect(port) as c:
        s.send_signal(signal.SIGTERM)
        lib.roundtrip(c, b"x" * 1000)
        lib.wait_until(lambda: ops.refused(port), "the end")
        lib.roundtrip(c, b"y" * 1000)
    s.wait_for("reload: done", since=since)


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_another_door_goes_through_an_upgrade(service, backend, port,
                                              tmp_path, accept):
    """An address that stays open beside its wildcard is that also for the
    next program, and becomes a listener of its own again there."""
    program = tmp_path / "bin" / "tcprelay"
    program.parent.mkdir()
    shutil.copy2(lib.TCPRELAY, program)
    echo = backend(lib.Echo)

    def text(listen):
        return ops.conf(None, echo.remote, spawn=TWO, listen=listen.format(
            port), broker=f"accept = {accept}")

    s = service(text(SPECIFIC), program=str(program))
    inode, = ops.socket_inodes("listening", port)
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        s.reload(text(WILD), "done, 0 kept, 1 added, 1 removed")
        s.wait_for(r"127\.0\.0\.1.*stays open beside its successor")
        for listen in (WILD, WILD, SPECIFIC):
            visitors.more()
            new = program.with_name("new")
            shutil.copy(lib.TCPRELAY, new)
            os.rename(new, program)
            s.reload(text(listen), timeout=60)
            assert inode in ops.socket_inodes("listening", port)
        visitors.more()
        stream.goes_on()
    assert ops.socket_inodes("listening", port) == [inode]


def test_address_before_its_wildcard_in_vain(relay, port):
    """A reload fails that would have taken an address out of a wildcard:
    nobody has waited for it."""
    s = relay(port)
    with socket.create_server(("127.0.0.1", 0)) as taken, \
            ops.Visitors(port) as visitors:
        other = taken.getsockname()[1]
        for _ in range(3):
            visitors.more(10)
            s.reload(s.text(SPECIFIC.format(port) + SPECIFIC.format(other)),
                     "failed, cannot bind")
        visitors.more()
    assert listening(port) == 1


def test_master_and_workers_in_turns(relay, port):
    """accept changes to and fro, on a listener of two and on both."""
    other = lib.free_port()
    both = ("listen = {{ port = %d accept = {} }} "
            "listen = {{ port = %d accept = {} }}" % (port, other))
    s = relay(None, listen=both.format("master", "workers"))
    before = pids(s)
    with ops.Stream(port) as a, ops.Stream(other) as b, \
            ops.Visitors(port) as one, ops.Visitors(other) as two:
        for pair in [("workers", "master"), ("workers", "workers"),
                     ("master", "workers"), ("master", "master"),
                     ("workers", "workers")] * 2:
            one.more(5)
            two.more(5)
            s.reload(s.text(both.format(*pair)))
        a.goes_on()
        b.goes_on()
    assert pids(s) == before


def test_order_of_the_file_changes(relay, port):
    """Lent sockets are known by number: who holds one is told."""
    ports = [port] + [lib.free_port() for _ in range(3)]
    lines = [f"listen = {{ port = {p} accept = workers realm = r{p} }}"
             for p in ports]
    relay_log = "log connections = yes"
    s = relay(None, listen="\n".join(lines), relay=relay_log)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(ops.Visitors(p, 2)) for p in ports]
        for i in range(6):
            for c in crowd:
                c.more(3)
            lines = lines[1:] + lines[:1] if i % 2 else lines[::-1]
            s.reload(s.text("\n".join(lines)))
        for c in crowd:
            c.more(3)
    for p in ports:
        since = s.mark()
        lib.echo_once(p)
        s.wait_for(rf" realm=r{p} ", since=since)


@pytest.mark.parametrize("n", [1, 3])
def test_any_port_twice(relay, port, n):
    """Each block keeps its own, and a new one gets its own."""
    listen = f"listen = {{ port = {port} }}" + \
        " listen = { address = 127.0.0.1 port = 0 }" * n
    s = relay(None, listen=listen)
    chosen = {m.group(1) for m in s.grep(r"listening on .*:(\d+)$")}
    s.reload(expect=f"done, {n + 1} kept, 0 added, 0 removed")
    s.reload(s.text(listen + " listen = { address = 127.0.0.1 port = 0 }"),
             f"done, {n + 1} kept, 1 added, 0 removed")
    more = {m.group(1) for m in s.grep(r"listening on .*:(\d+)$")}
    assert len(more) == n + 1 and len(more - chosen) == 1
    for p in more:
        lib.echo_once(int(p))
    s.reload(s.text(f"listen = {{ port = {port} }}"),
             f"done, 1 kept, 0 added, {n + 1} removed")
    for p in more:
        assert ops.refused(int(p))


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_unix(relay, port, tmp_path, accept):
    """Kept, given another mode, removed, put there again."""
    path = tmp_path / "s"
    tcp = f"listen = {{ port = {port} }}"

    def text(mode):
        return s.text(f'listen = {{ path = "{path}" mode = {mode} '
                      f"accept = {accept} }} " + tcp)

    s = relay(port)
    s.reload(text("0600"), "done, 1 kept, 1 added")
    first = os.lstat(path)
    assert stat.S_IMODE(first.st_mode) == 0o600
    with ops.Stream(path) as stream, ops.Visitors(path) as visitors:
        visitors.more()
        s.reload(text("0640"), "done, 2 kept, 0 added, 0 removed")
        visitors.more()
        second = os.lstat(path)
        assert stat.S_IMODE(second.st_mode) == 0o640
        assert second.st_ino == first.st_ino
        visitors.stop()
        s.reload(s.text(tcp), "done, 1 kept, 0 added, 1 removed")
        assert not path.exists()
        stream.goes_on()
        s.reload(text("0600"), "done, 1 kept, 1 added, 0 removed")
        lib.echo_once(path)


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_who_waits_at_a_removed_listener(relay, port, accept):
    """Its queue is served to the last, with bytes both ways."""
    other = lib.free_port()
    s = relay(None, listen=f"listen = {{ port = {port} }} listen = {{ port = "
              f"{other} accept = {accept} backlog = 256 }}")
    stopped = pids(s) if accept == "workers" else [s.pid]
    for p in stopped:
        os.kill(p, signal.SIGSTOP)
    waiting = [lib.connect(other) for _ in range(100)]
    s.write(s.text(f"listen = {{ port = {port} }}"))
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    for p in stopped:
        os.kill(p, signal.SIGCONT)
    s.wait_for("reload: done, 1 kept, 0 added, 1 removed, 2 workers", None,
               since)
    assert ops.refused(other)
    for i, c in enumerate(waiting):
        with c:
            lib.roundtrip(c, b"%04d" % i * 100)


def test_who_waits_for_a_worker_at_a_removed_listener(relay, port):
    """Accepted for a worker that is not ready before the switch: the new
    configuration does not know the listener, and nobody mistakes it for
    another one."""
    other = lib.free_port()
    s = relay(None, n=1, spawn="instances min = 1 instances max = 1 "
              "users max = 100", relay="log connections = yes",
              listen=f"listen = {{ port = {other} realm = old }} "
                     f"listen = {{ port = {port} realm = stays dscp = 8 }}")
    worker, = s.workers()
    os.kill(worker, signal.SIGSTOP)
    stuck = []
    with contextlib.ExitStack() as stack:
        # enough to fill its channel: the rest waits in the master
        for i in range(60):
            stuck.append(stack.enter_context(lib.connect(other)))
        s.write(s.text(f"listen = {{ port = {port} realm = new }}"))
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: started", since=since)
        os.kill(worker, signal.SIGKILL)
        s.wait_for("reload: done, 1 kept, 0 added, 1 removed", since=since)
        for i, c in enumerate(stuck):
            lib.roundtrip(c, b"%04d" % i)
    s.wait_for("conn=.* realm=", since=since, count=60)
    assert not s.grep("realm=stays", since)


# ---- options

def copies(pid):
    """Copies of a process' sockets, {port: socket} of those that listen."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, pid, 0)			# pidfd_open
    if pidfd == -1:
        pytest.skip("a process' sockets cannot be looked at here")
    out = {}
    for fd, target in lib.descriptors(pid).items():
        if not target.startswith("socket:"):
            continue
        copy = libc.syscall(438, pidfd, fd, 0)		# pidfd_getfd
        if copy == -1:
            os.close(pidfd)
            pytest.skip("a process' sockets cannot be looked at here")
        k = socket.socket(fileno=copy)
        if k.family == socket.AF_INET and \
                k.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            out[k.getsockname()[1]] = k
        else:
            k.close()
    os.close(pidfd)
    return out


def options_of(s, port):
    found = copies(s.pid)
    try:
        k = found[port]
        info = k.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return {"tos": k.getsockopt(socket.IPPROTO_IP, socket.IP_TOS),
                "idle": k.getsockopt(socket.IPPROTO_TCP,
                                     socket.TCP_KEEPIDLE),
                "count": k.getsockopt(socket.IPPROTO_TCP,
                                      socket.TCP_KEEPCNT),
                # of a listening socket: sacked is the backlog
                "backlog": int.from_bytes(info[28:32], "little")}
    finally:
        for k in found.values():
            k.close()


def test_options_of_a_kept_listener(relay, port):
    """They change on the socket that listens, and go back to the system's
    when they are not said any more."""
    def text(options):
        return f"listen = {{ address = 127.0.0.1 port = {port} {options} }}"

    s = relay(None, listen=text("backlog = 20"))
    inode = ops.socket_inodes("listening", port)
    plain = options_of(s, port)
    assert plain["backlog"] == 20 and plain["tos"] == 0
    s.reload(s.text(text("backlog = 30 dscp = 10 tcp keepalive idle = 77 "
                         "tcp keepalive count = 3")))
    assert options_of(s, port) == {"tos": 40, "idle": 77, "count": 3,
                                   "backlog": 30}
    lib.echo_once(port)
    s.reload(s.text(text("backlog = 20")))
    assert options_of(s, port) == plain
    lib.echo_once(port)
    assert ops.socket_inodes("listening", port) == inode


@pytest.mark.tls
@pytest.mark.parametrize("accept", ["master", "workers"])
def test_tls_and_realm_of_a_kept_listener(relay, port, certs, accept):
    """From the next accept on; who is there goes on as he began."""
    def text(options):
        return (f"listen = {{ address = 127.0.0.1 port = {port} "
                f"accept = {accept} {options} }}")

    pair = certs.ecdsa
    relay_text = (f'log connections = yes tls cert-file = "{pair.cert}" '
                  f'tls key-file = "{pair.key}"')
    s = relay(None, listen=text("realm = one"), relay=relay_text)
    before = pids(s)
    context = lib.client_context(certs.ca)
    with ops.Stream(port) as plain:
        s.reload(s.text(text("tls = yes realm = two")))
        with lib.connect(port, context=context, name="localhost") as c:
            lib.roundtrip(c, b"over tls")
            plain.goes_on()
            s.reload(s.text(text("realm = three")))
            lib.echo_once(port)
            plain.goes_on()
            lib.roundtrip(c, b"still over tls")
    s.wait_for("conn=.* realm=one .* tls=- ")
    s.wait_for("conn=.* realm=two .* tls=TLSv1.3")
    s.wait_for("conn=.* realm=three .* tls=- ")
    assert pids(s) == before


# ---- workers

def test_user_changes(relay, port, tmp_path):
    """A process cannot change that: old ones drain, new ones are others."""
    if os.getuid() != 0:
        pytest.skip("not root")
    os.chmod(tmp_path, 0o755)
    s = relay(port)
    old = s.workers()
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        s.reload(s.text(f"listen = {{ port = {port} }}",
                        spawn=TWO + " userid = nobody"),
                 "done, 1 kept, 0 added, 0 removed, 0 workers kept, 2 repl")
        visitors.more()
        stream.goes_on()
        new = ops.wait_ready(s, 2)
        assert not set(new) & set(old)
        for p in new:
            assert pathlib.Path(f"/proc/{p}").stat().st_uid != 0
    for p in old:
        s.wait_for(rf"worker {p} ended, status 0, .*lost 0")


def test_stopped_worker_is_replaced(relay, port):
    """One that does not answer is not waited for when another one did."""
    s = relay(port)
    streams = [ops.Stream(port) for _ in range(4)]
    a, b = s.workers()
    os.kill(a, signal.SIGSTOP)
    s.reload(s.text(f"listen = {{ port = {port} realm = new }}"),
             "done, 1 kept, 0 added, 0 removed, 1 workers kept, 1 replaced")
    assert b in ops.wait_ready(s, 2)
    for _ in range(8):
        lib.echo_once(port)
    os.kill(a, signal.SIGCONT)
    for x in streams:
        x.goes_on()
        x.close()
        assert not x.broken()
    s.wait_for(rf"worker {a} ended, status 0, .*lost 0")


@pytest.mark.slow
def test_nobody_answers(relay, port):
    """Half a minute, then all is as before, and said."""
    s = relay(port)
    before = pids(s)
    new = lib.free_port()
    with ops.Stream(port, timeout=90) as stream:
        for p in before[1:]:
            os.kill(p, signal.SIGSTOP)
        s.reload(s.text(f"listen = {{ port = {port} }} "
                        f"listen = {{ port = {new} }}"),
                 "failed, no worker got ready", 60)
        assert ops.refused(new)
        for p in before[1:]:
            os.kill(p, signal.SIGCONT)
        stream.goes_on()
        lib.echo_once(port)
        assert pids(s) == before
        s.reload(expect="done, 1 kept, 1 added, 0 removed, 2 workers kept")
        lib.echo_once(new)
        stream.goes_on()


@pytest.mark.parametrize("n", [1, 2])
def test_killed_before_the_switch(relay, port, n):
    """A worker that dies between CONFIG and COMMIT: another one serves with
    the new configuration, and nothing else happens."""
    s = relay(port, n=n)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(ops.Stream(port)))
                   for _ in range(4)]
        victim = s.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        s.write(s.text(f"listen = {{ port = {port} realm = new }}",
                       relay="log connections = yes"))
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: started", since=since)
        # CONFIG is in its channel once the reading child is gone
        lib.wait_until(lambda: len(lib.children(s.pid)) == n, "the child")
        os.kill(victim, signal.SIGKILL)
        s.wait_for("reload: done", since=since)
        lib.wait_until(lambda: victim not in (w := s.workers()) and
                       len(w) == n, "a successor")
        ops.wait_ready(s, n)
        since = s.mark()
        lib.echo_once(port)
        s.wait_for("conn=.* realm=new", since=since)
        if n == 2:
            assert [x.broken() for x in streams].count(False) >= 1


SHIM = r"""
/* In workers only, and while a file says so: configurations are misread. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int worker, mine;
static char path[2][512];

__attribute__((constructor)) static void
begin(void)
{
	const char *dir = getenv("SHIM_DIRECTORY");

	worker = getenv("SPAWND_WORKER") != NULL && dir != NULL;
	for (int i = 0; i < 2 && dir != NULL; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s", dir, i == 0 ?
		    "bad" : "different");
}

static int
says(int i)
{
	char who[32] = "";
	FILE *fp;

	if (!worker || mine || (fp = fopen(path[i], "r")) == NULL)
		return 0;
	if (fgets(who, sizeof(who), fp) == NULL)
		who[0] = '\0';
	fclose(fp);
	return who[0] == '\0' || atoi(who) == (int)getpid();
}

/* Of a compiled configuration the canonical text. */
FILE *
open_memstream(char **text, size_t *len)
{
	FILE *(*real)(char **, size_t *) = dlsym(RTLD_NEXT,
	    "open_memstream");

	return says(1) ? NULL : real(text, len);
}

/* Of the bundle: nothing else is private and read only. */
void *
mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	static void *(*real)(void *, size_t, int, int, int, off_t);
	int refuse = 0;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "mmap");
	if (fd != -1 && prot == PROT_READ && flags == MAP_PRIVATE) {
		refuse = says(0);
	}
	if (refuse) {
		errno = EIO;
		return MAP_FAILED;
	}
	return real(at, len, prot, flags, fd, offset);
}
"""


@pytest.fixture
def shim(tmp_path):
    """Environment with which workers misread on request; .directory."""
    if b"__asan_init" in lib.TCPRELAY.read_bytes():
        pytest.skip("not beneath a sanitizer")
    cc = next((c for c in ("cc", "gcc", "clang") if lib.have(c)), None)
    if cc is None:
        pytest.skip("no C compiler")
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    r = subprocess.run([cc, "-shared", "-fPIC", "-o", library, source,
                        "-ldl"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return {"LD_PRELOAD": library, "SHIM_DIRECTORY": tmp_path}


@pytest.mark.parametrize("what, says", [
    ("different", "understands the configuration differently"),
    ("bad", "configuration not usable: the bundle cannot be read")])
@pytest.mark.parametrize("who", ["one", "all"])
def test_worker_that_misreads(relay, port, shim, tmp_path, what, says, who):
    """Another digest, or BAD-CONFIG: it is replaced; if all do it, the
    reload has failed and the old configuration is in force."""
    s = relay(port, env=shim)
    before = pids(s)
    file = tmp_path / what
    text = s.text(f"listen = {{ port = {port} realm = new }}",
                  relay="log connections = yes")
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        file.write_text(str(before[1]) if who == "one" else "")
        since = s.mark()
        if who == "one":
            s.reload(text, "done, .* 1 workers kept, 1 replaced")
        else:
            s.reload(text, "failed, no worker got ready")
        s.wait_for(rf"worker {before[1]}.* {says}", since=since)
        stream.goes_on()
        visitors.more()
        file.unlink()
        if who == "all":
            assert pids(s) == before
            since = s.mark()
            lib.echo_once(port)
            assert not s.grep("realm=new", since)
            s.reload(expect="2 workers kept, 0 replaced")
        else:
            ops.wait_ready(s, 2)
        since = s.mark()
        lib.echo_once(port)
        s.wait_for("conn=.* realm=new", since=since)
        stream.goes_on()


def test_limits_and_instances(relay, port):
    """4.1, 4.3: more and fewer at once, nobody is cut off."""
    s = relay(port, n=1, spawn="instances min = 1 instances max = 1 "
              "users min = 1 users max = 2")
    held = [lib.connect(port) for _ in range(2)]
    for c in held:
        lib.roundtrip(c, b"in")
    waits = lib.connect(port)
    waits.sendall(b"queued")
    waits.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waits.recv(1)
    waits.settimeout(lib.TIMEOUT)
    listen = f"listen = {{ port = {port} }}"
    s.reload(s.text(listen, spawn="instances min = 3 instances max = 3 "
                    "users min = 1 users max = 2"), "1 workers kept, 0 repl")
    assert lib.read_exact(waits, 6) == b"queued"
    ops.wait_ready(s, 3)
    more = [lib.connect(port) for _ in range(3)]
    for c in more:
        lib.roundtrip(c, b"in")
    # fewer than there are: all go on, nobody comes in until three have gone
    s.reload(s.text(listen, spawn="instances min = 1 instances max = 2 "
                    "users min = 1 users max = 2"), "3 workers kept, 0 repl")
    for c in held + more + [waits]:
        lib.roundtrip(c, b"on")
        c.close()
    lib.echo_once(port)


# ---- signals

def test_storm(relay, port):
    """A thousand signals: two reloads or some more, never a thousand."""
    s = relay(port)
    before = pids(s)
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        since = s.mark()
        for _ in range(1000):
            s.send_signal(signal.SIGHUP)
        visitors.more()
        stream.goes_on()
        s.reload()
        lib.wait_until(lambda: len(s.grep("reload: started", since)) ==
                       len(s.grep("reload: done", since)), "the last one")
    assert pids(s) == before
    assert lib.children(s.pid) == before[1:]
    assert not s.grep("reload: (failed|refused)", since)


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_sigusr1_during_a_reload(relay, port, accept):
    """Remembered: new workers, with the new configuration."""
    s = relay(port, broker=f"accept = {accept}")
    old = s.workers()
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        os.kill(old[0], signal.SIGSTOP)		# so that it takes a while
        s.write(s.text(f"listen = {{ port = {port} realm = new }}",
                       broker=f"accept = {accept}",
                       relay="log connections = yes"))
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: started", since=since)
        s.send_signal(signal.SIGUSR1)
        s.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        os.kill(old[0], signal.SIGCONT)
        s.wait_for("reload: done", since=since, count=2)
        stream.goes_on()
        visitors.more()
    lib.wait_until(lambda: lib.children(s.pid) == s.workers(), "no child")
    s.wait_for("conn=.* realm=new", since=since)


@pytest.mark.parametrize("when", ["reading", "preparing"])
def test_sigterm_during_a_reload(relay, port, when):
    """The end goes before; the fresh listener is gone with the others."""
    s = relay(port)
    new = lib.free_port()
    text = s.text(f"listen = {{ port = {port} }} listen = {{ port = {new} }}")
    workers = s.workers()
    stream = ops.Stream(port)
    if when == "preparing":
        for p in workers:
            os.kill(p, signal.SIGSTOP)
    else:
        text = "# long enough to be met while it is read\n" * 200000 + text
    s.write(text)
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    if when == "preparing":
        lib.wait_until(lambda: listening(new), "the new listener")
    else:
        s.wait_for("reload: started", since=since)
    s.send_signal(signal.SIGTERM)
    if when == "preparing":
        time.sleep(0.1)
        for p in workers:
            os.kill(p, signal.SIGCONT)
    assert s.wait() == 0
    assert ops.refused(port) and ops.refused(new)
    stream.goes_on()
    stream.close()
    assert not stream.broken()
    lib.wait_until(lambda: not lib.session_members(s.pid), "all to end")


# ---- what is short

def test_out_of_descriptors(relay, port):
    """More listeners than the master can open: refused, nothing is left
    open, and the service goes on."""
    s = relay(port, limit=60)
    before = pids(s), len(lib.descriptors(s.pid))
    ports = [lib.free_port() for _ in range(80)]
    text = s.text(f"listen = {{ port = {port} }}" + "".join(
        f" listen = {{ address = 127.0.0.1 port = {p} }}" for p in ports))
    with ops.Stream(port) as stream, ops.Visitors(port, 2) as visitors:
        for _ in range(3):
            visitors.more(5)
            s.reload(text, "failed, cannot bind .*: Too many open files")
        visitors.more(5)
        stream.goes_on()
    lib.wait_until(lambda: (pids(s), len(lib.descriptors(s.pid))) == before,
                   "all to be as before")
    s.reload(s.text(f"listen = {{ port = {port} }} listen = {{ address = "
                    f"127.0.0.1 port = {ports[0]} }}"))
    lib.echo_once(ports[0])


def test_out_of_memory(relay, port):
    """Where memory is short, the reload is, not the service."""
    if b"__asan_init" in lib.TCPRELAY.read_bytes():
        pytest.skip("address space is not memory with a sanitizer")
    import resource
    s = relay(port)
    before = pids(s)

    def limit(pid, room):
        size = next(int(x.split()[1]) for x in pathlib.Path(
            f"/proc/{pid}/status").read_text().splitlines()
            if x.startswith("VmSize:"))
        resource.prlimit(pid, resource.RLIMIT_AS, (
            resource.RLIM_INFINITY if room is None
            else (size + room) * 1024, resource.RLIM_INFINITY))

    with ops.Stream(port) as stream, ops.Visitors(port, 2) as visitors:
        for room in (0, 100, 1000, 2000, 4000):
            visitors.more(5)
            limit(s.pid, room)
            s.reload(expect="(refused|failed|done)")
        limit(s.pid, None)
        assert s.grep("reload: (refused|failed), .*"
                      "(allocate memory|the process that read)")
        # and in a worker
        limit(before[1], 1000)
        s.reload(expect="1 workers kept, 1 replaced")
        visitors.more(5)
        assert stream.broken() is False
        s.reload(s.text(f"listen = {{ port = {port} realm = x }}"))
        stream.goes_on()
    assert s.pid == before[0]


def test_log_file_that_cannot_be_opened(relay, port, tmp_path):
    """Found out before anything changes."""
    s = relay(port, broker=f'log file = "{tmp_path}/log"')
    before = pids(s)
    lib.wait_until((tmp_path / "log").exists, "the log file")
    listen = f"listen = {{ port = {port} }}"
    with ops.Stream(port) as stream:
        s.reload(s.text(listen, broker=f'log file = "{tmp_path}/no/log"'),
                 "refused, .*no/log")
        stream.goes_on()
        s.reload(s.text(listen, broker=f'log file = "{tmp_path}/other"'))
        stream.goes_on()
    assert pids(s) == before
    assert "reload: done" in (tmp_path / "other").read_text()


def test_pid_file_moves(relay, port, tmp_path):
    """Written and locked there, then removed here; one that another service
    has is left to it."""
    one, two = tmp_path / "one.pid", tmp_path / "two.pid"
    listen = f"listen = {{ port = {port} }}"
    s = relay(port, broker=f'pidfile = "{one}"')
    assert int(one.read_text()) == s.pid
    s.reload(s.text(listen, broker=f'pidfile = "{two}"'))
    assert int(two.read_text()) == s.pid and not one.exists()
    s.reload(s.text(listen, broker=f'pidfile = "{tmp_path}/no/file"'))
    s.wait_for("no/file.*the old one stays")
    assert int(two.read_text()) == s.pid
    s.reload(s.text(listen, broker=""))
    assert not two.exists()


# ---- a single process

@pytest.fixture
def single(relay, port):
    return relay(port, n=1, broker="single process = yes")


def test_single(single, port, tmp_path):
    """Sessions keep what they began with; listeners come, stay and go."""
    s = single
    new = lib.free_port()
    kw = {"broker": "single process = yes"}
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        visitors.more()
        for i in range(5):
            s.reload(s.text(f"listen = {{ port = {port} realm = r{i} }} "
                            f"listen = {{ port = {new} }}",
                            relay="log connections = yes", **kw),
                     "1 kept, 1 added")
            lib.echo_once(new)
            s.wait_for(f"conn=.* realm=r{i} ")
            s.reload(s.text(f"listen = {{ port = {port} }}", **kw),
                     "1 kept, 0 added, 1 removed")
            assert ops.refused(new)
        s.reload(s.text(f"listen = {{ port = {port} nonsense }}", **kw),
                 "refused")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            s.reload(s.text(
                f"listen = {{ port = {port} }} listen = {{ address = "
                f"127.0.0.1 port = {taken.getsockname()[1]} }}", **kw),
                "failed, cannot bind")
        stream.goes_on()
        visitors.more()
    assert lib.children(s.pid) == []


def test_single_who_waits_at_a_removed_listener(relay, port):
    other = lib.free_port()
    kw = {"broker": "single process = yes"}
    s = relay(None, n=1, listen=f"listen = {{ port = {port} }} "
              f"listen = {{ port = {other} backlog = 256 }}", **kw)
    os.kill(s.pid, signal.SIGSTOP)
    waiting = [lib.connect(other) for _ in range(100)]
    s.write(s.text(f"listen = {{ port = {port} }}", **kw))
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    os.kill(s.pid, signal.SIGCONT)
    s.wait_for("reload: done, 1 kept, 0 added, 1 removed", since=since)
    for i, c in enumerate(waiting):
        with c:
            lib.roundtrip(c, b"%04d" % i * 100)


def test_single_storm(single, port):
    s = single
    with ops.Stream(port) as stream, ops.Visitors(port) as visitors:
        since = s.mark()
        for _ in range(1000):
            s.send_signal(signal.SIGHUP)
        visitors.more()
        stream.goes_on()
        s.reload()
        lib.wait_until(lambda: len(s.grep("reload: started", since)) ==
                       len(s.grep("reload: done", since)), "the last one")
    assert lib.children(s.pid) == []


# ---- kill

@pytest.mark.parametrize("accept", ["master", "workers"])
@pytest.mark.parametrize("n", [1, 2])
def test_worker_killed_under_load(relay, port, n, accept):
    """Who comes after it is served, and only its own sessions are lost: the
    connections of all others carry on."""
    s = relay(port, n=n, broker=f"accept = {accept}")
    held = [ops.hold(s, port) for _ in range(8)]
    victim = held[0][1]
    os.kill(victim, signal.SIGKILL)
    s.wait_for(rf"worker {victim} killed by signal 9")
    for i in range(20):
        lib.echo_once(port, b"%d" % i)
    for sock, pid in held:
        with sock:
            if pid == victim:
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
            else:
                lib.roundtrip(sock, b"still here")
    ops.wait_ready(s, n)
    assert victim not in s.workers()


def test_master_killed_under_transfers(service, backend, port):
    """Sessions carry every byte to their end, then the workers end."""
    size = 20 << 20
    peer = backend(lib.HalfClose)
    s = service(ops.conf(port, peer.remote, spawn=TWO), clean=False)
    workers = ops.wait_ready(s, 2)
    results, clients = [], []
    half = threading.Barrier(5)

    def transfer(seed):
        with lib.connect(port) as c:
            for i, piece in enumerate(lib.pattern_blocks(size, seed)):
                if i == 10:
                    half.wait(lib.TIMEOUT)
                c.sendall(piece)
            c.shutdown(socket.SHUT_WR)
            results.append((lib.read_all(c).decode(), seed))

    for seed in range(4):
        clients.append(threading.Thread(target=transfer, args=(seed,),
                                        daemon=True))
        clients[-1].start()
    # connected may mean queued: they are sessions when the peer has them
    lib.wait_until(lambda: peer.active == 4, "the sessions")
    half.wait(lib.TIMEOUT)
    os.kill(s.pid, signal.SIGKILL)
    for c in clients:
        c.join(lib.TIMEOUT * 2)
    assert len(results) == 4
    for text, seed in results:
        assert text == f"{size} {lib.pattern_digest(size, seed)}\n"
    for w in workers:
        lib.wait_until(lambda: not lib.alive(w), "the workers to end")
