"""Wake-up: how another OS thread ends the sleep of a hub.

Owns an eventfd (a pipe where there is none). One write is enough for any
number of wake-ups; the hub drains it when it is reported.

The main hub's is a pipe, to which signals write too: the interpreter only
notes a signal that arrives just before the hub goes to sleep, or in another
OS thread, and would run its handler when the hub wakes up for another reason.
A signal writes its number, a wake-up a zero; the numbers are passed on to the
descriptor that the program has asked for.
"""

from __future__ import annotations

import os
from errno import EBADF
from os import close, read, write
from signal import set_wakeup_fd

from greenworld.hub.report import report_error

__all__ = ["SignalTap", "Wakeup", "tap"]

_ONE = (1).to_bytes(8, "little")
_ZERO = b"\0"


class SignalTap:
    """The descriptor to which a program wants the numbers of signals written, as it believes."""

    __slots__ = ("claimed", "fd", "warns")

    def __init__(self) -> None:
        self.claimed = False
        """Whether the hub may take the interpreter's own slot from the program and write here."""
        self.fd = -1
        self.warns = True

    def tell(self, numbers: bytes) -> None:
        """Write the numbers of the signals that have arrived. Never blocks."""
        if self.fd < 0:
            return
        try:
            write(self.fd, numbers)
        except BlockingIOError as error:
            if self.warns:
                report_error("writing to a full signal wakeup fd", error)
        except OSError as error:
            if error.errno != EBADF:  # else closed since the signal came: nobody wants to know
                report_error("writing to the signal wakeup fd", error)


tap = SignalTap()


class Wakeup:
    """A descriptor that becomes readable when `signal` was called."""

    __slots__ = ("_hears_signals", "_message", "_write_fd", "fd")

    def __init__(self, *, for_signals: bool = False) -> None:
        """`for_signals`: a pipe, for a signal writes one byte and an eventfd wants eight."""
        self._hears_signals = False
        self._message = _ZERO if for_signals else _ONE
        if hasattr(os, "eventfd") and not for_signals:
            self.fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.fd, self._write_fd = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write_fd, False)

    def signal(self) -> None:
        """Make the descriptor readable. Callable from any OS thread; never blocks."""
        try:
            write(self._write_fd, self._message)
        except BlockingIOError:
            pass  # full of wake-ups that have not been read yet
        except OSError:
            if self.fd >= 0:
                raise

    def hear_signals(self) -> None:
        """Let signals that have a Python handler write here.

        If they write elsewhere already, it stays so, unless the tap may pass
        them on. Only in the main OS thread.
        """
        previous = set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        if previous in (-1, self._write_fd):
            self._hears_signals = True
        elif tap.claimed:
            self._hears_signals = True
            tap.fd = previous
        else:
            set_wakeup_fd(previous)

    def _ignore_signals(self) -> None:
        self._hears_signals = False
        try:
            previous = set_wakeup_fd(tap.fd, warn_on_full_buffer=tap.warns)
        except (OSError, ValueError):  # the program has closed it
            previous = set_wakeup_fd(-1)
        if previous not in (-1, self._write_fd):
            set_wakeup_fd(previous)  # somebody has taken it over

    def drain(self) -> None:
        """Make it unreadable again, and pass on the signals that it has heard of."""
        try:
            while True:
                data = read(self.fd, 4096)
                if self._hears_signals and data.count(_ZERO) != len(data):
                    tap.tell(data.replace(_ZERO, b""))
                if len(data) < 4096:
                    return
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
