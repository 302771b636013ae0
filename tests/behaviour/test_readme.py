"""The tables of `README.md` name tests that exist, and all tests of this directory."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", README)))
ABOUT_THE_TABLES = {"test_probes.py", "test_readme.py"}


def names_in(path: Path) -> set[str]:
    """Names of the test functions in a file."""
    nodes = ast.parse(path.read_text()).body
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def find(name: str) -> Path:
    """The file of which a table speaks."""
    return (HERE if name.startswith(("probes/", "test_")) else ROOT) / name


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file: str) -> None:
    named = {test for each, test in NAMED if each == file}
    assert named <= names_in(find(file)), named - names_in(find(file))


def test_every_test_of_this_directory_is_named() -> None:
    for path in [*HERE.glob("probes/*.py"), *HERE.glob("test_*.py")]:
        name = path.relative_to(HERE).as_posix()
        if name not in ABOUT_THE_TABLES:
            assert names_in(path) - {test for file, test in NAMED if file == name} == set(), name


def test_every_row_has_a_test() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.startswith(("| probe |", "| complaint |"))]
    assert len(rows) > 60
    assert [line for line in rows if "::test_" not in line] == []


def test_patches_ask_for_names_and_not_for_versions() -> None:
    """What a release of CPython lacks is seen by asking for it, never by the release's number.

    Private names come and go even between patch releases: gevent#2119.
    """
    for path in (ROOT / "patches").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("version_info", "hexversion"), f"{path}:{node.lineno}"
