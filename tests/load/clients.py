"""Clients that misbehave, and one that reads answers to their very end."""

from __future__ import annotations

import socket
import struct
from types import TracebackType

LIMIT = 40.0
"""Seconds after which anything that blocks gives up."""
PIECE = 65536

Address = tuple[str, int] | str


def head(path: str, *lines: str, method: str = "GET") -> bytes:
    """A request head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode()


class Client:
    """One connection; `buffer` bounds what the kernel receives in advance."""

    def __init__(self, address: Address, *, buffer: int = 0) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(LIMIT)
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self._received = b""
        self.fields: dict[str, str] = {}
        """The header fields of the last answer, their names in lower case."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection in order."""
        self.sock.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def get(self, path: str = "/", *lines: str) -> bytes:
        """Ask for a path; return the body of the answer, which must be 200."""
        self.send(head(path, *lines))
        return self.answer()

    def answer(self) -> bytes:
        """Read an answer with a Content-Length, which must be 200, and return its body.

        Raises EOFError if the connection ended before the first byte of it, AssertionError if
        it ended later.
        """
        status, length = self.answer_head()
        assert status == 200, status
        while len(self._received) < length:
            self._receive(f"{len(self._received)} of {length} bytes of body")
        body, self._received = self._received[:length], self._received[length:]
        return body

    def answer_head(self) -> tuple[int, int]:
        """Read an answer's head; return its status and Content-Length."""
        while b"\r\n\r\n" not in self._received:
            self._receive("a head")
        lines, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *fields = lines.decode("latin-1").split("\r\n")
        parted = (field.partition(": ") for field in fields)
        self.fields = {name.lower(): value for name, _, value in parted}
        return int(first.split(" ")[1]), int(self.fields["content-length"])

    def skip_body(self, length: int) -> None:
        """Read so many bytes of body, and keep none."""
        while length > 0:
            if not self._received:
                self._receive(f"a body, {length} bytes before its end")
            skipped = min(length, len(self._received))
            self._received = self._received[skipped:]
            length -= skipped

    def at_end(self) -> bool:
        """Wait for what comes next: True if it is the end of the connection."""
        return not self._received and not self.sock.recv(1)

    def _receive(self, what: str) -> None:
        try:
            data = self.sock.recv(PIECE)
        except ConnectionResetError:
            data = b""
        if not data:
            if not self._received and what == "a head":
                raise EOFError("the connection ended before the answer")
            raise AssertionError(f"the connection ended within {what}")
        self._received += data
