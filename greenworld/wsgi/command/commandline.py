"""The command line: a parser made from the table of options, and what it found.

1. The parser only tells options apart; their texts are read like those of the environment, so
   that a bad value gets the same message wherever it stands.
2. Options are not abbreviated: a script must not change its meaning when an option is added.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from greenworld.wsgi.command.errors import SettingsError, suggest
from greenworld.wsgi.command.kinds import Many, Switch, show
from greenworld.wsgi.command.option import Option
from greenworld.wsgi.command.options import BY_NAME, SECTIONS

__all__ = ["make_parser", "read_command_line"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (--help lists the options)")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser, whose `--help` explains every option."""
    parser = _Parser(
        prog="python -m greenworld.wsgi",
        usage="python -m greenworld.wsgi APP [OPTION ...]",
        description="Serve a WSGI application over HTTP/1.1 from green threads.",
        epilog="Every option is also an environment variable (--keep-alive:"
        " GREENWORLD_KEEP_ALIVE) and a key of the TOML file (keep_alive). The command line goes"
        " before the environment, the environment before the file. A list is an option that is"
        " given several times, or a text with commas.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for section in SECTIONS:
        group = parser.add_argument_group(section.title)
        for option in section.options:
            _add(group, option)
    return parser


def _add(group: Any, option: Option) -> None:
    text = _help(option).replace("%", "%%")
    if option.name == "app":
        group.add_argument("app", nargs="?", metavar="APP", help=text)
    elif option.source == "command line":
        group.add_argument(option.flag, action="store_true", help=text)
    elif isinstance(option.kind, Switch):
        group.add_argument(option.flag, action=argparse.BooleanOptionalAction, help=text)
    else:
        action = "append" if isinstance(option.kind, Many) else "store"
        group.add_argument(option.flag, action=action, metavar=option.kind.metavar, help=text)
    if option.off_flag:
        name = option.name
        group.add_argument(
            option.off_flag,
            action="store_const",
            const="none",
            dest=name,
            help=f"the same as {option.flag} none",
        )


def _help(option: Option) -> str:
    parts = [option.text]
    if option.against:
        parts.append(f"; protects from {option.against}")
    if option.source == "any" and option.name != "app":
        parts.append(f" (default: {show(option.kind, option.default)})")
    return "".join(parts)


def read_command_line(argv: Sequence[str] | None) -> dict[str, Any]:
    """Return the values that are given there, by name; `argv` is `sys.argv[1:]` if None.

    Raises `SettingsError`; ends the process after `--help`.
    """
    found, unknown = make_parser().parse_known_args(argv)
    if unknown:
        raise SettingsError(_complaint(unknown))
    return {name: _read(BY_NAME[name], raw) for name, raw in vars(found).items()}


def _complaint(unknown: list[str]) -> str:
    flags = [text.partition("=")[0] for text in unknown if text.startswith("-")]
    if not flags:
        return f"{unknown[0]!r} is one argument too many: there is one application"
    known = [option.flag for option in BY_NAME.values() if option.name != "app"]
    meant = suggest(flags[0], known)
    hint = f"did you mean {meant}?" if meant else "--help lists the options"
    return f"there is no option {flags[0]}: {hint}"


def _read(option: Option, raw: str | bool | list[str]) -> Any:
    if isinstance(raw, bool):
        return raw
    where = "APP" if option.name == "app" else option.flag
    if isinstance(raw, list):
        return tuple(item for text in raw for item in option.from_text(text, where))
    return option.from_text(raw, where)
