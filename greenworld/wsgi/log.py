"""The access log and the error log.

1. Access lines are in the combined format: address, time, request line, status, bytes of body,
   referer, user agent.
2. Lines of one turn of the run queue leave in one write, which is flushed at once. The write
   is an ordinary blocking write: a log that is a full pipe holds the server up, as it should.
3. A log that cannot be written is reported once on the error log; the server goes on.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.errors import HttpError
    from greenworld.wsgi.gateway import Exchange

__all__ = ["AccessLog", "AccessRecorder", "ErrorLog", "LogStream", "quote"]

_UNPRINTABLE = re.compile(r'["\\\x00-\x1f\x7f-\xff]')


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return "\\" + char if char in '"\\' else f"\\x{ord(char):02x}"


def quote(text: str) -> str:
    """Escape what could end a quoted field of the log, or a line of it."""
    return _UNPRINTABLE.sub(_escape, text)


class LogStream(Protocol):
    """What a log writes to: an open text file, or anything with these two methods."""

    def write(self, text: str, /) -> object:
        """Take some lines."""

    def flush(self) -> object:
        """Bring them to where they are read."""


class ErrorLog:
    """What went wrong, as lines of text; tracebacks only for errors of the application."""

    __slots__ = ("stream",)

    def __init__(self, stream: LogStream | None = None) -> None:
        self.stream: LogStream = stream if stream is not None else sys.stderr

    def write(self, text: str) -> None:
        """Write one message. A log that cannot be written is given up for this message."""
        try:
            self.stream.write(f"{text}\n")
            self.stream.flush()
        except (OSError, ValueError) as error:
            if self.stream is not sys.__stderr__ and sys.__stderr__ is not None:
                print(f"greenworld.wsgi: cannot write the error log: {error}", file=sys.__stderr__)

    def exception(self, what: str, error: BaseException) -> None:
        """Write what was being done, and the traceback of `error`."""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        self.write(f"{what}\n{''.join(lines)}".rstrip("\n"))


class AccessRecorder(Protocol):
    """Who is told of every request that has been answered, or given up."""

    def record(self, exchange: Exchange, /) -> None:
        """The answer has left, as far as it will. In the request's green thread."""

    def record_refusal(self, connection: Connection, error: HttpError, size: int, /) -> None:
        """What was no request has been answered with `error`, in `size` bytes of body."""

    def flush(self) -> None:
        """The server stops."""


class AccessLog:
    """Gathers access lines and writes them once a turn.

    `soon` runs a function when the green threads that are ready now have run.
    """

    __slots__ = ("_errors", "_pending", "_reported", "_soon", "_stream")

    def __init__(
        self, stream: LogStream, errors: ErrorLog, soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._stream = stream
        self._errors = errors
        self._soon = soon
        self._pending: list[str] = []
        self._reported = False

    def record(self, exchange: Exchange, /) -> None:
        """Log a request in the combined format. Does not block."""
        head = exchange.head
        connection = exchange.connection
        self.add(
            f"{connection.host or '-'} - - {connection.server.clock.log_stamp}"
            f' "{exchange.line.log_text}" {"-" if head is None else head.code}'
            f" {exchange.sent}{exchange.block.log_tail}"
        )

    def record_refusal(self, connection: Connection, error: HttpError, size: int, /) -> None:
        """Log what was no request. Does not block."""
        self.add(
            f"{connection.host or '-'} - - {connection.server.clock.log_stamp}"
            f' "-" {error.status} {size} "-" "-"\n'
        )

    def add(self, line: str) -> None:
        """Log one line, which ends in a newline. Does not block."""
        self._pending.append(line)
        if len(self._pending) == 1:
            self._soon(self.flush)

    def flush(self) -> None:
        """Write what is pending."""
        if not self._pending:
            return
        text = "".join(self._pending)
        self._pending.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            if not self._reported:
                self._reported = True
                self._errors.write(f"greenworld.wsgi: cannot write the access log: {error}")
