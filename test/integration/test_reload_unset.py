"""Settings that a reload takes back: what is not in the file any more is as
it would be after a start."""

import ctypes
import os
import socket

import pytest

import lib
import ops

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


def listening(s, port):
    """A copy of the master's listening socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    inodes = ops.socket_inodes("listening", port)
    numbers = [n for n, t in lib.descriptors(s.pid).items()
               if t[8:-1] in inodes and t.startswith("socket:")]
    assert numbers, "no listening socket"
    pidfd = libc.syscall(SYS_PIDFD_OPEN, s.pid, 0)
    if pidfd == -1:
        pytest.skip("this system does not lend descriptors")
    try:
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, numbers[0], 0)
    finally:
        os.close(pidfd)
    if fd == -1:
        pytest.skip("not permitted to look at the master's descriptors")
    return socket.socket(fileno=fd)


OPTIONS = {
    "count": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 6)),
    "idle": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 4)),
    "interval": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 5)),
    "tos": (socket.IPPROTO_IP, socket.IP_TOS),
}


def options(s, port):
    with listening(s, port) as sock:
        return {k: sock.getsockopt(*v) for k, v in OPTIONS.items()}


def test_socket_options(service, backend, port):
    echo = backend()

    def text(listen):
        return ops.conf(port, f"address = 127.0.0.1 port = {echo.port}",
                        listen=f"listen {{ address = 127.0.0.1 "
                        f"port = {port} {listen} }}")

    s = service(text(""))
    plain = options(s, port)
    s.reload(text("dscp = 46 tcp keepalive count = 3 tcp keepalive idle = 77"
                  " tcp keepalive interval = 5"))
    assert options(s, port) == {"count": 3, "idle": 77, "interval": 5,
                                "tos": 46 << 2}
    s.reload(text("tcp keepalive idle = 78"))
    assert options(s, port) == {**plain, "idle": 78}
    s.reload(text(""))
    assert options(s, port) == plain


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_owner(service, backend, tmp_path):
    path = tmp_path / "s.sock"
    echo = backend()

    def text(listen):
        return ops.conf(0, f"address = 127.0.0.1 port = {echo.port}",
                        listen=f"listen {{ path = {path} {listen} }}")

    s = service(text("userid = 12 groupid = 13 mode = 0600"))
    st = path.stat()
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (12, 13, 0o600)
    s.reload(text(""))
    st = path.stat()
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (
        os.geteuid(), os.getegid(), 0o644)


def test_log_file_of_workers(service, backend, port, tmp_path):
    """Without the directive nobody goes on writing there, workers that stay
    included."""
    log = tmp_path / "own.log"
    echo = backend()

    def text(top):
        return ops.conf(port, f"address = 127.0.0.1 port = {echo.port}",
                        relay="log connections = yes", top=top)

    def session():
        with lib.connect(port) as c:
            lib.roundtrip(c, b"x")

    s = service(text(f"log file = {log}"))
    ops.wait_ready(s, 2)
    session()
    lib.wait_until(lambda: "conn=" in log.read_text(), "a session's line")
    pids = set(s.workers())
    s.reload(text(""))
    assert set(s.workers()) == pids
    lib.wait_until(lambda: all(str(log) not in lib.descriptors(p).values()
                               for p in [s.pid, *s.workers()]),
                   "the log file to be closed")
    size = log.stat().st_size
    since = s.mark()
    session()
    s.wait_for("conn=", since=since)
    assert log.stat().st_size == size
