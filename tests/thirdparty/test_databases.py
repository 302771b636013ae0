"""Database drivers and SQLAlchemy's QueuePool, against real servers."""

from __future__ import annotations

from ctypes.util import find_library
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library
orders = pytest.mark.parametrize("order", ["early", "late"])


@needs("pg8000")
def test_pg8000(check: Run, postgres: str) -> None:
    report = check("postgres_drivers", postgres, "pg8000")
    assert (report["interrupt"], report["time_out"]) == ("Timeout", "TimeoutError")


@orders
@needs("psycopg2")
def test_psycopg2(check: Run, postgres: str, order: str) -> None:
    report = check("postgres_drivers", postgres, "psycopg2", order=order)
    assert (report["interrupt"], report["time_out"]) == ("Timeout", "OperationalError")


@orders
@needs("psycopg", "psycopg_binary")
def test_psycopg_built_in_c(check: Run, postgres: str, order: str) -> None:
    report = check("postgres_drivers", postgres, "psycopg", order=order)
    assert (report["interrupt"], report["time_out"]) == ("Timeout", "ConnectionTimeout")
    assert report["build"] == "binary"


@needs("psycopg")
def test_psycopg_in_python(check: Run, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_library("pq") is None:
        pytest.skip("needs the library libpq: psycopg in Python loads the system's")
    monkeypatch.setenv("PSYCOPG_IMPL", "python")
    report = check("postgres_drivers", postgres, "psycopg")
    assert (report["interrupt"], report["time_out"]) == ("Timeout", "ConnectionTimeout")
    assert report["build"] == "python"


@needs("sqlalchemy")
@pytest.mark.parametrize(
    "driver", [pytest.param(name, marks=needs(name)) for name in ("pg8000", "psycopg", "psycopg2")]
)
def test_the_queue_pool_over_postgres(check: Run, postgres: str, driver: str) -> None:
    report = check("postgres_drivers", postgres, driver, "pool")
    assert report["interrupt"] == "Timeout"
    assert report["queue"] == list(range(20)), "twenty threads had four connections in turn"


@needs("pymysql")
def test_pymysql(check: Run, mariadb: str) -> None:
    assert check("mariadb_drivers", mariadb)["time_out"] == "OperationalError"


@needs("pymysql", "sqlalchemy")
def test_the_queue_pool_over_mariadb(check: Run, mariadb: str) -> None:
    check("mariadb_drivers", mariadb, "pool")


@orders
@needs("redis")
def test_redis(check: Run, redis: str, order: str) -> None:
    assert check("redis_client", redis, order=order)["time_out"] == "TimeoutError"
