"""The time of day, as HTTP and the log write it."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from email.utils import formatdate

import pytest

from greenworld.wsgi import clock as module
from greenworld.wsgi.clock import Clock, http_date, log_stamp

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
