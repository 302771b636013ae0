"""The benchmark of the patched standard library measures every row natively and patched."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks.process import ChildError
from benchmarks.stdlib import (
    START,
    Worker,
    format_report,
    format_starts,
    measure_row,
    time_start,
)
from benchmarks.stdlib_rows import NATIVE, PATCHES, ROWS, Row

LOCK, MAIN = ROWS[1:3]


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    with Worker(NATIVE, None) as native, Worker("greenworld", None) as patched:
        yield [native, patched]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_runs_natively_and_patched(workers: list[Worker], row: Row) -> None:
    samples = measure_row(row, workers, repeat=2, count=20)
    assert samples.keys() == {NATIVE, "greenworld"}
    assert all(len(each) == 2 and min(each) > 0 for each in samples.values())


def test_a_row_that_does_not_exist(workers: list[Worker]) -> None:
    with pytest.raises(ChildError, match="KeyError"):
        workers[0].measure(Row("unknown", "no such row", 1, LOCK.measure), 1)


def test_the_report_has_times_ratios_and_aims() -> None:
    results = [
        (LOCK, {NATIVE: [10.0, 20.0], "greenworld": [15.0, 30.0]}),
        (MAIN, {NATIVE: [10.0], "greenworld": [30.0]}),
    ]
    head, first, second = format_report(results, [NATIVE, "greenworld"]).split("\n")
    assert head.split()[-4:] == [NATIVE, "greenworld", "greenworld/native", "aim"]
    assert first.split()[-4:] == ["15", "22", "1.50x", "2.00x"]
    assert second.split()[-3:] == ["10", "30", "3.00x"]


def test_starts_are_told_by_what_they_take_more() -> None:
    report = format_starts({NATIVE: [20.0, 30.0], "greenworld": [80.0, 110.0]})
    head, native, patched = (line.split() for line in report.split("\n"))
    assert head[0] == f"{START}:"
    assert native == [NATIVE, "25.0"]
    assert patched == ["greenworld", "95.0", "70.0", "100.0"]


def test_a_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PATCHES, "broken", "1 / 0")
    with pytest.raises(ChildError, match="ZeroDivisionError"):
        time_start("broken")


@pytest.mark.slow
def test_command(run: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--rows", "lock", START, "--quick", "--repeat", "1", "--json", str(out)]
    done = run("benchmarks.stdlib", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lock: " in done.stdout
    results = json.loads(out.read_text())["results"]
    assert {"lock", START} <= results.keys()
    assert len(results["lock"]["ns"]["greenworld"]) == 1


def test_command_refuses_an_unknown_row(run: Callable[..., CompletedProcess[str]]) -> None:
    done = run("benchmarks.stdlib", "--rows", "nothing-like-it")
    assert done.returncode == 2
    assert "no row has a name like nothing-like-it" in done.stderr
