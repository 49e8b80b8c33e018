"""Every event mechanism of this system, by the environment and by the file,
and values that permit none (6.1)."""

import os
import resource
import socket
import time

import pytest

import lib
import stage

# bits of IO_POLL_MECHANISM on this system
NAMES = {4: "epoll", 8: "poll", 16: "select"} if os.uname().sysname == \
    "Linux" else {8: "poll", 16: "select"}
FIRST = next(iter(NAMES.values()))
TABLE = stage.cases(300, 1 << 20)
CASES = ["request", "greeting first", "answer after the end of the request",
         "server ends first", "large to the server, answer after its end",
         "large to the client, after its end", "both end at once",
         "single bytes in turns", "empty", "client resets", "server resets",
         "client resets after its end", "server resets after its end",
         "server resets behind its answer",
         "client closes with the answer to come",
         "server closes with more to come"]


def mechanisms(service, count=1):
    """What the processes said they use: the master, then the workers."""
    service.wait_for("event mechanism: ", count=count)
    return [m.group(1) for m in service.grep(r"event mechanism: (\S+)")]


@pytest.mark.parametrize("wire", ["plain", pytest.param(
    "tls", marks=pytest.mark.tls)])
@pytest.mark.parametrize("accept", stage.ACCEPTS)
@pytest.mark.parametrize("bit", NAMES)
def test_relay(service, backend, port, certs, bit, accept, wire):
    """The table of relay cases is the same with each."""
    server = backend(stage.Stage)
    parts = dict(stage.ACCEPTS[accept])
    context = None
    if wire == "tls":
        parts["listen"] = parts.get("listen", "") + " tls"
        parts["relay"] = f'tls cert-file = "{certs.ecdsa.pem}"'
        context = lib.client_context(certs.ca)
    s = service(stage.config(port, server.remote, **parts),
                env={"IO_POLL_MECHANISM": bit})
    for name in CASES:
        stage.run_case(TABLE[name], s, server, port, context)
    n = 1 if accept == "single" else 2
    assert mechanisms(s, n) == [NAMES[bit]] * n


@pytest.mark.parametrize("bit", NAMES)
def test_many_at_once(service, backend, port, bit):
    """Hundreds of sessions, some idle, some busy, some going."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote),
                env={"IO_POLL_MECHANISM": bit})
    worker, = s.wait_workers(1)
    socks = [lib.connect(port) for _ in range(300)]
    for i, c in enumerate(socks):
        c.sendall(b"%06d" % i)
    for i, c in enumerate(socks):
        assert lib.read_exact(c, 6) == b"%06d" % i
    for c in socks[::3]:
        c.close()
    for c in socks[1::3]:
        lib.reset(c)
    lib.wait_until(lambda: len(stage.sessions(s)) == 200, "200 lines")
    for i, c in list(enumerate(socks))[2::3]:
        lib.roundtrip(c, b"%06d" % i)
    # a worker at rest does nothing
    before = stage.cpu_time(worker)
    time.sleep(0.3)
    assert stage.cpu_time(worker) - before <= 0.02
    for c in socks[2::3]:
        c.close()
    lib.wait_until(lambda: len(stage.sessions(s)) == 300, "300 lines")
    lib.wait_until(lambda: not [t for t in lib.descriptors(worker).values()
                                if t.startswith("socket:")][8:],
                   "closed descriptors")


@pytest.mark.parametrize("bit", NAMES)
@pytest.mark.parametrize("kind", [lib.Refusing, lib.BlackHole])
def test_failover(service, backend, port, bit, kind):
    """Errors of a connect are told in other ways by each."""
    bad, echo = backend(kind), backend(lib.Echo)
    s = service(stage.config(port, [bad.remote, echo.remote],
                             relay="connect timeout = 1"),
                env={"IO_POLL_MECHANISM": bit})
    with lib.connect(port) as c:
        lib.roundtrip(c, lib.pattern(100000))
        name = c.getsockname()[1]
    got = stage.session_of(s, name)
    assert (got["end"], got["tries"]) == ("done", "2")


@pytest.mark.parametrize("bit", NAMES)
def test_reset_while_connecting(service, backend, port, bit):
    """Nothing is wanted from the client then; a reset is noticed all the
    same."""
    hole = backend(lib.BlackHole)
    s = service(stage.config(port, hole.remote,
                             relay="connect timeout = 30"),
                env={"IO_POLL_MECHANISM": bit})
    c = lib.connect(port)
    name = c.getsockname()[1]
    lib.wait_until(lambda: stage.users_of(s, hole) == 1, "the attempt")
    lib.reset(c)
    assert stage.session_of(s, name)["end"] == "client-error"


@pytest.mark.parametrize("bit", NAMES)
def test_reload(service, backend, port, bit):
    """Established sessions go on, the mechanism stays."""
    echo = backend(lib.Echo)
    text = stage.config(port, echo.remote)
    s = service(text, env={"IO_POLL_MECHANISM": bit})
    with lib.connect(port) as c:
        lib.roundtrip(c, b"before")
        s.reload(text.replace("log connections = yes",
                              "log connections = yes idle timeout = 90"))
        lib.roundtrip(c, b"after")
        lib.echo_once(port)
    assert set(mechanisms(s)) == {NAMES[bit]}


@pytest.mark.parametrize("bit", NAMES)
@pytest.mark.parametrize("words", ["setenv IO_POLL_MECHANISM = {}",
                                   "setenv IO_POLL_MECHANISM {}"])
def test_by_file(service, backend, port, bit, words):
    """The loop is made after the file was read."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, top=words.format(bit)))
    lib.echo_once(port)
    assert mechanisms(s, 2) == [NAMES[bit]] * 2


def test_file_beats_environment(service, backend, port):
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote,
                             top="setenv IO_POLL_MECHANISM = 8"),
                env={"IO_POLL_MECHANISM": "16"})
    assert mechanisms(s, 2) == ["poll"] * 2


@pytest.mark.parametrize("mask, name", [
    ("0x10", "select"), ("0x8", "poll"), ("24", "poll"),
    ("28", FIRST), ("63", FIRST), ("48", "select"), ("9", "poll"),
])
def test_masks(service, backend, port, mask, name):
    """The first one that is permitted and there; hexadecimal, too."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote),
                env={"IO_POLL_MECHANISM": mask})
    lib.echo_once(port)
    assert mechanisms(s, 2) == [name] * 2
    assert not s.grep("IO_POLL_MECHANISM")


@pytest.mark.parametrize("mask", ["0", "1", "2", "32", "35", "x", "", "8x",
                                  "-1", "99999999999999999999", "64"])
@pytest.mark.parametrize("where", ["environment", "file"])
def test_impossible(service, backend, port, mask, where):
    """One warning, then the unrestricted order (9, row 51)."""
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote, top="" if where == "environment" else
        f'setenv IO_POLL_MECHANISM = "{mask}"'),
        env={"IO_POLL_MECHANISM": mask} if where == "environment" else None)
    lib.echo_once(port)
    assert mechanisms(s, 2) == [FIRST] * 2
    assert len(s.grep(rf"{s.pid}: .*IO_POLL_MECHANISM")) == 1, s.log()


@pytest.mark.parametrize("bit", NAMES)
def test_own_choice_is_kept_over_reload(service, backend, port, bit):
    """New workers take the new one; the master keeps its own and says so."""
    echo = backend(lib.Echo)
    other = 8 if bit != 8 else 16
    s = service(stage.config(port, echo.remote,
                             top=f"setenv IO_POLL_MECHANISM = {bit}"))
    assert mechanisms(s, 2) == [NAMES[bit]] * 2
    since = s.mark()
    s.reload(stage.config(port, echo.remote,
                          top=f"setenv IO_POLL_MECHANISM = {other}"))
    lib.echo_once(port)
    assert s.grep(rf"{s.pid}: event mechanism: {NAMES[bit]} is kept", since)
    assert s.grep(rf"event mechanism: {NAMES[other]}$", since)
    since = s.mark()
    s.reload()			# the same again is no news
    assert not s.grep("is kept", since)


def test_select_has_a_limit(service, backend, port):
    """select cannot watch descriptors above FD_SETSIZE: the worker says how
    many it can hold, and serves as many."""
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote,
        spawn="instances min = 1 instances max = 1 users max = 4000"),
        env={"IO_POLL_MECHANISM": "16"})
    m = s.wait_for(r"worker \d+ can hold (\d+) connections only")
    most = int(m.group(1))
    assert 400 <= most <= 511
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096 and hard >= 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    elif hard < 4096:
        pytest.skip("too few descriptors for the test itself")
    socks = []
    try:
        for _ in range(most):
            socks.append(lib.connect(port))
            socks[-1].sendall(b"x")
        for c in socks:
            assert c.recv(1) == b"x"
        one_more = socket.create_connection(("127.0.0.1", port))
        one_more.settimeout(0.3)
        one_more.sendall(b"x")
        with pytest.raises(TimeoutError):
            one_more.recv(1)		# queued
        socks.pop().close()
        one_more.settimeout(lib.TIMEOUT)
        assert one_more.recv(1) == b"x"
        one_more.close()
    finally:
        for c in socks:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
