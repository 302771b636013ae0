"""Patches and then runs rows on request: `python -m benchmarks.stdlib_worker NAME [CORE]`.

It answers as `benchmarks.worker` does: one JSON object a line, the first unasked.
"""

import gc
import json
import os
import sys
import threading
import warnings

from benchmarks.pinning import pin
from benchmarks.stdlib_rows import PATCHES, ROWS, Row


def measure(row: Row, count: int) -> float:
    """Nanoseconds per operation of one repetition, measured where the row says."""
    gc.collect()
    if row.in_main:
        return row.measure(count)
    outcome: list[float | BaseException] = []

    def run() -> None:
        try:
            outcome.append(row.measure(count))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (ns,) = outcome
    if isinstance(ns, BaseException):
        raise ns
    return ns


def main() -> None:
    """Serve requests from standard input until it ends."""
    name, *core = sys.argv[1:]
    pin(int(core[0]) if core else None)
    # What a runtime prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eventlet announces its own retirement on import
            exec(PATCHES[name], {})
    except ImportError as error:
        replies.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return
    row_by_name = {row.name: row for row in ROWS}
    replies.write(json.dumps({"patch": name}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            ns = measure(row_by_name[request["row"]], request["count"])
            reply: dict[str, object] = {"ns": ns}
        except Exception as error:  # noqa: BLE001 - whatever is raised is the row's result
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
