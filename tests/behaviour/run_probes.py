"""Asks the probes of one file, in order, in this interpreter: `python run_probes.py FILE [NAME…]`.

The file is the main program; what it does first (the patch) is its own business. Then each of its
functions `test_…` is called, or only those that are named. One that returns a text could not be
asked, for that reason. What became of each is one line: its name, a tab, and how it ended as a
literal.

Imports next to nothing: it would be imported before the patch.
"""

from __future__ import annotations

import faulthandler
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 20.0


def _ask(probe: Any) -> tuple[str, str]:
    try:
        reason = probe()
    except BaseException as error:  # noqa: BLE001 - whatever is raised is the answer
        from traceback import TracebackException

        story = TracebackException.from_exception(error, capture_locals=True)
        return "failed", "".join(story.format())
    return ("passed", "") if reason is None else ("skipped", reason)


def _ask_all(path: str, *chosen: str) -> None:
    with open(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    names = globals()
    names["__file__"] = path
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    exec(code, names)
    process = os.getpid()
    for name, probe in list(names.items()):
        if name.startswith("test_") and (not chosen or name in chosen):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            answer = _ask(probe)
            if os.getpid() != process:
                os._exit(99)  # a child that came back from its probe
            print(f"\n{name}\t{answer!r}", flush=True)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)


if __name__ == "__main__":
    _ask_all(*sys.argv[1:])
