"""dnspython against a name server in this process, over UDP and TCP."""

from __future__ import annotations

import socketserver
import threading
import time
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.resolver
import dns.rrset

from together import LIMIT, PAUSE, Gate, Service, measure


def answer(gate: Gate, wire: bytes) -> bytes:
    """An address for every name; the name says how long that takes."""
    question = dns.message.from_wire(wire)
    name = question.question[0].name
    if name.labels[0] == b"enter":
        gate.enter()
    else:
        time.sleep(LIMIT if name.labels[0] == b"never" else PAUSE)
    response = dns.message.make_response(question)
    response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
    return bytes(response.to_wire())


class Datagram(socketserver.BaseRequestHandler):
    gate: Gate

    def handle(self) -> None:
        wire, sock = self.request
        sock.sendto(answer(self.gate, wire), self.client_address)


class Stream(socketserver.StreamRequestHandler):
    gate: Gate

    def handle(self) -> None:
        size = int.from_bytes(self.rfile.read(2), "big")
        reply = answer(self.gate, self.rfile.read(size))
        self.wfile.write(len(reply).to_bytes(2, "big") + reply)


class UDPServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class TCPServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


class DNS(Service):
    """A resolver that all threads share asks the servers."""

    def __init__(self, transport: str) -> None:
        self.gate = Datagram.gate = Stream.gate = Gate()
        self.tcp = transport == "tcp"
        self.server: Any = (
            TCPServer(("127.0.0.1", 0), Stream)
            if self.tcp
            else UDPServer(("127.0.0.1", 0), Datagram)
        )
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = ["127.0.0.1"]
        self.resolver.port = self.port
        self.resolver.cache = None
        self.resolver.timeout = LIMIT

    def resolve(self, name: str) -> None:
        records = self.resolver.resolve(name, "A", tcp=self.tcp, lifetime=LIMIT)
        assert [record.address for record in records] == ["192.0.2.1"]

    def wait(self, session: Any) -> None:
        self.resolve("wait.example.")

    def enter(self, session: Any) -> None:
        self.resolve("enter.example.")

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        query = dns.message.make_query("never.example.", "A")
        ask = dns.query.tcp if self.tcp else dns.query.udp
        try:
            ask(query, "127.0.0.1", timeout=0.05, port=self.port)
        except dns.exception.Timeout as error:
            return type(error).__name__
        return ""


def main(transport: str) -> None:
    service = DNS(transport)
    measure(service, time_out=service.time_out())
