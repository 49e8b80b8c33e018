"""The sample configurations: good as they are, and started on loopback with
other ports, paths and addresses they do what their comments say."""

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile

import pytest

import lib
import ops

SAMPLES = lib.TOP / "sample"
FILES = sorted(f.name for f in SAMPLES.glob("*.cfg"))
SIGNED = "url.cfg"		# nothing without its key: test_url.py

# what a sample needs of the environment it is meant for
ENVIRONMENT = {
    "QUICKSTART_DIR": "/nonexistent", "QUICKSTART_PORT": "8081",
    "QUICKSTART_NAME": "first", "QUICKSTART_PLAIN": "8080",
    "QUICKSTART_TLS": "8443", "QUICKSTART_FIRST": "8081",
    "QUICKSTART_SECOND": "8082", "QUICKSTART_HELLO": str(lib.HELLO),
}


def sample(name, changes=()):
    """Its text, with that changed; all of it must be there."""
    text = (SAMPLES / name).read_text()
    if os.getuid() != 0:		# only root becomes somebody else
        text = re.sub(r"^.*\buserid = .*$", "", text, flags=re.M)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, str(new))
    return text


@pytest.mark.tls
@pytest.mark.parametrize("name", [f for f in FILES if f != SIGNED])
def test_check(config, name):
    """Nothing to be said but of certificates that are elsewhere."""
    text = (SAMPLES / name).read_text()
    program = lib.TCPRELAY
    for worker in lib.HELLO, lib.UDP_ECHO:
        if f"exec = /usr/local/libexec/{worker.name}" in text or \
                f"id = {worker.name} {{" in text:
            program = lib.SPAWND
        text = text.replace(f"/usr/local/libexec/{worker.name}",
                            str(worker))
    file_env = {k: v for k, v in ENVIRONMENT.items() if k in text}
    for k, v in file_env.items():	# -P is asked as ./quickstart asks
        text = text.replace("${" + k + "}", v)
    status, lines = config(text, program=program)
    assert status == 0, lines
    assert [x for x in lines if not re.search(
        r"warning: tls: cannot load (certificate|key) '", x)] == []


def test_all_are_told_of():
    """sample/README has each, and the installation takes it along."""
    readme = (SAMPLES / "README").read_text()
    text = readme.split("\n\n", 1)[1]		# behind the introduction
    named = set(re.findall(r"^\t(?:cc )?([\w-]+\.\w+)", text, re.M)) | set(
        re.findall(r"^\t[\w.-]+, ([\w-]+\.\w+)", text, re.M))
    there = {f.name for f in SAMPLES.iterdir()
             if f.suffix not in (".o", ".d", ".a", "")}
    assert named == there
    makefile = (lib.TOP / "Makefile.in").read_text().replace("\\\n", " ")
    samples = re.search(r"^SAMPLES = (.*)$", makefile, re.M).group(1)
    assert "sample/README" in samples and "sample/*.cfg" in samples
    for name in there - set(FILES):
        assert name in samples or re.match(r"relayd.*\.conf$", name) and \
            "sample/relayd*.conf" in samples


def settle(s, n):
    """That many workers, and their start is over."""
    s.wait_workers(n)
    s.wait_for("worker starting", count=n)


def test_balance(service, backend, port, tmp_path, request):
    hosts = ["127.0.0.1", "127.0.0.1", "::1" if lib.have_ipv6()
             else "127.0.0.1"]
    a = [backend(lib.Holder, n, host=h) for n, h in zip("abc", hosts)]
    short = tempfile.mkdtemp(prefix="st-")	# a socket's name is short
    request.addfinalizer(lambda: shutil.rmtree(short, True))
    s = service(sample("balance.cfg", [
        ("/var/log/tcprelay.log", tmp_path / "log"),
        ("/run/tcprelay.pid", tmp_path / "pid"),
        ("/run/tcprelay.status", f"{short}/status"),
        ("port = 8080", f"port = {port}"),
        ("instances min = 2", "instances min = 1"),
        ("address = 192.0.2.11 port = 80", a[0].remote),
        ("address = 192.0.2.12 port = 80", a[1].remote),
        ("address = 2001:db8::13 port = 80", a[2].remote)]))
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            assert stack.enter_context(lib.connect(port)).recv(1) in b"abc"
        assert [b.connections for b in a] == [3, 2, 1]
        r = lib.run(lib.TCPRELAY, "-s", "--json", s.file)
        assert r.returncode == 0, r.stderr
        assert [d["sessions"] for d in
                json.loads(r.stdout)["destinations"]] == [3, 2, 1]
    a[0].close()			# one is down: nobody notices
    for _ in range(4):
        with lib.connect(port) as c:
            assert c.recv(1) in b"bc"
    s.wait_for("destination .* failed: ")
    log = tmp_path / "log"
    lib.wait_until(lambda: log.read_text().count("end=done") >= 10,
                   "a line for each connection")
    assert (tmp_path / "pid").read_text() == f"{s.pid}\n"


@pytest.mark.tls
def test_tls(service, backend, certs, tmp_path):
    echo = backend(lib.Echo)
    shop = certs.make("shop", names=("shop.example.org",), ips=())
    example = certs.make("example", names=("www.example.net",
                                           "a.example.net"), ips=())
    yes, v13, auto = [lib.free_port() for _ in range(3)]
    service(sample("tls.cfg", [
        ("/run/tcprelay.pid", tmp_path / "pid"),
        ("port = 8443", f"port = {yes}"), ("port = 8444", f"port = {v13}"),
        ("port = 8445", f"port = {auto}"),
        ("/etc/ssl/private/default.pem", certs.ecdsa.pem),
        ("/etc/ssl/private/shop.pem", shop.pem),
        ("/etc/ssl/example.crt", example.cert),
        ("/etc/ssl/private/example.key", example.key),
        ("address = 127.0.0.1 port = 80", echo.remote)]), 3)
    context = lib.client_context(certs.ca)
    for name in "localhost", "shop.example.org", "www.example.net", \
            "a.example.net":
        for p in yes, v13, auto:
            lib.echo_once(p, context=context, name=name)
    lib.echo_once(auto)
    v12 = lib.client_context(certs.ca, version=lib.ssl.TLSVersion.TLSv1_2)
    lib.echo_once(yes, context=v12, name="localhost")
    with pytest.raises(OSError):
        lib.echo_once(v13, context=v12, name="localhost")


def test_proxy_protocol(service, backend, port):
    v2, v1 = backend(lib.Recorder, b"2"), backend(lib.Recorder, b"1")
    s = service(sample("proxy-protocol.cfg", [
        ("10.0.0.99", "127.0.0.99"), ("10.0.0.0/24", "127.0.0.0/24"),
        ("port = 8080", f"port = {port}"),
        ("address = 192.0.2.31 port = 80", v2.remote),
        ("address = 192.0.2.32 port = 80", v1.remote),
        ("id = spawnd {", "id = spawnd {\n\tspawn { instances min = 1 "
         "instances max = 1 }")]))
    head = b"PROXY TCP4 192.0.2.77 198.51.100.1 40001 443\r\n"
    with lib.connect(port) as a, lib.connect(port) as b:
        for c, want in (a, b"2"), (b, b"1"):
            c.sendall(head)
            assert c.recv(1) == want
        lib.wait_until(lambda: v2.received and v2.received[0].startswith(
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "version 2")
        assert socket.inet_aton("192.0.2.77") in v2.received[0]
        lib.wait_until(lambda: v1.received and
                       bytes(v1.received[0]) == head, "version 1")
    m = s.wait_for(r"src=\[?192\.0\.2\.77\]?:40001 .*")
    assert "realm=balanced" in m.group()
    with lib.connect(port, source=("127.0.0.99", 0)) as c, \
            contextlib.suppress(ConnectionResetError):
        assert c.recv(1) == b""
    s.wait_for(r"connection from \[127\.0\.0\.99\] refused by line \d+$")
    with lib.connect(port, source=("127.0.1.1", 0)) as c, \
            contextlib.suppress(ConnectionResetError):
        assert c.recv(1) == b""
    s.wait_for(r"connection from \[127\.0\.1\.1\] refused, no line")


def test_high_rate(service, backend):
    echo = backend(lib.Echo)
    http, admin = lib.free_port(), lib.free_port()
    s = service(sample("high-rate.cfg", [
        ("port = 8080", f"port = {http}"),
        ("port = 8081", f"port = {admin}"),
        ("instances min = 4", "instances min = 2"),
        ("instances max = 4", "instances max = 2"),
        ("address = 192.0.2.41 port = 80", echo.remote),
        ("address = 192.0.2.42 port = 80", echo.remote)]), 2)
    settle(s, 2)
    for _ in range(200):
        lib.echo_once(http)
    lib.echo_once(admin)
    assert not s.grep("the master accepts")
    assert echo.connections == 201


def test_unix(service, backend, tmp_path):
    app = backend(lib.Echo, path=tmp_path / "app.sock")
    other = backend(lib.Echo)
    port, path = lib.free_port(), tmp_path / "relay.sock"
    s = service(sample("unix.cfg", [
        ("port = 8080", f"port = {port}"), ("/run/relay.sock", path),
        ("/run/app.sock", app.path),
        ("address = 127.0.0.1 port = 8000", other.remote),
        (" userid = root groupid = adm", "" if os.getuid() else
         " userid = root groupid = adm")]), 2 + lib.have_ipv6())
    s.wait_workers(1)
    assert path.stat().st_mode & 0o777 == 0o660
    with contextlib.ExitStack() as stack:
        for to in [port, path] * 4:
            lib.roundtrip(stack.enter_context(lib.connect(to)), b"hello")
        if lib.have_ipv6():
            lib.roundtrip(stack.enter_context(lib.connect(port, "::1")),
                          b"hello")
        assert app.connections >= 7 and other.connections in (1, 2)


def test_broker(service):
    port, inside = lib.free_port(), lib.free_port()
    s = service(sample("broker.cfg", [
        ("port = 8080", f"port = {port}"),
        ("port = 8081", f"port = {inside}"),
        ("/usr/local/libexec/hello", lib.HELLO)]), 2, program="spawnd")

    def ask(port):
        r = lib.curl(f"http://127.0.0.1:{port}/")
        assert r.returncode == 0, r.stderr
        return re.fullmatch(rb"hello (?:::ffff:)?127.0.0.1, this is worker "
                            rb"(\d+) of (\w+)\n", r.stdout).groups()

    assert ask(port)[1] == b"public" and ask(inside)[1] == b"inside"
    assert len({ask(port)[0] for _ in range(4)}) == 1
    assert int(ask(port)[0]) in s.workers()


def test_udp(service):
    port = lib.free_port()
    s = service(sample("udp.cfg", [
        ("port = 8007", f"port = {port}"), ("idle = 10", "idle = 1"),
        ("ipc key = 0x75647065", f"ipc key = {0x53000000 + port}"),
        ("/usr/local/libexec/udp-echo", lib.UDP_ECHO)]), program="spawnd")
    for family, host in [(socket.AF_INET, "127.0.0.1")] + \
            [(socket.AF_INET6, "::1")] * lib.have_ipv6():
        with socket.socket(family, socket.SOCK_DGRAM) as c:
            c.settimeout(lib.TIMEOUT)
            for i in range(3):
                c.sendto(b"%d" % i, (host, port))
                data, where = c.recvfrom(100)
                assert (data, where[:2]) == (b"%d" % i, (host, port))
    ops.wait_users(s, [0])		# forgotten
