"""The sample configurations of relayd: good as they are, and started with
other addresses and ports they do what their comments say."""

import contextlib
import os
import re
import subprocess

import pytest

import lib
import rd
import test_relayd_snmp as snmp
from test_relayd_relay import net  # noqa: F401 (a fixture)

SAMPLES = lib.TOP / "sample"
FILES = sorted(f.name for f in SAMPLES.glob("relayd*.conf"))
HOSTS = ["127.0.81.1", "127.0.81.2", "127.0.81.3"]


def text(name):
    return (SAMPLES / name).read_text()


def macros(name, **values):
    """For -D; all of them must be in the sample."""
    for k in values:
        assert re.search(rf"^{k}\t+= ", text(name), re.M), k
    return {k: str(v) for k, v in values.items()}


def ask(port, send=b""):
    """What a server says of itself, or b''."""
    with contextlib.suppress(OSError), lib.connect(port) as c:
        c.sendall(send)
        return lib.read_all(c)
    return b""


class Says(lib.Backend):
    """Greets as told, with its address behind that, and closes when the
    client has said something or ended."""

    def __init__(self, greeting, first=True, **kw):
        self.greeting, self.first = greeting, first
        super().__init__(**kw)

    def serve(self, conn):
        line = self.greeting + b" " + self.host.encode() + b"\r\n"
        if self.first:
            conn.sendall(line)
        if conn.recv(4096) and not self.first:
            conn.sendall(line)


@pytest.mark.parametrize("name", FILES)
def test_check(name, tmp_path):
    """Accepted, but for certificates that are elsewhere; and there is a
    macro for each address, so that -D can replace them all."""
    file = tmp_path / name
    file.write_text(text(name))
    r = lib.run(rd.RELAYD, "-n", "-v", "-f", file, directory=tmp_path)
    lines = [x for x in r.stderr.splitlines()
             if not re.search(r"cannot load keypair", x)]
    assert r.returncode == 0 and lines == ["configuration OK"] or \
        "keypair" in r.stderr and lines == [], r.stderr
    body = re.sub(r"#.*", "", text(name))
    for line in body.splitlines():
        assert "=" in line or not re.search(r"\d+\.\d+\.\d+\.\d+", line)


def test_all_are_tried():
    """Each sample has a test here that runs it."""
    with open(__file__) as f:
        tried = set(re.findall(r'"(relayd[a-z-]*\.conf)"', f.read()))
    assert tried == set(FILES)


@rd.needed
def test_first(relayd, port):
    name = "relayd.conf"
    target = lib.free_port()
    s = relayd(text(name), relays=3, macros=macros(
        name, ext_port=port, server1=HOSTS[0], server2=HOSTS[1],
        int_port=target))
    assert ask(port) == b""
    s.wait_for(r"session failed")
    with lib.Named("one", host=HOSTS[0], port=target):
        s.wait_host(HOSTS[0], "up")
        assert {ask(port) for _ in range(6)} == {b"one"}
        with lib.Named("two", host=HOSTS[1], port=target):
            s.wait_host(HOSTS[1], "up")
            assert {ask(port) for _ in range(12)} == {b"one", b"two"}


@rd.needed
def test_backup(relayd, port):
    name = "relayd-backup.conf"
    target = lib.free_port()
    s = relayd(text(name), relays=3, macros=macros(
        name, ext_port=port, primary=HOSTS[0], standby=HOSTS[1],
        int_port=target))

    def server(host):
        return Says(b"+PONG", first=False, host=host, port=target)

    def answer():
        return ask(port, b"PING\r\n").split()[-1:]

    with server(HOSTS[1]):
        s.wait_host(HOSTS[1], "up")
        assert answer() == [HOSTS[1].encode()]
        with server(HOSTS[0]):
            s.wait_host(HOSTS[0], "up")
            assert answer() == [HOSTS[0].encode()]
        s.wait_host(HOSTS[0], "down")
        assert answer() == [HOSTS[1].encode()]


@rd.needed
def test_mail(relayd, port):
    name = "relayd-mail.conf"
    ports = [lib.free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for host in HOSTS:
            stack.enter_context(Says(b"220 smtp", host=host, port=ports[0]))
            stack.enter_context(Says(b"* OK imap", host=host,
                                     port=ports[1]))
        s = relayd(text(name), relays=6, macros=macros(
            name, smtp=port, imap=ports[2], server1=HOSTS[0],
            server2=HOSTS[1], server3=HOSTS[2], int_smtp=ports[0],
            int_imap=ports[1]))
        for host in HOSTS:
            s.wait_host(host, "up")
        smtp = {ask(port, b"QUIT\r\n") for _ in range(9)}
        imap = {ask(ports[2], b"1 LOGOUT\r\n") for _ in range(9)}
        assert len(smtp) == len(imap) == 1, (smtp, imap)
        assert smtp.pop().startswith(b"220 smtp 127.0.81.")
        assert imap.pop().startswith(b"* OK imap 127.0.81.")


@rd.needed
def test_proxy(relayd, port):
    name = "relayd-proxy.conf"
    target = lib.free_port()

    class First(lib.Backend):
        def serve(self, conn):
            conn.sendall(conn.recv(1024))

    with First(host=HOSTS[0], port=target):
        s = relayd(text(name), relays=3, macros=macros(
            name, ext_port=port, server1=HOSTS[0], server2=HOSTS[1],
            int_port=target))
        s.wait_host(HOSTS[0], "up")
        with lib.connect(port) as c:
            got = lib.read_exact(c, 28)
            assert got[:16] == (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c")
            assert got[16:24] == bytes([127, 0, 0, 1] * 2)
            assert int.from_bytes(got[24:26], "big") == c.getsockname()[1]
            assert int.from_bytes(got[26:28], "big") == port


@rd.needed
@pytest.mark.tls
def test_tls(relayd, port, certs):
    name = "relayd-tls.conf"
    target = lib.free_port()
    body = text(name)
    for macro, pair in ("$name", certs.ecdsa), ("$other", certs.rsa):
        assert f"keypair {macro}" in body
        body = body.replace(
            f"keypair {macro}",
            f'keypair "{pair.cert.stem}" cert "{pair.cert}" '
            f'key "{pair.key}"')

    class Web(lib.Backend):
        def serve(self, conn):
            conn.recv(4096)
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    with Web(host=HOSTS[0], port=target):
        s = relayd(body, relays=3, macros=macros(
            name, ext_port=port, server1=HOSTS[0], server2=HOSTS[1],
            int_port=target))
        s.wait_host(HOSTS[0], "up")
        with lib.connect(port, name="localhost",
                         context=lib.client_context(ca=certs.ca)) as c:
            assert c.version() == "TLSv1.3"
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert lib.read_all(c).endswith(b"\r\n\r\nhi")


@rd.needed
def test_transparent(relayd, net, port):  # noqa: F811
    """With the rules of its comment, as they are but for the addresses."""
    if net.six:
        pytest.skip("its rules are for IPv4")
    name = "relayd-transparent.conf"
    target = lib.free_port()
    rules = "\n".join(re.findall(r"^#\t(.*)$", text(name), re.M))
    assert rules.count("nft add") == 4 and rules.count("ip r") == 2
    for old, new in (("192.0.2.0/24", "10.91.2.0/24"),
                     ("dport 80 ", f"dport {target} "),
                     ("127.0.0.1:8080", f"127.0.0.1:{port}")):
        assert old in rules
        rules = rules.replace(old, new)
    try:
        net.ns.run(rules)
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no such rules here: {e.stderr}")
    with net.peer(target), net.ns.inside():
        s = relayd(text(name), relays=3, wrap=net.ns.wrap,
                   macros=macros(name, ext_port=port))
        assert net.ask("10.91.2.2", target) == "10.91.1.2 10.91.2.2"
    s.wait_for(rf" 10\.91\.1\.2 -> 10\.91\.2\.2:{target}, ")


def test_readme_names_them():
    readme = (SAMPLES / "README").read_text()
    for name in FILES:
        assert name in readme
    assert os.path.exists(SAMPLES / "relayd.conf")


@rd.needed
@snmp.needed
def test_snmp(relayd, port, tmp_path):
    name = "relayd-snmp.conf"
    agent = snmp.Agent(tmp_path / "agent").start()
    try:
        target = lib.free_port()
        mine = text(name).replace("/var/agentx/master", str(agent.agentx))
        s = relayd(mine, relays=3, macros=macros(
            name, ext_port=port, server1=HOSTS[0], server2=HOSTS[1],
            int_port=target))
        s.wait_for("agentx: registered with ")
        with lib.Named("one", host=HOSTS[1], port=target):
            s.wait_host(HOSTS[1], "up")
            found = agent.walk()
        assert found["2.1.3.1"] == "service"
        assert found["5.1.4.2"] == HOSTS[1]
        assert found["5.1.7.2"] == "0"
    finally:
        agent.stop()
