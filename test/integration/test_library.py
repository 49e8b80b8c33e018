"""Workers of another kind on the plain channel (5.9): probe.c and
sample/hello against libspawnd, behind both programs."""

import os
import re
import signal
import socket
import struct
import subprocess
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
id = tcprelay {{ remote = {{ address = 192.0.2.1 port = 9 }} }}
"""


@pytest.fixture(params=["spawnd", "tcprelay"])
def broker(request, service, probe, port):
    """broker(what the probe is to do, ...): a service with it as workers"""
    def make(id="good", least=1, most=2, listen=None, spawn="", broker="",
             **kw):
        return service(CONF.format(
            listen=listen or f"listen = {{ port = {port} }}", exec=probe,
            id=id, least=least, most=most, spawn=spawn, broker=broker),
            program=request.param, **kw)

    return make


def visit(port, **kw):
    """A connection and what the worker said about it."""
    sock = lib.connect(port, **kw)
    return sock, ops.told(sock)


def test_metadata(broker, port):
    other = lib.free_port()
    s = broker(listen=f"""
	listen = {{ address = 127.0.0.1 port = {port} realm = some.realm
		haproxy = yes flag = accounting aaa.protocol = tacacs.tcp }}
	listen = {{ address = 127.0.0.1 port = {other} tls = TLSv1.3
		tls psk = yes }}""", listeners=2)
    a, about = visit(port)
    assert about["realm"] == "some.realm" and about["listener"] == "0"
    assert about["flags"] == "3" and about["versions"] == "0"
    assert (about["aaa"], about["type"], about["protocol"]) == ("1", "1", "6")
    assert about["peer"] == "127.0.0.1:%d" % a.getsockname()[1]
    assert about["local"] == f"127.0.0.1:{port}"
    assert about["late"] == "0" and about["cloexec"] == "1"
    assert about["section"] == "good"
    assert int(about["pid"]) in s.workers()
    b, second = visit(other)
    assert (second["realm"], second["listener"]) == ("-", "1")
    assert (second["flags"], second["versions"]) == ("4", "2")
    assert int(second["id"]) > int(about["id"])
    for c in (a, b):
        lib.roundtrip(c, b"echo")
        c.close()


def test_accounting(broker, port):
    """Users by ACCEPT and DONE; a DONE too many is corrected and logged."""
    s = broker(most=1)
    a, about = visit(port)
    b, _ = visit(port)
    ops.wait_users(s, [2])
    a.close()
    ops.wait_users(s, [1])
    b.sendall(b"!done 5\n")
    s.wait_for(rf"worker {about['pid']} reports 5 ended connections, has 1")
    ops.wait_users(s, [0])
    lib.roundtrip(b, b"still there")
    b.close()
    s.wait_for(rf"worker {about['pid']} reports 1 ended connections, has 0")
    # and one that is never reported counts until the worker goes
    c, _ = visit(port)
    c.sendall(b"!forget\n")
    assert c.recv(1) == b""
    ops.wait_users(s, [1])
    os.kill(int(about["pid"]), signal.SIGKILL)
    s.wait_for(rf"worker {about['pid']} killed by signal 9 .*, lost 1")
    visit(port)[0].close()
    ops.wait_users(s, [0])


def test_end_is_seen_at_once(broker, port):
    """The master's copy of a descriptor does not keep a connection open,
    also if the worker dies with it."""
    s = broker(most=1)
    ops.wait_ready(s, 1)

    def sockets():
        return len([t for t in lib.descriptors(s.pid).values()
                    if "socket" in t])

    n = sockets()
    c, about = visit(port)
    lib.wait_until(lambda: sockets() == n, "the copy to be closed")
    d, _ = visit(port)
    c.sendall(b"!exit 0\n")
    for sock in (c, d):
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
    s.wait_for(rf"worker {about['pid']} ended, status 0, served \d, lost 2")


def test_returned(broker, port):
    """What one worker gives back another one serves; the client sees one
    line."""
    s = broker("return", least=2, most=2)
    pids = set()
    for _ in range(10):
        c, about = visit(port)
        lib.roundtrip(c, b"x")
        pids.add(int(about["pid"]))
        c.close()
    assert len(pids) == 1 and len(s.workers()) == 2
    ops.wait_users(s, [0, 0])


def test_maximum(broker, port):
    """A worker may lower its limit at any time."""
    s = broker("max-3", most=2, spawn="users min = 1 users max = 50")
    first, about = visit(port)
    s.wait_for(rf"worker {about['pid']} can hold 3 connections only")
    first.sendall(b"!max 1\n")
    s.wait_for(rf"worker {about['pid']} can hold 1 connections only")
    others = [visit(port) for _ in range(3)]
    assert {o[1]["pid"] for o in others} != {about["pid"]}
    assert about["pid"] not in [o[1]["pid"] for o in others]
    late = lib.connect(port, timeout=0.3)		# 1 + 3 is all
    with pytest.raises(TimeoutError):
        late.recv(1)
    s.wait_for("4 connections reached, queueing new ones")
    first.close()
    late.settimeout(lib.TIMEOUT)
    assert ops.told(late)["pid"] == about["pid"]
    for c in [late] + [o[0] for o in others]:
        c.close()


def test_dying(broker, port):
    """It serves what it has, others get the rest, then it ends."""
    s = broker(most=2)
    first, about = visit(port)
    lib.roundtrip(first, b"x")
    first.sendall(b"!dying\n")
    lib.wait_until(lambda: [w.state for w in ops.workers(s)
                            if w.pid == int(about["pid"])] == ["retiring"],
                   "the state to be shown", step=0.05)
    for _ in range(5):
        c, other = visit(port)
        assert other["pid"] != about["pid"]
        c.close()
    lib.roundtrip(first, b"to the end")
    first.close()
    s.wait_for(rf"worker {about['pid']} ended, status 0, served 1, lost 0")


def test_told_to_end(broker, port):
    """SIGHUP replaces foreign workers, always; SIGTERM tells them."""
    s = broker(least=2, most=2)
    first, about = visit(port)
    with ops.Visitors(port, 3, lambda: visit(port)[0]) as visitors:
        visitors.more()
        m = s.reload()
        visitors.more()
    assert re.search("0 workers kept, 2 replaced", m.group(0))
    s.wait_for("probe: told to end", count=2)
    lib.roundtrip(first, b"as before")
    second, now = visit(port)
    assert now["pid"] != about["pid"]
    first.close()
    s.wait_for(rf"worker {about['pid']} ended, status 0")
    s.send_signal(signal.SIGTERM)
    assert s.wait() == 0
    s.wait_for("probe: told to end", count=4)
    lib.roundtrip(second, b"without a master")
    second.close()


def test_master_lost(broker, port):
    s = broker(least=2, most=2, clean=False)
    sock, about = visit(port)
    s.send_signal(signal.SIGKILL)
    s.wait()
    s.wait_for("probe: channel lost", count=2)
    lib.roundtrip(sock, b"without a master")
    lib.wait_until(lambda: lib.session_members(s.pid) ==
                   [int(about["pid"])], "idle workers to end")
    sock.close()
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end")


@pytest.mark.parametrize("id,line,status", [
    ("bad-config", r"worker \d+: configuration not usable: nothing pleases "
     "me", 78),
    ("version", r"probe: open: Protocol error", 78)])
def test_refusal_at_first_start(broker, id, line, status):
    s = broker(id, start=False, clean=False)
    s.launch()
    assert s.wait() == status
    s.wait_for(line)
    s.wait_for("configuration not usable")
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end")


def test_refusal_at_reload(broker, port):
    """The old ones go on."""
    s = broker(least=1)
    sock, about = visit(port)
    text = s.file.read_text()
    m = s.reload(text.replace("id = good", "id = bad-config"),
                 expect="reload: failed, no worker got ready")
    assert s.grep("configuration not usable: nothing pleases me")
    lib.roundtrip(sock, b"as before")
    sock.close()
    again, now = visit(port)
    assert now["pid"] == about["pid"] and now["section"] == "good"
    again.close()
    s.reload(text.replace("id = good", "id = better"))
    third, now = visit(port)
    assert now["pid"] != about["pid"] and now["section"] == "better"
    third.close()


def test_program_that_says_nothing(broker, port, tmp_path):
    """exec of something that is no worker at all: throttled, and seen."""
    s = broker("exit-0", least=1, most=1)
    s.wait_for(r"worker \d+ ended, status 0, served 0, lost 0")
    with lib.connect(port, timeout=0.5) as c:
        with pytest.raises(TimeoutError):
            c.recv(1)
    assert len(s.grep("worker .* ended")) < 30


@pytest.mark.slow
def test_never_ready(service, probe, port):
    """30 s without READY is a failed start (5.4)."""
    s = service(CONF.format(listen=f"listen = {{ port = {port} }}",
                            exec=probe, id="mute", least=1, most=1, spawn="",
                            broker=""), program="spawnd")
    worker, = s.wait_workers(1)
    with lib.connect(port, timeout=50) as early:
        early.sendall(b"x")
        m = s.wait_for(r"worker (\d+) is not ready after 30 s, killed", 45)
        assert int(m.group(1)) == worker
        s.wait_for(rf"worker {worker} killed by signal 9 \(SIGKILL\)")
        s.write(s.file.read_text().replace("id = mute", "id = good"))
        s.reload()
        ops.told(early)				# it has waited in the master
        assert lib.read_exact(early, 1) == b"x"


# ---- without a master, or with one of our own

def hello(nonce, version=1):
    """HELLO as a master says it."""
    payload = nonce + struct.pack("=II16sII", 1, 0, b"some other build",
                                  1, 0)
    return struct.pack("=IHHII", 0x53504E44, version, 20, len(payload),
                       1) + payload


def play_master(probe, directory, first, variable):
    """Starts the probe with a channel on which first is waiting."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if first:
        ours.send(first)
    p = subprocess.Popen([probe, "FILE", "good"], stdin=theirs,
                         stderr=subprocess.PIPE, text=True,
                         env=lib.environment(directory,
                                             {"SPAWND_WORKER": variable}))
    theirs.close()
    ours.settimeout(lib.TIMEOUT)
    return p, ours


NONCE = bytes(range(8))


def test_opening(probe, tmp_path):
    """The plain form: READY with the nonce, then connections, TAKEN."""
    p, ours = play_master(probe, tmp_path, hello(NONCE), "1:" + NONCE.hex())
    data = ours.recv(70000)
    head = struct.unpack("=IHHII", data[:16])
    assert head == (0x53504E44, 1, 16, 16, 1)
    assert data[16:] == NONCE + struct.pack("=II", 1, 64)
    # a connection: one record, one descriptor
    a, b = socket.socketpair()
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    record = struct.pack("=QQQIIIIHH16sI", 77, now, now, 0, 0, 0, 0, 1, 0,
                         b"realm", 0) + bytes(256)
    assert len(record) == 320
    message = struct.pack("=IHHII", 0x53504E44, 1, 6, len(record), 2) + record
    socket.send_fds(ours, [message], [b.fileno()])
    b.close()
    data = ours.recv(70000)
    assert struct.unpack("=HH", data[4:8])[1] == 17		# TAKEN
    assert struct.unpack("=Q", data[16:24]) == (77,)
    a.settimeout(lib.TIMEOUT)
    assert ops.told(a)["realm"] == "realm"
    # PING is answered, the same without its descriptor is given back
    ours.send(struct.pack("=IHHII", 0x53504E44, 1, 18, 8, 3) + b"12345678")
    data = ours.recv(70000)
    assert struct.unpack("=HH", data[4:8])[1] == 19 and \
        data[16:24] == b"12345678"
    ours.send(message)
    data = ours.recv(70000)
    assert struct.unpack("=HH", data[4:8])[1] == 22		# RETURN
    assert struct.unpack("=QI", data[16:28]) == (77, 2)
    a.close()
    data = ours.recv(70000)
    assert struct.unpack("=HH", data[4:8])[1] == 0		# DONE
    ours.send(struct.pack("=IHHII", 0x53504E44, 1, 2, 0, 4))	# MAY-DIE
    assert p.wait(lib.TIMEOUT) == 0
    assert "told to end" in p.stderr.read()
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("first,variable", [
    (hello(bytes(8)), "1:" + NONCE.hex()),			# wrong nonce
    (hello(NONCE, 2), "1:" + NONCE.hex()),			# wrong version
    (hello(NONCE), "2:" + NONCE.hex()),
    (hello(NONCE)[:20], "1:" + NONCE.hex()),			# short
    (b"", "1:" + NONCE.hex()),					# nothing
    (hello(NONCE), "1:" + NONCE.hex()[1:]),			# short nonce
    (hello(NONCE), "nonsense"),
])
def test_wrong_opening(probe, tmp_path, first, variable):
    p, ours = play_master(probe, tmp_path, first, variable)
    if not first:
        ours.close()
    assert p.wait(lib.TIMEOUT) == 78
    assert "probe: open: " in p.stderr.read()
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("variable", [None, "1:" + NONCE.hex()])
def test_not_started_by_a_broker(probe, tmp_path, variable):
    r = lib.run(probe, "FILE", "good", directory=tmp_path,
                env={"SPAWND_WORKER": variable})
    assert r.returncode == 78
    assert "Socket operation on non-socket" in r.stderr


# ---- the sample

@pytest.mark.parametrize("program", ["spawnd", "tcprelay"])
def test_hello(service, port, program):
    s = service(CONF.format(listen=f"listen = {{ port = {port} realm = "
                            "world }", exec=lib.HELLO, id="hello", least=2,
                            most=2, spawn="", broker=""), program=program)
    for _ in range(10):
        with lib.connect(port) as c:
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            head, _, body = lib.read_all(c).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert re.fullmatch(rb"hello \S*127\.0\.0\.1, this is worker \d+ of "
                            rb"world\n", body)
    ops.wait_users(s, [0, 0])
    assert sum(w.served for w in ops.workers(s)) == 10
