"""The atoms of the access log: what each says of real requests, and what is no format."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from greenworld.wsgi import Config, Server
from greenworld.wsgi.access_format import ATOMS, NAMED, compile_format
from tests.wsgi.conftest import Connect, Running, Serve

STAMP = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("why")
    if environ["PATH_INFO"] == "/user":
        environ["REMOTE_USER"] = 'o"hara\n'
        environ["view"] = "\u20ac"
    start_response(
        "201 Made", [("Set-Cookie", "a"), ("set-cookie", 'b"'), ("Content-Type", "text/plain")]
    )
    return [b"" if environ["PATH_INFO"] == "/empty" else b"body"]


def lines_of(running: Running) -> list[str]:
    """What the access log holds once the server has stopped."""
    running.stop()
    return running.access.getvalue().splitlines()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%h", r"127\.0\.0\.1"),
        ("%a", r"127\.0\.0\.1"),
        ("%{c}a", r"127\.0\.0\.1"),
        ("%l", "-"),
        ("%u", "-"),
        ("%t", STAMP),
        ("%{%Y-%m-%dT%H:%M:%S%z}t", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"),
        ("%{msec}t", r"\d{13}"),
        ("%r", r"GET /a%20b\?c=%22d HTTP/1\.1"),
        ("%m %U %q %H", r"GET /a b \?c=%22d HTTP/1\.1"),
        ("%s/%>s", "201/201"),
        ("%B/%b", "4/4"),
        ("%D", r"\d+"),
        ("%M", r"\d+"),
        ("%T", r"\d+"),
        ("%L", r"\d+\.\d{6}"),
        ("%{x-a}i|%{X-None}i|%p", r"one \\\\ \\\"two\\\" \\xe9,three\|-\|PORT"),
        ("%{X-A}i", r"one \\\\ \\\"two\\\" \\xe9,three"),
        ("%{Content-Type}i%{Content-Length}i", "text/html-"),
        ("%{SET-Cookie}o|%{content-type}o|%{X-None}o", r"a, b\\\"\|text/plain\|-"),
        ("%{REQUEST_METHOD}e %{none}e", "GET -"),
        ("%{request_id}x", r"[0-9a-f]{16}-1"),
        ("%p", "PORT"),
        ("%{remote}p", "CLIENT"),
        ("%P", str(os.getpid())),
        ("100%% {braces} 'quotes' \"%m\" \\", r"100% \{braces\} 'quotes' \"GET\" \\"),
        ("%m%m", "GETGET"),
    ],
)
def test_atoms(serve: Serve, form: str, expected: str) -> None:
    running = serve(application, access_format=form)
    client = running.connect()
    client.get("/a%20b?c=%22d", 'X-A: one \\ "two" \xe9', "x-a: three", "Content-Type: text/html")
    expected = expected.replace("PORT", str(running.server.address[1]))
    expected = expected.replace("CLIENT", str(client.sock.getsockname()[1]))
    (line,) = lines_of(running)
    assert re.fullmatch(expected, line), line


def test_what_the_application_says(serve: Serve) -> None:
    running = serve(application, access_format="%u|%{view}e")
    running.connect().get("/user")
    assert lines_of(running) == ['o\\"hara\\x0a|\\u20ac']


def test_nothing_was_sent(serve: Serve) -> None:
    running = serve(application, access_format="%s %b %B%q")
    client = running.connect()
    client.get("/empty")
    client.get("/empty?", method="HEAD")
    assert lines_of(running) == ["201 - 0", "201 - 0"]


def test_an_answer_that_is_the_servers(serve: Serve) -> None:
    running = serve(application, access_format="%s %B %{Content-Type}o")
    running.connect().get("/fail")
    assert lines_of(running) == ["500 41 text/plain"]


@pytest.mark.parametrize("name", ["common", "combined"])
def test_named_formats(serve: Serve, name: str) -> None:
    for form in (name, NAMED[name]):
        running = serve(application, access_format=form)
        client = running.connect()
        for _ in range(2):
            client.get("/", "Referer: http://a/", 'User-Agent: "b')
        client.get("/x", 'User-Agent: "c')
        lines = lines_of(running)
        tails = ["", "", ""]
        if name == "combined":
            tails = [r' "http://a/" "\"b"'] * 2 + [r' "-" "\"c"']
        for line, path, tail in zip(lines, ["/", "/", "/x"], tails, strict=True):
            start = rf'127\.0\.0\.1 - - {STAMP} "GET {path} HTTP/1\.1" 201 4'
            assert re.fullmatch(start + re.escape(tail), line), line


def test_the_default_is_combined() -> None:
    assert Config().access_format == "combined"


def test_what_was_no_request(serve: Serve) -> None:
    form = '%h|%u|%r|%m %U%q %H|%s|%B|%D %M %T %L|"%{X}i"|%{X}o|%{X}e|%{request_id}x|%{remote}p'
    running = serve(application, access_format=form)
    client = running.connect()
    client.send(b"nonsense\r\n\r\n")
    assert client.reply().status == 400
    port = client.sock.getsockname()[1]
    (line,) = lines_of(running)
    assert re.fullmatch(
        rf'127\.0\.0\.1\|-\|-\|- - -\|400\|\d+\|- - - -\|"-"\|-\|-\|-\|{port}', line
    ), line


def test_a_unix_socket(tmp_path: Path, serve: Serve, connect: Connect) -> None:
    path = str(tmp_path / "s")
    running = serve(application, bind=f"unix:{path}", access_format="%h %{c}a %p %{remote}p")
    connect(path).get("/")
    assert lines_of(running) == ["- - - -"]


def test_the_client_behind_a_proxy(serve: Serve) -> None:
    running = serve(
        application,
        access_format="%h %a %{c}a %{X-Forwarded-For}i %{X-Forwarded-For}e",
        trusted_proxies=("127.0.0.1",),
    )
    client = running.connect()
    client.get("/", "X-Forwarded-For: 203.0.113.9")
    client.get("/")
    client.send(b"nonsense\r\n\r\n")
    client.reply()
    assert lines_of(running) == [
        "203.0.113.9 203.0.113.9 127.0.0.1 203.0.113.9 -",
        "127.0.0.1 127.0.0.1 127.0.0.1 - -",
        "127.0.0.1 127.0.0.1 127.0.0.1 - -",
    ]


def test_what_an_untrusted_client_claims_is_in_the_log_alone(serve: Serve) -> None:
    form = "%h %{X-Forwarded-For}i %{HTTP_X_FORWARDED_FOR}e"
    running = serve(application, access_format=form, trusted_proxies=("192.0.2.1",))
    running.connect().get("/", "X-Forwarded-For: 203.0.113.9")
    assert lines_of(running) == ["127.0.0.1 203.0.113.9 -"]


def test_time_is_taken_only_for_formats_that_tell_it(serve: Serve) -> None:
    assert not compile_format("combined").timed
    assert compile_format("%D").timed
    assert serve(application).server.application is application
    assert serve(application, access_format="%L").server.application is not application


def test_two_servers_say_different_things_of_equal_requests(serve: Serve) -> None:
    first = serve(application, access_format="%{User-Agent}i")
    second = serve(application, access_format="[%{User-Agent}i]")
    for running in (first, second):
        client = running.connect()
        for _ in range(3):
            client.get("/", "User-Agent: a")
        client.send(b"nonsense\r\n\r\n")
        client.reply()
    assert lines_of(first) == ["a"] * 3 + ["-"]
    assert lines_of(second) == ["[a]"] * 3 + ["[-]"]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("", "neither common, combined nor json"),
        ("combind", "'combind' is neither common, combined nor json"),
        ("%Z", "'%Z', which is no atom: there are %h %a "),
        ("%{X}h", "'%{X}h', which is no atom"),
        ("%i", "'%i', which is no atom"),
        ("%{request-id}x", "which is no atom"),
        ("%{local}p", "which is no atom"),
        ("%<s", "'%<s', which is no atom"),
        ("%{a b}i", "'a b' is not the name of a header"),
        ("%{}o", "'' is not the name of a header"),
        ("%{begin:%H}t", "not understood"),
        ("%{}t", "a form of strftime is missing"),
        ("100%", "no atom at '%'"),
        ("% h", "no atom at '% h'"),
        ("%(h)s", "write %h for %(h)s"),
        ("%{X", "no atom at '%{X'"),
        ("%!200{X}i", "no atom at"),
        ("%h\n", "no line break"),
        ("%h \xe9", "printable ASCII"),
    ],
)
def test_what_is_no_format(form: str, says: str) -> None:
    with pytest.raises(ValueError, match="the access format") as caught:
        compile_format(form)
    assert says in str(caught.value)
    with pytest.raises(ValueError, match="the access format"):
        Server(application, config=Config(access_log=open_nothing(), access_format=form))


def open_nothing() -> Any:
    """A stream that nothing is written to."""
    return object()


def test_no_argument_becomes_code(serve: Serve) -> None:
    nasty = '\'"""}{!r:x}\\'
    running = serve(application, access_format=f'{nasty}%{{\'"""!r:x\\}}e%{{"""}}t {nasty}')
    running.connect().get("/")
    assert lines_of(running) == [f'{nasty}-""" {nasty}']


def test_every_atom_of_the_table_works(serve: Serve) -> None:
    arguments = {"%{NAME}i": "%{Host}i", "%{NAME}o": "%{Date}o", "%{FORMAT}t": "%{sec}t"}
    form = " ".join(arguments.get(text, text) for text in ATOMS)
    running = serve(application, access_format=form)
    running.connect().get("/")
    (line,) = lines_of(running)
    assert len(line.split(" ")) >= len(ATOMS)


def test_a_client_that_goes_away_is_logged_without_an_answer(serve: Serve) -> None:
    def reading(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        raise AssertionError("not reached")

    running = serve(reading, access_format="%s %B %{X}o")
    client = running.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.at_end()
    assert lines_of(running) == ["- 0 -"]
