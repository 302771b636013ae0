"""TLS over one connected socket, with the methods that a connection uses of a plain one.

1. OpenSSL works on memory, never on the socket: what arrives is put into `_incoming`, what
   leaves is taken from `_outgoing`. A small request costs one `recv` and one `send` of the kernel.
2. **Fewer bytes than asked for means drained**, as with a plain socket: `recv` reads on, over as
   many records as there are, until it has enough or the socket is empty.
3. **One record at most is encrypted ahead of the socket.** Until all of it has left, its plain
   bytes do not count as sent: the caller, who sends the rest of the same data anyway, offers
   them again, and only their encrypted form goes on.
4. An end without close_notify is an error, not an end: somebody may have cut the stream.
5. `shutdown` ends one direction: what the client still sends is decrypted as before.

**Source**: RFC 8446, section 6.1 (how a connection ends).
"""

from __future__ import annotations

from _socket import SHUT_RD
from collections.abc import Sequence
from ssl import (
    MemoryBIO,
    SSLContext,
    SSLError,
    SSLObject,
    SSLWantReadError,
    SSLZeroReturnError,
)
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _socket import socket as RawSocket

    from greenworld.hub.io import Io

__all__ = ["TlsStream"]

RECORD: Final = 16384
"""Plain bytes of the largest record (RFC 8446, section 5.1)."""
PIECE: Final = RECORD + 512
"""Encrypted bytes asked of the socket at once: a record and its overhead."""
MAX_REPLIES: Final = 65536
"""Bytes of answers to key updates that wait for a client who does not read."""


class TlsStream:
    """The server's end. `received` is what has been read off the socket already.

    To be used when `handshake` has returned; `io` is the socket's record at the hub.
    """

    __slots__ = (
        "_ahead",
        "_ended",
        "_incoming",
        "_io",
        "_outgoing",
        "_owed",
        "_shut",
        "_unsent",
        "raw",
        "tls",
    )

    def __init__(self, sock: RawSocket, io: Io, context: SSLContext, received: bytes) -> None:
        self.raw = sock
        """The socket below; closed as it is, it says no close_notify."""
        self._io = io
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._incoming.write(received)
        self.tls: SSLObject = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        """Who knows the protocol, the cipher and the client's certificate."""
        self._unsent = b""  # encrypted, and not taken by the socket yet
        self._owed = 0  # plain bytes that count as sent when `_unsent` has left
        self._shut = False  # close_notify was sent, or must not be sent
        self._ahead = b""  # decrypted, and not asked for yet
        self._ended = False  # the client's close_notify has been read

    def handshake(self, until: float) -> None:
        """Agree with the client on keys, before that time of the monotonic clock. **Blocks**.

        Raises SSLError with the reason when they do not agree, TimeoutError, and another OSError
        when the client goes away.
        """
        while True:
            try:
                self.tls.do_handshake()
            except SSLWantReadError:
                self._send_all(until)
                self._await_bytes(until)
            except SSLError:
                self._flush()  # the alert, if the client takes it at once
                raise
            else:
                self._send_all(until)
                return

    def _send_all(self, until: float) -> None:
        while not self._flush():
            self._io.writable = False
            self._io.wait_write(max(0.0, until - monotonic()))

    def _await_bytes(self, until: float) -> None:
        while True:
            try:
                received = self.raw.recv(PIECE)
            except BlockingIOError:
                self._io.readable = False
                self._io.wait_read(max(0.0, until - monotonic()))
                continue
            if not received:
                raise ConnectionResetError("the client went away")
            self._incoming.write(received)
            return

    # Receiving

    def recv(self, limit: int) -> bytes:
        """Return up to `limit` bytes; none at the client's orderly end. Does not block.

        Raises BlockingIOError when there are none yet, ConnectionResetError at an end without
        close_notify, SSLError (an OSError too) for what is not TLS.
        """
        pieces: list[bytes] = []
        left = limit
        if self._ahead:
            pieces.append(self._ahead[:limit])
            self._ahead = self._ahead[limit:]
            left -= len(pieces[0])
        drained = False
        while left and not self._ended:
            data = self._decrypt(left)
            if data:
                pieces.append(data)
                left -= len(data)
            elif drained:
                break
            elif not self._ended:
                try:
                    received = self.raw.recv(PIECE)
                except OSError:
                    if pieces:  # the next call finds the same
                        break
                    raise
                if not received:
                    if pieces:
                        break
                    raise ConnectionResetError("the stream ended without close_notify")
                self._incoming.write(received)
                # After a hang-up, no news will tell of the end: it is looked for at once.
                drained = len(received) < PIECE and not self._io.hangup
        if not left:
            self._io.readable = True  # more may be in here, of which the kernel has no news
        if not pieces and not self._ended:
            raise BlockingIOError("no complete record has arrived")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _decrypt(self, limit: int) -> bytes:
        """Return plain bytes of at most one record that has arrived; none if there is none."""
        tls = self.tls
        if not self._incoming.pending and not tls.pending():
            return b""  # known without an exception, which costs more
        try:
            data = tls.read(min(limit, RECORD))
        except SSLWantReadError:
            data = b""
        except SSLZeroReturnError:  # raised where we have said it too
            data = b""
            self._end()
        except SSLError:
            self._shut = True
            self._flush()  # the alert
            raise
        else:
            if not data:
                self._end()
        if self._outgoing.pending and not self._flush() and len(self._unsent) > MAX_REPLIES:
            raise ConnectionResetError("the client updates keys and reads nothing")
        return data

    def _end(self) -> None:
        """The client has said close_notify: nothing more will come."""
        self._ended = True
        try:
            # Perhaps the client leaves the socket open. The kernel is to tell who waits for it
            # that there is an end to be read.
            self.raw.shutdown(SHUT_RD)
        except OSError:
            pass  # it has gone already

    # Sending

    def send(self, data: bytes | memoryview) -> int:
        """Send some of `data`; return how much. Does not block.

        Raises BlockingIOError when the socket takes nothing, and an OSError when the client has
        gone. After either less or nothing, the next call must go on with the same data.
        """
        if not self._flush():
            raise BlockingIOError("the socket takes no more")
        done, self._owed = self._owed, 0
        view = memoryview(data)
        while done < len(view):
            size = self.tls.write(view[done : done + RECORD])
            if not self._flush():
                self._owed = size
                if not done:
                    raise BlockingIOError("the socket takes no more")
                return done
            done += size
        return done

    def sendmsg(self, parts: Sequence[bytes]) -> int:
        """Send some of the first part; see `send`. A part larger than a record is no hurry."""
        return self.send(parts[0])

    def _flush(self) -> bool:
        """Offer the socket what is encrypted; return whether it has taken all of it."""
        if self._outgoing.pending:
            more = self._outgoing.read()
            self._unsent = self._unsent + more if self._unsent else more
        if not self._unsent:
            return True
        try:
            sent = self.raw.send(self._unsent)
        except BlockingIOError:
            return False
        self._unsent = self._unsent[sent:]
        return not self._unsent

    # What a connection asks of its socket

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self.raw.fileno()

    def shutdown(self, how: int) -> None:
        """Say close_notify, then shut the socket down as `how` says."""
        # OpenSSL takes content that it finds while it says close_notify for a mistake.
        while data := self._decrypt(RECORD):
            self._ahead += data
        self._say_end()
        self.raw.shutdown(how)

    def close(self) -> None:
        """Say close_notify, if the socket takes it at once, and close the socket."""
        self._say_end()
        self.raw.close()

    def _say_end(self) -> None:
        if self._shut:
            return
        self._shut = True
        try:
            if not self._owed and self._flush():  # else data is missing: it must not look whole
                self.tls.unwrap()
        except (OSError, ValueError):
            pass  # it wants the client's close_notify too, which is not waited for
        try:
            self._flush()
        except OSError:
            pass
