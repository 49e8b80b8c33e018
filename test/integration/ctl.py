"""The control protocol of relayd (relayd/ctl.h) as Python sees it, and a
daemon of it that answers what a test tells it to."""

import re
import socket
import struct
import threading

import lib

RELAYCTL = lib.BUILD / "bin" / "relayctl"
MAGIC, VERSION, LENGTH = 0x72646374, 1, 65536


def numbers():
    """enum ctl_type, as the header has it."""
    text = (lib.TOP / "relayd/ctl.h").read_text()
    body = text[text.index("enum ctl_type {"):]
    return {k: int(v) for k, v in re.findall(
        r"CTL_(\w+) = (\d+)", body[:body.index("};")])}


T = numbers()
DISABLED, DOWN, BACKUP, ACTIVE, EMPTY, UP, UNKNOWN, NOT_APPLIED = (
    1 << i for i in range(8))
NO_ID = 0xffffffff


def message(kind, body=b"", pid=0, peer=0, flags=0, length=None):
    kind = T.get(kind, kind)
    return struct.pack("=IHHII", 16 + len(body) if length is None else
                       length, kind, flags, peer, pid) + body


def text(value, size):
    data = value.encode("utf-8", "surrogateescape")
    assert len(data) < size
    return data.ljust(size, b"\0")


def name(address="", port=0):
    """struct net_name"""
    if not address:
        return bytes(24)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return struct.pack("=BBHI16s", family, 0, socket.htons(port), 0,
                       socket.inet_pton(family, address))


def hello(magic=MAGIC, version=VERSION):
    return message("HELLO", struct.pack("=II", magic, version))


def redirect(id_, state, title):
    return message("REDIRECT", struct.pack("=II", id_, state) +
                   text(title, 64))


def table(id_, state, title, up=0, check=1):
    return message("TABLE", struct.pack("=IIII", id_, state, up, check) +
                   text(title, 72))


def host(id_, state, title, table=1, parent=0, error=0, left=0, checks=0,
         ups=0, address="192.0.2.1", port=80):
    return message("HOST", struct.pack("=6IQQ", id_, state, table, parent,
                                       error, left, checks, ups) +
                   name(address, port) + text(title, 256))


def relay(id_, state, title):
    return message("RELAY", struct.pack("=II", id_, state) + text(title, 88))


def router(id_, state, title, rtable=0, label=""):
    return message("ROUTER", struct.pack("=IIII", id_, state, rtable, 0) +
                   text(title, 64) + text(label, 64))


def route(router_, address, bits):
    return message("ROUTE", struct.pack("=II", router_, bits) +
                   name(address))


def statistics(id_, of_relay, total, last=(0, 0, 0), average=(0, 0, 0),
               interval=60):
    return message("STATISTICS", struct.pack(
        "=4I7Q", id_, of_relay, interval, 0, total, *last, *average))


def session(id_, worker, client, server=("", 0), done=0, age=0.0, idle=0.0,
            pid=1, relay_=1, tag=""):
    return message("SESSION", struct.pack(
        "=QIIIIQQ", id_, worker, pid, relay_, done, int(age * 1e9),
        int(idle * 1e9)) + name(*client) + name(*server) + text(tag, 64))


PHASES = ("handshake", "chosen", "connected", "server_handshake",
          "first_request", "first_response", "client_end", "server_end",
          "end")


def why(id_, worker, client, server=("", 0), relay_=1, relay_name="www",
        host_=0, host_name="", tries=1, began=0, bytes_in=0, bytes_out=0,
        who=0, error=0, reason="", **phases):
    at = [int(phases.pop(p, 0) * 1e9) for p in PHASES]
    assert not phases
    return message("WHY_ENTRY", struct.pack(
        "=Q4IQ9QQQII", id_, worker, relay_, host_, tries, began, *at,
        bytes_in, bytes_out, who, error) + name(*client) + name(*server) +
        text(reason, 64) + text(relay_name, 64) + text(host_name, 64))


def object_id(kind, id_=NO_ID, title="", pid=1):
    return message(kind, struct.pack("=I64sI", id_, text(title, 64), 0),
                   pid)


def status(id_, state):
    return message("HOST_STATUS", struct.pack("=Ii", id_, state), 1)


def request(file, directory, macros=(), digest=bytes(32)):
    """All of a digest 0: it is not looked at."""
    data = b"".join(x.encode() + b"\0" for m in macros for x in m)
    return message("REQUEST", text(file, 1024) + text(directory, 1024) +
                   digest + struct.pack("=II", len(macros), len(data)) +
                   data)


def parts(data, size=1000):
    return [message("TEXT_PART", data[i:i + size])
            for i in range(0, len(data), size)]


END, OK, FAIL = message("END"), message("OK"), message("FAIL")


def receive(s):
    """One message: its type and body. None: the other side has ended."""
    head = exactly(s, 16)
    if head is None:
        return None
    length, kind, *_ = struct.unpack("=IHHII", head)
    assert 16 <= length <= LENGTH
    body = exactly(s, length - 16)
    return None if body is None else (kind, body)


def exactly(s, n):
    out = b""
    while len(out) < n:
        try:
            got = s.recv(n - len(out))
        except ConnectionResetError:
            got = b""
        if not got:
            return None
        out += got
    return out


class Daemon:
    """Answers each connection with the messages of one answer after the
    other; the last one serves all that follow. What was asked is kept. An
    answer may be several, by what was asked."""

    def __init__(self, path, *answers, greeting=None, trickle=False,
                 hold=False):
        self.path, self.answers = str(path), list(answers)
        self.greeting = hello() if greeting is None else greeting
        self.trickle, self.hold = trickle, hold
        self.asked, self.problems, self.held = [], [], []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(5)
        self.socket.settimeout(lib.TIMEOUT)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            try:
                self.one(client)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except Exception as e:		# a test asks for them
                self.problems.append(e)
            if not self.hold:
                client.close()
            else:
                self.held.append(client)

    def send(self, client, data):
        if not self.trickle:
            client.sendall(data)
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for i in range(0, len(data), 7):
            client.sendall(data[i:i + 7])

    def one(self, client):
        client.settimeout(lib.TIMEOUT)
        got = receive(client)
        assert got == (T["HELLO"], struct.pack("=II", MAGIC, VERSION)), got
        self.send(client, self.greeting)
        got = receive(client)
        if got is None:
            return
        self.asked.append(got)
        answer = (self.answers.pop(0) if len(self.answers) > 1 else
                  self.answers[0] if self.answers else [])
        if isinstance(answer, dict):
            answer = {T[k]: v for k, v in answer.items()}[got[0]]
        for data in answer:
            self.send(client, data)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(lib.TIMEOUT)
        for c in self.held:
            c.close()
        assert not self.problems, self.problems
