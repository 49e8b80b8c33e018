"""relayctl(8) against the program: commands, error texts, members of JSON,
lines of a plan, and its examples."""

import json
import re
import subprocess

import pytest

import ctl
import lib
import test_relayctl as made
from test_relayctl import daemon, plan		# fixtures

PAGE = lib.TOP / "doc" / "relayctl.8"
assert daemon and plan


def page():
    return PAGE.read_text().replace(r"\e", "\\").replace(r"\-", "-")


def section(name):
    text = page().split(f"\n.Ss {name}\n" if f"\n.Ss {name}\n" in page()
                        else f"\n.Sh {name}\n")[1]
    return re.split(r"\n\.S[sh] ", text)[0]


def literals(text):
    return [x.split("\n.Ed")[0] for x in re.split(r"\.Bd -literal.*\n",
                                                  text)[1:]]


def test_commands():
    """Those of the page are those of the program."""
    told = set()
    for line in re.findall(r"^\.It Ic (.*)$", page(), re.M):
        words = [w for w in line.split() if w not in ("Ar", "path", "id")]
        if "|" in words:
            first, *others = [w for w in words if w != "|"]
            told |= {(first, w) for w in others}
        else:
            told.add(tuple(words))
    source = (lib.TOP / "relayd/ctl_words.c").read_text()
    table = source[source.index("ctl_commands[] = {"):]
    table = table[:table.index("\n};")]
    there = {(w,) for w in re.findall(r'{ { "(\w+)", NULL }', table)}
    there |= {(w,) for w in re.findall(r'ORDER\("(\w+)"', table)}
    there |= {("show", w) for w in re.findall(r'SHOW\("(\w+)"', table)}
    there |= {("show", w) for w in re.findall(r'"show", "(\w+)"', table)}
    there |= {("log", w) for w in re.findall(r'LOG\("(\w+)"', table)}
    there |= {(w, x) for w in re.findall(r'OBJECT\("(\w+)"', table)
              for x in ("disable", "enable")}
    assert told == there
    assert len(there) == 21


def test_host_errors():
    """Every way for a check to end is in the page."""
    source = (lib.TOP / "tcprelay/host.c").read_text()
    table = source[source.index("errors[HOST_ERRORS] = {"):]
    known = set(re.findall(r'= "([^"]+)"', table[:table.index("};")]))
    text = section("Columns")
    said = set(re.findall(r"^\.(?:It )?Ql (.*?)(?: Ta .*| [,.])?$", text,
                          re.M))
    assert known - said == {"none"}


def test_events():
    text = section("Events")
    said = {w for line in re.findall(r"^\.It Cm (.*)$", text, re.M)
            for w in line.split(" , ")}
    source = (lib.TOP / "relayd/ctl.c").read_text()
    named = set(re.findall(r'(?:EVENT|ORDER)\("(\w+)"\)', source)) | \
        set(re.findall(r'= {\s*"(\w+)"', source))
    assert said == named | {"<unknown>"}


def test_phases():
    source = (lib.TOP / "relayd/ctl_print.c").read_text()
    table = source[source.index("phase_words[WHY_PHASES] = {"):]
    words = re.findall(r'= "([^"]+)"', table[:table.index("};")])
    text = section("Sessions that are over")
    assert len(words) == 9
    assert [w for w in words if f".Ql {w}" not in text] == []
    for who in "client", "server", "relay", "operator":
        assert re.search(rf"\.Cm .*\b{who}\b|^{who}$|\.Cm {who}", text, re.M)
    ring = int(re.search(r"#define WHY_RING\s+(\d+)", (
        lib.TOP / "tcprelay/why.h").read_text()).group(1))
    assert f"last {ring} sessions" in text


def test_diagnostics():
    """Each can be said."""
    source = "".join((lib.TOP / "relayd" / f).read_text() for f in (
        "relayctl.c", "ctl_words.c"))
    source = re.sub(r'"\s*"', "", source)
    for text in re.findall(r'^\.It "(.*)"$', section("DIAGNOSTICS"), re.M):
        text = text.removeprefix("relayctl: ")
        if text.split()[0] in ("missing", "ambiguous", "unknown"):
            assert text.split()[0] in source and "%s argument:" in source
        else:
            assert text in source, text


def members(text):
    """Of an object as the page writes it, with those inside."""
    return set(re.findall(r'"(\w+)":', text))


def shapes(value, out):
    """Names of members of what was printed, however deep."""
    if isinstance(value, list):
        for x in value:
            shapes(x, out)
    elif isinstance(value, dict):
        for k, x in value.items():
            out.add(k)
            shapes(x, out)
    return out


ENDPOINT = {"address", "port"}


def test_json_rows(daemon):
    rows, sessions, routes, why = literals(section("JSON"))[:4]
    d = daemon(made.DUMP)
    by_type = {}
    for x in re.split(r"\n(?={)", rows):
        by_type[re.search(r'"type":"(\w+)"', x).group(1)] = members(x)
    for x in json.loads(made.good(d, "-j", "show", "summary")):
        assert set(x) == by_type[x["type"]], x
    got = json.loads(made.good(d, "-j", "show", "relays"))[0]
    assert shapes(got, set()) == by_type["relay"] | members(sessions)
    got = json.loads(made.good(d, "-j", "show", "routers"))[0]
    assert set(got) == by_type["router"] | members(routes)
    d.answers = [[*made.SESSIONS, ctl.END]]
    for x in json.loads(made.good(d, "-j", "show", "sessions")):
        assert shapes(x, set()) == by_type["session"] | ENDPOINT
    d.answers = [[*made.WHY, ctl.END]]
    got = json.loads(made.good(d, "-j", "why", "1"))
    assert shapes(got, set()) == members(why) | ENDPOINT


def test_json_events(daemon):
    shown = literals(section("JSON"))[4]
    kinds = {frozenset(members(x)) for x in re.split(r"\n(?={)", shown)}
    _, out, _ = made.Monitor(daemon(made.EVENTS).path, "-j").end()
    assert {frozenset(json.loads(x)) for x in out.splitlines()} == kinds


def test_json_plan(plan):
    shown = literals(section("JSON"))[5]
    got = json.loads(plan(made.CHANGED, "-j").stdout)
    wrong = json.loads(plan("nonsense x\n", "-j").stdout)
    assert shapes([got, wrong], set()) == members(shown)


def test_plan_example(plan):
    """The one of the page, as it comes."""
    shown = literals(section("Plan"))[0]
    running = """tcp protocol web { tcp backlog 20 }
table <web> { 192.0.2.11 192.0.2.12 }
relay www {
	listen on 192.0.2.1 port 80
	protocol web
	forward to <web> port 8080 check tcp
}
"""
    new = """prefork 5
tcp protocol web {
	tcp nodelay
	tcp backlog 20
}
table <web> { 192.0.2.12 retry 1, 192.0.2.13 }
relay www {
	listen on 192.0.2.1 port 80
	listen on 192.0.2.1 port 443
	session timeout 30
	protocol web
	forward to <web> port 8080 check tcp
}
"""
    got = plan(new, running=running).stdout
    kinds = {re.sub(r"^(\S \w+).*  ([\w ]+)$", r"\1 \2", x)
             for x in shown.splitlines()[:7]}
    assert kinds <= {re.sub(r"^(\S \w+).*  ([\w ]+)$", r"\1 \2", x)
                     for x in got.splitlines()}
    for line in shown.splitlines():
        if line[0] in "~-" or "listeners" in line or "ids" in line or \
                line.startswith(("+ listener", "+ protocol", "hosts")):
            assert line in got.splitlines(), (line, got)


def test_columns_example(daemon):
    d = daemon([
        ctl.relay(1, ctl.ACTIVE, "www"),
        ctl.table(1, ctl.ACTIVE, "web:8080", 1),
        ctl.host(1, ctl.UP, "192.0.2.10", checks=10000, ups=9995),
        ctl.host(2, ctl.DOWN, "192.0.2.11", checks=29, ups=27, error=10),
        ctl.END])
    lines = [x.split() for x in made.good(d, "show", "hosts").splitlines()]
    lines += [x.split() for x in made.good(d, "show",
                                           "summary").splitlines()]
    for line in literals(section("Columns"))[0].splitlines():
        assert line.split() in lines


def test_why_example(daemon):
    shown = literals(section("Sessions that are over"))[0]
    d = daemon([made.WHY[0], ctl.END])
    got = made.good(d, "why", "2:17").expandtabs(8).splitlines()
    for line in shown.splitlines():
        line = re.sub(" closed by", "\tclosed by", line).expandtabs(8)
        if "began" not in line:
            assert line in got, line


@pytest.mark.parametrize("page", [PAGE])
def test_references_of_the_shell(page):
    """Its examples are words that the program takes, in shell that parses."""
    for text in literals(section("EXAMPLES")):
        r = subprocess.run(["sh", "-n"], input=text, text=True,
                           capture_output=True, timeout=lib.TIMEOUT)
        assert r.returncode == 0, r.stderr
        for args in re.findall(r"relayctl ([^|&;\n]*)", text):
            r = made.run("-s", "/nonexistent", *args.split())
            assert "argument" not in r.stderr, args
