"""The TOML file of options: which one it is, and what stands in it."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any, Final

from greenworld.wsgi.command.errors import SettingsError

__all__ = ["PROJECT", "ConfigFile", "find_file"]

PROJECT: Final = "pyproject.toml"
_TABLE: Final = ("tool", "greenworld", "wsgi")
# What decides whether a project's file must be understood at all.
_MENTIONED = re.compile(rb"^\s*\[\s*tool\s*\.\s*greenworld\b", re.MULTILINE)


class ConfigFile:
    """A file's table of options. Reading it raises `SettingsError`."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.prefix = f"{'.'.join(_TABLE)}." if os.path.basename(path) == PROJECT else ""
        """What stands before a key in messages."""
        self.table = self._read(data)

    def _read(self, data: bytes) -> dict[str, Any]:
        toml = _toml(self.path)
        try:
            table = toml.loads(data.decode("utf-8"))
        except ValueError as error:  # also what is not UTF-8
            raise SettingsError(f"{self.path} is not TOML: {error}") from None
        for key in _TABLE if self.prefix else ():
            table = table.get(key, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{self.path}: {'.'.join(_TABLE)} is not a table")
        return dict(table)


def find_file(path: str | None) -> ConfigFile | None:
    """Return the file that was named, or the project's in the working directory, or None.

    Raises `SettingsError` for a file that cannot be read, and for one that is not TOML: settings
    that are left aside without a word may be limits.
    """
    try:
        with open(path or PROJECT, "rb") as file:
            data = file.read()
    except OSError as error:
        if path is None and isinstance(error, FileNotFoundError):
            return None
        raise SettingsError(f"cannot read {path or PROJECT}: {error.strerror}") from None
    if path is None and not _MENTIONED.search(data):
        return None
    return ConfigFile(path or PROJECT, data)


def _toml(path: str) -> Any:
    # Most starts need no file and therefore no reader; CPython 3.10 has none.
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            pass
    raise SettingsError(
        f"cannot read {path}: CPython 3.10 has no TOML reader; pip install 'greenworld[toml]'"
    )
