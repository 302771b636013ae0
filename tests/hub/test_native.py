"""Calls on native threads: outcomes, bounds, abandonment, fork, exit and the deadlock detector."""

import contextvars
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import greenworld
import greenworld.hub
from greenworld.hub import native
from greenworld.hub.native import NativePool
from greenworld.hub.queue import Queue
from greenworld.hub.report import set_error_handler
from greenworld.hub.spawning import spawn
from greenworld.hub.sync import Event
from greenworld.hub.waiter import pool_calls

LIMIT = 20.0
# Where a child process finds the package under test: the checkout or site-packages.
HOME = Path(greenworld.__file__).resolve().parents[1]


def call(pool: NativePool, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return pool.run(function, args, kwargs)


def in_child(code: str, **environ: str) -> str:
    """What a fresh interpreter prints that runs `code`; it must end well."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "PYTHONPATH": str(HOME), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pool() -> Iterator[NativePool]:
    """A pool of two threads that ends with the test."""
    pool = NativePool(2)
    yield pool
    pool.end()


@pytest.fixture
def reported() -> Iterator[Queue[tuple[str, BaseException]]]:
    """The uncaught errors of the test."""
    errors: Queue[tuple[str, BaseException]] = Queue()
    previous = set_error_handler(lambda where, error: errors.put((where, error)))
    yield errors
    set_error_handler(previous)


class Gate:
    """A native call that says when it has begun and does not end before it may."""

    def __init__(self) -> None:
        self.began = Event()
        self.may_end = threading.Event()

    def __call__(self, outcome: object = None) -> object:
        self.began.send()
        assert self.may_end.wait(LIMIT)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def test_returns_what_the_function_returns() -> None:
    assert native.run(divmod, 17, 5) == (3, 2)
    assert native.run(dict, a=1) == {"a": 1}
    assert native.resolve(divmod, 17, 5) == (3, 2)


def test_runs_on_another_native_thread() -> None:
    assert native.run(threading.get_ident) != threading.get_ident()


def fail() -> None:
    raise LookupError("in the function")


def test_raises_what_the_function_raises_with_its_traceback() -> None:
    with pytest.raises(LookupError, match="in the function") as caught:
        native.run(fail)
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "fail"
    assert "perform" not in names


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1)])
def test_passes_on_exceptions_of_every_kind(error: BaseException) -> None:
    def function() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        native.run(function)
    assert caught.value is error
    assert native.run(int) == 0


def test_sees_a_copy_of_the_context_variables() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("caller")

    def function() -> str:
        seen = variable.get()
        variable.set("function")
        return seen

    assert native.run(function) == "caller"
    assert variable.get() == "caller"


def test_other_green_threads_run_meanwhile() -> None:
    gate = Gate()
    waiting = spawn(native.run, gate, "done")
    gate.began.wait(LIMIT)
    assert not waiting.ready()
    gate.may_end.set()
    assert waiting.wait(LIMIT) == "done"


def test_calls_directly_in_a_native_thread_without_a_hub() -> None:
    idents = []

    def body() -> None:
        idents.append(native.run(threading.get_ident))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(LIMIT)
    assert idents == [thread.ident]


def test_serves_the_hub_of_another_native_thread() -> None:
    results: list[tuple[int, int]] = []

    def body() -> None:
        threads = [spawn(native.run, divmod, number, 7) for number in range(50)]
        results.extend(thread.wait(LIMIT) for thread in threads)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(LIMIT)
    assert results == [divmod(number, 7) for number in range(50)]


def test_calls_directly_on_a_pool_thread() -> None:
    def outer() -> tuple[int, int]:
        spawn(int).wait(LIMIT)  # now this native thread has a hub
        return threading.get_ident(), native.run(threading.get_ident)

    outside, inside = native.run(outer)
    assert inside == outside


def test_refuses_in_a_hub_callback(reported: Queue[tuple[str, BaseException]]) -> None:
    called: list[int] = []
    greenworld.hub.get_hub().post(lambda: native.run(called.append, 1))
    _, error = reported.get(timeout=LIMIT)
    assert isinstance(error, greenworld.hub.HubCallbackError)
    assert native.run(len, called) == 0


def test_pool_threads_may_use_every_primitive() -> None:
    there: Queue[int] = Queue()
    back: Queue[int] = Queue(1)

    def echo() -> int:
        for _ in range(100):
            back.put(there.get(timeout=LIMIT) + 1, timeout=LIMIT)
        return spawn(sum, [1, 2, 3]).wait(LIMIT)

    thread = spawn(native.run, echo)
    for number in range(100):
        there.put(number)
        assert back.get(timeout=LIMIT) == number + 1
    assert thread.wait(LIMIT) == 6


def test_a_pool_has_at_most_its_size_of_threads(pool: NativePool) -> None:
    gates = [Gate() for _ in range(5)]
    idents = []

    def body(gate: Gate) -> object:
        idents.append(threading.get_ident())
        return gate()

    threads = [spawn(call, pool, body, gate) for gate in gates]
    for gate in gates[:2]:
        gate.began.wait(LIMIT)
    assert len(set(idents)) == 2
    assert not any(gate.began.ready() for gate in gates[2:])
    for gate in gates:
        gate.may_end.set()
    for thread in threads:
        thread.wait(LIMIT)
    assert len(set(idents)) == 2


def test_calls_one_after_another_share_a_thread(pool: NativePool) -> None:
    assert len({call(pool, threading.get_ident) for _ in range(20)}) == 1


def test_a_call_never_waits_while_there_may_be_one_more_thread(pool: NativePool) -> None:
    call(pool, int)
    gates = [Gate(), Gate()]
    threads = [spawn(call, pool, gate) for gate in gates]
    for gate in gates:
        gate.began.wait(LIMIT)
        assert gate.began.ready()
        gate.may_end.set()
    for thread in threads:
        thread.wait(LIMIT)


def test_a_killed_waiter_leaves_the_call_behind(
    pool: NativePool, reported: Queue[tuple[str, BaseException]]
) -> None:
    gate = Gate()
    thread = spawn(call, pool, gate, LookupError("nobody waits"))
    gate.began.wait(LIMIT)
    thread.kill()
    assert thread.ready()
    gate.may_end.set()
    where, error = reported.get(timeout=LIMIT)
    assert "Gate" in where
    assert isinstance(error, LookupError)
    assert call(pool, int) == 0


def test_a_call_that_nobody_waits_for_never_begins(pool: NativePool) -> None:
    gates = [Gate(), Gate()]
    busy = [spawn(call, pool, gate) for gate in gates]
    for gate in gates:
        gate.began.wait(LIMIT)
    called: list[int] = []
    late = spawn(call, pool, called.append, 1)
    greenworld.hub.sleep(0)
    late.kill()
    for gate in gates:
        gate.may_end.set()
    for thread in busy:
        thread.wait(LIMIT)
    assert call(pool, len, called) == 0


def test_a_kill_that_comes_with_the_outcome_drops_it(
    pool: NativePool, reported: Queue[tuple[str, BaseException]]
) -> None:
    gate = Gate()
    delivered = threading.Event()
    thread = spawn(call, pool, gate, LookupError("too late"))
    gate.began.wait(LIMIT)
    (pending,) = pool._calls
    gate.may_end.set()
    while not pending.delivered:  # without giving way to the waiter
        delivered.wait(0.001)
    thread.kill()
    assert thread.ready()
    assert isinstance(reported.get(timeout=LIMIT)[1], LookupError)
    assert pending not in pool_calls


def test_arguments_are_released_with_the_call(pool: NativePool) -> None:
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    call(pool, id, argument)
    del argument
    assert alive() is None


def test_says_what_it_waits_for(pool: NativePool) -> None:
    gate = Gate()
    thread = spawn(call, pool, gate)
    gate.began.wait(LIMIT)
    assert thread.waiting_on.describe_wait(thread.lot).startswith("native.run of ")
    gate.may_end.set()
    thread.wait(LIMIT)


def test_error_is_clear_when_no_thread_can_start(
    pool: NativePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*ignored: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native, "start_new_thread", refuse)
    with pytest.raises(RuntimeError, match=r"native thread for native\.run of divmod: can't start"):
        call(pool, divmod, 1, 1)
    assert not pool_calls
    monkeypatch.undo()
    assert call(pool, divmod, 7, 2) == (3, 1)


def test_calls_queue_when_no_further_thread_can_start(
    pool: NativePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*ignored: object) -> None:
        raise RuntimeError("can't start new thread")

    first = call(pool, threading.get_ident)
    monkeypatch.setattr(native, "start_new_thread", refuse)
    threads = [spawn(call, pool, threading.get_ident) for _ in range(5)]
    assert {thread.wait(LIMIT) for thread in threads} == {first}


def test_ended_threads_finish_their_calls_and_new_ones_follow(pool: NativePool) -> None:
    gate = Gate()
    thread = spawn(call, pool, gate, "finished")
    gate.began.wait(LIMIT)
    pool.end()
    assert call(pool, int) == 0
    gate.may_end.set()
    assert thread.wait(LIMIT) == "finished"


def test_a_pool_of_size_zero_calls_directly() -> None:
    assert call(NativePool(0), threading.get_ident) == threading.get_ident()


def test_set_size_refuses_a_negative_number() -> None:
    with pytest.raises(ValueError, match="-1"):
        native.set_size(-1)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_idle_threads_block_signals_and_calls_do_not(pool: NativePool) -> None:
    def mask() -> tuple[int, set[int]]:
        return threading.get_native_id(), signal.pthread_sigmask(signal.SIG_BLOCK, ())

    for _ in range(2):
        native_id, blocked = call(pool, mask)
        assert blocked == signal.pthread_sigmask(signal.SIG_BLOCK, ())
        status = Path(f"/proc/self/task/{native_id}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("SigBlk:"))
        assert int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def test_the_last_call_of_a_program_is_no_deadlock() -> None:
    # The main thread waits for nothing but an event that native threads send.
    code = """
from greenworld.hub import native, spawn
from greenworld.hub.sync import Event
for number in range(300):
    event = Event()
    spawn(native.run, event.send, number)
    assert event.wait() == number
    assert native.run(abs, -number) == number
print("fine")
"""
    assert in_child(code) == "fine\n"


DEADLOCK = """
import threading
from greenworld.hub import DeadlockError, native, spawn
from greenworld.hub.sync import Event

def main(prepare):
    prepare()
    try:
        Event().wait()
    except DeadlockError:
        print("deadlock")
"""


@pytest.mark.parametrize(
    "prepare",
    [
        "native.run(int)",
        "[t.wait() for t in [spawn(native.run, int) for _ in range(50)]]",
        "spawn(native.run, int)",
    ],
)
def test_a_deadlock_beside_idle_threads_is_seen(prepare: str) -> None:
    assert in_child(f"{DEADLOCK}\nmain(lambda: {prepare})") == "deadlock\n"


def test_a_deadlock_is_seen_when_an_abandoned_call_ends() -> None:
    code = f"""{DEADLOCK}
import time
def prepare():
    began, may_end = Event(), threading.Event()
    def function():
        began.send()
        may_end.wait()
    thread = spawn(native.run, function)
    began.wait()
    thread.kill()
    spawn(native.run, may_end.set)
main(prepare)
"""
    assert in_child(code) == "deadlock\n"


def test_a_forked_child_starts_with_empty_pools() -> None:
    code = """
import os, threading
from greenworld.hub import native, spawn
from greenworld.hub.sync import Event
began, may_end = Event(), threading.Event()
def function():
    began.send()
    may_end.wait()
busy = spawn(native.run, function)
began.wait()
child = os.fork()
if not child:
    os._exit(native.run(os.getpid) != os.getpid() or native.run(int))
assert os.waitpid(child, 0)[1] == 0
may_end.set()
busy.wait()
print("fine")
"""
    assert in_child(code) == "fine\n"


def test_a_fork_inside_a_call_ends_with_the_call() -> None:
    code = """
import os
from greenworld.hub import native
child = native.run(os.fork)
print(os.waitpid(child, 0)[1], flush=True)
"""
    assert in_child(code) == "0\n"


@pytest.mark.parametrize(("ending", "status"), [("sys.exit(3)", 3), ("1 / 0", 1), ("0", 0)])
def test_a_forked_child_ends_with_the_status_of_the_call(ending: str, status: int) -> None:
    code = f"""
import os, sys
from greenworld.hub import native, set_error_handler
set_error_handler(lambda where, error: print(type(error).__name__, flush=True))
child = native.run(lambda: os.fork() or {ending})
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    reported = "ZeroDivisionError\n" if status == 1 else ""
    assert in_child(code) == f"{reported}{status}\n"


def test_an_error_handler_may_wake_the_last_thread() -> None:
    code = """
import threading
from greenworld.hub import native, set_error_handler, spawn
from greenworld.hub.sync import Event
for _ in range(50):
    began, may_end, seen = Event(), threading.Event(), Event()
    def function():
        began.send()
        may_end.wait()
        raise LookupError
    set_error_handler(lambda where, error: seen.send(type(error).__name__))
    thread = spawn(native.run, function)
    began.wait()
    thread.kill()
    spawn(native.run, may_end.set)
    name = seen.wait()
print(name)
"""
    assert in_child(code) == "LookupError\n"


def test_exit_does_not_wait_for_a_call() -> None:
    code = """
import threading
from greenworld.hub import native, spawn
from greenworld.hub.sync import Event
began = Event()
def function():
    began.send()
    threading.Event().wait()
spawn(native.run, function)
began.wait()
print("fine")
"""
    assert in_child(code) == "fine\n"


@pytest.mark.parametrize("warm", ["native.run(int)", "pass"])
def test_calls_at_exit_are_served_or_refused_clearly(warm: str) -> None:
    code = f"""
import atexit
from greenworld.hub import native
def late():
    try:
        print(native.run(abs, -1))
    except RuntimeError as error:
        assert "shutdown" in str(error), error
        print(1)
atexit.register(late)
{warm}
"""
    assert in_child(code) == "1\n"


def test_size_comes_from_the_environment() -> None:
    code = """
import threading
from greenworld.hub import native
print(native._pool.size, native.run(threading.get_ident) == threading.get_ident())
"""
    assert in_child(code, GREENWORLD_THREADS="0") == "0 True\n"
    assert in_child(code, GREENWORLD_THREADS="3") == "3 False\n"
    assert in_child(code, GREENWORLD_THREADS="") == "20 False\n"


def test_a_senseless_size_in_the_environment_is_refused() -> None:
    code = """
try:
    from greenworld.hub import native
except ValueError as error:
    print(error)
"""
    assert "GREENWORLD_THREADS" in in_child(code, GREENWORLD_THREADS="many")
