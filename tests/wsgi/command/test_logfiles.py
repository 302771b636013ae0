"""The files of the logs: whole lines, rotation, stamps, and what cannot be opened."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from greenworld.wsgi.command import logfiles
from greenworld.wsgi.command.logfiles import ErrorFile, LogFile, Logs, open_logs
from greenworld.wsgi.log import ErrorLog

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
    write, room = os.write, 3

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count, room = write(fd, data[:room]), 0
        return count

    monkeypatch.setattr(os, "write", full)
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
