"""`subprocess`: the explicit module in this process, and patched programs."""

from __future__ import annotations

import os
import subprocess as plain_subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import GreenThread, native, sleep, spawn
from greenworld.hub.timeout import Timeout
from greenworld.patches import children
from greenworld.patches import subprocess as green_subprocess

Start = Callable[..., GreenThread[Any]]
Run = Callable[..., str]
LIMIT = 20.0
subprocess: Any = green_subprocess
PIPE = plain_subprocess.PIPE
CAT = ["cat"]

PATCH = """
import os, signal, sys, threading, time
from greenworld.patches import monkey_patch
monkey_patch()
import subprocess
from subprocess import PIPE
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


class Rounds:
    """Counts how often others have their turn."""

    def __init__(self) -> None:
        self.number = 0
        self.thread = spawn(self._count)

    def _count(self) -> None:
        while True:
            self.number += 1
            sleep(0.001)


@pytest.fixture
def rounds() -> Any:
    rounds = Rounds()
    yield rounds
    rounds.thread.kill()


def test_the_classes_and_exceptions_are_the_standard_ones(rounds: Rounds) -> None:
    assert issubclass(subprocess.Popen, plain_subprocess.Popen)
    with pytest.raises(plain_subprocess.CalledProcessError):
        subprocess.check_call(["false"])
    with pytest.raises(plain_subprocess.TimeoutExpired, match=r" 0\.01 seconds"):
        subprocess.run(["sleep", "60"], timeout=0.01, capture_output=True)
    result = subprocess.run(["true"])
    assert isinstance(result, plain_subprocess.CompletedProcess)
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        subprocess.Popen(["no-such-program"])
    assert subprocess.getstatusoutput("echo word; exit 3") == (3, "word")
    assert set(plain_subprocess.__all__) <= set(dir(subprocess))


def test_processes_run_side_by_side(start: Start, tmp_path: Any) -> None:
    # Each opens its FIFO for the next: one at a time, the first would never end.
    paths = [str(tmp_path / str(number)) for number in range(3)]
    for path in paths:
        os.mkfifo(path)
    commands = [
        ["sh", "-c", 'echo word > "$0" & read line < "$1"; wait; echo $line', here, there]
        for here, there in zip(paths, [*paths[1:], paths[0]], strict=True)
    ]
    threads = [start(subprocess.check_output, command) for command in commands]
    assert [thread.wait(LIMIT) for thread in threads] == [b"word\n"] * 3


def test_communicate_with_much_data_both_ways(rounds: Rounds) -> None:
    data = os.urandom(1024) * 10_240
    result = subprocess.run(CAT, input=data, stdout=PIPE, timeout=60)
    assert result.stdout == data
    assert rounds.number > 1
    loud = "import sys; data = sys.stdin.buffer.read(); sys.stderr.buffer.write(data); print('ok')"
    with subprocess.Popen(python(loud), stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(data[:1_000_000], timeout=60) == (b"ok\n", data[:1_000_000])
    with subprocess.Popen(["wc", "-c"], stdin=PIPE, stdout=PIPE) as process:
        process.stdin.write(data)
        process.stdin.close()
        assert int(process.stdout.read()) == len(data)


def speak_raw(process: Any) -> None:
    sleep(0.005)
    process.stdin.write(b"raw")
    process.stdin.close()


def test_files_on_the_pipes_wait_cooperatively(rounds: Rounds) -> None:
    def speak(process: Any, *lines: str) -> None:
        for line in lines:
            before = rounds.number
            while rounds.number < before + 2:
                sleep(0.001)
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        process.stdin.close()

    with subprocess.Popen(CAT, stdin=PIPE, stdout=PIPE, text=True) as process:
        speaker = spawn(speak, process, "one", "two", "three", "four")
        assert process.stdout.readline() == "one\n"
        assert next(process.stdout) == "two\n"
        assert process.stdout.read(3) == "thr"
        assert process.stdout.read() == "ee\nfour\n"
        assert speaker.join(LIMIT)
    with subprocess.Popen(CAT, stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        before = rounds.number
        writer = spawn(speak_raw, process)
        assert process.stdout.read() == b"raw"
        assert rounds.number > before
        assert writer.join(LIMIT)


def test_wait_and_its_timeout(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for has_pidfd in (True, False):
        if not has_pidfd:
            monkeypatch.setattr(children, "plain_pidfd_open", None)
        with subprocess.Popen(CAT, stdin=PIPE) as process:
            waiting = [start(process.wait), start(process.wait, LIMIT), start(process.wait)]
            with pytest.raises(plain_subprocess.TimeoutExpired, match=r"0\.002"):
                process.wait(0.002)
            with pytest.raises(plain_subprocess.TimeoutExpired):
                process.wait(0)
            assert process.poll() is None
            process.stdin.close()
            assert [thread.wait(LIMIT) for thread in waiting] == [0, 0, 0]
            assert process.wait(0) == process.wait() == process.poll() == 0


def test_a_child_that_somebody_else_has_reaped() -> None:
    process = subprocess.Popen(["false"])
    os.waitpid(process.pid, 0)
    assert process.wait(LIMIT) == 0  # as the standard Popen has it: the status is lost


def test_a_kill_leaves_the_wait_to_the_next(start: Start) -> None:
    with subprocess.Popen(CAT, stdin=PIPE) as process:
        with pytest.raises(Timeout), Timeout(0.005):
            process.wait()
        process.stdin.close()
        assert process.wait(LIMIT) == 0
    with subprocess.Popen(["sleep", "60"], stdout=PIPE) as process:
        with pytest.raises(Timeout), Timeout(0.005):
            process.communicate()
        process.kill()
        assert process.communicate(timeout=LIMIT) == (b"", None)
        assert process.returncode == -9


def test_a_grandchild_does_not_hold_up_a_timeout(rounds: Rounds, tmp_path: Any) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The grandchild keeps the pipe of the output until the FIFO is opened below.
    command = f"(read line < {fifo}; echo late) & echo early; wait"
    for timeout in (0.3, 3, 20):  # the last for a machine so busy that the shell begins late
        with pytest.raises(plain_subprocess.TimeoutExpired) as caught:
            subprocess.run(command, shell=True, stdout=PIPE, timeout=timeout)
        assert caught.value.timeout == timeout
        if caught.value.output == b"early\n":  # the grandchild is there
            break
    else:
        pytest.fail("the shell has said nothing")
    with open(fifo, "w"):
        pass
    assert rounds.number > 1


def test_in_native_threads(rounds: Rounds) -> None:
    """gevent has a TypeError here."""

    def use() -> Any:
        output = subprocess.run(CAT, input=b"x" * 200_000, stdout=PIPE, timeout=60).stdout
        with subprocess.Popen(CAT, stdin=PIPE) as process:
            process.stdin.close()
            return len(output), process.wait(LIMIT), process.wait()

    assert native.run(use) == (200_000, 0, 0)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(use()))  # without the pool's blessing
    thread.start()
    native.run(thread.join, LIMIT)
    assert found == [(200_000, 0, 0)]


def test_a_native_thread_that_waits_with_the_lock(start: Start) -> None:
    with subprocess.Popen(CAT, stdin=PIPE) as process:
        thread = threading.Thread(target=process.wait)
        thread.start()
        waiting = start(process.wait)
        sleep(0.01)
        with pytest.raises(plain_subprocess.TimeoutExpired):
            process.wait(0.005)
        process.stdin.close()
        assert waiting.wait(LIMIT) == 0
        native.run(thread.join, LIMIT)


def test_patched(program: Run) -> None:
    out = program(
        """
from subprocess import Popen as early
"""
        + PATCH
        + """
def tick():
    while True:
        turns.append(1)
        time.sleep(0.001)
turns = []
threading.Thread(target=tick, daemon=True).start()

def other(call, *args, **kwargs):
    # Whether others have turns meanwhile.
    before = len(turns)
    result = call(*args, **kwargs)
    return result, len(turns) > before

SLOW = "sleep 0.2; echo word"
print(early is subprocess.Popen, subprocess.Popen.__module__)
print(*other(subprocess.check_output, SLOW, shell=True))
print(*other(lambda: os.popen(SLOW).read().strip()))
print(*other(subprocess.getoutput, SLOW))
process = subprocess.Popen(["sh", "-c", SLOW], stdout=PIPE)
print(*other(process.stdout.readline))
print(process.wait(), process.stdout.read())
process.stdout.close()
process = subprocess.Popen(["sleep", "60"])
try:
    other(process.wait, 0.02)
except subprocess.TimeoutExpired:
    print("late")
process.kill()
print(process.wait())
with os.popen("exit 4") as pipe:
    pass
print(os.popen("exit 4").close() >> 8)
with os.popen("cat > /dev/null", "w") as pipe:
    pipe.write("x" * 200_000)
try:
    subprocess.run(["false"], check=True)
except subprocess.CalledProcessError as error:
    print(error.returncode)
data = os.urandom(1000) * 10_000
answers = []
def ask():
    answers.append(subprocess.run(["cat"], input=data, stdout=PIPE).stdout == data)
threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(answers)
"""
    )
    assert out.splitlines() == [
        "True subprocess",
        r"b'word\n' True",
        "word True",
        "word True",
        r"b'word\n' True",
        "0 b''",
        "late",
        "-9",
        "4",
        "1",
        "[True, True, True]",
    ]


def test_only_its_group_patched(program: Run) -> None:
    out = program(
        """
from greenworld.patches import monkey_patch
import greenworld
monkey_patch(subprocess=True)
import subprocess
turns = []
def tick():
    while True:
        turns.append(1)
        greenworld.sleep(0.001)
greenworld.spawn(tick)
greenworld.sleep(0)
SLOW = ["sh", "-c", "sleep 0.2; echo word; echo error >&2"]
for call in (lambda: subprocess.check_output(SLOW, stderr=subprocess.DEVNULL),
             lambda: subprocess.run(SLOW, capture_output=True).stderr,
             lambda: subprocess.Popen(SLOW, stderr=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL).wait()):
    turns.clear()
    print(call(), len(turns) > 0)
"""
    )
    assert out.splitlines() == [r"b'word\n' True", r"b'error\n' True", "0 True"]


def test_an_interrupted_wait(program: Run) -> None:
    out = program(
        PATCH
        + """
process = subprocess.Popen(["sleep", "60"])
threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
try:
    process.wait()
except KeyboardInterrupt:
    print("interrupted", process.poll())
process.terminate()
print(process.wait(20))
"""
    )
    assert out.splitlines() == ["interrupted None", "-15"]


def test_at_exit_and_in_finalisers(program: Run) -> None:
    program(
        PATCH
        + """
left = subprocess.Popen(["sleep", "0"], stdout=PIPE)
import warnings
warnings.simplefilter("ignore", ResourceWarning)
def forget():
    subprocess.Popen(["sleep", "0"], stdin=PIPE)
forget()
"""
    )
