"""The time of day as HTTP and the log write it, worked out once a second.

1. `tick()` is called once a request and costs one reading of the monotonic clock.
2. A step of the wall clock is noticed within a second.
3. English names whatever the locale (RFC 9110, section 5.6.7; the common log format).
"""

from __future__ import annotations

from collections.abc import Callable
from time import gmtime, localtime, monotonic, strftime, struct_time, time
from typing import Final

__all__ = ["Clock", "error_stamp", "iso_stamp", "wall_time_writer"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS: Final = {"sec": 1, "msec": 1_000, "usec": 1_000_000}


class Clock:
    """Holds the `Date` line and the log's time stamp of the present second."""

    __slots__ = ("_until", "ahead", "date_line", "log_stamp")

    def __init__(self) -> None:
        self._until = 0.0
        self.date_line = b""
        self.log_stamp = ""
        self.ahead = 0.0
        """What to add to the monotonic time, in seconds, for the time since the epoch."""
        self.tick()

    def tick(self) -> float:
        """Bring both texts up to date; return the monotonic time in seconds."""
        now = monotonic()
        if now >= self._until:
            wall = time()
            self._until = now + 1.0 - wall % 1.0
            self.ahead = wall - now
            self.date_line = b"Date: " + http_date(wall).encode("ascii") + b"\r\n"
            self.log_stamp = log_stamp(wall)
        return now


def http_date(wall: float) -> str:
    """Return seconds since the epoch as an IMF-fixdate (RFC 9110, section 5.6.7)."""
    at = gmtime(wall)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon]} {at.tm_year:04}"
        f" {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def log_stamp(wall: float) -> str:
    """Return seconds since the epoch as `[22/Nov/2026:07:50:59 +0000]`, in local time."""
    at = localtime(wall)
    return f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon]}/{at.tm_year:04}:{_hour(at)} {_offset(at)}]"


def error_stamp() -> str:
    """Return the present time as `2026-11-22 07:50:59 +0000`, in local time."""
    at = localtime(time())
    return f"{_date(at)} {_hour(at)} {_offset(at)}"


def wall_time_writer(form: str) -> Callable[[], str]:
    """Return a function that writes the present time as `strftime` does, in local time.

    `sec`, `msec` and `usec` stand for the time since the epoch in these units. Raises ValueError
    for a form that strftime refuses.
    """
    scale = _UNITS.get(form)
    if scale is not None:
        return lambda: str(int(time() * scale))
    if not form:
        raise ValueError("a form of strftime is missing")
    if form.startswith(("begin:", "end:")) or form.endswith("_frac"):
        raise ValueError("begin:, end: and fractions of a second are not understood")
    second = -1
    text = ""

    def write() -> str:
        nonlocal second, text
        now = int(time())
        if now != second:
            text = strftime(form, localtime(now))
            second = now
        return text

    write()
    return write


def iso_stamp(second: int) -> tuple[str, str]:
    """Return what stands before and after the fraction in `2026-11-22T07:50:59.123+00:00`."""
    at = localtime(second)
    offset = _offset(at)
    return f"{_date(at)}T{_hour(at)}.", f"{offset[:3]}:{offset[3:]}"


def _date(at: struct_time) -> str:
    return f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}"


def _hour(at: struct_time) -> str:
    return f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"


def _offset(at: struct_time) -> str:
    """The offset of local time from UTC, such as `+0130`."""
    minutes = at.tm_gmtoff // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"{sign}{minutes // 60:02}{minutes % 60:02}"
