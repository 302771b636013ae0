"""Starts the command for a test, and ends it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wsgi.command.process import Command, Run
from tests.wsgi.command.workers import Supervise, Supervised


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


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """A function that starts the command with workers in `tmp_path`."""
    started: list[Supervised] = []

    def start(*argv: str, **options: Any) -> Supervised:
        started.append(Supervised(tmp_path, *argv, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
