"""Writing: everything goes out, in order, and how a wait ends."""

from __future__ import annotations

import array
import errno
from pathlib import Path
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import socket

LARGE = b"0123456789abcdef" * 500_000  # more than any socket buffers hold


def read_all(sock: Any) -> bytes:
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def fill(sock: Any) -> None:
    """Send until nothing more fits."""
    timeout = sock.gettimeout()
    sock.setblocking(False)
    try:
        while True:
            sock.send(LARGE)
    except BlockingIOError:
        pass
    sock.settimeout(timeout)


def test_sendall_of_more_than_fits(pair: Any, start: Any) -> None:
    left, right = pair
    reader = start(read_all, right)
    assert left.sendall(LARGE) is None
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == LARGE


@pytest.mark.parametrize(
    "data",
    [bytearray(LARGE), memoryview(LARGE), array.array("i", range(1_000_000))],
    ids=["bytearray", "memoryview", "array"],
)
def test_sendall_takes_any_buffer(tcp: Any, start: Any, data: Any) -> None:
    left, right = tcp
    reader = start(read_all, right)
    left.sendall(data)
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == bytes(memoryview(data).cast("B"))


def test_sendall_refuses_text(tcp: Any) -> None:
    with pytest.raises(TypeError):
        tcp[0].sendall("text")
    with pytest.raises(TypeError):
        tcp[0].send("text")


def test_sendall_times_out_as_a_whole(pair: Any) -> None:
    left, _ = pair
    left.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        left.sendall(LARGE)


def test_sendall_without_waiting(pair: Any) -> None:
    left, _ = pair
    left.setblocking(False)
    assert left.sendall(b"fits") is None
    with pytest.raises(BlockingIOError):
        left.sendall(LARGE)


@pytest.mark.parametrize("name", ["send", "sendall", "sendmsg"])
def test_waits_for_room(pair: Any, start: Any, name: str) -> None:
    left, right = pair
    fill(left)
    data: Any = [b"more"] if name == "sendmsg" else b"more"
    writer = start(getattr(left, name), data)
    sleep(0)
    assert not writer.ready()
    reader = start(read_all, right)
    assert writer.wait(20) == (None if name == "sendall" else 4)
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20).endswith(b"more")


@pytest.mark.parametrize("name", ["send", "sendall", "sendmsg"])
def test_times_out(pair: Any, name: str) -> None:
    left, _ = pair
    fill(left)
    left.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        getattr(left, name)([b"more"] if name == "sendmsg" else b"more")


@pytest.mark.parametrize("name", ["send", "sendall", "sendmsg"])
def test_close_wakes_the_writer(pair: Any, start: Any, name: str) -> None:
    left, _ = pair
    fill(left)

    def write() -> int | None:
        try:
            getattr(left, name)([b"more"] if name == "sendmsg" else b"more")
        except OSError as error:
            return error.errno
        return None

    writer = start(write)
    sleep(0)
    left.close()
    assert writer.wait(20) == errno.EBADF


def test_writing_to_a_closed_peer(tcp: Any) -> None:
    left, right = tcp
    right.close()
    with pytest.raises(ConnectionError):
        left.sendall(LARGE * 10)


def test_what_two_send_does_not_mix(tcp: Any, start: Any) -> None:
    left, right = tcp
    letters = (b"a", b"b", b"c")
    for letter in letters:
        start(left.sendall, letter * 3_000_000)
    reader = start(read_all, right)
    for thread in start.threads[:3]:
        thread.wait(20)
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == b"".join(letter * 3_000_000 for letter in letters)


def test_a_killed_writer_passes_the_turn_on(tcp: Any, start: Any) -> None:
    left, right = tcp
    fill(left)
    first = start(left.sendall, b"x")
    second = start(left.sendall, b"the end")
    sleep(0)
    first.kill()
    reader = start(read_all, right)
    second.wait(20)
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20).endswith(b"\xffthe end"[1:])


def test_makefile_writes(pair: Any, start: Any) -> None:
    left, right = pair
    reader = start(read_all, right)
    with left.makefile("wb") as file:
        file.write(LARGE)
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == LARGE


def test_makefile_outlives_the_socket(pair: Any) -> None:
    left, right = pair
    file = left.makefile("rwb")
    left.close()
    right.sendall(b"line\n")
    assert file.readline() == b"line\n"
    file.write(b"answer\n")
    file.flush()
    assert right.recv(100) == b"answer\n"
    file.close()
    assert right.recv(100) == b""


# sendfile


def test_sendfile(pair: Any, start: Any, tmp_path: Path) -> None:
    left, right = pair
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    reader = start(read_all, right)
    with path.open("rb") as file:
        assert left.sendfile(file) == len(LARGE)
        assert file.tell() == len(LARGE)
        assert left.sendfile(file, offset=5, count=10) == 10
        assert file.tell() == 15
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == LARGE + LARGE[5:15]


def test_sendfile_of_what_is_no_file(tcp: Any, start: Any) -> None:
    import io

    left, right = tcp
    reader = start(read_all, right)
    assert left.sendfile(io.BytesIO(b"in memory")) == 9
    left.shutdown(socket.SHUT_WR)
    assert reader.wait(20) == b"in memory"


def test_sendfile_times_out(tcp: Any, tmp_path: Path) -> None:
    left, _ = tcp
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    left.settimeout(0.01)
    with path.open("rb") as file, pytest.raises(TimeoutError):
        left.sendfile(file)


def test_sendfile_needs_a_socket_that_waits(tcp: Any, tmp_path: Path) -> None:
    left, _ = tcp
    left.setblocking(False)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file, pytest.raises(ValueError, match="non-blocking"):
        left.sendfile(file)


def test_sendto_needs_an_address(tcp: Any) -> None:
    with pytest.raises(TypeError):
        tcp[0].sendto(b"data")


@pytest.mark.parametrize(
    "message", [object(), (), (0, 0), (object(), 0, b""), (0, 0, object()), (0, 0, b"", 42),
                (socket.SOL_SOCKET, socket.SCM_RIGHTS), (socket.SOL_SOCKET, socket.SCM_RIGHTS, "")]
)  # fmt: skip
def test_wrong_ancillary_data(message: Any) -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(TypeError):
        left.sendmsg([b"data"], [message])
