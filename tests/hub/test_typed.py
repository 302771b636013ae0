"""What stands in for `typing` at run time."""

from __future__ import annotations

import subprocess
import sys

from greenworld.hub import GreenThread, Queue, spawn


def test_importing_the_hub_does_not_import_typing() -> None:
    code = "import greenlet, sys; before = set(sys.modules); import greenworld; "
    code += "print(sorted({'typing', 'contextlib', 're'} & (set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_generic_classes_may_be_subscripted() -> None:
    queue: Queue[int] = Queue[int]()
    thread: GreenThread[int] = spawn(queue.get)
    queue.put(3)
    assert thread.wait(10) == 3
    assert GreenThread[int] is not None
