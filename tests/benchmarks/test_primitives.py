"""Every row of the primitive benchmark runs on greenworld, and its report adds up."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks.primitives import RowResult, Worker, format_report, measure_row
from benchmarks.process import ChildError
from benchmarks.rows import ROWS, Row, find_rows

SPAWN, SWITCH, *_ = ROWS


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker("greenworld", None) as worker:
        yield worker


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_runs(worker: Worker, row: Row) -> None:
    assert worker.measure(row, 20) > 0


def test_a_failing_row_is_reported_and_the_worker_goes_on(worker: Worker) -> None:
    unknown = Row("unknown", "no such row", 1, SPAWN.measure)
    result = measure_row(unknown, [worker], repeat=1, count=1)
    assert result.samples == {}
    assert "KeyError" in result.errors["greenworld"]
    assert measure_row(SPAWN, [worker], repeat=2, count=1).errors == {}


def test_a_runtime_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ChildError, match="ended with exit code"):
        Worker("no-such-runtime", None)


def test_rows_are_found_by_a_part_of_their_name() -> None:
    assert {row.name for row in find_rows(["socket-1", "local"])} == {
        "socket-1",
        "socket-1-timeout",
        "local",
    }
    assert find_rows([]) == list(ROWS)
    assert find_rows(["nothing like it"]) == []


def test_report_has_times_ratios_means_and_who_is_slower() -> None:
    results = [
        RowResult(SPAWN, {"greenworld": [10.0], "gevent": [40.0]}),
        RowResult(SWITCH, {"greenworld": [10.0], "gevent": [9.0]}),
    ]
    head, first, second, mean, slower = format_report(results, ["greenworld", "gevent"]).split("\n")
    assert head.split()[-3:] == ["greenworld", "gevent", "gevent/greenworld"]
    assert first.split()[-3:] == ["10", "40", "4.00x"]
    assert second.split()[-3:] == ["10", "9", "0.90x"]
    assert mean.split() == ["geometric", "mean", "1.90x"]
    assert slower == f"slower than gevent: {SWITCH.name}"


def test_report_names_what_failed() -> None:
    result = RowResult(SPAWN, {"greenworld": [10.0]}, {"gevent": "it broke"})
    report = format_report([result], ["greenworld", "gevent"])
    assert "failed" in report
    assert report.endswith(f"gevent failed in {SPAWN.name}: it broke")


@pytest.mark.slow
def test_command(run: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--runtimes", "greenworld", "--rows", "event", "--quick", "--repeat", "2"]
    done = run("benchmarks.primitives", *options, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "event: " in done.stdout
    assert len(json.loads(out.read_text())["results"]["event"]["ns"]["greenworld"]) == 2


def test_command_refuses_an_unknown_row(run: Callable[..., CompletedProcess[str]]) -> None:
    done = run("benchmarks.primitives", "--rows", "nothing-like-it")
    assert done.returncode == 2
    assert "no row has a name like nothing-like-it" in done.stderr
