"""The names of requests: whose word is taken, what is well-formed, where they show."""

from __future__ import annotations

import re
from typing import Any

import pytest

from greenworld.wsgi import Config, Server
from greenworld.wsgi.request_id import REQUEST_ID, RequestIds
from tests.wsgi.conftest import Serve

MADE = re.compile(r"[0-9a-f]{16}-[0-9]+")
TRUSTING = {"trusted_proxies": ("127.0.0.1",), "access_format": "%{request_id}x"}


def tell(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    names = [environ.get(REQUEST_ID), environ.get("HTTP_X_REQUEST_ID")]
    return [repr(names).encode()]


def test_names_differ_within_and_between_servers(serve: Serve) -> None:
    names = []
    for _ in range(2):
        running = serve(tell, access_format="%{request_id}x")
        client = running.connect()
        for _ in range(3):
            client.get("/")
        running.stop()
        names += running.access.getvalue().splitlines()
    assert all(MADE.fullmatch(name) for name in names)
    assert len(set(names)) == 6
    assert len({name.partition("-")[0] for name in names}) == 2


@pytest.mark.parametrize("name", ["a", "7f3-A_b.c~d:e/f+g=h@i", "x" * 128])
def test_a_trusted_proxy_names_a_request(serve: Serve, name: str) -> None:
    running = serve(tell, **TRUSTING)
    running.connect().get("/", f"X-Request-ID: {name}")
    running.stop()
    assert running.access.getvalue() == f"{name}\n"


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a,b", '"', "\xe9", "a;b", "\\"])
def test_a_name_that_is_not_well_formed_is_replaced(serve: Serve, name: str) -> None:
    running = serve(tell, **TRUSTING)
    running.connect().get("/", f"X-Request-ID: {name}")
    running.stop()
    assert MADE.fullmatch(running.access.getvalue().strip())


@pytest.mark.parametrize("proxies", [(), ("192.0.2.1",)])
def test_nobody_else_names_a_request(serve: Serve, proxies: tuple[str, ...]) -> None:
    running = serve(tell, trusted_proxies=proxies, access_format="%{request_id}x")
    running.connect().get("/", "X-Request-ID: mine")
    running.stop()
    assert MADE.fullmatch(running.access.getvalue().strip())


def test_another_header_or_none(serve: Serve) -> None:
    running = serve(tell, **TRUSTING, request_id_header="X-Correlation-ID")
    running.connect().get("/", "X-Request-ID: a", "X-Correlation-ID: b")
    running.stop()
    assert running.access.getvalue() == "b\n"
    running = serve(tell, **TRUSTING, request_id_header=None)
    running.connect().get("/", "X-Request-ID: a")
    running.stop()
    assert MADE.fullmatch(running.access.getvalue().strip())


def test_the_environment_holds_the_name_if_that_is_wanted(serve: Serve) -> None:
    client = serve(tell).connect()
    assert client.get("/").body == b"[None, None]"
    assert client.get("/", "X-Request-ID: mine").body == b"[None, 'mine']"
    running = serve(tell, request_id_environ=True, access_format="%{request_id}x")
    reply = running.connect().get("/", "X-Request-ID: mine")
    running.stop()
    name = running.access.getvalue().strip()
    assert MADE.fullmatch(name)
    assert reply.body == repr([name, name]).encode()
    running = serve(tell, request_id_environ=True, request_id_header=None)
    reply = running.connect().get("/", "X-Request-ID: mine")
    assert re.fullmatch(rb"\['[0-9a-f]+-1', 'mine'\]", reply.body)


@pytest.mark.parametrize("header", ["", "a b", "X_Request_ID", "X-Request-ID:", "\xe9"])
def test_what_is_no_header(header: str) -> None:
    with pytest.raises(ValueError, match="request_id_header must be the name of a header"):
        RequestIds(header, None)
    with pytest.raises(ValueError, match="request_id_header"):
        Server(tell, config=Config(request_id_header=header))
