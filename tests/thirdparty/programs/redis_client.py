"""redis-py: twenty threads share one client and its connection pool."""

from __future__ import annotations

import os
from typing import Any

import redis

from together import COUNT, LIMIT, PAUSE, Service, measure

KEY = f"greenworld:{os.getpid()}"
"""The list that is the gate, and the clients' name."""


class Redis(Service):
    """Who waits for an element of an empty list is held."""

    def __init__(self, url: str) -> None:
        self.url = url
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=COUNT, timeout=LIMIT, client_name=KEY
        )
        self.client = redis.Redis(connection_pool=pool)
        self.keeper = redis.Redis.from_url(url)

    def wait(self, session: Any) -> None:
        assert self.client.blpop([f"{KEY}:never"], timeout=PAUSE) is None

    def enter(self, session: Any) -> None:
        assert self.client.blpop([KEY], timeout=LIMIT) is not None

    def inside(self) -> int:
        clients = self.keeper.client_list()
        return sum(each["name"] == KEY and "b" in each["flags"] for each in clients)

    def open(self) -> None:
        self.keeper.rpush(KEY, *range(COUNT))

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        with redis.Redis.from_url(self.url, socket_timeout=0.05, retry=None) as client:
            try:
                client.blpop([f"{KEY}:never"], timeout=LIMIT)
            except redis.TimeoutError as error:
                return type(error).__name__
        return ""


def main(url: str) -> None:
    service = Redis(url)
    measure(service, time_out=service.time_out())
    service.client.close()
    service.keeper.close()
