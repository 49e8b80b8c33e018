"""Datagram listeners of the stand-alone broker (5.8), with probe.c and with
sample/udp-echo as workers."""

import contextlib
import os
import shutil
import signal
import socket
import time

import pytest

import lib
import ops

CONF = """
id = spawnd {{
	{listen}
	spawn {{ exec = "{exec}" id = {id}
		instances min = {least} instances max = {most} {spawn} }}
	{broker}
}}
id = echo {{ idle = {idle} }}
"""

LOOPBACKS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"),
             (socket.AF_INET6, "::1")]


@pytest.fixture
def broker(service, probe, port):
    """broker(what the probe is to do, ...): a service with it as workers"""
    def make(id="good", least=1, most=2, listen=None, spawn="", broker="",
             program=None, idle=10, program_file="spawnd", **kw):
        return service(CONF.format(
            listen=listen or f"listen = {{ port = {port} protocol = UDP }}",
            exec=program or probe, id=id, least=least, most=most,
            spawn=spawn, broker=broker, idle=idle), program=program_file,
            **kw)

    return make


@pytest.fixture
def echo(broker):
    """The same with sample/udp-echo."""
    def make(**kw):
        return broker("echo", program=lib.UDP_ECHO, **kw)

    return make


class Client:
    """A UDP client; it does not look where answers come from, the test
    does."""

    def __init__(self, port, address="127.0.0.1", timeout=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.settimeout(timeout or lib.TIMEOUT)
        self.to = (address, port)
        self.about = None

    def send(self, data):
        self.sock.sendto(data, self.to)

    def receive(self):
        data, where = self.sock.recvfrom(70000)
        assert where[:2] == self.to
        return data

    def silent(self, seconds=0.3):
        self.sock.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.sock.recvfrom(70000)
        self.sock.settimeout(lib.TIMEOUT)

    def begin(self, data=b"first"):
        """The first datagram; what the worker said about it."""
        self.send(data)
        line = self.receive().decode()
        self.about = dict(x.split("=", 1) for x in line.split())
        if not data.startswith(b"!"):
            assert self.receive() == data
        return self.about

    @property
    def port(self):
        return self.sock.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.sock.close()


def echo_all(clients, data=b"ping"):
    for c in clients:
        c.send(data)
    for c in clients:
        assert c.receive() == data


def persist(clients, data):
    """The same where sessions end by themselves: what a socket has got while
    it is closed is lost, as datagrams may be, and sent again."""
    for c in clients:
        c.send(data)
        c.sock.settimeout(1)
    for c in clients:
        for _ in range(20):
            with contextlib.suppress(TimeoutError):
                assert c.receive() == data
                break
            c.send(data)
        else:
            raise AssertionError("no answer")


# ---- who gets what

@pytest.mark.parametrize("family,address", LOOPBACKS)
def test_metadata(broker, port, family, address):
    """A listener for all addresses: the worker learns which one was asked,
    and its socket answers from there."""
    s = broker(listen=f"""listen = {{ port = {port} protocol = UDP
        realm = some.realm flag = accounting aaa.protocol = radius.udp }}""")
    with Client(port, address) as c:
        about = c.begin()
        assert about["local"] == f"{address}:{port}"
        assert about["peer"].endswith(f":{c.port}")
        assert about["realm"] == "some.realm" and about["aaa"] == "3"
        assert (about["type"], about["protocol"]) == ("2", "17")
        assert about["flags"] == "2" and about["data"] == "5"
        assert about["late"] == "0" and about["cloexec"] == "1"
        assert about["nonblock"] == "1"
        # and then he has a socket of his own
        for i in range(20):
            c.send(b"more %d" % i)
            assert c.receive() == b"more %d" % i
        ops.wait_users(s, [1])


@pytest.mark.parametrize("listen", [
    "address = 127.0.0.1 port = {port} protocol = UDP",
    "address = 127.0.0.1 port = {port} type = DGRAM dscp = 46",
    "port = {port} protocol = udp tls = DTLSv1.2"])
def test_many_clients(broker, port, listen):
    """With a listener for one address all sockets are bound to the same one,
    which the kernel has to tell apart."""
    s = broker(listen="listen = { " + listen.format(port=port) + " }",
               least=2, most=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(30)]
        for c in clients:
            c.begin()
            assert c.about["tos"] == ("184" if "dscp" in listen else "0")
            assert c.about["versions"] == ("512" if "DTLS" in listen
                                           else "0")
        for i in range(5):
            echo_all(clients, b"round %d" % i)
        ops.wait_users(s, [15, 15])
        for c in clients[:10]:
            c.send(b"!close")
        ops.wait_users(s, [users(clients[10:], s, 0), users(clients[10:], s,
                                                            1)])
        # they begin anew
        for c in clients[:10]:
            c.begin(b"again")
        ops.wait_users(s, [15, 15])


def users(clients, s, n):
    pid = ops.workers(s)[n].pid
    return len([c for c in clients if int(c.about["pid"]) == pid])


def test_stream_and_datagram_on_one_port(broker, port):
    s = broker(listen=f"""
        listen = {{ port = {port} }}
        listen = {{ port = {port} protocol = UDP }}""", listeners=2)
    s.wait_for(rf"listening on \[::\]:{port} \(IPv4 and IPv6\)")
    s.wait_for(rf"listening on \[::\]:{port} UDP \(IPv4 and IPv6\)")
    with lib.connect(port) as t, Client(port) as c:
        assert ops.told(t)["protocol"] == "6"
        lib.roundtrip(t, b"x")
        assert c.begin()["protocol"] == "17"


def test_queued_before_the_socket(broker, port):
    """Datagrams that were sent before the worker was there, and before the
    client had a socket: all arrive, in order, at one worker."""
    s = broker(least=2, most=2)
    ops.wait_ready(s, 2)
    for pid in [s.pid]:
        os.kill(pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(port)) for _ in range(8)]
            for i in range(6):
                for c in clients:
                    c.send(b"n%d" % i)
            os.kill(s.pid, signal.SIGCONT)
            for c in clients:
                got = [c.receive() for _ in range(12)]
                told = [dict(x.split(b"=", 1) for x in g.split())
                        for g in got if g.startswith(b"pid=")]
                assert [g for g in got if not g.startswith(b"pid=")] == \
                    [b"n%d" % i for i in range(6)]
                # further ones came as such, but not to another worker
                assert len(told) == 6
                assert len({t[b"pid"] for t in told}) == 1
                assert len({t[b"local"] for t in told}) == 1
            echo_all(clients)
            assert sum(ops.users(s)) == 48
    finally:
        os.kill(s.pid, signal.SIGCONT)


# ---- sizes and contents

@pytest.mark.parametrize("family,address", LOOPBACKS)
def test_longest_and_shortest(echo, port, family, address):
    s = echo()
    with Client(port, address) as c, Client(port, address) as d:
        for data in (b"x" * 65507, b"", b"\0" * 1472, os.urandom(65507),
                     b"y"):
            c.send(data)
            assert c.receive() == data
        d.send(b"")				# a first one, empty
        assert d.receive() == b""
        d.send(b"z")
        assert d.receive() == b"z"
    ops.wait_users(s, [2])


def test_longer_than_the_channel_has_room_for(echo, port):
    """With IPv6 a datagram may be longer than 65,507 bytes."""
    echo()
    with Client(port, "::1") as c:
        c.send(b"x" * 65527)
        c.send(b"after it")
        assert c.receive() == b"after it"


def test_garbage(echo, port):
    """Nothing of it is looked into, and from nowhere nothing is made."""
    s = echo()
    raw = None
    with contextlib.suppress(PermissionError):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                            socket.IPPROTO_UDP)
    with Client(port) as c:
        if raw is not None:
            for sport, length, claimed in [
                    (0, 3, 11),			# nobody is at port 0
                    (port, 3, 11),		# ourselves
                    (4444, 3, 9000),		# longer than it is
                    (4444, 0, 3)]:		# shorter than a header
                header = (sport.to_bytes(2, "big") +
                          port.to_bytes(2, "big") +
                          claimed.to_bytes(2, "big") + b"\0\0")
                raw.sendto(header + b"x" * length, ("127.0.0.1", port))
            raw.close()
        for _ in range(50):
            c.send(os.urandom(100))
        for _ in range(50):
            assert len(c.receive()) == 100
        ops.wait_users(s, [1])


# ---- counts

def test_count_returns_to_0(no_quarantine, echo, port):
    """9, row 60: sessions end, their count sinks; nothing is left in the
    master, neither descriptors nor memory."""
    s = echo(idle=0, spawn="users max = 400", least=2, most=2)
    ops.wait_ready(s, 2)

    def run(clients, rounds):
        with contextlib.ExitStack() as stack:
            all = [stack.enter_context(Client(port))
                   for _ in range(clients)]
            for _ in range(rounds):
                for i in range(0, clients, 50):
                    persist(all[i:i + 50], b"x" * 200)

    run(200, 10)
    ops.wait_users(s, [0, 0])
    time.sleep(0.2)
    n, memory = len(lib.descriptors(s.pid)), memory_of(s.pid)
    for _ in range(5):
        run(200, 10)
        ops.wait_users(s, [0, 0])
    lib.wait_until(lambda: len(lib.descriptors(s.pid)) == n,
                   "the descriptors to be as many as before")
    assert memory_of(s.pid) < memory + 1024
    served = sum(w.served for w in ops.workers(s))
    assert served >= 1200


def memory_of(pid):
    """kB of its own: what it has of libraries depends on who else runs."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Anonymous:"):
                return int(line.split()[1])


def anew(c, data, pid=None):
    """The next session of a client whose last one is being closed: what he
    sends while the worker still has the socket is the worker's."""
    c.sock.settimeout(0.5)
    for _ in range(40):
        with contextlib.suppress(TimeoutError):
            c.send(data)
            answer = c.receive()
            if answer.startswith(b"pid="):
                c.sock.settimeout(lib.TIMEOUT)
                assert c.receive() == data
                return answer.split()[0].decode()[4:]
    raise AssertionError("no new session")


def test_no_copy_is_kept(broker, port):
    """What a client sends behind the end of his session begins another one;
    a copy of the socket in the master would swallow it."""
    s = broker(least=1, most=1)
    with Client(port) as c:
        c.begin()
        for i in range(30):
            c.send(b"!close")
            ops.wait_users(s, [0])
            # nothing is lost now
            c.begin(b"n %d" % i)


def test_returned(broker, port):
    """What one worker gives back another one gets, with the datagram."""
    s = broker("return", least=2, most=2)
    pids = set()
    for i in range(10):
        with Client(port) as c:
            pids.add(int(c.begin(b"datagram %d" % i)["pid"]))
            c.send(b"!close")
    assert len(pids) == 1 and len(s.workers()) == 2
    ops.wait_users(s, [0, 0])


# ---- who may, and who goes where

def test_acl(broker, port):
    s = broker(broker="""
	deny 127.0.0.2
	permit 127.0.0.0/8""")
    with Client(port) as good, Client(port) as bad, \
            Client(port, "::1") as none:
        bad.sock.bind(("127.0.0.2", 0))
        for i in range(3):
            bad.send(b"not %d" % i)
        none.send(b"neither")
        good.begin()
        s.wait_for(r"datagram from \[127\.0\.0\.2\] refused by line 7")
        s.wait_for(r"datagram from \[::1\] refused, no line permits it")
        bad.silent()
        none.silent()
        ops.wait_users(s, [1])


def test_two_workers(broker, port):
    """The choice of 4.1: each client in turn, and he stays."""
    s = broker(least=2, most=2, spawn="users min = 1")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(6)]
        pids = [c.begin()["pid"] for c in clients]
        assert len(set(pids)) == 2
        assert all(pids[i] != pids[i + 1] for i in range(0, 6, 2))
        echo_all(clients * 5)
        ops.wait_users(s, [3, 3])


def test_sticky(broker, port):
    """The key has the client's port (4.4)."""
    broker(least=3, most=3, broker="sticky cache period = 60",
           spawn="users min = 1")
    with Client(port) as a, Client(port) as b, Client(port) as c:
        first = [x.begin()["pid"] for x in (a, b, c)]
        assert len(set(first)) == 3
        for x in (c, b, a):
            x.send(b"!close")
        for x, pid in ((b, first[1]), (c, first[2]), (a, first[0])):
            assert anew(x, b"again") == pid


# ---- trouble

def test_worker_killed(broker, port):
    """Its clients begin anew with their next datagram, at another one."""
    s = broker(least=2, most=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(8)]
        for c in clients:
            c.begin()
        victim = int(clients[0].about["pid"])
        hit = [c for c in clients if int(c.about["pid"]) == victim]
        os.kill(victim, signal.SIGKILL)
        s.wait_for(rf"worker {victim} killed by signal 9 .*, "
                   rf"lost {len(hit)}")
        echo_all([c for c in clients if c not in hit])
        for c in hit:
            assert int(c.begin(b"anew")["pid"]) != victim
        ops.wait_ready(s, 2)
        assert sum(ops.users(s)) == 8


def test_worker_that_never_took(broker, port):
    """Datagrams in the channel of a worker that dies go to the others."""
    s = broker(least=2, most=2)
    a, b = ops.wait_ready(s, 2)
    os.kill(a, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(10)]
        for c in clients:
            c.send(b"who")
        lib.wait_until(lambda: sum(ops.users(s)) == 10, "all to be given")
        os.kill(a, signal.SIGKILL)
        for c in clients:
            assert f"pid={a} " not in c.receive().decode()
            assert c.receive() == b"who"
        echo_all(clients)


def test_started_for_it(broker, port):
    """No worker is there yet: the datagram waits for it."""
    s = broker(least=0, most=1)
    assert s.workers() == []
    with Client(port) as c:
        for i in range(5):
            c.send(b"n%d" % i)
        got = [c.receive() for _ in range(6)]
        assert [g for g in got if g[:1] == b"n"][:5]
    s.wait_workers(1)


@pytest.mark.parametrize("mode", ["queue", "close", "reset"])
def test_overload(broker, port, mode):
    """Full: datagrams wait in the kernel's queue, or are dropped."""
    s = broker(least=1, most=1, spawn="users min = 1 users max = 3",
               broker=f"overload = {mode}")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(4)]
        for c in clients[:3]:
            c.begin()
        s.wait_for("3 connections reached")
        late = clients[3]
        late.send(b"late")
        late.silent()
        echo_all(clients[:3])			# who is in stays in
        clients[0].send(b"!close")
        s.wait_for("accepting again")
        if mode == "queue":
            assert late.receive().startswith(b"pid=")
            assert late.receive() == b"late"
        else:
            late.begin(b"once more")
        ops.wait_users(s, [3])


def test_few_descriptors(broker, port):
    """The master has none left: nothing is lost, it goes on when some are
    free again."""
    s = broker("slow", least=1, most=1, spawn="users max = 60", limit=32)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(50)]
        for c in clients:
            c.send(b"!close")
        s.wait_for(r"out of descriptors")
        open(str(s.file) + ".go", "w").close()
        for c in clients:
            assert c.receive().startswith(b"pid=")
    assert not s.grep("dropped")
    ops.wait_users(s, [0])


def test_suspended_worker(broker, port):
    """A full channel: what does not fit into it goes elsewhere."""
    s = broker(least=2, most=2, spawn="users min = 1")
    a, b = ops.wait_ready(s, 2)
    os.kill(a, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(port))
                       for _ in range(16)]
            data = b"y" * 60000
            answered = 0
            for c in clients:
                c.send(data)
                c.sock.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    assert c.receive().startswith(b"pid=%d " % b)
                    assert c.receive() == data
                    answered += 1
            assert answered >= 8
            os.kill(a, signal.SIGCONT)
    finally:
        os.kill(a, signal.SIGCONT)


# ---- reload and the end

def test_reload(broker, port):
    """The listener is kept, or removed with what is queued handed out; who
    has a socket goes on."""
    other = lib.free_port()
    s = broker("stay")
    before = s.file.read_text()
    with Client(port) as c, Client(port) as d:
        c.begin()
        s.reload(before.replace("protocol = UDP", "protocol = UDP "
                                "realm = second"))
        c.send(b"still")
        assert c.receive() == b"still"
        assert d.begin()["realm"] == "second"
        s.reload(before.replace(f"port = {port}", f"port = {other}"),
                 expect="1 added, 1 removed")
        for x in (c, d):
            x.send(b"goes on")
            assert x.receive() == b"goes on"
        with Client(other) as e:
            e.begin()
            e.send(b"!close")
        for x in (c, d):
            x.send(b"!close")


def test_end(broker, port):
    """What is queued at SIGTERM is handed out."""
    s = broker("stay", least=1, most=1)
    ops.wait_ready(s, 1)
    with Client(port) as c, Client(port) as d:
        c.begin()
        os.kill(s.pid, signal.SIGSTOP)
        d.send(b"last")
        s.send_signal(signal.SIGTERM)
        os.kill(s.pid, signal.SIGCONT)
        assert d.receive().startswith(b"pid=")
        assert d.receive() == b"last"
        assert s.wait() == 0
        for x in (c, d):
            x.send(b"without a master")
            assert x.receive() == b"without a master"
            x.send(b"!close")


def test_restart_beside_old_sessions(broker, port):
    """Sockets of sessions do not keep the next master from its port."""
    s = broker("stay", least=1, most=1)
    with Client(port) as c, Client(port) as d:
        c.begin()
        s.send_signal(signal.SIGTERM)
        assert s.wait() == 0
        t = broker(least=1, most=1)
        ops.wait_ready(t, 1)
        d.begin()
        c.send(b"the old one")
        assert c.receive() == b"the old one"
        c.send(b"!close")


def test_inetd(service, probe, port):
    """A bound datagram socket as descriptor 0 (1.6), with the datagram on it
    that is the reason for the start."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inetd, \
            Client(port, "127.0.0.2") as first:
        inetd.bind(("127.0.0.2", port))
        first.send(b"the first")
        s = service(CONF.format(listen="listen { }", exec=probe, id="good",
                                least=1, most=1, spawn="", broker="",
                                idle=1), program="spawnd",
                    stdin=inetd.fileno())
        s.wait_for("via inetd")
        s.wait_for(rf"listening on \[127\.0\.0\.2\]:{port} UDP inherited")
        about = first.receive().decode()
        assert f" local=127.0.0.2:{port} " in about
        assert first.receive() == b"the first"
        with Client(port, "127.0.0.2") as c, \
                Client(port, "127.0.0.2") as d:
            assert c.begin()["local"] == f"127.0.0.2:{port}"
            d.begin()
            echo_all([c, d])
            s.send_signal(signal.SIGHUP)
            assert s.wait() == 0
            for x in (c, d):
                x.send(b"!close")


def test_unix_datagrams_are_refused(broker, tmp_path):
    """They have nobody to answer to."""
    s = broker(listen=f'listen = {{ path = "{tmp_path}/s" type = DGRAM }}',
               start=False, clean=False)
    s.launch()
    assert s.wait() == 75
    s.wait_for("cannot bind .*: Operation not supported")


def test_tcprelay_as_the_worker(service, port):
    """It closes them, counts them, and warns once."""
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} protocol = UDP }}
	spawn {{ exec = "{lib.TCPRELAY}" instances min = 1
		instances max = 1 }}
}}
id = tcprelay {{ remote = {{ address = 127.0.0.1 port = 9 }} }}
""", program="spawnd")
    ops.wait_ready(s, 1)
    for _ in range(3):
        with Client(port) as c:
            c.send(b"anybody")
    s.wait_for("datagrams are not for this program, ignored")
    lib.wait_until(lambda: ops.workers(s)[0].served == 3, "three served")
    ops.wait_users(s, [0])
    assert len(s.grep("datagrams are not")) == 1


def test_upgrade(broker, probe, port, tmp_path):
    """A SIGHUP that finds another program file: sessions go on, the listener
    and shared memory (8.4) are those of the new one."""
    program = tmp_path / "bin" / "spawnd"
    program.parent.mkdir()
    shutil.copy2(lib.SPAWND, program)
    key = 0x53000000 | int.from_bytes(os.urandom(3), "big")
    s = broker("stay", least=1, most=1, spawn=f"ipc key = {key}",
               argv0=program, program_file=program)
    ops.wait_ready(s, 1)
    with Client(port) as c, Client(port, "127.0.0.2") as d:
        before = c.begin()
        segment = ops.segments()[key]["shmid"]
        new = program.with_name("new")
        shutil.copy(lib.SPAWND, new)
        os.rename(new, program)
        since = s.mark()
        s.send_signal(signal.SIGHUP)
        s.wait_for("reload: done", since=since)
        c.send(b"still the old one")
        assert c.receive() == b"still the old one"
        after = d.begin()
        assert after["pid"] != before["pid"]
        assert after["local"] == f"127.0.0.2:{port}"
        assert ops.segments()[key]["shmid"] != segment
        assert ops.segments()[key]["cpid"] == s.pid
        for x in (c, d):
            x.send(b"!close")
    s.stop()
    assert key not in ops.segments()


def test_configuration_22(service, probe, tmp_path):
    """A worker of another kind behind the stand-alone broker, with datagrams,
    streams and packets."""
    auth, acct, dtls = [lib.free_port() for _ in range(3)]
    root = os.getuid() == 0
    s = service(f"""id = spawnd {{
    listen {{ port = {auth} protocol = UDP aaa.protocol = radius.udp }}
    listen {{ port = {acct} protocol = udp flag = accounting }}
    listen {{ port = {auth} flag = access aaa.protocol = radius.tcp }}
    listen {{ port = {dtls} protocol = UDP type = DGRAM tls = DTLSv1.2 }}
    listen {{ path = {tmp_path}/aaa.seq type = SEQPACKET mode = 0600
        {"user = daemon group = daemon" if root else ""} }}
    spawn {{ exec = {probe} id = aaa }}
}}
""", program="spawnd", listeners=5)
    with Client(auth) as a, Client(acct) as b, Client(dtls) as c:
        about = [x.begin() for x in (a, b, c)]
        assert [x["aaa"] for x in about] == ["3", "0", "0"]
        assert [x["flags"] for x in about] == ["0", "2", "0"]
        assert [x["versions"] for x in about] == ["0", "0", "512"]
        assert [x["listener"] for x in about] == ["0", "1", "3"]
        echo_all([a, b, c] * 3)
    with lib.connect(auth) as t:
        about = ops.told(t)
        assert (about["aaa"], about["protocol"]) == ("4", "6")
        lib.roundtrip(t, b"stream")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as u:
        u.settimeout(lib.TIMEOUT)
        u.connect(str(tmp_path / "aaa.seq"))
        assert b"type=5" in u.recv(1000)
        u.send(b"packet")
        assert u.recv(1000) == b"packet"
    assert (tmp_path / "aaa.seq").stat().st_mode & 0o777 == 0o600
    assert len(s.workers()) >= 2
