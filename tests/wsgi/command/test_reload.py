"""`--reload` with real files and real processes."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wsgi.command.process import HOME, LIMIT, Command, Run, get

needs_watchfiles = pytest.mark.skipif(
    importlib.util.find_spec("watchfiles") is None, reason="watchfiles is not installed"
)

APP = """
import os, time
import helper

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/crash":
        os._exit(3)
    if path == "/slow":
        print("slow begins", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [helper.TEXT]
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    write(tmp_path, "one")


def write(directory: Path, text: str) -> None:
    """Change the code in one step, which is one event."""
    (directory / "helper.new").write_text(f"TEXT = {text.encode()!r}\n")
    (directory / "helper.new").rename(directory / "helper.py")


def start(run: Run, *argv: str) -> tuple[Command, int]:
    """Start it, and return it with its port; by then the watch has begun."""
    command = run("app:app", "--reload", "--bind", "127.0.0.1:0", "--no-access-log", *argv)
    return command, command.port()


def until(port: int, wanted: Callable[[bytes], bool]) -> bytes:
    """Ask until the answer is as wanted: the old server may answer for a moment longer."""
    deadline = time.monotonic() + LIMIT
    while not wanted(body := get(port)):
        if time.monotonic() > deadline:
            pytest.fail(f"the last answer was {body!r}")
    return body


def open_request(port: int, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return client


def read_all(client: socket.socket) -> bytes:
    with client, client.makefile("rb") as file:
        return file.read()


@needs_watchfiles
def test_a_change_is_served_and_no_connection_refused(run: Run, tmp_path: Path) -> None:
    command, port = start(run)
    assert get(port) == b"one"
    errors: list[Exception] = []
    done = threading.Event()

    def knock() -> None:
        try:
            while not done.is_set():
                assert get(port) in (b"one", b"two", b"three")
        except (AssertionError, OSError, http.client.HTTPException) as error:
            errors.append(error)

    client = threading.Thread(target=knock)
    client.start()
    try:
        for text in ("two", "three"):
            write(tmp_path, text)
            assert command.port() == port
            until(port, lambda body, text=text: body == text.encode())  # type: ignore[misc]
    finally:
        done.set()
        client.join(LIMIT)
    assert not errors
    command.process.send_signal(signal.SIGTERM)
    code, out, err = command.end()
    assert (code, out) == (0, "")
    assert err == "greenworld.wsgi: helper.py changed, starting again\n" * 2


@needs_watchfiles
def test_an_old_server_finishes_what_it_has_begun(run: Run, tmp_path: Path) -> None:
    command, port = start(run)
    client = open_request(port, "/slow")
    assert command.line() == "slow begins\n"
    write(tmp_path, "two")
    until(port, lambda body: body == b"two")
    (tmp_path / "go").touch()
    assert read_all(client).endswith(b"one")


@needs_watchfiles
@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("def <:\n", b"SyntaxError: invalid syntax"),
        ("import no_such_module\n", b"No module named &#x27;no_such_module&#x27;"),
        ("x = 1\ny = x / 0\n", b"line 2, in &lt;module&gt;"),
        ("raise SystemExit('<b>')\n", b"SystemExit: &lt;b&gt;"),
    ],
)
def test_code_that_fails_is_shown_and_recovered_from(
    run: Run, tmp_path: Path, source: str, shown: bytes
) -> None:
    (tmp_path / "helper.py").write_text(source)
    _, port = start(run)
    body = get(port, "/any/path")
    assert b"The application cannot be loaded" in body
    assert b"helper.py" in body
    assert shown in body
    write(tmp_path, "mended")
    until(port, lambda body: body == b"mended")


@needs_watchfiles
def test_the_page_is_html_with_status_500(run: Run, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("1 / 0\n")
    command, port = start(run)
    head, _, body = read_all(open_request(port, "/")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"text/html" in head
    assert b"Traceback" in body
    assert command.error().startswith("Traceback")


@needs_watchfiles
def test_who_connects_while_nobody_serves_waits_for_the_change(run: Run, tmp_path: Path) -> None:
    command, port = start(run)
    assert read_all(open_request(port, "/crash")) == b""
    assert command.error() == (
        "greenworld.wsgi: the server ended with exit code 3; a change of the code starts it again\n"
    )
    client = open_request(port, "/")
    write(tmp_path, "two")
    assert read_all(client).endswith(b"two")


@needs_watchfiles
def test_what_counts_as_a_change(run: Run, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    command, port = start(run, "--reload-dir", "pages")
    (tmp_path / "notes.txt").write_text("of no interest")
    (pages / "page.html").write_text("of interest")
    assert command.port() == port
    assert (
        command.error() == f"greenworld.wsgi: {Path('pages/page.html')} changed, starting again\n"
    )


@needs_watchfiles
def test_app_dir_and_chdir(run: Run, tmp_path: Path) -> None:
    code = tmp_path / "work" / "code"
    code.mkdir(parents=True)
    for name in ("app.py", "helper.py"):
        (tmp_path / name).rename(code / name)
    command, port = start(run, "--chdir", "work", "--app-dir", "code")
    assert get(port) == b"one"
    write(code, "two")
    assert command.port() == port
    assert command.error() == f"greenworld.wsgi: {Path('code/helper.py')} changed, starting again\n"
    until(port, lambda body: body == b"two")


@needs_watchfiles
def test_a_stop_lets_requests_finish_and_removes_the_socket(run: Run, tmp_path: Path) -> None:
    command = run("app:app", "--reload", "--bind", "unix:socket", "--no-access-log")
    assert command.line() == "Listening on unix:socket\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(tmp_path / "socket"))
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert command.line() == "slow begins\n"
        command.process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        assert client.makefile("rb").read().endswith(b"one")
    assert command.end() == (0, "", "")
    assert not (tmp_path / "socket").exists()


@needs_watchfiles
def test_the_second_signal_ends_all_at_once(run: Run) -> None:
    command, port = start(run)
    client = open_request(port, "/slow")
    assert command.line() == "slow begins\n"
    while command.process.poll() is None:  # two signals may arrive as one
        command.process.send_signal(signal.SIGTERM)
        try:
            command.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    assert read_all(client) == b""
    assert command.end()[0] == -signal.SIGTERM


@needs_watchfiles
def test_a_child_does_not_outlive_its_parent(run: Run) -> None:
    command, _ = start(run)
    command.process.kill()
    code, out, _ = command.end()  # ends when the child too has closed its output
    assert (code, out) == (-signal.SIGKILL, "")


@needs_watchfiles
def test_the_interpreters_options_are_kept(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(
        "import sys\nTEXT = repr((sys.flags.utf8_mode, sys.argv[1:])).encode()\n"
    )
    argv = ["app:app", "--reload", "--bind", "unix:socket", "--no-access-log"]
    process = subprocess.Popen(
        [sys.executable, "-X", "utf8=1", "-m", "greenworld.wsgi", *argv],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdout=subprocess.PIPE,
    )
    watchdog = threading.Timer(LIMIT, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"Listening on unix:socket\n"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(str(tmp_path / "socket"))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(repr((1, argv)).encode())
    finally:
        watchdog.cancel()
        process.terminate()
        process.communicate(timeout=LIMIT)


@needs_watchfiles
def test_an_address_in_use(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = run("app:app", "--reload", "--bind", bind).end()
    assert (code, out) == (1, "")
    assert err == f"greenworld.wsgi: cannot listen on {bind}: Address already in use\n"


def test_a_watch_that_cannot_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text(
        "class DefaultFilter: ...\nclass Change: ...\n"
        "def watch(*paths, **options): raise OSError('OS file watch limit reached')\n"
    )
    command = run(
        *("app:app", "--reload", "--bind", "unix:socket"),
        PYTHONPATH=f"{tmp_path}{os.pathsep}{HOME}",
    )
    message = "greenworld.wsgi: --reload cannot go on: OS file watch limit reached\n"
    assert command.end() == (1, "", message)
    assert not (tmp_path / "socket").exists()


def test_without_watchfiles(run: Run, tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text(
        "raise ModuleNotFoundError('No module named watchfiles', name='watchfiles')"
    )
    command = run("app:app", "--reload", PYTHONPATH=f"{tmp_path}{os.pathsep}{HOME}")
    assert command.end() == (
        2,
        "",
        "greenworld.wsgi: --reload needs watchfiles: pip install 'greenworld[reload]'\n",
    )
