"""What `--show-config` prints: every value as TOML that `--config` reads, and its source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from greenworld.wsgi.command.options import SECTIONS
from greenworld.wsgi.command.reading import Given

__all__ = ["show_all"]


def show_all(given: Mapping[str, Given]) -> str:
    """Return one line per option: key, value and source."""
    return "\n".join(_lines(given)) + "\n"


def _lines(given: Mapping[str, Given]) -> Iterator[str]:
    for number, section in enumerate(SECTIONS):
        options = [option for option in section.options if option.source == "any"]
        if not options:
            continue
        yield f"{'' if number == 0 else chr(10)}# {section.title}"
        for option in options:
            value, source, _ = given[option.name]
            line = f"{option.name} = {_toml(value)}"
            yield f"{'# ' if option.name == 'app' and value is None else ''}{line:39} # {source}"


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value).removesuffix(".0")
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    # A JSON string is a TOML basic string, once DEL is escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
