"""requests, urllib3's blocking pool and httpx, each with its own connection pool."""

from __future__ import annotations

import importlib
from typing import Any

from local_http import Server
from together import COUNT, Service, measure


class Client(Service):
    """Twenty threads share one client and its pool."""

    error = ""
    """The exception that a time-out raises."""

    def __init__(self, library: Any) -> None:
        self.server = Server()
        self.gate = self.server.gate
        self.library = library

    def get(self, path: str, timeout: float = 20.0) -> str:
        raise NotImplementedError

    def wait(self, session: Any) -> None:
        assert self.get("/wait") == "/wait"

    def enter(self, session: Any) -> None:
        assert self.get("/enter") == "/enter"

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        try:
            self.get("/never", 0.05)
        except Exception as error:
            return type(error).__name__
        return ""


class Requests(Client):
    """**Source**: requests."""

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self.session = library.Session()
        adapter = library.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=COUNT)
        self.session.mount("http://", adapter)

    def get(self, path: str, timeout: float = 20.0) -> str:
        return str(self.session.get(self.server.url + path, timeout=timeout).text)


class Urllib3(Client):
    """**Source**: urllib3; a blocking pool hands a connection to whoever waits for one."""

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self.pool = library.PoolManager(maxsize=COUNT, block=True, retries=False)

    def get(self, path: str, timeout: float = 20.0) -> str:
        response = self.pool.request("GET", self.server.url + path, timeout=timeout)
        return str(response.data.decode())


class Httpx(Client):
    """**Source**: httpx."""

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self.client = library.Client(timeout=20.0, trust_env=False)

    def get(self, path: str, timeout: float = 20.0) -> str:
        return str(self.client.get(self.server.url + path, timeout=timeout).text)


CLIENTS = {"requests": Requests, "urllib3": Urllib3, "httpx": Httpx}


def main(name: str) -> None:
    client = CLIENTS[name](importlib.import_module(name))
    measure(client, time_out=client.time_out())
