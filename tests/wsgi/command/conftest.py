"""Starts the command for a test, and ends it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wsgi.command.process import Command, Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A function that starts the command in `tmp_path`, with some arguments."""
    commands: list[Command] = []

    def start(*argv: str, **environ: str) -> Command:
        commands.append(Command(tmp_path, *argv, **environ))
        return commands[-1]

    yield start
    for command in commands:
        command.close()
