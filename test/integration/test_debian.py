"""debian/ says what the rest of the tree says. That the packages build is
./check's to see."""

import re

import lib

DEBIAN = lib.TOP / "debian"


def test_version():
    ours = re.search(r"AC_INIT\(\[spawnd\], \[([\d.]+)\]\)",
                     (lib.TOP / "configure.ac").read_text()).group(1)
    assert re.match(r"spawnd \((\S+)\) ", (DEBIAN / "changelog").read_text()
                    ).group(1) == ours


def test_symbols():
    """All that spawnd.h declares, and nothing else."""
    declared = set(re.findall(r"\b(spawnd_\w+)\(",
                              (lib.TOP / "spawnd/spawnd.h").read_text()))
    listed = re.findall(r"^ (spawnd_\w+)@SPAWND_1 [\d.]+$",
                        (DEBIAN / "libspawnd1.symbols").read_text(), re.M)
    assert set(listed) == declared and len(listed) > 10


def test_licence():
    def words(text):
        return text.replace("\n .\n", "\n").split()

    ours = (lib.TOP / "COPYING").read_text().split("\n\n", 1)[1]
    theirs = (DEBIAN / "copyright").read_text().split("License: ISC\n")[1]
    assert words(theirs) == words(ours)


def test_tarball_has_it():
    """Each file that is kept here is in the list of make dist."""
    makefile = (lib.TOP / "Makefile.in").read_text().replace("\\\n", " ")
    listed = re.search(r"^DEBIAN = \$\(addprefix debian/,(.*)\)$", makefile,
                       re.M).group(1).split()
    made = re.findall(r">debian/(\S+)|cp \S+ debian/(\S+)",
                      (DEBIAN / "rules").read_text())
    made = {a or b for a, b in made}
    # what dh leaves behind is in .gitignore
    left = re.compile(r"\.debhelper|\.substvars$|^files$|stamp$")
    there = {str(f.relative_to(DEBIAN)) for f in DEBIAN.rglob("*")
             if f.is_file() and f.relative_to(DEBIAN).parts[0] not in
             (".debhelper", "tmp", "spawnd", "libspawnd1", "libspawnd-dev")
             and not left.search(f.name)}
    assert there - made == set(listed)
    assert made == set((DEBIAN / "clean").read_text().replace(
        "debian/", "").split()) - {"build-"}
