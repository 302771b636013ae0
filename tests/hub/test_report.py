"""The deadlock report: when it is raised, when not, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenworld.hub import get_hub, sleep, spawn
from greenworld.hub.current import current_waiter
from greenworld.hub.report import blocked_tasks, describe, report_blocked
from greenworld.hub.sync import Event

Output = Callable[..., str]
Start = Callable[..., Any]
SOON = 5.0


def test_it_is_raised_in_main(output: Output) -> None:
    out = output(
        """
        try:
            Event().wait()
        except DeadlockError as error:
            print("raised", "main waits: Event at" in str(error))
        """
    )
    assert out == "raised True\n"


def test_uncaught_it_ends_the_program(program: Start) -> None:
    status, out, err = program("lock = Lock(); lock.acquire(); lock.acquire()").finish()
    assert (status, out) == (1, "")
    assert "greenworld.hub.errors.DeadlockError: " in err
    assert "held by main" in err


def test_it_names_every_blocked_thread_and_whom_each_waits_for(output: Output) -> None:
    out = output(
        """
        first, second = Lock(), Lock()
        def philosopher(mine, other):
            with mine:
                sleep(0)
                with other:
                    print("cannot be")
        def dine():
            threads = [spawn(philosopher, first, second), spawn(philosopher, second, first)]
            threads[0].name, threads[1].name = "Plato", "Socrates"
            spawn(greenlet(Event().wait).switch).name = "outer"
            threads[0].wait()
        try:
            dine()
        except DeadlockError as error:
            print(error)
        """
    )
    paragraphs: dict[str, list[str]] = {}
    for line in out.splitlines()[1:]:
        if not line.startswith("    "):
            name, _, what = line.partition(" waits: ")
            paragraphs[name] = [what]
        else:
            paragraphs[name].append(line.strip())
    assert set(paragraphs) == {"main", "Plato", "Socrates", "greenlet inside main"}
    assert paragraphs["main"][0] == "the end of Plato"
    assert paragraphs["main"][-1].startswith("at <string>:")
    assert "in dine" in paragraphs["main"][-1]
    plato = paragraphs["Plato"]
    assert plato[0].startswith("Lock at 0x")
    assert plato[1] == "held by Socrates"
    assert plato[2].startswith("spawned at <string>:")
    assert plato[2].endswith(" in dine")
    assert "in philosopher" in plato[-1]
    assert paragraphs["Socrates"][1] == "held by Plato"


def test_it_can_be_raised_again(output: Output) -> None:
    out = output(
        """
        event = Event()
        for _ in range(3):
            try:
                event.wait()
            except DeadlockError:
                print("again")
        spawn(event.send, "well")
        print(event.wait())
        """
    )
    assert out == "again\n" * 3 + "well\n"


def test_main_waiting_in_a_raw_greenlet(output: Output) -> None:
    out = output(
        """
        def inner(level):
            sleep(0)
            if level:
                return greenlet(inner).switch(level - 1)
            try:
                Event().wait()
            except DeadlockError:
                return "raised inside"
        print(greenlet(inner).switch(0))
        print(greenlet(inner).switch(2))
        """
    )
    assert out == "raised inside\n" * 2


def test_idle_pool_threads_do_not_keep_it_from_being_raised(output: Output) -> None:
    out = output(
        """
        from greenworld.hub import native
        native.run(int)
        try:
            Event().wait()
        except DeadlockError:
            print("raised")
        """
    )
    assert out == "raised\n"


# Not a deadlock, as long as somebody could come


@pytest.mark.parametrize(
    "helper",
    [
        "spawn_after(0.2, event.send, 'sent')",
        "threading.Timer(0.2, event.send, ('sent',)).start()",
        "_thread.start_new_thread(lambda: (__import__('time').sleep(0.2), event.send('sent')), ())",
        "signal.signal(signal.SIGALRM, lambda *ignored: event.send('sent'));"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)",
        "left, right = socket.socketpair();"
        "spawn(lambda: (wait_readable(left.fileno()), event.send('sent')));"
        "pid = os.fork();"
        "pid or (sleep(0.2), right.send(b'x'), os._exit(0))",
        "from greenworld.hub import native; import time;"
        "spawn(lambda: (native.run(time.sleep, 0.2), event.send('sent')))",
        "get_hub().timers.start(0.2, lambda: event.send('sent'))",
    ],
)
def test_somebody_may_come(output: Output, helper: str) -> None:
    assert output(f"event = Event()\n{helper}\nprint(event.wait())") == "sent\n"


def test_another_os_threads_hub_never_raises_it(output: Output) -> None:
    out = output(
        """
        event = Event()
        def wait():
            get_hub()
            print(event.wait())
        native = threading.Thread(target=wait)
        native.start()
        sleep(0.1)
        event.send("sent")
        native.join()
        """
    )
    assert out == "sent\n"


# The words


def test_blocked_tasks_are_described() -> None:
    event = Event()

    def wait() -> None:
        event.wait()

    thread = spawn(wait)
    thread.name = "worker"
    napping = spawn(sleep, 1000)
    sleep(0)
    hub = get_hub()
    assert {thread, napping} <= set(blocked_tasks(hub))
    text = describe(thread)
    assert text.startswith("worker waits: Event at 0x")
    assert f"spawned at {__file__}:" in text
    assert "in wait: event.wait()" in text
    assert "hub/event.py" not in text
    assert "waits: sleep(1000)" in describe(napping)
    assert text in report_blocked(hub)
    event.send()
    thread.join(SOON)
    napping.kill()


def test_what_cannot_describe_itself_is_shown_as_it_is() -> None:
    class Strange:
        def __repr__(self) -> str:
            return "<something strange>"

        def holders(self) -> list[object]:
            return [thread, 7]

    lot: list[Any] = []

    def wait() -> None:
        waiter = current_waiter()
        lot.append(waiter)
        waiter.park(Strange(), lot)

    thread = spawn(wait)
    thread.name = "worker"
    sleep(0)
    lines = describe(thread).splitlines()
    assert lines[:2] == ["worker waits: <something strange>", "    held by worker, 7"]
    lot.pop().wake()
    thread.join(SOON)


def test_a_long_report_is_cut(output: Output) -> None:
    out = output(
        """
        event = Event()
        for _ in range(300):
            spawn(event.wait)
        try:
            event.wait()
        except DeadlockError as error:
            print(str(error).splitlines()[-1])
        """
    )
    assert out == "… and 101 more\n"
