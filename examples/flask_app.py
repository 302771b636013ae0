"""A Flask application with the kinds of route that a server meets.

From the repository's root, with greenworld and Flask installed::

    python -m greenworld.wsgi examples.flask_app:app

The server patches the standard library before it imports this file, so the plain blocking calls
below park one green thread each, and thousands of requests can wait side by side.
"""

import http.client
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, request

app = Flask(__name__)

PAGE = """<!doctype html>
<title>greenworld</title>
<h1>It works</h1>
<ul>
<li><a href="/json?name=you">/json</a>: a JSON answer
<li><a href="/wait?seconds=1">/wait</a>: sleeps; ask for it a hundred times at once
<li><a href="/fetch">/fetch</a>: asks this very server for /json while it answers you
<li><a href="/stream">/stream</a>: a line at a time
</ul>
"""


@app.get("/")
def page() -> str:
    """An HTML page."""
    return PAGE


@app.get("/json")
def answer() -> Response:
    """A JSON answer that depends on the query."""
    return jsonify(hello=request.args.get("name", "world"))


@app.get("/wait")
def wait() -> Response:
    """Wait up to ten seconds, as for a slow database, and say how long."""
    seconds = min(max(request.args.get("seconds", 0.05, type=float), 0.0), 10.0)
    time.sleep(seconds)
    return jsonify(waited=seconds)


@app.get("/fetch")
def fetch() -> Response:
    """Fetch /json from this server: one process, one thread, and still no deadlock."""
    host, port = request.environ["SERVER_NAME"], int(request.environ["SERVER_PORT"])
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/json?name=myself")
        reply = connection.getresponse()
        return Response(reply.read(), status=reply.status, mimetype="application/json")
    finally:
        connection.close()


@app.get("/stream")
def stream() -> Response:
    """Send ten lines, each as soon as it is made."""

    def lines() -> Iterator[str]:
        for number in range(10):
            yield f"line {number}\n"
            time.sleep(0.05)

    return Response(lines(), mimetype="text/plain")
