"""Descriptors that a child process inherits: their open files have another holder from then on.

Owns the one function that `subprocess` and `multiprocessing` start programs
with. What the child may see of this process's ways is in `patches/blocking.py`.
"""

from __future__ import annotations

import _posixsubprocess
from typing import Any

from greenworld.patches.blocking import share
from greenworld.patches.channel import forks

__all__ = ["fork_exec"]

plain_fork_exec: Any = _posixsubprocess.fork_exec

PASSED, STANDARD = 3, (6, 9, 11)
"""Positions of the descriptors that are passed, and of those that become the standard streams."""


def fork_exec(*args: Any) -> int:
    """Start a program in a child process and return its pid. **Source**: `_posixsubprocess`."""
    if len(args) > max(STANDARD) and isinstance(args[PASSED], tuple):
        given = (*args[PASSED], *(args[position] for position in STANDARD))
        share(each for each in given if isinstance(each, int))  # the rest it refuses itself
    count = forks.count
    try:
        pid: int = plain_fork_exec(*args)
        return pid
    finally:
        # With a `preexec_fn` it counts as a fork, but no code of ours goes on in the child.
        forks.count = count
