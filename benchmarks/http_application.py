"""The application that every server under test serves.

| path | answer |
|---|---|
| `/` | 14 bytes at once |
| `/sleep` | the same after 50 ms |
| `/post` | the same after reading the body |
| `/stream` | 64 KiB in 16 blocks, of no announced length |
| `/json` | a Flask view's JSON |
| `/page` | a Flask view's page: a template with a table of 100 rows |
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

SLEEP = 0.05
BODY = b"Hello, world!\n"
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]
BLOCK = b"x" * 4095 + b"\n"
BLOCKS = 16
ROWS = [{"name": f"article {number}", "price": number * 1.25} for number in range(100)]
TEMPLATE = (
    "<!doctype html><title>Prices</title><table>{% for row in rows %}"
    "<tr><td>{{ row.name }}<td>{{ '%.2f' % row.price }}</tr>{% endfor %}</table>"
)
MESSAGE = {"message": "Hello, world!", "numbers": [1, 2, 3]}

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_application(sleep: Callable[[float], Any]) -> Application:
    """The application, waiting in its server's own way."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path != "/":
            if path in ("/json", "/page"):
                return make_flask()(environ, start_response)
            if path == "/stream":
                start_response("200 OK", [("Content-Type", "application/octet-stream")])
                return stream()
            if path == "/sleep":
                sleep(SLEEP)
            elif path == "/post":
                environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", HEADERS)
        return [BODY]

    return application


def make_patched() -> Application:
    """The application for servers that patch the standard library before they import this."""
    return make_application(time.sleep)


def stream() -> Iterator[bytes]:
    """The blocks of `/stream`."""
    for _ in range(BLOCKS):
        yield BLOCK


@cache
def make_flask() -> Application:
    """A Flask application with two views; imported only by a server that is asked for it."""
    flask = import_module("flask")
    application = flask.Flask("benchmark")

    @application.get("/json")  # type: ignore[untyped-decorator] # Flask is Any here
    def view() -> Any:
        return flask.jsonify(MESSAGE)

    @application.get("/page")  # type: ignore[untyped-decorator] # Flask is Any here
    def page() -> Any:
        return flask.render_template_string(TEMPLATE, rows=ROWS)

    serve: Application = application.wsgi_app
    return serve
