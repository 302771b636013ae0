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
   SIGUSR1 opens the log files anew, SIGHUP loads certificates anew as well; but SIGHUP from the
   terminal that standard input was, when it is closed, stops the server.
3. With workers: see `supervisor`.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import greenworld
from greenworld.hub import get_hub
from greenworld.wsgi.binds import open_all
from greenworld.wsgi.command import worker
from greenworld.wsgi.command.activation import binds_of
from greenworld.wsgi.command.loading import LoadError, explain, load_application
from greenworld.wsgi.command.logfiles import open_logs
from greenworld.wsgi.command.sdnotify import Notifier, take_notifier
from greenworld.wsgi.command.serving import Process, StartError, explain_bind
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.command.signals import Terminal, end_by
from greenworld.wsgi.command.supervisor import Supervisor

__all__ = ["run"]

CANNOT_START = 1


def run(settings: Settings, lifeline: int | None = None) -> int:
    """Serve; return the exit code. **Blocks** until the server has stopped.

    `lifeline` is the end of a pipe: when its other end is closed, the server stops gracefully.
    """
    notifier = take_notifier(os.environ)
    binds = binds_of(settings, os.environ)
    try:
        if settings.workers is None:
            return _serve_alone(settings, binds, notifier, lifeline)
        return _serve_with_workers(settings, binds, notifier)
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


def _serve_with_workers(settings: Settings, binds: tuple[str, ...], notifier: Notifier) -> int:
    try:
        # Only for the supervisor's own lines: the workers open logs for themselves.
        logs = open_logs(None, settings.error_log, None)
        application = None
        if settings.preload:
            if settings.patch:
                greenworld.monkey_patch()
            application = load_application(settings)
            get_hub()  # which takes over the descriptor for signals when it is made: not later
        sockets = open_all(binds, settings.server.backlog, settings.reuse_port)
    except (OSError, ValueError) as error:
        raise StartError(explain_bind(error, binds)) from None
    outcome = Supervisor(settings, sockets, notifier, logs, application).run()
    return outcome if isinstance(outcome, int) else worker.serve(settings, outcome)


class _Controls:
    """What signals do to a process that serves alone. Handlers only ask, and never wait."""

    def __init__(self, process: Process, notifier: Notifier) -> None:
        self._process = process
        self._notifier = notifier
        self._terminal = Terminal()

    def take(self) -> None:
        """Handle signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGUSR1, self._reopen)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        server = self._process.server
        if server.stop_requested:
            end_by(signal.SIGTERM if number == signal.SIGQUIT else number)
        server.request_stop(0.0 if number == signal.SIGQUIT else None)
        self._notifier.stopping()

    def _reopen(self, number: int, frame: FrameType | None) -> None:
        self._process.soon(self._process.logs.reopen)

    def _reload(self, number: int, frame: FrameType | None) -> None:
        if self._terminal.is_gone:
            self._stop(number, frame)
        else:
            self._process.soon(self._load_again)

    def _load_again(self) -> None:
        if self._process.server.stop_requested:
            return
        self._notifier.reloading()
        self._process.logs.reopen()
        self._process.server.reload_certificates()
        self._notifier.ready("serving")
