"""What an option is: one row of the table in `options.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from greenworld.wsgi.command.errors import SettingsError
from greenworld.wsgi.command.kinds import Kind, Many
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.config import Config, Tls
from greenworld.wsgi.http1 import Limits

__all__ = ["Option", "Section"]

Record = Literal["settings", "server", "limits", "tls", "none"]
_DEFAULTS: Final = {"settings": Settings(), "server": Config(), "limits": Limits(), "tls": Tls()}


@dataclass(frozen=True)
class Option:
    """One option: `--like-this`, `GREENWORLD_LIKE_THIS`, `like_this` in a file."""

    name: str
    kind: Kind
    text: str
    """What it sets; begins in lower case, without a full stop."""
    against: str = ""
    """What a limit protects from."""
    record: Record = "server"
    """Which record has the field it stands for; "none" has it acted upon at once."""
    field: str = ""
    """The name of that field, where it is not the option's."""
    source: Literal["any", "command line", "not a file"] = "any"
    """Where it can be given."""

    off_flag: str = ""
    """A flag that stands for the value `none`."""

    @property
    def flag(self) -> str:
        """How it is given on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """How it is given in the environment."""
        return f"GREENWORLD_{self.name.upper()}"

    @property
    def default(self) -> Any:
        """Its value when it is not given, as `kind` reads values."""
        if self.record == "none":
            return None
        value = getattr(_DEFAULTS[self.record], self.field or self.name)
        if isinstance(self.kind, Many):
            return tuple(value)
        return None if value == "" else value

    def from_text(self, text: str, where: str) -> Any:
        """Read what the command line or the environment says. Raises `SettingsError`."""
        return self._checked(self.kind.from_text, text, where)

    def from_toml(self, value: object, where: str) -> Any:
        """Read what a TOML file says. Raises `SettingsError`."""
        return self._checked(self.kind.from_toml, value, where)

    def _checked(self, convert: Callable[[Any], Any], raw: object, where: str) -> Any:
        try:
            return convert(raw)
        except ValueError:
            raise SettingsError(f"{where}: {raw!r} is not {self.kind.expected}") from None


@dataclass(frozen=True)
class Section:
    """Options that belong together."""

    title: str
    options: tuple[Option, ...]
