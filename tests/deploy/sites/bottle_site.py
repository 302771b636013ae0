"""The routes of `test_frameworks.py` in Bottle."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bottle import Bottle, HTTPResponse, redirect, request, response, static_file

app = Bottle()
gate = threading.Event()


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"{request.query.getunicode('greeting')}, {name}"


@app.post("/form")
def form() -> dict[str, str]:
    return {key: request.forms.getunicode(key) for key in request.forms}


@app.post("/upload")
def upload() -> dict[str, str]:
    file = request.files["file"]
    digest = hashlib.sha256(file.file.read()).hexdigest()
    return {"note": request.forms.getunicode("note"), "name": file.raw_filename, "digest": digest}


@app.post("/digest")
def digest() -> str:
    return hashlib.sha256(request.body.read()).hexdigest()


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    yield b"first\n"
    gate.wait()
    gate.clear()
    yield b"second\n"


@app.post("/go-on")
def go_on() -> HTTPResponse:
    gate.set()
    return HTTPResponse(status=204)


@app.route("/json", method=["GET", "POST"])
def answer_json() -> Any:
    return request.json if request.method == "POST" else {"number": 1}


@app.route("/json", method="OPTIONS")
def options() -> HTTPResponse:
    return HTTPResponse(status=204, Allow="GET, HEAD, OPTIONS, POST")


@app.get("/cookies")
def cookies() -> dict[str, str]:
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return dict(request.cookies)


@app.get("/old")
def old() -> None:
    redirect("/new")


@app.get("/file")
def file() -> HTTPResponse:
    path = Path(os.environ["SITE_FILE"])
    return static_file(path.name, root=str(path.parent))


@app.get("/fail")
def fail() -> None:
    raise ValueError("on purpose")
