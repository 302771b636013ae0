"""What can go wrong between a client and the server. A leaf: imports nothing of the package.

1. `HttpError` is the client's mistake (or a thing this server does not do): it carries the
   status to answer with, and the connection is closed after the answer.
2. `ClientDisconnected` is nobody's mistake: it ends the request quietly, without a traceback.
3. `RequestTimeout` is the server's own limit: an application may let it pass, and is told no more.
4. Everything else that leaves an application is the application's error: 500 and a traceback.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

__all__ = ["ClientDisconnected", "HttpError", "RequestTimeout"]

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class HttpError(Exception):
    """A request that cannot be served; `status` (400 to 599) is the answer, the text says why.

    An application may raise it too. **Source**: RFC 9110, section 15.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        if not 400 <= status <= 599:
            raise ValueError(f"the status of an error is 400 to 599, not {status!r}")
        self.status = status
        self.why = why

    @property
    def status_line(self) -> str:
        """The status as `start_response` takes it, such as `"400 Bad Request"`."""
        return f"{self.status} {_PHRASES.get(self.status, 'Error')}"


class ClientDisconnected(ConnectionResetError):
    """The client went away, or stopped reading, before the request was over.

    Raised by `wsgi.input` when the body ends early and by `write()` when the answer cannot
    be delivered. An application may let it pass: the server then ends the request quietly.
    """


class RequestTimeout(BaseException):
    """A request has taken longer than `Config.request_timeout`; raised where it waits.

    A BaseException, so that `except Exception` in an application lets it pass.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request took longer than {seconds:g} seconds")
