"""Behind a real nginx: connections that are kept, buffering on and off, large bodies, reloads."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.program import CLIENT, Connect, Program
from tests.deploy.stage import Stage, need_module

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 4000
LARGE = 256  # pieces of 64 KiB
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
    assert len(set(ports)) < len(ports)


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


@pytest.mark.parametrize("framework", ["django", "bottle"])
def test_frameworks_that_need_a_length_read_chunked_uploads(stage: Stage, framework: str) -> None:
    need_module(framework)
    site = stage.serve(f"{framework}_site:app")
    config = LOCATIONS.replace("$http_host", "127.0.0.1").replace("UPSTREAM", site.address)
    reply = stage.nginx(config).ask("POST", "/digest", iter([CONTENT, CONTENT]))
    assert reply.text == hashlib.sha256(CONTENT * 2).hexdigest()


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


FORWARD = """
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
"""


@pytest.mark.parametrize("unix", [False, True])
def test_forwarded_headers_of_nginx_are_believed(stage: Stage, unix: bool) -> None:
    bind = "unix:site.sock" if unix else "127.0.0.1:0"
    trusted = "unix" if unix else "127.0.0.1"
    site = stage.serve("probe:app", "--trusted-proxies", trusted, bind=bind)
    upstream = f"unix:{site.address}" if unix else site.address
    config = LOCATIONS.replace("proxy_set_header Host $http_host;", FORWARD)
    nginx = stage.nginx(config.replace("UPSTREAM", upstream))
    environ = nginx.get(
        "/environ", X_Forwarded_For="192.0.2.66", X_Forwarded_Host="evil", Forwarded="for=192.0.2.1"
    ).json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "127.0.0.1"
    assert not {"HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED"} & set(environ)
    site.wait_for(rf'^{CLIENT} .*"GET /environ HTTP/1\.1" 200')


def test_forwarded_headers_of_others_are_removed(stage: Stage) -> None:
    site = stage.serve("probe:app", "--trusted-proxies", "127.0.0.1")
    headers = {
        "X_Forwarded_For": "192.0.2.66",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil",
        "Forwarded": "for=192.0.2.66;proto=https",
        "X_Real_IP": "192.0.2.66",
    }
    environ = site.get("/environ", **headers).json()
    assert environ["REMOTE_ADDR"] == CLIENT
    assert environ["wsgi.url_scheme"] == "http"
    assert not [key for key in environ if "FORWARDED" in key or "REAL_IP" in key]


STREAM = """
load_module MODULE;
stream {
    server { listen LISTEN; proxy_pass UPSTREAM; proxy_protocol on; }
}
"""


def test_proxy_header_of_a_passed_through_connection(stage: Stage) -> None:
    places = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
    files = [Path(place, "ngx_stream_module.so") for place in places]
    module = next((str(file) for file in files if file.exists()), None)
    if module is None:
        pytest.skip("needs nginx's stream module, which is not installed here")
    site = stage.serve("probe:app", "--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    config = STREAM.replace("MODULE", module).replace("UPSTREAM", site.address)
    environ = stage.nginx(outside=config).get("/environ").json()
    assert environ["REMOTE_ADDR"] == CLIENT


def test_restart_under_load_with_a_second_server(stage: Stage) -> None:
    paths = [f"{stage.folder}/{name}.sock" for name in "ab"]
    servers = "".join(f"server unix:{path} max_fails=0; " for path in paths)
    sites = [stage.serve("probe:app", bind=f"unix:{path}") for path in paths]
    nginx = stage.nginx(LOCATIONS.replace("server UPSTREAM;", servers))
    with stage.load(nginx, "/pid", keep=True) as load:
        load.wait_for(50)
        for number, path in enumerate(paths):
            sites[number].signal(signal.SIGTERM)
            assert sites[number].end() == 0
            load.wait_for(50)
            sites[number] = stage.serve("probe:app", bind=f"unix:{path}")
            load.wait_for(50)
    assert load.failures == []


def test_restart_under_load_with_a_socket_that_outlives_the_server(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        upstream = f"127.0.0.1:{sock.getsockname()[1]}"
        fds = (sock.fileno(),)
        site = stage.serve("probe:app", bind=f"fd://{sock.fileno()}", fds=fds)
        nginx = stage.nginx(LOCATIONS.replace("UPSTREAM", upstream))
        with stage.load(nginx, "/pid", keep=True) as load:
            for _ in range(2):
                load.wait_for(50)
                site.signal(signal.SIGTERM)
                assert site.end() == 0
                site = stage.serve("probe:app", bind=f"fd://{sock.fileno()}", fds=fds)
            load.wait_for(50)
    assert load.failures == []
    assert len(set(load.answers)) >= 2


@pytest.mark.parametrize("body", [None, b"nginx never repeats a POST"])
def test_workers_reload_under_load(stage: Stage, body: bytes | None) -> None:
    site = stage.serve("probe:app", "--workers", "2")
    nginx = stage.nginx(LOCATIONS.replace("UPSTREAM", site.address))
    with stage.load(nginx, "/pid", keep=True, body=body) as load:
        load.wait_for(50)
        for _ in range(2):
            site.signal(signal.SIGHUP)
            load.wait_for_new_answer()
        load.wait_for(50)
    assert load.failures == []


def test_workers_that_are_replaced_after_so_many_requests(stage: Stage) -> None:
    site = stage.serve("probe:app", "--workers", "2", "--max-requests", "200")
    nginx = stage.nginx(LOCATIONS.replace("UPSTREAM", site.address))
    with stage.load(nginx, "/pid", keep=True, body=b"nginx never repeats a POST") as load:
        for _ in range(4):
            load.wait_for_new_answer()
    assert load.failures == []


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
