"""Starts of every kind: by inetd, in the background, as a script, by another
name, several services from one file, with odd descriptors (1.2 to 1.6)."""

import os
import re
import signal
import socket
import subprocess

import pytest

import lib
import ops


def relay(port, remote, **kw):
    return ops.conf(port, remote, **{"spawn": "instances min = 1 "
                                     "instances max = 2", **kw})


# ---- inetd

@pytest.fixture
def inetd(port):
    """The socket that inetd would listen on."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(64)
        yield s


def by_inetd(service, text, sock, **kw):
    s = service(text, stdin=sock.fileno(), start=False, **kw)
    s.launch()
    s.wait_for("starting, version .* via inetd")
    return s


@pytest.mark.parametrize("program", ["tcprelay", "spawnd"])
def test_inetd_wait(service, backend, inetd, port, program):
    """Configuration 15: descriptor 0 is the listener. Never in the
    background; SIGHUP ends it, so that inetd starts it afresh, and nobody who
    connects meanwhile is refused."""
    echo = backend(lib.Echo)
    text = relay(None, echo.remote, listen="listen { }",
                 broker="background = yes")
    s = by_inetd(service, text, inetd, program=program, args=["-b"])
    for _ in range(5):
        lib.echo_once(port)
    with ops.Stream(port) as one:
        s.send_signal(signal.SIGHUP)
        assert s.wait() == 0			# it was no other process
        s.wait_for("signal SIGHUP: ending")
        one.goes_on()
        with lib.connect(port) as early:
            early.sendall(b"anybody?")
            t = by_inetd(service, text, inetd, program=program)
            assert lib.read_exact(early, 8) == b"anybody?"
        one.goes_on()
        lib.echo_once(port)
    assert t.stop() == 0


def test_inetd_beside_listeners(service, backend, inetd, port):
    """It is one more."""
    echo = backend(lib.Echo)
    other = lib.free_port()
    by_inetd(service, relay(other, echo.remote), inetd)
    lib.echo_once(port)
    lib.echo_once(other)


def test_inetd_without_endpoint_elsewhere(service, inetd):
    """The same file started by hand has nothing to listen on."""
    s = service(relay(None, "address = 127.0.0.1 port = 9",
                      listen="listen { }"), start=False, clean=False)
    s.launch()
    assert s.wait() == 71
    s.wait_for("no listeners configured")


@pytest.mark.parametrize("program", ["tcprelay", "spawnd"])
def test_inetd_nowait(service, inetd, port, program):
    """One connection is not what we are for."""
    with lib.connect(port), inetd.accept()[0] as connected:
        s = service(relay(lib.free_port(), "address = 127.0.0.1 port = 9"),
                    stdin=connected.fileno(), program=program, start=False,
                    clean=False)
        s.launch()
        assert s.wait() == 64
        s.wait_for("only 'wait' services are possible")


# ---- descriptors that a supervisor leaves behind (9, row 32)

@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM,
                                  socket.SOCK_SEQPACKET])
def test_socket_on_descriptor_0(service, backend, port, kind):
    """Whatever it is, it does not make a worker of us."""
    echo = backend(lib.Echo)
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    with a, b:
        s = service(relay(port, echo.remote), stdin=b.fileno())
        lib.echo_once(port)
        s.reload()
        lib.echo_once(port)


def test_variable_without_channel(service, backend, port):
    """Left over from somebody else; it is not handed on either."""
    echo = backend(lib.Echo)
    s = service(relay(port, echo.remote),
                env={"SPAWND_WORKER": "1:0011223344556677"})
    lib.echo_once(port)
    for pid in s.workers():
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert b"0011223344556677" not in f.read()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_closed_descriptors(service, backend, port, closed):
    echo = backend(lib.Echo)
    s = service(relay(port, echo.remote),
                wrap=["sh", "-c", f'exec "$0" "$@" {closed}'])
    lib.echo_once(port)
    for pid in [s.pid, *s.workers()]:
        assert set(lib.descriptors(pid)) >= {0, 1, 2}
    s.reload()
    lib.echo_once(port)


def test_no_descriptor_is_handed_on(service, backend, port, tmp_path):
    """Workers have their channel, 1 and 2, and what they opened."""
    echo = backend(lib.Echo)
    other = lib.free_port()
    s = service(relay(port, echo.remote, top=f'log file = "{tmp_path}/log"',
                      listen=f"listen {{ port {port} }} "
                             f"listen {{ port {other} }}",
                      broker=f'pidfile = "{tmp_path}/pid"'), listeners=2)
    ops.wait_ready(s, 1)
    lib.echo_once(port)
    worker, = s.workers()
    held = ops.socket_inodes("listening", port) + \
        ops.socket_inodes("listening", other)
    targets = lib.descriptors(worker)
    assert held
    assert not {f"socket:[{i}]" for i in held} & set(targets.values())
    assert str(tmp_path / "pid") not in targets.values()
    assert targets[0].startswith("socket:")


# ---- in the background

def start_in_background(text, directory, *args, program=lib.TCPRELAY):
    file = directory / "b.cfg"
    file.write_text(text)
    return subprocess.run([program, *args, file], timeout=lib.TIMEOUT,
                          env=lib.environment(directory), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)


def test_background_tells_the_truth(backend, port, tmp_path):
    """When the parent ends with 0, everything is there."""
    echo = backend(lib.Echo)
    pidfile = tmp_path / "pid"
    text = relay(port, echo.remote, broker="background = yes")
    for _ in range(5):
        r = start_in_background(text, tmp_path, "-p", pidfile)
        assert (r.returncode, r.stderr) == (0, "")
        pid = int(pidfile.read_text())		# no waiting here
        try:
            lib.echo_once(port)
            assert lib.proc_stat(pid)[1] != os.getpid()
        finally:
            os.kill(pid, signal.SIGTERM)
            lib.wait_until(lambda: not lib.session_members(pid), "the end")
        assert not pidfile.exists()
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("change,status,message", [
    (lambda t, port: t.replace("listen = { port", "listen = { poort"), 78,
     r"b\.cfg:\d+: Expected"),
    (lambda t, port: t.replace(f"port = {port} }}", "}"), 71,
     "no listeners configured"),
    (lambda t, port: t.replace("spawn {", 'working {'), 78, "Expected"),
])
def test_background_failures(tmp_path, port, change, status, message):
    text = relay(port, "address = 127.0.0.1 port = 9")
    r = start_in_background(change(text, port), tmp_path, "-b", "-D")
    assert r.returncode == status
    assert re.search(message, r.stderr)


def test_background_port_taken(tmp_path, port):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        text = relay(port, "address = 127.0.0.1 port = 9")
        r = start_in_background(text, tmp_path, "-b")
    assert r.returncode == 75
    assert "no listener could be bound, giving up" in r.stderr


# ---- which section, which program

TWO = """
id = front-spawnd {{ listen = {{ port = {a} }} }}
id = front {{ remote = {{ {front} }} }}
id = back-spawnd {{ listen = {{ address = 127.0.0.1 port = {b} }}
	spawn {{ id = nobody }} }}
id = back {{ remote = {{ {back} }} }}
"""


def test_two_services_in_one_file(service, backend):
    """Configuration 11: by the trailing id and by -I; -i wins over id."""
    one, two = backend(lib.Named, "one"), backend(lib.Named, "two")
    a, b = lib.free_port(), lib.free_port()
    text = TWO.format(a=a, b=b, front=one.remote, back=two.remote)
    service(text, args=["-i", "front"],
            wrap=["sh", "-c", 'exec "$0" "$@" front-spawnd'])
    s = service(text, args=["-I", "back-spawnd", "-i", "back"])
    assert lib.ask_name(a) == "one" and lib.ask_name(b) == "two"
    s.reload()
    assert lib.ask_name(b) == "two"


@pytest.mark.tls
def test_two_services_tls_auto(service, backend, certs):
    """The same as it stands there: TLS or not, as the client likes."""
    one = backend(lib.Echo)
    a = lib.free_port()
    pair = certs.ecdsa
    s = service(f"""
id = front-spawnd {{ listen = {{ port = {a} tls = auto }} }}
id = front {{
	ssl certfile = "{pair.cert}"
	ssl keyfile = "{pair.key}"
	remote = {{ {one.remote} }}
}}
""", args=["-i", "front", "-I", "front-spawnd"])
    lib.echo_once(a)
    with lib.connect(a, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        lib.roundtrip(c, b"wrapped")
    assert not s.grep("handshake .* failed")


def test_base_name(service, backend, port, tmp_path):
    """A link named edge-relay reads that section in its workers; titles and
    log say so, too (1.3)."""
    echo = backend(lib.Echo)
    link = tmp_path / "edge-relay"
    link.symlink_to(lib.TCPRELAY)
    text = relay(port, echo.remote, top="log format = json").replace(
        "id = tcprelay", "id = edge-relay")
    s = service(text, program=link)
    lib.echo_once(port)
    s.wait_for('"ident":"edge-relay"')
    lib.wait_until(lambda: all(lib.title(p).startswith("edge-relay: ")
                               for p in [s.pid, *s.workers()]), "titles")
    s.reload()
    lib.echo_once(port)


def test_script(backend, port, tmp_path):
    """The founding document's sample: a script for the stand-alone broker,
    which finds the worker's program beside itself by the only other section
    (1.4)."""
    echo = backend(lib.Echo)
    script, pidfile = tmp_path / "edge.cfg", tmp_path / "pid"
    script.write_text(f"#!{lib.SPAWND}\n" + relay(
        port, echo.remote,
        broker=f'background = yes pidfile = "{pidfile}"'))
    script.chmod(0o755)
    try:
        r = subprocess.run([script], timeout=lib.TIMEOUT, cwd=tmp_path,
                           env=lib.environment(tmp_path), text=True,
                           stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        pytest.skip("the path of the program is too long for a script")
    assert r.returncode == 0, r.stderr
    pid = int(pidfile.read_text())
    try:
        lib.echo_once(port)
    finally:
        os.kill(pid, signal.SIGTERM)
        lib.wait_until(lambda: not lib.session_members(pid), "the end")
    assert not lib.sanitizer_files(tmp_path)


@pytest.mark.parametrize("cookie", ["%o", "%O"])
def test_program_by_platform(service, backend, port, tmp_path, cookie):
    """Configuration 12: a program per platform, and a file of its own."""
    echo = backend(lib.Echo)
    u = os.uname()
    platform = f"{u.sysname}-{u.release}-{u.machine}".lower() \
        .replace(" ", "-")
    if cookie == "%O":
        platform = re.search(
            r'SPAWND_PLATFORM "(.*)"',
            (lib.BUILD / "features.h").read_text()).group(1)
    place = tmp_path / "opt" / platform / "sbin"
    place.mkdir(parents=True)
    (place / "tcprelay").symlink_to(lib.TCPRELAY)
    own = tmp_path / "worker.conf"
    own.write_text(f"id = tcprelay {{ remote = {{ {echo.remote} }} }}\n")
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{
		exec = "{tmp_path}/opt/{cookie}/sbin/tcprelay"
		id = tcprelay
		config = "{own}"
		instances min = 1
		instances max = 3
	}}
}}
""", program="spawnd")
    lib.echo_once(port)
    # another destination, in that file only: workers are replaced
    other = backend(lib.Named, "other")
    own.write_text(f"id = tcprelay {{ remote = {{ {other.remote} }} }}\n")
    m = s.reload()
    assert re.search("0 workers kept, 1 replaced", m.group(0))
    assert lib.ask_name(port) == "other"


def test_broker_as_its_own_worker(service, port):
    """Refused with 78, and says why (1.2)."""
    s = service(f"""
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ exec = "{lib.SPAWND}" id = spawnd }}
}}
""", program="spawnd", start=False, clean=False)
    s.launch()
    assert s.wait() == 78
    s.wait_for("a broker cannot be its own worker")
    lib.wait_until(lambda: not lib.session_members(s.pid), "the end")


@pytest.mark.parametrize("program", ["tcprelay", "spawnd"])
def test_environment(service, backend, port, tmp_path, program):
    """setenv reaches workers; over a reload the environment begins anew from
    that of the start (2.5)."""
    echo = backend(lib.Echo)
    worker = tmp_path / "worker"
    worker.write_text(f'#!/bin/sh\nenv >"{tmp_path}/env.new"\n'
                      f'mv "{tmp_path}/env.new" "{tmp_path}/env"\n'
                      f'exec "{lib.TCPRELAY}" "$@"\n')
    worker.chmod(0o755)
    spawn = f'exec = "{worker}" id = tcprelay instances min = 1'
    text = relay(port, echo.remote, spawn=spawn)
    s = service("setenv FIRST = 1\nsetenv GIVEN = file\n" + text,
                program=program, env={"GIVEN": "start", "KEPT": "yes"})

    def got():
        return dict(x.split("=", 1) for x in
                    (tmp_path / "env").read_text().splitlines() if "=" in x)

    lib.echo_once(port)
    env = got()
    assert (env["FIRST"], env["GIVEN"], env["KEPT"]) == ("1", "file", "yes")
    s.reload("setenv SECOND = 2\n" + text)
    lib.echo_once(port)
    env = got()
    assert "FIRST" not in env
    assert (env["SECOND"], env["GIVEN"], env["KEPT"]) == ("2", "start", "yes")


def test_stand_alone_broker_passes_options(service, backend, port, tmp_path):
    """-d and -D reach a worker program, when they are given (2.2)."""
    program = tmp_path / "worker"
    program.write_text(f'#!/bin/sh\n'
                       f'echo "$@" >>"{tmp_path}/options"\n'
                       f'exec "{lib.TCPRELAY}" "$@"\n')
    program.chmod(0o755)
    echo = backend(lib.Echo)
    text = ops.conf(port, echo.remote, spawn=f'exec = "{program}" '
                    'id = tcprelay instances min = 1 instances max = 1')
    seen = tmp_path / "options"
    for args, debug, want in (
            (["-d", "0x2000"], True, "-D -d 8192 {} tcprelay"),
            ([], True, "-D {} tcprelay"),
            ([], False, "{} tcprelay")):
        s = service(text, program="spawnd", args=args, debug=debug,
                    start=False)
        s.launch()

        def served():
            try:
                lib.echo_once(port)
                return True
            except (OSError, AssertionError):
                return False

        lib.wait_until(served, "a worker", step=0.1)
        assert seen.read_text().splitlines()[-1] == want.format(s.file)
        s.stop()
