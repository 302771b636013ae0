"""Tables and means: what the benchmarks print, made from plain numbers.

Samples are kept as one list a subject, in turns: `samples["gevent"][3]` was measured right
beside `samples["greenworld"][3]`. A figure is *better when smaller* (a duration) or *better when
larger* (a rate); a ratio above 1 always means that the baseline does better.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any


def paired_ratio(
    baseline: Sequence[float], other: Sequence[float], larger_is_better: bool = False
) -> float:
    """How many times better the baseline does: the median of the turns' ratios."""
    pairs = list(zip(baseline, other, strict=True))
    return median(mine / its if larger_is_better else its / mine for mine, its in pairs)


def paired_difference(baseline: Sequence[float], other: Sequence[float]) -> float:
    """How much more the other takes: the median of the turns' differences."""
    return median(its - mine for mine, its in zip(baseline, other, strict=True))


def ratios_to(
    baseline: str, samples: Mapping[str, Sequence[float]], larger_is_better: bool = False
) -> dict[str, float]:
    """The ratio of each other subject that was measured in full; empty without a baseline."""
    mine = samples.get(baseline)
    if not mine:
        return {}
    return {
        name: paired_ratio(mine, its, larger_is_better)
        for name, its in samples.items()
        if name != baseline and len(its) == len(mine)
    }


def mean_ratios(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Geometric mean over the rows, for each subject that has a ratio in any."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: geometric_mean([row[name] for row in rows if name in row]) for name in names}


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, the first to the left, the others to the right."""
    table = [header, *rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]

    def format_line(line: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    return "\n".join(map(format_line, table))


def format_number(value: float | None, digits: int = 0) -> str:
    """With thousands separated; a dash for what was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}"


def format_ratio(value: float | None) -> str:
    """Two digits and a times sign; a dash for what was not measured."""
    return "-" if value is None else f"{value:.2f}x"


def median_or_none(samples: Sequence[float] | None) -> float | None:
    """The median, if there is anything to take it of."""
    return median(samples) if samples else None


def describe_machine() -> str:
    """Interpreter, platform and how busy it is already, for the head of a report."""
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{interpreter}, {platform.platform()}, load average {os.getloadavg()[0]:.1f}"


def show_progress(what: str) -> None:
    """Overwrite the terminal's line with what is being measured; nothing where there is none."""
    if sys.stderr.isatty():
        print(f"\r{what:<40}\r", end="", file=sys.stderr, flush=True)


def write_json(path: Path, benchmark: str, results: Any) -> None:
    """Store *results* with what is needed to compare them later."""
    document = {"benchmark": benchmark, "machine": describe_machine(), "results": results}
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {path}", file=sys.stderr)
