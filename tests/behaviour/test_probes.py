"""The behaviour matrix, and what users of green threads complain about elsewhere.

Each file in `probes/` is a program that patches everything; each function in it is a probe, whose
docstring says which row of the matrix or which complaint it answers. `README.md` lists all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "probes").glob("*.py"))
# From Python 3.12 on, said of every fork in a program with threads.
QUIET = ("-W", "ignore:This process:DeprecationWarning")

Complete = Callable[..., CompletedProcess[str]]


def probes_of(path: Path) -> dict[str, str]:
    """Name and docstring of each probe in a file."""
    functions = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    return {
        function.name: ast.get_docstring(function) or ""
        for function in functions
        if function.name.startswith("test_")
    }


CASES = [
    pytest.param(path, name, id=f"{path.stem}.{name}")
    for path in PROGRAMS
    for name in probes_of(path)
]


class Run:
    """One run of a program."""

    def __init__(self, done: CompletedProcess[str]) -> None:
        self.status = done.returncode
        self.errors = done.stderr
        self.answers: dict[str, tuple[str, str]] = {}
        for line in done.stdout.splitlines():
            name, tab, answer = line.partition("\t")
            if tab and name.startswith("test_"):
                self.answers[name] = ast.literal_eval(answer)


@pytest.fixture(scope="session")
def ask(complete: Complete) -> Callable[[Path], Run]:
    """Runs a program, once."""

    def run(path: Path) -> Run:
        return Run(complete(*QUIET, str(HERE / "run_probes.py"), str(path)))

    return lru_cache(None)(run)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "name"), CASES)
def test_probe(ask: Callable[[Path], Run], path: Path, name: str) -> None:
    run = ask(path)
    verdict, story = run.answers.get(name, ("failed", f"it hangs or was not reached\n{run.errors}"))
    if verdict == "skipped":
        pytest.skip(story)
    assert verdict == "passed", f"{probes_of(path)[name]}\n{story}"


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program_ends_quietly(ask: Callable[[Path], Run], path: Path) -> None:
    run = ask(path)
    assert (run.status, run.errors) == (0, "")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_probe_says_what_it_answers(path: Path) -> None:
    probes = probes_of(path)
    assert probes
    assert all(probes.values())
