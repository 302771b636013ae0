"""Logs that go through the standard library's `logging`."""

from __future__ import annotations

import logging

__all__ = ["LoggerStream"]


class LoggerStream:
    """A log stream whose lines become records of a logger.

    What is written without a line's end is kept until the end comes.
    """

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger = logger
        self._level = level
        self._rest = ""

    def write(self, text: str, /) -> None:
        """Log each complete line that holds something."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line:
                self._logger.log(self._level, "%s", line)

    def write_message(self, text: str) -> None:
        """Log one message, of one line or several."""
        self._logger.log(self._level, "%s", text)

    def flush(self) -> None:
        """Handlers flush by themselves."""
