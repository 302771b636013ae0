"""WebSocket applications behind the server: `python websocket_site.py [CERTIFICATE]`.

Says its port on the standard output and serves until its standard input ends.
"""

from __future__ import annotations

import selectors
import sys
from typing import Any

import greenworld

greenworld.monkey_patch()

from flask import Flask  # noqa: E402
from flask_sock import Sock  # noqa: E402
from wsproto import ConnectionType, WSConnection, events  # noqa: E402

from greenworld.hub import spawn, wait_readable  # noqa: E402
from greenworld.wsgi import Config, Server  # noqa: E402
from greenworld.wsgi.config import Tls  # noqa: E402

site = Flask(__name__)
sock = Sock(site)
open_now: set[int] = set()


@site.route("/open")
def count() -> str:
    """How many echoes have begun and not ended."""
    return str(len(open_now))


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(ws: Any) -> None:
    """Send back every message, until the client says `bye` or goes."""
    open_now.add(id(ws))
    try:
        while (message := ws.receive()) != "bye":
            ws.send(message)
    finally:
        open_now.discard(id(ws))


def by_hand(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The same with wsproto and the socket, without a framework."""
    connection = WSConnection(ConnectionType.SERVER)
    stream = environ["greenworld.upgrade"]()
    lines = ["GET / HTTP/1.1"]
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            lines.append(f"{key[5:].replace('_', '-').title()}: {value}")
    connection.receive_data("\r\n".join([*lines, "", ""]).encode("latin-1"))
    while True:
        for event in connection.events():
            if isinstance(event, events.Request):
                stream.sendall(connection.send(events.AcceptConnection()))
            elif isinstance(event, events.Ping):
                stream.sendall(connection.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                stream.sendall(connection.send(event.response()))
                return []
            elif isinstance(event, events.Message):
                stream.sendall(connection.send(event))
        data = stream.recv(4096)
        connection.receive_data(data or None)


def by_selector(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Wait for the descriptor, as libraries do that send pings of their own."""
    stream = environ["gunicorn.socket"]
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not selector.select(0.001):
            stream.send(b"late\n")
    stream.sendall(stream.recv(100))
    return []


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """All of them."""
    by_path = {"/by-hand": by_hand, "/by-selector": by_selector}
    return by_path.get(environ["PATH_INFO"], site)(environ, start_response)


def main() -> None:
    """Serve until the standard input ends."""
    tls = Tls(certificate=sys.argv[1]) if len(sys.argv) > 1 else None
    server = Server(application, bind="127.0.0.1:0", config=Config(graceful_timeout=0.0, tls=tls))
    server.start()
    print(server.address[1], flush=True)

    def wait_for_the_end() -> None:
        wait_readable(sys.stdin.fileno())
        server.request_stop()

    spawn(wait_for_the_end)
    server.serve_forever()


if __name__ == "__main__":
    main()
