"""The runner on modules of our own: what becomes of each test, and of what they leave behind."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.cpython.modules import WHOLE
from tests.cpython.runs import Interpreter, Run, Runner

LIMIT = 60.0
"""Seconds for a test that ends."""


def interpreter() -> Interpreter:
    return Interpreter.ask(sys.executable)


@pytest.fixture(autouse=True)
def _tests_are_installed() -> None:
    if not interpreter().tests:
        pytest.skip("this interpreter has no `test` package")


def run(where: Path, code: str, *, limit: float = LIMIT, patched: bool = False) -> Run:
    """What becomes of the tests of a module with that code."""
    (where / "module.py").write_text("import unittest\n" + textwrap.dedent(code))
    return Runner(sys.executable, limit, path=[str(where)]).run("module", patched)


def kinds(run: Run) -> dict[str, str]:
    return {
        test.removeprefix("module."): outcome.kind for test, outcome in sorted(run.outcomes.items())
    }


def test_every_outcome(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        class Tests(unittest.TestCase):
            def test_passes(self): pass
            def test_fails(self): self.fail("because")
            def test_breaks(self): 1 / 0
            def test_skips(self): self.skipTest("not today")
            @unittest.expectedFailure
            def test_fails_as_expected(self): self.fail()
            @unittest.expectedFailure
            def test_succeeds_unexpectedly(self): pass
            def test_subtests(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
            def test_good_subtests(self):
                with self.subTest():
                    pass
                with self.subTest():
                    self.skipTest("one part")
            def test_cleanup(self): self.addCleanup(self.fail)
        class Late(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise OSError("no such class")
            def test_never(self): pass
        """,
    )
    assert (result.problem, result.skipped, result.complete) == ("", "", True)
    assert kinds(result) == {
        "Tests.test_breaks": "error",
        "Tests.test_cleanup": "failed",
        "Tests.test_fails": "failed",
        "Tests.test_fails_as_expected": "passed",
        "Tests.test_good_subtests": "passed",
        "Tests.test_passes": "passed",
        "Tests.test_skips": "skipped",
        "Tests.test_subtests": "failed",
        "Tests.test_succeeds_unexpectedly": "failed",
        "setUpClass (module.Late)": "error",
    }
    assert "because" in result.outcomes["module.Tests.test_fails"].message
    assert "number=1" in result.outcomes["module.Tests.test_subtests"].message


def test_after_a_crash_the_others_run(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import os
        class Tests(unittest.TestCase):
            def test_1(self): pass
            def test_2(self): os._exit(3)
            def test_3(self): pass
        """,
    )
    assert list(kinds(result).values()) == ["passed", "crashed", "passed"]
    assert result.problem == ""


def test_after_a_hanging_test_the_others_run_and_its_children_are_gone(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        f"""
        import subprocess, sys, time
        class Tests(unittest.TestCase):
            def test_1(self):
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                with open({str(tmp_path / "child")!r}, "w") as file:
                    file.write(str(child.pid))
                child.wait()
            def test_2(self): pass
        """,
        limit=8.0,
    )
    assert list(kinds(result).values()) == ["hung", "passed"]
    status = Path("/proc", (tmp_path / "child").read_text(), "stat")
    # Nobody may have reaped it yet.
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os; os._exit(4)", "ends with status 4"),
        ("raise ImportError('no such module')", "ends with status 1"),
        (
            "import atexit, os\natexit.register(os._exit, 5)\nclass T(unittest.TestCase):\n"
            "    def test(self): pass",
            "ends with status 5 after the last test",
        ),
    ],
)
def test_a_module_that_does_not_run(tmp_path: Path, code: str, problem: str) -> None:
    assert run(tmp_path, code).problem == problem


def test_a_module_for_other_systems(tmp_path: Path) -> None:
    assert run(tmp_path, "raise unittest.SkipTest('elsewhere')").skipped == "elsewhere"


def test_patched_and_unpatched_and_the_children_of_multiprocessing(tmp_path: Path) -> None:
    code = """
    import multiprocessing, time
    def look(box):
        box.send(time.sleep.__module__)
    class Tests(unittest.TestCase):
        def test(self):
            ours = time.sleep.__module__
            mine, its = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            child = context.Process(target=look, args=(its,))
            child.start()
            while child.is_alive():
                child.join(0.01)
            self.fail(f"{ours} {mine.recv()}")
    """
    plain, patched = run(tmp_path, code), run(tmp_path, code, patched=True)
    assert "AssertionError: time time" in plain.outcomes["module.Tests.test"].message
    ours = "greenworld.patches.time"
    assert f"AssertionError: {ours} {ours}" in patched.outcomes["module.Tests.test"].message


def test_one_test_alone(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import unittest\nclass T(unittest.TestCase):\n"
        "    def test_a(self): pass\n    def test_b(self): pass\n"
    )
    runner = Runner(sys.executable, LIMIT, path=[str(tmp_path)])
    assert kinds(runner.run("module", patched=False, only=["module.T.test_b"])) == {
        "T.test_b": "passed"
    }


def test_it_knows_the_modules_of_an_interpreter() -> None:
    python = interpreter()
    assert python.version == sys.version_info[:3]
    if not python.modules_of("test_queue"):
        pytest.skip("this interpreter's `test` package is missing or not complete")
    assert python.modules_of("test_queue") == ["test.test_queue"]
    assert python.modules_of("test.test_queue") == ["test.test_queue"]
    assert "test.test_asyncio.test_tasks" in python.modules_of("test_asyncio")
    assert python.modules_of("test_of_nothing") == []
    bare = python._replace(tests=("test._test_multiprocessing",))
    assert bare.modules_of("test_multiprocessing_fork") == [
        "tests.cpython.standins.multiprocessing_fork"
    ]
    assert python._replace(tests=()).modules_of("test_multiprocessing_fork") == []
    assert len([name for name in WHOLE if python.modules_of(name)]) > 50
