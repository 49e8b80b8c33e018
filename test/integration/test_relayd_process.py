"""relayd's processes: who is there, who comes back when he dies, what a reload
and an upgrade leave alone, and how all of it ends (relayd-runtime 1)."""

import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

import lib
import rd
import test_upgrade as up

pytestmark = rd.needed

INTERVAL = 10			# s between checks, the default
LOST = r"lost child: {} pid {} terminated; signal {}"


def conf(port, target, prefork=2, more=""):
    return f"""prefork {prefork}
table <web> {{ 127.0.0.1 }}
relay "www" {{
	listen on 127.0.0.1 port {port}
	forward to <web> port {target} check tcp
}}
{more}
"""


@pytest.fixture
def served(relayd, backend, port):
    """served(prefork, **arguments of relayd): (service, port, echo)"""
    def make(prefork=2, **kw):
        echo = backend(lib.Echo)
        s = relayd(conf(port, echo.port, prefork), relays=prefork, **kw)
        s.wait_host("127.0.0.1", "up")
        wait_named(s, "ca", prefork)	# nobody else waits for them
        return s, port, echo

    return make


def wait_named(s, title, n, other=()):
    """Until there are n with that title, none of them in other."""
    def there():
        found = s.named(title)
        return len(found) == n and not set(found) & set(other) and found
    return lib.wait_until(there, f"{n} {title}, none of {other}")


def family(s):
    return {t: sorted(s.named(t)) for t in ("hce", "pfe", "ca", "relay")}


def test_titles(served):
    s, port, _ = served(3)
    assert [len(x) for x in family(s).values()] == [1, 1, 3, 3]
    assert lib.title(s.pid) == "relayd: parent"
    for pids in family(s).values():
        for pid in pids:
            assert os.getsid(pid) == pid
            with open(f"/proc/{pid}/status") as f:
                status = f.read()
            assert not re.search(r"^[UG]id:.*\t0\b", status, re.M), status
    lib.echo_once(port)


def test_started_by_hand(tmp_path):
    for title in ("hce", "relay", "pfe", "ca", "nobody"):
        r = lib.run(rd.RELAYD, "-P", title, "-I", "0", directory=tmp_path)
        assert r.returncode == 1, r
        assert "started by the program itself" in r.stderr, r


@pytest.mark.parametrize("title", ["hce", "pfe", "ca"])
@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGABRT])
def test_role_dies(served, title, signo):
    """It is named, another one comes, and no session notices."""
    s, port, _ = served(clean=False)
    before = family(s)
    with lib.connect(port) as c:
        lib.roundtrip(c, b"before")
        since = s.mark()
        victim = s.named(title)[0]
        os.kill(victim, signo)
        s.wait_for(LOST.format(title, victim, int(signo)), since=since)
        wait_named(s, title, len(before[title]), [victim])
        lib.roundtrip(c, b"after")
    lib.echo_once(port)
    s.wait_host("127.0.0.1", "up")
    after = family(s)
    for other in before:
        if other != title:
            assert after[other] == before[other]
    since = s.mark()
    assert s.stop() == 0
    assert not s.grep("lost child", since), s.log()
    assert not s.reports(), s.reports()


def test_role_ends(served):
    """Told to end by somebody else it is not lost, and comes back."""
    s, port, _ = served()
    victim = s.one("hce")
    os.kill(victim, signal.SIGTERM)
    s.wait_for(f"hce exiting, pid {victim}")
    wait_named(s, "hce", 1, [victim])
    victim = s.named("relay")[0]
    os.kill(victim, signal.SIGTERM)
    s.wait_for(f"relay exiting, pid {victim}")
    wait_named(s, "relay", 2, [victim])
    lib.echo_once(port)


def test_role_hangs(served):
    """One that does not answer is ended, and another one comes."""
    s, port, _ = served(clean=False)
    victim = s.one("pfe")
    os.kill(victim, signal.SIGSTOP)
    s.wait_for(f"pfe {victim} killed, no sign of life", timeout=60)
    s.wait_for(f"lost child: pfe pid {victim}", timeout=60)
    wait_named(s, "pfe", 1, [victim])
    lib.echo_once(port)
    assert s.stop() == 0


def test_throttled(served):
    """One that dies again and again comes back more and more slowly."""
    s, _, _ = served(clean=False)
    seen = [s.one("hce")]
    for _ in range(5):
        os.kill(seen[-1], signal.SIGKILL)
        seen += wait_named(s, "hce", 1, seen)
    assert len(set(seen)) == 6
    assert len(s.grep("lost child: hce")) == 5
    assert s.stop() == 0


def test_worker_dies(served):
    """Only its own sessions go with it."""
    s, port, _ = served(clean=False)
    clients = [lib.connect(port) for _ in range(16)]
    for c in clients:
        lib.roundtrip(c, b"x")
    # whoever has most of them: they need not be even
    victim = max(s.named("relay"), key=lambda p: len(lib.descriptors(p)))
    os.kill(victim, signal.SIGKILL)
    s.wait_for(LOST.format("relay", victim, 9))
    wait_named(s, "relay", 2, [victim])
    lib.echo_once(port)
    left = 0
    for c in clients:
        try:
            lib.roundtrip(c, b"y")
            left += 1
        except (OSError, AssertionError, EOFError):
            pass
        c.close()
    assert left < 16
    assert s.stop() == 0


def test_ignored_signals(served):
    s, port, _ = served()
    before = family(s)
    os.kill(s.pid, signal.SIGUSR1)
    for pids in before.values():
        for pid in pids:
            for signo in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
                os.kill(pid, signo)
    lib.echo_once(port)
    s.reload()
    assert family(s) == before


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_end(served, signo):
    """Sessions are cut without a word of them, all children end, and the
    parent has the last word."""
    s, port, _ = served()
    c = lib.connect(port)
    lib.roundtrip(c, b"x")
    pid, children = s.pid, family(s)
    since = s.mark()
    assert s.stop(signo) == 0
    assert c.recv(1) == b"" if not is_reset(c) else True
    c.close()
    lines = s.log().splitlines()
    for title, pids in children.items():
        for child in pids:
            assert s.grep(f"{title} exiting, pid {child}"), s.log()
    assert lines[-1].endswith(f"parent terminating, pid {pid}"), s.log()
    assert not rd.session_lines(s, since), s.log()
    assert not s.grep("lost child"), s.log()


def test_end_of_who_does_not_end(served):
    """A child that cannot see the end is ended."""
    s, port, _ = served()
    for title in ("hce", "relay"):
        os.kill(s.named(title)[0], signal.SIGSTOP)
    assert s.stop() == 0
    assert not s.grep("lost child")


def is_reset(sock):
    try:
        sock.settimeout(lib.TIMEOUT)
        sock.recv(1, socket.MSG_PEEK)
        return False
    except ConnectionResetError:
        return True


def test_parent_dies(served):
    """Without it there is no service."""
    s, port, _ = served(clean=False)
    children = sum(family(s).values(), [])
    os.kill(s.pid, signal.SIGKILL)
    lib.wait_until(lambda: not any(map(lib.alive, children)),
                   "the end of the children")
    assert not s.reports(), s.reports()


# ---- reload

def test_prefork(served):
    """Missing workers come, surplus ones go when their last session has; the
    others stay what they are."""
    s, port, echo = served(2)
    before = family(s)
    s.reload(conf(port, echo.port, 4))
    lib.wait_until(lambda: len(s.named("relay")) == 4 and
                   len(s.named("ca")) == 4, "four of them")
    assert set(before["relay"]) <= set(s.named("relay"))
    assert set(before["ca"]) <= set(s.named("ca"))
    clients = [lib.connect(port) for _ in range(24)]
    for c in clients:
        lib.roundtrip(c, b"x")
    s.reload(conf(port, echo.port, 1))
    lib.wait_until(lambda: len(s.named("ca")) == 1, "one ca")
    for c in clients:		# wherever they are
        lib.roundtrip(c, b"y")
    for c in clients:
        c.close()
    wait_named(s, "relay", 1)
    lib.echo_once(port)
    assert s.one("hce") == before["hce"][0]
    assert s.one("pfe") == before["pfe"][0]


def test_reload_keeps(served, backend):
    """Everybody stays; sessions go on with the configuration they have."""
    s, port, echo = served()
    before = family(s)
    other = backend(lib.Named, "other")
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        m = s.reload(conf(port, other.port))
        assert m.group(0).endswith("reload: done, 1 kept, 0 added, 0 removed")
        lib.roundtrip(c, b"y")
        s.wait_host("127.0.0.1", "up")
        assert lib.ask_name(port) == "other"
    assert family(s) == before
    assert s.grep("parent_sig_handler: reload requested with SIGHUP")
    # and one that is wrong changes nothing
    since = s.mark()
    s.reload("relay nonsense {", expect="failed to load")
    assert s.grep(r"ctl\.sock|relayd\S*:\d+: ", since), s.log()
    assert lib.ask_name(port) == "other"
    assert family(s) == before
    m = s.reload(conf(port, other.port) + f"""
relay "more" {{
	listen on 127.0.0.1 port {lib.free_port()}
	forward to <web> port {other.port}
}}
""")
    assert "1 kept, 1 added, 0 removed" in m.group(0)


def test_another_board(relayd, backend, port):
    """More hosts than there is room for: what is known of the others, and
    ordered, is known there, too."""
    echo = backend(lib.Echo)
    first = conf(port, echo.port, more=f"""
table <spare> {{ 127.0.0.3 }}
relay "spare" {{
	listen on 127.0.0.1 port {lib.free_port()}
	forward to <spare> port {echo.port} check tcp
}}
""")
    more = "".join(f"""
table <t{n}> {{ {" ".join(f"127.2.{n}.{i + 1}" for i in range(32))} }}
relay "r{n}" {{
	listen on 127.0.0.1 port {lib.free_port()}
	forward to <t{n}> port 9
}}
""" for n in range(70))
    s = relayd(first, relays=4)
    s.wait_host("127.0.0.1", "up")
    s.wait_host("127.0.0.3", "down")
    s.ctl("host", "disable", "2")
    s.wait_host("127.0.0.3", "disabled")
    before = s.named("relay")
    since = s.mark()
    s.reload(first + more)
    s.wait_host("127.0.0.3", "disabled")
    s.wait_host("127.0.0.1", "up")
    lib.echo_once(port)		# who chooses sees it
    wait_named(s, "relay", 2, before)
    assert not s.grep("state unknown -> up", since), s.log()
    echo.close()
    s.wait_host("127.0.0.1", "down", timeout=60)
    s.reload(first)
    s.wait_host("127.0.0.3", "disabled")
    s.wait_host("127.0.0.1", "down")


class Crowd(threading.Thread):
    """Connects all the time; counts what did not work."""

    def __init__(self, port, context=None):
        super().__init__(daemon=True)
        self.port, self.visits, self.failed = port, 0, []
        self.context = context
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                with lib.connect(self.port, context=self.context,
                                 name="localhost") as c:
                    assert lib.roundtrip(c, b"hello") == b"hello"
                self.visits += 1
            except (OSError, AssertionError, EOFError) as e:
                self.failed.append(repr(e))
            time.sleep(0.002)

    def end(self):
        self.over.set()
        self.join()
        assert not self.failed, self.failed[:10]
        assert self.visits > 0


@pytest.mark.slow
def test_hundred_reloads(served):
    """Under load, with prefork going up and down; none of it is noticed, by
    clients or by the hosts that are checked."""
    s, port, echo = served(2)
    crowds = [Crowd(port) for _ in range(2)]
    pids = (s.one("hce"), s.one("pfe"))

    def held():
        return [len(lib.descriptors(p)) for p in
                (s.pid, *pids, *sorted(s.named("ca")))]

    def checks():
        return max(h["checks"] for h in s.show("hosts")
                   if h["type"] == "host")

    before, checked, began = held(), checks(), time.monotonic()
    for i in range(100):
        s.reload(conf(port, echo.port, 2 + i % 3 % 2))
    # in their rounds, as if nothing had happened
    rounds = (time.monotonic() - began) / INTERVAL + 1
    assert checks() - checked <= rounds + 1, (checks(), checked, rounds)
    for c in crowds:
        c.end()
    assert (s.one("hce"), s.one("pfe")) == pids
    assert not s.grep("lost child")
    wait_named(s, "relay", 2)
    lib.wait_until(lambda: held() == before, f"{before} descriptors")


def test_signals_during_reload(served):
    """Several come to one more."""
    s, port, _ = served()
    since = s.mark()
    for _ in range(5):
        s.send_signal(signal.SIGHUP)
    s.wait_for("reload: done", since=since)
    lib.wait_until(lambda: s.ctl("show", "summary"), "an answer")
    s.reload()
    assert 2 <= len(s.grep("reload: done", since)) <= 6
    lib.echo_once(port)


# ---- upgrade

@pytest.fixture
def program(tmp_path):
    """A copy of relayd that may be replaced."""
    path = tmp_path / "bin" / "relayd"
    path.parent.mkdir()
    shutil.copy2(rd.RELAYD, path)
    return path


def test_upgrade(relayd, backend, port, program):
    """Another program in the same process, with roles of its own; sessions and
    what is known of hosts go on."""
    echo = backend(lib.Echo)
    s = relayd(conf(port, echo.port), relays=2, program=program)
    s.wait_host("127.0.0.1", "up")
    s.ctl("host", "disable", "1")
    before = family(s)
    pid = s.pid
    s.ctl("host", "enable", "1")
    s.wait_host("127.0.0.1", "up")
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        crowd = Crowd(port)
        up.replace(program, rd.RELAYD)
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for(r"upgrade: \S+ to \S+", since=since)
        s.wait_for("reload: done", since=since)
        assert s.pid == pid and up.running(pid, program)
        for title in ("hce", "pfe", "ca"):
            wait_named(s, title, len(before[title]), before[title])
        lib.roundtrip(c, b"y")
        crowd.end()
    wait_named(s, "relay", 2, before["relay"])
    s.wait_host("127.0.0.1", "up")
    lib.echo_once(port)
    assert not s.grep("lost child"), s.log()


STUB = r"""
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strcmp(argv[i], "-n") == 0)
			execv(REAL, argv);
	return 1;
}
"""


def test_upgrade_fails(relayd, backend, port, program, tmp_path):
    """A program that checks the file and then does not serve: the one before
    goes on in another process, with the processes it has."""
    echo = backend(lib.Echo)
    s = relayd(conf(port, echo.port), relays=2, program=program, clean=False)
    s.wait_host("127.0.0.1", "up")
    source = tmp_path / "stub.c"
    source.write_text(STUB)
    stub = up.compile_to(tmp_path / "stub", source, f'-DREAL="{rd.RELAYD}"')
    before = family(s)
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        up.replace(program, stub)
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        m = s.wait_for(up.GOES_ON, since=since)
        pid = int(m.group(1))
        try:
            lib.roundtrip(c, b"y")
            lib.echo_once(port)
            s.wait_host("127.0.0.1", "up")
            for pids in before.values():
                assert all(map(lib.alive, pids)), s.log()
            # and he still replaces who dies
            victim = before["hce"][0]
            os.kill(victim, signal.SIGKILL)
            lib.wait_until(lambda: [p for p in lib.children(pid) if
                                    lib.alive(p) and p != victim and
                                    lib.title(p) == "relayd: hce"],
                           "another hce")
        finally:
            os.kill(pid, signal.SIGTERM)
        lib.wait_until(lambda: not lib.alive(pid), "the end")
    lib.wait_until(lambda: not any(map(lib.alive, sum(before.values(), []))),
                   "the end of the children")


def test_upgrade_refused(relayd, backend, port, program, tmp_path):
    """A program that does not like the file replaces nobody."""
    echo = backend(lib.Echo)
    s = relayd(conf(port, echo.port), relays=2, program=program)
    before = family(s)
    wrong = tmp_path / "wrong"
    wrong.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    up.replace(program, wrong)
    s.reload(expect="failed to load")
    assert s.grep("upgrade: no") and family(s) == before
    up.replace(program, rd.RELAYD)
    lib.echo_once(port)


# ---- keys

def tls_conf(port, target, pair):
    return f"""prefork 2
protocol "p" {{
	tls keypair "one" cert "{pair.cert}" key "{pair.key}"
}}
relay "www" {{
	listen on 127.0.0.1 port {port} tls
	protocol "p"
	forward to 127.0.0.1 port {target}
}}
"""


@pytest.mark.tls
def test_ca_dies(relayd, backend, certs, port):
    """Handshakes wait for the next one, and none fails."""
    echo = backend(lib.Echo)
    s = relayd(tls_conf(port, echo.port, certs.rsa), relays=2, clean=False)
    context = lib.client_context(certs.ca)

    def visit():
        with lib.connect(port, context=context, name="localhost") as c:
            lib.roundtrip(c, b"hello")

    with lib.connect(port, context=context, name="localhost") as held:
        lib.roundtrip(held, b"x")
        for i in range(4):
            victim = s.named("ca")[i % 2]
            os.kill(victim, signal.SIGKILL)
            for _ in range(4):
                visit()
            wait_named(s, "ca", 2, [victim])
        lib.roundtrip(held, b"y")
    since = s.mark()
    assert s.stop() == 0
    assert not s.grep("lost child", since)


@pytest.mark.tls
@pytest.mark.slow
def test_keys_change(relayd, backend, certs, port):
    """Reloads with another certificate and other numbers of processes, while
    clients come: each handshake finds the key that it needs."""
    echo = backend(lib.Echo)
    pairs = [certs.rsa, certs.ecdsa]
    s = relayd(tls_conf(port, echo.port, pairs[0]), relays=2)
    crowds = [Crowd(port, lib.client_context()) for _ in range(2)]
    for i in range(20):
        text = tls_conf(port, echo.port, pairs[i % 2])
        s.reload(text.replace("prefork 2", f"prefork {1 + i % 3}"))
    for c in crowds:
        c.end()


@pytest.mark.tls
def test_upgrade_with_keys(relayd, backend, certs, port, program):
    """Handshakes that began with the program before find a key, too."""
    echo = backend(lib.Echo)
    s = relayd(tls_conf(port, echo.port, certs.rsa), relays=2,
               program=program)
    crowds = [Crowd(port, lib.client_context()) for _ in range(2)]
    for _ in range(3):
        before = s.named("ca")
        up.replace(program, rd.RELAYD)
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: done", since=since)
        wait_named(s, "ca", 2, before)
    for c in crowds:
        c.end()


def test_load(served, tmp_path, backend):
    """Another file for once."""
    s, port, echo = served()
    other = backend(lib.Named, "other")
    path = tmp_path / "other.conf"
    path.write_text(f'socket "{s.socket}"\n' + conf(port, other.port))
    s.ctl("load", path)
    s.wait_host("127.0.0.1", "up")
    assert lib.ask_name(port) == "other"
    path.write_text("nonsense")
    before = family(s)
    s.ctl("load", path, status=1)
    assert lib.ask_name(port) == "other" and family(s) == before
    s.reload()
    s.wait_host("127.0.0.1", "up")
    lib.echo_once(port)
