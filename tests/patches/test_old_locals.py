"""`threading.local` from before the patch, in fresh interpreters."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., str]


def test_objects_and_subclasses_from_before(program: Run) -> None:
    out = program(
        """
import threading
plain = threading.local()
plain.value = "main"

class Holder:
    def __init__(self):
        self.state = threading.local()
        self.state.value = "main"

class WithInit(threading.local):
    default = "class"
    def __init__(self, start, *, step=1):
        self.value = start
        self.step = step
    @property
    def double(self):
        return self.value * 2
    @double.setter
    def double(self, value):
        self.value = value // 2

class Deeper(WithInit):
    pass

def make():
    inside = threading.local()
    inside.value = "main"
    return lambda: inside

holder, counted, deeper, closure = Holder(), WithInit(10, step=5), Deeper(20), make()
counted.value = 11
deeper.more = "main"

from greenworld.patches import monkey_patch, original, undo
applied = monkey_patch(strict=True)
assert applied.left == ()
later = Deeper(30)
native = original("threading")

def work(number):
    for each in (plain, holder.state, closure()):
        assert not hasattr(each, "value"), number
        each.value = number
    assert (counted.value, counted.step, counted.default) == (10, 5, "class")
    assert (deeper.value, deeper.step, later.value) == (20, 1, 30)
    assert not hasattr(deeper, "more")
    counted.double = number * 2
    deeper.value += number
    together.wait(15)
    assert plain.value == holder.state.value == closure().value == counted.value == number
    assert deeper.value == 20 + number and counted.double == number * 2
    assert vars(counted) == {"value": number, "step": 5}
    del counted.value
    assert not hasattr(counted, "value")
    try:
        del counted.value
    except AttributeError:
        seen.append(number)

seen = []
for kind in (threading, native):
    together = kind.Barrier(3)
    threads = [kind.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(20)
print(sorted(seen))
assert plain.value == holder.state.value == closure().value == "main"
assert (counted.value, deeper.value, deeper.more) == (11, 20, "main")
assert isinstance(counted, WithInit) and type(deeper) is Deeper
undo()
print(plain.value, holder.state.value, counted.value, deeper.more, later.value)
import _thread
assert type(plain) is type(closure()) is _thread._local
assert not {"__new__", "__getattribute__"} & vars(WithInit).keys()
"""
    )
    assert out.splitlines() == ["[0, 0, 1, 1, 2, 2]", "main main 11 main 30"]


def test_init_runs_once_in_each_thread(program: Run) -> None:
    out = program(
        """
import threading

class Counting(threading.local):
    calls = 0
    def __init__(self):
        if Counting.fail: raise ValueError("not yet")
        Counting.calls += 1
    fail = False

from greenworld.patches import monkey_patch
monkey_patch()
made = []

def work():
    local = Counting()
    local.value = 1
    made.append(local)
    def use():
        Counting.fail = True
        try:
            made[0].value
        except ValueError:
            Counting.fail = False
        assert not hasattr(made[0], "value")
    inner = threading.Thread(target=use)
    inner.start(); inner.join(20)
    assert local.value == 1

thread = threading.Thread(target=work)
thread.start(); thread.join(20)
print(Counting.calls)
import gc
from greenworld.patches import old_locals
assert len(old_locals.records) == 1
del made[:]
gc.collect()
print(len(old_locals.records))
"""
    )
    assert out.splitlines() == ["2", "0"]


def test_a_class_that_does_it_by_itself_is_named(program: Run) -> None:
    out = program(
        """
import threading

class Own(threading.local):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)

from greenworld.patches import PatchError, monkey_patch, is_monkey_patched
try:
    monkey_patch(strict=True)
except PatchError as error:
    print([(each.kind, each.holder, each.module, each.why) for each in error.left])
assert not is_monkey_patched("thread") and "greenworld" not in threading.local.__module__
print(len(monkey_patch().left))
"""
    )
    why = "the class has a method __setattr__ of its own"
    assert out.splitlines() == [f"[('local', '__main__.Own', '__main__', '{why}')]", "1"]
