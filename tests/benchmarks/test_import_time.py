"""The import benchmark measures greenworld and what it is compared with."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from benchmarks.import_time import NEEDED, format_report


def test_report_has_milliseconds_and_ratios() -> None:
    report = format_report({NEEDED: [2e6, 2e6], "import greenworld": [3e6, 3e6]})
    lines = {line.split("  ")[0]: line.split() for line in report.split("\n")}
    assert lines["import greenworld"][-2:] == ["3.0", "1.50x"]
    assert lines[NEEDED][-2:] == ["2.0", "1.00x"]
    assert "skipped" in report


@pytest.mark.slow
def test_command(run: Callable[..., CompletedProcess[str]]) -> None:
    done = run("benchmarks.import_time", "--repeat", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "import greenworld" in done.stdout
