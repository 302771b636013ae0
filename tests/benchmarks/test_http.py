"""The HTTP benchmark on greenworld alone; under load where wrk is installed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks import wrk
from benchmarks.http import format_report
from benchmarks.http_rows import IDEAL, ROWS, RowResult
from benchmarks.http_server import SERVERS
from benchmarks.idle import read_resident_bytes
from benchmarks.process import Absent, Child

Run = Callable[..., CompletedProcess[str]]
ROW_BY_NAME = {row.name: row for row in ROWS}

WRK_OUTPUT = """\
Running 1s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  63000 requests in 1.00s, 9.00MB read
{remark}Requests/sec:  62345.67
Transfer/sec:      9.00MB
"""


def test_wrk_output_is_read() -> None:
    load = wrk.parse_output(WRK_OUTPUT.format(remark=""))
    assert load == wrk.Load(62345.67, "")


def test_wrk_socket_errors_are_kept_as_a_remark() -> None:
    remark = "Socket errors: connect 0, read 7, write 0, timeout 0"
    load = wrk.parse_output(WRK_OUTPUT.format(remark=f"  {remark}\n"))
    assert load.complaint == remark


def test_error_answers_are_not_a_measurement() -> None:
    with pytest.raises(wrk.WrkError, match="Non-2xx or 3xx responses: 3"):
        wrk.parse_output(WRK_OUTPUT.format(remark="  Non-2xx or 3xx responses: 3\n"))


def test_no_answers_are_not_a_measurement() -> None:
    with pytest.raises(wrk.WrkError, match="no requests were answered"):
        wrk.parse_output("Requests/sec:      0.00\n")


def test_report_has_rates_ratios_the_mean_and_the_ideal() -> None:
    results = [
        RowResult(ROW_BY_NAME["sleep"], {"greenworld": [IDEAL], "gevent": [IDEAL / 4]}),
        RowResult(ROW_BY_NAME["idle"], {"greenworld": [1000.0], "gevent": [16000.0]}),
    ]
    lines = format_report(results, ["greenworld", "gevent"]).split("\n")
    assert lines[1].split()[-2:] == ["10,240", "2,560"]
    assert lines[2].split()[-2:] == ["1,000", "16,000"]
    assert [line.split()[-1] for line in lines[5:7]] == ["4.00x", "16.00x"]
    assert lines[7].split()[-1] == "4.00x"  # of the rates alone
    assert lines[9] == "sleep, of the ideal 10,240 req/s: greenworld 100.0 %, gevent 25.0 %"


def test_report_tells_the_absent_from_the_failed_and_both_from_what_a_row_is_not_for() -> None:
    result = RowResult(
        ROW_BY_NAME["close"],
        {"greenworld": [10.0]},
        errors={"gevent": "ended with exit code 1"},
        absent={"bjoern": "No module named 'bjoern'"},
    )
    report = format_report([result], ["greenworld", "gevent", "bjoern", "waitress"])
    assert report.split("\n")[1].split()[-4:] == ["10", "failed", "skipped", "-"]
    assert "bjoern was skipped: No module named 'bjoern'" in report
    assert "gevent failed in close: ended with exit code 1" in report


def test_rows_leave_out_the_servers_that_they_make_no_sense_for() -> None:
    assert not ROW_BY_NAME["sleep"].suits(SERVERS["gunicorn-gthread"])
    assert not ROW_BY_NAME["keep-alive-log"].suits(SERVERS["bjoern"])
    for row in ROWS:
        assert row.suits(SERVERS["greenworld"])


@pytest.mark.slow
def test_server_that_is_not_installed_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waitress.py").write_text("raise ImportError('no waitress on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Absent, match="no waitress on purpose"):
        Child("benchmarks.http_server", "waitress", "-", "no-log")


def test_without_wrk_the_command_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    done = run("benchmarks.http", env={"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "apt install wrk" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(read_resident_bytes(1) is None, reason="needs /proc")
def test_idle_row(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--rows", "idle", "--servers", "greenworld", "--idle-connections", "20"]
    done = run("benchmarks.http", *options, "--json", str(out), env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(out.read_text())["results"]["idle"]["samples"]["greenworld"]) == 1


@pytest.mark.slow
@pytest.mark.skipif(not wrk.is_installed(), reason="needs wrk")
@pytest.mark.parametrize("row", [row.name for row in ROWS if row.needs_wrk])
def test_row_under_load(run: Run, row: str) -> None:
    # On a busy machine, 512 connections take their time to be made.
    seconds = "4" if row == "sleep" else "1"
    options = ["--servers", "greenworld", "--seconds", seconds, "--repeat", "1"]
    done = run("benchmarks.http", "--rows", row, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{row}: " in done.stdout
