"""Clients that keep a server busy while it is restarted."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from tests.deploy.program import LIMIT, connect


class Load:
    """Threads that ask for a path again and again; every answer but 200 is a failure.

    They POST `body` if there is one. `keep`: each over one connection, which the other side may
    close between two requests, so that the one it did not want is repeated; else each request
    over a connection of its own.
    """

    def __init__(self, address: str, path: str, keep: bool, body: bytes | None) -> None:
        self.failures: list[str] = []
        self.answers: list[str] = []
        self._address, self._path, self._keep = address, path, keep
        self._body = body
        self._news = threading.Condition()
        self._over = False
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join(LIMIT)

    def wait_for(self, more: int) -> None:
        """Wait for so many further answers."""
        enough = len(self.answers) + more
        self._wait_until(lambda: len(self.answers) >= enough)

    def wait_for_new_answer(self) -> None:
        """Wait for an answer that differs from all before."""
        known = len(set(self.answers))
        self._wait_until(lambda: len(set(self.answers)) > known)

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: holds() or self.failures, LIMIT), self.answers[-1:]

    def _run(self) -> None:
        client = connect(self._address)
        try:
            while not self._over:
                self._once(client)
                if not self._keep:
                    client.close()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            client.close()
            with self._news:
                self._news.notify_all()

    def _once(self, client: http.client.HTTPConnection) -> None:
        fresh = client.sock is None
        try:
            client.request("POST" if self._body else "GET", self._path, self._body)
            answer = client.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            if fresh:
                raise
            client.close()
            return
        body = answer.read().decode("latin-1")
        with self._news:
            if answer.status == 200:
                self.answers.append(body)
            else:
                self.failures.append(f"{answer.status} {body}")
            self._news.notify_all()
