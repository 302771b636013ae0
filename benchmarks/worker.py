"""A process that runs rows in one runtime, on request: `python -m benchmarks.worker NAME [CORE]`.

It lives as long as the benchmark, so that a repetition finds its runtime imported, warm and as
alone as in a real program. One JSON object a line:

* first, unasked: `{"version": …}` or `{"error": …}` if the runtime cannot be imported;
* then for each `{"row": NAME, "count": N}`: `{"ns": …}` or `{"error": …}`.
"""

import gc
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from benchmarks.pinning import pin
from benchmarks.process import raise_file_limit
from benchmarks.rows import ROWS
from benchmarks.runtimes import LOADERS, Runtime

ROW_BY_NAME = {row.name: row for row in ROWS}


def find_version(name: str) -> str:
    """The installed version, or a word for a bare checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "checkout"


def run_row(runtime: Runtime, name: str, count: int) -> float:
    """Nanoseconds per operation of one repetition, measured in a green thread."""
    gc.collect()
    thread = runtime.spawn(ROW_BY_NAME[name].measure, runtime, count)
    return float(runtime.wait(thread))


def main() -> None:
    """Serve requests from standard input until it ends."""
    name, *core = sys.argv[1:]
    pin(int(core[0]) if core else None)
    raise_file_limit()
    # What a runtime prints (a traceback of a green thread, say) must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        runtime = LOADERS[name]()
    except (ImportError, AttributeError) as error:
        replies.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return
    replies.write(json.dumps({"version": find_version(name)}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, object] = {"ns": run_row(runtime, request["row"], request["count"])}
        except Exception as error:  # noqa: BLE001 - whatever is raised is the row's result
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
