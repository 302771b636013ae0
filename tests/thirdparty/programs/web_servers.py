"""uvicorn in a thread, and the threaded development servers of Flask and Django."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import logging
import threading
import time
from typing import Any

from together import LIMIT, PAUSE, Gate, Service, measure, until

GATE = Gate()


def answer(path: str) -> str:
    """The body for a path, from a thread of the server."""
    if path == "/wait":
        time.sleep(PAUSE)
    elif path == "/enter":
        GATE.enter()
    return path


class Web(Service):
    """One connection a thread, to a server in a thread."""

    gate = GATE
    port: int

    def start(self) -> None:
        """Serve, and learn the port."""
        raise NotImplementedError

    def stop(self) -> None:
        """Serve no longer."""
        raise NotImplementedError

    def get(self, path: str) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        client.request("GET", path)
        assert client.getresponse().read().decode() == path
        client.close()

    def wait(self, session: Any) -> None:
        self.get("/wait")

    def enter(self, session: Any) -> None:
        self.get("/enter")


class Uvicorn(Web):
    """**Source**: uvicorn, with an ASGI application whose waits are asyncio's."""

    def start(self) -> None:
        library: Any = importlib.import_module("uvicorn")
        self.held = 0
        config = library.Config(
            self.app, port=0, interface="asgi3", lifespan="off", log_level="error"
        )
        self.server = library.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        until(lambda: self.server.started, "uvicorn has started")
        (listener,) = self.server.servers[0].sockets
        self.port = listener.getsockname()[1]

    async def app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await asyncio.sleep(PAUSE)
        elif scope["path"] == "/enter":
            if not self.held:
                self.loop, self.opened = asyncio.get_running_loop(), asyncio.Event()
            self.held += 1
            await self.opened.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def inside(self) -> int:
        return self.held

    def open(self) -> None:
        self.loop.call_soon_threadsafe(self.opened.set)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(LIMIT)


class Flask(Web):
    """**Source**: Flask's application server, `flask run`."""

    def start(self) -> None:
        flask: Any = importlib.import_module("flask")
        serving: Any = importlib.import_module("werkzeug.serving")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app = flask.Flask(__name__)
        app.add_url_rule("/<path:path>", view_func=lambda path: answer(flask.request.path))
        self.server: Any = serving.make_server("127.0.0.1", 0, app, threaded=True)
        self.port = self.server.port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join(LIMIT)
        self.server.server_close()


class Django(Flask):
    """**Source**: Django's `runserver`."""

    def start(self) -> None:
        conf: Any = importlib.import_module("django.conf")
        conf.settings.configure(
            ALLOWED_HOSTS=["127.0.0.1"],
            DEBUG=True,
            LOGGING_CONFIG=None,
            ROOT_URLCONF=__name__,
            SECRET_KEY="of this test",
        )
        http: Any = importlib.import_module("django.http")
        urls: Any = importlib.import_module("django.urls")
        wsgi: Any = importlib.import_module("django.core.wsgi")
        basehttp: Any = importlib.import_module("django.core.servers.basehttp")
        view = lambda request: http.HttpResponse(answer(request.path))  # noqa: E731
        globals()["urlpatterns"] = [urls.re_path("", view)]
        logging.getLogger("django.server").setLevel(logging.ERROR)

        class Server(basehttp.ThreadedWSGIServer):  # type: ignore[misc]
            # Beyond Django's own 10 the kernel drops a call, which is repeated after a second.
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), basehttp.WSGIRequestHandler, ipv6=False)
        self.server.daemon_threads = True
        self.server.set_app(wsgi.get_wsgi_application())
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()


SERVERS = {"uvicorn": Uvicorn, "flask": Flask, "django": Django}


def main(name: str) -> None:
    service = SERVERS[name]()
    service.start()
    measure(service)
    service.stop()
