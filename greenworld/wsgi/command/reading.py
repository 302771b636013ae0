"""Where values come from: the command line, the environment, a file, the defaults, in that order.

Whatever is wrong is a `SettingsError` that names its source: option, variable, or file and key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from greenworld.wsgi.command.commandline import read_command_line
from greenworld.wsgi.command.configfile import ConfigFile, find_file
from greenworld.wsgi.command.errors import SettingsError, suggest
from greenworld.wsgi.command.options import BY_NAME

__all__ = ["Given", "read"]

PREFIX: Final = "GREENWORLD_"
OTHER_VARIABLES: Final = frozenset({"GREENWORLD_HUB", "GREENWORLD_THREADS"})
"""Variables that the runtime below reads."""
TEST_PREFIX: Final = "GREENWORLD_TEST_"
"""Variables that the project's own tests read."""


class Given(NamedTuple):
    """A value, and where it was given."""

    value: Any
    source: str
    """For a list of values: `command line`, `environment`, `file:PATH`, `default`."""
    where: str
    """For a message: `--keep-alive`, `GREENWORLD_KEEP_ALIVE`, `FILE: keep_alive`."""


def read(argv: Sequence[str] | None, environ: Mapping[str, str]) -> dict[str, Given]:
    """Return every option's value, by name. Raises `SettingsError`.

    Reads a file; ends the process after `--help`.
    """
    given = {
        name: Given(option.default, "default", name.replace("_", " "))
        for name, option in BY_NAME.items()
    }
    upper = _from_environment(environ)
    for name, value in read_command_line(argv).items():
        upper[name] = Given(value, "command line", BY_NAME[name].flag)
    file = find_file(upper["config"].value if "config" in upper else None)
    if file is not None:
        given |= _from_file(file)
    return given | upper


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    options = [option for option in BY_NAME.values() if option.source != "command line"]
    known = {option.variable: option for option in options}
    given = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(TEST_PREFIX):
            continue
        if variable in OTHER_VARIABLES or not text:
            continue
        if variable not in known:
            # Without the prefix, which would make all names look alike.
            hint = _hint(variable[len(PREFIX) :], [name[len(PREFIX) :] for name in known], PREFIX)
            raise SettingsError(f"there is no environment variable {variable}: {hint}")
        option = known[variable]
        value = option.from_text(text, variable)
        given[option.name] = Given(value, "environment", variable)
    return given


def _from_file(file: ConfigFile) -> dict[str, Given]:
    known = {name: option for name, option in BY_NAME.items() if option.source == "any"}
    given = {}
    for key, value in file.table.items():
        where = f"{file.path}: {file.prefix}{key}"
        if key not in known:
            hint = _hint(key.replace("-", "_"), list(known))
            raise SettingsError(f"{where} is not the name of an option: {hint}")
        given[key] = Given(known[key].from_toml(value, where), f"file:{file.path}", where)
    return given


def _hint(name: str, known: Sequence[str], prefix: str = "") -> str:
    meant = suggest(name, known)
    return f"did you mean {prefix}{meant}?" if meant else "--help lists the options"
