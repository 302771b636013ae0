"""Every test ends with no more sockets, pipes and green threads than it began with.

Fresh interpreters, for what patches a whole process.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import greenworld.patches
from greenworld.hub import GreenThread, sleep
from greenworld.hub.current import get_hub, has_hub

DESCRIPTORS = Path("/proc/self/fd")
LAST_CHANCE = 5.0
HOME = Path(greenworld.patches.__file__).resolve().parents[1]
LIMIT = 40.0

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background of a shell: the programs that the tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_channels() -> set[str]:
    """Names of this process's sockets and pipes; empty where the system does not tell."""
    if not DESCRIPTORS.is_dir():
        return set()
    names = set()
    for entry in os.listdir(DESCRIPTORS):
        try:
            name = os.readlink(DESCRIPTORS / entry)
        except FileNotFoundError:  # the listing's own descriptor
            continue
        if name.startswith(("socket:", "pipe:")):
            names.add(f"fd {entry}: {name}")
    return names


def green_threads() -> set[GreenThread[object]]:
    """The green threads of this OS thread that have begun and not ended."""
    if not has_hub():
        return set()
    sleep(0)
    tasks = {carrier.task for carrier in get_hub().carriers}
    return {task for task in tasks if isinstance(task, GreenThread)}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    get_hub()  # which stays, with its pipe
    channels, threads = open_channels(), green_threads()
    yield
    left = [thread for thread in green_threads() - threads if not thread.join(LAST_CHANCE)]
    assert left == [], "the test left these green threads"
    if open_channels() - channels:
        gc.collect()
        assert open_channels() - channels == set(), "the test left these open"


def complete_program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with these arguments and variables, run to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(HOME), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def run_program(code: str, *arguments: str, **environ: str) -> str:
    """What a fresh interpreter prints for `code`; it must end well and without a word on stderr."""
    done = complete_program("-c", textwrap.dedent(code), *arguments, **environ)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def program() -> Callable[..., str]:
    return run_program


@pytest.fixture(scope="session")
def complete() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python ARGUMENTS…` whatever becomes of it; keywords go to its environment."""
    return complete_program
