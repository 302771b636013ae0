"""Start a program as a user would and talk to it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 30.0


class Program:
    """A child process with its output read line by line; killed after LIMIT seconds."""

    def __init__(self, *argv: str) -> None:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._watchdog = threading.Timer(LIMIT, self.process.kill)
        self._watchdog.start()

    def port(self) -> int:
        """Read on to the line that names the address and return its port."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if found := re.search(r"Listening on \S*:(\d+)", line):
                return int(found[1])
        pytest.fail(f"the program ended without listening; it printed:\n{self.output}")

    def finish(self, signal: int | None = None) -> int:
        """Send the signal, if any, read the rest of the output and return the exit code."""
        if signal is not None:
            self.process.send_signal(signal)
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return self.process.wait()

    def close(self) -> None:
        """End the program if it is still there."""
        self._watchdog.cancel()
        self._watchdog.join()
        self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts ``python *argv`` in the repository's root."""
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("the examples run from a checkout, and this is a source distribution")
    programs: list[Program] = []

    def start_program(*argv: str) -> Program:
        programs.append(Program(*argv))
        return programs[-1]

    yield start_program
    for program in programs:
        program.close()
