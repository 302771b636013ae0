"""The lanes of waiting connections; what clients see of them is in test_connection.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenworld.wsgi.environ import COLD_BLOCK
from greenworld.wsgi.idle import MAX_PRIVATE

if TYPE_CHECKING:
    from tests.wsgi.conftest import Serve


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_the_timer_runs_only_while_somebody_waits(serve: Serve) -> None:
    running = serve(hello, keep_alive=0.04, head_timeout=0.04)
    idle = running.on_hub(lambda: running.server.idle)
    assert running.on_hub(lambda: idle.timer) is None
    client = running.connect()
    client.get()
    assert running.on_hub(lambda: idle.timer) is not None
    assert client.at_end()
    while running.on_hub(lambda: idle.timer) is not None:
        pass
    assert running.on_hub(lambda: len(idle.heads) + len(idle.fresh) + len(idle.cold)) == 0


def test_secrets_are_kept_for_a_bounded_number_of_connections(serve: Serve) -> None:
    running = serve(hello)
    secretive = running.connect()
    secretive.get("/", "Cookie: a=b")
    [connection] = running.on_hub(lambda: list(running.server.connections))
    assert connection.block is not COLD_BLOCK
    crowd: Any = dict.fromkeys(map(str, range(MAX_PRIVATE)), float("inf"))
    running.on_hub(lambda: running.server.idle.fresh.update(crowd))
    secretive.get("/", "Cookie: a=b")
    assert running.on_hub(lambda: connection.block) is COLD_BLOCK

    def disperse() -> None:
        for stranger in crowd:
            del running.server.idle.fresh[stranger]

    running.on_hub(disperse)


def test_empty_lines_prolong_nothing(serve: Serve) -> None:
    running = serve(hello)
    client = running.connect()
    client.get()
    idle = running.on_hub(lambda: running.server.idle)
    [since] = running.on_hub(lambda: list(idle.fresh.values()) + list(idle.cold.values()))
    [connection] = running.on_hub(lambda: list(running.server.connections))
    client.send(b"\r\n")
    running.connect().get()  # came later, so that the empty line has been looked at
    assert running.on_hub(lambda: connection.lane[connection]) == since
    assert client.get().body == b"hello"
