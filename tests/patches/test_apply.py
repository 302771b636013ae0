"""`monkey_patch`: what it takes, all or nothing, and back."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., str]


def test_patches_what_is_asked_for(program: Run) -> None:
    out = program(
        """
import socket, threading, time
from greenworld.patches import is_monkey_patched, monkey_patch
start = threading.Thread.start
applied = monkey_patch(time=True)
print([str(patch) for patch in applied.patches])
print(is_monkey_patched("time"), is_monkey_patched(time), is_monkey_patched("socket"))
print(len(monkey_patch(time=True).patches), "recv" in vars(socket.socket))
monkey_patch(thread=False)
print("recv" in vars(socket.socket), is_monkey_patched("thread"), is_monkey_patched(threading))
monkey_patch(all=False)
monkey_patch(all=True, thread=False)
print(is_monkey_patched("thread"), is_monkey_patched(socket))
monkey_patch()
print(is_monkey_patched("thread"), is_monkey_patched("threading"), is_monkey_patched("queue"))
print(threading.Thread.start is start)
"""
    )
    assert out.splitlines() == [
        "['time.sleep']",
        "True True False",
        "0 False",
        "True False False",
        "False True",
        "True True True",
        "True",
    ]


def test_unknown_groups_are_named(program: Run) -> None:
    out = program(
        """
import time
from greenworld.patches import monkey_patch
sleep = time.sleep
try:
    monkey_patch(time=True, sokcet=True)
except TypeError as error:
    print(error, time.sleep is sleep)
"""
    )
    assert out == (
        "monkey_patch() has no group sokcet: choose among asyncio, builtins, fcntl, "
        "multiprocessing, os, psycopg, select, signal, socket, stdin, subprocess, thread, time, "
        "or all True\n"
    )


def test_all_or_nothing(program: Run) -> None:
    program(
        """
import socket, threading, time
from greenworld.patches import apply, is_monkey_patched, monkey_patch, table
before = {m: dict(vars(m)) for m in (socket, socket.socket, threading, time)}
apply.PATCHES += (table.Patch("thread", "threading", "Thread.start", "nowhere:nothing"),)

def check():
    for owner, names in before.items():
        assert dict(vars(owner)) == names, owner
    assert not is_monkey_patched("time") and not is_monkey_patched("socket")

try:
    monkey_patch()
except ImportError:
    check()
else:
    raise AssertionError("a replacement that does not exist was applied")
# One that can be resolved, but not assigned.
apply.PATCHES = (*apply.PATCHES[:-1], table.Patch("os", "builtins", "int.real", "time:sleep"))
try:
    monkey_patch()
except TypeError:
    check()
else:
    raise AssertionError("a built-in class was changed")
"""
    )


def test_undo_leaves_every_name_as_it_was(program: Run) -> None:
    program(
        """
from time import sleep as early
import selectors, select, socket, ssl, threading, time, _thread
owners = [select, selectors, selectors.SelectSelector, selectors.PollSelector, socket,
          socket.socket, ssl.SSLSocket, time]
from greenworld.patches import is_monkey_patched, monkey_patch, undo
before = [dict(vars(owner)) for owner in owners]
original = (early,)  # where it is not found
for _ in range(2):
    monkey_patch()
    assert early is time.sleep is not original[0]
    undo()
    assert early is time.sleep is original[0]
    for owner, names in zip(owners, before):
        assert dict(vars(owner)) == names, owner
    assert not is_monkey_patched("time")
undo()
"""
    )


def test_early_names_classes_and_instances_are_cooperative(program: Run) -> None:
    out = program(
        """
import socket
from socket import socket as early_class, create_connection as early_function
from time import sleep as early_sleep

class Subclass(socket.socket):
    def hello(self):
        return self.recv(100)

def with_default(sleep=early_sleep, *, again=early_sleep):
    sleep(0); again(0)
    return sleep

class Holder:
    sleep = early_sleep

listener = early_class()
listener.bind(("127.0.0.1", 0))
listener.listen()

from greenworld.patches import monkey_patch
applied = monkey_patch()
print(sorted(name for name in applied.rebound if name.startswith("__main__")))
import time, threading
assert with_default() is early_sleep is Holder.sleep is time.sleep
Holder().sleep(0)
got = []

def serve():
    server, _ = listener.accept()
    early_sleep(0)
    server.sendall(b"hello")
    server.close()

threads = [threading.Thread(target=serve) for _ in range(2)]
for thread in threads: thread.start()
with Subclass() as client:
    client.connect(listener.getsockname())
    got.append(client.hello())
with early_function(listener.getsockname()) as client:
    got.append(client.recv(100))
for thread in threads: thread.join(20)
listener.close()
print(got)
"""
    )
    assert out.splitlines() == [
        "['__main__.Holder.sleep', '__main__.early_sleep', '__main__.with_default()']",
        "[b'hello', b'hello']",
    ]


def test_patching_is_quick_and_loads_nothing_of_ours_too_much(program: Run) -> None:
    out = program(
        """
import sys
import greenworld.patches
print(sorted(set(sys.modules) & {"ssl", "socket", "threading", "queue", "selectors"}))
"""
    )
    assert "ssl" not in out
