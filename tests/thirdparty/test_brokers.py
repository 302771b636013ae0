"""Message clients, against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library


@needs("pika")
def test_pika(check: Run, rabbitmq: str) -> None:
    assert check("amqp_clients", "pika", rabbitmq)["time_out"] == "(None, None, None)"


@needs("kombu", "amqp")
def test_kombu(check: Run, rabbitmq: str) -> None:
    assert check("amqp_clients", "kombu", rabbitmq)["time_out"] == "TimeoutError"


@needs("kombu", "redis")
def test_kombu_over_redis(check: Run, redis: str) -> None:
    assert check("amqp_clients", "kombu-redis", redis)["time_out"] == "TimeoutError"
