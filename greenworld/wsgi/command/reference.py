"""Makes `docs/wsgi-options.md` from the table of options; a test compares the two.

python -m greenworld.wsgi.command.reference > docs/wsgi-options.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from greenworld.wsgi.command.kinds import Switch, show
from greenworld.wsgi.command.option import Option, Section
from greenworld.wsgi.command.options import SECTIONS

__all__ = ["MARK", "tables"]

MARK: Final = "<!-- Made from the table of options; see greenworld/wsgi/command/reference.py. -->\n"
"""What stands before the made part of the page, which goes on to its end."""


def tables() -> str:
    """Return a heading and a table for each section, in Markdown."""
    return (
        "".join(f"{line}\n" for section in SECTIONS for line in _section(section)).rstrip() + "\n"
    )


def _section(section: Section) -> Iterator[str]:
    guarded = any(option.against for option in section.options)
    columns = ["option", "default", "what it sets", *(["protects from"] if guarded else [])]
    yield f"## {section.title}\n"
    yield _row(columns)
    yield f"|{'---|' * len(columns)}"
    for option in section.options:
        yield _row([*_cells(option), *([option.against] if guarded else [])])
    yield ""


def _cells(option: Option) -> tuple[str, str, str]:
    if option.name == "app":
        usage = "`APP`"
    elif isinstance(option.kind, Switch):
        usage = f"`{option.flag}`"
    else:
        usage = f"`{option.flag} {option.kind.metavar}`"
    if option.off_flag:
        usage += f", `{option.off_flag}`"
    default = "" if option.record == "none" or option.name == "app" else _default(option)
    return usage, default, option.text


def _default(option: Option) -> str:
    value = option.default
    return "none" if value in (None, ()) else f"`{show(option.kind, value)}`"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _write(path: Path) -> None:
    """Write the page anew, with what stands before the mark as it is."""
    prose, mark, _ = path.read_text("utf-8").partition(MARK)
    path.write_text(f"{prose}{mark or MARK}\n{tables()}", "utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
