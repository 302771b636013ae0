"""O_NONBLOCK: never seen by another holder of the same open file."""

from __future__ import annotations

import os
import socket as stdlib_socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import blocking, socket
from greenworld.patches.channel import DONTWAIT, channels, open_channel

pytestmark = pytest.mark.skipif(
    not DONTWAIT, reason="this system has no flag that keeps one call from waiting"
)


def is_blocking(*socks: Any) -> bool:
    return all(os.get_blocking(sock.fileno()) for sock in socks)


def test_the_mode_is_what_the_time_out_asks_for(tcp: Any) -> None:
    left, _ = tcp
    for timeout, expected in ((None, True), (5, False), (0, False), (7, False), (None, True)):
        left.settimeout(timeout)
        assert is_blocking(left) is expected
        assert left.gettimeout() == timeout
    left.setblocking(False)
    assert not is_blocking(left)
    left.setblocking(True)
    assert is_blocking(left)


def test_waiting_does_not_change_the_mode(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = start(listener.accept)
        sleep(0)
        assert is_blocking(listener)
        with socket.socket() as left:
            left.connect(listener.getsockname())
            right, _ = accepting.wait(20)
            reading = start(left.recv, 100)
            writing = start(right.sendall, b"x" * 5_000_000)
            sleep(0)
            assert is_blocking(listener, left, right)
            count = len(reading.wait(20))
            while count < 5_000_000:
                count += len(left.recv(1_000_000))
            writing.wait(20)
            assert is_blocking(listener, left, right)
            right.close()


def test_sendfile_does_not_leave_it_changed(tmp_path: Path, start: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    with (
        path.open("rb") as file,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as left,
    ):
        right, _ = listener.accept()
        with right:
            assert not blocking.is_shared(channels[id(right)], right)
            sending = start(right.sendfile, file)
            received = b""
            while len(received) < 3_000_000:
                received += left.recv(1_000_000)
                assert is_blocking(right)
            assert sending.wait(20) == 3_000_000
            assert received == path.read_bytes()
            # Whose open file has other holders, does without.
            channels[id(right)].shared = True
            sending = start(right.sendfile, file, 2_000_000)
            received = b""
            while len(received) < 1_000_000:
                received += left.recv(1_000_000)
            assert sending.wait(20) == 1_000_000
            assert received == path.read_bytes()[2_000_000:]


def test_a_child_process_can_wait_on_the_same_socket(start: Any) -> None:
    """Complaint: a child that inherits a descriptor gets EAGAIN."""
    left, right = socket.socketpair()
    with left, right:
        reading = start(left.recv, 1)  # the parent waits for the same open file
        sleep(0)
        child = subprocess.Popen(
            [sys.executable, "-c", "import os; print('up', flush=True); print(os.read(0, 100))"],
            stdin=left.fileno(),
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "up\n"
            right.sendall(b"a")
            first = reading.wait(20) if child.poll() is None and reading.join(0.5) else None
            if first is not None:  # the parent was faster
                right.sendall(b"b")
            assert child.stdout.read() == ("b'a'\n" if first is None else "b'b'\n")
        if first is None:
            right.sendall(b"c")
            assert reading.wait(20) == b"c"


def test_a_plain_dup_waits(tcp: Any) -> None:
    left, right = tcp
    for end in tcp:
        end.settimeout(None)
    right.sendall(b"1")
    assert left.recv(10) == b"1"
    with stdlib_socket.socket(fileno=os.dup(left.fileno())) as plain:
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(plain.recv(10)), daemon=True)
        thread.start()
        right.sendall(b"2")
        thread.join(20)
        assert got == [b"2"]


def test_whose_descriptor_came_from_elsewhere_is_shared(tcp: Any) -> None:
    left, right = tcp
    assert not any(blocking.is_shared(channels[id(end)], end) for end in tcp)
    with socket.fromfd(left.fileno(), left.family, left.type) as copy:
        assert blocking.is_shared(channels[id(copy)], copy)
    with left.dup() as copy:
        assert blocking.is_shared(channels[id(copy)], copy)
        assert blocking.is_shared(channels[id(left)], left)
    right.set_inheritable(True)
    assert blocking.is_shared(channels[id(right)], right)


@pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="this system cannot send descriptors")
def test_what_was_sent_is_shared(tcp: Any, start: Any) -> None:
    left, right = tcp
    left.settimeout(None)
    one, other = socket.socketpair()
    with one, other:
        receiving = start(socket.recv_fds, other, 10, 4)
        sleep(0)
        socket.send_fds(one, [b"fd"], [left.fileno()])
        data, fds, _, _ = receiving.wait(20)
        assert data == b"fd"
        assert os.get_blocking(fds[0])
        with socket.socket(fileno=fds[0]) as copy:
            assert blocking.is_shared(channels[id(left)], left)
            right.sendall(b"x")
            assert copy.recv(10) == b"x"


def connect_to(listener: Any) -> Any:
    client = stdlib_socket.create_connection(listener.getsockname(), 20)
    client.settimeout(20)
    return client


def test_a_shared_listener_accepts_without_a_change(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        for _ in range(3):
            accepting = start(listener.accept)
            sleep(0)
            assert not accepting.ready()
            with connect_to(listener) as client:
                server, address = accepting.wait(20)
                with server:
                    assert address == client.getsockname()
                    assert is_blocking(listener, server)
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_stolen_connection_is_no_trouble(start: Any, monkeypatch: Any) -> None:
    """Between the report and `accept`, another process is faster; then nobody waits any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        with monkeypatch.context() as patch:
            patch.setattr(blocking, "wait_fd", lambda *_: True)  # the report before the theft
            accepting = start(listener.accept)
            sleep(0)
        assert not accepting.ready()
        accepting.kill()
        accepting = start(listener.accept)
        sleep(0)
        with connect_to(listener) as client:
            server, address = accepting.wait(20)
            with server:
                assert address == client.getsockname()


def test_what_was_accepted_too_late_ends_with_the_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = channels.get(id(listener)) or open_channel(listener)
        for closes_first in (False, True):
            stash = channel.stash = blocking.Stash(channel)
            acceptance = blocking._Acceptance(listener, stash)
            with connect_to(listener) as client:
                acceptance.accept()
                if closes_first:
                    listener.close()
                acceptance.abandon()
                assert not stash.lingering
                assert len(stash.found) == (not closes_first)
                stash.drop()
                assert client.recv(1) == b""


def test_an_accept_that_fails_is_over(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as plain:
        channel = channels.get(id(listener)) or open_channel(listener)
        stash = channel.stash = blocking.Stash(channel)
        with pytest.raises(OSError, match="Invalid argument"):
            blocking._Acceptance(plain, stash).wait()
        assert not stash.lingering


def test_an_acceptance_that_never_began() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = channels.get(id(listener)) or open_channel(listener)
        stash = channel.stash = blocking.Stash(channel)
        acceptance = blocking._Acceptance(listener, stash)
        acceptance.abandon()
        assert not stash.lingering
        acceptance.accept()  # does not wait
        assert not stash.lingering
        assert not stash.found


PREFORKED = """
import os, sys
from greenworld.patches import monkey_patch
monkey_patch()
import socket, threading, time

WORKERS, EACH = 3, 40
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
reading, writing = os.pipe()
children = []
for _ in range(WORKERS):
    pid = os.fork()
    if not pid:
        os.close(writing)
        served = 0
        ended = threading.Event()

        def serve():
            global served
            while True:
                sock, _ = listener.accept()
                with sock:
                    sock.sendall(sock.recv(10))
                    served += 1

        for _ in range(2):
            threading.Thread(target=serve, daemon=True).start()
        os.read(reading, 1)     # goes on only if no accept blocks the process
        os._exit(served)
    children.append(pid)
os.close(reading)

def ask(number):
    with socket.create_connection(listener.getsockname(), 30) as sock:
        sock.sendall(b"%d" % number)
        assert sock.recv(10) == b"%d" % number

threads = [threading.Thread(target=ask, args=(n,)) for n in range(WORKERS * EACH)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.close(writing)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_servers_share_a_listener(program: Callable[..., str]) -> None:
    assert program(PREFORKED) == "120\n"


INHERITED = """
import sys
import os, socket, threading
late = sys.argv[1] == "late"
if late:
    listener = socket.create_server(("127.0.0.1", 0))
from greenworld.patches import monkey_patch
monkey_patch()
import time
if not late:
    listener = socket.create_server(("127.0.0.1", 0))

def tried(listener):
    threading.Thread(target=listener.accept, daemon=True).start()
    time.sleep(0)
    return os.get_blocking(listener.fileno())

orders, order = os.pipe()
answers, answer = os.pipe()
if not os.fork():
    own = socket.create_server(("127.0.0.1", 0))
    os.write(answer, b"%d%d" % (tried(listener), tried(own)))
    os.read(orders, 1)
    listener.setblocking(True)      # says nothing new
    os.write(answer, b"%d" % os.get_blocking(listener.fileno()))
    os.read(orders, 1)
    tried(listener)
    os._exit(not os.get_blocking(own.fileno()))

def ask():
    os.write(order, b".")
    return os.read(answers, 2)

print(os.read(answers, 2))
print(ask())
os.set_blocking(listener.fileno(), True)        # as an older child might
print(tried(listener))
os.write(order, b".")
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("made", ["early", "late"])
def test_an_inherited_listener_stays_non_blocking(program: Callable[..., str], made: str) -> None:
    """Otherwise one process takes it back while another one calls `accept`, and that one hangs."""
    assert program(INHERITED, made) == "b'01'\nb'0'\nFalse\n0\n"


GIVEN = """
import sys
from greenworld.patches import monkey_patch
monkey_patch()
import os, socket, subprocess, threading

listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()

def accept():
    while True:
        sock, _ = listener.accept()
        sock.sendall(b"parent")
        sock.close()

threading.Thread(target=accept, daemon=True).start()

def ask():
    with socket.create_connection(address, 30) as sock:
        return sock.recv(10)

assert ask() == b"parent"
subprocess.run([sys.executable, "-c", ""], preexec_fn=os.getpid, check=True)
assert ask() == b"parent"
code = '''
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
assert listener.getblocking() and listener.gettimeout() is None
for _ in range(20):
    sock, _ = listener.accept()     # natively: it waits
    sock.sendall(b"child")
    sock.close()
'''
fd = listener.fileno()
child = subprocess.Popen([sys.executable, "-c", code, str(fd)], pass_fds=[fd])
answers = set()
while child.poll() is None:
    answers.add(ask())
assert answers <= {b"parent", b"child"} and b"child" in answers, answers
print(child.returncode, os.get_blocking(fd))
"""


def test_a_child_accepts_on_the_same_listener(program: Callable[..., str]) -> None:
    assert program(GIVEN) == "0 True\n"
