"""Behind a real HAProxy: connections that are kept, large bodies, streams, reloads."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.certificates import Authority
from tests.deploy.program import CLIENT, LIMIT, Connect, Program
from tests.deploy.stage import Stage

pytestmark = pytest.mark.slow

PIECE = bytes(range(256)) * 256
PIECES = 256
CONTENT = PIECE * PIECES
CONFIG = """
defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    timeout check 20s
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
    assert len(set(ports)) < len(ports)


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
    # HAProxy does not reload with a socket that it was given: it makes this one itself.
    address = f"{stage.folder}/in.sock"
    site = stage.serve("probe:app")
    config = CONFIG.replace("UPSTREAM", site.address).replace("LISTEN", address)
    haproxy = stage.haproxy(config)
    haproxy.address = address
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


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_proxy_header_tells_the_client(stage: Stage, version: str) -> None:
    site = stage.serve("probe:app", "--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    haproxy = stage.haproxy(CONFIG.replace("UPSTREAM", f"{site.address} {version}"))
    environ = haproxy.get("/environ", X_Forwarded_For="192.0.2.66").json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert "HTTP_X_FORWARDED_FOR" not in environ, "the client wrote it, and is not trusted"
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert haproxy.ask("POST", "/digest", CONTENT).json()["digest"] == digest
    site.wait_for(rf'^{CLIENT} .*"POST /digest HTTP/1\.1" 200')


def test_tls_passed_through_behind_a_proxy_header(stage: Stage) -> None:
    authority = Authority(stage.folder)
    certificate, key = authority.issue("localhost")
    tls = ("--certfile", certificate, "--keyfile", key)
    site = stage.serve("probe:app", *tls, "--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    config = CONFIG.replace("mode http", "mode tcp").replace("    http-reuse always\n", "")
    haproxy = stage.haproxy(config.replace("UPSTREAM", f"{site.address} send-proxy-v2"))
    context = ssl.create_default_context(cafile=authority.certificate)
    host, port = haproxy.address.split(":")
    raw = socket.create_connection((host, int(port)), LIMIT, (CLIENT, 0))
    with context.wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(b"GET /environ HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            environ = json.loads(answer.read().partition(b"\r\n\r\n")[2])
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")


def test_forwarded_headers_tell_the_client(stage: Stage) -> None:
    site = stage.serve("probe:app", "--trusted-proxies", "127.0.0.1")
    forward = """
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    server site"""
    config = CONFIG.replace("\n    server site", forward).replace("UPSTREAM", site.address)
    environ = stage.haproxy(config).get("/environ", X_Forwarded_For="192.0.2.66").json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert environ["wsgi.url_scheme"] == "https"


def test_health_checks_take_a_server_in_and_out(stage: Stage) -> None:
    upstream = f"{stage.folder}/site.sock"
    check = "option httpchk GET /healthz\n    server site"
    config = CONFIG.replace("server site", check)
    haproxy = stage.haproxy(config.replace("UPSTREAM", f"unix@{upstream} check inter 100ms"))
    for times in (1, 2):
        haproxy.wait_for("Server site/site is DOWN", times)
        assert haproxy.get("/").status == 503
        site = stage.serve("probe:app", "--health-path", "/healthz", bind=f"unix:{upstream}")
        haproxy.wait_for("Server site/site is UP", times)
        assert haproxy.get("/").status == 200
        assert "/healthz" not in site.said
        site.signal(signal.SIGTERM)
        assert site.end() == 0
    haproxy.wait_for("Server site/site is DOWN", 3)


def test_servers_restart_one_after_the_other_under_load(stage: Stage) -> None:
    check = "option httpchk GET /healthz\n    option redispatch\n    retry-on all-retryable-errors"
    paths = [f"{stage.folder}/{name}.sock" for name in "ab"]
    servers = [f"\n    server s{n} unix@{path} check inter 100ms" for n, path in enumerate(paths)]
    config = CONFIG.replace("http-reuse always", check)
    config = config.replace("\n    server site UPSTREAM", "".join(servers))
    options = ("probe:app", "--health-path", "/healthz")
    sites = [stage.serve(*options, bind=f"unix:{path}") for path in paths]
    haproxy = stage.haproxy(config)
    with stage.load(haproxy, "/pid", keep=True) as load:
        load.wait_for(50)
        for number, path in enumerate(paths):
            sites[number].signal(signal.SIGTERM)
            assert sites[number].end() == 0
            load.wait_for(50)
            sites[number] = stage.serve(*options, bind=f"unix:{path}")
            load.wait_for(50)
            haproxy.wait_for(f"Server site/s{number} is UP")
    assert load.failures == []
    assert len(set(load.answers)) >= 3
