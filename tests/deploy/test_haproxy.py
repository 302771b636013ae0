"""Behind a real HAProxy: connections that are kept, large bodies, streams, reloads."""

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

PIECE = bytes(range(256)) * 256
PIECES = 512
CONTENT = PIECE * PIECES
CONFIG = """
frontend in
    bind LISTEN
    default_backend site
backend site
    http-reuse always
    server site UPSTREAM
"""


@pytest.fixture(scope="module")
def site(shared_stage: Stage) -> Program:
    return shared_stage.serve("probe:app")


@pytest.fixture(scope="module")
def haproxy(shared_stage: Stage, site: Program) -> Program:
    return shared_stage.haproxy(CONFIG.replace("UPSTREAM", site.address))


def test_connections_to_the_server_are_kept(haproxy: Program) -> None:
    ports = [haproxy.get("/environ").json()["REMOTE_PORT"] for _ in range(20)]
    assert len(set(ports)) < 10


def test_methods_and_statuses(haproxy: Program) -> None:
    assert haproxy.get("/").text == "hello\n"
    assert haproxy.get("/absent").status == 404
    head = haproxy.ask("HEAD", "/file")
    assert (head.status, head.headers["content-length"], head.body) == (200, "300000", b"")
    assert len(haproxy.get("/file").body) == 300_000
    assert haproxy.ask("POST", "/refuse", b"x" * 1000).status == 403


def test_large_bodies_in_both_directions(haproxy: Program) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert haproxy.ask("POST", "/digest", CONTENT).json()["digest"] == digest
    reply = haproxy.ask("POST", "/digest", iter([PIECE] * PIECES)).json()
    assert reply == {"length": len(CONTENT), "digest": digest, "announced": None}
    body = haproxy.get(f"/download?pieces={PIECES}").body
    assert hashlib.sha256(body).hexdigest() == digest


def test_streams_arrive_as_they_are_made(haproxy: Program, connect_to: Connect) -> None:
    client = connect_to(haproxy)
    client.request("GET", "/gated")
    answer = client.getresponse()
    assert answer.readline() == b"first\n"
    haproxy.get("/go-on")
    assert answer.read() == b"second\n"

    def pieces() -> Iterator[bytes]:
        yield PIECE
        assert haproxy.get("/upload-begun").text == "begun"
        yield PIECE

    haproxy.ask("POST", "/digest", b"x")  # so that it has begun once:
    haproxy.get("/upload-begun")
    client.request("POST", "/digest", pieces())
    assert json.loads(client.getresponse().read())["length"] == 2 * len(PIECE)


def test_over_a_unix_socket(stage: Stage) -> None:
    site = stage.serve("probe:app", bind="unix:site.sock")
    haproxy = stage.haproxy(CONFIG.replace("UPSTREAM", f"unix@{site.address}"))
    reply = haproxy.ask("POST", "/digest", CONTENT)
    assert reply.json()["digest"] == hashlib.sha256(CONTENT).hexdigest()


def test_haproxy_reloads_under_load(stage: Stage) -> None:
    site = stage.serve("probe:app")
    haproxy = stage.haproxy(CONFIG.replace("UPSTREAM", site.address))
    with stage.load(haproxy, "/download?pieces=2", keep=False) as load:
        load.wait_for(20)
        for times in (2, 3):
            haproxy.signal(signal.SIGUSR2)
            for _ in range(30):
                # It may sleep over a signal until the next one comes.
                if haproxy.says("Loading success", times, seconds=1):
                    break
                haproxy.signal(signal.SIGUSR2)
            load.wait_for(20)
    assert load.failures == []
