"""The routes of `test_frameworks.py` in Flask."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, redirect, request, send_file

app = Flask(__name__)
gate = threading.Event()


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"{request.args['greeting']}, {name}"


@app.post("/form")
def form() -> Response:
    return jsonify(request.form)


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    digest = hashlib.sha256(file.read()).hexdigest()
    return jsonify(note=request.form["note"], name=file.filename, digest=digest)


@app.post("/digest")
def digest() -> str:
    return hashlib.sha256(request.get_data()).hexdigest()


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        gate.wait()
        gate.clear()
        yield b"second\n"

    return Response(pieces(), mimetype="text/plain")


@app.post("/go-on")
def go_on() -> tuple[str, int]:
    gate.set()
    return "", 204


@app.route("/json", methods=["GET", "POST"])
def answer_json() -> Response:
    return jsonify(request.get_json() if request.method == "POST" else {"number": 1})


@app.get("/cookies")
def cookies() -> Response:
    answer = jsonify(request.cookies)
    answer.set_cookie("first", "1")
    answer.set_cookie("second", "2")
    return answer


@app.get("/old")
def old() -> Response:
    return redirect("/new")  # type: ignore[return-value]


@app.get("/file")
def file() -> Response:
    return send_file(Path(os.environ["SITE_FILE"]))


@app.get("/fail")
def fail() -> str:
    raise ValueError("on purpose")
