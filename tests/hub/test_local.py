"""local: values of each thread's own, for as long as the thread and the local live."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import greenlet

from greenworld.hub import local as local_module
from greenworld.hub import native
from greenworld.hub.local import local
from greenworld.hub.queue import Queue
from greenworld.hub.spawning import sleep, spawn
from greenworld.hub.sync import Event

LIMIT = 20.0


class Value:
    """Something whose end can be seen."""


class Plain(local):
    """A subclass, which has no class of its own per object."""


@pytest.fixture(params=["keyed", "subclass"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    """Makes locals of both kinds."""
    left = local_module._keyed_classes_left
    local_module._keyed_classes_left = iter([None] * 100)
    yield local if request.param == "keyed" else Plain
    local_module._keyed_classes_left = left


def run_native(function: Callable[[], Any]) -> Any:
    """Call in a fresh OS thread without a hub."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(LIMIT)
    return results[0]


def test_each_green_thread_has_its_own_values(make: Callable[[], Any]) -> None:
    shared = make()
    shared.value = "main"

    def body(number: int) -> int:
        assert not hasattr(shared, "value")
        shared.value = number
        sleep(0)
        value: int = shared.value
        return value

    assert [t.wait(LIMIT) for t in [spawn(body, n) for n in range(10)]] == list(range(10))
    assert shared.value == "main"


def test_each_native_thread_has_its_own_values(make: Callable[[], Any]) -> None:
    shared = make()
    shared.value = "main"

    def body() -> object:
        before = getattr(shared, "value", None)
        shared.value = "native"
        return before, shared.value

    assert run_native(body) == (None, "native")
    assert native.run(body) == (None, "native")
    assert shared.value == "main"


def test_a_native_thread_keeps_its_values_when_it_makes_a_hub(make: Callable[[], Any]) -> None:
    shared = make()

    def body() -> object:
        shared.value = "before"
        inside = spawn(getattr, shared, "value", None).wait(LIMIT)
        return inside, shared.value

    assert run_native(body) == (None, "before")


def test_an_error_says_what_is_missing(make: Callable[[], Any]) -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'value'"):
        _ = make().value
    with pytest.raises(AttributeError, match=r"has no attribute 'value'"):
        del make().value


def test_values_can_be_deleted(make: Callable[[], Any]) -> None:
    shared = make()
    shared.value = 1
    del shared.value
    assert not hasattr(shared, "value")


def test_dict_is_the_present_threads(make: Callable[[], Any]) -> None:
    shared = make()
    shared.value = 1
    assert shared.__dict__ == vars(shared) == {"value": 1}
    assert "value" in dir(shared)
    assert spawn(vars, shared).wait(LIMIT) == {}
    shared.__dict__["other"] = 2
    assert shared.other == 2
    with pytest.raises(AttributeError, match="read-only"):
        shared.__dict__ = {}
    with pytest.raises(AttributeError, match="read-only"):
        del shared.__dict__


def test_looks_like_what_it_is(make: Callable[[], Any]) -> None:
    shared = make()
    assert isinstance(shared, local)
    assert type(shared).__name__ in ("local", "Plain")
    assert shared == shared
    assert bool(shared)
    assert shared in {shared}
    assert "local object at" in repr(shared) or "Plain object at" in repr(shared)


def test_plain_locals_refuse_arguments() -> None:
    with pytest.raises(TypeError, match="Initialization arguments"):
        local(1)
    with pytest.raises(TypeError, match="Initialization arguments"):
        Plain(a=1)


class Counted(local):
    """Counts its initialisations in all threads."""

    calls: Queue[tuple[Any, ...]] = Queue()
    kind = "class attribute"
    __slots__ = ("common",)

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.calls.put((args, kwargs))
        self.args = args

    @property
    def first(self) -> object:
        """Through a descriptor of the class."""
        return self.args[0]

    @first.setter
    def first(self, value: object) -> None:
        self.args = (value,)

    @first.deleter
    def first(self) -> None:
        self.args = ()

    def method(self) -> object:
        """Found in the class."""
        return self.first


def test_init_runs_again_in_each_thread() -> None:
    shared = Counted(1, two=2)
    assert shared.calls.get_nowait() == ((1,), {"two": 2})
    assert shared.args == (1,)
    shared.args = ("main",)
    for run in (run_native, lambda function: spawn(function).wait(LIMIT)):
        assert run(lambda: (shared.args, shared.args)) == ((1,), (1,))
        assert shared.calls.get_nowait() == ((1,), {"two": 2})
    assert shared.calls.empty()
    assert shared.args == ("main",)


def test_init_that_failed_is_tried_again() -> None:
    class Picky(local):
        fails = True

        def __init__(self) -> None:
            self.value = 1
            if threading.current_thread() is not threading.main_thread() and type(self).fails:
                type(self).fails = False
                raise LookupError("not yet")

    shared = Picky()

    def body() -> object:
        with pytest.raises(LookupError):
            _ = shared.value
        return shared.value

    assert run_native(body) == 1


def test_the_class_is_looked_at_as_usual() -> None:
    shared = Counted(1)
    assert shared.kind == "class attribute"
    shared.kind = "own"
    assert (shared.kind, Counted.kind) == ("own", "class attribute")
    assert shared.method() == 1
    shared.first = 2
    assert vars(shared) == {"args": (2,), "kind": "own"}
    del shared.first
    assert shared.args == ()
    shared.common = 3
    assert spawn(lambda: shared.common).wait(LIMIT) == 3
    assert "common" not in vars(shared)
    while not shared.calls.empty():
        shared.calls.get_nowait()


def test_getattr_of_a_subclass_is_asked_last() -> None:
    class Default(local):
        def __getattr__(self, name: str) -> str:
            return f"no {name}"

    shared = Default()
    shared.value = "set"
    assert (shared.value, shared.other) == ("set", "no other")


def test_values_go_when_the_green_thread_ends(make: Callable[[], Any]) -> None:
    shared = make()

    def body() -> "weakref.ref[Value]":
        shared.value = Value()
        return weakref.ref(shared.value)

    thread = spawn(body)
    assert thread.wait(LIMIT)() is None
    assert not thread.locals


def test_values_go_when_the_native_thread_ends(make: Callable[[], Any]) -> None:
    shared = make()

    def body() -> "weakref.ref[Value]":
        shared.value = Value()
        return weakref.ref(shared.value)

    assert run_native(body)() is None


def test_values_go_with_the_local(make: Callable[[], Any]) -> None:
    shared = make()
    shared.value = Value()
    alive = [weakref.ref(shared.value)]
    done = Event()

    def body(holder: list[Any]) -> None:
        own = holder.pop()
        own.value = Value()
        alive.append(weakref.ref(own.value))
        del own
        done.wait(LIMIT)

    def raw(holder: list[Any]) -> None:
        own = holder.pop()
        sleep(0)
        own.other = Value()
        alive.append(weakref.ref(own.other))

    thread = spawn(body, [shared])
    greenlet(raw).switch([shared])
    sleep(0)
    assert len(alive) == 3
    assert None not in [each() for each in alive]
    gc.disable()
    try:
        del shared
        assert [each() for each in alive] == [None] * 3
    finally:
        gc.enable()
    done.send()
    thread.wait(LIMIT)


def test_values_go_with_a_local_in_a_cycle(make: Callable[[], Any]) -> None:
    """Also where no other local has values, so that nobody else refers to the thread."""

    def use() -> Any:
        each = make()
        each.value = value = Value()
        cycle: list[Any] = [each]
        cycle.append(cycle)
        gone = weakref.ref(value)
        del each, cycle, value
        gc.collect()
        return gone()

    assert spawn(use).wait(LIMIT) is None
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(use()))
    thread.start()
    thread.join(LIMIT)
    assert results == [None]


def test_a_local_is_not_confused_with_one_that_was_there_before(make: Callable[[], Any]) -> None:
    for number in range(1000):
        shared = make()
        assert not hasattr(shared, "value")
        shared.value = number


def test_threads_that_have_ended_are_forgotten(make: Callable[[], Any]) -> None:
    shared = make()
    for _ in range(20):
        for thread in [spawn(setattr, shared, "value", number) for number in range(10)]:
            thread.wait(LIMIT)
    record = local_module._get_record(shared)
    assert len(record.owners) <= 2 * local_module.FIRST_SWEEP


def test_a_finaliser_may_use_a_local_that_is_garbage(make: Callable[[], Any]) -> None:
    seen = []

    class Last:
        def __init__(self) -> None:
            self.local = make()
            self.local.value = 1
            self.cycle = self

        def __del__(self) -> None:
            self.local.other = 2
            seen.append(self.local.other)

    Last()
    gc.collect()
    assert seen == [2]
    assert not hasattr(make(), "other")


def test_a_raw_greenlet_shares_the_values_of_its_host(make: Callable[[], Any]) -> None:
    shared = make()

    def raw() -> None:
        shared.before = shared.value + 1
        sleep(0)  # from here on the hub knows it
        shared.after = shared.before + 1
        greenlet(lambda: setattr(shared, "deep", shared.after + 1)).switch()

    def body() -> object:
        shared.value = 1
        greenlet(raw).switch()
        return vars(shared)

    expected = {"value": 1, "before": 2, "after": 3, "deep": 4}
    assert spawn(body).wait(LIMIT) == expected
    assert body() == expected


def test_plain_locals_beyond_the_keyed_ones_work_alike() -> None:
    many = [local() for _ in range(2 * local_module.KEYED_CLASSES)]
    for number, each in enumerate(many):
        each.value = number
    assert [each.value for each in many] == list(range(len(many)))
    assert type(many[-1]) is local
