"""Workers that speak TLS, and a certificate that is renewed."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from tests.certificates import Authority, Pair
from tests.wsgi.command.workers import wait_until_gone

if TYPE_CHECKING:
    from tests.wsgi.command.workers import Supervise

LIMIT = 25.0
APP = """
def app(environ, start_response):
    body = environ["wsgi.url_scheme"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def install(pair: Pair, folder: Path) -> None:
    """Put a pair where the server looks for it, as a client for renewals does."""
    for path, name in ((pair.key, "shop.key"), (pair.certificate, "shop.pem")):
        shutil.copy(path, folder / "new")
        (folder / "new").rename(folder / name)


def ask(port: int, authority: Authority) -> tuple[bytes, str]:
    """Ask once over TLS; return the body and the number of the server's certificate."""
    context = ssl.create_default_context(cafile=authority.certificate)
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        certificate = sock.getpeercert()
        assert certificate is not None
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as file:
            body = file.read().partition(b"\r\n\r\n")[2]
        return body, str(certificate["serialNumber"])


def test_new_workers_have_the_renewed_certificate(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    authority = Authority(tmp_path)
    install(authority.issue(), tmp_path)
    one = supervise(
        *("app:app", "--bind", "127.0.0.1:0", "--no-access-log", "--workers", "2"),
        *("--certfile", "shop.pem", "--keyfile", "shop.key"),
    )
    port = int(one.out.wait_for(r"Listening on https://127\.0\.0\.1:(\d+)")[0][1])
    old = one.ready(2)
    body, before = ask(port, authority)
    assert body == b"https"
    install(authority.issue(), tmp_path)
    one.send(signal.SIGHUP)
    one.err.wait_for("reloaded: the new workers serve")
    wait_until_gone(*old)
    body, after = ask(port, authority)
    assert body == b"https"
    assert after != before
    one.send(signal.SIGTERM)
    assert one.end() == 0
