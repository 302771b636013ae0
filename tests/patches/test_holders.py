"""Where an old object may be held, and what becomes of it there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from types import ModuleType
from typing import Any

import pytest

from greenworld.patches.holders import Exchange, Old
from greenworld.patches.owners import dict_of

Run = Callable[..., str]


class Value:
    """An old or a new one."""

    def method(self) -> Value:
        return self


@dataclass(frozen=True)
class Frozen:
    value: Any


class Slotted:
    __slots__ = ("empty", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


class Proxy:
    """As some proxies do, it runs code when asked for its dict."""

    __slots__ = ("value",)

    value: Any

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("there is no request")


SOURCE = """
from collections import deque
from functools import partial

name = old
items = [old]
queue = deque([old])
table = {"key": old}
members = {old}
stuck = (old, 1)
frozen = frozenset([old])
deep = [[old]]

class Class:
    value = old
    static = staticmethod(old) if callable(old) else None

    class Nested:
        value = old

def default(first=1, value=old, *, keyword=old):
    return value, keyword

def make():
    inside = old
    return lambda: inside

closure = make()
call = partial(default, 1, old, keyword=old)
default.attribute = old
"""


@pytest.fixture
def module() -> Iterator[Any]:
    """A loaded module that is full of `old`."""
    loaded: Any = ModuleType("module_that_holds")
    sys.modules[loaded.__name__] = loaded
    loaded.old = Value()
    exec(SOURCE, vars(loaded))
    yield loaded
    del sys.modules[loaded.__name__]


def read(module: Any) -> list[Any]:
    """What stands in each place that can be written."""
    return [
        module.old, module.name, module.items[0], module.queue[0], module.table["key"],
        *module.members, module.Class.value, module.Class.Nested.value, *module.default(),
        module.closure(), *module.call(), module.default.attribute, module.deep[0][0],
    ]  # fmt: skip


def test_every_place_that_can_be_written(module: Any) -> None:
    old, new = module.old, Value()
    assert set(read(module)) == {old}  # fills the interpreter's caches, too
    exchange = Exchange([Old(old, new, "Lock")])
    exchange.run()
    assert [value is new for value in read(module)] == [True] * len(read(module))
    assert {each.holder for each in exchange.left if each.module} == {
        "module_that_holds.stuck (a tuple)",
        "module_that_holds.frozen (a frozenset)",
    }
    exchange.restore()
    assert [value is old for value in read(module)] == [True] * len(read(module))


def test_instances() -> None:
    old, new = Value(), Value()
    slotted, frozen, proxy = Slotted(old), Frozen(old), Proxy()
    proxy.value = old
    assert dict_of(proxy) is None
    assert dict_of(frozen) == {"value": old}
    exchange = Exchange([Old(old, new, "Lock")])
    exchange.run()
    assert slotted.value is frozen.value is proxy.value is new
    exchange.restore()
    assert slotted.value is frozen.value is proxy.value is old


def test_what_must_stay_is_named(module: Any) -> None:
    exchange = Exchange([Old(module.old, None, "RLock", "it is held")])
    exchange.run()
    assert exchange.count == 0
    named = {str(each).removeprefix("RLock ") for each in exchange.left}
    assert {
        "module_that_holds.name: it is held",
        "module_that_holds.Class.value: it is held",
        "the closure of module_that_holds.make.<locals>.<lambda>(): it is held",
        "the defaults of module_that_holds.default(): it is held",
        "module_that_holds.items (a list): it is held",
    } <= named


def test_functions(module: Any) -> None:
    def new() -> str:
        return "new"

    old = module.old = itemgetter("old")
    exec(SOURCE, vars(module))
    exchange = Exchange([Old(old, new, "name", "it is deep")])
    exchange.run()
    # In a class it stays what it was: no method.
    assert module.Class().value() == module.Class.static() == module.Class().static() == "new"
    assert module.closure() is module.items[0] is new
    # Deep inside it may be kept on purpose.
    assert module.deep[0][0] is old
    assert ("a list", "it is deep") in {(each.holder, each.why) for each in exchange.left}
    exchange.restore()
    assert vars(module.Class)["value"] is old
    assert module.Class.static is old


def test_local_variables() -> None:
    old, new = Value(), Value()
    exchange = Exchange([Old(old, new, "Lock")])
    exchange.run()
    if isinstance(sys._getframe().f_locals, dict):  # before 3.13
        assert [each.holder for each in exchange.left] == [f"{__name__}.test_local_variables().old"]
    else:
        assert old is new


def test_partial_of_nothing_old() -> None:
    kept = partial(len, [])
    exchange = Exchange([Old(Value(), Value(), "Lock")])
    exchange.run()
    assert kept() == exchange.count == 0
