"""What is left native is named with the line to change; `strict` refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from greenworld.patches.left import Left

Run = Callable[..., str]


def test_strict_names_holder_module_and_line_and_patches_nothing(
    program: Run, tmp_path: Path
) -> None:
    (tmp_path / "early.py").write_text(
        "import threading\n\n\nclass Cache:\n    def __init__(self):\n"
        "        self.lock = threading.RLock()\n\n\n"
        "cache = Cache()\nlocks = (threading.Lock(),)\n"
    )
    out = program(
        """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
import early
from greenworld.patches import PatchError, is_monkey_patched, monkey_patch, undo
before = dict(vars(time)), dict(vars(threading))
early.cache.lock.acquire()
lock = early.cache.lock
try:
    monkey_patch(strict=True)
except PatchError as error:
    print(error)
assert early.cache.lock is lock and (dict(vars(time)), dict(vars(threading))) == before
assert not is_monkey_patched("thread")
early.cache.lock.release()
early.locks = ()
del lock
applied = monkey_patch(strict=True)
print(applied.left, applied.exchanged > 0, monkey_patch(strict=True).patches)
""",
        str(tmp_path),
    )
    assert f"RLock early.Cache.lock ({tmp_path}/early.py:6): it is held" in out
    assert f"Lock early.locks (a tuple) ({tmp_path}/early.py:10): its holder cannot be" in out
    assert out.endswith("() True ()\n")


def test_strict_in_a_bare_interpreter_and_in_a_full_one(program: Run) -> None:
    program(
        """
from greenworld.patches import monkey_patch
monkey_patch(strict=True)
"""
    )
    program(
        """
import asyncio, concurrent.futures.thread, decimal, http.server, logging.handlers, queue
import multiprocessing.pool, socketserver, sqlite3, ssl, subprocess, tempfile, threading
import unittest.mock, urllib.request, xmlrpc.client
from greenworld.patches import monkey_patch
monkey_patch(strict=True)
"""
    )


def test_the_line_is_where_the_name_is_assigned(tmp_path: Path, monkeypatch: object) -> None:
    import sys
    from types import ModuleType

    module = ModuleType("module_with_lines")
    file = tmp_path / "module_with_lines.py"
    file.write_text(
        "from time import sleep\nimport threading\nfoo_lock = 1\nlock: object = threading.Lock()\n"
    )
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        assert Left("Lock", "module_with_lines.lock", module.__name__, "").line == (str(file), 4)
        assert Left("name", "module_with_lines.sleep", module.__name__, "").line == (str(file), 1)
        assert Left("name", "module_with_lines.gone", module.__name__, "").line == (str(file), 1)
    finally:
        del sys.modules[module.__name__]
    assert Left("Lock", "a dict", "", "").line == ("", 0)
    assert str(Left("Lock", "a dict", "", "it is held")) == "Lock a dict: it is held"
