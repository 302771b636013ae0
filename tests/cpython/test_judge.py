"""What is said of a module, for every way in which its two runs can differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.cpython.differences import Difference, Differences
from tests.cpython.judge import ABSENT, MOST_ALONE, Verdict, judge
from tests.cpython.runs import Outcome, Run, Runner

PASSED, FAILED, SKIPPED = Outcome("passed"), Outcome("failed", "why"), Outcome("skipped")


class Prepared(Runner):
    """Runs nothing: answers for the whole module (plain, patched), then for one test alone."""

    def __init__(self, plain: Run, patched: Run, **alone: tuple[Outcome, Outcome]) -> None:
        self.whole = (plain, patched)
        self.alone = alone
        self.asked: list[tuple[str, bool]] = []

    def run(
        self,
        module: str,
        patched: bool,
        only: list[str] | None = None,
        without: Iterable[str] = (),
    ) -> Run:
        if only is None:
            run = self.whole[patched]
            kept = {test: run.outcomes[test] for test in run.outcomes if test not in without}
            return run._replace(outcomes=kept)
        [test] = only
        self.asked.append((test, patched))
        return Run({test: self.alone[test.removeprefix("m.")][patched]})


def run(**outcomes: Outcome) -> Run:
    return Run({f"m.{test}": outcome for test, outcome in outcomes.items()})


def verdict(runner: Runner, *lines: tuple[str, str], again: bool = True) -> Verdict:
    entries = [Difference(1, f"m.{pattern}", "all", reason) for pattern, reason in lines]
    return judge("m", runner, Differences(entries, (3, 11, 0)), again=again)


def test_only_what_passes_unpatched_counts() -> None:
    said = verdict(Prepared(run(a=PASSED, b=FAILED, c=SKIPPED), run(a=PASSED, b=PASSED, c=FAILED)))
    assert (said.passed_unpatched, said.passed_patched, said.good) == (1, 1, True)


def test_known_unlisted_skipped_and_absent() -> None:
    plain = run(a=PASSED, b=PASSED, c=PASSED, d=PASSED)
    runner = Prepared(plain, run(a=FAILED, b=FAILED, c=SKIPPED), b=(PASSED, FAILED),
                      c=(PASSED, SKIPPED), d=(PASSED, ABSENT))  # fmt: skip
    said = verdict(runner, ("a", "it is so"))
    assert (said.passed_unpatched, said.passed_patched, said.good) == (4, 0, False)
    assert said.known == {"m.a": FAILED}
    assert said.unlisted == {"m.b": FAILED, "m.c": SKIPPED, "m.d": ABSENT}
    assert said.lucky == ()


def test_what_fails_once_is_run_again_alone() -> None:
    plain = run(a=PASSED, b=PASSED, c=PASSED)
    runner = Prepared(plain, run(a=FAILED, b=FAILED, c=FAILED), a=(PASSED, PASSED),
                      b=(FAILED, FAILED), c=(PASSED, FAILED))  # fmt: skip
    said = verdict(runner)
    assert said.lucky == ("m.a", "m.b")
    assert said.unlisted == {"m.c": FAILED}
    assert (said.passed_unpatched, said.passed_patched) == (2, 1)  # b does not count
    assert runner.asked == [
        ("m.a", True), ("m.b", True), ("m.b", False), ("m.c", True), ("m.c", False)
    ]  # fmt: skip


def test_many_failures_are_no_matter_of_luck() -> None:
    names = [f"t{number}" for number in range(MOST_ALONE + 1)]
    runner = Prepared(run(**dict.fromkeys(names, PASSED)), run(**dict.fromkeys(names, FAILED)))
    assert len(verdict(runner).unlisted) == len(names)
    assert runner.asked == []


def test_what_is_listed_and_passes_is_an_error() -> None:
    both = run(a=PASSED, b=PASSED, c=PASSED, d=FAILED)
    runner = Prepared(both, both, a=(PASSED, PASSED), b=(PASSED, FAILED))
    lines = [("a", "x"), ("b", "x"), ("c", "unstable: x"), ("d", "x"), ("gone", "x")]
    said = verdict(runner, *lines)
    assert said.listed_but_passed == ("m.a",)
    assert said.unused == ("m.gone",)
    assert not said.good
    assert verdict(runner, *lines, again=False).listed_but_passed == ("m.a", "m.b")


def test_what_is_listed_as_hanging_is_not_run() -> None:
    both = run(a=PASSED, b=PASSED)
    said = verdict(Prepared(both, both), ("a", "hangs: it spins"))
    assert said.known == {"m.a": ABSENT}
    assert (said.passed_unpatched, said.passed_patched, said.good) == (2, 1, True)


def test_the_problem_of_one_run() -> None:
    good, bad = run(a=PASSED), run(a=PASSED)._replace(problem="hangs after the last test")
    assert verdict(Prepared(good, bad)).problem == "hangs after the last test"
    assert verdict(Prepared(bad, bad)).problem == ""
    assert verdict(Prepared(Run({}, "ends with status 1"), good)).problem == "ends with status 1"


def test_a_skipped_module() -> None:
    elsewhere: Any = Run({}, skipped="BSD only")
    assert verdict(Prepared(elsewhere, elsewhere)).skipped == "BSD only"
    said = verdict(Prepared(run(a=PASSED), elsewhere), again=False)
    assert said.unlisted == {"m.a": ABSENT}
    assert said.skipped == "under the patch only: BSD only"
