"""Many idle keep-alive connections to one server, and what they cost it in resident memory."""

import time
from contextlib import ExitStack
from pathlib import Path
from socket import MSG_PEEK, create_connection, socket

from benchmarks.http_application import BODY

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n"
# Answers are collected a batch at a time: a server whose every answer waits for a delayed
# acknowledgement (40 ms) would otherwise need minutes.
BATCH = 200
SETTLE = 0.5  # seconds for the server to finish what it does after an answer


class IdleError(Exception):
    """The connections could not be opened, or did not stay open."""


def read_resident_bytes(pid: int) -> int | None:
    """Resident memory of a process and of its children; None where there is no /proc to ask."""
    if not Path("/proc/self/statm").exists():
        return None
    kilobytes = 0
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            status = (directory / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines())
        if str(pid) in (fields["Pid"].strip(), fields["PPid"].strip()) and "VmRSS" in fields:
            kilobytes += int(fields["VmRSS"].split()[0])
    return kilobytes * 1024


def open_connections(port: int, count: int, stack: ExitStack) -> list[socket]:
    """Open so many connections, each after one request and its answer. Raises IdleError."""
    connections: list[socket] = []
    while len(connections) < count:
        batch = []
        for _ in range(min(BATCH, count - len(connections))):
            connection = create_connection(("127.0.0.1", port), timeout=30)
            batch.append(stack.enter_context(connection))
            connection.sendall(REQUEST)
        for connection in batch:
            read_answer(connection)
        connections += batch
    return connections


def read_answer(connection: socket) -> None:
    """Receive until the body has arrived. Raises IdleError."""
    answer = b""
    while not answer.endswith(BODY):
        more = connection.recv(4096)
        if not more:
            raise IdleError(f"the server closed the connection after {answer!r}")
        answer += more


def is_open(connection: socket) -> bool:
    """Whether the peer has left the connection open (and said nothing more)."""
    connection.setblocking(False)
    try:
        connection.recv(1, MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def measure_idle_memory(pid: int, port: int, count: int) -> float:
    """Bytes of resident memory that each of *count* idle connections adds. Raises IdleError."""
    with ExitStack() as stack:  # what a server allocates once is not the connections' cost
        open_connections(port, min(BATCH, count), stack)
    time.sleep(SETTLE)
    before = read_resident_bytes(pid)
    with ExitStack() as stack:
        connections = open_connections(port, count, stack)
        time.sleep(SETTLE)
        after = read_resident_bytes(pid)
        closed = sum(not is_open(connection) for connection in connections)
    if closed:
        raise IdleError(f"{closed} of {count} connections were closed by the server")
    if before is None or after is None:
        raise IdleError("resident memory is read from /proc, which is not here")
    return (after - before) / count
