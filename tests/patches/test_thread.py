"""Green threads under the standard `threading`, in fresh interpreters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from greenworld.patches.thread import ThreadHandle

Run = Callable[..., str]

PATCH = "from greenworld.patches import monkey_patch; monkey_patch()\n"


def test_threads_are_green_and_named(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading, time, _thread
from greenworld.hub import GreenThread, getcurrent

def work():
    current = threading.current_thread()
    task = getcurrent()
    assert isinstance(task, GreenThread), task
    assert task.name == current.name == "worker", task.name
    assert current is thread and current.ident == threading.get_ident() == _thread.get_ident()
    assert threading.main_thread() is not current
    assert threading.active_count() == 2 and thread in threading.enumerate()
    order.append("work")

order = []
thread = threading.Thread(target=work, name="worker")
assert not thread.is_alive()
thread.start()
order.append("started")
thread.join(20)
assert not thread.is_alive() and threading.enumerate() == [threading.main_thread()]
assert threading.current_thread() is threading.main_thread()
assert threading.get_ident() == threading.main_thread().ident
print(order)
"""
    )
    assert out == "['work', 'started']\n" or out == "['started', 'work']\n"


def test_join_times_out(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading
event = threading.Event()
thread = threading.Thread(target=event.wait, args=(20,))
thread.start()
thread.join(0.001)
print(thread.is_alive())
thread.join(0)
event.set()
thread.join()
print(thread.is_alive())
for wrong in (threading.current_thread(), threading.Thread()):
    try:
        wrong.join()
    except RuntimeError as error:
        print(error)
"""
    )
    assert out.splitlines() == [
        "True",
        "False",
        "cannot join current thread",
        "cannot join thread before it is started",
    ]


def test_the_process_waits_for_threads_that_are_no_daemons(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading, time
def late(seconds, name):
    ending.wait(20)
    time.sleep(seconds)
    print(name)
ending = threading.Event()
threading.Thread(target=late, args=(0.02, "late")).start()
threading.Thread(target=late, args=(0.01, "early")).start()
threading.Thread(target=late, args=(20, "daemon"), daemon=True).start()
print("main")
ending.set()
"""
    )
    first, *rest = out.splitlines()
    assert (first, sorted(rest)) == ("main", ["early", "late"])


def test_the_main_thread_can_be_joined(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading
def wait():
    threading.main_thread().join(20)
    print("joined", threading.main_thread().is_alive())
threading.Thread(target=wait).start()
print("main ends")
"""
    )
    assert out.splitlines() == ["main ends", "joined False"]


def test_primitives_of_threading(program: Run) -> None:
    out = program(
        PATCH
        + """
import queue, threading
from concurrent.futures import ThreadPoolExecutor, TimeoutError as Late
lock, rlock = threading.Lock(), threading.RLock()
condition, barrier = threading.Condition(), threading.Barrier(3)
items = queue.Queue(1)
counted = []

def work(number):
    for _ in range(3):
        with rlock, rlock, lock:
            items.put(number)
    barrier.wait(20)
    with condition:
        counted.append(number)
        condition.notify()

threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
got = sorted(items.get(timeout=20) for _ in range(9))
with condition:
    assert condition.wait_for(lambda: len(counted) == 3, 20)
for thread in threads: thread.join(20)
print(got, sorted(counted))
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda n: n * n, range(8))))
    gate = threading.Event()
    waiting = pool.submit(gate.wait, 20)
    try:
        waiting.result(0.001)
    except Late:
        gate.set()
    print(waiting.result(20))
simple = queue.SimpleQueue()
try:
    simple.get(timeout=0.001)
except queue.Empty:
    print("empty")
timer = threading.Timer(0.001, simple.put, ["timer"])
timer.start()
print(simple.get(timeout=20))
try:
    lock.acquire(timeout=-2)
except ValueError as error:
    print("ValueError")
"""
    )
    assert out.splitlines() == [
        "[0, 0, 0, 1, 1, 1, 2, 2, 2] [0, 1, 2]",
        "[0, 1, 4, 9, 16, 25, 36, 49]",
        "True",
        "empty",
        "timer",
        "ValueError",
    ]


def test_locals_and_context_variables_are_each_threads_own(program: Run) -> None:
    out = program(
        """
from threading import local as early_local
"""
        + PATCH
        + """
import contextvars, threading, time
variable = contextvars.ContextVar("variable", default="nothing")
values, early = threading.local(), early_local()
values.x = early.x = "main"
variable.set("main")
seen = []
def work(number):
    assert not hasattr(values, "x") and not hasattr(early, "x")
    values.x = early.x = number
    time.sleep(0)
    seen.append((values.x, early.x, variable.get()))
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(20)
print(seen, values.x, early.x)
"""
    )
    expected = "[(0, 0, 'nothing'), (1, 1, 'nothing'), (2, 2, 'nothing')] main main\n"
    assert out == expected


def test_errors_go_to_the_hook_of_threading(program: Run) -> None:
    out = program(
        PATCH
        + """
import _thread, sys, threading
threading.excepthook = lambda args: print("hook:", args.exc_type.__name__, args.thread.name)
thread = threading.Thread(target=lambda: 1 / 0, name="failing")
thread.start(); thread.join(20)
thread = threading.Thread(target=sys.exit, name="leaving")
thread.start(); thread.join(20)
sys.unraisablehook = lambda unraisable: print("handler:", repr(unraisable.exc_value))
done = _thread.allocate_lock(); done.acquire()
def raw(sign, *, error):
    done.release()
    raise error
_thread.start_new_thread(raw, (1,), {"error": KeyError(1)})
done.acquire()
_thread.start_new_thread(raw, (1,), {"error": SystemExit()})
done.acquire()
for wrong in ((1, ()), (print, []), (print, (), [])):
    try:
        _thread.start_new_thread(*wrong)
    except TypeError as error:
        print("TypeError")
"""
    )
    assert out.splitlines() == [
        "hook: ZeroDivisionError failing",
        "hook: SystemExit leaving",
        "handler: KeyError(1)",
        "TypeError",
        "TypeError",
        "TypeError",
    ]


def test_dummy_threads_go_with_their_green_threads(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading
from greenworld.hub import sleep, spawn
def work():
    me = threading.current_thread()
    sleep(0)
    assert me is threading.current_thread() is not threading.main_thread()
    return type(me).__name__
threads = [spawn(work) for _ in range(5)]
print([thread.wait(20) for thread in threads], threading.active_count())
"""
    )
    assert (
        out
        == "['_DummyThread', '_DummyThread', '_DummyThread', '_DummyThread', '_DummyThread'] 1\n"
    )


def test_native_threads_use_and_start_threads(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading, queue
from greenworld.hub import GreenThread, getcurrent, native
from greenworld.hub.current import has_hub
answers = queue.Queue()
event = threading.Event()

def child():
    answers.put(("child", has_hub()))

def work():
    assert threading.current_thread() is not threading.main_thread()
    assert threading.get_ident() == threading.current_thread().ident
    thread = threading.Thread(target=child)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    answers.put(("native", event.wait(20)))

def release():
    event.set()

threading.Thread(target=release).start()
native.run(work)
print(sorted([answers.get(timeout=20), answers.get(timeout=20)]))
"""
    )
    assert out == "[('child', False), ('native', True)]\n"


def test_fork_in_a_thread_makes_it_main(program: Run) -> None:
    out = program(
        PATCH
        + """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
gate = threading.Event()
other = threading.Thread(target=gate.wait, args=(20,))
other.start()

def work():
    child = os.fork()
    if child == 0:
        status = 1
        try:
            me = threading.current_thread()
            assert threading.enumerate() == [me], threading.enumerate()
            assert me is threading.main_thread() is thread
            assert not other.is_alive()
            other.join(1)
            fresh = threading.Thread(target=time.sleep, args=(0.001,))
            fresh.start()
            fresh.join(10)
            status = 0 if not fresh.is_alive() else 3
        finally:
            os._exit(status)
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

thread = threading.Thread(target=work)
thread.start()
thread.join(20)
gate.set()
child = os.fork()
if child == 0:
    threading.Thread(target=time.sleep, args=(0.001,)).start()
    assert threading.current_thread() is threading.main_thread()
else:
    print("main's child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert out.splitlines() == ["child 0", "main's child 0"]


def test_the_deadlock_report_names_threads(program: Run) -> None:
    out = program(
        PATCH
        + """
import threading
from greenworld.hub import DeadlockError
lock = threading.Lock()
lock.acquire()
thread = threading.Thread(target=lock.acquire, name="second", daemon=True)
thread.start()
try:
    thread.join()
except DeadlockError as error:
    print("second waits" in str(error), "<string>" in str(error))
    print(*str(error).splitlines()[1:2])
"""
    )
    assert out.startswith("True True\nmain waits: the end of ")


def test_undo_gives_native_threads_back(program: Run) -> None:
    program(
        """
import _thread, threading, queue, time
before = {m: dict(vars(m)) for m in (_thread, threading, queue, time)}
main = dict(vars(threading.main_thread()))
from greenworld.patches import monkey_patch, undo
monkey_patch()
undo()
for module, names in before.items():
    for name, value in names.items():
        assert vars(module)[name] is value, (module, name)
assert vars(threading.main_thread()) == main
thread = threading.Thread(target=time.sleep, args=(0.001,))
thread.start()
thread.join(20)
"""
    )


def test_uncaught_errors_of_the_lowest_layer_go_to_the_unraisable_hook(program: Run) -> None:
    out = program(
        PATCH
        + """
import _thread, sys

def hook(unraisable):
    seen.append(unraisable)
    done.release()

def fail():
    raise ValueError("lost")

seen = []
done = _thread.allocate_lock()
done.acquire()
sys.unraisablehook = hook
_thread.start_new_thread(fail, ())
done.acquire()
sys.unraisablehook = sys.__unraisablehook__
[unraisable] = seen
assert unraisable.exc_type is ValueError and str(unraisable.exc_value) == "lost"
assert unraisable.exc_traceback.tb_frame.f_code.co_name == "fail"
assert unraisable.err_msg.startswith("Exception ignored in thread started by")
assert unraisable.object is fail or repr(fail) in unraisable.err_msg
"""
    )
    assert out == ""


def test_threads_of_the_lowest_layer_are_counted(program: Run) -> None:
    out = program(
        PATCH
        + """
import _thread, threading, time

def wait():
    started.release()
    go_on.acquire()

before = _thread._count()
started, go_on = _thread.allocate_lock(), _thread.allocate_lock()
started.acquire()
go_on.acquire()
_thread.start_new_thread(wait, ())
thread = threading.Thread(target=lambda: print(_thread._count() - before))
started.acquire()
thread.start()
thread.join()
print(_thread._count() - before)
go_on.release()
while _thread._count() != before:
    time.sleep(0)
"""
    )
    assert out == "2\n1\n"


def test_the_handle_of_a_thread_that_has_not_started() -> None:
    handle = ThreadHandle()
    assert not handle.is_done()
    with pytest.raises(RuntimeError, match="thread not started"):
        handle.join()
    with pytest.raises(RuntimeError, match="thread not started"):
        handle._set_done()
