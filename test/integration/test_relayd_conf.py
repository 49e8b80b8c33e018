"""relayd -n: each example of test/relayd is accepted where what it names
exists, is printed back (-n -v), and that text gives the same text again. And
what the command line does with files that are wrong."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import lib

RELAYD = lib.BUILD / "bin" / "relayd"
FOLDER = lib.TOP / "test" / "relayd"
EXAMPLES = sorted(f.name for f in FOLDER.glob("*.conf"))
NEED_TLS = ("a16", "a17", "a18", "a19", "a32")

# A world in which the examples' names exist: a network and an /etc of its
# own. The default route is for the group egress.
WORLD = """
mount --bind "$ETC" /etc &&
ip link set lo up || exit 77
for i in em0 vlan6 vlan30; do
	ip link add "$i" type dummy 2>/dev/null && ip link set "$i" up
done
ip addr add 192.0.2.1/24 dev em0 2>/dev/null
ip route add default via 192.0.2.254 2>/dev/null
"$1" -n -v -f "$2" >"$3/one" 2>"$3/one.err"; echo $? >"$3/one.status"
"$1" -n -v -f "$3/one" >"$3/two" 2>"$3/two.err"; echo $? >"$3/two.status"
"""

HOSTS = """127.0.0.1 localhost
192.0.2.11 www.example.com
192.0.2.12 ssh.internal.example mail.example.net
"""
INCLUDED = {
    "relayd.d/global.conf": "interval 20\n",
    "relayd.d/web-hosts": "10.1.0.1\n10.1.0.2 retry 1\n",
    "relayd.d/www-rules": 'block path "/private/*"\nreturn error\n',
    "relayd.d/www-listeners": "listen on 192.0.2.10 port 80\n"
                              "listen on 2001:db8::10 port 80\n",
    "relayd/forbidden-headers": "# none of these\nX-Evil\nX-Worse\n",
    "relayd/blocked-urls": "casino.example/\n",
}
SERVERS = ("www.example.com", "shop.example.com", "api.example.com",
           "img.example.com", "192.0.2.10", "2001:db8::10", "192.0.2.70",
           "192.0.2.200", "2001:db8::200", "127.0.0.1")
AUTHORITIES = ("cert.pem", "clients-ca.pem", "internal-ca.pem",
               "inspect-ca.crt")


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True,
                   capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def etc(tmp_path_factory):
    """What goes to /etc."""
    etc = tmp_path_factory.mktemp("etc")
    for name in ("passwd", "group", "services", "protocols", "ld.so.cache"):
        if pathlib.Path("/etc", name).exists():
            shutil.copy(f"/etc/{name}", etc / name)
    (etc / "hosts").write_text(HOSTS)
    (etc / "nsswitch.conf").write_text("hosts: files\n")
    for name, text in INCLUDED.items():
        (etc / name).parent.mkdir(exist_ok=True)
        (etc / name).write_text(text)
    keys = etc / "ssl" / "private"
    keys.mkdir(parents=True)
    if lib.has_feature("TLS") and shutil.which("openssl"):
        cert, key = etc / "ssl" / "cert.pem", keys / "key.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                cert, "-subj", "/CN=test", "-days", "30")
        for name in SERVERS:
            shutil.copy(cert, etc / "ssl" / f"{name}.crt")
            shutil.copy(key, keys / f"{name}.key")
        for name in AUTHORITIES[1:]:
            shutil.copy(cert, etc / "ssl" / name)
        openssl("ec", "-in", key, "-aes256", "-passout",
                "pass:correct horse", "-out", keys / "inspect-ca.key")
    return etc


def printed(tmp_path, etc, file):
    """What FILE is, printed, and what that is."""
    if os.getuid() != 0 or not shutil.which("unshare") or \
            not shutil.which("ip"):
        pytest.skip("needs root, unshare and ip")
    env = lib.environment(tmp_path, {"ETC": etc})
    r = subprocess.run(["unshare", "-m", "-n", "sh", "-c", WORLD, "sh",
                        RELAYD, file, tmp_path], env=env, timeout=60,
                       capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, cwd=tmp_path)
    if not (tmp_path / "one.status").exists():
        pytest.skip("no namespaces here: " + r.stderr.strip())
    assert lib.sanitizer_files(tmp_path) == []
    out = []
    for n in "one", "two":
        status = int((tmp_path / f"{n}.status").read_text())
        err = (tmp_path / f"{n}.err").read_text()
        assert status == 0, f"{n}: {err}"
        assert err.splitlines()[-1] == "configuration OK"
        out.append((tmp_path / n).read_bytes())
    return out


def test_the_examples_are_there():
    assert len(EXAMPLES) >= 32


@pytest.mark.parametrize("name", [
    pytest.param(e, marks=pytest.mark.tls) if e.startswith(NEED_TLS) else e
    for e in EXAMPLES])
def test_example_prints_back(tmp_path, etc, name):
    one, two = printed(tmp_path, etc, FOLDER / name)
    assert one == two
    assert b"\n" in one


def test_example_as_it_is_written_out(tmp_path, etc):
    """Includes and macros are replaced, order and words stay."""
    one, _ = printed(tmp_path, etc, FOLDER / "a06-includes.conf")
    assert one.decode() == """interval 20

table <web> {
	10.1.0.1
	10.1.0.2 retry 1
}

http protocol "www" {
	block request path "/private/*"
	return error
}

relay "www" {
	listen on 192.0.2.10 port 80
	listen on 2001:db8::10 port 80
	protocol "www"
	forward to <web> port 8080 check tcp
}
"""


# ---- the command line

GOOD = 'relay "echo" {\n\tlisten on 127.0.0.1 port 7007\n' \
       '\tforward to 192.0.2.7 port 7\n}\n'
USAGE = "usage: relayd [-dnv] [-D macro=value] [-F backend] [-f file] " \
        "[-H dialect]\n"


def relayd(tmp_path, *args, text=None):
    if text is not None:
        (tmp_path / "r.conf").write_text(text)
    return lib.run(RELAYD, *args, directory=tmp_path)


def test_good_file(tmp_path):
    r = relayd(tmp_path, "-n", "-f", "r.conf", text=GOOD)
    assert (r.returncode, r.stdout, r.stderr) == \
        (0, "", "configuration OK\n")
    r = relayd(tmp_path, "-dnvv", "-F", "log", "-f", "r.conf")
    assert (r.returncode, r.stdout, r.stderr) == \
        (0, GOOD, "configuration OK\n")


@pytest.mark.parametrize("args", [
    ["-x"], ["-n", "more"], ["-f"], ["-c"]])
def test_usage(tmp_path, args):
    r = relayd(tmp_path, *args)
    assert r.returncode == 1
    assert r.stdout == ""
    assert r.stderr.endswith(USAGE)


@pytest.mark.parametrize("args, said", [
    (["-n", "-D", "x"], "could not parse macro definition x"),
    (["-n", "-D", "=x"], "could not parse macro definition =x"),
    (["-n", "-F", "ipfw"], "unknown packet-filter backend ipfw"),
    (["-n", "-H", "hoststated"], "knows no other dialect"),
    (["-n", "-c", "hoststated"], "converts nothing")])
def test_refused(tmp_path, args, said):
    r = relayd(tmp_path, *args, "-f", "r.conf", text=GOOD)
    assert r.returncode == 1
    assert r.stdout == ""
    assert said in r.stderr


def test_file_that_cannot_be_read(tmp_path):
    r = relayd(tmp_path, "-n", "-f", "gone")
    assert (r.returncode, r.stderr) == \
        (1, "gone: No such file or directory\n")
    r = relayd(tmp_path, "-n", "-f", tmp_path)
    assert (r.returncode, r.stderr) == (1, f"{tmp_path}: Is a directory\n")


def test_macros_of_the_command_line(tmp_path):
    text = 'dest = "192.0.2.8"\nunused = "x"\n' + \
        GOOD.replace("192.0.2.7", "$dest").replace("7007", "$p")
    r = relayd(tmp_path, "-n", "-v", "-D", "dest=192.0.2.9", "-D",
               "dest=192.0.2.10", "-D", "p=80", "-D", "a=b=c", "-f", "r.conf",
               text=text)
    assert r.returncode == 0, r.stderr
    assert "forward to 192.0.2.9 port 7\n" in r.stdout
    assert "listen on 127.0.0.1 port 80\n" in r.stdout
    # split at the last equals sign
    assert r.stderr == 'warning: macro "a=b" is not used\n' \
        'r.conf:2: warning: macro "unused" is not used\nconfiguration OK\n'
    r = relayd(tmp_path, "-n", "-D", "p=80", "-f", "r.conf")
    assert r.stderr == "configuration OK\n"


def test_paths_count_from_here(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inc").write_text("interval 20\n")
    (tmp_path / "sub" / "r.conf").write_text('include "sub/inc"\n' + GOOD)
    r = relayd(tmp_path, "-n", "-v", "-f", "sub/r.conf")
    assert r.returncode == 0, r.stderr
    assert r.stdout.startswith("interval 20\n")


def test_all_errors_in_one_run(tmp_path):
    """More than the 20 that other programs show, each with file and line,
    those of an included file with its own."""
    (tmp_path / "inc").write_text("\nbogus\n")
    text = 'include "inc"\n' + "".join(
        f"interval {n} x\n" for n in range(1, 31)) + GOOD
    r = relayd(tmp_path, "-n", "-f", "r.conf", text=text)
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr.splitlines() == [
        'inc:2: unexpected "bogus", a statement was expected'] + [
        f'r.conf:{n}: unexpected "x", the end of the line was expected'
        for n in range(2, 32)]


def test_standard_output_is_full(tmp_path):
    (tmp_path / "r.conf").write_text(GOOD)
    with open("/dev/full", "w", encoding="ascii") as full:
        r = subprocess.run([RELAYD, "-nvf", tmp_path / "r.conf"],
                           stdout=full, stderr=subprocess.PIPE, text=True,
                           env=lib.environment(tmp_path),
                           timeout=lib.TIMEOUT, stdin=subprocess.DEVNULL)
    assert r.returncode == 1
    assert "OK" not in r.stderr


def words_tried():
    """Bare words of the configurations that tests have: the examples, and
    the texts in the unit tests of the language."""
    texts = [(FOLDER / f).read_text() for f in EXAMPLES]
    for unit in (lib.TOP / "test" / "unit").glob("test_rd_*.c"):
        for literal in re.findall(r'"((?:\\.|[^"\\\n])*)"',
                                  unit.read_text()):
            texts.append(literal.replace("\\n", "\n").replace('\\"', '"')
                         .replace("\\t", "\t"))
    out = set()
    for text in texts:
        text = re.sub(r'"[^"\n]*"|#.*', " ", text)
        out.update(re.findall(r"[a-z][a-z0-9.-]*", text))
    return out


def test_every_keyword_is_tried():
    """No word of the grammar is without a test."""
    text = (lib.TOP / "relayd" / "rd_keywords.h").read_text()
    words = set(re.findall(r'X\(\w+, "([^"]+)"\)', text))
    assert len(words) > 110
    assert words - words_tried() == set()
