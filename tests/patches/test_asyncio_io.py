"""What a loop in a green thread has to do with threads, executors, sockets, children, signals."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate of "localhost" and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make a certificate with")
    certificate, key = f"{tmp_path}/certificate.pem", f"{tmp_path}/key.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
        timeout=20,
    )
    return certificate, key


# Calls from elsewhere


def test_calls_from_green_and_native_threads_and_other_loops(beside_loops: Run) -> None:
    out = beside_loops("""
async def main():
    global loop
    loop = asyncio.get_running_loop()
    called = asyncio.Queue()
    def call(name):
        loop.call_soon_threadsafe(called.put_nowait, name)
    async def call_from_loop():
        call("loop")
    threading.Thread(target=call, args=("green",)).start()
    threading.Thread(target=lambda: asyncio.run(call_from_loop())).start()
    start_native(call, ("native",))
    print(sorted([await asyncio.wait_for(called.get(), LIMIT) for _ in range(3)]))
asyncio.run(main())
""")
    assert out == "['green', 'loop', 'native']\n"


@pytest.mark.parametrize("start", ["threading.Thread(target=ask).start()", "start_native(ask, ())"])
def test_a_coroutine_for_another_thread(beside_loops: Run, start: str) -> None:
    out = beside_loops(f"""
async def double(number):
    await asyncio.sleep(0.0001)
    if number < 0:
        raise ValueError(number)
    return 2 * number
def ask():
    future = asyncio.run_coroutine_threadsafe(double(21), loop)
    print(future.result(LIMIT))
    try:
        asyncio.run_coroutine_threadsafe(double(-1), loop).result(LIMIT)
    except ValueError as error:
        print(repr(error))
    loop.call_soon_threadsafe(done.set)
async def main():
    global loop, done
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    {start}
    await asyncio.wait_for(done.wait(), LIMIT)
asyncio.run(main())
""")
    assert out == "42\nValueError(-1)\n"


def test_futures_of_other_threads(beside_loops: Run) -> None:
    out = beside_loops("""
import concurrent.futures
async def main():
    future = concurrent.futures.Future()
    threading.Thread(target=future.set_result, args=("set",)).start()
    print(await asyncio.wait_for(asyncio.wrap_future(future), LIMIT))
    future = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(future)
    wrapped.cancel()
    await asyncio.sleep(0)
    print(future.cancelled())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        loop = asyncio.get_running_loop()
        together = threading.Barrier(2)
        calls = [loop.run_in_executor(pool, together.wait, LIMIT) for _ in range(2)]
        print(sorted(await asyncio.gather(*calls)))
asyncio.run(main())
""")
    assert out == "set\nTrue\n[0, 1]\n"


# The default executor


def test_the_loop_goes_on_while_a_native_call_blocks(beside_loops: Run) -> None:
    """The call ends when the loop has made some turns."""
    out = beside_loops("""
async def main():
    lock = native_lock()
    lock.acquire()
    blocked = asyncio.create_task(asyncio.to_thread(lock.acquire))
    for _ in range(10):
        await asyncio.sleep(0.0001)
    lock.release()
    print(await asyncio.wait_for(blocked, LIMIT))
asyncio.run(main())
""")
    assert out == "True\n"


def test_what_runs_in_the_default_executor(beside_loops: Run) -> None:
    out = beside_loops("""
import concurrent.futures, contextvars
name = contextvars.ContextVar("name")
def look():
    from greenworld.hub.current import has_hub
    thread = threading.current_thread()
    return thread.name, thread.ident != threading.main_thread().ident, has_hub(), name.get()
async def main():
    loop = asyncio.get_running_loop()
    name.set("context")
    print(await asyncio.to_thread(look))
    print(isinstance(loop._default_executor, concurrent.futures.ThreadPoolExecutor))
    infos = await loop.getaddrinfo("localhost", 80, family=socket.AF_INET)
    print(infos[0][4], await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | 2))
    # Patched primitives, between a native thread and the loop's green one.
    event, lock = threading.Event(), threading.Lock()
    with lock:
        waiting = [loop.run_in_executor(None, event.wait, LIMIT) for _ in range(3)]
        locking = loop.run_in_executor(None, lock.acquire, True, LIMIT)
        await asyncio.sleep(0.001)
        event.set()
        print(await asyncio.gather(*waiting))
    print(await locking)
    try:
        await asyncio.to_thread(int, "no number")
    except ValueError as error:
        print(error)
    def nested():
        return asyncio.run(asyncio.to_thread(threading.current_thread))
    print((await asyncio.to_thread(nested)).name)
    await loop.shutdown_default_executor()
    try:
        await asyncio.to_thread(look)
    except RuntimeError as error:
        print(error)
asyncio.run(main())
""")
    assert out.splitlines() == [
        "('asyncio_0', True, False, 'context')",
        "True",
        "('127.0.0.1', 80) ('127.0.0.1', '80')",
        "[True, True, True]",
        "True",
        "invalid literal for int() with base 10: 'no number'",
        "asyncio_0",
        "Executor shutdown has been called",
    ]


def test_an_executor_of_the_programs_own_is_used(beside_loops: Run) -> None:
    out = beside_loops("""
import concurrent.futures
async def main():
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ThreadPoolExecutor(1, "mine")
    loop.set_default_executor(pool)
    print(await asyncio.to_thread(lambda: threading.current_thread().name))
asyncio.run(main())
""")
    assert out == "mine_0\n"


def test_the_interpreter_waits_for_a_call_at_exit(beside_loops: Run) -> None:
    out = beside_loops("""
def work():
    native_sleep(0.05)
    print("done", flush=True)
loop = asyncio.new_event_loop()
async def main():
    loop.run_in_executor(None, work)
loop.run_until_complete(main())
""")
    assert out == "done\n"


# Sockets, children, signals


def test_loop_methods_on_sockets(beside_loops: Run) -> None:
    out = beside_loops("""
async def main():
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        left, right = map(stack.enter_context, socket.socketpair())
        left.setblocking(False), right.setblocking(False)
        try:
            left.recv(1)
        except BlockingIOError as error:
            print(type(error).__name__)
        reading = asyncio.create_task(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        await loop.sock_sendall(right, b"hello")
        print(await reading)

        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        accepting = asyncio.create_task(loop.sock_accept(listener))
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        server = stack.enter_context((await accepting)[0])
        big = b"x" * 3_000_000
        sending = asyncio.create_task(loop.sock_sendall(client, big))
        received = bytearray(len(big))
        count = 0
        while count < len(big):
            count += await loop.sock_recv_into(server, memoryview(received)[count:])
        await sending
        print(received == big)

        # A descriptor that the loop watches.
        read_fd, write_fd = os.pipe()
        told = asyncio.Event()
        loop.add_reader(read_fd, told.set)
        threading.Thread(target=os.write, args=(write_fd, b"x")).start()
        await asyncio.wait_for(told.wait(), LIMIT)
        print(loop.remove_reader(read_fd), os.read(read_fd, 10))
        os.close(read_fd), os.close(write_fd)
in_threads(lambda: asyncio.run(main(), debug=True))
""")
    assert out.splitlines() == ["BlockingIOError", "b'hello'", "True", "True b'x'"]


def test_streams_and_datagrams_between_a_loop_and_threads(beside_loops: Run) -> None:
    """Blocking clients in green threads of the loop's own OS thread."""
    out = beside_loops("""
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, address): self.transport.sendto(data.upper(), address)

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

answers = []
def ask(address, number):
    with socket.create_connection(address, LIMIT) as client, client.makefile("rwb") as file:
        for _ in range(3):
            file.write(b"line %d\\n" % number)
            file.flush()
            answers.append(file.readline())

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(LIMIT)
        client.sendto(b"datagram", address)
        answers.append(client.recv(100))

async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    threads = [threading.Thread(target=ask, args=(address, n)) for n in range(3)]
    threads.append(threading.Thread(target=send, args=(transport.get_extra_info("sockname"),)))
    for thread in threads: thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.001)
    transport.close()
    server.close()
    await server.wait_closed()
asyncio.run(main())
print(len(answers), sorted(set(answers)))
""")
    assert out == "10 [b'DATAGRAM', b'LINE 0\\n', b'LINE 1\\n', b'LINE 2\\n']\n"


@pytest.mark.parametrize(
    "place", ["asyncio.run(main())", "in_threads(lambda: asyncio.run(main()))"]
)
def test_children(beside_loops: Run, place: str) -> None:
    out = beside_loops(f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
beats = []
def beat():
    while len(beats) < 5:
        beats.append(1)
        time.sleep(0.0001)
    os.write(write_fd, b"x")
read_fd, write_fd = os.pipe()
async def main():
    # It ends only when another green thread has had some turns.
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; print(len(sys.stdin.buffer.read())); sys.exit(3)",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    waiter = await asyncio.create_subprocess_shell("head -c 1 >&2", stdin=read_fd,
                                                   stderr=asyncio.subprocess.PIPE)
    threading.Thread(target=beat).start()
    out, _ = await asyncio.wait_for(child.communicate(b"x" * 1_000_000), LIMIT)
    _, err = await asyncio.wait_for(waiter.communicate(), LIMIT)
    print(out.strip(), child.returncode, err, waiter.returncode)
{place}
os.close(read_fd), os.close(write_fd)
""")
    assert out == "b'1000000' 3 b'x' 0\n"


def test_signal_handlers_of_a_loop(beside_loops: Run) -> None:
    out = beside_loops("""
async def main():
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, told.set)
    threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start()
    await asyncio.wait_for(told.wait(), LIMIT)
    print(loop.remove_signal_handler(signal.SIGUSR1))
asyncio.run(main())
""")
    assert out == "True\n"


@pytest.mark.parametrize("debug", [False, True])
def test_an_interrupt_cancels_the_main_task(beside_loops: Run, debug: bool) -> None:
    """Whichever green thread the signal strikes."""
    out = beside_loops(f"""
done = threading.Event()
def spin():
    while not done.is_set():
        time.sleep(0)
thread = threading.Thread(target=spin)
thread.start()
async def main():
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), {int(signal.SIGINT)})
    try:
        await asyncio.sleep(LIMIT)
    finally:
        print(no_loop())
try:
    asyncio.run(main(), debug={debug})
except KeyboardInterrupt:
    print("interrupted")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
done.set()
thread.join(LIMIT)
""")
    assert out == "False\ninterrupted\nTrue\n"


def test_tls_between_two_loops(beside_loops: Run, certificate: tuple[str, str]) -> None:
    out = beside_loops(
        """
import ssl
certificate, key = sys.argv[1:]
ready = threading.Event()
SIZE = 1_000_000
def serve():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async def answer(reader, writer):
        data = await reader.readexactly(SIZE)
        writer.write(data.upper())
        await writer.drain()
        writer.close()
        done.set()
    async def main():
        global address, done
        done = asyncio.Event()
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        address = server.sockets[0].getsockname()
        ready.set()
        await asyncio.wait_for(done.wait(), LIMIT)
        server.close()
    asyncio.run(main())
def ask():
    async def main():
        context = ssl.create_default_context(cafile=certificate)
        reader, writer = await asyncio.open_connection(
            *address, ssl=context, server_hostname="localhost")
        writer.write(b"x" * SIZE)
        print(await reader.readexactly(SIZE) == b"X" * SIZE)
        writer.close()
    ready.wait(LIMIT)
    asyncio.run(main())
in_threads(serve, ask)
""",
        *certificate,
    )
    assert out == "True\n"
