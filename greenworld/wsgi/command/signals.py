"""Signals, for a process without a hub, and what every process of the command does alike.

What is bound here at import is the standard library's own, also when an application that is
imported later has the library patched.
"""

from __future__ import annotations

import os
from os import _exit, fork, getpid, isatty, kill, read
from signal import (
    SIG_BLOCK,
    SIG_DFL,
    SIG_IGN,
    SIG_SETMASK,
    SIGHUP,
    SIGINT,
    SIGTTIN,
    SIGTTOU,
    SIGUSR1,
    Signals,
    getsignal,
    pthread_sigmask,
    set_wakeup_fd,
    signal,
    valid_signals,
)
from types import FrameType
from typing import Final, NoReturn

__all__ = ["SignalPipe", "Terminal", "end_by", "name_of"]

SPARED: Final = frozenset({SIGINT, SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU})
"""Signals that do nothing to a worker, unless it asks for them: they may be sent to the whole
group of processes, and are the supervisor's to act on."""


class SignalPipe:
    """A pipe to which every one of these signals writes its number."""

    __slots__ = ("_numbers", "_write_fd", "fd")

    def __init__(self, numbers: frozenset[int]) -> None:
        self._numbers = numbers
        self.fd, self._write_fd = os.pipe()
        for fd in (self.fd, self._write_fd):
            os.set_blocking(fd, False)
        for number in numbers:
            signal(number, _do_nothing)
        set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def take(self) -> bytes:
        """Return the numbers of the signals that have arrived, in order. Does not block."""
        try:
            return read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def fork(self) -> int:
        """Fork. Signals meanwhile reach the parent or, once it is ready for them, the child.

        In the child the signals do what they do by default, but for `SPARED`; the pipe is
        closed there. Raises OSError when there can be no more processes.
        """
        mask = pthread_sigmask(SIG_BLOCK, valid_signals())
        set_wakeup_fd(-1)  # the child's hub takes the place
        pid = -1
        try:
            pid = fork()
            if pid == 0:
                for number in self._numbers - SPARED:
                    signal(number, SIG_DFL)
                os.close(self.fd)
                os.close(self._write_fd)
        finally:
            if pid != 0:
                set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
            pthread_sigmask(SIG_SETMASK, mask)
        return pid


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, this is not inherited by programs that the process starts."""


class Terminal:
    """The terminal that standard input was, if it was one, when this was made.

    Made before SIGHUP is handled: a process that was to ignore it (nohup) has no terminal.
    """

    __slots__ = ("_was_there",)

    def __init__(self) -> None:
        self._was_there = isatty(0) and getsignal(SIGHUP) is not SIG_IGN

    @property
    def is_gone(self) -> bool:
        """Whether it has hung up since."""
        return self._was_there and not isatty(0)


def end_by(number: int) -> NoReturn:
    """End this process as SIGTERM and SIGINT do by default."""
    signal(number, SIG_DFL)
    kill(getpid(), number)
    _exit(128 + number)  # the kernel spares process 1, which is that of a container


def name_of(number: int) -> str:
    """Return the name of a signal, such as `SIGTERM`, or `signal 42` where it has none."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
