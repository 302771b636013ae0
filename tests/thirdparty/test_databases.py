"""Database drivers and SQLAlchemy's QueuePool, against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library
bare_and_pooled = pytest.mark.parametrize(
    "pool", [(), pytest.param(("pool",), marks=needs("sqlalchemy"))], ids=["bare", "pooled"]
)


@bare_and_pooled
@needs("pg8000")
def test_pg8000(check: Run, postgres: str, pool: tuple[str, ...]) -> None:
    assert check("postgres_drivers", postgres, "pg8000", *pool)["interrupt"] == "Timeout"


@bare_and_pooled
@needs("pymysql")
def test_pymysql(check: Run, mariadb: str, pool: tuple[str, ...]) -> None:
    report = check("mariadb_drivers", mariadb, *pool)
    assert pool or report["time_out"] == "OperationalError"


@needs("redis")
@pytest.mark.parametrize("order", ["early", "late"])
def test_redis(check: Run, redis: str, order: str) -> None:
    assert check("redis_client", redis, order=order)["time_out"] == "TimeoutError"
