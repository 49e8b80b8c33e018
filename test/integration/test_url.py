"""Configurations by URL: how they are fetched, what may go wrong with a
server, copies for bad times, polling and signatures. The servers are real
ones, on loopback."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import lib
import ops
import web
from test_service_manager import listening, passed

assert passed		# a fixture

pytestmark = pytest.mark.skipif(not lib.has_feature("URL"),
                                reason="this build has no libcurl")

PLAIN = r"(\S+:\d+: )?warning: http://\S+: http protects nothing "
NO_PROXY = {k: None for k in ("http_proxy", "https_proxy", "all_proxy",
                              "HTTPS_PROXY", "ALL_PROXY", "no_proxy")}


@pytest.fixture(autouse=True)
def state_directory(tmp_path, monkeypatch):
    """No test leaves a copy where the package would be installed."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def server():
    """server(documents, ...): a web.Web"""
    running = []

    def make(*args, **kw):
        running.append(web.Web(*args, **kw))
        return running[-1]

    yield make
    for w in running:
        w.close()


def text(port, backend, top="", broker="", relay=""):
    return (f"{top}\nid = spawnd {{\n"
            f"\tlisten = {{ address = 127.0.0.1 port = {port} }}\n"
            f"\tspawn {{ instances min = 1 instances max = 1 }}\n{broker}\n"
            f"}}\nid = tcprelay {{\n\tremote = {{ {backend} }}\n{relay}\n"
            "}\n")


ANY = text(1, "address = 127.0.0.1 port = 9")


@pytest.fixture
def start(service, tmp_path):
    """start(url, ...): a service whose FILE is that; its copies are in
    tmp_path/state."""
    def make(url, args=(), env=None, listeners=1, run=True, **kw):
        s = service("", start=False, args=args, env={
            **NO_PROXY, "STATE_DIRECTORY": tmp_path / "state",
            **(env or {})}, **kw)
        s.file = url
        return s.start(listeners) if run else s

    return make


def check(url, *args, env=None, program=None, **kw):
    """-P: (status, lines without those that http protects nothing)."""
    r = lib.run(program or lib.TCPRELAY, "-P", *args, url,
                env={**NO_PROXY, **(env or {})}, **kw)
    return r.returncode, [x for x in r.stderr.splitlines()
                          if not re.match(PLAIN, x)]


def start_fails(url, tmp_path, *args, env=None, **kw):
    """A start that ends: (status, standard error)."""
    r = lib.run(lib.TCPRELAY, "-D", *args, url, env={
        **NO_PROXY, "STATE_DIRECTORY": tmp_path / "state", **(env or {})},
        **kw)
    return r.returncode, r.stderr


def copies(tmp_path):
    return sorted((tmp_path / "state").glob("*.conf"))


def wait_copies(tmp_path, n=1):
    return lib.wait_until(lambda: len(copies(tmp_path)) == n and
                          copies(tmp_path), f"{n} copies")


# ---- that it works

def test_http(server, start, backend, port):
    w = server({"/relay.conf": text(port, backend().remote)})
    s = start(w.url())
    assert s.grep(PLAIN)
    lib.echo_once(port)
    assert w.count("/relay.conf") == 1		# for master and workers


@pytest.mark.tls
def test_https(server, start, backend, port, certs):
    w = server({"/relay.conf": text(port, backend().remote)},
               pair=certs.ecdsa)
    s = start(w.url(), env={"SSL_CERT_FILE": certs.ca})
    lib.echo_once(port)
    assert not s.grep("warning")


def test_file(start, backend, port, tmp_path):
    file = tmp_path / "here.conf"
    file.write_text(text(port, backend().remote))
    s = start(file.as_uri())
    lib.echo_once(port)
    file.write_text("foo = bar\n")
    s.reload(expect="refused, file://.*but got 'foo'")


def test_broker(server, port):
    """The stand-alone broker reads its section by URL, too."""
    w = server({"/b.conf": "id = spawnd {\n listen { port = 70000 }\n}\n"})
    status, lines = check(w.url("/b.conf"), program=lib.SPAWND)
    assert status == 78
    assert lines[0] == f"{w.url('/b.conf')}:2: port: 70000 is out of " \
        "range (0 to 65535)"


def test_includes(server, start, backend, port):
    """$CONFDIR is the URL up to its last slash, without what is asked."""
    w = server({"/site/a/relay.conf?v=/1/":
                text(port, backend().remote,
                     relay='include = "$CONFDIR/more.conf"'),
                "/site/a/more.conf": "idle timeout = 5\n"
                'include = "$CONFDIR/none[1].conf"'})
    url = w.url("/site/a/relay.conf?v=/1/")
    status, lines = check(url)
    assert status == 66
    assert lines[0].startswith(
        f"{w.url('/site/a/more.conf')}:2: include: cannot fetch "
        f"{w.url('/site/a/none[1].conf')}: ")
    assert lines[1] == f"{url}:9: included from here"
    w.put("/site/a/more.conf", "idle timeout = 5\n")
    start(url)
    lib.echo_once(port)
    # it is itself that it must not include
    w.put("/site/a/more.conf", f'include = "{w.url("/site/a/more.conf")}"')
    status, lines = check(url)
    assert status == 78 and "includes itself" in lines[0]


@pytest.mark.tls
def test_local_file_includes(server, service, backend, port, certs):
    """https and file only."""
    w = server({"/more.conf": "idle timeout = 5\nlog connections = yes\n"},
               pair=certs.ecdsa)
    s = service(text(port, backend().remote,
                     relay=f'include = "{w.url("/more.conf")}"'),
                env={**NO_PROXY, "SSL_CERT_FILE": certs.ca})
    lib.echo_once(port)
    s.wait_for(" end=done")
    for scheme in "http", "ftp", "sftp", "gopher":
        m = s.reload(text(port, backend().remote,
                          relay=f'include = "{scheme}://127.0.0.1/x"'),
                     expect="refused")
        assert f"scheme '{scheme}' not permitted" in m.group(0)
    lib.echo_once(port)


def test_redirect(server, start, backend, port):
    """It keeps the name that it was asked for by."""
    w = server({f"/{i}": web.redirect(f"/{i + 1}", 301 + i % 2)
                for i in range(5)})
    w.put("/5", text(port, backend().remote) + "foo\n")
    status, lines = check(w.url("/0"))
    assert (status, lines[0].split(": ")[0]) == (78, f"{w.url('/0')}:11")
    w.put("/5", text(port, backend().remote))
    start(w.url("/0"))
    lib.echo_once(port)
    w.put("/5", web.redirect("/6"))
    w.put("/6", ANY)
    status, lines = check(w.url("/0"))
    assert (status, lines) == (66, [
        f"cannot fetch {w.url('/0')}: more than 5 redirects"])


@pytest.mark.tls
def test_redirect_to_another_scheme(server, certs):
    """Up is fine, down never; and never to something that is local."""
    good = server({"/x": ANY}, pair=certs.ecdsa)
    plain = server({"/x": ANY, "/up": web.redirect(good.url("/x")),
                    "/file": web.redirect("file:///etc/passwd")})
    good.put("/down", web.redirect(plain.url("/x", "u:pw@")))
    good.put("/file", web.redirect("file:///etc/passwd"))
    env = {"SSL_CERT_FILE": certs.ca}
    assert check(plain.url("/up"), env=env) == (0, [])
    for w, path, to in (good, "/down", plain.url("/x", "***@")), \
            (good, "/file", "file:///etc/passwd"), \
            (plain, "/file", "file:///etc/passwd"):
        assert check(w.url(path), env=env) == (66, [
            f"cannot fetch {w.url(path)}: redirect to '{to}' not permitted "
            "(status 302)"])


def test_proxy(server, start, backend, port):
    """Also one that the master was started with."""
    url = "http://config.example.net/relay.conf"
    w = server({url: text(port, backend().remote)})
    start(url, env={"http_proxy": w.url("")})
    lib.echo_once(port)
    assert w.count(url, 200) == 1


# ---- bad servers

BAD = {
    "404": (None, r"The requested URL returned error: 404"),
    "500": (lambda h: h.answer(500, b"oops"), r".* error: 500"),
    "no content": (lambda h: h.answer(204, b""), r"unexpected answer \(status 204\)"),
    "empty": (b"", "empty"),
    "NUL bytes": (b"id = spawnd\0 { }", "not a text, it has NUL bytes"),
    "17 MB": (web.large, "larger than 16 MB"),
    "endless": (web.endless, "larger than 16 MB"),
    "truncated": (web.truncated, r".* \(status 200\)"),
    "redirect to nowhere": (lambda h: h.answer(302, b""), r"unexpected answer \(status 302\)"),
    "304, unasked": (lambda h: h.answer(304, None), r"unexpected answer \(status 304\)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_answer(server, what, tmp_path):
    body, want = BAD[what]
    w = server({} if body is None else {"/x": body})
    status, lines = check(w.url("/x"))
    assert status == 66 and len(lines) == 1
    assert re.fullmatch(rf"cannot fetch {re.escape(w.url('/x'))}: {want}",
                        lines[0]), lines
    status, said = start_fails(w.url("/x"), tmp_path)
    assert status == 66 and lines[0] in said
    assert "configuration not usable" in said
    assert copies(tmp_path) == []


def test_page(server, tmp_path):
    """A page that tells of an error with status 200 is only a text; what is
    wrong with it is said so that it helps."""
    w = server({"/x": "\n<!DOCTYPE html><html><body>Sorry</body></html>\n"})
    status, lines = check(w.url("/x"))
    assert status == 78
    assert lines[0] == (f"{w.url('/x')}:1: warning: this looks like a page "
                        "for browsers, not like a configuration")
    assert lines[1].startswith(f"{w.url('/x')}:2: Expected 'id', ")
    assert "but got '<" in lines[1]
    assert start_fails(w.url("/x"), tmp_path)[0] == 78
    assert copies(tmp_path) == []


@pytest.mark.parametrize("url, want", [
    ("gopher://127.0.0.1/x", "scheme 'gopher' not permitted"),
    ("ipc://5/100", "scheme 'ipc' not permitted"),
    ("dict://u:pw@127.0.0.1/x", "scheme 'dict' not permitted"),
    ("file:///no/such/file", "Couldn't open file /no/such/file"),
    ("http://127.0.0.1:{port}/", ".*Couldn't connect to server"),
    ("http://127.0.0.1:99999/", ".*"), ("https://", ".*"),
    ("http://nowhere.invalid/x", "Could not resolve host: nowhere.invalid"),
])
def test_unreachable(url, want, port):
    url = url.format(port=port)
    status, lines = check(url)
    shown = re.escape(url.replace("u:pw@", "***@"))
    assert status == 66
    assert re.fullmatch(f"cannot fetch {shown}: {want}", lines[0]), lines


@pytest.mark.tls
@pytest.mark.parametrize("kind", ["expired", "another name", "stranger",
                                  "self-signed"])
def test_bad_certificate(server, certs, kind, tmp_path):
    pair = {"expired": lambda: certs.expired,
            "another name": lambda: certs.make(
                "elsewhere", names=("elsewhere",), ips=()),
            "stranger": lambda: certs.make("odd", ca="other"),
            "self-signed": lambda: certs.make("self", ca=None)}[kind]()
    w = server({"/x": ANY}, pair=pair)
    status, lines = check(w.url("/x"), env={"SSL_CERT_FILE": certs.ca})
    assert status == 66
    assert re.fullmatch(
        rf"cannot fetch {w.url('/x')}: (SSL (certificate problem: .*|: no "
        r"alternative certificate subject name .*)|.*subject name .*)",
        lines[0]), lines
    assert w.requests == []


@pytest.mark.tls
def test_authorities_of_the_system(server, certs):
    """Those of nobody else: without SSL_CERT_FILE ours is unknown."""
    w = server({"/x": ANY}, pair=certs.ecdsa)
    assert check(w.url("/x"), env={"SSL_CERT_FILE": None})[0] == 66
    assert check(w.url("/x"), env={"SSL_CERT_FILE": certs.ca}) == (0, [])


def test_no_connect():
    """Nobody answers a SYN: 5 s."""
    with lib.BlackHole() as hole:
        began = time.monotonic()
        status, lines = check(f"http://127.0.0.1:{hole.port}/x", timeout=60)
        assert status == 66 and re.search("tim(ed ?out|eout)", lines[0],
                                          re.I), lines
        assert 4 < time.monotonic() - began < 25


@pytest.mark.slow
def test_silent_server(server, start, backend, port):
    """Accepts and says nothing. At a reload it is said that this is what was
    waited for, and the service goes on meanwhile."""
    w = server({"/x": text(port, backend().remote)})
    s = start(w.url("/x"))
    w.put("/x", web.silent)
    since = s.mark()
    s.send_signal(signal.SIGHUP)
    s.wait_for("reload: started", since=since)
    began = time.monotonic()
    lib.echo_once(port)
    s.wait_for(rf"reload: refused, cannot fetch {w.url('/x')}: Operation "
               "timed out", 60, since)
    assert 20 < time.monotonic() - began < 45
    lib.echo_once(port)


def test_killed_while_waiting(server, start, backend, port):
    """The child that waits for a server has neither ports nor channels: the
    service can be started again at once, and its workers know."""
    w = server({"/x": text(port, backend().remote)})
    s = start(w.url("/x"), clean=False)
    s.wait_for("worker starting")
    workers = s.wait_workers(1)
    w.put("/x", web.silent)
    s.send_signal(signal.SIGHUP)
    lib.wait_until(lambda: len([p for p, _ in w.requests if p == "/x"]) == 2,
                   "the second request")
    os.kill(s.pid, signal.SIGKILL)
    lib.wait_until(lambda: not any(map(lib.alive, workers)),
                   "the end of the worker", 10)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        again.listen()


# ---- reload

def test_reload(server, start, backend, port):
    """Conditionally; 304 is a successful reload with the same text."""
    w = server({"/x": text(port, backend().remote,
                           relay='include = "$CONFDIR/y"'),
                "/y": "idle timeout = 5\n"})
    s = start(w.url("/x"))
    s.wait_for("worker starting")	# or it would be replaced
    workers = s.wait_workers(1)
    s.reload()
    assert w.count("/x", 304) == w.count("/y", 304) == 1
    w.put("/y", "idle timeout = 6\n")
    s.reload()
    assert w.count("/x", 304) == 2 and w.count("/y", 200) == 2
    s.reload()
    assert w.count("/x", 304) == 3 and w.count("/y", 304) == 2
    assert s.workers() == workers
    lib.echo_once(port)


def test_reload_by_time(server, start, backend, port):
    """Some servers know nothing but when it was modified."""
    body = text(port, backend().remote).encode()
    when = "Fri, 20 Nov 2026 09:05:22 GMT"

    def answer(h):
        if h.headers["If-Modified-Since"] == when:
            h.answer(304, None)
        else:
            h.answer(200, body, **{"Last-Modified": when})

    w = server({"/x": answer})
    s = start(w.url("/x"))
    s.reload()
    s.reload()
    assert w.count("/x", 304) == 2
    lib.echo_once(port)


@pytest.mark.parametrize("body, want", [
    (None, "cannot fetch {url}: .*404"), (b"", "cannot fetch {url}: empty"),
    (b"<html>", "{url}:1: Expected"), (b"id = spawnd {\n foo\n}",
                                       "{url}:2: Expected"),
    ("gone", "cannot fetch {url}: .*"),
])
def test_reload_refused(server, start, backend, port, tmp_path, body, want):
    w = server({"/x": text(port, backend().remote)})
    s = start(w.url("/x"))
    copy = wait_copies(tmp_path)[0].read_bytes()
    with lib.connect(port) as held:
        lib.roundtrip(held, b"before")
        if body == "gone":
            w.close()
        elif body is None:
            del w.documents["/x"]
        else:
            w.put("/x", body)
        s.reload(expect="refused, " + want.format(url=re.escape(w.url("/x"))))
        s.wait_for("generation 1 goes on, 1 listeners, ")
        lib.roundtrip(held, b"after")
    lib.echo_once(port)
    # the copy is no answer to a reload, and nothing bad is kept
    assert not s.grep("using the copy")
    assert copies(tmp_path)[0].read_bytes() == copy


# ---- the copy

def test_copy(server, start, backend, port, tmp_path):
    """Each part has one, of the last time it was good; a start without a
    server uses them and says how old they are, -P never does."""
    w = server({"/x": text(port, backend().remote,
                           broker=f"pidfile = {tmp_path}/pid",
                           relay='include = "$CONFDIR/y"'), "/y": "#1\n"})
    url = w.url("/x", "user:secret@")
    s = start(url)
    files = wait_copies(tmp_path, 2)
    assert all(f.stat().st_mode & 0o7777 == 0o600 for f in files)
    assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o700
    assert any(f.read_bytes().endswith(b"\n\n#1\n") for f in files)
    assert not any(b"secret" in f.read_bytes() for f in files)
    w.put("/y", "#2\n")
    s.reload()
    lib.wait_until(lambda: any(f.read_bytes().endswith(b"\n\n#2\n")
                               for f in files), "the newer copy")
    assert s.stop() == 0
    w.close()
    for f in files:
        f.write_text(re.sub(r"(?<=\nfetched: )\d+", str(
            int(time.time()) - 3 * 3600 - 120), f.read_text()))
    s = start(url)
    for name in "/x", "/y":
        shown = re.escape(w.url(name, "***@"))
        assert s.grep(rf"warning: cannot fetch {shown}: .*Couldn't connect "
                      r"to server; using the copy of \d+-\d\d-\d\d \d\d:\d\d"
                      r":\d\d UTC, 3 hours 2 minutes old$"), s.log()
    lib.echo_once(port)
    assert not s.grep("secret")
    status, lines = check(url, env={"STATE_DIRECTORY": tmp_path / "state"})
    assert status == 66 and "copy" not in lines[0]
    # who asks what it does finds it, what a reload would do nobody knows
    for what, status in ("-s", 0), ("--plan", 1):
        r = lib.run(lib.TCPRELAY, what, url, env={
            **NO_PROXY, "STATE_DIRECTORY": tmp_path / "state"})
        assert r.returncode == status, r.stderr
        assert (f"pid {s.pid}," in r.stdout) == (what == "-s")
    s.reload(expect="refused, cannot fetch")
    # and back again
    w.open()
    s.reload()
    assert w.count("/x", 304) == 2		# the copy knows its tag
    lib.echo_once(port)


@pytest.mark.parametrize("how", ["damaged", "others", "another"])
def test_copy_of_no_use(server, start, backend, port, tmp_path, how):
    w = server({"/x": text(port, backend().remote), "/y": "#1\n"})
    s = start(w.url("/x"))
    file = wait_copies(tmp_path)[0]
    assert s.stop() == 0
    w.close()
    if how == "damaged":
        file.write_bytes(file.read_bytes()[:-5])
    elif how == "others":
        file.chmod(0o666)
    else:
        file.write_text(file.read_text().replace("/x\n", "/y\n", 1))
    why = "others may have written it" if how == "others" else "it is damaged"
    status, said = start_fails(w.url("/x"), tmp_path)
    assert status == 66
    assert f"; the copy cannot be used: {why}" in said


def test_broken_document_is_not_kept(server, start, tmp_path, backend, port):
    """Nor is one whose service cannot be started."""
    w = server({"/x": text(port, backend().remote) + "foo\n"})
    assert start_fails(w.url("/x"), tmp_path)[0] == 78
    assert copies(tmp_path) == []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        w.put("/x", text(port, backend().remote))
        assert start_fails(w.url("/x"), tmp_path)[0] == 75
        assert copies(tmp_path) == []


def test_state_directory_of_no_use(server, start, backend, port, tmp_path):
    """One warning with the reason, each time; the service goes on."""
    (tmp_path / "state").write_text("in the way")
    w = server({"/x": text(port, backend().remote,
                           relay='include = "$CONFDIR/y"'), "/y": "#1\n"})
    s = start(w.url("/x"))
    s.wait_for("cannot keep a copy")
    lib.echo_once(port)
    since = s.mark()
    s.reload()
    m = s.wait_for("cannot keep a copy of .*", since=since)
    assert m.group(0) == (f"cannot keep a copy of {w.url('/x')} in "
                          f"{tmp_path}/state: Not a directory") or \
        "File exists" in m.group(0)
    lib.echo_once(port)
    assert len(s.grep("cannot keep a copy")) == 2


def private_mounts():
    r = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none",
                        "/mnt"], capture_output=True)
    return r.returncode == 0


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_state_directory_full(server, start, backend, port, tmp_path, kind):
    """The older copy stays whole."""
    if not shutil.which("unshare") or not private_mounts():
        pytest.skip("needs a mount namespace")
    (tmp_path / "state").mkdir()
    w = server({"/x": text(port, backend().remote)})
    s = start(w.url("/x"), wrap=[
        "unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=8k,mode=700 "
        f"none {tmp_path}/state && exec \"$@\"", "sh"])
    inside = pathlib.Path(f"/proc/{s.pid}/root/{tmp_path}/state")
    lib.wait_until(lambda: list(inside.glob("*.conf")), "the copy")
    before = {f.name: f.read_bytes() for f in inside.iterdir()}
    assert len(before) == 1
    if kind == "read-only":
        subprocess.run(["nsenter", "-m", "-t", str(s.pid), "mount", "-o",
                        "remount,ro", f"{tmp_path}/state"], check=True)
    w.put("/x", text(port, backend().remote) + "# long\n" * 5000)
    s.reload()
    m = s.wait_for("cannot keep a copy of .*")
    assert m.group(0).endswith({"full": "No space left on device",
                                "read-only": "Read-only file system"}[kind])
    assert {f.name: f.read_bytes() for f in inside.iterdir()} == before
    lib.echo_once(port)


# ---- credentials

def test_credentials_are_masked(server, start, backend, port, tmp_path):
    """They are sent, and shown nowhere."""
    w = server({"/x": text(port, backend().remote, top="refresh = 10",
                           relay='include = "$CONFDIR/y"'), "/y": "#\n"})
    url = w.url("/x", "scott:tiger@")
    shown = w.url("/x", "***@")
    s = start(url)
    lib.echo_once(port)
    assert all("Authorization" in h for _, h in w.requests)
    assert "127.0.0.1" not in lib.title(s.pid)
    w.put("/y", "foo\n")
    s.reload(expect="refused")
    del w.documents["/y"]
    s.reload(expect="refused")
    s.send_signal(signal.SIGUSR2)
    lib.echo_once(port)
    assert s.grep(re.escape(shown))
    assert not s.grep("tiger") and not s.grep("scott")
    for args in ["-P"], ["-P", "-d", "1"]:
        r = lib.run(lib.TCPRELAY, *args, url, env=NO_PROXY)
        assert r.returncode == 66 and "tiger" not in r.stderr
        assert shown in r.stderr


def test_credentials_are_not_in_the_process_list(server):
    w = server({"/x": web.silent})
    p = subprocess.Popen([lib.TCPRELAY, "-P", w.url("/x", "scott:tiger@")],
                         env={**os.environ, "no_proxy": "*"},
                         stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        lib.wait_until(lambda: w.requests, "the request")
        assert "tiger" not in lib.title(p.pid)
        assert f"***@127.0.0.1:{w.port}/" in lib.title(p.pid)
    finally:
        p.kill()
        p.wait()


# ---- refresh

def polls(w, path):
    return len([p for p, _ in w.requests if p == path])


@pytest.mark.slow
def test_refresh(server, start, backend, port):
    """All that came by URL is asked for; only what has changed matters."""
    echo = backend()
    w = server({"/x": text(port, echo.remote, top="refresh = 10",
                           relay='include = "$CONFDIR/y"'),
                "/y": "idle timeout = 5\n"})
    s = start(w.url("/x"))
    workers = s.wait_workers(1)
    assert not s.grep("refresh: no URL")
    lib.wait_until(lambda: w.count("/y", 304) == 1, "a poll", 60)
    assert w.count("/x", 304) == 1
    w.put("/y", "idle timeout = 5\nlog connections = yes\n")
    s.wait_for("refresh: changed, reloading", 60)
    s.wait_for("reload: done")
    assert len(s.grep("reload: started")) == 1
    assert w.count("/y", 200) == 2		# what was found was used
    lib.echo_once(port)
    s.wait_for(" end=done")
    assert s.workers() == workers


@pytest.mark.slow
def test_refresh_fails(server, start, backend, port):
    """Said once when it begins, once when it ends. A SIGHUP begins anew."""
    w = server({"/x": text(port, backend().remote, top="refresh = 10")})
    s = start(w.url("/x"))
    good = w.documents["/x"]
    w.put("/x", lambda h: h.answer(503, b""))
    s.wait_for(rf"refresh: failed, cannot fetch {w.url('/x')}: .*503", 60)
    w.put("/x", good + b"foo\n")
    lib.wait_until(lambda: w.count("/x", 200) == 2, "another poll", 60)
    lib.echo_once(port)
    w.put("/x", good)
    s.reload()
    s.wait_for("refresh: works again")
    assert len(s.grep("refresh: failed")) == 1
    assert len(s.grep("generation 1 goes on, 1 listeners")) == 1
    assert len(s.grep("refresh: works again")) == 1
    assert not s.grep("refresh: changed") and not s.grep("refused")
    before = w.count("/x")
    lib.wait_until(lambda: w.count("/x") > before, "the next poll", 60)
    assert len(s.grep("reload: started")) == 1


@pytest.mark.slow
def test_refresh_finds_something_broken(server, start, backend, port):
    """As the running configuration stays, it is what the next one is
    compared with."""
    w = server({"/x": text(port, backend().remote, top="refresh = 10")})
    s = start(w.url("/x"))
    good = w.documents["/x"]
    w.put("/x", good + b"foo\n")
    s.wait_for(rf"Error {w.url('/x')}:11: Expected", 60)
    s.wait_for(rf"refresh: failed, {w.url('/x')}:11: Expected")
    lib.echo_once(port)
    w.put("/x", good + b"# better\n")
    s.wait_for("refresh: changed, reloading", 60)
    s.wait_for("refresh: works again")
    lib.echo_once(port)


# ---- signatures

class Signer:
    """Ed25519 keys by openssl(1)."""

    def __init__(self, directory):
        self.dir = directory

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True,
                       capture_output=True, stdin=subprocess.DEVNULL)

    def key(self, name):
        key = self.dir / f"{name}.key"
        if not key.exists():
            self.openssl("genpkey", "-algorithm", "ED25519", "-out", key)
        return key

    def public(self, *names):
        file = self.dir / ("-".join(names) + ".pub")
        out = ""
        for name in names:
            one = self.dir / f"{name}.one"
            self.openssl("pkey", "-in", self.key(name), "-pubout", "-out",
                         one)
            out += one.read_text()
        file.write_text(out)
        return file

    def sign(self, name, body):
        data, sig = self.dir / "data", self.dir / "data.sig"
        data.write_bytes(body if isinstance(body, bytes) else body.encode())
        self.openssl("pkeyutl", "-sign", "-inkey", self.key(name), "-rawin",
                     "-in", data, "-out", sig)
        return sig.read_bytes()


@pytest.fixture
def signer(tmp_path):
    d = tmp_path / "keys"
    d.mkdir()
    return Signer(d)


def sign(w, signer, path, key="one"):
    name, _, query = path.partition("?")
    w.put(f"{name}.sig" + (f"?{query}" if query else ""),
          signer.sign(key, w.documents[path]))


@pytest.mark.tls
def test_signed(server, start, backend, port, signer, tmp_path):
    """W24, and everything that is not one signature by one of the keys."""
    url = "/x?a=/b.conf"
    w = server({url: text(port, backend().remote,
                          relay='include = "$CONFDIR/y"'), "/y": "#1\n"})
    one, both = signer.public("one"), signer.public("two", "one")

    def fails(name, *args):
        status, lines = check(w.url(url), *args)
        assert status == 66 and len(lines) >= 1, lines
        assert f"cannot fetch {w.url(name)}: no valid signature" in lines[0]

    fails(url, "-k", one)
    sign(w, signer, url)
    fails("/y", "-k", one)			# what it includes, too
    sign(w, signer, "/y")
    for keys in one, both:
        assert check(w.url(url), "-k", keys) == (0, [])
    fails(url, "-k", signer.public("two"))
    good = w.documents["/x.sig?a=/b.conf"]
    for bad in good[:-1], good + b"\n", b"", bytes(64), good[::-1], \
            good.hex().encode(), web.large, web.redirect("file:///x"):
        w.put("/x.sig?a=/b.conf", bad)
        fails(url, "-k", one)
    w.put("/x.sig?a=/b.conf", good)
    w.put("/y", "#1")				# a byte less
    fails("/y", "-k", one)
    w.put("/y", "foo = bar\n")			# not so much as read
    status, lines = check(w.url(url), "-k", one)
    assert status == 66 and not any("foo" in x for x in lines)
    assert start_fails(w.url(url), tmp_path, "-k", one)[0] == 66
    w.put("/y", "#1\n")
    start(w.url(url), args=["-k", both])
    lib.echo_once(port)


@pytest.mark.tls
def test_signed_reload(server, start, backend, port, signer, tmp_path):
    """-k holds for reloads; the copy has its signature and needs it."""
    w = server({"/x": text(port, backend().remote)})
    sign(w, signer, "/x")
    key = signer.public("one")
    s = start(w.url("/x"), args=["-k", key])
    file = wait_copies(tmp_path)[0]
    s.reload()
    assert w.count("/x", 304) == 1 and w.count("/x.sig") == 1
    w.put("/x", w.documents["/x"] + b"# two\n")
    s.reload(expect="refused, cannot fetch .*: no valid signature")
    lib.echo_once(port)
    sign(w, signer, "/x")
    s.reload()
    lib.wait_until(lambda: file.read_bytes().endswith(b"# two\n"),
                   "the newer copy")
    # the key is not trusted any more: nothing but the key has changed
    key.write_text(signer.public("two").read_text())
    s.reload(expect="refused, cannot fetch .*: no valid signature")
    assert s.stop() == 0
    w.close()
    status, said = start_fails(w.url("/x"), tmp_path, "-k", key)
    assert status == 66
    assert "the copy cannot be used: no valid signature" in said
    assert start_fails(w.url("/x"), tmp_path, "-k", "/no/such")[0] != 0
    key.write_text(signer.public("one").read_text())
    s = start(w.url("/x"), args=["-k", key])
    s.wait_for("using the copy")
    lib.echo_once(port)
    assert s.stop() == 0
    # a copy that was never signed
    lines = file.read_text().splitlines(True)
    file.write_text("".join(x for x in lines
                            if not x.startswith("signature: ")))
    assert start_fails(w.url("/x"), tmp_path, "-k", key)[0] == 66


@pytest.mark.tls
def test_key_of_no_use(server, signer, tmp_path, certs):
    w = server({"/x": ANY})
    other = tmp_path / "rsa.pub"
    signer.openssl("x509", "-in", certs.rsa.cert, "-noout", "-pubkey",
                   "-out", other)
    for file, why in (tmp_path / "none", "cannot read '{}': No such file or "
                      "directory"), \
            (other, "no Ed25519 public key in '{}'"), \
            (signer.key("one"), "no Ed25519 public key in '{}'"):
        why = why.format(file)
        assert check(w.url("/x"), "-k", file) == (78, [f"-k: {why}"])
        local = tmp_path / "local.cfg"
        local.write_text(f"# a key\nverify key = {file}\n{ANY}")
        assert check(local) == (78, [f"{local}:2: verify key: {why}"])
    assert w.requests == []


@pytest.mark.tls
def test_verify_key(server, service, backend, port, signer, certs):
    """In a local file, for what the file names behind it."""
    w = server({"/a": "idle timeout = 7\n", "/b": "log connections = yes\n"},
               pair=certs.ecdsa)
    key = signer.public("one")
    env = {**NO_PROXY, "SSL_CERT_FILE": certs.ca}
    tail = f"""id = tcprelay {{
	remote {{ {backend().remote} }}
	include = "{w.url("/b")}"
}}
"""
    head = f"""id = spawnd {{
	listen {{ address = 127.0.0.1 port = {port} }}
	spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{ include = "{w.url("/a")}" }}
"""
    s = service(head + tail, env=env)		# nobody asked for a signature
    file = s.file
    key_line = f"verify key = {key}\n"
    s.reload(head + key_line + tail,
             expect=rf"refused, {file}:9: include: cannot fetch "
             rf"{w.url('/b')}: no valid signature")
    sign(w, signer, "/b")
    s.reload()
    s.reload(key_line + head + tail,
             expect=rf"refused, {file}:6: include: cannot fetch "
             rf"{w.url('/a')}: no valid signature")
    sign(w, signer, "/a")
    s.reload()
    lib.echo_once(port)
    s.wait_for(" end=done")
    # what is fetched passes it on to what it includes
    w.put("/b", f'include = "{w.url("/c")}"')
    w.put("/c", "idle timeout = 9\n")
    sign(w, signer, "/b")
    s.reload(expect=rf"cannot fetch {w.url('/c')}: no valid signature")
    sign(w, signer, "/c")
    s.reload()


@pytest.mark.tls
def test_verify_key_by_url(server, signer):
    """W23"""
    w = server({"/x": f"# mine\nverify key = {signer.public('one')}\n{ANY}"})
    assert check(w.url("/x")) == (78, [
        f"{w.url('/x')}:2: verify key: only in a local file"])


@pytest.mark.tls
def test_verify_key_by_alias(server, signer, tmp_path, certs):
    """It is not in a local file because its name is."""
    w = server({"/x": f"alias mine {{ verify key = {signer.public('one')} }}"
                "\nalias more { mine }\n"}, pair=certs.ecdsa)
    for use in "mine", "more":
        local = tmp_path / "local.cfg"
        local.write_text(f'include = "{w.url("/x")}"\n{use}\n{ANY}')
        status, lines = check(local, env={"SSL_CERT_FILE": certs.ca})
        assert status == 78
        assert lines[0] == f"{local}:2: verify key: only in a local file"
        assert lines[1] == f"{w.url('/x')}:1: defined here"


# ---- configurations of the specification

def test_configuration_20(server, start, backend, port):
    """Its workers are ours and need no segment, but it is there."""
    w = server({"/relay.conf": f"""id = spawnd {{
    listen = {{ address = 127.0.0.1 port = {port} }}
    spawn {{ ipc key = 0x52454c{os.getpid() & 0xff:02x} instances max = 16 }}
}}
id = tcprelay {{ remote = {{ {backend().remote} }} }}
"""})
    assert check(w.url()) == (0, [])
    s = start(w.url())
    lib.echo_once(port)
    s.reload()
    lib.echo_once(port)
    key = 0x52454c00 | os.getpid() & 0xff
    assert key in ops.segments()
    s.stop()
    assert key not in ops.segments()


@pytest.mark.tls
def test_configuration_29(server, passed, backend, certs, signer, tmp_path):
    """As it stands: the socket is what a service manager passes."""
    w = server({"/remotes.conf": f"remote = {{ {backend().remote} }}\n"},
               pair=certs.ecdsa)
    w.put("/worker.conf", f"""id = tcprelay {{
    tls cert-file = {certs.ecdsa.pem}
    include = "{w.url("/remotes.conf")}"
}}
""")
    body = f"""verify key = {signer.public("one")}
refresh = 1h
setenv MANY = 2k
id = spawnd {{
    listen {{ name = "relay-https" tls }}
    spawn {{ config = {w.url("/worker.conf")} users max = "${{MANY}}" }}
}}
id = tcprelay {{
    tls cert-file = {certs.ecdsa.pem}
    include = "{w.url("/remotes.conf")}"
}}
"""
    file = tmp_path / "29.cfg"
    file.write_text(body)
    assert check(file, env={"SSL_CERT_FILE": certs.ca})[0] == 66
    for path in "/worker.conf", "/remotes.conf":
        sign(w, signer, path)
    assert check(file, env={"SSL_CERT_FILE": certs.ca}) == (0, [])
    sock, port = listening()
    with sock:
        s = passed(body, {"relay-https": sock}, env={
            **NO_PROXY, "SSL_CERT_FILE": certs.ca})
        for _ in range(2):
            with contextlib.closing(lib.connect(
                    port, context=lib.client_context(certs.ca),
                    name="localhost")) as c:
                lib.roundtrip(c, b"hello")
            s.reload()
    # the part by URL may change the worker's half
    w.put("/remotes.conf", "foo\n")
    sign(w, signer, "/remotes.conf")
    s.reload(expect=rf"refused, {w.url('/remotes.conf')}:1: Expected")


@pytest.mark.tls
def test_sample(server, service, backend, port, certs, signer, tmp_path):
    w = server({"/relay/remotes.conf": f"remote = {{ {backend().remote} }}\n"},
               pair=certs.ecdsa)
    body = (lib.TOP / "sample" / "url.cfg").read_text()
    for old, new in [("/etc/tcprelay/config.pub", signer.public("one")),
                     ("/run/tcprelay.pid", tmp_path / "pid"),
                     ("listen = { port = 8080 }",
                      f"listen = {{ address = 127.0.0.1 port = {port} }}"),
                     ("https://config.example.net", w.url(""))]:
        assert old in body
        body = body.replace(old, str(new))
    env = {**NO_PROXY, "SSL_CERT_FILE": certs.ca,
           "STATE_DIRECTORY": tmp_path / "state"}
    s = service(body, start=False, env=env)
    assert check(s.file, env=env)[0] == 66
    sign(w, signer, "/relay/remotes.conf")
    assert check(s.file, env=env) == (0, [])
    s.start()
    lib.echo_once(port)
    wait_copies(tmp_path)
