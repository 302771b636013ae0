"""The command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpython.runs import Interpreter

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cpython", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_module_of_cpythons(tmp_path: Path) -> None:
    if not Interpreter.ask(sys.executable).modules_of("test_sched"):
        pytest.skip("this interpreter's `test` package is missing or not complete")
    results = tmp_path / "results"
    status, out = run("test_sched", "--json", str(results))
    assert status == 0, out
    assert out.startswith("test.test_sched: ")
    assert "modules that are not as the list says: 0" in out
    [[module]] = json.loads(results.read_text()).values()
    assert module["passed_unpatched"] == module["passed_patched"] > 0


def test_an_unknown_module() -> None:
    if not Interpreter.ask(sys.executable).tests:
        pytest.skip("this interpreter has no `test` package")
    status, out = run("test_of_nothing")
    assert status == 1
    assert "has no test module test_of_nothing" in out


def test_without_the_test_package_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "test.py").write_text("")  # hides the package
    status, out = run("--quick", PYTHONPATH=str(tmp_path))
    assert status == 0
    assert out.startswith("skipped: CPython ")
    assert "has no `test` package" in out
