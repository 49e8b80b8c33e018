"""Lines to syslog, seen by a socket in the place of /dev/log: the programs
run in a mount namespace with a /dev of the test's."""

import os
import re
import socket
import subprocess

import pytest

import lib

TEXT = """
{common}
id = spawnd {{
	listen = {{ port = {port} }}
	spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{
	remote = {{ address = 127.0.0.1 port = 9 }}
	{relay}
}}
"""
# in the namespace: only what programs need of /dev
ENTER = """
d=$1; shift
for f in null urandom; do
	: >$d/$f && mount --bind /dev/$f $d/$f || exit 125
done
mount --rbind $d /dev || exit 125
exec "$@"
"""
FACILITIES = {"uucp": 8, "local3": 19, "daemon": 3}
LEVELS = {"crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}


@pytest.fixture
def dev(tmp_path):
    """A directory to be /dev, with a socket at log."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if os.getuid() != 0 or probe.returncode != 0:
        pytest.skip("needs root and mount namespaces")
    d = tmp_path / "dev"
    d.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(d / "log"))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        s.settimeout(0.2)
        yield d, s


def lines(sock):
    """[(facility, level, ident, text)] of what has come."""
    out = []
    while True:
        try:
            raw = sock.recv(8192).decode()
        except TimeoutError:
            return out
        m = re.fullmatch(r"<(\d+)>\w{3} [ \d]\d [\d:]{8} "
                         r"([^\[]+)\[\d+\]: (.*?)\n?", raw, re.S)
        assert m, raw
        n = int(m.group(1))
        out.append((n >> 3, n & 7, m.group(2), m.group(3)))


def run(service, dev, port, common="", relay="", **kw):
    """Runs once around; what came to syslog."""
    directory, sock = dev
    s = service(TEXT.format(port=port, common=common, relay=relay),
                wrap=["unshare", "-m", "sh", "-c", ENTER, "sh", directory],
                **kw)
    s.wait_for("worker starting")
    assert s.stop() == 0, s.log()
    return lines(sock)


def test_defaults(service, dev, port):
    got = run(service, dev, port)
    texts = [x[3] for x in got]
    assert any(t.startswith("listening on") for t in texts)
    assert any(t.startswith("worker starting") for t in texts)
    for facility, level, ident, _ in got:
        assert (facility, ident) == (FACILITIES["uucp"], "tcprelay")
        assert level in (LEVELS["info"], LEVELS["warning"])


def test_ident_facility_severity(service, dev, port):
    # as the master and each section say it
    got = run(service, dev, port,
              "syslog ident = edge\nsyslog facility = LOCAL3\n"
              "syslog severity = notice")
    assert got
    mine = [x for x in got if "listening" in x[3]]
    assert mine[0][:3] == (FACILITIES["local3"], LEVELS["notice"], "edge")


def test_json_never(service, dev, port):
    got = run(service, dev, port, "log format = json")
    assert got and not any(x[3].startswith("{") for x in got)


def test_deny(service, dev, port):
    assert run(service, dev, port, "syslog default = deny") == []


def test_debug_is_plain(service, dev, port):
    got = run(service, dev, port, "debug = PROC\ndebug redirect = syslog")
    debug = [x for x in got if x[1] == LEVELS["debug"]]
    assert debug
    # the process id stands in front already
    assert not any(re.match(r"\d+: ", x[3]) for x in debug)


def test_error_of_a_start(service, dev, port):
    """Without a terminal and -D, errors of the file go to syslog (3.15)."""
    directory, sock = dev
    s = service(TEXT.format(port=port, common="", relay="idle timeout = x"),
                wrap=["unshare", "-m", "sh", "-c", ENTER, "sh", directory],
                start=False, clean=False, debug=False)
    s.launch()
    assert s.wait() == 78
    errors = [x for x in lines(sock) if x[1] == LEVELS["err"]]
    assert any(re.match(r"Error .*service\.cfg:\d+: idle timeout: 'x' is not "
                        r"a time", x[3]) for x in errors), errors
