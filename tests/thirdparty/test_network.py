"""HTTP, AWS, WebSocket, DNS and SSH, each against a server in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library
orders = pytest.mark.parametrize("order", ["early", "late"])


@orders
@needs("requests")
def test_requests(check: Run, order: str) -> None:
    assert check("http_clients", "requests", order=order)["time_out"] == "ReadTimeout"


@orders
@needs("urllib3")
def test_urllib3_with_a_blocking_pool(check: Run, order: str) -> None:
    assert check("http_clients", "urllib3", order=order)["time_out"] == "ReadTimeoutError"


@orders
@needs("httpx")
def test_httpx(check: Run, order: str) -> None:
    assert check("http_clients", "httpx", order=order)["time_out"] == "ReadTimeout"


@needs("boto3")
def test_boto3_with_s3_and_sts_and_an_upload_in_parts(check: Run) -> None:
    report = check("aws")
    assert report["time_out"] == "ReadTimeoutError"
    assert report["uploaded"] == [5 * 1024 * 1024] * 3


@needs("websockets")
def test_websockets_on_both_sides(check: Run) -> None:
    assert check("websocket_clients", "websockets")["time_out"] == "TimeoutError"


@needs("websockets", "websocket")
def test_websocket_client(check: Run) -> None:
    report = check("websocket_clients", "websocket")
    assert report["time_out"] == "WebSocketTimeoutException"


@needs("dns")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_dnspython(check: Run, transport: str) -> None:
    assert check("dns_client", transport)["time_out"] == "Timeout"


@needs("paramiko")
def test_paramiko_on_both_sides(check: Run) -> None:
    assert check("ssh")["time_out"] == "TimeoutError"
