"""Access lines in JSON: their keys, their types, and what clients cannot do to them."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from greenworld.wsgi.access_json import KEYS
from tests.wsgi.conftest import Connect, Running, Serve


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/user":
        environ["REMOTE_USER"] = 'o"hara\n\u20ac'
    start_response("201 Made", [])
    return [b"body"]


def objects(running: Running) -> list[dict[str, Any]]:
    """The lines of the access log once the server has stopped, each read for itself."""
    running.stop()
    found = []
    for line in running.access.getvalue().splitlines():
        assert line.isascii()
        assert line.isprintable()
        found.append(json.loads(line))
        assert list(found[-1]) == list(KEYS)
    return found


def test_a_request(serve: Serve) -> None:
    running = serve(application, access_format="json")
    client = running.connect()
    agent = 'a "quoted" \\ agent\t'
    client.get("/a%20b/%22?c=%22&d", "Referer: http://a/", f"User-Agent: {agent}x")
    (line,) = objects(running)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert re.fullmatch(r"[0-9a-f]{16}-1", line.pop("request_id"))
    assert type(line.pop("duration_us")) is int
    assert line == {
        "pid": os.getpid(),
        "remote_addr": "127.0.0.1",
        "remote_user": None,
        "method": "GET",
        "path": "/a%20b/%22",
        "query": "c=%22&d",
        "protocol": "HTTP/1.1",
        "scheme": "http",
        "status": 201,
        "bytes": 4,
        "host": "test",
        "referer": "http://a/",
        "user_agent": f"{agent}x",
        "error": None,
    }


def test_bytes_that_are_text_and_bytes_that_are_none(serve: Serve) -> None:
    running = serve(application, access_format="json")
    client = running.connect()
    client.get("/user", "User-Agent: \xc3\xa9\xe2\x82\xac")
    client.get("/user", "User-Agent: \xe9\x80")
    first, second = objects(running)
    assert first["user_agent"] == "é€"
    assert second["user_agent"] == "\xe9\x80"
    assert first["remote_user"] == second["remote_user"] == 'o"hara\n€'


def test_repeated_requests_share_what_is_said_of_their_headers(serve: Serve) -> None:
    running = serve(application, access_format="json")
    client = running.connect()
    for path in ("/", "/", "/x"):
        client.get(path, "User-Agent: a")
    lines = objects(running)
    assert [line["path"] for line in lines] == ["/", "/", "/x"]
    assert {line["user_agent"] for line in lines} == {"a"}
    assert {line["referer"] for line in lines} == {None}


def test_what_was_no_request(serve: Serve) -> None:
    running = serve(application, access_format="json")
    client = running.connect()
    client.send(b"GET\r\n\r\n")
    assert client.reply().status == 400
    (line,) = objects(running)
    said = {key: value for key, value in line.items() if value is not None}
    assert set(said) == {"time", "pid", "remote_addr", "status", "bytes", "error"}
    assert said["status"] == 400
    assert said["error"] == "the request line is not 'method target version'"


def test_an_application_that_fails(serve: Serve) -> None:
    def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ.clear()
        raise ValueError("why")

    running = serve(failing, access_format="json")
    running.connect().get("/")
    (line,) = objects(running)
    assert (line["status"], line["error"], line["scheme"]) == (500, None, None)


def test_a_unix_socket_has_no_address(tmp_path: Path, serve: Serve, connect: Connect) -> None:
    path = str(tmp_path / "s")
    running = serve(application, bind=f"unix:{path}", access_format="json")
    client = connect(path)
    client.get("/")
    client.send(b"GET\r\n\r\n")
    client.reply()
    assert [line["remote_addr"] for line in objects(running)] == [None, None]


def test_the_client_behind_a_proxy(serve: Serve) -> None:
    running = serve(application, access_format="json", trusted_proxies=("127.0.0.1",))
    running.connect().get(
        "/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Request-ID: abc"
    )
    (line,) = objects(running)
    assert line["remote_addr"] == "203.0.113.9"
    assert line["scheme"] == "https"
    assert line["request_id"] == "abc"
