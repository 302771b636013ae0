"""pika and kombu against RabbitMQ, and kombu against Redis."""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any, NamedTuple

from together import COUNT, LIMIT, PAUSE, Service, measure

GATE = f"greenworld.{os.getpid()}"
"""The queue whose consumers are held at the gate; each takes one message to pass."""
EXPIRES = {"x-expires": 60_000}


def too_late(queue: str) -> dict[str, Any]:
    """Arguments of a queue whose messages RabbitMQ moves on after `PAUSE` seconds."""
    return {
        "x-message-ttl": int(PAUSE * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
    }


class Session(NamedTuple):
    """A connection with a queue of its own and one that feeds it late."""

    channel: Any
    queue: str
    late: str


class Pika(Service):
    """**Source**: pika.BlockingConnection."""

    def __init__(self, url: str) -> None:
        self.library: Any = importlib.import_module("pika")
        self.url = url
        self.keeper = self.dial()
        self.keeper.queue_declare(GATE, durable=True, arguments=EXPIRES)

    def dial(self) -> Any:
        parameters = self.library.URLParameters(self.url)
        return self.library.BlockingConnection(parameters).channel()

    def connect(self) -> Session:
        channel = self.dial()
        channel.basic_qos(prefetch_count=1)
        queue = channel.queue_declare("", exclusive=True).method.queue
        late = channel.queue_declare("", exclusive=True, arguments=too_late(queue)).method.queue
        return Session(channel, queue, late)

    def take(self, channel: Any, queue: str) -> bytes:
        """The body of the next message in the queue."""
        method, _, body = next(channel.consume(queue, inactivity_timeout=LIMIT))
        assert method is not None, "no message came"
        channel.cancel()
        channel.basic_ack(method.delivery_tag)
        return bytes(body)

    def wait(self, session: Session) -> None:
        session.channel.basic_publish("", session.late, b"late")
        assert self.take(session.channel, session.queue) == b"late"

    def enter(self, session: Session) -> None:
        assert self.take(session.channel, GATE) == b"pass"

    def inside(self) -> int:
        return int(self.keeper.queue_declare(GATE, passive=True).method.consumer_count)

    def open(self) -> None:
        for _ in range(COUNT):
            self.keeper.basic_publish("", GATE, b"pass")

    def leave(self, session: Session) -> None:
        session.channel.connection.close()

    def time_out(self) -> str:
        """What a consumer gets when no message comes in time."""
        session = self.connect()
        silence = next(session.channel.consume(session.queue, inactivity_timeout=0.05))
        self.leave(session)
        return str(silence)

    def close(self) -> None:
        self.keeper.queue_delete(GATE)
        self.keeper.connection.close()


class Kombu(Service):
    """**Source**: kombu, by py-amqp."""

    def __init__(self, url: str) -> None:
        self.library: Any = importlib.import_module("kombu")
        self.url = url
        self.keeper = self.dial()
        self.gate_queue = self.library.Queue(GATE, durable=True, expires=60)
        self.gate_queue(self.keeper).declare()

    def dial(self) -> Any:
        return self.library.Connection(self.url).channel()

    def connect(self) -> Session:
        channel = self.dial()
        channel.basic_qos(0, 1, False)
        queue = channel.queue_declare("", exclusive=True).queue
        late = channel.queue_declare("", exclusive=True, arguments=too_late(queue)).queue
        return Session(channel, queue, late)

    def take(self, channel: Any, queue: Any, timeout: float = LIMIT) -> str:
        """The body of the next message in the queue."""
        got: list[Any] = []

        def receive(body: str, message: Any) -> None:
            got.append(body)
            consumer.cancel()
            message.ack()

        consumer = self.library.Consumer(channel, [queue], callbacks=[receive])
        with consumer:
            while not got:
                channel.connection.client.drain_events(timeout=timeout)
        return str(got[0])

    def send(self, channel: Any, queue: str, body: str) -> None:
        self.library.Producer(channel).publish(body, exchange="", routing_key=queue)

    def wait(self, session: Session) -> None:
        self.send(session.channel, session.late, "late")
        queue = self.library.Queue(session.queue, exclusive=True, no_declare=True)
        assert self.take(session.channel, queue) == "late"

    def enter(self, session: Session) -> None:
        assert self.take(session.channel, self.gate_queue) == "pass"

    def inside(self) -> int:
        return int(self.keeper.queue_declare(GATE, passive=True).consumer_count)

    def open(self) -> None:
        for _ in range(COUNT):
            self.send(self.keeper, GATE, "pass")

    def leave(self, session: Session) -> None:
        session.channel.connection.client.close()

    def time_out(self) -> str:
        """The exception that the library raises when no message comes in time."""
        session = self.connect()
        try:
            self.take(session.channel, self.gate_queue, 0.05)
        except socket.timeout as error:  # noqa: UP041 - its name before Python 3.10
            return type(error).__name__
        finally:
            self.leave(session)
        return ""

    def close(self) -> None:
        self.gate_queue(self.keeper).delete()
        self.keeper.connection.client.close()


class KombuRedis(Kombu):
    """**Source**: kombu's Redis transport, which polls the sockets of redis-py."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        redis: Any = importlib.import_module("redis")
        self.monitor = redis.Redis.from_url(url)

    def connect(self) -> Session:
        return Session(self.dial(), "", "")

    def wait(self, session: Session) -> None:
        try:
            session.channel.connection.client.drain_events(timeout=PAUSE)
        except TimeoutError:
            return
        raise AssertionError("there was a message")

    def inside(self) -> int:
        clients = self.monitor.client_list()
        return sum(each["cmd"] == "brpop" and "b" in each["flags"] for each in clients)

    def close(self) -> None:
        super().close()
        self.monitor.close()


CLIENTS: dict[str, type[Pika | Kombu]] = {"pika": Pika, "kombu": Kombu, "kombu-redis": KombuRedis}


def main(name: str, url: str) -> None:
    client = CLIENTS[name](url)
    measure(client, time_out=client.time_out())
    client.close()
