"""Names for requests, by which the lines of several logs are brought together.

1. A name is made when something first asks for it: a request that no log speaks of costs nothing.
2. The name in a header is taken from a trusted proxy only, and only if it is short and plain:
   it goes into logs as it is.
3. A name that is made here is unique among processes and machines (64 random bits, then a
   count), and tells nothing. It is no secret and no proof of anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from greenworld.wsgi.http1 import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from greenworld.wsgi.gateway import Application, Exchange

__all__ = ["REQUEST_ID", "RequestIds", "header_key"]

REQUEST_ID: Final = "greenworld.request_id"
"""The key of the environment for a request's name, where `Config.request_id_environ` is set."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9._~:/+=@\-]{1,128}")
_TOKEN: Final = frozenset(TOKEN.decode("ascii"))


def header_key(header: str) -> str:
    """Return a header's key in the environment. Raises ValueError for what names no header."""
    if not header or not _TOKEN.issuperset(header) or "_" in header:
        raise ValueError(f"request_id_header must be the name of a header, not {header!r}")
    return "HTTP_" + header.upper().replace("-", "_")


class RequestIds:
    """Names the requests of one server.

    `header` is the field in which a proxy names a request, None for none; `trusts` says whether
    the peer at that address is such a proxy, None for "nobody is". Raises ValueError for what
    names no header.
    """

    __slots__ = ("_key", "_make", "_trusts", "name")

    def __init__(self, header: str | None, trusts: Callable[[str], bool] | None) -> None:
        self._key = None if header is None else header_key(header)
        self._trusts = trusts
        # Not at import: a supervisor may have imported this before it forked.
        prefix = os.urandom(8).hex() + "-"
        counter = count(1)

        def make(exchange: Exchange) -> str:
            return f"{prefix}{next(counter)}"

        self._make = make
        self.name = make if trusts is None or header is None else self._take
        """Returns the name that a proxy gave to a request, or a new one. Does not block."""

    def _take(self, exchange: Exchange) -> str:
        given = exchange.environ.get(self._key or "")
        if (
            type(given) is str
            and _WELL_FORMED.fullmatch(given)
            and self._trusts is not None
            and self._trusts(exchange.connection.host)
        ):
            return given
        return self._make(exchange)

    def naming(self, application: Application) -> Application:
        """Return the application with each request's name put into its environment."""
        key = self._key

        def named(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            name = start_response.__self__.request_id  # it is a method of the Exchange
            environ[REQUEST_ID] = name
            if key is not None:
                environ[key] = name
            return application(environ, start_response)

        return named
