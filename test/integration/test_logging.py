"""Where log lines go and what they look like (3.7, 7.11)."""

import json
import os
import re
import signal
import stat

import pytest

import lib

TEXT = """
{common}
id = spawnd {{
	listen = {{ port = {port} realm = "a b" }}
	spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{
	remote = {{ {remote} }}
	log connections = yes
}}
"""
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture
def relay(service, backend, port):
    """relay(common directives): (service, port, echo)"""
    def make(common="", **kw):
        echo = backend(lib.Echo)
        text = TEXT.format(common=common, port=port, remote=echo.remote)
        return service(text, **kw), port, echo

    return make


def test_log_file(relay, tmp_path):
    file = tmp_path / "relay.log"
    s, port, echo = relay(f'log file = "{file}"\nsyslog ident = edge')
    lib.echo_once(port, b"12345")
    s.wait_for("end=done")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    lines = lib.wait_until(
        lambda: (lambda t: "end=done" in t and t)(file.read_text()),
        "the session in the log file").splitlines()
    for line in lines:
        assert re.match(STAMP + r" edge\[\d+\]: ", line), line
    session, = [x for x in lines if "end=done" in x]
    assert re.search(
        r"conn=\d+\.1\.\d+ src=\[127\.0\.0\.1\]:\d+ "
        rf"listener=\[127\.0\.0\.1\]:{port} realm=a%20b "
        rf"dst=\[127\.0\.0\.1\]:{echo.port} tries=1 tls=- dst-tls=- "
        r"in=5 out=5 ms=\d+ end=done$", session), session
    # everything that went to standard error is there, and nothing else
    assert {x.split("]: ", 1)[1] for x in lines} == \
        {x.split(": ", 1)[1] for x in s.lines}


@pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGHUP])
def test_log_file_reopened(relay, tmp_path, how):
    file = tmp_path / "relay.log"
    s, port, _ = relay(f'log file = "{file}"')
    lib.echo_once(port)
    old = tmp_path / "relay.log.1"
    os.rename(file, old)
    s.send_signal(how)
    lib.wait_until(file.exists, "a new log file")

    def fresh():
        lib.echo_once(port, b"x" * 77)
        return "in=77" in file.read_text()

    # workers are told; a session may still have gone to the old one
    lib.wait_until(fresh, "a session in the new log file", step=0.2)


def test_log_file_is_no_link(service, backend, port, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious\n")
    link.symlink_to(target)
    s = service(TEXT.format(common=f'log file = "{link}"', port=port,
                            remote="address = 192.0.2.1 port = 9"),
                start=False, clean=False)
    s.launch()
    assert s.wait() == 78
    assert re.search(f"log file: cannot open '{link}': ", s.log())
    assert target.read_text() == "precious\n"


def test_json(relay, tmp_path):
    file = tmp_path / "relay.json"
    s, port, echo = relay(
        f'log file = "{file}"\nlog format = json\nsyslog severity = notice')
    lib.echo_once(port, b"12345")
    s.wait_for('"end":"done"')		# there first, then in the file
    lib.wait_until(lambda: '"end":"done"' in file.read_text(), "the file")
    lines = [json.loads(x) for x in file.read_text().splitlines()]
    for line in lines:
        assert re.fullmatch(STAMP, line["time"])
        assert line["level"] in ("notice", "warning", "err")
        assert line["ident"] == "tcprelay"
        assert isinstance(line["pid"], int)
        assert line["role"] in ("master", "worker")
        assert ("worker" in line) == (line["role"] == "worker")
        assert ("msg" in line) != ("event" in line)
    session, = [x for x in lines if x.get("event") == "session"]
    assert session["src"].startswith("[127.0.0.1]:")
    assert session["dst"] == f"[127.0.0.1]:{echo.port}"
    assert session["realm"] == "a b"
    assert session["tls"] is None and session["dst-tls"] is None
    assert (session["in"], session["out"], session["tries"]) == (5, 5, 1)
    assert isinstance(session["ms"], int)
    assert re.fullmatch(r"\d+\.1\.\d+", session["conn"])


def test_title_text(relay):
    s, port, _ = relay("proctitle = edge")
    lib.wait_until(lambda: lib.title(s.pid).startswith(
        "tcprelay: edge: 0 connections, "), "the title of the master")
    worker, = s.wait_workers(1)
    lib.wait_until(lambda: lib.title(worker) ==
                   "tcprelay: edge: 0 connections", "the worker's title")


def test_stalled_stderr(service, backend, port, tmp_path):
    """Nobody reads what -D prints: the service goes on all the same."""
    echo = backend(lib.Echo)
    s = service(TEXT.format(common="", port=port, remote=echo.remote))
    with s.changed:				# the collecting thread stands still
        for _ in range(1000):
            lib.echo_once(port)
    s.wait_for("end=done")
    lib.echo_once(port)			# a line behind those that were lost
    lost = s.wait_for(r"(\d+) lines dropped").group(1)
    got = len(s.grep("end=done"))
    assert got + int(lost) in (1000, 1001)
