"""Comparing what a module's tests do unpatched and patched with what the list says.

1. Only tests that pass unpatched count. A skip under the patch is not a pass.
2. A test that fails patched and is not on the list is run again alone, first
   patched, then unpatched: it is a difference if it fails the one and passes the other. If it
   fails both, it does not count.
3. A test on the list that passes is an error as well, unless it is unstable;
   it is run again too before that is said.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.cpython.differences import Differences
from tests.cpython.runs import Outcome, Run, Runner

__all__ = ["Verdict", "judge"]

ABSENT = Outcome("absent", "did not run: its class or module failed before it")
MOST_ALONE = 25
"""Tests of a module that are run again alone; if more failed, it is no matter of luck."""


class Verdict(NamedTuple):
    """What is said of one module."""

    module: str
    passed_unpatched: int = 0
    passed_patched: int = 0
    """Of those that passed unpatched."""
    known: dict[str, Outcome] = {}  # noqa: RUF012 - nobody writes to it
    """Fail and are on the list."""
    unlisted: dict[str, Outcome] = {}  # noqa: RUF012
    """Fail and are not on the list."""
    listed_but_passed: tuple[str, ...] = ()
    lucky: tuple[str, ...] = ()
    """Failed under the patch and passed alone; or failed alone without it too, and do not count."""
    unused: tuple[str, ...] = ()
    """Patterns of the list that match no test of the module."""
    problem: str = ""
    skipped: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the module does as the list says."""
        return not (self.unlisted or self.listed_but_passed or self.problem)

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return self._asdict() | {
            "known": {test: outcome._asdict() for test, outcome in self.known.items()},
            "unlisted": {test: outcome._asdict() for test, outcome in self.unlisted.items()},
        }


def judge(module: str, runner: Runner, differences: Differences, *, again: bool = True) -> Verdict:
    """Run a module unpatched and patched, and compare. **Blocks.**

    With `again` false no test is run a second time.
    """
    plain = runner.run(module, patched=False)
    if plain.skipped:
        return Verdict(module, skipped=plain.skipped, seconds=plain.seconds)
    passing = {test for test, outcome in plain.outcomes.items() if outcome.good}
    hanging = [test for test in plain.outcomes if _hangs(test, differences)]
    patched = runner.run(module, patched=True, without=hanging)
    failed = {
        test: patched.outcomes.get(test, ABSENT)
        for test in sorted(passing)
        if not patched.outcomes.get(test, ABSENT).good
    }
    known = {test: failed[test] for test in failed if differences.of(test)}
    unlisted = {test: failed[test] for test in failed if test not in known}
    lucky: list[str] = []
    surprising = [test for test in passing - failed.keys() if _is_listed(test, differences)]
    if again and len(unlisted) <= MOST_ALONE:
        for test in list(unlisted):
            plain_alone, patched_alone = _alone(runner, module, test)
            unlisted[test] = patched_alone
            if not plain_alone.good:
                passing.discard(test)  # its passing unpatched was luck, or owed to another test
            if patched_alone.good or not plain_alone.good:
                lucky.append(test)
                del unlisted[test]
    if again:
        surprising = [test for test in surprising if _passes_patched(runner, module, test)]
    seconds = plain.seconds + patched.seconds
    return Verdict(
        module,
        len(passing),
        len(passing) - len(known) - len(unlisted),
        known,
        unlisted,
        tuple(sorted(surprising)),
        tuple(lucky),
        _unused(module, plain, differences),
        _problem(plain, patched),
        patched.skipped and f"under the patch only: {patched.skipped}",
        seconds,
    )


def _unused(module: str, plain: Run, differences: Differences) -> tuple[str, ...]:
    return tuple(
        entry.pattern
        for entry in differences.entries
        if entry.is_of(module) and not any(map(entry.matches, plain.outcomes))
    )


def _hangs(test: str, differences: Differences) -> bool:
    entry = differences.of(test)
    return entry is not None and entry.hangs


def _is_listed(test: str, differences: Differences) -> bool:
    entry = differences.of(test)
    return entry is not None and not entry.unstable


def _passes_patched(runner: Runner, module: str, test: str) -> bool:
    return runner.run(module, patched=True, only=[test]).outcomes.get(test, ABSENT).good


def _alone(runner: Runner, module: str, test: str) -> tuple[Outcome, Outcome]:
    """What becomes of a test that runs alone, unpatched and patched.

    One that did not run because its class failed (`setUpClass`) is `ABSENT` once more.
    """
    patched = runner.run(module, patched=True, only=[test]).outcomes.get(test, ABSENT)
    if patched.good:
        return patched, patched
    return runner.run(module, patched=False, only=[test]).outcomes.get(test, ABSENT), patched


def _problem(plain: Run, patched: Run) -> str:
    if patched.problem and not plain.problem:
        return patched.problem
    if not plain.outcomes:
        return plain.problem or patched.problem  # neither tells anything
    return ""
