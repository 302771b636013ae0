"""What the user of the command can mend, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["SettingsError", "suggest"]


class SettingsError(Exception):
    """What was asked for makes no sense; the text is one line that names its source."""


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `name` was probably meant to be: a word begun, or a slip."""
    names = list(known)
    begun = [one for one in names if one.startswith(name)]
    close = begun[:1] or get_close_matches(name, names, 1, 0.7)
    return close[0] if close else None
