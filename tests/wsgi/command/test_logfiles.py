"""The files of the logs: whole lines, rotation, stamps, and what cannot be opened."""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import os
import posix
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenworld.wsgi.command import logfiles
from greenworld.wsgi.command.logfiles import ErrorFile, LogFile, Logs, open_logs
from greenworld.wsgi.log import ErrorLog
from tests.wsgi.command.process import LIMIT, Run, get

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


@pytest.fixture
def log(path: Path) -> Iterator[LogFile]:
    log = LogFile(str(path))
    yield log
    log.close()


def test_text_is_there_at_once(log: LogFile, path: Path) -> None:
    assert log.write("one\n") == 4
    assert path.read_text() == "one\n"
    log.write("é\udc80\n")
    log.flush()
    assert path.read_text() == "one\né\\udc80\n"
    assert log.write("") == 0


def test_a_file_is_appended_to(log: LogFile, path: Path) -> None:
    log.write("one\n")
    other = LogFile(str(path))
    other.write("two\n")
    log.write("three\n")
    other.close()
    assert path.read_text() == "one\ntwo\nthree\n"


def test_a_file_that_was_renamed_is_opened_again(log: LogFile, path: Path) -> None:
    log.write("one\n")
    old = path.rename(path.with_suffix(".1"))
    log.write("two\n")
    fd = log.fileno()
    log.reopen()
    log.write("three\n")
    assert log.fileno() == fd
    assert not os.get_inheritable(fd)
    assert old.read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_the_old_file_stays_if_there_is_no_new_one(path: Path) -> None:
    directory = path.parent / "logs"
    directory.mkdir()
    errors, access = ErrorFile(str(path)), LogFile(str(directory / "access"))
    logs = Logs(access, errors)
    moved = directory.rename(path.parent / "moved")
    logs.reopen()
    access.write("line\n")
    assert (moved / "access").read_text() == "line\n"
    assert re.fullmatch(
        rf"{STAMP} \[{os.getpid()}\] greenworld\.wsgi: cannot open the log file"
        rf" '{directory}/access': No such file or directory\n",
        path.read_text(),
    )
    for log in (access, errors):
        log.close()


def test_messages_are_stamped_and_tracebacks_are_not(path: Path) -> None:
    file = ErrorFile(str(path))
    log = ErrorLog(file)
    log.write("one")
    log.exception("two", ValueError("why"))
    file.write("an application's own\n")
    file.close()
    start = rf"{STAMP} \[{os.getpid()}\] "
    assert re.fullmatch(
        rf"{start}one\n{start}two\nValueError: why\nan application's own\n", path.read_text()
    )


def test_a_disk_that_is_full_for_a_while(
    log: LogFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that ends in the middle of a line does not spoil the line after it."""
    write, room = posix.write, 3

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count, room = write(fd, data[:room]), 0
        return count

    monkeypatch.setattr(posix, "write", full)
    for text in ("torn\n", "lost\n"):
        with pytest.raises(OSError, match="No space left"):
            log.write(text)
    room = 100
    monkeypatch.undo()
    log.write("whole\n")
    log.write("whole\n")
    assert path.read_text() == "tor\nwhole\nwhole\n"


def test_standard_streams_are_descriptors_that_stay(capfd: pytest.CaptureFixture[str]) -> None:
    logs = open_logs("-", "-", None)
    assert logs.access is not None
    logs.access.write("to standard output\n")
    logs.errors.write("to standard error\n")
    logs.reopen()
    for stream in logs:
        assert isinstance(stream, LogFile)
        stream.close()
    assert capfd.readouterr() == ("to standard output\n", "to standard error\n")
    assert (logfiles.STDOUT, logfiles.STDERR) == (1, 2)


def test_no_access_log(path: Path) -> None:
    logs = open_logs(None, str(path), None)
    assert logs.access is None
    logs.reopen()
    assert isinstance(logs.errors, ErrorFile)
    logs.errors.close()


@pytest.mark.parametrize("which", ["access", "error"])
def test_a_file_that_cannot_be_opened(tmp_path: Path, which: str) -> None:
    path = str(tmp_path / "none" / "a.log")
    with pytest.raises(ValueError, match="cannot open the log file") as caught:
        open_logs(path if which == "access" else "-", path if which == "error" else "-", None)
    assert str(caught.value) == f"cannot open the log file {path!r}: No such file or directory"


@pytest.mark.parametrize(("access", "error"), [("a.log", "-"), ("-", "e.log")])
def test_loggers_and_files_exclude_each_other(access: str, error: str) -> None:
    with pytest.raises(ValueError, match="log_config cannot be combined"):
        open_logs(access, error, "logging.json")


# In a process

APP = """
def app(environ, start_response):
    environ["wsgi.errors"].write("by the application\\n")
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("why")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def test_the_command_writes_files(run: Run, tmp_path: Path) -> None:
    command = run(
        *("app:app", "--bind", "127.0.0.1:0", "--access-log", "access", "--error-log", "errors"),
        *("--access-format", "json"),
    )
    port = command.port()
    get(port, "/fail")
    command.process.send_signal(signal.SIGTERM)
    assert command.end() == (0, "", "")
    line = json.loads((tmp_path / "access").read_text())
    errors = (tmp_path / "errors").read_text().splitlines()
    assert (line["status"], line["path"]) == (500, "/fail")
    assert errors[0] == "by the application"
    assert re.fullmatch(
        rf"{STAMP} \[{command.process.pid}\] greenworld\.wsgi: error in the application,"
        rf" answering GET /fail HTTP/1\.1 \[{line['request_id']}\]",
        errors[1],
    )
    assert errors[2] == "Traceback (most recent call last):"
    assert errors[-1] == "ValueError: why"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_the_command_serves_when_the_disk_is_full(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", "--access-log", "/dev/full")
    port = command.port()
    for _ in range(3):
        assert get(port) == b"ok"
    command.process.send_signal(signal.SIGTERM)
    code, _, err = command.end()
    assert code == 0
    assert err.count("cannot write the access log: [Errno 28] No space left on device") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_the_command_serves_when_no_error_can_be_written(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", "--error-log", "/dev/full")
    port = command.port()
    assert b"could not answer" in get(port, "/fail")
    assert get(port) == b"ok"
    command.process.send_signal(signal.SIGTERM)
    code, _, err = command.end()
    assert code == 0
    assert "cannot write the error log: [Errno 28]" in err


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe is fixed here")
def test_lines_stay_whole_when_the_pipe_is_full(run: Run) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", "--error-log", "errors")
    port = command.port()
    out = command.process.stdout
    assert out is not None
    fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 4096)
    agent = "x" * 3000

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        for _ in range(10):
            connection.request("GET", f"/{number}", headers={"User-Agent": agent})
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    lines = [out.readline() for _ in range(80)]
    for thread in threads:
        thread.join(LIMIT)
    paths = [re.fullmatch(r'.*"GET (/\d) HTTP/1\.1" 200 2 "-" "x{3000}"\n', one) for one in lines]
    assert None not in paths
    assert sorted(path[1] for path in paths if path) == sorted(
        f"/{n}" for n in range(8) for _ in range(10)
    )


def test_the_command_logs_through_logging(run: Run, tmp_path: Path) -> None:
    handler = {"class": "logging.FileHandler", "filename": "all", "formatter": "plain"}
    settings = {
        "version": 1,
        "formatters": {"plain": {"format": "%(name)s %(message)s"}},
        "handlers": {"file": handler},
        "root": {"handlers": ["file"]},
    }
    (tmp_path / "logging.json").write_text(json.dumps(settings))
    command = run(
        *("app:app", "--bind", "127.0.0.1:0", "--log-config", "logging.json"),
        *("--access-format", "%m %s"),
    )
    get(command.port(), "/fail")
    command.process.send_signal(signal.SIGTERM)
    assert command.end() == (0, "", "")
    lines = (tmp_path / "all").read_text().splitlines()
    assert lines[0] == "greenworld.error by the application"
    assert lines[1].startswith("greenworld.error greenworld.wsgi: error in the application")
    assert lines[-1] == "greenworld.access GET 500"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--access-format", "%Z"), 2, "'%Z', which is no atom"),
        (("--access-log", "none/a"), 1, "cannot open the log file 'none/a': No such file"),
        (("--log-config", "app.py"), 1, "cannot use the log configuration 'app.py'"),
        (("--trusted-proxies", "nginx"), 2, "not 'nginx'"),
        (("--request-id-header", "a b"), 2, "must be the name of a header, not 'a b'"),
    ],
)
def test_what_the_command_cannot_use(
    run: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    command = run("app:app", "--bind", "127.0.0.1:0", *arguments)
    ended, out, err = command.end()
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
