"""TLS on patched sockets, with a context and a class from before the patch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import ssl, socket, sys, threading
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
from greenworld.patches import monkey_patch
monkey_patch()
certificate, key = sys.argv[1:]
server_context.load_cert_chain(certificate, key)
client_context.load_verify_locations(certificate)
client_context.check_hostname = False

listener = socket.create_server(("127.0.0.1", 0))
SIZE = 3_000_000

def serve():
    sock = server_context.wrap_socket(listener.accept()[0], server_side=True)
    while data := sock.recv(100_000):
        sock.sendall(data)
    sock.unwrap().close()

def read(sock):
    left = SIZE
    while left:
        left -= len(sock.recv(left))
    print("echoed")

thread = threading.Thread(target=serve)
thread.start()
with socket.create_connection(listener.getsockname(), 20) as plain:
    with client_context.wrap_socket(plain) as sock:
        print(type(sock).__name__, sock.gettimeout())
        sock.settimeout(0.01)
        try:
            sock.recv(1)
        except TimeoutError as error:
            print(type(error).__name__)
        sock.setblocking(False)
        try:
            sock.recv(1)
        except ssl.SSLWantReadError as error:
            print(type(error).__name__)
        sock.settimeout(20)
        reader = threading.Thread(target=read, args=(sock,))
        reader.start()
        sock.sendall(b"x" * SIZE)
        reader.join(20)
        with sock.unwrap():
            print("unwrapped")
thread.join(20)
listener.close()
"""


def test_tls_is_cooperative(program: Callable[..., str], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        f" -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
        timeout=20,
    )
    out = program(PROGRAM, str(certificate), str(key))
    assert out.splitlines() == [
        "SSLSocket 20.0",
        "TimeoutError",
        "SSLWantReadError",
        "echoed",
        "unwrapped",
    ]
