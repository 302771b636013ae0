"""Messages that a flood of events would repeat: written once in a while, with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from greenworld.wsgi.clock import Clock
    from greenworld.wsgi.log import ErrorLog

__all__ = ["Seldom"]

INTERVAL: Final = 60.0
"""Seconds between two messages of one kind."""


class Seldom:
    """One kind of message to the error log."""

    __slots__ = ("_clock", "_errors", "_since", "_unsaid")

    def __init__(self, errors: ErrorLog, clock: Clock) -> None:
        self._errors = errors
        self._clock = clock
        self._since: float | None = None
        self._unsaid = 0

    def __call__(self, text: str) -> None:
        """Write `text`, or count it if one was written in the last minute."""
        now = self._clock.tick()
        if self._since is not None and now - self._since < INTERVAL:
            self._unsaid += 1
            return
        again = f" (and {self._unsaid} times more since the last such line)" if self._unsaid else ""
        self._errors.write(f"greenworld.wsgi: {text}{again}")
        self._since = now
        self._unsaid = 0
