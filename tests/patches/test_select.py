"""`select` and `poll`: others run meanwhile, and the answer is the kernel's."""

from __future__ import annotations

import os
import select as stdlib_select
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenworld.hub import sleep
from greenworld.patches import select, selectors, socket


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_offers_every_public_name_of_the_original() -> None:
    assert [n for n in dir(stdlib_select) if not n.startswith("_") and not hasattr(select, n)] == []


def fill(sock: Any) -> None:
    """Send to a socket that does not wait until nothing more fits."""
    try:
        while True:
            sock.send(b"x" * 1_000_000)
    except BlockingIOError:
        pass


def poll_of(fd: Any, mask: int) -> Any:
    poller = select.poll()
    poller.register(fd, mask)
    return poller


def test_select_waits_for_a_reader(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    selecting = start(select.select, [reading], [], [])
    sleep(0)
    assert not selecting.ready()
    os.write(writing, b"x")
    assert selecting.wait(20) == ([reading], [], [])
    assert select.select([reading], [writing], []) == ([reading], [writing], [])


def test_poll_waits_for_a_reader(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    polling = start(poll_of(reading, select.POLLIN).poll)
    sleep(0)
    assert not polling.ready()
    os.write(writing, b"x")
    assert polling.wait(20) == [(reading, select.POLLIN)]


def test_times_out(pipe: Any) -> None:
    reading, _ = pipe
    for timeout in (0, 0.001):
        assert select.select([reading], [], [], timeout) == ([], [], [])
        assert poll_of(reading, select.POLLIN).poll(timeout * 1000) == []
    assert select.select([], [], [], 0.001) == ([], [], [])


def test_the_first_of_many_wakes(start: Any) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    lefts = [left for left, _ in pairs]
    selecting = start(select.select, lefts, [], lefts, 20)
    sleep(0)
    pairs[3][1].sendall(b"x")
    assert selecting.wait(20) == ([lefts[3]], [], [])
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_room_to_write_wakes(tcp: Any, start: Any) -> None:
    left, right = tcp
    left.setblocking(False)
    right.setblocking(False)
    fill(left)
    selecting = start(select.select, [], [left], [], 20)
    polling = start(poll_of(left, select.POLLOUT).poll, 20_000)
    sleep(0)
    assert not selecting.ready()
    while not (selecting.ready() and polling.ready()):
        try:
            right.recv(1_000_000)
        except BlockingIOError:
            sleep(0)
    assert selecting.wait(20) == ([], [left], [])
    assert polling.wait(20) == [(left.fileno(), select.POLLOUT)]


def test_select_sees_what_a_short_read_left_to_others(tcp: Any, start: Any) -> None:
    left, right = tcp
    reader = start(left.recv, 100)
    sleep(0)
    right.sendall(b"x")
    assert reader.wait(20) == b"x"
    right.sendall(b"y")
    assert select.select([left], [], [], 20) == ([left], [], [])
    assert left.recv(100) == b"y"


def test_hang_up_wakes_poll(pipe: Any, start: Any) -> None:
    reading, writing = os.pipe()
    polling = start(poll_of(reading, 0).poll, 20_000)
    sleep(0)
    os.close(writing)
    assert polling.wait(20) == [(reading, select.POLLHUP)]
    os.close(reading)


def test_close_wakes(tcp: Any, start: Any) -> None:
    left, _ = tcp
    polling = start(poll_of(left, select.POLLIN).poll, 20_000)
    sleep(0)
    number = left.fileno()
    left.close()
    assert polling.wait(20) == [(number, select.POLLNVAL)]


def test_poll_objects_change_their_minds(pipe: Any) -> None:
    _, writing = pipe
    poller = poll_of(writing, select.POLLOUT)
    assert poller.poll(20_000) == [(writing, select.POLLOUT)]
    poller.modify(writing, 0)
    assert poller.poll(1) == []
    poller.unregister(writing)
    with pytest.raises(KeyError):
        poller.unregister(writing)
    with pytest.raises(OSError, match="No such file"):
        poller.modify(writing, select.POLLOUT)


def test_regular_files_are_always_ready(tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file:
        assert select.select([file], [file], [], 20) == ([file], [file], [])


@pytest.mark.parametrize("fds", [[-1], ["x"], [None]])
def test_wrong_descriptors(fds: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        select.select(fds, [], [], 1)


def send_urgently(sock: Any) -> None:
    sock.send(b"!", socket.MSG_OOB)


def test_urgent_data_ends_the_wait(tcp: Any, start: Any) -> None:
    left, right = tcp
    right.sendall(b"ordinary")  # which is no reason
    while not select.select([left], [], [], 20)[0]:
        sleep(0)
    selecting = start(select.select, [], [], [left], 20)
    polling = start(poll_of(left, select.POLLPRI).poll, 20_000)
    sleep(0.01)
    assert not selecting.ready()
    assert not polling.ready()
    send_urgently(right)
    assert selecting.wait(20) == ([], [], [left])
    assert polling.wait(20) == [(left.fileno(), select.POLLPRI)]


def test_what_is_there_does_not_keep_who_waits_for_more_awake(
    tcp: Any, pipe: Any, monkeypatch: Any
) -> None:
    """A wait for urgent data, while ordinary data is there, does not ask again and again."""
    left, right = tcp
    right.sendall(b"ordinary")
    assert select.select([left], [], [], 20)[0]
    asked = []

    def ask(*args: Any) -> Any:
        asked.append(args)
        return stdlib_select.select(*args)

    monkeypatch.setattr(select, "_plain_select", ask)
    assert select.select([], [], [left, *pipe], 0.2) == ([], [], [])
    assert len(asked) < 20


def test_one_descriptor_many_times(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    selecting = start(select.select, [reading, reading], [], [reading])
    again = start(select.select, (reading,), (), ())
    sleep(0)
    os.write(writing, b"x")
    assert selecting.wait(20) == ([reading, reading], [], [])
    assert again.wait(20) == ([reading], [], [])


def test_iterators_and_objects(pipe: Any, start: Any) -> None:
    class Reader:
        def fileno(self) -> int:
            return int(reading)

    reading, writing = pipe
    reader = Reader()
    selecting = start(lambda: select.select(iter([reader]), iter([]), iter([])))
    sleep(0)
    os.write(writing, b"x")
    assert selecting.wait(20) == ([reader], [], [])


def test_many_descriptors(start: Any) -> None:
    pipes = [os.pipe() for _ in range(150)]
    readers = [reading for reading, _ in pipes]
    selecting = start(select.select, readers, [], readers, 20)
    sleep(0)
    for _, writing in pipes[100:]:
        os.write(writing, b"x")
    ready, _, _ = selecting.wait(20)
    assert ready
    assert set(ready) <= set(readers[100:])
    for pair in pipes:
        for fd in pair:
            os.close(fd)


def test_close_ends_select(tcp: Any, start: Any) -> None:
    left, _ = tcp
    selecting = start(select.select, [left], [], [], 20)
    sleep(0)
    left.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        selecting.wait(20)
    with pytest.raises(ValueError, match="negative"):
        select.select([left], [], [], 20)


def test_closed_and_wrong_numbers(pipe: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select.select([reading], [], [], 20)
    assert poll_of(reading, select.POLLIN).poll(20_000) == [(reading, select.POLLNVAL)]
    with pytest.raises(ValueError, match="out of range"):
        select.select([100_000], [], [], 20)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", 1j])
def test_wrong_time_outs(pipe: Any, timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        select.select([pipe[0]], [], [], timeout)
    if timeout != -1:
        with pytest.raises((ValueError, TypeError)):
            poll_of(pipe[0], select.POLLIN).poll(timeout)


def test_too_long_time_outs(pipe: Any) -> None:
    with pytest.raises(OverflowError):
        poll_of(pipe[0], select.POLLIN).poll(2**31)


def test_negative_time_out_of_poll_is_for_ever(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    polling = start(poll_of(reading, select.POLLIN).poll, -1)
    sleep(0.01)
    assert not polling.ready()
    os.write(writing, b"x")
    assert polling.wait(20) == [(reading, select.POLLIN)]


def test_one_poll_at_a_time(pipe: Any, start: Any) -> None:
    reading, writing = pipe
    poller = poll_of(reading, select.POLLIN)
    polling = start(poller.poll, 20_000)
    sleep(0)
    with pytest.raises(RuntimeError, match="concurrent poll"):
        poller.poll(0)
    os.write(writing, b"x")
    assert polling.wait(20) == [(reading, select.POLLIN)]
    assert poller.poll(0) == [(reading, select.POLLIN)]


def test_regular_files_are_never_exceptional(tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file:
        assert select.select([], [], [file], 0.01) == ([], [], [])
        assert poll_of(file, select.POLLPRI).poll(10) == []


def test_a_signal_does_not_end_the_wait(program: Any) -> None:
    """PEP 475: the wait goes on with what is left of the time, unless the handler raises."""
    out = program("""
        from greenworld.patches import monkey_patch
        monkey_patch()
        import os, select, signal, threading

        reading, writing = os.pipe()
        seen = []

        def handle(number, frame):
            seen.append(number)
            if len(seen) == 2:
                os.write(writing, b"x")
            elif len(seen) == 3:
                raise ZeroDivisionError

        signal.signal(signal.SIGUSR1, handle)

        def send(count):
            for number in range(count):
                while len(seen) < number:
                    pass
                os.kill(os.getpid(), signal.SIGUSR1)

        poll = select.poll()
        poll.register(reading, select.POLLIN)
        epoll = select.epoll()
        epoll.register(reading, select.EPOLLIN)
        from greenworld import native

        for wait in (
            lambda: select.select([reading], [], [], 30) == ([reading], [], []),
            lambda: poll.poll(30_000) == [(reading, select.POLLIN)],
            lambda: epoll.poll(30) == [(reading, select.EPOLLIN)],
        ):
            seen.clear()
            helper = threading.Thread(target=native.run, args=(send, 2))
            helper.start()
            assert wait()
            helper.join()
            os.read(reading, 1)
            seen[:] = [0, 0]
            try:
                threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                wait()
            except ZeroDivisionError:
                print("raised")
        """)
    assert out == "raised\n" * 3


def test_in_a_native_thread(pipe: Any) -> None:
    reading, writing = pipe
    got: list[Any] = []

    def run() -> None:
        got.append(select.select([reading], [], [], 20))
        got.append(poll_of(reading, select.POLLIN).poll(20_000))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    os.write(writing, b"x")
    thread.join(20)
    assert got == [([reading], [], []), [(reading, select.POLLIN)]]


def test_who_asks_in_a_loop_starves_nobody(pipe: Any, start: Any) -> None:
    """Each way of asking finds something at once, or does not wait."""
    reader, writer = pipe
    poll = select.poll()
    poll.register(writer, select.POLLOUT)
    ways: list[Any] = [
        lambda: select.select([], [writer], []),
        lambda: select.select([], [writer], [], 5),
        lambda: select.select([reader], [], [], 0),
        poll.poll,
        lambda: poll.poll(0),
    ]
    with selectors.DefaultSelector() as selector:
        selector.register(writer, selectors.EVENT_WRITE)
        ways += [selector.select, lambda: selector.select(0)]
        for ask in ways:
            done: list[bool] = []
            start(done.append, True)
            while not done:
                ask()


def test_objects_without_a_number(pipe: Any) -> None:
    class Odd:
        def fileno(self) -> Any:
            return "number"

    poll = select.poll()
    for wrong in (object(), poll, Odd()):
        with pytest.raises(TypeError):
            poll.register(wrong, 0)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            poll.unregister(wrong)  # type: ignore[arg-type]


def test_no_hub_is_made_to_ask_about_a_closed_number(program: Any) -> None:
    """Its descriptors would take the number."""
    assert (
        program(
            """
        import os
        from greenworld.hub.current import has_hub
        from greenworld.patches import select
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        poll = select.poll()
        poll.register(reader)
        assert poll.poll() == [(reader, select.POLLNVAL)]
        for timeout in (0, None):
            try:
                select.select([reader], [], [], timeout)
            except OSError as error:
                print(error.errno)
        print(has_hub())
        """
        )
        == "9\n9\nFalse\n"
    )
