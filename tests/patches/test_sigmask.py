"""Signal masks of green threads, and signals for them."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

Run = Callable[..., str]

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_sigmask"), reason="this system has no signal masks"
)

PATCH = """
from greenworld import monkey_patch, sleep, spawn
monkey_patch()
import os, signal, threading
"""


def test_a_green_thread_that_blocks_signals_leaves_them_to_main(program: Run) -> None:
    out = program(
        PATCH
        + """
seen = []
signal.signal(signal.SIGUSR1, lambda *ignored: seen.append("handled"))

def block():
    assert signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()) == set()
    os.kill(os.getpid(), signal.SIGUSR1)
    sleep(0)

thread = threading.Thread(target=block)
thread.start()
thread.join()
while not seen:
    sleep(0)
print(seen, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    )
    assert out == "['handled'] set()\n"


def test_each_green_thread_has_a_mask_that_begins_as_the_real_one(program: Run) -> None:
    out = program(
        PATCH
        + """
USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2
change, BLOCK, UNBLOCK = signal.pthread_sigmask, signal.SIG_BLOCK, signal.SIG_UNBLOCK

def look():
    first = change(BLOCK, {USR2})
    second = change(UNBLOCK, [USR1])
    third = change(signal.SIG_SETMASK, ())
    print(first == {USR1}, second == {USR1, USR2}, third == {USR2}, change(BLOCK, ()))
    for wrong in (lambda: change(BLOCK, [0]), lambda: change(BLOCK, [signal.NSIG]),
                  lambda: change(1000, [])):
        try:
            wrong()
        except (ValueError, OSError) as error:
            print(type(error).__name__)

change(BLOCK, [USR1])
for _ in range(2):
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
print(change(UNBLOCK, [USR1]) == {USR1}, change(BLOCK, ()))
"""
    )
    each = "True True True set()\nValueError\nValueError\nOSError\n"
    assert out == f"{each}{each}True set()\n"


def test_a_signal_for_a_green_thread_goes_to_its_os_thread(program: Run) -> None:
    out = program(
        PATCH
        + """
from greenworld import Event
seen, done = [], Event()
signal.signal(signal.SIGUSR1, lambda *ignored: seen.append("handled"))
thread = threading.Thread(target=done.wait)
thread.start()
other = threading.Thread(target=lambda: signal.pthread_kill(thread.ident, signal.SIGUSR1))
other.start()
while not seen:
    sleep(0)
done.send()
signal.pthread_kill(threading.get_ident(), 0)
print(seen)
"""
    )
    assert out == "['handled']\n"
