"""`sys.stdin` and `input` of a patched program."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.patches import stdin

Run = Callable[..., str]

# Standard input is what the other end of PIPE or TERMINAL is given.
BEGIN = """
import os, pty, sys, threading, time
if sys.argv[1] == "pipe":
    reading, writing = os.pipe()
else:
    writing, reading = pty.openpty()
os.dup2(reading, 0)
old = sys.stdin
import greenworld
from greenworld.patches import monkey_patch, undo
monkey_patch(time=True, thread=True, os=True, stdin=True)
sys.stdout.flush()
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0)
threading.Thread(target=tick, daemon=True).start()
def send(text):
    threading.Thread(target=lambda: os.write(writing, text), daemon=True).start()
def wait():
    target = ticks + 20
    while ticks < target: time.sleep(0)
got = []
def start(function):
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    wait()
    assert thread.is_alive()
    return thread
"""


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_others_run_meanwhile(program: Run, kind: str) -> None:
    out = program(
        BEGIN
        + """
for function in (sys.stdin.readline, input, sys.stdin.buffer.readline, lambda: next(sys.stdin)):
    thread = start(function)
    send("grüße\\n".encode())
    thread.join(20)
print(got)
print(sys.stdin.fileno(), sys.stdin.name, sys.stdin.mode, sys.stdin.encoding == old.encoding)
undo()
print(sys.stdin is old, input.__module__)
""",
        kind,
        PYTHONUTF8="1",
    )
    assert out.splitlines() == [
        str(["grüße\n", "grüße", "grüße\n".encode(), "grüße\n"]),
        "0 <stdin> r True",
        "True builtins",
    ]


def test_input_on_a_terminal(program: Run) -> None:
    out = program(
        BEGIN
        + """
thread = start(lambda: input("name? "))
send(b"green\\n")
thread.join(20)
send(b"\\x04")
try:
    input(3)
except EOFError:
    got.append("end")
print(got)
""",
        "terminal",
    )
    assert out == "name? 3['green', 'end']\n"


def test_input_at_the_end_of_a_pipe(program: Run) -> None:
    out = program(
        BEGIN
        + """
os.close(writing)
os.close(reading)
try:
    input("prompt ")
except EOFError as error:
    print(error)
""",
        "pipe",
    )
    assert out == "prompt EOF when reading a line\n"


def test_a_file_stays(program: Run) -> None:
    out = program(
        """
import sys
old = sys.stdin
from greenworld.patches import monkey_patch
monkey_patch(stdin=True)
print(sys.stdin is old)
try:
    input()
except EOFError:
    print("end")
"""
    )
    assert out == "True\nend\n"


@pytest.mark.parametrize("replacement", [io.StringIO("one\ntwo\n"), None])
def test_a_replacement_stays(monkeypatch: pytest.MonkeyPatch, replacement: Any) -> None:
    monkeypatch.setattr(sys, "stdin", replacement)
    undo = stdin.settle()
    assert sys.stdin is replacement
    if replacement is None:
        with pytest.raises(RuntimeError, match="lost"):
            stdin.input()
    else:
        assert [stdin.input(), stdin.input()] == ["one", "two"]
    undo()
    assert sys.stdin is replacement


def test_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = (tmp_path / "file").open("w+")
    file.close()
    monkeypatch.setattr(sys, "stdin", file)
    stdin.settle()
    assert sys.stdin is file


def test_the_program_ends_while_daemons_read(program: Run) -> None:
    out = program(
        BEGIN
        + """
file = os.fdopen(os.dup(0))
for function in (sys.stdin.readline, file.readline, sys.stdin.buffer.raw.read):
    threading.Thread(target=function, daemon=True).start()
wait()
print("end")
""",
        "pipe",
    )
    assert out == "end\n"
