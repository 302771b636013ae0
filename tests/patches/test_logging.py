"""logging, queues and context variables between green threads, native ones and finalisers."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

Run = Callable[..., str]

PATCH = """
import greenworld
greenworld.monkey_patch()
import contextvars, gc, logging, logging.handlers, queue, sys, threading, time
LIMIT = 30
start_native = greenworld.original("_thread").start_new_thread
def run(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads: thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "hangs"
"""


def test_logging_from_finalisers_and_everywhere_at_once(program: Run) -> None:
    """The handler gives way while it holds its lock; finalisers strike wherever they like."""
    out = program(
        PATCH
        + """
from collections import Counter
records, items, made, done = [], queue.SimpleQueue(), [], threading.Event()
class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(0)
        records.append(record.getMessage())
log = logging.getLogger("test")
log.addHandler(Slow())
log.setLevel(logging.INFO)
class Node:
    def __init__(self):
        self.me = self
        made.append(1)
    def __del__(self):
        log.info("finaliser")
        items.put(1)
def work(name):
    for _ in range(50):
        Node()
        log.info(name)
        time.sleep(0)
def native():
    work("native")
    done.set()
start_native(native, ())
run(*[lambda: work("green")] * 4)
assert done.wait(LIMIT)
gc.collect()
print(Counter(records) == {"green": 200, "native": 50, "finaliser": len(made)},
      items.qsize() == len(made) == 250)
"""
    )
    assert out == "True True\n"


def test_a_simple_queue_is_reentrant(program: Run) -> None:
    out = program(
        PATCH
        + """
import weakref
items = queue.SimpleQueue()
class Item: pass
class Trap:
    def __del__(self):
        items.put("trapped")
item = Item()
weakref.finalize(item, items.put, "finalised")
items.put(Trap())
items.put(item)
del item
items.get() and None
items.get() and None
print(sorted(items.get(timeout=LIMIT) for _ in range(2)), items.empty())
try:
    items.get_nowait()
except queue.Empty:
    print("empty")
"""
    )
    assert out == "['finalised', 'trapped'] True\nempty\n"


def test_handlers_with_queues_and_sockets(program: Run) -> None:
    out = program(
        PATCH
        + """
import pickle, socketserver, struct
received = []
class Receiver(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(4):
            data = pickle.loads(self.rfile.read(struct.unpack(">L", head)[0]))
            received.append(data["msg"])
            if len(received) == COUNT:
                complete.set()
COUNT = 60
complete, done = threading.Event(), threading.Event()
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
serving = threading.Thread(target=server.serve_forever, args=(0.02,))
serving.start()
to_socket = logging.handlers.SocketHandler(*server.server_address)
items = queue.Queue()
listener = logging.handlers.QueueListener(items, to_socket)
listener.start()
log = logging.getLogger("test")
log.setLevel(logging.INFO)
log.addHandler(logging.handlers.QueueHandler(items))
def work():
    for _ in range(15):
        log.info("record")
        time.sleep(0)
def native():
    work()
    done.set()
start_native(native, ())
run(work, work, work)
assert done.wait(LIMIT) and complete.wait(LIMIT)
listener.stop()
to_socket.close()
server.shutdown()
serving.join(LIMIT)
server.server_close()
print(len(received))
"""
    )
    assert out == "60\n"


def test_context_variables(program: Run) -> None:
    out = program(
        PATCH
        + """
import asyncio, concurrent.futures
name = contextvars.ContextVar("name", default="none")
name.set("main")
seen = {}
def look(where):
    seen[where] = name.get()
    name.set(where)
    time.sleep(0)
    assert name.get() == where
run(lambda: look("thread"))
greenworld.spawn(look, "spawned").wait(LIMIT)
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(look, "pool").result(LIMIT)
    pool.submit(contextvars.copy_context().run, look, "pool in context").result(LIMIT)
async def main():
    name.set("task")
    await asyncio.to_thread(look, "to_thread")
    await asyncio.get_running_loop().run_in_executor(None, look, "executor")
    await asyncio.create_task(child())
    assert name.get() == "task"
async def child():
    look("child task")
asyncio.run(main())
inherits = getattr(sys.flags, "thread_inherit_context", 0)
plain = "main" if inherits else "none"
assert (seen.pop("thread"), seen.pop("pool"), seen.pop("executor")) in (
    (plain, plain, plain), ("main", "main", "task"))
print(seen, name.get())
"""
    )
    assert out == (
        "{'spawned': 'main', 'pool in context': 'main', 'to_thread': 'task', "
        "'child task': 'task'} main\n"
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Thread(context=) came with 3.14")
def test_the_context_of_a_thread(program: Run) -> None:
    out = program(
        PATCH
        + """
name = contextvars.ContextVar("name", default="none")
context = contextvars.copy_context()
context.run(name.set, "given")
seen = []
thread = threading.Thread(target=lambda: seen.append(name.get()), context=context)
thread.start()
thread.join(LIMIT)
print(seen)
"""
    )
    assert out == "['given']\n"


def test_the_scheduler_of_events(program: Run) -> None:
    out = program(
        PATCH
        + """
import sched
log = []
scheduler = sched.scheduler()
start = time.monotonic()
scheduler.enterabs(start + 0.002, 1, log.append, ("second",))
scheduler.enterabs(start + 0.001, 1, log.append, ("first",))
beats = []
run(scheduler.run, lambda: beats.append(time.sleep(0.0001)))
print(log, len(beats), scheduler.empty())
"""
    )
    assert out == "['first', 'second'] 1 True\n"
