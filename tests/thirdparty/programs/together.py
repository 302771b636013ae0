"""Leads twenty threads through a wait that a server holds, and prints what they did as JSON.

An ordinary threaded program, ignorant of green threads. It takes three proofs:

1. Twenty calls are inside the server at once, as the server itself counts them
   (`Service.inside`), before it lets the first one out (`Service.open`).
2. A ticker goes round while they are all held there: the process is not.
3. Twenty waits of `PAUSE` seconds overlap: how many calls were under way on
   average, a ratio that does not depend on how busy the machine is, and how
   long all took, of which the best of a few attempts counts.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

COUNT = 20
PAUSE = 0.2
"""Seconds that the server holds a call."""
LIMIT = 20.0
"""Seconds after which something hangs."""
ATTEMPTS = 6
"""As many as a machine with other work to do may need for one that is not held up."""
FAST = COUNT * PAUSE / 2
TICKS = 10
"""Rounds that the ticker has to make while all are held."""


class Service:
    """What a program offers: sessions of a client, and a server that holds them.

    A program overrides what it needs. Where the server runs in this process
    its gate counts; another server has to be asked.
    """

    gate: Gate

    def connect(self) -> Any:
        """A session, one for each thread."""
        return None

    def wait(self, session: Any) -> None:
        """Be held by the server for `PAUSE` seconds."""
        raise NotImplementedError

    def enter(self, session: Any) -> None:
        """Be held by the server until `open`."""
        raise NotImplementedError

    def inside(self) -> int:
        """How many the server holds, by its own account."""
        return self.gate.inside()

    def open(self) -> None:
        """Make the server let everyone out."""
        self.gate.open()

    def leave(self, session: Any) -> None:
        """End a session."""


class Gate:
    """Holds the threads of a server that runs in this process."""

    def __init__(self) -> None:
        self.held = 0
        self._lock = threading.Lock()
        self._opened = threading.Event()

    def enter(self) -> None:
        with self._lock:
            self.held += 1
        assert self._opened.wait(LIMIT), "the gate was never opened"

    def inside(self) -> int:
        return self.held

    def open(self) -> None:
        self._opened.set()


class Ticker:
    """Counts its rounds for as long as the context lasts."""

    def __init__(self) -> None:
        self.rounds = 0
        self._ended = False
        self._thread = threading.Thread(target=self._tick, name="ticker")

    def _tick(self) -> None:
        while not self._ended:
            time.sleep(0.002)
            self.rounds += 1

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        self._thread.join(LIMIT)


class Crew:
    """Threads that all begin to call one function, each with its own argument."""

    def __init__(self, function: Callable[..., Any], arguments: Iterable[Any]) -> None:
        self.results: dict[int, Any] = {}
        self.errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._call, args=(number, function, argument))
            for number, argument in enumerate(arguments)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, number: int, function: Callable[..., Any], argument: Any) -> None:
        try:
            self.results[number] = function(argument)
        except BaseException as error:
            self.errors.append(error)

    def finish(self) -> list[Any]:
        """What the calls returned, in order."""
        deadline = time.monotonic() + LIMIT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self.errors:
            raise self.errors[0]
        assert len(self.results) == len(self._threads), "some calls hang"
        return [result for _, result in sorted(self.results.items())]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT:g} s: {what}"
        time.sleep(0.005)


def hold_all(service: Service, sessions: list[Any], ticker: Ticker) -> dict[str, Any]:
    """Proofs 1 and 2."""
    crew = Crew(service.enter, sessions)
    inside = 0

    def everyone() -> bool:
        nonlocal inside
        inside = max(inside, service.inside())
        return inside >= len(sessions) or bool(crew.errors)

    until(everyone, f"{len(sessions)} calls inside the server at once")
    if crew.errors:
        crew.finish()
    start = ticker.rounds
    until(lambda: ticker.rounds >= start + TICKS, f"{TICKS} rounds of the ticker")
    service.open()
    crew.finish()
    return {"inside": inside, "ticks": ticker.rounds - start}


def race(service: Service, sessions: list[Any], ticker: Ticker) -> dict[str, float]:
    """Proof 3, once."""

    def call(session: Any) -> tuple[float, int]:
        begin, rounds = time.monotonic(), ticker.rounds
        service.wait(session)
        return time.monotonic() - begin, ticker.rounds - rounds

    begin = time.monotonic()
    calls = Crew(call, sessions).finish()
    elapsed = time.monotonic() - begin
    return {
        "elapsed": elapsed,
        "overlap": sum(seconds for seconds, _ in calls) / elapsed,
        "shortest": min(seconds for seconds, _ in calls),
        "fewest_ticks": min(rounds for _, rounds in calls),
    }


def measure(service: Service, **more: Any) -> None:
    """Take the three proofs and print them, together with what else the program found out."""
    with Ticker() as ticker:
        sessions = Crew(lambda _: service.connect(), range(COUNT)).finish()
        report = hold_all(service, sessions, ticker) | more
        for _ in range(ATTEMPTS):
            report |= race(service, sessions, ticker)
            if report["elapsed"] < FAST and report["overlap"] > 2 and report["fewest_ticks"]:
                break
        Crew(service.leave, sessions).finish()
    print(json.dumps(report))
