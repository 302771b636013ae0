"""Waiting for children: each child here lives until it is told to end, by a green thread.

Had a wait blocked the process, nobody would tell the child to end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenworld.hub import GreenThread, sleep, spawn
from greenworld.hub.timeout import Timeout
from greenworld.patches import children

Start = Callable[..., GreenThread[Any]]
Run = Callable[..., str]

LIMIT = 20.0
NEEDS_PIDFD = pytest.mark.skipif(
    children.plain_pidfd_open is None, reason="this Python or system has no pidfd_open"
)
NEEDS_WAITID = pytest.mark.skipif(
    children.plain_waitid is None, reason="this platform has no waitid"
)


class Child:
    """A shell that ends with a status when it is told to."""

    def __init__(self, status: int = 7, *, group: bool = False, shell: str = "read line") -> None:
        reader, self.writer = os.pipe()
        options: dict[str, Any] = {"setpgroup": 0} if group else {}
        self.pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f"{shell}; exit {status}"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0)],
            **options,
        )
        os.close(reader)
        self.status = status << 8

    def end(self) -> None:
        """Tell it. Does not wait."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@pytest.fixture(params=["pidfd", "polling"])
def child(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes children, which are gone when the test ends."""
    if request.param == "polling":
        monkeypatch.setattr(children, "plain_pidfd_open", None)
    elif children.plain_pidfd_open is None:
        pytest.skip("this Python or system has no pidfd_open")
    made: list[Child] = []

    def make(*args: Any, **options: Any) -> Child:
        made.append(Child(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()
        try:
            os.waitpid(one.pid, 0)
        except ChildProcessError:
            continue
        pytest.fail(f"the status of child {one.pid} has been left to lie")


def outcome(thread: GreenThread[Any]) -> Any:
    return thread.wait(LIMIT)


def test_waitpid(child: Any, start: Start) -> None:
    one = child(3)
    waiting = start(children.waitpid, one.pid, 0)
    assert children.waitpid(one.pid, os.WNOHANG) == (0, 0)
    sleep(0.005)
    assert not waiting.dead
    one.end()
    assert outcome(waiting) == (one.pid, 3 << 8)
    with pytest.raises(ChildProcessError):
        children.waitpid(one.pid, 0)


def test_wait4(child: Any, start: Start) -> None:
    one = child()
    waiting = start(children.wait4, one.pid, 0)
    sleep(0.005)
    one.end()
    pid, status, usage = outcome(waiting)
    assert (pid, status) == (one.pid, one.status)
    assert usage.ru_maxrss > 0
    with pytest.raises(ChildProcessError):
        children.wait4(one.pid, os.WNOHANG)


@NEEDS_WAITID
def test_waitid(child: Any, start: Start) -> None:
    one = child()
    looking = start(children.waitid, os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    waiting = start(children.waitid, os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    assert children.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOHANG) is None
    sleep(0.005)
    one.end()
    for thread in (looking, waiting):
        assert (outcome(thread).si_pid, outcome(thread).si_status) == (one.pid, 7)
    assert children.waitid(os.P_PID, one.pid, os.WEXITED).si_status == 7
    with pytest.raises(ChildProcessError):
        children.waitid(os.P_PID, one.pid, os.WEXITED)


@NEEDS_PIDFD
@pytest.mark.skipif(not hasattr(os, "P_PIDFD"), reason="this platform has no P_PIDFD")
def test_waitid_of_a_pidfd(child: Any, start: Start) -> None:
    one = child()
    fd = os.pidfd_open(one.pid)
    waiting = start(children.waitid, os.P_PIDFD, fd, os.WEXITED)
    sleep(0.005)
    one.end()
    assert outcome(waiting).si_pid == one.pid
    os.close(fd)


def test_any_child(child: Any, start: Start) -> None:
    first, second, third = child(1), child(2), child(3)
    waiting = [start(children.wait), start(children.wait3, 0), start(children.waitpid, -1, 0)]
    found = []
    for one in (second, third, first):
        one.end()
        done = next_of(waiting)
        found.append(outcome(done)[:2])
        waiting.remove(done)
    assert found == [(one.pid, one.status) for one in (second, third, first)]
    with pytest.raises(ChildProcessError):
        children.wait()


def next_of(threads: list[GreenThread[Any]]) -> GreenThread[Any]:
    """The first of them to end."""
    with Timeout(LIMIT):
        while True:
            for thread in threads:
                if thread.dead:
                    return thread
            sleep(0.001)
    raise AssertionError("none of them has ended")


def test_a_child_is_not_stolen_by_who_waits_for_another(child: Any, start: Start) -> None:
    first, second = child(1), child(2)
    for_first = start(children.waitpid, first.pid, 0)
    second.end()
    assert children.waitpid(second.pid, 0) == (second.pid, second.status)
    assert not for_first.dead
    first.end()
    assert outcome(for_first) == (first.pid, first.status)


def test_process_groups(child: Any, start: Start) -> None:
    alone, other = child(1, group=True), child(2)
    of_group = start(children.waitpid, -alone.pid, 0)
    of_own_group = start(children.waitpid, 0, 0)
    other.end()
    assert outcome(of_own_group) == (other.pid, other.status)
    assert not of_group.dead
    alone.end()
    assert outcome(of_group) == (alone.pid, alone.status)


def test_a_stop_and_a_continuation(child: Any, start: Start) -> None:
    one = child()
    waiting = start(children.waitpid, one.pid, os.WUNTRACED)
    os.kill(one.pid, signal.SIGSTOP)
    assert os.WIFSTOPPED(outcome(waiting)[1])
    waiting = start(children.waitpid, one.pid, os.WCONTINUED)
    os.kill(one.pid, signal.SIGCONT)
    assert os.WIFCONTINUED(outcome(waiting)[1])
    one.end()
    assert children.waitpid(one.pid, 0) == (one.pid, one.status)


def test_of_two_who_wait_one_gets_it(child: Any, start: Start) -> None:
    one = child()

    def wait() -> Any:
        try:
            return children.waitpid(one.pid, 0)
        except ChildProcessError:
            return "no such child"

    waiting = [start(wait) for _ in range(3)]
    sleep(0.005)
    one.end()
    results = [outcome(thread) for thread in waiting]
    assert sorted(results, key=str) == [(one.pid, one.status), "no such child", "no such child"]


def test_a_timeout_leaves_the_status_to_the_next(child: Any) -> None:
    one = child()
    with pytest.raises(Timeout), Timeout(0.01):
        children.waitpid(one.pid, 0)
    one.end()
    assert children.waitpid(one.pid, 0) == (one.pid, one.status)


def test_many_children(child: Any, start: Start) -> None:
    made = [child(number) for number in range(20)]
    waiting = [start(children.waitpid, one.pid, 0) for one in made]
    sleep(0)
    for one in reversed(made):
        one.end()
    assert [outcome(thread) for thread in waiting] == [(one.pid, one.status) for one in made]


def test_in_an_os_thread_without_a_hub(child: Any) -> None:
    one = child()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(children.waitpid(one.pid, 0)))
    thread.start()
    one.end()
    thread.join(LIMIT)
    assert found == [(one.pid, one.status)]


def test_a_pidfd_that_says_too_much_is_not_asked_again(
    child: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child()
    monkeypatch.setattr(children, "plain_pidfd_open", lambda pid: os.open(os.devnull, os.O_RDONLY))
    waiting = start(children.waitpid, one.pid, 0)
    sleep(0.005)
    one.end()
    assert outcome(waiting) == (one.pid, one.status)


def test_until_gives_up_in_time(child: Any) -> None:
    one = child()
    asked = []

    def attempt() -> None:
        asked.append(True)

    assert children.until(attempt, one.pid, 0) is None
    assert len(asked) == 1
    assert children.until(attempt, one.pid, 0.005) is None
    assert len(asked) >= 2
    one.end()
    children.waitpid(one.pid, 0)


def test_system(start: Start, tmp_path: Any) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = start(children.system, f"read line < {fifo}; exit 5")
    second = start(children.system, f"echo line > {fifo}; exit 6".encode())
    assert (outcome(first), outcome(second)) == (5 << 8, 6 << 8)
    assert os.waitstatus_to_exitcode(children.system("kill -TERM $$")) == -signal.SIGTERM
    assert children.system("no-such-command 2> /dev/null") == 127 << 8
    with pytest.raises(ValueError, match="null"):
        children.system("a\0b")
    with pytest.raises(TypeError):
        children.system(5)


def test_system_that_is_abandoned_is_reaped_by_the_next(tmp_path: Any) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(Timeout), Timeout(0.01):
        children.system(f"read line < {fifo}")
    (pid,) = children._left
    with open(fifo, "w"):
        pass
    if children.plain_waitid is not None:
        children.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with Timeout(LIMIT):
        while children._left:
            children.system("exit 0")


def test_system_ignores_the_keyboard_as_the_c_function_does(program: Run) -> None:
    out = program(
        """
import os, signal, threading
from greenworld.patches import monkey_patch
monkey_patch()
os.system("exit 0")
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGQUIT)
# The shell signals its parent, then itself, whose default has come back.
print(os.system("kill -INT $PPID; kill -QUIT $PPID; exit 4") >> 8)
print(os.waitstatus_to_exitcode(os.system("kill -INT $$")))
threads = [threading.Thread(target=os.system, args=("kill -INT $PPID",)) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGQUIT)) == before)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert out.split() == ["4", str(-signal.SIGINT), "True", "interrupted"]


def test_who_waits_for_a_child_is_not_deadlocked(program: Run) -> None:
    out = program(
        """
import os, subprocess, sys, time
from greenworld.patches import monkey_patch
monkey_patch()
for wait in (lambda pid: os.waitpid(pid, 0), lambda pid: os.wait(), lambda pid: os.wait3(0)):
    # Longer than the hub's patience before it looks for a deadlock.
    pid = os.spawnl(os.P_NOWAIT, "/bin/sh", "sh", "-c", "sleep 0.15; exit 9")
    print(wait(pid)[1] >> 8)
print(os.spawnl(os.P_WAIT, "/bin/sh", "sh", "-c", "exit 8"), os.system("exit 2") >> 8)
"""
    )
    assert out.split() == ["9", "9", "9", "8", "2"]


def test_names_from_before_the_patch(program: Run) -> None:
    out = program(
        """
import os
from os import system, wait, waitpid
from greenworld.patches import monkey_patch
monkey_patch()
print(system is os.system, wait is os.wait, waitpid is os.waitpid, waitpid.__module__)
"""
    )
    assert out == "True True True greenworld.patches.children\n"


def test_wait_in_a_forked_child(program: Run) -> None:
    """eventlet#1030, gevent#2202: a child that waits for children of its own."""
    out = program(
        """
import os, sys, threading, time
from greenworld.patches import monkey_patch
monkey_patch()

def work():
    pid = os.fork()
    if pid == 0:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(0.01)
            os._exit(4)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) + 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

codes = []
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(20)
work()
print(codes)
"""
    )
    assert out == "[5, 5, 5, 5]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_descriptor_is_left(child: Any) -> None:
    one = child()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(Timeout), Timeout(0.005):
        children.waitpid(one.pid, 0)
    assert os.listdir("/proc/self/fd") == before
    one.end()
    assert spawn(children.waitpid, one.pid, 0).wait(LIMIT) == (one.pid, one.status)
    assert len(os.listdir("/proc/self/fd")) == len(before) - 1  # the child's own pipe
