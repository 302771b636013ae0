"""A worker's end of the line; its life is in test_supervisor.py."""

from __future__ import annotations

from collections.abc import Callable

SETUP = """
    from greenworld.wsgi.command.crew import make_line
    from greenworld.wsgi.command.settings import Settings
    from greenworld.wsgi.command.worker import Seat, serve

    ours, theirs = make_line()
    seat = Seat(1, (), theirs, None)
"""


def test_it_says_why_it_cannot_start(program: Callable[..., str]) -> None:
    said = program(
        f"""{SETUP}
    print(serve(Settings(app="no_such_module:app"), seat))
    print(ours.recv(10_000))
    ours.close()
    print(serve(Settings(app="no_such_module:app"), seat), "and nobody hears it")
    """
    ).splitlines()
    assert said[0] == "1"
    assert said[1].startswith("b\"!greenworld.wsgi: there is no module 'no_such_module'")
    assert said[2] == "1 and nobody hears it"


def test_a_log_that_cannot_be_opened(program: Callable[..., str]) -> None:
    code, said = program(
        f"""{SETUP}
    print(serve(Settings(app="x:y", error_log="/absent/errors"), seat))
    print(ours.recv(10_000))
    """
    ).splitlines()
    assert code == "1"
    assert said.startswith('b"!greenworld.wsgi: ')
    assert "/absent/errors" in said
