"""A network namespace of a test's own: what cannot be changed for all, the MTU
of loopback for instance, is changed there."""

import contextlib
import ctypes
import os
import shutil
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, CLONE_NEWNET) == -1:
            n = ctypes.get_errno()
            raise OSError(n, os.strerror(n))
    finally:
        os.close(fd)


class Netns:
    """Lives as long as the process that holds it. setup: for sh -c inside."""

    def __init__(self, setup="ip link set lo up"):
        if os.getuid() != 0 or not all(map(shutil.which, (
                "unshare", "nsenter", "ip"))):
            pytest.skip("needs root, unshare, nsenter and ip")
        self.holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-ec", setup + "\necho; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        if not self.holder.stdout.readline():
            said = self.holder.stderr.read().decode()
            self.close()
            pytest.skip(f"no such namespace can be made here: {said}")
        # for lib.Service: a program in it, under its own process id
        self.wrap = ["nsenter", "-t", self.holder.pid, "-n", "--"]

    def run(self, command):
        """sh -c there; what it printed."""
        return subprocess.run([*map(str, self.wrap), "sh", "-ec", command],
                              capture_output=True, text=True, check=True,
                              timeout=60).stdout

    @contextlib.contextmanager
    def inside(self):
        """This thread's sockets, and those of threads that it starts
        meanwhile, belong there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _setns(f"/proc/{self.holder.pid}/ns/net")
        try:
            yield self
        finally:
            _setns(f"/proc/self/fd/{own}")
            os.close(own)

    def close(self):
        self.holder.kill()
        self.holder.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
