"""Messages that are written once in a while."""

from __future__ import annotations

import io

from greenworld.wsgi.clock import Clock
from greenworld.wsgi.log import ErrorLog
from greenworld.wsgi.seldom import INTERVAL, Seldom


class SetClock(Clock):
    """A clock that stands where it is put."""

    now = 1000.0

    def tick(self) -> float:
        return self.now


def test_one_message_in_an_interval_and_the_number_of_the_others() -> None:
    stream = io.StringIO()
    clock = SetClock()
    seldom = Seldom(ErrorLog(stream), clock)
    seldom("full")
    for _ in range(3):
        clock.now += INTERVAL / 4
        seldom("still full")
    assert stream.getvalue() == "greenworld.wsgi: full\n"
    clock.now += INTERVAL / 4
    seldom("full again")
    clock.now += INTERVAL
    seldom("and again")
    assert stream.getvalue().splitlines()[1:] == [
        "greenworld.wsgi: full again (and 3 times more since the last such line)",
        "greenworld.wsgi: and again",
    ]
