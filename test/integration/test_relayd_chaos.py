"""relayd among operators and peers of the worst kind: processes that die at
any moment, files that change while clients come, peers that never finish."""

import contextlib
import errno
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

import lib
import rd

pytestmark = rd.needed


def relay(name, port, forward, more=""):
    return (f'relay "{name}" {{\n\tlisten on 127.0.0.1 port {port}\n'
            f"\tforward to {forward}\n{more}}}\n")


class Load:
    """Clients that come one after the other as fast as they are served, each
    for one exchange; what went wrong for whom is in bad."""

    def __init__(self, *ports, clients=2, pause=0.002, **kw):
        self.done, self.bad, self.lock = 0, [], threading.Lock()
        self.pause, self.kw, self.end = pause, kw, threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True,
                                         args=(p,))
                        for p in ports for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self, port):
        while not self.end.is_set():
            began = time.monotonic()
            try:
                with lib.connect(port, **self.kw) as c:
                    lib.roundtrip(c, b"one exchange")
                with self.lock:
                    self.done += 1
            except (OSError, AssertionError) as e:
                with self.lock:
                    self.bad.append((began, time.monotonic(), port, repr(e)))
            time.sleep(self.pause)

    def more(self, n):
        """Until n more of them were served."""
        goal = self.done + n
        lib.wait_until(lambda: self.done >= goal, f"{n} more clients")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end.set()
        for t in self.threads:
            t.join(lib.TIMEOUT)


# ---- the number of workers

def test_fewer_workers(relayd, backend, port):
    """Those that are too many go at once, though clients never cease to
    come; their sessions go on as long as they last."""
    echo = backend(lib.Echo)

    def text(prefork):
        return f"prefork {prefork}\n" + relay(
            "www", port, f"127.0.0.1 port {echo.port}")

    def owners(*which):
        """Workers that have these sessions."""
        ports = {c.getsockname()[1] for c in which}
        return {x["pid"] for x in s.show("sessions")
                if x["client"]["port"] in ports}

    s = relayd(text(4), relays=4)
    with Load(port) as load, contextlib.ExitStack() as stack:
        sessions = []

        def several():
            """Who comes while one is busy is another one's."""
            for _ in range(20):
                c = stack.enter_context(socket.socket())
                c.setblocking(False)
                c.connect_ex(("127.0.0.1", port))
                sessions.append(c)
            for c in sessions[-20:]:
                c.settimeout(lib.TIMEOUT)
                lib.wait_until(lambda: c.connect_ex(("127.0.0.1", port)) in
                               (0, errno.EISCONN), "a connection")
                lib.roundtrip(c, b"1")
            return len(owners(*sessions)) > 1
        lib.wait_until(several, "sessions in several workers")
        before = owners(*sessions)
        s.reload(text(1))
        load.more(50)

        # the others have sessions only that were there before
        assert owners(*sessions) == before
        serving = set()
        for _ in range(12):
            with lib.connect(port) as c:
                lib.roundtrip(c, b"2")
                serving |= owners(c)
        assert len(serving) == 1
        for c in sessions:
            lib.roundtrip(c, b"3")
        stack.close()
        lib.wait_until(lambda: len(s.named("relay")) == 1,
                       "the end of those that are too many", 8)
        load.more(20)
    assert not load.bad


# ---- processes that die

def size(s):
    """Descriptors and processes of all that must not grow, and zombies."""
    dead = [p for p in lib.processes()
            if (lib.proc_stat(p) or "  ")[:2] == ("Z", s.pid)]
    return {"parent": len(lib.descriptors(s.pid)), "dead": dead, **{
        t: sorted(len(lib.descriptors(p)) for p in s.named(t))
        for t in ("hce", "pfe")}, **{
        t: len(s.named(t)) for t in ("ca", "relay")}}


def kill(s, title, signo):
    """One of them, until another one is in its place."""
    there = s.named(title)
    os.kill(there[0], signo)
    lib.wait_until(lambda: there[0] not in s.named(title) and
                   len(s.named(title)) == len(there), f"another {title}")


def answers(s):
    """What relayctl shows once there is somebody to answer: hosts by name,
    table names and states."""
    def asked():
        with contextlib.suppress(AssertionError, ValueError):
            return s.show("summary")
        return None
    rows = lib.wait_until(asked, "an answer", step=0.05)
    return ({x["name"]: x for x in rows if x["type"] == "host"},
            {x["name"]: x["status"] for x in rows if x["type"] == "table"})


@pytest.mark.tls
def test_nobody_notices(relayd, backend, certs, port):
    """hce, pfe and ca die in every way while clients come, with TLS and
    without, and the file is reloaded: no client is lost, what was decided and
    counted stays, and nothing is left behind."""
    echo, safe = backend(lib.Echo), lib.free_port()
    idle = backend(lib.Echo, host="127.0.0.2", port=echo.port)

    def text(n):
        return (f"interval 1\ntimeout 900\nprefork 2\n"
                f"table <web> {{ 127.0.0.1 {idle.host} }}\n"
                f'protocol p {{ tls keypair "one" cert "{certs.ecdsa.cert}"'
                f' key "{certs.ecdsa.key}" }}\n' +
                relay("www", port, f"<web> port {echo.port} check tcp",
                      f"\tsession timeout {100 + n}\n") +
                f'relay "safe" {{\n\tlisten on 127.0.0.1 port {safe} tls\n'
                f"\tprotocol p\n\tforward to <web> port {echo.port} "
                "check tcp\n}\n")

    s = relayd(text(0), relays=4, clean=False)
    s.wait_host("127.0.0.1", "up")
    s.wait_host(idle.host, "up")
    s.ctl("host", "disable", idle.host)
    checks = answers(s)[0]["127.0.0.1"]["checks"]
    context = lib.client_context(certs.ca)
    with Load(port) as plain, Load(safe, context=context, name="localhost") as tls, \
            lib.connect(port) as c, \
            lib.connect(safe, context=context, name="localhost") as t:
        before = None
        for i, signo in enumerate([signal.SIGKILL, signal.SIGABRT,
                                   signal.SIGTERM, signal.SIGKILL]):
            for title in "hce", "ca", "pfe":
                kill(s, title, signo)
            s.reload(text(i + 1))
            hosts, _ = answers(s)
            assert hosts[idle.host]["status"] == "disabled"
            assert hosts["127.0.0.1"]["status"] == "up"
            assert hosts["127.0.0.1"]["checks"] >= checks
            checks = hosts["127.0.0.1"]["checks"]
            lib.roundtrip(c, b"still there")
            lib.roundtrip(t, b"still there")
            plain.more(10)
            tls.more(10)
            if before is None:
                before = size(s)
        lib.wait_until(lambda: size(s) == before, f"{before}, {size(s)}")
        lib.wait_until(lambda: answers(s)[0]["127.0.0.1"]["checks"] > checks,
                       "checks that go on")
    assert not plain.bad and not tls.bad
    assert s.stop() == 0 and not s.reports()


def test_workers_die(relayd, backend, port):
    """Their sessions die with them, and no other ones; who comes next is
    served, and their seats can be had again."""
    echo = backend(lib.Echo)
    s = relayd("prefork 2\n" + relay("www", port,
                                     f"127.0.0.1 port {echo.port}"),
               relays=2, clean=False)
    before = None
    with contextlib.ExitStack() as stack:
        for signo in [signal.SIGKILL, signal.SIGABRT] * 2:
            mine = {}		# by port
            for _ in range(20):
                c = stack.enter_context(lib.connect(port))
                lib.roundtrip(c, b"1")
                mine[c.getsockname()[1]] = c
            owner = {x["client"]["port"]: x["pid"]
                     for x in s.show("sessions")}
            victim = s.named("relay")[0]
            kill(s, "relay", signo)
            for p, c in mine.items():
                if owner[p] == victim:
                    with contextlib.suppress(ConnectionResetError):
                        assert c.recv(1) == b""
                else:
                    lib.roundtrip(c, b"2")
                c.close()
            lib.echo_once(port)
            lib.wait_until(lambda: not s.show("sessions"), "no session")
            before = before or size(s)
        lib.wait_until(lambda: size(s) == before, f"{before}, {size(s)}")
    assert s.stop() == 0 and not s.reports()


# ---- files that change

WRONG = ["relay {\n", "table <web> { 127.0.0.1 }\n", "bogus\n", "include x\n",
         'relay "nowhere" { listen on 192.0.2.77 port 80\n'
         "forward to 127.0.0.1 port 9 }\n"]


class Files:
    """Configurations that follow each other, by chance."""

    def __init__(self, seed, port, to, others):
        self.rng = random.Random(seed)
        self.port, self.to, self.others = port, to, others
        self.prefork, self.hosts, self.relays = 2, {1, 2}, set()
        self.protocol, self.logs, self.timeout, self.retry = "p", "", 100, 0

    def change(self):
        r = self.rng
        for _ in range(r.randrange(1, 4)):
            what = r.randrange(7)
            if what == 0:
                self.prefork = r.randrange(1, 4)
            elif what == 1:
                self.hosts ^= {r.choice([2, 3, 4])}
            elif what == 2:
                self.relays ^= {r.randrange(len(self.others))}
            elif what == 3:
                self.protocol = r.choice(["p", "q", None])
            elif what == 4:
                self.logs = r.choice(["log connection\n",
                                      "log state changes\n", ""])
            elif what == 5:
                self.timeout = r.choice([50, 100])
            else:
                self.retry = r.choice([0, 1])

    def text(self):
        hosts = " ".join(f"127.0.0.{h} retry {self.retry}"
                         for h in sorted(self.hosts | {1}))
        p = self.protocol
        return (f"prefork {self.prefork}\ninterval 60\ntimeout 900\n"
                f"{self.logs}table <web> {{ {hosts} }}\n" +
                (f"protocol {p} {{ tcp nodelay }}\n" if p else "") +
                relay("www", self.port, f"<web> port {self.to} check tcp",
                      (f"\tprotocol {p}\n" if p else "") +
                      f"\tsession timeout {self.timeout}\n") +
                "".join(relay(f"r{i}", self.others[i],
                              f"127.0.0.1 port {self.to}")
                        for i in sorted(self.relays)))


def test_orders_end_with_their_host(relayd, backend, port):
    """One that was taken away and comes back is as the file says, even if
    there are still sessions that know of it."""
    echo = backend(lib.Echo)

    def text(hosts):
        return (f"prefork 1\ntable <web> {{ {hosts} }}\n" +
                relay("www", port, f"<web> port {echo.port} check tcp"))

    s = relayd(text("127.0.0.1 127.0.0.2"))
    s.wait_host("127.0.0.1", "up")
    s.ctl("host", "disable", "127.0.0.2")
    with lib.connect(port) as c:
        lib.roundtrip(c, b"1")
        s.reload(text("127.0.0.1 127.0.0.2"))
        assert answers(s)[0]["127.0.0.2"]["status"] == "disabled"
        s.reload(text("127.0.0.1"))
        s.reload(text("127.0.0.1 127.0.0.2"))
        assert answers(s)[0]["127.0.0.2"]["status"] != "disabled"
        s.wait_host("127.0.0.2", "down")
        lib.roundtrip(c, b"2")


def test_reloads(relayd, backend, port):
    """A hundred of them, some of them wrong, while clients come: none fails.
    Each is what plan said before; a host is checked when it is new, and the
    others are not checked at all."""
    echo = backend(lib.Echo)
    checked = [backend(lib.Echo, host=f"127.0.0.{i}", port=echo.port)
               for i in (2, 3, 4)]
    files = Files(4, port, echo.port, [lib.free_port() for _ in range(3)])
    s = relayd(files.text(), relays=2)
    s.wait_host("127.0.0.1", "up")
    s.wait_host("127.0.0.2", "up")
    s.ctl("host", "disable", "127.0.0.2")
    new = 1
    with Load(port) as load, lib.connect(port) as c:
        off = {"127.0.0.2"}
        for i in range(100):
            before, _ = answers(s)
            if wrong := i % 6 == 5:
                s.write(files.text() + WRONG[i // 6 % len(WRONG)])
            else:
                files.change()
                s.write(files.text())
            plan = json.loads(s.ctl("-j", "plan", s.file, status=None))
            m = s.reload(expect="failed" if wrong else "reload: done")
            after, _ = answers(s)
            both = before.keys() & after.keys()
            if not wrong:
                n = plan["listeners"]
                assert m.group(0) == ("reload: done, {kept} kept, {added} "
                                      "added, {removed} removed".format(**n))
                assert plan["hosts"] == {
                    "kept": len(both), "checked": len(after) - len(both),
                    "removed": len(before) - len(both)}
            else:
                assert before == after
            new += len(after) - len(both)
            off &= after.keys()
            for h in both:
                assert after[h]["checks"] >= before[h]["checks"]
                assert before[h]["status"] in ("unknown",
                                               after[h]["status"])
            assert {h for h in after
                    if after[h]["status"] == "disabled"} == off
            lib.roundtrip(c, b"still there")
        load.more(10)
        lib.wait_until(lambda: len(s.named("relay")) <= files.prefork + 1,
                       "those that are needed, and who serves us")
    assert not load.bad
    hosts, _ = answers(s)
    assert sum(h["checks"] for h in hosts.values()) <= new + 1


# ---- hosts that die

class Mortal(lib.Named):
    """Says its name and is done."""

    def serve(self, conn):
        conn.sendall(self.name)


@pytest.mark.slow
def test_hosts_die(relayd, backend, port):
    """Under load: as soon as it is known nobody is sent there any more, until
    then who is refused gets another one; the other table takes over, and
    gives back."""
    to = lib.free_port()
    table = {i: backend(Mortal, str(i), host=f"127.0.0.{i}", port=to)
             for i in (1, 2, 9)}
    s = relayd(f"interval 1\ntimeout 400\nlog state changes\n"
               "table <web> { 127.0.0.1 127.0.0.2 }\n"
               "table <other> { 127.0.0.9 }\n" +
               relay("www", port, f"<web> port {to} mode roundrobin check tcp",
                     f"\tforward to <other> port {to} check tcp\n"),
               relays=3)
    for h in 1, 2, 9:
        s.wait_host(f"127.0.0.{h}", "up")
    got, end = [], threading.Event()

    def ask():
        while not end.is_set():
            began = time.monotonic()
            try:
                name = lib.ask_name(port)
            except OSError as e:
                name = repr(e)
            got.append((began, name))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for t in threads:
        t.start()

    def served():
        """Where those went who came from now on."""
        now = time.monotonic()

        def some():
            names = [name for began, name in list(got) if began >= now]
            return names if len(names) > 100 else None
        return set(lib.wait_until(some, "clients"))

    def down(*hosts):
        """Found in time; refused clients go on to another one."""
        m, n = s.mark(), len(got)
        for h in hosts:
            table[h].close()
        for h in hosts:
            s.wait_for(rf"host 127.0.0.{h}, .*-> down", 10, since=m)
        return [name for _, name in list(got)[n:]]

    def up(*hosts):
        for h in hosts:
            table[h] = backend(Mortal, str(h), host=f"127.0.0.{h}", port=to)
            s.wait_host(f"127.0.0.{h}", "up")

    try:
        for h in 1, 2:
            names = down(h)
            assert set(names) <= {"1", "2", ""}
            # only those that were there when it died
            assert names.count("") <= len(threads)
            assert served() == {str(3 - h)}
            up(h)
            assert served() == {"1", "2"}
        down(1, 2)
        assert served() == {"9"}
        up(1)
        assert served() == {"1"}
    finally:
        end.set()
        for t in threads:
            t.join(lib.TIMEOUT)


# ---- who operates it

def test_operators(relayd, backend, port):
    """Monitors that do not read, clients that say nothing, readers that stop
    half way, and a crowd that asks while sessions come and go: each gets a
    whole answer, and memory and descriptors are given back."""
    echo = backend(lib.Echo)
    s = relayd(f"interval 1\ntimeout 900\nprefork 2\n"
               "protocol many { tcp backlog 512 }\n"
               "table <web> { 127.0.0.1 }\n" +
               relay("www", port, f"<web> port {echo.port} check tcp",
                     "\tprotocol many\n"), relays=2, verbose=1)
    s.wait_host("127.0.0.1", "up")
    pfe = s.one("pfe")
    before = len(lib.descriptors(pfe))
    command = [str(rd.RELAYCTL), "-s", str(s.socket)]
    with contextlib.ExitStack() as stack:
        def start(*args):
            p = stack.enter_context(subprocess.Popen(
                [*command, *args], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                env=s.env))
            stack.callback(p.kill)
            return p

        stopped = [start("monitor") for _ in range(8)]
        for _ in range(300):
            stack.enter_context(lib.connect(port)).sendall(b"x")
        for _ in range(4):
            p = start("show", "sessions")
            p.stdout.read(100)
            stopped.append(p)
        for p in stopped:
            os.kill(p.pid, signal.SIGSTOP)
        for _ in range(10):
            c = stack.enter_context(socket.socket(socket.AF_UNIX))
            c.connect(str(s.socket))
        with Load(port):
            crowd = [start(*w) for _ in range(20) for w in
                     (("-j", "show", "sessions"), ("-j", "show", "hosts"))]
            for i, p in enumerate(crowd):
                out, _ = p.communicate(timeout=lib.TIMEOUT)
                assert p.returncode == 0
                rows = [(x["worker"], x["id"]) if i % 2 == 0 else x["id"]
                        for x in json.loads(out) if x["type"] != "table"]
                assert len(rows) == len(set(rows))
                assert len(rows) >= 300 if i % 2 == 0 else len(rows) == 1
    lib.wait_until(lambda: len(lib.descriptors(pfe)) <= before,
                   "their descriptors")
    lib.wait_until(lambda: not s.show("sessions"), "the end of all sessions")
    assert s.one("pfe") == pfe
