"""A page that stands in for an application that cannot be loaded, while it is being developed."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, Final

__all__ = ["ErrorPage"]

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<pre>{text}</pre>
<p>The next change of the code is tried at once.</p>
</body>
</html>
"""


class ErrorPage:
    """A WSGI application that answers everything with 500 and one text, as HTML."""

    def __init__(self, title: str, text: str) -> None:
        page = _PAGE.format(title=html.escape(title), text=html.escape(text))
        # What a source line holds need not be valid Unicode.
        self._body = page.encode("utf-8", "backslashreplace")

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> list[bytes]:
        """Answer a request."""
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(self._body))),
            ("Cache-Control", "no-store"),
        ]
        start_response("500 Internal Server Error", headers)
        return [self._body]
