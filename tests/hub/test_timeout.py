"""Timeout: what it raises, where it hits, and that it never hits after its block."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from greenlet import greenlet

from greenworld.hub.current import get_hub
from greenworld.hub.queue import Queue
from greenworld.hub.spawning import sleep, spawn
from greenworld.hub.sync import Event
from greenworld.hub.timeout import Timeout, with_timeout

LIMIT = 20.0
SOON = 0.001


@pytest.fixture(autouse=True)
def _leaves_no_timer() -> Iterator[None]:
    before = len(get_hub().timers)
    yield
    assert len(get_hub().timers) == before


def never() -> None:
    """Wait for something that does not come; the limit is there for a broken Timeout."""
    assert Event().wait(LIMIT) is not None


def test_raises_itself_in_the_wait() -> None:
    with pytest.raises(Timeout) as caught, Timeout(SOON) as timeout:
        never()
    assert caught.value is timeout
    assert not timeout.pending


def test_is_no_exception_that_ordinary_handlers_catch() -> None:
    assert not issubclass(Timeout, Exception)
    assert Timeout().is_timeout


def test_says_its_seconds() -> None:
    assert str(Timeout()) == ""
    for timeout, words in [
        (Timeout(LIMIT), "20.0 seconds"),
        (Timeout(1), "1 second"),
        (Timeout(5, True), "5 seconds"),
        (Timeout(5, False), "5 seconds (silent)"),
        (Timeout(5, ValueError("late")), "5 seconds (late)"),
    ]:
        assert str(timeout) == words
        assert " pending" in repr(timeout)
        timeout.cancel()
        assert " pending" not in repr(timeout)
    assert "exception=False" in repr(Timeout(None, False))


@pytest.mark.parametrize("exception", [LookupError, LookupError("late")])
def test_raises_the_exception_that_was_given(
    exception: LookupError | type[LookupError],
) -> None:
    with pytest.raises(LookupError) as caught, Timeout(SOON, exception):
        never()
    assert isinstance(exception, type) or caught.value is exception


def test_true_means_itself() -> None:
    with pytest.raises(Timeout), Timeout(SOON, True):
        never()


def test_false_means_that_the_block_swallows_it() -> None:
    with Timeout(SOON, False):
        never()
        pytest.fail("the block went on")


def test_false_swallows_nothing_else() -> None:
    with pytest.raises(LookupError), Timeout(LIMIT, False):
        raise LookupError
    with pytest.raises(Timeout), Timeout(LIMIT, False), Timeout(SOON):
        never()


def test_none_never_comes() -> None:
    with Timeout(None) as timeout:
        assert not timeout.pending
        sleep(0)
    timeout.start()
    assert not timeout.pending


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_raises_in_the_next_wait(seconds: float) -> None:
    with pytest.raises(Timeout), Timeout(seconds):
        never()


def test_a_cancelled_one_never_comes() -> None:
    timeout = Timeout(SOON)
    assert timeout.pending
    timeout.cancel()
    assert not timeout.pending
    timeout.cancel()
    sleep(2 * SOON)


def test_leaving_the_block_cancels_it() -> None:
    with Timeout(SOON):
        pass
    sleep(2 * SOON)


def test_can_be_started_again() -> None:
    timeout = Timeout(SOON)
    with pytest.raises(AssertionError, match="cancel it"):
        timeout.start()
    timeout.cancel()
    with pytest.raises(Timeout), timeout.start():
        never()
    with pytest.raises(Timeout), timeout:
        never()


def test_can_be_raised_by_hand() -> None:
    with pytest.raises(Timeout):
        raise Timeout


def test_nested_ones_raise_in_the_order_of_their_deadlines() -> None:
    order = []
    with Timeout(LIMIT):
        try:
            with Timeout(2 * SOON) as outer:
                try:
                    with Timeout(SOON) as inner:
                        never()
                except Timeout as error:
                    order.append(error)
                never()
        except Timeout as error:
            order.append(error)
    assert order == [inner, outer]


def test_the_outer_one_passes_through_the_inner_block() -> None:
    with pytest.raises(Timeout) as caught, Timeout(SOON) as outer, Timeout(LIMIT, False):
        never()
    assert caught.value is outer


def test_two_at_once_raise_one_if_that_leaves_both_blocks() -> None:
    # Both deadlines are past when the hub looks; whichever is raised leaves the other's block.
    for _ in range(20):
        with pytest.raises(LookupError), Timeout(0, LookupError), Timeout(0, LookupError):
            never()
        sleep(0)
    sleep(2 * SOON)


def test_two_at_once_raise_both_if_the_first_leaves_its_own_block_only() -> None:
    raised: list[type[Exception]] = []
    with Timeout(LIMIT):
        try:
            with Timeout(0, LookupError):
                try:
                    with Timeout(0, ValueError):
                        never()
                except ValueError as error:
                    raised.append(type(error))
                never()
        except LookupError as error:
            raised.append(type(error))
    assert raised in ([ValueError, LookupError], [LookupError])


def test_hits_the_thread_that_started_it() -> None:
    def body(seconds: float) -> str:
        try:
            with Timeout(seconds):
                done.wait(LIMIT)
        except Timeout:
            return "timed out"
        return "done"

    done = Event()
    slow, fast = spawn(body, LIMIT), spawn(body, SOON)
    assert fast.wait(LIMIT) == "timed out"
    done.send(True)
    assert slow.wait(LIMIT) == "done"


def test_the_thread_that_ended_before_is_not_hit() -> None:
    def body() -> Timeout:
        return Timeout(SOON)  # left running: a mistake, but nobody else's problem

    def tenant() -> str:
        sleep(3 * SOON)
        return "spared"

    timeout = spawn(body).wait(LIMIT)
    assert spawn(tenant).wait(LIMIT) == "spared"
    assert not timeout.pending


def test_another_thread_may_cancel_it() -> None:
    started: Queue[Timeout] = Queue()
    done = Event()

    def body() -> str:
        with Timeout(LIMIT) as timeout:
            started.put(timeout)
            done.wait(LIMIT)
        return "spared"

    thread = spawn(body)
    timeout = started.get(timeout=LIMIT)
    assert timeout.pending
    timeout.cancel()
    assert not timeout.pending
    done.send(True)
    assert thread.wait(LIMIT) == "spared"


@pytest.mark.parametrize("wait", [lambda: sleep(LIMIT), lambda: Queue[int]().get(), never])
def test_interrupts_every_kind_of_wait(wait: Callable[[], object]) -> None:
    with pytest.raises(Timeout), Timeout(SOON):
        wait()


def test_interrupts_a_loop_that_only_yields() -> None:
    def spin() -> None:
        while True:
            sleep(0)

    with pytest.raises(Timeout), Timeout(SOON):
        spin()


def test_hits_a_raw_greenlet_that_waits_inside_the_block() -> None:
    seen = []

    def raw() -> None:
        try:
            never()
        except Timeout as error:
            seen.append(error)
            raise

    with pytest.raises(Timeout), Timeout(SOON) as timeout:
        greenlet(raw).switch()
    assert seen == [timeout]


def test_never_hits_after_its_block_whatever_raw_greenlets_ran_there() -> None:
    def inner() -> None:
        while timeout.pending:
            sleep(0)

    def outer() -> None:
        sleep(0)
        greenlet(inner).switch()

    try:
        with Timeout(SOON) as timeout:
            greenlet(outer).switch()
    except Timeout:
        pass  # hit inside its block: that is all right
    for _ in range(10):
        sleep(0)
    sleep(SOON)


def test_makes_a_hub_in_a_native_thread() -> None:
    outcomes: list[str] = []

    def body() -> None:
        try:
            with Timeout(SOON):
                never()
        except Timeout as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(LIMIT)
    assert outcomes == ["0.001 seconds"]


def test_is_released_when_it_is_cancelled() -> None:
    class Named(Timeout):
        pass

    gc.disable()
    try:
        timeout = Named(LIMIT)
        alive = weakref.ref(timeout)
        timeout.cancel()
        del timeout
        assert alive() is None
    finally:
        gc.enable()


def test_with_timeout_returns_the_result() -> None:
    assert with_timeout(LIMIT, divmod, 17, 5) == (3, 2)
    assert with_timeout(None, dict, a=1) == {"a": 1}


def test_with_timeout_raises() -> None:
    with pytest.raises(Timeout):
        with_timeout(SOON, never)
    with pytest.raises(KeyError):
        with_timeout(LIMIT, {}.pop, "missing", timeout_value="late")


def test_with_timeout_returns_the_value_for_the_time_out() -> None:
    assert with_timeout(SOON, never, timeout_value="late") == "late"
    assert with_timeout(SOON, never, timeout_value=None) is None


def test_with_timeout_passes_on_the_time_out_of_somebody_else() -> None:
    with pytest.raises(Timeout) as caught, Timeout(SOON) as outer:
        with_timeout(LIMIT, never, timeout_value="late")
    assert caught.value is outer
