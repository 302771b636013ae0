"""Signals in patched programs: handlers, waits, and the wake-up descriptor."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from greenworld.patches import signal as green_signal

Run = Callable[..., str]

PATCH = """
import os, signal, sys, threading, time, _thread
from greenworld.hub import spawn
from greenworld.patches import monkey_patch, undo
monkey_patch()

def soon(number=signal.SIGALRM):
    # Runs when main has begun to wait.
    spawn(os.kill, os.getpid(), number)
"""


def test_a_handler_runs_in_the_main_thread_while_the_hub_sleeps(program: Run) -> None:
    out = program(
        PATCH
        + """
def handler(number, frame):
    with lock:  # which main holds
        print(number == signal.SIGALRM, threading.current_thread() is threading.main_thread())
        time.sleep(0.001)  # it may block
        names.append([f.name for f in __import__("traceback").extract_stack(frame)])
        event.set()

names = []
lock, event = threading.RLock(), threading.Event()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02)
with lock:
    print(event.wait(20))
print("wait" in names[0])
"""
    )
    assert out.split() == ["True", "True", "True", "True"]


def test_a_handler_strikes_a_green_thread_and_runs_in_main(program: Run) -> None:
    """gevent#1683, gevent#392: what a handler raises lands in main, and nowhere else."""
    out = program(
        PATCH
        + """
def handler(number, frame):
    print(threading.current_thread() is threading.main_thread())
    raise LookupError("from the handler")

def work():
    os.kill(os.getpid(), signal.SIGUSR1)
    with mutex:  # no re-entry into what the struck thread holds
        print("spared")
    time.sleep(0)
    print("still there")

mutex = threading.Lock()
signal.signal(signal.SIGUSR1, handler)
thread = spawn(work)
try:
    thread.join(20)
except LookupError as error:
    print(error)
print(thread.join(20))
"""
    )
    assert out.splitlines() == ["spared", "True", "still there", "from the handler", "True"]


def test_a_handler_may_wait_for_what_the_struck_thread_holds(program: Run) -> None:
    out = program(
        PATCH
        + """
import queue
def handler(number, frame):
    with mutex:
        items.put("handled")

def work():
    with mutex:
        signal.raise_signal(signal.SIGUSR1)
        time.sleep(0.005)

mutex, items = threading.Lock(), queue.Queue()
signal.signal(signal.SIGUSR1, handler)
threading.Thread(target=work).start()
print(items.get(timeout=20))
"""
    )
    assert out == "handled\n"


def test_a_second_signal_interrupts_a_thread_that_never_gives_way(program: Run) -> None:
    out = program(
        PATCH
        + """
done = []
signal.signal(signal.SIGALRM, lambda number, frame: done.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
def spin():
    while not done:
        pass
thread = threading.Thread(target=spin)
thread.start()
thread.join(20)
signal.setitimer(signal.ITIMER_REAL, 0)
print(set(done) == {signal.SIGALRM})
"""
    )
    assert out == "True\n"


def test_handlers_are_told_as_they_were_set(program: Run) -> None:
    out = program(
        """
import signal
def early(number, frame):
    print("early", number == signal.SIGUSR2)
signal.signal(signal.SIGUSR2, early)
"""
        + PATCH
        + """
def handler(number, frame):
    pass
class Callable:
    def __call__(self, number, frame):
        pass
print(signal.getsignal(signal.SIGUSR2) is early)
os.kill(os.getpid(), signal.SIGUSR2)
print(signal.signal(signal.SIGUSR1, handler) == signal.SIG_DFL)
print(signal.getsignal(signal.SIGUSR1) is handler)
one = Callable()
print(signal.signal(signal.SIGUSR1, one) is handler)
print(signal.signal(signal.SIGUSR1, signal.SIG_IGN) is one)
print(signal.signal(signal.SIGUSR1, signal.SIG_DFL) == signal.SIG_IGN)
time.sleep(0)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(signal.signal(signal.SIGTERM, signal.default_int_handler) == signal.SIG_DFL)
print(signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.default_int_handler)
for wrong in (5, None, "handler"):
    try:
        signal.signal(signal.SIGUSR1, wrong)
    except TypeError:
        print("refused")
try:
    signal.signal(signal.SIGKILL, handler)
except OSError:
    print("refused")
signal.signal(signalnum=signal.SIGUSR1, handler=handler)
undo()
print(signal.getsignal(signal.SIGUSR1) is handler, signal.getsignal(signal.SIGUSR2) is early)
"""
    )
    assert out.split() == ["True", "early", *["True"] * 9, *["refused"] * 4, "True", "True"]


def test_only_the_main_thread_may_set_handlers(program: Run) -> None:
    out = program(
        PATCH
        + """
from greenworld.hub import native
def set_handler():
    for call in (lambda: signal.signal(signal.SIGUSR1, print), lambda: signal.set_wakeup_fd(-1)):
        try:
            call()
        except ValueError as error:
            print("only works in main thread" in str(error))
thread = threading.Thread(target=set_handler)
thread.start()
thread.join(20)
native.run(set_handler)
print(signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL)
"""
    )
    assert out.split() == ["True"] * 5


def test_a_lock_is_interrupted_by_what_a_handler_raises(program: Run) -> None:
    out = program(
        PATCH
        + """
def fail(number, frame):
    raise TimeoutError("too late")

def note(number, frame):
    print("noted")
    threading.Thread(target=lambda: (time.sleep(0.005), lock.release())).start()

lock = threading.Lock()
lock.acquire()
for wait in (lock.acquire, lambda: lock.acquire(timeout=20), threading.Event().wait,
             lambda: time.sleep(20), lambda: os.read(reader, 1)):
    reader, writer = os.pipe()
    signal.signal(signal.SIGALRM, fail)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        wait()
    except TimeoutError as error:
        print(error)
    os.close(reader); os.close(writer)
signal.signal(signal.SIGALRM, note)
signal.setitimer(signal.ITIMER_REAL, 0.01)
print(lock.acquire())
"""
    )
    assert out.splitlines() == ["too late"] * 5 + ["noted", "True"]


def test_interrupt_main(program: Run) -> None:
    out = program(
        PATCH
        + """
from greenworld.hub import native
def soon():
    time.sleep(0.005)
    _thread.interrupt_main()
for start in (lambda: threading.Thread(target=soon).start(),
              lambda: threading.Thread(target=lambda: native.run(_thread.interrupt_main)).start(),
              lambda: threading.Timer(0.001, signal.raise_signal, [signal.SIGINT]).start()):
    others = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(3)]
    for thread in others: thread.start()
    try:
        start()
        time.sleep(20)
    except KeyboardInterrupt:
        print("interrupted")
    for thread in others: thread.join(20)
signal.signal(signal.SIGTERM, lambda number, frame: print(number == signal.SIGTERM))
_thread.interrupt_main(signal.SIGTERM)
"""
    )
    assert out.split() == ["interrupted"] * 3 + ["True"]


def test_pause(program: Run) -> None:
    out = program(
        PATCH
        + """
def handler(number, frame):
    time.sleep(0.001)
    print("handled")
signal.signal(signal.SIGALRM, handler)
os.kill(os.getpid(), signal.SIGALRM)  # which is over when pause begins
for _ in range(2):
    soon()
    signal.pause()
    print("paused")
def fail(number, frame):
    raise LookupError
signal.signal(signal.SIGALRM, fail)
soon()
try:
    signal.pause()
except LookupError:
    print("raised")
pauser = threading.Thread(target=signal.pause)
pauser.start()
time.sleep(0)
signal.signal(signal.SIGALRM, handler)
os.kill(os.getpid(), signal.SIGALRM)
pauser.join(20)
print(pauser.is_alive())
"""
    )
    assert out.split() == [
        *("handled", "handled", "paused", "handled", "paused", "raised", "handled", "False")
    ]


def test_pause_is_no_deadlock(program: Run) -> None:
    """Without handlers it waits for the signal that ends the process."""
    out = program(
        PATCH
        + """
import subprocess
code = '''
import signal
from greenworld.patches import monkey_patch
monkey_patch()
print("pausing", flush=True)
signal.pause()
'''
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
print(os.read(child.stdout.fileno(), 7))
time.sleep(0.2)  # longer than the hub's patience before it looks for a deadlock
child.send_signal(signal.SIGTERM)
print(child.wait(20) == -signal.SIGTERM)
child.stdout.close()
"""
    )
    assert out.splitlines() == ["b'pausing'", "True"]


def test_waits_for_blocked_signals(program: Run) -> None:
    out = program(
        PATCH
        + """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
turns = []
def tick():
    while turns is not None:
        turns.append(1)
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def send(number):
    before = len(turns)
    while len(turns) < before + 3:
        time.sleep(0.001)
    os.kill(os.getpid(), number)
def later(number):
    threading.Thread(target=send, args=(number,)).start()
later(signal.SIGUSR1)
got = signal.sigwait({signal.SIGUSR1, signal.SIGUSR2})
print(got is signal.SIGUSR1)
if hasattr(signal, "sigtimedwait"):
    later(signal.SIGUSR2)
    print(signal.sigwaitinfo([signal.SIGUSR2]).si_signo == signal.SIGUSR2)
    later(signal.SIGUSR2)
    print(signal.sigtimedwait([signal.SIGUSR2], 20).si_signo == signal.SIGUSR2)
    print(signal.sigtimedwait([signal.SIGUSR2], 0.005), signal.sigtimedwait([signal.SIGUSR2], 0))
    try:
        signal.sigtimedwait([signal.SIGUSR2], -1)
    except ValueError:
        print("negative")
"""
    )
    assert out.split()[0] == "True"
    if hasattr(signal, "sigtimedwait"):
        assert out.split() == ["True", "True", "True", "None", "None", "negative"]


def test_sigwait_without_sigtimedwait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(green_signal, "_plain_sigtimedwait", None)
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        signal.pthread_kill(__import__("threading").get_ident(), signal.SIGUSR1)
        assert green_signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def test_the_programs_wakeup_descriptor(program: Run) -> None:
    out = program(
        PATCH
        + """
signal.signal(signal.SIGALRM, lambda number, frame: None)
def heard(fd):
    soon()
    signal.pause()
    return os.read(fd, 100) == bytes([signal.SIGALRM])

(first, one), (second, two) = os.pipe(), os.pipe()
os.set_blocking(one, False)
print(signal.set_wakeup_fd(one) == -1, heard(first))
try:
    signal.set_wakeup_fd(two)
except ValueError as error:
    print("non-blocking" in str(error))
print(heard(first))
os.set_blocking(two, False)
print(signal.set_wakeup_fd(two, warn_on_full_buffer=False) == one, heard(second))
try:
    signal.set_wakeup_fd(9999)
except (ValueError, OSError):
    print(heard(second))
print(signal.set_wakeup_fd(-1) == two, signal.set_wakeup_fd(-1) == -1)
soon()
signal.pause()
for fd in (first, second):
    os.set_blocking(fd, False)
    try:
        os.read(fd, 1)
    except BlockingIOError:
        print("silent")
"""
    )
    assert out.split() == [*["True"] * 9, "silent", "silent"]


def test_a_wakeup_descriptor_from_before_the_patch(program: Run) -> None:
    out = program(
        """
import os, signal
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
"""
        + PATCH
        + """
signal.signal(signal.SIGALRM, lambda number, frame: None)
for _ in range(2):
    soon()
    signal.pause()
    print(os.read(reader, 10) == bytes([signal.SIGALRM]))
undo()
print(signal.set_wakeup_fd(-1) == writer)
"""
    )
    assert out.split() == ["True"] * 3


def test_a_full_wakeup_descriptor_is_reported_if_asked_for(program: Run) -> None:
    out = program(
        PATCH
        + """
from greenworld.hub import set_error_handler
reported = []
set_error_handler(lambda where, error: reported.append((where, type(error))))
signal.signal(signal.SIGALRM, lambda number, frame: None)
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, bytes(4096))
except BlockingIOError:
    pass
for warn in (False, True):
    signal.set_wakeup_fd(writer, warn_on_full_buffer=warn)
    soon()
    signal.pause()
    time.sleep(0.001)  # the hub passes it on when it looks for events
    print(reported)
"""
    )
    assert out.splitlines()[0] == "[]"
    assert "BlockingIOError" in out.splitlines()[1]


def test_a_forked_child_keeps_the_programs_wakeup_descriptor(program: Run) -> None:
    out = program(
        PATCH
        + """
signal.signal(signal.SIGALRM, lambda number, frame: None)
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
def fork():
    pid = os.fork()
    if pid == 0:
        soon()
        signal.pause()
        os._exit(os.read(reader, 10) == bytes([signal.SIGALRM]))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
fork()
thread = threading.Thread(target=fork)
thread.start()
thread.join(20)
"""
    )
    assert out.split() == ["1", "1"]


def test_asyncio_hears_of_signals(program: Run) -> None:
    out = program(
        PATCH
        + """
import asyncio
async def main():
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, heard.set)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    await asyncio.wait_for(heard.wait(), 20)
    print("heard")
asyncio.run(main())
signal.signal(signal.SIGALRM, lambda number, frame: print("again"))
soon()
signal.pause()
"""
    )
    assert out.split() == ["heard", "again"]
