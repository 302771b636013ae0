"""The rows of the primitive benchmark: what is done, and how often.

A row is a function of a runtime and a count; it runs in a green thread of that runtime, does the
operation that its description names `count` times (rounded down to whole rounds, at least one)
and returns nanoseconds per operation.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from benchmarks.runtimes import Runtime

PAYLOAD = b"x" * 64
TIMEOUT = 10.0


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    operation: str
    count: int
    measure: Callable[[Runtime, int], float]


def run_together(runtime: Runtime, body: Callable[[Any], None], arguments: Iterable[Any]) -> int:
    """Run *body* in one thread per argument; return ns from the last one's start to the last end.

    The `sleep(0)` lets all of them start before any of them works, so that starting threads,
    which has rows of its own, is not counted here.
    """
    sleep, started = runtime.sleep, []

    def thread(argument: Any) -> None:
        sleep(0)
        started.append(perf_counter_ns())
        body(argument)

    threads = [runtime.spawn(thread, argument) for argument in arguments]
    for each in threads:
        runtime.wait(each)
    return perf_counter_ns() - started[-1]


def nothing() -> None:
    """What a thread does whose start and end are measured."""


def call(function: Callable[[], None]) -> None:
    """For `run_together` where each thread has work of its own."""
    function()


def spawn_batch(runtime: Runtime, count: int) -> float:
    """Start many threads, then wait for each."""
    spawn, wait, batch = runtime.spawn, runtime.wait, min(count, 1000)
    rounds = max(1, count // batch)
    start = perf_counter_ns()
    for _ in range(rounds):
        for thread in [spawn(nothing) for _ in range(batch)]:
            wait(thread)
    return (perf_counter_ns() - start) / (rounds * batch)


def spawn_single(runtime: Runtime, count: int) -> float:
    """Start a thread and wait for it, one after another."""
    spawn, wait = runtime.spawn, runtime.wait
    start = perf_counter_ns()
    for _ in range(count):
        wait(spawn(nothing))
    return (perf_counter_ns() - start) / count


def switch_among(threads: int) -> Callable[[Runtime, int], float]:
    """Yield in turns among so many threads."""

    def measure(runtime: Runtime, count: int) -> float:
        sleep, rounds = runtime.sleep, max(1, count // threads)

        def body(_: int) -> None:
            for _ in range(rounds):
                sleep(0)

        return run_together(runtime, body, range(threads)) / (rounds * threads)

    return measure


def queue_bounded(runtime: Runtime, count: int) -> float:
    """One producer and one consumer through a queue of ten places."""
    queue = runtime.queue(10)

    def produce() -> None:
        put = queue.put
        for number in range(count):
            put(number)

    def consume() -> None:
        get = queue.get
        for _ in range(count):
            get()

    return run_together(runtime, call, [produce, consume]) / count


def queue_ping_pong(runtime: Runtime, count: int) -> float:
    """Two threads hand an item there and back through two queues."""
    there, back = runtime.queue(), runtime.queue()
    there.put(PAYLOAD)

    def body(ends: tuple[Any, Any]) -> None:
        get, put = ends[0].get, ends[1].put
        for _ in range(count):
            put(get())

    return run_together(runtime, body, [(there, back), (back, there)]) / count


def semaphore_free(runtime: Runtime, count: int) -> float:
    """acquire() and release() where nobody else wants it."""
    semaphore = runtime.semaphore(1)
    acquire, release = semaphore.acquire, semaphore.release
    start = perf_counter_ns()
    for _ in range(count):
        acquire()
        release()
    return (perf_counter_ns() - start) / count


def semaphore_free_with(runtime: Runtime, count: int) -> float:
    """The same through the `with` statement."""
    semaphore = runtime.semaphore(1)
    start = perf_counter_ns()
    for _ in range(count):
        with semaphore:
            pass
    return (perf_counter_ns() - start) / count


def semaphore_contended(runtime: Runtime, count: int) -> float:
    """Ten threads take turns; each yields while it holds the semaphore."""
    semaphore, sleep, threads = runtime.semaphore(1), runtime.sleep, 10
    acquire, release = semaphore.acquire, semaphore.release
    rounds = max(1, count // threads)

    def body(_: int) -> None:
        for _ in range(rounds):
            acquire()
            sleep(0)
            release()

    return run_together(runtime, body, range(threads)) / (rounds * threads)


def event_wake_up(runtime: Runtime, count: int) -> float:
    """Two threads wake each other in turns."""
    send, wait, rounds = runtime.event_send, runtime.event_wait, max(1, count // 2)
    events = list(zip(runtime.events(rounds), runtime.events(rounds), strict=True))

    def body(leads: bool) -> None:
        for there, back in events:
            if leads:
                send(there)
                wait(back)
            else:
                wait(there)
                send(back)

    return run_together(runtime, body, [True, False]) / (rounds * 2)


def timeout_start_cancel(runtime: Runtime, count: int) -> float:
    """Start a timeout and cancel it; yield after each hundred, so that the loop cleans up."""
    start_timeout, cancel, sleep = runtime.timeout_start, runtime.timeout_cancel, runtime.sleep
    batch = min(count, 100)
    rounds = max(1, count // batch)
    start = perf_counter_ns()
    for _ in range(rounds):
        for _ in range(batch):
            cancel(start_timeout(TIMEOUT))
        sleep(0)
    return (perf_counter_ns() - start) / (rounds * batch)


def spawn_sleep(runtime: Runtime, count: int) -> float:
    """Start many threads that each sleep one millisecond, then wait for each."""
    spawn, wait, sleep = runtime.spawn, runtime.wait, runtime.sleep
    start = perf_counter_ns()
    for thread in [spawn(sleep, 0.001) for _ in range(count)]:
        wait(thread)
    return (perf_counter_ns() - start) / count


def local_read(runtime: Runtime, count: int) -> float:
    """Read an attribute of a thread-local object."""
    store, rounds = runtime.local(), max(1, count // 5)
    store.value = 1
    start = perf_counter_ns()
    for _ in range(rounds):
        _ = store.value
        _ = store.value
        _ = store.value
        _ = store.value
        _ = store.value
    return (perf_counter_ns() - start) / (rounds * 5)


def pool_spawn_wait(runtime: Runtime, count: int) -> float:
    """Run tasks in a pool of a hundred threads and wait for all."""
    pool, spawn = runtime.pool(100), runtime.pool_spawn
    start = perf_counter_ns()
    for _ in range(count):
        spawn(pool, nothing)
    runtime.pool_wait(pool)
    return (perf_counter_ns() - start) / count


def socket_ping_pong(pairs: int, timeout: float | None) -> Callable[[Runtime, int], float]:
    """So many pairs of TCP connections over loopback send 64 bytes there and back."""

    def measure(runtime: Runtime, count: int) -> float:
        rounds = max(1, count // pairs)

        def body(end: tuple[Any, bool]) -> None:
            receive, send, leads = end[0].recv, end[0].sendall, end[1]
            for _ in range(rounds):
                if leads:
                    send(PAYLOAD)
                    receive(1024)
                else:
                    receive(1024)
                    send(PAYLOAD)

        with ExitStack() as stack:
            ends = connect_pairs(runtime.socket, pairs, stack)
            for end, _ in ends:
                end.settimeout(timeout)
            return run_together(runtime, body, ends) / (rounds * pairs)

    return measure


def connect_pairs(socket: Any, pairs: int, stack: ExitStack) -> list[tuple[Any, bool]]:
    """Connect so many pairs; return both ends of each with True for the end that leads."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ends: list[tuple[Any, bool]] = []
        for _ in range(pairs):
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            server = stack.enter_context(listener.accept()[0])
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends += [(client, True), (server, False)]
        return ends


ROWS = (
    Row("spawn-batch", "spawn and wait, 1000 at a time", 10_000, spawn_batch),
    Row("spawn-single", "spawn and wait, one by one", 10_000, spawn_single),
    Row("switch-2", "sleep(0) between 2 threads", 100_000, switch_among(2)),
    Row("switch-1000", "sleep(0) among 1000 threads", 100_000, switch_among(1000)),
    Row("queue-bounded", "item through a Queue(10)", 50_000, queue_bounded),
    Row("queue-ping-pong", "round trip through 2 queues", 20_000, queue_ping_pong),
    Row("semaphore-free", "acquire() and release()", 200_000, semaphore_free),
    Row("semaphore-with", "with semaphore", 200_000, semaphore_free_with),
    Row("semaphore-contended", "turn among 10 threads", 20_000, semaphore_contended),
    Row("event", "wake-up of a waiting thread", 20_000, event_wake_up),
    Row("timeout", "start and cancel", 50_000, timeout_start_cancel),
    Row("spawn-sleep", "spawn, sleep(0.001), wait", 5_000, spawn_sleep),
    Row("local", "attribute read", 500_000, local_read),
    Row("pool", "task in a pool of 100", 10_000, pool_spawn_wait),
    Row("socket-1", "TCP round trip, 1 pair", 5_000, socket_ping_pong(1, None)),
    Row("socket-1-timeout", "… with timeouts", 5_000, socket_ping_pong(1, TIMEOUT)),
    Row("socket-200", "TCP round trip, 200 pairs", 10_000, socket_ping_pong(200, None)),
    Row("socket-200-timeout", "… with timeouts", 10_000, socket_ping_pong(200, TIMEOUT)),
)


def find_rows(patterns: Iterable[str]) -> list[Row]:
    """Rows whose name contains one of *patterns*; all rows if there are none."""
    wanted = list(patterns)
    return [row for row in ROWS if not wanted or any(part in row.name for part in wanted)]
