"""The server: its listeners, its connections, and how it starts and stops.

1. A server belongs to the hub of the OS thread that starts it. `request_stop` may be called
   from anywhere, the rest from that thread's green threads.
2. Stopping: what has connected is accepted, listeners close; a connection between two requests
   is served if its next one has arrived, else closed at once; one that has just connected, or
   sent a part of a head, has `NEWCOMER_SECONDS` for the rest, which may be on its way; what is
   being answered is finished with `Connection: close`. What is left after the graceful time is
   killed; what waits for its turn (`max_in_flight`) then never begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenworld.hub import get_hub, spawn
from greenworld.hub.current import current_waiter
from greenworld.wsgi.access_format import compile_format, timed
from greenworld.wsgi.binds import open_all
from greenworld.wsgi.clock import Clock
from greenworld.wsgi.config import Config
from greenworld.wsgi.connection import Connection
from greenworld.wsgi.environ import HeaderBlock
from greenworld.wsgi.gateway import Application
from greenworld.wsgi.governed import governor_for
from greenworld.wsgi.idle import IdleConnections
from greenworld.wsgi.listener import Listener, SocketLike
from greenworld.wsgi.log import AccessLog, AccessRecorder, ErrorLog
from greenworld.wsgi.request_id import RequestIds
from greenworld.wsgi.room import Room

if TYPE_CHECKING:
    from greenworld.wsgi.opening import Opening

__all__ = ["Server"]

NEWCOMER_SECONDS = 1.0
"""How long a stopping server waits for the first request of a connection."""


class Server:
    """Serves a WSGI application over HTTP/1.1 from green threads of the present OS thread.

    Listens on `sockets` (one or several), which the caller made and which are closed when the
    server stops, or else on what `bind` names: `"HOST:PORT"` (port 0: the system chooses one,
    see `address`), `"[IPV6]:PORT"`, `":PORT"` for every interface, `"unix:PATH"`, `"fd://N"`
    (all of them: `greenworld.wsgi.binds`), or a list.
    """

    def __init__(
        self,
        application: Application,
        sockets: SocketLike | Iterable[SocketLike] = (),
        *,
        bind: str | Sequence[str] = "127.0.0.1:8000",
        config: Config | None = None,
    ) -> None:
        self.application = application
        self.config = config or Config()
        self.hub = get_hub()
        self.clock = Clock()
        self.errors = ErrorLog(self.config.error_log)
        self.access: AccessRecorder | None = None
        """Who hears of every answer; may be replaced before the server starts."""
        self.idle = IdleConnections(self.hub, self.clock, self.config)
        self.in_context: Callable[..., Any] = copy_context().run
        self.keeps_alive = self.config.keep_alive > 0
        self.edge: Callable[[Connection, HeaderBlock, dict[str, Any]], None] | None = None
        """What sees the environment of each request before the application, and may change it
        or raise HttpError; may be set before the server starts."""
        trusts: Callable[[str], bool] | None = None
        if self.config.trusted_proxies:  # imported where it is asked for: see trust.py
            forwarded = import_module("greenworld.wsgi.forwarded")
            self.edge = edge = forwarded.ForwardedHeaders(self.config)
            trusts = edge.proxies.trusts_peer
        self.request_ids = RequestIds(self.config.request_id_header, trusts)
        self._open_log()
        self.opening: Opening | None = None
        """What new connections go through first: made at the start if the configuration asks
        for it; may be set before."""
        self.plain = False
        """Whether a request's own head alone decides how it is answered."""
        self.connections: set[Connection] = set()
        self.room = Room(self, self.config.max_connections)
        self.governor = governor_for(self)
        self.stopping = False
        self.past_newcomers = False
        """Whether it stops, and waits for no request any more."""
        self.stop_requested = False
        """Whether `request_stop` has been called."""
        self._sockets: Sequence[SocketLike] = _as_list(sockets)
        self._bind = [bind] if isinstance(bind, str) else list(bind)
        self._listeners: list[Listener] = []
        self._started = self._stopped = False
        self._waiting: deque[Any] = deque()  # for the stop, or for the last connection to go

    def _open_log(self) -> None:
        """What the configuration wants to know of each request, as little as it costs."""
        config = self.config
        if config.request_id_environ:
            self.application = self.request_ids.naming(self.application)
        if config.access_log is not None:
            behind_proxies = bool(config.trusted_proxies)
            form = compile_format(config.access_format, behind_proxies=behind_proxies)
            self.access = AccessLog(config.access_log, self.errors, spawn, form)
            if form.timed:
                self.application = timed(self.application)

    @property
    def address(self) -> Any:
        """Where the server listens first, as `getsockname()` says: `(host, port)` for IPv4."""
        return self._listeners[0].address

    @property
    def addresses(self) -> list[Any]:
        """Where the server listens, as `getsockname()` says; empty before `start`."""
        return [listener.address for listener in self._listeners]

    @property
    def urls(self) -> list[str]:
        """Where the server listens, as `http://host:port` or `unix:path`."""
        return [listener.url for listener in self._listeners]

    def start(self) -> None:
        """Listen, and serve whenever this OS thread's green threads get their turn.

        Does not block. Raises OSError when an address cannot be listened on, ValueError when
        it makes no sense; then nothing stays open.
        """
        if self._started:
            raise RuntimeError("this server has been started before: make a new one")
        if self.opening is None:
            self.opening = self._make_opening()
        bind_here = not self._sockets
        if bind_here:
            self._sockets = open_all(self._bind, self.config.backlog)
        self._started = True
        self.plain = self.keeps_alive and self.edge is None and self.opening is None
        self._listeners = [Listener(self, sock, bind_here) for sock in self._sockets]

    def _make_opening(self) -> Opening | None:
        config = self.config
        if config.tls is None and not config.proxy_protocol:
            return None
        # Loaded here, since most servers need neither it nor what it imports.
        make: type[Opening] = import_module("greenworld.wsgi.opening").Opening
        return make(self, config.trusted_proxies if config.proxy_protocol else None)

    def reload_certificates(self) -> bool:
        """Load the certificates again, for new connections; return whether that went well.

        The old ones stay in use if not, and the error log says why. Reads files, and does not
        block otherwise. Changed files are noticed without it.
        """
        return self.opening is None or self.opening.reload()

    def serve_forever(self) -> None:
        """Start unless that is done, and return when the server has stopped. **Blocks**."""
        if not self._started:
            self.start()
        while not self._stopped:
            self._park(None)

    def stop(self, timeout: float | None = None, *, last_request: float = 0.0) -> bool:
        """Stop gracefully; return whether every request could be finished. **Blocks**.

        `timeout` is in seconds, None for `Config.graceful_timeout`. A second call with a
        shorter time cuts the first one short. `last_request`, in seconds, is for a server whose
        place is taken by another one: so long an idle connection stays open for one more
        request, since a client may send it just when the connection is closed.
        """
        if timeout is None:
            timeout = self.config.graceful_timeout
        if not self.stopping:
            self._refuse_more()
        if not last_request:
            self._dismiss_idle()
        until = monotonic() + timeout
        self._let_finish(min(until, monotonic() + max(NEWCOMER_SECONDS, last_request)))
        self.past_newcomers = True
        if self.opening is not None:
            self.opening.give_up()
        for connection in self.idle.all():
            connection.dismiss()
        self.idle.give_up_heads()
        self._let_finish(until)
        finished = not self.connections
        if self.governor is not None and self.governor.admission is not None:
            self.governor.admission.close()
        cut = 0
        for connection in list(self.connections):
            thread = connection.thread
            if thread is not None:
                cut += connection.lane is None  # else it has only looked for a request
                thread.kill()
            connection.close()
        if cut:
            self.errors.write(f"greenworld.wsgi: stopped before {cut} request(s) could be finished")
        if self.access is not None:
            self.access.flush()
        self._stopped = True
        self._wake_all(self._waiting)
        return finished

    def request_stop(self, timeout: float | None = None, *, last_request: float = 0.0) -> None:
        """Have `stop` run soon. From any OS thread, also in a signal handler. Does not block."""
        self.stop_requested = True
        self.hub.post(lambda: spawn(self.stop, timeout, last_request=last_request))

    def _refuse_more(self) -> None:
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        self.room.freed()

    def _dismiss_idle(self) -> None:
        for connection in self.idle.all():
            if not connection.is_new:
                connection.dismiss()

    def _let_finish(self, until: float) -> None:
        """Wait until every connection has closed, or for that time of the clock. **Blocks**."""
        while self.connections and (left := until - monotonic()) > 0:
            self._park(left)

    # What connections and listeners call

    def forget(self, connection: Connection) -> None:
        """A connection has closed."""
        self.connections.discard(connection)
        self.room.freed()
        if self.stopping and not self.connections:
            self._wake_all(self._waiting)

    # Waiting

    def _park(self, timeout: float | None) -> None:
        waiter = current_waiter()
        self._waiting.append(waiter)
        waiter.park(self, self._waiting, timeout)

    @staticmethod
    def _wake_all(lot: deque[Any]) -> None:
        for _ in range(len(lot)):
            lot.popleft().wake()

    def describe_wait(self, lot: object) -> str:
        """Say what a green thread waits for, in the report of a deadlock."""
        return f"the server on {', '.join(self.urls)} to stop"


def _as_list(sockets: SocketLike | Iterable[SocketLike]) -> list[SocketLike]:
    """One socket, or several, as a list."""
    return list(sockets) if isinstance(sockets, Iterable) else [sockets]
