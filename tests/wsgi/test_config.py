"""What a configuration refuses to hold."""

from __future__ import annotations

from typing import Any

import pytest

from greenworld.wsgi import Config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_alive": -1.0}, "keep_alive must be a number of seconds, not -1.0"),
        ({"head_timeout": float("nan")}, "head_timeout must be a number of seconds, not nan"),
        ({"request_timeout": -0.5}, "request_timeout must be a number of seconds, not -0.5"),
        ({"max_connections": 0}, "max_connections must be 1 or more, or None for any number"),
        ({"max_in_flight": 0}, "max_in_flight must be 1 or more, or None for any number, not 0"),
        ({"max_per_address": -3}, "max_per_address must be 1 or more"),
        ({"health_path": "up"}, "health_path must begin with a slash, not be 'up'"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**options)


def test_what_does() -> None:
    config = Config(keep_alive=0, request_timeout=None, max_in_flight=1, health_path="/up")
    assert config.request_timeout is None
