"""TLS of relays: with clients, with servers, with both; where the private
keys are, and what a reload changes."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest

import lib
import ops
import rd
from test_key_process import (Visitors, found_in_files, found_in_memory,
                              traces)

pytestmark = [pytest.mark.tls, rd.needed]

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def keypair(pair, name=None, ocsp=None):
    return (f'tls keypair "{name or pair.cert.stem}" cert "{pair.cert}" '
            f'key "{pair.key}"' + (f' ocsp "{ocsp}"' if ocsp else ""))


def conf(port, forward, *options, prefork=1, tls=" tls", relay="", top=""):
    """One relay; options are lines of its protocol."""
    protocol = "\n".join(f"\t{o}" for o in options)
    return f"""
prefork {prefork}
{top}
protocol "p" {{
{protocol}
}}
relay "www" {{
	listen on 127.0.0.1 port {port}{tls}
	protocol "p"
	{relay}
	forward {forward}
}}
"""


def to(server, words=""):
    return f"{words} to {server.host} port {server.port}"


def shown(port, name=None, **kw):
    """The certificate that a client of that name is shown, as text."""
    with lib.connect(port, context=lib.client_context(**kw),
                     name=name) as c:
        return ssl.DER_cert_to_PEM_cert(c.getpeercert(True))


def pem(pair):
    return ssl.DER_cert_to_PEM_cert(
        ssl.PEM_cert_to_DER_cert(pair.cert.read_text()))


def echo(port, ca, data=b"hello", version=None, name="localhost", **kw):
    context = lib.client_context(ca, version, **kw)
    with lib.connect(port, context=context, name=name) as c:
        assert lib.roundtrip(c, data) == data
        return c.version(), c.cipher()[0]


def refusal(port, **kw):
    """Why a client does not get through; None: it does."""
    try:
        with lib.connect(port, context=lib.client_context(**kw),
                         name="localhost") as c:
            c.sendall(b"x")
            if c.recv(1) == b"":
                return "closed"
    except ssl.SSLError as e:
        return e.reason
    except OSError as e:
        return type(e).__name__
    return None


def becomes(condition, what):
    """Workers take over one by one once the reload is done."""
    def there():
        try:
            return all(condition() for _ in range(4))
        except (OSError, AssertionError):
            return False
    lib.wait_until(there, what, step=0.05)


# ---- kinds of relays, and what is said of them

@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("client", [False, True])
def test_kinds(relayd, backend, certs, port, client, server):
    """Payload is intact, whoever speaks TLS."""
    b = backend(lib.Echo, context=lib.server_context(certs.ecdsa)
                if server else None)
    s = relayd(conf(port, to(b, "with tls" if server else ""),
                    keypair(certs.rsa), tls=" tls" if client else "",
                    top="log connection"))
    flags = [w for w, on in (("tls", client), ("tls client", server)) if on]
    assert s.grep(f"flags: used, relay flags: {', '.join(flags) or 'none'}$")
    assert s.grep(r"^protocol 1: name p$") and s.grep(r"\ttype: tcp$")
    assert s.grep(r"\ttls session tickets: disabled$")
    data = lib.pattern(1 << 20)
    if client:
        for version in (V12, V13):
            echo(port, certs.ca, data, version)
    else:
        for _ in range(2):
            lib.echo_once(port, data)
    assert bool(s.grep(r"relay www, tls session 1 established "
                       r"\(1 active\)$")) == client
    assert bool(s.grep(r"relay www, tls session 1 connected "
                       r"\(1 active\)$")) == server
    lib.wait_until(lambda: len(rd.session_lines(s)) == 2, "both sessions")
    assert all(x.endswith(", done") for x in rd.session_lines(s))


VERSIONS = {
    "tls tlsv1.2": {V12, V13},
    "tls no tlsv1.2": {V13},
    "tls no tlsv1.3": {V12},
}


@pytest.mark.parametrize("option", VERSIONS)
def test_versions(relayd, backend, certs, port, option):
    """On both sides."""
    server = lib.free_port()
    plain = backend(lib.Echo)
    relayd(f"""
prefork 1
protocol "p" {{
	{keypair(certs.ecdsa)}
	{option}
}}
relay "client" {{
	listen on 127.0.0.1 port {port} tls
	protocol "p"
	forward to 127.0.0.1 port {plain.port}
}}
relay "server" {{
	listen on 127.0.0.1 port {server}
	protocol "p"
	forward with tls to 127.0.0.1 port {port}
}}
""", relays=2)
    for version in (V12, V13):
        why = refusal(port, version=version)
        assert (why is None) == (version in VERSIONS[option]), why
    lib.echo_once(server)		# they agree with themselves


def test_ciphers_and_curves(relayd, backend, certs, port):
    """The list is the relay's, and so is the preference unless it says no."""
    other, b = lib.free_port(), backend(lib.Echo)
    two = '"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"'
    relayd(f"""
prefork 1
protocol "ours" {{
	{keypair(certs.ecdsa)}
	tls {{ no tlsv1.3, ciphers {two}, ecdhe "P-384" }}
}}
protocol "theirs" {{
	{keypair(certs.ecdsa)}
	tls {{ no tlsv1.3, ciphers {two}, no cipher-server-preference }}
}}
relay "one" {{
	listen on 127.0.0.1 port {port} tls
	protocol "ours"
	forward to 127.0.0.1 port {b.port}
}}
relay "two" {{
	listen on 127.0.0.1 port {other} tls
	protocol "theirs"
	forward to 127.0.0.1 port {b.port}
}}
""", relays=2)
    wish = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    for p, chosen in ((port, "AES256"), (other, "AES128")):
        r = lib.s_client(p, "-cipher", wish, data=b"Q\n")
        assert re.search(rb"Cipher is (\S+)", r.stdout)[1].decode() == \
            f"ECDHE-ECDSA-{chosen}-GCM-SHA" + \
            ("384" if chosen == "AES256" else "256")
    assert b"secp384r1" in lib.s_client(port, data=b"Q\n").stdout
    assert b"X25519" in lib.s_client(other, data=b"Q\n").stdout
    r = lib.s_client(port, "-groups", "X25519", data=b"Q\n")
    assert r.returncode != 0 and b"handshake failure" in r.stderr
    r = lib.s_client(port, "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305",
                     data=b"Q\n")
    assert r.returncode != 0 and b"handshake failure" in r.stderr


def test_secure_is_the_default(relayd, backend, certs, port):
    relayd(conf(port, to(backend(lib.Echo)), keypair(certs.rsa)))
    for cipher, good in (("ECDHE-RSA-AES128-GCM-SHA256", True),
                         ("ECDHE-RSA-AES128-SHA", False),
                         ("AES128-SHA", False)):
        r = lib.s_client(port, "-tls1_2", "-cipher",
                         f"{cipher}:@SECLEVEL=0", data=b"Q\n")
        assert (r.returncode == 0) == good, (cipher, r.stderr)


@pytest.mark.parametrize("word", ["secure", "default", "compat", "legacy",
                                  "all", "insecure"])
def test_cipher_words(relayd, backend, certs, port, word):
    """None of them lets a client have the key decrypt something."""
    relayd(conf(port, to(backend(lib.Echo)), keypair(certs.rsa),
                f"tls ciphers {word}"))
    for version in (V12, V13):
        echo(port, certs.ca, version=version)
    old = word not in ("secure", "default")
    for cipher, good in (("ECDHE-RSA-AES128-GCM-SHA256", True),
                         ("ECDHE-RSA-AES256-SHA384", old),
                         ("AES128-GCM-SHA256", False)):
        r = lib.s_client(port, "-tls1_2", "-cipher", cipher, data=b"Q\n")
        assert (r.returncode == 0) == good, (cipher, r.stderr)


@pytest.mark.parametrize("option, good", [
    ("tls edh", True), ("tls edh params auto", True),
    ("tls edh params legacy", True), ("tls no edh", False)])
def test_edh(relayd, backend, certs, port, option, good):
    relayd(conf(port, to(backend(lib.Echo)), keypair(certs.rsa), option))
    r = lib.s_client(port, "-tls1_2", "-cipher",
                     "DHE-RSA-AES256-GCM-SHA384", data=b"Q\n")
    assert (r.returncode == 0) == good, r.stderr


# ---- certificates

def test_names(relayd, backend, certs, port):
    """By the certificates' names; who asks for none, or for another one,
    gets the first. Of one name those go together that have different kinds
    of keys."""
    first = certs.make("first", names=["first.test"], key="rsa")
    ec = certs.make("both-ec", names=["both.test"])
    rsa = certs.make("both-rsa", names=["both.test"], key="rsa")
    wild = certs.make("wild", names=["*.wild.test"], key="ed25519")
    again = certs.make("again", names=["both.test"])
    relayd(conf(port, to(backend(lib.Echo)),
                *map(keypair, (first, ec, rsa, wild, again))))
    for name, pair in ((None, first), ("first.test", first),
                       ("both.test", ec), ("a.wild.test", wild),
                       ("wild.test", first), ("a.b.wild.test", first),
                       ("unknown.test", first)):
        assert shown(port, name) == pem(pair), name
    r = lib.s_client(port, "-tls1_2", "-servername", "both.test", "-sigalgs",
                     "rsa_pss_rsae_sha256", data=b"Q\n")
    assert b"CN = both-rsa" in r.stdout


def test_chain(relayd, backend, certs, port, tmp_path):
    """What stands behind the leaf is sent along."""
    pair = certs.ecdsa
    chain = tmp_path / "chain.crt"
    chain.write_text(pair.cert.read_text() + certs.ca.read_text())
    relayd(conf(port, to(backend(lib.Echo)),
                f'tls keypair "chain" cert "{chain}" key "{pair.key}"'))
    r = lib.s_client(port, "-showcerts", data=b"Q\n")
    assert r.stdout.count(b"BEGIN CERTIFICATE") == 2


def test_key_and_certificate_in_one_file(relayd, backend, certs, port):
    """Workers get the public part of such a file."""
    pair = certs.ecdsa
    relayd(conf(port, to(backend(lib.Echo)), f'tls keypair "one" '
                f'cert "{pair.pem}" key "{pair.pem}"'))
    echo(port, certs.ca)


def test_by_address(relayd, backend, certs, port, tmp_path):
    """Where the language says that certificates are: with the port first.
    What is found changes by a reload; keys are of another curve here."""
    if subprocess.run(["unshare", "--mount", "true"]).returncode != 0:
        pytest.skip("nothing can be mounted here")
    folder, other = tmp_path / "ssl", lib.free_port()
    (folder / "private").mkdir(parents=True)

    def put(name, subject):
        certs.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-384", "-nodes", "-days", "30",
                      "-subj", f"/OU=relayd/CN={subject}", "-keyout",
                      folder / "private" / f"{name}.key", "-out",
                      folder / f"{name}.crt")
        return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(
            (folder / f"{name}.crt").read_text()))

    usual, special = put("127.0.0.1", "usual"), \
        put(f"127.0.0.1:{other}", "special")
    mounted = ["unshare", "--mount", "sh", "-c",
               f'mount --bind {folder} /etc/ssl && exec "$@"', "sh"]
    s = relayd(f"""
prefork 1
relay "www" {{
	listen on 127.0.0.1 port {port} tls
	listen on 127.0.0.1 port {other} tls
	forward to 127.0.0.1 port {backend(lib.Echo).port}
}}
""", relays=2, wrap=mounted)
    assert shown(port) == usual and shown(other) == special
    now = put(f"127.0.0.1:{port}", "now")
    s.reload()
    becomes(lambda: shown(port) == now, "the one with the port")


def staple(certs, pair, directory, days=1):
    """What an authority's responder says of that certificate."""
    index, out = directory / "index.txt", directory / "response.der"
    serial = certs.openssl("x509", "-in", pair.cert, "-noout", "-serial")
    serial = serial.strip().split("=")[1]
    index.write_text(f"V\t360101000000Z\t\t{serial}\tunknown\t/CN=x\n")
    certs.openssl("ocsp", "-index", index, "-issuer", certs.ca, "-cert",
                  pair.cert, "-CA", certs.ca, "-rsigner", certs.ca, "-rkey",
                  certs.ca.with_suffix(".key"), "-ndays", days, "-respout",
                  out)
    return out


def test_staple(relayd, backend, certs, port, tmp_path):
    """To who asks for it, with the certificate that it is of."""
    one = certs.make("stapled", names=["one.test"])
    two = certs.make("bare", names=["two.test"])
    answer = staple(certs, one, tmp_path)
    s = relayd(conf(port, to(backend(lib.Echo)), keypair(one, ocsp=answer),
                    keypair(two)))
    for version in ("-tls1_2", "-tls1_3"):
        r = lib.s_client(port, version, "-status", "-servername",
                         "one.test", data=b"Q\n")
        assert b"OCSP Response Status: successful" in r.stdout
        assert b"Cert Status: good" in r.stdout
        r = lib.s_client(port, version, "-status", "-servername",
                         "two.test", data=b"Q\n")
        assert b"OCSP response: no response sent" in r.stdout
    r = lib.s_client(port, data=b"Q\n")
    assert b"OCSP" not in r.stdout
    answer.write_bytes(b"no response")
    s.reload(expect="failed to load config file")
    assert s.grep(re.escape(f"cannot load OCSP response '{answer}'"))
    r = lib.run(rd.RELAYD, "-n", "-f", s.file)
    assert r.returncode == 1 and "cannot load OCSP response" in r.stderr
    answer.write_bytes(b"")		# as good as none
    s.reload()
    becomes(lambda: b"OCSP response: no response sent" in lib.s_client(
        port, "-status", "-servername", "one.test", data=b"Q\n").stdout,
            "no staple")


def test_client_certificates(relayd, backend, certs, port):
    s = relayd(conf(port, to(backend(lib.Echo)), keypair(certs.ecdsa),
                    f'tls client ca "{certs.ca}"', top="log connection"))
    for version in (V12, V13):
        echo(port, certs.ca, version=version, cert=certs.client)
    for kw in ({}, {"cert": certs.stranger}, {"cert": certs.expired_client}):
        assert refusal(port, ca=certs.ca, version=V12, **kw)
        assert refusal(port, ca=certs.ca, version=V13, **kw)
    lib.wait_until(lambda: len(rd.session_lines(s)) == 8, "all sessions")
    failed = [x for x in rd.session_lines(s) if "TLS handshake error" in x]
    assert len(failed) == 6
    assert sum("peer did not return a certificate" in x
               for x in failed) == 2, failed
    assert sum("certificate verify failed" in x for x in failed) == 4, failed
    assert not s.grep("has no effect")


# ---- handshakes that come to nothing

def test_no_handshake(relayd, backend, certs, port):
    b = backend(lib.Echo)
    s = relayd(conf(port, to(b), keypair(certs.ecdsa), top="log connection",
                    relay="session timeout 1"))
    with lib.connect(port) as c:
        c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(OSError):
            while c.recv(100):
                pass
    s.wait_for(r"session 1 .*, TLS handshake error: \S")
    with lib.connect(port) as c:
        assert c.recv(1) == b""
    s.wait_for(r"session 2 .*, TLS handshake timeout$")
    assert b.connections == 0


# ---- tickets

def resumed(port, context, session):
    with socket.create_connection(("127.0.0.1", port), lib.TIMEOUT) as raw, \
            context.wrap_socket(raw, server_hostname="localhost",
                                session=session) as c:
        assert lib.roundtrip(c, b"x") == b"x"
        return c.session_reused, c.session


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets(relayd, backend, certs, port, version):
    """Good in all workers, and over a reload; off by default."""
    b, off = backend(lib.Echo), lib.free_port()
    text = f"""
prefork 3
protocol "on" {{
	{keypair(certs.ecdsa)}
	tls session tickets
}}
protocol "off" {{
	{keypair(certs.ecdsa)}
}}
relay "on" {{
	listen on 127.0.0.1 port {port} tls
	protocol "on"
	forward to 127.0.0.1 port {b.port}
}}
relay "off" {{
	listen on 127.0.0.1 port {off} tls
	protocol "off"
	forward to 127.0.0.1 port {b.port}
}}
"""
    s = relayd(text, relays=6)
    assert len(s.grep(r"tls session tickets: enabled")) == 3
    context = lib.client_context(certs.ca, version)
    _, session = resumed(port, context, None)
    for i in range(12):
        again, session = resumed(port, context, session)
        assert again, i
        if i == 6:
            s.reload(text + "\n# another one\ntimeout 300\n")
    _, session = resumed(off, context, None)
    assert not resumed(off, context, session)[0]


def test_tickets_by_reload(relayd, backend, certs, port):
    """There are none, then there are some, then none again."""
    b, context = backend(lib.Echo), lib.client_context(certs.ca, V13)

    def works():
        _, session = resumed(port, context, None)
        return resumed(port, context, session)[0]

    plain = conf(port, to(b), keypair(certs.ecdsa), prefork=2)
    s = relayd(plain, relays=2)
    assert not works()
    for _ in range(2):
        s.reload(conf(port, to(b), keypair(certs.ecdsa),
                      "tls session tickets", prefork=2))
        becomes(works, "tickets")
        s.reload(plain)
        becomes(lambda: not works(), "no tickets")


# ---- towards servers

def test_authorities(relayd, backend, certs, port):
    """Without a ca file anybody will do, with one its chain has to be
    right, whose it ever is."""
    other = certs.make("elsewhere", names=["elsewhere.test"], ips=())
    stranger = certs.make("strange", ca="other")
    good = backend(lib.Echo, context=lib.server_context(other))
    bad = backend(lib.Echo, context=lib.server_context(stranger))
    ports = [port, lib.free_port(), lib.free_port()]
    s = relayd(f"""
prefork 1
log connection
protocol "ca" {{
	tls ca file "{certs.ca}"
}}
relay "good" {{
	listen on 127.0.0.1 port {ports[0]}
	protocol "ca"
	forward with tls to 127.0.0.1 port {good.port}
}}
relay "bad" {{
	listen on 127.0.0.1 port {ports[1]}
	protocol "ca"
	forward with tls to 127.0.0.1 port {bad.port}
}}
relay "any" {{
	listen on 127.0.0.1 port {ports[2]}
	forward with tls to 127.0.0.1 port {bad.port}
}}
""", relays=3)
    assert not s.grep("has no effect")
    lib.echo_once(ports[0])
    lib.echo_once(ports[2])
    with lib.connect(ports[1]) as c:
        assert c.recv(1) == b""
    s.wait_for(r"relay bad, .*, TLS handshake error: "
               r"certificate verify failed")


class Name(lib.Echo):
    """Remembers what it was asked for by name."""

    def __init__(self, pair):
        self.names = []
        context = lib.server_context(pair)
        context.sni_callback = \
            lambda sock, name, ctx: self.names.append(name)
        super().__init__(context=context)


def test_name(relayd, backend, certs, port):
    """None is sent unless it is asked for; and verified only then."""
    b = backend(Name, certs.make("local", names=["localhost"], ips=()))
    other = backend(Name, certs.make("other", names=["other.test"], ips=()))
    rows = [("", b, "localhost", True, None),
            ("tls server-name", b, "localhost", True, "localhost"),
            ("tls server-name", b, "127.0.0.1", True, None),
            ("tls verify-name", b, "localhost", True, None),
            ("tls verify-name", other, "localhost", False, None),
            ("tls verify-name", b, "127.0.0.1", False, None),
            ("tls { server-name, verify-name }", b, "localhost", True,
             "localhost")]
    ports = [lib.free_port() for _ in rows]
    text = "prefork 1\nlog connection\n"
    for i, (option, server, host, _, _) in enumerate(rows):
        text += f"""
table <t{i}> {{ {host} }}
protocol "p{i}" {{
	tls ca file "{certs.ca}"
	{option}
}}
relay "r{i}" {{
	listen on 127.0.0.1 port {ports[i]}
	protocol "p{i}"
	forward with tls to <t{i}> port {server.port}
}}
"""
    s = relayd(text, relays=len(rows))
    for i, (_, server, _, good, name) in enumerate(rows):
        server.names.clear()
        if good:
            lib.echo_once(ports[i])
        else:
            with lib.connect(ports[i]) as c:
                assert c.recv(1) == b""
            s.wait_for(rf"relay r{i}, .*, TLS handshake error: \S")
        assert server.names in ([name], [None] if name is None else [name])


def test_hosts_share_what_is_the_relays(relayd, backend, certs, port):
    """Each is resumed with its own session, though."""
    servers = [backend(lib.Echo, context=lib.server_context(pair))
               for pair in (certs.ecdsa, certs.rsa)]
    s = relayd(conf(port, f"with tls to 127.0.0.1 port {servers[0].port}",
                    tls=""))
    for _ in range(4):
        lib.echo_once(port)
    assert servers[0].connections == 4 and not servers[0].errors
    s.reload(conf(port, f"with tls to 127.0.0.1 port {servers[1].port}",
                  tls=""))
    lib.wait_until(lambda: lib.echo_once(port) or servers[1].connections,
                   "the other server")
    for _ in range(4):
        lib.echo_once(port)
    assert servers[1].connections == 5 and not servers[1].errors


def test_proxy_header_inside(relayd, backend, certs, port):
    """The first thing that is sent, within TLS."""
    b = backend(lib.Echo, context=lib.server_context(certs.ecdsa))
    relayd(conf(port, to(b, "with tls") + " proxy-protocol v1",
                keypair(certs.rsa)))
    with lib.connect(port, context=lib.client_context(certs.ca),
                     name="localhost") as c:
        local = c.getsockname()[1]
        head = f"PROXY TCP4 127.0.0.1 127.0.0.1 {local} {port}\r\n".encode()
        c.sendall(b"after")
        assert lib.read_exact(c, len(head) + 5) == head + b"after"


# ---- peers of other makes

@contextlib.contextmanager
def running(port, *command):
    """A server, until it is not needed any more."""
    with open(os.devnull) as nothing, subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=nothing,
            stderr=nothing) as p:
        try:
            lib.wait_until(lambda: not ops.refused(port), command[0])
            yield
        finally:
            p.terminate()


@pytest.mark.skipif(not lib.have("nginx") or not lib.have("curl"),
                    reason="no nginx, or no curl")
def test_nginx(relayd, certs, port, tmp_path):
    """A server of its own kind on one side, curl on the other."""
    server, size = lib.free_port(), 300000
    (tmp_path / "file").write_bytes(lib.pattern(size))
    tmp_path.chmod(0o755)
    (tmp_path / "nginx.conf").write_text(f"""
daemon off;
master_process off;
user root;
pid {tmp_path}/pid;
events {{ }}
http {{
	access_log off;
	client_body_temp_path {tmp_path}/body;
	proxy_temp_path {tmp_path}/proxy;
	fastcgi_temp_path {tmp_path}/fastcgi;
	uwsgi_temp_path {tmp_path}/uwsgi;
	scgi_temp_path {tmp_path}/scgi;
	server {{
		listen 127.0.0.1:{server} ssl;
		ssl_certificate {certs.ecdsa.cert};
		ssl_certificate_key {certs.ecdsa.key};
		root {tmp_path};
	}}
}}
""")
    with running(server, "nginx", "-p", tmp_path, "-e", tmp_path / "error",
                 "-c", tmp_path / "nginx.conf"):
        relayd(conf(port, f"with tls to 127.0.0.1 port {server}",
                    keypair(certs.rsa), f'tls ca file "{certs.ca}"',
                    prefork=2), relays=2)
        out = tmp_path / "out"
        for version in ("1.2", "1.3"):
            r = lib.curl("-sS", "--cacert", certs.ca, f"--tlsv{version}",
                         "--tls-max", version, "-o", out, "-o", out,
                         f"https://localhost:{port}/file",
                         f"https://localhost:{port}/file",
                         "--resolve", f"localhost:{port}:127.0.0.1")
            assert r.returncode == 0, r.stderr
            assert out.read_bytes() == lib.pattern(size)


def test_s_server(relayd, certs, port):
    """One that wants what nobody else does."""
    server = lib.free_port()
    with running(server, "openssl", "s_server", "-accept",
                 f"127.0.0.1:{server}", "-cert", certs.rsa.cert, "-key",
                 certs.rsa.key, "-tls1_2", "-cipher",
                 "ECDHE-RSA-CHACHA20-POLY1305", "-groups", "P-384",
                 "-quiet", "-www"):
        relayd(conf(port, f"with tls to 127.0.0.1 port {server}", tls=""))
        with lib.connect(port) as c:
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got = lib.read_all(c)
        assert b"ECDHE-RSA-CHACHA20-POLY1305" in got
        assert b"secp384r1" in got


# ---- private keys

@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_workers_have_no_key(relayd, backend, certs, port, kind):
    pair = getattr(certs, kind)
    s = relayd(conf(port, to(backend(lib.Echo)), keypair(pair), prefork=2),
               relays=2)
    for _ in range(6):
        echo(port, certs.ca)
    what = traces(pair)
    assert any(found_in_memory(p, what) for p in s.named("ca"))
    others = s.named("relay") + [s.one("hce"), s.one("pfe")]
    assert len(others) == 4
    for pid in others:
        assert not found_in_memory(pid, what), lib.title(pid)
        assert not found_in_files(pid, what), lib.title(pid)


def test_key_process_dies(relayd, backend, certs, port):
    """Who is in the middle of a handshake waits for the next one."""
    s = relayd(conf(port, to(backend(lib.Echo)), keypair(certs.ecdsa),
                    prefork=2), relays=2, clean=False)
    context = lib.client_context(certs.ca)
    with Visitors(port, context) as visitors:
        visitors.more()
        for _ in range(3):
            former = s.named("ca")
            os.kill(former[0], signal.SIGKILL)
            lib.wait_until(lambda: former[0] not in s.named("ca") and
                           len(s.named("ca")) == len(former),
                           "another key process")
            visitors.more()
    lost = s.grep(r"lost child: ca pid \d+ terminated; signal 9")
    assert len(lost) == 3
    # the service must not be told to have lost others
    assert len(s.grep("lost child")) == 3
    s.stop()


def test_key_process_is_slow(relayd, backend, certs, port):
    """That is told after a second; other sessions go on, and handshakes when
    it does."""
    plain, b = lib.free_port(), backend(lib.Echo)
    s = relayd(conf(port, to(b), keypair(certs.ecdsa)) + f"""
relay "plain" {{
	listen on 127.0.0.1 port {plain}
	forward to 127.0.0.1 port {b.port}
}}
""", relays=2)
    with ops.Stream(plain) as stream:
        ca = s.one("ca")
        os.kill(ca, signal.SIGSTOP)
        try:
            result = []
            client = threading.Thread(target=lambda: result.append(
                echo(port, certs.ca)))
            client.start()
            s.wait_for(r"privenc poll timeout, keyop #1$")
            stream.goes_on()
            lib.echo_once(plain)
        finally:
            os.kill(ca, signal.SIGCONT)
        client.join(lib.TIMEOUT)
    assert result, "the handshake did not go on"
    assert len(s.grep("privenc poll timeout")) == 1


# ---- reload

def test_reload_takes_changed_files(relayd, backend, certs, port, tmp_path):
    """And those that are wrong change nothing; sessions go on anyway."""
    one, two = certs.ecdsa, certs.rsa
    cert, key = tmp_path / "w.crt", tmp_path / "w.key"

    def put(pair):
        cert.write_bytes(pair.cert.read_bytes())
        key.write_bytes(pair.key.read_bytes())

    put(one)
    s = relayd(conf(port, to(backend(lib.Echo)), f'tls keypair "w" '
                    f'cert "{cert}" key "{key}"', prefork=2), relays=2)
    context = lib.client_context(certs.ca)
    with ops.Stream(port, context=context, name="localhost") as stream, \
            Visitors(port, context, 2) as visitors:
        assert shown(port) == pem(one)
        put(two)
        assert shown(port) == pem(one)
        s.reload()
        becomes(lambda: shown(port) == pem(two), "the other certificate")
        stream.goes_on()
        visitors.more(5)
        key.write_bytes(one.key.read_bytes())
        s.reload(expect="failed to load config file")
        assert s.grep("key '.*' does not match certificate")
        assert shown(port) == pem(two)
        put(one)
        s.reload()
        becomes(lambda: shown(port) == pem(one), "the first one again")
        stream.goes_on()
        visitors.more(5)


def test_reload_with_and_without_tls(relayd, backend, certs, port):
    """A listener becomes a TLS one and back, and nobody is refused."""
    b = backend(lib.Echo)
    plain = conf(port, to(b), keypair(certs.ecdsa), tls="")
    s = relayd(plain)
    with ops.Stream(port) as stream:
        for _ in range(3):
            s.reload(conf(port, to(b), keypair(certs.ecdsa),
                          "tls session tickets"))
            becomes(lambda: echo(port, certs.ca), "TLS")
            stream.goes_on()
            s.reload(plain)
            becomes(lambda: lib.echo_once(port) or True, "no TLS")
            stream.goes_on()


def test_missing_files(relayd, certs, port, tmp_path):
    """Told with file and line, at the start as by -n."""
    s = relayd(conf(port, "to 127.0.0.1 port 1",
                    f'tls keypair "gone" cert "{tmp_path}/gone.crt"'),
               start=False, clean=False)
    s.launch()
    assert s.wait() == 1
    assert s.grep(rf'{re.escape(str(s.file))}:\d+: cannot load keypair "gone" for relay '
                  r'"www": .*/gone.crt: No such file or directory')


@pytest.mark.parametrize("option, forward", [
    ("client ca", ""), ("ca file", "with tls")])
def test_no_authorities(certs, port, tmp_path, option, forward):
    """A check looks into them."""
    pair, wrong = certs.ecdsa, tmp_path / "wrong.crt"
    wrong.write_text("no certificate\n")
    file = tmp_path / "r.conf"
    file.write_text(conf(port, f"{forward} to 127.0.0.1 port 1",
                         keypair(pair), f'tls {option} "{wrong}"'))
    r = lib.run(rd.RELAYD, "-n", "-f", file)
    assert r.returncode == 1
    assert re.search(rf'^{re.escape(str(file))}:\d+: cannot load certificate '
                     rf'for relay "www": cannot load authorities '
                     rf"'{re.escape(str(wrong))}': no certificate in it$",
                     r.stderr, re.M), r.stderr
