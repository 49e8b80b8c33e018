"""The benchmark harness measures, and its load generator notices failures.
No figure is judged here."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                   "..", "..", "bench", "run")

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None,
    reason="bench needs Linux and a compiler")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return str(tmp_path_factory.mktemp("bench"))


def measure(build, tmp_path, unit):
    out = tmp_path / "out.json"
    done = subprocess.run(
        [RUN, "--quick", "--rounds", "2", "--contenders", "floor", "--only",
         unit, "--build", build, "--json", str(out)],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "\n! " not in done.stdout, done.stdout
    return json.loads(out.read_text())["results"][unit]["floor"], done.stdout


def test_short(build, tmp_path):
    values, text = measure(build, tmp_path, "short")
    assert len(values) == 2 and all(v > 0 for v in values)
    assert "short connection" in text


def test_bulk_arrives_whole(build, tmp_path):
    values, _ = measure(build, tmp_path, "bulk")
    assert len(values) == 2 and all(v > 0 for v in values)


def test_unknown_unit():
    done = subprocess.run([RUN, "--only", "nonsense"], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 2
    assert "no unit 'nonsense'" in done.stderr


class Wrong(threading.Thread):
    """A listener that takes one connection at a time and treats it badly."""

    def __init__(self, treat):
        super().__init__(daemon=True)
        self.treat = treat
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                try:
                    self.treat(client)
                except OSError:
                    pass


def closes(client):
    client.recv(64)


def garbles(client):
    client.recv(64)
    client.sendall(b"\0" * 100000)


@pytest.mark.parametrize("treat, command, want", [
    (closes, "short %d plain 20 4", "done 0 failed 20 "),
    (garbles, "bulk %d plain 100000 1", "done 0 failed 1 "),
])
def test_load_notices(build, tmp_path, treat, command, want):
    measure(build, tmp_path, "short")       # so that it is compiled
    wrong = Wrong(treat)
    try:
        done = subprocess.run(
            [os.path.join(build, "load")], capture_output=True, text=True,
            input="", timeout=30)
        assert done.stdout.strip().isdigit()
        with subprocess.Popen([os.path.join(build, "load")],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as load:
            load.stdout.readline()
            load.stdin.write(command % wrong.port + "\n")
            load.stdin.flush()
            assert load.stdout.readline().startswith(want)
            load.stdin.close()
    finally:
        wrong.socket.close()
