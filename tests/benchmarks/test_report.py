"""What the benchmarks print and store."""

import json
from pathlib import Path

import pytest

from benchmarks.report import (
    format_number,
    format_ratio,
    format_table,
    mean_ratios,
    paired_ratio,
    ratios_to,
    write_json,
)


def test_ratio_is_the_median_of_the_turns() -> None:
    assert paired_ratio([1.0, 2.0, 10.0], [3.0, 4.0, 10.0]) == 2.0


def test_ratio_says_how_much_better_the_baseline_is() -> None:
    assert paired_ratio([100.0], [50.0]) == 0.5
    assert paired_ratio([100.0], [50.0], larger_is_better=True) == 2.0


def test_ratios_leave_out_who_was_not_measured_in_full() -> None:
    samples = {"greenworld": [1.0, 1.0], "full": [2.0, 2.0], "half": [2.0]}
    assert ratios_to("greenworld", samples) == {"full": 2.0}


def test_no_ratios_without_a_baseline() -> None:
    assert ratios_to("greenworld", {"other": [1.0]}) == {}


def test_mean_is_geometric_over_the_rows_that_have_a_ratio() -> None:
    means = mean_ratios([{"a": 2.0}, {"a": 8.0, "b": 3.0}, {}])
    assert means == {"a": pytest.approx(4.0), "b": pytest.approx(3.0)}


def test_table_aligns_words_left_and_figures_right() -> None:
    table = format_table(["row", "ns"], [["spawn", "1"], ["go", "1,234"]])
    assert table == "row       ns\nspawn      1\ngo     1,234"


def test_what_was_not_measured_is_a_dash() -> None:
    assert (format_number(None), format_ratio(None)) == ("-", "-")
    assert (format_number(1234.5), format_ratio(2.5)) == ("1,234", "2.50x")


def test_json_holds_the_results_and_the_machine(tmp_path: Path) -> None:
    write_json(tmp_path / "out.json", "primitives", {"row": [1.0]})
    stored = json.loads((tmp_path / "out.json").read_text())
    assert stored["benchmark"] == "primitives"
    assert stored["results"] == {"row": [1.0]}
    assert "Python" in stored["machine"]
