"""Child processes, forks and `multiprocessing` in a patched program."""

from __future__ import annotations

from subprocess import CalledProcessError, TimeoutExpired

import greenworld

greenworld.monkey_patch()

import concurrent.futures
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

LIMIT = 15.0
FORK = multiprocessing.get_context("fork")


def _start(function: Any, *args: Any) -> threading.Thread:
    """A thread that has begun and waits for something."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    for _ in range(10):
        time.sleep(0)
    return thread


def _finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def _double(number: int) -> int:
    return 2 * number


def test_subprocess_run_in_parallel() -> None:
    """3 parallel `subprocess.run`: ok. gevent#622, #857, #1104."""
    (heard, say), (told, tell) = os.pipe(), os.pipe()
    script = "echo ready >&2; cat; echo go"
    out: list[bytes] = []

    def run() -> None:
        done = subprocess.run(
            ["sh", "-c", script], stdin=told, stdout=subprocess.PIPE, stderr=say, check=True
        )
        out.append(done.stdout)

    threads = [_start(run) for _ in range(3)]
    ready = b""
    while ready.count(b"ready\n") < 3:  # all three are running at once
        ready += os.read(heard, 100)
    os.close(tell)  # which ends all three
    _finish(*threads)
    assert out == [b"go\n"] * 3
    for fd in (heard, say, told):
        os.close(fd)


def test_run_with_a_timeout() -> None:
    """`run(timeout=)`: ok; other threads run meanwhile, and it comes in time."""
    reader, writer = os.pipe()

    def tick() -> None:
        for _ in range(20):
            time.sleep(0.001)
        os.close(writer)  # which ends the child

    ticker = _start(tick)
    assert subprocess.run(["cat"], stdin=reader, timeout=LIMIT).returncode == 0
    _finish(ticker)
    os.close(reader)
    try:
        subprocess.run(["sleep", "60"], timeout=0.05)
    except TimeoutExpired:
        pass
    else:
        raise AssertionError("it did not time out")


def test_a_grandchild_does_not_hold_up_the_timeout() -> None:
    """A shell's grandchild that keeps the pipes open cannot hold up `run(timeout=)`."""
    reader, writer = os.pipe()
    script = "exec 3<&0; cat <&3 & cat <&3"
    try:
        subprocess.run(["sh", "-c", script], stdin=reader, capture_output=True, timeout=0.1)
    except TimeoutExpired:
        pass
    else:
        raise AssertionError("it did not time out")
    os.close(writer)  # which ends the grandchild
    os.close(reader)


def test_waitpid() -> None:
    """`os.waitpid` of a child: ok, others run meanwhile. gevent#878, #966, #1573."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(7)
    os.close(reader)
    got: list[tuple[int, int]] = []
    thread = _start(lambda: got.append(os.waitpid(child, 0)))
    assert got == []
    os.close(writer)
    _finish(thread)
    assert [(pid, os.waitstatus_to_exitcode(status)) for pid, status in got] == [(child, 7)]


def test_subprocess_in_a_native_thread() -> None:
    """`subprocess` from a native thread: ok. Elsewhere a TypeError: gevent#2126, #2194."""
    done = greenworld.native.run(
        subprocess.run, ["sh", "-c", "cat; exit 3"], input=b"hello", capture_output=True
    )
    assert (done.returncode, done.stdout) == (3, b"hello")
    # One that has nothing to do with the pool.
    got: list[bytes] = []
    start = greenworld.original("_thread").start_new_thread
    start(lambda: got.append(subprocess.check_output(["echo", "hello"])), ())
    while not got:
        time.sleep(0.001)
    assert got == [b"hello\n"]


def test_much_data_both_ways() -> None:
    """`communicate` with more data than the pipes hold, both ways. gevent#1104."""
    data = os.urandom(1 << 21)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        out, _ = child.communicate(data, timeout=LIMIT)
    assert out == data


def test_exceptions_keep_their_identity() -> None:
    """`except CalledProcessError` catches, also when it was imported before. eventlet#413."""
    assert CalledProcessError is subprocess.CalledProcessError
    try:
        subprocess.run(["sh", "-c", "exit 3"], check=True)
    except CalledProcessError as error:
        assert error.returncode == 3
    else:
        raise AssertionError("it did not raise")


def test_no_handler_for_children() -> None:
    """The disposition of SIGCHLD stays the program's own. gevent#452, #1104."""
    subprocess.run(["true"], check=True)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_fork_in_a_thread() -> None:
    """Fork in a patched Thread: the child's `threading.enumerate()` is 1, main.

    eventlet#1030, #1047, #762, #646, #592, gevent#2020, #2058, #1895, #2023, #1865.
    """
    statuses: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            alone = threading.enumerate() == [threading.main_thread()]
            main = threading.current_thread() is threading.main_thread()
            with threading.Lock():
                os._exit(0 if alone and main and threading.active_count() == 1 else 1)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    other = threading.Event()
    waiting = _start(other.wait)
    _finish(_start(fork))
    other.set()
    _finish(waiting)
    assert statuses == [0]


def test_parents_threads_and_timers_stay_in_the_parent() -> None:
    """None of the parent's green threads or timers runs in the child.

    gevent#2202, #2204, #2196, #955, #957, #236.
    """
    parent = os.getpid()
    seen: list[int] = []
    ended = False

    def tick() -> None:
        while not ended:
            seen.append(os.getpid())
            time.sleep(0.001)

    ticker = _start(tick)
    timer = threading.Timer(0.01, lambda: seen.append(os.getpid()))
    timer.start()
    child = os.fork()
    if child == 0:
        before = len(seen)
        time.sleep(0.05)
        os._exit(len(seen) - before)
    _, status = os.waitpid(child, 0)
    ended = True
    timer.join(LIMIT)
    _finish(ticker)
    assert os.waitstatus_to_exitcode(status) == 0
    assert set(seen) == {parent}


def test_pool_map() -> None:
    """`mp.Pool(fork).map`: ok. It hangs elsewhere: gevent#936, #1876, #2017, eventlet#147."""
    with FORK.Pool(2) as pool:
        assert pool.map(_double, range(20)) == [2 * number for number in range(20)]
        assert pool.apply_async(_double, (4,)).get(LIMIT) == 8
        assert sorted(pool.imap_unordered(_double, range(5))) == [0, 2, 4, 6, 8]


def test_queue_of_multiprocessing() -> None:
    """`mp.Queue`: ok, while other threads run. gevent#936."""
    queue = FORK.Queue()
    got: list[int] = []
    thread = _start(lambda: got.append(queue.get(timeout=LIMIT)))
    child = FORK.Process(target=queue.put, args=(5,))
    child.start()
    _finish(thread)
    child.join(LIMIT)
    assert (got, child.exitcode) == ([5], 0)
    queue.close()
    queue.join_thread()


def test_process_pool_executor() -> None:
    """ProcessPoolExecutor, one task: ok."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=FORK) as executor:
        assert executor.submit(_double, 21).result(LIMIT) == 42


def test_locks_of_multiprocessing() -> None:
    """A semaphore of `multiprocessing` that another process holds stops only who waits for it."""
    lock = FORK.Lock()
    lock.acquire()
    got: list[bool] = []
    thread = _start(lambda: got.append(lock.acquire()))
    assert got == []
    lock.release()
    _finish(thread)
    assert got == [True]
    lock.release()


def test_join_of_a_process() -> None:
    """`Process.join` lets others run; `join(timeout)` returns."""
    reader, writer = os.pipe()

    def wait() -> None:
        os.close(writer)
        os.read(reader, 1)

    child = FORK.Process(target=wait)
    child.start()
    os.close(reader)
    child.join(0.01)
    assert child.is_alive()
    thread = _start(child.join)
    os.close(writer)
    _finish(thread)
    assert child.exitcode == 0


def test_nonblocking_mode_does_not_leak_to_a_child() -> None:
    """O_NONBLOCK never leaks to another holder of the same open file: a child's end of a socket."""
    code = "import os, sys; sys.exit(0 if os.get_blocking(0) and os.read(0, 5) == b'hello' else 1)"
    left, right = socket.socketpair()
    reading = _start(left.recv, 1)  # has waited on it
    right.send(b"x")
    _finish(reading)
    child = subprocess.Popen([sys.executable, "-c", code], stdin=left.fileno())
    right.send(b"hello")
    assert child.wait(LIMIT) == 0
    left.close()
    right.close()
