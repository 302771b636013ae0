"""Finding and rebinding copies of names in loaded modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from operator import itemgetter
from types import ModuleType
from typing import Any

import pytest

from greenworld.patches.holders import Old
from greenworld.patches.stale import rebind

SOURCE = """
def with_defaults(first=old, *, second=old, third=3):
    return first, second, third

class Holder:
    call = old
    number = 3

    def method(self, default=old):
        return default

copied = old
number = 3
"""


old: Any = itemgetter("old")  # as C functions do, it becomes no method


def new() -> str:
    return "new"


@pytest.fixture
def module() -> Iterator[Any]:
    """A loaded module that holds copies of `old`."""
    loaded = ModuleType("module_with_copies")
    vars(loaded)["old"] = old
    sys.modules[loaded.__name__] = loaded
    exec(SOURCE, vars(loaded))
    yield loaded
    del sys.modules[loaded.__name__]


def test_globals_classes_and_defaults(module: Any) -> None:
    mine = old
    names, restore = rebind([Old(mine, new, "name")])
    try:
        assert module.copied is module.old is new
        assert module.with_defaults() == (new, new, 3)
        assert module.Holder.call is new
        assert module.Holder().call() == "new"
        assert module.Holder().method() is new
        assert {name for name in names if name.startswith("module_with_copies.")} == {
            "module_with_copies.old",
            "module_with_copies.copied",
            "module_with_copies.with_defaults()",
            "module_with_copies.Holder.call",
            "module_with_copies.Holder.method()",
        }
    finally:
        restore()
    assert module.copied is module.old is mine
    assert module.with_defaults() == (mine, mine, 3)
    assert vars(module.Holder)["call"] is mine
    assert module.Holder().method() is mine


@pytest.mark.parametrize("name", ["greenworld.hub.x", "greenworld.patches.x", "greenworld.hub"])
def test_ours_keep_the_originals(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setitem(sys.modules, "module_with_copies", ModuleType("other"))
    names, restore = rebind([Old(old, new, "name")])
    restore()
    assert not [each for each in names if each.startswith("greenworld")]


def test_nothing_to_rebind() -> None:
    names, restore = rebind([Old(object(), object(), "name")])
    restore()
    assert names == []
