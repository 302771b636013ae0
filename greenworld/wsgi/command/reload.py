"""`--reload`: a parent that watches the code, and a child that serves.

1. The parent opens the addresses and keeps them open; each child gets them as descriptors. Who
   connects between two children waits in the backlog and is not refused.
2. A child is a new interpreter, so that nothing is left of the code from before the change. The
   parent imports nothing of the application.
3. A child lives as long as its lifeline, a pipe, is open: then it stops gracefully, while its
   successor already serves. It does so too when the parent was killed.
4. A child that ends by itself is not started again before the next change.

Loaded only when it is asked for: watchfiles need not be installed.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType
from typing import Final

import watchfiles

from greenworld.wsgi.binds import BoundSocket, open_all, remove_file
from greenworld.wsgi.command.activation import binds_of
from greenworld.wsgi.command.serving import explain_bind
from greenworld.wsgi.command.settings import Settings

__all__ = ["run_reloading"]

TICK_MILLISECONDS: Final = 100
"""How often the children are looked after while nothing changes."""


def run_reloading(settings: Settings, start_directory: str) -> int:
    """Serve, with a new child after each change; return the exit code. **Blocks**.

    `start_directory` is where this process began: children find greenworld from there.
    """
    binds = binds_of(settings, os.environ)
    try:
        sockets = open_all(binds, settings.server.backlog, settings.reuse_port)
    except (OSError, ValueError) as error:
        _say(explain_bind(error, binds))
        return 1
    try:
        _Reloader(settings, sockets, start_directory).run()
    except OSError as error:  # among others, the system's limit on watches
        _say(f"--reload cannot go on: {error}")
        return 1
    finally:
        for sock in sockets:
            remove_file(sock)
            sock.close()
    return 0


class _Child:
    """A process that serves until its lifeline is closed."""

    def __init__(self, settings: Settings, fds: Sequence[int], start_directory: str) -> None:
        orders, self._orders = os.pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *_interpreter_options(),
                    "-m",
                    f"{__package__}.child",
                    str(orders),
                ],
                cwd=start_directory,
                pass_fds=(orders, lifeline, *fds),
            )
        finally:
            os.close(orders)
            os.close(lifeline)
        self._send((settings, lifeline, os.getcwd(), sys.argv))

    def _send(self, orders: object) -> None:
        try:
            with open(self._orders, "wb") as pipe:
                pickle.dump(orders, pipe)
        except BrokenPipeError:
            pass  # it has ended already, and has said why

    def let_go(self) -> None:
        """Have it stop gracefully."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _interpreter_options() -> list[str]:
    """The options of this interpreter itself, such as `-X dev`."""
    options = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return options[: -2 if options[-2:-1] == ["-m"] else -1]


class _Reloader:
    def __init__(
        self, settings: Settings, sockets: Sequence[BoundSocket], start_directory: str
    ) -> None:
        self._fds = [sock.fileno() for sock in sockets]
        self._settings = replace(
            settings,
            bind=tuple(f"fd://{fd}" for fd in self._fds),
            reload=False,
            show_load_errors=True,
        )
        self._start_directory = start_directory
        self._code = os.path.join(os.path.abspath(settings.app_dir or "."), "")
        self._further = tuple(os.path.join(os.path.abspath(d), "") for d in settings.reload_dir)
        self._unwanted = watchfiles.DefaultFilter()
        self._stop = threading.Event()
        self._child: _Child | None = None
        self._ended = False
        self._old: list[_Child] = []

    def run(self) -> None:
        """Watch until a signal comes."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            # The first child starts at the first tick, when the watch has begun: no change can
            # fall between the two.
            for changes in watchfiles.watch(
                self._code,
                *self._further,
                watch_filter=self._counts,
                stop_event=self._stop,
                rust_timeout=TICK_MILLISECONDS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._look_after(sorted({path for _, path in changes}))
        finally:
            for child in self._let_all_go():
                child.process.wait()

    def _counts(self, change: watchfiles.Change, path: str) -> bool:
        """Whether a change of this file is a reason to start again."""
        wanted = path.endswith(".py") or path.startswith(self._further)
        return wanted and self._unwanted(change, path)

    def _look_after(self, changed: Sequence[str]) -> None:
        """Start what must be started; `changed` is empty at a mere tick."""
        self._old = [child for child in self._old if child.process.poll() is None]
        if self._child is None:
            self._start()
        elif changed:
            _say(f"{_some(changed)}, starting again")
            self._child.let_go()
            self._old.append(self._child)
            self._start()
        elif not self._ended and (code := self._child.process.poll()) is not None:
            self._ended = True
            _say(f"the server ended with exit code {code}; a change of the code starts it again")

    def _start(self) -> None:
        self._ended = False
        self._child = _Child(self._settings, self._fds, self._start_directory)

    def _let_all_go(self) -> list[_Child]:
        children = self._old if self._child is None else [*self._old, self._child]
        for child in children:
            child.let_go()
        return children

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            for child in self._let_all_go():
                child.process.kill()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._stop.set()


def _say(text: str) -> None:
    print(f"greenworld.wsgi: {text}", file=sys.stderr, flush=True)


def _some(paths: Sequence[str]) -> str:
    """Name the files that changed, or the first of many."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{os.path.relpath(paths[0])}{more} changed"
