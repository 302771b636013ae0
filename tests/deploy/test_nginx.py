"""Behind a real nginx: connections that are kept, buffering on and off, large bodies, reloads."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.deploy.conftest import Connect, Program, Stage

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 4000
LARGE = 512  # pieces of 64 KiB
PIECE = bytes(range(256)) * 256
LOCATIONS = """
upstream site { server UPSTREAM; keepalive 16; }
server {
    listen LISTEN;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    location / { proxy_pass http://site; }
    location /unbuffered/ {
        proxy_pass http://site/;
        proxy_buffering off;
        proxy_request_buffering off;
    }
    location /one-zero/ {
        proxy_pass http://site/;
        proxy_http_version 1.0;
    }
}
"""


@pytest.fixture(scope="module")
def site(shared_stage: Stage) -> Program:
    return shared_stage.serve("probe:app")


@pytest.fixture(scope="module")
def nginx(shared_stage: Stage, site: Program) -> Program:
    return shared_stage.nginx(LOCATIONS.replace("UPSTREAM", site.address))


def test_connections_to_the_server_are_kept(nginx: Program) -> None:
    ports = [nginx.get("/environ").json()["REMOTE_PORT"] for _ in range(20)]
    assert len(set(ports)) < 10


def test_http_1_0_to_the_server(nginx: Program) -> None:
    reply = nginx.get("/one-zero/environ")
    assert reply.json()["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert len(nginx.get("/one-zero/download?pieces=40").body) == 40 * 65536


@pytest.mark.parametrize("prefix", ["", "/unbuffered"])
def test_methods_and_statuses(nginx: Program, prefix: str) -> None:
    assert nginx.get(f"{prefix}/").text == "hello\n"
    assert nginx.get(f"{prefix}/absent").status == 404
    head = nginx.ask("HEAD", f"{prefix}/file")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == "300000"
    assert len(nginx.get(f"{prefix}/file").body) == 300_000
    assert nginx.ask("POST", f"{prefix}/refuse", CONTENT).status == 403


@pytest.mark.parametrize("prefix", ["", "/unbuffered"])
def test_large_download(nginx: Program, prefix: str) -> None:
    body = nginx.get(f"{prefix}/download?pieces={LARGE}").body
    assert hashlib.sha256(body).digest() == hashlib.sha256(PIECE * LARGE).digest()


@pytest.mark.parametrize("prefix", ["", "/unbuffered"])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_upload(nginx: Program, prefix: str, chunked: bool) -> None:
    content = PIECE * LARGE
    body = iter([PIECE] * LARGE) if chunked else content
    reply = nginx.ask("POST", f"{prefix}/digest", body).json()
    assert reply["digest"] == hashlib.sha256(content).hexdigest()
    # A buffering nginx knows how long it is before the server hears of it.
    announced = not chunked or not prefix
    assert reply["announced"] == (str(len(content)) if announced else None)


def test_unbuffered_answer_arrives_as_it_is_made(nginx: Program, connect_to: Connect) -> None:
    client = connect_to(nginx)
    client.request("GET", "/unbuffered/gated")
    answer = client.getresponse()
    assert answer.readline() == b"first\n"
    nginx.get("/go-on")
    assert answer.read() == b"second\n"


def test_unbuffered_upload_arrives_as_it_is_sent(nginx: Program, connect_to: Connect) -> None:
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        assert nginx.get("/upload-begun").text == "begun"
        yield CONTENT

    nginx.ask("POST", "/digest", b"x")  # so that it has begun once:
    nginx.get("/upload-begun")
    client = connect_to(nginx)
    client.request("POST", "/unbuffered/digest", pieces())
    assert json.loads(client.getresponse().read())["length"] == 2 * len(CONTENT)


def test_a_client_that_leaves_early_disturbs_nobody(
    nginx: Program, site: Program, connect_to: Connect
) -> None:
    for _ in range(5):
        client = connect_to(nginx)
        client.request("GET", "/unbuffered/download?pieces=1000")
        client.getresponse().read(100_000)
        client.close()
    assert nginx.get("/").status == 200
    assert "Traceback" not in site.said


def test_over_a_unix_socket(stage: Stage) -> None:
    site = stage.serve("probe:app", bind="unix:site.sock")
    nginx = stage.nginx(LOCATIONS.replace("UPSTREAM", f"unix:{site.address}"))
    reply = nginx.ask("POST", "/digest", CONTENT)
    assert reply.json()["digest"] == hashlib.sha256(CONTENT).hexdigest()
    environ = nginx.get("/environ").json()
    assert environ["HTTP_HOST"] == nginx.address


def test_nginx_reloads_under_load(stage: Stage) -> None:
    site = stage.serve("probe:app")
    nginx = stage.nginx(LOCATIONS.replace("UPSTREAM", site.address))
    with stage.load(nginx, "/download?pieces=2", keep=False) as load:
        load.wait_for(20)
        for times in (2, 3, 4):
            nginx.signal(signal.SIGHUP)
            nginx.wait_for("start worker process ", times)
            load.wait_for(20)
    assert load.failures == []
