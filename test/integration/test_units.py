"""The units of sample/: systemd's own programs have nothing to say against
them, and what they forbid is nothing that the service needs. There is no
manager here: the rights are taken away as it would take them."""

import contextlib
import fcntl
import os
import pathlib
import platform
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

import pytest

import lib
import ops
import rd
import test_upgrade as upgrades

SAMPLE = lib.TOP / "sample"
UNITS = ["tcprelay.service", "spawnd.service", "tcprelay.socket",
         "relayd.service"]
SERVICES = UNITS[:2]
EXPOSURE = 1.5


def unit(name):
    """{section: {key: [values]}}"""
    out, section = {}, None
    for line in (SAMPLE / name).read_text().splitlines():
        if line.startswith("["):
            section = out.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return out


@pytest.fixture
def analyze(tmp_path):
    """systemd-analyze on the units as they would be installed."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")

    def run(*args, names=UNITS, drop_in=False):
        for name in names:
            text = (SAMPLE / name).read_text()
            text = text.replace("/usr/local/sbin", str(lib.BUILD / "bin"))
            (tmp_path / name).write_text(text)
        if drop_in:
            d = tmp_path / "tcprelay.service.d"
            d.mkdir()
            shutil.copy(SAMPLE / "tcprelay-root.conf", d)
        return subprocess.run(
            [tool, *args, *[tmp_path / n for n in names]], text=True,
            capture_output=True, timeout=60, cwd=tmp_path,
            env={**os.environ, "SYSTEMD_COLORS": "0"})

    return run


def test_verify(analyze):
    """Nothing to be said; --man=no, as the manuals are not installed here."""
    r = analyze("verify", "--man=no")
    if re.search("Failed to (initialize manager|create|prepare)", r.stderr):
        pytest.skip(r.stderr.splitlines()[0])
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


def exposure(r):
    if "--offline" in r.stderr or "unrecognized" in r.stderr:
        pytest.skip("systemd-analyze does not look at files")
    return float(re.search(r"Overall exposure level for \S+: ([\d.]+)",
                           r.stdout).group(1))


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(analyze, name):
    assert exposure(analyze("security", "--offline=true",
                            names=[name])) <= EXPOSURE


def test_exposure_as_root(analyze):
    """The drop-in gives back what becoming somebody else needs, no more."""
    r = analyze("security", "--offline=true", names=["tcprelay.service"],
                drop_in=True)
    assert EXPOSURE < exposure(r) <= 2.7
    bad = set(re.findall(r"^✗ (\S+?)=", r.stdout, re.M))
    assert bad <= {"SystemCallFilter", "RootDirectory", "User",
                   "CapabilityBoundingSet", "RestrictAddressFamilies",
                   "PrivateNetwork", "PrivateUsers", "DeviceAllow",
                   "IPAddressDeny", "AmbientCapabilities"}
    r = analyze("verify", "--man=no", names=["tcprelay.service"])
    assert r.stderr == "" or "Failed" in r.stderr


def test_exposure_of_relayd(analyze):
    """Its parent is root, and that is what it costs."""
    r = analyze("security", "--offline=true", names=["relayd.service"])
    assert exposure(r) <= 3.6, r.stdout


def test_what_the_unit_of_relayd_says():
    u = unit("relayd.service")["Service"]
    assert u["ExecStart"] == ["/usr/local/sbin/relayd -d -f /etc/relayd.conf"]
    assert u["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert u["Type"] == ["notify"] and u["KillMode"] == ["mixed"]
    # all that relayd-runtime 1.2 names, and nothing else
    assert sorted(" ".join(u["CapabilityBoundingSet"]).split()) == sorted(
        f"CAP_{c}" for c in ("SETUID", "SETGID", "SETPCAP", "SYS_CHROOT",
                             "KILL", "NET_BIND_SERVICE", "NET_RAW",
                             "NET_ADMIN"))
    users = (SAMPLE / "relayd.sysusers").read_text()
    home = re.search(r'^u _relayd - "[^"]*" (\S+)$', users, re.M).group(1)
    assert re.search(rf"^d {home} 0755 root root -$",
                     (SAMPLE / "relayd.tmpfiles").read_text(), re.M)


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_unit_says(name):
    """The start, the reload and the end are those of 1.6."""
    u = unit(name)["Service"]
    short = name.split(".")[0]
    assert u["ExecStart"] == [f"/usr/local/sbin/{short} -f -p "
                              f"/run/{short}/pid /etc/{short}.conf"]
    assert u["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert u["Type"] == ["notify"] and u["KillMode"] == ["process"]
    assert u["RuntimeDirectory"] == [short]
    assert unit(name)["Unit"]["ConditionPathExists"] == [f"/etc/{short}.conf"]
    users = (SAMPLE / "tcprelay.sysusers").read_text()
    assert re.search(rf"^u {u['User'][0]} ", users, re.M)


# ---- what the sandbox leaves

# linux/audit.h, linux/seccomp.h, linux/prctl.h
ARCHES = {"x86_64": (0xc000003e, "x86_64-linux-gnu/asm/unistd_64.h"),
          "aarch64": (0xc00000b7, "asm-generic/unistd.h")}
ALLOW, REFUSE = 0x7fff0000, 0x00050001		# EPERM

# With the rights in a list, what a unit's settings come to: user,
# capabilities (bounding, ambient), no new privileges, the system calls.
CONFINED = """
import ctypes, os, struct, sys
user, group, bounding, ambient, program = sys.argv[1:6]
libc = ctypes.CDLL(None, use_errno=True)

def prctl(*args):
    if libc.prctl(*[ctypes.c_ulong(a) for a in args] +
                  [ctypes.c_ulong(0)] * (5 - len(args))):
        raise OSError(ctypes.get_errno(), f"prctl {args}")

bounding = [int(x) for x in bounding.split(",") if x]
ambient = [int(x) for x in ambient.split(",") if x]
last = int(open("/proc/sys/kernel/cap_last_cap").read())
for c in range(last + 1):
    if c not in bounding:
        prctl(24, c)				# PR_CAPBSET_DROP
if int(user):
    prctl(8, 1)					# PR_SET_KEEPCAPS
os.setgroups([int(group)])
os.setgid(int(group))
os.setuid(int(user))
if int(user):
    mask = sum(1 << c for c in ambient)
    head = struct.pack("Ii", 0x20080522, 0)
    data = struct.pack("6I", *[mask & 0xffffffff] * 3,
                       *[mask >> 32] * 3)
    if libc.capset(head, data):
        raise OSError(ctypes.get_errno(), "capset")
    for c in ambient:
        prctl(47, 2, c)				# PR_CAP_AMBIENT_RAISE
prctl(38, 1)					# PR_SET_NO_NEW_PRIVS
code = open(program, "rb").read()
buf = ctypes.create_string_buffer(code)
prog = ctypes.create_string_buffer(
    struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buf)))
prctl(22, 2, ctypes.addressof(prog))		# PR_SET_SECCOMP, FILTER
os.execv(sys.argv[6], sys.argv[6:])
"""

CAPS = {"CAP_CHOWN": 0, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
        "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12,
        "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18}


def groups():
    """{@group: {system call}}, of this systemd."""
    r = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"],
                       capture_output=True, text=True,
                       env={**os.environ, "SYSTEMD_COLORS": "0"})
    if r.returncode != 0:
        pytest.skip("systemd-analyze syscall-filter does not work")
    out, name = {}, None
    for line in r.stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = line.strip()
            out[name] = set()
        elif line.startswith("    ") and word and not word.startswith("#") \
                and name:
            out[name].add(word)
        elif not line.startswith(" "):
            name = None if not line.startswith("@") else name

    def members(word):
        if not word.startswith("@"):
            return {word}
        return set().union(*map(members, out[word]))

    return members


def allowed(settings):
    """Names that the lines of SystemCallFilter leave, in their order."""
    members, names = groups(), set()
    for line in settings:
        for word in line.lstrip("~").split():
            if line.startswith("~"):
                names -= members(word)
            else:
                names |= members(word)
    return names


def seccomp_program(names):
    """A filter (bpf(4)) that permits these and refuses the others as
    SystemCallErrorNumber=EPERM does."""
    if platform.machine() != "x86_64":
        pytest.skip("system calls by number: for x86_64 only")
    audit, header = ARCHES["x86_64"]
    path = pathlib.Path("/usr/include") / header
    if not path.exists():
        pytest.skip("the C library's headers are not installed")
    numbers = dict((n, int(v)) for n, v in re.findall(
        r"^#define __NR_(\w+) (\d+)", path.read_text(), re.M))
    known = sorted(numbers[n] for n in names if n in numbers)
    assert len(known) > 150
    out = [struct.pack("HBBI", 0x20, 0, 0, 4),		# load the arch
           struct.pack("HBBI", 0x15, 1, 0, audit),
           struct.pack("HBBI", 0x06, 0, 0, REFUSE),
           struct.pack("HBBI", 0x20, 0, 0, 0)]		# load the number
    for n in known:
        out += [struct.pack("HBBI", 0x15, 0, 1, n),
                struct.pack("HBBI", 0x06, 0, 0, ALLOW)]
    out.append(struct.pack("HBBI", 0x06, 0, 0, REFUSE))
    return b"".join(out)


def low_port():
    """A free port that takes a right to bind."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
                .read_text())
    for port in range(600, min(first, 1000)):
        with contextlib.suppress(OSError), lib.socket.socket() as s:
            # as lib.Ports: other test processes keep away
            fcntl.lockf(lib.PORTS.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            s.bind(("0.0.0.0", port))
            return port
    pytest.skip("any port is anybody's here")


@pytest.fixture
def confined():
    """confined(text, settings of [Service], user): started with no more
    rights than these leave, and a directory of its own, PLACE in the text;
    not in tmp_path, which is for root only."""
    if os.getuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("rights are taken away by root, on Linux")
    base = pathlib.Path(tempfile.mkdtemp(dir=lib.reports_base()))
    base.chmod(0o755)
    place = base / "run"
    place.mkdir(mode=0o755)
    running = []

    # the leak checker traces the process, which is what is not permitted
    def start(text, u, user):
        program = base / "seccomp"
        program.write_bytes(seccomp_program(allowed(u["SystemCallFilter"])))
        pw = pwd.getpwnam(user)

        def caps(key):
            values = u.get(key, [])
            if "" in values:			# reset, as systemd does
                values = values[len(values) - values[::-1].index(""):]
            return ",".join(str(CAPS[c]) for v in values for c in v.split())

        for f in place, *place.iterdir():
            shutil.chown(f, user)
        upgrades.replace(start.program)
        s = lib.Service(text.replace("PLACE", str(place)), base / "service",
                        program=start.program,
                        env={"LSAN_OPTIONS": "detect_leaks=0"},
                        wrap=[sys.executable, "-c", CONFINED, pw.pw_uid,
                              pw.pw_gid, caps("CapabilityBoundingSet"),
                              caps("AmbientCapabilities"), program])
        running.append(s)
        s.directory.chmod(0o755)
        s.file.chmod(0o644)
        return s.start(listeners=2)

    start.place, start.program = place, base / "tcprelay"
    yield start
    for s in running:
        s.assert_clean()


def confined_build(user):
    """Whether that user can execute what was built."""
    r = subprocess.run(["setpriv", "--reuid", user, "--clear-groups",
                        lib.TCPRELAY, "-v"], capture_output=True)
    return r.returncode == 0


def run_through(s, place, port, certs):
    """What a service does in its life."""
    context = lib.client_context(certs.ca) if certs else None
    lib.echo_once(port, context=context, name="localhost")
    pid = int((place / "pid").read_text())
    assert pid == s.pid
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^Seccomp:\s+2$", status, re.M)
    assert not s.grep("Operation not permitted")
    for _ in range(2):
        s.reload()
        lib.echo_once(port, context=context, name="localhost")
    worker = s.workers()[0]
    os.kill(worker, signal.SIGKILL)
    s.wait_for("killed|signal 9|ended")
    lib.echo_once(port, context=context, name="localhost")
    s.send_signal(signal.SIGUSR1)
    s.wait_for("reload: done", count=3)
    s.send_signal(signal.SIGUSR2)
    s.wait_for("status worker=")
    lib.echo_once(port, context=context, name="localhost")
    upgrades.replace(s.program)
    upgrades.upgrade(s)
    lib.echo_once(port, context=context, name="localhost")
    assert not s.grep("not permitted|Permission denied")
    assert s.stop() == 0
    assert not (place / "pid").exists()


@pytest.mark.tls
@pytest.mark.parametrize("extra", ["", "key process = yes"])
def test_within_the_unit(confined, backend, certs, extra):
    """As tcprelay.service has it: never root, a port below 1024, a key that
    a group may read, a pid file and a status socket."""
    if not confined_build("nobody"):
        pytest.skip("nobody cannot reach the programs")
    echo = backend(lib.Echo)
    port = low_port()
    pair = certs.ecdsa
    place = confined.place
    for f in pair.cert, pair.key:
        shutil.copy(f, place)
    text = f"""
id = spawnd {{
	pidfile = "PLACE/pid"
	listen {{ port = {port} tls = yes }}
	listen {{ path = "PLACE/socket" mode = 0660 }}
	spawn {{ instances min = 1 instances max = 2 }}
}}
id = tcprelay {{
	tls certfile = "PLACE/{pathlib.Path(pair.cert).name}"
	tls keyfile = "PLACE/{pathlib.Path(pair.key).name}"
	{extra}
	remote = {{ {echo.remote} }}
}}
"""
    u = unit("tcprelay.service")["Service"]
    s = confined(text, u, "nobody")
    lib.echo_once(place / "socket")
    for pid in [s.pid, *s.workers()]:
        assert os.stat(f"/proc/{pid}").st_uid == pwd.getpwnam("nobody").pw_uid
    run_through(s, place, port, certs)


def test_within_the_drop_in(confined, backend):
    """As tcprelay-root.conf has it: workers are somebody else, and are ended
    all the same."""
    echo = backend(lib.Echo)
    u = unit("tcprelay.service")["Service"]
    for key, values in unit("tcprelay-root.conf")["Service"].items():
        u[key] = u.get(key, []) + values
    port = low_port()
    text = f"""
id = spawnd {{
	pidfile = "PLACE/pid"
	listen {{ port = {port} }}
	listen {{ path = "PLACE/socket" userid = nobody }}
	spawn {{ userid = nobody instances min = 1 instances max = 2 }}
}}
id = tcprelay {{ remote = {{ {echo.remote} }} }}
"""
    # the bounding set is what the unit has and what the drop-in adds
    s, place = confined(text, u, "root"), confined.place
    nobody = pwd.getpwnam("nobody").pw_uid
    assert (place / "socket").stat().st_uid == nobody
    ops.wait_ready(s, 1)
    assert {os.stat(f"/proc/{p}").st_uid for p in s.workers()} == {nobody}
    run_through(s, place, port, None)


@rd.needed
def test_relayd_within_the_unit(relayd, backend, port, tmp_path):
    """Its parent is root with few rights; what it does for the others, and
    how these become nobody, is possible with them."""
    u = unit("relayd.service")["Service"]
    program = tmp_path / "seccomp"
    program.write_bytes(seccomp_program(allowed(u["SystemCallFilter"])))
    caps = ",".join(str(CAPS[c]) for line in u["CapabilityBoundingSet"]
                    for c in line.split())
    echo = backend(lib.Echo)
    low = low_port()
    text = f"""
log host checks
table <ping> {{ 127.0.0.1 }}
table <asked> {{ 127.0.0.1 }}
table <run> {{ 127.0.0.1 }}
relay "low" {{
	listen on 127.0.0.1 port {low}
	forward to <ping> port {echo.port} check icmp
	forward to <asked> port {echo.port} check tcp
	forward to <run> port {echo.port} check script "/bin/false" timeout 5000
}}
relay "through" {{
	listen on 127.0.0.1 port {port}
	transparent forward to 127.0.0.1 port {echo.port}
}}
"""
    s = relayd(text, relays=2, clean=False,	# some are lost, below
               env={"LSAN_OPTIONS": "detect_leaks=0"},
               wrap=[sys.executable, "-c", CONFINED, 0, 0, caps, "", program])
    for check in "icmp", "tcp", "script":
        s.wait_for(rf"host 127.0.0.1, check {check} .*-> up")
    lib.echo_once(low)
    lib.echo_once(port)
    family = lib.children(s.pid)
    for title in "hce", "pfe", "relay", "ca":
        os.kill(s.named(title)[0], signal.SIGKILL)
    s.wait_for("lost child", count=4)
    lib.wait_until(lambda: len(lib.children(s.pid)) == len(family),
                   "others in their places")
    s.reload(text)
    lib.echo_once(low)
    lib.echo_once(port)
    assert s.stop() == 0
    assert not s.grep("not permitted|Permission denied"), s.log()


def test_filter_refuses(tmp_path):
    """The filter of these tests does refuse: else they would show nothing."""
    if os.getuid() != 0:
        pytest.skip("rights are taken away by root")
    u = unit("tcprelay.service")["Service"]
    names = allowed(u["SystemCallFilter"])
    assert {"accept4", "sendmsg", "execve", "clone", "splice", "memfd_create",
            "prlimit64"} <= names
    assert not {"mount", "ptrace", "reboot", "setuid", "chown", "init_module",
                "bpf", "kexec_load", "swapon"} & names
    program = tmp_path / "seccomp"
    program.write_bytes(seccomp_program(names))
    r = subprocess.run([sys.executable, "-c", CONFINED, "0", "0", "", "",
                        program, sys.executable, "-c",
                        "import os; os.chown('/tmp', -1, -1)"],
                       capture_output=True, text=True)
    assert "PermissionError" in r.stderr
