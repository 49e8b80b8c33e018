"""relayd(8) against the program: its options, its texts, its examples."""

import re
import shutil
import subprocess

import pytest

import lib

PAGE = lib.TOP / "doc" / "relayd.8"
CODE = "\n".join(f.read_text() for folder in ("relayd", "misc", "spawnd",
                                              "tcprelay")
                 for f in (lib.TOP / folder).glob("*.[ch]"))
MAIN = (lib.TOP / "relayd" / "main.c").read_text()


def page():
    return PAGE.read_text()


def test_options():
    """Those of getopt, and the two of its own processes."""
    options = re.search(r'getopt\(argc, argv, "([^"]+)"\)', MAIN).group(1)
    took = set(re.findall(r"\w", options))
    told = set(re.findall(r"^\.It Fl (\w)\b", page(), re.M))
    synopsis = page().split(".Sh DESCRIPTION")[0]
    brief = "".join(re.findall(r"Op Fl (\w+)", synopsis))
    assert told == set(brief)
    assert took - told == {"c", "T"}	# refused, of a later version; below
    for option in "PIT":
        assert re.search(rf"^\.Fl {option}$", page(), re.M)


# What stands for a number or a text in the page.
HOLES = r"TITLE|REASON|PATH|DIR|TEXT|NAME|FILE|\bN\b|\bS\b|_relayd|SIGHUP"


@pytest.mark.parametrize("said", re.findall(r'^\.It "([^"]+)"',
                                            PAGE.read_text(), re.M))
def test_messages(said):
    """What is fixed in each is in the program, word for word."""
    code = re.sub(r'"\s*\n\s*"', "", CODE)
    fixed = [part.strip(": ,;") for part in re.split(HOLES, said)]
    fixed = [part for part in fixed if len(part) > 3]
    assert fixed and [part for part in fixed if part not in code] == []


def test_files():
    for path in "/etc/relayd.conf", "/var/run/relayd.sock":
        assert f'"{path}"' in CODE and path in page()


def test_mandoc():
    tool = shutil.which("mandoc")
    if tool is None:
        pytest.skip("mandoc is not installed")
    r = subprocess.run([tool, "-Tlint", "-Wwarning", str(PAGE)], text=True,
                       capture_output=True)
    assert (r.returncode, r.stdout) == (0, "")
