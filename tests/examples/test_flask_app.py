from __future__ import annotations

import http.client
import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Start

pytestmark = pytest.mark.slow

pytest.importorskip("flask", reason="the Flask example needs flask: pip install -e '.[examples]'")

SERVE = ("-m", "greenworld.wsgi", "examples.flask_app:app", "--bind", "127.0.0.1:0")


def get(port: int, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.headers.get_content_type(), reply.read()
    finally:
        connection.close()


def test_every_route_answers(start: Start) -> None:
    server = start(*SERVE)
    port = server.port()

    status, kind, body = get(port, "/")
    assert (status, kind) == (200, "text/html")
    assert b"It works" in body

    status, kind, body = get(port, "/json?name=you")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"hello": "you"})

    status, kind, body = get(port, "/wait?seconds=0")
    assert (status, json.loads(body)) == (200, {"waited": 0.0})

    status, kind, body = get(port, "/stream")
    assert (status, kind) == (200, "text/plain")
    assert body.decode().splitlines() == [f"line {number}" for number in range(10)]

    assert get(port, "/absent")[0] == 404

    assert server.finish(signal.SIGTERM) == 0
    assert "GET /json?name=you HTTP/1.1" in server.output


def test_the_server_can_ask_itself(start: Start) -> None:
    port = start(*SERVE).port()
    status, kind, body = get(port, "/fetch")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"hello": "myself"})


def test_a_waiting_request_does_not_hold_up_another(start: Start) -> None:
    port = start(*SERVE).port()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as waiting:
        waiting.sendall(b"GET /wait?seconds=10 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert get(port, "/json")[0] == 200
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)
