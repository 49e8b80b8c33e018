"""Files that TLS needs and everything that can be wrong with them: fatal at
a start, a warning with -P, since a file may be checked on another machine."""

import pytest

import lib

pytestmark = pytest.mark.tls

TEXT = """id = spawnd {{
	listen = {{ address = 127.0.0.1 port = {port} tls = yes {listen} }}
}}
id = tcprelay {{
	remote = {{ address = 127.0.0.1 port = 9 {remote} }}
	{lines}
}}
"""
FIRST = 6		# the line of the file where lines begin


@pytest.fixture
def files(certs, tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "psk").write_text("# keys\nalice:00ff\nbob\n")
    (tmp_path / "psk").chmod(0o600)
    (tmp_path / "open").write_text("alice:00ff\n")
    (tmp_path / "open").chmod(0o644)
    return {"good": certs.ecdsa.pem, "cert": certs.encrypted.cert,
            "locked": certs.encrypted.key, "other": certs.ecdsa.key,
            "rsa": certs.rsa.cert, "expired": certs.expired.pem,
            "dir": tmp_path, "nobody": certs.client.pem}


# lines, where it is said (from FIRST), what; {} as in files
ROWS = {
    "no certificate": (
        ["tls cert-file = {dir}/none"], 0,
        "tls: cannot load certificate '{dir}/none': "
        "No such file or directory"),
    "certificate is a directory": (
        ["tls cert-file = {dir}"], 0,
        "tls: cannot load certificate '{dir}': Is a directory"),
    "certificate is empty": (
        ["tls cert-file = {dir}/empty"], 0,
        "tls: cannot load certificate '{dir}/empty': "
        "no certificate in it"),
    "no key": (
        ["tls cert-file = {cert}", "tls key-file = {dir}/none"], 1,
        "tls: cannot load key '{dir}/none': No such file or directory"),
    "no key in the file": (
        ["tls cert-file = {cert}"], 0,
        "tls: cannot load key '{cert}': wrong passphrase or format"),
    "no passphrase": (
        ["tls cert-file = {cert}", "tls key-file = {locked}"], 1,
        "tls: cannot load key '{locked}': wrong passphrase or format"),
    "wrong passphrase": (
        ["tls cert-file = {cert}", "tls passphrase = 1234",
         "tls key-file = {locked}"], 2,
        "tls: cannot load key '{locked}': wrong passphrase or format"),
    "key of another certificate": (
        ["tls cert-file = {cert}", "tls key-file = {other}"], 1,
        "tls: key '{other}' does not match certificate '{cert}'"),
    "the same, other type": (
        ["tls cert-file = {rsa}", "tls key-file = {other}"], 1,
        "tls: key '{other}' does not match certificate '{rsa}'"),
    "no authorities": (
        ["tls cert-file = {good}", "tls verify = required",
         "tls ca-file = {dir}/none"], 2,
        "tls: cannot load authorities '{dir}/none': "
        "No such file or directory"),
    "authorities are none": (
        ["tls cert-file = {good}", "tls verify = required",
         "tls ca-file = {other}"], 2,
        "tls: cannot load authorities '{other}': no certificate in it"),
    "bad line of the psk-file": (
        ["tls cert-file = {good}", "tls psk-file = {dir}/psk"], 1,
        "tls psk-file: line 3: no ':'"),
    "psk-file for everybody": (
        ["tls cert-file = {good}", "tls psk-file = {dir}/open"], 1,
        "tls psk-file: '{dir}/open' is readable by others"),
    "nameless certificate by name": (
        ["tls cert-file = {good}", "tls sni {{ cert-file = {nobody} }}"], 1,
        "tls sni: no name in certificate '{nobody}'"),
}


def message(line, text):
    return f":{line}: {text}"


def start(service, text):
    """A start that must not come to anything: what it said."""
    s = service(text, start=False, clean=False)
    s.launch()
    assert s.wait() == 78, s.log()
    return s.log()


@pytest.mark.parametrize("row", ROWS)
def test_file(service, config, files, port, row):
    lines, at, want = ROWS[row]
    text = TEXT.format(port=port, listen="", remote="", lines="\n\t".join(
        lines).format(**files))
    want = want.format(**files)
    status, errors = config(text)
    assert status == 0
    assert any(message(FIRST + at, "warning: " + want) in e for e in errors)
    assert message(FIRST + at, want) in start(service, text)


# what needs no other machine is wrong with -P, too
@pytest.mark.parametrize("lines, at, want", [
    (["tls ciphers = NOSUCH"], 1, "tls ciphers: no usable cipher in "
     "'NOSUCH'"),
    (["tls cipher-suites = NOSUCH"], 1, "tls cipher-suites: no usable "
     "cipher in 'NOSUCH'"),
    (["tls sni {{ cert-file = {good} name = a.net }}",
      "tls sni {{ cert-file = {good} name = A.NET. }}"], 2,
     "tls sni: 'a.net' given twice for ECDSA keys"),
])
def test_value(service, config, files, port, lines, at, want):
    text = TEXT.format(port=port, listen="", remote="", lines="\n\t".join(
        ["tls cert-file = {good}", *lines]).format(**files))
    status, errors = config(text)
    assert status == 78
    assert any(message(FIRST + at, want) in e for e in errors)
    assert message(FIRST + at, want) in start(service, text)


def test_all_in_one_run(service, config, files, port):
    lines = ["tls cert-file = {dir}/none", "tls ciphers = NOSUCH",
             "tls psk-file = {dir}/psk",
             "tls sni {{ cert-file = {cert} }}"]
    text = TEXT.format(port=port, listen="", lines="\n\t".join(
        lines).format(**files), remote=f"tls tls name = a.net tls ca-file = "
        f"{files['dir']}/empty")
    log = start(service, text)
    places = [log.index(message(n, "tls")) for n in (5, 6, 7, 8, 9)]
    assert places == sorted(places)
    status, errors = config(text)
    assert status == 78		# for the ciphers
    assert sum("warning: tls" in e for e in errors) == 4


def test_expired(config, files, port):
    text = TEXT.format(port=port, listen="", remote="",
                       lines=f"tls cert-file = {files['expired']}")
    status, errors = config(text)
    assert status == 0
    assert any(f":{FIRST}: warning: tls: certificate '{files['expired']}' "
               "expired on " in e for e in errors)


def test_not_needed(config, files, port):
    """Without a TLS listener nobody looks at the files."""
    text = TEXT.format(port=port, listen="", remote="", lines="tls cert-file "
                       f"= {files['dir']}/none").replace("tls = yes", "")
    assert config(text) == (0, [])


@pytest.mark.parametrize("spelling", [
    "tls cert-file = {c}\n tls key-file = {k}\n tls passphrase = 12345",
    "ssl cert = {c}\n ssl key = {k}\n ssl passphrase = 12345",
    "ssl certfile {c}\n ssl keyfile {k}\n ssl passphrase \"12345\"",
    "tls cert = {c}\n tls key = {k}\n tls passphrase = '12345'",
])
def test_spellings(service, backend, certs, port, spelling):
    echo = backend(lib.Echo)
    pair = certs.encrypted
    service(TEXT.format(port=port, listen="", remote="",
                        lines=spelling.format(c=pair.cert, k=pair.key))
            .replace("address = 127.0.0.1 port = 9", echo.remote))
    lib.echo_once(port, context=lib.client_context(certs.ca),
                  name="localhost")
