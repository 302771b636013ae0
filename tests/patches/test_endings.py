"""Forked children and the interpreter's exit in patched programs: quiet, and as natively."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., str]
Complete = Callable[..., Any]

PATCH = """
import atexit, logging, os, queue, signal, sys, threading, time
from greenworld.patches import monkey_patch
monkey_patch()

def say(*words):  # in one piece, whoever speaks at the same time
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def in_thread(function):
    thread = threading.Thread(target=function, name="forker")
    thread.start()
    thread.join(30)
"""


def test_a_child_has_one_thread_which_is_main(program: Run) -> None:
    """eventlet#1030, gevent#2020: three threads or two, and none of them main."""
    out = program(
        PATCH
        + """
def fork():
    pid = os.fork()
    if pid == 0:
        current = threading.current_thread()
        say(threading.enumerate() == [current], threading.active_count(),
            current is threading.main_thread(), current.ident == threading.get_ident(),
            current.is_alive(), current.daemon)
        other = threading.Thread(target=say, args=("a thread of the child",))
        other.start()
        other.join(20)
        say(threading.active_count())
        os._exit(0)
    say(status(pid))

parked = threading.Thread(target=threading.Event().wait, args=(60,), daemon=True)
parked.start()
timer = threading.Timer(60, say, ["never"])
timer.start()
fork()
in_thread(fork)
timer.cancel()
"""
    )
    once = ["True 1 True True True False", "a thread of the child", "1", "0"]
    assert out.splitlines() == once * 2


def test_nothing_of_the_parents_runs_in_a_child(program: Run) -> None:
    """gevent#2202, gevent#2196: timers and green threads fire twice."""
    out = program(
        PATCH
        + """
def note(what):
    say(what, "in", "parent" if os.getpid() == parent else "child")

def background():
    try:
        while True:
            time.sleep(0.001)
            if os.getpid() != parent:
                note("background")
    finally:
        note("unwound")

def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(0.05)  # the timer of the parent is long due
        os._exit(0)
    say(status(pid))

parent = os.getpid()
atexit.register(note, "exit")
for start in (fork, lambda: in_thread(fork)):
    timer = threading.Timer(0.02, note, ["timer"])
    timer.start()
    start()
    timer.join(20)
threading.Thread(target=background, daemon=True).start()
time.sleep(0.002)
fork()
in_thread(fork)
"""
    )
    assert sorted(out.splitlines()) == sorted(
        ["0", "timer in parent", "0", "timer in parent", "0", "0", "exit in parent"]
    )


@pytest.mark.parametrize(
    ("ending", "hook"),
    [("return", None), ("sys.exit(5)", "SystemExit"), ("raise LookupError", "LookupError")],
)
def test_a_child_of_a_thread_ends_with_that_thread(
    program: Run, ending: str, hook: str | None
) -> None:
    """As natively: with status 0, and without the parent's exit functions."""
    out = program(
        PATCH
        + f"""
threading.excepthook = lambda details: say(details.exc_type.__name__)
atexit.register(say, "exit")
def later():
    time.sleep(0.01)
    say("later")
def fork():
    print("buffered")
    pid = os.fork()
    if pid == 0:
        threading.Thread(target=later).start()
        {ending}
    else:
        say(status(pid))
in_thread(fork)
sys.stdout.flush()
""",
        PYTHONUNBUFFERED="",
    )
    lines = out.splitlines()
    lines.remove("buffered")  # and not a second time
    assert lines[-2:] == ["0", "exit"]
    error = [] if hook is None else [hook]
    assert sorted(lines[:-2]) == [*error, "later"]


def test_locks_are_free_in_a_child(program: Run) -> None:
    """eventlet#432: a lock of logging that another thread holds at the fork."""
    out = program(
        PATCH
        + """
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
handler = logging.getLogger().handlers[0]
def hold():
    with handler.lock:
        held.set()
        release.wait(60)

def fork():
    pid = os.fork()
    if pid == 0:
        logging.info("logged in the child")
        sys.stdout.flush()
        items = queue.Queue()
        threading.Thread(target=items.put, args=(1,)).start()
        os._exit(items.get(timeout=20))
    say(status(pid))

held, release = threading.Event(), threading.Event()
holder = threading.Thread(target=hold)
holder.start()
held.wait(20)
fork()
in_thread(fork)
release.set()
holder.join(20)
logging.info("logged in the parent")
"""
    )
    assert out.splitlines() == ["logged in the child", "1"] * 2 + ["logged in the parent"]


def test_a_child_may_fork_and_wait(program: Run) -> None:
    out = program(
        PATCH
        + """
def fork(depth):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.001)
        if depth:
            in_thread(lambda: fork(depth - 1))
        os._exit(depth)
    say(depth, status(pid))
fork(2)
"""
    )
    assert out.splitlines() == ["0 0", "1 1", "2 2"]


def test_exit_waits_for_threads_that_are_no_daemons(program: Run) -> None:
    """eventlet loses their work."""
    out = program(
        PATCH
        + """
from concurrent.futures import ThreadPoolExecutor
ending = threading.Event()
def late(seconds, word):
    ending.wait(20)
    time.sleep(seconds)
    say(word)
def nested():
    ending.wait(20)
    time.sleep(0.005)
    threading.Thread(target=late, args=(0.005, "nested")).start()
def leave():
    sys.exit("not a word of this")
for target in (nested, leave):
    threading.Thread(target=target).start()
threading.Thread(target=late, args=(0.05, "late")).start()
threading.Thread(target=late, args=(60, "never"), daemon=True).start()
executor = ThreadPoolExecutor(2)
executor.submit(late, 0.03, "executed")
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
def at_exit():
    logging.info("logged at exit")
    done = threading.Event()
    print(done.wait(0.001), threading.current_thread() is threading.main_thread())
atexit.register(at_exit)
class Finaliser:
    def __init__(self):
        self.lock, self.log = threading.RLock(), logging.getLogger()
    def __del__(self):
        with self.lock:
            pass
kept = Finaliser()
say("main ends")
ending.set()
"""
    )
    lines = out.splitlines()
    assert lines[:1] + lines[-2:] == ["main ends", "logged at exit", "False True"]
    assert sorted(lines[1:-2]) == ["executed", "late", "nested"]


@pytest.mark.parametrize(
    ("ending", "code", "says"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('goodbye')", 1, "goodbye\n"),
        ("os._exit(4)", 4, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt\n"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15, ""),
    ],
)
def test_exit_codes(complete: Complete, tmp_path: Path, ending: str, code: int, says: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        PATCH
        + f"""
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
threading.Thread(target=time.sleep, args=(0.001,)).start()
{ending}
"""
    )
    done = complete(str(path))
    assert done.returncode == code
    assert done.stderr.endswith(says)
    assert bool(says) == bool(done.stderr)
