"""The files that the command writes its logs to.

1. A file is opened for appending and written without a buffer: processes share it, whole lines
   at a time, and nothing is left to be lost.
2. A write blocks the OS thread, also where the standard library is patched: a log that is a full
   pipe holds the server up, and two writes never mix.
3. It keeps its descriptor when it is opened anew, so that whoever holds that (a handler of
   crashes, a child process) writes to the new file too.
4. Messages of the error log begin with the time and the number of the process; the lines of a
   traceback follow as they are.
"""

from __future__ import annotations

import importlib
import os
import posix  # the functions of os may be cooperative: a write that lets others write tears lines
from typing import Final, NamedTuple

from greenworld.wsgi.clock import error_stamp
from greenworld.wsgi.log import ErrorLog, LogStream

__all__ = ["ErrorFile", "LogFile", "Logs", "open_logs"]

STANDARD: Final = "-"
"""The name of standard output for the access log, of standard error for the error log."""
STDOUT: Final = 1
STDERR: Final = 2


class LogFile:
    """A file that is appended to, or, for `-`, the descriptor of a standard stream.

    Every method may raise OSError.
    """

    def __init__(self, path: str, standard: int = STDOUT) -> None:
        self._path = None if path == STANDARD else path
        self._fd = standard if self._path is None else _open(path)
        self._torn = False

    def write(self, text: str, /) -> int:
        """Append text. **Blocks** the OS thread while a pipe is full."""
        whole = text.encode("utf-8", "backslashreplace")
        if self._torn:
            whole = b"\n" + whole
        left = whole
        try:
            while left:
                left = left[posix.write(self._fd, left) :]
        except OSError:
            self._torn = self._torn or len(left) < len(whole)  # the disk is full: part of a line
            raise
        self._torn = False
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def reopen(self) -> None:
        """Open the file of that name, which a rotation may have taken away. Raises OSError."""
        if self._path is not None:
            fd = _open(self._path)
            posix.dup2(fd, self._fd, inheritable=False)
            posix.close(fd)

    def close(self) -> None:
        """Close it, unless it is a standard stream."""
        if self._path is not None:
            posix.close(self._fd)


class ErrorFile(LogFile):
    """A file of messages, each with its time and its process."""

    def write_message(self, text: str) -> None:
        """Append one message. **Blocks** the OS thread while a pipe is full."""
        self.write(f"{error_stamp()} [{os.getpid()}] {text}\n")


class Logs(NamedTuple):
    """The logs of one process."""

    access: LogStream | None
    """Where access lines go; None for nowhere."""
    errors: LogStream
    """Where errors and `wsgi.errors` go."""

    def reopen(self) -> None:
        """Open the files again by their names; one that cannot be is kept, and said so.

        Does not raise. May be called from a signal handler.
        """
        for stream in self:
            if isinstance(stream, LogFile):
                try:
                    stream.reopen()
                except OSError as error:
                    ErrorLog(self.errors).write(f"greenworld.wsgi: {_failure(error)}")


def open_logs(access_log: str | None, error_log: str, log_config: str | None) -> Logs:
    """Open the logs: `-` is a standard stream; with a file for `logging.config`, they are loggers.

    Raises ValueError, whose text says which file cannot be opened or used and why.
    """
    if log_config is not None:
        if access_log not in (None, STANDARD) or error_log != STANDARD:
            raise ValueError("log_config cannot be combined with the files access_log or error_log")
        # Most servers have no such file, and no use for the standard library's logging.config.
        logconfig = importlib.import_module("greenworld.wsgi.command.logconfig")
        logconfig.configure(log_config)
        access, errors = logconfig.streams()
        return Logs(None if access_log is None else access, errors)
    try:
        errors = ErrorFile(error_log, STDERR)
        return Logs(None if access_log is None else LogFile(access_log, STDOUT), errors)
    except OSError as error:
        raise ValueError(_failure(error)) from None


def _open(path: str) -> int:
    return posix.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _failure(error: OSError) -> str:
    return f"cannot open the log file {error.filename!r}: {error.strerror}"
