"""The cooperative counterpart of the standard module `time`: `sleep` lets others run."""

from __future__ import annotations

import time as _stdlib
from operator import index as _index
from time import *  # noqa: F403 - the counterpart offers what the original offers
from typing import Any as _Any

from greenworld.hub.spawning import sleep as _sleep

__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_LONGEST = 9223372036.0
"""Seconds; the original refuses more."""


def sleep(seconds: float, /) -> None:  # type: ignore[no-redef]
    """Let others run for at least `seconds`; with 0, for one round of the run queue.

    **Blocks.** Raises ValueError if it is negative or not a number, TypeError
    and OverflowError as the original does. In an OS thread without a hub it
    sleeps natively. **Source**: `time.sleep`.
    """
    number: _Any = seconds
    if not isinstance(number, float):
        number = _index(number)
    if not 0 <= number <= _LONGEST:
        if number != number:
            raise ValueError("Invalid value NaN (not a number)")
        if number < 0:
            raise ValueError("sleep length must be non-negative")
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    _sleep(number)
