"""One of the servers under test: `python -m benchmarks.http_server NAME CORE|- log|no-log`.

All serve the same application, which answers `/` at once and `/sleep` after 50 ms, on a free
port of the loopback interface. Says `{"port": …, "version": …}` before it serves, or
`{"error": …}`. The access log goes where each server sends it by itself: standard error.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from socket import create_server
from typing import Any

from benchmarks.pinning import pin
from benchmarks.process import raise_file_limit
from benchmarks.worker import find_version

BACKLOG = 1024
SLEEP = 0.05
BODY = b"Hello, world!\n"
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Announce = Callable[[int], None]


def make_application(sleep: Callable[[float], Any]) -> Application:
    """The application, waiting in its server's own way."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/sleep":
            sleep(SLEEP)
        start_response("200 OK", HEADERS)
        return [BODY]

    return application


def serve_greenworld(access_log: bool, announce: Announce) -> None:
    """Greenworld's server as it ships."""
    wsgi = import_module("greenworld.wsgi")
    application = make_application(import_module("greenworld.hub").sleep)
    listener = create_server(("127.0.0.1", 0), backlog=BACKLOG)
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
    wsgi.server(listener, application, max_size=20_000, log_output=access_log)


SERVERS: dict[str, Callable[[bool, Announce], None]] = {
    "greenworld": serve_greenworld,
    "gevent": serve_gevent,
    "gevent-tuned": serve_gevent_tuned,
    "eventlet": serve_eventlet,
}


def main() -> None:
    """Serve until killed."""
    name, core, log = sys.argv[1:]
    pin(None if core == "-" else int(core))
    raise_file_limit()

    def announce(port: int) -> None:
        version = find_version(name.partition("-")[0])
        print(json.dumps({"port": port, "version": version}), flush=True)

    try:
        SERVERS[name](log == "log", announce)
    except (ImportError, AttributeError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
