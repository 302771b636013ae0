"""What a second worker adds, where wrk is installed."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks import wrk
from benchmarks.http_workers import format_report

Run = Callable[..., CompletedProcess[str]]


def test_report_compares_with_one_worker() -> None:
    samples = {"one worker": [100.0], "two workers": [190.0], "two, --reuse-port": [150.0]}
    lines = format_report({"/": samples}).split("\n")
    assert lines[1].split()[-5:] == ["100", "190", "150", "1.90x", "1.50x"]


def test_without_wrk_the_command_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    done = run("benchmarks.http_workers", env={"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "apt install wrk" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not wrk.is_installed(), reason="needs wrk")
def test_each_is_measured(run: Run) -> None:
    done = run("benchmarks.http_workers", "--paths", "/", "--repeat", "1", "--seconds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("req/s") == 1
