"""A SIGHUP that finds another program file (5.6, upgrade): the service goes
on in the same process with the new program, or with the old one in another
process; clients notice neither."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import lib
import ops
import stage
import test_key_process as keyed

DONE = r"upgrade: \S+ to \S+$"
GOES_ON = r"upgrade: the program before goes on as process (\d+)"

# A program that checks a configuration like the real one and then does not
# serve.
STUB = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	int i, check = 0;

	for (i = 1; i < argc; i++)
		check = check || strcmp(argv[i], "-P") == 0;
	if (check == CHECKS)
		execv(REAL, argv);
	DOES;
	return 1;
}
"""


@pytest.fixture
def program(tmp_path):
    """A copy of the program that may be replaced."""
    path = tmp_path / "bin" / "tcprelay"
    path.parent.mkdir()
    shutil.copy2(lib.TCPRELAY, path)
    return path


def replace(path, by=lib.TCPRELAY):
    """As a package manager does."""
    new = path.with_name(path.name + ".new")
    shutil.copy(by, new)
    new.chmod(0o755)
    os.rename(new, path)


def running(pid, path):
    """Whether that process runs what lies at path now."""
    return os.path.samefile(f"/proc/{pid}/exe", path)


def pending(pid, signo):
    with open(f"/proc/{pid}/status") as f:
        mask = next(x for x in f if x.startswith("ShdPnd:"))
    return int(mask.split()[1], 16) >> (signo - 1) & 1


def pid_in(path):
    try:
        return int(path.read_text())
    except ValueError:
        return None		# it is being written


def compile_to(out, source, *options):
    cc = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang")
               if c and lib.have(c)), None)
    if cc is None:
        pytest.skip("no C compiler")
    r = subprocess.run([cc, *options, "-o", out, source],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return out


@pytest.fixture
def stub(tmp_path):
    """stub(does, checks=1): such a program."""
    def make(does, checks=1):
        source = tmp_path / "stub.c"
        source.write_text(STUB)
        return compile_to(tmp_path / "stub", source,
                          f'-DREAL="{lib.TCPRELAY}"', f"-DDOES={does}",
                          f"-DCHECKS={checks}")

    return make


def serves(pid, sock):
    """Whether that process has the other end of a client's socket."""
    return f"socket:[{ops.inode_of_peer(sock)}]" in \
        lib.descriptors(pid).values()


def visit(port, context, session=None):
    """(was it resumed, a session for the next time)"""
    with lib.connect(port) as raw:
        line = stage.TlsLine(raw, context, name="localhost", session=session)
        line.send(b"x")
        assert line.recv(1) == b"x"	# the ticket is here by now
        result = line.tls.session_reused, line.tls.session
        line.close()
        return result


class Bulk(ops.Stream):
    """A session that carries more, and what comes back is compared by its
    digest."""

    def _run(self):
        try:
            while not self.over.is_set():
                data = lib.pattern(1 << 15, self.n)
                self.sock.sendall(data)
                got = lib.read_exact(self.sock, len(data))
                assert hashlib.sha256(got).digest() == \
                    hashlib.sha256(data).digest(), self.n
                self.n += 1
                self.over.wait(self.pause)
        except (OSError, AssertionError) as e:
            self.error = e


class Old:
    """A service whose former program goes on as another process."""

    def __init__(self, s, pidfile, since=0):
        self.s = s
        self.pid = int(s.wait_for(GOES_ON, since=since).group(1))
        self.proc = None
        lib.wait_until(lambda: pid_in(pidfile) == self.pid, "the pid file")

    def send_signal(self, signo):
        os.kill(self.pid, signo)

    def stop(self):
        """All of it, and everything else that the service was."""
        self.send_signal(signal.SIGTERM)
        lib.wait_until(lambda: not lib.session_members(self.s.pid),
                       "the end of the service")


def upgrade(s, expect=r"reload: done"):
    since = s.mark()
    old = set(s.workers())
    s.reload(expect=expect)
    s.wait_for(DONE, since=since)
    return old


def test_pid_and_listeners(service, backend, program, port, tmp_path):
    """Same process, same sockets; established sessions go on, old workers
    end with them."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program)
    old = s.wait_workers(2)
    held = [lib.connect(port) for _ in range(4)]
    for h in held:
        assert lib.roundtrip(h, b"before") == b"before"
    inode = ops.socket_inodes("listening", port)
    with ops.Visitors(port) as v:
        v.more()
        replace(program)
        upgrade(s)
        v.more()
    assert v.failed == []
    assert pid_in(pidfile) == s.pid
    assert ops.socket_inodes("listening", port) == inode
    assert running(s.pid, program)
    for h in held:
        assert lib.roundtrip(h, b"after") == b"after"
        h.close()
    lib.wait_until(lambda: not set(s.workers()) & set(old), "old workers")
    s.wait_workers(2)


@pytest.mark.parametrize("does,mechanism", [
    ("abort()", "0xffff"), ("_exit(0)", "8"),
    ("kill(getpid(), SIGKILL)", "16")])
def test_program_that_ends_at_once(service, backend, program, stub, port,
                                   tmp_path, does, mechanism):
    """The former program goes on in another process, which is in the pid
    file; nobody is refused; its workers are replaced when they die, and
    SIGTERM ends everything."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program, clean=False,
                env={"IO_POLL_MECHANISM": mechanism})
    workers = s.wait_workers(2)
    with ops.Stream(port) as held:
        with ops.Visitors(port) as v:
            v.more()
            replace(program, stub(does))
            s.send_signal(signal.SIGHUP)
            old = Old(s, pidfile)
            v.more()
            held.goes_on()
        assert v.failed == []
        s.wait()
        assert old.pid != s.pid
        assert [w for w in workers if lib.alive(w)] == workers
        # one that dies is replaced, by the program that runs
        victim = next(w for w in workers if not serves(w, held.sock))
        since = s.mark()
        os.kill(victim, signal.SIGKILL)
        s.wait_for(rf"worker {victim} ended, status unknown", since=since)
        fresh = lib.wait_until(
            lambda: [p for p in lib.children(old.pid)
                     if lib.has_channel(p)], "a new worker")
        assert os.path.samefile(f"/proc/{fresh[0]}/exe",
                                f"/proc/{old.pid}/exe")
        with ops.Visitors(port) as v:
            v.more()
        assert v.failed == []
        held.goes_on()
    old.stop()
    assert not pidfile.exists()
    assert ops.refused(port)


# ---- what goes on

@pytest.mark.tls
@pytest.mark.parametrize("accept", ["master", "workers"])
def test_tls_under_load(service, backend, program, port, certs, accept):
    """Sessions that carry much, plain and with TLS, tickets and the key
    process: twice in a row, and nobody notices."""
    echo = backend()
    tls = lib.free_port()
    s = service(ops.conf(
        port, echo.remote, listen=f"""
	listen = {{ port = {port} accept = {accept} }}
	listen = {{ port = {tls} tls = yes accept = {accept} }}""",
        relay=f"""
	tls cert-file = {certs.ecdsa.cert}
	tls key-file = {certs.ecdsa.key}
	key process = yes"""), 2, program=program)
    lib.wait_until(lambda: len(keyed.workers(s)) == 2, "two workers")
    context = lib.client_context(certs.ca)
    reused, session = visit(tls, context)
    assert not reused
    with contextlib.ExitStack() as stack:
        bulk = [stack.enter_context(Bulk(p, context=c, name="localhost" if c
                                    else None))
                for p, c in ((port, None), (tls, context)) * 2]
        plain = stack.enter_context(ops.Visitors(port, 2))
        secure = stack.enter_context(keyed.Visitors(tls, context, 2))
        for _ in range(2):
            plain.more()
            secure.more()
            replace(program)
            old = set(keyed.workers(s))
            upgrade(s)
            assert running(s.pid, program)
            plain.more()
            secure.more()
            reused, session = visit(tls, context, session)
            assert reused
            for b in bulk:
                b.goes_on()
            # the old ones stay as long as they have something to do
            assert old & set(keyed.workers(s))
            lib.wait_until(
                lambda: [w for w in keyed.workers(s) if w not in old and
                         running(w, program)], "workers of the new program")
    assert plain.failed == [] and secure.failed == []
    lib.wait_until(lambda: len(keyed.workers(s)) == 2, "two workers")
    lib.wait_until(lambda: len(keyed.key_processes(s)) == 1,
                   "old key processes to go")


def test_nothing_is_left(service, backend, program, port):
    """As many descriptors as before, no processes but the workers, and the
    generation counts on."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program)
    ops.wait_ready(s, 2)
    before = sorted(lib.descriptors(s.pid).values())
    counted = [len(before)]
    for generation in range(2, 6):
        replace(program)
        upgrade(s)
        ops.wait_ready(s, 2)
        s.wait_workers(2)
        lib.wait_until(lambda: len(lib.children(s.pid)) == 2,
                       "the stand-in to go")
        assert {w.generation for w in ops.workers(s)} == {generation}
        counted.append(len(lib.descriptors(s.pid)))
    assert max(counted) == counted[0], (before, lib.descriptors(s.pid))


def test_touched(service, backend, program, port):
    """The same file with another time is another program; the same file is
    not."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program)
    ops.wait_ready(s, 2)
    workers = s.wait_workers(2)
    s.reload()
    assert s.grep("upgrade:") == [] and s.workers() == workers
    os.utime(program, (1, 1))
    upgrade(s)


def test_no_program(service, backend, program, port):
    """Nothing that could be executed: the one that runs reads the file."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program)
    ops.wait_ready(s, 2)
    workers = s.wait_workers(2)
    replace(program)
    program.chmod(0o644)
    s.reload()
    program.unlink()
    s.reload()
    program.mkdir()
    s.reload()
    assert s.grep("upgrade:") == [] and s.workers() == workers
    # a worker that is needed meanwhile is of the program that runs
    os.kill(workers[0], signal.SIGKILL)
    fresh = lib.wait_until(
        lambda: set(ops.wait_ready(s, 2)) - set(workers), "a new worker")
    assert running(fresh.pop(), f"/proc/{s.pid}/exe")
    lib.echo_once(port)
    program.rmdir()
    shutil.copy2(lib.TCPRELAY, program)
    upgrade(s)


@pytest.mark.parametrize("how", ["relative", "link", "path"])
def test_how_it_was_started(service, backend, program, port, how):
    """By a path from the directory of the start, by a link that is moved, or
    found in PATH."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program, start=False)
    if how == "relative":
        s.argv0 = os.path.relpath(program, s.directory)
    elif how == "path":
        s.argv0 = "tcprelay"
        s.env["PATH"] = f"{program.parent}:{s.env.get('PATH', '')}"
    else:
        link = program.parent.with_name("current") / "tcprelay"
        link.parent.mkdir()
        link.symlink_to(program)
        s.program = s.argv0 = link
    s.start()
    s.wait_workers(2)
    if how == "link":
        other = program.with_name("other")
        shutil.copy2(lib.TCPRELAY, other)
        link.with_name("newer").symlink_to(other)
        os.rename(link.with_name("newer"), link)
        upgrade(s)
        assert running(s.pid, other)
        return
    replace(program)
    upgrade(s)
    assert running(s.pid, program)


def test_configuration_of_the_new_one(service, backend, program, port,
                                      tmp_path):
    """Listeners come and go as in a reload, those that stay keep what is
    queued; counters go on, a UNIX socket keeps its file, and the new pid
    file replaces the old one."""
    echo, other = backend(lib.Echo), backend(lib.Named, "other")
    second, third = lib.free_port(), lib.free_port()
    path, pidfile = tmp_path / "sock", tmp_path / "pid"
    text = ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}", listen=f"""
	listen = {{ port = {port} }}
	listen = {{ port = {second} }}
	listen = {{ path = "{path}" }}""")
    s = service(text, 3, program=program)
    s.wait_workers(2)
    for _ in range(5):
        lib.echo_once(port)
    file = path.stat()
    with ops.Stream(second) as held:
        replace(program)
        s.write(ops.conf(port, other.remote, broker=f"pidfile = {pidfile}2",
                         listen=f"""
	listen = {{ path = "{path}" mode = 0600 }}
	listen = {{ port = {third} }}
	listen = {{ port = {port} }}"""))
        upgrade(s, expect="reload: done, 2 kept, 1 added, 1 removed")
        held.goes_on()
        assert lib.ask_name(port) == lib.ask_name(third)
        lib.wait_until(lambda: ops.refused(second), "the port to be closed")
    assert path.stat().st_ino == file.st_ino
    assert path.stat().st_mode & 0o777 == 0o600
    assert pid_in(tmp_path / "pid2") == s.pid and not pidfile.exists()
    s.stop()
    assert not path.exists() and not (tmp_path / "pid2").exists()


def test_environment(service, program, probe, port, tmp_path):
    """It begins again with that of the first start: what the former file has
    set is gone."""
    shutil.copy2(lib.SPAWND, program)
    worker = tmp_path / "worker"
    worker.write_text(f"#!/bin/sh\nenv >{tmp_path}/env\nexec {probe} \"$@\"\n")
    worker.chmod(0o755)
    text = f"""
id = spawnd {{
	setenv OLD = 1
	listen = {{ port = {port} }}
	spawn = {{ exec = "{worker}" id = x instances min = 1 }}
}}
id = x {{ }}
"""
    s = service(text, program=program, env={"FIRST": "1"})
    s.wait_workers(1)
    ops.wait_ready(s, 1)
    first = (tmp_path / "env").read_text().splitlines()
    assert "OLD=1" in first and "FIRST=1" in first
    replace(program, lib.SPAWND)
    s.write(text.replace("OLD", "NEW"))
    upgrade(s)
    second = (tmp_path / "env").read_text().splitlines()

    def others(env):
        return sorted(x for x in env if not x.startswith("SPAWND_WORKER="))

    assert others(second) == others(x.replace("OLD=", "NEW=") for x in first)


def test_foreign_workers(service, program, probe, port):
    """A broker with workers of somebody else: they end when they are idle,
    and their sessions go on."""
    shutil.copy2(lib.SPAWND, program)
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn = {{ exec = "{probe}" id = x instances min = 2 instances max = 2 }}
}}
id = x {{ }}
""", program=program)
    old = s.wait_workers(2)
    held = [lib.connect(port) for _ in range(4)]
    served = {int(ops.told(h)["pid"]) for h in held}
    assert served <= set(old)
    for _ in range(2):
        replace(program, lib.SPAWND)
        upgrade(s)
        with lib.connect(port) as new:
            assert int(ops.told(new)["pid"]) not in old
        for h in held:
            assert lib.roundtrip(h, b"goes on\n") == b"goes on\n"
    for h in held:
        h.close()
    lib.wait_until(lambda: not set(s.workers()) & set(old), "old workers")
    s.wait_workers(2)


# Goes before the program and makes what was left to it another version's.
FORGER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	const char *text = getenv("SPAWND_UPGRADE");
	static char data[1 << 20];
	char value[16];
	ssize_t n;
	int fd;

	(void)argc;
	if (text == NULL)
		execv(REAL, argv);
	n = pread(atoi(text), data, sizeof(data), 0);
	if (n < AT + 4)
		return 1;
	*(uint32_t *)(data + AT) += 1;
	fd = memfd_create("upgrade", 0);
	if (write(fd, data, n) != n)
		return 1;
	close(atoi(text));
	snprintf(value, sizeof(value), "%d", fd);
	setenv("SPAWND_UPGRADE", value, 1);
	execv(REAL, argv);
	return 1;
}
"""


@pytest.mark.parametrize("what", ["channel", "board", "state"])
def test_other_version(service, backend, program, port, tmp_path, what):
    """Workers of another version of the channel or the board are told by
    SIGTERM, once, and serve their sessions to the end. The state of another
    version cannot be read: the former program goes on."""
    echo = backend()
    pidfile = tmp_path / "pid"
    source = tmp_path / "forger.c"
    source.write_text(FORGER)
    at = {"state": 8, "channel": 24 + 16 + 28, "board": 24 + 16 + 32}[what]
    second = tmp_path / "second"
    shutil.copy2(lib.TCPRELAY, second)
    # the name of the program that runs is that of its file then
    steps = [(program, compile_to(tmp_path / "forger1", source, f"-DAT={at}",
                                  f'-DREAL="{second}"')),
             (second, compile_to(tmp_path / "forger2", source, f"-DAT={at}",
                                 f'-DREAL="{lib.TCPRELAY}"'))]
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program, clean=what != "state")
    old = ops.wait_ready(s, 2)
    with ops.Stream(port) as held, ops.Visitors(port, 2) as v:
        v.more()
        if what == "state":
            replace(*steps[0])
            s.send_signal(signal.SIGHUP)
            was = Old(s, pidfile)
            assert s.grep("another version of the state")
            v.more()
            held.goes_on()
            v.stop()
            held.close()
            was.stop()
            return
        for step in steps:
            since = s.mark()
            replace(*step)
            s.reload()
            s.wait_for("of another version, counters start again",
                       since=since)
            v.more()
            held.goes_on()
            assert any(lib.alive(w) for w in old)
    assert v.failed == []
    lib.wait_until(lambda: not [w for w in old if lib.alive(w)],
                   "old workers to end")
    s.wait_workers(2)


# ---- what is asked for meanwhile

SLOW = r"""
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	/* to be checked it does not wait */
	while (argc > 1 && strcmp(argv[1], "-P") != 0 &&
	    access(WAIT, F_OK) == 0)
		usleep(20000);
	execv(REAL, argv);
	return 1;
}
"""


@pytest.fixture
def slow(service, program, probe, port, tmp_path):
    """slow(): a broker whose workers start only while there is no file
    `wait`."""
    def make():
        wait, source = tmp_path / "wait", tmp_path / "slow.c"
        source.write_text(SLOW)
        compile_to(tmp_path / "slow", source, f'-DREAL="{probe}"',
                   f'-DWAIT="{wait}"')
        shutil.copy2(lib.SPAWND, program)
        s = service(f"""
id = spawnd {{
	pidfile = {tmp_path}/pid
	listen = {{ port = {port} }}
	spawn = {{ exec = "{tmp_path}/slow" id = x instances min = 1 instances max = 2 }}
}}
id = x {{ }}
""", program=program, clean=False)
        old, = ops.wait_ready(s, 1)
        wait.touch()
        replace(program, lib.SPAWND)
        s.send_signal(signal.SIGHUP)
        s.wait_for("starting, version .* in place of another")
        s.wait_for("reload: started", count=2)
        return s, wait, old

    return make


def test_stopped_meanwhile(slow, port):
    """SIGTERM to a program that has not proven itself ends the service."""
    s, wait, _ = slow()
    held = socket.create_connection(("127.0.0.1", port))
    s.send_signal(signal.SIGTERM)
    assert s.wait() == 0
    wait.unlink()
    # it was queued, and is served by who is there
    assert "pid" in ops.told(held)
    held.close()
    lib.wait_until(lambda: not lib.session_members(s.pid), "its end")


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP])
def test_standin_is_asked(slow, port, signo):
    """Who takes the stand-in for the service, as a service manager does, is
    heard by the new program."""
    s, wait, _ = slow()
    standin = lib.wait_until(
        lambda: [p for p in lib.children(s.pid)
                 if "standing in" in keyed.title(p)], "the stand-in")[0]
    os.kill(standin, signo)
    if signo == signal.SIGTERM:
        assert s.wait() == 0
        wait.unlink()
        lib.wait_until(lambda: not lib.session_members(s.pid), "its end")
    else:
        lib.wait_until(lambda: pending(standin, signo), "the signal")
        wait.unlink()
        s.wait_for("reload: done", count=2)
        assert s.stop() == 0


def test_asked_again_meanwhile(slow, port):
    """Connects wait, a SIGHUP is remembered, once; a worker that dies
    meanwhile is not missed."""
    s, wait, old = slow()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    for _ in range(3):
        s.send_signal(signal.SIGHUP)
    os.kill(old, signal.SIGKILL)
    wait.unlink()
    s.wait_for("reload: done", count=2)
    assert len(s.grep("reload: started")) == 3
    for h in held:
        assert "pid" in ops.told(h)
        h.close()
    s.wait_for(f"worker {old} killed by signal 9")
    assert s.stop() == 0


# ---- programs that are no good

@pytest.mark.tls
def test_lent_sockets_and_keys_stay(service, backend, program, stub, port,
                                    tmp_path, certs):
    """Workers that accept for themselves go on while the new program fails;
    afterwards whatever of the old one dies is replaced, and more upgrades
    may follow."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(
        port, echo.remote, broker=f"pidfile = {pidfile}",
        listen=f"listen = {{ port = {port} tls = yes accept = workers }}",
        relay=f"""
	tls cert-file = {certs.ecdsa.cert}
	tls key-file = {certs.ecdsa.key}
	key process = yes"""), program=program, clean=False)
    lib.wait_until(lambda: len(keyed.workers(s)) == 2, "two workers")
    context = lib.client_context(certs.ca)
    key = keyed.wait_key_process(s)
    with keyed.Visitors(port, context, 2) as v:
        v.more()
        replace(program, stub("abort()"))
        s.send_signal(signal.SIGHUP)
        old = Old(s, pidfile)
        v.more()
        os.kill(key, signal.SIGKILL)
        keyed.wait_key_process(s, {key})
        v.more()
        since = s.mark()
        replace(program)
        old.send_signal(signal.SIGHUP)
        s.wait_for("reload: done", since=since)
        assert running(old.pid, program)
        v.more()
    assert v.failed == []
    old.stop()


@pytest.mark.parametrize("accept", ["master", "workers"])
def test_removed_listener(service, backend, program, port, accept):
    """What is queued on a listener that the new program does not have is
    served; workers give it back before it is closed."""
    echo = backend()
    gone = lib.free_port()
    s = service(ops.conf(port, echo.remote, listen=f"""
	listen = {{ port = {gone} accept = {accept} }}
	listen = {{ port = {port} accept = {accept} }}"""), 2, program=program)
    ops.wait_ready(s, 2)
    answers = []

    def visit_until_refused():
        """Whoever is accepted is served."""
        while True:
            try:
                c = socket.create_connection(("127.0.0.1", gone))
            except ConnectionRefusedError:
                return
            with c:
                try:
                    c.sendall(b"x")
                    answers.append(c.recv(1))
                except OSError as e:
                    answers.append(e)

    t = threading.Thread(target=visit_until_refused, daemon=True)
    t.start()
    lib.wait_until(lambda: len(answers) > 20, "visitors")
    replace(program)
    s.write(ops.conf(port, echo.remote,
                     listen=f"listen = {{ port = {port} accept = {accept} }}"))
    upgrade(s, expect="done, 1 kept, 0 added, 1 removed")
    t.join(lib.TIMEOUT)
    assert not t.is_alive()
    # the last one may have come when the socket was being closed
    assert set(answers[:-1]) == {b"x"}
    lib.echo_once(port)


@pytest.mark.parametrize("does,says", [
    ("(void)!write(2, \"no\\nway\\n\", 7); _exit(78)",
     "status 78"),
    ("abort()", r"killed by signal 6 \(SIGABRT\)"),
    ("execl(\"/nonexistent\", \"x\", (char *)0)", "status 1"),
])
def test_refuses_the_configuration(service, backend, program, stub, port,
                                   does, says):
    """Nothing happens, and the log has what it said."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program)
    workers = s.wait_workers(2)
    with ops.Visitors(port) as v, ops.Stream(port):
        replace(program, stub(does, checks=2))
        s.reload(expect=rf"reload: refused, \S+ -P: {says}")
        v.more()
        if "78" in does:
            assert s.grep("upgrade: no$") and s.grep("upgrade: way$")
        # and the same again
        s.reload(expect="reload: refused")
    assert v.failed == []
    assert s.workers() == workers
    replace(program)
    upgrade(s)


def test_refuses_a_bad_configuration(service, backend, program, port):
    """The new program says what is wrong, and where."""
    echo = backend()
    text = ops.conf(port, echo.remote)
    s = service(text, program=program)
    workers = s.wait_workers(2)
    replace(program)
    s.reload(text.replace("listen", "lisssten"), expect="reload: refused")
    assert s.grep(r"upgrade: .*service.cfg:\d+: Expected")
    assert s.workers() == workers
    lib.echo_once(port)
    s.write(text)
    upgrade(s)


def test_cannot_bind(service, backend, program, port, tmp_path):
    """-P binds nothing, so that is found out too late to refuse: the former
    program goes on, with the former configuration."""
    echo = backend()
    pidfile = tmp_path / "pid"
    broker = f"pidfile = {pidfile}"
    text = ops.conf(port, echo.remote, broker=broker)
    s = service(text, program=program, clean=False)
    s.wait_workers(2)
    path = tmp_path / "sock"
    with socket.socket() as taken, ops.Visitors(port) as v, \
            ops.Stream(port) as held:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        s.write(ops.conf(port, echo.remote, broker=broker, listen=f"""
	listen = {{ path = "{path}" }}
	listen = {{ port = {port} }}
	listen = {{ port = {taken.getsockname()[1]} }}"""))
        replace(program)
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: failed, cannot bind")
        old = Old(s, pidfile)
        v.more()
        held.goes_on()
        # the next one is good
        s.write(text)
        since = s.mark()
        old.send_signal(signal.SIGHUP)
        s.wait_for("reload: done", since=since)
        s.wait_for(DONE, since=since)
        assert running(old.pid, program)
        v.more()
        held.goes_on()
    assert v.failed == []
    assert pid_in(pidfile) == old.pid
    old.stop()


@pytest.mark.slow
@pytest.mark.parametrize("does", [
    "for (;;) pause()",
    "for (i = 3; i < 1024; i++) close(i); for (;;) pause()"])
def test_never_ready(service, backend, program, stub, port, tmp_path, does):
    """It is killed after 30 s; connects wait until then. What was asked for
    meanwhile, of whom there was to ask, is done."""
    echo = backend()
    pidfile = tmp_path / "pid"
    s = service(ops.conf(port, echo.remote, broker=f"pidfile = {pidfile}"),
                program=program, clean=False)
    s.wait_workers(2)
    with ops.Stream(port) as held:
        replace(program, stub(does))
        s.send_signal(signal.SIGHUP)
        lib.wait_until(lambda: running(s.pid, program), "the new program")
        with lib.connect(port, timeout=60) as waiting:
            waiting.sendall(b"patience")
            held.goes_on()
            s.wait_for("not ready after 30 s, killed", timeout=60)
            assert lib.read_exact(waiting, 8) == b"patience"
        old = Old(s, pidfile)
        assert s.wait() == -signal.SIGKILL
        held.goes_on()
        since = s.mark()
        program.unlink()
        old.send_signal(signal.SIGHUP)		# the one that runs reloads
        s.wait_for("reload: done", since=since)
        held.goes_on()
    lib.echo_once(port)
    old.stop()


@pytest.mark.slow
def test_check_that_never_ends(service, backend, program, stub, port):
    """30 s, then it is killed, with whatever it has started."""
    echo = backend()
    s = service(ops.conf(port, echo.remote), program=program)
    workers = s.wait_workers(2)
    replace(program, stub("if (fork() == 0) setsid() == -1 ? pause() : "
                          "_exit(0); for (;;) pause()", checks=2))
    with ops.Visitors(port, 1) as v:
        s.reload(expect="refused, .*: no answer within 30 s", timeout=60)
    assert v.failed == []
    lib.wait_until(lambda: sorted(lib.children(s.pid)) == sorted(workers),
                   "the check to go")


# ---- where it is not possible

def test_single_process(service, backend, program, port):
    """A restart is needed, which is said; the file is read again."""
    echo, other = backend(lib.Named, "one"), backend(lib.Named, "two")
    s = service(ops.conf(port, echo.remote,
                         broker="single process = yes"), program=program)
    replace(program)
    s.reload(ops.conf(port, other.remote, broker="single process = yes"))
    s.wait_for("has changed: restart needed")
    assert lib.ask_name(port) == lib.ask_name(port)
    assert not running(s.pid, program)


@pytest.mark.parametrize("value", ["3", "-1", "x", "", "99999999999",
                                   "1000000"])
def test_nothing_was_left(service, backend, port, value):
    """A start with the variable of an upgrade and without its descriptor."""
    s = service(ops.conf(port, "address = 127.0.0.1 port = 9"), start=False,
                clean=False, env={"SPAWND_UPGRADE": value})
    s.launch()
    assert s.wait() == 70
    s.wait_for("upgrade: SPAWND_UPGRADE: ")
