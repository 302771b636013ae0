"""pexpect and invoke, which run shells and read what they say, through pipes and terminals."""

from __future__ import annotations

import importlib
import os
import shlex
from pathlib import Path
from typing import Any

from together import LIMIT, PAUSE, Service, measure

WAIT = f"sleep {PAUSE}; echo done"


class Children(Service):
    """A shell is held where it opens a FIFO for reading that nobody writes to."""

    def __init__(self, folder: Path) -> None:
        self.fifo, self.log = folder / "gate", folder / "log"
        self.log.touch()
        os.mkfifo(self.fifo)
        log, fifo = shlex.quote(str(self.log)), shlex.quote(str(self.fifo))
        self.command = f"echo here >> {log}; : < {fifo}; echo done"

    def run(self, command: str, timeout: float = LIMIT) -> str:
        """What a shell prints for the command; it must end well."""
        raise NotImplementedError

    def wait(self, session: Any) -> None:
        assert self.run(WAIT) == "done"

    def enter(self, session: Any) -> None:
        answer = self.run(self.command)
        assert answer == "done", answer

    def inside(self) -> int:
        return len(self.log.read_text().splitlines())

    def open(self) -> None:
        self.writer = os.open(self.fifo, os.O_RDWR)

    def time_out(self) -> str:
        """The exception that the library raises when an answer does not come in time."""
        try:
            self.run("sleep 20", 0.05)
        except Exception as error:
            return type(error).__name__
        return ""


class Pexpect(Children):
    """**Source**: pexpect; each shell has a terminal of its own."""

    def run(self, command: str, timeout: float = LIMIT) -> str:
        library: Any = importlib.import_module("pexpect")
        child = library.spawn("/bin/sh", ["-c", command], timeout=timeout, encoding="utf-8")
        try:
            child.expect("([a-z]+)\r\n")
            answer = child.match.group(1)
            child.expect(library.EOF)
        finally:
            child.close(force=True)
        assert child.exitstatus == 0, (child.exitstatus, child.signalstatus)
        return str(answer)


class Invoke(Children):
    """**Source**: invoke, whose threads read the shell's pipes."""

    pty = False

    def run(self, command: str, timeout: float = LIMIT) -> str:
        library: Any = importlib.import_module("invoke")
        context = library.Context()
        result = context.run(command, hide=True, in_stream=False, pty=self.pty, timeout=timeout)
        assert result.ok
        return str(result.stdout.strip())


class InvokeTerminal(Invoke):
    """The same with a terminal."""

    pty = True


RUNNERS = {"pexpect": Pexpect, "invoke": Invoke, "invoke-pty": InvokeTerminal}


def main(name: str, folder: str) -> None:
    runner = RUNNERS[name](Path(folder))
    measure(runner, time_out=runner.time_out())
