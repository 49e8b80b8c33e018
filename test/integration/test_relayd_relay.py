"""Relays of relayd: where their sessions go, and what becomes of those that
cannot go there; limits, PROXY headers, original destinations, options."""

import array
import contextlib
import fcntl
import hashlib
import ipaddress
import pwd
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

import lib
import netns
import rd

pytestmark = rd.needed

KEY = "0x000102030405060708090a0b0c0d0e0f"
WORDS = (0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f)
MASK = (1 << 64) - 1


# ---- what the algorithms say

def siphash(words, data):
    """SipHash-2-4, from its paper; the key as relayd.conf has it."""
    def rotl(x, b):
        return (x << b | x >> (64 - b)) & MASK

    def turn():
        v[0] = (v[0] + v[1]) & MASK
        v[1] = rotl(v[1], 13) ^ v[0]
        v[0] = rotl(v[0], 32)
        v[2] = (v[2] + v[3]) & MASK
        v[3] = rotl(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & MASK
        v[3] = rotl(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & MASK
        v[1] = rotl(v[1], 17) ^ v[2]
        v[2] = rotl(v[2], 32)

    k0, k1 = words[0] | words[1] << 32, words[2] | words[3] << 32
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]
    whole = len(data) // 8 * 8
    last = data[whole:].ljust(7, b"\0") + bytes([len(data) & 255])
    for m, in struct.iter_unpack("<Q", data[:whole] + last):
        v[3] ^= m
        turn()
        turn()
        v[0] ^= m
    v[2] ^= 255
    for _ in range(4):
        turn()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_siphash_itself():
    """The first vectors of its authors."""
    key = (0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c)
    assert siphash(key, b"") == 0x726fdb47dd0e0e31
    assert siphash(key, bytes(range(15))) == 0xa129ca6149be45e5


def hashed(p, usable):
    """Index by the hash, as 4.8 of the language has it."""
    n = len(usable)
    i = 0
    for _ in range(min(n, 5)):
        i = p % n
        if usable[i]:
            return i
        p >>= 1
    for i in [*range(i, n), *range(i)]:
        if usable[i]:
            return i
    return None


def fed(mode, client, port):
    data = b""
    if mode in ("source-hash", "loadbalance"):
        data += ipaddress.ip_address(client).packed
    if mode in ("loadbalance", "hash"):
        data += ipaddress.ip_address("127.0.0.1").packed + \
            struct.pack("!H", port)
    return data


# ---- peers

class Where(lib.Backend):
    """Says which of its addresses was called, then ends. It is on all of
    loopback: a table of any size is one of these."""

    def __init__(self, **kw):
        super().__init__(host="0.0.0.0", **kw)

    def serve(self, conn):
        conn.sendall(conn.getsockname()[0].encode())
        conn.shutdown(socket.SHUT_WR)
        lib.read_all(conn)


def ask(port, source="127.0.0.1", host="127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(lib.TIMEOUT)
        s.bind((source, 0))
        s.connect((host, port))
        return lib.read_all(s).decode()


def hosts(n):
    return [f"127.0.10.{i + 1}" for i in range(n)]


def table(names, name="t"):
    return f"table <{name}> {{ {' '.join(names)} }}\n"


def relay(port, *lines, name="r"):
    return "\n".join([f'relay "{name}" {{', f"listen on 127.0.0.1 port {port}",
                      *lines, "}", ""])


# ---- modes

def test_roundrobin(relayd, backend, port):
    b = backend(Where)
    names = hosts(4)
    relayd("prefork 1\n" + table(names) +
           relay(port, f"forward to <t> port {b.port}"))
    assert [ask(port) for _ in range(9)] == [names[i % 4] for i in range(9)]


def test_roundrobin_of_each_relay(relayd, backend):
    b = backend(Where)
    names = hosts(3)
    ports = [lib.free_port(), lib.free_port()]
    relayd("prefork 1\n" + table(names) +
           "".join(relay(p, f"forward to <t> port {b.port}", name=f"r{p}")
                   for p in ports), relays=2)
    for i in range(5):
        assert [ask(p) for p in ports] == [names[i % 3]] * 2


def test_random(relayd, backend, port):
    b = backend(Where)
    names = hosts(4)
    relayd("prefork 1\n" + table(names) +
           relay(port, f"forward to <t> port {b.port} mode random"))
    seen = [ask(port) for _ in range(200)]
    # 50 each; less than 10 of one: once in 10^13
    assert all(seen.count(n) >= 10 for n in names), seen
    assert seen != [seen[i % 4] for i in range(200)]


@pytest.mark.parametrize("mode", ["source-hash", "loadbalance", "hash"])
@pytest.mark.parametrize("workers", [1, 3])
def test_hashes(relayd, backend, port, mode, workers):
    """All workers agree, and with what anybody can compute."""
    b = backend(Where)
    names = hosts(7)
    relayd(f"prefork {workers}\n" + table(names) +
           relay(port, f"forward to <t> port {b.port} mode {mode} {KEY}"),
           relays=workers)
    for i in range(30):
        client = f"127.0.{20 + i}.{i + 1}"
        p = siphash(WORDS, fed(mode, client, port))
        assert ask(port, client) == names[hashed(p, [True] * 7)], client


def test_hash_with_text_key(relayd, backend, port):
    b = backend(Where)
    names = hosts(5)
    words = struct.unpack("!4I", hashlib.md5(b"a word").digest())
    relayd("prefork 1\n" + table(names) +
           relay(port, f"forward to <t> port {b.port} "
                 'mode source-hash "a word"'))
    for i in range(10):
        client = f"127.0.30.{i + 1}"
        p = siphash(words, fed("source-hash", client, port))
        assert ask(port, client) == names[hashed(p, [True] * 5)]


def test_hash_without_key(relayd, backend, port):
    """Random, but the same in all workers and over a reload."""
    b = backend(Where)
    names = hosts(8)
    text = ("prefork 3\n" + table(names) +
            relay(port, f"forward to <t> port {b.port} mode source-hash"))
    s = relayd(text, relays=3)
    clients = [f"127.0.40.{i + 1}" for i in range(12)]
    first = {c: ask(port, c) for c in clients}
    assert len(set(first.values())) > 1
    for _ in range(3):
        assert {c: ask(port, c) for c in clients} == first
    s.reload(text + "# another one\nlog connection\n")
    assert {c: ask(port, c) for c in clients} == first


# ---- health

def test_hosts_that_are_down(relayd, backend, port):
    """Only those that are up are chosen, by the algorithm of the mode."""
    b = backend(Where)
    names = hosts(4)
    dead = lib.free_port()
    hashes = lib.free_port()
    # two of the hosts are other machines' business: their port is closed
    with contextlib.ExitStack() as stack:
        up = [names[1], names[3]]
        for n in up:
            stack.enter_context(Where_at(n, dead))
        s = relayd("prefork 1\ninterval 1\n" + table(names) +
                   relay(port, f"forward to <t> port {dead} check tcp") +
                   relay(hashes, f"forward to <t> port {dead} mode "
                         f"source-hash {KEY} check tcp", name="h"), relays=2)
        for n in up:
            s.wait_host(n, "up")
        for n in set(names) - set(up):
            s.wait_host(n, "down")
        assert [ask(port) for _ in range(4)] == up * 2
        for i in range(20):
            client = f"127.0.50.{i + 1}"
            p = siphash(WORDS, fed("source-hash", client, hashes))
            want = names[hashed(p, [n in up for n in names])]
            assert ask(hashes, client) == want, client
    del b


class Where_at(Where):
    def __init__(self, address, port):
        lib.Backend.__init__(self, host=address, port=port)


def test_backup_tables(relayd, port):
    """The first table with a usable host; back as soon as there is one."""
    at = lib.free_port()
    main, backup = hosts(2), ["127.0.11.1", "127.0.11.2"]
    with Where_at(backup[0], at), Where_at(backup[1], at):
        s = relayd("prefork 1\ninterval 1\n" + table(main, "main") +
                   table(backup, "spare") +
                   relay(port, f"forward to <main> port {at} check tcp",
                         f"forward to <spare> port {at} check tcp"))
        for n in backup:
            s.wait_host(n, "up")
        s.wait_host(main[0], "down")
        assert sorted(ask(port) for _ in range(2)) == backup
        with Where_at(main[1], at):
            s.wait_host(main[1], "up")
            assert [ask(port) for _ in range(3)] == [main[1]] * 3
        s.wait_host(main[1], "down")
        assert ask(port) in backup


def test_nobody_is_up(relayd, port):
    at = lib.free_port()
    s = relayd("prefork 1\ninterval 1\nlog connection\n" + table(hosts(2)) +
               relay(port, f"forward to <t> port {at} check tcp"))
    s.wait_host(hosts(2)[0], "down")
    s.wait_host(hosts(2)[1], "down")
    assert ask(port) == ""
    s.wait_for(r"relay r, session 1 \(1 active\), 0, 127\.0\.0\.1 -> :0, "
               r"session failed$")


def test_disabled_hosts_and_tables(relayd, backend, port):
    b = backend(Where)
    names = hosts(3)
    s = relayd("prefork 1\n" + table(names) + table(["127.0.12.1"], "b") +
               relay(port, f"forward to <t> port {b.port}",
                     f"forward to <b> port {b.port}"))
    s.ctl("host", "disable", "2")
    assert [ask(port) for _ in range(4)] == [names[0], names[2]] * 2
    s.ctl("table", "disable", "1")
    assert ask(port) == "127.0.12.1"
    s.ctl("table", "enable", "1")
    s.ctl("host", "enable", "2")
    assert set(ask(port) for _ in range(3)) == set(names)


def test_a_host_that_dies_under_load(relayd, port):
    """None is lost while another host is there, whether or not the checks
    know already; and after interval and timeout nobody is sent there."""
    at = lib.free_port()
    names = hosts(2)
    with Where_at(names[0], at):
        other = Where_at(names[1], at)
        s = relayd("prefork 2\ninterval 1\ntimeout 200\n" + table(names) +
                   relay(port, f"forward to <t> port {at} check tcp"),
                   relays=2)
        for n in names:
            s.wait_host(n, "up")
        answers, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                answers.append((time.monotonic(), ask(port)))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            lib.wait_until(lambda: {a for _, a in answers} == set(names),
                           "both hosts at work")
            other.close()
            closed = time.monotonic()
            s.wait_host(names[1], "down")
            lib.wait_until(lambda: answers[-1][0] > closed + 1, "some load")
        finally:
            stop.set()
            for t in threads:
                t.join()
        # the one who was being answered when it closed may have got nothing
        lost = [t for t, a in answers if a == "" and t > closed + 0.5]
        assert lost == []
        assert answers[-1][1] == names[0]
        with Where_at(names[1], at):
            s.wait_host(names[1], "up")
            assert {ask(port) for _ in range(8)} == set(names)


def test_reload_with_other_relays(relayd):
    """Relays come, go and change places; whoever stays loses no session, and
    sends none to another's servers."""
    at = lib.free_port()
    ports = [lib.free_port() for _ in range(4)]
    names = hosts(4)

    def text(order):
        return "prefork 2\n" + "".join(
            relay(ports[i], f"forward to {names[i]} port {at}", name=f"r{i}")
            for i in order)

    with contextlib.ExitStack() as stack:
        for n in names:
            stack.enter_context(Where_at(n, at))
        s = relayd(text([0, 1, 2]), relays=6)
        wrong, rounds, stop = [], [0, 0], threading.Event()

        def load(k, i):
            while not stop.is_set():
                try:
                    got = ask(ports[i])
                except OSError as e:
                    got = repr(e)
                rounds[k] += 1
                if got != names[i]:
                    wrong.append((i, got))

        threads = [threading.Thread(target=load, args=(k, i))
                   for k, i in enumerate((1, 2))]
        for t in threads:
            t.start()
        try:
            for order in ([1, 2], [2, 1], [3, 0, 2, 1], [1, 2, 3], [2, 1, 0]):
                before = list(rounds)
                s.reload(text(order))
                lib.wait_until(lambda: all(
                    a > b + 5 for a, b in zip(rounds, before)), "load")
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert wrong == []
        assert ask(ports[0]) == names[0]


# ---- what cannot be reached

def test_failover(relayd, port):
    """Each other usable host is tried once, and the client notices nothing."""
    at = lib.free_port()
    names = hosts(4)
    with Where_at(names[2], at):
        s = relayd("prefork 1\nlog connection\n" + table(names) +
                   relay(port, f"forward to <t> port {at}"))
        for _ in range(5):
            assert ask(port) == names[2]
    assert ask(port) == ""
    lines = lib.wait_until(lambda: (x := rd.session_lines(s)) and
                           len(x) == 6 and x, "six lines")
    assert all(re.search(rf" -> 127\.0\.10\.3:{at}, done$", x)
               for x in lines[:5])
    assert lines[5].endswith("socket error: Connection refused")


def test_no_failover(relayd, port):
    at = lib.free_port()
    names = hosts(2)
    with Where_at(names[1], at):
        s = relayd("prefork 1\nlog connection\n"
                   "protocol p { tcp no failover }\n" + table(names) +
                   relay(port, "protocol p", f"forward to <t> port {at}"))
        assert [ask(port) for _ in range(4)] == ["", names[1]] * 2
        s.wait_for(rf"session 3 .* -> {names[0]}:{at}, "
                   r"socket error: Connection refused$")


@pytest.mark.tls
def test_failover_of_handshakes(relayd, certs, port):
    """A server that does not speak TLS is no server: nothing of the client
    was sent to it yet."""
    at = lib.free_port()
    names = hosts(3)

    class Deaf(lib.Backend):
        def serve(self, conn):
            conn.sendall(b"220 this is something else\r\n")
            lib.read_all(conn)

    context = lib.server_context(certs.ecdsa)
    with Deaf(host=names[0], port=at) as deaf, \
            lib.Echo(host=names[2], port=at, context=context):
        s = relayd("prefork 1\nlog connection\n" + table(names) +
                   relay(port, f"forward with tls to <t> port {at}"))
        for _ in range(6):
            with lib.connect(port) as c:
                lib.roundtrip(c, lib.pattern(50000))
        assert deaf.connections >= 2
        lib.wait_until(lambda: len(s.grep(
            rf" -> {names[2]}:{at}, (done|last write \(done\))$")) == 6,
            "six lines")


@pytest.mark.parametrize("retry", [0, 2])
def test_retry_of_a_host(relayd, port, retry):
    at = lib.free_port()
    names = hosts(2)
    s = relayd("prefork 1\nlog connection\n"
               f"table <t> {{ {names[0]} retry {retry}, {names[1]} }}\n" +
               relay(port, f"forward to <t> port {at}"))
    assert ask(port) == ""
    s.wait_for(rf"session 1 .* -> {names[1]}:{at}, "
               r"socket error: Connection refused$")
    assert len(s.grep(rf"session 1: \S*{names[0]}\S*: Connection ref")) == \
        retry + 1
    assert len(s.grep(rf"session 1: \S*{names[1]}\S*: Connection ref")) == 1


@pytest.mark.parametrize("retry", [0, 2])
def test_retry_of_an_address(relayd, port, retry):
    at = lib.free_port()
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {at} retry {retry}"))
    assert ask(port) == ""
    s.wait_for(rf"session 1 .* -> 127\.0\.0\.1:{at}, "
               r"socket error: Connection refused$")
    tries = s.grep(r"session 1: .*Connection refused")
    assert len(tries) == retry + 1


def test_first_bytes_survive_failover(relayd, backend, port):
    """What the client said before anybody was there goes to whoever is."""
    at = lib.free_port()
    names = hosts(3)
    echo = lib.Echo(host=names[1], port=at)
    with echo:
        relayd("prefork 1\n" + table(names) +
               relay(port, f"forward to <t> port {at}"))
        for _ in range(6):
            lib.echo_once(port, lib.pattern(100000))
    del backend


def test_connect_timeout(relayd, port):
    with lib.BlackHole() as hole:
        s = relayd("prefork 1\nlog connection\n" +
                   relay(port, f"forward to 127.0.0.1 port {hole.port}",
                         "session timeout 2"))
        began = time.monotonic()
        assert ask(port) == ""
        assert time.monotonic() - began > 1.5
        s.wait_for(r"session 1 .*, connect timeout$")


def test_loop(relayd, port):
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {port}"))
    assert ask(port) == ""
    s.wait_for(r"session 1 .*, session aborted$")
    assert s.grep(r"relay_session: session 1: looping")


def limit_descriptors(pid, n=None):
    """At most n more than it has, or as many as ever. Its own user may."""
    if not shutil.which("prlimit"):
        pytest.skip("no prlimit")
    who = pwd.getpwnam(rd.USER)
    used = lib.descriptors(pid)
    soft = n is not None and [i for i in range(65536) if i not in used][n]
    hard = open(f"/proc/{pid}/limits").read().split("Max open files")[1]
    hard = hard.split()[1]
    r = subprocess.run(["prlimit", "--pid", str(pid),
                        f"--nofile={soft or hard}:{hard}"],
                       user=who.pw_uid, group=who.pw_gid, extra_groups=[],
                       capture_output=True, text=True)
    if r.returncode:
        pytest.skip(f"limits of others cannot be set here: {r.stderr}")


def test_short_of_descriptors(relayd, backend, port):
    """A session waits for a descriptor, a second at a time, and is connected
    if there is one in time; meanwhile nobody else is accepted."""
    b = backend(Where)
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {b.port}"))
    assert ask(port) == "127.0.0.1"
    worker = lib.wait_until(lambda: s.named("relay"), "the worker")[0]
    time.sleep(0.5)		# whatever it still had to close
    idle = len(lib.descriptors(worker))
    limit_descriptors(worker, 1)
    with lib.connect(port) as first, lib.connect(port) as second:
        s.wait_for(r"relay_accept: deferring connections")
        assert b.connections == 1
        limit_descriptors(worker)
        assert lib.read_all(first) == b"127.0.0.1"
        assert lib.read_all(second) == b"127.0.0.1"
    lib.wait_until(lambda: len(lib.descriptors(worker)) == idle,
                   "the worker to be idle")
    limit_descriptors(worker, 1)
    began = time.monotonic()
    with lib.connect(port) as c:
        assert lib.read_all(c) == b""
    assert time.monotonic() - began > 4
    s.wait_for(r"session 4 .*, connection timed out$")
    limit_descriptors(worker)
    assert ask(port) == "127.0.0.1"


def test_disabled_relay(relayd, backend, port):
    b = backend(Where)
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {b.port}", "disable"))
    assert ask(port) == ""
    assert b.connections == 0
    other = lib.free_port()
    s.reload("prefork 1\nlog connection\n" +
             relay(port, f"forward to 127.0.0.1 port {b.port}") +
             relay(other, f"forward to 127.0.0.1 port {b.port}", name="o"))
    assert ask(port) == "127.0.0.1"
    # what was closed at once was no session
    assert len(lib.wait_until(lambda: rd.session_lines(s), "a line")) == 1


# ---- bytes and ends

@pytest.mark.parametrize("options", [
    "tcp splice", "tcp no splice", "tcp socket buffer 65536",
    "tcp { no splice, socket buffer 4096 }", "tcp { nodelay, no splice }"])
def test_bytes(relayd, backend, port, options):
    size = 3 << 20
    b = backend(lib.Duplex, size)
    relayd(f"prefork 1\nprotocol p {{ {options} }}\n" +
           relay(port, "protocol p", f"forward to 127.0.0.1 port {b.port}"))
    with lib.connect(port) as c:
        out = {}
        reader = threading.Thread(
            target=lambda: out.update(d=lib.read_digest(c)))
        reader.start()
        for block in lib.pattern_blocks(size, seed=2):
            c.sendall(block)
        c.shutdown(socket.SHUT_WR)
        reader.join(lib.TIMEOUT * 2)
    assert out["d"] == (size, lib.pattern_digest(size, seed=1))
    assert lib.wait_until(lambda: b.digests, "the server's") == \
        [(size, lib.pattern_digest(size, seed=2))]


def test_half_close(relayd, backend, port):
    """The server hears the end, and its answer still comes."""
    b = backend(lib.HalfClose)
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {b.port}"))
    with lib.connect(port) as c:
        c.sendall(b"question")
        c.shutdown(socket.SHUT_WR)
        assert lib.read_all(c) != b""
    s.wait_for(r"session 1 .*, (done|last write \(done\))$")


def test_resets_are_ends(relayd, backend, port):
    b = backend(lib.Echo)
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"forward to 127.0.0.1 port {b.port}"))
    c = lib.connect(port)
    assert lib.roundtrip(c, b"x") is not False
    lib.reset(c)
    s.wait_for(r"session 1 .*, (done|last write \(done\))$")
    c = lib.connect(port)
    lib.roundtrip(c, b"x")
    b.drop()
    with contextlib.suppress(OSError):
        lib.read_all(c)
    c.close()
    s.wait_for(r"session 2 .*, (done|last write \(done\))$")


def test_reset_behind_data(relayd, port):
    """What a client sent before it went away is delivered, however slow the
    server is."""
    size = 150000
    with lib.Slow() as b:
        s = relayd("prefork 1\nlog connection\n"
                   "protocol p { tcp { no splice, socket buffer 4096 } }\n" +
                   relay(port, "protocol p",
                         f"forward to 127.0.0.1 port {b.port}"))
        c = lib.connect(port)
        c.sendall(lib.pattern(size))
        # until all of it has left the client
        lib.wait_until(lambda: unsent(c) == 0, "all to be taken")
        lib.reset(c)
        b.go.set()
        assert lib.wait_until(lambda: b.counts, "the end at the server") == \
            [(size, hashlib.sha256(lib.pattern(size)).hexdigest())]
        s.wait_for(r"session 1 .*, last write \(done\)$")


def unsent(sock):
    """Bytes that the other end has not acknowledged: SIOCOUTQ."""
    n = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), 0x5411, n)
    return n[0]


# ---- times

@pytest.mark.parametrize("splice", ["splice", "no splice"])
def test_idle(relayd, backend, port, splice):
    b = backend(lib.Echo)
    s = relayd(f"prefork 1\nlog connection\nprotocol p {{ tcp {splice} }}\n" +
               relay(port, "protocol p", "session timeout 2",
                     f"forward to 127.0.0.1 port {b.port}"))
    with lib.connect(port) as c:
        for _ in range(4):			# longer than the limit
            lib.roundtrip(c, b"alive")
            time.sleep(0.8)
        began = time.monotonic()
        assert lib.read_all(c) == b""
        assert time.monotonic() - began < lib.TIMEOUT
    s.wait_for(r"session 1 .*, (buffer event|splice) timeout$")
    assert len(rd.session_lines(s)) == 1


def test_one_direction_keeps_the_other_alive(relayd, port):
    class Ticks(lib.Backend):
        def serve(self, conn):
            for _ in range(6):
                conn.sendall(b".")
                time.sleep(0.7)

    with Ticks() as b:
        s = relayd("prefork 1\nlog connection\n" +
                   relay(port, "session timeout 2",
                         f"forward to 127.0.0.1 port {b.port}"))
        with lib.connect(port) as c:
            assert lib.read_all(c) == b"......"
        s.wait_for(r"session 1 .*, (done|last write \(done\))$")


def test_output_that_nobody_reads(relayd, port):
    """It is not kept alive by the other direction."""
    class Talker(lib.Backend):
        def serve(self, conn):
            def read():
                with contextlib.suppress(OSError):
                    while conn.recv(65536):
                        pass
            t = threading.Thread(target=read, daemon=True)
            t.start()
            with contextlib.suppress(OSError):
                while True:
                    conn.sendall(b"x" * 65536)
            t.join()

    with Talker() as b:
        s = relayd("prefork 1\nlog connection\n"
                   "protocol p { tcp socket buffer 16384 }\n" +
                   relay(port, "protocol p", "session timeout 2",
                         f"forward to 127.0.0.1 port {b.port}"))
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(lib.TIMEOUT)
        c.connect(("127.0.0.1", port))
        end = time.monotonic() + lib.TIMEOUT
        with contextlib.suppress(OSError):
            while time.monotonic() < end and not s.grep(r"session 1 \(1"):
                c.sendall(b"alive")
                time.sleep(0.3)
        c.close()
        s.wait_for(r"session 1 .*, (buffer event|splice) timeout$")


# ---- PROXY headers

def received(recorder):
    """All that its first connection sent."""
    lib.wait_until(lambda: recorder.received and not recorder.active,
                   "what the server got")
    return bytes(recorder.received[0])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_header(relayd, backend, port, version):
    b = backend(lib.Recorder)
    relayd("prefork 1\n" +
           relay(port, f"forward to 127.0.0.1 port {b.port} "
                 f"proxy-protocol {version}"))
    with socket.socket() as c:
        c.bind(("127.0.60.7", 0))
        c.connect(("127.0.0.1", port))
        own = c.getsockname()[1]
        c.sendall(b"hello")
        c.shutdown(socket.SHUT_WR)
        got = received(b)
    if version == "v1":
        head = f"PROXY TCP4 127.0.60.7 127.0.0.1 {own} {port}\r\n".encode()
    else:
        head = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" +
                socket.inet_aton("127.0.60.7") +
                socket.inet_aton("127.0.0.1") + struct.pack("!HH", own, port))
    assert got == head + b"hello"


def test_proxy_header_ipv6(relayd, backend, port):
    if not lib.have_ipv6():
        pytest.skip("no IPv6")
    b = backend(lib.Recorder)
    relayd("prefork 1\n" + f'relay "r" {{\nlisten on ::1 port {port}\n'
           f"forward to 127.0.0.1 port {b.port} proxy-protocol v1\n}}\n")
    with lib.connect(port, host="::1") as c:
        own = c.getsockname()[1]
        c.shutdown(socket.SHUT_WR)
        got = received(b)
    assert got == f"PROXY TCP6 ::1 ::1 {own} {port}\r\n".encode()


def test_wildcard_listener_tells_where(relayd, backend, port):
    """The address the client called, not the listener's."""
    b = backend(lib.Recorder)
    relayd(f'prefork 1\nrelay "r" {{\nlisten on 0.0.0.0 port {port}\n'
           f"forward to 127.0.0.1 port {b.port} proxy-protocol v1\n}}\n")
    with lib.connect(port, host="127.0.61.9") as c:
        own = c.getsockname()[1]
        c.shutdown(socket.SHUT_WR)
        got = received(b)
    assert got == \
        f"PROXY TCP4 127.0.0.1 127.0.61.9 {own} {port}\r\n".encode()


# ---- address families

def test_inet_mapping(relayd, backend, port):
    """The last four bytes are an IPv4 address; no such one: a failure."""
    b = backend(Where)
    s = relayd("prefork 1\nlog connection\n"
               "table <t> { 64:ff9b::7f00:a07 }\n"
               "table <m> { 64:ff9b::e000:1 }\n" +
               relay(port, f"forward to <t> port {b.port} inet") +
               relay(bad := lib.free_port(),
                     f"forward to <m> port {b.port} inet", name="m"),
               relays=2)
    assert ask(port) == "127.0.10.7"
    assert ask(bad) == ""
    s.wait_for(r"relay m, session \d+ .*, session failed$")


def test_inet6_mapping(relayd, port):
    if not lib.have_ipv6():
        pytest.skip("no IPv6")
    setup = ("ip link set lo up\n"
             "ip -6 addr add 2001:db8:64::7f00:a07/128 dev lo nodad")
    with netns.Netns(setup) as ns, ns.inside():
        class Six(lib.Backend):
            def serve(self, conn):
                conn.sendall(conn.getsockname()[0].encode())

        with Six(host="2001:db8:64::7f00:a07") as b:
            relayd("prefork 1\ntable <t> { 127.0.10.7 }\n" +
                   relay(port, f"forward to <t> port {b.port} "
                         "inet6 2001:db8:64::"), wrap=ns.wrap)
            assert ask(port) == "2001:db8:64::7f00:a07"


# ---- where the client wanted to go

class Net:
    """A client in a namespace of its own, whose way anywhere leads through
    the namespace where the relay is. six: the same with IPv6."""

    def __init__(self, stack, six):
        self.six = six
        self.net = "fd91:{}::{}" if six else "10.91.{}.{}"
        self.bits = 64 if six else 24
        # the relay's sides, the client, the server
        self.here, self.there = self.net.format(1, 1), self.net.format(2, 1)
        self.who, self.target = self.net.format(1, 2), self.net.format(2, 2)
        self.ns = stack.enter_context(netns.Netns(f"""
            ip link set lo up
            sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
            sysctl -qw net.ipv4.conf.default.rp_filter=0
            sysctl -qw net.ipv6.conf.all.forwarding=1
            ip link add c0 type veth peer name c1
            ip link add s0 type veth peer name s1
            ip addr add {self.here}/{self.bits} dev c0 {self.nodad}
            ip addr add {self.there}/{self.bits} dev s0 {self.nodad}
            ip link set c0 up
            ip link set s0 up
            sysctl -qw net.ipv4.conf.c0.rp_filter=0
            sysctl -qw net.ipv4.conf.s0.rp_filter=0"""))
        self.client = self.end(stack, "c1", self.who, self.here)
        self.server = self.end(stack, "s1", self.target, self.there)

    @property
    def nodad(self):
        return "nodad" if self.six else ""

    def end(self, stack, link, address, gateway):
        ns = stack.enter_context(netns.Netns())
        self.ns.run(f"ip link set {link} netns {ns.holder.pid}")
        ns.run(f"ip addr add {address}/{self.bits} dev {link} {self.nodad}\n"
               f"ip link set {link} up\n"
               f"ip {'-6 ' * self.six}route add default via {gateway}")
        return ns

    def diverted(self):
        """What a transparent socket needs: packets of its connections are
        for this machine."""
        ip = "ip -6" if self.six else "ip"
        self.ns.run(f"{ip} rule add fwmark 0x800000/0x800000 lookup 8007\n"
                    f"{ip} route add local default dev lo table 8007")

    def nft(self, hook, rule):
        """One rule of one chain; IP: the word for the family."""
        family = "ip6" if self.six else "ip"
        self.ns.run(f"nft -f - <<'E'\ntable {family} t {{\nchain c {{\n"
                    f"type {hook}; policy accept;\n"
                    f"{rule.replace('IP', family)}\n}}\n}}\nE")

    def ask(self, address, port):
        with self.client.inside():
            with lib.connect(port, host=address) as c:
                return lib.read_all(c).decode()

    def peer(self, port, kind=None):
        with self.server.inside():
            return (kind or Peer)(host=self.target, port=port)


@pytest.fixture(params=["IPv4", "IPv6"])
def net(request):
    if request.param == "IPv6" and not lib.have_ipv6():
        pytest.skip("no IPv6")
    with contextlib.ExitStack() as stack:
        try:
            made = Net(stack, request.param == "IPv6")
        except subprocess.CalledProcessError as e:
            pytest.skip(f"no such network here: {e.stderr}")
        yield made


class Peer(lib.Backend):
    """Says who called and where."""

    def serve(self, conn):
        conn.sendall(f"{conn.getpeername()[0]} "
                     f"{conn.getsockname()[0]}".encode())
        conn.shutdown(socket.SHUT_WR)
        lib.read_all(conn)


DIVERT = "filter hook prerouting priority mangle"
NAT = "nat hook prerouting priority dstnat"


def listening(net, port, *lines, wild=False):
    any_address = "::" if net.six else "0.0.0.0"
    return "\n".join(['prefork 1', 'log connection', 'relay "r" {',
                      f"listen on {any_address if wild else net.here} "
                      f"port {port}", *lines, "}", ""])


@pytest.mark.parametrize("wild", [False, True])
def test_destination(relayd, net, port, wild):
    """Diverted connections go where they were going; direct ones to the
    relay's other target."""
    target = lib.free_port() if not wild else port
    net.diverted()
    net.nft(DIVERT, f"IP daddr {net.target} tcp dport {target} tproxy to "
            f":{port} meta mark set 0x00800000 accept")
    spare = lib.free_port()
    with net.peer(target), net.ns.inside():
        with Where_at("127.0.70.1", spare):
            s = relayd("table <t> { 127.0.70.1 }\n" + listening(
                net, port, "forward to destination",
                f"forward to <t> port {spare}", wild=wild),
                wrap=net.ns.wrap)
            assert net.ask(net.target, target) == \
                f"{net.there} {net.target}"
            assert net.ask(net.here, port) == "127.0.70.1"
    s.wait_for(rf"session 1 .* {net.who} -> {net.target}:{target}, done$")
    s.wait_for(rf"session 2 .* {net.who} -> 127\.0\.70\.1:{spare}, done$")


def test_destination_in_a_proxy_header(relayd, net, port):
    """The port that the client called, not the relay's."""
    target = lib.free_port()
    net.diverted()
    net.nft(DIVERT, f"IP daddr {net.target} tcp dport {target} tproxy to "
            f":{port} meta mark set 0x00800000 accept")
    with net.peer(target, lib.Recorder) as b, net.ns.inside():
        relayd(listening(net, port, "forward to destination "
                         "proxy-protocol v1"), wrap=net.ns.wrap)
        with net.client.inside():
            with lib.connect(target, host=net.target) as c:
                own = c.getsockname()[1]
        got = received(b)
    kind = "TCP6" if net.six else "TCP4"
    assert got == (f"PROXY {kind} {net.who} {net.target} {own} "
                   f"{target}\r\n").encode()


def test_nat_lookup(relayd, net, port):
    target = lib.free_port()
    net.nft(NAT, f"IP daddr {net.target} tcp dport {target} redirect to "
            f":{port}")
    with net.peer(target), net.ns.inside():
        s = relayd(listening(net, port, "forward to nat lookup", wild=True),
                   wrap=net.ns.wrap)
        assert net.ask(net.target, target) == f"{net.there} {net.target}"
        # one that was not redirected has no other target
        assert net.ask(net.here, port) == ""
    s.wait_for(rf"session 1 .* -> {net.target}:{target}, done$")
    s.wait_for(r"session 2 .* -> :0, session NAT lookup failed$")


def test_nat_lookup_with_another_target(relayd, net, port):
    target, spare = lib.free_port(), lib.free_port()
    net.nft(NAT, f"IP daddr {net.target} tcp dport {target} redirect to "
            f":{port}")
    with net.peer(target), net.ns.inside():
        with Where_at("127.0.70.2", spare):
            relayd(listening(net, port, "forward to nat lookup",
                             f"forward to 127.0.70.2 port {spare}"),
                   wrap=net.ns.wrap)
            assert net.ask(net.target, target) == \
                f"{net.there} {net.target}"
            assert net.ask(net.here, port) == "127.0.70.2"


def test_transparent(relayd, net, port):
    """The server sees the client's address."""
    net.diverted()
    net.nft(DIVERT, "meta l4proto tcp socket transparent 1 meta mark set "
            "0x00800000 accept")
    with net.peer(port), net.ns.inside():
        s = relayd(listening(net, port, "transparent forward to "
                             f"{net.target} port {port}"),
                   wrap=net.ns.wrap)
        for _ in range(5):
            assert net.ask(net.here, port) == f"{net.who} {net.target}"
    lib.wait_until(lambda: len(s.grep(rf" -> {net.target}:\d+, done$")) == 5,
                   "five lines")


def test_transparent_failover(relayd, net, port):
    """A socket of the parent is good for one attempt."""
    net.diverted()
    net.nft(DIVERT, "meta l4proto tcp socket transparent 1 meta mark set "
            "0x00800000 accept")
    net.server.run(f"ip addr add {net.net.format(2, 3)}/{net.bits} dev s1 "
                   f"{net.nodad}")
    with net.peer(port), net.ns.inside():
        s = relayd(f"table <t> {{ {net.net.format(2, 3)} {net.target} }}\n" +
                   listening(net, port, "transparent forward to <t> port "
                             f"{port}"), wrap=net.ns.wrap)
        for _ in range(4):
            assert net.ask(net.here, port) == f"{net.who} {net.target}"
    assert len(s.grep("Connection refused")) >= 2


def test_transparent_of_another_family(relayd, port):
    """No socket of the one family has an address of the other."""
    if not lib.have_ipv6():
        pytest.skip("no IPv6")
    at = lib.free_port()
    s = relayd("prefork 1\nlog connection\n" +
               relay(port, f"transparent forward to ::1 port {at}"))
    assert ask(port) == ""
    s.wait_for(r"session 1 .*, bindany failed, invalid socket$")


def manual(n):
    """The n-th display of relayd(8) about original destinations."""
    page = (lib.TOP / "doc" / "relayd.8").read_text()
    part = page.split(".Ss Original destinations on Linux")[1]
    part = part.split(".Sh ")[0]
    shown = re.findall(r"\.Bd -literal.*?\n(.*?)\.Ed", part, re.S)[n]
    return shown.replace("\\e", "\\").replace("198.51.100.0/24", "10.91.2.2")


def test_rules_of_the_manual(relayd):
    """As they stand there, but for address and ports."""
    with contextlib.ExitStack() as stack:
        try:
            net = Net(stack, False)
        except subprocess.CalledProcessError as e:
            pytest.skip(f"no such network here: {e.stderr}")
        net.ns.run(manual(3))
        for n in range(3):
            text = manual(n).replace("dport 80 ", f"dport {8000 + n} ")
            net.ns.run(f"nft -f - <<'E'\n{text}\nE")
        peers = [stack.enter_context(net.peer(8000 + n)) for n in range(3)]
        with net.ns.inside():
            relayd(f"""
                relay "nat" {{ listen on {net.here} port 8443
                    forward to nat lookup }}
                relay "destination" {{ listen on {net.here} port 8444
                    forward to destination }}
                relay "transparent" {{ listen on {net.here} port 8445
                    transparent forward to {net.target} port 8002 }}
                """, relays=9, wrap=net.ns.wrap)
            assert net.ask(net.target, 8000) == f"{net.there} {net.target}"
            assert net.ask(net.target, 8001) == f"{net.there} {net.target}"
            assert net.ask(net.here, 8445) == f"{net.who} {net.target}"
        assert [b.connections for b in peers] == [1, 1, 1]
        assert [b.peers[0][0] for b in peers] == [net.there, net.there,
                                                  net.who]


# ---- options

def options_of(port):
    """What ss shows of connections to that port."""
    if not shutil.which("ss"):
        pytest.skip("no ss")
    return subprocess.run(["ss", "-tnmieH", "dport", "=", f":{port}"],
                          capture_output=True, text=True, check=True).stdout


def test_buffers_toward_servers(relayd, port):
    with Patient() as b:
        relayd("prefork 1\nprotocol p { tcp { socket buffer 20480, nodelay } "
               "}\n" + relay(port, "protocol p",
                             f"forward to 127.0.0.1 port {b.port}"))
        with lib.connect(port) as c:
            assert c.recv(1) == b"x"
            shown = options_of(b.port)
            # the kernel doubles what is asked for
            assert "rb40960" in shown and "tb40960" in shown, shown


class Patient(lib.Backend):
    """Says x and waits for the end. ttl: packets that came further are not
    there."""

    def __init__(self, ttl=None, **kw):
        self.ttl = ttl
        super().__init__(**kw)

    def prepare(self):
        if self.ttl:
            self.sock.setsockopt(socket.IPPROTO_IP, 21, self.ttl)  # IP_MINTTL

    def serve(self, conn):
        conn.sendall(b"x")
        lib.read_all(conn)


def test_ttl_toward_servers(relayd, port):
    """A server that takes nothing below 78: loopback sends with 64."""
    with Patient(ttl=78) as b:
        s = relayd("prefork 1\nlog connection\n"
                   "protocol p { tcp ip ttl 78 }\n"
                   "protocol q { tcp ip ttl 77 }\n" +
                   relay(port, "protocol p",
                         f"forward to 127.0.0.1 port {b.port}") +
                   relay(bad := lib.free_port(), "protocol q",
                         "session timeout 2",
                         f"forward to 127.0.0.1 port {b.port}", name="bad"),
                   relays=2)
        with lib.connect(port) as c:
            assert c.recv(1) == b"x"
        with lib.connect(bad) as c:
            assert c.recv(1) == b""
        s.wait_for(r"relay bad, session \d+ .*, connect timeout$")


def test_minttl_on_both_sides(relayd, port):
    """Packets that came further than allowed are not there at all; loopback
    sends with 64."""
    at = lib.free_port()
    with Where_at("127.0.0.1", at):
        s = relayd("prefork 1\nlog connection\n"
                   "protocol p { tcp ip minttl 65 }\n"
                   "protocol q { tcp ip minttl 64 }\n" +
                   relay(port, "protocol q",
                         f"forward to 127.0.0.1 port {at}") +
                   relay(bad := lib.free_port(), "protocol p",
                         "session timeout 2",
                         f"forward to 127.0.0.1 port {at}", name="bad"),
                   relays=2)
        assert ask(port) == "127.0.0.1"
        with socket.socket() as c:
            c.settimeout(3)
            with pytest.raises(OSError):
                c.connect(("127.0.0.1", bad))
                c.sendall(b"x")
                if c.recv(1) == b"":
                    raise OSError("closed")
    del s
