"""`original`: private copies as if nothing had been patched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from greenworld.patches import original

Run = Callable[..., str]


def test_copies_are_pristine_and_private(program: Run) -> None:
    out = program(
        """
import socket, threading, time, queue, select, sys
plain = (time.sleep, threading.get_ident, select.select)
from greenworld.patches import monkey_patch, original
monkey_patch()
assert original("time").sleep is plain[0] is not time.sleep
assert original("select").select is plain[2] is not select.select
native = original("threading")
assert native is original("threading") is not threading
assert native.get_ident is plain[1] is not threading.get_ident
assert "recv" not in vars(original("socket").socket)
assert original("queue").Queue is not queue.Queue
assert sys.modules["threading"] is threading
left, right = original("socket").socketpair()
answers = original("queue").SimpleQueue()
from greenworld.hub.current import has_hub
thread = native.Thread(target=lambda: answers.put((left.recv(10), has_hub())))
thread.start()
right.sendall(b"native")
print(answers.get(timeout=20))
thread.join(20)
left.close(); right.close()
"""
    )
    assert out == "(b'native', False)\n"


def test_no_such_module() -> None:
    with pytest.raises(ModuleNotFoundError):
        original("no_such_module_here")
