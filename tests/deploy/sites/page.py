"""A page as a browser loads it: styles, images, scripts that fetch, and a form with a file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

IMAGES, FETCHES = 12, 20
PAGE = """<!doctype html>
<title>page</title>
<link rel="stylesheet" href="/style.css">
<body>
%(images)s
<form action="/upload" method="post" enctype="multipart/form-data">
<input name="note" value="Grüße"><input type="file" name="file">
</form>
<script>
addEventListener("load", async () => {
    const answers = await Promise.all([...Array(%(fetches)d).keys()].map(
        async number => (await (await fetch("/data?" + number)).json()).number));
    const images = [...document.images].filter(image => image.naturalWidth == 7).length;
    const color = getComputedStyle(document.body).color;
    await fetch("/report", {method: "POST", body: JSON.stringify({answers, images, color})});
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(300000).fill(7)], "sevens.bin"));
    document.querySelector("[type=file]").files = files.files;
    document.forms[0].submit();
});
</script>
"""
AFTER_UPLOAD = """<!doctype html>
<title>uploaded</title>
<script>fetch("/report", {method: "POST", body: JSON.stringify(%s)})</script>
"""
IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5"/>'

reports: list[bytes] = []
news = threading.Condition()
ports: list[str] = []


def upload(environ: dict[str, Any]) -> str:
    """What a multipart form held."""
    head = f"Content-Type: {environ['CONTENT_TYPE']}\r\n\r\n".encode()
    parsed = BytesParser(policy=HTTP).parsebytes(head + environ["wsgi.input"].read())
    found: dict[str, Any] = {}
    for part in parsed.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if name == "file":
            found["file"] = [part.get_filename(), hashlib.sha256(content).hexdigest()]
        else:
            found[name] = content.decode()
    return AFTER_UPLOAD % json.dumps(found)


def take_report(environ: dict[str, Any]) -> str:
    with news:
        reports.append(environ["wsgi.input"].read())
        news.notify_all()
    return ""


def wait_for_reports(environ: dict[str, Any]) -> str:
    """Answer when both reports are there, with them and the ports of all requests."""
    with news:
        news.wait_for(lambda: len(reports) == 2)
    return json.dumps({"reports": [json.loads(report) for report in reports], "ports": ports})


def page(environ: dict[str, Any]) -> str:
    images = "".join(f'<img src="/image.svg?{number}">' for number in range(IMAGES))
    return PAGE % {"images": images, "fetches": FETCHES}


def data(environ: dict[str, Any]) -> str:
    return json.dumps({"number": int(environ["QUERY_STRING"])})


ROUTES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "/": ("text/html; charset=utf-8", page),
    "/style.css": ("text/css", lambda environ: "body { color: rgb(1, 2, 3) }"),
    "/image.svg": ("image/svg+xml", lambda environ: IMAGE),
    "/data": (
        "application/json",
        lambda environ: json.dumps({"number": int(environ["QUERY_STRING"])}),
    ),
    "/upload": ("text/html; charset=utf-8", upload),
    "/report": ("text/plain", take_report),
    "/reports": ("application/json", wait_for_reports),
    "/favicon.ico": ("text/plain", lambda environ: ""),
}


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    kind, route = ROUTES[environ["PATH_INFO"]]
    ports.append(environ["REMOTE_PORT"])
    body = route(environ).encode()
    headers = [("Content-Type", kind), ("Cache-Control", "no-store")]
    start_response("200 OK", headers)
    return [body]
