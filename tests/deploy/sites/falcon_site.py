"""The routes of `test_frameworks.py` in Falcon."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
from falcon import Request, Response

gate = threading.Event()


class Hello:
    def on_get(self, request: Request, response: Response, name: str) -> None:
        response.content_type = "text/plain; charset=utf-8"
        response.text = f"{request.get_param('greeting')}, {name}"


class Form:
    def on_post(self, request: Request, response: Response) -> None:
        response.media = request.get_media()


class Upload:
    def on_post(self, request: Request, response: Response) -> None:
        found: dict[str, Any] = {}
        for part in request.get_media():
            if part.name == "file":
                found["name"] = part.filename
                found["digest"] = hashlib.sha256(part.stream.read()).hexdigest()
            else:
                found[part.name] = part.text
        response.media = found


class Digest:
    def on_post(self, request: Request, response: Response) -> None:
        response.text = hashlib.sha256(request.stream.read()).hexdigest()


class Stream:
    def on_get(self, request: Request, response: Response) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"first\n"
            gate.wait()
            gate.clear()
            yield b"second\n"

        response.content_type = "text/plain"
        response.stream = pieces()


class GoOn:
    def on_post(self, request: Request, response: Response) -> None:
        gate.set()
        response.status = falcon.HTTP_204


class Json:
    def on_get(self, request: Request, response: Response) -> None:
        response.media = {"number": 1}

    on_head = on_get  # which Falcon leaves to the application

    def on_post(self, request: Request, response: Response) -> None:
        response.media = request.get_media()


class Cookies:
    def on_get(self, request: Request, response: Response) -> None:
        response.media = request.cookies
        response.set_cookie("first", "1", secure=False)
        response.set_cookie("second", "2", secure=False)


class Old:
    def on_get(self, request: Request, response: Response) -> None:
        raise falcon.HTTPFound("/new")


class File:
    def on_get(self, request: Request, response: Response) -> None:
        path = Path(os.environ["SITE_FILE"])
        response.content_type = "application/octet-stream"
        response.set_stream(path.open("rb"), path.stat().st_size)


class Fail:
    def on_get(self, request: Request, response: Response) -> None:
        raise ValueError("on purpose")


app = falcon.App()
app.add_route("/hello/{name}", Hello())
for route in (Form, Upload, Digest, Stream, Json, Cookies, Old, File, Fail):
    app.add_route(f"/{route.__name__.lower()}", route())
app.add_route("/go-on", GoOn())
