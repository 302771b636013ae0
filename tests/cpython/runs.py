"""Running one of CPython's test modules in a process group of its own.

Owns the processes and their time limits; knows nothing of what an outcome means.

1. A module runs in a fresh interpreter, in a fresh directory.
2. A test that does not end within the limit ends its process group. It has
   the outcome `hung`, and the tests after it run in another process; the same
   for a test that ends the interpreter (`crashed`).
3. When a module has ended, nothing of its process group is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.cpython.modules import EXTRA_RESOURCES, STAND_INS

__all__ = ["Interpreter", "Outcome", "Run", "Runner", "Stopped"]

CHILD = Path(__file__).with_name("child.py")
PATCH = "GREENWORLD_CPYTHON_TESTS_PATCH"
MOST_RESTARTS = 40
"""Processes for one module; what has not run by then has the outcome `not run`."""
LOOK_EVERY = 0.05
AFTER_THE_LAST = 60.0
"""Seconds that an interpreter gets to end after its last test, and to load a module."""


class Stopped(Exception):
    """The runner has been told to stop."""


class Outcome(NamedTuple):
    """What became of one test."""

    kind: str
    """passed, skipped, failed, error, hung, crashed or not run."""
    message: str = ""

    @property
    def good(self) -> bool:
        """Whether it passed."""
        return self.kind == "passed"


class Run(NamedTuple):
    """One module on one interpreter."""

    outcomes: dict[str, Outcome]
    """By test id."""
    problem: str = ""
    """Why the module as a whole could not be run, or did not end; empty if it did."""
    skipped: str = ""
    """Why the module is not for this system."""
    seconds: float = 0.0
    complete: bool = True
    """Whether the last test was reached."""


class Interpreter(NamedTuple):
    """A Python whose tests are run."""

    path: str
    version: tuple[int, int, int]
    tests: tuple[str, ...]
    """The modules of its `test` package, without the package's name; empty if it has none."""

    @classmethod
    def ask(cls, path: str) -> Interpreter:
        """Of the interpreter at `path`. **Blocks.** CalledProcessError if it does not run."""
        done = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        return cls(path, tuple(answer["version"]), tuple(answer["tests"]))

    def modules_of(self, name: str) -> list[str]:
        """The modules that `name` stands for: itself, or those of the package; [] if missing."""
        full = name if name.startswith("test.") else f"test.{name}"
        inner = [each for each in self.tests if each.startswith(f"{full}.")]
        if inner or full in self.tests:
            return inner or [full]
        return [STAND_INS[full]] if full in STAND_INS and IN_THEIR_STEAD in self.tests else []


IN_THEIR_STEAD = "test._test_multiprocessing"
"""What the stand-ins need."""

ASK = """
import json, pkgutil, sys
try:
    import test, test.support
except ImportError:
    names = []
else:
    def walk(path, prefix):
        for found in pkgutil.iter_modules(path):
            if found.name.startswith(("test_", "_test_")):
                name = prefix + found.name
                yield name
                if found.ispkg:
                    inner = found.module_finder.find_spec(found.name).submodule_search_locations
                    yield from walk(inner, name + ".")
    names = list(walk(test.__path__, "test."))
print(json.dumps({"version": sys.version_info[:3], "tests": names}))
"""


class Runner:
    """Runs modules on one interpreter."""

    def __init__(
        self,
        python: str,
        limit: float,
        resources: Iterable[str] = (),
        path: Iterable[str] = (),
        log: Path | None = None,
    ) -> None:
        self.python = python
        self.limit = limit
        """Seconds for one test."""
        self.resources = tuple(resources)
        self.path = list(path)
        self.log = log
        """A directory for what the modules print; None: it is dropped."""
        self._live: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        """End every process group; runs that go on in other threads raise Stopped."""
        self._stopped = True
        for process in list(self._live):
            _kill_group(process)

    def run(
        self,
        module: str,
        patched: bool,
        only: list[str] | None = None,
        without: Iterable[str] = (),
    ) -> Run:
        """All tests of a module, or `only` those; in any case `without` these. **Blocks.**"""
        start = time.monotonic()
        outcomes: dict[str, Outcome] = {}
        problem = skipped = ""
        for _ in range(MOST_RESTARTS):
            one = self._run_process(module, patched, only, [*without, *outcomes])
            for test, outcome in one.outcomes.items():
                # setUpClass fails once for each process
                outcomes.setdefault(test, outcome)
            problem, skipped = one.problem, one.skipped
            if one.complete or not one.outcomes or (only and set(only) <= outcomes.keys()):
                break
        return Run(outcomes, problem, skipped, time.monotonic() - start, one.complete)

    def _run_process(
        self, module: str, patched: bool, only: list[str] | None, without: list[str]
    ) -> Run:
        # Not under a long TMPDIR: the tests put Unix sockets here, whose names are short.
        home = Path(tempfile.mkdtemp(prefix="gw", dir="/tmp"))
        try:
            return self._run_in(home, module, patched, only, without)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _run_in(
        self, home: Path, module: str, patched: bool, only: list[str] | None, without: list[str]
    ) -> Run:
        work, records = home / "w", home / "records"
        work.mkdir()
        records.touch()
        job = {
            "module": module,
            "records": str(records),
            "path": self.path,
            "resources": [*self.resources, *EXTRA_RESOURCES.get(module, ())],
            "only": only,
            "without": without,
        }
        (home / "job").write_text(json.dumps(job))
        environ = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        environ |= {"TMPDIR": str(work)} | ({PATCH: "1"} if patched else {})
        if self._stopped:
            raise Stopped
        with self._output(module, patched) as output:
            process = subprocess.Popen(
                [self.python, str(CHILD), str(home / "job")],
                cwd=work,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self._live.add(process)
            try:
                hung = not self._wait(process, records)
            finally:
                self._live.discard(process)
                _end_group(process)
        return _read(records, process.returncode, hung)

    def _output(self, module: str, patched: bool) -> Any:
        if self.log is None:
            return open(os.devnull, "wb")
        self.log.mkdir(parents=True, exist_ok=True)
        name = f"{module}-{'patched' if patched else 'unpatched'}.log"
        return open(self.log / name, "ab")

    def _wait(self, process: subprocess.Popen[bytes], records: Path) -> bool:
        """Whether it ended by itself: every record starts the clock afresh."""
        size = -1
        deadline = 0.0
        while process.poll() is None:
            if (found := records.stat().st_size) != size:
                size = found
                deadline = time.monotonic() + max(self.limit, AFTER_THE_LAST * (not size))
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY)
        return True


UNWANTED = {PATCH, "PYTHONSTARTUP", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
"""Environment variables that change what CPython's tests see."""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGABRT)  # faulthandler says where it stands
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            pass
    _kill_group(process)
    process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _read(records: Path, status: int, hung: bool) -> Run:
    """What the records of one process say."""
    outcomes: dict[str, Outcome] = {}
    running = None
    ended = False
    skipped = ""
    for line in records.read_text().splitlines():
        record = json.loads(line)
        match record["event"]:
            case "started":
                running = record["test"]
            case "outcome":
                running = None
                outcomes[record["test"]] = Outcome(record["outcome"], record["message"])
            case "ended":
                ended = True
            case "skipped":
                ended, skipped = True, record["message"] or "no reason given"
    if running is not None:
        what = Outcome("hung", "does not end") if hung else Outcome("crashed", f"exit {status}")
        outcomes[running] = what
    problem = ""
    if not ended and running is None:
        problem = "hangs outside any test" if hung else f"ends with status {status}"
    elif hung and ended:
        problem = "hangs after the last test"
    elif ended and status != 0:
        problem = f"ends with status {status} after the last test"
    return Run(outcomes, problem, skipped, complete=ended)
