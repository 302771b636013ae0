"""Runs one of CPython's test modules and writes down what became of each test.

    python child.py JOB

JOB is a file: a JSON object with the fields of `Job`. With the environment
variable PATCH set, `monkey_patch()` is called before anything else is imported, also
in the children that `multiprocessing` starts: they import this file as their main module,
as they would import a program that patches.

One JSON object a line is appended to the job's records: `started`, then an
`outcome`. Each line is written at once, so a module that hangs or crashes
leaves what it had got to.
"""

import json
import os
import signal
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATCH = "GREENWORLD_CPYTHON_TESTS_PATCH"

# The folder of this file would offer its modules to the tests.
sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background of a shell: the tests interrupt themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)

native_open, native_write, native_close, native_getpid = os.open, os.write, os.close, os.getpid

if os.environ.get(PATCH):
    from greenworld import monkey_patch

    monkey_patch()

import faulthandler  # noqa: E402 - after the patch, as in a program
import importlib  # noqa: E402
import unittest  # noqa: E402
from typing import Any, TypedDict  # noqa: E402

LONGEST_MESSAGE = 6000
"""Characters of a traceback that are kept: its end."""


class Job(TypedDict):
    """What the runner asks for."""

    module: str
    records: str
    """The file that the records are appended to."""
    path: "list[str]"
    """Put before `sys.path`."""
    resources: "list[str]"
    """What `test.support.requires` allows."""
    only: "list[str] | None"
    """Run these tests alone."""
    without: "list[str]"
    """Tests that are not run."""


class Records:
    """The file of records. A forked child that comes back into the tests writes nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.process = native_getpid()

    def add(self, **record: "str | None") -> None:
        """Append one line. Opened for each: a test may close every descriptor it did not open."""
        if native_getpid() != self.process:
            return
        line = (json.dumps(record) + "\n").encode()
        descriptor = native_open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while line:
                line = line[native_write(descriptor, line) :]
        finally:
            native_close(descriptor)


class Result(unittest.TestResult):
    """Writes down the outcome of each test: the worst of its parts (subtests, clean-up)."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self.records = records
        self.outcome = ""
        self.message = ""

    def startTest(self, test: Any) -> None:
        """Says which test runs, should it never end."""
        super().startTest(test)
        self.outcome = self.message = ""
        self.records.add(event="started", test=test.id())

    def stopTest(self, test: Any) -> None:
        """Writes the outcome."""
        super().stopTest(test)
        self._write(test, self.outcome or "passed")
        self.outcome = ""

    def _write(self, test: Any, outcome: str) -> None:
        message = self.message[-LONGEST_MESSAGE:]
        self.records.add(event="outcome", test=test.id(), outcome=outcome, message=message)

    def _bad(self, test: Any, outcome: str, error: Any) -> None:
        text = f"{test}\n{self._exc_info_to_string(error, test)}"  # type: ignore[attr-defined]
        print(text, file=sys.__stderr__, flush=True)
        self.message += text
        if isinstance(test, unittest.TestCase):
            self.outcome = outcome
        else:  # setUpClass and its like, outside any test
            self._write(test, outcome)

    def addError(self, test: Any, err: Any) -> None:
        """An exception other than a failed assertion."""
        self._bad(test, "error", err)

    def addFailure(self, test: Any, err: Any) -> None:
        """A failed assertion."""
        self._bad(test, "failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        """One part of a test; its failure is the test's."""
        if err is not None:
            self.message += f"{subtest}\n"
            self._bad(test, "failed", err)

    def addSkip(self, test: Any, reason: str) -> None:
        """Skipped, whole or in part."""
        self.message = self.message or reason
        if not isinstance(test, unittest.TestCase):
            self._write(test, "skipped")
        elif not hasattr(test, "test_case"):  # a subtest that is skipped does not skip its test
            self.outcome = self.outcome or "skipped"

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        """Fails as it says it does: passed."""

    def addUnexpectedSuccess(self, test: Any) -> None:
        """Does not fail although it says so."""
        self.outcome = "failed"
        self.message = "unexpected success"


def chosen(suite: Any, job: Job) -> "list[Any]":
    """The tests of a suite that the job asks for, in order."""
    found = []
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            found.extend(chosen(test, job))
        elif test.id() not in job["without"] and (not job["only"] or test.id() in job["only"]):
            found.append(test)
    return found


def load(module: str) -> unittest.TestSuite:
    """The suite of a module, as CPython's own runner loads it."""
    loaded = importlib.import_module(module)
    return unittest.TestLoader().loadTestsFromModule(loaded)


def main(path: str) -> None:
    """Run the job of that file."""
    with open(path) as file:
        job: Job = json.load(file)
    records = Records(job["records"])
    faulthandler.enable()
    sys.path[:0] = job["path"]
    support: Any = importlib.import_module("test.support")
    support.use_resources = dict.fromkeys(job["resources"])
    support.verbose = 0
    try:
        suite = load(job["module"])
    except unittest.SkipTest as skip:
        records.add(event="skipped", message=str(skip))
        return
    result = Result(records)
    # A suite of the tests themselves: unittest finds the boundaries of classes and modules.
    unittest.TestSuite(chosen(suite, job))(result)
    records.add(event="ended")


if __name__ == "__main__":
    main(sys.argv[1])
