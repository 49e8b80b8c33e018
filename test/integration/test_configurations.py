"""Whole configurations, as an operator would write them: each is checked by
both programs, and those that can be are served for real."""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import socket
import ssl
import stat
import subprocess

import pytest

import lib

# ---- the files; paths and addresses are those of documentation

CONFIGURATIONS = {
    "1 the founding one": """#!/usr/local/sbin/spawnd
id = spawnd {
    listen = { port = 3022 }
    listen = { address = ::0 port = 3022 }
    listen = { ::0 port = 3024 }
    listen = { port = 3025 tls = yes }
    spawn {
        users max = 3000
        users min = 15
        servers min = 2
        servers max = 12
    }
}

id = tcprelay {
        remote = { address = 192.0.2.22 port = 22 }
        ssl cert = /etc/ssl/private/edge.pem
        ssl passphrase =  98765
}
""",
    "2 the smallest": """
id = spawnd { listen = { port = 8080} }
id = tcprelay { remote = { address = 192.0.2.10 port = 80 } }
""",
    "3 event mechanism, exec without equals": """
setenv IO_POLL_MECHANISM = 8

id = spawnd {
    listen = { port = 8080 }
    spawn = { exec /usr/local/libexec/tcprelay }
}
id = tcprelay { remote = { address = 192.0.2.10 port = 80 } }
""",
    "4 weights and limits": """
id = spawnd {
    listen { address = 198.51.100.5 port = 443 }
    spawn { instances min = 4 instances max = 4 users min = 100 users max = 2k }
}
id = tcprelay {
    remote = { address = 192.0.2.11 port = https protocol = TCP weight = 3 }
    remote = { address = 192.0.2.12 port = 443 weight = 2 }
    remote = { address = 2001:db8:1::13 port = 443 }
    local address = 192.0.2.4
    rebalance = 5000
    retire = 1000000
    idle timeout = 30m
    connect timeout = 4s
    dead time = 2m
}
""",
    "5 TLS wrapper": """
syslog ident = "mail-wrapper"
syslog facility = MAIL
syslog severity = notice

id = spawnd {
    background = yes
    pidfile = /run/mail-wrapper.pid
    listen = { port = imaps tls = TLSv1.2,TLSv1.3 }
    listen = { port = pop3s tls = TLSv1.3 }
    listen = { address = 127.0.0.1 port = 1143 tls = no }
    spawn { userid = mail groupid = mail working directory = /var/empty }
}
id = tcprelay {
    tls cert-file = /etc/ssl/mail.crt
    tls key-file = /etc/ssl/mail.key
    tls passphrase = "correct \\"horse\\""
    tls ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"
    tls cipher-suites = TLS_AES_256_GCM_SHA384
    handshake timeout = 15
    remote = { address = 127.0.0.1 port = 143 }
}
""",
    "6 who may connect": """
id = spawnd {
    permit 127.0.0.1/8
    deny 203.0.113.128/25
    permit 203.0.113.0/255.255.255.0
    permit 2001:db8:40::/44
    acl accept ::1
    acl reject 198.51.100.7
    acl permit 198.51.100.0/24
    deny not 192.0.2.0/24
    permit 192.0.2.0/24
    listen { port 8021 }
}
id = tcprelay { remote { address 192.0.2.21 port 21 } }
""",
    "7 UNIX on both sides": """
id = spawnd {
    listen = { path = /run/relay.sock mode = 0660 userid = daemon groupid = adm
        backlog = 16 }
    spawn { instances min = 1 instances max = 1 }
}
id = tcprelay { remote = { address = /run/backend.sock } }
""",
    "8 everything a listener can have": """
id = spawnd {
    bind retry delay = 5
    tcp keepalive count = 4
    tcp keepalive idle = 2m
    tcp keepalive interval = 20s
    tcp bufsize = 256k
    overload = reset
    listen {
        address = 198.51.100.9
        port = 9000
        protocol = TCP
        type = STREAM
        realm = customers
        dscp = 0x2e
        backlog = 4096
        overload backlog = 16
        bind retry delay = 1
        tcp keepalive idle = 30
        tcp keepalive count = 3
        tcp keepalive interval = 5
        tcp bufsize = 128k
        haproxy = yes
    }
    spawn { users minimum = 20 users maximum = 500 instances minimum = 2
        instances maximum = 6 }
}
id = tcprelay { remote = { address = 192.0.2.90 port = 9000 } }
""",
    "9 sticky clients": """
id = spawnd {
    overload = queue
    sticky cache period = 10m
    sticky cache size = 50000
    listen { port = 7001 }
    listen { port = 7002 sticky cache period = 30 sticky cache size = 200 }
    spawn { sticky cache period = 600 users min 50 users max 400 }
}
id = tcprelay { remote = { address = 192.0.2.70 port = 7000 } }
""",
    "10 a single process": """
debug = NET PROC -PACKET
debug redirect = stderr
id = spawnd {
    single process = yes
    overload = close
    listen { address = 127.0.0.1 port = 8080 }
    spawn { users max = 50 }
}
id = tcprelay { remote = { address = 127.0.0.1 port = 80 } }
""",
    "11 two services": """
id = front-spawnd { listen = { port = 8443 tls = auto } }
id = front {
    ssl certfile = /etc/ssl/front.pem
    ssl keyfile = /etc/ssl/front.key
    remote = { address = 192.0.2.5 port = 80 }
}
id = back-spawnd {
    listen = { address = 10.0.0.1 port = 8081 }
    spawn { id = back }
}
id = back { remote = { address = 192.0.2.6 port = 80 } }
""",
    "12 a program with cookies, a file of its own": """
id = spawnd {
    listen = { port = 2121 }
    spawn {
        exec = /opt/relay/%O/sbin/tcprelay
        id = tcprelay
        config = /etc/relay/worker.conf
        instances min = 1
        instances max = 3
    }
}
""",
    "13 includes and environment": """
setenv ZONE = dmz
include = "$CONFDIR/conf.d/*.inc"
id = spawnd {
    include "$CONFDIR/listen-${ZONE}.inc"
    pid-file = "/run/relay-${SITE}-${ZONE}.pid"
}
id = tcprelay { include = /etc/relay/remotes.inc }
""",
    "14 aliases": """
alias tuned { backlog = 1024 tcp keepalive idle = 60 }
alias = web { remote = { address = 192.0.2.80 port = 80 }
    remote = { address = 192.0.2.81 port = 80 } }
id = spawnd {
    listen { address = 198.51.100.1 port = 80 tuned }
    listen { address = 198.51.100.2 port = 80 tuned }
}
id = tcprelay { web }
""",
    "15 inetd": """
id = spawnd { listen { } spawn { users max = 10 } }
id = tcprelay { remote = { address = 192.0.2.15 port = 25 }
    retire limit = 100 }
""",
    "16 VRF": """
id = spawnd {
    listen { port = 5000 vrf = blue realm = blue }
    listen { port = 5000 vrf = red  realm = red }
    spawn { user = daemon group = daemon }
}
id = tcprelay { remote = { address = 192.0.2.50 port = 5000 } }
""",
    "18 PROXY in and out": """
id = spawnd {
    permit 10.0.0.0/8
    listen = { port = 8443 haproxy = true tls = true }
}
id = tcprelay {
    ssl cert = /etc/ssl/site.pem
    log connections = yes
    remote = { address = 192.0.2.1 port = 8080 haproxy = v2 pool = web }
    remote = { address = 192.0.2.2 port = 8080 haproxy = v1 pool = web }
}
""",
    "19 client certificates and pre-shared keys": """
id = spawnd {
    listen { port = 9443 tls = TLSv1.3 }
    listen { port = 9444 tls tls psk = yes }
}
id = tcprelay {
    tls cert-file = /etc/ssl/gw.pem
    tls ca-file = /etc/ssl/clients-ca.pem
    tls verify = optional
    tls psk-file = /etc/relay/psk
    remote = { address = 192.0.2.94 port = 9000 }
}
""",
    "21 crashes and titles": """
coredump directory = /var/crash
gcore = "/usr/bin/gcore"
debug-cmd = "echo crashed: $CRASHPID >> /var/log/relay-crash"
cleanup interval = 5
proctitle = "edge relay"
syslog default = permit
syslog filter = 0xff
syslog level = info
id = spawnd { proctitle = broker listen = { port = 8080 } }
id = tcprelay { proctitle = worker trace = +BUFFER -NET
    remote = { address = 192.0.2.10 port = 80 } }
""",
    "24 sections add up": """
id = spawnd { listen = { port = 8001 } spawn { users max = 10 } }
id = tcprelay { remote = { address = 192.0.2.1 port = 80 } idle timeout = 10 }
id = spawnd { listen = { port = 8002 } spawn { users max = 200 users min = 20 } }
id = tcprelay { remote = { address = 192.0.2.2 port = 80 } idle timeout = 60 }
""",
    "25 hardly any white space": """
id=spawnd{listen={port=8080}# comment
spawn={users min=1 users max=2}}id=tcprelay{remote={address=192.0.2.1 port=80}}#end""",
    "26 quotes": """
id = "spawnd" {
    pidfile = '/run/with space/x.pid'
    syslog ident = "tab\\there \\101\\102 \\\\ \\""
    listen = { port = "8080" address = "::1" realm = "listen" }
}
id = 'tcprelay' {
    tls passphrase = '${NOT_SET_STAYS}'
    remote = { address = "192.0.2.1" port = '80' }
}
""",
    "27 old long forms": """
id = spawnd {
    listen { port 2021 }
    listen { address = ::0 port = 2121 tls }
    tcp bufsize 65536
    background = true
    sticky cache timeout = 5
    regex-match-case = no
    debug = FORK LOG RADIUS NONE
    spawn {
        users minimum = 10
        users maximum = 100
        instances minimum = 10
        instances maximum = 100
        working directory /var/empty
    }
}
id = tcprelay { tls cert = /etc/ssl/x.pem tls key = /etc/ssl/x.key
    remote = { address = 192.0.2.1 port = 80 } }
""",
    "28 workers accept": """
refresh = 5m
log file = /var/log/edge.json
log format = json
id = spawnd {
    pidfile = /run/edge.pid
    status socket = /run/edge.status
    accept = workers
    listen { name = https address = 198.51.100.20 port = 443 tls = yes }
    listen { name = admin port = 8444 accept = master sticky cache period = 60
        tls = TLSv1.3 }
    spawn { instances min = 2 instances max = 4 users max = 4000 }
}
id = tcprelay {
    tls cert-file = /etc/ssl/default.pem
    tls sni { name = www.example.net name = "*.example.org"
        cert-file = /etc/ssl/www.crt key-file = /etc/ssl/www.key }
    ssl sni = { cert = /etc/ssl/www-ec.pem passphrase = "a b" }
    tls tickets = yes
    tls ticket lifetime = 1h
    key process = yes
    connect timeout = 3
    handshake timeout = 10
    dead time = 30
    log connections = yes
    remote { address = 192.0.2.41 port = 443 tls tls name = backend.example.net
        tls ca-file = /etc/ssl/backend-ca.pem }
    remote { address = 192.0.2.42 port = 443 tls = TLSv1.3 tls verify = no
        tls cert-file = /etc/ssl/me.pem }
    remote = { address = 192.0.2.43:8080 ssl = no pool = spare }
}
""",
}

# those whose parts are not in this version: what is said instead
REFUSED = {
    "17 SCTP": (lib.TCPRELAY, 78, r"1: protocol: this system has no SCTP", """\
id = spawnd { listen = { port = 3868 protocol = SCTP } }
id = tcprelay { remote = { address = 192.0.2.38 port = 3868 protocol = SCTP } }
"""),
    "22 datagrams for a relay": (
        lib.TCPRELAY, 78, r"2: tcprelay relays streams only", """\
id = spawnd {
    listen { port 1812 protocol = UDP aaa.protocol = radius.udp }
    listen { port = 1812 flag = access aaa.protocol = radius.tcp }
}
id = tcprelay { remote = { address = 192.0.2.10 port = 80 } }
"""),
    "23 authorisation": (
        lib.TCPRELAY, 78, r"4: mavis: built without MAVIS support", """\
id = spawnd { listen = { port = 8443 realm = office tls = yes } }
id = tcprelay {
    tls cert-file = /etc/ssl/office.pem
    mavis path = /usr/local/lib/mavis
    mavis module = log { }
    mavis policy { connection = yes on error = deny timeout = 3s }
    remote = { address = 192.0.2.30 port = 80 }
}
"""),
    "25 one word too long": (
        lib.TCPRELAY, 78, r"2: users min: '1users' is not a number", """\
id=spawnd{listen={port=8080}# comment
spawn={users min=1users}}#no newline needed"""),
}

FILES = r"\d+: warning: tls( psk-file)?: cannot (load|read) .*'/etc/"

# what else may, and must, be said; of tcprelay, of spawnd as well
SAID = {
    "21": ([r"8: warning: syslog filter: no effect here"], []),
    "26": ([r"8: warning: environment variable 'NOT_SET_STAYS' is not set"],
           []),
    "28": ([r"2: warning: refresh: no URL in the configuration"],
           [r"9: warning: accept = workers: the broker stands alone, the "
            "master accepts"]),
}


def number(name):
    return name.split()[0]


# programs, and how they are called, where that is not just PROGRAM -P FILE
ARGUMENTS = {
    "10": {"tcprelay": [[]]},		# a broker cannot be alone
    "11": {"tcprelay": [["{f}", "front-spawnd", "-i", "front"],
                        ["-I", "back-spawnd", "-i", "back", "{f}"]]},
}


def calls():
    """(configuration, program, arguments) of all that must be good."""
    for name in CONFIGURATIONS:
        how = ARGUMENTS.get(number(name), {"tcprelay": [[]], "spawnd": [[]]})
        for program in how:
            for args in how[program]:
                yield pytest.param(name, program, args, id=" ".join(
                    [program, name]))


def platform():
    """As the package was built for; configure tells it to the sources."""
    text = (lib.BUILD / "features.h").read_text()
    return re.search(r'SPAWND_PLATFORM\s+"([^"]+)"', text).group(1)


@pytest.fixture
def adjusted(tmp_path):
    """A configuration as a file that finds what it names here."""
    def make(text):
        d = tmp_path / "etc"
        (d / "conf.d").mkdir(parents=True, exist_ok=True)
        (d / "conf.d" / "one.inc").write_text("syslog facility = local3\n")
        (d / "listen-dmz.inc").write_text("listen = { port = 8080 }\n")
        (d / "remotes.inc").write_text(
            "remote = { address = 192.0.2.1 port = 80 }\n")
        (d / "worker.conf").write_text(
            "id = tcprelay { remote = { address = 192.0.2.121 port = 21 } }"
            "\n")
        program = tmp_path / "opt" / platform() / "sbin" / "tcprelay"
        program.parent.mkdir(parents=True, exist_ok=True)
        if not program.exists():
            program.symlink_to(lib.TCPRELAY)
        for old, new in [("/usr/local/libexec/tcprelay", lib.TCPRELAY),
                         ("/opt/relay", tmp_path / "opt"),
                         ("/etc/relay/remotes.inc", d / "remotes.inc"),
                         ("/etc/relay/worker.conf", d / "worker.conf")]:
            text = text.replace(old, f'"{new}"' if "%" not in text and
                                old.startswith("/etc") else str(new))
        for kind, database in ("userid|user", pwd.getpwnam), \
                ("groupid|group", grp.getgrnam):
            for name in set(re.findall(rf"\b(?:{kind}) = (\w+)", text)):
                try:
                    database(name)
                except KeyError:	# a small system
                    text = re.sub(rf"\b({kind}) = {name}\b", r"\1 = 65534",
                                  text)
        file = d / "relay.cfg"
        file.write_text(text)
        return file

    return make


@pytest.mark.parametrize("name, program, args", calls())
@pytest.mark.tls
def test_check(adjusted, program, name, args):
    file = adjusted(CONFIGURATIONS[name])
    both, broker = SAID.get(number(name), ([], []))
    wanted = both + (broker if program == "spawnd" else [])
    r = lib.run(lib.BUILD / "bin" / program, "-P",
                *[a.format(f=file) for a in args] or [file],
                env={"SITE": "here"}, directory=file.parent)
    assert (r.returncode, r.stdout) == (0, ""), r.stderr
    lines = [x.removeprefix(f"{file}:") for x in r.stderr.splitlines()]
    for w in wanted:
        assert any(re.fullmatch(w, x) for x in lines), (w, lines)
    for x in lines:
        assert re.match(FILES, x) or \
            any(re.fullmatch(w, x) for w in wanted), x


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.tls
def test_refused(config, name):
    program, status, want, text = REFUSED[name]
    got, lines = config(text, program=program)
    if number(name) == "17" and got == 0:
        pytest.skip("this system has SCTP")
    assert got == status
    assert re.search(rf"test\.cfg:{want}", lines[0]), lines


# ---- served

class Web(lib.Backend):
    """As much of HTTP as curl needs."""

    def serve(self, conn):
        got = b""
        while b"\r\n\r\n" not in got:
            data = conn.recv(4096)
            if not data:
                return
            got += data
        conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")


def hosts():
    return ["127.0.0.1"] + ["::1"] * lib.have_ipv6()


def url(scheme, host, port):
    return f"{scheme}://[{host}]:{port}/" if ":" in host else \
        f"{scheme}://{host}:{port}/"


def founding(first, second, third, cert, remote):
    """The founding document's sample: every form it shows, another port and
    certificate."""
    return f"""#!{lib.SPAWND}
id = spawnd {{
    listen = {{ port = {first} }}
    listen = {{ address = ::0 port = {first} }}
    listen = {{ ::0 port = {second} }}
    listen = {{ port = {third} tls = yes }}
    spawn {{
        users max = 4000
        users min = 10
        servers min = 1
        servers max = 20
    }}
}}

id = tcprelay {{
        remote = {{ {remote} }}
        ssl cert = {cert}
        ssl passphrase =  12345
}}
"""


def start(service, text, n, tmp_path, how):
    """As tcprelay FILE, as spawnd FILE, and as a program of its own."""
    if how != "script":
        return service(text, n, program=how)
    s = service(text, start=False, program=tmp_path / "service0/service.cfg")
    s.file.chmod(0o755)
    # the kernel makes it: spawnd SCRIPT, and options come behind
    s.args, s.file = [], "-D"
    s.launch()
    s.wait_for("listening on", count=n)
    return s


@pytest.mark.tls
@pytest.mark.parametrize("how", ["tcprelay", "spawnd", "script"])
def test_founding_document(service, backend, certs, tmp_path, how):
    """Served on all four listeners, IPv4 and IPv6, with what speaks first,
    what is echoed, curl, and openssl s_client."""
    ssh, web = backend(lib.Greeting), backend(Web)
    ports = [lib.free_port() for _ in range(3)]
    pair = certs.encrypted
    assert pair.passphrase == "12345"
    s = start(service, founding(*ports, pair.pem, ssh.remote), 4, tmp_path,
              how)
    context = lib.client_context(certs.ca)
    for host in hosts():
        for port in ports[:2]:
            with lib.connect(port, host) as c:
                assert lib.read_exact(c, len(ssh.text)) == ssh.text
                lib.roundtrip(c, lib.pattern(100000))
                c.shutdown(socket.SHUT_WR)
                assert lib.read_all(c) == b""
        with lib.connect(ports[2], host, context=context, name=host) as c:
            assert lib.read_exact(c, len(ssh.text)) == ssh.text
            lib.roundtrip(c, lib.pattern(100000))
    if how == "script":
        return
    s.reload(founding(*ports, pair.pem, web.remote))
    for host in hosts():
        for port in ports[:2]:
            r = lib.curl(url("http", host, port))
            assert (r.returncode, r.stdout) == (0, b"hello\n"), r.stderr
        r = lib.curl("--cacert", certs.ca, url("https", host, ports[2]))
        assert (r.returncode, r.stdout) == (0, b"hello\n"), r.stderr
        r = lib.s_client(ports[2], "-quiet", "-CAfile", certs.ca,
                         "-verify_return_error", "-verify_ip", host,
                         data=b"GET / HTTP/1.0\r\n\r\n", host=host)
        assert r.stdout.endswith(b"hello\n"), r
        # nobody without TLS where there is TLS
        with lib.connect(ports[2], host) as c:
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"hello" not in lib.read_all(c)


def test_smallest(service, backend, port):
    echo = backend(lib.Echo)
    service(f"id = spawnd {{ listen = {{ port = {port}}} }}\n"
            f"id = tcprelay {{ remote = {{ {echo.remote} }} }}\n")
    for host in hosts():
        lib.echo_once(port, host=host)


@pytest.mark.parametrize("how", ["tcprelay", "spawnd"])
def test_setenv_and_exec(service, backend, port, tmp_path, how):
    """Event mechanism by setenv, in master and worker; the worker is a
    program of its own, named without an equals sign."""
    echo = backend(lib.Echo)
    program = tmp_path / "libexec" / "tcprelay"
    program.parent.mkdir()
    program.write_bytes(lib.TCPRELAY.read_bytes())
    program.chmod(0o755)
    s = service(f"""
setenv IO_POLL_MECHANISM = 8

id = spawnd {{
    listen = {{ port = {port} }}
    spawn = {{ exec {program} instances min = 1 instances max = 1 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }} }}
""", program=how)
    s.wait_for("event mechanism: poll$", count=2)
    assert not s.grep("event mechanism: (?!poll$)")
    worker, = s.wait_workers(1)
    assert os.readlink(f"/proc/{worker}/exe") == str(program)
    lib.echo_once(port)


def test_weights(service, backend, port):
    """Sessions that stay: by weight, with the local address where the
    family is its own."""
    kinds = ["127.0.0.1", "127.0.0.1", "::1"][:2 + lib.have_ipv6()]
    a = [backend(lib.Holder, name, host=host)
         for name, host in zip("abc", kinds)]
    remotes = "\n".join(f"    remote = {{ {b.remote} {w} }}" for b, w in zip(
        a, ["protocol = TCP weight = 3", "weight = 2", ""]))
    service(f"""
id = spawnd {{
    listen {{ address = 127.0.0.1 port = {port} }}
    spawn {{ instances min = 1 instances max = 1 users min = 100
        users max = 2k }}
}}
id = tcprelay {{
{remotes}
    local address = 127.0.0.4
    rebalance = 5000
    retire = 1000000
    idle timeout = 30m
    connect timeout = 4s
    dead time = 2m
}}
""")
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            c = stack.enter_context(lib.connect(port))
            assert c.recv(1) in b"abc"
        want = [6, 4, 2] if len(a) == 3 else [7, 5]
        assert [b.connections for b in a] == want
    for b, host in zip(a, kinds):
        assert {p[0] for p in b.peers} == \
            {"127.0.0.4" if host == "127.0.0.1" else host}


def test_acl(service, backend, port):
    """The first line that matches decides, in every spelling."""
    echo = backend(lib.Echo)
    s = service(f"""
id = spawnd {{
    permit 127.0.0.9/30
    deny 127.0.0.128/25
    permit 127.0.0.0/255.255.255.0
    acl accept ::1
    acl reject 127.0.1.7
    acl permit 127.0.1.0/24
    deny not 127.0.2.0/24
    permit 127.0.2.0/24
    listen {{ port {port} }}
}}
id = tcprelay {{ remote {{ {echo.remote} }} }}
""")
    refused = [("127.0.0.130", 4), ("127.0.1.7", 7), ("127.0.3.1", 9),
               ("127.9.9.9", 9)]
    for source in ["127.0.0.9", "127.0.0.1", "127.0.0.127", "127.0.1.8",
                   "127.0.2.1", "127.0.2.255"]:
        lib.echo_once(port, source=(source, 0))
    for source, line in refused:
        with lib.connect(port, source=(source, 0)) as c, \
                contextlib.suppress(ConnectionResetError):
            assert c.recv(1) == b""
        s.wait_for(rf"connection from \[{source}\] refused by line {line}$")
    if lib.have_ipv6():
        lib.echo_once(port, host="::1")
    assert echo.connections == 6 + lib.have_ipv6()


def test_unix(service, backend, tmp_path):
    echo = backend(lib.Echo, path=tmp_path / "backend.sock")
    path = tmp_path / "relay.sock"
    owner = "userid = daemon groupid = adm" if os.getuid() == 0 else ""
    service(f"""
id = spawnd {{
    listen = {{ path = {path} mode = 0660 {owner} backlog = 16 }}
    spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{ remote = {{ address = {echo.path} }} }}
""")
    st = path.stat()
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o660
    if owner:
        assert st.st_uid == pwd.getpwnam("daemon").pw_uid
        assert st.st_gid == grp.getgrnam("adm").gr_gid
    lib.echo_once(path, lib.pattern(200000))


def test_listener(service, backend, port):
    """A header of a proxy, a realm, and a reset when it is full."""
    echo = backend(lib.Echo)
    s = service(f"""
id = spawnd {{
    bind retry delay = 5
    tcp keepalive count = 4
    tcp keepalive idle = 2m
    tcp keepalive interval = 20s
    tcp bufsize = 256k
    overload = reset
    listen {{
        address = 127.0.0.1
        port = {port}
        protocol = TCP
        type = STREAM
        realm = customers
        dscp = 0x2e
        backlog = 4096
        overload backlog = 16
        bind retry delay = 1
        tcp keepalive idle = 30
        tcp keepalive count = 3
        tcp keepalive interval = 5
        tcp bufsize = 128k
        haproxy = yes
    }}
    spawn {{ users minimum = 1 users maximum = 2 instances minimum = 1
        instances maximum = 1 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }} log connections = yes }}
""")
    header = b"PROXY TCP4 192.0.2.77 192.0.2.1 40000 443\r\n"
    with lib.connect(port) as a, lib.connect(port) as b:
        for c in a, b:
            c.sendall(header)
            lib.roundtrip(c, b"hello")
        s.wait_for("2 connections reached")
        with pytest.raises(ConnectionError), lib.connect(port) as c:
            c.sendall(header)
            assert c.recv(1) == b""
            c.sendall(b"x")		# an end is none: it must be a reset
            pytest.fail("closed, not reset")
    m = s.wait_for(r"src=\[?192\.0\.2\.77\]?:40000 .*", count=2)
    assert "realm=customers" in m.string and "end=done" in m.string
    s.wait_for("accepting again")
    lib.echo_once(port)


def test_sticky(service, backend):
    """Who comes again gets the worker he had, though another one has
    fewer; by the rules alone he would not."""
    echo = backend(lib.Echo)
    first, second, never = [lib.free_port() for _ in range(3)]
    s = service(f"""
id = spawnd {{
    overload = queue
    sticky cache period = 10m
    sticky cache size = 50000
    listen {{ address = 127.0.0.1 port = {first} }}
    listen {{ address = 127.0.0.1 port = {second} sticky cache period = 30
        sticky cache size = 200 }}
    listen {{ address = 127.0.0.1 port = {never} sticky cache period = 0 }}
    spawn {{ sticky cache period = 600 users min 1 users max 400
        instances min = 2 instances max = 2 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }} log connections = yes }}
""", 3)
    s.wait_workers(2)

    def workers(port):
        """Which workers three connections that stay come to."""
        since = s.mark()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                c = stack.enter_context(lib.connect(port))
                lib.roundtrip(c, b"x")
        s.wait_for(r"conn=1\.\d+\.", since=since, count=3)
        return [m.group(1) for m in s.grep(r"conn=1\.(\d+)\.", since)]

    assert len(set(workers(first))) == 1
    assert len(set(workers(second))) == 1
    assert len(set(workers(never))) == 2


def test_single_process(service, backend, port):
    echo = backend(lib.Echo)
    s = service(f"""
debug = NET PROC -PACKET
debug redirect = stderr
id = spawnd {{
    single process = yes
    overload = close
    listen {{ address = 127.0.0.1 port = {port} }}
    spawn {{ users max = 2 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }} }}
""", debug=False, start=False)
    s.launch()

    def answers():
        with contextlib.suppress(ConnectionRefusedError):
            lib.echo_once(port)
            return True

    lib.wait_until(answers, "the listener")
    # debugging goes to standard error, the log to the system's
    s.wait_for("")
    assert not s.grep("listening on")
    assert all(x.startswith(f"{s.pid}: ") for x in s.lines), s.log()
    lib.wait_until(lambda: lib.title(s.pid) ==
                   "tcprelay: 0 connections, 2 free", lib.title(s.pid))
    with lib.connect(port) as a, lib.connect(port) as b:
        for c in a, b:
            lib.roundtrip(c, b"hello")
        assert s.workers() == []
        lib.wait_until(lambda: lib.title(s.pid).startswith(
            "tcprelay: 2 connections, full"), lib.title(s.pid))
        with lib.connect(port) as c:
            assert c.recv(1) == b""
    lib.wait_until(lambda: lib.title(s.pid) ==
                   "tcprelay: 0 connections, 2 free", lib.title(s.pid))
    lib.echo_once(port)


def test_includes_and_environment(service, backend, port, tmp_path):
    echo = backend(lib.Echo)
    d = tmp_path / "service0"
    (d / "conf.d").mkdir(parents=True)
    (d / "conf.d" / "b.inc").write_text("proctitle = second\n")
    (d / "conf.d" / "a.inc").write_text("proctitle = first\n")
    (d / "conf.d" / "c.off").write_text("this is not read\n")
    (d / "listen-dmz.inc").write_text(
        f"listen = {{ address = 127.0.0.1 port = {port} }}\n")
    remotes = tmp_path / "remotes.inc"
    remotes.write_text(f"remote = {{ {echo.remote} }}\n")
    s = service(f"""
setenv ZONE = dmz
include = "$CONFDIR/conf.d/*.inc"
id = spawnd {{
    include "$CONFDIR/listen-${{ZONE}}.inc"
    pid-file = "{tmp_path}/relay-${{SITE}}-${{ZONE}}.pid"
}}
id = tcprelay {{ include = "{remotes}" }}
""", env={"SITE": "here"})
    lib.echo_once(port)
    pidfile = tmp_path / "relay-here-dmz.pid"
    lib.wait_until(pidfile.exists, "the pid file")
    assert int(pidfile.read_text()) == s.pid
    # in sorted order: the second one is the last one
    lib.wait_until(lambda: "second" in lib.title(s.pid), lib.title(s.pid))


def test_aliases(service, backend):
    a, b = backend(lib.Holder, "a"), backend(lib.Holder, "b")
    ports = lib.free_port(), lib.free_port()
    service(f"""
alias tuned {{ backlog = 1024 tcp keepalive idle = 60 }}
alias = web {{ remote = {{ {a.remote} }}
    remote = {{ {b.remote} }} }}
id = spawnd {{
    listen {{ address = 127.0.0.1 port = {ports[0]} tuned }}
    listen {{ address = 127.0.0.2 port = {ports[1]} tuned }}
    spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{ web }}
""", 2)
    with lib.connect(ports[0]) as c, lib.connect(ports[1],
                                                 "127.0.0.2") as d:
        assert (c.recv(1), d.recv(1)) == (b"a", b"b")


@pytest.mark.tls
def test_proxy_in_and_out(service, backend, port, certs):
    """The header in front of the TLS handshake; towards the destinations
    version 2 and version 1, with the address that the proxy named."""
    v2, v1 = backend(lib.Recorder, b"2"), backend(lib.Recorder, b"1")
    s = service(f"""
id = spawnd {{
    permit 127.0.0.0/30
    listen = {{ address = 127.0.0.1 port = {port} haproxy = true tls = true }}
    spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{
    ssl cert = {certs.ecdsa.pem}
    log connections = yes
    remote = {{ {v2.remote} haproxy = v2 pool = web }}
    remote = {{ {v1.remote} haproxy = v1 pool = web }}
}}
""")
    context = lib.client_context(certs.ca)

    def ask(source="127.0.0.1"):
        c = lib.connect(port, source=(source, 0))
        c.sendall(b"PROXY TCP4 192.0.2.77 198.51.100.1 40001 443\r\n")
        return context.wrap_socket(c, server_hostname="localhost")

    with ask() as a, ask("127.0.0.2") as b:
        assert (a.recv(1), b.recv(1)) == (b"2", b"1")
        a.sendall(b"data")
        b.sendall(b"data")
        want = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                + socket.inet_aton("192.0.2.77")
                + socket.inet_aton("198.51.100.1")
                + (40001).to_bytes(2, "big") + (443).to_bytes(2, "big")
                + b"data")
        lib.wait_until(lambda: [want] == v2.received, "version 2")
        want = b"PROXY TCP4 192.0.2.77 198.51.100.1 40001 443\r\ndata"
        lib.wait_until(lambda: [want] == v1.received, "version 1")
    s.wait_for(r"src=\[?192\.0\.2\.77\]?:40001 ", count=2)
    with contextlib.suppress(OSError), ask("127.0.0.5") as c:
        assert c.recv(1) == b""
    s.wait_for(r"connection from \[127\.0\.0\.5\] refused")


@pytest.mark.tls
def test_client_certificates_and_psk(service, backend, certs, tmp_path):
    echo = backend(lib.Echo)
    tls13, psk = lib.free_port(), lib.free_port()
    keys = tmp_path / "psk"
    keys.write_text("# who, and his key\ngateway:00112233445566778899\n")
    keys.chmod(0o600)
    s = service(f"""
id = spawnd {{
    listen {{ address = 127.0.0.1 port = {tls13} tls = TLSv1.3 }}
    listen {{ address = 127.0.0.1 port = {psk} tls tls psk = yes }}
}}
id = tcprelay {{
    tls cert-file = {certs.ecdsa.pem}
    tls ca-file = {certs.ca}
    tls verify = optional
    tls psk-file = {keys}
    remote = {{ {echo.remote} }}
    log connections = yes
}}
""", 2)
    for cert in None, certs.client:
        context = lib.client_context(certs.ca, cert=cert)
        lib.echo_once(tls13, context=context, name="localhost")
    old = lib.client_context(certs.ca, version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises((OSError, ssl.SSLError)):
        lib.echo_once(tls13, context=old, name="localhost")
    lib.echo_once(psk, context=old, name="localhost")
    r = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{psk}", "-tls1_3",
         "-psk_identity", "gateway", "-psk", "00112233445566778899",
         "-no_ign_eof"], input=b"Q\n", capture_output=True,
        timeout=lib.TIMEOUT)
    assert b"Reused, TLSv1.3" in r.stdout, r
    r = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{psk}", "-tls1_3",
         "-psk_identity", "gateway", "-psk", "ff", "-no_ign_eof"],
        input=b"Q\n", capture_output=True, timeout=lib.TIMEOUT)
    assert r.returncode != 0
    s.wait_for("end=handshake", count=2)


def test_sections_add_up(service, backend):
    """Two listeners, two destinations, and the values given last."""
    a, b = backend(lib.Holder, "a"), backend(lib.Holder, "b")
    p, q = lib.free_port(), lib.free_port()
    host = "address = 127.0.0.1"
    s = service(f"""
id = spawnd {{ listen = {{ {host} port = {p} }}
    spawn {{ users max = 10 instances max = 1 instances min = 1 }} }}
id = tcprelay {{ remote = {{ {a.remote} }} idle timeout = 1 }}
id = spawnd {{ listen = {{ {host} port = {q} }}
    spawn {{ users max = 200 users min = 20 }} }}
id = tcprelay {{ remote = {{ {b.remote} }} idle timeout = 60 }}
""", 2)
    with lib.connect(p) as c, lib.connect(q) as d:
        assert (c.recv(1), d.recv(1)) == (b"a", b"b")
        lib.wait_until(lambda: lib.title(s.pid) ==
                       "tcprelay: 2 connections, 198 free",
                       lib.title(s.pid))
        c.settimeout(2.5)		# beyond the first idle timeout
        with pytest.raises(TimeoutError):
            c.recv(1)


@pytest.mark.tls
def test_workers_accept(service, backend, certs, tmp_path):
    """Workers that accept beside a listener of the master, JSON lines,
    names, and TLS towards destinations of all three kinds."""
    inner = certs.make("inner", names=("backend.example.net",), ips=())
    www = certs.make("www", names=("www.example.net",), ips=())
    own = certs.make("www-rsa", names=("other.example.org",), ips=(),
                     key="rsa", passphrase="a b")
    verified = backend(lib.Holder, "v", context=lib.server_context(inner))
    unverified = backend(lib.Holder, "u", context=lib.server_context(
        certs.stranger, client_ca=certs.ca))
    spare = backend(lib.Holder, "s")
    https, admin = lib.free_port(), lib.free_port()
    log = tmp_path / "edge.json"
    s = service(f"""
refresh = 5m
log file = {log}
log format = json
id = spawnd {{
    pidfile = {tmp_path}/edge.pid
    status socket = {tmp_path}/edge.status
    accept = workers
    listen {{ name = https address = 127.0.0.1 port = {https} tls = yes }}
    listen {{ name = admin address = 127.0.0.1 port = {admin}
        accept = master sticky cache period = 60 tls = TLSv1.3 }}
    spawn {{ instances min = 1 instances max = 2 users max = 4000 }}
}}
id = tcprelay {{
    tls cert-file = {certs.ecdsa.pem}
    tls sni {{ name = www.example.net name = "*.example.org"
        cert-file = {www.cert} key-file = {www.key} }}
    ssl sni = {{ cert = {own.pem} passphrase = "a b" }}
    tls tickets = yes
    tls ticket lifetime = 1h
    key process = yes
    connect timeout = 3
    handshake timeout = 10
    dead time = 30
    log connections = yes
    remote {{ {verified.remote} tls tls name = backend.example.net
        tls ca-file = {certs.ca} }}
    remote {{ {unverified.remote} tls = TLSv1.3 tls verify = no
        tls cert-file = {certs.client.pem} }}
    remote = {{ address = 127.0.0.1:{spare.port} ssl = no pool = spare }}
}}
""", 2)
    context = lib.client_context(certs.ca)
    plain = lib.client_context(certs.ca)
    plain.check_hostname = False
    seen = {}
    with contextlib.ExitStack() as stack:
        kinds = []
        for port, name in [(https, "localhost"), (https, "www.example.net"),
                           (admin, "other.example.org")]:
            c = stack.enter_context(lib.connect(
                port, context=context if name == "localhost" else plain,
                name=name))
            kinds.append(c.recv(1).decode())
            seen[name] = c.getpeercert()["subject"][0][0][1]
        assert sorted(kinds) == ["s", "u", "v"]
    assert seen == {"localhost": "ecdsa", "www.example.net": "www",
                    "other.example.org": seen["other.example.org"]}
    assert seen["other.example.org"] in ("www", "www-rsa")

    def sessions():
        lines = [json.loads(x) for x in log.read_text().splitlines()]
        return [x for x in lines if x.get("event") == "session"]

    lib.wait_until(lambda: len(sessions()) == 3, "three sessions in the log")
    assert {x["end"] for x in sessions()} == {"done"}
    assert all(x["tls"].startswith("TLSv1.") for x in sessions())
    assert sorted(str(x["dst-tls"])[:4] for x in sessions()) == \
        ["None", "TLSv", "TLSv"]
    assert stat.S_ISSOCK(os.stat(tmp_path / "edge.status").st_mode)
    assert pathlib.Path(f"{tmp_path}/edge.pid").exists()
