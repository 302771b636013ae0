"""pg8000, psycopg and psycopg2, bare or through SQLAlchemy's QueuePool."""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import greenworld

from together import COUNT, LIMIT, PAUSE, Crew, Service, measure

LOCK = os.getpid()
"""The advisory lock that is the gate."""


class Postgres(Service):
    """An advisory lock is the gate: it is taken alone to close it, shared to pass."""

    def __init__(self, url: str, driver: str) -> None:
        where = urlsplit(url)
        names = {"pg8000": {"database": "database"}}.get(driver, {"database": "dbname"})
        self.options: dict[str, Any] = {
            "host": where.hostname,
            "port": where.port or 5432,
            "user": where.username,
            "password": where.password,
            names["database"]: where.path[1:],
        }
        self.driver: Any = importlib.import_module({"pg8000": "pg8000.dbapi"}.get(driver, driver))
        self.keeper = self.connect()
        self.ask(self.keeper, f"SELECT pg_advisory_lock({LOCK})")

    def connect(self) -> Any:
        connection = self.driver.connect(**self.options)
        connection.autocommit = True
        return connection

    def ask(self, connection: Any, query: str) -> Any:
        cursor = connection.cursor()
        cursor.execute(query)
        (answer,) = cursor.fetchone()
        cursor.close()
        return answer

    def wait(self, session: Any) -> None:
        self.ask(session, f"SELECT pg_sleep({PAUSE})")

    def enter(self, session: Any) -> None:
        self.ask(session, f"SELECT pg_advisory_lock_shared({LOCK})")

    def inside(self) -> int:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return int(self.ask(self.keeper, f"{waiting} AND objid = {LOCK}"))

    def open(self) -> None:
        self.ask(self.keeper, f"SELECT pg_advisory_unlock({LOCK})")

    def leave(self, session: Any) -> None:
        session.close()

    def time_out(self) -> str:
        """The exception that the library raises when a server does not answer at all."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            where = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
            name = "timeout" if self.driver.__name__.startswith("pg8000") else "connect_timeout"
            try:
                self.driver.connect(**self.options | where, **{name: 1})
            except Exception as error:
                return type(error).__name__
        return ""

    def interrupt(self) -> str:
        """The exception that ends a query in a green thread whose time is up."""
        session = self.connect()
        try:
            with greenworld.Timeout(0.05):
                self.ask(session, "SELECT pg_sleep(20)")
        except greenworld.Timeout as error:
            return type(error).__name__
        finally:
            self.leave(session)
        return ""

    def build(self) -> str:
        """Which of its builds psycopg has loaded."""
        pq = getattr(self.driver, "pq", None)
        return getattr(pq, "__impl__", "")


class Pooled(Postgres):
    """The same through SQLAlchemy, whose QueuePool has just enough connections."""

    def __init__(self, url: str, driver: str) -> None:
        self.url = f"postgresql+{driver}{url[url.index('://') :]}"
        self.library: Any = importlib.import_module("sqlalchemy")
        self.engine = self.make_engine(COUNT + 1)
        self.keeper = self.engine.connect()
        self.ask(self.keeper, f"SELECT pg_advisory_lock({LOCK})")

    def make_engine(self, size: int) -> Any:
        return self.library.create_engine(
            self.url,
            poolclass=self.library.pool.QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=LIMIT,
            isolation_level="AUTOCOMMIT",
        )

    def connect(self) -> Any:
        return self.engine.connect()

    def ask(self, connection: Any, query: str) -> Any:
        return connection.execute(self.library.text(query)).scalar()

    def queue_up(self) -> list[int]:
        """What twenty threads are told that share four connections; they wait for one another."""
        engine = self.make_engine(4)

        def call(number: int) -> int:
            with engine.connect() as connection:
                return int(self.ask(connection, f"SELECT {number} FROM pg_sleep(0.01)"))

        answers = Crew(call, range(COUNT)).finish()
        engine.dispose()
        return answers


def main(url: str, driver: str, pool: str = "") -> None:
    service: Any = (Pooled if pool else Postgres)(url, driver)
    if pool:
        more = {"queue": service.queue_up()}
    else:
        more = {"time_out": service.time_out(), "build": service.build()}
    measure(service, interrupt=service.interrupt(), **more)
    service.leave(service.keeper)
