"""The tables of specification 4.2, capacity and shrinking, as the counters of
a running service show them."""

import re

import pytest

import lib
import ops


@pytest.fixture
def relay(service, backend, port):
    def make(instances, users, **kw):
        make.backend = backend(lib.Echo)
        s = service(ops.conf(port, make.backend.remote, spawn="instances "
                             "min = {} instances max = {} users min = {} "
                             "users max = {}".format(*instances, *users)),
                    **kw)
        ops.wait_ready(s, instances[0])
        return s

    return make


def fill(s, port, sequence):
    """One connection after another; each must come to the worker that the
    sequence names. Returns [(worker, socket)]."""
    held, want = [], {}
    for i, name in enumerate(sequence, 1):
        held.append((name, lib.connect(port)))
        want[name] = want.get(name, 0) + 1
        expected = [want[k] for k in sorted(want)]

        def look():
            got = ops.users(s)
            assert sum(got) <= i, (i, got)
            return [n for n in got if n] == expected

        lib.wait_until(look, f"connection {i} to come to {name}: {expected}, "
                       f"not {ops.users(s)}", step=0.02)
    return held


def leave(held, name, n):
    """n clients of that worker go."""
    for pair in [p for p in held if p[0] == name][:n]:
        pair[1].close()
        held.remove(pair)


def end(held):
    for _, sock in held:
        sock.close()


A = "aabbccabcabc"


def test_example_a(relay, port):
    s = relay((1, 3), (2, 4))
    held = fill(s, port, A)
    assert ops.users(s) == [4, 4, 4]
    # the thirteenth: overload
    with lib.connect(port) as c:
        s.wait_for("12 connections reached, queueing new ones")
        lib.wait_until(lambda: lib.title(s.pid) ==
                       "tcprelay: 12 connections, full, queueing", "title")
        assert ops.users(s) == [4, 4, 4]
        leave(held, "c", 1)
        lib.roundtrip(c, b"a place")
        assert ops.users(s) == [4, 4, 4]
    for _, sock in held:
        lib.roundtrip(sock, b"all there")
    end(held)


def test_example_b(relay, port):
    s = relay((2, 3), (2, 4))
    end(fill(s, port, "ababccabc"))


@pytest.mark.parametrize("leaving,after", [(2, [4, 3, 4]), (3, [4, 2, 4])])
def test_example_c(relay, port, leaving, after):
    """By step 7, and by step 5: b each time."""
    s = relay((1, 3), (2, 4))
    held = fill(s, port, A)
    leave(held, "b", leaving)
    ops.wait_users(s, [4, 4 - leaving, 4])
    held += [("b", lib.connect(port))]
    ops.wait_users(s, after)
    end(held)


def test_example_d(relay, port):
    """A tenth of the founding document's numbers: each worker is filled to
    the minimum in turn, then the load is spread."""
    least, most = 3, 5
    s = relay((1, most), (least, 4000))
    assert re.search("0 connections, 20000 free", lib.title(s.pid))
    held = fill(s, port, "".join(c * least for c in "abcde"[:most]))
    assert len(s.workers()) == most
    held += fill_more(s, port, "abcde")
    end(held)


def fill_more(s, port, sequence):
    """Connections to workers that all have equally many."""
    held = []
    for name in sequence:
        before = ops.users(s)
        held.append((name, lib.connect(port)))
        want = list(before)
        want["abcde".index(name)] += 1
        ops.wait_users(s, want)
    return held


def test_small_descriptor_limit(relay, port):
    """(64 - 10) / 2 = 27: workers announce it, the capacity follows (4.3)."""
    s = relay((1, 2), (5, 4000), limit=64)
    pid, = s.workers()
    s.wait_for(rf"worker {pid} can hold 27 connections only")
    lib.wait_until(lambda: "0 connections, 54 free" in lib.title(s.pid),
                   "the capacity")
    held = [lib.connect(port) for _ in range(54)]
    for c in held:
        lib.roundtrip(c, b"x")
    s.wait_for("54 connections reached")
    assert ops.users(s) == [27, 27]
    assert [w.max for w in ops.workers(s)] == [27, 27]
    with lib.connect(port) as late:
        held.pop().close()
        lib.roundtrip(late, b"room again")
    for c in held:
        lib.roundtrip(c, b"y")
        c.close()


def test_limits_change_with_a_reload(relay, port):
    """Changed users and instances act at once, without losing anybody."""
    s = relay((1, 2), (2, 4))
    held = fill(s, port, "aabbabab")
    s.wait_for("8 connections reached")
    text = s.file.read_text()
    s.reload(text.replace("users max = 4", "users max = 6"))
    s.wait_for("accepting again")
    held += [("?", lib.connect(port)) for _ in range(4)]
    ops.wait_users(s, [6, 6])
    s.reload(text.replace("users max = 4", "users max = 2"))
    lib.wait_until(lambda: "12 connections, full, queueing" in
                   lib.title(s.pid), "the title")
    s.reload(text.replace("instances max = 2", "instances max = 3")
             .replace("users max = 4", "users max = 7"))
    held += [("?", lib.connect(port)) for _ in range(2)]
    ops.wait_users(s, [6, 6, 2])
    for _, c in held:
        lib.roundtrip(c, b"all there")
        c.close()


@pytest.mark.slow
@pytest.mark.parametrize("busy,left", [(None, 0), ("b", 1)])
def test_shrinking(relay, port, busy, left):
    """The examples of 4.5: the latest idle ones go, after 10 s; with a busy b
    all others do."""
    s = relay((1, 3), (2, 4))
    held = fill(s, port, "aabbcc")
    pids = s.workers()
    if busy is None:
        end(held)
    else:
        one = [p for p in held if p[0] == busy][0]
        end([p for p in held if p is not one])
    lib.wait_until(lambda: s.workers() == [pids[left]], "one worker to stay",
                   30, 0.2)
    s.wait_for(r"ended, status 0, served 2, lost 0", count=2)
    if busy:
        lib.roundtrip(one[1], b"not disturbed")
        one[1].close()
    lib.echo_once(port)
