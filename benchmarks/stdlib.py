"""What the patch costs: `python -m benchmarks.stdlib`.

The same lines of the standard library, unpatched and patched, each in a process of its own and
all on one core, in turns; and what it takes to import and patch, over an interpreter that does
nothing. gevent and eventlet, patched, stand beside. Exit code 1 if a row fails in what is there.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns

from benchmarks.pinning import available_cores, describe_pinning, pin
from benchmarks.process import ROOT, Child, ChildError
from benchmarks.report import (
    describe_machine,
    format_number,
    format_ratio,
    format_table,
    median_or_none,
    paired_difference,
    ratios_to,
    show_progress,
    write_json,
)
from benchmarks.stdlib_rows import NATIVE, PATCHES, ROWS, Row

START = "import-and-patch"
START_AIM = 100.0
"""Milliseconds."""


class Worker(Child):
    """A process in which one patch was applied, or none (`benchmarks.stdlib_worker`)."""

    def __init__(self, patch: str, core: int | None) -> None:
        super().__init__("benchmarks.stdlib_worker", patch, *([] if core is None else [str(core)]))
        self.patch = patch

    def measure(self, row: Row, count: int) -> float:
        """Nanoseconds per operation of one repetition. Raises ChildError."""
        return float(self.ask({"row": row.name, "count": count})["ns"])


Samples = dict[str, list[float]]


def measure_row(row: Row, workers: Sequence[Worker], repeat: int, count: int) -> Samples:
    """Nanoseconds per operation in each worker, in turns, after a short warm-up."""
    samples: Samples = {worker.patch: [] for worker in workers}
    for turn in range(-1, repeat):
        for worker in workers:
            ns = worker.measure(row, count if turn >= 0 else max(1, count // 10))
            if turn >= 0:
                samples[worker.patch].append(ns)
    return samples


def time_start(patch: str) -> float:
    """Milliseconds that an interpreter lives which applies *patch* and ends. Raises ChildError."""
    # As installed programs run: with their bytecode kept.
    environ = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", "-c", PATCHES[patch] or "pass"]
    start = perf_counter_ns()
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    ns = perf_counter_ns() - start
    if done.returncode != 0:
        raise ChildError(done.stderr.strip().rpartition("\n")[2])
    return ns / 1e6


def measure_starts(patches: Sequence[str], repeat: int) -> Samples:
    """Milliseconds of each start, in turns, after one that compiles."""
    samples: Samples = {patch: [] for patch in patches}
    for turn in range(-1, repeat):
        for patch in patches:
            ms = time_start(patch)
            if turn >= 0:
                samples[patch].append(ms)
    return samples


def format_row(row: Row, samples: Samples, patches: Sequence[str]) -> list[str]:
    """Times, then how many times the native one's each patched one is."""
    ratios = ratios_to(NATIVE, samples)
    times = [format_number(median_or_none(samples.get(patch))) for patch in patches]
    slower = [format_ratio(ratios.get(patch)) for patch in patches if patch != NATIVE]
    aim = "" if row.aim is None else f"{row.aim:.2f}x"
    return [f"{row.name}: {row.operation}", *times, *slower, aim]


def format_report(results: Sequence[tuple[Row, Samples]], patches: Sequence[str]) -> str:
    """The table of the rows."""
    patched = [patch for patch in patches if patch != NATIVE]
    header = ["ns per operation", *patches, *(f"{each}/{NATIVE}" for each in patched), "aim"]
    return format_table(header, [format_row(row, samples, patches) for row, samples in results])


def format_starts(samples: Samples) -> str:
    """The table of the starts: milliseconds, and how many more than the native one's."""
    lines = []
    for patch, mine in samples.items():
        over, aim = "", ""
        if patch != NATIVE:
            over = format_number(paired_difference(samples[NATIVE], mine), 1)
            aim = f"{START_AIM:.1f}"
        lines.append([patch, format_number(median_or_none(mine), 1), over, aim])
    return format_table([f"{START}: ms", "start to end", f"over {NATIVE}", "aim"], lines)


def start_workers(core: int | None) -> tuple[list[Worker], dict[str, str]]:
    """A worker for each patch; those that live, and why the others do not."""
    workers, skipped = [], {}
    for patch in PATCHES:
        try:
            workers.append(Worker(patch, core))
        except ChildError as error:
            skipped[patch] = str(error)
    return workers, skipped


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stdlib", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=[], help="rows whose name contains a word")
    parser.add_argument("--repeat", type=int, help="turns a row (default: 11, quick: 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store every sample")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its report; return the exit code."""
    options = parse_arguments(arguments)

    def is_chosen(name: str) -> bool:
        return not options.rows or any(word in name for word in options.rows)

    rows = [row for row in ROWS if is_chosen(row.name)]
    if not rows and not is_chosen(START):
        print(f"no row has a name like {' or '.join(options.rows)}", file=sys.stderr)
        return 2
    cores = available_cores()
    core = cores[0] if cores else None
    repeat = options.repeat or (3 if options.quick else 11)
    print(f"{describe_machine()}; {describe_pinning(core)}; {repeat} turns a row")
    workers, skipped = start_workers(core)
    patches = [worker.patch for worker in workers]
    for name, why in skipped.items():
        print(f"skipped: {name} ({why}); to install the peers: pip install -e '.[bench]'")
    if skipped.keys() & {NATIVE, "greenworld"}:
        return 1
    results, document, failed = [], dict[str, object](), False
    try:
        for row in rows:
            show_progress(row.name)
            count = max(1, row.count // 10) if options.quick else row.count
            results.append((row, measure_row(row, workers, repeat, count)))
            document[row.name] = {"ns": results[-1][1]}
        show_progress("")
    except ChildError as error:
        print(f"failed in {row.name}: {error}")
        failed = True
    finally:
        for worker in workers:
            worker.close()
    if results:
        print(format_report(results, patches))
    if is_chosen(START):
        pin(core)
        starts = measure_starts(patches, repeat)
        document[START] = {"ms": starts}
        print(format_starts(starts))
    if options.json:
        write_json(options.json, "stdlib", document)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
