"""`wsgi.early_hints`: what a browser may load while the application still works (RFC 8297).

Every environment holds the same function, so that a request which sends no hints pays nothing
for them. The function finds its request by the green thread that it is called in: the stack of
that thread begins in `Exchange.run`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Final

from greenworld.wsgi.gateway import Exchange
from greenworld.wsgi.response import Header

__all__ = ["send_early_hints"]

_RUN: Final = Exchange.run.__code__


def send_early_hints(headers: Iterable[Header]) -> None:
    """Send `103 Early Hints` with these `(name, value)` pairs, before the answer.

    **Blocks** while the client does not read. Sends nothing to a client that speaks HTTP/1.0.
    Raises `TypeError` or `ValueError` for what no header can be, `RuntimeError` once the head of
    the answer has been sent, or in a green thread that does not run the application.
    **Source**: RFC 8297; the name and the arguments are Gunicorn's.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _RUN:
            exchange: Exchange = frame.f_locals["self"]
            exchange.early_hints(headers)
            return
        frame = frame.f_back
    raise RuntimeError(
        "no request is answered in this green thread: call wsgi.early_hints where the application"
        " was called"
    )
