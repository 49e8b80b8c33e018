"""The command line as an operator meets it (2.1 to 2.5): options, -P, exit
codes, what is said about options of later versions, and that a reload with
any of the wrong files of the unit tests changes nothing."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import tempfile

import pytest

import lib

PROGRAMS = pytest.mark.parametrize("program", [lib.TCPRELAY, lib.SPAWND],
                                   ids=lambda p: p.name)

GOOD = """id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} }}
	spawn {{ instances min = 1 instances max = 1 {spawn} }}
	{broker}
}}
id = tcprelay {{
	remote = {{ address = 127.0.0.1 port = 9 }}
}}
"""


def good(port=8080, broker="", spawn=""):
    return GOOD.format(port=port, broker=broker, spawn=spawn)


@pytest.fixture
def cfg(tmp_path):
    """cfg(text, name): the path of a file with that text."""
    def write(text, name="test.cfg"):
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


# ---- options

@PROGRAMS
@pytest.mark.parametrize("option", ["-h", "--help", "-hv", "-Ph"])
def test_help(program, option):
    r = lib.run(program, option)
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith(f"usage: {program.name} [-")
    for letter in "1DPbfvIidkph":
        assert re.search(rf"^  .*-{letter}\b", r.stdout, re.M), letter
    assert "FILE [id]" in r.stdout


@PROGRAMS
@pytest.mark.parametrize("args", [["-v"], ["-vh"], ["-Pv"], ["-fv"],
                                  ["-v", "/no/such/file"]])
def test_version(program, args):
    """Needs no file, and looks at none."""
    r = lib.run(program, *args)
    assert (r.returncode, r.stderr) == (0, "")
    assert re.fullmatch(rf"{program.name} version \S+\n", r.stdout)


@PROGRAMS
@pytest.mark.parametrize("args", [
    [], ["-P"], ["-Z", "f"], ["-PZ", "f"], ["--nonsense", "f"],
    ["a", "b", "c"], ["-P", "a", "b", "c"],
    ["-I"], ["-i"], ["-p"], ["-k"], ["-d"], ["f", "-d"],
    ["-d", "x", "f"], ["-d", "", "f"], ["-d", "12q", "f"],
    ["-d", "0x", "f"], ["-d", "0xg", "f"], ["-d", "-2", "f"],
    ["-d", "--1", "f"], ["-d", "+1", "f"], ["-d", " 1", "f"],
    ["-d", "4294967296", "f"], ["-d", "99999999999999999999", "f"],
    ["-d", "1.5", "f"], ["-dx", "f"],
], ids=" ".join)
def test_usage(program, args):
    r = lib.run(program, *args)
    assert (r.returncode, r.stdout) == (64, "")
    assert re.search(rf"^usage: {program.name} \[-", r.stderr, re.M)
    if "-d" in args and len(args) > 2:
        level = args[args.index("-d") + 1]
        assert f"-d: '{level}' is not a number\n" in r.stderr


def test_usage_is_called_by_its_name(tmp_path):
    r = lib.run(lib.TCPRELAY, argv0="/opt/edge-relay")
    assert r.returncode == 64
    assert r.stderr.startswith("usage: edge-relay [-")


@PROGRAMS
@pytest.mark.parametrize("args, what", [
    (["--json", "f"], "--json"), (["-P", "--json", "f"], "--json"),
    (["-s", "--plan", "f"], "--plan: not with -s"),
    (["-k", "key", "f"], "-k: 'f' is no URL"),
])
def test_refused(program, args, what):
    """Known, and of no use here: said, and nothing else is done."""
    r = lib.run(program, *args)
    assert (r.returncode, r.stdout) == (64, "")
    assert r.stderr.startswith(f"{program.name}: {what}")


def test_broker_is_no_single_process(cfg):
    file = cfg(good())
    r = lib.run(lib.SPAWND, "-1", file)
    assert (r.returncode, r.stdout) == (64, "")
    assert "-1" in r.stderr
    assert lib.run(lib.TCPRELAY, "-1P", file).returncode == 0


@pytest.mark.parametrize("level", ["0", "1", "24576", "0x6000", "0X6000",
                                   "-1", "2141192191", "4194304",
                                   "4294967295"])
def test_debug_level(cfg, level):
    """Nothing but PARSE says anything with -P."""
    r = lib.run(lib.TCPRELAY, "-P", "-d", level, cfg(good()))
    assert (r.returncode, r.stdout) == (0, "")
    parse = level not in ("0", "24576", "0x6000", "0X6000", "4194304")
    assert bool(r.stderr) == parse


@PROGRAMS
def test_tokens(cfg, program):
    """-d 1: each token once, with file, line, kind and text."""
    file = cfg("# nothing\nid = spawnd { listen { } }\n"
               "id = 'tcprelay' { remote = {\n"
               "address = \"::1\" port = 9 } }\n")
    r = lib.run(program, "-P", "-d1", file)
    assert r.returncode == 0
    lines = r.stderr.splitlines()
    assert [x.partition(": ")[2] for x in lines[:8]] == [
        "word 'id'", "delimiter '='", "word 'spawnd'", "delimiter '{'",
        "word 'listen'", "delimiter '{'", "delimiter '}'", "delimiter '}'"]
    assert all(x.startswith(f"{file}:2: ") for x in lines[:8])
    assert f"{file}:3: string 'tcprelay'" in lines
    assert f"{file}:4: string '::1'" in lines
    assert len(lines) == len(set(lines)) + sum(
        lines.count(x) - 1 for x in set(lines)
        if "delimiter" in x)	# a word stands in a line once, here


@pytest.mark.parametrize("args", [["-Pf"], ["-bP"], ["-P", "-D"],
                                  ["-DPbf"], ["-PIspawnd"],
                                  ["-P", "-I", "spawnd", "-i", "tcprelay"],
                                  ["-Pd0"], ["-Pp/no/such/x.pid"], ["-P1"]],
                         ids=" ".join)
def test_bundles(cfg, args):
    file = cfg(good())
    for words in [*args, file], [*args, file, "spawnd"]:
        r = lib.run(lib.TCPRELAY, *words)
        assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


def test_options_behind_the_file(cfg):
    """Where the C library permutes, which glibc does."""
    r = lib.run(lib.TCPRELAY, cfg(good()), "-P")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


SECTIONS = """
id = front-spawnd {{ listen = {{ port = 8443 }} {front} }}
id = front {{ remote = {{ address = 192.0.2.5 port = 80 }} }}
id = back-spawnd {{ listen = {{ port = 8081 }} spawn {{ id = {id} }} }}
id = back {{ remote = {{ address = 192.0.2.6 port = 80 }} }}
"""


@pytest.mark.parametrize("args, missing", [
    (["{f}"], "spawnd"),
    (["{f}", "front-spawnd"], "tcprelay"),
    (["{f}", "front-spawnd", "-i", "front"], None),
    (["-i", "front", "{f}", "front-spawnd"], None),
    (["-I", "back-spawnd", "{f}"], None),
    (["-I", "back-spawnd", "{f}", "nowhere"], None),
    (["-I", "nowhere", "{f}", "back-spawnd"], "nowhere"),
    (["-I", "back-spawnd", "-i", "nowhere", "{f}"], "nowhere"),
    (["-i", "back", "-I", "front-spawnd", "{f}"], None),
], ids=lambda x: " ".join(x) if isinstance(x, list) else str(x))
def test_sections(cfg, args, missing):
    """-I over the trailing id, -i over id in the spawn block (1.3)."""
    file = cfg(SECTIONS.format(front="", id="back"))
    r = lib.run(lib.TCPRELAY, "-P", *(a.format(f=file) for a in args))
    if missing is None:
        assert (r.returncode, r.stderr) == (0, "")
    else:
        assert r.returncode == 78
        assert f"no section with id '{missing}'" in r.stderr


def test_section_by_the_programs_name(cfg, tmp_path):
    """The name it was started by: a worker's section in the program that
    has both, the broker's in the stand-alone one (1.3)."""
    file = cfg("id = spawnd { listen { } }\n"
               "id = edge { remote { address ::1 port 9 } }\n")
    link = tmp_path / "edge"
    link.symlink_to(lib.TCPRELAY)
    r = lib.run(lib.TCPRELAY, "-P", file, argv0=link)
    assert (r.returncode, r.stderr) == (0, "")
    r = lib.run(lib.TCPRELAY, "-P", file)
    assert "no section with id 'tcprelay'" in r.stderr
    file = cfg(f"id = gate {{ listen {{ }} overload = x\n"
               f"spawn {{ exec = {lib.TCPRELAY} id = edge }} }}\n"
               "id = edge { remote { address ::1 port 9 } }\n")
    r = lib.run(lib.SPAWND, "-P", file, argv0=tmp_path / "gate")
    assert f"{file}:1: Expected 'close'" in r.stderr
    r = lib.run(lib.SPAWND, "-P", file, argv0=tmp_path / "other")
    assert "no section with id 'spawnd'" in r.stderr


# ---- -P

def look(program, *args, directory, **kw):
    """Runs it in a session of its own: CompletedProcess, and what is left
    of the session."""
    p = subprocess.Popen([str(program), *map(str, args)],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, cwd=directory,
                         start_new_session=True, env=lib.environment(directory),
                         **kw)
    try:
        out, err = p.communicate(timeout=lib.TIMEOUT * 2)
    finally:
        p.kill()
        left = lib.session_members(p.pid)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not lib.sanitizer_files(directory)
    return subprocess.CompletedProcess(args, p.returncode, out, err), left


WRONG = """id = tcprelay {
	remote = { address = 192.0.2.1 port = many }
	rebalance = often
}
id = spawnd {
	listen = {
		port = 70000
	}
	overload = drop
	spawn { users max = 0 }
}
id = tcprelay {
	dead time = never
}
"""
SAID = """F:2: port: unknown service 'many'
F:3: rebalance: 'often' is not a number
F:7: port: 70000 is out of range (0 to 65535)
F:9: Expected 'close', 'queue' or 'reset', but got 'drop'
F:10: users max: 0 is out of range (1 to 1000000)
F:13: dead time: 'never' is not a time
"""


def test_all_errors_in_order(cfg, tmp_path):
    """Of both sections, by position, one line for each, and only there."""
    file = cfg(WRONG)
    r, left = look(lib.TCPRELAY, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (78, "", [])
    assert r.stderr == SAID.replace("F:", f"{file}:")


def test_file_is_called_as_given(cfg, tmp_path):
    cfg(WRONG)
    for name in "test.cfg", "./test.cfg":
        r, _ = look(lib.TCPRELAY, "-P", name, directory=tmp_path)
        assert r.stderr == SAID.replace("F:", f"{name}:")


def test_three_wrong_values(cfg, tmp_path):
    file = cfg("id = spawnd {\n\tlisten {\n\t\tport = 70000\n\t}\n\tspawn {\n"
               "\n\t\tusers max = many\n\t}\n\tbind retry delay = soon\n}\n"
               "id = tcprelay { remote { address ::1 port 9 } }\n")
    r, _ = look(lib.TCPRELAY, "-P", file, directory=tmp_path)
    assert r.returncode == 78
    assert re.findall(rf"^{re.escape(str(file))}:(\d+): ", r.stderr, re.M) \
        == ["3", "7", "9"]
    assert r.stderr.count("\n") == 3


def test_included_from(cfg, tmp_path):
    inner = cfg("# one\n# two\noverload = x\n", "inner.inc")
    middle = cfg("\ninclude = '$CONFDIR/inner.inc'\n", "middle.inc")
    file = cfg("id = spawnd {\n\tlisten { port = 80 }\n"
               "\tinclude = \"$CONFDIR/middle.inc\"\n}\n"
               "id = tcprelay { remote { address ::1 port 9 } }\n")
    r, _ = look(lib.TCPRELAY, "-P", file, directory=tmp_path)
    assert r.returncode == 78
    assert r.stderr == (
        f"{inner}:3: Expected 'close', 'queue' or 'reset', but got 'x'\n"
        f"{middle}:2: included from here\n{file}:3: included from here\n")


def test_a_terminal_shows_the_place(cfg, tmp_path):
    """There, and only there, the line and a mark below the place."""
    file = cfg("id = spawnd {\n\toverload = drop\n}\n")
    master, slave = os.openpty()
    p = subprocess.run([lib.TCPRELAY, "-P", file], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=slave,
                       env=lib.environment(tmp_path), timeout=lib.TIMEOUT)
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):
        while data := os.read(master, 4096):
            text += data
    os.close(master)
    assert p.returncode == 78
    assert text.decode().replace("\r", "").splitlines() == [
        f"{file}:2: Expected 'close', 'queue' or 'reset', but got 'drop'",
        "\toverload = drop", "\t           ^"]


def test_check_has_no_effect(cfg, tmp_path):
    """No socket, no file, no process, no word: although the ports are in use
    and everything that writes is configured."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        d = tmp_path / "d"
        d.mkdir()
        (d / "stale.sock").touch()
        file = cfg(
            f"log file = {d}/log\ndebug redirect = {d}/debug\n"
            "debug = NET PROC\n"
            + good(s.getsockname()[1], broker=f"""
	listen = {{ path = {d}/listen.sock mode = 0600 }}
	pidfile = {d}/pid
	background = yes
	single process = yes"""))
        before = sorted(tmp_path.rglob("*"))
        for args in [], ["-b"], ["-f"], ["-1"], ["-p", d / "other.pid"], \
                ["-D"]:
            r, left = look(lib.TCPRELAY, "-P", *args, file,
                           directory=tmp_path)
            assert (r.returncode, r.stdout, r.stderr, left) == (0, "", "", [])
        assert sorted(tmp_path.rglob("*")) == before


def test_check_beside_the_service(service, backend, port, tmp_path):
    """As an init script does in front of a reload."""
    echo = backend(lib.Echo)
    pidfile = tmp_path / "pid"
    s = service(good(port, broker=f"pidfile = {pidfile}").replace(
        "address = 127.0.0.1 port = 9", echo.remote))
    lib.wait_until(pidfile.exists, "the pid file")
    r, _ = look(lib.TCPRELAY, "-P", s.file, directory=tmp_path)
    assert (r.returncode, r.stderr) == (0, "")
    assert pidfile.read_text() == f"{s.pid}\n"
    lib.echo_once(port)


@pytest.mark.tls
def test_files_of_run_time_are_warnings(cfg, tmp_path):
    file = cfg(good(broker="listen = { port = 8443 tls }").replace(
        "\tremote", "\ttls cert-file = /no/such.pem\n\tremote"))
    r, _ = look(lib.TCPRELAY, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout) == (0, "")
    assert r.stderr == (
        f"{file}:7: warning: tls: cannot load certificate '/no/such.pem': "
        "No such file or directory\n")


# ---- -P of a stand-alone broker asks the worker's program

def fake(tmp_path, script):
    program = tmp_path / "worker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def broker(program, extra=""):
    return (f"id = spawnd {{\n\tlisten {{ port = 8080 }}\n"
            f"\tspawn {{ exec = {program} {extra} }}\n}}\n")


@pytest.mark.parametrize("status", [0, 66, 78])
def test_worker_is_asked(cfg, tmp_path, status):
    program = fake(tmp_path, f'echo "asked: $*" >&2; exit {status}')
    file = cfg(broker(program, "id = section"))
    r, left = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (status, "", [])
    assert r.stderr == f"asked: -P {file} section\n"


def test_errors_of_both_sections(cfg, tmp_path):
    """One run shows them all, and what both of them read once."""
    inner = cfg("syslog filter = 1\n", "inner.inc")
    file = cfg(f'''debug = NOISE
include = "{inner}"
id = spawnd {{
	listen {{ port = 8080 }}
	overload = drop
	spawn {{ exec = {lib.TCPRELAY} }}
}}
id = tcprelay {{
	remote = {{ address = 127.0.0.1 port = 99999 }}
	idle = 60
}}
''')
    r, left = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (78, "", [])
    assert [re.sub("^.*/", "", x) for x in r.stderr.splitlines()
            if "NOISE" not in x] == [
        "inner.inc:1: warning: syslog filter: no effect here",
        f"{file.name}:2: warning: included from here",
        f"{file.name}:5: Expected 'close', 'queue' or 'reset', "
        "but got 'drop'",
        f"{file.name}:9: port: 99999 is out of range (1 to 65535)",
        f"{file.name}:10: Expected 'timeout', but got '='"]
    assert r.stderr.count("but got 'NOISE'") == 1


def test_own_words_of_a_worker_pass(cfg, tmp_path):
    """As they come: also long ones, the same ones, the last one unfinished,
    and those behind ours that are told apart by no more than a byte."""
    program = fake(tmp_path, """
printf 'x%05000d\\n' 7 >&2
printf 'y\\nz\\ny\\n: included from here\\nend' >&2
exit 66""")
    file = cfg(broker(program, "users max = x"))
    r, _ = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert r.returncode == 78		# ours is the first
    ours, _, theirs = r.stderr.partition("\n")
    assert ours == f"{file}:3: users max: 'x' is not a number"
    assert theirs.replace("\n", "") == \
        "x" + "7".zfill(5000) + "yzy: included from hereend"


@pytest.mark.parametrize("wrong", ["exec = /no/such", "exec = }"])
def test_no_other_program_instead_of_a_wrong_one(cfg, tmp_path, wrong):
    """What is called like the section is not looked for then."""
    file = cfg(broker("/bin/true").replace("exec = /bin/true", wrong) +
               "id = tcprelay {\n\tidle = 60\n}\n")
    r, _ = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert r.returncode == 78
    assert "idle" not in r.stderr and "timeout" not in r.stderr
    assert f"{file}:3: exec: " in r.stderr


def test_worker_reads_its_own_file(cfg, tmp_path):
    program = fake(tmp_path, 'echo "asked: $*" >&2')
    file = cfg(broker(program, "config = /etc/other.conf"))
    for args, id in ([], "worker"), (["-i", "x"], "x"):
        r, _ = look(lib.SPAWND, "-P", *args, file, directory=tmp_path)
        assert r.returncode == 0
        assert r.stderr == f"asked: -P /etc/other.conf {id}\n"


def test_crash_of_the_checker_is_no_success(cfg, tmp_path):
    program = fake(tmp_path, "kill -KILL $$")
    r, left = look(lib.SPAWND, "-P", cfg(broker(program)),
                   directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (70, "", [])
    assert f"{program}: ended by signal 9" in r.stderr


def test_worker_that_does_not_understand(cfg, tmp_path):
    """After ten seconds nobody waits any more."""
    program = fake(tmp_path, "exec sleep 100")
    r, left = look(lib.SPAWND, "-P", cfg(broker(program)),
                   directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (0, "", [])
    assert r.stderr.startswith(f"warning: {program} does not understand -P")


def test_real_worker(cfg, tmp_path):
    """tcprelay beside spawnd: found without exec, asked, and its words are
    the result."""
    file = cfg(good())
    r, left = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout, r.stderr, left) == (0, "", "", [])
    file = cfg(good().replace("remote", "remoot"))
    r, left = look(lib.SPAWND, "-P", file, directory=tmp_path)
    assert (r.returncode, r.stdout, left) == (78, "", [])
    assert re.match(rf"{re.escape(str(file))}:7: Expected .*"
                    r"but got 'remoot' \(did you mean 'remote'\?\)\n$",
                    r.stderr)


def test_no_program_for_the_worker(cfg, tmp_path):
    r, _ = look(lib.SPAWND, "-P", cfg(
        "id = spawnd { listen { port 80 } }\nid = a { }\nid = b { }\n"),
        directory=tmp_path)
    assert r.returncode == 78
    assert "spawn: 'exec' missing and no program found for section" in \
        r.stderr


# ---- as a worker

def as_worker(program, *args, directory):
    """As a master would start it, but for the master."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        return subprocess.run(
            [program, *map(str, args)], stdin=its, capture_output=True,
            text=True, timeout=lib.TIMEOUT, env=lib.environment(
                directory, {"SPAWND_WORKER": "1:0123456789abcdef"}))


@pytest.mark.parametrize("args", [["-b", "f"], ["-1", "f"], ["-I", "x", "f"],
                                  ["-h"], [], ["f", "id", "more"],
                                  ["-d", "x", "f"]], ids=" ".join)
def test_worker_usage(tmp_path, args):
    r = as_worker(lib.TCPRELAY, *args, directory=tmp_path)
    assert (r.returncode, r.stdout) == (64, "")
    assert "usage: tcprelay [-DPv] [-d level] FILE [id]\n" in r.stderr


def test_worker_check(cfg, tmp_path):
    """Its section only; the file need not have another one."""
    r = as_worker(lib.TCPRELAY, "-v", directory=tmp_path)
    assert r.returncode == 0 and r.stdout.startswith("tcprelay version ")
    file = cfg("id = edge {\n\tremote { address = ::1 port = 9 }\n}\n"
               "id = other {\n\tremote { }\n}\n")
    for id, status, said in [("edge", 0, ""), (
            "other", 78, f"{file}:5: remote: address missing\n")]:
        r = as_worker(lib.TCPRELAY, "-P", file, id, directory=tmp_path)
        assert (r.returncode, r.stdout, r.stderr) == (status, "", said)


def test_broker_is_no_worker(cfg, tmp_path):
    r, _ = look(lib.SPAWND, "-P", cfg(broker(lib.SPAWND)),
                directory=tmp_path)
    assert (r.returncode, r.stdout) == (78, "")
    assert "a broker cannot be its own worker" in r.stderr


def test_debug_bits_add_up(service, cfg, tmp_path, port):
    """All of them reach a worker that is another program."""
    program = fake(tmp_path, f'echo "$*" >>{tmp_path}/args; exec sleep 3')
    file = f"id = spawnd {{ listen {{ port = {port} }}\n" \
        f"spawn {{ exec = {program} instances min 1 }} }}\n"
    s = service(file, program="spawnd", clean=False,
                args=["-d", "0x4000", "-d", "8192"])
    lib.wait_until((tmp_path / "args").exists, "the worker")
    lib.wait_until(lambda: (tmp_path / "args").read_text(), "its arguments")
    assert (tmp_path / "args").read_text().splitlines()[0] == \
        f"-D -d 24576 {s.file} worker"


# ---- exit codes

def ended(*args, directory, program=lib.TCPRELAY, **kw):
    """A start that must end by itself: status and standard error. It says
    what is wrong there in any case, terminal or not."""
    r, left = look(program, *args, directory=directory, **kw)
    assert (r.stdout, left) == ("", [])
    return r.returncode, r.stderr


@PROGRAMS
@pytest.mark.parametrize("check", [["-P"], []], ids=str)
def test_66_no_such_file(tmp_path, program, check):
    for name, reason in (tmp_path, "Is a directory"), \
            (tmp_path / "none", "No such file or directory"), \
            (tmp_path / "none" / "x", "No such file or directory"):
        status, err = ended(*check, name, directory=tmp_path,
                            program=program)
        assert status == 66
        assert f"cannot read '{name}': {reason}\n" in err


@contextlib.contextmanager
def public_directory():
    """Where an unprivileged user may write, and programs he may run."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield pathlib.Path(name)


NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def as_nobody():
    for program in lib.TCPRELAY, lib.SPAWND:
        for p in [program, *program.parents]:
            if not p.stat().st_mode & stat.S_IXOTH:
                pytest.skip(f"{p} is not for everybody")
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@as_root
def test_66_unreadable():
    kw = as_nobody()
    with public_directory() as d:
        file = d / "x.cfg"
        file.write_text(good())
        file.chmod(0o600)
        for args in ["-P"], []:
            status, err = ended(*args, file, directory=d, **kw)
            assert status == 66
            assert f"cannot read '{file}': Permission denied" in err


@PROGRAMS
def test_71_no_listener(cfg, tmp_path, program):
    file = cfg(good().replace("listen", "# "))
    assert lib.run(program, "-P", file).returncode == 0
    status, err = ended(file, directory=tmp_path, program=program)
    assert status == 71
    assert "no listeners configured" in err


@PROGRAMS
def test_75_everything_in_use(cfg, tmp_path, program):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        status, err = ended(cfg(good(port)), directory=tmp_path,
                            program=program)
    assert status == 75
    assert "no listener could be bound" in err


@pytest.mark.parametrize("where", ["/no/such/directory/pid", "{tmp}"])
def test_73_pid_file(cfg, tmp_path, port, where):
    pidfile = where.format(tmp=tmp_path)
    status, err = ended("-p", pidfile, cfg(good(port)), directory=tmp_path)
    assert status == 73
    assert pidfile in err


@as_root
@pytest.mark.parametrize("args", [[], ["-1"]], ids=str)
def test_77_identity(port, args):
    """Somebody who is not root cannot start workers as root."""
    kw = as_nobody()
    with public_directory() as d:
        file = d / "x.cfg"
        file.write_text(good(port, spawn="userid = root"))
        assert ended("-P", file, directory=d, **kw) == (0, "")
        status, err = ended("-D", *args, file, directory=d, **kw)
    assert status == 77
    assert "cannot become what 'spawn' says" in err


def test_77_directory(cfg, tmp_path, port):
    file = cfg(good(port, spawn="working directory = /no/such/directory"))
    status, err = ended("-D", file, directory=tmp_path)
    assert status == 77
    assert "No such file or directory" in err


def test_78_start(cfg, tmp_path, port):
    """All errors of a start are on standard error, and the last word."""
    file = cfg(WRONG)
    status, err = ended(file, directory=tmp_path)
    assert status == 78
    assert err.startswith(SAID.replace("F:", f"{file}:"))
    assert err.rstrip().endswith("configuration not usable")


def test_78_behind_the_broker(cfg, tmp_path, port):
    """A worker that finds its section wrong ends a service that just
    began; the master says why."""
    file = cfg(good(port, spawn=f"exec = {lib.TCPRELAY} id = tcprelay")
               .replace("remote = {", "remoot = {"))
    status, err = ended("-D", file, directory=tmp_path, program=lib.SPAWND)
    assert status == 78
    assert f"{file}:7: Expected" in err
    assert "configuration not usable" in err


def test_one_process_and_another_program(service, backend, port, tmp_path):
    """-1 is about this program: the other one is not used, which is said."""
    echo = backend(lib.Echo)
    s = service(good(port, spawn=f"exec = {fake(tmp_path, 'exit 1')} "
                     "id = tcprelay").replace(
        "address = 127.0.0.1 port = 9", echo.remote), args=["-1"])
    assert s.grep("warning: exec: not used by a single process")
    lib.echo_once(port)
    assert s.workers() == []


def test_0_foreground(service, port):
    """-bf: the last one counts, and 0 in the end (by the fixture)."""
    s = service(good(port, broker="background = yes"), args=["-bf"])
    assert s.proc.poll() is None


# ---- what this version does not do it says

LATER = """refresh = 60
regex-match-case = yes
syslog filter = 0xff
id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} flag = accounting
		aaa.protocol = radius.tcp }}
	spawn {{ instances min = 1 instances max = 1 }}
}}
id = tcprelay {{
	key process = yes
	remote = {{ address = 127.0.0.1 port = 9 }}
}}
"""
LATER_SAID = ["refresh",
              "regex-match-case", "syslog filter",
              "flag = accounting", "aaa.protocol", "key process"]


def said_once(lines):
    for name in LATER_SAID:
        found = [x for x in lines if re.search(
            rf"\b{re.escape(name)}\b'?:? ", x) and re.search(
            r"not available|no effect|no URL|not used|there is no", x)]
        assert len(found) == 1, (name, found)


def test_later_versions(service, port, tmp_path):
    """Options that are read, checked, and of no consequence here: each says
    so once at a start, and at each reload those that the file shows."""
    s = service(LATER.format(port=port, dir=tmp_path))
    s.wait_for("worker starting")
    said_once(s.lines)


def test_what_is_refused(config, port):
    """And what cannot be left out without harm is an error."""
    for line, status, text in [
            ("include = http://config.example.net/x", 66,
             "scheme 'http' not permitted"),
            ("mavis module = log { }", 78, "built without MAVIS support"),
            ("mavis path = /usr/lib/x", 78, "built without MAVIS support")]:
        got, errors = config(good(port).replace("\tremote",
                                                f"\t{line}\n\tremote"))
        assert got == status and text in errors[0], errors
        assert errors[0].split(":")[1] == "7"


def test_defaults_are_silent(config, port):
    """What asks for nothing is answered by nothing."""
    assert config("refresh = 0\nregex-match-case = no\n"
                  + good(port, broker="pidfile = /run/x.pid",
                         spawn="ipc key = 0")) == (0, [])


# ---- wrong files, at a reload

def wrong_files():
    """(name, line, text, message) of the rows of the unit tests: one line of
    a good file replaced by one that is wrong in one way."""
    source = (lib.TOP / "test/unit/test_conf.c").read_text()
    table = source[source.index("} rows[] = {"):]
    table = table[:table.index("\n};")]
    frames = {}
    for kind in "st":
        body = re.search(rf"frame_{kind}\[\] =\n(.*?);", source, re.S)
        frames[kind] = literal(body.group(1))
    string = r'("(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*)'
    rows = []
    for m in re.finditer(rf'{{ "([ST]\d+)", (\d+),\s*{string},\s*{string}',
                         table):
        name, line, fragment, message = m.groups()
        rows.append((name, int(line), frames[name[0].lower()].replace(
            "%s", literal(fragment)), literal(message)))
    return rows


def literal(text):
    """What adjacent C strings of one kind come to."""
    out = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    return out.replace("\\n", "\n").replace('\\"', '"')


def test_wrong_files_change_nothing(service, backend, port):
    """Acceptance 6: the service goes on as it was, whatever it is told to
    read. A session lives through all of it."""
    rows = wrong_files()
    assert [name for name, *_ in rows] == \
        [f"S{i}" for i in range(1, 71)] + [f"T{i}" for i in range(1, 28)]
    echo = backend(lib.Echo)
    text = good(port).replace("address = 127.0.0.1 port = 9", echo.remote)
    s = service(text)
    worker, = s.wait_workers(1)
    with lib.connect(port) as c:
        for name, line, wrong, message in rows:
            m = s.reload(wrong, r"refused")
            assert m.group(0).startswith(
                f"reload: refused, {s.file}:"), (name, m.group(0))
            if name != "T20":		# needs a certificate just as well
                assert m.group(0).startswith(
                    f"reload: refused, {s.file}:{line}: "), \
                    (name, m.group(0))
                assert message in m.group(0), (name, m.group(0))
            lib.roundtrip(c, name.encode())
        lib.echo_once(port)
        assert s.workers() == [worker]
        assert not s.grep("reload: (done|failed)")
        s.reload(text)
        lib.roundtrip(c, b"the end")
    lib.echo_once(port)


def test_files_that_cannot_be_read_change_nothing(service, backend, port,
                                                  tmp_path):
    echo = backend(lib.Echo)
    text = good(port).replace("address = 127.0.0.1 port = 9", echo.remote)
    s = service(text)
    s.file.unlink()
    s.reload(None, rf"refused, cannot read '{re.escape(str(s.file))}': ")
    s.file.mkdir()
    s.reload(None, r"refused, cannot read '.*': Is a directory")
    s.file.rmdir()
    for wrong in "", "\0", "x" * 70000, "include = \"$CONFDIR/service.cfg\"":
        s.reload(wrong, rf"refused, {re.escape(str(s.file))}:1: ")
        lib.echo_once(port)
    s.reload(text)
    lib.echo_once(port)
