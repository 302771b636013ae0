"""One server in this process, from the application's name to its end: alone, or as a worker.

1. The standard library is patched before the application is imported, unless `--no-patch`.
2. Signal handlers only ask: what they ask for is done by green threads.
3. A crash, and SIGABRT, leave the traceback of every OS thread on the error log.
"""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import greenworld
from greenworld.hub import get_hub, sleep, spawn, wait_readable
from greenworld.wsgi.binds import BoundSocket
from greenworld.wsgi.command.loading import load_application
from greenworld.wsgi.command.logfiles import Logs, open_logs
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.log import LogStream
from greenworld.wsgi.server import Server

__all__ = ["Process", "StartError", "explain_bind"]


class StartError(Exception):
    """The server cannot start; the text is one line for the user."""


class Process:
    """The server of this process, with its logs and what can be asked of it by signals.

    To be made first of all: it patches the standard library. Raises `StartError`.
    """

    server: Server

    def __init__(self, settings: Settings) -> None:
        if settings.patch:
            greenworld.monkey_patch()
        self._settings = settings
        self._hub = get_hub()
        self.logs = self._open_logs()
        _dump_crashes(self.logs.errors)

    def _open_logs(self) -> Logs:
        settings = self._settings
        try:
            return open_logs(settings.access_log, settings.error_log, settings.log_config)
        except ValueError as error:
            raise StartError(str(error)) from None

    def load(self) -> Any:
        """Return the application. Raises `LoadError`."""
        return load_application(self._settings)

    def start(
        self,
        application: Any,
        binds: Sequence[str] = (),
        sockets: Sequence[BoundSocket] = (),
        prepare: Callable[[Server], object] | None = None,
    ) -> None:
        """Listen, and begin to serve. Raises `StartError`. Does not block.

        `sockets`, in place of `binds`, are shared with other processes. `prepare` may change
        the server before it starts.
        """
        config = self._settings.config(access_log=self.logs.access, error_log=self.logs.errors)
        if sockets:
            config = replace(config, environ={**config.environ, "wsgi.multiprocess": True})
        try:
            self.server = Server(application, sockets, bind=binds, config=config)
            if prepare is not None:
                prepare(self.server)
            self.server.start()
        except (OSError, ValueError) as error:
            raise StartError(explain_bind(error, binds)) from None

    def soon(self, do: Callable[[], object]) -> None:
        """Do it on the hub's greenlet. Safe in a signal handler. Does not block."""
        self._hub.post(do)

    def every(self, seconds: float, do: Callable[[], object]) -> None:
        """Do it now, and then again and again, for as long as the hub turns. Does not block."""

        def repeat() -> None:
            while True:
                do()
                sleep(seconds)

        spawn(repeat)

    def when_ended(self, fd: int, do: Callable[[], object]) -> None:
        """Do it when the other end of that pipe has been closed. Does not block."""

        def watch() -> None:
            wait_readable(fd)
            do()

        spawn(watch)


def _dump_crashes(log: LogStream) -> None:
    try:
        faulthandler.enable(log)  # type: ignore[arg-type]  # any object with fileno()
    except (AttributeError, TypeError, ValueError, OSError):  # the log is no file
        if sys.__stderr__ is not None:
            faulthandler.enable(sys.__stderr__)


def explain_bind(error: OSError | ValueError, binds: Sequence[str]) -> str:
    """Say in one line which address cannot be listened on, why, and what to do about it."""
    if isinstance(error, ValueError):
        return str(error)
    if error.filename and error.filename not in binds:
        return f"cannot use {error.filename}: {error.strerror}"  # a certificate, say
    address = error.filename or ", ".join(binds)
    hint = ""
    if isinstance(error, PermissionError) and not address.startswith("unix:"):
        hint = " (ports below 1024 need CAP_NET_BIND_SERVICE, or a socket from systemd)"
    return f"cannot listen on {address}: {error.strerror or error}{hint}"
