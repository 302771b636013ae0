"""What `import greenworld` offers, pinned."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import greenworld

# Where a child process finds the package under test: the checkout or site-packages.
HOME = Path(greenworld.__file__).resolve().parents[1]

PUBLIC = """
    monkey_patch is_monkey_patched original import_patched PatchError
    spawn spawn_n spawn_after sleep getcurrent kill GreenThread GreenletExit
    Event Queue LifoQueue PriorityQueue Semaphore BoundedSemaphore Lock RLock Condition
    Timeout with_timeout GreenPool GreenPile local DeadlockError
    connect listen serve StopServe
    native tpool wsgi
""".split()


def test_all_is_the_pinned_list() -> None:
    assert sorted(greenworld.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(greenworld, name))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_methods_are_documented(name: str) -> None:
    public = getattr(greenworld, name)
    if not inspect.isclass(public):
        return
    for attribute, value in vars(public).items():
        if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"


def test_lazy_names_are_listed_by_dir() -> None:
    assert set(PUBLIC) <= set(dir(greenworld))


def test_import_patches_nothing_and_starts_nothing() -> None:
    code = """
import socket, threading, time
before = [socket.socket.recv, socket.create_connection, threading.Thread.start, time.sleep]
import greenworld
after = [socket.socket.recv, socket.create_connection, threading.Thread.start, time.sleep]
assert all(a is b for a, b in zip(before, after)), "import greenworld patches"
assert threading.active_count() == 1, "import greenworld starts threads"
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
