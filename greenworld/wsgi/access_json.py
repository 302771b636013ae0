"""Access lines in JSON, one object a line. Loaded only where that format is asked for.

1. The keys are always the same, in the same order, and each has one type: null stands for what
   there is none of.
2. Bytes that a client sent are read as UTF-8 where they are that, else each stands for the
   character of its number (Latin-1). The line itself is ASCII.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii as to_json
from os import getpid
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from greenworld.wsgi.access_format import Format, Refusal
from greenworld.wsgi.clock import iso_stamp

if TYPE_CHECKING:
    from greenworld.wsgi.environ import StartLine
    from greenworld.wsgi.gateway import Exchange

__all__ = ["KEYS", "json_format"]

KEYS: Final = {
    "time": "when the answer ended, in ISO 8601 with milliseconds",
    "pid": "the number of the process",
    "request_id": "the request's name in all logs",
    "remote_addr": "the client's address; null for a Unix socket",
    "remote_user": "`REMOTE_USER`, where the application put it into its environment",
    "method": "the method",
    "path": "the path as it came, percent-encoded",
    "query": "the query as it came, without `?`; empty if there is none",
    "protocol": "such as `HTTP/1.1`",
    "scheme": "`http` or `https`, as the client used it",
    "status": "the status, a number; null if there was no answer",
    "bytes": "the bytes of the body that were sent, a number",
    "duration_us": "how long the request took in microseconds, a number",
    "host": "the `Host` header",
    "referer": "the `Referer` header",
    "user_agent": "the `User-Agent` header",
    "error": "why the request was refused before it reached the application, else null",
}
"""The keys of a line, in their order."""

_THOUSANDTHS: Final = tuple(f"{number:03}" for number in range(1000))


def _string(text: str) -> str:
    """Return a JSON string for text of which each character is a byte."""
    if not text.isascii():
        try:
            text = text.encode("latin-1").decode("utf-8")
        except ValueError:
            pass  # the characters stand for themselves
    return to_json(text)


def _known(text: str) -> str:
    return _string(text) if text else "null"


def _headers(header: Callable[[str, str], str]) -> str:
    """The end of a line: what the header block alone decides."""
    return (
        f'"host":{_known(header("HTTP_HOST", ""))},'
        f'"referer":{_known(header("HTTP_REFERER", ""))},'
        f'"user_agent":{_known(header("HTTP_USER_AGENT", ""))},'
        '"error":null}\n'
    )


def _request(line: StartLine) -> str:
    """What the request line alone decides."""
    path, _, query = line.environ["RAW_URI"].partition("?")
    return (
        f'"method":"{line.method}","path":{to_json(path)},"query":{to_json(query)},'
        f'"protocol":"{line.environ["SERVER_PROTOCOL"]}"'
    )


def json_format(behind_proxies: bool) -> Format:
    """Return the format; `behind_proxies` as for `compile_format`."""
    second = -1
    start = middle = ""
    line: StartLine | None = None
    request = ""

    def render(exchange: Exchange | Refusal) -> str:
        nonlocal second, start, middle, line, request
        connection = exchange.connection
        now = monotonic()
        wall = now + connection.server.clock.ahead
        if int(wall) != second:
            second = int(wall)
            start, middle = _beginning(second)
        beginning = f"{start}{_THOUSANDTHS[int((wall - second) * 1000)]}{middle}"
        if type(exchange) is Refusal:
            return beginning + _refusal(exchange)
        if exchange.line is not line:
            line = exchange.line
            request = _request(line)
        environ: dict[str, Any] = exchange.environ
        block = exchange.block
        head = exchange.head
        host = environ.get("REMOTE_ADDR") if behind_proxies else connection.host
        user = environ.get("REMOTE_USER")
        scheme = environ.get("wsgi.url_scheme")
        begun = getattr(exchange, "begun", None)
        return (
            f'{beginning}"{exchange.request_id}",'
            f'"remote_addr":{to_json(str(host)) if host else "null"},'
            f'"remote_user":{"null" if user is None else _string(str(user))},{request},'
            f'"scheme":{_known(str(scheme)) if scheme else "null"},'
            f'"status":{"null" if head is None else head.code},"bytes":{exchange.sent},'
            f'"duration_us":{"null" if begun is None else int((now - begun) * 1e6)},'
            f"{block.log_part or block.say(_headers)}"
        )

    return Format(render, timed=True)


def _beginning(second: int) -> tuple[str, str]:
    """What stands in every line of one second before the fraction, and after it."""
    start, end = iso_stamp(second)
    return f'{{"time":"{start}', f'{end}","pid":{getpid()},"request_id":'


def _refusal(refusal: Refusal) -> str:
    """The line of what was no request, from its name on."""
    host = refusal.connection.host
    return (
        f'null,"remote_addr":{to_json(host) if host else "null"},"remote_user":null,'
        '"method":null,"path":null,"query":null,"protocol":null,"scheme":null,'
        f'"status":{refusal.error.status},"bytes":{refusal.sent},"duration_us":null,'
        f'"host":null,"referer":null,"user_agent":null,"error":{to_json(refusal.error.why)}}}\n'
    )
