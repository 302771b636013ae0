"""Programs that know nothing of green threads, made concurrent by one call."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

Run = Callable[..., str]

# Each request waits until all of them are being served: one at a time, they would never end.
SERVER = """
import http.client, http.server, socketserver, threading, urllib.request
from greenworld.patches import monkey_patch
monkey_patch()
CLIENTS = 4
together = threading.Barrier(CLIENTS)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        together.wait(15)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
serving = threading.Thread(target=server.serve_forever, args=(0.02,))
serving.start()
port = server.server_address[1]
answers = []

def run(fetch):
    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(CLIENTS)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(20)
    server.shutdown()
    serving.join(20)
    server.server_close()
    print(sorted(answers))
"""

EXPECTED = "[b'/0', b'/1', b'/2', b'/3']\n"


def test_urllib(program: Run) -> None:
    out = program(
        SERVER
        + """
def fetch(number):
    with urllib.request.urlopen(f"http://localhost:{port}/{number}", timeout=15) as response:
        answers.append(response.read())
run(fetch)
"""
    )
    assert out == EXPECTED


def test_http_client_with_keep_alive(program: Run) -> None:
    out = program(
        SERVER
        + """
def fetch(number):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    for _ in range(3):
        client.request("GET", f"/{number}")
        answer = client.getresponse().read()
    client.close()
    answers.append(answer)
run(fetch)
"""
    )
    assert out == EXPECTED


@pytest.mark.skipif(importlib.util.find_spec("requests") is None, reason="requests is not here")
def test_requests(program: Run) -> None:
    out = program(
        "import requests\n"
        + SERVER
        + """
def fetch(number):
    answers.append(requests.get(f"http://localhost:{port}/{number}", timeout=15).content)
run(fetch)
"""
    )
    assert out == EXPECTED


def test_socketserver_udp_and_unix(program: Run, tmp_path: object) -> None:
    out = program(
        """
import socket, socketserver, sys, threading
from greenworld.patches import monkey_patch
monkey_patch()

class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)

class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagram) as udp, \\
     socketserver.ThreadingUnixStreamServer(sys.argv[1], Stream) as unix:
    threads = [threading.Thread(target=s.serve_forever, args=(0.02,)) for s in (udp, unix)]
    for thread in threads: thread.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(15)
        client.sendto(b"datagram", udp.server_address)
        print(client.recv(100))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(sys.argv[1])
        with client.makefile("rwb") as file:
            file.write(b"a line\\n")
            file.flush()
            print(file.readline())
    for server in (udp, unix): server.shutdown()
    for thread in threads: thread.join(15)
""",
        f"{tmp_path}/server",
    )
    assert out.splitlines() == ["b'DATAGRAM'", "b'A LINE\\n'"]


def test_two_threads_import_one_slow_module(program: Run, tmp_path: object) -> None:
    out = program(
        """
import sys, threading
from greenworld.patches import monkey_patch
monkey_patch()
sys.path.insert(0, sys.argv[1])
with open(sys.argv[1] + "/slow_module.py", "w") as file:
    file.write("import time\\ntime.sleep(0.01)\\nvalue = 1\\n")
seen = []
def load():
    import slow_module
    seen.append(slow_module.value)
threads = [threading.Thread(target=load) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(20)
print(seen)
""",
        str(tmp_path),
    )
    assert out == "[1, 1, 1]\n"


def test_logging_from_many_threads(program: Run) -> None:
    out = program(
        """
import logging, sys, threading, time
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(threadName)s %(message)s")
log = logging.getLogger()
from greenworld.patches import monkey_patch
monkey_patch()
from greenworld.hub import native
def work():
    for _ in range(50):
        log.info("hello")
threads = [threading.Thread(target=work, name="green") for _ in range(3)]
for thread in threads: thread.start()
native.run(work)
for thread in threads: thread.join(20)
"""
    )
    assert len(out.splitlines()) == 200
    assert out.count("green hello") == 150


def test_asyncio_with_threads_and_names(program: Run) -> None:
    out = program(
        """
import asyncio, socket, threading, time
from greenworld.patches import monkey_patch
monkey_patch()

async def main():
    loop = asyncio.get_running_loop()
    gate = threading.Event()
    waiting = loop.run_in_executor(None, gate.wait, 15)
    await asyncio.sleep(0.001)
    await asyncio.to_thread(time.sleep, 0.001)
    gate.set()
    infos = await loop.getaddrinfo("localhost", 80, family=socket.AF_INET)

    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    writer.write(b"a line\\n")
    answer = await reader.read()
    writer.close()
    server.close()
    print(await waiting, infos[0][4], answer)

asyncio.run(main())
"""
    )
    assert out == "True ('127.0.0.1', 80) b'A LINE\\n'\n"


def test_subprocess(program: Run) -> None:
    out = program(
        """
import subprocess, sys, threading
from greenworld.patches import monkey_patch
monkey_patch()
print(subprocess.run([sys.executable, "-c", "print(input())"], input="hello", text=True,
                     capture_output=True, timeout=15).stdout.strip())
print(subprocess.check_output([sys.executable, "-c", "print(2)"]).strip())
"""
    )
    assert out.splitlines() == ["hello", "b'2'"]


def test_a_child_closes_all_descriptors_before_it_execs(program: Run) -> None:
    out = program(
        """
import os, sys, threading, time
from greenworld.patches import monkey_patch
monkey_patch()
def work():
    time.sleep(0.001)
    child = os.fork()
    if child == 0:
        try:
            time.sleep(0.001)
            os.closerange(3, 100)
            os.execv(sys.executable, [sys.executable, "-c", "print('executed')"])
        finally:
            os._exit(1)
    print(os.waitpid(child, 0)[1])
thread = threading.Thread(target=work)
thread.start()
thread.join(20)
"""
    )
    assert out == "executed\n0\n"
