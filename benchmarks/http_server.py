"""One of the servers under test: `python -m benchmarks.http_server NAME CORE|- log|no-log`.

All serve the application of `benchmarks.http_application` on a free port of the loopback
interface. Says `{"port": …, "version": …}` when connections to it are taken, or
`{"absent": REASON}` if it is not installed. The access log goes to standard error.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from socket import create_server, socket
from typing import Any

from benchmarks.http_application import make_application, make_patched
from benchmarks.pinning import pin
from benchmarks.process import raise_file_limit
from benchmarks.worker import find_version

BACKLOG = 1024
THREADS = 4
MANY = 20_000  # where a server bounds its connections: more than any row opens

Announce = Callable[[int], None]
Serve = Callable[[bool, Announce], None]


@dataclass(frozen=True)
class Subject:
    """A server under test, and which rows make sense for it."""

    serve: Serve
    package: str
    waits: bool = True
    """Whether hundreds of requests may wait at once: not where each takes an OS thread."""
    logs: bool = True
    """Whether it writes an access log."""


def listen() -> socket:
    """A listening socket on a free port."""
    return create_server(("127.0.0.1", 0), backlog=BACKLOG)


def serve_greenworld(access_log: bool, announce: Announce) -> None:
    """Greenworld's server as it ships."""
    wsgi = import_module("greenworld.wsgi")
    application = make_application(import_module("greenworld.hub").sleep)
    listener = listen()
    config = wsgi.Config(access_log=sys.stderr if access_log else None)
    announce(listener.getsockname()[1])
    wsgi.Server(application, [listener], config=config).serve_forever()


def serve_gevent(access_log: bool, announce: Announce) -> None:
    """gevent.pywsgi as it ships.

    It writes head and body apart, and Nagle's algorithm keeps the body back until the head is
    acknowledged, which the client's kernel delays by 40 ms. It also does not say that it will
    close a connection that the client asked it to close, so that wrk counts read errors.
    """
    pywsgi = import_module("gevent.pywsgi")
    run_gevent(access_log, announce, pywsgi.WSGIHandler, no_delay=False)


def serve_gevent_tuned(access_log: bool, announce: Announce) -> None:
    """gevent.pywsgi with TCP_NODELAY, and saying `Connection: close` where it will close."""
    pywsgi = import_module("gevent.pywsgi")

    def finalize_headers(handler: Any) -> None:
        pywsgi.WSGIHandler.finalize_headers(handler)
        if handler.close_connection:
            handler.response_headers.append((b"Connection", b"close"))

    handler = type("TunedHandler", (pywsgi.WSGIHandler,), {"finalize_headers": finalize_headers})
    run_gevent(access_log, announce, handler, no_delay=True)


def run_gevent(access_log: bool, announce: Announce, handler: type, no_delay: bool) -> None:
    """Serve with gevent.pywsgi; connections inherit TCP_NODELAY from the listener."""
    gevent = import_module("gevent")
    socket = import_module("gevent.socket")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(no_delay))
    server = import_module("gevent.pywsgi").WSGIServer(
        listener,
        make_application(gevent.sleep),
        log="default" if access_log else None,
        handler_class=handler,
    )
    server.start()
    announce(server.server_port)
    server.serve_forever()


def serve_eventlet(access_log: bool, announce: Announce) -> None:
    """eventlet.wsgi; its limit on connections is raised beyond what the rows open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its own retirement on import
        eventlet = import_module("eventlet")
        wsgi = import_module("eventlet.wsgi")
    listener = eventlet.listen(("127.0.0.1", 0), backlog=BACKLOG)
    announce(listener.getsockname()[1])
    application = make_application(eventlet.sleep)
    wsgi.server(listener, application, max_size=MANY, log_output=access_log)


def serve_gunicorn(worker: str, needs: str, access_log: bool, announce: Announce) -> None:
    """Gunicorn, a master and one worker, in the place of this process: both keep its core.

    It keeps idle connections for longer than it does by itself, as the row `idle` needs.
    """
    import_module("gunicorn")
    import_module(needs)
    listener = listen()
    listener.set_inheritable(True)
    announce(listener.getsockname()[1])
    os.dup2(2, 1)  # where its access log goes
    command = [sys.executable, "-m", "gunicorn", "-k", worker, "--no-control-socket"]
    command += ["--bind", f"fd://{listener.fileno()}", "--keep-alive", "75"]
    command += ["--worker-connections", str(MANY), "--threads", str(THREADS)]
    command += ["--access-logfile", "-"] if access_log else []
    os.execv(sys.executable, [*command, "benchmarks.http_application:make_patched()"])


def serve_waitress(access_log: bool, announce: Announce) -> None:
    """waitress with its usual four threads; its limit on connections is raised."""
    waitress = import_module("waitress")
    listener = listen()
    server = waitress.create_server(
        make_patched(), sockets=[listener], connection_limit=MANY, asyncore_use_poll=True
    )
    announce(listener.getsockname()[1])
    server.run()


def serve_bjoern(access_log: bool, announce: Announce) -> None:
    """bjoern, which is C and serves one request at a time."""
    bjoern = import_module("bjoern")
    listener = bjoern.bind_and_listen("127.0.0.1", 0, listen_backlog=BACKLOG)
    announce(listener.getsockname()[1])
    bjoern.server_run(listener, make_patched())


SERVERS: dict[str, Subject] = {
    "greenworld": Subject(serve_greenworld, "greenworld"),
    "gevent": Subject(serve_gevent, "gevent"),
    "gevent-tuned": Subject(serve_gevent_tuned, "gevent"),
    "eventlet": Subject(serve_eventlet, "eventlet"),
    "gunicorn-greenworld": Subject(
        partial(serve_gunicorn, "greenworld.gunicorn.GreenWorker", "greenworld"), "gunicorn"
    ),
    "gunicorn-gevent": Subject(partial(serve_gunicorn, "gevent", "gevent"), "gunicorn"),
    "gunicorn-gthread": Subject(
        partial(serve_gunicorn, "gthread", "gunicorn"), "gunicorn", waits=False
    ),
    "waitress": Subject(serve_waitress, "waitress", waits=False, logs=False),
    "bjoern": Subject(serve_bjoern, "bjoern", waits=False, logs=False),
}


def main() -> None:
    """Serve until killed."""
    name, core, log = sys.argv[1:]
    pin(None if core == "-" else int(core))
    raise_file_limit()
    subject = SERVERS[name]

    def announce(port: int) -> None:
        version = find_version(subject.package)
        print(json.dumps({"port": port, "version": version}), flush=True)

    try:
        subject.serve(log == "log", announce)
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), flush=True)


if __name__ == "__main__":
    main()
