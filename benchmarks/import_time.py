"""How long `import greenworld` takes: `python -m benchmarks.import_time`.

Beside it stand the standard modules that any such library needs, together with greenlet: they are
what greenworld's own code comes on top of. Fresh interpreters, in turns.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.pinning import available_cores, describe_pinning, pin
from benchmarks.process import ROOT
from benchmarks.report import (
    describe_machine,
    format_number,
    format_ratio,
    format_table,
    paired_ratio,
    write_json,
)

NEEDED = "import socket, selectors, threading, greenlet"
STATEMENTS = ("import greenworld", NEEDED, "import gevent", "import eventlet")
MEASURE = """
import sys, time
start = time.perf_counter_ns()
exec(sys.argv[1])
print(time.perf_counter_ns() - start)
"""


def time_import(statement: str) -> float | None:
    """Nanoseconds that *statement* takes in a fresh interpreter; None if it fails."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, statement]
    # As installed programs run: with their bytecode kept.
    environ = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    return float(done.stdout) if done.returncode == 0 else None


def measure_imports(repeat: int) -> dict[str, list[float]]:
    """Samples of each statement that works, in turns after a first one that compiles."""
    working = [statement for statement in STATEMENTS if time_import(statement) is not None]
    samples: dict[str, list[float]] = {statement: [] for statement in working}
    for _ in range(repeat):
        for statement in working:
            ns = time_import(statement)
            if ns is None:
                raise RuntimeError(f"{statement!r} worked at first and now fails")
            samples[statement].append(ns)
    return samples


def format_report(samples: dict[str, list[float]]) -> str:
    """One line a statement: milliseconds, and how many times the needed modules' time."""
    lines = []
    for statement in STATEMENTS:
        mine = samples.get(statement)
        if mine is None:
            lines.append([statement, "skipped: cannot be imported", "-"])
            continue
        ms = format_number(median(mine) / 1e6, 1)
        lines.append([statement, ms, format_ratio(paired_ratio(samples[NEEDED], mine))])
    return format_table(["", "ms", "to the needed modules"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.add_argument("--repeat", type=int, default=20, help="turns (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store every sample")
    options = parser.parse_args(arguments)
    cores = available_cores()
    core = cores[0] if cores else None
    pin(core)
    print(f"{describe_machine()}; {describe_pinning(core)}; {options.repeat} turns")
    samples = measure_imports(options.repeat)
    print(format_report(samples))
    if options.json:
        write_json(options.json, "import_time", {"ns": samples})
    return 0 if {STATEMENTS[0], NEEDED} <= samples.keys() else 1


if __name__ == "__main__":
    sys.exit(main())
