"""Imports in green threads: whole modules only, and never a deadlock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

# gate.wait_for(n) in a module's code: wait until `n` threads are importing, counted by `arrive`.
GATE = """
import threading
importing = 0
changed = threading.Condition()

def arrive():
    global importing
    with changed:
        importing += 1
        changed.notify_all()

def wait_for(number):
    with changed:
        assert changed.wait_for(lambda: importing >= number, 15)
"""

START = """
import faulthandler, sys
faulthandler.dump_traceback_later(18, exit=True)
sys.path.insert(0, sys.argv[1])
from greenworld.patches import monkey_patch, original
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "gate.py").write_text(GATE)
    (tmp_path / "slow.py").write_text(
        "import gate, time\nfirst = 1\ngate.wait_for(3)\ntime.sleep(0.01)\nlast = 1\n"
    )
    (tmp_path / "left.py").write_text("import gate\ngate.wait_for(2)\nimport right\nlast = 1\n")
    (tmp_path / "right.py").write_text("import gate\ngate.wait_for(2)\nimport left\nlast = 1\n")
    (tmp_path / "failing.py").write_text(
        "import gate\ngate.wait_for(2)\ngate.tries += 1\nif gate.tries == 1: 1 / 0\nlast = 1\n"
    )
    return tmp_path


IMPORT = """
seen = []

def load(name):
    gate.arrive()
    try:
        module = __import__(name)
    except Exception as error:
        seen.append(type(error).__name__)
    else:
        seen.append((name, hasattr(module, "last")))

def load_all(*names, kind=None):
    threads = [(kind or threading.Thread)(target=load, args=(name,)) for name in names]
    for thread in threads: thread.start()
    for thread in threads: thread.join(15)
"""


def test_nobody_sees_half_a_module(program: Run, modules: Path) -> None:
    out = program(
        START + "monkey_patch()\nimport gate, threading\n" + IMPORT + "load_all(*['slow'] * 3)\n"
        "print(seen)\n",
        str(modules),
    )
    assert out == f"{[('slow', True)] * 3}\n"


def test_native_and_green_threads_import_one_module(program: Run, modules: Path) -> None:
    out = program(
        START
        + "monkey_patch()\nimport gate, threading\n"
        + IMPORT
        + """
native = [original("threading").Thread(target=load, args=("slow",)) for _ in range(2)]
for thread in native: thread.start()
load_all("slow", "slow")
for thread in native: thread.join(15)
print(seen)
""",
        str(modules),
    )
    assert out == f"{[('slow', True)] * 4}\n"


def test_circular_imports_of_two_threads(program: Run, modules: Path) -> None:
    out = program(
        START + "monkey_patch()\nimport gate, threading\n" + IMPORT + "load_all('left', 'right')\n"
        "print(len(seen), sys.modules['left'].last, sys.modules['right'].last)\n",
        str(modules),
    )
    assert out == "2 1 1\n"


def test_a_failed_import_ends_the_wait_of_the_next(program: Run, modules: Path) -> None:
    out = program(
        START
        + "monkey_patch()\nimport gate, threading\ngate.tries = 0\n"
        + IMPORT
        + "load_all('failing', 'failing')\nload('failing')\n"
        # CPython gives the one that waited the module that has failed.
        "print(len(seen), 'ZeroDivisionError' in seen, seen[-1])\n",
        str(modules),
    )
    assert out == "3 True ('failing', True)\n"


def test_patching_in_the_middle_of_an_import(program: Run, modules: Path) -> None:
    (modules / "patching.py").write_text(
        "from greenworld.patches import monkey_patch\n"
        "monkey_patch()\n"
        "import threading, gate\n"
        "seen = []\n"
        "def load():\n"
        "    gate.arrive()\n"
        "    import patching\n"
        "    seen.append(hasattr(patching, 'last'))\n"
        "threads = [threading.Thread(target=load) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "gate.wait_for(2)\n"
        "last = 1\n"
    )
    out = program(
        START + "import patching\nfor thread in patching.threads: thread.join(15)\n"
        "print(patching.seen)\n",
        str(modules),
    )
    assert out == "[True, True]\n"


def test_others_run_while_a_module_waits(program: Run, modules: Path) -> None:
    out = program(
        START
        + """
monkey_patch()
import gate, threading
def arrive_late():
    for _ in range(3): gate.arrive()
threading.Thread(target=arrive_late).start()
import slow
print(slow.last)
""",
        str(modules),
    )
    assert out == "1\n"


def test_an_importer_that_waits_can_be_killed(program: Run, modules: Path) -> None:
    out = program(
        START
        + "monkey_patch()\nimport gate, threading\nimport greenworld\n"
        + IMPORT
        + """
owner = greenworld.spawn(load, "slow")
waiting = greenworld.spawn(load, "slow")
greenworld.sleep(0)
waiting.kill()
gate.arrive()
owner.wait()
load("slow")
print(seen)
""",
        str(modules),
    )
    assert out == f"{[('slow', True)] * 2}\n"


def test_the_import_system_asks_the_patched_module(program: Run) -> None:
    program(
        """
import _thread, sys
from types import SimpleNamespace
from greenworld.patches import monkey_patch, undo
importing = sys.modules["_frozen_importlib"]
names = {name: getattr(_thread, name) for name in ("get_ident", "allocate_lock", "RLock")}
other = importing._thread = SimpleNamespace(**names)
monkey_patch(thread=True)
assert importing._thread is _thread
undo()
assert importing._thread is other
"""
    )


def test_import_patched_gives_the_one_module(program: Run, modules: Path) -> None:
    (modules / "client.py").write_text(
        "from time import sleep\nimport socket\n\nclass Error(Exception): pass\n"
    )
    out = program(
        START
        + """
import client, time
from greenworld import import_patched, is_monkey_patched
module = import_patched("client", time=True)
assert module is client and client.sleep is time.sleep and client.Error is module.Error
print(is_monkey_patched("time"), is_monkey_patched("thread"), client.sleep.__module__)
assert import_patched("slow_client") is sys.modules["slow_client"]
print(is_monkey_patched("thread"))
try:
    import_patched("client", tiem=True)
except TypeError:
    print("refused")
""",
        str(_with(modules, "slow_client", "import threading\n")),
    )
    assert out.splitlines() == ["True False greenworld.patches.time", "True", "refused"]


def _with(folder: Path, name: str, source: str) -> Path:
    (folder / f"{name}.py").write_text(source)
    return folder
