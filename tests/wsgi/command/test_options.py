"""The table is whole: every field of the records has a row, and every row a field."""

from __future__ import annotations

import dataclasses
import re

import pytest

from greenworld.wsgi.command.kinds import Switch, show
from greenworld.wsgi.command.options import BY_NAME, SECTIONS
from greenworld.wsgi.command.settings import Settings
from greenworld.wsgi.config import Config, Tls
from greenworld.wsgi.http1 import Limits

# What is made from other options, or is for programs alone.
NO_OPTION = {
    "settings": {"server", "show_load_errors"},
    "server": {"access_log", "environ", "error_log", "limits", "tls"},
    "limits": set[str](),
    "tls": {"context", "password"},
}


def names(record: type) -> set[str]:
    if record is Limits:
        return set(Limits._fields)
    return {field.name for field in dataclasses.fields(record)}


@pytest.mark.parametrize(
    ("key", "record"),
    [("settings", Settings), ("server", Config), ("limits", Limits), ("tls", Tls)],
)
def test_every_field_has_a_row(key: str, record: type) -> None:
    rows = {option.field or name for name, option in BY_NAME.items() if option.record == key}
    assert rows == names(record) - NO_OPTION[key]


def test_names_are_unique_and_plain() -> None:
    assert len(BY_NAME) == sum(len(section.options) for section in SECTIONS)
    for name in BY_NAME:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)


def test_names() -> None:
    option = BY_NAME["keep_alive"]
    assert (option.flag, option.variable) == ("--keep-alive", "GREENWORLD_KEEP_ALIVE")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_default_is_a_value_of_its_kind(name: str) -> None:
    option = BY_NAME[name]
    if name == "app" or option.record == "none":
        return
    assert option.kind.from_text(show(option.kind, option.default)) == option.default


@pytest.mark.parametrize("name", BY_NAME)
def test_texts_read_alike(name: str) -> None:
    option = BY_NAME[name]
    for text in (option.text, option.against):
        assert not text.endswith(".")
        assert text == text.strip()
        assert "  " not in text
    assert isinstance(option.kind, Switch) or option.kind.metavar
