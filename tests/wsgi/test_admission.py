"""Requests in flight: how many, who waits, and in which order they come."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from greenworld.hub import sleep
from greenworld.wsgi.admission import Admission

if TYPE_CHECKING:
    from tests.wsgi.conftest import Client, Running, Serve

LIMIT = 20.0
StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]


class Someone:
    """Who asks for a place."""

    def __init__(self, admitted: list[Someone]) -> None:
        self._admitted = admitted

    def admit(self) -> None:
        self._admitted.append(self)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=60))
def test_places_and_the_line_against_a_list(most: int, steps: list[tuple[bool, int]]) -> None:
    admitted: list[Someone] = []
    everybody = [Someone(admitted) for _ in range(8)]
    admission = Admission(most)
    inside: list[Someone] = []
    line: list[Someone] = []
    for enters, number in steps:
        one = everybody[number]
        if enters:
            if one in inside or one in line:
                continue
            found = len(inside) < most
            (inside if found else line).append(one)
            assert admission.enter(one) is found
        else:
            admission.leave(one)
            if one in inside:
                inside.remove(one)
                if line:
                    inside.append(line.pop(0))
                    assert admitted.pop() is inside[-1]
            elif one in line:
                line.remove(one)
        assert admission.in_flight == len(inside) <= most
        assert admitted == []


class Desk:
    """An application whose requests wait until they are let go, one by one."""

    def __init__(self) -> None:
        self.begun: queue.Queue[str] = queue.Queue()
        self.now = self.most = 0
        self._go = threading.Semaphore(0)

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.now += 1
        self.most = max(self.most, self.now)
        self.begun.put(environ["PATH_INFO"])
        try:
            while not self._go.acquire(blocking=False):
                sleep(0.001)
        finally:
            self.now -= 1
        body = environ["PATH_INFO"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def next(self) -> str:
        """Wait until a request has begun; return its path."""
        return self.begun.get(timeout=LIMIT)

    def let_go(self, count: int = 1) -> None:
        """Let that many requests end."""
        for _ in range(count):
            self._go.release()


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def connected(running: Running, desk: Desk, count: int) -> list[Client]:
    """Connections that have been served once."""
    clients = [running.connect() for _ in range(count)]
    for client in clients:
        desk.let_go()
        client.get("/first")
        assert desk.next() == "/first"
    return clients


def admission_of(running: Running) -> Admission:
    governor = running.server.governor
    assert governor is not None
    assert governor.admission is not None
    return governor.admission


def wait_for_line(running: Running, length: int) -> None:
    """Wait until as many stand in line."""
    admission = admission_of(running)
    done = threading.Event()

    def look() -> None:
        if len(admission._line) == length:
            done.set()
        else:
            running.server.hub.timers.start(0.001, look)

    running.server.hub.post(look)
    assert done.wait(LIMIT)


def test_more_requests_wait_and_come_in_order(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=2)
    clients = connected(running, desk, 6)
    for i, client in enumerate(clients):
        client.send(request(f"/{i}"))
        if i < 2:
            assert desk.next() == f"/{i}"
        else:
            wait_for_line(running, i - 1)
    for i in range(2, 6):
        desk.let_go()
        assert desk.next() == f"/{i}"
    desk.let_go(2)
    for i, client in enumerate(clients):
        assert client.reply().body == b"/%d" % i
    assert desk.most == 2


def test_those_who_are_connected_and_those_who_are_not_take_turns(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    first, second = connected(running, desk, 2)
    first.send(request("/first"))
    assert desk.next() == "/first"
    strangers = [running.connect() for _ in range(3)]
    for i, client in enumerate(strangers):
        client.send(request(f"/stranger/{i}"))
    wait_for_line(running, 1)  # the listener
    assert running.on_hub(lambda: len(running.server.connections)) == 2, "others are not accepted"
    second.send(request("/second"))
    wait_for_line(running, 2)
    served = []
    for _ in range(4):
        desk.let_go()
        served.append(desk.next())
    assert served == ["/stranger/0", "/second", "/stranger/1", "/stranger/2"]
    desk.let_go()
    for client in (first, second, *strangers):
        assert client.reply().status == 200
    assert desk.most == 1


def test_a_pipeline_takes_its_place_at_the_end_of_the_line(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    greedy, modest = connected(running, desk, 2)
    greedy.send(request("/a") + request("/b"))
    assert desk.next() == "/a"
    modest.send(request("/c"))
    wait_for_line(running, 1)
    desk.let_go()
    assert desk.next() == "/c"
    desk.let_go()
    assert desk.next() == "/b"
    desk.let_go()
    assert [greedy.reply().body, modest.reply().body, greedy.reply().body] == [b"/a", b"/c", b"/b"]


def test_a_stop_serves_the_line(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    clients = connected(running, desk, 3)
    for i, client in enumerate(clients):
        client.send(request(f"/{i}"))
        if i == 0:
            assert desk.next() == "/0"
        else:
            wait_for_line(running, i)
    stranger = running.connect()
    stranger.send(request("/stranger"))
    wait_for_line(running, 3)
    running.server.request_stop(LIMIT)
    while not running.on_hub(lambda: running.server.stopping):
        pass
    desk.let_go(4)
    for i, client in enumerate(clients):
        reply = client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"/%d" % i, "close")
    assert stranger.reply().body == b"/stranger"
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()
    assert running.errors.getvalue() == ""


def test_a_stop_does_not_wait_for_who_stands_in_line_with_nothing(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    client = running.connect()
    client.send(request("/last"))
    assert desk.next() == "/last"
    silent = running.connect()
    running.server.request_stop(3600)
    while not running.on_hub(lambda: running.server.past_newcomers):
        pass
    desk.let_go()
    assert client.reply().body == b"/last"
    assert silent.at_end()
    running.thread.join(LIMIT)
    assert not running.thread.is_alive()


def test_a_stop_without_time_begins_nothing_new(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    clients = connected(running, desk, 3)
    for client in clients:
        client.send(request("/x"))
    assert desk.next() == "/x"
    wait_for_line(running, 2)
    running.stop(0)
    assert desk.begun.empty()
    for client in clients:
        try:
            assert client.at_end()
        except ConnectionResetError:
            pass


def test_what_is_no_request_gives_its_place_back(serve: Serve) -> None:
    """A part of a head, a refusal that lingers, a client that went away."""
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    partial, refused, gone = (running.connect() for _ in range(3))
    partial.send(b"GET /partial HTTP/1.1\r\nHo")
    refused.send(b"nonsense\r\n\r\n")
    assert refused.reply().status == 400  # and the server lingers
    gone.send(b"GET ")
    gone.close()
    desk.let_go(2)
    assert running.connect().get("/other").body == b"/other"
    assert partial.ask(b"st: a\r\n\r\n").body == b"/partial"


def test_one_that_went_away_while_it_stood_in_line(serve: Serve) -> None:
    desk = Desk()
    running = serve(desk, max_in_flight=1)
    busy, gone, patient = connected(running, desk, 3)
    busy.send(request("/busy"))
    assert desk.next() == "/busy"
    gone.sock.shutdown(socket.SHUT_WR)
    wait_for_line(running, 1)
    patient.send(request("/patient"))
    wait_for_line(running, 2)
    desk.let_go()
    assert desk.next() == "/patient"
    desk.let_go()
    assert patient.reply().body == b"/patient"
    assert gone.at_end()


def test_many_clients_through_few_places(serve: Serve) -> None:
    most = now = 0

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        nonlocal most, now
        now += 1
        most = max(most, now)
        sleep(0)
        now -= 1
        start_response("200 OK", [])
        return [environ["RAW_URI"].encode()]

    running = serve(app, max_in_flight=3)
    failures = []

    def client(number: int) -> None:
        one = running.connect()
        for i in range(20):
            if one.get(f"/{number}/{i}").body != f"/{number}/{i}".encode():
                failures.append(number)
            if i % 5 == number % 5:
                one = running.connect()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert failures == []
    assert most <= 3
    assert running.on_hub(lambda: admission_of(running).in_flight) == 0
