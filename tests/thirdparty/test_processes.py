"""Libraries that run other programs, and one that watches files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.thirdparty.conftest import Run

pytestmark = pytest.mark.slow
needs = pytest.mark.library


@needs("pexpect")
def test_pexpect(check: Run, tmp_path: Path) -> None:
    assert check("child_programs", "pexpect", str(tmp_path))["time_out"] == "TIMEOUT"


@needs("invoke")
@pytest.mark.parametrize("name", ["invoke", "invoke-pty"])
def test_invoke(check: Run, tmp_path: Path, name: str) -> None:
    assert check("child_programs", name, str(tmp_path))["time_out"] == "CommandTimedOut"


@needs("watchdog")
def test_watchdog(check: Run, tmp_path: Path) -> None:
    check("file_watch", str(tmp_path))
