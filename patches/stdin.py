"""`sys.stdin` and `input`, which wait in the green thread only; patched when asked for.

Owns the standard input of a patched program: a text file on descriptor 0 that
takes the place of `sys.stdin`, if that is a pipe or a terminal and nobody has
replaced it by something else. What the former one has read ahead stays in it,
and a name that was copied from `sys` keeps it: patch before anything is read.
"""

from __future__ import annotations

import builtins
import sys
from io import TextIOWrapper as PlainTextIOWrapper
from os import fstat
from typing import TYPE_CHECKING, Any

from greenworld.patches.buffers import BufferedReader, PieceIO, TextIOWrapper
from greenworld.patches.fileio import has_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["input", "settle"]

plain_input = builtins.input


def settle() -> Callable[[], None]:
    """Put a cooperative file in the place of `sys.stdin`; returns the undo."""
    old: Any = sys.stdin
    new = _counterpart(old)
    if new is None:
        return lambda: None
    sys.stdin = new

    def undo() -> None:
        if sys.stdin is new:
            sys.stdin = old

    return undo


def _counterpart(old: Any) -> Any:
    """A file on the same descriptor; None where there is nothing to wait for."""
    if not isinstance(old, PlainTextIOWrapper) or isinstance(old, TextIOWrapper):
        return None
    try:
        fd = old.fileno()
        if not has_to_wait(fstat(fd).st_mode, fd):
            return None
    except (OSError, ValueError):
        return None  # closed, or a replacement without a descriptor
    raw = PieceIO(fd, "r", closefd=False)
    raw.name = old.name
    by_line = old.line_buffering
    new: Any = TextIOWrapper(BufferedReader(raw), old.encoding, old.errors, "\n", by_line)
    new.mode = old.mode
    return new


def input(prompt: object = "", /) -> str:
    """Write `prompt`, read a line and return it without its end. **Blocks**.

    Raises EOFError at the end. On a terminal the kernel's line editing is at
    work, and no history, as natively without `readline`. **Source**: `input`.
    """
    stdin: Any = sys.stdin
    if not isinstance(stdin, TextIOWrapper) or not stdin.isatty():
        return plain_input(prompt)
    sys.audit("builtins.input", prompt)
    if sys.stdout is None:
        raise RuntimeError("input(): lost sys.stdout")
    if sys.stderr is not None:
        sys.stderr.flush()
    sys.stdout.write(str(prompt))
    sys.stdout.flush()
    line: str = stdin.readline()
    if not line:
        raise EOFError("EOF when reading a line")
    line = line.removesuffix("\n")
    sys.audit("builtins.input/result", line)
    return line
