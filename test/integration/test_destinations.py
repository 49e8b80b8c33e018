"""Which destination a session gets (4.6), and what happens when they fail and
come back."""

import contextlib
import ctypes
import fcntl
import os
import re
import resource
import socket
import time

import pytest

import lib
import stage


def take(port, stack, n):
    """n sessions that stay; the names of their destinations."""
    names = []
    for _ in range(n):
        c = stack.enter_context(lib.connect(port))
        names.append(c.recv(100).decode())
    return names


def holders(backend, names):
    return [backend(lib.Holder, name) for name in names]


# ---- the tables of the specification

@pytest.mark.parametrize("weights, expected, use", [
    ((1, 2, 3), "1 2 3 3 2 3 1 2 3 3 2 3", (2, 4, 6)),
    ((1, 1, 1), "1 2 3 1 2 3 1 2 3 1 2 3", (4, 4, 4)),
    ((3, 1), "1 2 1 1 1 2 1 1 1 2 1 1", (9, 3)),
    # rounding (9, row 56): with integer loads the second would get none
    ((1000, 999), "1 2 1 2 1 2 1 2 1 2 1 2", (6, 6)),
    ((65535, 1), "1 2 1 1 1 1 1 1 1 1 1 1", (11, 1)),
])
@pytest.mark.parametrize("accept", ["master", "workers"])
def test_table(service, backend, port, accept, weights, expected, use):
    peers = holders(backend, [str(i + 1) for i in range(len(weights))])
    s = service(stage.config(
        port, [f"{p.remote} weight = {w}" for p, w in zip(peers, weights)],
        **stage.ACCEPTS[accept]))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 12) == expected.split()
        _, rows = stage.status(s)
        got = [rows[stage.endpoint(p)] for p in peers]
        assert tuple(int(r["sessions"]) for r in got) == use
        assert tuple(int(r["total"]) for r in got) == use
        assert tuple(int(r["weight"]) for r in got) == weights
    lib.wait_until(lambda: all(stage.users_of(s, p) == 0 for p in peers),
                   "the end of all sessions")


def test_short_sessions_go_to_the_first(service, backend, port):
    """It is a least-connections rule, not a rotation."""
    peers = [backend(lib.Named, n) for n in "abc"]
    s = service(stage.config(port, [p.remote for p in peers]))
    for i in range(6):
        assert lib.ask_name(port) == "a"
        lib.wait_until(lambda: len(stage.sessions(s)) == i + 1,
                       "the end of the session")


def test_released(service, backend, port):
    """Who ends makes room where it was."""
    peers = holders(backend, "abc")
    s = service(stage.config(port, [p.remote for p in peers]))
    with contextlib.ExitStack() as stack:
        a, b, c = (stack.enter_context(lib.connect(port)) for _ in range(3))
        assert [x.recv(9) for x in (a, b, c)] == [b"a", b"b", b"c"]
        b.close()
        lib.wait_until(lambda: stage.users_of(s, peers[1]) == 0, "b's end")
        assert take(port, stack, 4) == ["b", "a", "b", "c"]


def test_pools_do_not_matter_without_mavis(service, backend, port):
    """All destinations are candidates when no answer named a pool."""
    peers = holders(backend, "ab")
    service(stage.config(port, [f"{peers[0].remote} pool = one",
                                f"{peers[1].remote} pool = two"]))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 4) == ["a", "b", "a", "b"]


# ---- one that fails

def test_first_is_dead(service, backend, port):
    """Fourth row of the table: all go to the second; one line says why."""
    refusing = backend(lib.Refusing)
    peer, = holders(backend, "2")
    s = service(stage.config(port, [refusing.remote, peer.remote]))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 12) == ["2"] * 12
        _, rows = stage.status(s)
        dead, up = (rows[stage.endpoint(p)] for p in (refusing, peer))
        assert (dead["state"], dead["sessions"], dead["failures"]) == \
            ("dead", "0", "1")
        assert (up["state"], up["sessions"]) == ("up", "12")
    failed = s.grep(r"destination .* failed: .*")
    assert len(failed) == 1
    assert re.search(rf"destination \[127\.0\.0\.1\]:{refusing.port} "
                     r"failed: Connection refused", failed[0].group(0))


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_any_may_be_dead(service, backend, port, dead):
    """Wherever it stands in the list (9, row 36), sessions get through and
    the worker does not spin."""
    peers = holders(backend, "abc")
    remotes = [p.remote for p in peers]
    remotes[dead] = backend(lib.Refusing).remote
    s = service(stage.config(port, remotes))
    worker, = s.wait_workers(1)
    expected = [n for i, n in enumerate("abc") if i != dead] * 4
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 8) == expected
        cpu = stage.cpu_time(worker)
        time.sleep(0.3)
        assert stage.cpu_time(worker) - cpu <= 0.05


def test_down_up(service, backend, port):
    """It goes away and comes back; with the dead time over it is used again,
    and both are said once."""
    first, second = holders(backend, "ab")
    s = service(stage.config(port, [first.remote, second.remote],
                             relay="dead time = 1"))
    assert lib.ask_name(port) == "a"
    first.close()
    lib.wait_until(lambda: stage.users_of(s, first) == 0, "an idle first")
    since = time.monotonic()
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 3) == ["b"] * 3
        s.wait_for(rf"destination \[127\.0\.0\.1\]:{first.port} failed: ")
        back = backend(lib.Holder, "again", port=first.port)
        names = []
        while "again" not in names:
            names += take(port, stack, 1)
            time.sleep(0.05)
            assert len(names) < 200
        assert time.monotonic() - since >= 1
        s.wait_for(rf"destination \[127\.0\.0\.1\]:{back.port} is back$")
        _, rows = stage.status(s)
        assert rows[stage.endpoint(back)]["state"] == "up"
    assert len(s.grep("is back")) == 1
    assert len(s.grep(r"destination .* failed")) == 1


def test_still_dead_is_said_once(service, backend, port):
    """Several probes fail: it is one change, hence one line."""
    refusing = backend(lib.Refusing)
    peer, = holders(backend, "b")
    s = service(stage.config(port, [refusing.remote, peer.remote],
                             relay="dead time = 1"))

    def failures():
        return int(stage.status(s)[1][stage.endpoint(refusing)]["failures"])

    with contextlib.ExitStack() as stack:
        n = 0
        while failures() < 3:
            assert take(port, stack, 1) == ["b"]
            n += 1
            assert n < 200
            time.sleep(0.1)
    assert len(s.grep(r"destination .* failed")) == 1


def test_one_probe_at_a_time(service, backend, port):
    """Behind its dead time it gets one session; others do not wait for what
    that one meets."""
    hole = backend(lib.BlackHole)
    peer, = holders(backend, "b")
    s = service(stage.config(port, [hole.remote, peer.remote],
                             relay="dead time = 1 connect timeout = 3"))
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        # the first one finds out
        assert take(port, stack, 1) == ["b"]
        assert time.monotonic() - start >= 3
        lib.wait_until(lambda: time.monotonic() - start > 4.3, "dead time")
        prober = stack.enter_context(lib.connect(port))
        lib.wait_until(lambda: stage.users_of(s, hole) == 1, "the probe")
        quick = time.monotonic()
        assert take(port, stack, 5) == ["b"] * 5
        assert time.monotonic() - quick < 2
        assert prober.recv(9) == b"b"
    assert len(s.grep(r"destination .* failed: Connection timed out")) == 1


def test_no_dead_time(service, backend, port):
    """dead time = 0: dead until all are."""
    first, second = holders(backend, "ab")
    s = service(stage.config(port, [first.remote, second.remote],
                             relay="dead time = 0"))
    first.close()
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 1) == ["b"]
        backend(lib.Holder, "again", port=first.port)
        time.sleep(1.2)			# no time brings it back
        assert take(port, stack, 3) == ["b"] * 3
    lib.wait_until(lambda: stage.users_of(s, second) == 0, "all to end")
    second.close()
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 2) == ["again"] * 2
    s.wait_for("all destinations failed, trying all again")


def test_rebalance(service, backend, port):
    """The example: selections 1-3 with the first destination down, then the
    marks are cleared."""
    first, second = lib.Refusing(), backend(lib.Holder, "b")
    s = service(stage.config(port, [first.remote, second.remote],
                             relay="rebalance = 3 dead time = 0"))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 1) == ["b"]	# selections 1 and 2
        backend(lib.Holder, "a", port=first.port)
        assert take(port, stack, 1) == ["b"]	# 3
        assert take(port, stack, 1) == ["a"]	# cleared, 1
        assert take(port, stack, 1) == ["a"]	# 1 against 2 sessions, 2
        s.wait_for(rf":{first.port} is back")
        assert take(port, stack, 2) == ["a", "b"]


def test_every_second_breaks(service, backend, port):
    """What is established and breaks later does not mark a destination."""
    flaky = backend(stage.Breaking, every=2)
    s = service(stage.config(port, flaky.remote))
    ends = []
    for _ in range(6):
        with lib.connect(port) as c:
            name = c.getsockname()[1]
            c.sendall(b"x")
            with contextlib.suppress(ConnectionResetError):
                c.recv(1)
        ends.append(stage.session_of(s, name)["end"])
    assert ends == ["done", "destination-error"] * 3
    row = stage.status(s)[1][stage.endpoint(flaky)]
    assert (row["state"], row["failures"]) == ("up", "0")
    assert not s.grep(r"destination .* failed")


def test_refusing_every_second_connect(service, backend, port):
    """A listener that is there only half of the time: nobody is turned away
    as long as the other one serves."""
    steady = backend(lib.Named, "steady")
    where = lib.Refusing()
    s = service(stage.config(
        port, [where.remote, steady.remote], relay="dead time = 1"))
    names = []
    for i in range(8):
        if i % 2:
            with lib.Named("flaky", port=where.port):
                names.append(lib.ask_name(port))
        else:
            names.append(lib.ask_name(port))
        lib.wait_until(lambda: len(stage.sessions(s)) == i + 1, "its end")
    assert set(names) <= {"steady", "flaky"}
    assert names[0] == "steady"
    assert all(x["end"] == "done" for x in stage.sessions(s))


# ---- one that does not answer

def test_unreachable(service, backend, port):
    """No answer within the connect timeout: the next one."""
    hole = backend(lib.BlackHole)
    peer, = holders(backend, "b")
    s = service(stage.config(port, [hole.remote, peer.remote],
                             relay="connect timeout = 1"))
    start = time.monotonic()
    assert lib.ask_name(port) == "b"
    assert 1 <= time.monotonic() - start < 8
    s.wait_for(rf"destination \[127\.0\.0\.1\]:{hole.port} failed: "
               "Connection timed out")
    start = time.monotonic()
    assert lib.ask_name(port) == "b"	# it is dead now: at once
    assert time.monotonic() - start < 1


def test_no_route(service, backend, port):
    """An address that the system refuses to reach is the destination's fault:
    no TCP connection goes to the broadcast address."""
    peer, = holders(backend, "b")
    s = service(stage.config(
        port, ["address = 255.255.255.255 port = 9", peer.remote]))
    assert lib.ask_name(port) == "b"
    s.wait_for(r"destination \[255\.255\.255\.255\]:9 failed: ")


# ---- all of them

def test_all_down_all_back(service, backend, port):
    """The client is closed orderly, one line says so, and all are tried
    again at the next chance (9, row 37)."""
    down = [lib.Refusing(), lib.Refusing()]
    s = service(stage.config(port, [d.remote for d in down],
                             relay="dead time = 600"))
    worker, = s.wait_workers(1)
    # the first one tries both, clears the marks and tries both again; the
    # others find them marked already
    for tries in "4", "2", "2":
        with lib.connect(port) as c:
            name = c.getsockname()[1]
            c.sendall(b"anybody?")
            assert lib.read_all(c) == b""
        got = stage.session_of(s, name)
        assert (got["end"], got["dst"], got["tries"]) == \
            ("no-destination", "-", tries)
    assert len(s.grep(r"destination .* failed: Connection refused")) == 2
    s.wait_for("all destinations failed, trying all again")
    cpu = stage.cpu_time(worker)
    time.sleep(0.3)
    assert stage.cpu_time(worker) - cpu <= 0.05
    for i, d in enumerate(down):
        backend(lib.Holder, "ab"[i], port=d.port)
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 4) == ["a", "b", "a", "b"]
    s.wait_for("is back", count=2)


def test_single_destination_restarts(service, backend, port):
    """One destination, gone for a moment."""
    peer = backend(lib.Named, "old")
    s = service(stage.config(port, peer.remote))
    assert lib.ask_name(port) == "old"
    peer.close()
    assert lib.ask_name(port) == ""
    backend(lib.Named, "new", port=peer.port)
    assert lib.ask_name(port) == "new"
    s.wait_for("is back")


def test_failures_are_per_worker(service, backend, port):
    """What one worker found out is its own; both say so."""
    refusing = backend(lib.Refusing)
    peer, = holders(backend, "b")
    s = service(stage.config(
        port, [refusing.remote, peer.remote],
        spawn="instances min = 2 instances max = 2 users min = 1"))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 4) == ["b"] * 4
    assert len(s.grep(r"destination .* failed")) == 2


# ---- ours, not theirs

def test_local_failure_does_not_mark(service, backend, port):
    """A local address that this system does not have: the session fails with
    its own text, and the destination stays up."""
    peer, = holders(backend, "a")
    s = service(stage.config(port, peer.remote,
                             relay="local address = 192.0.2.77"))
    for _ in range(2):
        with lib.connect(port) as c:
            name = c.getsockname()[1]
            assert lib.read_all(c) == b""
        assert stage.session_of(s, name)["end"] == "local-error"
    s.wait_for(rf"connect to \[127\.0\.0\.1\]:{peer.port}: "
               "Cannot assign requested address")
    _, rows = stage.status(s)
    assert (rows[stage.endpoint(peer)]["state"],
            rows[stage.endpoint(peer)]["failures"]) == ("up", "0")
    assert not s.grep("failed")


def test_no_descriptors(service, backend, port):
    """Out of descriptors: our fault, and over when there are some again."""
    peer, = holders(backend, "a")
    s = service(stage.config(port, peer.remote))
    worker, = s.wait_workers(1)
    with lib.connect(port) as c:
        assert c.recv(1) == b"a"
        most = len(lib.descriptors(worker))
    lib.wait_until(lambda: len(lib.descriptors(worker)) == most - 2,
                   "closed descriptors")
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    used = max(lib.descriptors(worker)) + 1
    # exactly one more: the client's, none for the destination
    free = [n for n in range(used) if n not in lib.descriptors(worker)]
    resource.prlimit(worker, resource.RLIMIT_NOFILE,
                     ((free[0] if free else used) + 1, hard))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        assert lib.read_all(c) == b""
    got = stage.session_of(s, name)
    assert got["end"] == "local-error"
    s.wait_for("out of descriptors")
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
    assert lib.ask_name(port) == "a"
    assert not s.grep(r"destination .* failed")


# ---- addresses

def test_local_address(service, backend, port):
    peer, = holders(backend, "a")
    service(stage.config(port, peer.remote,
                         relay="local address = 127.0.0.9"))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 5) == ["a"] * 5
    assert {p[0] for p in peer.peers} == {"127.0.0.9"}


@pytest.mark.skipif(not lib.have_ipv6(), reason="no IPv6")
def test_local_address_of_one_family(service, backend, port):
    """Only used for destinations of its family (9, row 55)."""
    four, six = backend(lib.Holder, "4"), backend(lib.Holder, "6",
                                                  host="::1")
    service(stage.config(port, [six.remote, four.remote],
                         relay="local address = 127.0.0.9"))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 4) == ["6", "4", "6", "4"]
    assert {p[0] for p in four.peers} == {"127.0.0.9"}
    assert {p[0] for p in six.peers} == {"::1"}


def test_keepalive_and_nodelay(service, backend, port):
    """Socket options of both sockets of a session (7.2)."""
    peer, = holders(backend, "a")
    s = service(stage.config(
        port, peer.remote, listen="dscp = 10 tcp keepalive idle = 77 "
        "tcp keepalive count = 4 tcp keepalive interval = 5"))
    with lib.connect(port) as c:
        assert c.recv(1) == b"a"
        worker, = s.workers()
        socks = relay_sockets(worker, port, peer.port)
        for side, sock in socks.items():
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert tos_of(sock) == 40, side
            # nobody sets sizes: the system tunes them (9, row 46)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > \
                2 * 16512
            assert fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK
        front = socks["client"]
        assert [front.getsockopt(socket.IPPROTO_TCP, o) for o in (
            socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT,
            socket.TCP_KEEPINTVL)] == [77, 4, 5]
        for sock in socks.values():
            sock.close()


def relay_sockets(worker, listen, remote):
    """Both sockets of a worker's only session, borrowed by pidfd_getfd."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(worker)
    out = {}
    try:
        for n, target in lib.descriptors(worker).items():
            if not target.startswith("socket:"):
                continue
            fd = libc.syscall(438, pidfd, n, 0)	# pidfd_getfd
            if fd == -1:
                pytest.skip("pidfd_getfd is not permitted")
            sock = socket.socket(fileno=fd)
            with contextlib.suppress(OSError):
                if sock.family == socket.AF_UNIX:
                    raise OSError
                peer, own = sock.getpeername()[1], sock.getsockname()[1]
                if own == listen:
                    out["client"] = sock
                    continue
                if peer == remote:
                    out["remote"] = sock
                    continue
            sock.close()
    finally:
        os.close(pidfd)
    assert set(out) == {"client", "remote"}
    return out


def tos_of(sock):
    if sock.family == socket.AF_INET:
        return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS)
    return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)


# ---- UNIX

def test_unix_destination_down_up(service, backend, port, tmp_path):
    path = tmp_path / "b.sock"
    other = backend(lib.Holder, "other")
    s = service(stage.config(
        port, [f'address = "unix:{path}"', other.remote],
        relay="dead time = 1"))
    assert lib.ask_name(port) == "other"
    s.wait_for(rf"destination {re.escape(str(path))} failed: "
               "No such file or directory")
    backend(lib.Holder, "unix", path=path)

    def back():
        return lib.ask_name(port) == "unix"

    lib.wait_until(back, "the UNIX destination", step=0.1)
    s.wait_for(rf"destination {re.escape(str(path))} is back")


def test_unix_backlog_full(service, backend, port, tmp_path):
    """A full backlog is a failure of that destination (7.6)."""
    path = str(tmp_path / "full.sock")
    other = backend(lib.Named, "other")
    with socket.socket(socket.AF_UNIX) as full, \
            contextlib.ExitStack() as stack:
        full.bind(path)
        full.listen(0)
        while True:
            c = stack.enter_context(socket.socket(socket.AF_UNIX))
            c.setblocking(False)
            try:
                c.connect(path)
            except BlockingIOError:
                break
        s = service(stage.config(port, [f'address = "{path}"',
                                        other.remote]))
        assert lib.ask_name(port) == "other"
        s.wait_for(rf"destination {re.escape(path)} failed: ")
        got = lib.wait_until(lambda: stage.sessions(s), "its line")[0]
        assert (got["end"], got["tries"]) == ("done", "2")


# ---- what the check says

def test_equals_listener(config, port):
    """A destination that is our own listener (7.6): a warning."""
    for address, remote in (("127.0.0.1", "127.0.0.1"),
                            (None, "127.0.0.1"), ("::1", "::1")):
        listen = f"address = {address} " if address else ""
        status, lines = config(
            f"id = spawnd {{ listen = {{ {listen}port = {port} }} }}\n"
            f"id = tcprelay {{\n"
            f"\tremote = {{ address = {remote} port = {port} }}\n}}\n")
        if address:
            assert status == 0
            assert any("warning: " in x and "listen" in x for x in lines)
        else:
            assert status == 0		# cannot be told in general
    status, lines = config(
        f"id = spawnd {{ listen = {{ address = 127.0.0.1 port = {port} }} "
        f"}}\nid = tcprelay {{ remote = {{ address = 127.0.0.1 port = "
        f"{port + 1} }} }}\n")
    assert (status, lines) == (0, [])


def test_same_destination_twice(config, service, backend, port):
    """A warning, and both count."""
    peer = backend(lib.Holder, "a")
    status, lines = config(stage.config(port, [peer.remote] * 2))
    assert status == 0
    assert len([x for x in lines if "warning: same destination" in x]) == 1
    s = service(stage.config(port, [peer.remote] * 2))
    with contextlib.ExitStack() as stack:
        assert take(port, stack, 4) == ["a"] * 4
    assert all(x["end"] == "done" for x in stage.sessions(s))
