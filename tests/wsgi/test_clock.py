"""The time of day, as HTTP and the log write it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import formatdate

import pytest

from greenworld.wsgi import clock as module
from greenworld.wsgi.clock import (
    Clock,
    error_stamp,
    http_date,
    iso_stamp,
    log_stamp,
    wall_time_writer,
)

TIMES = [0.0, 951782400.9, 1763797859.0, 4102444799.5]


@pytest.mark.parametrize("wall", TIMES)
def test_http_date(wall: float) -> None:
    assert http_date(wall) == formatdate(wall, usegmt=True)


@pytest.mark.parametrize("zone", ["UTC0", "XXX-5:30", "YYY+3:30", "ZZZ0"])
@pytest.mark.parametrize("wall", TIMES)
def test_log_stamp(monkeypatch: pytest.MonkeyPatch, zone: str, wall: float) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        stamp = log_stamp(wall)
        parsed = datetime.strptime(stamp, "[%d/%b/%Y:%H:%M:%S %z]")
        assert parsed == datetime.fromtimestamp(int(wall), timezone.utc)
        assert stamp[-6:-1] == {"XXX-5:30": "+0530", "YYY+3:30": "-0330"}.get(zone, "+0000")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_worked_out_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0, 1763797859.25]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "time", lambda: now[1])
    clock = Clock()
    first = clock.date_line
    assert first == b"Date: Sat, 22 Nov 2025 07:50:59 GMT\r\n"
    now[:] = [100.7, 1763797859.95]
    assert clock.tick() == 100.7
    assert clock.date_line is first
    now[:] = [100.75, 1763797860.0]
    clock.tick()
    assert clock.date_line == b"Date: Sat, 22 Nov 2025 07:51:00 GMT\r\n"
    assert ":51:00 " in clock.log_stamp


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A wall clock that stands still, in a zone half an hour off."""
    monkeypatch.setenv("TZ", "XXX-5:30")
    time.tzset()
    now = [1763797859.25]
    monkeypatch.setattr(module, "time", lambda: now[0])
    yield now
    monkeypatch.undo()
    time.tzset()


def test_error_stamp(wall: list[float]) -> None:
    assert error_stamp() == "2025-11-22 13:20:59 +0530"


def test_iso_stamps(wall: list[float]) -> None:
    assert iso_stamp(int(wall[0])) == ("2025-11-22T13:20:59.", "+05:30")


def test_the_wall_clock_is_that_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0, 1763797859.25]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "time", lambda: now[1])
    clock = Clock()
    assert now[0] + clock.ahead == now[1]
    now[:] = [101.0, 1763790000.5]  # it was set back
    clock.tick()
    assert now[0] + clock.ahead == now[1]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%Y-%m-%d %H:%M:%S %z", "2025-11-22 13:20:59 +0530"),
        ("plain", "plain"),
        ("sec", "1763797859"),
        ("msec", "1763797859250"),
        ("usec", "1763797859250000"),
    ],
)
def test_wall_times(wall: list[float], form: str, text: str) -> None:
    write = wall_time_writer(form)
    assert write() == write() == text


def test_a_wall_time_is_written_anew_each_second(wall: list[float]) -> None:
    write = wall_time_writer("%S")
    seen = [write()]
    for step in (0.5, 0.5, -2.0):
        wall[0] += step
        seen.append(write())
    assert seen == ["59", "59", "00", "58"]


@pytest.mark.parametrize("form", ["", "begin:%H", "end:sec", "msec_frac"])
def test_what_is_no_wall_time(form: str) -> None:
    with pytest.raises(ValueError, match=r"strftime|understood"):
        wall_time_writer(form)
