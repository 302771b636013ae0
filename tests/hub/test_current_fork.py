"""What a forked child is left with: one flow, a fresh hub, and no waiter that never wakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
Output = Callable[..., str]


def test_fork_in_main(output: Output) -> None:
    assert (
        output(
            """
            events = []
            def background():
                try:
                    while True:
                        sleep(0.0001)
                        events.append("tick")
                finally:
                    print("unwound in", "child" if os.getpid() != parent else "parent")
            parent = os.getpid()
            left, right = socket.socketpair()
            thread = spawn(background)
            spawn_after(0.001, events.append, "timer")
            old = get_hub()
            sleep(0)
            pid = os.fork()
            if pid == 0:
                assert get_hub() is not old and old.closed and all_hubs() == [get_hub()]
                del events[:]
                sleep(0.003)
                assert events == [], events
                assert spawn(lambda: 7).wait(5) == 7
                spawn(right.send, b"from the child")
                wait_readable(right.fileno(), 5)
                try:
                    Event().wait()
                except DeadlockError as error:
                    print("deadlock in the child", "background" in str(error))
                sys.exit(3)
            wait_readable(left.fileno(), 5)
            print(left.recv(100))
            left.send(b"go on")
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            del events[:]
            sleep(0.01)
            print(set(events) >= {"tick"}, thread.dead)
            thread.kill()
            """
        )
        == "b'from the child'\ndeadlock in the child False\n3\nTrue False\nunwound in parent\n"
    )


@pytest.mark.parametrize(
    ("ending", "status", "says"),
    [
        ("return 5", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit('goodbye')", 1, "goodbye\n"),
        ("raise GreenletExit", 0, ""),
        ("raise LookupError('in the child')", 1, "LookupError: in the child\n"),
        ("os._exit(6)", 6, ""),
        ("greenlet(sys.exit).switch(9)", 9, ""),
    ],
)
def test_fork_in_a_green_thread(program: Start, ending: str, status: int, says: str) -> None:
    run = program(
        f"""
        def say(*words):  # in one piece: both processes speak at once
            os.write(1, (" ".join(map(str, words)) + "\\n").encode())
        def other():
            try:
                sleep(60)
            finally:
                say("other unwound in the", "parent" if os.getpid() == parent else "child")
        def fork():
            pid = os.fork()
            if pid:
                return pid
            sleep(0.001)
            assert getcurrent() is get_hub().main
            assert spawn(lambda: 7).wait(5) == 7
            inner = greenlet(sleep)
            inner.switch(0.001)
            assert inner.dead
            say("the child was here")
            {ending}
        parent = os.getpid()
        waiting = spawn(other)
        forker = spawn(fork)
        forker.link(lambda thread: say("linked in", os.getpid() == parent))
        pid = forker.wait()
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        waiting.kill()
        """
    )
    code, out, err = run.finish()
    assert code == 0
    assert sorted(out.splitlines()) == sorted(
        ["linked in True", str(status), "other unwound in the parent", "the child was here"]
    )
    assert err.endswith(says)
    assert bool(err) == bool(says)


def test_exit_functions_run_in_a_child_that_a_green_thread_forked(output: Output) -> None:
    assert (
        output(
            """
            import atexit
            def fork():
                pid = os.fork()
                if pid == 0:
                    atexit.register(print, "exit function of the child")
                return pid
            os.waitpid(spawn(fork).wait(), 0)
            print("parent goes on")
            """
        )
        == "exit function of the child\nparent goes on\n"
    )


def test_fork_in_a_raw_greenlet_and_in_a_callback(output: Output) -> None:
    assert (
        output(
            """
            def fork():
                pid = os.fork()
                if pid == 0:
                    sleep(0.001)
                    os.write(1, b"child of a raw greenlet\\n")
                return pid
            def host():
                pid = greenlet(fork).switch()
                if pid == 0:
                    sys.exit(2)
                return pid
            print(os.waitstatus_to_exitcode(os.waitpid(spawn(host).wait(), 0)[1]))
            pids = []
            get_hub().post(lambda: pids.append(os.fork()))
            sleep(0.001)
            print(os.getpid() in pids, os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]))
            """
        )
        == "child of a raw greenlet\n2\nFalse 0\n"
    )


def test_fork_in_another_os_thread(output: Output) -> None:
    assert (
        output(
            """
            import warnings
            warnings.simplefilter("ignore")
            def unwind():
                try:
                    sleep(60)
                finally:
                    if os.getpid() != parent:
                        os.write(1, b"must not happen\\n")
            parent = os.getpid()
            spawn(unwind)
            sleep(0)
            def fork():
                background = spawn(unwind)
                sleep(0)
                pid = os.fork()
                if pid == 0:
                    def child():
                        sleep(0.001)
                        return get_hub().is_main
                    os.write(1, b"main: %d\\n" % spawn(child).wait(5))
                    os._exit(4)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            native = threading.Thread(target=fork)
            native.start()
            native.join()
            """
        )
        == "main: 1\n4\n"
    )


def test_the_child_does_not_disturb_the_parents_poller(output: Output) -> None:
    """A descriptor that both processes watch: the child closes it, the parent hears of it yet."""
    assert (
        output(
            """
            from greenworld.hub.readiness import close_fd
            left, right = socket.socketpair()
            left.setblocking(False)
            io = get_hub().io(left.fileno())
            reader = spawn(io.wait_read, 10)
            sleep(0.001)
            pid = os.fork()
            if pid == 0:
                mine = get_hub().io(left.fileno())
                assert mine is not io
                class Caller:
                    def wake(self):
                        print("closed")
                mine.watch_read(Caller())
                sleep(0.001)
                close_fd(left.fileno())
                left.close()
                right.close()
                sleep(0.001)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            right.send(b"x")
            reader.wait()
            print(left.recv(1))
            """
        )
        == "closed\n0\nb'x'\n"
    )


def test_multiprocessing_by_fork_from_a_green_thread(output: Output, tmp_path: Path) -> None:
    assert (
        output(
            """
            import multiprocessing
            def child(connection):
                sleep(0.001)
                connection.send(spawn(lambda: os.getpid()).wait(5))
            def parent():
                context = multiprocessing.get_context("fork")
                mine, its = context.Pipe()
                process = context.Process(target=child, args=(its,))
                process.start()
                wait_readable(mine.fileno(), 10)
                same = mine.recv() == process.pid
                process.join()
                return same, process.exitcode
            print(*spawn(parent).wait())
            """
        )
        == "True 0\n"
    )


@pytest.mark.parametrize("kind", ["green", "other green", "native"])
def test_who_waits_in_the_parent_takes_nothing_in_the_child(output: Output, kind: str) -> None:
    run = f"""
        import warnings
        warnings.simplefilter("ignore")
        def wait_in_vain(wait):
            if {kind!r} == "green":
                spawn(wait)
            elif {kind!r} == "native":
                threading.Thread(target=wait, daemon=True).start()
            else:
                threading.Thread(target=lambda: spawn(wait).wait(), daemon=True).start()
        items, full = Queue(), Queue(1)
        lock, rlock, permits = Lock(), RLock(), Semaphore(0)
        full.put("old")
        lock.acquire()
        rlock.acquire()
        lots = [items._getters, full._putters, lock._waiters, rlock._waiters, permits._waiters]
        for wait in (items.get, lambda: full.put("never"), lock.acquire, rlock.acquire,
                     permits.acquire):
            wait_in_vain(wait)
            wait_in_vain(wait)
        while (sum(map(len, lots)) < 10
               or any(waiter.lot is None for lot in lots for waiter in lot)):
            sleep(0.001)
        pid = os.fork()
        if pid == 0:
            assert [len(lot) for lot in lots] == [0] * 5
            items.put(1)
            assert items.get_nowait() == 1
            assert full.get_nowait() == "old"
            assert full.empty()
            for each in (lock, rlock, permits):
                each.release()
                assert each.acquire(False)
            os._exit(5)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert [len(lot) for lot in lots] == [2] * 5
        sys.stdout.flush()
        os._exit(0)
        """
    assert output(run) == "5\n"
