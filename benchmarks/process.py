"""A child process that answers with JSON, one object a line: how the benchmarks talk to theirs.

A child says one thing unasked when it is ready, `{"error": …}` if it never will be, or
`{"absent": …}` if what it should run is not installed.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]  # where `-m benchmarks.…` is found
PATIENCE = 120.0  # seconds until a silent child is given up


ChildType = TypeVar("ChildType", bound="Child")


class ChildError(Exception):
    """A child could not do what it was asked for."""


class Absent(ChildError):
    """What a child should run is not installed; the text says what is missing."""


class Child:
    """`python -m MODULE ARGUMENTS`, started and ready.

    Args:
        module: What to run.
        arguments: Its command line.
        stderr: Where its standard error goes; None for ours.

    It leads a process group, so that what it starts ends with it.

    Raises:
        ChildError: It said that it cannot work, or died, or said nothing.
        Absent: It said that something is not installed.
    """

    def __init__(self, module: str, *arguments: str, stderr: IO[bytes] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            cwd=ROOT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            self.greeting = self._read_reply()
        except BaseException:
            self.close()
            raise

    def __enter__(self: ChildType) -> ChildType:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send *request*; return the answer. Raises ChildError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise ChildError(f"ended with exit code {self._process.wait()}") from None
        return self._read_reply()

    def close(self) -> None:
        """Kill the process if it lives, with what it started, and reap it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)  # a group lives as long as one of its processes
        except ProcessLookupError:
            pass
        self._process.communicate()

    def _read_reply(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], PATIENCE)[0]:
            self._process.kill()
            raise ChildError(f"said nothing for {PATIENCE:.0f} seconds")
        line = stdout.readline()
        if not line:
            raise ChildError(f"ended with exit code {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "absent" in reply:
            raise Absent(reply["absent"])
        if "error" in reply:
            raise ChildError(reply["error"])
        return reply


def raise_file_limit() -> None:
    """Allow as many descriptors as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
