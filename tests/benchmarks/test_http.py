"""The HTTP benchmark on greenworld alone; under load where wrk is installed."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from benchmarks import wrk
from benchmarks.http import IDEAL, ROWS, RowResult, format_report
from benchmarks.idle import read_resident_bytes

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
    assert lines[1].split()[-3:] == ["10,240", "2,560", "4.00x"]
    assert lines[2].split()[-3:] == ["1,000", "16,000", "16.00x"]
    assert lines[3].split()[-1] == "4.00x"  # of the rates alone
    assert lines[4] == "sleep, of the ideal 10,240 req/s: greenworld 100.0 %, gevent 25.0 %"


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
