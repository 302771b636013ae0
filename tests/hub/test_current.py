"""A hub per OS thread, the interrupt key, and the end of the interpreter."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from greenlet import GreenletExit, greenlet

from greenworld.hub import GreenThread, get_hub, sleep, spawn
from greenworld.hub.current import all_hubs, current_task, current_waiter, has_hub
from greenworld.hub.loop import Hub
from greenworld.hub.queue import Queue
from greenworld.hub.task import Guest
from greenworld.hub.waiter import NativeWaiter

InOsThread = Callable[[Callable[[], Any]], Any]
Start = Callable[..., Any]
Output = Callable[..., str]
SOON = 5.0


# One hub per OS thread


def test_each_os_thread_has_its_hub(in_os_thread: InOsThread) -> None:
    here = get_hub()
    assert get_hub() is here
    assert spawn(get_hub).wait(SOON) is here
    assert in_os_thread(lambda: (get_hub() is here, get_hub() is get_hub())) == (False, True)


def test_the_first_import_may_be_in_any_os_thread() -> None:
    code = """if True:
        import threading
        hubs = []
        def run():
            from greenworld.hub import get_hub
            hubs.append(get_hub())
        native = threading.Thread(target=run)
        native.start()
        native.join()
        run()
        print([hub.is_main for hub in hubs])
        """
    run = [sys.executable, "-c", code]
    assert subprocess.check_output(run, timeout=60) == b"[False, True]\n"


def test_a_raw_greenlet_shares_the_hub_of_its_thread() -> None:
    assert greenlet(get_hub).switch() is get_hub()


def test_an_os_thread_that_only_blocks_makes_no_hub(in_os_thread: InOsThread) -> None:
    thread = spawn(sleep)

    def block() -> tuple[bool, bool, bool]:
        sleep(0.0001)
        waits = isinstance(current_waiter(), NativeWaiter)
        thread.kill()
        return waits, current_waiter() is current_waiter(), has_hub()

    assert in_os_thread(block) == (True, True, False)
    thread.join(SOON)


def test_an_os_thread_can_join_without_a_hub(in_os_thread: InOsThread) -> None:
    thread = spawn(lambda: "value")
    started = threading.Event()

    def join() -> tuple[str, bool]:
        started.set()
        return thread.wait(SOON), has_hub()

    outcome: list[Any] = []
    native = threading.Thread(target=lambda: outcome.append(join()))
    native.start()
    assert started.wait(SOON)
    sleep(0)
    native.join(SOON)
    assert outcome == [("value", False)]


def test_a_hub_ends_with_its_os_thread(in_os_thread: InOsThread) -> None:
    hubs: list[Hub] = []

    def run() -> None:
        hubs.append(get_hub())
        spawn(int).wait(SOON)
        assert hubs[0] in all_hubs()

    in_os_thread(run)
    assert hubs[0].closed
    assert hubs[0] not in all_hubs()
    hubs[0].post(int)  # too late, and no error


def test_what_is_parked_at_the_end_of_its_os_thread_unwinds(in_os_thread: InOsThread) -> None:
    events: list[str] = []

    def park() -> None:
        try:
            sleep(1000)
        finally:
            events.append("finally")
            try:
                sleep(1000)
            finally:
                events.append("cannot wait any more")

    def run() -> None:
        spawn(park)
        spawn(greenlet(park).switch)
        sleep(0)

    in_os_thread(run)
    assert events == ["finally", "cannot wait any more"] * 2


def test_what_never_began_at_the_end_of_its_os_thread_is_over(in_os_thread: InOsThread) -> None:
    def run() -> GreenThread[int]:
        thread = spawn(int)
        joiner = threading.Thread(target=lambda: ended.append(thread.join(SOON)))
        joiner.start()
        joiners.append(joiner)
        while not thread.waiters:
            time.sleep(0.001)
        return thread

    ended: list[bool] = []
    joiners: list[threading.Thread] = []
    thread = in_os_thread(run)
    joiners[0].join(SOON)
    assert ended == [True]
    assert isinstance(thread.exception, GreenletExit)


def test_os_threads_that_come_and_go_leave_nothing(in_os_thread: InOsThread) -> None:
    def run() -> None:
        spawn(sleep, 1000)
        for thread in [spawn(sleep) for _ in range(5)]:
            thread.wait(SOON)

    def living() -> int:
        gc.collect()
        return sum(isinstance(each, (Hub, greenlet)) for each in gc.get_objects())

    for _ in range(5):
        in_os_thread(run)
    before, channels = living(), len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        in_os_thread(run)
    assert living() <= before + 30
    assert len(os.listdir("/proc/self/fd")) <= channels + 3


def test_two_hubs_talk(in_os_thread: InOsThread) -> None:
    asked: Queue[int | None] = Queue()
    answered: Queue[int] = Queue()

    def answer() -> None:
        def serve() -> None:
            while (number := asked.get(timeout=SOON)) is not None:
                answered.put(number * 2)

        spawn(serve).wait(SOON)

    def ask() -> list[int]:
        answers = []
        for number in range(200):
            asked.put(number)
            answers.append(answered.get(timeout=SOON))
        asked.put(None)
        return answers

    native = threading.Thread(target=answer)
    native.start()
    answers = spawn(ask).wait(SOON)
    native.join(SOON)
    assert answers == [number * 2 for number in range(200)]


def test_the_running_task() -> None:
    hub = get_hub()
    assert current_task() is hub.main
    thread: Any = spawn(current_task)
    assert thread.wait(SOON) is thread
    guest = greenlet(current_task).switch()
    assert isinstance(guest, Guest)
    assert guest.host is hub.main


# The interrupt key


@pytest.mark.parametrize("environ", [{}, {"GREENWORLD_HUB": "poll"}, {"GREENWORLD_HUB": "select"}])
def test_an_interrupt_ends_the_hubs_sleep(program: Start, environ: dict[str, str]) -> None:
    run = program(
        """
        def nap():
            print("asleep")
            sleep(60)
        spawn(nap)
        try:
            sleep(60)
        except KeyboardInterrupt:
            print("main has it")
        sleep(0.001)
        print("and goes on")
        """,
        **environ,
    )
    run.expect("asleep")
    run.interrupt()
    assert run.finish() == (0, "main has it\nand goes on\n", "")


ELSEWHERE = """
    import time
    def interrupt_elsewhere():
        while not hub.polling:
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
"""


def test_a_signal_that_another_os_thread_gets_ends_the_hubs_sleep(output: Output) -> None:
    """For the sleeping OS thread it is as with one that arrives just before it sleeps."""
    run = (
        ELSEWHERE
        + """
    hub = get_hub()
    threading.Thread(target=interrupt_elsewhere).start()
    try:
        sleep(60)
    except KeyboardInterrupt:
        print("main has it")
    """
    )
    assert output(run) == "main has it\n"


def test_a_forked_child_hears_its_own_signals(output: Output) -> None:
    run = (
        ELSEWHERE
        + """
    import select
    old = get_hub()
    pid = os.fork()
    if pid == 0:
        hub = get_hub()
        threading.Thread(target=interrupt_elsewhere).start()
        try:
            sleep(60)
        except KeyboardInterrupt:
            os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(select.select([old.wakeup.fd], [], [], 0)[0])
    """
    )
    assert output(run) == "7\n[]\n"


def test_who_hears_of_signals_already_goes_on_hearing(output: Output) -> None:
    run = """
        left, right = socket.socketpair()
        left.setblocking(False)
        signal.set_wakeup_fd(left.fileno())
        sleep(0.001)
        print(signal.set_wakeup_fd(-1) == left.fileno())
        """
    assert output(run) == "True\n"


def test_an_interrupt_finds_main_parked_on_an_event(program: Start) -> None:
    run = program(
        """
        event = Event()
        def nap():
            print("asleep")
            sleep(60)
        spawn(nap)
        try:
            event.wait()
        except KeyboardInterrupt:
            print("main has it")
        spawn(event.send, 1)
        print(event.wait())
        """
    )
    run.expect("asleep")
    run.interrupt()
    assert run.finish() == (0, "main has it\n1\n", "")


def test_an_interrupt_while_a_green_thread_spins(program: Start) -> None:
    run = program(
        """
        def spin():
            print("spinning")
            while True:
                sleep(0)
        spinner = spawn(spin)
        try:
            spinner.wait()
        except KeyboardInterrupt:
            print("main has it", spinner.dead)
        """
    )
    run.expect("spinning")
    run.interrupt()
    assert run.finish() == (0, "main has it False\n", "")


def test_an_interrupt_while_main_spins(program: Start) -> None:
    """Interrupted between two steps of the hub, main must not be left in the run queue."""
    run = program(
        """
        caught = 0
        def bystander():
            while True:
                sleep(0)
        spawn(bystander)
        while caught < 20:
            try:
                print("caught", caught)
                while True:
                    sleep(0)
            except KeyboardInterrupt:
                caught += 1
                assert get_hub().ready.count(get_hub().main) == 0
        """
    )
    for caught in range(20):
        run.expect(f"caught {caught}")
        run.interrupt()
    assert run.finish() == (0, "", "")


def test_a_second_interrupt_strikes_a_green_thread_that_never_gives_way(program: Start) -> None:
    run = program(
        """
        signal.signal(signal.SIGUSR1, lambda *ignored: print("still computing"))
        def compute():
            print("computing")
            while True:
                pass
        def main():
            get_hub()
            spawn(compute)
            try:
                sleep(60)
            except KeyboardInterrupt:
                print("main has it")
            sleep(0.001)
        main()
        """
    )
    run.expect("computing")
    run.interrupt()
    run.process.send_signal(10)
    run.expect("still computing")
    run.interrupt()
    assert run.finish() == (0, "main has it\n", "")


def test_an_interrupt_overtakes_the_run_queue(program: Start) -> None:
    """Main has been woken and will not wait again: it is interrupted all the same."""
    run = program(
        """
        done = Event()
        def interrupt():
            done.send()
            _thread.interrupt_main()
        try:
            spawn(interrupt)
            done.wait()
            print("main went on")
        except KeyboardInterrupt:
            print("main has it")
        """
    )
    assert run.finish() == (0, "main has it\n", "")


def test_an_interrupt_that_nobody_catches(program: Start) -> None:
    run = program(
        """
        try:
            print("waiting")
            sleep(60)
        finally:
            print("unwound")
        """
    )
    run.expect("waiting")
    run.interrupt()
    status, out, err = run.finish()
    assert (status, out) == (-2, "unwound\n")
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_a_handler_of_the_user_stays(output: Output) -> None:
    assert (
        output(
            """
            def handler(number, frame):
                print("mine")
            signal.signal(signal.SIGINT, handler)
            sleep(0)
            os.kill(os.getpid(), signal.SIGINT)
            sleep(0.001)
            print(signal.getsignal(signal.SIGINT) is handler)
            """
        )
        == "mine\nTrue\n"
    )


def test_a_signal_handler_that_spawns_ends_the_hubs_sleep(program: Start) -> None:
    run = program(
        """
        event = Event()
        signal.signal(signal.SIGTERM, lambda *ignored: spawn(event.send, "spawned"))
        signal.signal(signal.SIGUSR1, lambda *ignored: spawn_after(0.001, event.send, "timed"))
        def nap():
            print("asleep")
            sleep(60)
        for _ in range(2):
            nap_thread = spawn(nap)
            print(event.wait())
            event.reset()
            nap_thread.kill()
        """
    )
    run.expect("asleep")
    run.process.terminate()
    run.expect("spawned")
    run.expect("asleep")
    run.process.send_signal(10)
    assert run.finish() == (0, "timed\n", "")


def test_a_signal_handler_that_kills_ends_the_hubs_sleep(program: Start) -> None:
    run = program(
        """
        def nap():
            print("asleep")
            sleep(60)
        thread = spawn(nap)
        signal.signal(signal.SIGTERM, lambda *ignored: thread.kill())
        thread.join()
        print(repr(thread.exception))
        """
    )
    run.expect("asleep")
    run.process.terminate()
    assert run.finish() == (0, "GreenletExit()\n", "")


def test_what_a_signal_handler_raises_in_the_hubs_sleep_is_raised_in_main(output: Output) -> None:
    assert (
        output(
            """
            def handler(number, frame):
                raise TimeoutError("alarm")
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                sleep(60)
            except TimeoutError as error:
                print(error)
            sleep(0.001)
            """
        )
        == "alarm\n"
    )


# The end of the interpreter


@pytest.mark.parametrize(
    "alive",
    [
        "spawn(sleep, 60); sleep(0)",
        "spawn(Event().wait); sleep(0)",
        "spawn(greenlet(sleep).switch, 60); sleep(0)",
        "spawn(wait_readable, os.pipe()[0]); sleep(0.001)",
        "spawn(sleep, 60)",
        "spawn_after(60, print); sleep(0)",
        "outer = greenlet(greenlet(get_hub().main.greenlet.switch).switch); outer.switch()",
        "spawn(sleep, 60); threading.Thread(target=sleep, args=(60,), daemon=True).start()",
        "threading.Thread(target=lambda: spawn(sleep, 60).wait(), daemon=True).start()",
        "threading.Thread(target=lambda: spawn(sleep, 60) and sleep(0)).start()",
        "t = [spawn(sleep, 0) for _ in range(100)]; t[-1].wait(); sys.settrace(None)",
        "spawn(sleep, 60); sleep(0); import atexit; atexit.register(sleep, 0.001)",
    ],
)
def test_the_interpreter_ends_quietly_with_green_threads_alive(output: Output, alive: str) -> None:
    assert output(alive + "\nprint('end')") == "end\n"


def test_an_unwinding_green_thread_at_the_end_is_quiet(output: Output) -> None:
    run = """
        def park():
            try:
                sleep(60)
            except GreenletExit:
                sleep(60)
            finally:
                lock.release()
        lock = Lock()
        lock.acquire()
        threads = [spawn(park) for _ in range(10)]
        sleep(0)
        print("end")
        """
    assert output(run) == "end\n"


def test_the_interpreter_ends_while_hubs_of_daemon_threads_run(output: Output) -> None:
    run = """
        import time
        class Slow:
            def __del__(self, nap=time.sleep):
                nap(0.05)  # lets other OS threads ask for the GIL while the interpreter finalises
        sys.slow = Slow()
        def run(up):
            def tick():
                while True:
                    sleep(0.0002)
            for _ in range(3):
                spawn(tick)
            up.send()
            while True:
                sleep(0.0003)
        def spin(up):
            up.send()
            while True:
                sleep(0)
        for function in (run, spin):
            up = Event()
            threading.Thread(target=function, args=(up,), daemon=True).start()
            up.wait(10)
        print("end")
        """
    assert output(run) == "end\n"


def test_what_is_waited_for_at_exit_still_comes_from_daemon_threads() -> None:
    """The exit function is registered before the hub's own, so it is called after it."""
    code = """if True:
            import atexit
            atexit.register(lambda: print(asked.set(), done.wait(30)))
            import threading
            asked, done = threading.Event(), threading.Event()
            from greenworld.hub import *
            up = threading.Event()
            def answer():
                while not asked.is_set():
                    sleep(0.001)
                done.set()
            def run():
                thread = spawn(answer)
                sleep(0)
                up.set()
                thread.wait()
            threading.Thread(target=run, daemon=True).start()
            up.wait(30)
        """
    assert subprocess.check_output([sys.executable, "-c", code], timeout=60) == b"None True\n"
