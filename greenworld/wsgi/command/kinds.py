"""The kinds of values that options have: how each is read from text and from TOML.

1. Text comes from the command line and the environment, TOML values from a file; both end in the
   same Python values.
2. A reader returns the value or raises ValueError; what would have been right is in `expected`,
   so that every message about a bad value reads the same.
3. `none` is the word for "no limit" or "not used" where an option has that: TOML has no null.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

__all__ = ["Choice", "Count", "Hosts", "Kind", "Many", "Seconds", "Size", "Switch", "Text", "show"]

NONE = "none"
_SIZE = re.compile(r"([0-9]+)([KMG]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class Kind(ABC):
    """One kind of value. `optional`: `none` is a value too."""

    metavar: str = "TEXT"
    optional: bool = False

    @property
    def expected(self) -> str:
        """What a right value is, to end the sentence "… is not"."""
        return f"{self.one}, or {NONE!r}" if self.optional else self.one

    @property
    def one(self) -> str:
        """What a right value is, leaving `none` aside."""
        return "a text"

    def from_text(self, text: str) -> Any:
        """Read what the command line or the environment says."""
        if self.optional and text.lower() == NONE:
            return None
        return self.parse(text)

    def from_toml(self, value: object) -> Any:
        """Read what a TOML file says."""
        if not isinstance(value, str):
            raise ValueError
        return self.from_text(value)

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Read a text that is not `none`."""


@dataclass(frozen=True)
class Text(Kind):
    """A text that is taken as it is: a name, a path."""

    pattern: str = ".+"
    what: str = "a text that is not empty"
    """What the pattern matches."""

    def parse(self, text: str) -> str:
        """Take any text of the pattern."""
        if re.fullmatch(self.pattern, text, re.DOTALL) is None:
            raise ValueError
        return text

    @property
    def one(self) -> str:
        """What a right value is."""
        return self.what


@dataclass(frozen=True)
class Seconds(Kind):
    """A time as a float; `zero` says whether it may be 0."""

    metavar: str = "SECONDS"
    zero: bool = False

    @property
    def one(self) -> str:
        """What a right value is."""
        least = "0 or more" if self.zero else "more than 0"
        return f"a number of seconds, {least}, such as 30 or 0.5"

    def parse(self, text: str) -> float:
        """Read a decimal number."""
        return self._checked(float(text))

    def from_toml(self, value: object) -> float | None:
        """Read a number, or a text."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._checked(float(value))
        seconds: float | None = super().from_toml(value)
        return seconds

    def _checked(self, seconds: float) -> float:
        if not 0 <= seconds < math.inf or (seconds == 0 and not self.zero):
            raise ValueError
        return seconds


@dataclass(frozen=True)
class Count(Kind):
    """A whole number, at least `least`."""

    metavar: str = "N"
    least: int = 1

    @property
    def one(self) -> str:
        """What a right value is."""
        return f"a whole number of at least {self.least}"

    def parse(self, text: str) -> int:
        """Read decimal digits."""
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ValueError
        return self._checked(int(text))

    def from_toml(self, value: object) -> int | None:
        """Read a number, or a text."""
        if isinstance(value, int) and not isinstance(value, bool):
            return self._checked(value)
        number: int | None = super().from_toml(value)
        return number

    def _checked(self, number: int) -> int:
        if number < self.least:
            raise ValueError
        return number


@dataclass(frozen=True)
class Size(Count):
    """A number of bytes; K, M and G stand for powers of 1024."""

    metavar: str = "BYTES"

    @property
    def one(self) -> str:
        """What a right value is."""
        return f"a number of bytes of at least {self.least}, such as 65536, 64K or 1G"

    def parse(self, text: str) -> int:
        """Read digits and a suffix."""
        match = _SIZE.fullmatch(text)
        if match is None or len(match[1]) > 18:
            raise ValueError
        return self._checked(int(match[1]) * _FACTORS[match[2].upper()])


@dataclass(frozen=True)
class Choice(Kind):
    """One word out of a few."""

    choices: tuple[str, ...] = ()

    @property
    def one(self) -> str:
        """What a right value is."""
        return f"one of {', '.join(map(repr, self.choices))}"

    def parse(self, text: str) -> str:
        """Take one of the words."""
        if text not in self.choices:
            raise ValueError
        return text


@dataclass(frozen=True)
class Switch(Kind):
    """On or off: `--name` and `--no-name`."""

    metavar: str = ""

    @property
    def one(self) -> str:
        """What a right value is."""
        return "true or false (also 1 or 0, yes or no, on or off)"

    def parse(self, text: str) -> bool:
        """Read one of the words for on and off."""
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError

    def from_toml(self, value: object) -> bool:
        """Read a boolean only: in TOML, a text that says so is a slip."""
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Many(Kind):
    """Several texts: an option that is repeated, commas in a variable, an array in a file."""

    optional: bool = True
    choices: tuple[str, ...] = ()
    """The only texts that are allowed; none: any."""

    @property
    def one(self) -> str:
        """What a right value is."""
        return f"a list of {', '.join(self.choices) or 'texts, none of them empty'}"

    def from_text(self, text: str) -> tuple[str, ...]:
        """Split at commas; `none` is the empty list."""
        return () if text.lower() == NONE else self.parse(text)

    def parse(self, text: str) -> tuple[str, ...]:
        """Split at commas."""
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        if not parts:
            raise ValueError
        return self.checked(parts)

    def from_toml(self, value: object) -> tuple[str, ...]:
        """Take an array, or one text."""
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return self.checked(tuple(value))
        texts: tuple[str, ...] = super().from_toml(value)
        return texts

    def checked(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Return them, or raise ValueError."""
        if self.choices and not set(texts) <= set(self.choices):
            raise ValueError
        return texts


@dataclass(frozen=True)
class Hosts(Many):
    """Certificates by server name: `NAME=CERT` or `NAME=CERT:KEY`; in a file also a table."""

    metavar: str = "NAME=CERT[:KEY]"

    @property
    def one(self) -> str:
        """What a right value is."""
        return "a list of NAME=CERTIFICATE or NAME=CERTIFICATE:KEY"

    def from_toml(self, value: object) -> tuple[str, ...]:
        """Take an array, one text, or a table of names and files."""
        if isinstance(value, dict):
            value = [f"{name}={files}" for name, files in value.items()]
        return super().from_toml(value)

    def checked(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Return them, or raise ValueError."""
        for host in texts:
            name, _, files = host.partition("=")
            if not name or not files.partition(":")[0]:
                raise ValueError
        return texts


def show(kind: Kind, value: Any) -> str:
    """Return a value as one writes it on the command line."""
    if value is None or value == ():
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(kind, Size):
        for suffix in "GMK":
            if value and value % _FACTORS[suffix] == 0:
                return f"{value // _FACTORS[suffix]}{suffix}"
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return ",".join(value) if isinstance(value, tuple) else str(value)
