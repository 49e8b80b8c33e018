"""The picture of the layers (doc/architecture.md) against what the sources
include, and the lists of the makefile against the files there are."""

import re

import pytest

import lib

FEATURES = "features.h"			# what configure found

# folder: {folder whose headers it may use: which (None: all)}
LAYERS = {
    "misc": {},
    "spawnd": {"misc": None},
    "tcprelay": {"misc": None,
                 "spawnd": {"board.h", "program.h", "conf.h", "spawnd.h",
                            "channel.h", "facts.h", "role.h"}},
    "relayd": {"misc": None, "tcprelay": None,
               "spawnd": {"board.h", "conf.h", "keyset.h", "master.h",
                          "program.h", "role.h", "rows.h", "spawnd.h"}},
}
# languages are read by spawnd's reader
FRONT_ENDS = {"conf.c": {"parse.h"}, "conf_build.h": {"parse.h"}}


def sources(folder, suffixes=(".c", ".h")):
    return sorted(f for f in (lib.TOP / folder).iterdir()
                  if f.suffix in suffixes)


def wrong_includes(file):
    folder = file.parent.name
    wrong = []
    for n, line in enumerate(file.read_text().splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        name = m.group(1)
        up = re.fullmatch(r"\.\./(\w+)/(\w+\.h)", name)
        if up:
            allowed = LAYERS[folder].get(up.group(1), set())
            if allowed is not None:
                allowed = allowed | FRONT_ENDS.get(file.name, set())
            ok = (allowed is None or up.group(2) in allowed) and \
                (lib.TOP / up.group(1) / up.group(2)).is_file()
        elif name == FEATURES:
            ok = file.suffix == ".c"		# sizes must not depend on it
        else:
            ok = (file.parent / name).is_file() and "/" not in name
        if not ok:
            wrong.append(f"{folder}/{file.name}:{n}: {line}")
    return wrong


@pytest.mark.parametrize("folder", LAYERS)
def test_includes_point_down(folder):
    found = sources(folder)
    assert found
    assert [w for f in found for w in wrong_includes(f)] == []


def test_the_layer_test_sees(tmp_path):
    """It would notice: one include of each wrong kind."""
    folder = tmp_path / "misc"
    folder.mkdir()
    (folder / "x.c").write_text('#include "../spawnd/board.h"\n'
                                '#include "gone.h"\n'
                                '#  include "../tcprelay/config.h"\n'
                                '#include <stdio.h>\n'
                                '#include "features.h"\n')
    assert len(wrong_includes(folder / "x.c")) == 3
    folder = tmp_path / "tcprelay"
    folder.mkdir()
    (folder / "y.c").write_text('#include "../spawnd/proc.h"\n'
                                '#include "features.h"\n'
                                '#include "../spawnd/board.h"\n')
    assert len(wrong_includes(folder / "y.c")) == 1
    (folder / "z.h").write_text('#include "features.h"\n')
    assert len(wrong_includes(folder / "z.h")) == 1


def makefile_lists(*names):
    """The words of the lists whose names begin so; of all without names."""
    text = (lib.TOP / "Makefile.in").read_text().replace("\\\n", " ")
    if names:
        text = " ".join(line.partition("=")[2] for line in text.splitlines()
                        if line.startswith(names))
    return set(re.split(r"[\s,()]+", text))


def test_every_source_is_built():
    """A file nobody compiles rots; a test nobody runs passes."""
    words = makefile_lists("TLS_", "FETCH_", "SNMP_", "MISC ", "WORKER ",
                           "BROKER ", "ENGINE ", "RELAYD ", "RELAYCTL ")
    systems = {"ev_kqueue", "ev_port", "ev_devpoll", "ev_epoll"}
    mains = {"main", "relayctl"}
    missing = []
    for folder in LAYERS:
        for f in sources(folder, (".c",)):
            base, _, system = f.stem.rpartition("_")
            if f.stem in words or f.stem in systems or f.stem in mains or \
                    system in ("linux", "bsd", "other", "posix", "none",
                               "freebsd", "openbsd",
                               "pktinfo", "dstaddr", "sysv") and \
                    any(w.startswith(base + "_@") for w in words):
                continue
            missing.append(f"{folder}/{f.name}")
    for kind, lists in ("unit/test_", "UNIT_"), ("fuzz/fuzz_", "FUZZ"):
        words = makefile_lists(lists)
        folder, prefix = kind.split("/")
        missing += [f"{folder}/{f.name}"
                    for f in (lib.TOP / "test" / folder).glob(prefix + "*.c")
                    if f.stem[len(prefix):] not in words]
    assert missing == []


def test_every_manual_is_installed():
    words = makefile_lists()
    assert [f.name for f in (lib.TOP / "doc").glob("*.[1-9]")
            if f"doc/{f.name}" not in words] == []
