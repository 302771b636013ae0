"""Real processes on free ports: this server, proxies in front of it, clients.

Everything a test starts lives in a folder of its own and has ended when the test, or the module
of a shared one, has. What is not installed is a reason to skip, which names it.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.program import Connect, Program, connect
from tests.deploy.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Processes of one test."""
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Processes that the tests of a module share."""
    made = Stage(tmp_path_factory.mktemp("stage"))
    yield made
    made.close()


@pytest.fixture
def connect_to() -> Iterator[Connect]:
    """Opens a keep-alive connection, closed after the test."""
    clients: list[http.client.HTTPConnection] = []

    def open_one(program: Program) -> http.client.HTTPConnection:
        clients.append(connect(program.address))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()
