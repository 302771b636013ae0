"""Wake-up: how another OS thread ends the sleep of a hub.

Owns an eventfd (a pipe where there is none). One write is enough for any
number of wake-ups; the hub drains it when it is reported.

The main hub's is a pipe, to which signals write too: the interpreter only
notes a signal that arrives just before the hub goes to sleep, or in another
OS thread, and would run its handler when the hub wakes up for another reason.
"""

from __future__ import annotations

import os
from os import close, read, write
from signal import set_wakeup_fd

__all__ = ["Wakeup"]

_ONE = (1).to_bytes(8, "little")


class Wakeup:
    """A descriptor that becomes readable when `signal` was called."""

    __slots__ = ("_hears_signals", "_write_fd", "fd")

    def __init__(self, *, for_signals: bool = False) -> None:
        """`for_signals`: a pipe, for a signal writes one byte and an eventfd wants eight."""
        self._hears_signals = False
        if hasattr(os, "eventfd") and not for_signals:
            self.fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.fd, self._write_fd = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write_fd, False)

    def signal(self) -> None:
        """Make the descriptor readable. Callable from any OS thread; never blocks."""
        try:
            write(self._write_fd, _ONE)
        except BlockingIOError:
            pass  # full of wake-ups that have not been read yet
        except OSError:
            if self.fd >= 0:
                raise

    def hear_signals(self) -> None:
        """Let signals that have a Python handler write here, unless they write elsewhere.

        Only in the main OS thread.
        """
        previous = set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._hears_signals = previous == -1
        if previous != -1:
            set_wakeup_fd(previous)

    def _ignore_signals(self) -> None:
        self._hears_signals = False
        previous = set_wakeup_fd(-1)
        if previous not in (-1, self._write_fd):
            set_wakeup_fd(previous)  # somebody has taken it over

    def drain(self) -> None:
        """Make it unreadable again."""
        try:
            while len(read(self.fd, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the descriptors; a later `signal` does nothing.

        In the main OS thread, if signals were heard.
        """
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._hears_signals:
            self._ignore_signals()
        if self._write_fd != fd:
            close(self._write_fd)
        close(fd)
        self._write_fd = -1
