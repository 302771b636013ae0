"""What a second worker adds: `python -m benchmarks.http_workers`.

`python -m greenworld.wsgi --workers N` is measured with one worker and with two, in turns. Nothing
is pinned: the workers and wrk share the machine's cores. Where there are only two of them, look at
the page: it leaves wrk little to do, while on the bare answer wrk takes a part of a core that the
second worker would need. Exit code 1 if a row fails, 2 without wrk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.request import urlopen

from benchmarks import wrk
from benchmarks.process import PATIENCE, Child, ChildError
from benchmarks.report import (
    describe_machine,
    format_number,
    format_ratio,
    format_table,
    median_or_none,
    paired_ratio,
    show_progress,
)

SUBJECTS = {
    "one worker": ("1",),
    "two workers": ("2",),
    "two, --reuse-port": ("2", "--reuse-port"),
}
APPLICATION = "benchmarks.http_application:make_patched()"
PATHS = {"/page": "a Flask view's page", "/json": "a Flask view's JSON", "/": "14 bytes"}
CONNECTIONS = 64
LISTENING = "Listening on "

Samples = dict[str, list[float]]


def serve(workers: str, *options: str) -> None:
    """Start the command, say `{"url": …}`, and stay as long as it does."""
    command = [
        sys.executable,
        "-m",
        "greenworld.wsgi",
        "benchmarks.http_application:make_patched()",
    ]
    command += ["--bind", "127.0.0.1:0", "--no-access-log", "--workers", workers, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if line.startswith(LISTENING):
            print(json.dumps({"url": line[len(LISTENING) :].strip()}), flush=True)
        else:
            print(json.dumps({"error": f"{' '.join(command)} said {line!r}"}), flush=True)


def measure(path: str, repeat: int, seconds: int) -> Samples:
    """Load each subject in turns; requests per second. Raises ChildError and WrkError."""
    samples: Samples = {name: [] for name in SUBJECTS}
    with ExitStack() as stack:
        urls = {}
        for name, options in SUBJECTS.items():
            log = stack.enter_context(tempfile.TemporaryFile())
            child = Child("benchmarks.http_workers", "--serve", *options, stderr=log)
            urls[name] = stack.enter_context(child).greeting["url"] + path
            urlopen(urls[name], timeout=PATIENCE).close()
            wrk.run(urls[name], CONNECTIONS, 1)  # so that every worker has loaded what it needs
        for _ in range(repeat):
            for name, url in urls.items():
                show_progress(f"{path} {name}")
                samples[name].append(wrk.run(url, CONNECTIONS, seconds).rate)
    return samples


def format_report(results: dict[str, Samples]) -> str:
    """Requests per second, and how many times as many as with one worker."""
    base, *others = SUBJECTS
    lines = []
    for path, samples in results.items():
        rates = [format_number(median_or_none(samples[name])) for name in SUBJECTS]
        ratios = [
            format_ratio(paired_ratio(samples[name], samples[base], larger_is_better=True))
            for name in others
        ]
        lines.append([f"req/s, {PATHS[path]}", *rates, *ratios])
    return format_table(["", *SUBJECTS, *(f"{name}, times one" for name in others)], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its report; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_workers", description=__doc__)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--repeat", type=int, default=3, help="turns")
    parser.add_argument("--seconds", type=int, default=4, help="of load a turn")
    options = parser.parse_args(arguments)
    if not wrk.is_installed():
        print(wrk.HOW_TO_GET_IT, file=sys.stderr)
        return 2
    print(f"{describe_machine()}; nothing pinned")
    try:
        results = {path: measure(path, options.repeat, options.seconds) for path in options.paths}
    except (ChildError, wrk.WrkError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    show_progress("")
    print(format_report(results))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        sys.exit(main())
