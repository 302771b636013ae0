"""PyMySQL, bare or through SQLAlchemy's QueuePool."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import pymysql

from together import COUNT, PAUSE, Service, measure

LOCK = f"greenworld {os.getpid()}"
"""The named lock that is the gate."""


class MariaDB(Service):
    """The gate is a named lock: whoever gets it passes it on."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.options: dict[str, Any] = {
            "host": where.hostname,
            "port": where.port or 3306,
            "user": where.username,
            "password": where.password or "",
            "database": where.path[1:],
        }
        self.keeper = self.connect()
        assert self.ask(self.keeper, f"SELECT GET_LOCK('{LOCK}', 0)") == 1

    def connect(self, **options: Any) -> Any:
        return pymysql.connect(**self.options, **options, autocommit=True)

    def ask(self, connection: Any, query: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(query)
            (answer,) = cursor.fetchone()
        return answer

    def wait(self, session: Any) -> None:
        self.ask(session, f"SELECT SLEEP({PAUSE})")

    def enter(self, session: Any) -> None:
        assert self.ask(session, f"SELECT GET_LOCK('{LOCK}', 20)") == 1
        self.ask(session, f"SELECT RELEASE_LOCK('{LOCK}')")

    def inside(self) -> int:
        waiting = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"
        return int(self.ask(self.keeper, f"{waiting} AND INFO LIKE '%{LOCK}%'"))

    def open(self) -> None:
        self.ask(self.keeper, f"SELECT RELEASE_LOCK('{LOCK}')")

    def leave(self, session: Any) -> None:
        session.close()

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        session = self.connect(read_timeout=0.05)
        try:
            self.ask(session, "SELECT SLEEP(20)")
        except pymysql.OperationalError as error:
            return type(error).__name__
        return ""


class Pooled(MariaDB):
    """The same through SQLAlchemy, whose QueuePool has just enough connections."""

    def __init__(self, url: str) -> None:
        import sqlalchemy

        self.text = sqlalchemy.text
        self.engine = sqlalchemy.create_engine(
            f"mysql+pymysql{url[url.index('://') :]}",
            poolclass=sqlalchemy.pool.QueuePool,
            pool_size=COUNT,
            max_overflow=1,
            isolation_level="AUTOCOMMIT",
        )
        self.keeper = self.connect()
        assert self.ask(self.keeper, f"SELECT GET_LOCK('{LOCK}', 0)") == 1

    def connect(self, **options: Any) -> Any:
        return self.engine.connect()

    def ask(self, connection: Any, query: str) -> Any:
        return connection.execute(self.text(query)).scalar()


def main(url: str, pool: str = "") -> None:
    if pool:
        measure(Pooled(url))
    else:
        service = MariaDB(url)
        measure(service, time_out=service.time_out())
        service.leave(service.keeper)
