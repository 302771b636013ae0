"""CPython's own tests under the patch: `python -m tests.cpython [MODULE ...]`.

Each of CPython's test modules runs twice, as it is and after
`monkey_patch()`; what passes the one and fails the other must be on the list
of known differences, with its reason. CPython's files are used where they
are installed: none is copied and none is changed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.cpython.differences import Differences, read_differences
from tests.cpython.judge import ABSENT, Verdict, judge
from tests.cpython.modules import QUICK, RESOURCES, WHOLE
from tests.cpython.runs import Interpreter, Runner


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.cpython", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="test_socket, …; default: all")
    parser.add_argument("--quick", action="store_true", help="the part that takes some minutes")
    parser.add_argument(
        "--python", action="append", metavar="PATH", help="an interpreter that has greenworld"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="modules at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--log", type=Path, metavar="DIR", help="write what the modules print")
    parser.add_argument("--limit", type=float, default=180.0, metavar="SECONDS", help="of a test")
    parser.add_argument(
        "--once", action="store_true", help="do not run again what is not as expected"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="with tracebacks")
    return parser.parse_args(arguments)


def run_all(options: argparse.Namespace, interpreter: Interpreter) -> list[Verdict]:
    names = options.modules or (QUICK if options.quick else WHOLE)
    modules = list(dict.fromkeys(each for name in names for each in interpreter.modules_of(name)))
    if options.modules and not modules:
        sys.exit(f"{interpreter.path} has no test module {', '.join(options.modules)}")
    missing = [name for name in names if not interpreter.modules_of(name)]
    if missing:
        print(f"skipped: not installed here: {', '.join(missing)}", flush=True)
    resources = () if options.quick else RESOURCES
    runner = Runner(interpreter.path, options.limit, resources, log=options.log)
    differences = Differences(read_differences(), interpreter.version)
    verdicts = []
    with ThreadPoolExecutor(options.jobs) as pool:
        calls = [
            pool.submit(judge, module, runner, differences, again=not options.once)
            for module in modules
        ]
        try:
            for call in as_completed(calls):
                verdicts.append(call.result())
                show(verdicts[-1], options.verbose)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    return verdicts


def show(verdict: Verdict, verbose: bool) -> None:
    """One line for a module, and one for whatever is not as the list says."""
    name = verdict.module
    if verdict.skipped:
        print(f"{name}: skipped: {verdict.skipped}", flush=True)
    else:
        print(
            f"{name}: {verdict.passed_unpatched} pass unpatched, {verdict.passed_patched} patched, "
            f"{len(verdict.known)} known differences, {verdict.seconds:.0f} s",
            flush=True,
        )
    if verdict.problem:
        print(f"  ERROR {name} {verdict.problem}")
    absent = [test for test, outcome in verdict.unlisted.items() if outcome == ABSENT]
    if absent:
        print(f"  ERROR {len(absent)} tests pass unpatched and did not run patched: {absent[0]}, …")
    for test, outcome in verdict.unlisted.items():
        if outcome == ABSENT:
            continue
        reason = outcome.message.strip().rpartition("\n")[2]
        print(f"  ERROR {test} passes unpatched, {outcome.kind} patched: {reason}")
        if verbose:
            print(outcome.message)
    for test in verdict.listed_but_passed:
        print(f"  ERROR {test} passes: take it from tests/cpython/differences.txt")
    for pattern in verdict.unused:
        print(f"  note: no test is called {pattern} here")
    for test in verdict.lucky:
        print(f"  note: {test} failed once, and not again alone (or unpatched as well)")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """0: all is as the list says; 1: it is not."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # as Ctrl-C: ends the children
    good = True
    results = {}
    for path in options.python or [sys.executable]:
        interpreter = Interpreter.ask(path)
        version = ".".join(map(str, interpreter.version))
        if not interpreter.tests:
            print(f"skipped: CPython {version} at {path} has no `test` package (some systems")
            print("package it apart: libpython3-testsuite, python3-test)")
            continue
        verdicts = run_all(options, interpreter)
        results[version] = [verdict.as_json() for verdict in verdicts]
        unpatched = sum(verdict.passed_unpatched for verdict in verdicts)
        patched = sum(verdict.passed_patched for verdict in verdicts)
        share = 100 * patched / unpatched if unpatched else 100.0
        errors = sum(not verdict.good for verdict in verdicts)
        print(
            f"CPython {version}: {patched} of the {unpatched} tests that pass unpatched pass "
            f"patched ({share:.2f} %); modules that are not as the list says: {errors}"
        )
        good = good and not errors
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
