"""TLS as clients and destinations see it: versions, certificates, tickets,
clients of several makes, and every way in which it can go wrong."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import lib
import stage

pytestmark = pytest.mark.tls

V = ssl.TLSVersion
V12, V13 = V.TLSv1_2, V.TLSv1_3


def serving(pair):
    return f'tls cert-file = "{pair.pem}"'


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


def shown(port, name, **kw):
    """The certificate a client of that name is shown."""
    context = lib.client_context(**kw)
    with lib.connect(port, context=context, name=name) as c:
        return c.getpeercert(True)


def failure(port, context, name="localhost"):
    """Why a client does not get through, in one word of OpenSSL."""
    try:
        with lib.connect(port, context=context, name=name) as c:
            c.sendall(b"x")
            c.recv(1)
    except ssl.SSLError as e:
        return e.reason
    except OSError as e:
        return type(e).__name__
    return None


# ---- versions

VERSIONS = {
    "tls": {"1.2", "1.3"},
    "tls = yes": {"1.2", "1.3"},
    "tls = auto": {"1.2", "1.3"},
    "tls = TLSv1.2": {"1.2"},
    "tls = TLSv1.3": {"1.3"},
    "tls = TLSv1.2,TLSv1.3": {"1.2", "1.3"},
}


@pytest.mark.parametrize("listen", VERSIONS)
def test_versions(service, backend, port, certs, listen):
    """What the listener permits, and nothing else (9, row 44)."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen=listen,
                             relay=serving(certs.rsa)))
    for version, flag in (("1.0", "-tls1"), ("1.1", "-tls1_1"),
                          ("1.2", "-tls1_2"), ("1.3", "-tls1_3")):
        r = lib.s_client(port, flag, "-cipher", "DEFAULT@SECLEVEL=0",
                         data=b"Q\n")
        good = version in VERSIONS[listen]
        assert (r.returncode == 0) == good, (version, r)
        if good:
            assert f"TLSv{version}".encode() in r.stdout
        else:
            assert b"alert protocol version" in r.stderr
    lib.wait_until(lambda: len(stage.sessions(s)) == 4, "all sessions")
    ends = [x["end"] for x in stage.sessions(s)]
    assert ends.count("handshake") == 4 - len(VERSIONS[listen])
    assert len(s.grep(r"tls handshake with \[\S+\]:\d+ failed: \S+")) == \
        ends.count("handshake")


def test_versions_per_listener(service, backend, port, certs):
    """Two listeners of one worker differ."""
    echo, other = backend(lib.Echo), lib.free_port()
    service(f"""
id = spawnd {{
	listen = {{ port = {port} tls = TLSv1.2 }}
	listen = {{ port = {other} tls = TLSv1.3 }}
}}
id = tcprelay {{ {serving(certs.ecdsa)} remote = {{ {echo.remote} }} }}
""", listeners=2)
    for p, good, bad in ((port, V12, V13), (other, V13, V12)):
        with lib.connect(p, context=lib.client_context(certs.ca, good),
                         name="localhost") as c:
            lib.roundtrip(c, b"x")
        assert failure(p, lib.client_context(certs.ca, bad)) == \
            "TLSV1_ALERT_PROTOCOL_VERSION"


def test_auto(service, backend, port, certs):
    """Both kinds of clients at one port."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls = auto",
                             relay=serving(certs.ecdsa)))
    lib.echo_once(port, lib.pattern(100000))
    context = lib.client_context(certs.ca)
    lib.echo_once(port, lib.pattern(100000), context=context,
                  name="localhost")
    for first in (0, 1, 21, 23, 0x80, 255):
        lib.echo_once(port, bytes([first]) + b"plain")
    lib.wait_until(lambda: len(stage.sessions(s)) == 8, "all sessions")
    assert [x["tls"] != "-" for x in stage.sessions(s)].count(True) == 1


def test_ciphers(service, backend, port, certs):
    echo = backend(lib.Echo)
    service(stage.config(
        port, echo.remote, listen="tls", relay=serving(certs.ecdsa) +
        ' tls ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"'
        " tls cipher-suites = TLS_AES_256_GCM_SHA384"))
    for version, name in ((V12, "ECDHE-ECDSA-AES256-GCM-SHA384"),
                          (V13, "TLS_AES_256_GCM_SHA384")):
        with lib.connect(port, context=lib.client_context(certs.ca, version),
                         name="localhost") as c:
            assert c.cipher()[0] == name
    r = lib.s_client(port, "-tls1_2", "-cipher",
                     "ECDHE-ECDSA-CHACHA20-POLY1305", data=b"Q\n")
    assert r.returncode != 0 and b"alert handshake failure" in r.stderr


def test_no_alpn_no_early_data_no_compression(service, backend, port, certs,
                                              tmp_path):
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_bytes(b"too early")
    r = interactive(port, "-tls1_3", "-alpn", "h2,http/1.1", "-sess_out",
                    session)
    with r as c:
        c.say(b"hello\n", b"hello\n")
    assert b"Max Early Data: 0" in c.output
    assert b"No ALPN negotiated" in c.output
    assert b"Compression: NONE" in c.output
    r = lib.s_client(port, "-tls1_3", "-sess_in", session, "-early_data",
                     early, data=b"Q\n")
    assert b"Early data was not sent" in r.stdout
    assert all(x["in"] in ("0", "6") for x in stage.sessions(s))


# ---- s_client by hand

class Interactive:
    """openssl s_client with somebody typing."""

    def __init__(self, *args):
        self.output = b""
        self.more = threading.Condition()
        self.proc = subprocess.Popen(
            ["openssl", "s_client", *map(str, args)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.collector = threading.Thread(target=self._collect, daemon=True)
        self.collector.start()

    def _collect(self):
        while data := os.read(self.proc.stdout.fileno(), 65536):
            with self.more:
                self.output += data
                self.more.notify_all()

    def expect(self, what, since=0):
        with self.more:
            ok = self.more.wait_for(lambda: what in self.output[since:],
                                    lib.TIMEOUT)
        assert ok, (what, self.output[-3000:])

    def say(self, text, answer):
        since = len(self.output)
        self.proc.stdin.write(text)
        self.proc.stdin.flush()
        self.expect(answer, since)

    def __enter__(self):
        self.expect(b"---\n")
        return self

    def __exit__(self, *exc):
        self.proc.stdin.close()
        try:
            self.proc.wait(lib.TIMEOUT)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.collector.join(lib.TIMEOUT)	# some it wrote when it ended


def interactive(port, *args):
    return Interactive("-connect", f"127.0.0.1:{port}", *args)


def test_key_update(service, backend, port, certs):
    """K asks for the other side's update too, k does not; bytes go on in
    both directions, also while much is on its way."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    with interactive(port, "-tls1_3") as c:
        c.say(b"before\n", b"before\n")
        for i, command in enumerate((b"K\n", b"k\n", b"K\n", b"K\n")):
            c.say(command, b"KEYUPDATE")
            c.say(b"after %d\n" % i, b"after %d\n" % i)
    lib.wait_until(lambda: stage.sessions(s), "its line")
    got, = stage.sessions(s)
    assert got["end"] == "done"
    assert got["in"] == got["out"] == str(len("before\n") + 4 * 8)


def test_renegotiation_is_refused(service, backend, port, certs):
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    worker, = s.wait_workers(1)
    with interactive(port, "-tls1_2") as c:
        c.say(b"before\n", b"before\n")
        c.say(b"R\n", b"no renegotiation")
    lib.wait_until(lambda: stage.sessions(s), "its line")
    assert stage.cpu_time(worker) < 2
    with lib.connect(port, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        lib.roundtrip(c, b"x")


# ---- certificates by name

@pytest.fixture
def named(certs):
    return {
        "default": certs.ecdsa,
        "www": certs.make("www", names=("www.example.net",), ips=()),
        "www-rsa": certs.make("www-rsa", names=("www.example.net",), ips=(),
                              key="rsa"),
        "wild": certs.make("wild", names=("*.example.org",), ips=()),
        "exact": certs.make("exact", names=("a.example.org",), ips=()),
        "san": certs.make("san", names=("one.example.com",
                                        "two.example.com"), ips=()),
    }


def sni(named):
    return "\n".join([
        f'\ttls sni {{ name = www.example.net cert-file = '
        f'"{named["www-rsa"].pem}" }}',
        f'\ttls sni {{ name = www.example.net cert-file = '
        f'"{named["www"].cert}" key-file = "{named["www"].key}" }}',
        f'\ttls sni {{ name = "*.example.org" cert-file = '
        f'"{named["wild"].pem}" }}',
        f'\tssl sni = {{ cert = "{named["exact"].pem}" name = '
        f'a.example.org }}',
        f'\ttls sni {{ cert-file = "{named["san"].pem}" }}'])


@pytest.mark.parametrize("version", [V12, V13])
def test_sni(service, backend, port, named, version):
    """Exact before wildcard before default; a wildcard stands for one label;
    case and a trailing dot do not matter; no name: default."""
    echo = backend(lib.Echo)
    service(stage.config(port, echo.remote, listen="tls",
                         relay=serving(named["default"]) + "\n" + sni(named)))
    for name, expected in {
            "www.example.net": "www", "WWW.Example.NET": "www",
            "b.example.org": "wild", "a.example.org": "exact",
            "A.EXAMPLE.ORG": "exact", "x.b.example.org": "default",
            "example.org": "default", "one.example.com": "san",
            "two.example.com": "san", "three.example.com": "default",
            "other.example.net": "default", None: "default"}.items():
        assert shown(port, name, version=version) == der(named[expected]), \
            name
    r = lib.s_client(port, "-servername", "www.example.net.", data=b"Q\n")
    assert b"subject=CN = www\n" in r.stdout


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_sni_key_types(service, backend, port, named, flag):
    """Of two certificates for a name the client's offer decides, ECDSA
    first."""
    echo = backend(lib.Echo)
    service(stage.config(port, echo.remote, listen="tls",
                         relay=serving(named["default"]) + "\n" + sni(named)))
    for sigalgs, label in (
            ("RSA-PSS+SHA256:RSA+SHA256", b"www-rsa"),
            ("ECDSA+SHA256", b"www"),
            ("RSA-PSS+SHA256:ECDSA+SHA256", b"www")):
        r = lib.s_client(port, flag, "-servername", "www.example.net",
                         "-sigalgs", sigalgs, data=b"Q\n")
        assert b"subject=CN = " + label + b"\n" in r.stdout, (sigalgs, r)


def test_sni_without_default(service, backend, port, named):
    """Nobody answers to that name: unrecognized_name."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=sni(named)))
    context = lib.client_context()
    assert shown(port, "a.example.org") == der(named["exact"])
    for name in ("nobody.example.net", None):
        assert failure(port, context, name) in (
            "TLSV1_UNRECOGNIZED_NAME", "TLSV1_ALERT_UNRECOGNIZED_NAME")
    s.wait_for(r"tls handshake with \[127\.0\.0\.1\]:\d+ failed: "
               "no certificate", count=2)
    lib.wait_until(lambda: len(stage.sessions(s)) == 3, "all sessions")
    assert [x["end"] for x in stage.sessions(s)].count("handshake") == 2


def test_sni_star(service, backend, port, named):
    """name = * is for everybody."""
    echo = backend(lib.Echo)
    service(stage.config(
        port, echo.remote, listen="tls",
        relay=f'tls sni {{ name = "*" cert-file = "{named["wild"].pem}" }}'))
    for name in ("whoever.example.net", None):
        assert shown(port, name) == der(named["wild"])


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519", "encrypted"])
def test_kinds_of_keys(service, backend, port, certs, kind):
    pair = getattr(certs, kind)
    echo = backend(lib.Echo)
    service(stage.config(
        port, echo.remote, listen="tls", relay=f'ssl cert = "{pair.cert}" '
        f'ssl key = "{pair.key}"' + (f" ssl passphrase = {pair.passphrase}"
                                     if pair.passphrase else "")))
    for version in (V12, V13):
        with lib.connect(port, context=lib.client_context(certs.ca, version),
                         name="localhost") as c:
            lib.roundtrip(c, lib.pattern(50000))


# ---- client certificates

CHECKED = {
    # tls verify: {certificate: (gets through, is noted)}
    "no": {None: (True, False), "client": (True, False),
           "stranger": (True, False)},
    "optional": {None: (True, True), "client": (True, False),
                 "stranger": (True, True), "expired_client": (True, True)},
    "required": {None: (False, False), "client": (True, False),
                 "stranger": (False, False),
                 "expired_client": (False, False)},
}


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("verify", CHECKED)
def test_client_certificates(service, backend, port, certs, verify, version):
    echo = backend(lib.Echo)
    ca = "" if verify == "no" else f' tls ca-file = "{certs.ca}"'
    s = service(stage.config(
        port, echo.remote, listen="tls", relay=serving(certs.ecdsa) + ca +
        f" tls verify = {verify}"))
    for name, (good, noted) in CHECKED[verify].items():
        since = s.mark()
        context = lib.client_context(certs.ca, version,
                                     cert=getattr(certs, name) if name
                                     else None)
        try:
            with lib.connect(port, context=context, name="localhost") as c:
                lib.roundtrip(c, b"x")
                c.unwrap()
            through = True
        except OSError:		# with 1.3 it hears of it when it reads
            through = False
        assert through == good, name
        m = s.wait_for(r"tls=(\S+) dst-tls=.* end=(\S+)", since=since)
        assert ("tls-unverified" in m.group(1)) == noted, (name, m.group(0))
        assert m.group(2) == ("done" if good else "handshake")
        if not good:
            s.wait_for("tls handshake with .* failed: .*certificate",
                       since=since)
    assert echo.connections == \
        [g for g, _ in CHECKED[verify].values()].count(True)


# ---- pre-shared keys

def psk_file(tmp_path, mode=0o600):
    file = tmp_path / "psk"
    file.write_text("# keys\nalice:00112233445566778899aabbccddeeff\n"
                    "bob:ffeeddccbbaa99887766554433221100\n")
    file.chmod(mode)
    return file


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("certificate", [False, True])
def test_psk(service, backend, port, certs, tmp_path, flag, certificate):
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote, listen="tls tls psk = yes",
        relay=f'tls psk-file = "{psk_file(tmp_path)}" ' +
        (serving(certs.ecdsa) if certificate else "")))

    def attempt(identity, key):
        return lib.s_client(port, flag, "-psk_identity", identity, "-psk",
                            key, *(["-cipher", "PSK"] if flag == "-tls1_2"
                                   else []), data=b"Q\n")

    for identity, key in (("alice", "00112233445566778899aabbccddeeff"),
                          ("bob", "ffeeddccbbaa99887766554433221100")):
        r = attempt(identity, key)
        assert r.returncode == 0, r
        assert b"no peer certificate available" in r.stdout
    assert attempt("alice", "ffeeddccbbaa99887766554433221100") \
        .returncode != 0
    r = attempt("carol", "00112233445566778899aabbccddeeff")
    # an unknown identity may go on with a certificate (1.3)
    assert (r.returncode == 0) == (certificate and flag == "-tls1_3"), r
    if certificate:
        with lib.connect(port, context=lib.client_context(certs.ca),
                         name="localhost") as c:
            lib.roundtrip(c, b"x")
    s.wait_for(r"tls handshake with .* failed: ")


def test_psk_where_it_is_not_wanted(service, backend, port, certs, tmp_path):
    """Only listeners that say so take them."""
    echo = backend(lib.Echo)
    service(stage.config(
        port, echo.remote, listen="tls",
        relay=f'tls psk-file = "{psk_file(tmp_path)}" ' +
        serving(certs.ecdsa)))
    r = lib.s_client(port, "-tls1_2", "-cipher", "PSK", "-psk_identity",
                     "alice", "-psk", "00112233445566778899aabbccddeeff",
                     data=b"Q\n")
    assert r.returncode != 0
    r = lib.s_client(port, "-tls1_3", "-psk_identity", "alice", "-psk",
                     "00112233445566778899aabbccddeeff", data=b"Q\n")
    assert b"no peer certificate available" not in r.stdout


def test_psk_file_is_private(config, port, certs, tmp_path):
    status, lines = config(stage.config(
        port, "address = 127.0.0.1 port = 1", listen="tls tls psk = yes",
        relay=f'tls psk-file = "{psk_file(tmp_path, 0o644)}" ' +
        serving(certs.ecdsa)))
    assert any("readable by others" in x for x in lines), lines


# ---- resumption

def visit(port, context, session=None, name="localhost"):
    """(was it resumed, a session for the next time)"""
    with lib.connect(port) as raw:
        line = stage.TlsLine(raw, context, name=name, session=session)
        line.send(b"x")
        assert line.recv(1) == b"x"	# the ticket is here by now
        result = line.tls.session_reused, line.tls.session
        line.close()
        return result


@pytest.mark.parametrize("version", [V12, V13])
def test_resumption_over_workers_and_reload(service, backend, port, certs,
                                            version):
    """Any worker resumes what another one began, the next generation too."""
    echo = backend(lib.Echo)
    text = stage.config(
        port, echo.remote, listen="tls", relay=serving(certs.ecdsa),
        spawn="instances min = 2 instances max = 2 users min = 1")
    s = service(text)
    s.wait_workers(2)
    context = lib.client_context(certs.ca, version)
    reused, session = visit(port, context)
    assert not reused
    for _ in range(6):
        # one more at the same time: the other worker gets its turn
        with lib.connect(port):
            reused, newer = visit(port, context, session)
        assert reused
        session = newer
    s.reload(text.replace("log connections = yes",
                          "log connections = yes idle timeout = 100"))
    reused, session = visit(port, context, session)
    assert reused
    old = s.workers()
    s.send_signal(signal.SIGUSR1)	# new processes
    lib.wait_until(lambda: not set(old) & set(s.workers()), "new workers")
    assert visit(port, context, session)[0]
    lib.wait_until(lambda: len([x for x in stage.sessions(s)
                                if x["in"] == "1"]) == 9, "all lines")
    workers = {x["conn"].split(".")[1] for x in stage.sessions(s)
               if x["in"] == "1"}
    assert len(workers) >= 2


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets_off(service, backend, port, certs, version):
    echo = backend(lib.Echo)
    service(stage.config(port, echo.remote, listen="tls",
                         relay=serving(certs.ecdsa) + " tls tickets = no"))
    context = lib.client_context(certs.ca, version)
    _, session = visit(port, context)
    assert session is None or not session.has_ticket
    for _ in range(3):
        if session:
            assert not visit(port, context, session)[0]


def test_no_resumption_after_a_change_of_authorities(service, backend, port,
                                                     certs):
    """Whoever got in under other rules must show what the new ones want."""
    echo = backend(lib.Echo)
    text = stage.config(port, echo.remote, listen="tls",
                        relay=serving(certs.ecdsa) +
                        f' tls ca-file = "{certs.ca}" tls verify = optional')
    s = service(text)
    context = lib.client_context(certs.ca)
    _, session = visit(port, context)
    reused, session = visit(port, context, session)
    assert reused
    s.reload(text.replace("verify = optional", "verify = required"))
    with pytest.raises(OSError):
        visit(port, context, session)
    good = lib.client_context(certs.ca, cert=certs.client)
    reused, session = visit(port, good)
    assert not reused
    assert visit(port, good, session)[0]
    # its authority is one no more
    s.reload(text.replace("verify = optional", "verify = required").replace(
        f'ca-file = "{certs.ca}"', f'ca-file = "{certs.authority("other")}"'))
    with pytest.raises(OSError):
        visit(port, good, session)


def test_no_resumption_after_a_new_key(service, backend, port, certs):
    echo = backend(lib.Echo)
    text = stage.config(port, echo.remote, listen="tls",
                        relay=serving(certs.ecdsa))
    s = service(text)
    context = lib.client_context(certs.ca)
    _, session = visit(port, context)
    s.reload(text.replace(str(certs.ecdsa.pem), str(certs.rsa.pem)))
    assert not visit(port, context, session)[0]


def test_no_resumption_under_another_name(service, backend, port, named):
    """A ticket is bound to the certificate's name."""
    echo = backend(lib.Echo)
    service(stage.config(port, echo.remote, listen="tls",
                         relay=serving(named["default"]) + "\n" + sni(named)))
    context = lib.client_context()
    _, session = visit(port, context, name="a.example.org")
    assert visit(port, context, session, name="a.example.org")[0]
    with lib.connect(port) as raw:
        # Python refuses another name itself only with a check of names
        line = stage.TlsLine(raw, context, name="one.example.com",
                             session=session)
        line.send(b"x")
        assert line.recv(1) == b"x"
        assert not line.tls.session_reused
        assert line.tls.getpeercert(True) == der(named["san"])
        line.close()


def test_resumed_keeps_identity(service, backend, port, certs):
    """A resumed session is as verified as its full handshake was."""
    echo = backend(lib.Echo)
    s = service(stage.config(
        port, echo.remote, listen="tls", relay=serving(certs.ecdsa) +
        f' tls ca-file = "{certs.ca}" tls verify = optional'))
    for cert, noted in ((None, True), (certs.client, False)):
        since = s.mark()
        context = lib.client_context(certs.ca, cert=cert)
        session = None
        for _ in range(3):
            _, session = visit(port, context, session)
        s.wait_for("end=done", since=since, count=3)
        assert {"tls-unverified" in x["tls"]
                for x in stage.sessions(s, since)} == {noted}


# ---- what is no TLS

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(300),
    "random": lib.pattern(5000, 77),
    "record of nonsense": b"\x16\x03\x01\x00\x05hello",
    "huge record": b"\x16\x03\x01\xff\xff" + bytes(70000),
    "alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "data": b"\x17\x03\x03\x00\x05hello",
    "ssl2": b"\x80\x2e\x01\x00\x02" + bytes(43),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "one byte and the end": b"\x16",
    "nothing and the end": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(service, backend, port, certs, name):
    """One log line, a close, no CPU (9, row 41)."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    worker, = s.wait_workers(1)
    with lib.connect(port) as c:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            c.sendall(GARBAGE[name])
            if name.endswith("the end"):
                c.shutdown(socket.SHUT_WR)
            lib.read_all(c)
        # the client stays a while, as a browser would
        s.wait_for(r"conn=.* end=handshake$")
        cpu = stage.cpu_time(worker)
        time.sleep(0.2)
        assert stage.cpu_time(worker) - cpu <= 0.02
    assert len(s.grep("tls handshake with .* failed: ")) == 1
    assert echo.connections == 0
    with lib.connect(port, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        lib.roundtrip(c, b"x")


def test_flood_of_garbage(service, backend, port, certs):
    """The log is spared, other clients are served."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    for _ in range(250):
        with lib.connect(port) as c:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                c.sendall(b"GET / HTTP/1.0\r\n\r\n")
                lib.read_all(c)
    with lib.connect(port, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        lib.roundtrip(c, b"x")
    s.wait_for("end=handshake", count=250)


def test_cut_off_in_the_handshake(service, backend, port, certs):
    """At every state a client may go: by an end, by a reset."""
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=serving(certs.ecdsa)))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = lib.client_context().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    n = 0
    for size in (1, 5, 6, 50, len(hello) - 1, len(hello)):
        for leave in (lib.reset, lambda c: c.close()):
            c = lib.connect(port)
            c.sendall(hello[:size])
            if size == len(hello):
                c.recv(100)
            leave(c)
            n += 1
    lib.wait_until(lambda: len(stage.sessions(s)) == n, "all sessions")
    assert {x["end"] for x in stage.sessions(s)} <= \
        {"handshake", "client-error"}


# ---- clients of several makes

class Http(lib.Backend):
    """Ends its answer by closing."""

    def serve(self, conn):
        got = b""
        while b"\r\n\r\n" not in got:
            data = conn.recv(4096)
            if not data:
                return
            got += data
        conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"z" * 100000)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(1000):
            pass


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(service, backend, port, certs, version):
    """The end of the answer is told by a close alert, or curl complains."""
    web = backend(Http)
    service(stage.config(port, web.remote, listen="tls",
                         relay=serving(certs.ecdsa)))
    r = lib.curl("--cacert", certs.ca, f"--tlsv{version}", "--tls-max",
                 version, f"https://127.0.0.1:{port}/")
    assert (r.returncode, len(r.stdout)) == (0, 100000), r.stderr


@pytest.mark.skipif(not lib.have("gnutls-cli"), reason="no gnutls-cli")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_gnutls(service, backend, port, certs, version):
    """A library that is not ours; it tells an end without an alert."""
    web = backend(Http)
    service(stage.config(port, web.remote, listen="tls",
                         relay=serving(certs.ecdsa)))
    r = subprocess.run(
        ["gnutls-cli", "--x509cafile", str(certs.ca), "--priority",
         f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--logfile", "/dev/null",
         "-p", str(port), "localhost"],
        input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True,
        timeout=lib.TIMEOUT)
    assert r.stdout.count(b"z") >= 100000, r
    assert r.returncode == 0, r.stderr
    assert b"non-properly terminated" not in r.stdout + r.stderr


def test_close_alert_is_last(service, backend, port, certs):
    """s_client sees the alert behind all bytes."""
    web = backend(Http)
    service(stage.config(port, web.remote, listen="tls",
                         relay=serving(certs.ecdsa)))
    r = lib.s_client(port, "-quiet", "-no_ign_eof", "-ign_eof",
                     data=b"GET / HTTP/1.0\r\n\r\n")
    assert r.stdout.count(b"z") == 100000
    assert b"unexpected eof" not in r.stderr


# ---- towards destinations

class Secret(lib.Echo):
    """An echo behind TLS that notes who called, and whether it was a resumed
    session."""

    def __init__(self, pair, **kw):
        context = lib.server_context(pair, kw.pop("version", None),
                                     kw.pop("client_ca", None))
        self.names, self.resumed, self.certificates = [], [], []
        context.sni_callback = lambda sock, name, c: self.names.append(name)
        super().__init__(context=context, **kw)

    def serve(self, conn):
        self.resumed.append(conn.session_reused)
        self.certificates.append(conn.getpeercert())
        super().serve(conn)


def towards(peer, certs, more=""):
    return f'{peer.remote} tls tls ca-file = "{certs.ca}" {more}'


def test_destination(service, backend, port, certs):
    """By address without a name, which sends no SNI; by name with one."""
    one, two = (backend(Secret, certs.ecdsa) for _ in range(2))
    s = service(stage.config(port, [
        towards(one, certs), towards(two, certs, "tls name = localhost")]))
    with lib.connect(port) as a, lib.connect(port) as b:
        lib.roundtrip(a, lib.pattern(200000))
        lib.roundtrip(b, lib.pattern(200000))
    assert (one.names, two.names) == ([None], ["localhost"])
    lib.wait_until(lambda: len(stage.sessions(s)) == 2, "both lines")
    for x in stage.sessions(s):
        assert x["dst-tls"].startswith("TLSv1.3/") and x["end"] == "done"
        assert (x["tls"], x["in"], x["out"]) == ("-", "200000", "200000")


@pytest.mark.parametrize("words, version", [
    ("tls = TLSv1.2", "TLSv1.2"), ("tls = TLSv1.3", "TLSv1.3"),
    ("tls = yes", "TLSv1.3")])
def test_destination_versions(service, backend, port, certs, words, version):
    peer = backend(Secret, certs.ecdsa)
    s = service(stage.config(
        port, f'{peer.remote} {words} tls ca-file = "{certs.ca}"'))
    lib.echo_once(port)
    s.wait_for(rf"dst-tls={version}/")


class Record(lib.Backend):
    """Notes raw bytes; never speaks TLS."""

    def __init__(self, greeting=b"", **kw):
        self.greeting, self.got = greeting, bytearray()
        super().__init__(**kw)

    def serve(self, conn):
        if self.greeting:
            conn.sendall(self.greeting)
        while data := conn.recv(1000):
            self.got += data


def bad_destinations(certs, backend):
    other = certs.make("other-name", names=("elsewhere.example.net",),
                       ips=("192.0.2.1",))
    strange = certs.make("strange", ca="other")
    return {
        "wrong name": (lambda: backend(Secret, certs.ecdsa),
                       "tls name = nosuch.example.net",
                       r"certificate verify failed: hostname mismatch"),
        "wrong address": (lambda: backend(Secret, other), "",
                          r"certificate verify failed: IP address mismatch"),
        "unknown authority": (
            lambda: backend(Secret, strange), "",
            "certificate verify failed: unable to get local issuer "
            "certificate"),
        "expired": (lambda: backend(Secret, certs.expired), "",
                    "certificate verify failed: certificate has expired"),
        "other version": (
            lambda: backend(Secret, certs.ecdsa, version=V12),
            "tls = TLSv1.3", r".*protocol version"),
        "wants a certificate": (
            lambda: backend(Secret, certs.ecdsa, version=V12,
                            client_ca=certs.ca), "tls = TLSv1.2",
            r".*handshake failure"),
        "plain, silent": (lambda: backend(Record), "", "."),
        "plain, speaks first": (
            lambda: backend(Record, b"220 mail ESMTP\r\n"), "",
            "wrong version number"),
        "closes": (lambda: backend(lib.Named, ""), "", "."),
        "resets": (lambda: backend(lib.Resetting), "", "."),
    }


BAD = ["wrong name", "wrong address", "unknown authority", "expired",
       "other version", "wants a certificate", "plain, silent",
       "plain, speaks first", "closes", "resets"]


@pytest.mark.parametrize("kind", BAD)
def test_destination_fails(service, backend, port, certs, kind):
    """A line with the reason, then the next one; not a byte of the client's
    data went to the wrong one."""
    make, words, reason = bad_destinations(certs, backend)[kind]
    bad = make()
    good = backend(Secret, certs.ecdsa)
    s = service(stage.config(
        port, [towards(bad, certs, words), towards(good, certs)],
        relay="connect timeout = 1"))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        c.sendall(b"for your eyes only")
        assert lib.read_exact(c, 18) == b"for your eyes only"
    got = stage.session_of(s, name)
    assert (got["tries"], got["end"]) == ("2", "done")
    assert got["dst"] == stage.endpoint(good)
    m = s.wait_for(rf"destination \[127\.0\.0\.1\]:{bad.port} failed: (.*)")
    if reason != ".":
        assert re.match("tls: " + reason, m.group(1)), m.group(1)
    if isinstance(bad, Record):
        assert b"eyes" not in bad.got
    assert stage.status(s)[1][stage.endpoint(bad)]["state"] == "dead"


def test_all_destinations_fail(service, backend, port, certs):
    bad = backend(Secret, certs.expired)
    s = service(stage.config(port, towards(bad, certs)))
    with lib.connect(port) as c:
        name = c.getsockname()[1]
        assert lib.read_all(c) == b""
    assert stage.session_of(s, name)["end"] == "no-destination"


def test_destination_not_verified(service, backend, port, certs):
    """verify = no: nothing about the certificate matters."""
    peer = backend(Secret, certs.expired)
    service(stage.config(port, f"{peer.remote} tls tls verify = no"))
    lib.echo_once(port)


@pytest.mark.parametrize("version", [V12, V13])
def test_destination_wants_our_certificate(service, backend, port, certs,
                                           version):
    peer = backend(Secret, certs.ecdsa, version=version, client_ca=certs.ca)
    service(stage.config(port, towards(
        peer, certs, f'tls cert-file = "{certs.client.cert}" '
        f'tls key-file = "{certs.client.key}"')))
    lib.echo_once(port)
    assert dict(x[0] for x in peer.certificates[0]["subject"]) == \
        {"commonName": "test client"}


@pytest.mark.parametrize("version", [V12, V13])
def test_destination_resumes(service, backend, port, certs, version):
    """Sessions to a destination are resumed, per worker."""
    peer = backend(Secret, certs.ecdsa, version=version)
    s = service(stage.config(port, towards(peer, certs)))
    for i in range(4):
        lib.echo_once(port)
        lib.wait_until(lambda: len(stage.sessions(s)) == i + 1, "its end")
    assert peer.resumed[0] is False and peer.resumed[1:] == [True] * 3


def test_destination_breaks_later(service, backend, port, certs):
    """Established and then gone: no dead mark."""
    class Fickle(Secret):
        def serve(self, conn):
            conn.sendall(conn.recv(100))
            conn.recv(1)
            lib.reset(conn)

    peer = backend(Fickle, certs.ecdsa)
    s = service(stage.config(port, towards(peer, certs)))
    with lib.connect(port) as c:
        lib.roundtrip(c, b"x")
        c.sendall(b"now")
        with pytest.raises(ConnectionResetError):
            lib.read_all(c)
        name = c.getsockname()[1]
    assert stage.session_of(s, name)["end"] == "destination-error"
    row = stage.status(s)[1][stage.endpoint(peer)]
    assert (row["state"], row["failures"]) == ("up", "0")


def test_unix_destination(service, backend, port, certs, tmp_path):
    """A UNIX destination is verified by its name."""
    peer = backend(Secret, certs.ecdsa, path=tmp_path / "s.sock")
    s = service(stage.config(port, towards(peer, certs,
                                           "tls name = localhost")))
    lib.echo_once(port, lib.pattern(100000))
    s.wait_for("dst-tls=TLSv1.3/.* end=done")


# ---- material that cannot be used: W19 to W21, at start and at reload

def broken(certs, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate\n")
    e, r, c = certs.ecdsa, certs.rsa, certs.encrypted
    return {
        "missing": (f'tls cert-file = "{tmp_path}/nosuch.pem"',
                    r"tls: cannot load certificate '\S+nosuch\.pem': "
                    "No such file or directory"),
        "not a certificate": (f'tls cert-file = "{junk}"',
                              r"tls: cannot load certificate '\S+junk.pem': "
                              r"\S+"),
        "missing key": (f'tls cert-file = "{e.cert}" tls key-file = '
                        f'"{tmp_path}/nosuch.key"',
                        r"tls: cannot load key '\S+nosuch\.key': No such"),
        "wrong passphrase": (
            f'tls cert-file = "{c.cert}" tls key-file = "{c.key}" '
            'tls passphrase = "guess"',
            r"tls: cannot load key '\S+': wrong passphrase or format"),
        "no passphrase": (
            f'tls cert-file = "{c.cert}" tls key-file = "{c.key}"',
            r"tls: cannot load key '\S+': wrong passphrase or format"),
        "other key": (
            f'tls cert-file = "{e.cert}" tls key-file = "{r.key}"',
            r"tls: key '\S+' does not match certificate '\S+'"),
        "none at all": ("", "a listener with TLS needs 'tls cert-file'"),
        "missing sni": (f'{serving(e)} tls sni {{ cert-file = '
                        f'"{tmp_path}/nosuch.pem" }}',
                        r"tls: cannot load certificate '\S+nosuch\.pem'"),
        "missing authorities": (
            f'{serving(e)} tls ca-file = "{tmp_path}/nosuch.pem" '
            'tls verify = required', r".*nosuch\.pem"),
        "no cipher": (f'{serving(e)} tls ciphers = "NOSUCH"',
                      r"tls ciphers: .*NOSUCH"),
    }


BROKEN = ["missing", "not a certificate", "missing key", "wrong passphrase",
          "no passphrase", "other key", "none at all", "missing sni",
          "missing authorities", "no cipher"]


@pytest.mark.parametrize("kind", BROKEN)
def test_start_is_refused(service, port, certs, tmp_path, kind):
    """Status 78, the file and line on standard error, nothing bound."""
    relay, reason = broken(certs, tmp_path)[kind]
    s = service(stage.config(port, "address = 127.0.0.1 port = 1",
                             listen="tls", relay=relay), start=False,
                clean=False).launch()
    assert s.wait() == 78
    lib.wait_until(lambda: s.ended, "the end of its log")
    assert s.grep(rf"service\.cfg:\d+: {reason}"), s.log()
    assert not s.grep("listening on")
    assert "guess" not in s.log()


@pytest.mark.parametrize("kind", BROKEN)
def test_reload_is_refused(service, backend, port, certs, tmp_path, kind):
    """The old configuration serves on, established sessions do too."""
    relay, reason = broken(certs, tmp_path)[kind]
    echo = backend(lib.Echo)
    good = stage.config(port, echo.remote, listen="tls",
                        relay=serving(certs.ecdsa))
    s = service(good)
    workers = s.wait_workers(1)
    context = lib.client_context(certs.ca)
    with lib.connect(port, context=context, name="localhost") as c:
        lib.roundtrip(c, b"before")
        s.reload(stage.config(port, echo.remote, listen="tls", relay=relay),
                 expect=rf"reload: refused, \S+:\d+: {reason}")
        lib.roundtrip(c, b"after")
        with lib.connect(port, context=context, name="localhost") as new:
            lib.roundtrip(new, b"new")
    assert s.workers() == workers
    s.reload(good)


def test_reload_changes_certificate(service, backend, port, certs):
    """Established sessions go on, new ones see the new one."""
    echo = backend(lib.Echo)
    text = stage.config(port, echo.remote, listen="tls",
                        relay=serving(certs.ecdsa))
    s = service(text)
    context = lib.client_context(certs.ca)
    with lib.connect(port, context=context, name="localhost") as c:
        lib.roundtrip(c, b"before")
        s.reload(text.replace(str(certs.ecdsa.pem), str(certs.rsa.pem)))
        lib.roundtrip(c, lib.pattern(100000))
        assert shown(port, "localhost") == der(certs.rsa)


def test_same_name_new_content(service, backend, port, certs, tmp_path):
    """As certbot does it: the file is replaced, then SIGHUP."""
    pem = tmp_path / "site.pem"
    pem.write_text(certs.ecdsa.pem.read_text())
    echo = backend(lib.Echo)
    s = service(stage.config(port, echo.remote, listen="tls",
                             relay=f'tls cert-file = "{pem}"'))
    assert shown(port, "localhost") == der(certs.ecdsa)
    pem.write_text(certs.rsa.pem.read_text())
    assert shown(port, "localhost") == der(certs.ecdsa)
    s.reload()
    lib.wait_until(lambda: shown(port, "localhost") == der(certs.rsa),
                   "the new certificate")


@pytest.mark.parametrize("days, expected", [("expired", "expired"),
                                            ("soon", "expires"),
                                            ("good", None)])
def test_warning_about_dates(service, config, port, certs, days, expected):
    pair = {"expired": lambda: certs.expired,
            "soon": lambda: certs.make("soon", days=5),
            "good": lambda: certs.ecdsa}[days]()
    text = stage.config(port, "address = 127.0.0.1 port = 1", listen="tls",
                        relay=serving(pair))
    status, lines = config(text)
    assert status == 0
    warnings = [x for x in lines if "warning" in x]
    assert bool(warnings) == bool(expected), lines
    if expected:
        assert expected in warnings[0]
    service(text)		# and it starts
