"""The page in place of an application that cannot be loaded."""

from __future__ import annotations

from typing import Any

from greenworld.wsgi.command.errorpage import ErrorPage


def test_the_text_is_escaped() -> None:
    started: list[Any] = []
    (body,) = ErrorPage("It <b>fails</b>", "a < b & 'c' \udcff é")(
        {}, lambda *args: started.append(args)
    )
    ((status, headers),) = started
    assert status == "500 Internal Server Error"
    assert ("Content-Type", "text/html; charset=utf-8") in headers
    assert ("Content-Length", str(len(body))) in headers
    assert b"<h1>It &lt;b&gt;fails&lt;/b&gt;</h1>" in body
    assert "<pre>a &lt; b &amp; &#x27;c&#x27; \\udcff é</pre>".encode() in body
