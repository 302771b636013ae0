"""Compare greenworld's primitives with its peers': `python -m benchmarks.primitives`.

Every runtime lives in a process of its own (`benchmarks.worker`), all on one core; for each
row they are asked in turns. Exit code 1 if a row fails in greenworld or in a peer that is there.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.pinning import available_cores, describe_pinning
from benchmarks.process import Child, ChildError
from benchmarks.report import (
    describe_machine,
    format_number,
    format_ratio,
    format_table,
    mean_ratios,
    median_or_none,
    ratios_to,
    show_progress,
    write_json,
)
from benchmarks.rows import Row, find_rows
from benchmarks.runtimes import BASELINE, LOADERS


class Worker(Child):
    """A runtime's process (`benchmarks.worker`)."""

    def __init__(self, runtime: str, core: int | None) -> None:
        super().__init__("benchmarks.worker", runtime, *([] if core is None else [str(core)]))
        self.runtime = runtime
        self.version = str(self.greeting["version"])

    def measure(self, row: Row, count: int) -> float:
        """Nanoseconds per operation of one repetition. Raises ChildError."""
        return float(self.ask({"row": row.name, "count": count})["ns"])


@dataclass
class RowResult:
    """What a row gave: ns per operation in each turn, or why there is none."""

    row: Row
    samples: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, float]:
        """Peer's time divided by greenworld's, for each peer."""
        return ratios_to(BASELINE, self.samples)


def start_workers(names: Sequence[str], core: int | None) -> tuple[list[Worker], dict[str, str]]:
    """Start a worker a runtime; return those that live and why the others do not."""
    workers, skipped = [], {}
    for name in names:
        try:
            workers.append(Worker(name, core))
        except ChildError as error:
            skipped[name] = str(error)
    return workers, skipped


def measure_row(row: Row, workers: Sequence[Worker], repeat: int, count: int) -> RowResult:
    """Measure one row in every worker, in turns, after a short warm-up."""
    result = RowResult(row, {worker.runtime: [] for worker in workers})
    for turn in range(-1, repeat):
        for worker in workers:
            name = worker.runtime
            if name in result.errors:
                continue
            try:
                ns = worker.measure(row, count if turn >= 0 else max(1, count // 10))
            except ChildError as error:
                result.errors[name] = str(error)
                del result.samples[name]
                continue
            if turn >= 0:
                result.samples[name].append(ns)
    return result


def format_row(result: RowResult, runtimes: Sequence[str]) -> list[str]:
    """The row's line in the table."""
    times = [
        "failed"
        if name in result.errors
        else format_number(median_or_none(result.samples.get(name)))
        for name in runtimes
    ]
    peers = [name for name in runtimes if name != BASELINE]
    ratios = [format_ratio(result.ratios.get(name)) for name in peers]
    return [f"{result.row.name}: {result.row.operation}", *times, *ratios]


def format_report(results: Sequence[RowResult], runtimes: Sequence[str]) -> str:
    """The table, the means below it, and what failed or is slower than a peer."""
    peers = [name for name in runtimes if name != BASELINE]
    header = ["ns per operation", *runtimes, *(f"{name}/{BASELINE}" for name in peers)]
    means = mean_ratios([result.ratios for result in results])
    last = ["geometric mean", *("" for _ in runtimes), *(format_ratio(means.get(p)) for p in peers)]
    lines = [format_table(header, [*(format_row(each, runtimes) for each in results), last])]
    for peer in peers:
        slower = [each.row.name for each in results if each.ratios.get(peer, 1.0) < 1.0]
        if slower:
            lines.append(f"slower than {peer}: {', '.join(slower)}")
    for each in results:
        lines += [f"{name} failed in {each.row.name}: {why}" for name, why in each.errors.items()]
    return "\n".join(lines)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.primitives", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=[], help="rows whose name contains a word")
    parser.add_argument("--runtimes", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument("--repeat", type=int, help="turns a row (default: 7, quick: 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store every sample")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its report; return the exit code."""
    options = parse_arguments(arguments)
    rows = find_rows(options.rows)
    if not rows:
        print(f"no row has a name like {' or '.join(options.rows)}", file=sys.stderr)
        return 2
    cores = available_cores()
    core = cores[0] if cores else None
    repeat = options.repeat or (3 if options.quick else 7)
    workers, skipped = start_workers(options.runtimes, core)
    print(f"{describe_machine()}; {describe_pinning(core)}; {repeat} turns a row")
    print("; ".join(f"{worker.runtime} {worker.version}" for worker in workers))
    for name, why in skipped.items():
        print(f"skipped: {name} ({why}); to install the peers: pip install -e '.[bench]'")
    try:
        results = []
        for row in rows:
            show_progress(row.name)
            count = max(1, row.count // 10) if options.quick else row.count
            results.append(measure_row(row, workers, repeat, count))
        show_progress("")
    finally:
        for worker in workers:
            worker.close()
    runtimes = [worker.runtime for worker in workers]
    print(format_report(results, runtimes))
    if options.json:
        document = {
            each.row.name: {"ns": each.samples, "ratios": each.ratios, "errors": each.errors}
            for each in results
        }
        write_json(options.json, "primitives", document)
    failed = any(each.errors for each in results) or BASELINE in skipped
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
