"""trio, anyio, uvicorn and asgiref beside green threads. What does not run would hang."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Run = Callable[..., str]

# Whether the library is there is asked outside: the programs run in fresh interpreters.


@pytest.fixture
def trio() -> None:
    pytest.importorskip("trio", reason="trio is not here")


@pytest.fixture
def anyio(trio: None) -> None:
    pytest.importorskip("anyio", reason="anyio is not here")


def test_trio_beside_threads_and_loops(trio: None, beside_loops: Run) -> None:
    out = beside_loops("""
import trio
COUNT = 3
barrier = threading.Barrier(2 * COUNT)
hooks = set()
async def with_trio():
    for _ in range(5):
        barrier.wait(LIMIT)
        await trio.sleep(0.0001)
        hooks.add(sys.get_asyncgen_hooks())
    return no_loop()
async def with_asyncio():
    for _ in range(5):
        barrier.wait(LIMIT)
        await asyncio.sleep(0.0001)
        hooks.add(sys.get_asyncgen_hooks())
done = []
in_threads(*[lambda: done.append(trio.run(with_trio))] * COUNT,
           *[lambda: done.append(asyncio.run(with_asyncio()))] * COUNT)
print(len(done), len(hooks), no_loop())
""")
    assert out == "6 6 True\n"


@pytest.mark.parametrize("place", ["trio.run(main)", "in_threads(lambda: trio.run(main))"])
def test_trio_with_sockets_threads_and_signals(trio: None, beside_loops: Run, place: str) -> None:
    out = beside_loops(f"""
import trio
async def main():
    # A blocking call that ends when the loop has made some turns.
    lock = native_lock()
    lock.acquire()
    async def release():
        for _ in range(10):
            await trio.sleep(0.0001)
        lock.release()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        print(await trio.to_thread.run_sync(lock.acquire))
    # A loop that never waits, for a green thread.
    told = []
    def tell():
        time.sleep(0.001)
        told.append(1)
    threading.Thread(target=tell).start()
    while not told:
        await trio.lowlevel.checkpoint()
    # A blocking client in a green thread of the same OS thread.
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listeners[0].socket.getsockname()
    answers = []
    def ask():
        with socket.create_connection(address, LIMIT) as client:
            client.sendall(b"hello")
            answers.append(client.recv(100))
    async def answer(stream):
        await stream.send_all((await stream.receive_some(100)).upper())
        await stream.aclose()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, listeners)
            thread = threading.Thread(target=ask)
            thread.start()
            while thread.is_alive():
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    print(answers)
    # Back into the loop, from a green thread.
    token = trio.lowlevel.current_trio_token()
    event = trio.Event()
    threading.Thread(target=token.run_sync_soon, args=(event.set,)).start()
    with trio.fail_after(LIMIT):
        await event.wait()
    process = await trio.run_process([sys.executable, "-c", "print(1)"], capture_stdout=True)
    print(process.stdout.strip())
{place}
""")
    assert out == "True\n[b'HELLO']\nb'1'\n"


def test_trio_is_interrupted(trio: None, beside_loops: Run) -> None:
    out = beside_loops("""
import trio
done = threading.Event()
def spin():
    while not done.is_set():
        time.sleep(0)
thread = threading.Thread(target=spin)
thread.start()
async def main():
    os.kill(os.getpid(), signal.SIGINT)
    await trio.sleep(LIMIT)
try:
    trio.run(main)
except BaseException as error:
    print("KeyboardInterrupt" in repr(error))
done.set()
thread.join(LIMIT)
""")
    assert out == "True\n"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(anyio: None, beside_loops: Run, backend: str) -> None:
    out = beside_loops(
        """
import anyio, anyio.from_thread
backend = sys.argv[1]
async def main():
    lock = native_lock()
    lock.acquire()
    async def release():
        for _ in range(10):
            await anyio.sleep(0.0001)
        lock.release()
    async with anyio.create_task_group() as group:
        group.start_soon(release)
        print(await anyio.to_thread.run_sync(lock.acquire))
    def back():
        return anyio.from_thread.run(anyio.sleep, 0), anyio.from_thread.run_sync(int, "3")
    print(await anyio.to_thread.run_sync(back))
    process = await anyio.run_process([sys.executable, "-c", "print(1)"])
    print(process.stdout.strip())
in_threads(lambda: anyio.run(main, backend=backend))

# Portals into loops of green threads.
async def double(number):
    await anyio.sleep(0.0001)
    return 2 * number
with anyio.from_thread.start_blocking_portal(backend) as one:
    with anyio.from_thread.start_blocking_portal(backend) as two:
        print(one.call(double, 1), two.call(double, 2))
        print(one.start_task_soon(double, 3).result(LIMIT))
""",
        backend,
    )
    assert out == "True\n(None, 3)\nb'1'\n2 4\n6\n"


def test_uvicorn_in_a_thread(beside_loops: Run) -> None:
    """Blocking clients in other green threads; each request waits for all the others."""
    pytest.importorskip("uvicorn", reason="uvicorn is not here")
    out = beside_loops("""
import urllib.request, uvicorn
COUNT = 4
async def app(scope, receive, send):
    assert scope["type"] == "http"
    global here
    here += 1
    if here == COUNT:
        together.set()
    await asyncio.wait_for(together.wait(), LIMIT)
    body = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
here = 0
answers = []
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
server = uvicorn.Server(uvicorn.Config(app, log_level="warning", loop="asyncio", lifespan="off"))
def serve():
    global together
    together = asyncio.Event()
    asyncio.run(server.serve(sockets=[listener]))
serving = threading.Thread(target=serve)
serving.start()
def fetch(number):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=LIMIT) as answer:
        answers.append(answer.read())
in_threads(*[lambda number=number: fetch(number) for number in range(COUNT)])
server.should_exit = True
serving.join(LIMIT)
listener.close()
print(sorted(answers), serving.is_alive())
""")
    assert out == "[b'/0', b'/1', b'/2', b'/3'] False\n"


def test_asgiref(beside_loops: Run) -> None:
    pytest.importorskip("asgiref", reason="asgiref is not here")
    out = beside_loops("""
from asgiref.sync import async_to_sync, sync_to_async
def blocking(number):
    time.sleep(0.0001)
    return number, no_loop()
async def double(number):
    await asyncio.sleep(0.0001)
    return 2 * number, await sync_to_async(blocking)(number)
results = []
def work(number):
    results.append(async_to_sync(double)(number))
in_threads(*[lambda number=number: work(number) for number in range(4)])
print(sorted(results))
async def main():
    return await asyncio.gather(*[sync_to_async(blocking, thread_sensitive=False)(n)
                                  for n in range(3)])
print(asyncio.run(main()))
""")
    assert out.splitlines() == [
        "[(0, (0, True)), (2, (1, True)), (4, (2, True)), (6, (3, True))]",
        "[(0, True), (1, True), (2, True)]",
    ]
