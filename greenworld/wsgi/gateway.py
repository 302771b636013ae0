"""One request and its answer, between a connection and a WSGI application (PEP 3333).

1. The head is sent with the first bytes of the body, in one piece; before that,
   `start_response` may be called again with `exc_info`. Nothing is buffered beyond it: a block
   that was yielded is on its way before the next one is asked for.
2. The framing of the answer is decided once, in `_begin`: no body for HEAD, 204 and 304; the
   application's Content-Length, held to exactly; the length of a finished list; chunked for
   HTTP/1.1; else the end of the connection.
3. What fails before the head was sent becomes an error page, afterwards the connection is cut
   so that the client cannot take a part for the whole.
4. After its end nothing is added to an answer: a `write` that comes too late sends nothing.
5. `close()` of the application's iterable is called once, whatever happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from greenlet import GreenletExit

from greenworld.wsgi.errors import ClientDisconnected, HttpError, RequestTimeout
from greenworld.wsgi.files import FileWrapper
from greenworld.wsgi.quoting import quote
from greenworld.wsgi.refusal import explain
from greenworld.wsgi.response import Header, ResponseHead, hint_lines, response_head

if TYPE_CHECKING:
    from greenworld.wsgi.body import Body, EmptyBody
    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.environ import HeaderBlock, StartLine

__all__ = ["Application", "Exchange"]

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Application = Callable[[dict[str, Any], Callable[..., Callable[[bytes], None]]], Iterable[bytes]]

_JOIN_UP_TO: Final = 65536
"""Bytes of body that are copied to leave in one piece with the head."""


class Exchange:
    """A request that is being answered. Used by one green thread."""

    __slots__ = (
        "_chunked",
        "_left",
        "_name",
        "_plain",
        "_started",
        "_to_the_end",
        "begun",
        "block",
        "body",
        "close",
        "connection",
        "environ",
        "head",
        "line",
        "sent",
    )

    def __init__(
        self,
        connection: Connection,
        line: StartLine,
        block: HeaderBlock,
        environ: dict[str, Any],
        body: Body | EmptyBody,
        close: bool,
        plain: bool,
    ) -> None:
        self.connection = connection
        self.line = line
        self.block = block
        self.environ = environ
        self.body = body
        self._plain = plain  # see StartLine.plain and HeaderBlock.plain; and nothing is sent yet
        self.head: ResponseHead | None = None
        """The head of the answer, as soon as there is one."""
        self._started = False  # the head is on its way
        self._chunked = False
        self._to_the_end = False  # only the end of the connection ends the body
        self._left = -1  # bytes that the Content-Length still promises, -1 for no promise
        self.sent = 0
        """Bytes of body, without their chunk framing."""
        self.close = close
        """Whether the connection ends with this answer."""

    begun: float
    """When it began, in seconds of the monotonic clock: set only where a log wants to know."""

    @property
    def request_id(self) -> str:
        """The request's name in all logs; made when it is first asked for."""
        name: str | None = getattr(self, "_name", None)
        if name is None:
            self._name = name = self.connection.server.request_ids.name(self)
        return name

    @property
    def log_text(self) -> str:
        """What the error log calls the request: its line and its name."""
        return f"{self.line.log_text} [{self.request_id}]"

    # What the application calls

    def start_response(
        self, status: str, headers: list[Header], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Set, or with `exc_info` replace, the head; see PEP 3333, "The start_response()"."""
        if exc_info is not None:
            try:
                if self._started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the traceback refers to this frame
        elif self.head is not None:
            raise AssertionError("start_response() was called before, and without exc_info")
        self.head = response_head(status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a block of the body now. **Blocks** while the client does not read."""
        if not isinstance(data, bytes):
            raise TypeError(f"a block of the body must be bytes, not {type(data).__name__}")
        if data:
            self._send(data)

    def early_hints(self, headers: Iterable[Header]) -> None:
        """Send `103 Early Hints` with these headers now. **Blocks** while the client does not read.

        Sends nothing to a client that speaks HTTP/1.0, which would take it for the answer, and
        nothing if there are no headers. **Source**: RFC 8297; RFC 9110, section 15.2.
        """
        lines = hint_lines(headers)
        if self._started:
            raise RuntimeError("an early hint comes before the answer, whose head has been sent")
        if lines and self.line.minor:
            self.connection.send(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % lines)

    # Running it

    def run(self, application: Application) -> None:
        """Call the application and send its answer. **Blocks.** Errors end up as answers."""
        try:
            result = application(self.environ, self.start_response)
            kind = type(result)
            if kind is list or kind is tuple:
                self._send_all(result)  # type: ignore[arg-type]
            else:
                self._send_each(result)
        except ClientDisconnected:
            self._cut()  # who has only been slow may still read what was sent
        except HttpError as error:
            self._refuse(error)
        except (GreenletExit, SystemExit, KeyboardInterrupt) as error:
            self._cut()
            if isinstance(error, SystemExit):  # it ends the process: never without a word
                self.connection.server.errors.exception(
                    f"greenworld.wsgi: exit, answering {self.log_text}", error
                )
            raise
        except RequestTimeout as error:
            self._give_up(error)
        except BaseException as error:  # noqa: BLE001 (a time-out is no Exception)
            self._fail_with(error)
        access = self.connection.server.access
        if access is not None:
            access.record(self)

    def _send_each(self, result: Iterable[bytes]) -> None:
        """Send the blocks of an iterable as they come, and close it."""
        try:
            if type(result) is FileWrapper and self._send_file(result):
                return
            for block in result:
                if block:
                    if type(block) is not bytes and not isinstance(block, bytes):
                        raise TypeError(
                            f"a block of the body must be bytes, not {type(block).__name__}"
                        )
                    self._send(block)
            self._end()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _send_all(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """Send a body that is complete: its length is known and one piece carries it all."""
        if len(blocks) == 1:
            body = blocks[0]
        elif (total := sum(map(len, blocks))) > _JOIN_UP_TO:
            self._send_large(blocks, total)
            return
        else:
            body = b"".join(blocks)
        if type(body) is not bytes and not isinstance(body, bytes):
            raise TypeError(f"a block of the body must be bytes, not {type(body).__name__}")
        length = len(body)
        head = self.head
        if self._plain and head is not None and head.plain and head.length == length:
            server = self.connection.server
            if length <= _JOIN_UP_TO and not server.stopping:
                # What _begin would say, without its questions.
                self._started = True
                self._left = 0
                self.sent = length
                server.clock.tick()
                self.connection.send(b"%b%b\r\n%b" % (head.lines, server.clock.date_line, body))
                return
        if self._started:  # by write()
            if body:
                self._send(body)
            self._end()
            return
        # RFC 9110, 8.6: to HEAD the length that GET would have, and an empty body says nothing.
        known = length if length or self.line.method != "HEAD" else -1
        self._send_block(body, self._begin(known, final=True))
        self._end()

    def _send_large(self, blocks: list[bytes] | tuple[bytes, ...], total: int) -> None:
        """Send a complete body without a copy of it, which a slow reader would hold for long."""
        for block in _gathered(blocks):
            self._send_block(block, b"" if self._started else self._begin(total, final=True))
        self._end()

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the kernel send a regular file; False if it is not one."""
        found = wrapper.regular()
        if found is None or self._started:
            return False
        fd, position, size = found
        head = self._begin(size, final=True)
        self.connection.send(head)
        if self._left > 0:
            sent = self.connection.send_file(fd, position, min(self._left, size))
            self.sent += sent
            self._left -= sent
        self._end()
        return True

    # The answer's bytes

    def _begin(self, length: int, final: bool) -> bytes:
        """Decide the framing of the answer (RFC 9112, section 6.3) and return its whole head.

        `length` is that of the body if it is known, else -1; `final` says that the application
        will not read any more of the request.
        """
        head = self.head
        if head is None:
            raise AssertionError("the application sent a body before it called start_response()")
        connection = self.connection
        server = connection.server
        minor = self.line.minor
        framing = b""
        if head.no_body:
            pass
        elif head.length < 0:
            if length >= 0:
                framing = b"Content-Length: %d\r\n" % length
            elif self.line.method == "HEAD":
                pass
            elif minor:
                framing = b"Transfer-Encoding: chunked\r\n"
                self._chunked = True
            else:
                self._to_the_end = self.close = True
            if self.line.method != "HEAD":
                self._left = length
        elif self.line.method != "HEAD":
            self._left = head.length
        body = self.body
        body.answered()
        if (
            self.close
            or head.close
            or server.stopping
            or (final and not body.drainable(server.config.max_unread))
        ):
            self.close = True
            framing += b"Connection: close\r\n"
        elif not minor:
            framing += b"Connection: keep-alive\r\n"
        self._started = True
        self._plain = False
        server.clock.tick()
        date = server.clock.date_line if head.without_date else b""
        return b"%b%b%b\r\n" % (head.lines, date, framing)

    def _send(self, block: bytes) -> None:
        """Send a block that is not empty, after the head if it is the first."""
        self._send_block(block, b"" if self._started else self._begin(-1, final=False))

    def _send_block(self, block: bytes, head: bytes) -> None:
        if self._chunked:
            self.connection.send(b"%b%x\r\n%b\r\n" % (head, len(block), block))
            self.sent += len(block)
            return
        assert self.head is not None
        if self.head.no_body or self.line.method == "HEAD":
            block = b""
        elif 0 <= self._left < len(block):
            self._complain(f"the body is longer than its Content-Length ({self.head.length})")
            block = block[: self._left]
            self.close = True
        if len(block) > _JOIN_UP_TO and head:
            self.connection.send_pair(head, block)
        elif head or block:
            self.connection.send(head + block)
        self.sent += len(block)
        if self._left > 0:
            self._left -= len(block)

    def _end(self) -> None:
        """The application has no more blocks."""
        if not self._started:
            known = 0 if self.line.method != "HEAD" else -1
            self.connection.send(self._begin(known, final=True))
        if self._chunked:
            self._chunked = False
            self._left = 0
            self.connection.send(b"0\r\n\r\n")
        elif self._left > 0:
            assert self.head is not None
            self._complain(
                f"the body is {self._left} bytes shorter than its Content-Length"
                f" ({self.head.length})"
            )
            self._cut()
        elif self._to_the_end:
            if self.connection.severed:  # and the application has not minded
                self._cut()
            self._to_the_end = False
            self._left = 0

    # When it goes wrong

    def _complain(self, what: str) -> None:
        self.connection.server.errors.write(
            f"greenworld.wsgi: error in the application, answering {self.log_text}: {what}"
        )

    def _refuse(self, error: HttpError) -> None:
        """The body turned out to be malformed, too large or too slow."""
        explain(self.connection, error, self.log_text)
        self._fail(error.status_line, quote(error.why))

    def _give_up(self, error: RequestTimeout) -> None:
        """Say so, in the log and, where nothing has been sent, to the client.

        503, not 504: this is no gateway, and the request may succeed at another time.
        """
        self.connection.server.errors.write(
            f"greenworld.wsgi: gave up answering {self.log_text}: {error}"
        )
        self._fail("503 Service Unavailable", "The request took too long.")

    def _fail_with(self, error: BaseException) -> None:
        """The application has raised what is not for the server."""
        self.connection.server.errors.exception(
            f"greenworld.wsgi: error in the application, answering {self.log_text}", error
        )
        self._fail("500 Internal Server Error", "The server could not answer the request.")

    def _fail(self, status: str, why: str) -> None:
        """Answer with an error page, or cut the answer short if it has begun."""
        self.close = True
        if self._started:
            self._cut()
            return
        body = why.encode("ascii") + b"\n"
        self.head = response_head(
            status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        )
        try:
            self._send(body)
        except (ClientDisconnected, RequestTimeout):
            pass  # the connection is closed next

    def _cut(self) -> None:
        """End the connection so that the client sees that the body is not complete."""
        self.close = True
        if self._to_the_end:
            self.connection.reset()


def _gathered(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer blocks: small ones are joined, large ones left as they are."""
    small: list[bytes] = []
    size = 0
    for block in blocks:
        if size + len(block) > _JOIN_UP_TO and small:
            yield b"".join(small)
            small.clear()
            size = 0
        small.append(block)
        size += len(block)
    if small:
        yield b"".join(small)
