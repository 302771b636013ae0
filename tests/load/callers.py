"""Clients that ask for one thing after the other, and know what became of each request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load.clients import LIMIT, Client
from tests.load.servers import ServerProcess, eventually


class Caller:
    """Asks for `/slow`, again and again, in a thread of its own.

    Where a connection that has served before ends without a byte of an answer, the request is
    sent again on a new one, as clients do (RFC 9112, section 9.3.1): the server may have closed
    it before it came.
    """

    def __init__(self, server: ServerProcess, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.answers: list[int] = []
        """The processes that answered, one after the other."""
        self.again = 0
        """Requests that were sent again."""
        self.lost: list[str] = []
        """What became of requests that were not answered."""
        self.refused = False
        """Whether nobody listens any more; then this is over."""
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the present request."""
        self._stop.set()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            reused = client is not None
            try:
                if client is None:
                    client = self._server.connect()
                self.answers.append(int(client.get("/slow")))
                if self.keep_alive and client.fields.get("connection") != "close":
                    continue
            except ConnectionRefusedError:
                self.refused = True
                return
            except (OSError, EOFError) as error:
                if reused:
                    self.again += 1
                else:
                    self.lost.append(f"{type(error).__name__}: {error}")
            except AssertionError as error:
                self.lost.append(str(error))
            if client is not None:
                client.close()
                client = None
        if client is not None:
            client.close()


@contextmanager
def calling(server: ServerProcess, kept: int, fresh: int) -> Iterator[list[Caller]]:
    """So many callers that keep their connection, and that take a new one for each request."""
    callers = [Caller(server, number < kept) for number in range(kept + fresh)]
    for caller in callers:
        caller.start()
    try:
        eventually("all are answered", lambda: all(len(each.answers) > 3 for each in callers))
        yield callers
    finally:
        for caller in callers:
            caller.stop()
