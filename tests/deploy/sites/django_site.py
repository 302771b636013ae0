"""The routes of `test_frameworks.py` in Django."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from django.views import View

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for a test",
    LOGGING={
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
    },
)
django.setup()
gate = threading.Event()


def hello(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"{request.GET['greeting']}, {name}")


def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.POST.dict())


def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256(file.read()).hexdigest()
    return JsonResponse({"note": request.POST["note"], "name": file.name, "digest": digest})


def digest(request: HttpRequest) -> HttpResponse:
    return HttpResponse(hashlib.sha256(request.body).hexdigest())


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        gate.wait()
        gate.clear()
        yield b"second\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def go_on(request: HttpRequest) -> HttpResponse:
    gate.set()
    return HttpResponse(status=204)


class Json(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"number": 1})

    def post(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(json.loads(request.body))


def cookies(request: HttpRequest) -> HttpResponse:
    answer = JsonResponse(request.COOKIES)
    answer.set_cookie("first", "1")
    answer.set_cookie("second", "2")
    return answer


def old(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/new")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(os.environ["SITE_FILE"], "rb"))


def fail(request: HttpRequest) -> HttpResponse:
    raise ValueError("on purpose")


urlpatterns = [
    path("hello/<name>", hello),
    path("form", form),
    path("upload", upload),
    path("digest", digest),
    path("stream", stream),
    path("go-on", go_on),
    path("json", Json.as_view()),
    path("cookies", cookies),
    path("old", old),
    path("file", file),
    path("fail", fail),
]
app = get_wsgi_application()
