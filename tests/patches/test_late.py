"""Modules that are patched when they are imported, after the patch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenworld.patches.late import LateFinder, is_being_imported

Run = Callable[..., str]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What a finder that watches `watched_module` hears."""
    names: list[str] = []
    finder = LateFinder(names.append)
    finder.install()
    finder.install()
    assert sys.meta_path.count(finder) == 1
    finder.watched.add("watched_module")
    yield names
    finder.remove()
    finder.remove()
    assert finder not in sys.meta_path
    sys.modules.pop("watched_module", None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def test_hears_of_import_reload_and_second_import(heard: list[str], folder: Path) -> None:
    (folder / "watched_module.py").write_text("value = 1\n")
    module = importlib.import_module("watched_module")
    assert heard == ["watched_module"]
    importlib.import_module("watched_module")
    assert len(heard) == 1
    importlib.reload(module)
    assert len(heard) == 2
    del sys.modules["watched_module"]
    importlib.import_module("watched_module")
    assert len(heard) == 3


def test_the_module_shows_its_own_loader(heard: list[str], folder: Path) -> None:
    (folder / "watched_module.py").write_text(
        "own = (type(__loader__).__name__, type(__spec__.loader).__name__)\n"
    )
    module = importlib.import_module("watched_module")
    assert module.own == ("SourceFileLoader", "SourceFileLoader")
    assert module.__spec__ is not None
    assert module.__loader__ is module.__spec__.loader
    spec = importlib.util.find_spec("watched_module")
    assert spec is module.__spec__
    del sys.modules["watched_module"]
    found = importlib.util.find_spec("watched_module")
    assert found is not None
    assert found.loader is not None
    assert found.loader.get_filename() == module.__file__  # type: ignore[attr-defined]
    assert len(heard) == 1


def test_a_failed_import_is_not_heard_of(heard: list[str], folder: Path) -> None:
    (folder / "watched_module.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("watched_module")
    assert heard == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("watched_module_that_is_not_there")


def test_modules_being_imported(heard: list[str], folder: Path) -> None:
    (folder / "watched_module.py").write_text(
        "from greenworld.patches.late import is_being_imported\n"
        "during = is_being_imported(__name__)\n"
    )
    assert importlib.import_module("watched_module").during
    assert not is_being_imported("watched_module")
    assert not is_being_imported("no_such_module")


def test_a_package_is_patched_when_it_is_complete(program: Run, tmp_path: Path) -> None:
    package = tmp_path / "latepkg"
    package.mkdir()
    (package / "__init__.py").write_text("from latepkg.low import call\nfrom latepkg import low\n")
    (package / "low.py").write_text("def call():\n    return 'plain'\n")
    (package / "more.py").write_text("def other():\n    return 'plain'\n")
    (tmp_path / "replacements.py").write_text(
        "import latepkg\nassert latepkg.call() == 'plain'\n"
        "def call():\n    return 'cooperative'\nother = call\n"
        "def settle():\n"
        "    latepkg.settled = True\n"
        "    return lambda: delattr(latepkg, 'settled')\n"
    )
    out = program(
        """
import sys
sys.path.insert(0, sys.argv[1])
from greenworld.patches import apply, is_monkey_patched, monkey_patch, table, undo
table.LATE += ("latepkg",)
apply.PATCHES += (
    table.Patch("os", "latepkg.low", "call", "replacements:call"),
    table.Patch("os", "latepkg.more", "other", "replacements:other"),
    table.Patch("os", "latepkg.no_such_module", "other", "replacements:other"),
)
apply.LATE_SETTLERS["latepkg"] = ("os", "replacements:settle")
applied = monkey_patch()
print([name for name in applied.late if name.startswith("latepkg")])
assert is_monkey_patched("latepkg.low") and "replacements" not in sys.modules
import latepkg
print(latepkg.call(), latepkg.low.call(), latepkg.settled)
import latepkg.more
print(latepkg.more.other())
undo()
print(latepkg.call(), latepkg.low.call(), latepkg.more.other(), hasattr(latepkg, "settled"))
assert not is_monkey_patched("latepkg.low")
applied = monkey_patch()
print([name for name in applied.late if name.startswith("latepkg")], latepkg.call())
""",
        str(tmp_path),
    )
    assert out.splitlines() == [
        "['latepkg', 'latepkg.low', 'latepkg.more', 'latepkg.no_such_module']",
        "cooperative cooperative True",
        "cooperative",
        "plain plain plain False",
        "['latepkg.no_such_module'] cooperative",
    ]


def test_an_error_leaves_the_import_statement(program: Run, tmp_path: Path) -> None:
    (tmp_path / "latepkg.py").write_text("def call():\n    return 'plain'\n")
    out = program(
        """
import sys
sys.path.insert(0, sys.argv[1])
from greenworld.patches import apply, monkey_patch, table
table.LATE += ("latepkg",)
apply.PATCHES += (table.Patch("os", "latepkg", "call", "no_such_replacement:call"),)
monkey_patch()
for _ in range(2):
    try:
        import latepkg
    except RuntimeError as error:
        print(error)
        assert isinstance(error.__cause__, ImportError) and "latepkg" not in sys.modules
""",
        str(tmp_path),
    )
    assert out.count("greenworld cannot make module 'latepkg' cooperative") == 2


def test_ssl_is_patched_when_it_is_imported(program: Run) -> None:
    out = program(
        """
import sys
from greenworld.patches import is_monkey_patched, monkey_patch, undo
applied = monkey_patch()
assert "ssl" not in sys.modules and "ssl" in applied.late and is_monkey_patched("ssl")
import ssl
print(ssl.SSLSocket.read.__module__)
undo()
print(ssl.SSLSocket.read.__module__)
"""
    )
    assert out.splitlines() == ["greenworld.patches.tls", "ssl"]


def test_a_reloaded_module_is_patched_once_more(program: Run) -> None:
    out = program(
        """
import importlib, socket
from greenworld.patches import monkey_patch, undo
monkey_patch()
importlib.reload(socket)
print("recv" in vars(socket.socket), socket.getaddrinfo.__module__)
undo()
print("recv" in vars(socket.socket), socket.getaddrinfo.__module__)
"""
    )
    assert out.splitlines() == ["True greenworld.patches.resolver", "False socket"]


def test_threads_that_import_one_late_module_at_once(program: Run) -> None:
    out = program(
        """
import threading
from greenworld.patches import monkey_patch, original
monkey_patch()
native = original("threading")
start = native.Barrier(4)
seen = []
def load():
    start.wait(15)
    import ssl
    seen.append(ssl.SSLSocket.read.__module__)
threads = [native.Thread(target=load) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join(15)
print(seen)
"""
    )
    assert out == f"{['greenworld.patches.tls'] * 4}\n"
