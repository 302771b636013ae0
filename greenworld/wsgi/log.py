"""The access log and the error log.

1. What an access line holds is `access_format`'s business.
2. Lines of one turn of the run queue leave in one write, which is flushed at once. The write
   is an ordinary blocking write: a log that is a full pipe holds the server up, as it should.
3. A log that cannot be written (nobody reads, the disk is full) never stops the server, nor an
   application that writes to `wsgi.errors`. Of the access log it is said on the error log, once
   until it can be written again.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from greenworld.wsgi.access_format import Format, Refusal

if TYPE_CHECKING:
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.errors import HttpError
    from greenworld.wsgi.gateway import Exchange

__all__ = ["AccessLog", "AccessRecorder", "ErrorLog", "ErrorStream", "LogStream"]


class LogStream(Protocol):
    """What a log writes to: an open text file, or anything with these two methods.

    With a method `write_message(text)` too, the error log gives it each of its messages whole
    and without a last newline, for instance to put the time before it.
    """

    def write(self, text: str, /) -> object:
        """Take some lines."""

    def flush(self) -> object:
        """Bring them to where they are read."""


class ErrorLog:
    """What went wrong, as lines of text; tracebacks only for errors of the application."""

    __slots__ = ("_write_message", "stream")

    def __init__(self, stream: LogStream | None = None) -> None:
        self.stream: LogStream = stream if stream is not None else sys.stderr
        self._write_message: Callable[[str], object] = getattr(
            self.stream, "write_message", self._write_line
        )

    def write(self, text: str) -> None:
        """Write one message. A log that cannot be written is given up for this message."""
        try:
            self._write_message(text)
        except (OSError, ValueError) as error:
            self._complain(error)

    def _write_line(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def _complain(self, error: Exception) -> None:
        last = sys.__stderr__
        if last is None or last is self.stream:
            return
        try:
            print(f"greenworld.wsgi: cannot write the error log: {error}", file=last, flush=True)
        except (OSError, ValueError):
            pass  # nobody is left to be told

    def exception(self, what: str, error: BaseException) -> None:
        """Write what was being done, and the traceback of `error`."""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        self.write(f"{what}\n{''.join(lines)}".rstrip("\n"))


class ErrorStream:
    """`wsgi.errors`: the stream of the error log, of which an application feels no failure.

    What else it is asked for is the stream's own, such as `encoding`.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, if that is possible. Returns its length, as a file does."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            pass  # a log that nobody reads is not the application's concern
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Bring what was written to where it is read, if that is possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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

    __slots__ = ("_errors", "_pending", "_render", "_reported", "_soon", "_stream", "record")

    def __init__(
        self,
        stream: LogStream,
        errors: ErrorLog,
        soon: Callable[[Callable[[], None]], object],
        form: Format,
    ) -> None:
        self._stream = stream
        self._errors = errors
        self._soon = soon
        self._render = render = form.render
        self._pending: list[str] = []
        self._reported = False
        pending, flush = self._pending, self.flush

        def record(exchange: Exchange, /) -> None:
            try:
                line = render(exchange)
            except Exception as error:  # noqa: BLE001 (what the application put into its environ)
                errors.exception("greenworld.wsgi: cannot make an access line", error)
                return
            pending.append(line)
            if len(pending) == 1:
                soon(flush)

        self.record: Callable[[Exchange], None] = record
        """Logs a request. A closure, since it is called for each. Does not block."""

    def record_refusal(self, connection: Connection, error: HttpError, size: int, /) -> None:
        """Log what was no request. Does not block."""
        self.add(self._render(Refusal(connection, error, size)))

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
            self._reported = False
        except (OSError, ValueError) as error:
            if not self._reported:
                self._reported = True
                self._errors.write(f"greenworld.wsgi: cannot write the access log: {error}")
