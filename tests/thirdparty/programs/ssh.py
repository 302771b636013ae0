"""paramiko on both sides: an SSH server in this process, and its clients."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import paramiko

from together import LIMIT, PAUSE, Gate, Service, measure


class Account(paramiko.ServerInterface):
    """Lets everyone in and runs `wait`, `enter` and `never`."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def check_auth_password(self, username: str, password: str) -> Any:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> Any:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        threading.Thread(target=self.execute, args=(channel, command), daemon=True).start()
        return True

    def execute(self, channel: Any, command: bytes) -> None:
        if command == b"wait":
            time.sleep(PAUSE)
        elif command == b"enter":
            self.gate.enter()
        else:
            time.sleep(LIMIT)
        channel.sendall(command)
        channel.send_exit_status(0)
        channel.close()


class SSH(Service):
    """Each session is a connection with keys exchanged; each command a channel of it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.key = paramiko.ECDSAKey.generate()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.transports: list[Any] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        self.transports.append(transport)
        transport.add_server_key(self.key)
        transport.start_server(server=Account(self.gate))

    def connect(self) -> Any:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        host, port = self.listener.getsockname()
        client.connect(
            host,
            port,
            username="user",
            password="password",
            look_for_keys=False,
            allow_agent=False,
            timeout=LIMIT,
            banner_timeout=LIMIT,
            auth_timeout=LIMIT,
        )
        return client

    def run(self, session: Any, command: str, timeout: float = LIMIT) -> str:
        _, out, _ = session.exec_command(command, timeout=timeout)
        answer = str(out.read().decode())
        assert out.channel.recv_exit_status() == 0
        return answer

    def wait(self, session: Any) -> None:
        assert self.run(session, "wait") == "wait"

    def enter(self, session: Any) -> None:
        assert self.run(session, "enter") == "enter"

    def leave(self, session: Any) -> None:
        session.close()

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        session = self.connect()
        try:
            self.run(session, "never", 0.05)
        except TimeoutError as error:
            return type(error).__name__
        finally:
            self.leave(session)
        return ""


def main() -> None:
    service = SSH()
    measure(service, time_out=service.time_out())
    for transport in service.transports:
        transport.close()
