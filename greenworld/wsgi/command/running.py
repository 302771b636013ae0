"""From settings to an exit code: one process that serves, or a supervisor and its workers.

Exit codes:

    0    stopped, as it was told
    1    could not start; standard error says why
    2    wrong usage (from the command line, before anything here)
    3    no worker could start, and none could say why

1. Standard output carries one line per address, then the access log; what goes wrong is told on
   standard error. What the user can mend is one line; the application's own exceptions come with
   their traceback.
2. One process: the first SIGTERM or SIGINT stops gracefully, SIGQUIT stops without waiting for
   requests; the next of them ends the process at once, as SIGTERM or SIGINT do by default.
   SIGUSR1 opens the log files anew, SIGHUP loads certificates anew as well.
3. With workers: see `supervisor`.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from greenworld.wsgi.command.activation import binds_of
from greenworld.wsgi.command.loading import LoadError, explain
from greenworld.wsgi.command.sdnotify import Notifier, take_notifier
from greenworld.wsgi.command.serving import Process, StartError
from greenworld.wsgi.command.settings import Settings

__all__ = ["run"]

CANNOT_START = 1


def run(settings: Settings, lifeline: int | None = None) -> int:
    """Serve; return the exit code. **Blocks** until the server has stopped.

    `lifeline` is the end of a pipe: when its other end is closed, the server stops gracefully.
    """
    notifier = take_notifier(os.environ)
    binds = binds_of(settings, os.environ)
    try:
        return _serve_alone(settings, binds, notifier, lifeline)
    except LoadError as error:
        print(explain(error), file=sys.stderr)
    except StartError as error:
        print(f"greenworld.wsgi: {error}", file=sys.stderr)
    return CANNOT_START


def _serve_alone(
    settings: Settings, binds: tuple[str, ...], notifier: Notifier, lifeline: int | None
) -> int:
    process = Process(settings)
    process.start(process.load(), binds)
    _Controls(process, notifier).take()
    for url in process.server.urls:
        print(f"Listening on {url}", flush=True)
    if lifeline is not None:
        process.when_ended(lifeline, process.server.request_stop)
    if notifier.watchdog:
        process.every(notifier.watchdog, notifier.alive)
    notifier.ready("serving")
    process.server.serve_forever()
    return 0


class _Controls:
    """What signals do to a process that serves alone. Handlers only ask, and never wait."""

    def __init__(self, process: Process, notifier: Notifier) -> None:
        self._process = process
        self._notifier = notifier
        self._on_terminal = os.isatty(0)

    def take(self) -> None:
        """Handle signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGUSR1, self._reopen)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup asks for
            signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        server = self._process.server
        if server.stop_requested:
            end_by(signal.SIGTERM if number == signal.SIGQUIT else number)
        self._notifier.stopping()
        server.request_stop(0.0 if number == signal.SIGQUIT else None)

    def _reopen(self, number: int, frame: FrameType | None) -> None:
        self._process.soon(self._process.reopen)

    def _reload(self, number: int, frame: FrameType | None) -> None:
        if self._on_terminal and not os.isatty(0):
            self._stop(number, frame)  # the terminal is gone, and its user with it
        else:
            self._process.soon(self._load_again)

    def _load_again(self) -> None:
        self._notifier.reloading()
        self._process.reopen()
        self._process.server.reload_certificates()
        self._notifier.ready("serving")


def end_by(number: int) -> None:
    """End this process as that signal does by default. SIGQUIT would leave a core file."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
