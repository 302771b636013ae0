"""Requests that come through proxies: whom the environment names, and what it hides."""

from __future__ import annotations

from typing import Any, cast

import pytest

from greenworld.wsgi import Config, HttpError, Server, forwarded
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.environ import EMPTY_BLOCK
from greenworld.wsgi.forwarded import ForwardedHeaders
from tests.wsgi.conftest import Serve

EVERYTHING: Any = ("for", "proto", "host", "port", "prefix")
PROXIES = ("10.0.0.0/8", "unix")


class Peer:
    """What is looked at of a connection."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = "4000" if host else ""


def key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def seen(
    headers: dict[str, str], peer: str = "10.0.0.1", scheme: str = "http", **options: Any
) -> dict[str, Any]:
    """The environment that an application sees of a request with these headers."""
    options.setdefault("trusted_proxies", PROXIES)
    options.setdefault("forwarded_parts", EVERYTHING)
    connection = cast("Connection", Peer(peer))
    environ = {
        "REMOTE_ADDR": peer,
        "REMOTE_PORT": connection.port,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SCRIPT_NAME": "",
        "wsgi.url_scheme": scheme,
        "HTTP_HOST": "backend",
        **{key(name): value for name, value in headers.items()},
    }
    rewrite = ForwardedHeaders(Config(**options))
    once = dict(environ)
    rewrite(connection, EMPTY_BLOCK, once)
    rewrite(connection, EMPTY_BLOCK, environ)
    assert environ == once  # the second time from memory
    return environ


# The addresses


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", ("203.0.113.9", "")),
        ("203.0.113.9:5000", ("203.0.113.9", "5000")),
        ("[2001:db8::9]:5000", ("2001:db8::9", "5000")),
        ("2001:db8::9", ("2001:db8::9", "")),
        # What the client wrote itself stands to the left of the first untrusted hop.
        ("127.0.0.1, 203.0.113.9", ("203.0.113.9", "")),
        ("203.0.113.9, 10.0.0.7", ("203.0.113.9", "")),
        ("203.0.113.9,10.0.0.7 ,\t10.0.0.8", ("203.0.113.9", "")),
        ("198.51.100.1, 203.0.113.9, 10.0.0.7", ("203.0.113.9", "")),
        # Nothing but trusted hops: the farthest one.
        ("10.0.0.9, 10.0.0.7", ("10.0.0.9", "")),
        # An entry that is none ends the walk.
        ("unknown", ("10.0.0.1", "4000")),
        ("203.0.113.9, unknown", ("10.0.0.1", "4000")),
        ("203.0.113.9, unknown, 10.0.0.7:99", ("10.0.0.7", "99")),
        ("203.0.113.9, <script>, 10.0.0.7", ("10.0.0.7", "")),
        ("203.0.113.9, , 10.0.0.7", ("10.0.0.7", "")),
        ("", ("10.0.0.1", "4000")),
        (",", ("10.0.0.1", "4000")),
    ],
)
def test_the_client_is_the_first_that_is_not_trusted(value: str, client: tuple[str, str]) -> None:
    environ = seen({"X-Forwarded-For": value})
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == client
    assert environ["greenworld.peer"] == ("10.0.0.1", "4000")
    assert environ["HTTP_X_FORWARDED_FOR"] == value


def test_a_unix_socket_is_a_peer() -> None:
    environ = seen({"X-Forwarded-For": "203.0.113.9, 10.0.0.7"}, peer="")
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["greenworld.peer"] == ("", "")


def test_everyone_is_trusted_to_name_one_client() -> None:
    said = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    environ = seen(said, peer="192.0.2.1", trusted_proxies=("*",))
    assert environ["REMOTE_ADDR"] == "203.0.113.9"


# What is removed


SPOOFED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=127.0.0.1;proto=https",
    "X-Real-IP": "127.0.0.1",
    "X-Forwarded-Ssl": "on",
    "Front-End-Https": "on",
}


@pytest.mark.parametrize("header", ["x-forwarded", "forwarded"])
def test_an_untrusted_peer_says_nothing(header: str) -> None:
    environ = seen(SPOOFED, peer="203.0.113.9", forwarded_header=header)
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "backend"
    assert environ["SERVER_PORT"] == "8000"
    assert environ["SCRIPT_NAME"] == ""
    assert not [name for name in SPOOFED if key(name) in environ]


def test_what_was_not_chosen_is_removed_from_trusted_peers_too() -> None:
    environ = seen(SPOOFED, forwarded_parts=("for",))
    left = {name for name in SPOOFED if key(name) in environ}
    # What a proxy says in other words is left to the application.
    assert left == {"X-Forwarded-For", "X-Real-IP", "X-Forwarded-Ssl", "Front-End-Https"}
    assert environ["wsgi.url_scheme"] == "http"
    environ = seen(SPOOFED, forwarded_header="forwarded")
    assert not [
        name for name in environ if name.startswith("HTTP_X_FORWARDED_") and "SSL" not in name
    ]
    assert environ["wsgi.url_scheme"] == "https"


def test_by_default_the_client_and_the_scheme_are_believed() -> None:
    assert Config().forwarded_parts == ("for", "proto")
    assert Config().trusted_proxies == ()


# Scheme, host, port, prefix


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Proto": "https"}, {"wsgi.url_scheme": "https", "HTTPS": "on", "SERVER_PORT": "8000"}),
        ({"Proto": "http"}, {"wsgi.url_scheme": "http", "HTTPS": "off"}),
        (
            {"Host": "example.org"},
            {"HTTP_HOST": "example.org", "SERVER_NAME": "example.org", "SERVER_PORT": "80"},
        ),
        (
            {"Host": "example.org", "Proto": "https"},
            {"HTTP_HOST": "example.org", "SERVER_PORT": "443"},
        ),
        (
            {"Host": "[::1]:8443", "Proto": "https"},
            {"HTTP_HOST": "[::1]:8443", "SERVER_NAME": "[::1]", "SERVER_PORT": "8443"},
        ),
        (
            {"Host": "example.org", "Port": "8443", "Proto": "https"},
            {"HTTP_HOST": "example.org:8443", "SERVER_PORT": "8443"},
        ),
        (
            {"Host": "example.org:81", "Port": "8443"},
            {"HTTP_HOST": "example.org:81", "SERVER_PORT": "81"},
        ),
        (
            {"Port": "443", "Proto": "https"},
            {"HTTP_HOST": "backend", "SERVER_PORT": "443", "SERVER_NAME": "127.0.0.1"},
        ),
        ({"Port": "8080"}, {"HTTP_HOST": "backend:8080", "SERVER_PORT": "8080"}),
        ({"Prefix": "/app/"}, {"SCRIPT_NAME": "/app"}),
    ],
)
def test_the_other_parts(headers: dict[str, str], expected: dict[str, str]) -> None:
    environ = seen({f"X-Forwarded-{name}": value for name, value in headers.items()})
    assert {name: environ[name] for name in expected} == expected


def test_a_request_without_a_host_gets_none_of_a_port() -> None:
    environ = seen({"X-Forwarded-Port": "8080", "Host": ""})
    assert environ["HTTP_HOST"] == ""
    assert environ["SERVER_PORT"] == "8080"


@pytest.mark.parametrize(
    ("addresses", "schemes", "scheme"),
    [
        ("203.0.113.9, 10.0.0.7", "https", "https"),
        ("203.0.113.9, 10.0.0.7", "https, http", "https"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.7", "http, https, http", "https"),
        ("198.51.100.1, 203.0.113.9", "https, http", "http"),
    ],
)
def test_a_list_is_read_at_the_client(addresses: str, schemes: str, scheme: str) -> None:
    environ = seen({"X-Forwarded-For": addresses, "X-Forwarded-Proto": schemes})
    assert environ["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "https,http"},
        {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https,http"},
        {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "a,b"},
        {"X-Forwarded-Proto": "gopher"},
        {"X-Forwarded-Proto": ""},
        {"X-Forwarded-Host": "a b"},
        {"X-Forwarded-Host": ""},
        {"X-Forwarded-Port": "x"},
        {"X-Forwarded-Prefix": "//evil.example"},
    ],
)
def test_what_conflicts_or_is_malformed_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError) as caught:
        seen(headers)
    assert caught.value.status == 400


# Forwarded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", {"REMOTE_ADDR": "203.0.113.9", "wsgi.url_scheme": "http"}),
        (
            'for="[2001:db8::9]:99";proto=https;host=example.org',
            {
                "REMOTE_ADDR": "2001:db8::9",
                "REMOTE_PORT": "99",
                "wsgi.url_scheme": "https",
                "HTTP_HOST": "example.org",
                "SERVER_PORT": "443",
            },
        ),
        (
            "for=127.0.0.1;proto=http, for=203.0.113.9;proto=https, for=10.0.0.7;proto=http",
            {"REMOTE_ADDR": "203.0.113.9", "wsgi.url_scheme": "https"},
        ),
        (
            "for=203.0.113.9, for=10.0.0.7;proto=https",
            {"REMOTE_ADDR": "203.0.113.9", "wsgi.url_scheme": "https"},
        ),
        (
            "for=203.0.113.9;proto=https, for=unknown;proto=http",
            {"REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "http"},
        ),
        ("for=203.0.113.9, proto=https", {"REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "https"}),
        ("for=_hidden, for=10.0.0.7", {"REMOTE_ADDR": "10.0.0.7"}),
        ("by=10.0.0.1", {"REMOTE_ADDR": "10.0.0.1"}),
    ],
)
def test_forwarded(value: str, expected: dict[str, str]) -> None:
    environ = seen({"Forwarded": value}, forwarded_header="forwarded")
    assert {name: environ[name] for name in expected} == expected


def test_of_forwarded_too_only_the_parts_that_were_chosen_count() -> None:
    said = {"Forwarded": "for=203.0.113.9;proto=https;host=evil.example"}
    environ = seen(said, forwarded_header="forwarded", forwarded_parts=("proto",))
    assert environ["REMOTE_ADDR"] == "10.0.0.1"
    assert environ["HTTP_HOST"] == "backend"
    assert environ["wsgi.url_scheme"] == "https"


def test_a_malformed_forwarded_header_is_refused() -> None:
    with pytest.raises(HttpError, match="malformed"):
        seen({"Forwarded": "for"}, forwarded_header="forwarded")


# Bounds and configuration


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarded, "_MAX_KNOWN", 8)
    rewrite = ForwardedHeaders(Config(trusted_proxies=PROXIES))
    connection = cast("Connection", Peer("10.0.0.1"))
    for last in range(30):
        for longer in ("", "10.0.0.7," * 100):
            environ = {
                "wsgi.url_scheme": "http",
                "HTTP_X_FORWARDED_FOR": f"203.0.113.{last},{longer}10.0.0.2",
            }
            rewrite(connection, EMPTY_BLOCK, environ)
            assert environ["REMOTE_ADDR"] == f"203.0.113.{last}"
    assert 0 < len(rewrite._known) <= 8


def test_a_part_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="there is no 'hots'"):
        ForwardedHeaders(Config(trusted_proxies=PROXIES, forwarded_parts=cast("Any", ("hots",))))


# Over a real connection


def tell(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    keys = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTP_X_FORWARDED_FOR")
    start_response("200 OK", [])
    return [repr([environ.get(key) for key in keys]).encode()]


def test_a_request_through_a_trusted_proxy(serve: Serve) -> None:
    running = serve(tell, trusted_proxies=("127.0.0.1",))
    client = running.connect()
    headers = ("X-Forwarded-For: 192.0.2.1, 203.0.113.9", "X-Forwarded-Proto: https")
    for _ in range(2):
        reply = client.get("/", *headers)
        assert reply.body == b"['203.0.113.9', '', 'https', '192.0.2.1, 203.0.113.9']"
    # Repeated fields are one list.
    reply = client.get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 203.0.113.8")
    assert reply.body == b"['203.0.113.8', '', 'http', '192.0.2.1,203.0.113.8']"
    reply = client.get("/", "X-Forwarded-Proto: gopher")
    assert reply.status == 400
    assert reply.body == b"the forwarded scheme is neither http nor https\n"
    assert client.at_end()


def test_a_request_past_the_proxy(serve: Serve) -> None:
    running = serve(tell, trusted_proxies=("192.0.2.0/24",))
    client = running.connect()
    reply = client.get("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    port = client.sock.getsockname()[1]
    assert reply.body == f"['127.0.0.1', '{port}', 'http', None]".encode()


def test_behind_a_proxy_header_the_client_speaks_for_itself(serve: Serve) -> None:
    running = serve(tell, trusted_proxies=("127.0.0.1", "10.0.0.0/8"), proxy_protocol=True)
    for address, expected in (
        ("203.0.113.9", b"['203.0.113.9', '4000', 'http', None]"),
        ("10.0.0.7", b"['198.51.100.1', '', 'http', '198.51.100.1']"),
    ):
        client = running.connect()
        client.send(f"PROXY TCP4 {address} 192.0.2.1 4000 80\r\n".encode())
        assert client.get("/", "X-Forwarded-For: 198.51.100.1").body == expected


def test_without_trusted_proxies_no_header_is_touched(serve: Serve) -> None:
    client = serve(tell).connect()
    reply = client.get("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
    port = client.sock.getsockname()[1]
    assert reply.body == f"['127.0.0.1', '{port}', 'http', '203.0.113.9']".encode()


def test_a_wrong_list_of_proxies_is_an_error_before_anything_listens() -> None:
    with pytest.raises(ValueError, match="not 'nginx'"):
        Server(tell, config=Config(trusted_proxies=("nginx",)))
