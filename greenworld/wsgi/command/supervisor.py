"""The parent of the workers: starts them, watches them, replaces them; serves nobody itself.

It runs no hub, and imports the application only with `--preload`. It holds the listening
sockets, so that what is in their queues survives a worker.

1. There is a place for each worker wanted. A worker is *fit* for its place unless it is of an
   older generation, tired (`--max-requests`) or ending; a place without a fit worker gets one.
   Who is not fit retires as soon as the fit one is ready: somebody serves at any time.
2. SIGHUP begins a generation. The old one retires when *all* of the new one are ready; should
   one of them fail before, the new one retires and the old one stays.
3. A worker that fails, or does not serve for ten seconds, delays the next one in its place: 0.1 s,
   doubled each time, up to 30 s. If none has ever been ready and all have failed, it is over.
4. A worker that gives no sign of life for `--worker-timeout` gets SIGABRT, at which it writes its
   traceback, and SIGKILL if that does not end it.
5. SIGTERM and SIGINT stop gracefully, SIGQUIT without waiting for requests; the next of them
   kills the workers. SIGTTIN and SIGTTOU: one worker more or less. SIGUSR1: log files are
   opened anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import inf
from os import WNOHANG, waitpid
from select import POLLIN, poll
from signal import (
    SIGABRT,
    SIGCHLD,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGQUIT,
    SIGTERM,
    SIGTTIN,
    SIGTTOU,
    SIGUSR1,
    Signals,
)
from time import monotonic
from typing import Any, Final

from greenworld.wsgi.binds import BoundSocket, display, open_another, remove_file
from greenworld.wsgi.command.crew import Place, Worker, describe_end, make_line
from greenworld.wsgi.command.logfiles import Logs
from greenworld.wsgi.command.sdnotify import Notifier
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.command.signals import SignalPipe, Terminal, end_by
from greenworld.wsgi.command.worker import LAST_REQUEST_SECONDS, Seat
from greenworld.wsgi.log import ErrorLog

__all__ = ["Supervisor"]

OVERTIME: Final = 5.0
"""Seconds after which a worker that should have ended by now is killed."""
LATE: Final = 1.0
"""Seconds by which this process may wake up late; if it is more, the workers were held up too."""
NONE_COULD_START: Final = 3


class Supervisor:
    """Runs `settings.workers` workers on these sockets.

    `application` is what they serve if it has been loaded already; else each loads its own.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[BoundSocket],
        notifier: Notifier,
        logs: Logs,
        application: Any = None,
    ) -> None:
        self._settings = settings
        self._sockets = list(sockets)
        self._notifier = notifier
        self._logs = logs
        self._errors = ErrorLog(logs.errors)
        self._application = application
        self._terminal = Terminal()
        self._places: list[Place] = []
        self._workers: list[Worker] = []
        self._newest = self._current = self._serving = 1  # generations
        self._ever_ready = self._complete = self._stopping = False
        self._exit_code = 0
        self._last_failure = ""
        self._next_notice = monotonic() if notifier.watchdog else inf
        self._poll = poll()
        self._signals: SignalPipe
        self._actions: dict[int, Callable[[], None]] = {
            SIGTERM: lambda: self._stop(SIGTERM),
            SIGINT: lambda: self._stop(SIGINT),
            SIGQUIT: lambda: self._stop(SIGQUIT),
            SIGHUP: self._begin_generation,
            SIGUSR1: self._reopen_logs,
            SIGTTIN: self._add_place,
            SIGTTOU: self._remove_place,
        }

    def run(self) -> int | Seat:
        """Return the exit code. **Blocks** until all is over.

        In each worker process it returns too, right after its start: what it is to serve.
        """
        self._signals = SignalPipe(frozenset((*self._actions, SIGCHLD)))
        self._poll.register(self._signals.fd, POLLIN)
        for _ in range(self._settings.workers or 1):
            self._add_place()
        while True:
            now = monotonic()
            self._bury_the_dead(now)
            self._end_who_is_late(now)
            if not self._stopping:
                self._exchange(now)
                seat = self._fill(now)
                if seat is not None:
                    return seat
            elif not self._workers:
                return self._exit_code
            self._wait(now)

    # One turn

    def _wait(self, now: float) -> None:
        """Sleep until something happens or is due, and take note of it. **Blocks**."""
        due = self._next_deadline()
        self._poll.poll(None if due == inf else max(0.0, due - now) * 1000.0 + 1.0)
        now = monotonic()
        for number in self._signals.take():
            if number in self._actions:
                self._actions[number]()
        for worker in self._workers:
            self._hear(worker, now)
            if now > due + LATE:
                worker.heard = now
        if now >= self._next_notice:
            self._notifier.alive()
            self._next_notice = now + self._notifier.watchdog

    def _next_deadline(self) -> float:
        deadlines = [self._next_notice]
        for worker in self._workers:
            deadlines.append(worker.kill_at)
            if worker.state == "ready":
                deadlines.append(worker.heard + (self._settings.worker_timeout or inf))
        if not self._stopping:
            now = monotonic()
            deadlines += [place.not_before for place in self._places if place.not_before > now]
        return min(deadlines)

    def _hear(self, worker: Worker, now: float) -> None:
        before = worker.state
        if not worker.listen(now) and worker.listened_to:
            worker.listened_to = False
            self._poll.unregister(worker.line.fileno())
        if worker.state != before:
            self._ever_ready = True
            self._last_failure = ""
            self._say(f"{worker.title} is ready")

    def _fill(self, now: float) -> Seat | None:
        """Start a worker in each place that has no fit one; in that worker, return its seat."""
        for place in self._places:
            if any(worker.place is place and self._is_fit(worker) for worker in self._workers):
                continue
            if now < place.not_before or (place.failures and not self._ever_ready):
                continue
            seat = self._start(place, now)
            if seat is not None:
                return seat
        return None

    def _is_fit(self, worker: Worker) -> bool:
        return worker.state != "ending" and not worker.tired and worker.generation == self._current

    def _exchange(self, now: float) -> None:
        """Let those retire whose places are taken, and notice when all places are."""
        taken = {
            worker.place
            for worker in self._workers
            if worker.state == "ready" and self._is_fit(worker)
        }
        if taken.issuperset(self._places):
            self._all_ready()
        reloading = self._current != self._serving
        for worker in self._workers:
            if worker.state == "ending" or (reloading and worker.generation == self._serving):
                continue
            unwanted = worker.place not in self._places
            overtaken = worker.state == "starting" and worker.generation != self._current
            if unwanted or overtaken or (worker.place in taken and not self._is_fit(worker)):
                patience = max(self._settings.server.graceful_timeout, LAST_REQUEST_SECONDS)
                worker.retire(now + patience + OVERTIME)

    def _all_ready(self) -> None:
        if self._complete and self._current == self._serving:
            return
        if not self._complete:
            self._complete = True
            for sock in self._sockets:
                scheme = "https" if self._settings.server.tls else "http"
                print(
                    f"Listening on {display(sock.family, sock.getsockname(), scheme)}", flush=True
                )
        else:
            self._say("reloaded: the new workers serve")
        self._serving = self._current
        self._notifier.ready(f"{len(self._places)} workers")

    def _end_who_is_late(self, now: float) -> None:
        timeout = self._settings.worker_timeout or inf
        for worker in self._workers:
            if now >= worker.kill_at:
                worker.kill_at = inf
                worker.signal(SIGKILL)
                self._say(f"{worker.title} did not end in time: killed")
            elif worker.state == "ready" and now >= worker.heard + timeout:
                self._say(f"{worker.title} has given no sign of life for {timeout:g} s: ended")
                worker.end(SIGABRT, now + OVERTIME)

    # Births and deaths

    def _start(self, place: Place, now: float) -> Seat | None:
        """Fork a worker for that place; in the worker, return its seat."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        try:
            ours, theirs = make_line()
            try:
                pid = self._signals.fork()
            except BaseException:
                ours.close()
                theirs.close()
                raise
        except OSError as error:
            delay = place.fail(now)
            self._say(f"cannot start a worker: {error.strerror}; next try in {delay:g} s")
            self._give_up_if_hopeless(NONE_COULD_START)
            return None
        if pid == 0:
            ours.close()
            self._leave_to_parent(place)
            return Seat(place.number, place.sockets, theirs, self._application)
        theirs.close()
        self._poll.register(ours.fileno(), POLLIN)
        self._workers.append(Worker(place, self._current, pid, ours, now))
        return None

    def _leave_to_parent(self, own: Place) -> None:
        """In a worker: close what it has no business with."""
        for worker in self._workers:
            worker.line.close()
        others = {sock for place in self._places for sock in place.sockets} - set(own.sockets)
        for sock in others:
            sock.close()

    def _bury_the_dead(self, now: float) -> None:
        """Wait for every child that has ended, also those that were left to process 1."""
        while True:
            try:
                pid, status = waitpid(-1, WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    self._bury(worker, status, now)
                    break

    def _bury(self, worker: Worker, status: int, now: float) -> None:
        self._hear(worker, now)
        self._workers.remove(worker)
        if worker.listened_to:
            self._poll.unregister(worker.line.fileno())
        worker.line.close()
        what = f"{worker.title} {describe_end(status)}"
        if worker.state == "ending" or self._stopping:
            self._say(what)
        elif worker.state == "starting":
            self._explain_failure(worker, what)
            if worker.generation == self._current != self._serving:
                self._abandon_generation()
                return
            delay = worker.place.fail(now)
            if self._ever_ready:
                self._say(f"next try for worker {worker.place.number} in {delay:g} s")
            self._give_up_if_hopeless(1 if worker.failure else NONE_COULD_START)
        else:
            if worker.lasted(now):
                worker.place.recover()
            else:
                worker.place.fail(now)
            self._say(f"{what}: another one takes its place")

    def _explain_failure(self, worker: Worker, what: str) -> None:
        failure = worker.failure[1:].decode("utf-8", "replace")
        if failure and failure != self._last_failure:
            self._last_failure = failure
            self._errors.write(failure)
        self._say(f"{worker.title} could not start" if failure else f"{what} while it started")

    def _give_up_if_hopeless(self, exit_code: int) -> None:
        if self._ever_ready or any(worker.state == "starting" for worker in self._workers):
            return
        if not self._stopping:
            self._say("no worker could start")
            self._exit_code = exit_code
            self._close_sockets()
            self._stopping = True

    # What signals ask for

    def _stop(self, number: Signals) -> None:
        if self._stopping:
            for worker in self._workers:
                worker.signal(SIGKILL)
            end_by(SIGTERM if number == SIGQUIT else number)
        self._stopping = True
        self._notifier.stopping()
        self._close_sockets()
        wait = 0.0 if number == SIGQUIT else self._settings.server.graceful_timeout
        for worker in self._workers:
            how = SIGQUIT if number == SIGQUIT and worker.state != "starting" else SIGTERM
            worker.end(how, monotonic() + wait + OVERTIME)

    def _close_sockets(self) -> None:
        """Before the workers do: the last one to close a socket resets what it did not accept."""
        for sock in {sock for place in self._places for sock in place.sockets}:
            remove_file(sock)
            sock.close()

    def _begin_generation(self) -> None:
        if self._terminal.is_gone:
            self._stop(SIGHUP)
            return
        if self._stopping:
            return
        self._notifier.reloading()
        fresh = self._application is None
        code = "fresh code" if fresh else "the code as it was loaded (--preload)"
        self._say(f"reload: {len(self._places)} new workers with {code}")
        self._logs.reopen()
        self._newest += 1
        self._current = self._newest
        self._last_failure = ""
        for place in self._places:
            place.recover()

    def _abandon_generation(self) -> None:
        self._current = self._serving
        self._say("reload given up: the workers that served go on")
        self._notifier.ready(f"{len(self._places)} workers; the last reload failed")

    def _reopen_logs(self) -> None:
        self._logs.reopen()
        for worker in self._workers:
            worker.signal(SIGUSR1)

    def _add_place(self) -> None:
        if self._stopping:
            return
        sockets = self._sockets
        if self._places and self._settings.reuse_port:
            try:
                sockets = [open_another(sock, self._settings.server.backlog) for sock in sockets]
            except OSError as error:
                self._say(f"cannot add a worker: {error.strerror}")
                return
        self._places.append(Place(len(self._places) + 1, sockets))

    def _remove_place(self) -> None:
        if self._stopping:
            return
        if len(self._places) == 1:
            self._say("the last worker stays: SIGTERM stops the server")
            return
        for sock in set(self._places.pop().sockets) - set(self._sockets):
            sock.close()

    def _say(self, what: str) -> None:
        self._errors.write(f"greenworld.wsgi: {what}")
