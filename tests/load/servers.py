"""A server process as `/proc` and its logs show it."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from tests.load.clients import LIMIT, Address, Client

ROOT = Path(__file__).resolve().parents[2]
PAGE = resource.getpagesize()
TICKS = os.sysconf("SC_CLK_TCK")

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="a server is watched through /proc"
)


def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Look again and again until it holds: for what nothing tells of. Fails after `LIMIT`."""
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, f"{what}: not in {LIMIT:.0f} seconds"
        time.sleep(0.01)


class ServerProcess:
    """`python -m greenworld.wsgi`, serving `tests.load.application`; its logs are files.

    Listens on a free port, or on a Unix socket where a test takes a standard stream for itself.
    `program` replaces `-m greenworld.wsgi`.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        program: tuple[str, ...] = ("-m", "greenworld.wsgi"),
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        folder.mkdir()
        self._out, self._log = folder / "out", folder / "log"
        self._out.touch()
        path = folder / "socket" if stdout is not None or stderr is not None else None
        bind = "127.0.0.1:0" if path is None else f"unix:{path}"
        command = [sys.executable, *program, "tests.load.application", "--bind", bind, *options]
        with self._out.open("ab") as out, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.address: Address = str(path) if path is not None else ("127.0.0.1", 0)
        try:
            eventually("the server listens", self._listens)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _listens(self) -> bool:
        code = self._process.poll()
        assert code is None, f"ended with exit code {code}: {self.log}"
        if isinstance(self.address, str):
            return os.path.exists(self.address)
        said = re.search(r"^Listening on http://127\.0\.0\.1:(\d+)$", self.out, re.MULTILINE)
        if said is not None:
            self.address = ("127.0.0.1", int(said[1]))
        return said is not None

    def close(self) -> None:
        """Kill the server, and what it started, if it still runs."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def connect(self, **options: int) -> Client:
        """Open a connection; for the options see `Client`."""
        return Client(self.address, **options)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code."""
        return self._process.wait(LIMIT)

    @property
    def out(self) -> str:
        """What it has written to standard output."""
        return self._out.read_text()

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text()

    @property
    def answered(self) -> int:
        """How many requests the access log says were answered with 200."""
        return len(re.findall(r'^[^"]*"(?:[^"\\]|\\.)*" 200 ', self.out, re.MULTILINE))

    # Through /proc

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def limit_descriptors(self, most: int) -> None:
        """Change its soft limit."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, hard))

    def resident(self) -> int:
        """Bytes of memory it has now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def peak(self) -> int:
        """The most bytes of memory it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """How long it has computed."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS
