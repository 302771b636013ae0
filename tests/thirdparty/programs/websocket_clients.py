"""The synchronous side of websockets, as a server and as a client; and websocket-client."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import websockets.sync.client
import websockets.sync.server

from together import LIMIT, PAUSE, Gate, Service, measure


class WebSocket(Service):
    """One connection a thread, to a server that has a thread for each."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.server = websockets.sync.server.serve(self.serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"
        self.serving = threading.Thread(target=self.server.serve_forever)
        self.serving.start()

    def serve(self, connection: Any) -> None:
        for message in connection:
            if message == "wait":
                time.sleep(PAUSE)
            elif message == "enter":
                self.gate.enter()
            if message != "never":
                connection.send(message)

    def connect(self) -> Any:
        return websockets.sync.client.connect(self.url, open_timeout=LIMIT)

    def ask(self, session: Any, message: str) -> None:
        session.send(message)
        assert session.recv() == message

    def wait(self, session: Any) -> None:
        self.ask(session, "wait")

    def enter(self, session: Any) -> None:
        self.ask(session, "enter")

    def leave(self, session: Any) -> None:
        session.close()

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        session = self.connect()
        try:
            session.send("never")
            session.recv(timeout=0.05)
        except TimeoutError as error:
            return type(error).__name__
        finally:
            self.leave(session)
        return ""


class WebSocketClient(WebSocket):
    """**Source**: websocket-client."""

    def __init__(self) -> None:
        super().__init__()
        self.library: Any = importlib.import_module("websocket")

    def connect(self) -> Any:
        return self.library.create_connection(self.url, timeout=LIMIT)

    def time_out(self) -> str:
        session = self.connect()
        try:
            session.send("never")
            session.settimeout(0.05)
            session.recv()
        except self.library.WebSocketTimeoutException as error:
            return type(error).__name__
        finally:
            self.leave(session)
        return ""


CLIENTS = {"websockets": WebSocket, "websocket": WebSocketClient}


def main(name: str) -> None:
    service = CLIENTS[name]()
    measure(service, time_out=service.time_out())
    service.server.shutdown()
    service.serving.join(LIMIT)
