"""Pools and piles: how many run at once, who waits, the order of results, what is kept."""

import threading
import weakref
from collections.abc import Iterator

import pytest

from greenworld.hub import GreenThread, Queue, kill, set_error_handler, sleep, spawn
from greenworld.hub.sync import Event
from greenworld.hub.timeout import Timeout
from greenworld.pool import GreenPile, GreenPool

LIMIT = 20.0


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """No wait in this file is for ever."""
    with Timeout(LIMIT):
        yield


@pytest.fixture
def reported() -> Iterator[list[BaseException]]:
    """The uncaught errors of the test."""
    errors: list[BaseException] = []
    previous = set_error_handler(lambda where, error: errors.append(error))
    yield errors
    set_error_handler(previous)


class Crowd:
    """Runs until told, and knows how many do so at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.may_end = Event()

    def __call__(self, result: object = None) -> object:
        self.now += 1
        self.most = max(self.most, self.now)
        self.may_end.wait()
        self.now -= 1
        return result


def test_spawn_runs_the_function_and_gives_its_green_thread() -> None:
    pool = GreenPool(2)
    thread = pool.spawn(dict, a=1)
    assert isinstance(thread, GreenThread)
    assert pool.running() == 1
    assert thread.wait() == {"a": 1}
    assert (pool.running(), pool.free(), pool.waiting()) == (0, 2, 0)
    assert __file__ in thread.spawned_at


def test_spawn_n_gives_nothing() -> None:
    pool = GreenPool(2)
    done: list[int] = []
    result = pool.spawn_n(done.append, 1)  # type: ignore[func-returns-value]
    assert result is None
    pool.waitall()
    assert done == [1]


def test_no_more_than_size_run_at_once() -> None:
    pool = GreenPool(3)
    crowd = Crowd()

    def fill() -> None:
        for _ in range(10):
            pool.spawn(crowd)

    filler = spawn(fill)
    sleep(0)
    sleep(0)
    assert (pool.running(), pool.free(), pool.waiting()) == (3, 0, 1)
    crowd.may_end.send()
    filler.wait()
    pool.waitall()
    assert crowd.most == 3
    assert (pool.running(), pool.free(), pool.waiting()) == (0, 3, 0)


def test_who_waits_for_a_place_gets_it_in_order() -> None:
    pool = GreenPool(1)
    crowd = Crowd()
    order: list[int] = []
    pool.spawn(crowd)
    spawners = [spawn(pool.spawn, order.append, number) for number in range(5)]
    sleep(0)
    assert pool.waiting() == 5
    crowd.may_end.send()
    for spawner in spawners:
        spawner.wait()
    pool.waitall()
    assert order == list(range(5))


def test_a_place_is_free_again_however_its_thread_ends(reported: list[BaseException]) -> None:
    pool = GreenPool(4)
    crowd = Crowd()
    failing = pool.spawn(int, "no number")
    fresh = pool.spawn(crowd)
    fresh.cancel()
    killed = pool.spawn(crowd)
    unborn = pool.spawn(crowd)
    unborn.kill()
    sleep(0)
    kill(killed)
    pool.waitall()
    assert pool.free() == 4
    with pytest.raises(ValueError, match="no number"):
        failing.wait()
    assert [type(error) for error in reported] == [ValueError]


def test_a_spawner_that_is_killed_takes_no_place() -> None:
    pool = GreenPool(1)
    crowd = Crowd()
    pool.spawn(crowd)
    spawner = spawn(pool.spawn, crowd)
    sleep(0)
    spawner.kill()
    assert (pool.running(), pool.waiting()) == (1, 0)
    crowd.may_end.send()
    pool.waitall()
    assert pool.free() == 1


def test_a_full_pool_runs_what_its_own_threads_spawn_at_once() -> None:
    pool = GreenPool(1)

    def body(depth: int) -> int:
        if not depth:
            return 0
        thread = pool.spawn(body, depth - 1)
        assert thread.ready()
        return 1 + thread.wait()

    assert pool.spawn(body, 5).wait() == 5
    assert (pool.running(), pool.free()) == (0, 1)


def test_an_error_of_what_runs_at_once_stays_in_its_thread(reported: list[BaseException]) -> None:
    pool = GreenPool(1)

    def body() -> str:
        thread = pool.spawn(int, "no number")
        with pytest.raises(ValueError, match="no number"):
            thread.wait()
        return "went on"

    assert pool.spawn(body).wait() == "went on"
    assert len(reported) == 1


def test_a_kill_while_it_runs_something_at_once_ends_the_thread() -> None:
    pool = GreenPool(1)
    crowd = Crowd()

    def body() -> str:
        pool.spawn(crowd)
        return "went on"

    thread = pool.spawn(body)
    sleep(0)
    thread.kill()
    assert thread.ready()
    assert not thread.successful()
    assert pool.free() == 1


def test_waitall_waits_for_what_the_threads_spawn_and_for_spawners() -> None:
    pool = GreenPool(2)
    done: list[int] = []

    def body(number: int) -> None:
        sleep(0)
        if number:
            pool.spawn(body, number - 1)
        done.append(number)

    pool.spawn(body, 5)
    for _ in range(4):
        spawn(pool.spawn, body, 0)
    sleep(0)
    pool.waitall()
    assert sorted(done) == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]


def test_waitall_of_an_empty_pool_returns() -> None:
    GreenPool(1).waitall()


def test_waitall_is_for_many() -> None:
    pool = GreenPool(1)
    crowd = Crowd()
    pool.spawn(crowd)
    waiters = [spawn(pool.waitall) for _ in range(3)]
    sleep(0)
    assert "of 1 running" in waiters[0].waiting_on.describe_wait(waiters[0].lot)
    crowd.may_end.send()
    for waiter in waiters:
        waiter.wait()


def test_waitall_refuses_to_wait_for_its_caller() -> None:
    pool = GreenPool(1)

    def body() -> None:
        with pytest.raises(AssertionError, match="cannot wait"):
            pool.waitall()

    pool.spawn(body).wait()


def test_resize_to_more_lets_waiting_spawners_in() -> None:
    pool = GreenPool(1)
    crowd = Crowd()
    spawners = [spawn(pool.spawn, crowd) for _ in range(3)]
    sleep(0)
    pool.resize(3)
    for spawner in spawners:
        spawner.wait()
    assert (pool.size, pool.running(), pool.free()) == (3, 3, 0)
    crowd.may_end.send()
    pool.waitall()
    assert pool.free() == 3


def test_resize_to_less_waits_for_threads_to_end() -> None:
    pool = GreenPool(4)
    crowds = [Crowd() for _ in range(3)]
    for crowd in crowds:
        pool.spawn(crowd)
    pool.resize(1)
    assert (pool.free(), pool.running()) == (-2, 3)
    pool.resize(2)
    assert pool.free() == -1
    spawner = spawn(pool.spawn, int)
    sleep(0)
    crowds[0].may_end.send()
    sleep(0)
    sleep(0)
    assert (pool.free(), pool.waiting()) == (0, 1)
    crowds[1].may_end.send()
    spawner.wait()
    crowds[2].may_end.send()
    pool.waitall()
    assert pool.free() == 2


@pytest.mark.parametrize(("size", "error"), [("many", TypeError), (-1, ValueError)])
def test_senseless_sizes_are_refused(size: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="size of a pool"):
        GreenPool(size)
    pool = GreenPool(1)
    with pytest.raises(error, match="size of a pool"):
        pool.resize(size)
    assert (pool.size, pool.free()) == (1, 1)


def test_imap_gives_results_in_order() -> None:
    def body(number: int) -> int:
        for _ in range(10 - number):
            sleep(0)
        return number * number

    assert list(GreenPool(4).imap(body, range(10))) == [n * n for n in range(10)]
    assert list(GreenPool(4).imap(max, [1, 5, 9], [3, 4])) == [3, 5]
    assert list(GreenPool().starmap(divmod, [(7, 2), (9, 4)])) == [(3, 1), (2, 1)]
    assert list(GreenPool().imap(None, "ab", "cd")) == [("a", "c"), ("b", "d")]
    assert list(GreenPool().imap(abs, [])) == []


def test_imap_keeps_to_the_pool() -> None:
    pool = GreenPool(3)
    crowd = Crowd()
    results = pool.imap(crowd, range(10))
    pool.spawn(crowd)
    sleep(0)
    sleep(0)
    assert pool.running() == 3
    crowd.may_end.send()
    assert list(results) == list(range(10))
    assert crowd.most == 3


def test_imap_reads_no_further_ahead_than_the_pool_is_large() -> None:
    pool = GreenPool(3)
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    results = pool.imap(abs, numbers())
    for expected in range(100):
        assert next(results) == expected
        for _ in range(10):
            sleep(0)
        # In the queue, and one that waits to be put into it.
        assert len(read) <= expected + 1 + pool.size + 2
    assert next(results, "end") == "end"
    assert next(results, "end") == "end"


def test_imap_hands_on_results_while_the_iterable_blocks() -> None:
    source: Queue[int] = Queue()
    results = GreenPool(3).imap(abs, iter(source.get, 0))
    for number in (-1, -2):
        source.put(number)
        assert next(results) == -number
    source.put(0)
    assert list(results) == []


def test_imap_raises_an_error_in_its_place_and_goes_on(reported: list[BaseException]) -> None:
    results = GreenPool(2).imap(int, ["1", "x", "3"])
    assert next(results) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(results)
    assert list(results) == [3]
    assert len(reported) == 1


def test_imap_raises_an_error_of_the_iterable_at_the_end() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError

    results = GreenPool(2).imap(abs, numbers())
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)
    assert list(results) == []


def test_imap_inside_the_pool_does_not_wait_for_its_callers() -> None:
    pool = GreenPool(2)

    def body() -> int:
        return sum(pool.imap(abs, range(10)))

    assert [thread.wait() for thread in [pool.spawn(body) for _ in range(4)]] == [45] * 4


def test_an_imap_that_is_dropped_stops_reading() -> None:
    pool = GreenPool(2)
    closed = Event()

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.send(True)

    results = pool.imap(abs, numbers())
    next(results)
    del results
    assert closed.wait(LIMIT)
    pool.waitall()


def test_a_pile_gives_results_in_order() -> None:
    def body(number: int) -> int:
        for _ in range(10 - number):
            sleep(0)
        return number

    pile = GreenPile(4)
    for number in range(10):
        pile.spawn(body, number)
    assert list(pile) == list(range(10))
    assert list(pile) == []
    pile.spawn(body, 3)
    assert pile.next() == 3
    with pytest.raises(StopIteration):
        pile.next()


def test_an_empty_pile_is_an_empty_sequence() -> None:
    assert list(GreenPile()) == []


def test_piles_share_a_pool() -> None:
    pool = GreenPool(2)
    first, second = GreenPile(pool), GreenPile(pool)
    assert first.pool is second.pool is pool
    for number in range(5):
        first.spawn(abs, number)
        second.spawn(abs, -number)
    assert list(first) == list(second) == list(range(5))


def test_a_pile_raises_an_error_in_its_place_and_goes_on(reported: list[BaseException]) -> None:
    pile = GreenPile(2)
    for text in ("1", "x", "3"):
        pile.spawn(int, text)
    assert next(pile) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(pile)
    assert list(pile) == [3]
    assert len(reported) == 1


def test_a_spawn_that_fails_leaves_no_gap_in_the_pile() -> None:
    pool = GreenPool(1)
    crowd = Crowd()
    pile = GreenPile(pool)
    pile.spawn(crowd, 1)
    spawner = spawn(pile.spawn, crowd, 2)
    sleep(0)
    spawner.kill()
    crowd.may_end.send()
    assert list(pile) == [1]


def test_a_pile_keeps_results_and_nothing_else() -> None:
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    pile = GreenPile(2)
    pile.spawn(id, argument)
    pile.pool.waitall()
    expected = id(argument)
    del argument
    assert alive() is None
    assert list(pile) == [expected]


def test_a_pool_is_for_several_native_threads() -> None:
    pool = GreenPool(3)
    lock = threading.Lock()
    counts = {"now": 0, "most": 0, "done": 0}

    def body() -> None:
        with lock:
            counts["now"] += 1
            counts["most"] = max(counts["most"], counts["now"])
        sleep(0)
        with lock:
            counts["now"] -= 1
            counts["done"] += 1

    def use() -> None:
        for _ in range(50):
            pool.spawn(body).wait()

    natives = [threading.Thread(target=use) for _ in range(3)]
    for native in natives:
        native.start()
    use()
    for native in natives:
        native.join(LIMIT)
    pool.waitall()
    assert counts["done"] == 4 * 50
    assert counts["most"] <= 3
    assert (pool.running(), pool.free(), pool.waiting()) == (0, 3, 0)
