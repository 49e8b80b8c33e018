"""The manuals against the programs: each directive, its kind of value and
its range, both ways; options, log lines, the items of a session's line, the
examples, and the functions of the library."""

import json
import re
import shutil
import subprocess

import pytest

import lib

DOC = lib.TOP / "doc"
PAGES = sorted(DOC.glob("*.[1-9]"))
CONF = "tcprelay.conf.5"


def read(name):
    return (DOC / name).read_text().splitlines()


def words(text):
    """The text of macros, without their names and escapes."""
    text = re.sub(r"(?<!\S)(?:Ic|No|Ar|Cm|Li|Oo|Oc|Ql|Dv|Ev|Em|Pa|Fl|Xr|Sx|"
                  r"Pq|Va|Fa|Fn|Ns)(?=\s|$)", " ", text)
    for old, new in (r"\&", ""), (r"\-", "-"), (r"\e", "\\"), \
            (r"\(dq", '"'), (r"\(aq", "'"):
        text = text.replace(old, new)
    return re.sub(r"\s+", " ", text).strip()


# ---- tcprelay.conf(5), item by item

class Item:
    """Directives that share a description."""

    def __init__(self, section, names, value):
        self.section, self.names, self.value = section, names, value
        self.text = ""

    def __repr__(self):
        return f"{self.section}: {self.names[0]}"


def item_names(rest):
    """The directives of an .It line, and what it says of their value."""
    name, _, value = rest.partition(" No = ")
    if "," in name:			# cert-file , certfile , cert
        return [words(x) for x in name.split(",")], value
    m = re.match(r"Ic (.*?)(?: (Oo|Li|Ar|Cm|\.\.\.)(.*))?$", name)
    first = words(m.group(1))
    if m.group(2) == "Cm":		# acl accept | permit ...
        kinds = re.match(r"[\w|\s]*?(?= Oo|$)", m.group(3)).group()
        return [f"{first} {x}" for x in words(kinds).split(" | ")], ""
    return [first], value or (m.group(2) or "") + (m.group(3) or "")


def items(page=CONF):
    section, sub, out, depth, current = "", "", [], 0, []
    for line in read(page):
        macro, _, rest = line.partition(" ")
        if macro == ".Sh":
            section, sub, current = rest, "", []
        elif macro == ".Ss":
            sub, current = rest, []
        elif macro == ".Bl":
            depth += 1
        elif macro == ".El":
            depth -= 1
        elif macro == ".It" and rest.startswith("Ic "):
            names, value = item_names(rest)
            block = "SNI BLOCK" if depth > 1 else section
            item = Item(block if not sub or section != "DESCRIPTION"
                        else "COMMON DIRECTIVES", names, value)
            if current and current[-1].text:
                current = []
            current.append(item)
            out.append(item)
        elif line.startswith(".It") or macro in (".Bd", ".Ed"):
            pass			# kinds of values, not directives
        else:
            for item in current:
                item.text += " " + words(
                    line if not line.startswith(".") else rest)
    return out


ITEMS = items()

# ---- and the programs' tables

TABLES = {
    "COMMON DIRECTIVES": ["common_kw", "top_kw"],
    "BROKER SECTION": ["broker_kw", "broker_conf_kw"],
    "LISTEN BLOCK": ["listen_kw", "listen_build_kw"],
    "SPAWN BLOCK": ["spawn_kw", "spawn_conf_kw"],
    "RELAY SECTION": ["relay_kw"],
    "REMOTE BLOCK": ["remote_kw"],
    "SNI BLOCK": ["sni_kw"],
}


def expand(row):
    """"a b|c" is "a b" and "a c"."""
    out = [""]
    for word in row.split():
        out = [f"{o} {w}".strip() for o in out for w in word.split("|")]
    return out


def tables():
    found = {}
    for file in [*(lib.TOP / "spawnd").glob("conf*.c"),
                 lib.TOP / "tcprelay/conf.c"]:
        for m in re.finditer(r"const struct kw (\w+)\[\] = {(.*?)\n};",
                             file.read_text(), re.S):
            found[m.group(1)] = [
                d for row in re.findall(r'\bKW_\w+\("([^"]+)"', m.group(2))
                for d in expand(row)]
    return found


ROWS = tables()


def spelled(section, name):
    """Spellings of which the manual says once that they mean the same."""
    if section in ("RELAY SECTION", "REMOTE BLOCK"):
        name = re.sub(r"^ssl\b", "tls", name)
    if section == "SPAWN BLOCK":
        name = re.sub(r"\b(min|max)imum$", r"\1", name)
    if section == "REMOTE BLOCK":
        name = re.sub(r"^tls (cert|key)(file)?$", r"tls \1-file", name)
    return name


def documented(section):
    out = set()
    for item in ITEMS:
        if item.section == section:
            out |= {spelled(section, n) for n in item.names}
    if "sticky cache" in out:		# "as in the section"
        out.remove("sticky cache")
        out |= {f"sticky cache {x}" for x in ("period", "timeout", "size")}
    return out


def test_the_tables_are_all_here():
    """None was renamed or added without this test."""
    assert sorted(ROWS) == sorted(t for ts in TABLES.values() for t in ts)
    assert sum(map(len, ROWS.values())) > 150


@pytest.mark.parametrize("section", TABLES)
def test_directives(section):
    """Those of the manual and those of the parser are the same."""
    known = {spelled(section, n) for t in TABLES[section] for n in ROWS[t]}
    if section == "COMMON DIRECTIVES":
        known.remove("id")		# a section, described as that
    else:
        known.discard("include")	# described with the common ones
    assert documented(section) == known


@pytest.mark.parametrize("text", [
    r"minimum and maximum", r"ssl means the same as tls",
    r"spelled as in the section", r"id = spawnd"])
def test_it_says_so_once(text):
    """What spelled() takes for granted."""
    assert text in re.sub(r"\s+", " ", words(" ".join(
        x.partition(" ")[2] if x.startswith(".") else x
        for x in read(CONF))))


# ---- kinds of values

FRAMES = {
    "COMMON DIRECTIVES": "{d}\nid = spawnd {{ listen = {{ port = 8080 }} }}\n"
    "id = tcprelay {{ remote = {{ address = 192.0.2.1 port = 80 }} }}\n",
    "BROKER SECTION": "id = spawnd {{ {d}\n listen = {{ port = 8080 }} }}\n"
    "id = tcprelay {{ remote = {{ address = 192.0.2.1 port = 80 }} }}\n",
    "LISTEN BLOCK": "id = spawnd {{ listen = {{ {d}\n }} }}\n"
    "id = tcprelay {{ remote = {{ address = 192.0.2.1 port = 80 }} }}\n",
    "SPAWN BLOCK": "id = spawnd {{ spawn {{ {d}\n }} }}\n"
    "id = tcprelay {{ remote = {{ address = 192.0.2.1 port = 80 }} }}\n",
    "RELAY SECTION": "id = tcprelay {{ {d}\n"
    "remote = {{ address = 192.0.2.1 port = 80 }} }}\n"
    "id = spawnd {{ listen = {{ port = 8080 }} }}\n",
    "REMOTE BLOCK": "id = tcprelay {{ remote = {{ address = 192.0.2.1 "
    "port = 80 {d}\n }} }}\n"
    "id = spawnd {{ listen = {{ port = 8080 }} }}\n",
    "SNI BLOCK": "id = tcprelay {{ tls sni {{ {d}\n }}\n"
    "remote = {{ address = 192.0.2.1 port = 80 }} }}\n"
    "id = spawnd {{ listen = {{ port = 8080 }} }}\n",
}

# what is said when something else stands there
WRONG = {
    "Ar integer": ("x@", r"'x@' is not a number"),
    "Ar seconds": ("x@", r"'x@' is not a time"),
    "Ar octal": ("9", r"'9' is not an octal number"),
    "Ar bool": ("x@", r"Expected 'yes', 'no', 'true', 'false', 'permit' or "
                "'deny', but got 'x@'"),
    "Ar port": ("x@", r"unknown service 'x@'"),
    "Ar user": ("x@", r"unknown user 'x@'"),
    "Ar group": ("x@", r"unknown group 'x@'"),
    "Ar address": ("256.0.0.1", r"'256\.0\.0\.1' is not an IP address"),
}
TEXTS = {"Ar " + x for x in ("path", "text", "name", "file", "command",
                             "pattern", "level")}

# values with a form of their own are tried by the unit tests
VALUES = [i for i in ITEMS if i.value and i.names[0] != "setenv" and
          not re.search(r"Li|Oc|^\.\.\.", i.value)]


def first_error(config, section, directive):
    status, lines = config(FRAMES[section].format(d=directive))
    errors = [x for x in lines if ": warning: " not in x]
    return errors[0] if errors else ""


def one_of(words):
    words = [f"'{w}'" for w in words]
    return ", ".join(words[:-1]) + f" or {words[-1]}"


@pytest.mark.parametrize("item", VALUES, ids=str)
def test_kind(config, item):
    """What stands there instead of a good value is refused for the reason
    that the manual gives."""
    for name in item.names:
        if item.value in WRONG:
            bad, want = WRONG[item.value]
            got = first_error(config, item.section, f"{name} = {bad}")
            assert re.search(rf": {re.escape(name)}: {want}$|: {want}", got)
        elif item.value in TEXTS:
            # its name's one kind is a list in the text
            got = first_error(config, item.section, f"{name} = }}")
            assert got.endswith(": value missing"), got
        elif item.value.startswith("Cm"):
            kinds = words(re.sub(r"\| Ar .*", "", item.value)).split(" | ")
            if "Ar" in item.value:	# or a file: nothing is wrong
                for kind in kinds:
                    assert not first_error(config, item.section,
                                           f"{name} = {kind.strip(' |')}")
                continue
            got = first_error(config, item.section, f"{name} = x@")
            assert got.endswith(f"Expected {one_of(kinds)}, but got 'x@'"), \
                got
        else:
            assert item.value in ("Ar value", "Ar item ..."), item.value
            got = first_error(config, item.section, f"{name} = }}")
            assert got.endswith(": value missing"), got


@pytest.mark.parametrize("name, kinds", [
    (i.names[0], i.text) for i in ITEMS
    if i.names[0] in ("aaa.protocol", "syslog facility", "syslog severity")
])
def test_lists_in_the_text(config, name, kinds):
    """Those that are too long for the item's line."""
    section = "LISTEN BLOCK" if name.startswith("aaa") else \
        "COMMON DIRECTIVES"
    found = re.findall(r"[a-z]+\.[a-z]+|\b[a-z]+[07]?\b",
                       kinds.partition(";" if "aaa" in name else
                                       "in either")[0])
    found = [x for x in found if x not in ("or", "to", "one", "of", "level",
                                           "ordinary", "messages")]
    assert len(found) >= 6
    for kind in found:
        got = first_error(config, section, f"{name} = {kind}")
        assert "port missing" in got or not got, (kind, got)


def as_number(text):
    m = re.fullmatch(r"(\d+)([kmd]?)", text)
    return int(m.group(1), 8 if text.startswith("0") and len(text) > 1 else
               10) * {"": 1, "k": 1024, "m": 1024 ** 2,
                      "d": 86400}[m.group(2)]


def text_of(item):
    """Its description, or that of the one it is like."""
    if "As in the section" not in item.text:
        return item.text
    return next(i.text for i in ITEMS if i.section == "BROKER SECTION" and
                set(i.names) & set(item.names))


def ranges():
    for item in ITEMS:
        if item.names == ["sticky cache"]:
            continue
        found = re.search(r"\brange: (\w+) to (\w+)\b(?:, and (\w+) to (\w+) "
                          r"seconds)?", text_of(item), re.I)
        if not found:
            continue
        low, high = found.group(1), found.group(2)
        if found.group(3) and item.value == "Ar seconds":
            low, high = found.group(3), found.group(4)
        if high == "the":		# ... maximum
            continue
        for name in item.names:
            yield pytest.param(item, name, as_number(low), as_number(high),
                               id=f"{item.section}: {name}")


@pytest.mark.parametrize("item, name, low, high", ranges())
def test_range(config, item, name, low, high):
    """Both ends are in, their neighbours are out; but 0 is what some text
    says of it."""
    octal = "octal" in item.value

    def error(n):
        return first_error(config, item.section,
                           f"{name} = {n:o}" if octal else f"{name} = {n}")

    for n in low, high:
        assert "out of range" not in error(n), error(n)
    outside = [high + 1]
    if low > 1 or low == 1 and not re.search(r"\b0\b", text_of(item)):
        outside.append(low - 1)
    for n in outside:
        m = re.search(r"is out of range \((\d+) to (\d+)\)", error(n))
        assert m, (n, error(n))
        base = 8 if octal else 10
        assert int(m.group(2), base) == high
        # 0 may be allowed beside the range
        assert int(m.group(1), base) in (low, 0)


def test_the_range_test_sees():
    names = [p.values[1] for p in ranges()]
    assert len(names) > 35
    assert {"backlog", "refresh", "rebalance", "tls ticket lifetime",
            "tcp bufsize", "mode", "users max"} <= set(names)


NO_DEFAULT = {
    # blocks, lists, and what must be given
    "include", "alias", "setenv", "permit", "deny", "listen", "spawn",
    "remote", "tls sni", "mavis", "address", "cert-file", "port", "path",
    # what has no effect here
    "syslog filter",
    # not in this version
    
}


@pytest.mark.parametrize("item", ITEMS, ids=str)
def test_default(item):
    """Each directive has one, is required, or is like another one."""
    text = item.text
    if item.names[0] in NO_DEFAULT or item.names[0].startswith("acl"):
        return
    assert re.search(r"\b[Dd]efault|[Bb]y default|\bRequired|As (in the "
                     r"section|above)", text), (item, text)


def test_debug_words(config):
    item = next(i for i in ITEMS if i.names == ["debug"])
    found = set(re.findall(r"\b[A-Z]{2,}\b", item.text)) - {"TLS"}
    source = (lib.TOP / "spawnd/conf_common.c").read_text()
    table = source[source.index("debug_words[] = {"):]
    table = table[:table.index("};")]
    known = re.findall(r'{ "([A-Z]+)"', table)
    assert found == set(known)
    for word in known:
        assert not first_error(config, "COMMON DIRECTIVES",
                               f"debug = {word} -{word} +{word}")


def test_lines_that_are_said():
    """'Not available in this version' is said of what is not, and no more."""
    absent = {n for i in ITEMS if "Not available in this version" in i.text
              for n in i.names}
    assert absent == {"mavis"}


# ---- the programs' pages

def options(page):
    """Letters and long names in the list of options."""
    out = set()
    for line in read(page):
        if line.startswith(".It Fl "):
            for option in re.split(r"\s,\s", line[7:]):
                out.add(option.split()[0].lstrip("-"))
    return out


@pytest.mark.parametrize("program, page", [(lib.TCPRELAY, "tcprelay.8"),
                                           (lib.SPAWND, "spawnd.8")])
def test_options(program, page):
    """Each is known, and all that are known are there."""
    there = options(page)
    source = (lib.TOP / "spawnd/start.c").read_text()
    letters = set(re.search(r'getopt_long\(argc, argv, "([^"]+)"',
                            source).group(1).replace(":", ""))
    long = set(re.findall(r'{ "([a-z]+)", ', source))
    text = " ".join(read(page))
    for option in letters | long - {"json"}:
        assert option in there or f".Fl {option} " in text, option
    for option in there:
        assert option in letters | long
    synopsis = text[text.index(".Sh SYNOPSIS"):text.index(".Sh DESCRIPTION")]
    usage = lib.run(program, "-h").stdout.splitlines()[0]
    for option in re.findall(r"\[-(\w+)", usage):
        for letter in option:
            assert re.search(rf"\.Op Fl \w*{letter}", synopsis) or \
                (program is lib.SPAWND and letter == "1"), letter


def formats():
    """Every text that a source may log, as a pattern of what comes out."""
    out = []
    for folder in "misc", "spawnd", "tcprelay":
        for file in sorted((lib.TOP / folder).glob("*.c")):
            source = re.sub(r'"\s*PRI([udx])(?:64|32)\s*"', r"\1",
                            file.read_text())
            source = re.sub(r'"\s*PRI([udx])(?:64|32)\b', r'\1"', source)
            for m in re.finditer(r'"(?:[^"\\\n]|\\.)*"(?:\s*'
                                 r'"(?:[^"\\\n]|\\.)*")*', source):
                text = re.sub(r'"\s*"', "", m.group())[1:-1]
                parts = re.split(r"%[-+ #0-9.*]*(?:hh|h|ll|l|z|j)?[a-zA-Z]",
                                 text)
                if sum(map(len, parts)) > 3:
                    out.append(".{0,60}?".join(map(re.escape, parts)))
    return out


def test_log_lines():
    """What an operator may wait for can be said."""
    lines = read("tcprelay.8")
    first = next(i for i, x in enumerate(lines) if "an operator may wait" in x)
    begin = lines.index(".Bd -unfilled -offset indent", first)
    said = lines[begin + 1:lines.index(".Ed", begin)]
    assert len(said) > 25
    patterns = [re.compile(p) for p in formats()]
    missing = [x for x in said
               if not any(p.fullmatch(words(x)) for p in patterns)]
    assert missing == []


def test_the_log_line_test_sees():
    patterns = [re.compile(p) for p in formats()]
    for line in "worker PID went fishing", "destination X is somewhere":
        assert not any(p.fullmatch(line) for p in patterns)


def test_titles():
    """Those shown can be: their words stand in the sources."""
    text = "\n".join(read("tcprelay.8"))
    shown = re.findall(r"^\.It (?:master|worker|single).* Ta Ql (.*)$", text,
                       re.M)
    assert len(shown) == 6
    source = "".join(f.read_text() for d in ("spawnd", "tcprelay")
                     for f in (lib.TOP / d).glob("*.c"))
    for line in shown:
        for part in re.split(r"\d+ connections?|, ", line):
            part = re.sub(r"^\d+ ", "", part)
            assert part in source, (line, part)


def test_session_line(service, backend, port):
    """The items of the line, in this order; the ends that there are."""
    lines = read("tcprelay.8")
    begin = next(i for i, x in enumerate(lines) if x.startswith(".It Cm conn"))
    end = next(i for i, x in enumerate(lines[begin:], begin)
               if x == ".El")
    told = [n for x in lines[begin:end] if x.startswith(".It Cm")
            for n in x[7:].split(" , ")]
    ends = set(re.findall(r"^\.Cm ([a-z-]+)", "\n".join(lines[begin:end]),
                          re.M))
    source = (lib.TOP / "spawnd/board.c").read_text()
    table = source[source.index("board_ends[BOARD_ENDS] = {"):]
    known = set(re.findall(r'"([a-z-]+)"', table[:table.index("};")]))
    # what only authorisation leads to is not in this version
    assert ends == known - {"mavis", "session-timeout"}
    echo = backend(lib.Echo)
    s = service(f"id = spawnd {{ listen {{ port = {port} }} }}\n"
                "id = tcprelay { log connections = yes "
                f"remote {{ {echo.remote} }} }}\n")
    lib.echo_once(port)
    line = s.wait_for(r"conn=\S+ .*").group()
    shown = [x.partition("=")[0] for x in line.split()]
    assert set(shown) == set(told)


def test_json_members(service, port):
    """Those of a line of the log, where the manual names them."""
    text = "\n".join(read("tcprelay.8"))
    told = text[text.index("each line is an object with"):]
    told = told[:told.index("The line of a session")]
    assert re.search(r"in workers\n\.Cm worker ,\nand\n\.Cm msg", told)
    always = set(re.search(r"\.Cm (.*) ,\n", told).group(1).split(" , "))
    s = service(f"log format = json\nid = spawnd {{ listen {{ port = {port} "
                "} }\nid = tcprelay { remote { address = ::1 port = 9 } }\n")
    s.wait_for("event mechanism.*worker|worker.*event mechanism")
    lines = [json.loads(x) for x in s.lines if x.startswith("{")]
    assert {x["role"] for x in lines} == {"master", "worker"}
    for x in lines:
        assert set(x) == always | {"msg"} | (
            {"worker"} if x["role"] == "worker" else set()), x


# ---- examples

def literals(page):
    """(line, text) of the displays of a page."""
    out, begin = [], None
    for n, line in enumerate(read(page), 1):
        if line.startswith(".Bd -literal"):
            begin, text = n, []
        elif line == ".Ed" and begin:
            out.append((begin, "\n".join(text) + "\n"))
            begin = None
        elif begin:
            text.append(line.replace(r"\e", "\\").replace(r"\-", "-")
                        .replace(r"\(dq", '"').replace(r"\&", ""))
    return out


def examples():
    for page in CONF, "tcprelay.8", "spawnd.8":
        for line, text in literals(page):
            if "id = " in text:
                yield pytest.param(page, text, id=f"{page}:{line}")


@pytest.mark.tls
@pytest.mark.parametrize("page, text", examples())
def test_example(config, page, text):
    """Each is a configuration, but for files that are not here."""
    program = lib.TCPRELAY
    for path in "/usr/local/libexec/ftp-worker", "/usr/local/libexec/hello":
        if path in text:		# one that says yes to everything
            text, program = text.replace(path, "/bin/true"), lib.SPAWND
    if "id = tcprelay" not in text and program is lib.TCPRELAY:
        text += "id = tcprelay { remote { address = ::1 port = 9 } }\n"
    for user in "mail", "ftp", "nobody":
        text = re.sub(rf"userid = {user}\b", "userid = 65534", text)
    status, lines = config(text, program=program)
    assert status == 0, lines
    assert [x for x in lines if "warning: tls: cannot load" not in x] == []


def test_there_are_examples():
    assert len(list(examples())) >= 8


def test_worker_example(tmp_path):
    """The frame in spawnd(3) compiles."""
    text = next(t for _, t in literals("spawnd.3")
                if "spawnd_worker_open" in t)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no compiler")
    file = tmp_path / "frame.c"
    file.write_text("#include <sys/socket.h>\n#include <poll.h>\n"
                    "#include <unistd.h>\n#include <spawnd.h>\n"
                    "void serve(int);\nint main(void)\n{\n"
                    + text + "}\n")
    r = subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", "-Wall",
                        "-Wextra", "-Werror", "-fsyntax-only",
                        f"-I{lib.TOP}/spawnd", file], capture_output=True,
                       text=True, timeout=lib.TIMEOUT * 2)
    assert r.returncode == 0, r.stderr


def test_library():
    """spawnd(3), spawnd.h and what the library exports are one list; each
    constant of the page exists."""
    page = "\n".join(read("spawnd.3"))
    header = (lib.TOP / "spawnd/spawnd.h").read_text()
    named = set(re.findall(r"^\.Nm (spawnd_\w+)", page, re.M))
    synopsis = set(re.findall(r"^\.Fn (spawnd_\w+) \"", page, re.M))
    declared = set(re.findall(r"\b(spawnd_(?:worker|conf)_\w+)\(", header))
    r = subprocess.run(["nm", "-D", "--defined-only", *lib.BUILD.glob(
        "libspawnd.so.*.*.*")], capture_output=True, text=True,
        timeout=lib.TIMEOUT)
    exported = set(re.findall(r" T (\w+)", r.stdout))
    assert named == synopsis == declared == exported
    for constant in set(re.findall(r"\bSPAWND_[A-Z0-9_]+", page)):
        assert re.search(rf"\b{constant}\b", header) or \
            constant in ("SPAWND_WORKER", "SPAWND_CONFIG"), constant
    conn = re.search(r"struct spawnd_conn {(.*?)\n};", header, re.S).group(1)
    members = set(re.findall(r"(\w+)(?:\[\w+\])?(?=[,;])", re.sub(
        r"/\*.*?\*/", "", conn, flags=re.S)))
    shown = page[page.index("The members of"):page.index(
        "The broker keeps a copy")]
    told = {n for x in re.findall(r"^\.It Fa (.*)$", shown, re.M)
            for n in x.split(" , ")}
    assert told == members


# ---- the pages themselves

@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_lint(page):
    if not lib.have("mandoc"):
        pytest.skip("no mandoc")
    r = subprocess.run(["mandoc", "-Tlint", "-W", "style", page],
                       capture_output=True, text=True, timeout=lib.TIMEOUT)
    # pages that are installed elsewhere are not looked up
    bad = [x for x in r.stdout.splitlines()
           if "referenced manual not found" not in x]
    assert bad == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_references(page):
    """Our own pages that are referred to exist."""
    for name, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(),
                                    re.M):
        if name.startswith(("spawnd", "tcprelay")):
            assert (DOC / f"{name}.{section}").exists()
