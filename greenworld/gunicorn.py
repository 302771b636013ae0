"""A worker for Gunicorn: `gunicorn -k greenworld.gunicorn.GreenWorker package.module:app`.

Owns the translation between Gunicorn's master (settings, signals, heartbeat, hooks, logs) and
greenworld's own server, which reads and answers the requests: the worker has its strictness and
its speed.

1. Importing this module defines the class and does nothing else: the master imports it, before
   it forks. Each worker patches the standard library for itself, before the application is
   loaded; with `preload_app` the master has loaded it by then, and late patching has to do.
2. The heartbeat comes from the main green thread: it stops when the hub no longer turns.
3. What costs time on each request (hooks, Gunicorn's access log) is done only where the
   configuration asks for it.
4. Settings that this worker cannot honour are refused when Gunicorn starts, by name.
5. Where `proxy_protocol` is on, every connection must begin with a PROXY header, in either
   version: Gunicorn's own workers take one that has none for a client's, and so would believe
   whoever reaches the port directly. `forwarded_allow_ips` is held against the client that the
   header names, not against the proxy.
6. The TLS handshake has a green thread of its own, whatever `do_handshake_on_connect` says.
"""

from __future__ import annotations

import os
import signal
import sys
from _socket import SOCK_STREAM
from _socket import socket as RawSocket
from datetime import timedelta
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any

from gunicorn.http.wsgi import WSGIErrorsWrapper  # type: ignore[import-untyped]
from gunicorn.sock import ssl_context  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from greenworld.hub import Semaphore, spawn
from greenworld.patches import is_monkey_patched, monkey_patch
from greenworld.wsgi import Config, Server
from greenworld.wsgi.config import Tls
from greenworld.wsgi.http1 import Limits
from greenworld.wsgi.opening import Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from greenworld.wsgi.connection import Connection
    from greenworld.wsgi.errors import HttpError
    from greenworld.wsgi.gateway import Application, Exchange
    from greenworld.wsgi.log import AccessRecorder


__all__ = ["GreenWorker"]

HEARTBEAT_SECONDS = 1.0
NO_LIMIT = 1 << 20
"""What Gunicorn's 0 (no limit) means here: no line of a head is longer."""
BEGUN = "greenworld.begun"
"""The key of the environment under which a request's beginning is kept, in seconds."""


class GreenWorker(Worker):  # type: ignore[misc] # Gunicorn has no types
    """Serves each request in a green thread. **Source**: Gunicorn's "Custom workers"."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what cannot be honoured, warn of what works less well. Called by the master."""
        if cfg.protocol != "http":
            raise RuntimeError(f"{cls.__name__} speaks HTTP: make protocol 'http'")
        if "h2" in cfg.http_protocols:
            raise RuntimeError(f"{cls.__name__} speaks HTTP/1.1: take h2 out of http_protocols")
        if cfg.header_map == "dangerous":
            raise RuntimeError(
                f"{cls.__name__} does not let X_A pose as X-A: make header_map 'drop' or 'refuse'"
            )
        if cfg.preload_app and not is_monkey_patched("socket"):
            log.warning(
                "preload_app: the application is imported before greenworld has patched the "
                "standard library. Begin gunicorn.conf.py with `import greenworld; "
                "greenworld.monkey_patch()`, or turn preload_app off"
            )

    def init_process(self) -> None:
        """In the new process: patch, then have Gunicorn load the application and `run`."""
        # Until Gunicorn sets a worker's handlers, the master's take the signals and only note them:
        # a worker told to stop would go on, to be killed after the graceful time-out.
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
            signal.signal(number, _leave)
        applied = monkey_patch()
        for what in applied.left:
            self.log.warning("made before the patch, and still native: %s", what)
        # Before Gunicorn gives up privileges, which the key may need, and while a failure still
        # ends Gunicorn and not only one worker after the other. It asks the `ssl_context` hook.
        self._tls = Tls(context=ssl_context(self.cfg)) if self.cfg.is_ssl else None
        self._turn = Semaphore(0)
        super().init_process()

    def run(self) -> None:
        """Serve until the master says stop, then let the requests finish. **Blocks**."""
        cfg = self.cfg
        server = Server(self._application(), self._take_sockets(), config=self._config())
        server.access = self._recorder(server)
        if cfg.proxy_protocol != "off":
            server.opening = Opening(server, [*cfg.proxy_allow_ips, "unix"])
        server.start()
        while self.alive:
            self.notify()
            self._turn.acquire(timeout=HEARTBEAT_SECONDS)
        stopping = spawn(server.stop, cfg.graceful_timeout)
        while not stopping.join(HEARTBEAT_SECONDS):
            self.notify()

    def _take_sockets(self) -> list[RawSocket]:
        """The master's listening sockets, as objects of our own."""
        return [RawSocket(each.FAMILY, SOCK_STREAM, 0, each.sock.detach()) for each in self.sockets]

    def _config(self) -> Config:
        cfg = self.cfg
        field_size = cfg.limit_request_field_size or NO_LIMIT
        return Config(
            keep_alive=float(cfg.keepalive),
            graceful_timeout=float(cfg.graceful_timeout),
            max_connections=cfg.worker_connections,
            limits=Limits(
                line=cfg.limit_request_line or NO_LIMIT,
                fields=cfg.limit_request_fields,
                head=min(NO_LIMIT, cfg.limit_request_fields * (field_size + 4)),
            ),
            environ={
                "wsgi.errors": WSGIErrorsWrapper(cfg),
                "wsgi.multiprocess": cfg.workers > 1,
            },
            error_log=_ErrorStream(self.log),
            tls=self._tls,
            underscores=cfg.header_map,
        )

    def _application(self) -> Application:
        """The application, inside what has to be done before it sees a request."""
        cfg = self.cfg
        application: Application = self.wsgi
        if cfg.pre_request is not type(cfg.settings["pre_request"]).default:
            application = _hooked(self, application)
        if script_name := os.environ.get("SCRIPT_NAME"):
            application = _mounted(script_name, application)
        if cfg.secure_scheme_headers:
            application = _forwarded(cfg, application)
        if _wants_answers(self):
            application = _timed(application)
        return application

    def _recorder(self, server: Server) -> AccessRecorder:
        """Who hears of each answer: as little as the configuration needs."""
        if _wants_answers(self):
            return _Answers(self, server)
        return _Counter(self) if self.cfg.max_requests else _Refusals(self)

    def count_request(self) -> None:
        """A request has been answered: after `max_requests` of them the worker ends."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self._end()

    def _end(self) -> None:
        self.alive = False
        self._turn.release()

    def notify(self) -> None:
        """Tell the master that the hub turns; end when it is gone."""
        super().notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False

    # Signals: their handlers run in between, and may not block

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """TERM: stop gracefully."""
        self._end()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """QUIT, INT: stop at once."""
        self.alive = False
        spawn(self._quit)

    def _quit(self) -> None:
        self.cfg.worker_int(self)
        sys.exit(0)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """USR1: open the log files again."""
        spawn(self.log.reopen_files)


def _leave(sig: int, frame: FrameType | None) -> None:
    """Stop a worker that has served nobody yet."""
    sys.exit(0)


def _hooked(worker: GreenWorker, application: Application) -> Application:
    """Call `pre_request` first."""
    cfg = worker.cfg

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        cfg.pre_request(worker, _Request(environ))
        return application(environ, start_response)

    return run


def _mounted(script_name: str, application: Application) -> Application:
    """Serve what is below a prefix as Gunicorn's SCRIPT_NAME says."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(script_name):
            environ["SCRIPT_NAME"] = script_name
            environ["PATH_INFO"] = environ["PATH_INFO"][len(script_name) :]
        return application(environ, start_response)

    return run


def _forwarded(cfg: Any, application: Application) -> Application:
    """Take the scheme from `secure_scheme_headers`, where the peer may say it."""
    trusts = _trusts(cfg)
    secure = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in cfg.secure_scheme_headers.items()
    }
    keys = tuple(secure)

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        for key in keys:
            if key in environ:
                if trusts(environ["REMOTE_ADDR"]):
                    environ["wsgi.url_scheme"] = _scheme(secure, environ)
                break
        return application(environ, start_response)

    return run


def _timed(application: Application) -> Application:
    """Note when a request began."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[BEGUN] = monotonic()
        return application(environ, start_response)

    return run


class _ErrorStream:
    """A log of greenworld's that is Gunicorn's error log."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def write(self, text: str, /) -> None:
        self._log.error("%s", text.rstrip("\n"))

    def flush(self) -> None:
        """Each message leaves by itself."""


class _Request:
    """What Gunicorn's hooks and its access log read of a request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method: str = environ["REQUEST_METHOD"]
        self.uri: str = environ["RAW_URI"]
        self.path: str = environ["PATH_INFO"]
        self.query: str = environ["QUERY_STRING"]
        self.fragment = ""
        major, _, minor = environ["SERVER_PROTOCOL"].removeprefix("HTTP/").partition(".")
        self.version = (int(major), int(minor or 0))
        self.headers = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]


class _Response:
    """What they read of an answer."""

    def __init__(self, exchange: Exchange) -> None:
        head = exchange.head
        lines = [] if head is None else head.lines.decode("latin-1").split("\r\n")[:-1]
        self.status = lines[0].partition(" ")[2] if lines else "-"
        self.status_code = int(head.code) if head is not None else 0
        self.headers = [(name, value.strip()) for name, _, value in map(_split, lines[1:])]
        self.sent = exchange.sent
        self.response_length = head.length if head is not None and head.length >= 0 else None


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


class _Refusals:
    """Logs what was no request, and nothing else."""

    def __init__(self, worker: GreenWorker) -> None:
        self._worker = worker

    def record(self, exchange: Exchange, /) -> None:
        """Nobody wants to know."""

    def record_refusal(self, connection: Connection, error: HttpError, size: int, /) -> None:
        self._worker.log.warning(
            "Invalid request from ip=%s: %s (%s)", connection.host, error.why, error.status
        )

    def flush(self) -> None:
        """Gunicorn's log keeps nothing back."""


class _Counter(_Refusals):
    """Counts the answers, for `max_requests`."""

    def record(self, exchange: Exchange, /) -> None:
        self._worker.count_request()


class _Answers(_Counter):
    """Logs every answer too, and calls the hook."""

    def __init__(self, worker: GreenWorker, server: Server) -> None:
        super().__init__(worker)
        self._errors = server.errors

    def record(self, exchange: Exchange, /) -> None:
        try:
            self._tell(exchange)
        except Exception as error:  # noqa: BLE001 - a hook of the user's
            self._errors.exception("greenworld.gunicorn: after a request", error)
        super().record(exchange)

    def _tell(self, exchange: Exchange) -> None:
        environ = exchange.environ
        request, response = _Request(environ), _Response(exchange)
        seconds = monotonic() - environ.pop(BEGUN, monotonic())
        worker = self._worker
        try:
            worker.log.access(response, request, environ, timedelta(seconds=seconds))
        finally:
            worker.cfg.post_request(worker, request, environ, response)


def _wants_answers(worker: GreenWorker) -> bool:
    """Whether an access log or a hook is to hear of each answer."""
    cfg = worker.cfg
    hooked = cfg.post_request is not type(cfg.settings["post_request"]).default
    return hooked or worker.log.access_log_enabled or cfg.statsd_host is not None


def _trusts(cfg: Any) -> Callable[[str], bool]:
    """Whether the peer of that address may say which scheme its client used."""
    allowed = set(cfg.forwarded_allow_ips)
    networks = cfg.forwarded_allow_networks()
    known: dict[str, bool] = {}

    def trusts(address: str) -> bool:
        if "*" in allowed or not address:
            return True  # a Unix socket has no address, and its peer is on this machine
        if address not in known:
            if len(known) > 1000:
                known.clear()
            known[address] = any(ip_address(address) in network for network in networks)
        return known[address]

    return trusts


def _scheme(scheme_keys: dict[str, str], environ: dict[str, Any]) -> str:
    """`https` if a trusted peer says so."""
    says = [environ[key] == value for key, value in scheme_keys.items() if key in environ]
    return "https" if any(says) else "http"
