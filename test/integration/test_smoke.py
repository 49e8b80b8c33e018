"""The shortest proof that the programs do their job at all."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

import lib

PLAIN = """
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ instances min = 2 instances max = 2 users max = 100 }}
}}
id = tcprelay {{ remote = {{ {remote} }} }}
"""

TLS = """
id = spawnd {{
	listen = {{ port = {port} tls = yes }}
	spawn {{ instances min = 1 instances max = 2 }}
}}
id = tcprelay {{
	remote = {{ {remote} }}
	tls cert-file = "{cert}"
	tls key-file = "{key}"
}}
"""


def hosts():
    return ["127.0.0.1"] + ["::1"] * lib.have_ipv6()


@pytest.mark.parametrize("host", hosts())
def test_echo(service, backend, port, host):
    echo = backend(lib.Echo)
    service(PLAIN.format(port=port, remote=echo.remote))
    for n in (1, 64, 5000, 300000, 5 << 20):
        lib.echo_once(port, lib.pattern(n), host=host)
    assert echo.connections == 5


@pytest.mark.parametrize("host", hosts())
def test_destination_family(service, backend, port, host):
    echo = backend(lib.Echo, host=host)
    service(PLAIN.format(port=port, remote=echo.remote))
    lib.echo_once(port)


def test_unix_destination(service, backend, port, tmp_path):
    echo = backend(lib.Echo, path=tmp_path / "echo.sock")
    service(PLAIN.format(port=port, remote=echo.remote))
    lib.echo_once(port, lib.pattern(100000))


def test_server_speaks_first(service, backend, port):
    ssh = backend(lib.Greeting)
    service(PLAIN.format(port=port, remote=ssh.remote))
    with lib.connect(port) as s:
        assert lib.read_exact(s, len(ssh.text)) == ssh.text
        lib.roundtrip(s, b"x" * 100)


def test_half_close(service, backend, port):
    server = backend(lib.HalfClose)
    service(PLAIN.format(port=port, remote=server.remote))
    data = lib.pattern(300000)
    with lib.connect(port) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        n, digest = lib.read_all(s).split()
    assert int(n) == len(data)
    import hashlib
    assert digest.decode() == hashlib.sha256(data).hexdigest()


def test_many_at_once(service, backend, port):
    echo = backend(lib.Echo)
    service(PLAIN.format(port=port, remote=echo.remote))
    socks = [lib.connect(port) for _ in range(50)]
    for i, s in enumerate(socks):
        s.sendall(b"%06d" % i)
    for i, s in enumerate(socks):
        assert lib.read_exact(s, 6) == b"%06d" % i
        s.close()
    assert echo.connections == 50


class Http(lib.Backend):
    """Enough of HTTP for curl."""

    def serve(self, conn):
        got = b""
        while b"\r\n\r\n" not in got:
            data = conn.recv(4096)
            if not data:
                return
            got += data
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"
                     b"Connection: close\r\n\r\nhello\n")


@pytest.mark.tls
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_tls_curl(service, backend, port, certs, kind):
    web = backend(Http)
    pair = getattr(certs, kind)
    service(TLS.format(port=port, remote=web.remote, cert=pair.cert,
                       key=pair.key))
    r = lib.curl("--cacert", certs.ca, f"https://localhost:{port}/",
                 "--resolve", f"localhost:{port}:127.0.0.1")
    assert (r.returncode, r.stdout) == (0, b"hello\n"), r.stderr


@pytest.mark.tls
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_tls_s_client(service, backend, port, certs, version):
    web = backend(Http)
    service(TLS.format(port=port, remote=web.remote, cert=certs.rsa.cert,
                       key=certs.rsa.key))
    r = lib.s_client(port, f"-{version}", "-CAfile", certs.ca, "-quiet",
                     "-verify_return_error", "-verify_hostname", "localhost",
                     data=b"GET / HTTP/1.0\r\n\r\n")
    assert r.stdout.endswith(b"hello\n"), r


@pytest.mark.tls
def test_tls_echo(service, backend, port, certs):
    echo = backend(lib.Echo)
    service(TLS.format(port=port, remote=echo.remote, cert=certs.ecdsa.cert,
                       key=certs.ecdsa.key))
    context = lib.client_context(certs.ca)
    for n in (1, 16384, 16385, 1 << 20):
        with lib.connect(port, context=context, name="localhost") as s:
            lib.roundtrip(s, lib.pattern(n))


def test_sigterm_lets_sessions_end(service, backend, port):
    echo = backend(lib.Echo)
    s = service(PLAIN.format(port=port, remote=echo.remote))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"before")
        s.send_signal(signal.SIGTERM)
        assert s.wait() == 0
        with pytest.raises(OSError):
            lib.connect(port, timeout=2)
        lib.roundtrip(c, b"after")
    lib.wait_until(lambda: not lib.session_members(s.pid),
                   "the end of the workers")
    assert s.grep(r"signal (SIG)?TERM: ending")


def test_titles(service, backend, port):
    echo = backend(lib.Echo)
    s = service(PLAIN.format(port=port, remote=echo.remote))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        lib.wait_until(lambda: re.search(r"^tcprelay: 1 connection, 199 free",
                                         lib.title(s.pid)),
                       "the master's title: " + lib.title(s.pid))
        lib.wait_until(lambda: sorted(map(lib.title, s.workers())) ==
                       ["tcprelay: 0 connections", "tcprelay: 1 connection"],
                       "the workers' titles")
    lib.wait_until(lambda: "0 connections, 200 free" in lib.title(s.pid),
                   "the master's title: " + lib.title(s.pid))


def test_check_only(config, port):
    text = PLAIN.format(port=port,
                        remote="address = 192.0.2.1 port = 80")
    assert config(text) == (0, [])
    status, lines = config(text.replace("remote", "remoot"))
    assert status == 78
    assert re.search(r"test\.cfg:\d+: Expected .*but got 'remoot'", lines[0])


@pytest.mark.parametrize("program", [lib.TCPRELAY, lib.SPAWND])
def test_version(program):
    r = lib.run(program, "-v")
    assert r.returncode == 0
    assert r.stderr == ""
    assert re.fullmatch(rf"{program.name} version \d+\.\d+\.\d+(/\w+)*\n",
                        r.stdout)


@pytest.mark.parametrize("args", [["-Z"], [], ["a", "b", "c"],
                                  ["-d", "word", "file"]])
@pytest.mark.parametrize("program", [lib.TCPRELAY, lib.SPAWND])
def test_usage(program, args):
    r = lib.run(program, *args)
    assert r.returncode == 64
    assert "usage" in r.stderr.lower()


def test_background_status_and_pid_file(tmp_path, backend, port):
    """The parent's status tells whether the ports could be had (1.5)."""
    echo = backend(lib.Echo)
    file, pidfile = tmp_path / "b.cfg", tmp_path / "b.pid"
    file.write_text(PLAIN.format(port=port, remote=echo.remote))
    command = [lib.TCPRELAY, "-b", "-p", pidfile, file]
    environment = lib.environment(tmp_path)
    r = subprocess.run(command, env=environment, timeout=lib.TIMEOUT,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    assert r.returncode == 0
    pid = int(pidfile.read_text())
    try:
        assert pidfile.stat().st_mode & 0o777 == 0o644
        lib.echo_once(port)
        # a second one finds the lock and leaves everything alone
        r = subprocess.run(command, env=environment, timeout=lib.TIMEOUT,
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True)
        assert r.returncode in (73, 75)
        # without the pid file in the way: the port is taken
        r = subprocess.run([lib.TCPRELAY, "-b", file], env=environment,
                           stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=lib.TIMEOUT)
        assert r.returncode == 75
        assert int(pidfile.read_text()) == pid
        lib.echo_once(port)
    finally:
        os.kill(pid, signal.SIGTERM)
    lib.wait_until(lambda: not pidfile.exists(), "the pid file to go")
    lib.wait_until(lambda: not lib.session_members(pid), "all to end")
    assert not lib.sanitizer_files(tmp_path)


def test_json_log(service, backend, port):
    echo = backend(lib.Echo)
    text = "log format = json\n" + PLAIN.format(port=port,
                                                remote=echo.remote)
    s = service(text.replace("id = tcprelay {",
                             "id = tcprelay { log connections = yes"))
    lib.echo_once(port, b"12345")
    s.wait_for(r'"event":"session"')
    lines = [json.loads(x) for x in s.lines if x[:1] == "{"]
    session, = [x for x in lines if x.get("event") == "session"]
    assert (session["in"], session["out"], session["end"]) == (5, 5, "done")
    assert session["role"] == "worker" and session["worker"] in (1, 2)
    start = [x for x in lines if x.get("msg", "").startswith("listening on")]
    assert start and start[0]["role"] == "master"


def test_url_needs_libcurl():
    """Every build says what it is that it cannot do."""
    r = lib.run(lib.TCPRELAY, "-P", "gopher://config.example.net/x")
    assert r.returncode == 66
    assert r.stderr == ("cannot fetch gopher://config.example.net/x: "
                        "scheme 'gopher' not permitted\n"
                        if lib.has_feature("URL")
                        else "URL configurations need libcurl\n")
