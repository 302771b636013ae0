"""The command `python -m greenworld.wsgi APP`: options, start, signals, exit code.

1. The standard library is patched before the application is imported, unless `--no-patch`.
2. Standard output carries one line per address, then the access log; errors go to standard
   error. What the user can mend is one line and exit code 1 (2 for wrong usage); the
   application's own exceptions come with their traceback.
3. The first SIGTERM or SIGINT stops gracefully and ends in exit code 0; the second one ends
   the process at once, as that signal does by default.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import greenworld
from greenworld.wsgi.command.loading import LoadError, load
from greenworld.wsgi.config import Config
from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.server import Server

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code. **Blocks** until the server has stopped."""
    options = _parser().parse_args(argv)
    binds = options.bind or ["127.0.0.1:8000"]
    if options.patch:
        greenworld.monkey_patch()
    directory = os.getcwd()
    if "" not in sys.path and directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        application = load(options.application)
    except LoadError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, ImportError):
            traceback.print_exception(error.__cause__)
        return _fail(str(error))
    server = Server(application, bind=binds, config=_config(options))
    try:
        server.start()
    except (OSError, ValueError) as error:
        return _fail(f"cannot listen on {', '.join(binds)}: {_reason(error)}")
    _stop_on_signals(server)
    for url in server.urls:
        print(f"Listening on {url}", flush=True)
    server.serve_forever()
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Config()
    parser = argparse.ArgumentParser(
        prog="python -m greenworld.wsgi",
        description="Serve a WSGI application over HTTP/1.1 from green threads.",
    )
    add = parser.add_argument
    add(
        "application",
        metavar="APP",
        help="MODULE:ATTRIBUTE, also with dots (module:object.app) or a call (module:make());"
        " MODULE alone stands for its 'application' or 'app'",
    )
    add(
        "--bind",
        metavar="ADDRESS",
        action="append",
        help="HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH; port 0 lets the system choose; may be"
        " given more than once (default: 127.0.0.1:8000)",
    )
    add(
        "--no-patch",
        dest="patch",
        action="store_false",
        help="leave the standard library as it is",
    )
    add(
        "--no-access-log",
        dest="access_log",
        action="store_false",
        help="do not write a line per request to standard output",
    )
    for option, default, text in (
        ("--keep-alive", defaults.keep_alive, "idle time between two requests; 0: none"),
        ("--head-timeout", defaults.head_timeout, "time for a request head to arrive"),
        ("--body-timeout", defaults.body_timeout, "time without progress in a request body"),
        ("--write-timeout", defaults.write_timeout, "time without progress in an answer"),
        ("--graceful-timeout", defaults.graceful_timeout, "time for requests to end at a stop"),
    ):
        add(
            option,
            metavar="SECONDS",
            type=_seconds,
            default=default,
            help=f"{text} (default: {default:g})",
        )
    for option, whole, text in (
        ("--limit-line", defaults.limits.line, "bytes of a request line"),
        ("--limit-fields", defaults.limits.fields, "header lines of a request"),
        ("--limit-head", defaults.limits.head, "bytes of a whole request head"),
        ("--max-body", None, "bytes of a request body"),
        ("--max-connections", None, "open connections"),
    ):
        add(
            option,
            metavar="N",
            type=_count,
            default=whole,
            help=f"the most {text} (default: {'any number' if whole is None else whole})",
        )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _config(options: argparse.Namespace) -> Config:
    return Config(
        keep_alive=options.keep_alive,
        head_timeout=options.head_timeout,
        body_timeout=options.body_timeout,
        write_timeout=options.write_timeout,
        graceful_timeout=options.graceful_timeout,
        limits=Limits(options.limit_line, options.limit_fields, options.limit_head),
        max_body=options.max_body,
        max_connections=options.max_connections,
        access_log=sys.stdout if options.access_log else None,
    )


def _fail(message: str) -> int:
    print(f"greenworld.wsgi: {message}", file=sys.stderr)
    return 1


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
