"""The same routes in five frameworks, served by the command: each behaves as its users expect."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from tests.deploy.program import Connect, Program
from tests.deploy.stage import Stage

pytestmark = pytest.mark.slow

FRAMEWORKS = ("flask", "django", "falcon", "bottle", "pyramid")
INSTALLED = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module", params=INSTALLED)
def site(request: pytest.FixtureRequest, shared_stage: Stage) -> Iterator[Program]:
    program = shared_stage.serve(f"{request.param}_site:app")
    yield program
    program.close()


def test_no_framework_is_missing() -> None:
    if missing := ", ".join(name for name in FRAMEWORKS if name not in INSTALLED):
        pytest.skip(f"needs the libraries {missing}: pip install -e '.[libraries]'")


def framework(site: Program) -> str:
    return str(site.process.args[3]).partition("_")[0]  # type: ignore[index]


def test_path_and_query_in_unicode(site: Program) -> None:
    query = urlencode({"greeting": "Grüß Gott"})
    reply = site.get(f"/hello/{quote('Zoë & 日本')}?{query}")
    assert (reply.status, reply.text) == (200, "Grüß Gott, Zoë & 日本")


def test_form(site: Program) -> None:
    fields = {"name": "Zoë", "note": "a=b&c d\r\n"}
    kind = "application/x-www-form-urlencoded"
    reply = site.ask("POST", "/form", urlencode(fields), Content_Type=kind)
    assert (reply.status, reply.json()) == (200, fields)


def test_file_upload(site: Program) -> None:
    part = "--frontier\r\nContent-Disposition: form-data; name="
    body = (
        f'{part}"note"\r\n\r\nhello\r\n'
        f'{part}"file"; filename="a b.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    ).encode() + CONTENT
    kind = "multipart/form-data; boundary=frontier"
    reply = site.ask("POST", "/upload", body + b"\r\n--frontier--\r\n", Content_Type=kind)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (reply.status, reply.json()) == (
        200,
        {"note": "hello", "name": "a b.bin", "digest": digest},
    )


def test_chunked_request_body(site: Program) -> None:
    pieces = iter([CONTENT[:10], CONTENT[10:100_000], CONTENT[100_000:]])
    reply = site.ask("POST", "/digest", pieces, Content_Type="application/octet-stream")
    expected = (200, hashlib.sha256(CONTENT).hexdigest())
    if framework(site) == "django":  # on whatever server, it reads what Content-Length announces
        expected = (200, hashlib.sha256(b"").hexdigest())
    elif framework(site) == "bottle":  # it would decode the chunks itself
        expected = (400, reply.text)
    assert (reply.status, reply.text) == expected


def test_streamed_answer(site: Program, connect_to: Connect) -> None:
    client = connect_to(site)
    client.request("GET", "/stream")
    answer = client.getresponse()
    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert answer.readline() == b"first\n"
    assert site.ask("POST", "/go-on").status == 204
    assert answer.read() == b"second\n"


def test_json_in_both_directions(site: Program) -> None:
    assert site.get("/json").json() == {"number": 1}
    value = {"name": "Zoë", "list": [1, None, 2.5]}
    reply = site.ask("POST", "/json", json.dumps(value), Content_Type="application/json")
    assert (reply.status, reply.json()) == (200, value)


def test_cookies(site: Program) -> None:
    reply = site.get("/cookies", Cookie="first=one; other=2")
    assert reply.json() == {"first": "one", "other": "2"}
    set_to = [line.partition(";")[0] for line in reply.headers["set-cookie"].split("\n")]
    assert set_to == ["first=1", "second=2"]


def test_redirect(site: Program) -> None:
    reply = site.get("/old")
    assert reply.status in (302, 303)
    assert reply.headers["location"] in ("/new", f"http://{site.address}/new")


def test_file(site: Program, shared_stage: Stage) -> None:
    reply = site.get("/file")
    assert (reply.status, reply.body) == (200, shared_stage.file.read_bytes())
    assert reply.headers["content-length"] == str(len(reply.body))


def test_head_keeps_the_connection_in_step(site: Program, connect_to: Connect) -> None:
    client = connect_to(site)
    client.request("HEAD", "/json")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    length = answer.getheader("Content-Length")
    sock = client.sock
    client.request("GET", "/json")
    answer = client.getresponse()
    assert answer.status == 200
    assert length in (None, str(len(answer.read())))
    assert client.sock is sock, "on the same connection"


def test_options(site: Program) -> None:
    reply = site.ask("OPTIONS", "/json")
    assert reply.status in (200, 204)
    assert {"GET", "POST"} <= {method.strip() for method in reply.headers["allow"].split(",")}


def test_what_does_not_exist(site: Program) -> None:
    assert site.get("/absent").status == 404


def test_exception_is_one_traceback_and_an_error_page(site: Program) -> None:
    reply = site.get("/fail")
    assert reply.status == 500
    assert "on purpose" not in reply.text
    assert site.get("/json?after-the-failure").status == 200
    site.wait_for("GET /json.after-the-failure")
    assert site.said.count("ValueError: on purpose") == 1
