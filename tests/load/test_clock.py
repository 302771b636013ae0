"""The wall clock is stepped: the dates follow, and no connection notices."""

from __future__ import annotations

import ast
import calendar
import time
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import parsedate
from pathlib import Path

import pytest

from greenworld.wsgi import clock
from tests.load.clients import Client, head
from tests.load.servers import ServerProcess, eventually

HOUR = 3600
WALL = {"time", "time_ns", "gmtime", "localtime", "ctime", "asctime", "strftime", "CLOCK_REALTIME"}
SOURCES = sorted(Path(clock.__file__).parent.rglob("*.py"))


def wall_clock_names(tree: ast.Module) -> set[str]:
    """What a module could read the wall clock with."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & {"time", "datetime"}
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {alias.name for alias in node.names} & WALL
        elif isinstance(node, ast.ImportFrom) and node.module in ("datetime", "email.utils"):
            found |= {alias.name for alias in node.names} - {"timedelta"}
    return found


def test_only_the_clock_reads_the_wall_clock() -> None:
    reading = [path.name for path in SOURCES if wall_clock_names(ast.parse(path.read_text()))]
    assert reading == ["clock.py"]


def date_of(client: Client) -> float:
    """The server's time of day, in seconds since the epoch."""
    client.get()
    parsed = parsedate(client.fields["date"])
    assert parsed is not None
    return calendar.timegm(parsed)


@pytest.mark.slow
@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_time_outs_do_not_notice_a_step_and_dates_follow_it(
    serve: Callable[..., ServerProcess], size: Callable[[int, int], int], step: int
) -> None:
    server = serve(program=("-m", "tests.load.stepped"))
    with ExitStack() as stack:
        asking, idle, new, within_a_head, within_a_body = (
            stack.enter_context(server.connect()) for _ in range(5)
        )
        assert idle.get() == b"hello\n"
        within_a_head.send(b"GET / HTTP/1.1\r\nHost:")
        within_a_body.send(head("/upload", "Content-Length: 4", method="POST") + b"ab")
        assert asking.get(f"/step/{step}") == b"hello\n"
        eventually("the dates follow", lambda: abs(date_of(asking) - time.time() - step) < HOUR / 2)
        # What looks for time-outs, once a second, has its turn.
        later = date_of(asking) + size(1, 3)
        eventually("time goes on", lambda: date_of(asking) >= later)
        within_a_head.send(b" test\r\n\r\n")
        within_a_body.send(b"cd")
        assert within_a_head.answer() == b"hello\n"
        assert within_a_body.answer().startswith(b"4 ")
        assert idle.get() == new.get() == b"hello\n"
    assert server.log == ""
