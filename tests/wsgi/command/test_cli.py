"""The command, as a user runs it."""

from __future__ import annotations

import http.client
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.wsgi.command.process import LIMIT, Run, get, knock_until_refused

APP = """
import time
patched = time.sleep.__module__ != "time"

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        print("slow begins", flush=True)
        while not __import__("os").path.exists("go"):
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/exit":
        raise SystemExit(3)
    return [environ["PATH_INFO"].encode(), b" patched" if patched else b" as it is"]

class Holder:
    inner = staticmethod(app)

holder = Holder()

def make(name="made"):
    def made(environ, start_response):
        start_response("200 OK", [])
        return [name.encode()]
    return made

def make_badly():
    return {}["no"]

not_callable = 5
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "broken.py").write_text("import json\nimport no_such_thing\n")
    (tmp_path / "halfway.py").write_text("from json import no_such_name\n")
    (tmp_path / "failing.py").write_text("1 / 0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "typo.py").write_text("def :\n")


def test_serves_patched_logs_and_stops(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0")
    port = command.port()
    assert get(port, "/a?b") == b"/a patched"
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
        r' "GET /a\?b HTTP/1\.1" 200 10 "-" "-"\n',
        command.line(),
    )
    command.process.send_signal(signal.SIGTERM)
    assert command.end() == (0, "", "")


def test_no_patch_and_no_access_log(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", "--no-patch", "--no-access-log")
    assert get(command.port()) == b"/ as it is"
    command.process.send_signal(signal.SIGINT)
    assert command.end() == (0, "", "")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("app", b"/ as it is"),
        ("app:holder.inner", b"/ as it is"),
        ("app:make()", b"made"),
        ("app:make('x')", b"x"),
        ("app:make(name='y')", b"y"),
    ],
)
def test_names(run: Run, name: str, body: bytes) -> None:
    command = run(name, "--bind", "127.0.0.1:0", "--no-patch", "--no-access-log")
    assert get(command.port()) == body


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent:app", "there is no module 'absent'"),
        ("absent.sub:app", "there is no module 'absent'"),
        ("app.py:app", r"there is no module 'app\.py' on sys\.path: leave out '\.py'"),
        (
            "broken:app",
            r"module 'broken' cannot be imported: .*no_such_thing.*broken\.py, line 2\)",
        ),
        (
            "halfway:app",
            r"module 'halfway' cannot be imported: .*no_such_name.*halfway\.py, line 1\)",
        ),
        ("app:absent", "module 'app' has no attribute 'absent'"),
        ("app:holder.absent", "'holder' in 'app' has no attribute 'absent'"),
        (
            "app:not_callable",
            "'app:not_callable' is not an application: an object of type int cannot be called",
        ),
        ("app:not_callable()", "'not_callable' in 'app' cannot be called"),
        ("app:make(1, 2)", r"'make\(1, 2\)' raised TypeError: "),
        ("app:make(**{'name': 'x'})", "must be literals"),
        ("app:make(1 +)", "cannot understand"),
        ("app:", "cannot understand"),
        ("app:1", "cannot understand"),
        ("app:make(open('x'))", "must be literals"),
        ("json", "module 'json' has neither 'application' nor 'app'"),
        ("a-b:c", "MODULE:ATTRIBUTE"),
        (".app:app", "MODULE:ATTRIBUTE"),
    ],
)
def test_mistakes_are_one_line(run: Run, name: str, message: str) -> None:
    code, out, err = run(name, "--bind", "127.0.0.1:0", "--no-patch").end()
    assert (code, out) == (1, "")
    assert re.search(message, err), err
    assert err.startswith("greenworld.wsgi: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("failing:app", "module 'failing' cannot be imported: ZeroDivisionError: division by zero"),
        ("failing:app", "division by zero"),
        ("leaving:app", "module 'leaving' cannot be imported: SystemExit: 7"),
        ("typo:app", r"module 'typo' cannot be imported: SyntaxError: .*typo\.py, line 1\)"),
        ("app:make_badly()", r"'make_badly\(\)' raised KeyError: 'no'"),
    ],
)
def test_the_applications_own_errors_come_with_a_traceback(run: Run, name: str, last: str) -> None:
    code, out, err = run(name, "--bind", "127.0.0.1:0", "--no-patch").end()
    assert (code, out) == (1, "")
    # An error in the module's own syntax happens before any of its lines runs.
    assert err.startswith('  File "' if name == "typo:app" else "Traceback")
    assert "importlib" not in err
    assert re.search(last, err.splitlines()[-1]), err


def test_options_from_the_environment_and_the_project(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.greenworld.wsgi]\napp = 'app:make(name=\"from a file\")'\nbind = 'unix:unused'\n"
        "patch = false\naccess_log = 'none'\n"
    )
    command = run(GREENWORLD_BIND="127.0.0.1:0")
    assert get(command.port()) == b"from a file"


def test_show_config(run: Run) -> None:
    command = run("é:app", "--show-config", "--workers", "2", GREENWORLD_KEEP_ALIVE="5")
    code, out, err = command.end()
    assert (code, err) == (0, "")
    assert re.search(r"^keep_alive = 5 +# environment$", out, re.MULTILINE)
    assert out.startswith('# Application\napp = "é:app"')
    assert re.search(r"^workers = 2 +# command line$", out, re.MULTILINE)
    assert re.search(r"^head_timeout = 30 +# default$", out, re.MULTILINE)


@pytest.mark.parametrize(
    "argv", [("--chdir", "sub"), ("--app-dir", "sub"), ("--chdir", "sub", "--app-dir", "../sub")]
)
def test_an_application_elsewhere(run: Run, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "app.py").rename(tmp_path / "sub" / "app.py")
    command = run("app:app", "--no-patch", "--bind", "127.0.0.1:0", "--no-access-log", *argv)
    assert get(command.port()) == b"/ as it is"


def test_a_port_in_use(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run("app:app", "--no-patch", "--bind", f"127.0.0.1:{port}").end()
    assert (code, out) == (1, "")
    assert err == f"greenworld.wsgi: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "no application: name it on the command line, as MODULE:ATTRIBUTE"),
        (("app:app", "--absent"), "there is no option --absent: --help lists the options"),
        (("app:app", "--keepalive=3"), "there is no option --keepalive: did you mean --keep-alive"),
        (("app:app", "app:app"), "'app:app' is one argument too many"),
        (("app:app", "--keep-alive", "x"), "--keep-alive: 'x' is not a number of seconds"),
        (("app:app", "--keep-alive", "-1"), "--keep-alive: '-1' is not a number of seconds"),
        (("app:app", "--limit-line", "0"), "--limit-line: '0' is not a number of bytes of at le"),
        (("app:app", "--bind", "nowhere"), "--bind: an address is HOST:PORT"),
        (("app:app", "--keep-alive"), "argument --keep-alive: expected one argument"),
        (("app:app", "--keep", "3"), "there is no option --keep: did you mean --keep-alive?"),
    ],
)
def test_wrong_usage(run: Run, argv: tuple[str, ...], message: str) -> None:
    code, out, err = run(*argv).end()
    assert (code, out) == (2, "")
    assert err.startswith(f"greenworld.wsgi: {message}")
    assert err.count("\n") == 1


def test_several_addresses(run: Run, tmp_path: Path) -> None:
    command = run("app:app", "--no-patch", "--bind", "127.0.0.1:0", "--bind", "unix:socket")
    port = command.port()
    assert command.line() == "Listening on unix:socket\n"
    assert get(port) == b"/ as it is"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(tmp_path / "socket"))
        client.sendall(b"GET /u HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"/u as it is")


def test_a_request_finishes_at_the_first_signal(run: Run, tmp_path: Path) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0")
    port = command.port()
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert command.line() == "slow begins\n"
        command.process.send_signal(signal.SIGTERM)
        knock_until_refused(port)
        (tmp_path / "go").touch()
        reply = client.makefile("rb").read()
    assert b"Connection: close\r\n" in reply
    assert reply.endswith(b"/slow patched")
    code, out, err = command.end()
    assert (code, err) == (0, "")
    assert '"GET /slow HTTP/1.1" 200' in out


def test_the_second_signal_ends_it_at_once(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0")
    port = command.port()
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert command.line() == "slow begins\n"
        command.process.send_signal(signal.SIGTERM)
        knock_until_refused(port)
        command.process.send_signal(signal.SIGINT)
        assert command.end()[0] == -signal.SIGINT


def test_the_graceful_time_is_bounded(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", "--graceful-timeout", "0.01")
    with socket.create_connection(("127.0.0.1", command.port()), timeout=LIMIT) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert command.line() == "slow begins\n"
        command.process.send_signal(signal.SIGTERM)
        assert client.recv(100) == b""
        code, _, err = command.end()
    assert code == 0
    assert err.endswith("] greenworld.wsgi: stopped before 1 request(s) could be finished\n")
    assert err.count("\n") == 1


def test_an_application_that_exits_is_named(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0")
    port = command.port()
    with pytest.raises(http.client.RemoteDisconnected):
        get(port, "/exit")
    code, _, err = command.end()
    assert code == 3
    first, second, *_ = err.splitlines()
    assert first.partition("greenworld.wsgi: ")[2].startswith(
        "exit, answering GET /exit HTTP/1.1 ["
    )
    assert second.startswith("Traceback")
    assert err.endswith("\nSystemExit: 3\n")


def test_help(run: Run) -> None:
    code, out, err = run("--help").end()
    assert (code, err) == (0, "")
    for option in ("--bind", "--no-patch", "--no-access-log", "--graceful-timeout", "--max-body"):
        assert option in out
