"""The list of known differences: tests that fail under the patch, and why.

One line each: the test's id or a pattern of ids (`*` stands for anything), the
Pythons, and the reason, with `|` between:

    test.test_thread.ThreadRunningTests.test__count | all | counts native threads

Pythons are `all`, a version (`3.11`, `3.13.0`), or a range (`3.12-`, `-3.12`,
`3.10-3.12`); the ends belong to it. A reason that begins with `unstable:` is
of a test that may pass or fail, one that begins with `hangs:` of a test that
would take its whole time limit: it is not run under the patch. Empty lines and
lines with `#` are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

__all__ = ["Difference", "Differences", "read_differences"]

LIST = Path(__file__).with_name("differences.txt")
VERSION = re.compile(r"\d+(\.\d+){1,2}")
UNSTABLE = "unstable:"
HANGS = "hangs:"

Version = tuple[int, ...]


class Difference(NamedTuple):
    """One line of the list."""

    line: int
    pattern: str
    pythons: str
    reason: str

    @property
    def unstable(self) -> bool:
        """Whether the test may pass as well."""
        return self.reason.startswith(UNSTABLE)

    @property
    def hangs(self) -> bool:
        """Whether the test is not to be run under the patch."""
        return self.reason.startswith(HANGS)

    def matches(self, test: str) -> bool:
        """Whether it is about that test."""
        return fnmatchcase(test, self.pattern)

    def is_of(self, module: str) -> bool:
        """Whether its tests are a module's."""
        return self.pattern.startswith(f"{module}.")

    def is_for(self, version: Version) -> bool:
        """Whether it is about that Python."""
        if self.pythons == "all":
            return True
        first, dash, last = self.pythons.partition("-")
        low = _parse(first)
        high = _parse(last) if dash else low
        return low <= version[: len(low) or None] and (not high or version[: len(high)] <= high)


def _parse(version: str) -> Version:
    return tuple(map(int, version.split("."))) if version else ()


class Differences:
    """The lines that are about one Python."""

    def __init__(self, entries: Iterable[Difference], version: Version) -> None:
        self.entries = [entry for entry in entries if entry.is_for(version)]

    def of(self, test: str) -> Difference | None:
        """The first line that is about a test."""
        return next((entry for entry in self.entries if entry.matches(test)), None)


def read_differences(path: Path = LIST) -> list[Difference]:
    """The list, checked: raises ValueError for a line that is not one."""
    entries = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = [part.strip() for part in text.split("|", 2)]
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"{path.name}:{number}: not `test | pythons | reason`: {text}")
        pattern, pythons, reason = parts
        if not _is_range(pythons):
            raise ValueError(f"{path.name}:{number}: not a range of Pythons: {pythons}")
        if not reason.removeprefix(UNSTABLE).removeprefix(HANGS).strip():
            raise ValueError(f"{path.name}:{number}: no reason: {text}")
        entries.append(Difference(number, pattern, pythons, reason))
    return entries


def _is_range(pythons: str) -> bool:
    if pythons == "all":
        return True
    ends = pythons.split("-")
    return any(ends) and len(ends) <= 2 and all(not end or VERSION.fullmatch(end) for end in ends)
