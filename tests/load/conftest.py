"""Short and full form, server processes that are ended, and the figures at the end."""

from __future__ import annotations

import itertools
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last, so that an installed greenworld stays the one under test

from tests.load.servers import ServerProcess  # noqa: E402 - found there

Serve = Callable[..., ServerProcess]

FIGURES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="load the server in full, and judge figures"
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether figures are judged. The option is known only if this folder is named."""
    return bool(request.config.getoption("--full", default=False))


@pytest.fixture
def size(full: bool) -> Callable[[int, int], int]:
    """Picks the short or the full form's number."""
    return lambda short, whole: whole if full else short


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line for the end of the report."""
    return request.config.stash.setdefault(FIGURES, []).append


@pytest.fixture
def descriptors() -> Iterator[Callable[[int], None]]:
    """Lets this process, and what it starts, open so many descriptors; skips if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def raise_to(count: int) -> None:
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip(f"needs {count} descriptors, the hard limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))

    yield raise_to
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `python -m greenworld.wsgi` with these options; ended with the test."""
    with ExitStack() as running:
        folders = (tmp_path / f"server-{count}" for count in itertools.count())

        def start(*options: str, **keywords: Any) -> ServerProcess:
            return running.enter_context(ServerProcess(next(folders), *options, **keywords))

        yield start
