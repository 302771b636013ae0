"""The time of day as HTTP and the log write it, worked out once a second.

1. `tick()` is called once a request and costs one reading of the monotonic clock.
2. A step of the wall clock is noticed within a second.
3. English names whatever the locale (RFC 9110, section 5.6.7; the common log format).
"""

from __future__ import annotations

from time import gmtime, localtime, monotonic, time

__all__ = ["Clock"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Clock:
    """Holds the `Date` line and the log's time stamp of the present second."""

    __slots__ = ("_until", "date_line", "log_stamp")

    def __init__(self) -> None:
        self._until = 0.0
        self.date_line = b""
        self.log_stamp = ""
        self.tick()

    def tick(self) -> float:
        """Bring both texts up to date; return the monotonic time in seconds."""
        now = monotonic()
        if now >= self._until:
            wall = time()
            self._until = now + 1.0 - wall % 1.0
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
    minutes = at.tm_gmtoff // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return (
        f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon]}/{at.tm_year:04}"
        f":{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
        f" {sign}{minutes // 60:02}{minutes % 60:02}]"
    )
