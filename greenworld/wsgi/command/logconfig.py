"""Both logs through `logging`, as a file of the user's configures it. Loaded only for that.

1. The file's name says what it holds: `.json` and `.toml` the dictionary of
   `logging.config.dictConfig`, anything else the INI form of `logging.config.fileConfig`.
2. Loggers that exist already stay enabled unless the file says otherwise: a library that was
   imported first would fall silent.
3. The loggers are `greenworld.access`, at level INFO, and `greenworld.error`, at level ERROR.
"""

from __future__ import annotations

import json
import logging
import logging.config
from typing import Any, Final

from greenworld.wsgi.command.configfile import find_file
from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.logger import LoggerStream

__all__ = ["ACCESS", "ERROR", "configure", "streams"]

ACCESS: Final = "greenworld.access"
ERROR: Final = "greenworld.error"


def configure(path: str) -> None:
    """Configure `logging` from a file. Raises ValueError with the file's name and the reason."""
    try:
        if path.endswith((".json", ".toml")):
            _apply(_read(path))
        else:
            with open(path, encoding="utf-8") as file:
                logging.config.fileConfig(file, disable_existing_loggers=False)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    except OSError as error:
        what = error.strerror or str(error)
        raise ValueError(f"cannot use the log configuration {path!r}: {what}") from None
    except Exception as error:  # noqa: BLE001 (the file may name any class or function)
        raise ValueError(f"cannot use the log configuration {path!r}: {_reason(error)}") from None


def _read(path: str) -> Any:
    if path.endswith(".toml"):
        found = find_file(path)
        return None if found is None else found.table
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _apply(settings: Any) -> None:
    if not isinstance(settings, dict):
        raise ValueError("it holds no table of settings")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **settings})


def _reason(error: Exception) -> str:
    """The text of an error, with that of its cause: dictConfig says what, its cause says why."""
    text = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"there is no {error}"
    cause = error.__cause__
    return text if cause is None else f"{text}: {cause}"


def streams() -> tuple[LoggerStream, LoggerStream]:
    """Return the streams of the access log and of the error log."""
    access = logging.getLogger(ACCESS)
    if access.level == logging.NOTSET:  # else the root's level, WARNING, would swallow each line
        access.setLevel(logging.INFO)
    return (
        LoggerStream(access, logging.INFO),
        LoggerStream(logging.getLogger(ERROR), logging.ERROR),
    )
