"""Clients that people use, each in its own way, against the command."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy.program import LIMIT, Connect, Program
from tests.deploy.stage import Stage, need

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def site(shared_stage: Stage) -> Program:
    return shared_stage.serve("probe:app")


@pytest.fixture(scope="module")
def url(site: Program) -> str:
    return f"http://{site.address}"


Curl = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def curl() -> Curl:
    binary = need("curl")

    def run(*options: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [binary, "--silent", "--show-error", "--max-time", str(LIMIT), *options]
        done = subprocess.run(command, input=data, capture_output=True, timeout=2 * LIMIT)
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_curl_reuses_the_connection(curl: Curl, url: str) -> None:
    done = curl("-v", f"{url}/", f"{url}/file", f"{url}/absent", f"{url}/", "-o", "/dev/null")
    assert done.stderr.count(b"Re-using existing connection") == 3


def test_curl_speaks_http_1_0(curl: Curl, url: str) -> None:
    done = curl("-v", "--http1.0", f"{url}/download?pieces=3")
    assert len(done.stdout) == 3 * 65536
    assert b"Connection: close" in done.stderr
    done = curl("-v", "--http1.0", "-H", "Connection: keep-alive", f"{url}/", f"{url}/")
    assert done.stdout == b"hello\nhello\n"
    assert done.stderr.count(b"Re-using existing connection") == 1


def test_curl_waits_for_100_continue(curl: Curl, url: str) -> None:
    upload = ("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "60")
    done = curl(*upload, "--data-binary", "@-", f"{url}/digest", data=CONTENT)
    assert b"< HTTP/1.1 100 Continue" in done.stderr
    assert json.loads(done.stdout)["digest"] == DIGEST
    done = curl(*upload, "--data-binary", "@-", f"{url}/refuse", data=CONTENT)
    assert b"< HTTP/1.1 100" not in done.stderr
    assert b"< HTTP/1.1 403 Forbidden" in done.stderr


def test_curl_sends_what_it_reads_in_chunks(curl: Curl, url: str) -> None:
    done = curl("-v", "-T", "-", f"{url}/digest", data=CONTENT)
    assert b"Transfer-Encoding: chunked" in done.stderr
    assert json.loads(done.stdout) == {
        "length": len(CONTENT),
        "digest": DIGEST,
        "announced": None,
    }


def test_curl_asks_for_heads(curl: Curl, url: str) -> None:
    done = curl("-v", "--head", f"{url}/", f"{url}/file", f"{url}/download?pieces=2")
    assert done.stdout.count(b"HTTP/1.1 200 OK") == 3
    assert b"Content-Length: 300000\r\n" in done.stdout
    assert done.stderr.count(b"Re-using existing connection") == 2


def test_curl_compressed_in_both_directions(curl: Curl, url: str) -> None:
    done = curl("-v", "--compressed", f"{url}/zipped")
    assert done.stdout == b"compressed " * 1000
    assert b"Content-Encoding: gzip" in done.stderr
    packed = subprocess.run(
        ["gzip", "-c"], input=CONTENT, capture_output=True, timeout=LIMIT, check=True
    ).stdout
    done = curl("-H", "Content-Encoding: gzip", "-T", "-", f"{url}/unzip", data=packed)
    assert done.stdout == CONTENT


def test_curl_in_parallel(curl: Curl, url: str) -> None:
    done = curl("--parallel", "--parallel-immediate", f"{url}/download?pieces=[1-20]")
    assert len(done.stdout) == sum(range(1, 21)) * 65536


def test_curl_over_a_unix_socket(curl: Curl, stage: Stage) -> None:
    site = stage.serve("probe:app", bind="unix:probe.sock")
    done = curl("--unix-socket", site.address, "http://anything/", "http://anything/file")
    assert done.stdout == b"hello\n" + stage.file.read_bytes()


def test_wrk(url: str) -> None:
    command = [need("wrk"), "-t1", "-c32", "-d1s", "--timeout", "60s", f"{url}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert re.search(r"[1-9]\d* requests in", done.stdout), done.stdout
    assert "Socket errors" not in done.stdout
    assert "Non-2xx" not in done.stdout


def test_http_client_over_one_connection(site: Program, connect_to: Connect) -> None:
    client = connect_to(site)
    client.connect()
    sock = client.sock
    for method, path, body, size in (
        ("GET", "/", None, 6),
        ("POST", "/unzip?", b"", None),
        ("PUT", "/digest", io.BytesIO(CONTENT), None),
        ("GET", "/download?pieces=5", None, 5 * 65536),
        ("HEAD", "/file", None, 0),
        ("GET", "/file", None, 300_000),
    ):
        client.request(method, path, body)
        answer = client.getresponse()
        data = answer.read()
        assert answer.status == 200
        assert size in (None, len(data))
        assert client.sock is sock


def pieces() -> Iterator[bytes]:
    for at in range(0, len(CONTENT), 10_000):
        yield CONTENT[at : at + 10_000]


def test_requests(url: str) -> None:
    requests = pytest.importorskip("requests", reason="needs the library requests")
    with requests.Session() as session:
        ports = {session.get(f"{url}/environ", timeout=LIMIT).json()["REMOTE_PORT"] for _ in "123"}
        assert len(ports) == 1
        assert session.post(f"{url}/digest", data=pieces(), timeout=LIMIT).json() == {
            "length": len(CONTENT),
            "digest": DIGEST,
            "announced": None,
        }
        reply = session.post(f"{url}/digest", files={"file": io.BytesIO(CONTENT)}, timeout=LIMIT)
        assert reply.json()["length"] == int(reply.json()["announced"])
        with session.get(f"{url}/download?pieces=16", stream=True, timeout=LIMIT) as reply:
            assert sum(map(len, reply.iter_content(100_000))) == 16 * 65536
        assert session.get(f"{url}/zipped", timeout=LIMIT).text == "compressed " * 1000
        assert session.get(f"{url}/absent", timeout=LIMIT).status_code == 404


def test_httpx(url: str) -> None:
    httpx = pytest.importorskip("httpx", reason="needs the library httpx")
    with httpx.Client(base_url=url, timeout=LIMIT) as client:
        assert len({client.get("/environ").json()["REMOTE_PORT"] for _ in "123"}) == 1
        assert client.post("/digest", content=pieces()).json()["digest"] == DIGEST
        reply = client.post("/digest", files={"file": io.BytesIO(CONTENT)}, data={"note": "x"})
        assert reply.json()["length"] == int(reply.json()["announced"])
        with client.stream("GET", "/download?pieces=16") as reply:
            assert sum(map(len, reply.iter_bytes())) == 16 * 65536
        assert client.get("/zipped").text == "compressed " * 1000
        assert client.head("/file").headers["Content-Length"] == "300000"


def test_urllib3_pool_from_many_threads(url: str) -> None:
    urllib3 = pytest.importorskip("urllib3", reason="needs the library urllib3")
    with (
        urllib3.PoolManager(maxsize=8, block=True, timeout=LIMIT, retries=False) as pool,
        concurrent.futures.ThreadPoolExecutor(16) as threads,
    ):

        def call(number: int) -> Any:
            reply = pool.request("POST", f"{url}/digest?{number}", body=CONTENT[:number])
            return reply.json()["length"], pool.request("GET", f"{url}/environ").json()

        results = list(threads.map(call, range(200)))
    assert [length for length, _ in results] == list(range(200))
    assert len({environ["REMOTE_PORT"] for _, environ in results}) <= 8
