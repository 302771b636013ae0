"""Logs through `logging`: the forms of the file, the loggers, and what is wrong with a file."""

from __future__ import annotations

import importlib.util
import json
import logging
import logging.handlers
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenworld.wsgi.command.logconfig import ACCESS, ERROR
from greenworld.wsgi.command.logfiles import open_logs
from greenworld.wsgi.log import ErrorLog

needs_toml = pytest.mark.skipif(
    importlib.util.find_spec("tomllib") is None and importlib.util.find_spec("tomli") is None,
    reason="CPython 3.10 reads TOML with tomli only, which is not installed",
)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Put back what a configuration changes: handlers, levels and switches of loggers."""
    root = logging.getLogger()
    names = [*logging.root.manager.loggerDict, ACCESS, ERROR]
    loggers = [root, *map(logging.getLogger, names)]
    before = [(one, one.handlers[:], one.level, one.propagate, one.disabled) for one in loggers]
    known = dict(logging._handlers)  # type: ignore[attr-defined]
    listed = logging._handlerList[:]  # type: ignore[attr-defined]
    yield
    for one, handlers, level, propagate, disabled in before:
        for handler in set(one.handlers) - set(handlers):
            handler.close()
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate = propagate
        one.disabled = disabled
    logging._handlers.update(known)  # type: ignore[attr-defined]
    logging._handlerList[:] = listed  # type: ignore[attr-defined]


def table(path: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(name)s %(levelname)s %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.handlers.WatchedFileHandler",
                "filename": str(path),
                "formatter": "plain",
            }
        },
        "root": {"handlers": ["file"]},
    }


INI = """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys = plain
[logger_root]
handlers = file
[handler_file]
class = logging.handlers.WatchedFileHandler
formatter = plain
args = ({path!r},)
[formatter_plain]
format = %(name)s %(levelname)s %(message)s
"""

TOML = """
[formatters.plain]
format = "%(name)s %(levelname)s %(message)s"
[handlers.file]
class = "logging.handlers.WatchedFileHandler"
filename = {path}
formatter = "plain"
[root]
handlers = ["file"]
"""


@pytest.mark.parametrize("kind", ["json", pytest.param("toml", marks=needs_toml), "ini", "conf"])
def test_each_form(tmp_path: Path, kind: str) -> None:
    out, config = tmp_path / "out", tmp_path / f"logging.{kind}"
    texts = {"json": json.dumps(table(out)), "toml": TOML.format(path=json.dumps(str(out)))}
    config.write_text(texts.get(kind, INI.format(path=str(out))))
    logs = open_logs("-", "-", str(config))
    assert logs.access is not None
    logs.access.write("GET /\nGET /x\n")
    ErrorLog(logs.errors).write("what\nTraceback")
    print("by the application", file=logs.errors)
    logs.reopen()
    assert out.read_text() == (
        "greenworld.access INFO GET /\ngreenworld.access INFO GET /x\n"
        "greenworld.error ERROR what\nTraceback\n"
        "greenworld.error ERROR by the application\n"
    )


def test_a_level_that_was_chosen_is_kept(tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "logging.json"
    settings = table(out)
    settings["loggers"] = {ACCESS: {"level": "WARNING"}}
    config.write_text(json.dumps(settings))
    logs = open_logs("-", "-", str(config))
    assert logs.access is not None
    logs.access.write("GET /\n")
    assert out.read_text() == ""


def test_no_access_log(tmp_path: Path) -> None:
    config = tmp_path / "logging.json"
    config.write_text(json.dumps(table(tmp_path / "out")))
    assert open_logs(None, "-", str(config)).access is None


def test_loggers_that_exist_stay_enabled(tmp_path: Path) -> None:
    logger = logging.getLogger("greenworld.tests.before")
    config = tmp_path / "logging.ini"
    config.write_text(INI.format(path=str(tmp_path / "out")))
    open_logs("-", "-", str(config))
    assert not logger.disabled
    config = tmp_path / "logging.json"
    config.write_text(json.dumps(table(tmp_path / "out")))
    open_logs("-", "-", str(config))
    assert not logger.disabled


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "Expecting property name"),
        ("a.json", "[]", "it holds no table of settings"),
        ("a.json", '{"version": 2}', "Unsupported version: 2"),
        ("a.json", '{"handlers": {"a": {"class": "no.Such"}}}', "No module named 'no'"),
        ("a.json", '{"root": {"handlers": ["none"]}}', "Unable to configure root logger"),
        ("a.json", "\udcff", "can't decode byte"),
        ("a.ini", "", ""),
        ("a.ini", "[loggers]\n", "there is no 'formatters'"),
        pytest.param("a.toml", "a =", "is not TOML", marks=needs_toml),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"log configuration|is not TOML") as caught:
        open_logs("-", "-", str(path))
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.json", "none.ini", "none.toml"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with pytest.raises(ValueError, match="No such file or directory") as caught:
        open_logs("-", "-", path)
    assert path in str(caught.value)


PLAIN = """
import io, sys
from greenworld.wsgi import Config, Server
from greenworld.wsgi.command import logfiles
logfiles.open_logs("-", "-", None)
Server(print, config=Config(access_log=io.StringIO(), access_format="%h %D"))
unwanted = {"json", "logging.config", "configparser", "greenworld.wsgi.trust"}
print(sorted(unwanted & sys.modules.keys()))
"""


def test_a_plain_server_loads_nothing_of_this() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
