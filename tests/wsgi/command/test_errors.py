"""What may have been meant."""

from __future__ import annotations

import pytest

from greenworld.wsgi.command.errors import suggest

NAMES = ["keep_alive", "keyfile", "max_body", "max_requests", "max_requests_jitter"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("keepalive", "keep_alive"),
        ("max_bdy", "max_body"),
        ("max_req", "max_requests"),
        ("key", "keyfile"),
        ("zzz", None),
        ("absent", None),
    ],
)
def test_suggest(name: str, meant: str | None) -> None:
    assert suggest(name, NAMES) == meant
