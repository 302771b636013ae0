"""How programs that patch everything end: deadlocks, Ctrl-C, exit."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Run = Callable[..., str]
Complete = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.slow


def test_nothing_can_ever_wake_main(program: Run) -> None:
    """Nothing can ever wake main: a report with names; a mute hang elsewhere.

    gevent#368, #585, #863, #2010, #2019, #2043, #2059, psycogreen#6.
    """
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import queue, threading, time

first, second = threading.Lock(), threading.Lock()

def take(mine, other):
    with mine:
        time.sleep(0.001)
        with other:
            pass

threads = [
    threading.Thread(target=take, args=(first, second), name="worker-1", daemon=True),
    threading.Thread(target=take, args=(second, first), name="worker-2", daemon=True),
]
for thread in threads: thread.start()
try:
    threads[0].join()
except greenworld.DeadlockError as error:
    print(error)
"""
    )
    for words in ("worker-1", "worker-2", "main waits", "held by worker-1", "held by worker-2"):
        assert words in out, out


def test_interrupt_reaches_main_alone(program: Run) -> None:
    """Ctrl-C: KeyboardInterrupt in main, wherever the signal finds the program.

    In an arbitrary green thread elsewhere: gevent#298, #1683, #392.
    """
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
hit = []

def spin():
    try:
        for _ in range(200):
            time.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(200):
            sum(range(100))
            time.sleep(0)
    except BaseException as error:
        hit.append(error)

threads = [threading.Thread(target=spin) for _ in range(3)]
never = threading.Event()
caught = 0
for thread in threads:
    thread.start()
    try:
        never.wait(15)
    except KeyboardInterrupt:
        caught += 1
for thread in threads: thread.join(15)
print(caught, hit)
"""
    )
    assert out == "3 []\n"


def test_interrupt_ends_a_blocked_acquire(program: Run) -> None:
    """A blocked `acquire` ends when a handler raises, also through `_thread.interrupt_main`."""
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import _thread, os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
lock = threading.Lock()
lock.acquire()
waits = False

def strike(how):
    while not waits:
        time.sleep(0)
    how()

for how in (lambda: os.kill(os.getpid(), signal.SIGINT), _thread.interrupt_main):
    thread = threading.Thread(target=strike, args=(how,))
    thread.start()
    waits = True
    try:
        lock.acquire(timeout=15)
    except KeyboardInterrupt:
        print("interrupted", lock.locked())
    waits = False
    thread.join(15)
# One that returns: acquire goes on.
signal.signal(signal.SIGINT, lambda *_: lock.release())
threading.Thread(target=strike, args=(_thread.interrupt_main,)).start()
waits = True
print(lock.acquire(timeout=15))
"""
    )
    assert out.splitlines() == ["interrupted True", "interrupted True", "True"]


def test_thread_still_working_at_exit(program: Run) -> None:
    """Non-daemon thread still working at exit: waited for. Its work is lost elsewhere."""
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import atexit, threading, time

def work():
    for number in range(3):
        time.sleep(0.005)
    print("worked")

atexit.register(print, "at exit")
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("main ends")
"""
    )
    assert out.splitlines() == ["main ends", "worked", "at exit"]


def test_exit_with_everything_alive_is_quiet(program: Run) -> None:
    """The interpreter ends without a word whatever still lives.

    gevent#1462, #1839, #2188, #2173, eventlet#1101.
    """
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import atexit, concurrent.futures, logging, queue, socket, sys, threading, time, weakref

logging.basicConfig(stream=sys.stdout, format="%(message)s")
log = logging.getLogger()
left, right = socket.socketpair()
box, lock, local = queue.Queue(), threading.Lock(), threading.local()
local.value = 1

class Late:
    def __del__(self):
        with lock:
            log.warning("late")

late = Late()
keep = weakref.finalize(late, lambda: None)
executor = concurrent.futures.ThreadPoolExecutor(2)
executor.submit(time.sleep, 0.001)
for wait in (box.get, lambda: left.recv(1), lambda: time.sleep(1000)):
    threading.Thread(target=wait, daemon=True).start()
time.sleep(0)

def at_exit():
    event = threading.Event()
    threading.Timer(0.001, event.set).start() if sys.version_info < (3, 12) else event.set()
    event.wait(15)
    with lock:
        box.put(1)
    print("at exit")

atexit.register(at_exit)
print("main ends")
"""
    )
    assert out.splitlines()[:2] == ["main ends", "at exit"]


FORKS = """
import sys
if sys.argv[1] == "patched":
    import greenworld
    greenworld.monkey_patch()
import atexit, os, threading
atexit.register(print, "exit function")

def fork(end):
    if os.fork() == 0:
        main = threading.current_thread() is threading.main_thread()
        print("child", threading.active_count(), main, flush=True)
        return end()
    print("status", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)

for end in (lambda: sys.exit(3), lambda: None, lambda: os._exit(4)):
    thread = threading.Thread(target=fork, args=(end,))
    thread.start()
    thread.join(15)
fork(lambda: sys.exit(5))
"""


def test_children_end_as_natively(complete: Complete) -> None:
    """A child forked by a thread, or by main, ends as an unpatched one does.

    The same threads, status and output, and exit functions only where it was main that forked.
    """
    native, patched = (
        complete("-W", "ignore", "-c", FORKS, which) for which in ("native", "patched")
    )
    assert (patched.returncode, patched.stdout) == (native.returncode, native.stdout)
    assert patched.stdout.startswith("child 1 True\nstatus 0\n")
    assert patched.stderr == native.stderr == ""


def test_uncaught_errors_of_threads_are_reported_as_ever(complete: Complete) -> None:
    """`threading.excepthook` prints what a thread raises; the program goes on."""
    code = """
import greenworld
greenworld.monkey_patch()
import threading
def fail():
    raise ValueError("on purpose")
thread = threading.Thread(target=fail, name="failing")
thread.start()
thread.join(15)
print("goes on")
"""
    done = complete("-c", code)
    assert (done.returncode, done.stdout) == (0, "goes on\n")
    assert done.stderr.startswith("Exception in thread failing:\nTraceback")
    assert done.stderr.endswith("ValueError: on purpose\n")


def test_import_of_a_slow_module(program: Run, tmp_path: object) -> None:
    """Two green threads import one slow module: none sees half of it. eventlet#442, #7."""
    out = program(
        """
import greenworld
greenworld.monkey_patch()
import sys, threading, time
sys.path.insert(0, sys.argv[1])
with open(sys.argv[1] + "/slow.py", "w") as file:
    file.write("import time\\nfirst = 1\\ntime.sleep(0.01)\\nlast = 2\\n")
# Two modules that import each other, each begun by a thread of its own.
for name, other in (("circle_a", "circle_b"), ("circle_b", "circle_a")):
    with open(f"{sys.argv[1]}/{name}.py", "w") as file:
        file.write(f"import time\\ntime.sleep(0.005)\\nimport {other}\\ndone = True\\n")
seen = []
def load(name, attribute):
    seen.append(getattr(__import__(name), attribute))
threads = [threading.Thread(target=load, args=("slow", "last")) for _ in range(3)]
circle = ("circle_a", "circle_b")
threads += [threading.Thread(target=load, args=(name, "__name__")) for name in circle]
for thread in threads: thread.start()
for thread in threads: thread.join(15)
print(sorted(map(str, seen)), sys.modules["circle_a"].done, sys.modules["circle_b"].done)
""",
        str(tmp_path),
    )
    assert out == "['2', '2', '2', 'circle_a', 'circle_b'] True True\n"
