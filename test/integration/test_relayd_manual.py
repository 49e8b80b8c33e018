"""relayd.conf(5) against the language: every word is in it, the numbers are
those of the program, and its examples are configurations."""

import re
import subprocess

import pytest

import lib

PAGE = lib.TOP / "doc" / "relayd.conf.5"
RELAYD = lib.BUILD / "bin" / "relayd"
UNUSED = {"backup", "cache", "external", "real"}	# reserved, no use


def page():
    return PAGE.read_text().replace(r"\e", "\\").replace(r"\&", "")


def listed(name):
    """The words of one list of rd_keywords.h."""
    text = (lib.TOP / "relayd" / "rd_keywords.h").read_text()
    body = re.search(rf"#define {name}\(X\)((?:.*\\\n)*.*)", text).group(1)
    return re.findall(r'X\(\w+, "([^"]+)"\)', body)


def marked():
    """What stands in the page as a word of the language."""
    out = set()
    for line in page().splitlines():
        for part in re.findall(r"\b(?:Ic|Cm) ((?:(?!\b(?:Ar|Li|Oo|Oc|Op|Ns|"
                               r"Ic|Cm)\b).)*)", line):
            out.update(re.findall(r"[a-z][a-z0-9.-]*", part))
    return out


def test_every_word():
    words = set(listed("RD_RESERVED")) - UNUSED
    assert len(words) > 100
    assert words - marked() == set()


def test_no_other_word():
    """Words of the page that the program has not got."""
    known = set(listed("RD_RESERVED")) | set(listed("RD_PLACE_WORDS"))
    source = "".join(p.read_text() for p in (lib.TOP / "relayd").glob("*.c"))
    assert {w for w in marked() - known if f'"{w}"' not in source} == set()


def examples():
    text, out = None, []
    for line in page().splitlines():
        if line.startswith(".Bd -literal"):
            text = []
        elif line == ".Ed":
            out.append("\n".join(text) + "\n")
            text = None
        elif text is not None:
            text.append(line)
    return out


def check(tmp_path, text):
    path = tmp_path / "relayd.conf"
    path.write_text(text)
    return subprocess.run([RELAYD, "-n", "-f", path], capture_output=True,
                          text=True, timeout=lib.TIMEOUT)


@pytest.mark.parametrize("text", examples())
def test_example(tmp_path, text):
    r = check(tmp_path, text)
    assert (r.returncode, r.stderr) == (0, "configuration OK\n")


def test_there_are_examples():
    assert len(examples()) == 3


def relay(statement=""):
    return ('relay "r" {\nlisten on 192.0.2.1 port 1\nforward to 10.0.0.1\n'
            f"{statement}\n}}\n")


# what the page says, and a statement; N is a value
RANGES = [
    ("1 to 32", "prefork N\n" + relay()),
    ("0 to 63", "table <t> { 10.0.0.1 priority N }\n" +
     relay("forward to <t> port 1")),
    ("100 to 999", "table <t> { 10.0.0.1 }\n" +
     relay('forward to <t> check http "/" code N')),
    ("0 to 512", "protocol p { tcp backlog N }\n" + relay()),
    ("0 to 131072", "http protocol p { http headerlen N }\n" + relay()),
]


@pytest.mark.parametrize("said, text", RANGES, ids=[r[0] for r in RANGES])
def test_range(tmp_path, said, text):
    assert said in page()
    low, high = map(int, said.split(" to "))
    for value in (low, high, low - 1, high + 1):
        r = check(tmp_path, re.sub(r"\bN\b", str(value), text))
        assert (r.returncode == 0) == (low <= value <= high), \
            (value, r.stderr)
