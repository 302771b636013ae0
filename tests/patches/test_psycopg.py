"""How the two psycopgs wait once they are imported; real servers are in tests/thirdparty."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

Run = Callable[..., str]


def needs(name: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"needs the library {name}")


@needs("psycopg_binary")
@pytest.mark.parametrize("early", ["early", ""])
def test_psycopg_waits_in_python(program: Run, early: str) -> None:
    out = program(
        """
import sys
from greenworld.patches import monkey_patch, undo
if sys.argv[1]: monkey_patch()
import psycopg.waiting as waiting
if not sys.argv[1]: monkey_patch()
print(waiting.wait is waiting.wait_poll)
undo()
print(waiting.wait is waiting.wait_c)
""",
        early,
    )
    assert out.split() == ["True", "True"]


@needs("psycopg_binary")
def test_a_wait_that_psycopg_was_told_to_use_stays(program: Run) -> None:
    out = program(
        """
from greenworld.patches import monkey_patch
monkey_patch()
import psycopg.waiting as waiting
print(waiting.wait.__name__)
""",
        PSYCOPG_WAIT_FUNC="wait_selector",
    )
    assert out == "wait_selector\n"


@needs("psycopg_binary")
def test_what_ends_a_green_thread_has_psycopg_cancel_the_query(program: Run) -> None:
    out = program(
        """
from greenlet import GreenletExit
from greenworld import Timeout
from greenworld.patches import monkey_patch, undo
import psycopg.connection as connection
plain = (getattr(connection, "_INTERRUPTED", None),)
monkey_patch()
interrupted = getattr(connection, "_INTERRUPTED", (Timeout, GreenletExit))
print({Timeout, GreenletExit} <= {*interrupted})
undo()
print(getattr(connection, "_INTERRUPTED", None) is plain[0])
"""
    )
    assert out.split() == ["True", "True"]


@needs("psycopg2")
@pytest.mark.parametrize("early", ["early", ""])
def test_psycopg2_gets_a_wait_callback(program: Run, early: str) -> None:
    out = program(
        """
import sys
from greenworld.patches import monkey_patch, undo
if sys.argv[1]: monkey_patch()
from psycopg2 import extensions
if not sys.argv[1]: monkey_patch()
from greenworld.patches.psycopg2 import wait
print(extensions.get_wait_callback() is wait)
undo()
print(extensions.get_wait_callback())
""",
        early,
    )
    assert out.split() == ["True", "None"]


@needs("psycopg2")
def test_a_wait_callback_of_the_program_stays(program: Run) -> None:
    out = program(
        """
from greenworld.patches import monkey_patch, undo
from psycopg2 import extensions, extras
extensions.set_wait_callback(extras.wait_select)
monkey_patch()
print(extensions.get_wait_callback() is extras.wait_select)
undo()
print(extensions.get_wait_callback() is extras.wait_select)
"""
    )
    assert out.split() == ["True", "True"]


@needs("psycopg2")
def test_psycopg2_stops_connecting_in_time(program: Run) -> None:
    out = program(
        """
import socket, threading, time
from greenworld.patches import monkey_patch
monkey_patch()
import psycopg2
import greenworld

silent = socket.create_server(("127.0.0.1", 0))
rounds = 0
def tick():
    global rounds
    while rounds >= 0:
        time.sleep(0.001)
        rounds += 1
threading.Thread(target=tick, daemon=True).start()
where = dict(host="127.0.0.1", port=silent.getsockname()[1], user="nobody", dbname="none")
try:
    psycopg2.connect(connect_timeout=1, **where)
except psycopg2.OperationalError as error:
    print(error, rounds > 3)
try:
    with greenworld.Timeout(0.01):
        psycopg2.connect(**where)
except greenworld.Timeout:
    print("Timeout")
silent.close()
"""
    )
    assert out.splitlines() == [
        "connecting to the server failed: timeout expired True",
        "Timeout",
    ]
