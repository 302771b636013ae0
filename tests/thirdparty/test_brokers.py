"""Message clients, against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library


@needs("kombu", "amqp")
def test_kombu(check: Run, rabbitmq: str) -> None:
    assert check("amqp_clients", "kombu", rabbitmq)["time_out"] == "TimeoutError"
