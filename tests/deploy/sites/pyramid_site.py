"""The routes of `test_frameworks.py` in Pyramid."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.request import Request
from pyramid.response import FileResponse, Response

gate = threading.Event()


def hello(request: Request) -> Response:
    return Response(f"{request.params['greeting']}, {request.matchdict['name']}")


def form(request: Request) -> Response:
    return Response(json=dict(request.POST))


def upload(request: Request) -> Response:
    file = request.POST["file"]
    digest = hashlib.sha256(file.file.read()).hexdigest()
    return Response(json={"note": request.POST["note"], "name": file.filename, "digest": digest})


def digest(request: Request) -> Response:
    return Response(hashlib.sha256(request.body).hexdigest())


def stream(request: Request) -> Response:
    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        gate.wait()
        gate.clear()
        yield b"second\n"

    return Response(app_iter=pieces(), content_type="text/plain")


def go_on(request: Request) -> Response:
    gate.set()
    return Response(status=204)


def answer_json(request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(status=204, allow=("GET", "HEAD", "OPTIONS", "POST"))
    return Response(json=request.json_body if request.method == "POST" else {"number": 1})


def cookies(request: Request) -> Response:
    answer = Response(json=dict(request.cookies))
    answer.set_cookie("first", "1")
    answer.set_cookie("second", "2")
    return answer


def old(request: Request) -> Response:
    return HTTPFound("/new")


def file(request: Request) -> Response:
    return FileResponse(os.environ["SITE_FILE"], request=request)


def fail(request: Request) -> Response:
    raise ValueError("on purpose")


VIEWS: dict[str, Callable[[Request], Any]] = {
    "/hello/{name}": hello,
    "/form": form,
    "/upload": upload,
    "/digest": digest,
    "/stream": stream,
    "/go-on": go_on,
    "/json": answer_json,
    "/cookies": cookies,
    "/old": old,
    "/file": file,
    "/fail": fail,
}

with Configurator() as config:
    for pattern, view in VIEWS.items():
        config.add_route(pattern, pattern)
        config.add_view(view, route_name=pattern)
    app = config.make_wsgi_app()
