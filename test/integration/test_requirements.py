"""doc/requirements.md names tests that are there, for every row."""

import re

import lib

PAGE = lib.TOP / "doc" / "requirements.md"
NAMED = re.compile(r"\b(test_\w+\.(?:c|py))::(test_\w+)")


def rows(title):
    """The rows of the table below a heading, as lists of cells."""
    part = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [x for x in part.splitlines() if x.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", x)[1:-1]]
            for x in lines[2:]]


def has(file, test):
    """A function that is run: in C it must also be on the list."""
    if file.endswith(".py"):
        path = lib.TOP / "test" / "integration" / file
        return path.exists() and re.search(
            rf"^def {test}\(", path.read_text(), re.M)
    path = lib.TOP / "test" / "unit" / file
    if not path.exists():
        return False
    text = path.read_text()
    return re.search(rf"^{test}\(", text, re.M) and re.search(
        rf"(?:cmocka_unit_test\w*|EACH)\(\s*{test}\b", text)


def test_tests_exist():
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 150
    assert not [f"{f}::{t}" for f, t in named if not has(f, t)]
    assert not has("test_rows.py", "test_of_nothing")
    assert not has("test_of_nothing.c", "test_nul")


def test_every_row():
    nine, twelve = rows("Section 9"), rows("Section 12")
    assert [r[0] for r in nine] == [str(n) for n in range(1, 61)]
    assert [r[0] for r in twelve] == [str(n) for n in range(1, 20)]
    others = [rows(t) for t in ("Section 9, quality", "relayd", "Issue 4")]
    assert all(others)
    for row in nine + twelve + sum(others, []):
        assert len(row) in (2, 3), row
        assert NAMED.search(row[-1]) or row[-1] in ("later", "above"), row
