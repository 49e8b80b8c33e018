"""key process = yes: the keys are where they are said to be and nowhere else,
and whatever happens to that process no handshake notices."""

import contextlib
import os
import pathlib
import pwd
import re
import signal
import ssl
import subprocess

import pytest

import lib
import ops

pytestmark = pytest.mark.tls

TWO = "instances min = 2 instances max = 2"


def conf(port, remote, files, key="yes", relay="", spawn=TWO, broker="",
         listen=""):
    return ops.conf(port, remote, spawn=spawn, broker=broker, relay=f"""
	{files}
	key process = {key}
	log connections = yes
	{relay}
""", listen=f"listen = {{ address = 127.0.0.1 port = {port} tls = yes "
                    f"{listen} }}")


def files(pair):
    return f"tls cert-file = {pair.cert}\n\ttls key-file = {pair.key}"


def title(pid):
    try:
        return lib.title(pid)
    except OSError:
        return ""		# it has just ended


def key_processes(s):
    """Those of this service, also when its master is gone."""
    return [p for p in lib.session_members(s.pid)
            if "key process" in title(p)]


def wait_key_process(s, besides=()):
    return lib.wait_until(
        lambda: [p for p in key_processes(s) if p not in besides],
        "a key process")[0]


def workers(s):
    return [w for w in lib.children(s.pid)
            if "connection" in title(w)]


def echo(port, context, data=b"hello", **kw):
    with lib.connect(port, context=context, **kw) as sock:
        assert lib.roundtrip(sock, data) == data


class Visitors(ops.Visitors):
    """With a full handshake each; none may fail."""

    def __init__(self, port, context, clients=4):
        super().__init__(port, clients, lambda: lib.connect(
            port, context=context, name="localhost"))

    def _run(self):
        while not self.over.is_set():
            try:
                with self.connect() as s:
                    lib.roundtrip(s, b"visit")
                with self.lock:
                    self.done += 1
            except (OSError, AssertionError) as e:
                with self.lock:
                    self.failed.append(repr(e))

    def more(self, n=20):
        super().more(n)
        assert not self.failed, self.failed[:5]


# ---- where keys are

def traces(pair):
    """Bytes by which this private key would be known: its text, and its
    number as files and as libraries have it."""
    lines = pathlib.Path(pair.key).read_text().splitlines()
    text = subprocess.run(["openssl", "pkey", "-in", pair.key, "-noout",
                           "-text"], capture_output=True, text=True,
                          check=True).stdout
    name = "prime1" if "prime1" in text else "priv"
    number = re.search(rf"^{name}:\n((?:    .*\n)+)", text, re.M).group(1)
    number = bytes.fromhex(re.sub(r"[\s:]", "", number)).lstrip(b"\0")
    assert len(number) >= 31
    return [lines[1].encode(), number, number[::-1]]


def memory(pid):
    """All that can be read of a process, piece by piece."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
        if not m or "[v" in line:
            continue
        start, end = (int(x, 16) for x in m.groups())
        if end - start > 1 << 30:
            continue		# what sanitizers keep their books in
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while start < end:
                    f.seek(start)
                    data = f.read(min(end - start, 1 << 24))
                    if not data:
                        break
                    yield data
                    start += len(data)


def found_in_memory(pid, what):
    return any(w in data for data in memory(pid) for w in what)


def found_in_files(pid, what):
    """In memory files that it has open."""
    for n, name in lib.descriptors(pid).items():
        if "memfd:" not in name:
            continue
        with contextlib.suppress(OSError):
            data = pathlib.Path(f"/proc/{pid}/fd/{n}").read_bytes()
            if any(w in data for w in what):
                return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="reads others' memory")
@pytest.mark.parametrize("one_file", [False, True])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_workers_have_no_key(service, backend, certs, port, kind, one_file):
    pair = getattr(certs, kind)
    psk = certs.dir / f"psk-{kind}-{one_file}"
    psk.write_text("somebody:00112233445566778899aabbccddeeff\n")
    psk.chmod(0o600)
    s = service(conf(port, backend().remote, f"tls cert-file = {pair.pem}"
                     if one_file else files(pair), listen="tls psk = yes",
                     relay=f"tls psk-file = {psk}"))
    ops.wait_ready(s, 2)
    key = wait_key_process(s)
    context = lib.client_context(certs.ca)
    for _ in range(8):
        echo(port, context, name="localhost")
    what = traces(pair)
    assert found_in_memory(key, what), "the test does not see a key"
    pids = workers(s)
    assert len(pids) == 2
    for pid in pids:
        assert not found_in_memory(pid, what)
        assert not found_in_files(pid, what)
    assert not s.grep("keys stay in the worker")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_identity(service, backend, certs, port):
    """It is who workers are, and nobody of them can look into it."""
    uid = pwd.getpwnam("nobody").pw_uid
    s = service(conf(port, backend().remote, files(certs.ecdsa),
                     spawn=TWO + " userid = nobody"))
    key = wait_key_process(s)
    echo(port, lib.client_context(certs.ca), name="localhost")
    text = pathlib.Path(f"/proc/{key}/status").read_text()
    assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s+{uid}\s", text, re.M)

    def becomes():
        os.setgroups([])
        os.setuid(uid)

    for name in ("mem", "environ", "fd/0"):
        r = subprocess.run(["cat", f"/proc/{key}/{name}"],
                           preexec_fn=becomes, capture_output=True)
        assert b"Permission denied" in r.stderr
    assert re.search(r"Max core file size\s+0\s+0",
                     pathlib.Path(f"/proc/{key}/limits").read_text())


# ---- what it signs

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519", "encrypted"])
def test_kinds(service, backend, certs, port, kind, version):
    pair = getattr(certs, kind)
    passphrase = f'tls passphrase = "{pair.passphrase}"' \
        if pair.passphrase else ""
    s = service(conf(port, backend().remote, files(pair),
                     relay=passphrase))
    wait_key_process(s)
    context = lib.client_context(certs.ca, version=version)
    for _ in range(5):
        echo(port, context, name="localhost")


def test_names_and_destinations(service, backend, certs, port):
    """Each certificate with its own key; also the one that a destination is
    shown."""
    www = certs.make("www", names=["www.test"], key="rsa")
    tls = backend(lib.Echo, context=lib.server_context(
        certs.ecdsa, client_ca=certs.ca))
    s = service(conf(
        port, f"{tls.remote} tls tls name = localhost "
        f"tls ca-file = {certs.ca} tls cert-file = {certs.client.cert} "
        f"tls key-file = {certs.client.key}", files(certs.ecdsa),
        relay=f"tls sni {{ cert-file = {www.cert} key-file = {www.key} }}"))
    wait_key_process(s)
    context = lib.client_context(certs.ca)
    for name in ("localhost", "www.test", "localhost", "www.test"):
        echo(port, context, name=name)
    assert not s.grep(r"destination .* failed")


def test_psk(service, backend, certs, port, tmp_path):
    """Those are used by workers, and still come to them."""
    psk = tmp_path / "psk"
    psk.write_text("somebody:00112233445566778899aabbccddeeff\n")
    psk.chmod(0o600)
    service(conf(port, backend().remote, files(certs.ecdsa),
                 listen="tls psk = yes", relay=f"tls psk-file = {psk}"))
    r = lib.s_client(port, "-psk_identity", "somebody", "-psk",
                     "00112233445566778899aabbccddeeff", "-tls1_3")
    assert b"Cipher is TLS_" in r.stdout
    assert b"no peer certificate available" in r.stdout


# ---- its life

def test_killed_under_load(service, backend, certs, port):
    s = service(conf(port, backend().remote, files(certs.ecdsa)))
    key = wait_key_process(s)
    with Visitors(port, lib.client_context(certs.ca)) as v:
        v.more()
        for _ in range(6):
            os.kill(key, signal.SIGKILL)
            key = wait_key_process(s, [key])
            v.more(8)
        v.more()
    assert len(s.grep(r"key process ended: process \d+, killed by signal 9 "
                      r"\(SIGKILL\)")) == 6
    assert len(workers(s)) == 2


@pytest.mark.slow
def test_hangs(service, backend, certs, port):
    """One that hangs is as good as dead, and known for it in time for those
    who wait."""
    s = service(conf(port, backend().remote, files(certs.ecdsa)))
    key = wait_key_process(s)
    context = lib.client_context(certs.ca)
    echo(port, context, name="localhost")
    os.kill(key, signal.SIGSTOP)
    echo(port, context, name="localhost", timeout=60)
    assert s.grep(rf"key process {key} shows no sign of life, killed")
    assert wait_key_process(s) != key


def test_changed_key(service, backend, certs, port, tmp_path):
    """A new certificate and key under the old names: taken over by the same
    workers. The old key process stays for the sessions that began with it,
    here for one that may yet need to show a certificate to a destination."""
    first = certs.make("first")
    second = certs.make("second")
    cert, key = tmp_path / "cert", tmp_path / "key"

    def install(pair):
        cert.write_bytes(pathlib.Path(pair.cert).read_bytes())
        key.write_bytes(pathlib.Path(pair.key).read_bytes())

    def serial():
        with lib.connect(port, context=lib.client_context(certs.ca),
                         name="localhost") as sock:
            return sock.getpeercert()["serialNumber"]

    install(first)
    s = service(conf(port, backend().remote,
                     f"tls cert-file = {cert} tls key-file = {key}"))
    ops.wait_ready(s, 2)
    old = wait_key_process(s)
    before, pids = serial(), sorted(workers(s))
    with ops.Stream(port, context=lib.client_context(certs.ca),
                    name="localhost") as session:
        install(second)
        s.reload()
        new = wait_key_process(s, [old])
        assert serial() != before
        assert sorted(workers(s)) == pids
        session.goes_on()
        assert old in key_processes(s)
    lib.wait_until(lambda: key_processes(s) == [new],
                   "the old key process to end")
    # what does not fit is refused, and changes nothing
    cert.write_bytes(pathlib.Path(first.cert).read_bytes())
    s.reload(expect="reload: refused.*does not match")
    assert key_processes(s) == [new]
    assert serial() != before
    assert not s.grep("key process ended")


def test_reloads_under_load(service, backend, certs, port):
    s = service(conf(port, backend().remote, files(certs.ecdsa)))
    wait_key_process(s)
    with Visitors(port, lib.client_context(certs.ca)) as v:
        v.more()
        for _ in range(6):
            s.reload()
            v.more(8)
        since = s.mark()
        s.send_signal(signal.SIGUSR1)
        s.wait_for("reload: done", since=since)
    lib.wait_until(lambda: len(key_processes(s)) == 1,
                   "one key process only")
    assert not s.grep("key process ended")


def test_on_and_off(service, backend, certs, port):
    """Switched by a reload: a process cannot forget a key."""
    remote = backend().remote
    s = service(conf(port, remote, files(certs.ecdsa), key="no"))
    before = ops.wait_ready(s, 2)
    assert not key_processes(s)
    context = lib.client_context(certs.ca)
    with Visitors(port, context, 2) as v:
        v.more()
        s.reload(conf(port, remote, files(certs.ecdsa)),
                 expect="0 workers kept, 2 replaced")
        key = wait_key_process(s)
        lib.wait_until(lambda: not set(before) & set(workers(s)),
                       "the end of workers that have keys")
        pids = ops.wait_ready(s, 2)
        s.reload(expect="2 workers kept, 0 replaced")
        s.reload(conf(port, remote, files(certs.ecdsa), key="no"),
                 expect="0 workers kept, 2 replaced")
        lib.wait_until(lambda: not set(pids) & set(workers(s)),
                       "the end of workers without keys")
        v.more()
    lib.wait_until(lambda: not key_processes(s), "the end of key processes")
    assert not lib.alive(key)
    assert not s.grep("key process ended")


def test_drains(service, backend, certs, port):
    """The master has ended, the key process not before the last worker."""
    s = service(conf(port, backend().remote, files(certs.ecdsa)))
    wait_key_process(s)
    with ops.Stream(port, context=lib.client_context(certs.ca),
                    name="localhost") as session:
        s.send_signal(signal.SIGTERM)
        assert s.wait() == 0
        session.goes_on()
        assert len(key_processes(s)) == 1
    lib.wait_until(lambda: not lib.session_members(s.pid),
                   "workers and key process to end")


def test_master_killed(service, backend, certs, port):
    s = service(conf(port, backend().remote, files(certs.ecdsa)),
                clean=False)
    wait_key_process(s)
    echo(port, lib.client_context(certs.ca), name="localhost")
    s.send_signal(signal.SIGKILL)
    s.wait()
    lib.wait_until(lambda: not lib.session_members(s.pid),
                   "workers and key process to end")


def test_gone_clients(service, backend, certs, port):
    """Those who leave while they wait cost nothing."""
    s = service(conf(port, backend().remote, files(certs.ecdsa),
                     spawn="instances min = 1 instances max = 1 "
                     "users max = 200"))
    key = wait_key_process(s)
    context = lib.client_context(certs.ca)
    echo(port, context, name="localhost")
    pid, = workers(s)
    idle = lambda: title(pid).endswith(": 0 connections")	# noqa: E731
    lib.wait_until(idle, "the first one to be over")
    os.kill(key, signal.SIGSTOP)
    before = len(lib.descriptors(pid))
    waiting = [lib.connect(port) for _ in range(100)]
    hello = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), hello,
                           server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    data = hello.read()
    for sock in waiting:
        sock.sendall(data)
    lib.wait_until(lambda: "100 connections" in lib.title(pid),
                   "all to be served")
    for sock in waiting:
        lib.reset(sock)
    lib.wait_until(idle, "all to be forgotten")
    lib.wait_until(lambda: len(lib.descriptors(pid)) <= before,
                   "their descriptors to be closed")
    os.kill(key, signal.SIGCONT)
    for _ in range(3):
        echo(port, context, name="localhost")


# ---- where there is none

def test_single_process(service, backend, certs, port):
    s = service(conf(port, backend().remote, files(certs.ecdsa),
                     broker="single process = yes"))
    echo(port, lib.client_context(certs.ca), name="localhost")
    assert not key_processes(s)
    assert len(s.grep("key process: needs workers of this program, keys stay "
                      "in the worker")) == 1


def test_stand_alone_broker(service, backend, certs, port):
    s = service(conf(port, backend().remote, files(certs.ecdsa),
                     spawn=f"exec = {lib.TCPRELAY} id = tcprelay "
                     "instances min = 1 instances max = 1"),
                program="spawnd")
    echo(port, lib.client_context(certs.ca), name="localhost")
    assert not key_processes(s)
    assert len(s.grep("key process: needs workers of this program, keys stay "
                      "in the worker")) == 1


def test_without_tls(service, backend, port, config):
    status, lines = config(ops.conf(port, backend().remote,
                                    relay="key process = yes"))
    assert status == 0
    assert any("warning: key process: there is no TLS" in line
               for line in lines)
