"""eventlet's names for native threads, and the proxy of an object that blocks."""

import threading
from collections.abc import Iterator

import pytest

from greenworld import native, tpool
from greenworld.hub.native import run
from greenworld.hub.timeout import Timeout
from greenworld.tpool import Proxy

LIMIT = 20.0


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """No wait in this file is for ever."""
    with Timeout(LIMIT):
        yield


@pytest.fixture
def _default_size() -> Iterator[None]:
    """Undoes `set_num_threads`."""
    yield
    tpool.set_num_threads(20)


def test_execute_is_native_run() -> None:
    assert tpool.execute is native.run is run
    assert tpool.execute(threading.get_ident) != threading.get_ident()


@pytest.mark.usefixtures("_default_size")
def test_set_num_threads() -> None:
    tpool.set_num_threads(0)
    assert tpool.execute(threading.get_ident) == threading.get_ident()
    tpool.set_num_threads(1)
    assert tpool.execute(threading.get_ident) != threading.get_ident()


def test_killall_is_followed_by_new_threads() -> None:
    tpool.execute(int)
    tpool.killall()
    assert tpool.execute(threading.get_ident) != threading.get_ident()


class Row:
    """What a cursor gives."""

    def __init__(self, number: int) -> None:
        self.number = number


class Cursor:
    """Something with methods that block."""

    kind = "cursor"

    def __init__(self) -> None:
        self.items: dict[object, object] = {}
        self.row = Row(0)
        self.open = False

    def ident(self, *args: object, **kwargs: object) -> object:
        return (threading.get_ident(), args, kwargs)

    def fail(self) -> None:
        raise LookupError("in the method")

    def fetch(self, number: int) -> Row:
        return Row(number)

    def __call__(self, number: int) -> Row:
        return Row(number)

    def __getitem__(self, key: object) -> object:
        return self.items[key], threading.get_ident()

    def __setitem__(self, key: object, value: object) -> None:
        self.items[key] = value

    def __enter__(self) -> "Cursor":
        self.open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open = False

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2, 3])

    def __str__(self) -> str:
        return "the cursor"


def test_methods_run_on_native_threads() -> None:
    proxy = Proxy(Cursor())
    ident, args, kwargs = proxy.ident(1, a=2)
    assert ident != threading.get_ident()
    assert (args, kwargs) == ((1,), {"a": 2})
    assert proxy.ident(nonblocking=True) == (threading.get_ident(), (), {})
    with pytest.raises(LookupError, match="in the method"):
        proxy.fail()
    with pytest.raises(AttributeError, match="missing"):
        _ = proxy.missing


def test_operators_reach_the_object() -> None:
    cursor = Cursor()
    proxy = Proxy(cursor)
    assert not proxy
    proxy["key"] = "value"
    assert cursor.items == {"key": "value"}
    value, ident = proxy["key"]
    assert (value, ident == threading.get_ident()) == ("value", False)
    assert len(proxy) == 1
    assert proxy
    with proxy:
        assert cursor.open
    assert not cursor.open
    assert (str(proxy), repr(proxy)) == ("the cursor", repr(cursor))
    assert proxy == cursor
    assert hash(proxy) == hash(cursor)
    assert proxy.kind == "cursor"


def test_iterates_on_native_threads() -> None:
    def idents() -> Iterator[int]:
        for _ in range(3):
            yield threading.get_ident()

    assert list(Proxy(Cursor())) == [1, 2, 3]
    assert threading.get_ident() not in list(Proxy(idents()))
    proxy = Proxy(iter([1]))
    assert iter(proxy) is proxy
    assert proxy.next() == 1
    with pytest.raises(StopIteration):
        next(proxy)


def test_wraps_what_it_is_told_to() -> None:
    by_class = Proxy(Cursor(), autowrap=(Row,))
    assert isinstance(by_class.fetch(1), Proxy)
    assert isinstance(by_class(2), Proxy)
    assert isinstance(by_class.row, Proxy)
    by_name = Proxy(Cursor(), autowrap_names=("fetch", "__call__", "row"))
    assert isinstance(by_name.fetch(1), Proxy)
    assert isinstance(by_name(2), Proxy)
    assert isinstance(by_name.row, Proxy)
    plain = Proxy(Cursor())
    assert isinstance(plain.fetch(1), Row)
    assert plain.fetch(3).number == 3
