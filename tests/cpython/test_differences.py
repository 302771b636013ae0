"""The list of known differences: its form, and which Pythons a line is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cpython.differences import Difference, Differences, read_differences


def entry(pythons: str, pattern: str = "test.test_x.T.test_a", reason: str = "why") -> Difference:
    return Difference(1, pattern, pythons, reason)


@pytest.mark.parametrize(
    ("pythons", "yes", "no"),
    [
        ("all", [(3, 10, 0), (3, 14, 2)], []),
        ("3.11", [(3, 11, 0), (3, 11, 9)], [(3, 10, 9), (3, 12, 0)]),
        ("3.11.7", [(3, 11, 7)], [(3, 11, 6), (3, 11, 8), (3, 12, 7)]),
        ("3.12-", [(3, 12, 0), (3, 14, 1)], [(3, 11, 9)]),
        ("-3.12", [(3, 10, 0), (3, 12, 9)], [(3, 13, 0)]),
        ("3.11-3.12", [(3, 11, 0), (3, 12, 9)], [(3, 10, 9), (3, 13, 0)]),
        ("-3.13.1", [(3, 12, 9), (3, 13, 1)], [(3, 13, 2)]),
    ],
)
def test_ranges_of_pythons(
    pythons: str, yes: list[tuple[int, ...]], no: list[tuple[int, ...]]
) -> None:
    assert [version for version in yes + no if entry(pythons).is_for(version)] == yes


def test_the_first_line_that_matches_counts() -> None:
    lines = [
        entry("3.10", reason="not here"),
        entry("all", "test.test_x.T.test_*", "first"),
        entry("all", reason="second"),
    ]
    found = Differences(lines, (3, 11, 0))
    assert [each.reason for each in found.entries] == ["first", "second"]
    known = found.of("test.test_x.T.test_a")
    assert known is not None
    assert known.reason == "first"
    assert found.of("test.test_y.T.test_a") is None


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# why\n\n test.a.T.b | 3.12- | unstable: counts | bars\n")
    [line] = read_differences(path)
    assert line == (3, "test.a.T.b", "3.12-", "unstable: counts | bars")
    assert line.unstable
    assert not line.hangs
    assert line._replace(reason="hangs: it spins").hangs
    assert line.is_of("test.a")
    assert not line.is_of("test.b")


@pytest.mark.parametrize(
    "line",
    ["test.a", "test.a | all", "test.a | all |", "| all | x", "test.a | 3 | x", "test.a | - | x",
     "test.a | 3.10-3.11-3.12 | x", "test.a | all | unstable:"],
)  # fmt: skip
def test_a_line_that_is_none_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"test.b | all | good\n{line}\n")
    with pytest.raises(ValueError, match=r"list.txt:2: "):
        read_differences(path)


def test_our_list_is_well_formed() -> None:
    lines = read_differences()
    assert len({(line.pattern, line.pythons) for line in lines}) == len(lines)
