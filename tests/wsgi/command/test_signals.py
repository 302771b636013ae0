"""Signals without a hub, in interpreters of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest


def test_signals_come_in_order_and_a_child_hears_none(program: Callable[..., str]) -> None:
    assert (
        program(
            """
        import os, signal, time
        from greenworld.wsgi.command.signals import SignalPipe, name_of

        pipe = SignalPipe(frozenset((signal.SIGTERM, signal.SIGHUP)))
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
        print([name_of(number) for number in pipe.take()], list(pipe.take()), flush=True)
        pid = pipe.fork()
        if pid == 0:
            assert signal.set_wakeup_fd(-1) == -1
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGHUP)
            print("still here", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), list(pipe.take()))
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os.kill(os.getpid(), signal.SIGTERM)
        print([name_of(number) for number in pipe.take()], name_of(63))
        """
        )
        == "['SIGHUP', 'SIGTERM'] []\nstill here\n-15 []\n['SIGTERM'] signal 63\n"
    )


def test_no_more_processes(program: Callable[..., str]) -> None:
    assert (
        program(
            """
            import os, signal
            from greenworld.wsgi.command import signals

            def refuse():
                raise BlockingIOError(11, "Resource temporarily unavailable")

            signals.fork = refuse
            pipe = signals.SignalPipe(frozenset((signal.SIGTERM,)))
            try:
                pipe.fork()
            except OSError as error:
                print(error)
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            os.kill(os.getpid(), signal.SIGTERM)
            print(list(pipe.take()))
            """
        )
        == "[Errno 11] Resource temporarily unavailable\n[15]\n"
    )


@pytest.mark.parametrize(
    ("mask", "code"),
    [("SIG_UNBLOCK", -15), ("SIG_BLOCK", 143)],
    ids=["as others do", "as process 1, which is spared"],
)
def test_ending_by_a_signal(
    complete: Callable[..., subprocess.CompletedProcess[str]], mask: str, code: int
) -> None:
    done = complete(
        "-c",
        "import signal; from greenworld.wsgi.command.signals import end_by;"
        f" signal.pthread_sigmask(signal.{mask}, [signal.SIGTERM]);"
        " signal.signal(signal.SIGTERM, print); end_by(signal.SIGTERM)",
    )
    assert done.returncode == code


def test_a_terminal_that_hangs_up(program: Callable[..., str]) -> None:
    assert (
        program(
            """
            import os
            from greenworld.wsgi.command.signals import Terminal

            print(Terminal().is_gone)
            master, slave = os.openpty()
            os.dup2(slave, 0)
            os.close(slave)
            terminal = Terminal()
            print(terminal.is_gone)
            os.close(master)
            print(terminal.is_gone)
            """
        )
        == "False\nFalse\nTrue\n"
    )
