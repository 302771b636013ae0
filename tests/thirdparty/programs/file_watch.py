"""watchdog: a thread for each watched folder reads the kernel's reports."""

from __future__ import annotations

import itertools
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any, NamedTuple

import watchdog.events
import watchdog.observers

from together import LIMIT, PAUSE, Service, measure


class Session(NamedTuple):
    """A watched folder and the names of the files that were made in it."""

    folder: Path
    made: queue.Queue[str]


class Handler(watchdog.events.FileSystemEventHandler):
    def __init__(self, made: queue.Queue[str]) -> None:
        self.made = made

    def on_created(self, event: Any) -> None:
        self.made.put(Path(event.src_path).name)


class Watchdog(Service):
    """Who waits for the news of a file is held until somebody makes the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.waiting: list[Session] = []
        self.lock = threading.Lock()
        self.observer = watchdog.observers.Observer()
        self.observer.start()

    def connect(self) -> Session:
        session = Session(self.folder / str(next(self.numbers)), queue.Queue())
        session.folder.mkdir()
        self.observer.schedule(Handler(session.made), str(session.folder))
        return session

    def expect(self, session: Session, name: str) -> None:
        while session.made.get(timeout=LIMIT) != name:
            pass

    def wait(self, session: Session) -> None:
        late = session.folder / "late"
        late.unlink(missing_ok=True)
        maker = subprocess.Popen(["/bin/sh", "-c", f"sleep {PAUSE}; : > '{late}'"])
        self.expect(session, "late")
        assert maker.wait(LIMIT) == 0

    def enter(self, session: Session) -> None:
        with self.lock:
            self.waiting.append(session)
        self.expect(session, "news")

    def inside(self) -> int:
        return len(self.waiting)

    def open(self) -> None:
        for session in self.waiting:
            (session.folder / "news").touch()


def main(folder: str) -> None:
    service = Watchdog(Path(folder))
    measure(service)
    service.observer.stop()
    service.observer.join(LIMIT)
