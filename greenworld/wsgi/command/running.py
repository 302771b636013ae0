"""Serves from this process: patch, load, listen, print the addresses, stop on signals.

1. The standard library is patched before the application is imported, unless `--no-patch`.
2. Standard output carries one line per address, then the access log; errors go to standard
   error. What the user can mend is one line and exit code 1; the application's own exceptions
   come with their traceback.
3. The first SIGTERM or SIGINT stops gracefully and ends in exit code 0; the second one ends
   the process at once, as that signal does by default.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import greenworld
from greenworld.wsgi.command.loading import LoadError, explain, load_application
from greenworld.wsgi.command.settings import DEFAULT_BIND, Settings
from greenworld.wsgi.server import Server

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Serve; return the exit code. **Blocks** until the server has stopped."""
    if settings.patch:
        greenworld.monkey_patch()
    try:
        application = load_application(settings)
    except LoadError as error:
        print(explain(error), file=sys.stderr)
        return 1
    binds = settings.bind or (DEFAULT_BIND,)
    config = settings.config(access_log=None if settings.access_log is None else sys.stdout)
    server = Server(application, bind=binds, config=config)
    try:
        server.start()
    except (OSError, ValueError) as error:
        print(
            f"greenworld.wsgi: cannot listen on {', '.join(binds)}: {_reason(error)}",
            file=sys.stderr,
        )
        return 1
    _stop_on_signals(server)
    for url in server.urls:
        print(f"Listening on {url}", flush=True)
    server.serve_forever()
    return 0


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _stop_on_signals(server: Server) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        if server.stop_requested:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        server.request_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
