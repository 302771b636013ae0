"""Locks, contexts, classes and names that a program made before it called `monkey_patch()`."""

from __future__ import annotations

import queue
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from ssl import SSLContext as EarlyContext
from subprocess import CalledProcessError as EarlyError
from time import sleep as early_sleep
from typing import Any

LIMIT = 15.0

early_rlock = threading.RLock()
early_lock = threading.Lock()
early_locks = {"lock": threading.Lock(), "rlock": threading.RLock()}
early_context = EarlyContext(ssl.PROTOCOL_TLS_CLIENT)
early_condition = threading.Condition()
early_event = threading.Event()
early_queue: queue.Queue[int] = queue.Queue()


def _hide(lock: Any) -> Callable[[], Any]:
    """The only holder of the lock is a closure."""
    return lambda: lock


hidden_rlock = _hide(threading.RLock())
hidden_lock = _hide(threading.Lock())
del _hide


class Client(socket.socket):
    """A subclass with a method of its own."""

    def hello(self) -> bytes:
        return self.recv(100)


class Context(ssl.SSLContext):
    """A subclass of a context."""


class Owner:
    """An object of a user's class with locks in its attributes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rlock = threading.RLock()
        self.held = threading.Lock()
        self.held.acquire()


owner = Owner()

import greenworld

applied = greenworld.monkey_patch()

import time


def _most_owners(lock: Any) -> int:
    """How many of two threads have the lock at the same time. A native one freezes them all."""
    inside: list[str] = []
    trying: list[str] = []
    most = 0

    def own(name: str) -> None:
        nonlocal most
        trying.append(name)
        with lock:
            inside.append(name)
            most = max(most, len(inside))
            while len(trying) < 2:
                early_sleep(0)
            for _ in range(10):  # the other one tries to come in
                time.sleep(0)
            inside.remove(name)

    threads = [threading.Thread(target=own, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    return most


def test_rlock_in_a_module_attribute() -> None:
    """RLock made before patch, in a module attribute: swapped.

    Two owners elsewhere: eventlet#969, #546, #864, gevent#1354.
    """
    assert _most_owners(early_rlock) == 1


def test_rlock_in_a_closure() -> None:
    """RLock made before patch, held in a closure: swapped. eventlet#1075, #409, gevent#1354."""
    assert _most_owners(hidden_rlock()) == 1


def test_rlock_in_an_attribute_and_a_dict() -> None:
    """RLock made before patch, in an object or a dict: swapped. eventlet#546, #864."""
    assert _most_owners(owner.rlock) == 1
    assert _most_owners(early_locks["rlock"]) == 1


def test_plain_lock_contended() -> None:
    """Plain Lock made before patch, contended: swapped; the process does not freeze."""
    for lock in (early_lock, hidden_lock(), owner.lock, early_locks["lock"]):
        assert _most_owners(lock) == 1


def test_lock_that_cannot_be_swapped_is_listed() -> None:
    """A lock that is held when the patch comes is named with its holder, never passed over."""
    left = [each for each in applied.left if "Owner.held" in each.holder]
    assert [each.kind for each in left] == ["Lock"], applied.left
    assert "held" in left[0].why


def test_condition_event_and_queue_made_before() -> None:
    """Objects of the standard library that hold early locks wait cooperatively."""
    got: list[object] = []

    def wait() -> None:
        with early_condition:
            got.append(early_condition.wait(LIMIT))
        got.append(early_event.wait(LIMIT))
        got.append(early_queue.get(timeout=LIMIT))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0)
    with early_condition:
        early_condition.notify()
    time.sleep(0)
    early_event.set()
    time.sleep(0)
    early_queue.put(7)
    thread.join(LIMIT)
    assert got == [True, True, 7]


def test_ssl_context_made_before() -> None:
    """SSLContext made or imported before patch, set `.options`: ok.

    Elsewhere a RecursionError: gevent#903, #941, #1016, #1531, #1777, #2178, eventlet#371, #618,
    #726, urllib3#1176.
    """
    fresh = [EarlyContext(ssl.PROTOCOL_TLS_CLIENT), Context(ssl.PROTOCOL_TLS_SERVER)]
    for context in (early_context, *fresh, ssl.create_default_context()):
        context.options |= ssl.OP_NO_COMPRESSION
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert EarlyContext is ssl.SSLContext
    assert type(early_context) is ssl.SSLContext


def test_socket_subclass_defined_before() -> None:
    """Socket subclass defined before patch, `recv`: cooperative. gunicorn#1056, #2177."""
    got = []
    with socket.create_server(("127.0.0.1", 0)) as listener, Client() as client:
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        thread = threading.Thread(target=lambda: got.append(client.hello()))
        thread.start()
        time.sleep(0)
        with server:
            server.sendall(b"hello")
            thread.join(LIMIT)
    assert got == [b"hello"]


def test_names_imported_before() -> None:
    """`from time import sleep` before patch: rebound. gevent#1531, gunicorn#1566, #1816, #2796."""
    assert early_sleep is time.sleep
    assert "__main__.early_sleep" in applied.rebound


def test_classes_keep_their_identity() -> None:
    """Classes imported before the patch are those of afterwards. eventlet#442, #413, #7."""
    assert EarlyError is subprocess.CalledProcessError
    assert issubclass(Client, socket.socket)
    assert isinstance(early_queue, queue.Queue)
    assert socket.timeout is TimeoutError
