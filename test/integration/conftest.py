"""Fixtures. Start a service with service(text, ...), a peer with
backend(Class, ...): both are ended behind the test, and the service must end
cleanly."""

import os
import signal
import time

import pytest

import lib
import ops
import rd

LIMIT, SLOW_LIMIT = 120, 420		# s, of one test
# When all of it must be over, as time(2): what has not begun then fails.
DEADLINE = float(os.environ.get("TEST_DEADLINE", "inf"))


def pytest_sessionstart(session):
    if not lib.TCPRELAY.exists() and not session.config.option.collectonly:
        pytest.exit(f"no {lib.TCPRELAY}: set BUILDDIR to where it was built",
                    4)


def pytest_collection_modifyitems(items):
    if any(i.get_closest_marker("tls") for i in items) and not lib.has_feature("TLS"):
        skip = pytest.mark.skip(reason="this build has no TLS")
        for item in items:
            if item.get_closest_marker("tls"):
                item.add_marker(skip)


def pytest_runtest_setup(item):
    if time.time() > DEADLINE:
        pytest.fail("not run: the time for all tests is over", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Nothing hangs: a test that takes too long fails where it stands."""
    limit = SLOW_LIMIT if item.get_closest_marker("slow") else LIMIT

    def late(signo, frame):
        raise AssertionError(f"the test took more than {limit} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return lib.Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def probe(tmp_path_factory):
    """The program of probe.c."""
    program = ops.build_probe(tmp_path_factory.mktemp("probe"))
    if program is None:
        pytest.skip("no C compiler")
    return program


@pytest.fixture
def port():
    return lib.free_port()


def end_all(started):
    """Ends services; the others must end too if one does not as it should."""
    problems = []
    for s, clean in started:
        if s.proc is None:
            continue
        try:
            if clean:
                s.assert_clean()
            else:
                s.kill()
                assert not s.reports(), "\n".join(s.reports())
        except BaseException as e:		# the others must end too
            s.kill()
            problems.append(e)
    if problems:
        raise problems[0]


@pytest.fixture
def service(tmp_path):
    """service(text, listeners=1, start=True, **arguments of lib.Service).
    Behind the test each must end with 0, unless it was given clean=False,
    and no sanitizer may have reported anything in any case."""
    started = []

    def make(text, listeners=1, start=True, clean=True, **kw):
        s = lib.Service(text, tmp_path / f"service{len(started)}", **kw)
        started.append((s, clean))
        return s.start(listeners) if start else s

    yield make
    end_all(started)


@pytest.fixture
def relayd(tmp_path):
    """relayd(text, relays=1, start=True, **arguments of rd.Relayd). Behind
    the test each must end as service() demands."""
    started = []

    def make(text, relays=1, start=True, clean=True, **kw):
        s = rd.Relayd(text, tmp_path / f"relayd{len(started)}", **kw)
        started.append((s, clean))
        return s.start(relays) if start else s

    yield make
    end_all(started)


@pytest.fixture
def no_quarantine(monkeypatch):
    """For tests that look at memory: what was given back can be used again
    at once under ASan, too. Before service among the arguments."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") +
                       ":quarantine_size_mb=0"
                       ":thread_local_quarantine_size_kb=0")


@pytest.fixture
def backend():
    """backend(lib.Echo, ...)"""
    running = []

    def make(kind=lib.Echo, *args, **kw):
        b = kind(*args, **kw)
        running.append(b)
        return b

    yield make
    for b in running:
        b.close()


@pytest.fixture
def config(tmp_path):
    """config(text, *options): -P on it; (status, lines of standard error)."""
    def check(text, *args, **kw):
        return lib.check_config(text, tmp_path, *args, **kw)

    return check


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of its services."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed or "tmp_path" not in item.fixturenames:
        return
    for name, value in item.funcargs.items():
        if isinstance(value, lib.Service):
            report.sections.append((f"log of {name}", value.log()))
