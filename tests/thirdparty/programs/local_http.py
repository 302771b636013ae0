"""A threaded HTTP server in this process: `/wait` takes a while, `/enter` until the gate opens."""

from __future__ import annotations

import http.server
import threading
import time

from together import LIMIT, PAUSE, Gate


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path with the path."""

    protocol_version = "HTTP/1.1"
    gate: Gate

    def do_GET(self) -> None:
        if self.path == "/wait":
            time.sleep(PAUSE)
        elif self.path == "/enter":
            self.gate.enter()
        elif self.path == "/never":
            time.sleep(LIMIT)
        self.answer(self.path.encode())

    def answer(self, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves from a thread, until the program ends."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.gate = handler.gate = Gate()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()
